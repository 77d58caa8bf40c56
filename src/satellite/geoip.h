/* Countries and continents of addresses, out of a database in MaxMind's format that the operator
 * supplies. */
#ifndef ACRE_SATELLITE_GEOIP_H
#define ACRE_SATELLITE_GEOIP_H

#include "satellite/placement.h"

struct geoip;

/* The file stays mapped: it is replaced by renaming another one to its name, never written into.
 * ERR_CONFIG when it is missing, damaged or about something else. */
enum err geoip_open(struct call *call, const char *path, struct geoip **ret) MUST_USE;
void geoip_free(struct geoip *g);
/* Of "ip:port"; 0 where it is not known, or not said beyond doubt (Storj: an address that
 * represents another country, such as an embassy's).  Any thread. */
struct geo geoip_look(const struct geoip *g, const char *ip_port);

#endif
