/*
 * Segment upload.  The calling thread feeds: it reads a batch of encrypted bytes, keeps it in the
 * spool if there is one, encodes it into a slot of the ring and publishes it (upload_ring.c).  One
 * thread per piece takes its share of each batch (upload_piece.c).  As many pieces run as must
 * succeed; the others start, from the spool, when those fail or lag (reserve.c, upload_pieces.c).
 */
#include "transfer/upload_internal.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"

enum { STALL_DEFAULT_MS = 120000 };

/* True when the pieces that are there cannot be enough any more. */
static bool hopeless(struct upload *up)
{
	OS_LOCKED(&up->lock);
	return !reserve_possible(&up->reserve);
}

/* ---- feeding ---- */

/* Fills staging with a batch; at the end of the segment the padding follows (erasure.md 2.1). */
static enum err read_batch(struct upload *up, size_t *ret_len, bool *ret_last)
{
	size_t cap = (size_t)up->k * up->slice, n = 0;
	uint32_t stripe = up->k * up->e;

	TRY_PLAIN(up->p->read(up->call, up->p->arg, up->staging, cap, &n));
	up->encrypted += n;
	if (up->encrypted > up->p->size_max)
		return call_fail(up->call, ERR_INTERNAL, "segment is larger than announced");
	*ret_last = n < cap;
	if (n < cap) {
		uint32_t pad = pad_length(up->encrypted, stripe);
		/* The ring's slices leave room for it: staging has a stripe and more to spare. */
		memset(up->staging + n, 0, pad - 4);
		put_be32(up->staging + n + pad - 4, pad);
		n += pad;
	}
	*ret_len = n;
	return OK;
}

/* Bytes that go to nodes for so many of a batch of each piece. */
static uint64_t paid_bytes(struct upload *up, size_t piece_bytes)
{
	unsigned from_ring = 0;

	OS_LOCKED(&up->lock);
	for (unsigned i = 0; i < up->n; i++)
		from_ring += up->pieces[i].from_ring;
	return (uint64_t)from_ring * piece_bytes;
}

/* Puts what staging holds (a little more than a batch at the very end) into the ring. */
static enum err push_staging(struct upload *up, size_t len, bool last)
{
	size_t stripe = (size_t)up->k * up->e, batch = (size_t)up->k * up->slice;

	if (up->spool)
		TRY_PLAIN(spool_append(up->call, up->spool, BYTES(up->staging, len)));
	while (len) {
		size_t n = MIN(batch, len);
		TRY_PLAIN(ring_wait_slot(up));
		TRY_PLAIN(pacer_wait(up->call, fanout_upload_pacer(up->fanout),
				     paid_bytes(up, n / up->k)));
		ring_encode(up, n / stripe);
		len -= n;
		ring_publish(up, n / stripe, last && !len);
		memmove(up->staging, up->staging + n, len);
	}
	return OK;
}

static enum err feed(struct upload *up)
{
	bool last = false;

	while (!last) {
		size_t len = 0;
		TRY_PLAIN(read_batch(up, &len, &last));
		TRY_PLAIN(push_staging(up, len, last));
		if (up->p->progress)
			up->p->progress(up->p->arg, up->encrypted);
		if (hopeless(up))
			TRY_PLAIN(pieces_renew(up));
		pieces_start_wanted(up);
		TRY_PLAIN(pieces_check_again(up));
	}
	return OK;
}

/* Waits until what is stored is enough, or cannot become it without new nodes. */
static enum err wait_stored(struct upload *up, bool *ret_done)
{
	bool done = false, possible = true;
	enum err e = OK;

	while (!e && !done && possible) {
		int64_t waited;
		pieces_start_wanted(up);
		TRY_PLAIN(pieces_check_again(up));
		OS_LOCKED(&up->lock);
		done = reserve_done(&up->reserve);
		possible = reserve_possible(&up->reserve);
		if (!done && possible && !up->changed)
			e = pieces_wait_tick(up, &waited);
		pieces_fail_stalled(up);
	}
	/* A piece that was given up must have let go before it can start over. */
	unsigned numbers[COHORT_PIECES_MAX];
	OS_LOCKED(&up->lock);
	while (!e && !done && !pieces_failed(up, numbers)) {
		int64_t waited;
		e = pieces_wait_tick(up, &waited);
		done = reserve_done(&up->reserve);
	}
	*ret_done = done;
	return e;
}

/* All is in the ring and the spool: waits until enough pieces are stored. */
static enum err settle(struct upload *up)
{
	bool done = false;

	for (;;) {
		TRY_PLAIN(wait_stored(up, &done));
		if (done)
			return OK;
		TRY_PLAIN(pieces_renew(up));
	}
}

