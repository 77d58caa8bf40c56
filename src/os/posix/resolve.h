/* Names to addresses, within the call's time. */
#ifndef ACRE_OS_POSIX_RESOLVE_H
#define ACRE_OS_POSIX_RESOLVE_H

#include <netdb.h>

#include "base/call.h"

/* getaddrinfo, but it ends at the call's deadline or cancellation.  *ret is freed with
 * freeaddrinfo. *ret_reason: what getaddrinfo said (EAI_*), also when it failed with ERR_CONNECT.
 */
enum err posix_resolve(struct call *call, const char *host, const char *port,
		       const struct addrinfo *hints, struct addrinfo **ret,
		       int *ret_reason) MUST_USE;

#endif
