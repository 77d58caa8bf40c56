/* A network in memory: byte streams with latency and a window. */
#include "os/socket.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "sim/world_internal.h"

enum { FIRST_FREE_PORT = 20000, BACKLOG_MAX = 1024, WATCHES_MAX = 65536 };

/* Bytes under way in one direction; both ends hold it. */
struct chunk {
	struct chunk *next;
	int64_t arrives_ns;
	size_t len, taken;
	uint8_t data[];
};

struct pipe {
	unsigned ends; /* sockets that still hold it */
	struct chunk *first, **last;
	uint64_t bytes;	   /* not yet read */
	int64_t newest_ns; /* arrival of the last chunk: order is kept */
	bool closed;	   /* by the writer */
	int64_t closed_ns;
	bool reader_gone;
};

struct os_sock {
	struct pipe *in, *out;
	char remote[OS_ADDRESS_MAX];
	struct os_poller *poller;
};

struct os_listener {
	struct os_listener *next;
	char address[OS_ADDRESS_MAX];
	struct os_sock *backlog[BACKLOG_MAX];
	size_t backlog_len;
	struct os_poller *poller;
};

struct watch {
	struct watch *next;
	struct os_sock *sock;	      /* or */
	struct os_listener *listener; /* one of both is NULL */
	void *tag;
};

struct os_poller {
	struct watch *watches;
	bool woken;
};

static struct os_listener *listeners;
static unsigned next_port;

void sim_sockets_reset(void)
{
	listeners = NULL;
	next_port = FIRST_FREE_PORT;
}

static struct pipe *pipe_new(void)
{
	struct pipe *p = calloc(1, sizeof(*p));

	if (!p)
		sim_bug("out of memory");
	p->ends = 2;
	p->last = &p->first;
	return p;
}

static void pipe_drop(struct pipe *p)
{
	if (--p->ends)
		return;
	while (p->first) {
		struct chunk *next = p->first->next;
		free(p->first);
		p->first = next;
	}
	free(p);
}

static int64_t latency(void)
{
	struct sim_network n = sim_network();

	return n.latency_ns_min +
	       (int64_t)sim_random_below((uint64_t)(n.latency_ns_max - n.latency_ns_min) + 1);
}

static struct os_sock *sock_new(struct pipe *in, struct pipe *out, const char *remote)
{
	struct os_sock *s = calloc(1, sizeof(*s));

	if (!s)
		sim_bug("out of memory");
	s->in = in;
	s->out = out;
	snprintf(s->remote, sizeof(s->remote), "%s", remote);
	return s;
}

static struct os_listener *find_listener(const char *address)
{
	for (struct os_listener *l = listeners; l; l = l->next)
		if (strcmp(l->address, address) == 0)
			return l;
	return NULL;
}

enum err os_sock_dial(struct call *call, const char *address, struct os_sock **ret_sock)
{
	char from[OS_ADDRESS_MAX];
	struct call round_trip = { .deadline_ns = call->deadline_ns, .cancel = call->cancel };

	if (!strrchr(address, ':'))
		return call_fail(call, ERR_INVALID, "address \"%s\" has no port", address);
	enum err e = os_sleep(&round_trip, 2 * latency());
	if (e)
		return call_fail(call, e, "%s while connecting to %s", err_text(e), address);
	struct os_listener *l = find_listener(address);
	if (!l || l->backlog_len == BACKLOG_MAX)
		return call_fail(call, ERR_CONNECT, "cannot connect to %s: connection refused",
				 address);
	struct pipe *there = pipe_new(), *back = pipe_new();
	snprintf(from, sizeof(from), "127.0.0.1:%u", next_port++);
	l->backlog[l->backlog_len++] = sock_new(there, back, from);
	*ret_sock = sock_new(back, there, address);
	return OK;
}

void os_sock_close(struct os_sock *s)
{
	if (!s)
		return;
	if (s->poller)
		os_poller_remove(s->poller, s);
	s->out->closed = true;
	s->out->closed_ns = MAX(s->out->newest_ns, sim_now() + latency());
	s->in->reader_gone = true;
	pipe_drop(s->out);
	pipe_drop(s->in);
	free(s);
}

enum err os_sock_read(struct call *call, struct os_sock *s, void *buf, size_t cap, size_t *ret_n)
{
	struct pipe *p = s->in;
	size_t n = 0;

