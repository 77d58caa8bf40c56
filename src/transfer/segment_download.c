/*
 * Segment download.  Each piece has a thread that fills its window of slices; the reader's thread
 * decodes batch after batch in order.  Slices of a batch are free again when the reader has moved
 * on; a piece that is late for a batch skips it.
 */
#include "transfer/segment_download.h"

#include <assert.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/secret.h"
#include "erasure/rs.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/random.h"
#include "transfer/piece_download.h"

enum {
	SLICE_MAX = 64 << 10,
	SLOTS_MIN = 3,
	SLOTS_MAX = 8,
	TICK_MS = 20,
	HEDGE_FIRST_MS =
		1000, /* a node that sends nothing for so long is not counted on: at first, */
	HEDGE_NEXT_MS = 250,  /* and once it has sent something */
	HEDGE_LATE_TIMES = 4, /* a batch that takes so many times the usual: one more node */
	HEDGE_LAG_MS = 40,    /* nearly all are ahead, and wait at least so long for the last */
	STALL_DEFAULT_MS = 30000,
	VERIFY_WAIT_MS = 3000, /* for the pieces beyond k + 1 */
	REASONS_MAX = 3,
	EXTRA_DIVISOR = 10, /* k / 10 pieces, at least one, may lag before others are asked */
};

enum piece_state {
	PIECE_BLANK, /* the satellite offers no node */
	PIECE_UNUSED,
	PIECE_RUNNING,
	PIECE_DONE,
	PIECE_FAILED,
	PIECE_LIAR,
};

struct piece {
	struct segment_download *d;
	unsigned number;
	enum piece_state state;
	bool cancel_made;
	uint64_t first;		  /* batch its stream begins with */
	uint64_t complete;	  /* batches before this one are in its window */
	uint8_t *window;	  /* slots * slice */
	_Atomic int64_t moved_ns; /* when it last received something, or was started */
	_Atomic bool moved;
	struct addressed_limit limit;
	struct os_cancel cancel;
	char reason[160];
};

struct segment_download {
	struct fanout *fanout;
	struct segment_download_params p;
	struct os_cancel *cancel; /* of the opener's call */
	int64_t deadline_ns, opened_ns;
	struct rs *rs;
	struct rs_decoder *decoder;
	unsigned decoder_numbers[RS_TOTAL_MAX];
	struct ed25519_signer *signer;
	unsigned k, n, e;
	uint64_t stripe_first, stripe_end; /* of the segment */
	size_t slice;			   /* bytes of a piece in a full batch */
	unsigned slots;
	uint64_t batches;
	uint8_t *out;		      /* k * slice: a decoded batch, stripe after stripe */
	uint8_t *decoded;	      /* k * slice: data shares that had to be computed */
	uint64_t delivered;	      /* bytes of the wanted range */
	unsigned order[RS_TOTAL_MAX]; /* piece numbers, the ones to ask first in front */
	unsigned candidates;

	struct os_mutex lock; /* guards all below and the pieces' states */
	struct os_cond room;  /* for pieces: the reader is at room_base, or stop */
	uint64_t room_base;
	struct os_cond news; /* for the reader */
	uint64_t base;	     /* batch the reader is at */
	unsigned next_candidate;
	unsigned running;
	bool stop;
	int64_t moved_ns; /* when anything arrived */
	struct piece pieces[RS_TOTAL_MAX];
};

/* So many more than the k that are needed are asked when as many lag. */
static unsigned extra(unsigned k)
{
	return MAX(k / EXTRA_DIVISOR, 1U);
}

/* ---- one piece: its thread ---- */

static uint8_t *slot(const struct segment_download *d, const struct piece *p, uint64_t batch)
{
	return p->window + (size_t)(batch % d->slots) * d->slice;
}

static size_t batch_len(const struct segment_download *d, uint64_t batch)
{
	uint64_t stripes = d->stripe_end - d->stripe_first, per = d->slice / d->e;

	return (size_t)MIN(per, stripes - batch * per) * d->e;
}

