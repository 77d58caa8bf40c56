/*
 * Segment upload.  The calling thread feeds: it reads a batch of encrypted bytes, keeps it in the
 * spool, encodes it into a slot of the ring and publishes it.  One thread per piece takes its share
 * of each batch out of the ring.  A slot is free again when all pieces that still run have used it;
 * pieces that keep the feeder waiting although enough others are ahead are dropped (the long tail).
 * Pieces that start over at a new node read the spool instead of the ring.
 */
#include "transfer/segment_upload.h"

#include <limits.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "erasure/rs.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/lock.h"
#include "transfer/cohort.h"
#include "transfer/piece_upload.h"
#include "transfer/spool.h"

enum {
	SLOTS_MIN = 3,
	SLOTS_MAX = 32,
	HAND_OVER_MAX = 3, /* batches that change hands with one waking, while there are enough */
	SLICE_MAX = PIECE_CHUNK_MAX,
	TICK_MS = 100,	       /* how soon cancellation and stalls are noticed */
	DROP_SOON_MS = 500,    /* waited for in all, while pieces enough and to spare are ahead */
	DROP_LATE_MS = 3000,   /* the same when the last spare ones would go */
	TAIL_STALL_MS = 10000, /* no step for so long although other pieces move */
	STALL_DEFAULT_MS = 120000,
	SPOOL_READ_BYTES = 128 << 10,
	REASONS_MAX = 3,
	ROUND_PAUSE_MS = 100, /* before the second round, and twice as long before each later one */
	ROUND_PAUSE_MS_MAX = 3000,
};

enum piece_state {
	PIECE_OFFERED, /* has a limit, waits for a connection */
	PIECE_RUNNING,
	PIECE_STORED,
	PIECE_FAILED,
	PIECE_DROPPED, /* cancelled by us; its slot in the answer stays empty */
};

struct upload;

struct piece {
	struct upload *up;
	unsigned number;
	enum piece_state state;
	bool from_ring;
	bool joined;  /* no thread runs for it */
	bool waiting; /* for the feeder, so it is not the node that stalls */
	bool cancel_made;
	uint64_t cursor;			    /* next batch it takes from the ring */
	int64_t moved_ns;			    /* when it last made a step */
	int64_t blamed_ns;			    /* how long the feeder waited for it */
	const Metainfo__AddressedOrderLimit *offer; /* the limit as it came */
	struct addressed_limit limit;
	struct os_cancel cancel;
	struct arena arena;
	Orders__PieceHash *hash;
	char reason[160];
};

struct upload {
	const struct segment_upload *p;
	struct call *call; /* of the feeder */
	struct fanout *fanout;
	struct rs *rs;
	struct cohort *cohort;
	struct ed25519_signer *signer;
	struct spool *spool;
	int64_t stall_ns, deadline_ns;
	unsigned n, k, e;
	size_t slice; /* bytes of a piece in a full batch */
	unsigned slots, hand_over;
	uint8_t *ring;	    /* slots * n * slice */
	uint8_t *staging;   /* behind it, k * slice and some: a batch as it came, by stripes */
	size_t memory_size; /* of both */

	struct os_mutex lock;	     /* guards all below and the pieces' states */
	struct os_cond news;	     /* for pieces: batches, the end, cancellation */
	struct os_cond space;	     /* for the feeder: a slot or a piece changed */
	uint64_t published;	     /* batches */
	uint64_t told;		     /* of them, when pieces were woken last */
	unsigned awaited;	     /* slot that the feeder waits for */
	uint64_t spooled;	     /* stripes */
	bool ended;		     /* published and spooled grow no more */
	bool stop;		     /* pieces give up */
	size_t batch_len[SLOTS_MAX]; /* slice length of the batch in a slot */
	unsigned users[SLOTS_MAX];   /* pieces that still need the slot */
	unsigned running;
	uint64_t encrypted;
	unsigned rounds;
	struct piece pieces[COHORT_PIECES_MAX];
};

/* ---- one piece: its thread ---- */

static uint8_t *slot_share(struct upload *up, uint64_t batch, unsigned number)
{
	return up->ring + ((size_t)(batch % up->slots) * up->n + number) * up->slice;
}

/* A piece that ends early needs no more slots.  Lock held. */
static void leave_ring(struct upload *up, struct piece *p)
{
	if (!p->from_ring)
		return;
	for (uint64_t b = p->cursor; b < up->published; b++)
		up->users[b % up->slots]--;
	p->from_ring = false;
}