	while (n < cap && p->first && p->first->arrives_ns <= sim_now()) {
		struct chunk *c = p->first;
		size_t part = MIN(cap - n, c->len - c->taken);
		memcpy((uint8_t *)buf + n, c->data + c->taken, part);
		n += part;
		c->taken += part;
		if (c->taken == c->len) {
			p->first = c->next;
			if (!p->first)
				p->last = &p->first;
			free(c);
		}
	}
	p->bytes -= n;
	if (n) {
		*ret_n = n;
		return OK;
	}
	if (!p->first && p->closed && p->closed_ns <= sim_now())
		return call_fail(call, ERR_EOF, "connection closed by %s", s->remote);
	return ERR_WOULD_BLOCK;
}

enum err os_sock_write(struct call *call, struct os_sock *s, const struct bytes *parts,
		       size_t parts_count, size_t *ret_n)
{
	struct pipe *p = s->out;
	size_t total = 0;

	if (p->reader_gone)
		return call_fail(call, ERR_CLOSED, "%s: connection reset", s->remote);
	uint64_t window = sim_network().window_bytes;
	if (p->bytes >= window)
		return ERR_WOULD_BLOCK;
	for (size_t i = 0; i < parts_count && i < OS_SOCK_PARTS_MAX; i++)
		total += parts[i].len;
	total = (size_t)MIN((uint64_t)total, window - p->bytes);
	struct chunk *c = malloc(sizeof(*c) + total);
	if (!c)
		sim_bug("out of memory");
	*c = (struct chunk){ .arrives_ns = MAX(p->newest_ns, sim_now() + latency()), .len = total };
	size_t n = 0;
	for (size_t i = 0; n < total; i++) {
		size_t part = MIN(parts[i].len, total - n);
		if (part)
			memcpy(c->data + n, parts[i].data, part);
		n += part;
	}
	p->newest_ns = c->arrives_ns;
	p->bytes += total;
	*p->last = c;
	p->last = &c->next;
	sim_trace(SIM_SEND, total, BYTES(c->data, total));
	*ret_n = total;
	return OK;
}

static int64_t readable_at(const struct os_sock *s)
{
	if (s->in->first)
		return s->in->first->arrives_ns;
	return s->in->closed ? s->in->closed_ns : SIM_NEVER;
}

static int64_t writable_at(const struct os_sock *s)
{
	return s->out->reader_gone || s->out->bytes < sim_network().window_bytes ? 0 : SIM_NEVER;
}

struct sock_wait {
	struct os_sock *sock;
	unsigned want;
};

static int64_t sock_ready_at(void *arg)
{
	const struct sock_wait *w = arg;
	int64_t at = SIM_NEVER;

	if (w->want & OS_WANT_READ)
		at = readable_at(w->sock);
	if (w->want & OS_WANT_WRITE)
		at = MIN(at, writable_at(w->sock));
	return at;
}

enum err os_sock_wait(struct call *call, struct os_sock *s, unsigned want, unsigned *ret_ready)
{
	struct sock_wait w = { s, want };
	enum err e = sim_block(call, sock_ready_at, &w);

	if (e)
		return call_fail(call, e, "%s while waiting for %s", err_text(e), s->remote);
	unsigned ready = 0;
	if (readable_at(s) <= sim_now())
		ready |= OS_WANT_READ;
	if (writable_at(s) <= sim_now())
		ready |= OS_WANT_WRITE;
	*ret_ready = ready & want;
	return OK;
}

enum err os_fd_wait(struct call *call, int fd, unsigned want, unsigned *ret_ready)
{
	return call_fail(call, ERR_UNIMPLEMENTED, "no foreign descriptors in the simulated world");
}

const char *os_sock_remote(const struct os_sock *s)
{
	return s->remote;
}

enum err os_listen(struct call *call, const char *address, struct os_listener **ret)
{
	struct os_listener *l = calloc(1, sizeof(*l));
	const char *colon = strrchr(address, ':');

	if (!l)
		sim_bug("out of memory");
	if (colon && strcmp(colon, ":0") == 0)
		snprintf(l->address, sizeof(l->address), "%.*s:%u", (int)(colon - address), address,
			 next_port++);
	else
		snprintf(l->address, sizeof(l->address), "%s", address);
	if (!colon || find_listener(l->address)) {
		free(l);
		return call_fail(call, colon ? ERR_EXISTS : ERR_INVALID, "cannot listen on %s",
				 address);
	}
	l->next = listeners;
	listeners = l;
	*ret = l;
	return OK;
}

static int64_t backlog_at(void *arg)
{
	return ((struct os_listener *)arg)->backlog_len ? 0 : SIM_NEVER;
}

enum err os_accept(struct call *call, struct os_listener *l, struct os_sock **ret_sock)
{
	enum err e = sim_block(call, backlog_at, l);

	if (e)
		return call_fail(call, e, "%s while accepting", err_text(e));
	return os_try_accept(call, l, ret_sock);
}

