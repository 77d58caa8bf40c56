/*
 * Servers and the host whose threads they share.  One thread watches all that wait for their peer
 * (poller): listeners, which it also accepts from, and connections; a worker takes a connection
 * only while it has something to do: a step of a handshake (a small pool that never waits) or a
 * call.  A server has no thread, a silent peer holds memory and a descriptor, never a thread.
 *
 * A connection belongs to exactly one of: the poller (parked) or a worker.  Whoever moves it from
 * parked to busy under the lock owns it.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/log.h"
#include "os/pool.h"
#include "os/random.h"
#include "os/thread.h"
#include "rpc/internal.h"

enum {
	DEFAULT_CONNECTIONS = 5000,
	DEFAULT_ACTIVE = 512,
	DEFAULT_HANDSHAKE_SECONDS = 15,
	ANSWER_SECONDS = 60,	/* for a peer to take the end of an answer */
	IDLE_SECONDS_MIN = 150, /* idle connections younger than this are never closed for room */
	BATCH = 64,
	ACCEPT_BATCH = 64,
	ACCEPT_RETRY_MS = 50,
	REFUSE_ROUNDS_MAX = 64,
	SERVE_ROUNDS_MAX = 8192, /* reads in a row that begin no call, up to 256 MiB */
	SHAKE_SECONDS_MIN = 1,	 /* handshakes older than this give way when room is wanted */
	SHAKE_QUEUE_MAX = 1024,
	LINGER_SHARE = 8, /* of the workers, may wait for a brisk peer's next call */
};

/* A peer that calls again within this time is brisk. */
#define LINGER_NS (20 * NS_PER_MS)

/* What the poller gives back: the first member of a server or a connection. */
struct tag {
	bool is_listener;
};

struct server_conn {
	struct tag tag;
	struct rpc_server *server;
	struct os_sock *sock; /* until the first bytes came */
	struct rpc_conn rpc;  /* rpc.net NULL until then */
	struct os_cancel cancel;
	bool established;
	bool brisk; /* its worker waits a moment for the next call; the owner's */
	/* Under the server's lock: */
	bool parked, expired;
	int64_t since_ns; /* accepted, or parked idle */
	struct conn_list *list;
	struct server_conn *prev, *next;
};

struct conn_list { /* oldest first */
	struct server_conn *first, *last;
};

struct rpc_host {
	struct rpc_host_config config;
	struct os_poller *poller;
	struct os_pool *pool; /* calls */
	struct os_pool
		*shake_pool; /* handshakes, so that they and calls cannot starve each other */
	struct os_thread *poll_thread;

	struct os_mutex lock;
	struct os_cond changed;
	struct rpc_server *servers;
	struct conn_list shaking;   /* handshakes, whether parked or busy */
	struct conn_list idle;	    /* parked between calls */
	unsigned count;		    /* connections */
	unsigned want_room;	    /* connections that were turned away since the poller looked */
	unsigned ending;	    /* servers whose parked connections the poller must close */
	unsigned deaf;		    /* servers whose listener is not watched for a moment */
	_Atomic unsigned lingering; /* workers; no lock */
	bool stop;
};

struct rpc_server {
	struct tag tag;
	struct rpc_server_config config;
	struct rpc_host *host;
	bool own_host;
	const struct rpc_method **by_name; /* sorted */
	struct os_listener *listener;
	struct os_cancel cancel; /* of all calls */
	bool has_cancel;
	_Atomic bool stopping;
	_Atomic uint64_t next_request; /* numbers of calls, from a random one on */
	/* Under the host's lock: */
	struct rpc_server *next;
	unsigned count;	      /* connections */
	bool quiet;	      /* stopping, and the poller has nothing of it any more */
	int64_t deaf_till_ns; /* 0 = the listener is watched */
};

/* ---- lists ---- */

static void list_add(struct conn_list *l, struct server_conn *c)
{
	c->list = l;
	c->prev = l->last;
	c->next = NULL;
	*(l->last ? &l->last->next : &l->first) = c;
	l->last = c;
}