static bool given_up(const struct upload *up, const struct piece *p)
{
	return up->stop || os_cancel_is_set(&p->cancel);
}

/* Lock held. */
static void wait_news(struct upload *up, struct piece *p)
{
	p->waiting = true;
	os_cond_wait_forever(&up->news, &up->lock);
	p->waiting = false;
	p->moved_ns = os_clock_mono_ns();
}

/* Waits for batches behind the cursor; takes as many as fit into one message. */
static enum err next_slices(struct upload *up, struct piece *p, struct bytes slices[],
			    size_t *ret_count, bool *ret_last, bool *ret_flush)
{
	size_t count = 0, len = 0;
	uint64_t b = p->cursor;

	OS_LOCKED(&up->lock);
	while (!given_up(up, p) && b == up->published && !up->ended)
		wait_news(up, p);
	if (given_up(up, p))
		return ERR_CANCELED;
	while (b < up->published && count < PIECE_SLICES_MAX) {
		size_t n = up->batch_len[b % up->slots];
		if (count && len + n > PIECE_CHUNK_MAX)
			break;
		slices[count++] = BYTES(slot_share(up, b, p->number), n);
		len += n;
		b++;
	}
	*ret_count = count;
	*ret_flush = b == up->published;
	*ret_last = up->ended && b == up->published;
	return OK;
}

static void release_slices(struct upload *up, struct piece *p, size_t count)
{
	bool freed = false;

	OS_LOCKED(&up->lock);
	p->moved_ns = os_clock_mono_ns();
	for (size_t i = 0; i < count && p->from_ring; i++) {
		unsigned slot = (unsigned)(p->cursor++ % up->slots);
		freed |= --up->users[slot] == 0 && slot == up->awaited;
	}
	if (freed)
		os_cond_signal(&up->space);
}

static enum err send_from_ring(struct call *call, struct upload *up, struct piece *p,
			       struct piece_upload *u)
{
	struct bytes slices[PIECE_SLICES_MAX];
	size_t count;
	bool last, flush;

	do {
		TRY_PLAIN(next_slices(up, p, slices, &count, &last, &flush));
		TRY_PLAIN(piece_upload_write(call, u, slices, count, last, flush));
		release_slices(up, p, count);
	} while (!last);
	return OK;
}

/* Waits until the spool holds stripes behind `at` or has all of them. */
static enum err spooled_stripes(struct upload *up, struct piece *p, uint64_t at, uint64_t *ret_end,
				bool *ret_ended)
{
	OS_LOCKED(&up->lock);
	p->moved_ns = os_clock_mono_ns();
	while (!given_up(up, p) && at == up->spooled && !up->ended)
		wait_news(up, p);
	if (given_up(up, p))
		return ERR_CANCELED;
	*ret_end = up->spooled;
	*ret_ended = up->ended;
	return OK;
}

/* The share of each stripe of `in`, appended at out. */
static void encode_one(struct upload *up, unsigned number, uint8_t *in, size_t stripes,
		       uint8_t *out)
{
	uint8_t *shares[COHORT_PIECES_MAX] = { NULL };

	for (size_t s = 0; s < stripes; s++) {
		uint8_t *stripe = in + s * up->k * up->e;
		if (number < up->k) {
			memcpy(out + s * up->e, stripe + (size_t)number * up->e, up->e);
			continue;
		}
		for (unsigned i = 0; i < up->k; i++)
			shares[i] = stripe + (size_t)i * up->e;
		shares[number] = out + s * up->e;
		rs_encode(up->rs, up->e, shares);
	}
}

/* Our own limit is not the node's fault. */
static enum err wait_turn(struct call *call, struct upload *up, struct piece *p, size_t n)
{
	struct pacer *pacer = fanout_upload_pacer(up->fanout);

	if (!pacer->rate)
		return OK;
	os_mutex_lock(&up->lock);
	p->waiting = true;
	os_mutex_unlock(&up->lock);
	enum err e = pacer_wait(call, pacer, n);
	OS_LOCKED(&up->lock);
	p->waiting = false;
	p->moved_ns = os_clock_mono_ns();
	return e;
}

