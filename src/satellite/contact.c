/* Resolving and pinging nodes. */
#include "satellite/contact.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "os/socket.h"
#include "proto/contact.pb-c.h"

static bool v4_is_global(const uint8_t *ip)
{
	return ip[0] != 0 && ip[0] != 10 && ip[0] != 127 && ip[0] < 224 &&
	       !(ip[0] == 100 && (ip[1] & 0xc0) == 64) && /* carrier-grade NAT */
	       !(ip[0] == 169 && ip[1] == 254) && !(ip[0] == 172 && (ip[1] & 0xf0) == 16) &&
	       !(ip[0] == 192 && ip[1] == 168) && !(ip[0] == 192 && ip[1] == 0 && ip[2] == 0) &&
	       !(ip[0] == 198 && (ip[1] & 0xfe) == 18);
}

static bool v6_is_global(const uint8_t *ip)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t zero[15];

	if (memcmp(ip, mapped, sizeof(mapped)) == 0)
		return v4_is_global(ip + 12);
	if (memcmp(ip, zero, sizeof(zero)) == 0 && ip[15] <= 1)
		return false; /* unspecified, loopback */
	return ip[0] != 0xff && (ip[0] & 0xfe) != 0xfc &&
	       !(ip[0] == 0xfe && (ip[1] & 0x80) == 0x80);
}

bool contact_ip_is_global(const uint8_t *ip, size_t len)
{
	return len == 4 ? v4_is_global(ip) : v6_is_global(ip);
}

static void network_text(const uint8_t *ip, size_t len, char net[LAST_NET_MAX])
{
	if (len == 4)
		snprintf(net, LAST_NET_MAX, "%u.%u.%u.0", ip[0], ip[1], ip[2]);
	else
		snprintf(net, LAST_NET_MAX, "%02x%02x:%02x%02x:%02x%02x:%02x%02x::", ip[0], ip[1],
			 ip[2], ip[3], ip[4], ip[5], ip[6], ip[7]);
}

static enum err resolve(struct call *call, const struct satellite *sat, const char *address,
			char ip_port[OS_ADDRESS_MAX], char net[LAST_NET_MAX])
{
	uint8_t ip[OS_IP_BYTES_MAX];
	size_t len = 0;
	enum err e = os_resolve(call, address, ip_port);

	if (e == ERR_CANCELED)
		return e;
	if (e || !os_ip_parse(ip_port, ip, &len)) {
		call_wrap(call, ERR_INVALID, "failed to resolve IP from address: %.200s, err",
			  address);
		call->status = 0;
		return ERR_INVALID;
	}
	if (!satellite_live(sat)->allow_private_ips && !contact_ip_is_global(ip, len))
		return call_fail(
			call, ERR_INVALID,
			"IP address not allowed: %.200s is not reachable from the internet "
			"(the satellite's operator may set allow-private-ips)",
			address);
	if (satellite_live(sat)->distinct_networks)
		network_text(ip, len, net);
	else
		snprintf(net, LAST_NET_MAX, "%s", ip_port);
	return OK;
}

static enum err ping(struct call *call, struct satellite *sat, const struct node_id *id,
		     const char *address, const char *ip_port)
{
	AUTO_CALL struct call child = CALL_INIT;
	struct rpc_conn *conn = NULL;
	Contact__ContactPingResponse *reply = NULL;
	char id_text[NODE_ID_TEXT_MAX];

	node_id_text(id, id_text);
	call_init_child(&child, call);
	os_call_limit(&child, satellite_live(sat)->ping_timeout);
	enum err e = rpc_dial(&child, sat->tls, ip_port, id, &conn);
	if (e) {
		call_copy_error(call, &child);
		return call_wrap(call, e, "failed to dial storage node (ID: %s) at address %.200s",
				 id_text, address);
	}
	e = rpc_invoke(&child, conn, "/contact.Contact/PingNode", NULL, &child.scratch,
		       &contact__contact_ping_response__descriptor, &reply);
	rpc_conn_close(conn);
	if (e) {
		call_copy_error(call, &child);
		return call_wrap(call, e,
				 "failed to ping storage node, your node indicated error code: %u",
				 err_status(e));
	}
	return OK;
}

/* Both wait for strangers: for their name servers, and for themselves. */
static enum err enter(struct call *call, struct satellite *sat)
{
	if (++sat->pings <= LIMIT_PINGS)
		return OK;
	sat->pings--;
	return call_fail(call, ERR_BUSY,
			 "the satellite pings too many nodes at the moment; try again later");
}

enum err contact_resolve(struct call *call, struct satellite *sat, const char *address,
			 char ip_port[OS_ADDRESS_MAX], char net[LAST_NET_MAX])
{
	TRY_PLAIN(enter(call, sat));
	enum err e = resolve(call, sat, address, ip_port, net);
	sat->pings--;
	return e;
}

enum err contact_ping(struct call *call, struct satellite *sat, const struct node_id *id,
		      const char *address, const char *ip_port)
{
	TRY_PLAIN(enter(call, sat));
	enum err e = ping(call, sat, id, address, ip_port);
	sat->pings--;
	return e;
}
