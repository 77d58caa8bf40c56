/*
 * The satellites this node works for, and the leaf keys that sign their order limits.  A key is got
 * by dialing the satellite once; its chain is kept in a file, so that a restart needs no satellite.
 * Every check-in shows the chain again.  Thread safe.
 */
#ifndef ACRE_NODE_TRUST_H
#define ACRE_NODE_TRUST_H

#include "base/call.h"
#include "base/param.h"
#include "identity/identity.h"
#include "net/net.h"
#include "node/verify.h"

enum { TRUST_SATELLITES_MAX = 64 };

struct trust;

/* urls: "id@host:port".  cache_dir exists.  tls is borrowed.  ERR_CONFIG names the bad URL. */
enum err trust_new(struct call *call, const struct param_list *urls, const char *cache_dir,
		   const struct net_tls *tls, struct trust **ret) MUST_USE;
void trust_free(struct trust *t); /* NULL is fine */
size_t trust_count(const struct trust *t);
const struct node_id *trust_id(const struct trust *t, size_t i);
const char *trust_address(const struct trust *t, size_t i);
bool trust_has(const struct trust *t, const struct node_id *id);

/* Whether the satellite signed it: ERR_PERMISSION when it is not trusted, ERR_UNAUTHENTICATED when
 * the signature is not good or the key cannot be had. */
enum err trust_verify_limit(struct call *call, struct trust *t,
			    const struct limit_terms *terms) MUST_USE;
/* Whether the satellite signed this message; errors as above. */
enum err trust_verify(struct call *call, struct trust *t, const struct node_id *satellite,
		      struct bytes message, struct bytes signature) MUST_USE;
/* The chain a satellite just proved to have; taken note of when it is new. */
void trust_learn(struct trust *t, const struct node_id *id, const struct cert_chain *chain);

#endif
