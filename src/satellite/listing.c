/* Pages of objects: where to seek, what to fold, when to stop. */
#include "satellite/listing.h"

#include "base/cleanup.h"
#include "satellite/store_metainfo.h"

enum {
	SKIP_MAX = 8, /* rows of a folded prefix or of one key passed by before a new seek */
	CHUNK_AFTER_SKIP = 32, /* rows asked for behind a seek; doubles while they are of use */
	CHUNK_FOLDED = 64,
	ITEMS_MIN = 64,
};

struct bytes listing_after_prefix(struct bytes prefix, uint8_t *out)
{
	size_t n = prefix.len;

	while (n && prefix.data[n - 1] == 0xff)
		n--;
	if (!n)
		return BYTES_NONE;
	memcpy(out, prefix.data, n);
	out[n - 1]++;
	return BYTES(out, n);
}

size_t listing_fold(struct bytes key, struct bytes delimiter)
{
	const uint8_t *at = key.len ? memmem(key.data, key.len, delimiter.data, delimiter.len)
				    : NULL;

	return at ? (size_t)(at - key.data) + delimiter.len : 0;
}

/* Where the next rows come from. */
enum seek {
	AT_KEY,	   /* at or after position.key */
	AT_AFTER,  /* after all rows of position.key */
	AT_WITHIN, /* rows of position.key beyond position.version, then AT_AFTER */
	AT_END,
};

struct walk {
	const struct listing *l;
	struct arena *a;
	struct listing_item *items;
	size_t count, cap;
	bool more;
	enum seek seek;
	struct bytes key; /* absolute, a copy */
	int64_t version;
	struct bytes stop; /* first key beyond the prefix; empty = none */
	/* What was seen last, to fold and to find the latest. */
	struct bytes last_key, last_prefix; /* absolute; relative */
	bool has_last_key, has_last_prefix;
	size_t skipped;
};

#define LIST_SELECT "SELECT " OBJECT_COLUMNS " FROM objects o WHERE o.bucket_id = $1 AND "
#define LIST_ALIVE " AND (o.expires_at IS NULL OR o.expires_at > $5) "
#define LIST_COMMITTED "AND o.age < 0" LIST_ALIVE "ORDER BY o.object_key, o.age LIMIT $4"
#define LIST_PENDING                                                                               \
	"AND o.age > 0 AND o.status = 1" LIST_ALIVE "ORDER BY o.object_key, o.age DESC LIMIT $4"

/* [pending][AT_WITHIN, with stop, without][AT_KEY, AT_AFTER]; $3 is the age or the stop. */
static const char *const within_sql[2] = {
	LIST_SELECT "o.object_key = $2 AND o.age > $3 " LIST_COMMITTED,
	LIST_SELECT "o.object_key = $2 AND o.age < $3 " LIST_PENDING,
};
static const char *const stop_sql[2][2] = {
	{ LIST_SELECT "o.object_key >= $2 AND o.object_key < $3 " LIST_COMMITTED,
	  LIST_SELECT "o.object_key > $2 AND o.object_key < $3 " LIST_COMMITTED },
	{ LIST_SELECT "o.object_key >= $2 AND o.object_key < $3 " LIST_PENDING,
	  LIST_SELECT "o.object_key > $2 AND o.object_key < $3 " LIST_PENDING },
};
/* $3 is bound but says nothing here. */
static const char *const open_sql[2][2] = {
	{ LIST_SELECT "o.object_key >= $2 AND $3 = 0 " LIST_COMMITTED,
	  LIST_SELECT "o.object_key > $2 AND $3 = 0 " LIST_COMMITTED },
	{ LIST_SELECT "o.object_key >= $2 AND $3 = 0 " LIST_PENDING,
	  LIST_SELECT "o.object_key > $2 AND $3 = 0 " LIST_PENDING },
};

static enum err query(struct call *call, struct db_tx *tx, const struct walk *w, size_t chunk,
		      struct db_rows **ret)
{
	const struct listing *l = w->l;
	const char *sql;
	struct db_value third;

	if (w->seek == AT_WITHIN) {
		sql = within_sql[l->pending];
		third = DB_V_INT(store_version_age(w->version));
	} else if (w->stop.len) {
		sql = stop_sql[l->pending][w->seek == AT_AFTER];
		third = DB_V_BLOB(w->stop);
	} else {
		sql = open_sql[l->pending][w->seek == AT_AFTER];
		third = DB_V_INT(0);
	}
	return DB_QUERY(call, tx, sql, ret, DB_V_INT(l->bucket_id), DB_V_BLOB(w->key), third,
			DB_V_INT((int64_t)chunk), DB_V_INT(l->now_ns));
}

