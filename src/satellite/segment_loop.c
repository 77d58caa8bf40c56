/* The pass over all segments: batches into memory that is made once, then to the observers. */
#include "satellite/segment_loop.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/log.h"
#include "satellite/metainfo_internal.h"
#include "satellite/overlay.h"
#include "satellite/satellite.h"
#include "satellite/store_metainfo.h"

/* Pieces of a batch; a batch ends early when they are used up. */
enum { BATCH_PIECES = 64 << 10 };
/* The nodes are looked at again that often. */
#define NODES_NS (30 * NS_PER_SEC)
#define NOTE_SEGMENTS 1000000

struct segment_loop {
	struct satellite *sat;
	struct segment_observer observers[SEGMENT_OBSERVERS_MAX];
	enum { OBSERVER_OUT, OBSERVER_IN } state[SEGMENT_OBSERVERS_MAX];
	size_t observers_count;

	/* Of the pass under way. */
	struct segment_run run;
	struct loop_node *nodes;
	struct placement_set *placements;
	int64_t nodes_ns; /* monotonic: when they were looked at */
	struct loop_segment *batch;
	struct piece *pieces;
	size_t count;	     /* segments in the batch */
	size_t pieces_count; /* of them */
	uint32_t alias_max;  /* of them */
	struct stream_uuid last;
	int64_t last_position;
	bool begun, more;
	enum err failed; /* of an observer, the first */
	char failure[CALL_ERROR_MAX];
};

/* ---- a batch ---- */

#define TEXT_OF_(x) #x
#define TEXT_OF(x) TEXT_OF_(x)
#define LOOP_COLUMNS                                                                               \
	"stream_id, position, redundancy, encrypted_size, created_at, repaired_at, expires_at, "   \
	"placement, root_piece_id, pieces"
#define LOOP_LIMIT 1024
_Static_assert(LOOP_LIMIT == SEGMENT_BATCH, "one number");

/* The list of the current row; false: no room left in this batch. */
static bool take_pieces(struct call *call, struct segment_loop *l, struct bytes list,
			struct loop_segment *s)
{
	struct piece *pieces = l->pieces + l->pieces_count;
	size_t n = 0;

	if (l->pieces_count + PIECE_LIST_MAX > BATCH_PIECES)
		return false;
	if (piece_list_decode(call, list, pieces, &n)) {
		call_clear_error(call);
		s->damaged = true;
		n = 0;
	}
	for (size_t i = 0; i < n; i++)
		l->alias_max = MAX(l->alias_max, pieces[i].alias);
	s->pieces = pieces;
	s->pieces_count = (uint32_t)n;
	l->pieces_count += n;
	return true;
}

static enum err take_row(struct call *call, struct segment_loop *l, const struct db_rows *rows,
			 bool *ret_taken)
{
	struct bytes stream = db_bytes(rows, 0), root = db_bytes(rows, 8);
	struct loop_segment *s = &l->batch[l->count];
	int64_t redundancy = db_int(rows, 2);

	*s = (struct loop_segment){
		.position = db_int(rows, 1),
		.encrypted_size = db_int(rows, 3),
		.created_ns = db_int(rows, 4),
		.repaired_ns = db_int(rows, 5),
		.expires_ns = db_int(rows, 6),
		.placement = (int32_t)db_int(rows, 7),
		.is_inline = redundancy == 0,
	};
	if (stream.len != STREAM_UUID_BYTES || redundancy_unpack(redundancy, &s->redundancy) ||
	    (!s->is_inline && root.len != PIECE_ID_BYTES))
		return call_fail(call, ERR_DATA_LOSS, "a damaged segment row");
	memcpy(s->stream.b, stream.data, STREAM_UUID_BYTES);
	*ret_taken = true;
	if (s->is_inline)
		return OK;
	memcpy(s->root.b, root.data, PIECE_ID_BYTES);
	*ret_taken = take_pieces(call, l, db_bytes(rows, 9), s);
	return OK;
}