static enum err send_from_spool(struct call *call, struct upload *up, struct piece *p,
				struct piece_upload *u)
{
	size_t stripe = (size_t)up->k * up->e;
	size_t step = MAX((size_t)1, MIN(SPOOL_READ_BYTES / stripe, PIECE_CHUNK_MAX / up->e));
	AUTO_FREE uint8_t *in = malloc(step * stripe);
	AUTO_FREE uint8_t *out = malloc(step * up->e);
	uint64_t at = 0, end = 0;
	bool ended = false;

	if (!in || !out)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	do {
		TRY_PLAIN(spooled_stripes(up, p, at, &end, &ended));
		size_t n = (size_t)MIN((uint64_t)step, end - at);
		TRY_PLAIN(spool_read(call, up->spool, at * stripe, in, n * stripe));
		encode_one(up, p->number, in, n, out);
		at += n;
		struct bytes data = BYTES(out, n * up->e);
		TRY_PLAIN(wait_turn(call, up, p, data.len));
		TRY_PLAIN(piece_upload_write(call, u, &data, 1, ended && at == end, at == end));
	} while (!ended || at < end);
	return OK;
}

DEFINE_AUTO_PTR(struct piece_upload, piece_upload_auto, piece_upload_close)

static enum err piece_send(struct call *call, struct upload *up, struct piece *p)
{
	struct piece_upload *u AUTO(piece_upload_auto) = NULL;

	TRY_PLAIN(piece_upload_open(call, up->fanout, &p->limit, up->signer, up->p->algorithm,
				    up->stall_ns, &u));
	if (p->from_ring)
		TRY_PLAIN(send_from_ring(call, up, p, u));
	else
		TRY_PLAIN(send_from_spool(call, up, p, u));
	return piece_upload_finish(call, u, &p->arena, &p->hash);
}

static void piece_main(void *arg)
{
	struct piece *p = arg;
	struct upload *up = p->up;
	struct call call AUTO_CALL = CALL_INIT;

	call_init(&call);
	call.deadline_ns = up->deadline_ns;
	call.cancel = &p->cancel;
	enum err e = piece_send(&call, up, p);
	fanout_unlease(up->fanout, 1);
	OS_LOCKED(&up->lock);
	leave_ring(up, p);
	if (!e) {
		/* Also when it was given up meanwhile: it is there, and signed. */
		p->state = PIECE_STORED;
	} else if (p->state == PIECE_RUNNING) {
		p->state = PIECE_FAILED;
		snprintf(p->reason, sizeof(p->reason), "%s", call_error(&call, e));
	}
	p->joined = true;
	up->running--;
	os_cond_signal(&up->space);
}

/* ---- starting and ending pieces: the feeder's thread ---- */

/* A cancel object that is not set, also for a piece that starts over. */
static enum err fresh_cancel(struct upload *up, struct piece *p)
{
	if (p->cancel_made && !os_cancel_is_set(&p->cancel))
		return OK;
	if (p->cancel_made)
		os_cancel_fini(&p->cancel);
	p->cancel_made = false;
	TRY_PLAIN(os_cancel_init(up->call, &p->cancel, up->call->cancel));
	p->cancel_made = true;
	return OK;
}

/* The piece has a limit and is counted as running. */
static enum err launch(struct upload *up, struct piece *p,
		       const Metainfo__AddressedOrderLimit *limit)
{
	TRY_PLAIN(addressed_limit_read(up->call, limit, &p->limit));
	if (addressed_limit_blank(&p->limit))
		return call_fail(up->call, ERR_PROTOCOL, "the satellite gave no order limit");
	TRY_PLAIN(fresh_cancel(up, p));
	cohort_set_tags(up->cohort, p->number, limit);
	return fanout_start(up->call, up->fanout, piece_main, p);
}

/* Starts an offered piece under a lease; when that fails it is a failed piece like any other. */
static void start_piece(struct upload *up, struct piece *p, bool from_ring)
{
	os_mutex_lock(&up->lock);
	p->from_ring = from_ring;
	p->cursor = 0;
	p->state = PIECE_RUNNING;
	p->joined = false;
	p->moved_ns = os_clock_mono_ns();
	up->running++;
	os_mutex_unlock(&up->lock);
	enum err e = launch(up, p, p->offer);
	if (!e)
		return;
	fanout_unlease(up->fanout, 1);
	OS_LOCKED(&up->lock);
	leave_ring(up, p);
	p->state = PIECE_FAILED;
	p->joined = true;
	snprintf(p->reason, sizeof(p->reason), "%s", call_error(up->call, e));
	up->running--;
	call_clear_error(up->call);
}