static enum err no_memory(struct call *call)
{
	return call_fail(call, ERR_NO_MEMORY, "no room for a listing");
}

/* A copy of v; an empty one is not a failure. */
static bool copy(struct arena *a, struct bytes v, struct bytes *ret)
{
	struct bytes c = arena_bytes(a, v);

	if (v.len && !c.data)
		return false;
	*ret = c;
	return true;
}

/* The next item; NULL and `more` when the page is full, or NULL without memory. */
static struct listing_item *emit(struct walk *w)
{
	if (w->count == w->l->limit) {
		w->more = true;
		return NULL;
	}
	if (w->count == w->cap) {
		size_t cap = MIN(w->cap ? w->cap * 4 : (size_t)ITEMS_MIN, w->l->limit);
		struct listing_item *bigger = arena_array(w->a, cap, sizeof(*bigger));
		if (!bigger)
			return NULL;
		if (w->count)
			memcpy(bigger, w->items, w->count * sizeof(*bigger));
		w->items = bigger;
		w->cap = cap;
	}
	return &w->items[w->count++];
}

enum step { STEP_ON, STEP_SEEK, STEP_STOP, STEP_NO_MEMORY };

static enum step take_prefix(struct walk *w, struct bytes prefix)
{
	if (w->has_last_prefix && bytes_equal(prefix, w->last_prefix)) {
		if (++w->skipped < SKIP_MAX)
			return STEP_ON;
		uint8_t *next = arena_alloc(w->a, w->l->prefix.len + prefix.len);
		uint8_t *full = arena_alloc(w->a, w->l->prefix.len + prefix.len);
		if (!next || !full)
			return STEP_NO_MEMORY;
		if (w->l->prefix.len)
			memcpy(full, w->l->prefix.data, w->l->prefix.len);
		memcpy(full + w->l->prefix.len, prefix.data, prefix.len);
		w->key = listing_after_prefix(BYTES(full, w->l->prefix.len + prefix.len), next);
		w->seek = w->key.len ? AT_KEY : AT_END;
		return STEP_SEEK;
	}
	struct listing_item *item = emit(w);
	if (!item)
		return w->more ? STEP_STOP : STEP_NO_MEMORY;
	if (!copy(w->a, prefix, &w->last_prefix))
		return STEP_NO_MEMORY;
	w->has_last_prefix = true;
	w->skipped = 0;
	item->object.key = w->last_prefix;
	item->object.status = OBJECT_PREFIX;
	return STEP_ON;
}

/* One row in order; absolute is its whole key, rel the part behind the prefix. */
static enum err take_row(struct call *call, struct walk *w, const struct db_rows *rows,
			 enum step *ret)
{
	const struct listing *l = w->l;
	struct bytes key = db_bytes(rows, 1);
	struct bytes rel = bytes_from(key, l->prefix.len);
	size_t fold = l->recursive ? 0 : listing_fold(rel, l->delimiter);

	if (fold) {
		*ret = take_prefix(w, BYTES(rel.data, fold));
		return *ret == STEP_NO_MEMORY ? no_memory(call) : OK;
	}
	bool first = !w->has_last_key || !bytes_equal(key, w->last_key);
	if (first) {
		if (!copy(w->a, key, &w->last_key))
			return no_memory(call);
		w->has_last_key = true;
		w->skipped = 0;
	} else if (!l->all_versions && !l->pending) {
		if (++w->skipped < SKIP_MAX) {
			*ret = STEP_ON;
			return OK;
		}
		w->key = w->last_key;
		w->seek = AT_AFTER;
		*ret = STEP_SEEK;
		return OK;
	}
	w->version = store_version_age(db_int(rows, 2));
	*ret = STEP_ON;
	if (!l->all_versions && status_is_marker((enum object_status)db_int(rows, 4)))
		return OK;
	struct listing_item *item = emit(w);
	if (!item) {
		*ret = STEP_STOP;
		return w->more ? OK : no_memory(call);
	}
	TRY_PLAIN(store_object_read(call, rows, w->a, &item->object));
	item->object.key = bytes_from(w->last_key, l->prefix.len);
	item->is_latest = first && l->all_versions && !l->pending;
	return OK;
}

/* Goes on behind the last row of a chunk that was full. */
static void go_on(struct walk *w, bool folded_last)
{
	if (folded_last) {
		/* Rows of this prefix are skipped until the seek behind it. */
		w->seek = AT_AFTER;
		return;
	}
	w->key = w->last_key;
	w->seek = w->l->all_versions || w->l->pending ? AT_WITHIN : AT_AFTER;
}

