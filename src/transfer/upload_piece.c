/* One piece of a segment upload: from the ring as long as it keeps up, else from the spool. */
#include "transfer/upload_internal.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"

enum { SPOOL_READ_BYTES = 256 << 10 };

DEFINE_AUTO_PTR(struct piece_upload, piece_upload_auto, piece_upload_close)

bool piece_given_up(const struct upload *up, const struct piece *p)
{
	return up->stop || os_cancel_is_set(&p->cancel);
}

void piece_wait_news(struct upload *up, struct piece *p)
{
	reserve_wait(&up->reserve, p->number, os_clock_mono_ns());
	os_cond_wait_forever(&up->news, &up->lock);
	reserve_go_on(&up->reserve, p->number, os_clock_mono_ns());
}

/* The chunk went out. */
static void sent(struct upload *up, struct piece *p, const struct piece_upload *u, bool last)
{
	int64_t now = os_clock_mono_ns();

	OS_LOCKED(&up->lock);
	reserve_sent(&up->reserve, p->number, piece_upload_sent(u), now);
	if (last)
		reserve_all_sent(&up->reserve, p->number, now);
}

/* Until the piece ends or leaves the ring. */
static enum err send_from_ring(struct call *call, struct upload *up, struct piece *p,
			       struct piece_upload *u, bool *ret_last)
{
	struct bytes slices[PIECE_SLICES_MAX];
	size_t count;
	bool last = false, flush;

	while (!last) {
		TRY_PLAIN(ring_take(up, p, slices, &count, &last, &flush));
		if (!count && !last)
			break;
		TRY_PLAIN(piece_upload_write(call, u, slices, count, last, flush));
		sent(up, p, u, last);
		ring_release(up, p, count);
	}
	*ret_last = last;
	return OK;
}

/* Waits until the spool holds stripes behind `at` or has all of them. */
static enum err spooled_stripes(struct upload *up, struct piece *p, uint64_t at, uint64_t *ret_end,
				bool *ret_ended)
{
	OS_LOCKED(&up->lock);
	while (!piece_given_up(up, p) && at == up->spooled && !up->ended)
		piece_wait_news(up, p);
	if (piece_given_up(up, p))
		return ERR_CANCELED;
	*ret_end = up->spooled;
	*ret_ended = up->ended;
	return OK;
}

/* Our own limit is not the node's fault. */
static enum err wait_turn(struct call *call, struct upload *up, struct piece *p, size_t n)
{
	struct pacer *pacer = fanout_upload_pacer(up->fanout);

	if (!pacer->rate)
		return OK;
	os_mutex_lock(&up->lock);
	reserve_wait(&up->reserve, p->number, os_clock_mono_ns());
	os_mutex_unlock(&up->lock);
	enum err e = pacer_wait(call, pacer, n);
	OS_LOCKED(&up->lock);
	reserve_go_on(&up->reserve, p->number, os_clock_mono_ns());
	return e;
}

/* The rest of the piece. */
static enum err send_from_spool(struct call *call, struct upload *up, struct piece *p,
				struct piece_upload *u)
{
	size_t stripe = (size_t)up->k * up->e;
	size_t step = MAX((size_t)1, MIN(SPOOL_READ_BYTES / stripe, PIECE_CHUNK_MAX / up->e));
	AUTO_FREE uint8_t *in = malloc(step * stripe);
	AUTO_FREE uint8_t *out = malloc(step * up->e);
	uint8_t *shares[COHORT_PIECES_MAX] = { NULL };
	uint64_t at = piece_upload_sent(u) / up->e, end = 0;
	bool ended = false, last = false;

	if (!in || !out)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	shares[p->number] = out;
	while (!last) {
		TRY_PLAIN(spooled_stripes(up, p, at, &end, &ended));
		size_t n = (size_t)MIN((uint64_t)step, end - at);
		TRY_PLAIN(spool_read(call, up->spool, at * stripe, in, n * stripe));
		rs_encode_stripes(up->rs, up->e, n, in, shares);
		at += n;
		last = ended && at == end;
		struct bytes data = BYTES(out, n * up->e);
		TRY_PLAIN(wait_turn(call, up, p, data.len));
		TRY_PLAIN(piece_upload_write(call, u, &data, 1, last, at == end));
		sent(up, p, u, last);
	}
	return OK;
}

static enum err piece_send(struct call *call, struct upload *up, struct piece *p)
{
	struct piece_upload *u AUTO(piece_upload_auto) = NULL;
	bool last = false;

	TRY_PLAIN(piece_upload_open(call, up->fanout, &p->limit, up->signer, up->p->algorithm,
				    up->stall_ns, &u));
	os_mutex_lock(&up->lock);
	reserve_opened(&up->reserve, p->number, os_clock_mono_ns());
	os_mutex_unlock(&up->lock);
	TRY_PLAIN(send_from_ring(call, up, p, u, &last));
	if (!last)
		TRY_PLAIN(send_from_spool(call, up, p, u));
	return piece_upload_finish(call, u, &p->arena, &p->hash);
}

void piece_main(void *arg)
{
	struct piece *p = arg;
	struct upload *up = p->up;
	struct call call AUTO_CALL = CALL_INIT;

	call.deadline_ns = up->deadline_ns;
	call.cancel = &p->cancel;
	enum err e = piece_send(&call, up, p);
	fanout_unlease(up->fanout, 1);
	OS_LOCKED(&up->lock);
	ring_leave(up, p);
	if (!e) {
		/* Also when it was given up meanwhile: it is there, and signed. */
		reserve_end(&up->reserve, p->number, PIECE_STORED, os_clock_mono_ns());
	} else if (reserve_runs(&up->reserve, p->number)) {
		reserve_end(&up->reserve, p->number, PIECE_FAILED, os_clock_mono_ns());
		snprintf(p->reason, sizeof(p->reason), "%s", call_error(&call, e));
	}
	p->joined = true;
	up->running--;
	up->changed = true;
	os_cond_signal(&up->space);
}
