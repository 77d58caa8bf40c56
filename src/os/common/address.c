/* Numbers in address texts; nothing is resolved here. */
#include <arpa/inet.h>
#include <string.h>

#include "os/socket.h"

bool os_ip_parse(const char *ip_port, uint8_t out[OS_IP_BYTES_MAX], size_t *ret_len)
{
	char host[OS_ADDRESS_MAX];
	const char *colon = strrchr(ip_port, ':');
	const char *from = ip_port;

	if (!colon || (size_t)(colon - ip_port) >= sizeof(host))
		return false;
	size_t n = (size_t)(colon - ip_port);
	if (n >= 2 && from[0] == '[' && from[n - 1] == ']') {
		from++;
		n -= 2;
	}
	memcpy(host, from, n);
	host[n] = 0;
	if (inet_pton(AF_INET, host, out) == 1) {
		*ret_len = 4;
		return true;
	}
	if (inet_pton(AF_INET6, host, out) == 1) {
		*ret_len = 16;
		return true;
	}
	return false;
}
