/*
 * Server.  One thread accepts, one watches all connections that wait for their peer (poller), and a
 * worker takes a connection only while it has something to do: a step of a handshake (a small pool
 * that never waits) or a call.  A silent peer holds memory and a descriptor, never a thread.
 *
 * A connection belongs to exactly one of: the poller (parked) or a worker.  Whoever moves it from
 * parked to busy under the lock owns it.
 */
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
#include "os/thread.h"
#include "rpc/internal.h"

enum {
	DEFAULT_CONNECTIONS = 5000,
	DEFAULT_ACTIVE = 512,
	DEFAULT_HANDSHAKE_SECONDS = 15,
	ANSWER_SECONDS = 60,	/* for a peer to take the end of an answer */
	IDLE_SECONDS_MIN = 150, /* idle connections younger than this are never closed for room */
	BATCH = 64,
	ACCEPT_RETRY_MS = 50,
	REFUSE_ROUNDS_MAX = 64,
	SERVE_ROUNDS_MAX = 8192, /* reads in a row that begin no call, up to 256 MiB */
	SHAKE_SECONDS_MIN = 1,	 /* handshakes older than this give way when room is wanted */
	SHAKE_QUEUE_MAX = 1024,
};

struct server_conn {
	struct rpc_server *server;
	struct os_sock *sock; /* until the first bytes came */
	struct rpc_conn rpc;  /* rpc.net NULL until then */
	struct os_cancel cancel;
	bool established;
	/* Under the server's lock: */
	bool parked, expired;
	int64_t since_ns; /* accepted, or parked idle */
	struct conn_list *list;
	struct server_conn *prev, *next;
};

struct conn_list { /* oldest first */
	struct server_conn *first, *last;
};

struct rpc_server {
	struct rpc_server_config config;
	const struct rpc_method **by_name; /* sorted */
	struct os_listener *listener;
	struct os_poller *poller;
	struct os_pool *pool; /* calls */
	struct os_pool
		*shake_pool; /* handshakes, so that they and calls cannot starve each other */
	struct os_thread *accept_thread, *poll_thread;
	struct os_cancel accept_cancel; /* of the accept thread */
	struct os_cancel cancel;	/* of all calls */

	struct os_mutex lock;
	struct os_cond changed;
	struct conn_list shaking; /* handshakes, whether parked or busy */
	struct conn_list idle;	  /* parked between calls */
	unsigned count;		  /* connections */
	unsigned want_room;	  /* connections that were turned away since the poller looked */
	bool poll_stop;
	_Atomic bool stopping;
	bool has_cancel, has_accept_cancel;
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
	struct rpc_server *s = c->server;

	if (c->rpc.net)
		conn_fini(&c->rpc);
	os_sock_close(c->sock);
	os_mutex_lock(&s->lock);
	list_remove(c);
	s->count--;
	os_cond_broadcast(&s->changed);
	os_mutex_unlock(&s->lock);
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
	struct rpc_server *s = c->server;
	AUTO_CALL struct call call = CALL_INIT;
	enum err e = ERR_CLOSED;

	call_init(&call);
	if (c->established)
		conn_idle(&c->rpc);
	os_mutex_lock(&s->lock);
	if (!c->expired && !s->stopping)
		e = os_poller_add(&call, s->poller, conn_sock(c), c);
	if (!e && c->established) {
		list_add(&s->idle, c);
		c->since_ns = os_clock_mono_ns();
	}
	c->parked = !e;
	os_mutex_unlock(&s->lock);
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

/* Runs one call to its end.  False when the connection is of no use any more. */
static bool serve_call(struct server_conn *sc)
{
	struct rpc_server *server = sc->server;
	struct rpc_conn *c = &sc->rpc;
	char name[RPC_METHOD_MAX + 1];
	AUTO_CALL struct call call = CALL_INIT;
	enum err e;

	call_init(&call);
	take_invoke(c, name);
	const struct rpc_method *m = find_method(server, bytes_str(name));
	/* Who comes by Noise is nobody in particular (noise.md 8). */
	if (!m || (net_is_noise(c->net) && !m->anonymous)) {
		e = unknown_method(&call, name);
	} else if ((e = os_cancel_init(&call, &sc->cancel, &server->cancel)) == OK) {
		call.cancel = c->cancel = &sc->cancel;
		e = m->handle(&call, server->config.service, &c->stream);
		call.cancel = c->cancel = NULL;
		os_cancel_fini(&sc->cancel);
	}
	enum err sent = answer(c, e, &call);
	stream_finish(c);
	return sent == OK && !c->broken;
}

/* Serves calls as long as there is input; then parks.  ERR_WOULD_BLOCK means park. */
static enum err serve(struct call *call, struct server_conn *sc)
{
	struct rpc_conn *c = &sc->rpc;
	unsigned idle_rounds = 0;

