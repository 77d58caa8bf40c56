/*
 * Which pieces of a segment upload run: the feeder's thread starts those that the reserve wants,
 * ends what stalls, and asks for other nodes when the reserve is used up.
 */
#include "transfer/upload_internal.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"

enum {
	TICK_MS = 100, /* how soon cancellation and stalls are noticed */
	TICK_MS_MIN = 1,
	TAIL_STALL_MS = 10000, /* no step for so long although other pieces move */
	REASONS_MAX = 3,
	ROUND_PAUSE_MS = 100, /* before the second round, and twice as long before each later one */
	ROUND_PAUSE_MS_MAX = 3000,
};

/* ---- beginning ---- */

void pieces_offer(struct upload *up, unsigned number, const Metainfo__AddressedOrderLimit *limit)
{
	struct piece *p = &up->pieces[number];
	struct addressed_limit read;
	bool shy = true; /* what has no node at all fails at once when it is started */

	if (addressed_limit_read(up->call, limit, &read))
		call_clear_error(up->call);
	else if (!addressed_limit_blank(&read))
		shy = shy_has(fanout_shy(up->fanout), &read.ids.node);
	cohort_set_tags(up->cohort, number, limit);
	OS_LOCKED(&up->lock);
	p->offer = limit;
	reserve_offer(&up->reserve, number, shy);
	up->changed = true;
}

void pieces_choose(struct upload *up)
{
	OS_LOCKED(&up->lock);
	up->width = reserve_wanted(&up->reserve, os_clock_mono_ns(), up->first);
	for (unsigned c = 0; c < up->width; c++)
		up->pieces[up->first[c]].column = c;
}

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

/* The piece is counted as running. */
static enum err launch(struct upload *up, struct piece *p)
{
	TRY_PLAIN(addressed_limit_read(up->call, p->offer, &p->limit));
	if (addressed_limit_blank(&p->limit))
		return call_fail(up->call, ERR_PROTOCOL, "the satellite gave no order limit");
	TRY_PLAIN(fresh_cancel(up, p));
	return fanout_start(up->call, up->fanout, piece_main, p);
}

/* Starts a piece of the reserve under a lease; when that fails it is a failed piece like any other.
 */
static void start_piece(struct upload *up, struct piece *p, bool from_ring)
{
	os_mutex_lock(&up->lock);
	p->from_ring = from_ring;
	p->cursor = 0;
	p->joined = false;
	reserve_start(&up->reserve, p->number, os_clock_mono_ns());
	up->running++;
	os_mutex_unlock(&up->lock);
	enum err e = launch(up, p);
	if (!e)
		return;
	fanout_unlease(up->fanout, 1);
	OS_LOCKED(&up->lock);
	ring_leave(up, p);
	reserve_end(&up->reserve, p->number, PIECE_FAILED, os_clock_mono_ns());
	p->joined = true;
	snprintf(p->reason, sizeof(p->reason), "%s", call_error(up->call, e));
	up->running--;
	up->changed = true;
	call_clear_error(up->call);
}

enum err pieces_start_first(struct upload *up)
{
	unsigned count = 0;

	TRY_PLAIN(fanout_lease(up->call, up->fanout, up->width, up->width, false, &count));
	for (unsigned c = 0; c < count; c++)
		start_piece(up, &up->pieces[up->first[c]], true);
	up->smooth = count == up->width;
	return pieces_check_again(up);
}

/* One runs in any case: nobody else might ever give a connection back. */
void pieces_start_wanted(struct upload *up)
{
	unsigned numbers[COHORT_PIECES_MAX];
	int64_t now = os_clock_mono_ns();

	os_mutex_lock(&up->lock);
	bool look = up->changed || now >= up->look_ns, none = !up->running;
	unsigned count = look ? reserve_wanted(&up->reserve, now, numbers) : 0;
	if (look) {
		up->changed = false;
		up->look_ns = MIN(reserve_due(&up->reserve), now + TICK_MS * NS_PER_MS);
	}
	os_mutex_unlock(&up->lock);
	if (!count)
		return;
	up->smooth = false;
	for (unsigned i = 0; i < count && up->spool; i++) {
		if (!fanout_lease_one(up->fanout, none))
			return;
		none = false;
		start_piece(up, &up->pieces[numbers[i]], false);
	}
}

/* ---- ending ---- */

/* Lock held. */
static void end_piece(struct upload *up, struct piece *p, enum piece_state state)
{
	if (!reserve_runs(&up->reserve, p->number))
		return;
	reserve_end(&up->reserve, p->number, state, os_clock_mono_ns());
	up->changed = true;
	os_cancel_set(&p->cancel);
}