static void list_remove(struct server_conn *c)
{
	if (!c->list)
		return;
	*(c->prev ? &c->prev->next : &c->list->first) = c->next;
	*(c->next ? &c->next->prev : &c->list->last) = c->prev;
	c->list = NULL;
}

/* ---- connections ---- */

/* Only by the owner. */
static void conn_close(struct server_conn *c)
{
	struct rpc_host *h = c->server->host;

	if (c->rpc.net)
		conn_fini(&c->rpc);
	os_sock_close(c->sock);
	os_mutex_lock(&h->lock);
	list_remove(c);
	h->count--;
	c->server->count--;
	os_cond_broadcast(&h->changed);
	os_mutex_unlock(&h->lock);
	free(c);
}

static struct os_sock *conn_sock(struct server_conn *c)
{
	return c->rpc.net ? net_sock(c->rpc.net) : c->sock;
}

/* Leaves the connection to the poller.  c is not the caller's any more.  Arming the watch and
 * giving the connection up are one step under the lock (nothing in it waits): the watch may fire at
 * once. */
static void park(struct server_conn *c)
{
	struct rpc_host *h = c->server->host;
	AUTO_CALL struct call call = CALL_INIT;
	enum err e = ERR_CLOSED;

	call_init(&call);
	if (c->established)
		conn_idle(&c->rpc);
	os_mutex_lock(&h->lock);
	if (!c->expired && !c->server->stopping)
		e = os_poller_add(&call, h->poller, conn_sock(c), c);
	if (!e && c->established) {
		list_add(&h->idle, c);
		c->since_ns = os_clock_mono_ns();
	}
	c->parked = !e;
	os_mutex_unlock(&h->lock);
	if (e)
		conn_close(c);
}

/* ---- calls ---- */

static int compare_method(const void *a, const void *b)
{
	return strcmp((*(const struct rpc_method *const *)a)->name,
		      (*(const struct rpc_method *const *)b)->name);
}

