/* Idle client connections by peer (transport.md 7.6).  Nothing is dialed or closed under the lock.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "os/lock.h"
#include "rpc/internal.h"

enum {
	DEFAULT_TOTAL = 100,
	DEFAULT_PER_KEY = 5,
	DEFAULT_IDLE_SECONDS = 120,
	DEFAULT_DIAL_SECONDS = 10,
};

struct rpc_pool {
	struct os_mutex lock;
	const struct net_tls *tls;
	struct rpc_pool_limits limits;
	struct rpc_conn *idle; /* newest first */
	unsigned out;	       /* connections that callers have */
};

enum err rpc_pool_new(struct call *call, const struct net_tls *tls, struct rpc_pool_limits limits,
		      struct rpc_pool **ret)
{
	struct rpc_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a connection pool");
	if (!limits.total_max)
		limits.total_max = DEFAULT_TOTAL;
	if (!limits.idle_per_key)
		limits.idle_per_key = DEFAULT_PER_KEY;
	if (!limits.idle_ns_max)
		limits.idle_ns_max = DEFAULT_IDLE_SECONDS * NS_PER_SEC;
	if (!limits.dial_ns_max)
		limits.dial_ns_max = DEFAULT_DIAL_SECONDS * NS_PER_SEC;
	p->tls = tls;
	p->limits = limits;
	*ret = p;
	return OK;
}

static void close_all(struct rpc_conn *list)
{
	while (list) {
		struct rpc_conn *next = list->pool.next;
		rpc_conn_close(list);
		list = next;
	}
}

void rpc_pool_free(struct rpc_pool *p)
{
	if (!p)
		return;
	close_all(p->idle);
	os_mutex_fini(&p->lock);
	free(p);
}

/* Whom a connection is to, and how. */
struct pool_key {
	const struct node_id *id;
	const char *address;
	struct noise_peer noise;
};

static bool same_peer(const struct rpc_conn *c, const struct pool_key *key)
{
	return node_id_equal(&c->pool.id, key->id) && strcmp(c->pool.address, key->address) == 0 &&
	       noise_peer_equal(&c->pool.noise, &key->noise);
}

/* Moves *at from its list to another. */
static void move(struct rpc_conn **at, struct rpc_conn **to)
{
	struct rpc_conn *c = *at;

	*at = c->pool.next;
	c->pool.next = *to;
	*to = c;
}

/* Under the lock: puts what is too old or too much on *closing. */
static void expire(struct rpc_pool *p, struct rpc_conn **closing)
{
	int64_t oldest = os_clock_mono_ns() - p->limits.idle_ns_max;
	unsigned room = p->out < p->limits.total_max ? p->limits.total_max - p->out : 0;
	unsigned kept = 0;

	for (struct rpc_conn **at = &p->idle; *at;) {
		if (kept >= room || (*at)->pool.since_ns < oldest) {
			move(at, closing);
		} else {
			kept++;
			at = &(*at)->pool.next;
		}
	}
}

static struct rpc_conn *take_idle(struct rpc_pool *p, const struct pool_key *key,
				  struct rpc_conn **closing)
{
	struct rpc_conn *found = NULL;
	int64_t oldest = os_clock_mono_ns() - p->limits.idle_ns_max;

	OS_LOCKED(&p->lock);
	for (struct rpc_conn **at = &p->idle; *at; at = &(*at)->pool.next)
		if (same_peer(*at, key) && (*at)->pool.since_ns >= oldest) {
			move(at, &found);
			return found;
		}
	/* The caller is counted already: room for the connection he will make. */
	expire(p, closing);
	return NULL;
}

static void count_out(struct rpc_pool *p, int change)
{
	OS_LOCKED(&p->lock);
	p->out += (unsigned)change;
}

static enum err dial(struct call *call, struct rpc_pool *p, const struct pool_key *key,
		     struct rpc_conn **ret)
{
	AUTO_CALL struct call limited = CALL_INIT;
	AUTO_FREE char *copy = strdup(key->address);

	if (!copy)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a connection");
	call_init_child(&limited, call);
	os_call_limit(&limited, p->limits.dial_ns_max);
	enum err e = key->noise.suite
			     ? rpc_dial_noise(&limited, p->tls, copy, key->id, &key->noise, ret)
			     : rpc_dial(&limited, p->tls, copy, key->id, ret);
	if (e) {
		call_copy_error(call, &limited);
		return e;
	}
	(*ret)->pool.id = *key->id;
	(*ret)->pool.noise = key->noise;
	(*ret)->pool.address = take(&copy);
	return OK;
}

enum err rpc_pool_get(struct call *call, struct rpc_pool *p, const struct node_id *id,
		      const char *address, const struct noise_peer *noise, struct rpc_conn **ret)
{
	struct pool_key key = { .id = id, .address = address };
	struct rpc_conn *closing = NULL, *c;

	if (noise)
		key.noise = *noise;
	count_out(p, 1);
	while ((c = take_idle(p, &key, &closing)) && !conn_is_idle(c)) {
		c->pool.next = closing;
		closing = c;
	}
	close_all(closing);
	enum err e = c ? OK : dial(call, p, &key, &c);
	if (e) {
		count_out(p, -1);
		return e;
	}
	*ret = c;
	return OK;
}

/* Under the lock: leaves room for one more idle connection to this peer. */
static void limit_peer(struct rpc_pool *p, const struct rpc_conn *c, struct rpc_conn **closing)
{
	const struct pool_key key = { &c->pool.id, c->pool.address, c->pool.noise };
	unsigned kept = 1;

	for (struct rpc_conn **at = &p->idle; *at;) {
		if (same_peer(*at, &key) && kept++ >= p->limits.idle_per_key)
			move(at, closing);
		else
			at = &(*at)->pool.next;
	}
}

void rpc_pool_put(struct rpc_pool *p, struct rpc_conn *c)
{
	struct rpc_conn *closing = NULL;

	if (!c)
		return;
	bool keep = rpc_conn_reusable(c);
	if (keep)
		conn_idle(c);
	{
		OS_LOCKED(&p->lock);
		p->out--;
		c->pool.since_ns = os_clock_mono_ns();
		if (keep)
			limit_peer(p, c, &closing);
		c->pool.next = keep ? p->idle : closing;
		*(keep ? &p->idle : &closing) = c;
		expire(p, &closing);
	}
	close_all(closing);
}
