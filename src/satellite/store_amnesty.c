/* Table lost_pieces. */
#include "base/cleanup.h"
#include "base/num.h"
#include "satellite/amnesty.h"

enum { DROP_BATCH = 1000 };

struct put_work {
	const struct node_id *node;
	const struct piece_id *list;
	size_t count;
	int64_t now_ns;
};

static enum err count_of(struct call *call, struct db_tx *tx, const struct node_id *node,
			 int64_t *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx, "SELECT COUNT(*) FROM lost_pieces WHERE node_id = $1", &rows,
			   DB_V_BLOB(node_id_bytes(node))));
	enum err e = db_rows_next(call, rows);
	if (!e)
		*ret = db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

static enum err put(struct call *call, struct db_tx *tx, void *arg)
{
	const struct put_work *w = arg;
	int64_t waiting = 0;

	TRY_PLAIN(count_of(call, tx, w->node, &waiting));
	if (waiting + (int64_t)w->count > AMNESTY_NODE_MAX)
		return call_fail(
			call, ERR_EXHAUSTED,
			"%lld lost pieces of this node wait already; tell the others later",
			(long long)waiting);
	for (size_t i = 0; i < w->count; i++)
		TRY_PLAIN(DB_EXEC(call, tx,
				  "INSERT INTO lost_pieces (node_id, piece_id, reported_at) VALUES "
				  "($1, $2, $3) ON CONFLICT (node_id, piece_id) DO NOTHING",
				  NULL, DB_V_BLOB(node_id_bytes(w->node)),
				  DB_V_BLOB(BYTES_OF(w->list[i].b)), DB_V_INT(w->now_ns)));
	return OK;
}

enum err store_lost_put(struct call *call, struct db *db, const struct node_id *node,
			const struct piece_id *list, size_t count, int64_t now_ns)
{
	struct put_work w = { node, list, count, now_ns };

	return db_write(call, db, put, &w);
}

struct list_work {
	struct arena *a;
	size_t max;
	struct lost_piece *list;
	size_t count;
};

static enum err read_row(struct call *call, const struct db_rows *rows, struct lost_piece *ret)
{
	if (node_id_from_bytes(db_bytes(rows, 0), &ret->node) ||
	    db_bytes(rows, 1).len != PIECE_ID_BYTES)
		return call_fail(call, ERR_DATA_LOSS, "a damaged row of lost pieces");
	memcpy(ret->piece.b, db_bytes(rows, 1).data, PIECE_ID_BYTES);
	return OK;
}

static enum err select_list(struct call *call, struct db_tx *tx, void *arg)
{
	struct list_work *w = arg;
	struct db_rows *rows = NULL;
	size_t cap = 0;
	enum err e;

	w->count = 0;
	w->list = NULL;
	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT node_id, piece_id FROM lost_pieces WHERE node_id > $2 "
			   "ORDER BY node_id, piece_id LIMIT $1",
			   &rows, DB_V_INT((int64_t)w->max), DB_V_BLOB(BYTES_NONE)));
	while (!(e = db_rows_next(call, rows))) {
		w->list = arena_grow(w->a, w->list, &cap, w->count, sizeof(*w->list));
		e = w->list ? read_row(call, rows, &w->list[w->count])
			    : call_fail(call, ERR_NO_MEMORY, "no room for lost pieces");
		if (e)
			break;
		w->count++;
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err store_lost_list(struct call *call, struct db *db, struct arena *a, size_t max,
			 struct lost_piece **ret, size_t *ret_count)
{
	struct list_work w = { .a = a, .max = max };

	TRY_PLAIN(db_read(call, db, select_list, &w));
	*ret = w.list;
	*ret_count = w.count;
	return OK;
}

struct drop_work {
	const struct lost_piece *list;
	size_t count;
};

static enum err drop(struct call *call, struct db_tx *tx, void *arg)
{
	const struct drop_work *w = arg;

	for (size_t i = 0; i < w->count; i++)
		TRY_PLAIN(DB_EXEC(call, tx,
				  "DELETE FROM lost_pieces WHERE node_id = $1 AND piece_id = $2",
				  NULL, DB_V_BLOB(node_id_bytes(&w->list[i].node)),
				  DB_V_BLOB(BYTES_OF(w->list[i].piece.b))));
	return OK;
}

enum err store_lost_drop(struct call *call, struct db *db, const struct lost_piece *list,
			 size_t count)
{
	for (size_t at = 0; at < count; at += DROP_BATCH) {
		struct drop_work w = { list + at, MIN(count - at, (size_t)DROP_BATCH) };
		TRY_PLAIN(db_write(call, db, drop, &w));
	}
	return OK;
}
