/*
 * The ring of encoded batches.  A slot is free again when all pieces that still take from the ring
 * have used it.  A piece that holds up the others leaves the ring and goes on from the spool at its
 * own pace.
 */
#include "transfer/upload_internal.h"

#include <limits.h>

#include "base/num.h"
#include "os/clock.h"

enum {
	HAND_OVER_MAX = 4, /* batches that change hands with one waking, while there are enough */
	SLICE_MAX = PIECE_CHUNK_MAX,
};

enum err ring_plan(struct upload *up)
{
	size_t memory = up->p->memory_max ? up->p->memory_max : SEGMENT_UPLOAD_MEMORY_DEFAULT;
	uint64_t piece = scheme_piece_size(&up->p->scheme, up->p->size_max);

	if (up->e > SLICE_MAX || (uint64_t)up->e * up->width * RING_SLOTS_MIN > memory)
		return call_fail(up->call, ERR_PROTOCOL,
				 "the satellite's erasure shares are too large");
	size_t slice = MIN((uint64_t)memory / up->width / (RING_SLOTS_MIN + 1),
			   MIN((uint64_t)SLICE_MAX, piece));
	slice = (size_t)MIN((uint64_t)slice,
			    pacer_step(fanout_upload_pacer(up->fanout)) / up->width);
	size_t stripes = MAX(slice / up->e, (size_t)1), stripe = (size_t)up->k * up->e;
	if (up->p->block_bytes) {
		size_t unit = 1; /* stripes that are a whole number of blocks */
		while (unit <= stripes && unit * stripe % up->p->block_bytes)
			unit++;
		if (unit <= stripes)
			stripes -= stripes % unit;
	}
	up->slice = stripes * up->e;
	up->slots = (unsigned)MIN(memory / (up->width * up->slice), (size_t)RING_SLOTS_MAX);
	up->slots = (unsigned)MIN((uint64_t)MAX(up->slots, 1U), div_up(piece, up->slice) + 1);
	up->hand_over = MAX(1U, MIN(up->slots / 2, (unsigned)HAND_OVER_MAX));
	up->awaited = UINT_MAX;
	/* Padding may reach over the end of staging by up to two stripes. */
	size_t ring = (size_t)up->slots * up->width * up->slice;
	up->memory_size = ring + (size_t)up->k * up->slice + 2 * stripe + 4;
	up->ring = fanout_buffer(up->fanout, up->memory_size);
	if (!up->ring)
		return call_fail(up->call, ERR_NO_MEMORY, "out of memory");
	up->staging = up->ring + ring;
	return OK;
}

static uint8_t *slot_share(struct upload *up, uint64_t batch, unsigned column)
{
	return up->ring + ((size_t)(batch % up->slots) * up->width + column) * up->slice;
}

/* ---- pieces ---- */

void ring_leave(struct upload *up, struct piece *p)
{
	if (!p->from_ring)
		return;
	for (uint64_t b = p->cursor; b < up->published; b++)
		up->users[b % up->slots]--;
	p->from_ring = false;
}

enum err ring_take(struct upload *up, struct piece *p, struct bytes slices[], size_t *ret_count,
		   bool *ret_last, bool *ret_flush)
{
	size_t count = 0, len = 0;
	uint64_t b = p->cursor;

	OS_LOCKED(&up->lock);
	while (!piece_given_up(up, p) && p->from_ring && b == up->published && !up->ended)
		piece_wait_news(up, p);
	if (piece_given_up(up, p))
		return ERR_CANCELED;
	while (p->from_ring && b < up->published && count < PIECE_SLICES_MAX) {
		size_t n = up->batch_len[b % up->slots];
		if (count && len + n > PIECE_CHUNK_MAX)
			break;
		slices[count++] = BYTES(slot_share(up, b, p->column), n);
		len += n;
		b++;
	}
	*ret_count = count;
	*ret_flush = b == up->published;
	*ret_last = p->from_ring && up->ended && b == up->published;
	return OK;
}