/* Lock held. */
static void end_piece(struct piece *p, enum piece_state state)
{
	if (p->state != PIECE_RUNNING)
		return;
	p->state = state;
	os_cancel_set(&p->cancel);
}

static void stop_all(struct upload *up)
{
	os_mutex_lock(&up->lock);
	up->stop = true;
	for (unsigned i = 0; i < up->n; i++)
		end_piece(&up->pieces[i], PIECE_DROPPED);
	os_cond_broadcast(&up->news);
	while (up->running)
		os_cond_wait_forever(&up->space, &up->lock);
	os_mutex_unlock(&up->lock);
}

/* Whether the pieces in one of the wanted states are enough.  Lock held. */
static bool enough(const struct upload *up, bool running_count)
{
	bool have[COHORT_PIECES_MAX] = { false };

	for (unsigned i = 0; i < up->n; i++)
		have[i] = up->pieces[i].state == PIECE_STORED ||
			  (running_count && (up->pieces[i].state == PIECE_RUNNING ||
					     up->pieces[i].state == PIECE_OFFERED));
	return cohort_enough(up->cohort, have);
}

/* Whether enough pieces would be left without `gone` (NULL = all stay) that are not behind batch
 * `b`, and `spare` more could be lost.  Lock held. */
static bool enough_ahead(const struct upload *up, uint64_t b, unsigned spare)
{
	bool have[COHORT_PIECES_MAX] = { false };

	for (unsigned i = 0; i < up->n; i++) {
		const struct piece *p = &up->pieces[i];
		have[i] = p->state == PIECE_STORED ||
			  (p->state == PIECE_RUNNING && (!p->from_ring || p->cursor > b));
	}
	for (unsigned i = 0; i < up->n && spare; i++) {
		spare -= have[i];
		have[i] = false;
	}
	return cohort_enough(up->cohort, have);
}

/* The feeder waited `ns` for batch b to leave its slot: who is to blame, and who must go.  Lock
 * held. */
static void blame(struct upload *up, uint64_t b, int64_t ns)
{
	if (!enough_ahead(up, b, 0))
		return;
	unsigned spare = (up->n - up->p->scheme.success) / 4;
	bool to_spare = enough_ahead(up, b, MAX(spare, 1U));
	int64_t limit = (to_spare ? DROP_SOON_MS : DROP_LATE_MS) * NS_PER_MS;

	for (unsigned i = 0; i < up->n; i++) {
		struct piece *p = &up->pieces[i];
		if (p->state != PIECE_RUNNING || !p->from_ring || p->cursor > b)
			continue;
		p->blamed_ns += ns;
		if (p->blamed_ns < limit)
			continue;
		snprintf(p->reason, sizeof(p->reason), "too slow");
		end_piece(p, PIECE_FAILED);
		/* It may wait for news instead of the network. */
		os_cond_broadcast(&up->news);
	}
}

/* Whether it is the nodes' fault when one hangs: others are done, or wait for more.  Lock held. */
static bool others_move(const struct upload *up)
{
	unsigned waiting = 0;

	for (unsigned i = 0; i < up->n; i++) {
		if (up->pieces[i].state == PIECE_STORED)
			return true;
		waiting += up->pieces[i].state == PIECE_RUNNING && up->pieces[i].waiting;
	}
	return waiting >= up->k;
}

/* A node that hangs while others move is not waited for any longer.  Lock held. */
static void fail_stalled(struct upload *up, int64_t now)
{
	int64_t limit = MIN(up->stall_ns, others_move(up) ? TAIL_STALL_MS * NS_PER_MS : INT64_MAX);

	for (unsigned i = 0; i < up->n; i++) {
		struct piece *p = &up->pieces[i];
		if (p->state != PIECE_RUNNING || p->waiting || now - p->moved_ns < limit)
			continue;
		snprintf(p->reason, sizeof(p->reason), "no answer for %lld s",
			 (long long)(limit / NS_PER_SEC));
		end_piece(p, PIECE_FAILED);
		os_cond_broadcast(&up->news);
	}
}

/* Waits for a piece to change or a tick to pass.  Lock held, also on return. */
static enum err wait_tick(struct upload *up, int64_t *ret_waited_ns)
{
	struct call tick;
	int64_t start = os_clock_mono_ns();