	while (idle_rounds < SERVE_ROUNDS_MAX) {
		TRY_PLAIN(conn_pump(call, c));
		if (!c->has_invoke) {
			idle_rounds++;
			TRY_PLAIN(conn_fill(call, c));
			continue;
		}
		idle_rounds = 0;
		if (!serve_call(sc) || sc->server->stopping)
			return ERR_CLOSED;
	}
	return call_fail(call, ERR_PROTOCOL, "%s sends and sends but calls nothing",
			 net_remote(c->net));
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
	os_mutex_lock(&s->lock);
	list_remove(sc);
	sc->established = true;
	bool late = sc->expired;
	os_mutex_unlock(&s->lock);
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
	if (os_pool_submit(call, c->server->pool, call_worker, c))
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

/* ---- the poller's thread ---- */

static bool unpark(struct rpc_server *s, struct server_conn *c)
{
	OS_LOCKED(&s->lock);
	if (!c->parked)
		return false;
	c->parked = false;
	if (c->established)
		list_remove(c);
	return true;
}

static void dispatch(struct rpc_server *s, struct server_conn *c)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	if (!unpark(s, c))
		return;
	if (c->established)
		submit_call(&call, c);
	else if (os_pool_submit(&call, s->shake_pool, shake_worker, c))
		conn_close(c);
}

/* Under the lock: the next connection to close, or NULL.  *ret_ns: when to look again. */
static struct server_conn *next_to_close(struct rpc_server *s, int64_t now, int64_t *ret_ns)
{
	struct server_conn *c;

	while ((c = s->shaking.first)) {
		int64_t end = c->since_ns + s->config.handshake_ns_max;
		bool give_way = s->want_room && now - c->since_ns > SHAKE_SECONDS_MIN * NS_PER_SEC;
		if (give_way)
			s->want_room--;
		if (end > now && !s->poll_stop && !give_way) {
			*ret_ns = end;
			break;
		}
		list_remove(c);
		c->expired = true; /* a worker that has it now will close it */
		if (c->parked)
			return c;
	}
	c = s->idle.first;
	if (c &&
	    (s->poll_stop || (s->want_room && now - c->since_ns > IDLE_SECONDS_MIN * NS_PER_SEC))) {
		if (s->want_room)
			s->want_room--;
		list_remove(c);
		return c;
	}
	s->want_room = 0;
	return NULL;
}

/* Closes what is due; returns when there will be something again. */
static int64_t close_due(struct rpc_server *s)
{
	for (;;) {
		int64_t again_ns = CALL_NO_DEADLINE;
		os_mutex_lock(&s->lock);
		struct server_conn *c = next_to_close(s, os_clock_mono_ns(), &again_ns);
		if (c)
			c->parked = false;
		os_mutex_unlock(&s->lock);
		if (!c)
			return again_ns;
		os_poller_remove(s->poller, conn_sock(c));
		conn_close(c);
	}
}

static void poll_main(void *arg)
{
	struct rpc_server *s = arg;
	int64_t next_ns = CALL_NO_DEADLINE;

	for (;;) {
		AUTO_CALL struct call call = CALL_INIT;
		void *tags[BATCH];
		size_t count = 0;
		call_init(&call);
		call.deadline_ns = next_ns;
		enum err e = os_poller_wait(&call, s->poller, tags, BATCH, &count);
		for (size_t i = 0; !e && i < count; i++)
			dispatch(s, tags[i]);
		/* Only now, when no tag is in hand, may connections be closed. */
		next_ns = close_due(s);
		os_mutex_lock(&s->lock);
		bool stop = s->poll_stop;
		os_mutex_unlock(&s->lock);
		if (stop)
			return;
	}
}

/* ---- the accepting thread ---- */

static enum err take_socket(struct call *call, struct rpc_server *s, struct os_sock *sock)
{
	struct server_conn *c = calloc(1, sizeof(*c));