void ring_release(struct upload *up, struct piece *p, size_t count)
{
	bool freed = false;

	OS_LOCKED(&up->lock);
	for (size_t i = 0; i < count && p->from_ring; i++) {
		unsigned slot = (unsigned)(p->cursor++ % up->slots);
		freed |= --up->users[slot] == 0 && slot == up->awaited;
	}
	if (freed)
		os_cond_signal(&up->space);
}

/* ---- the feeder ---- */

/* Lock held. */
static void tell_pieces(struct upload *up)
{
	if (up->told == up->published)
		return;
	up->told = up->published;
	os_cond_broadcast(&up->news);
}

/* Half of the running pieces wait for more, which they could have if batch b were not needed by
 * some others any more.  Lock held. */
static void let_ahead(struct upload *up, uint64_t b, int64_t waited_ns)
{
	int64_t now = os_clock_mono_ns();
	unsigned waiting = 0;
	bool left = false;

	for (unsigned i = 0; i < up->n; i++)
		waiting += reserve_runs(&up->reserve, i) && up->reserve.pieces[i].waiting;
	if (2 * waiting < up->running)
		return;
	for (unsigned i = 0; i < up->n; i++) {
		struct piece *p = &up->pieces[i];
		if (!p->from_ring || p->cursor > b ||
		    !reserve_holds_up(&up->reserve, i, waited_ns, now))
			continue;
		up->smooth = false;
		if (!up->spool)
			return;
		ring_leave(up, p);
		left = true;
	}
	/* One may wait for news. */
	if (left)
		os_cond_broadcast(&up->news);
}

enum err ring_wait_slot(struct upload *up)
{
	unsigned slot = (unsigned)(up->published % up->slots);
	enum err e = OK;

	OS_LOCKED(&up->lock);
	if (!up->users[slot])
		return OK;
	/* Waking costs more than moving a batch: pieces get all there is, and the feeder goes on
	 * when there is room for several. */
	tell_pieces(up);
	slot = up->awaited = (unsigned)((up->published + up->hand_over - 1) % up->slots);
	uint64_t b = up->published + up->hand_over - 1 - up->slots; /* who sits there */
	while (up->users[slot] && !e) {
		int64_t waited;
		e = pieces_wait_tick(up, &waited);
		up->waited_ns += waited;
		if (!up->users[slot])
			break;
		let_ahead(up, b, waited);
		pieces_fail_stalled(up);
		os_mutex_unlock(&up->lock);
		pieces_start_wanted(up);
		e = pieces_check_again(up);
		os_mutex_lock(&up->lock);
	}
	up->awaited = UINT_MAX;
	return e;
}

void ring_encode(struct upload *up, size_t stripes)
{
	uint8_t *shares[COHORT_PIECES_MAX] = { NULL };

	os_mutex_lock(&up->lock);
	for (unsigned c = 0; c < up->width; c++)
		if (up->pieces[up->first[c]].from_ring)
			shares[up->first[c]] = slot_share(up, up->published, c);
	os_mutex_unlock(&up->lock);
	rs_encode_stripes(up->ring_rs, up->e, stripes, up->staging, shares);
}

void ring_publish(struct upload *up, size_t stripes, bool last)
{
	unsigned slot = (unsigned)(up->published % up->slots);
	int64_t now = os_clock_mono_ns();

	OS_LOCKED(&up->lock);
	if (stripes) {
		up->batch_len[slot] = stripes * up->e;
		up->users[slot] = 0;
		for (unsigned c = 0; c < up->width; c++)
			up->users[slot] += up->pieces[up->first[c]].from_ring;
		up->published++;
		up->spooled += stripes;
	}
	up->ended = last;
	reserve_fed(&up->reserve, up->spooled * up->e, now - up->begun_ns - up->waited_ns, last);
	if (last)
		os_cond_broadcast(&up->news);
	else if (up->published - up->told >= up->hand_over)
		tell_pieces(up);
}