	call_init(&tick);
	os_call_limit(&tick, TICK_MS * NS_PER_MS);
	enum err e = os_cond_wait(&tick, &up->space, &up->lock);
	(void)e; /* a tick is no failure */
	call_fini(&tick);
	*ret_waited_ns = os_clock_mono_ns() - start;
	return os_call_check(up->call);
}

/* ---- pieces that wait for a connection ---- */

static void offer(struct upload *up, unsigned number, const Metainfo__AddressedOrderLimit *limit)
{
	struct piece *p = &up->pieces[number];

	OS_LOCKED(&up->lock);
	p->offer = limit;
	p->state = PIECE_OFFERED;
}

/* Only the feeder starts pieces. */
static bool is_offered(struct upload *up, const struct piece *p)
{
	OS_LOCKED(&up->lock);
	return p->state == PIECE_OFFERED;
}

/* All at once if the connections suffice: these are fed from the ring. */
static enum err start_first(struct upload *up)
{
	unsigned count = 0;

	for (unsigned i = 0; i < up->n; i++)
		offer(up, i, up->p->limits[i]);
	TRY_PLAIN(fanout_lease(up->call, up->fanout, up->p->scheme.success, up->n, false, &count));
	for (unsigned i = 0; i < count; i++)
		start_piece(up, &up->pieces[i], true);
	return OK;
}

/* The others, and those that start over, read the spool as connections come free.  One runs in any
 * case: nobody else might ever give a connection back. */
static void start_offered(struct upload *up)
{
	os_mutex_lock(&up->lock);
	bool none = !up->running;
	os_mutex_unlock(&up->lock);
	for (unsigned i = 0; i < up->n; i++) {
		if (!is_offered(up, &up->pieces[i]))
			continue;
		if (!fanout_lease_one(up->fanout, none))
			return;
		none = false;
		start_piece(up, &up->pieces[i], false);
	}
}

/* ---- new nodes for failed pieces ---- */

/* The failed pieces that have no thread any more.  Lock held. */
static size_t failed_pieces(const struct upload *up, unsigned numbers[COHORT_PIECES_MAX])
{
	size_t count = 0;

	for (unsigned i = 0; i < up->n; i++)
		if (up->pieces[i].state == PIECE_FAILED && up->pieces[i].joined)
			numbers[count++] = i;
	return count;
}

/* "node 1abc (127.0.0.1:7777): timed out; ..." of some failed pieces.  Lock held. */
static void add_reasons(const struct upload *up, struct buf *out)
{
	unsigned shown = 0;

	for (unsigned i = 0; i < up->n && shown < REASONS_MAX; i++) {
		const struct piece *p = &up->pieces[i];
		if (p->state != PIECE_FAILED)
			continue;
		char id[NODE_ID_TEXT_MAX];
		node_id_text(&p->limit.ids.node, id);
		buf_printf(out, "%snode %.12s at %.64s: %.64s", shown ? "; " : "", id,
			   p->limit.address, p->reason);
		shown++;
	}
}

static enum err fail_segment(struct upload *up)
{
	struct buf text AUTO_BUF = BUF_INIT(CALL_ERROR_MAX);
	unsigned stored = 0;

	/* Pieces that fail because all was cancelled prove nothing against nodes. */
	TRY_PLAIN(os_call_check(up->call));
	os_mutex_lock(&up->lock);
	add_reasons(up, &text);
	for (unsigned i = 0; i < up->n; i++)
		stored += up->pieces[i].state == PIECE_STORED;
	os_mutex_unlock(&up->lock);
	return call_fail(up->call, ERR_UNAVAILABLE,
			 "only %u of %u nodes took their piece, %u are needed (%s)", stored, up->n,
			 up->p->scheme.success, buf_cstr(&text));
}

/* Nodes that fail again soon after they were asked may all be behind one link that is down: the
 * rounds shall last longer than that. */
static enum err pause_rounds(struct upload *up)
{
	if (up->rounds < 2)
		return OK;
	return os_sleep(up->call,
			MIN(ROUND_PAUSE_MS << (up->rounds - 2), ROUND_PAUSE_MS_MAX) * NS_PER_MS);
}

/* Asks for other nodes and starts the failed pieces over from the spool. */
static enum err renew_failed(struct upload *up)
{
	const Metainfo__AddressedOrderLimit *const *limits;
	unsigned numbers[COHORT_PIECES_MAX];

