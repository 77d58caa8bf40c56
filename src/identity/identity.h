/*
 * Identities: certificate chains, node IDs, node URLs (transport.md 4 to 6).
 */
#ifndef ACRE_IDENTITY_IDENTITY_H
#define ACRE_IDENTITY_IDENTITY_H

#include "base/bytes.h"
#include "base/call.h"
#include "crypto/sign.h"

enum {
	NODE_ID_BYTES = 32,
	NODE_ID_TEXT_MAX = 64,
	CHAIN_CERTS_MAX = 8,
	CHAIN_DER_MAX = 64 << 10,
	NODE_URL_MAX = 512
};

struct node_id {
	uint8_t b[NODE_ID_BYTES];
};

static inline bool node_id_equal(const struct node_id *a, const struct node_id *b)
{
	return memcmp(a->b, b->b, NODE_ID_BYTES) == 0;
}
static inline struct bytes node_id_bytes(const struct node_id *id)
{
	return BYTES(id->b, NODE_ID_BYTES);
}
bool node_id_is_zero(const struct node_id *id);
/* Exactly 32 bytes, else ERR_FORMAT. */
enum err node_id_from_bytes(struct bytes v, struct node_id *ret) MUST_USE;
/* base58check text ("1..."), NUL-terminated. */
void node_id_text(const struct node_id *id, char out[NODE_ID_TEXT_MAX]);
enum err node_id_parse(struct bytes text, struct node_id *ret) MUST_USE;
/* Trailing zero bits, the version byte counting as 8. */
unsigned node_id_difficulty(const struct node_id *id);

/* "[storj://]id@host:port?params"; strings live in `a`. */
struct node_url {
	struct node_id id; /* zero when absent */
	bool has_id;
	const char *address; /* "host:port", "" when absent */
	int64_t debounce;
	uint64_t features;
	int64_t noise_proto;
	struct bytes noise_pub;
};
enum err node_url_parse(struct call *call, struct arena *a, struct bytes text,
			struct node_url *ret) MUST_USE;
void node_url_add(struct buf *out, const struct node_url *url);

/* A parsed chain: leaf, CA, rest. */
struct cert_chain;
/* From concatenated DER (messages), or a list of DER certificates (TLS).  Checks transport.md 5
 * items 1 and 2: everything parses, each is signed by the next, the last by itself. */
enum err cert_chain_from_der(struct call *call, struct bytes der, struct cert_chain **ret) MUST_USE;
enum err cert_chain_from_certs(struct call *call, const struct bytes certs[], size_t count,
			       struct cert_chain **ret) MUST_USE;
/* From the PEM file of an identity's certificates (identity.cert). */
enum err cert_chain_load(struct call *call, const char *path, struct cert_chain **ret) MUST_USE;
void cert_chain_free(struct cert_chain *c);
size_t cert_chain_count(const struct cert_chain *c);
struct bytes cert_chain_der(const struct cert_chain *c); /* concatenation */
struct bytes cert_chain_cert(const struct cert_chain *c, size_t i);
/* ERR_UNAUTHENTICATED with fewer than two certificates. */
enum err cert_chain_node_id(struct call *call, const struct cert_chain *c,
			    struct node_id *ret) MUST_USE;
/* The leaf's key; borrowed. */
const struct public_key *cert_chain_leaf_key(const struct cert_chain *c);
/* Item 3: the node ID is `expected`, and the leaf is signed by a CA that may sign. */
enum err cert_chain_check_dialed(struct call *call, const struct cert_chain *c,
				 const struct node_id *expected) MUST_USE;

/* Our own identity: chain and leaf key; immutable, shared by threads. */
struct identity;
enum err identity_load(struct call *call, const char *cert_path, const char *key_path,
		       struct identity **ret) MUST_USE;
enum err identity_from_pem(struct call *call, struct bytes cert_pem, struct bytes key_pem,
			   struct identity **ret) MUST_USE;
/* A throw-away identity of difficulty 0, as an uplink makes at start. */
enum err identity_ephemeral(struct call *call, struct identity **ret) MUST_USE;
void identity_free(struct identity *id);
const struct node_id *identity_node_id(const struct identity *id);
const struct cert_chain *identity_chain(const struct identity *id);
const struct private_key *identity_key(const struct identity *id);

/* Creates ca.cert, ca.key, identity.cert, identity.key in dir (never overwrites: ERR_EXISTS).
 * Searches with `threads` threads until the difficulty is met; progress (may be NULL) is called
 * about four times a second from the calling thread with the keys tried so far. */
struct identity_search {
	unsigned difficulty; /* 8 is the least possible, lower counts as 8 */
	unsigned threads;    /* 0 = all cores */
	void (*progress)(void *arg, uint64_t tried, uint64_t expected);
	void *progress_arg;
};
enum err identity_create(struct call *call, const char *dir, const struct identity_search *search,
			 struct node_id *ret_id) MUST_USE;

#endif