static enum err take_chunk(struct call *call, struct db_tx *tx, struct walk *w, size_t chunk,
			   bool *ret_sought)
{
	struct db_rows *rows = NULL;
	enum step step = STEP_ON;
	struct bytes row_key = BYTES_NONE;
	bool folded = false;
	size_t n = 0;
	enum err e;

	TRY(query(call, tx, w, chunk, &rows), "list objects");
	while (!(e = db_rows_next(call, rows))) {
		n++;
		e = take_row(call, w, rows, &step);
		if (e || step != STEP_ON)
			break;
		if (n == chunk) {
			struct bytes key = db_bytes(rows, 1);
			folded = !w->l->recursive &&
				 listing_fold(bytes_from(key, w->l->prefix.len), w->l->delimiter);
			if (folded && !copy(w->a, key, &row_key))
				e = no_memory(call);
			break;
		}
	}
	db_rows_free(rows);
	if (e && e != ERR_NOT_FOUND)
		return e;
	*ret_sought = step == STEP_SEEK;
	if (step == STEP_SEEK)
		return OK;
	if (step == STEP_STOP || (n < chunk && w->seek != AT_WITHIN)) {
		w->seek = AT_END;
	} else if (n < chunk) {
		w->seek = AT_AFTER; /* the rest of that key is done */
	} else {
		if (folded)
			w->key = row_key;
		go_on(w, folded);
	}
	return OK;
}

/* The latest of a key whose versions are listed on several pages was on the first of them. */
static enum err was_latest_seen(struct call *call, struct db_tx *tx, struct walk *w)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT 1 FROM objects o WHERE o.bucket_id = $1 AND o.object_key = $2 "
			   "AND o.age <= $3 AND " OBJECT_VISIBLE("$4") " LIMIT 1",
			   &rows, DB_V_INT(w->l->bucket_id), DB_V_BLOB(w->key),
			   DB_V_INT(store_version_age(w->version)), DB_V_INT(w->l->now_ns)));
	enum err e = db_rows_next(call, rows);
	db_rows_free(rows);
	if (e == OK) {
		w->last_key = w->key;
		w->has_last_key = true;
	}
	return e == ERR_NOT_FOUND ? OK : e;
}

/* A cursor within a folded prefix is behind all of it. */
static enum err start(struct call *call, struct db_tx *tx, struct walk *w)
{
	const struct listing *l = w->l;

	w->key = l->prefix;
	w->seek = AT_KEY;
	if (!l->has_cursor || bytes_compare(l->cursor_key, l->prefix) < 0)
		return OK;
	if (!bytes_has_prefix(l->cursor_key, l->prefix)) {
		w->seek = AT_END; /* beyond all keys with the prefix */
		return OK;
	}
	struct bytes rel = bytes_from(l->cursor_key, l->prefix.len);
	size_t fold = l->recursive ? 0 : listing_fold(rel, l->delimiter);
	if (fold) {
		uint8_t *next = arena_alloc(w->a, l->prefix.len + fold);
		if (!next)
			return no_memory(call);
		w->key = listing_after_prefix(BYTES(l->cursor_key.data, l->prefix.len + fold),
					      next);
		w->seek = w->key.len ? AT_KEY : AT_END;
		return OK;
	}
	w->key = l->cursor_key;
	w->seek = AT_AFTER;
	if (l->has_cursor_version && (l->all_versions || l->pending)) {
		w->version = l->cursor_version;
		w->seek = AT_WITHIN;
		if (!l->pending)
			return was_latest_seen(call, tx, w);
	}
	return OK;
}

enum err listing_read(struct call *call, struct db_tx *tx, const struct listing *l,
		      struct listing_page *ret)
{
	struct walk w = { .l = l, .a = &call->scratch };
	size_t most = l->limit + 1, chunk = l->recursive ? most : MIN(most, (size_t)CHUNK_FOLDED);

	uint8_t *stop = arena_alloc(w.a, l->prefix.len + 1);
	if (!stop)
		return no_memory(call);
	w.stop = listing_after_prefix(l->prefix, stop);
	TRY_PLAIN(start(call, tx, &w));
	while (w.seek != AT_END) {
		bool sought = false;
		TRY_PLAIN(take_chunk(call, tx, &w, chunk, &sought));
		chunk = sought ? MIN(most, (size_t)CHUNK_AFTER_SKIP) : MIN(most, chunk * 2);
	}
	*ret = (struct listing_page){ w.items, w.count, w.more };
	return OK;
}