/* Waits until batch b may be written; *ret_wanted is false when the reader is past it.  Who had to
 * wait goes on when a part of the window is free, not for each batch. */
static enum err wait_room(struct segment_download *d, struct piece *p, uint64_t b, bool *ret_wanted)
{
	OS_LOCKED(&d->lock);
	uint64_t go_on = b < d->base + d->slots ? d->base : b + div_up(d->slots, 4) - d->slots;

	while (!d->stop && !os_cancel_is_set(&p->cancel) && d->base < go_on) {
		d->room_base = MIN(d->room_base, go_on);
		os_cond_wait_forever(&d->room, &d->lock);
	}
	if (d->stop || os_cancel_is_set(&p->cancel))
		return ERR_CANCELED;
	*ret_wanted = b >= d->base;
	return OK;
}

/* Whether the piece has batch b.  Lock held. */
static bool has_batch(const struct piece *p, uint64_t b)
{
	return (p->state == PIECE_RUNNING || p->state == PIECE_DONE || p->state == PIECE_FAILED) &&
	       p->window && p->first <= b && p->complete > b;
}

/* Whether the piece has batch b, or may still get it.  Lock held. */
static bool may_get_batch(const struct piece *p, uint64_t b)
{
	return has_batch(p, b) || (p->state == PIECE_RUNNING && p->first <= b);
}

static unsigned count_pieces(const struct segment_download *d,
			     bool (*test)(const struct piece *, uint64_t))
{
	unsigned count = 0;

	for (unsigned i = 0; i < d->n; i++)
		count += test(&d->pieces[i], d->base);
	return count;
}

/* The reader is woken when it can go on with what is there. */
static void batch_complete(struct segment_download *d, struct piece *p, uint64_t b)
{
	OS_LOCKED(&d->lock);
	p->complete = b + 1;
	d->moved_ns = os_clock_mono_ns();
	if (d->p.verify || (b == d->base && count_pieces(d, has_batch) >= d->k))
		os_cond_signal(&d->news);
}

static enum err receive(struct call *call, struct piece *p, struct piece_download *in,
			struct bytes *ret)
{
	TRY_PLAIN(piece_download_read(call, in, ret));
	p->moved_ns = os_clock_mono_ns();
	p->moved = true;
	return OK;
}

static enum err piece_receive(struct call *call, struct segment_download *d, struct piece *p,
			      struct piece_download *in)
{
	struct bytes data = BYTES_NONE;

	for (uint64_t b = p->first; b < d->batches; b++) {
		size_t want = batch_len(d, b), have = 0;
		bool wanted;
		TRY_PLAIN(wait_room(d, p, b, &wanted));
		while (have < want) {
			if (!data.len)
				TRY_PLAIN(receive(call, p, in, &data));
			size_t n = MIN(data.len, want - have);
			if (wanted)
				memcpy(slot(d, p, b) + have, data.data, n);
			have += n;
			data = bytes_from(data, n);
		}
		batch_complete(d, p, b);
	}
	return OK;
}

DEFINE_AUTO_PTR(struct piece_download, piece_download_auto, piece_download_close)

static enum err piece_fetch(struct call *call, struct segment_download *d, struct piece *p)
{
	struct piece_download *in AUTO(piece_download_auto) = NULL;
	uint64_t stripe = d->stripe_first + p->first * (d->slice / d->e);

	TRY_PLAIN(piece_download_open(call, d->fanout, &p->limit, d->signer, stripe * d->e,
				      (d->stripe_end - stripe) * d->e, d->p.stall_ns, &in));
	return piece_receive(call, d, p, in);
}

static void piece_main(void *arg)
{
	struct piece *p = arg;
	struct segment_download *d = p->d;
	struct call call AUTO_CALL = CALL_INIT;

	call_init(&call);
	call.deadline_ns = d->deadline_ns;
	call.cancel = &p->cancel;
	enum err e = piece_fetch(&call, d, p);
	fanout_unlease(d->fanout, 1);
	OS_LOCKED(&d->lock);
	if (p->state == PIECE_RUNNING) {
		p->state = e ? PIECE_FAILED : PIECE_DONE;
		if (e)
			snprintf(p->reason, sizeof(p->reason), "%s", call_error(&call, e));
	}
	d->running--;
	os_cond_signal(&d->news);
}