/* Whether it is the nodes' fault when one hangs: others are done, or wait for more.  Lock held. */
static bool others_move(const struct upload *up)
{
	unsigned waiting = 0;

	for (unsigned i = 0; i < up->n; i++) {
		if (up->reserve.pieces[i].state == PIECE_STORED)
			return true;
		waiting += reserve_runs(&up->reserve, i) && up->reserve.pieces[i].waiting;
	}
	return waiting >= up->k;
}

void pieces_fail_stalled(struct upload *up)
{
	int64_t limit = MIN(up->stall_ns, others_move(up) ? TAIL_STALL_MS * NS_PER_MS : INT64_MAX);
	int64_t now = os_clock_mono_ns();

	for (unsigned i = 0; i < up->n; i++) {
		struct piece *p = &up->pieces[i];
		const struct reserve_piece *r = &up->reserve.pieces[i];
		if (!reserve_runs(&up->reserve, i) || r->waiting || now - r->moved_ns < limit)
			continue;
		snprintf(p->reason, sizeof(p->reason), "no answer for %lld s",
			 (long long)(limit / NS_PER_SEC));
		end_piece(up, p, PIECE_FAILED);
		os_cond_broadcast(&up->news);
	}
}

/* Others shall be asked before its node next time. */
static void shun(struct upload *up, const struct piece *p)
{
	if (!addressed_limit_blank(&p->limit))
		shy_add(fanout_shy(up->fanout), &p->limit.ids.node);
}

static void shun_slow(struct upload *up)
{
	OS_LOCKED(&up->lock);
	for (unsigned i = 0; i < up->n; i++) {
		const struct reserve_piece *r = &up->reserve.pieces[i];
		if (r->state == PIECE_FAILED || (reserve_runs(&up->reserve, i) && r->doubted))
			shun(up, &up->pieces[i]);
	}
}

enum err pieces_check_again(struct upload *up)
{
	if (up->spool || up->smooth)
		return OK;
	*up->p->again = true;
	return call_fail(up->call, ERR_UNAVAILABLE,
			 "a node failed or lags, and the segment must start over");
}

void pieces_stop(struct upload *up)
{
	/* What fails because all is cancelled proves nothing. */
	if (os_call_check(up->call) == OK)
		shun_slow(up);
	os_mutex_lock(&up->lock);
	up->stop = true;
	for (unsigned i = 0; i < up->n; i++)
		end_piece(up, &up->pieces[i], PIECE_DROPPED);
	os_cond_broadcast(&up->news);
	while (up->running)
		os_cond_wait_forever(&up->space, &up->lock);
	os_mutex_unlock(&up->lock);
}

enum err pieces_wait_tick(struct upload *up, int64_t *ret_waited_ns)
{
	struct call tick;
	int64_t start = os_clock_mono_ns();

	call_init(&tick);
	os_call_limit(&tick,
		      MIN(MAX(up->look_ns - start, TICK_MS_MIN * NS_PER_MS), TICK_MS * NS_PER_MS));
	enum err e = os_cond_wait(&tick, &up->space, &up->lock);
	(void)e; /* a tick is no failure */
	call_fini(&tick);
	*ret_waited_ns = os_clock_mono_ns() - start;
	return os_call_check(up->call);
}

/* ---- new nodes for failed pieces ---- */

size_t pieces_failed(const struct upload *up, unsigned numbers[COHORT_PIECES_MAX])
{
	size_t count = 0;

	for (unsigned i = 0; i < up->n; i++)
		if (up->reserve.pieces[i].state == PIECE_FAILED && up->pieces[i].joined)
			numbers[count++] = i;
	return count;
}

/* "node 1abc (127.0.0.1:7777): timed out; ..." of some failed pieces.  Lock held. */
static void add_reasons(const struct upload *up, struct buf *out)
{
	unsigned shown = 0;

	for (unsigned i = 0; i < up->n && shown < REASONS_MAX; i++) {
		const struct piece *p = &up->pieces[i];
		if (up->reserve.pieces[i].state != PIECE_FAILED)
			continue;
		char id[NODE_ID_TEXT_MAX];
		node_id_text(&p->limit.ids.node, id);
		buf_printf(out, "%snode %.12s at %.64s: %.90s", shown ? "; " : "", id,
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
		stored += up->reserve.pieces[i].state == PIECE_STORED;
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

enum err pieces_renew(struct upload *up)
{
	const Metainfo__AddressedOrderLimit *const *limits;
	unsigned numbers[COHORT_PIECES_MAX];

	TRY_PLAIN(os_call_check(up->call));
	up->smooth = false;
	TRY_PLAIN(pieces_check_again(up));
	os_mutex_lock(&up->lock);
	size_t count = pieces_failed(up, numbers);
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
	for (size_t i = 0; i < count; i++) {
		shun(up, &up->pieces[numbers[i]]);
		pieces_offer(up, numbers[i], limits[numbers[i]]);
	}
	pieces_start_wanted(up);
	return OK;
}