/* ---- the whole ---- */

static enum err make_rs(struct upload *up)
{
	unsigned end = up->k;

	for (unsigned c = 0; c < up->width; c++)
		end = MAX(end, up->first[c] + 1);
	/* The rows of a code do not depend on how many follow. */
	if (rs_new(up->k, end, &up->ring_rs) || rs_new(up->k, up->n, &up->rs))
		return call_fail(up->call, ERR_NO_MEMORY, "out of memory");
	return OK;
}

static enum err prepare(struct upload *up)
{
	const struct segment_upload *p = up->p;
	struct scheme scheme = p->scheme;

	if (scheme_check(&scheme) || !p->size_max)
		return call_fail(up->call, ERR_PROTOCOL, "unusable redundancy scheme");
	up->n = scheme.total;
	up->k = scheme.required;
	up->e = scheme.share_size;
	up->deadline_ns = up->call->deadline_ns;
	up->stall_ns = p->stall_ns ? p->stall_ns : STALL_DEFAULT_MS * NS_PER_MS;
	up->begun_ns = os_clock_mono_ns();
	TRY_PLAIN(cohort_new(up->call, p->requirements, scheme.success, &up->cohort));
	reserve_init(&up->reserve, up->cohort, up->n, scheme_piece_size(&p->scheme, p->size_max),
		     up->begun_ns);
	for (unsigned i = 0; i < up->n; i++) {
		up->pieces[i] = (struct piece){ .up = up, .number = i, .joined = true };
		pieces_offer(up, i, p->limits[i]);
	}
	pieces_choose(up);
	TRY_PLAIN(ring_plan(up));
	TRY_PLAIN(make_rs(up));
	TRY_PLAIN(ed25519_signer_new(up->call, &p->piece_key, &up->signer));
	up->reserve.all_again = p->again != NULL;
	if (p->again)
		return OK;
	/* The spool has the erasure padding, too. */
	return spool_new(up->call, p->temp_dir, SPOOL_MEMORY_DEFAULT,
			 p->size_max + 2 * (uint64_t)up->k * up->e + 4, fanout_file(up->fanout),
			 &up->spool);
}

static enum err run(struct upload *up)
{
	TRY_PLAIN(prepare(up));
	TRY_PLAIN(pieces_start_first(up));
	TRY_PLAIN(feed(up));
	return settle(up);
}

static enum err collect(struct upload *up, struct arena *a, struct segment_upload_result *ret)
{
	struct segment_upload_result r = { .encrypted_size = up->encrypted, .smooth = up->smooth };

	r.pieces = arena_array(a, up->n, sizeof(*r.pieces));
	if (!r.pieces)
		return call_fail(up->call, ERR_NO_MEMORY, "out of memory");
	for (unsigned i = 0; i < up->n; i++) {
		struct piece *p = &up->pieces[i];
		struct buf wire AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);
		if (up->reserve.pieces[i].state != PIECE_STORED)
			continue;
		struct segment_piece *to = &r.pieces[r.count++];
		to->number = i;
		to->node = p->limit.ids.node;
		TRY_PLAIN(proto_encode(up->call, &p->hash->base, &wire));
		TRY_PLAIN(proto_decode(up->call, a, &orders__piece_hash__descriptor,
				       buf_bytes(&wire), &to->hash));
	}
	*ret = r;
	return OK;
}

static void upload_free(struct upload *up)
{
	for (unsigned i = 0; i < up->n; i++) {
		if (up->pieces[i].cancel_made)
			os_cancel_fini(&up->pieces[i].cancel);
		arena_free(&up->pieces[i].arena);
	}
	rs_free(up->ring_rs);
	rs_free(up->rs);
	cohort_free(up->cohort);
	ed25519_signer_free(up->signer);
	if (up->spool)
		fanout_file_put(up->fanout, spool_take_file(up->spool));
	spool_free(up->spool);
	fanout_buffer_put(up->fanout, up->ring, up->memory_size);
	os_mutex_fini(&up->lock);
	os_cond_fini(&up->news);
	os_cond_fini(&up->space);
	free(up);
}

DEFINE_AUTO_PTR(struct upload, upload_auto, upload_free)

enum err segment_upload(struct call *call, struct fanout *f, const struct segment_upload *params,
			struct arena *a, struct segment_upload_result *ret)
{
	struct upload *up AUTO(upload_auto) = calloc(1, sizeof(*up));

	if (!up)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	up->p = params;
	up->call = call;
	up->fanout = f;
	enum err e = run(up);
	/* The long tail, or on failure everything, ends here; no thread outlives this call. */
	pieces_stop(up);
	TRY_PLAIN(e);
	return collect(up, a, ret);
}