static enum err read_rows(struct call *call, struct segment_loop *l, struct db_rows *rows)
{
	bool taken = true;
	enum err e;

	while (!(e = db_rows_next(call, rows))) {
		e = take_row(call, l, rows, &taken);
		if (e || !taken)
			return e;
		l->count++;
	}
	if (e == ERR_NOT_FOUND && l->count < SEGMENT_BATCH)
		l->more = false;
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err read_batch(struct call *call, struct db_tx *tx, void *arg)
{
	struct segment_loop *l = arg;
	struct db_rows *rows = NULL;

	l->count = l->pieces_count = 0;
	l->alias_max = 0;
	l->more = true;
	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT " LOOP_COLUMNS " FROM segments WHERE (stream_id, position) > "
			   "($1, $2) ORDER BY stream_id, position LIMIT " TEXT_OF(LOOP_LIMIT),
			   &rows, DB_V_BLOB(l->begun ? uuid_bytes(&l->last) : BYTES_NONE),
			   DB_V_INT(l->last_position)));
	enum err e = read_rows(call, l, rows);
	db_rows_free(rows);
	return e;
}

/* ---- nodes ---- */

static enum err look_at_nodes(struct call *call, struct segment_loop *l)
{
	int64_t now_ns = os_clock_mono_ns();
	struct overlay_nodes found = { 0 };
	struct segment_run *r = &l->run;

	if (l->nodes && l->alias_max < r->nodes_count && now_ns - l->nodes_ns < NODES_NS)
		return OK;
	TRY_PLAIN(overlay_by_alias(call, l->sat, &found));
	free(l->nodes);
	l->nodes = found.nodes;
	r->nodes = l->nodes;
	r->nodes_count = found.count;
	r->nets_count = found.nets_count;
	r->nodes_known = found.known;
	free(l->placements);
	l->placements = found.placements;
	r->placements = l->placements;
	l->nodes_ns = now_ns;
	if (l->alias_max >= r->nodes_count)
		return call_fail(call, ERR_DATA_LOSS, "a segment names a node nobody numbered");
	return OK;
}

/* ---- observers ---- */

static void leave_out(struct call *call, struct segment_loop *l, size_t i, enum err e)
{
	log_warn("an observer of the segments failed", F_STR("observer", l->observers[i].name),
		 F_STR("error", call_error(call, e)));
	if (!l->failed) {
		l->failed = e;
		call_wrap(call, e, "%s", l->observers[i].name);
		memcpy(l->failure, call->error, sizeof(l->failure));
	}
	call_clear_error(call);
}

static void end_one(struct call *call, struct segment_loop *l, size_t i, bool complete)
{
	const struct segment_observer *o = &l->observers[i];

	l->state[i] = OBSERVER_OUT;
	enum err e = o->end(call, o->arg, &l->run, complete);
	if (e && complete)
		leave_out(call, l, i, e);
}

static void begin_all(struct call *call, struct segment_loop *l)
{
	for (size_t i = 0; i < l->observers_count; i++) {
		const struct segment_observer *o = &l->observers[i];
		enum err e = o->begin(call, o->arg, &l->run);
		l->state[i] = e ? OBSERVER_OUT : OBSERVER_IN;
		if (e)
			leave_out(call, l, i, e);
	}
}

static void feed_all(struct call *call, struct segment_loop *l)
{
	for (size_t i = 0; i < l->observers_count; i++) {
		const struct segment_observer *o = &l->observers[i];
		if (l->state[i] != OBSERVER_IN)
			continue;
		enum err e = o->segments(call, o->arg, &l->run, l->batch, l->count);
		if (!e)
			continue;
		leave_out(call, l, i, e);
		end_one(call, l, i, false);
	}
}

static void end_all(struct call *call, struct segment_loop *l, bool complete)
{
	for (size_t i = 0; i < l->observers_count; i++)
		if (l->state[i] == OBSERVER_IN)
			end_one(call, l, i, complete);
}