static const struct rpc_method *find_method(const struct rpc_server *s, struct bytes name)
{
	size_t low = 0, high = s->config.methods_count;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int c = bytes_compare(bytes_str(s->by_name[mid]->name), name);
		if (c == 0)
			return s->by_name[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* Takes the waiting Invoke: its stream becomes the live one. */
static void take_invoke(struct rpc_conn *c, char name[RPC_METHOD_MAX + 1])
{
	struct bytes method = packet_reader_data(&c->reader, &c->invoke);
	size_t n = MIN(method.len, (size_t)RPC_METHOD_MAX);

	/* A name with a zero byte inside is no method's. */
	if (n && memchr(method.data, 0, n))
		n = 0;
	if (n)
		memcpy(name, method.data, n);
	name[n] = 0;
	c->has_invoke = false;
	stream_begin(c, c->invoke.stream);
}

static enum err send_error(struct call *call, struct rpc_conn *c, enum err e,
			   const struct call *from)
{
	const char *text = call_error(from, e);
	uint8_t code[8];

	put_be64(code, from->status ? from->status : err_status(e));
	const struct bytes parts[] = { BYTES_OF(code), bytes_str(text) };
	return conn_packet(call, c, PACKET_ERROR, false, parts, ARRAY_LEN(parts));
}

/* Tells the peer how the call ended.  What it does not take in time costs it the connection. */
static enum err answer(struct rpc_conn *c, enum err e, const struct call *from)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct rpc_stream *s = &c->stream;

	call_init(&call);
	os_call_limit(&call, ANSWER_SECONDS * NS_PER_SEC);
	if (c->broken || c->mid_frame)
		return ERR_CLOSED;
	if (!s->ended && e)
		TRY_PLAIN(send_error(&call, c, e, from));
	else if (!s->ended && !s->sent_close_send)
		TRY_PLAIN(conn_packet(&call, c, PACKET_CLOSE_SEND, false, NULL, 0));
	s->sent_close_send = true;
	return conn_flush(&call, c);
}

static enum err unknown_method(struct call *call, const char *name)
{
	call_fail_status(call, ERR_UNKNOWN, 0, "protocol error: unknown rpc: \"%s\"", name);
	return ERR_UNKNOWN;
}

/* Runs one call to its end.  False when the connection is of no use any more.  sc->cancel is made
 * for the first of several calls; one that was set is of no use for the next. */
static bool serve_call(struct server_conn *sc, bool *has_cancel)
{
	struct rpc_server *server = sc->server;
	struct rpc_conn *c = &sc->rpc;
	char name[RPC_METHOD_MAX + 1];
	AUTO_CALL struct call call = CALL_INIT;
	enum err e;

	call_init(&call);
	call.request = atomic_fetch_add_explicit(&server->next_request, 1, memory_order_relaxed);
	int64_t begun = server->config.observe ? os_clock_mono_ns() : 0;
	take_invoke(c, name);
	const struct rpc_method *m = find_method(server, bytes_str(name));
	/* Who comes by Noise is nobody in particular (noise.md 8). */
	if (!m || (net_is_noise(c->net) && !m->anonymous)) {
		e = unknown_method(&call, name);
	} else if (*has_cancel || (e = os_cancel_init(&call, &sc->cancel, &server->cancel)) == OK) {
		*has_cancel = true;
		call.cancel = c->cancel = &sc->cancel;
		e = m->handle(&call, server->config.service, &c->stream);
		call.cancel = c->cancel = NULL;
		if (os_cancel_is_set(&sc->cancel)) {
			os_cancel_fini(&sc->cancel);
			*has_cancel = false;
		}
	}
	enum err sent = answer(c, e, &call);
	if (server->config.observe)
		server->config.observe(server->config.service, m, e, os_clock_mono_ns() - begun);
	stream_finish(c);
	return sent == OK && !c->broken;
}

/* Waits a moment for the next call of a peer that is quick to make one: that costs less than giving
 * the connection to the poller and another worker.  ERR_WOULD_BLOCK when none came. */
static enum err linger(struct server_conn *sc)
{
	struct rpc_host *h = sc->server->host;
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	call.cancel = &sc->server->cancel;
	os_call_limit(&call, LINGER_NS);
	unsigned others = atomic_fetch_add_explicit(&h->lingering, 1, memory_order_relaxed);
	bool came = others < h->config.active_max / LINGER_SHARE &&
		    net_wait(&call, sc->rpc.net, true, false) == OK;
	atomic_fetch_sub_explicit(&h->lingering, 1, memory_order_relaxed);
	sc->brisk = came;
	return came ? OK : ERR_WOULD_BLOCK;
}

static enum err serve_calls(struct call *call, struct server_conn *sc, bool *has_cancel)
{
	struct rpc_conn *c = &sc->rpc;
	unsigned idle_rounds = 0;
	bool served = false;

	while (idle_rounds < SERVE_ROUNDS_MAX) {
		TRY_PLAIN(conn_pump(call, c));
		if (!c->has_invoke) {
			idle_rounds++;
			/* Once behind each call: who sends a bit at a time keeps no worker. */
			if (served && sc->brisk && !net_has_input(c->net))
				TRY_PLAIN(linger(sc));
			served = false;
			TRY_PLAIN(conn_fill(call, c));
			continue;
		}
		idle_rounds = 0;
		if (!serve_call(sc, has_cancel) || sc->server->stopping)
			return ERR_CLOSED;
		served = true;
	}
	return call_fail(call, ERR_PROTOCOL, "%s sends and sends but calls nothing",
			 net_remote(c->net));
}

/* Serves calls as long as there is input; then parks.  ERR_WOULD_BLOCK means park. */
static enum err serve(struct call *call, struct server_conn *sc)
{
	bool has_cancel = false;
	enum err e = serve_calls(call, sc, &has_cancel);

	if (has_cancel)
		os_cancel_fini(&sc->cancel);
	return e;
}

static enum err shake(struct call *call, struct server_conn *sc)
{
	struct rpc_server *s = sc->server;

	if (!sc->rpc.net) {
		struct net_conn *net;
		TRY_PLAIN(net_accept_start(call, s->config.tls, s->config.noise, take(&sc->sock),
					   &net));
		conn_init(&sc->rpc, net, true);
	}
	TRY_PLAIN(net_accept_step(call, sc->rpc.net));
	os_mutex_lock(&s->host->lock);
	list_remove(sc);
	sc->established = true;
	bool late = sc->expired;
	os_mutex_unlock(&s->host->lock);
	return late ? call_fail(call, ERR_DEADLINE, "handshake took too long") : OK;
}

/* What comes after work: wait for the peer again, or the end. */
static void settle(struct server_conn *sc, enum err e, const struct call *call)
{
	if (e == ERR_WOULD_BLOCK) {
		park(sc);
		return;
	}
	if (e != ERR_CLOSED)
		log_debug("connection ended", F_STR("reason", call_error(call, e)));
	conn_close(sc);
}

static void call_worker(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	settle(arg, serve(&call, arg), &call);
}

/* Turns calls away without a worker: Unavailable, and the connection stays.  Nothing here waits. */
static enum err refuse(struct call *call, struct server_conn *sc)
{
	struct rpc_conn *c = &sc->rpc;
	char name[RPC_METHOD_MAX + 1];
	AUTO_CALL struct call why = CALL_INIT;

	call_init(&why);
	for (unsigned i = 0; i < REFUSE_ROUNDS_MAX; i++) {
		TRY_PLAIN(conn_pump(call, c));
		if (!c->has_invoke) {
			TRY_PLAIN(conn_fill(call, c));
			continue;
		}
		take_invoke(c, name);
		enum err e = call_fail(&why, ERR_UNAVAILABLE, "overloaded, try again");
		TRY_PLAIN(send_error(call, c, e, &why));
		stream_finish(c);
		/* Who does not take even this is not worth a connection. */
		if (conn_try_flush(call, c))
			return ERR_CLOSED;
	}
	return ERR_CLOSED;
}

/* Gives an established connection that the caller owns to a worker. */
static void submit_call(struct call *call, struct server_conn *c)
{
	if (os_pool_submit(call, c->server->host->pool, call_worker, c))
		settle(c, refuse(call, c), call);
}

static void shake_worker(void *arg)
{
	struct server_conn *sc = arg;
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	enum err e = shake(&call, sc);
	/* The first call often comes in the same packet as the end of the handshake. */
	if (!e && net_has_input(sc->rpc.net))
		submit_call(&call, sc);
	else
		settle(sc, e ? e : ERR_WOULD_BLOCK, &call);
}

/* ---- the poller's thread: accepting ---- */

static enum err take_socket(struct call *call, struct rpc_server *s, struct os_sock *sock)
{
	struct rpc_host *h = s->host;
	struct server_conn *c = calloc(1, sizeof(*c));

	os_mutex_lock(&h->lock);
	bool full = !c || h->count >= h->config.connections_max || s->stopping;
	if (full) {
		h->want_room++;
	} else {
		h->count++;
		s->count++;
		c->server = s;
		c->sock = sock;
		c->since_ns = os_clock_mono_ns();
		list_add(&h->shaking, c);
	}
	os_mutex_unlock(&h->lock);
	if (full) {
		os_sock_close(sock);
		free(c);
		return call_fail(call, ERR_EXHAUSTED, "too many connections");
	}
	park(c);
	return OK;
}

/* Out of descriptors or memory, others must end first: then nobody is accepted for a moment. */
static void listen_again(struct rpc_server *s, int64_t pause_ns)
{
	struct rpc_host *h = s->host;
	AUTO_CALL struct call call = CALL_INIT;
	OS_LOCKED(&h->lock);

	call_init(&call);
	h->deaf -= s->deaf_till_ns != 0;
	s->deaf_till_ns = 0;
	if (s->quiet)
		return;
	if (!pause_ns && os_poller_add_listener(&call, h->poller, s->listener, &s->tag))
		pause_ns = ACCEPT_RETRY_MS * NS_PER_MS;
	if (pause_ns) {
		s->deaf_till_ns = os_clock_mono_ns() + pause_ns;
		h->deaf++;
	}
}

static void accept_all(struct rpc_server *s)
{
	AUTO_CALL struct call call = CALL_INIT;
	enum err e = OK;

	call_init(&call);
	for (unsigned i = 0; !e && i < ACCEPT_BATCH; i++) {
		struct os_sock *sock = NULL;
		e = os_try_accept(&call, s->listener, &sock);
		if (!e)
			e = take_socket(&call, s, sock);
	}
	if (e && e != ERR_WOULD_BLOCK)
		log_debug("connection refused", F_STR("reason", call_error(&call, e)));
	listen_again(s, e && e != ERR_WOULD_BLOCK ? ACCEPT_RETRY_MS * NS_PER_MS : 0);
}

/* The first server that is due to listen again, or NULL and when one will be. */
static struct rpc_server *next_deaf(struct rpc_host *h, int64_t now, int64_t *ret_ns)
{
	OS_LOCKED(&h->lock);

	for (struct rpc_server *s = h->deaf ? h->servers : NULL; s; s = s->next) {
		if (!s->deaf_till_ns)
			continue;
		if (s->deaf_till_ns <= now)
			return s;
		*ret_ns = MIN(*ret_ns, s->deaf_till_ns);
	}
	return NULL;
}

/* ---- the poller's thread: connections ---- */

static bool unpark(struct rpc_host *h, struct server_conn *c)
{
	OS_LOCKED(&h->lock);
	if (!c->parked)
		return false;
	c->parked = false;
	if (c->established) {
		list_remove(c);
		c->brisk = os_clock_mono_ns() - c->since_ns < LINGER_NS;
	}
	return true;
}

static void dispatch(struct rpc_host *h, struct tag *tag)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct server_conn *c = (struct server_conn *)tag;

	call_init(&call);
	if (tag->is_listener)
		accept_all((struct rpc_server *)tag);
	else if (!unpark(h, c))
		return;
	else if (c->established)
		submit_call(&call, c);
	else if (os_pool_submit(&call, h->shake_pool, shake_worker, c))
		conn_close(c);
}