/* ---- starting pieces: the reader's thread ---- */

static enum err launch(struct call *call, struct segment_download *d, struct piece *p)
{
	uint8_t *window = malloc((size_t)d->slots * d->slice);

	if (!window)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	os_mutex_lock(&d->lock);
	p->window = window; /* other pieces look whether it has a batch */
	os_mutex_unlock(&d->lock);
	TRY_PLAIN(os_cancel_init(call, &p->cancel, d->cancel));
	p->cancel_made = true;
	return fanout_start(call, d->fanout, piece_main, p);
}

/* Asks one more node under a lease, which is given back when there is none left.  Lock not held. */
static void start_next(struct call *call, struct segment_download *d)
{
	os_mutex_lock(&d->lock);
	if (d->next_candidate == d->candidates) {
		os_mutex_unlock(&d->lock);
		fanout_unlease(d->fanout, 1);
		return;
	}
	struct piece *p = &d->pieces[d->order[d->next_candidate++]];
	p->state = PIECE_RUNNING;
	p->first = p->complete = d->base;
	p->moved_ns = os_clock_mono_ns();
	d->running++;
	os_mutex_unlock(&d->lock);
	enum err e = launch(call, d, p);
	if (e) {
		fanout_unlease(d->fanout, 1);
		OS_LOCKED(&d->lock);
		p->state = PIECE_FAILED;
		snprintf(p->reason, sizeof(p->reason), "%s", call_error(call, e));
		d->running--;
		call_clear_error(call);
	}
}

/* ---- waiting for a batch ---- */

static enum err fail_segment(struct call *call, struct segment_download *d, const char *why)
{
	struct buf text AUTO_BUF = BUF_INIT(CALL_ERROR_MAX);
	unsigned shown = 0, ok = 0;

	/* Pieces that fail because all was cancelled prove nothing against nodes. */
	TRY_PLAIN(os_call_check(call));
	OS_LOCKED(&d->lock);
	for (unsigned i = 0; i < d->n; i++) {
		const struct piece *p = &d->pieces[i];
		char id[NODE_ID_TEXT_MAX];
		ok += may_get_batch(p, d->base);
		if ((p->state != PIECE_FAILED && p->state != PIECE_LIAR) || shown == REASONS_MAX)
			continue;
		node_id_text(&p->limit.ids.node, id);
		buf_printf(&text, "%snode %.12s at %.64s: %.90s", shown ? "; " : "", id,
			   p->limit.address,
			   p->state == PIECE_LIAR ? "sent wrong data" : p->reason);
		shown++;
	}
	return call_fail(call, ERR_UNAVAILABLE, "%s: %u of %u nodes are left, %u are needed%s%s%s",
			 why, ok, d->candidates, d->k, shown ? " (" : "", buf_cstr(&text),
			 shown ? ")" : "");
}

/* Waits for a tick or for news.  Lock held, also on return. */
static enum err wait_tick(struct call *call, struct segment_download *d)
{
	struct call tick;

	call_init(&tick);
	os_call_limit(&tick, TICK_MS * NS_PER_MS);
	enum err e = os_cond_wait(&tick, &d->news, &d->lock);
	(void)e; /* a tick is no failure */
	call_fini(&tick);
	return os_call_check(call);
}

/* How many pieces the batch is waited for with: all in verify mode, but not for ever. */
static unsigned pieces_wanted(const struct segment_download *d, int64_t waited)
{
	if (!d->p.verify)
		return d->k;
	unsigned all = count_pieces(d, may_get_batch);
	return waited < VERIFY_WAIT_MS * NS_PER_MS ? MAX(all, d->k + 1) : d->k + 1;
}

/* The reader's wait for the batch at base. */
struct wait {
	int64_t start_ns;
	int64_t hedged_ns; /* when a node was asked for it last */
	int64_t ahead_ns;  /* since when nearly all are ahead; 0 = they are not */
};