/* ---- a pass ---- */

static void note(const struct segment_loop *l)
{
	if (l->run.chore)
		chore_note(l->run.chore, "%llu segments, %llu pieces",
			   (unsigned long long)l->run.segments, (unsigned long long)l->run.pieces);
}

static enum err step(struct call *call, struct segment_loop *l)
{
	TRY_PLAIN(os_call_check(call));
	TRY(db_read_one(call, l->sat->db, read_batch, l), "read segments");
	TRY_PLAIN(look_at_nodes(call, l));
	if (!l->count)
		return OK;
	l->begun = true;
	l->last = l->batch[l->count - 1].stream;
	l->last_position = l->batch[l->count - 1].position;
	l->run.segments += l->count;
	l->run.pieces += l->pieces_count;
	feed_all(call, l);
	return OK;
}

static enum err pass(struct call *call, struct segment_loop *l, unsigned percent)
{
	uint64_t noted = 0;

	do {
		int64_t start_ns = os_clock_mono_ns();
		TRY_PLAIN(step(call, l));
		/* What a batch needed of the call's memory is not kept for the whole pass. */
		arena_reset(&call->scratch);
		if (l->run.segments - noted >= NOTE_SEGMENTS) {
			noted = l->run.segments;
			note(l);
		}
		if (l->more)
			TRY_PLAIN(chore_rest(call, os_clock_mono_ns() - start_ns, percent));
	} while (l->more);
	return OK;
}

static enum err make_room(struct call *call, struct segment_loop *l, struct chore *chore)
{
	l->run = (struct segment_run){ .started_ns = os_clock_unix_ns(), .chore = chore };
	l->begun = false;
	l->last_position = 0;
	l->alias_max = 0;
	l->failed = OK;
	l->batch = calloc(SEGMENT_BATCH, sizeof(*l->batch));
	l->pieces = calloc(BATCH_PIECES, sizeof(*l->pieces));
	return l->batch && l->pieces ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

/* Between passes it holds next to nothing. */
static void give_back(struct segment_loop *l)
{
	free(l->batch);
	free(l->pieces);
	free(l->nodes);
	free(l->placements);
	l->batch = NULL;
	l->pieces = NULL;
	l->nodes = NULL;
	l->placements = NULL;
	l->run.nodes = NULL;
	l->run.placements = NULL;
}

enum err segment_loop_run(struct call *call, struct segment_loop *l, unsigned percent,
			  struct chore *chore)
{
	AUTO_CALL struct call own = CALL_INIT;

	call_init_child(&own, call);
	enum err e = make_room(&own, l, chore);
	if (!e)
		e = look_at_nodes(&own, l);
	if (!e) {
		begin_all(&own, l);
		e = pass(&own, l, percent);
		/* Ending after a failure still needs a call to work with. */
		AUTO_CALL struct call ending = CALL_INIT;
		call_init_child(&ending, call);
		end_all(&ending, l, e == OK);
		note(l);
	}
	give_back(l);
	if (e)
		call_copy_error(call, &own);
	else if (l->failed)
		return call_fail(call, l->failed, "%s", l->failure);
	return e;
}

enum err segment_loop_new(struct call *call, struct satellite *sat, struct segment_loop **ret)
{
	struct segment_loop *l = calloc(1, sizeof(*l));

	if (!l)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	l->sat = sat;
	*ret = l;
	return OK;
}

void segment_loop_free(struct segment_loop *l)
{
	free(l);
}

enum err segment_loop_add(struct call *call, struct segment_loop *l,
			  const struct segment_observer *observer)
{
	if (l->observers_count == SEGMENT_OBSERVERS_MAX)
		return call_fail(call, ERR_EXHAUSTED, "no room for observer %s", observer->name);
	l->observers[l->observers_count++] = *observer;
	return OK;
}