	TRY_PLAIN(os_call_check(up->call));
	os_mutex_lock(&up->lock);
	size_t count = failed_pieces(up, numbers);
	os_mutex_unlock(&up->lock);
	if (!count)
		return OK;
	if (++up->rounds > SEGMENT_UPLOAD_ROUNDS_MAX)
		return fail_segment(up);
	TRY_PLAIN(pause_rounds(up));
	if (up->p->renew(up->call, up->p->arg, numbers, count, &limits)) {
		struct call failed = *up->call;
		enum err e = fail_segment(up);
		return e == ERR_UNAVAILABLE
			       ? call_wrap(up->call, e, "no other nodes (%.160s)", failed.error)
			       : e;
	}
	for (size_t i = 0; i < count; i++)
		offer(up, numbers[i], limits[numbers[i]]);
	start_offered(up);
	return OK;
}

/* True when the pieces that are stored or still run cannot be enough any more. */
static bool hopeless(struct upload *up)
{
	OS_LOCKED(&up->lock);
	return !enough(up, true);
}

/* ---- feeding ---- */

/* Lock held. */
static void tell_pieces(struct upload *up)
{
	if (up->told == up->published)
		return;
	up->told = up->published;
	os_cond_broadcast(&up->news);
}

/* Waits until the slot for the next batch is free. */
static enum err wait_slot(struct upload *up)
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
		e = wait_tick(up, &waited);
		if (up->users[slot]) {
			blame(up, b, waited);
			fail_stalled(up, os_clock_mono_ns());
		}
	}
	up->awaited = UINT_MAX;
	return e;
}

/* Stripes of staging spread over the data shares of the slot, parity behind them. */
static void encode_batch(struct upload *up, size_t stripes)
{
	uint8_t *shares[COHORT_PIECES_MAX];

	for (unsigned i = 0; i < up->n; i++)
		shares[i] = slot_share(up, up->published, i);
	for (size_t s = 0; s < stripes; s++)
		for (unsigned i = 0; i < up->k; i++)
			memcpy(shares[i] + s * up->e, up->staging + (s * up->k + i) * up->e, up->e);
	rs_encode(up->rs, stripes * up->e, shares);
}

static void publish(struct upload *up, size_t stripes, bool last)
{
	unsigned slot = (unsigned)(up->published % up->slots);

	OS_LOCKED(&up->lock);
	if (stripes) {
		up->batch_len[slot] = stripes * up->e;
		up->users[slot] = 0;
		for (unsigned i = 0; i < up->n; i++)
			up->users[slot] += up->pieces[i].from_ring;
		up->published++;
		up->spooled += stripes;
	}
	up->ended = last;
	if (last)
		os_cond_broadcast(&up->news);
	else if (up->published - up->told >= up->hand_over)
		tell_pieces(up);
}

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

/* Puts what staging holds (a little more than a batch at the very end) into the ring. */
static enum err push_staging(struct upload *up, size_t len, bool last)
{
	size_t stripe = (size_t)up->k * up->e, batch = (size_t)up->k * up->slice;

	TRY_PLAIN(spool_append(up->call, up->spool, BYTES(up->staging, len)));
	while (len) {
		size_t n = MIN(batch, len);
		TRY_PLAIN(wait_slot(up));
		TRY_PLAIN(pacer_wait(up->call, fanout_upload_pacer(up->fanout),
				     n / up->k * (uint64_t)up->n));
		encode_batch(up, n / stripe);
		len -= n;
		publish(up, n / stripe, last && !len);
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
			TRY_PLAIN(renew_failed(up));
		start_offered(up);
	}
	return OK;
}

/* All is in the ring and the spool: waits until enough pieces are stored. */
static enum err settle(struct upload *up)
{
	enum err e = OK;

	for (;;) {
		os_mutex_lock(&up->lock);
		bool done = enough(up, false), possible = enough(up, true);
		while (!done && possible && !e) {
			int64_t waited;
			e = wait_tick(up, &waited);
			fail_stalled(up, os_clock_mono_ns());
			os_mutex_unlock(&up->lock);
			start_offered(up);
			os_mutex_lock(&up->lock);
			done = enough(up, false);
			possible = enough(up, true);
		}
		/* A piece that was given up must have let go before it can start over. */
		unsigned numbers[COHORT_PIECES_MAX];
		while (!done && !e && !failed_pieces(up, numbers)) {
			int64_t waited;
			e = wait_tick(up, &waited);
			done = enough(up, false);
		}
		os_mutex_unlock(&up->lock);
		if (done || e)
			return e;
		TRY_PLAIN(renew_failed(up));
	}
}