/* What the reader shall do about the batch at base. */
enum next { NEXT_READY, NEXT_WAIT, NEXT_START, NEXT_FAIL_NODES, NEXT_FAIL_STALL };

/* Pieces that have the batch or are coming along.  Lock held. */
static unsigned count_lively(const struct segment_download *d, int64_t now)
{
	unsigned count = 0;

	for (unsigned i = 0; i < d->n; i++) {
		const struct piece *p = &d->pieces[i];
		int64_t patience = (p->moved ? HEDGE_NEXT_MS : HEDGE_FIRST_MS) * NS_PER_MS;
		count += has_batch(p, d->base) ||
			 (may_get_batch(p, d->base) && now - p->moved_ns < patience);
	}
	return count;
}

/* Whether the piece has done all it could for now: its window is full, or it has ended. */
static bool is_ahead(const struct piece *p, uint64_t b)
{
	const struct segment_download *d = p->d;

	return has_batch(p, b) && p->complete >= MIN(b + d->slots, d->batches);
}

/* Whether all but a few have long waited for these few.  Lock held. */
static bool lagging(const struct segment_download *d, const struct wait *w, int64_t now)
{
	if (!w->ahead_ns || count_pieces(d, may_get_batch) >= d->k + extra(d->k))
		return false;
	return now - w->ahead_ns > MAX(HEDGE_LAG_MS * NS_PER_MS, w->ahead_ns - w->start_ns);
}

/* Whether one more node shall be asked for the batch at base.  Lock held. */
static bool hedge(const struct segment_download *d, const struct wait *w, int64_t now)
{
	if (d->p.verify || count_pieces(d, may_get_batch) < d->k || count_lively(d, now) < d->k ||
	    lagging(d, w, now))
		return true;
	int64_t usual = d->base ? (w->start_ns - d->opened_ns) / (int64_t)d->base
				: HEDGE_FIRST_MS * NS_PER_MS;
	return d->base &&
	       now - w->hedged_ns > MAX(HEDGE_LATE_TIMES * usual, HEDGE_FIRST_MS * NS_PER_MS);
}

static enum next decide(const struct segment_download *d, struct wait *w, bool may_start)
{
	int64_t now = os_clock_mono_ns();
	unsigned have = count_pieces(d, has_batch), may = count_pieces(d, may_get_batch);

	if (have >= pieces_wanted(d, now - w->start_ns))
		return NEXT_READY;
	if (!w->ahead_ns && count_pieces(d, is_ahead) >= d->k - MIN(extra(d->k), d->k - 1))
		w->ahead_ns = now;
	if (may_start && d->next_candidate < d->candidates && hedge(d, w, now))
		return NEXT_START;
	if (may < d->k + d->p.verify)
		return NEXT_FAIL_NODES;
	if (now - MAX(d->moved_ns, w->start_ns) > d->p.stall_ns)
		return NEXT_FAIL_STALL;
	return NEXT_WAIT;
}

static enum err wait_batch(struct call *call, struct segment_download *d)
{
	int64_t start = os_clock_mono_ns();
	struct wait w = { .start_ns = start, .hedged_ns = start };

	for (;;) {
		os_mutex_lock(&d->lock);
		enum next next = decide(d, &w, true);
		/* What cannot do without one more node asks it whatever the bound says. */
		if (next == NEXT_START &&
		    !fanout_lease_one(d->fanout,
				      count_pieces(d, may_get_batch) < d->k + d->p.verify))
			next = decide(d, &w, false);
		enum err e = next == NEXT_WAIT ? wait_tick(call, d) : OK;
		os_mutex_unlock(&d->lock);
		TRY_PLAIN(e);
		switch (next) {
		case NEXT_READY:
			return OK;
		case NEXT_WAIT:
			break;
		case NEXT_START:
			w.hedged_ns = os_clock_mono_ns();
			w.ahead_ns = 0;
			start_next(call, d);
			break;
		case NEXT_FAIL_NODES:
			return fail_segment(call, d, "not enough nodes");
		case NEXT_FAIL_STALL:
			return fail_segment(call, d, "nodes send nothing");
		}
	}
}

