/* The only file that includes libmaxminddb (docs/decisions/0011-maxminddb.md). */
#include "satellite/geoip.h"

#include <maxminddb.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "os/socket.h"

struct geoip {
	MMDB_s db;
};

enum err geoip_open(struct call *call, const char *path, struct geoip **ret)
{
	AUTO_FREE struct geoip *g = calloc(1, sizeof(*g));

	if (!g)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	int rc = MMDB_open(path, MMDB_MODE_MMAP, &g->db);
	if (rc != MMDB_SUCCESS)
		return call_fail(call, ERR_CONFIG, "geoip-db: %s: %s", path, MMDB_strerror(rc));
	*ret = take(&g);
	return OK;
}

void geoip_free(struct geoip *g)
{
	if (!g)
		return;
	MMDB_close(&g->db);
	free(g);
}

static struct bytes code_at(MMDB_entry_s *entry, const char *of, const char *name)
{
	MMDB_entry_data_s data;

	if (MMDB_get_value(entry, &data, of, name, NULL) != MMDB_SUCCESS || !data.has_data ||
	    data.type != MMDB_DATA_TYPE_UTF8_STRING)
		return BYTES_NONE;
	return BYTES((const uint8_t *)data.utf8_string, data.data_size);
}

static MMDB_lookup_result_s look_up(const struct geoip *g, const uint8_t *ip, size_t len, int *rc)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (len == sizeof(v4.sin_addr)) {
		memcpy(&v4.sin_addr, ip, len);
		return MMDB_lookup_sockaddr(&g->db, (const struct sockaddr *)&v4, rc);
	}
	memcpy(&v6.sin6_addr, ip, sizeof(v6.sin6_addr));
	return MMDB_lookup_sockaddr(&g->db, (const struct sockaddr *)&v6, rc);
}

struct geo geoip_look(const struct geoip *g, const char *ip_port)
{
	uint8_t ip[OS_IP_BYTES_MAX];
	size_t len = 0;
	int rc = MMDB_SUCCESS;

	if (!g || !os_ip_parse(ip_port, ip, &len))
		return (struct geo){ 0 };
	MMDB_lookup_result_s found = look_up(g, ip, len, &rc);
	if (rc != MMDB_SUCCESS || !found.found_entry)
		return (struct geo){ 0 };
	struct bytes code = code_at(&found.entry, "country", "iso_code");
	struct bytes represented = code_at(&found.entry, "represented_country", "iso_code");
	if (represented.len && !bytes_equal(represented, code))
		return (struct geo){ 0 };
	return (struct geo){ country_parse(code),
			     continent_parse(code_at(&found.entry, "continent", "code")) };
}