/* ---- the whole ---- */

/* Slices as large as memory allows, but not larger than a message; batches of whole blocks of the
 * source where that is possible without making them small. */
static enum err plan(struct upload *up)
{
	const struct scheme *s = &up->p->scheme;
	size_t memory = up->p->memory_max ? up->p->memory_max : SEGMENT_UPLOAD_MEMORY_DEFAULT;
	uint64_t piece = scheme_piece_size(s, up->p->size_max);

	up->n = s->total;
	up->k = s->required;
	up->e = s->share_size;
	if (up->e > SLICE_MAX || (uint64_t)up->e * up->n * SLOTS_MIN > memory)
		return call_fail(up->call, ERR_PROTOCOL,
				 "the satellite's erasure shares are too large");
	size_t slice = MIN((uint64_t)memory / up->n / (SLOTS_MIN + 1), MIN(SLICE_MAX, piece));
	slice = (size_t)MIN((uint64_t)slice, pacer_step(fanout_upload_pacer(up->fanout)) / up->n);
	size_t stripes = MAX(slice / up->e, (size_t)1), stripe = (size_t)up->k * up->e;
	if (up->p->block_bytes) {
		size_t unit = 1; /* stripes that are a whole number of blocks */
		while (unit <= stripes && unit * stripe % up->p->block_bytes)
			unit++;
		if (unit <= stripes)
			stripes -= stripes % unit;
	}
	up->slice = stripes * up->e;
	up->slots = (unsigned)MIN(memory / (up->n * up->slice), (size_t)SLOTS_MAX);
	up->slots = (unsigned)MIN((uint64_t)MAX(up->slots, 1U), div_up(piece, up->slice) + 1);
	up->hand_over = MAX(1U, MIN(up->slots / 3, (unsigned)HAND_OVER_MAX));
	up->awaited = UINT_MAX;
	/* Padding may reach over the end of staging by up to two stripes. */
	size_t ring = (size_t)up->slots * up->n * up->slice;
	up->memory_size = ring + (size_t)up->k * up->slice + 2 * stripe + 4;
	up->ring = fanout_buffer(up->fanout, up->memory_size);
	if (!up->ring)
		return call_fail(up->call, ERR_NO_MEMORY, "out of memory");
	up->staging = up->ring + ring;
	return OK;
}

static enum err prepare(struct upload *up)
{
	const struct segment_upload *p = up->p;
	struct scheme scheme = p->scheme;

	if (scheme_check(&scheme) || !p->size_max)
		return call_fail(up->call, ERR_PROTOCOL, "unusable redundancy scheme");
	up->deadline_ns = up->call->deadline_ns;
	up->stall_ns = p->stall_ns ? p->stall_ns : STALL_DEFAULT_MS * NS_PER_MS;
	TRY_PLAIN(plan(up));
	if (rs_new(up->k, up->n, &up->rs))
		return call_fail(up->call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(cohort_new(up->call, p->requirements, scheme.success, &up->cohort));
	TRY_PLAIN(ed25519_signer_new(up->call, &p->piece_key, &up->signer));
	/* The spool has the erasure padding, too. */
	TRY_PLAIN(spool_new(up->call, p->temp_dir, SPOOL_MEMORY_DEFAULT,
			    p->size_max + 2 * (uint64_t)up->k * up->e + 4, fanout_file(up->fanout),
			    &up->spool));
	for (unsigned i = 0; i < up->n; i++)
		up->pieces[i] = (struct piece){ .up = up, .number = i, .joined = true };
	return OK;
}

static enum err run(struct upload *up)
{
	TRY_PLAIN(prepare(up));
	TRY_PLAIN(start_first(up));
	TRY_PLAIN(feed(up));
	return settle(up);
}

static enum err collect(struct upload *up, struct arena *a, struct segment_upload_result *ret)
{
	struct segment_upload_result r = { .encrypted_size = up->encrypted };

	r.pieces = arena_array(a, up->n, sizeof(*r.pieces));
	if (!r.pieces)
		return call_fail(up->call, ERR_NO_MEMORY, "out of memory");
	for (unsigned i = 0; i < up->n; i++) {
		struct piece *p = &up->pieces[i];
		struct buf wire AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);
		if (p->state != PIECE_STORED)
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
	stop_all(up);
	TRY_PLAIN(e);
	return collect(up, a, ret);
}
