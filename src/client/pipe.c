/* A ring whose size is a multiple of the block, so that no block wraps around its end. */
#include "client/pipe.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/secret.h"
#include "os/clock.h"
#include "os/lock.h"

enum { TICK_MS = 100 /* how soon a cancellation is noticed */ };

struct pipe {
	struct os_mutex lock;
	struct os_cond more, room;
	size_t block, cap;
	uint64_t written, taken; /* positions since the start */
	bool finished, broken;
	uint8_t *ring;
};

DEFINE_AUTO_PTR(struct pipe, pipe_auto, pipe_free)

enum err pipe_new(struct call *call, size_t block, size_t bytes, struct pipe **ret)
{
	struct pipe *p AUTO(pipe_auto) = calloc(1, sizeof(*p));

	if (!p)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	p->block = block;
	p->cap = MAX(bytes / block, (size_t)2) * block;
	p->ring = malloc(p->cap);
	if (!p->ring)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*ret = take(&p);
	return OK;
}

void pipe_free(struct pipe *p)
{
	if (!p)
		return;
	/* Plain text of the user. */
	if (p->ring)
		secret_wipe(p->ring, (size_t)MIN(p->written, (uint64_t)p->cap));
	free(p->ring);
	os_mutex_fini(&p->lock);
	os_cond_fini(&p->more);
	os_cond_fini(&p->room);
	free(p);
}

/* Lock held, also on return. */
static enum err wait_tick(struct call *call, struct pipe *p, struct os_cond *cond)
{
	struct call tick;

	call_init(&tick);
	os_call_limit(&tick, TICK_MS * NS_PER_MS);
	enum err e = os_cond_wait(&tick, cond, &p->lock);
	(void)e; /* a tick is no failure */
	call_fini(&tick);
	return os_call_check(call);
}

enum err pipe_room(struct call *call, struct pipe *p, uint8_t **ret, size_t *ret_n)
{
	enum err e = OK;

	OS_LOCKED(&p->lock);
	while (!e && !p->broken && p->written - p->taken == p->cap)
		e = wait_tick(call, p, &p->room);
	if (p->broken)
		return call_fail(call, ERR_ABORTED, "the upload has failed");
	TRY_PLAIN(e);
	/* Only the writer writes behind `written`. */
	size_t at = (size_t)(p->written % p->cap);
	*ret = p->ring + at;
	*ret_n = MIN(p->cap - (size_t)(p->written - p->taken), p->cap - at);
	return OK;
}

void pipe_filled(struct pipe *p, size_t n)
{
	OS_LOCKED(&p->lock);
	p->written += n;
	os_cond_signal(&p->more);
}

enum err pipe_write(struct call *call, struct pipe *p, struct bytes data)
{
	while (data.len) {
		uint8_t *to = NULL;
		size_t n = 0;
		TRY_PLAIN(pipe_room(call, p, &to, &n));
		n = MIN(n, data.len);
		memcpy(to, data.data, n);
		data = bytes_from(data, n);
		pipe_filled(p, n);
	}
	return OK;
}

void pipe_finish(struct pipe *p)
{
	OS_LOCKED(&p->lock);
	p->finished = true;
	os_cond_signal(&p->more);
}

enum err pipe_peek(struct call *call, struct pipe *p, struct bytes *ret, bool *ret_last)
{
	enum err e = OK;

	OS_LOCKED(&p->lock);
	while (!e && !p->finished && p->written - p->taken < p->block)
		e = wait_tick(call, p, &p->more);
	TRY_PLAIN(e);
	size_t at = (size_t)(p->taken % p->cap), have = (size_t)(p->written - p->taken);
	size_t n = MIN(have, p->cap - at);
	*ret = BYTES(p->ring + at, n);
	*ret_last = p->finished && n == have;
	return OK;
}

void pipe_drop(struct pipe *p, size_t n)
{
	OS_LOCKED(&p->lock);
	p->taken += n;
	os_cond_signal(&p->room);
}

void pipe_break(struct pipe *p)
{
	OS_LOCKED(&p->lock);
	p->broken = true;
	os_cond_signal(&p->room);
}

static enum err peek(struct call *call, void *arg, struct bytes *ret, bool *ret_last)
{
	return pipe_peek(call, arg, ret, ret_last);
}

static void drop(void *arg, size_t n)
{
	pipe_drop(arg, n);
}

struct plain_source pipe_plain(struct pipe *p)
{
	return (struct plain_source){ peek, drop, p };
}
