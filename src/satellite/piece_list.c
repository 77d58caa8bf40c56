/* Piece lists and node aliases. */
#include "satellite/piece_list.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "os/lock.h"

enum { PIECE_LIST_VERSION = 1, ALIAS_MAX = 1 << 24, ALIAS_TRIES_MAX = 100, ALIAS_SLOTS_MIN = 64 };

void piece_list_encode(struct buf *out, const struct piece *pieces, size_t count)
{
	uint32_t next = 0;

	buf_add_byte(out, PIECE_LIST_VERSION);
	for (size_t i = 0; i < count; i++) {
		buf_add_varint(out, pieces[i].number - next);
		buf_add_varint(out, pieces[i].alias);
		next = pieces[i].number + 1;
	}
}

enum err piece_list_decode(struct call *call, struct bytes v, struct piece *pieces,
			   size_t *ret_count)
{
	struct wire w = wire_read(v);
	size_t n = 0;
	uint64_t next = 0;

	if (wire_byte(&w) != PIECE_LIST_VERSION)
		return call_fail(call, ERR_FORMAT, "piece list of an unknown version");
	while (wire_ok(&w) && wire_left(&w)) {
		uint64_t gap = wire_varint(&w);
		uint64_t alias = wire_varint(&w);
		if (!wire_ok(&w) || n == PIECE_LIST_MAX || gap >= PIECE_LIST_MAX || alias == 0 ||
		    alias > ALIAS_MAX)
			return call_fail(call, ERR_FORMAT, "damaged piece list");
		uint64_t number = next + gap;
		if (number >= PIECE_LIST_MAX)
			return call_fail(call, ERR_FORMAT, "damaged piece list");
		pieces[n++] = (struct piece){ (uint32_t)number, (uint32_t)alias };
		next = number + 1;
	}
	if (!wire_ok(&w))
		return call_fail(call, ERR_FORMAT, "damaged piece list");
	*ret_count = n;
	return OK;
}

struct node_aliases {
	struct os_mutex lock;
	struct node_id *by_alias; /* [alias - 1]; zero = not known */
	uint32_t by_alias_cap;
	uint32_t *slots; /* open addressing: alias or 0 */
	uint32_t slots_count, used;
};

struct node_aliases *node_aliases_new(void)
{
	return calloc(1, sizeof(struct node_aliases));
}

void node_aliases_free(struct node_aliases *n)
{
	if (!n)
		return;
	os_mutex_fini(&n->lock);
	free(n->by_alias);
	free(n->slots);
	free(n);
}

/* Node IDs are hashes: their first bytes spread well. */
static uint32_t slot_of(const struct node_aliases *n, const struct node_id *id)
{
	return get_le32(id->b) & (n->slots_count - 1);
}

static uint32_t lookup(const struct node_aliases *n, const struct node_id *id)
{
	if (!n->slots_count)
		return 0;
	for (uint32_t s = slot_of(n, id);; s = (s + 1) & (n->slots_count - 1)) {
		if (!n->slots[s] || node_id_equal(&n->by_alias[n->slots[s] - 1], id))
			return n->slots[s];
	}
}

static void place(struct node_aliases *n, uint32_t alias)
{
	uint32_t s = slot_of(n, &n->by_alias[alias - 1]);

	while (n->slots[s])
		s = (s + 1) & (n->slots_count - 1);
	n->slots[s] = alias;
}

static bool grow_slots(struct node_aliases *n)
{
	uint32_t *old = n->slots, old_count = n->slots_count;

	if ((n->used + 1) * 2 <= old_count)
		return true;
	uint32_t count = old_count ? old_count * 2 : ALIAS_SLOTS_MIN;
	uint32_t *slots = calloc(count, sizeof(*slots));
	if (!slots)
		return false;
	n->slots = slots;
	n->slots_count = count;
	for (uint32_t i = 0; i < old_count; i++) {
		if (old[i])
			place(n, old[i]);
	}
	free(old);
	return true;
}

static bool grow_ids(struct node_aliases *n, uint32_t alias)
{
	if (alias <= n->by_alias_cap)
		return true;
	uint32_t cap = MAX(alias, MIN(n->by_alias_cap * 2, (uint32_t)ALIAS_MAX));
	struct node_id *ids = realloc(n->by_alias, cap * sizeof(*ids));
	if (!ids)
		return false;
	memset(ids + n->by_alias_cap, 0, (cap - n->by_alias_cap) * sizeof(*ids));
	n->by_alias = ids;
	n->by_alias_cap = cap;
	return true;
}

/* A cache: without memory it just does not remember. */
static void learn(struct node_aliases *n, const struct node_id *id, uint32_t alias)
{
	if (alias == 0 || alias > ALIAS_MAX || lookup(n, id) || !grow_ids(n, alias) ||
	    !grow_slots(n))
		return;
	n->by_alias[alias - 1] = *id;
	place(n, alias);
	n->used++;
}

