/* Trusted satellites and their keys. */
#include "node/trust.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/lock.h"
#include "os/log.h"
#include "rpc/rpc.h"

enum { DIAL_SECONDS = 20, RETRY_SECONDS = 5 };

/* Shared by those who verify with it now; freed by the last. */
struct key {
	unsigned users;
	struct cert_chain *chain;
};

struct satellite {
	struct node_id id;
	const char *address;
	struct key *key; /* NULL until it is known */
	bool fetching;
	int64_t failed_mono_ns; /* when it could not be had; 0 = never */
};

struct trust {
	struct os_mutex lock;
	struct os_cond fetched;
	struct arena arena;
	const char *cache_dir;
	const struct net_tls *tls;
	struct satellite satellites[TRUST_SATELLITES_MAX];
	size_t count;
};

DEFINE_AUTO_PTR(struct cert_chain, cert_chain_auto, cert_chain_free)

static const char *cache_path(struct call *call, const struct trust *t, const struct node_id *id)
{
	char text[NODE_ID_TEXT_MAX];

	node_id_text(id, text);
	const char *path = arena_printf(&call->scratch, "%s/%s.chain", t->cache_dir, text);
	return path ? path : "";
}

static void unuse(struct trust *t, struct key *key)
{
	if (!key)
		return;
	os_mutex_lock(&t->lock);
	bool last = --key->users == 0;
	os_mutex_unlock(&t->lock);
	if (last) {
		cert_chain_free(key->chain);
		free(key);
	}
}

/* Takes the chain over as the satellite's present key. */
static void set_key(struct trust *t, struct satellite *s, struct cert_chain *chain)
{
	struct key *key = malloc(sizeof(*key)), *old;

	if (!key) {
		cert_chain_free(chain);
		return;
	}
	*key = (struct key){ .users = 1, .chain = chain };
	os_mutex_lock(&t->lock);
	old = s->key;
	s->key = key;
	os_mutex_unlock(&t->lock);
	unuse(t, old);
}

/* The file is only a memory: what it says is checked like what a peer says, and a bad one counts
 * as absent. */
static void load_cached(struct trust *t, struct satellite *s)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf der = BUF_INIT(CHAIN_DER_MAX);
	AUTO(cert_chain_auto) struct cert_chain *chain = NULL;

	call_init(&call);
	if (os_file_read_all(&call, cache_path(&call, t, &s->id), &der) == OK &&
	    cert_chain_from_der(&call, buf_bytes(&der), &chain) == OK &&
	    cert_chain_check_dialed(&call, chain, &s->id) == OK)
		set_key(t, s, take(&chain));
}

static enum err add_satellite(struct call *call, struct trust *t, const char *text)
{
	struct node_url url;

	if (t->count == TRUST_SATELLITES_MAX)
		return call_fail(call, ERR_CONFIG, "more than %d satellites", TRUST_SATELLITES_MAX);
	if (node_url_parse(call, &t->arena, bytes_str(text), &url))
		return call_wrap(call, ERR_CONFIG, "satellite \"%s\"", text);
	if (!url.has_id || !url.address[0])
		return call_fail(call, ERR_CONFIG,
				 "satellite \"%s\" is no node URL: it looks like id@host:port, and "
				 "the satellite's operator has it",
				 text);
	if (trust_has(t, &url.id))
		return OK;
	struct satellite *s = &t->satellites[t->count++];
	*s = (struct satellite){ .id = url.id, .address = url.address };
	load_cached(t, s);
	return OK;
}

enum err trust_new(struct call *call, const struct param_list *urls, const char *cache_dir,
		   const struct net_tls *tls, struct trust **ret)
{
	struct trust *t = calloc(1, sizeof(*t));

	if (!t)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	t->tls = tls;
	t->cache_dir = arena_str(&t->arena, bytes_str(cache_dir));
	enum err e = t->cache_dir ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; !e && i < urls->count; i++)
		e = add_satellite(call, t, urls->items[i]);
	if (e) {
		trust_free(t);
		return e;
	}
	*ret = t;
	return OK;
}

void trust_free(struct trust *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		unuse(t, t->satellites[i].key);
	arena_free(&t->arena);
	os_mutex_fini(&t->lock);
	os_cond_fini(&t->fetched);
	free(t);
}

size_t trust_count(const struct trust *t)
{
	return t->count;
}

const struct node_id *trust_id(const struct trust *t, size_t i)
{
	return &t->satellites[i].id;
}