/* Under the lock: the next connection of a server that ends, or NULL. */
static struct server_conn *next_of_ending(struct rpc_host *h)
{
	struct server_conn *c;

	for (c = h->shaking.first; c; c = c->next)
		if (c->server->stopping && c->parked)
			break;
	for (c = c ? c : h->idle.first; c && !c->server->stopping;)
		c = c->next;
	if (c)
		list_remove(c);
	return c;
}

/* Under the lock: the next connection to close, or NULL.  *ret_ns: when to look again. */
static struct server_conn *next_to_close(struct rpc_host *h, int64_t now, int64_t *ret_ns)
{
	struct server_conn *c;

	while ((c = h->shaking.first)) {
		int64_t end = c->since_ns + c->server->config.handshake_ns_max;
		bool give_way = h->want_room && now - c->since_ns > SHAKE_SECONDS_MIN * NS_PER_SEC;
		if (give_way)
			h->want_room--;
		if (end > now && !give_way) {
			*ret_ns = MIN(*ret_ns, end);
			break;
		}
		list_remove(c);
		c->expired = true; /* a worker that has it now will close it */
		if (c->parked)
			return c;
	}
	c = h->idle.first;
	if (c && h->want_room && now - c->since_ns > IDLE_SECONDS_MIN * NS_PER_SEC) {
		h->want_room--;
		list_remove(c);
		return c;
	}
	h->want_room = 0;
	return h->ending ? next_of_ending(h) : NULL;
}

