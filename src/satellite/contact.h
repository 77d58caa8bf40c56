/* Contact with nodes (satellite.md 1): where they are, and whether they can be reached. */
#ifndef ACRE_SATELLITE_CONTACT_H
#define ACRE_SATELLITE_CONTACT_H

#include "satellite/overlay.h"

/* Resolves what a node claims to "ip:port" and its network: /24 or /64 when networks must be
 * distinct, else the ip:port itself.  ERR_INVALID: it does not resolve, or is not allowed. */
enum err contact_resolve(struct call *call, struct satellite *sat, const char *address,
			 char ip_port[OS_ADDRESS_MAX], char net[LAST_NET_MAX]) MUST_USE;
/* Whether peers on the internet could reach it: not private, loopback, multicast, reserved. */
bool contact_ip_is_global(const uint8_t *ip, size_t len);
/* A fresh connection to ip_port, what the claimed address resolved to (resolving again could give
 * one that is not allowed); expects that node, which must answer PingNode.
 * ERR_BUSY when too many are under way. */
enum err contact_ping(struct call *call, struct satellite *sat, const struct node_id *id,
		      const char *address, const char *ip_port) MUST_USE;

#endif