void node_aliases_learn(struct node_aliases *n, const struct node_id *ids, const uint32_t *aliases,
			size_t count)
{
	OS_LOCKED(&n->lock);
	for (size_t i = 0; i < count; i++)
		learn(n, &ids[i], aliases[i]);
}

static enum err assign_one(struct call *call, struct db_tx *tx, const struct node_id *id,
			   uint32_t *ret)
{
	struct db_rows *rows = NULL;

	/* DO UPDATE (to itself) makes the row come back whether it was there or not. */
	TRY(DB_QUERY(call, tx,
		     "INSERT INTO node_aliases (node_id, alias) VALUES "
		     "($1, (SELECT COALESCE(MAX(alias), 0) + 1 FROM node_aliases)) "
		     "ON CONFLICT (node_id) DO UPDATE SET node_id = excluded.node_id RETURNING "
		     "alias",
		     &rows, DB_V_BLOB(node_id_bytes(id))),
	    "number a node");
	enum err e = db_rows_next(call, rows);
	if (e == OK)
		*ret = (uint32_t)db_int(rows, 0);
	db_rows_free(rows);
	return e == OK ? OK : call_wrap(call, e, "number a node");
}

enum err node_aliases_assign(struct call *call, struct db_tx *tx, struct node_aliases *n,
			     const struct node_id *ids, size_t count, uint32_t *ret)
{
	os_mutex_lock(&n->lock);
	for (size_t i = 0; i < count; i++)
		ret[i] = lookup(n, &ids[i]);
	os_mutex_unlock(&n->lock);
	for (size_t i = 0; i < count; i++) {
		if (!ret[i])
			TRY_PLAIN(assign_one(call, tx, &ids[i], &ret[i]));
	}
	return OK;
}

struct new_alias {
	const struct node_id *id;
	uint32_t alias;
};

static enum err assign_new(struct call *call, struct db_tx *tx, void *arg)
{
	struct new_alias *a = arg;

	return assign_one(call, tx, a->id, &a->alias);
}

static bool is_known(struct node_aliases *n, const struct node_id *id)
{
	OS_LOCKED(&n->lock);
	return lookup(n, id) != 0;
}

enum err node_aliases_ensure(struct call *call, struct db *db, struct node_aliases *n,
			     const struct node_id *ids, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct new_alias a = { .id = &ids[i] };
		enum err e = is_known(n, a.id) ? OK : ERR_EXISTS;
		if (!e)
			continue;
		/* Another transaction took the next number at the same moment. */
		for (unsigned tries = 0; e == ERR_EXISTS && tries < ALIAS_TRIES_MAX; tries++)
			e = db_write(call, db, assign_new, &a);
		TRY_PLAIN(e);
		node_aliases_learn(n, a.id, &a.alias, 1);
	}
	call_clear_error(call);
	return OK;
}

static bool find_known(struct node_aliases *n, const struct piece *pieces, size_t count,
		       struct node_id *ret)
{
	OS_LOCKED(&n->lock);
	for (size_t i = 0; i < count; i++) {
		if (pieces[i].alias > n->by_alias_cap)
			return false;
		ret[i] = n->by_alias[pieces[i].alias - 1];
		if (node_id_is_zero(&ret[i]))
			return false;
	}
	return true;
}

/* Nodes are few and aliases never change: a miss reads them all. */
static enum err read_all(struct call *call, struct db_tx *tx, void *arg)
{
	struct node_aliases *n = arg;
	struct db_rows *rows = NULL;
	enum err e;

	TRY_PLAIN(db_query(call, tx, "SELECT alias, node_id FROM node_aliases", NULL, 0, &rows));
	while (!(e = db_rows_next(call, rows))) {
		struct node_id id;
		uint32_t alias = (uint32_t)db_int(rows, 0);
		if (node_id_from_bytes(db_bytes(rows, 1), &id) == OK)
			node_aliases_learn(n, &id, &alias, 1);
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err node_aliases_find(struct call *call, struct db *db, struct node_aliases *n,
			   const struct piece *pieces, size_t count, struct node_id *ret)
{
	if (find_known(n, pieces, count, ret))
		return OK;
	TRY(db_read(call, db, read_all, n), "read node numbers");
	if (!find_known(n, pieces, count, ret))
		return call_fail(call, ERR_DATA_LOSS, "a segment names a node nobody numbered");
	return OK;
}

enum err node_aliases_all(struct call *call, struct db *db, struct node_aliases *n,
			  struct node_id **ret_ids, uint32_t *ret_count)
{
	TRY(db_read_one(call, db, read_all, n), "read node numbers");
	OS_LOCKED(&n->lock);
	uint32_t highest = n->by_alias_cap;
	while (highest && node_id_is_zero(&n->by_alias[highest - 1]))
		highest--;
	struct node_id *ids = calloc(highest + 1, sizeof(*ids));
	if (!ids)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (highest)
		memcpy(ids + 1, n->by_alias, highest * sizeof(*ids));
	*ret_ids = ids;
	*ret_count = highest + 1;
	return OK;
}