/* ---- decoding ---- */

/* Piece numbers that have the batch, data shares first; returns the count. */
static unsigned choose(struct segment_download *d, unsigned numbers[RS_TOTAL_MAX], unsigned max)
{
	unsigned count = 0;

	OS_LOCKED(&d->lock);
	for (unsigned i = 0; i < d->n && count < max; i++)
		if (has_batch(&d->pieces[i], d->base))
			numbers[count++] = i;
	return count;
}

static enum err use_decoder(struct call *call, struct segment_download *d, const unsigned *numbers)
{
	if (d->decoder && memcmp(d->decoder_numbers, numbers, d->k * sizeof(*numbers)) == 0)
		return OK;
	rs_decoder_free(d->decoder);
	d->decoder = NULL;
	if (rs_decoder_new(d->rs, numbers, &d->decoder))
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	memcpy(d->decoder_numbers, numbers, d->k * sizeof(*numbers));
	return OK;
}

/* out: stripe after stripe, from k shares. */
static enum err decode(struct call *call, struct segment_download *d, const unsigned numbers[],
		       uint8_t *const shares[], size_t len)
{
	uint8_t *out[RS_TOTAL_MAX] = { NULL };
	const uint8_t *data[RS_TOTAL_MAX] = { NULL };
	bool compute = false;

	for (unsigned j = 0; j < d->k; j++)
		if (numbers[j] < d->k)
			data[numbers[j]] = shares[j];
	for (unsigned i = 0; i < d->k; i++) {
		if (data[i])
			continue;
		data[i] = out[i] = d->decoded + (size_t)i * d->slice;
		compute = true;
	}
	if (compute) {
		TRY_PLAIN(use_decoder(call, d, numbers));
		rs_decode(d->decoder, len, (const uint8_t *const *)shares, out);
	}
	for (size_t s = 0; s < len / d->e; s++)
		for (unsigned i = 0; i < d->k; i++)
			memcpy(d->out + (s * d->k + i) * d->e, data[i] + s * d->e, d->e);
	return OK;
}

static enum err decode_first_k(struct call *call, struct segment_download *d, size_t len)
{
	unsigned numbers[RS_TOTAL_MAX];
	uint8_t *shares[RS_TOTAL_MAX];
	unsigned count = choose(d, numbers, d->k);

	if (count < d->k)
		return call_fail(call, ERR_INTERNAL, "pieces of a batch went missing");
	for (unsigned j = 0; j < count; j++)
		shares[j] = slot(d, &d->pieces[numbers[j]], d->base);
	return decode(call, d, numbers, shares, len);
}

/* Corrects the shares of all pieces that have the batch, and remembers who lied. */
static enum err decode_verified(struct call *call, struct segment_download *d, size_t len)
{
	unsigned numbers[RS_TOTAL_MAX] = { 0 };
	uint8_t *shares[RS_TOTAL_MAX];
	bool bad[RS_TOTAL_MAX] = { false };
	unsigned count = choose(d, numbers, d->n);

	if (count < d->k)
		return call_fail(call, ERR_INTERNAL, "pieces of a batch went missing");
	for (unsigned j = 0; j < count; j++)
		shares[j] = slot(d, &d->pieces[numbers[j]], d->base);
	if (rs_correct(d->rs, numbers, count, len, shares, bad))
		return call_fail(
			call, ERR_DATA_LOSS,
			"the %u pieces at hand contradict each other too much to tell which "
			"are wrong",
			count);
	TRY_PLAIN(decode(call, d, numbers, shares, len));
	OS_LOCKED(&d->lock);
	for (unsigned j = 0; j < count; j++) {
		struct piece *p = &d->pieces[numbers[j]];
		if (!bad[j])
			continue;
		p->state = PIECE_LIAR;
		os_cancel_set(&p->cancel);
		os_cond_broadcast(&d->room);
	}
	return OK;
}