enum err os_try_accept(struct call *call, struct os_listener *l, struct os_sock **ret_sock)
{
	if (!l->backlog_len)
		return ERR_WOULD_BLOCK;
	*ret_sock = l->backlog[0];
	l->backlog_len--;
	memmove(l->backlog, l->backlog + 1, l->backlog_len * sizeof(l->backlog[0]));
	return OK;
}

enum err os_listen_local(struct call *call, const char *path, struct os_listener **ret)
{
	return call_fail(call, ERR_UNIMPLEMENTED, "no local sockets in the simulated world");
}

enum err os_sock_dial_local(struct call *call, const char *path, struct os_sock **ret)
{
	return call_fail(call, ERR_UNIMPLEMENTED, "no local sockets in the simulated world");
}

bool os_listener_fast_open(const struct os_listener *l)
{
	return false;
}

const char *os_listener_address(const struct os_listener *l)
{
	return l->address;
}

int os_listener_fd(const struct os_listener *l)
{
	return -1;
}

void os_listener_close(struct os_listener *l)
{
	if (!l)
		return;
	if (l->poller)
		os_poller_remove_listener(l->poller, l);
	for (struct os_listener **at = &listeners; *at; at = &(*at)->next)
		if (*at == l) {
			*at = l->next;
			break;
		}
	for (size_t i = 0; i < l->backlog_len; i++)
		os_sock_close(l->backlog[i]);
	free(l);
}

enum err os_resolve(struct call *call, const char *address, char *out)
{
	if (!strrchr(address, ':'))
		return call_fail(call, ERR_INVALID, "address \"%s\" has no port", address);
	snprintf(out, OS_ADDRESS_MAX, "%s", address);
	return OK;
}

enum err os_poller_new(struct call *call, struct os_poller **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

static void add_watch(struct os_poller *p, const struct watch *like)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		sim_bug("out of memory");
	*w = *like;
	w->next = p->watches;
	p->watches = w;
}

static void remove_watch(struct os_poller *p, const void *of)
{
	for (struct watch **at = &p->watches; *at; at = &(*at)->next)
		if ((*at)->sock == of || (*at)->listener == of) {
			struct watch *w = *at;
			*at = w->next;
			free(w);
			return;
		}
}

enum err os_poller_add(struct call *call, struct os_poller *p, struct os_sock *s, void *tag)
{
	os_poller_remove(p, s);
	add_watch(p, &(struct watch){ .sock = s, .tag = tag });
	s->poller = p;
	return OK;
}

void os_poller_remove(struct os_poller *p, struct os_sock *s)
{
	remove_watch(p, s);
	s->poller = NULL;
}

enum err os_poller_add_listener(struct call *call, struct os_poller *p, struct os_listener *l,
				void *tag)
{
	os_poller_remove_listener(p, l);
	add_watch(p, &(struct watch){ .listener = l, .tag = tag });
	l->poller = p;
	return OK;
}

void os_poller_remove_listener(struct os_poller *p, struct os_listener *l)
{
	remove_watch(p, l);
	l->poller = NULL;
}

static int64_t watch_at(const struct watch *w)
{
	return w->sock ? readable_at(w->sock) : backlog_at(w->listener);
}

static int64_t poller_at(void *arg)
{
	const struct os_poller *p = arg;
	int64_t at = p->woken ? 0 : SIM_NEVER;

	for (const struct watch *w = p->watches; w; w = w->next)
		at = MIN(at, watch_at(w));
	return at;
}

enum err os_poller_wait(struct call *call, struct os_poller *p, void **tags, size_t tags_max,
			size_t *ret_count)
{
	enum err e = sim_block(call, poller_at, p);
	size_t n = 0;

	if (e)
		return call_fail(call, e, "%s", err_text(e));
	p->woken = false;
	for (struct watch **at = &p->watches; *at && n < tags_max;) {
		struct watch *w = *at;
		if (watch_at(w) > sim_now()) {
			at = &w->next;
			continue;
		}
		tags[n++] = w->tag;
		if (w->sock)
			w->sock->poller = NULL;
		else
			w->listener->poller = NULL;
		*at = w->next;
		free(w);
	}
	*ret_count = n;
	return OK;
}

void os_poller_wake(struct os_poller *p)
{
	p->woken = true;
}

void os_poller_free(struct os_poller *p)
{
	if (!p)
		return;
	while (p->watches) {
		struct watch *w = p->watches;
		if (w->sock)
			os_poller_remove(p, w->sock);
		else
			os_poller_remove_listener(p, w->listener);
	}
	free(p);
}