	os_mutex_lock(&s->lock);
	bool full = !c || s->count >= s->config.connections_max || s->stopping;
	if (full) {
		s->want_room++;
	} else {
		s->count++;
		c->server = s;
		c->sock = sock;
		c->since_ns = os_clock_mono_ns();
		list_add(&s->shaking, c);
	}
	bool first = !full && s->shaking.first == c;
	os_mutex_unlock(&s->lock);
	if (full) {
		os_sock_close(sock);
		free(c);
		os_poller_wake(s->poller);
		return call_fail(call, ERR_EXHAUSTED, "too many connections");
	}
	park(c);
	if (first)
		os_poller_wake(s->poller); /* it has a deadline to watch now */
	return OK;
}

static void accept_main(void *arg)
{
	struct rpc_server *s = arg;

	for (;;) {
		AUTO_CALL struct call call = CALL_INIT;
		struct os_sock *sock;
		call_init(&call);
		call.cancel = &s->accept_cancel;
		enum err e = os_accept(&call, s->listener, &sock);
		if (!e)
			e = take_socket(&call, s, sock);
		if (e == ERR_CANCELED)
			return;
		if (!e)
			continue;
		log_debug("connection refused", F_STR("reason", call_error(&call, e)));
		/* Out of descriptors or memory: others must end first. */
		if (os_sleep(&call, ACCEPT_RETRY_MS * NS_PER_MS) == ERR_CANCELED)
			return;
	}
}

/* ---- life ---- */

static void server_free(struct rpc_server *s)
{
	if (!s)
		return;
	os_pool_free(s->shake_pool);
	os_pool_free(s->pool);
	os_poller_free(s->poller);
	os_listener_close(s->listener);
	if (s->has_cancel)
		os_cancel_fini(&s->cancel);
	if (s->has_accept_cancel)
		os_cancel_fini(&s->accept_cancel);
	os_mutex_fini(&s->lock);
	os_cond_fini(&s->changed);
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

static void set_defaults(struct rpc_server_config *c)
{
	if (!c->connections_max)
		c->connections_max = DEFAULT_CONNECTIONS;
	if (!c->active_max)
		c->active_max = DEFAULT_ACTIVE;
	if (!c->handshake_ns_max)
		c->handshake_ns_max = DEFAULT_HANDSHAKE_SECONDS * NS_PER_SEC;
}

enum err rpc_server_start(struct call *call, const struct rpc_server_config *config,
			  struct rpc_server **ret)
{
	AUTO(server_auto) struct rpc_server *s = calloc(1, sizeof(*s));

	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a server");
	s->config = *config;
	set_defaults(&s->config);
	TRY_PLAIN(sort_methods(call, s));
	TRY_PLAIN(os_cancel_init(call, &s->cancel, NULL));
	s->has_cancel = true;
	TRY_PLAIN(os_cancel_init(call, &s->accept_cancel, NULL));
	s->has_accept_cancel = true;
	TRY_PLAIN(os_listen(call, config->address, &s->listener));
	TRY_PLAIN(os_poller_new(call, &s->poller));
	/* A short queue carries over bursts; a long one would only make everybody late. */
	TRY_PLAIN(os_pool_new(call, "rpc", s->config.active_max, 16 + s->config.active_max / 8,
			      &s->pool));
	TRY_PLAIN(os_pool_new(call, "rpc-tls", MAX(2u, os_cpu_count()), SHAKE_QUEUE_MAX,
			      &s->shake_pool));
	TRY_PLAIN(os_thread_start(call, "rpc-poll", poll_main, s, &s->poll_thread));
	enum err e = os_thread_start(call, "rpc-accept", accept_main, s, &s->accept_thread);
	if (e) {
		os_mutex_lock(&s->lock);
		s->poll_stop = true;
		os_mutex_unlock(&s->lock);
		os_poller_wake(s->poller);
		os_thread_join(s->poll_thread);
		return e;
	}
	*ret = take(&s);
	return OK;
}

bool rpc_server_fast_open(const struct rpc_server *s)
{
	return os_listener_fast_open(s->listener);
}

const char *rpc_server_address(const struct rpc_server *s)
{
	return os_listener_address(s->listener);
}

/* Waits until no connection is left, at most until the deadline. */
static void wait_empty(struct rpc_server *s, int64_t ns)
{
	AUTO_CALL struct call call = CALL_INIT;
	enum err e = OK;

	call_init(&call);
	if (ns != INT64_MAX)
		os_call_limit(&call, ns);
	os_mutex_lock(&s->lock);
	while (s->count && !e)
		e = os_cond_wait(&call, &s->changed, &s->lock);
	os_mutex_unlock(&s->lock);
}

void rpc_server_stop(struct rpc_server *s, int64_t grace_ns)
{
	if (!s)
		return;
	os_cancel_set(&s->accept_cancel);
	os_thread_join(s->accept_thread);
	os_mutex_lock(&s->lock);
	s->stopping = s->poll_stop = true;
	os_mutex_unlock(&s->lock);
	/* The poller closes what is parked and ends; workers close what they have. */
	os_poller_wake(s->poller);
	os_thread_join(s->poll_thread);
	wait_empty(s, grace_ns);
	os_cancel_set(&s->cancel);
	wait_empty(s, INT64_MAX);
	server_free(s);
}