/* The part of the decoded batch that was asked for. */
static struct bytes wanted_part(const struct segment_download *d, size_t len)
{
	uint64_t stripe = (uint64_t)d->k * d->e, per = d->slice / d->e;
	uint64_t at = (d->stripe_first + d->base * per) * stripe; /* in the segment */
	uint64_t begin = MAX(at, d->p.offset);
	uint64_t end = MIN(at + len / d->e * stripe, d->p.offset + d->p.length);

	return BYTES(d->out + (begin - at), (size_t)(end - begin));
}

static uint64_t pieces_under_way(struct segment_download *d)
{
	OS_LOCKED(&d->lock);
	return count_pieces(d, may_get_batch);
}

enum err segment_download_read(struct call *call, struct segment_download *d, struct bytes *ret)
{
	if (d->delivered == d->p.length)
		return ERR_EOF;
	TRY_PLAIN(wait_batch(call, d));
	size_t len = batch_len(d, d->base);
	TRY_PLAIN(pacer_wait(call, fanout_download_pacer(d->fanout), len * pieces_under_way(d)));
	TRY_PLAIN(d->p.verify ? decode_verified(call, d, len) : decode_first_k(call, d, len));
	*ret = wanted_part(d, len);
	d->delivered += ret->len;
	OS_LOCKED(&d->lock);
	if (++d->base < d->room_base)
		return OK;
	d->room_base = UINT64_MAX;
	os_cond_broadcast(&d->room);
	return OK;
}

/* ---- the whole ---- */

static bool avoided(const struct segment_download *d, const struct node_id *id)
{
	for (size_t i = 0; i < d->p.avoid_count; i++)
		if (node_id_equal(&d->p.avoid[i], id))
			return true;
	return false;
}

/* Candidates in random order, so that load spreads; those to avoid last. */
static enum err read_limits(struct call *call, struct segment_download *d)
{
	unsigned good = 0, last = d->n;

	for (unsigned i = 0; i < d->n; i++) {
		struct piece *p = &d->pieces[i];
		*p = (struct piece){ .d = d, .number = i };
		if (!d->p.limits[i])
			continue;
		TRY_PLAIN(addressed_limit_read(call, d->p.limits[i], &p->limit));
		if (addressed_limit_blank(&p->limit))
			continue;
		p->state = PIECE_UNUSED;
		if (avoided(d, &p->limit.ids.node)) {
			d->order[--last] = i;
			continue;
		}
		unsigned at = (unsigned)os_random_below(good + 1);
		d->order[good++] = d->order[at];
		d->order[at] = i;
	}
	memmove(d->order + good, d->order + last, (d->n - last) * sizeof(*d->order));
	d->candidates = good + (d->n - last);
	if (d->candidates < d->k)
		return call_fail(
			call, ERR_UNAVAILABLE,
			"the satellite knows %u reachable nodes with pieces of this segment, "
			"%u are needed; try again later",
			d->candidates, d->k);
	return OK;
}

static enum err plan(struct call *call, struct segment_download *d)
{
	size_t memory = d->p.memory_max ? d->p.memory_max : SEGMENT_DOWNLOAD_MEMORY_DEFAULT;
	uint64_t stripe = (uint64_t)d->k * d->e;