const char *trust_address(const struct trust *t, size_t i)
{
	return t->satellites[i].address;
}

static struct satellite *find(const struct trust *t, const struct node_id *id)
{
	for (size_t i = 0; i < t->count; i++)
		if (node_id_equal(&t->satellites[i].id, id))
			return (struct satellite *)(uintptr_t)&t->satellites[i];
	return NULL;
}

bool trust_has(const struct trust *t, const struct node_id *id)
{
	return find(t, id) != NULL;
}

void trust_learn(struct trust *t, const struct node_id *id, const struct cert_chain *chain)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct satellite *s = find(t, id);
	struct cert_chain *copy = NULL;

	if (!s || !chain)
		return;
	os_mutex_lock(&t->lock);
	bool known = s->key && bytes_equal(cert_chain_der(s->key->chain), cert_chain_der(chain));
	os_mutex_unlock(&t->lock);
	if (known)
		return;
	call_init(&call);
	if (cert_chain_from_der(&call, cert_chain_der(chain), &copy))
		return;
	set_key(t, s, copy);
	if (os_file_write_all(&call, cache_path(&call, t, id), cert_chain_der(chain), false))
		log_warn("cannot remember a satellite's certificates", F_STR("why", call.error));
}

static enum err fetch(struct call *call, struct trust *t, const struct satellite *s)
{
	AUTO_CALL struct call dial = CALL_INIT;
	struct rpc_conn *conn = NULL;

	call_init_child(&dial, call);
	os_call_limit(&dial, DIAL_SECONDS * NS_PER_SEC);
	enum err e = rpc_dial(&dial, t->tls, s->address, &s->id, &conn);
	if (e) {
		call_copy_error(call, &dial);
		return e;
	}
	trust_learn(t, &s->id, net_peer_chain(rpc_conn_net(conn)));
	rpc_conn_close(conn);
	return OK;
}

/* The satellite's key, counted.  One thread fetches it, the others wait for that. */
static enum err use_key(struct call *call, struct trust *t, struct satellite *s, struct key **ret)
{
	enum err e = OK;

	os_mutex_lock(&t->lock);
	while (!s->key && s->fetching)
		os_cond_wait_forever(&t->fetched, &t->lock);
	bool again = !s->failed_mono_ns ||
		     os_clock_mono_ns() - s->failed_mono_ns > RETRY_SECONDS * NS_PER_SEC;
	if (!s->key && again) {
		s->fetching = true;
		os_mutex_unlock(&t->lock);
		e = fetch(call, t, s);
		os_mutex_lock(&t->lock);
		s->fetching = false;
		s->failed_mono_ns = e ? os_clock_mono_ns() : 0;
		os_cond_broadcast(&t->fetched);
	}
	struct key *key = s->key;
	if (key)
		key->users++;
	os_mutex_unlock(&t->lock);
	if (!key)
		return e == ERR_CANCELED ? e
		       : e ? call_wrap(call, ERR_UNAUTHENTICATED, "cannot get the satellite's key")
			   : call_fail(call, ERR_UNAUTHENTICATED, "cannot get the satellite's key");
	*ret = key;
	return OK;
}

enum err trust_verify_limit(struct call *call, struct trust *t, const struct limit_terms *terms)
{
	struct satellite *s = find(t, &terms->satellite);
	struct key *key = NULL;

	if (!s)
		return call_fail(call, ERR_PERMISSION, "satellite is not trusted by this node");
	TRY_PLAIN(use_key(call, t, s, &key));
	enum err e = order_limit_verify(call, terms->message, cert_chain_leaf_key(key->chain));
	unuse(t, key);
	if (e && e != ERR_NO_MEMORY)
		return call_wrap(call, ERR_UNAUTHENTICATED, "order limit");
	return e;
}

enum err trust_verify(struct call *call, struct trust *t, const struct node_id *satellite,
		      struct bytes message, struct bytes signature)
{
	struct satellite *s = find(t, satellite);
	struct key *key = NULL;

	if (!s)
		return call_fail(call, ERR_PERMISSION, "satellite is not trusted by this node");
	TRY_PLAIN(use_key(call, t, s, &key));
	enum err e = public_key_verify(call, cert_chain_leaf_key(key->chain), message, signature);
	unuse(t, key);
	if (e && e != ERR_NO_MEMORY)
		return call_wrap(call, ERR_UNAUTHENTICATED, "the satellite's signature");
	return e;
}