/* Servers that end and have nothing parked any more; under the lock. */
static void quiet_ending(struct rpc_host *h)
{
	for (struct rpc_server *s = h->ending ? h->servers : NULL; s; s = s->next) {
		if (!s->stopping || s->quiet)
			continue;
		os_poller_remove_listener(h->poller, s->listener);
		h->deaf -= s->deaf_till_ns != 0;
		s->deaf_till_ns = 0;
		s->quiet = true;
		h->ending--;
		os_cond_broadcast(&h->changed);
	}
}

/* Closes what is due; returns when there will be something again. */
static int64_t close_due(struct rpc_host *h)
{
	for (;;) {
		int64_t again_ns = CALL_NO_DEADLINE, now = os_clock_mono_ns();
		struct rpc_server *deaf = next_deaf(h, now, &again_ns);
		if (deaf)
			listen_again(deaf, 0);
		os_mutex_lock(&h->lock);
		struct server_conn *c = next_to_close(h, now, &again_ns);
		if (c)
			c->parked = false;
		else
			quiet_ending(h);
		os_mutex_unlock(&h->lock);
		if (c) {
			os_poller_remove(h->poller, conn_sock(c));
			conn_close(c);
		} else if (!deaf) {
			return again_ns;
		}
	}
}

static void poll_main(void *arg)
{
	struct rpc_host *h = arg;
	int64_t next_ns = CALL_NO_DEADLINE;

	for (;;) {
		AUTO_CALL struct call call = CALL_INIT;
		void *tags[BATCH];
		size_t count = 0;
		call_init(&call);
		call.deadline_ns = next_ns;
		enum err e = os_poller_wait(&call, h->poller, tags, BATCH, &count);
		for (size_t i = 0; !e && i < count; i++)
			dispatch(h, tags[i]);
		/* Only now, when no tag is in hand, may connections and servers go. */
		next_ns = close_due(h);
		os_mutex_lock(&h->lock);
		bool stop = h->stop;
		os_mutex_unlock(&h->lock);
		if (stop)
			return;
	}
}