	assert(d->k && d->n && d->e); /* scheme_check */
	if (!d->p.length || d->p.offset > d->p.encrypted_size ||
	    d->p.length > d->p.encrypted_size - d->p.offset)
		return call_fail(call, ERR_OUT_OF_RANGE, "range outside of the segment");
	d->stripe_first = d->p.offset / stripe;
	d->stripe_end = div_up(d->p.offset + d->p.length, stripe);
	uint64_t stripes = d->stripe_end - d->stripe_first;
	unsigned pieces = d->p.verify ? d->n : d->k + extra(d->k);
	size_t slice = MIN(memory / pieces / SLOTS_MIN, (size_t)SLICE_MAX);
	slice = (size_t)MIN((uint64_t)slice, pacer_step(fanout_download_pacer(d->fanout)) / pieces);
	uint64_t per = MIN(MAX(slice / d->e, (size_t)1), stripes);
	d->slice = (size_t)per * d->e;
	if (d->slice > memory)
		return call_fail(call, ERR_PROTOCOL, "the segment's erasure shares are too large");
	d->batches = div_up(stripes, per);
	size_t slots = MIN(memory / pieces / d->slice, (size_t)SLOTS_MAX);
	d->slots = (unsigned)MIN((uint64_t)MAX(slots, (size_t)SLOTS_MIN), d->batches);
	d->out = malloc(d->k * d->slice);
	d->decoded = malloc(d->k * d->slice);
	if (!d->out || !d->decoded)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return OK;
}

DEFINE_AUTO_PTR(struct segment_download, segment_download_auto, segment_download_close)

static enum err start_first(struct call *call, struct segment_download *d)
{
	unsigned need = d->k + d->p.verify, count = 0;
	unsigned want = d->p.verify ? d->candidates : d->k;

	if (d->p.ahead && !fanout_has_leases(d->fanout, need))
		return call_fail(call, ERR_BUSY, "all connections are in use");
	TRY_PLAIN(fanout_lease(call, d->fanout, need, want, true, &count));
	for (unsigned i = 0; i < count; i++)
		start_next(call, d);
	return OK;
}

enum err segment_download_open(struct call *call, struct fanout *f,
			       const struct segment_download_params *params,
			       struct segment_download **ret)
{
	struct segment_download *d AUTO(segment_download_auto) = calloc(1, sizeof(*d));
	struct scheme scheme = params->scheme;

	if (!d)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (scheme_check(&scheme))
		return call_fail(call, ERR_PROTOCOL, "unusable redundancy scheme");
	d->fanout = f;
	d->p = *params;
	if (!d->p.stall_ns)
		d->p.stall_ns = STALL_DEFAULT_MS * NS_PER_MS;
	d->cancel = call->cancel;
	d->deadline_ns = call->deadline_ns;
	d->k = scheme.required;
	d->n = scheme.total;
	d->e = scheme.share_size;
	d->room_base = UINT64_MAX;
	d->opened_ns = d->moved_ns = os_clock_mono_ns();
	TRY_PLAIN(read_limits(call, d));
	TRY_PLAIN(plan(call, d));
	if (rs_new(d->k, d->n, &d->rs))
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(ed25519_signer_new(call, &d->p.piece_key, &d->signer));
	TRY_PLAIN(start_first(call, d));
	*ret = take(&d);
	return OK;
}

size_t segment_download_liars(struct segment_download *d, struct node_id *ret, size_t max)
{
	size_t count = 0;

	OS_LOCKED(&d->lock);
	for (unsigned i = 0; i < d->n && count < max; i++)
		if (d->pieces[i].state == PIECE_LIAR)
			ret[count++] = d->pieces[i].limit.ids.node;
	return count;
}

void segment_download_close(struct segment_download *d)
{
	if (!d)
		return;
	os_mutex_lock(&d->lock);
	d->stop = true;
	for (unsigned i = 0; i < d->n; i++)
		if (d->pieces[i].cancel_made)
			os_cancel_set(&d->pieces[i].cancel);
	os_cond_broadcast(&d->room);
	while (d->running)
		os_cond_wait_forever(&d->news, &d->lock);
	os_mutex_unlock(&d->lock);
	for (unsigned i = 0; i < d->n; i++) {
		if (d->pieces[i].cancel_made)
			os_cancel_fini(&d->pieces[i].cancel);
		free(d->pieces[i].window);
	}
	rs_free(d->rs);
	rs_decoder_free(d->decoder);
	ed25519_signer_free(d->signer);
	secret_wipe(&d->p.piece_key, sizeof(d->p.piece_key));
	free(d->out);
	free(d->decoded);
	os_mutex_fini(&d->lock);
	os_cond_fini(&d->room);
	os_cond_fini(&d->news);
	free(d);
}