/* ---- the life of hosts ---- */

enum err rpc_host_new(struct call *call, const struct rpc_host_config *config,
		      struct rpc_host **ret)
{
	struct rpc_host *h = calloc(1, sizeof(*h));

	if (!h)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a server");
	h->config = *config;
	if (!h->config.connections_max)
		h->config.connections_max = DEFAULT_CONNECTIONS;
	if (!h->config.active_max)
		h->config.active_max = DEFAULT_ACTIVE;
	unsigned active = h->config.active_max;
	enum err e = os_poller_new(call, &h->poller);
	/* A short queue carries over bursts; a long one would only make everybody late. */
	if (!e)
		e = os_pool_new(call, "rpc", active, 16 + active / 8, &h->pool);
	if (!e)
		e = os_pool_new(call, "rpc-tls", MAX(2u, os_cpu_count()), SHAKE_QUEUE_MAX,
				&h->shake_pool);
	if (!e)
		e = os_thread_start(call, "rpc-poll", poll_main, h, &h->poll_thread);
	if (e)
		rpc_host_free(h);
	else
		*ret = h;
	return e;
}

void rpc_host_free(struct rpc_host *h)
{
	if (!h)
		return;
	os_mutex_lock(&h->lock);
	h->stop = true;
	os_mutex_unlock(&h->lock);
	if (h->poller)
		os_poller_wake(h->poller);
	os_thread_join(h->poll_thread);
	os_pool_free(h->shake_pool);
	os_pool_free(h->pool);
	os_poller_free(h->poller);
	os_mutex_fini(&h->lock);
	os_cond_fini(&h->changed);
	free(h);
}

/* ---- the life of servers ---- */

static void server_free(struct rpc_server *s)
{
	if (!s)
		return;
	if (s->own_host)
		rpc_host_free(s->host);
	os_listener_close(s->listener);
	if (s->has_cancel)
		os_cancel_fini(&s->cancel);
	free(s->by_name);
	free(s);
}

DEFINE_AUTO_PTR(struct rpc_server, server_auto, server_free)

static enum err sort_methods(struct call *call, struct rpc_server *s)
{
	size_t count = s->config.methods_count;

	s->by_name = calloc(count + 1, sizeof(const struct rpc_method *));
	if (!s->by_name)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a server");
	for (size_t i = 0; i < count; i++)
		s->by_name[i] = &s->config.methods[i];
	qsort(s->by_name, count, sizeof(const struct rpc_method *), compare_method);
	return OK;
}

static enum err choose_host(struct call *call, struct rpc_server *s)
{
	const struct rpc_host_config own = { .connections_max = s->config.connections_max,
					     .active_max = s->config.active_max };

	s->host = s->config.host;
	if (s->host)
		return OK;
	s->own_host = true;
	return rpc_host_new(call, &own, &s->host);
}

enum err rpc_server_start(struct call *call, const struct rpc_server_config *config,
			  struct rpc_server **ret)
{
	AUTO(server_auto) struct rpc_server *s = calloc(1, sizeof(*s));

	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a server");
	s->config = *config;
	s->tag.is_listener = true;
	uint64_t first = 0;
	os_random(&first, sizeof(first));
	s->next_request = first;
	if (!s->config.handshake_ns_max)
		s->config.handshake_ns_max = DEFAULT_HANDSHAKE_SECONDS * NS_PER_SEC;
	TRY_PLAIN(sort_methods(call, s));
	TRY_PLAIN(os_cancel_init(call, &s->cancel, NULL));
	s->has_cancel = true;
	TRY_PLAIN(os_listen(call, config->address, &s->listener));
	TRY_PLAIN(choose_host(call, s));
	struct rpc_host *h = s->host;
	os_mutex_lock(&h->lock);
	s->next = h->servers;
	h->servers = s;
	os_mutex_unlock(&h->lock);
	listen_again(s, 0);
	/* Should that have failed, the poller tries again. */
	os_poller_wake(h->poller);
	*ret = take(&s);
	return OK;
}

bool rpc_server_fast_open(const struct rpc_server *s)
{
	return os_listener_fast_open(s->listener);
}

unsigned rpc_server_connections(const struct rpc_server *s)
{
	OS_LOCKED(&s->host->lock);
	return s->host->count;
}

const char *rpc_server_address(const struct rpc_server *s)
{
	return os_listener_address(s->listener);
}

/* Waits until no connection is left, at most until the deadline. */
static void wait_empty(struct rpc_server *s, int64_t ns)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct rpc_host *h = s->host;
	enum err e = OK;

	call_init(&call);
	if (ns != INT64_MAX)
		os_call_limit(&call, ns);
	os_mutex_lock(&h->lock);
	while (s->count && !e)
		e = os_cond_wait(&call, &h->changed, &h->lock);
	os_mutex_unlock(&h->lock);
}

/* The poller closes what is parked and forgets the listener; workers close what they have. */
static void quiet(struct rpc_server *s)
{
	struct rpc_host *h = s->host;

	os_mutex_lock(&h->lock);
	s->stopping = true;
	h->ending++;
	os_mutex_unlock(&h->lock);
	os_poller_wake(h->poller);
	os_mutex_lock(&h->lock);
	while (!s->quiet)
		os_cond_wait_forever(&h->changed, &h->lock);
	for (struct rpc_server **p = &h->servers; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
	os_mutex_unlock(&h->lock);
}

void rpc_server_stop(struct rpc_server *s, int64_t grace_ns)
{
	if (!s)
		return;
	quiet(s);
	wait_empty(s, grace_ns);
	os_cancel_set(&s->cancel);
	wait_empty(s, INT64_MAX);
	server_free(s);
}
