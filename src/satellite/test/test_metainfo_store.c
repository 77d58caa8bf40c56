/* Objects and listings against a real database: `test_metainfo_store sqlite|postgres`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "db/test/number.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "os/random.h"
#include "os/thread.h"
#include "satellite/listing.h"
#include "satellite/object.h"
#include "satellite/piece_list.h"
#include "satellite/satellite.h"
#include "satellite/store_metainfo.h"

#define NOW (INT64_C(1764000000) * NS_PER_SEC)

static const char *kind = "sqlite";

struct world {
	struct call call;
	struct db *db;
	struct project_id project;
	struct node_aliases *aliases;
	const char *dir;
};

/* ---- work of one step, for tests ---- */

struct step {
	struct world *w;
	enum err (*run)(struct call *call, struct db_tx *tx, struct step *s);
	struct bytes bucket;
	void *arg;
	struct bucket found;
};

static enum err step_run(struct call *call, struct db_tx *tx, void *arg)
{
	struct step *s = arg;

	TRY_PLAIN(bucket_find(call, tx, &s->w->project, s->bucket, &s->found));
	return s->run(call, tx, s);
}

static enum err do_write(struct world *w, struct step s)
{
	s.w = w;
	call_clear_error(&w->call);
	return db_write(&w->call, w->db, step_run, &s);
}

struct put_bucket {
	struct world *w;
	struct bucket bucket;
};

static enum err run_put_bucket(struct call *call, struct db_tx *tx, void *arg)
{
	struct put_bucket *p = arg;

	return store_bucket_put(call, tx, &p->w->project, &p->bucket);
}

static void make_bucket(struct world *w, const char *name, enum versioning versioning)
{
	struct bucket b = {
		.id = 1 + (int64_t)os_random_below(INT64_MAX),
		.name = bytes_str(name),
		.created_ns = NOW,
		.versioning = versioning,
	};
	struct put_bucket arg = { w, b };

	assert_int_equal(db_write(&w->call, w->db, run_put_bucket, &arg), OK);
}

static enum err run_wipe(struct call *call, struct db_tx *tx, void *arg)
{
	static const char *const tables[] = { "objects", "segments", "buckets", "node_aliases" };

	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		TRY_PLAIN(db_exec(call, tx,
				  arena_printf(&call->scratch, "DELETE FROM %s", tables[i]), NULL,
				  0, NULL));
	return OK;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const char *url;

	call_init(&w->call);
	if (strcmp(kind, "postgres") == 0) {
		url = os_getenv("ACRE_TEST_POSTGRES");
	} else {
		w->dir = arena_printf(&w->call.scratch, "/tmp/acre-test-metainfo.%llx",
				      (unsigned long long)os_random_below(INT64_MAX));
		url = arena_printf(&w->call.scratch, "sqlite:%s", w->dir);
	}
	enum err e = db_open(&w->call, url, &w->db);
	if (!e)
		e = db_migrate(&w->call, w->db, satellite_migrations, satellite_migrations_count);
	if (!e)
		e = db_write(&w->call, w->db, run_wipe, NULL);
	if (e)
		fail_msg("%s", call_error(&w->call, e));
	os_random(w->project.b, sizeof(w->project.b));
	w->aliases = node_aliases_new();
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	db_close(w->db);
	node_aliases_free(w->aliases);
	for (size_t i = 0; w->dir && i < 3; i++) {
		static const char *const ends[] = { "", "-wal", "-shm" };
		const char *path = arena_printf(&w->call.scratch, "%s%s", w->dir, ends[i]);
		remove(path);
	}
	call_fini(&w->call);
	free(w);
	return 0;
}

/* ---- uploads ---- */

struct upload {
	const char *bucket, *key;
	size_t segments; /* remote ones of 100 plain bytes each */
	bool is_inline, deny_delete, if_none_match;
	int64_t expires_ns;
	struct object result;
	struct stream stream;
};

static enum err run_upload(struct call *call, struct db_tx *tx, struct step *s)
{
	struct upload *u = s->arg;
	struct begin_object b = {
		.stream = {
			.project = s->w->project,
			.bucket = bytes_str(u->bucket),
			.key = bytes_str(u->key),
			.version = -1 - (int64_t)os_random_below(INT64_MAX),
			.created_ns = NOW,
			.expires_ns = u->expires_ns,
			.cipher = 2,
			.block_size = 7424,
		},
		.data = { .metadata = BYTES("m", 1), .nonce = BYTES("123456789012345678901234", 24),
			  .key = BYTES("k", 1) },
		.now_ns = NOW,
	};
	struct commit_object c = {
		.stream = &b.stream,
		.may_delete = !u->deny_delete,
		.if_none_match = u->if_none_match,
		.min_part_size = 5 << 20,
		.now_ns = NOW,
	};
	struct put_segment p = {
		.stream = &b.stream,
		.segment = { .key = BYTES("sk", 2), .nonce = BYTES("n", 1), .created_ns = NOW },
		.aliases = s->w->aliases,
	};
	struct node_id nodes[3] = { { { 1 } }, { { 2 } }, { { 3 } } };
	uint32_t numbers[3] = { 0, 1, 4 }, found[3];

	stream_uuid_new(&b.stream.uuid);
	if (u->is_inline) {
		p.segment.is_inline = true;
		p.segment.inline_data = BYTES("inline", 6);
		p.segment.encrypted_size = 6;
		p.segment.plain_size = 3;
		TRY_PLAIN(object_put_inline(call, tx, &b, &p, &c));
		u->result = c.result;
		return OK;
	}
	TRY_PLAIN(object_begin(call, tx, &b));
	p.nodes = nodes;
	p.numbers = numbers;
	p.count = 3;
	p.aliases_found = found;
	p.segment.redundancy = (struct scheme){ 2, 3, 3, 5, 256 };
	p.segment.encrypted_size = 120;
	p.segment.plain_size = 100;
	for (size_t i = 0; i < u->segments; i++) {
		p.segment.position = (int64_t)(u->segments - 1 - i); /* out of order */
		TRY_PLAIN(object_put_segment(call, tx, &p, NULL));
	}
	u->stream = b.stream;
	TRY_PLAIN(object_commit(call, tx, &c, NULL));
	u->result = c.result;
	return OK;
}

static enum err upload(struct world *w, struct upload *u)
{
	return do_write(
		w, (struct step){ .run = run_upload, .bucket = bytes_str(u->bucket), .arg = u });
}

static struct object put(struct world *w, const char *bucket, const char *key)
{
	struct upload u = { .bucket = bucket, .key = key, .is_inline = true };
	enum err e = upload(w, &u);

	if (e)
		fail_msg("put %s: %s", key, call_error(&w->call, e));
	return u.result;
}

static int64_t count_rows(struct world *w, const char *sql)
{
	int64_t n = -1;

	assert_int_equal(db_test_number(&w->call, w->db, sql, &n), OK);
	return n;
}

static void test_upload(void **state)
{
	struct world *w = *state;
	struct upload u = { .bucket = "up", .key = "a", .segments = 3 };

	make_bucket(w, "up", VERSIONING_OFF);
	assert_int_equal(upload(w, &u), OK);
	assert_int_equal(u.result.status, OBJECT_COMMITTED);
	assert_int_equal(u.result.version, 1);
	assert_int_equal(u.result.plain_size, 300);
	assert_int_equal(u.result.encrypted_size, 360);
	assert_int_equal(u.result.segment_count, 3);
	assert_int_equal(u.result.fixed_segment_size, 100);
	assert_true(bytes_equal(u.result.data.metadata, bytes_str("m")));
	struct stream_uuid first = u.result.stream;
	/* Overwriting keeps the number, takes the old segments along, wants the Delete right. */
	u.deny_delete = true;
	assert_int_equal(upload(w, &u), ERR_PERMISSION);
	u.deny_delete = false;
	u.if_none_match = true;
	assert_int_equal(upload(w, &u), ERR_PRECONDITION);
	assert_non_null(strstr(w->call.error, "object already exists"));
	u.if_none_match = false;
	assert_int_equal(upload(w, &u), OK);
	assert_int_equal(u.result.version, 1);
	assert_memory_not_equal(first.b, u.result.stream.b, STREAM_UUID_BYTES);
	assert_int_equal(count_rows(w, "SELECT COUNT(*) FROM objects"), 1);
	assert_int_equal(count_rows(w, "SELECT COUNT(*) FROM segments"), 3);
	/* Inline in place of remote, and nothing left behind by what failed. */
	u.is_inline = true;
	assert_int_equal(upload(w, &u), OK);
	assert_int_equal(count_rows(w, "SELECT COUNT(*) FROM objects"), 1);
	assert_int_equal(count_rows(w, "SELECT COUNT(*) FROM segments"), 1);
	u.bucket = "missing";
	assert_int_equal(upload(w, &u), ERR_NOT_FOUND);
	assert_string_equal(w->call.error, "bucket not found: missing");
}

static enum err run_segments(struct call *call, struct db_tx *tx, struct step *s)
{
	struct segment *list = NULL;
	size_t count = 0;
	struct piece pieces[PIECE_LIST_MAX];
	struct upload *u = s->arg;
	struct plain_range range = { 100, 201 };

	TRY_PLAIN(
		store_segment_list(call, tx, &u->result.stream, 0, NULL, true, 10, &list, &count));
	assert_int_equal(count, 3);
	for (size_t i = 0; i < count; i++) {
		size_t n = 0;
		assert_int_equal(list[i].position, i);
		assert_int_equal(list[i].plain_offset, i * 100);
		assert_false(list[i].is_inline);
		assert_int_equal(list[i].redundancy.total, 5);
		TRY_PLAIN(piece_list_decode(call, list[i].pieces, pieces, &n));
		assert_int_equal(n, 3);
		assert_int_equal(pieces[2].number, 4);
	}
	TRY_PLAIN(store_segment_list(call, tx, &u->result.stream, 0, &range, false, 10, &list,
				     &count));
	assert_int_equal(count, 2);
	assert_int_equal(list[0].position, 1);
	range = (struct plain_range){ -5, 1 };
	TRY_PLAIN(store_segment_list(call, tx, &u->result.stream, 0, &range, false, 10, &list,
				     &count));
	assert_int_equal(count, 1);
	range = (struct plain_range){ 300, 400 };
	TRY_PLAIN(store_segment_list(call, tx, &u->result.stream, 0, &range, false, 10, &list,
				     &count));
	assert_int_equal(count, 0);
	return OK;
}

static void test_segments(void **state)
{
	struct world *w = *state;
	struct upload u = { .bucket = "seg", .key = "a", .segments = 3 };
	struct node_id ids[3];

	make_bucket(w, "seg", VERSIONING_OFF);
	assert_int_equal(upload(w, &u), OK);
	assert_int_equal(do_write(w, (struct step){ .run = run_segments,
						    .bucket = bytes_str("seg"),
						    .arg = &u }),
			 OK);
	struct piece pieces[] = { { 0, 1 }, { 1, 2 }, { 4, 3 } };
	assert_int_equal(node_aliases_find(&w->call, w->db, w->aliases, pieces, 3, ids), OK);
	assert_int_equal(ids[0].b[0] + ids[1].b[0] + ids[2].b[0], 6);
	pieces[0].alias = 99;
	assert_int_equal(node_aliases_find(&w->call, w->db, w->aliases, pieces, 3, ids),
			 ERR_DATA_LOSS);
}

/* ---- deletes, versions ---- */

static enum err run_delete(struct call *call, struct db_tx *tx, struct step *s)
{
	return object_remove(call, tx, &s->found, s->arg);
}

static enum err delete (struct world *w, const char *bucket, struct delete_object *d) {
	d->now_ns = NOW;
	return do_write(w,
			(struct step){ .run = run_delete, .bucket = bytes_str(bucket), .arg = d });
}

static enum err run_find(struct call *call, struct db_tx *tx, struct step *s)
{
	return object_find(call, tx, s->arg);
}

static enum err find(struct world *w, const char *bucket, const char *key, struct object *ret)
{
	struct find_object f = {
		.project = w->project,
		.bucket = bytes_str(bucket),
		.key = bytes_str(key),
		.now_ns = NOW,
	};
	enum err e = do_write(
		w, (struct step){ .run = run_find, .bucket = bytes_str(bucket), .arg = &f });

	if (!e)
		*ret = f.result;
	return e;
}

static void test_versions(void **state)
{
	struct world *w = *state;
	struct object first, second, o;
	struct delete_object d = { .key = bytes_str("k") };

	make_bucket(w, "ver", VERSIONING_ON);
	first = put(w, "ver", "k");
	second = put(w, "ver", "k");
	assert_int_equal(first.status, OBJECT_VERSIONED);
	assert_int_equal(second.version, first.version + 1);
	assert_int_equal(find(w, "ver", "k", &o), OK);
	assert_int_equal(o.version, second.version);
	assert_int_equal(delete (w, "ver", &d), OK);
	assert_true(d.was_marked && !d.was_removed);
	assert_int_equal(d.marker.status, MARKER_VERSIONED);
	assert_int_equal(find(w, "ver", "k", &o), ERR_NOT_FOUND);
	assert_non_null(strstr(w->call.error, "object not found: "));
	/* The marker goes by its version; the object is back. */
	struct delete_object exact = { .key = bytes_str("k"),
				       .has_version = true,
				       .version = d.marker.version };
	assert_int_equal(delete (w, "ver", &exact), OK);
	assert_true(exact.was_removed);
	assert_int_equal(find(w, "ver", "k", &o), OK);
	assert_int_equal(o.version, second.version);
	exact.check_suffix = true;
	exact.version = second.version;
	assert_int_equal(delete (w, "ver", &exact), OK);
	assert_false(exact.was_removed);
	/* A marker even for what never was. */
	struct delete_object none = { .key = bytes_str("never") };
	assert_int_equal(delete (w, "ver", &none), OK);
	assert_true(none.was_marked);
	assert_int_equal(none.marker.version, 1);
}

static void test_plain_delete(void **state)
{
	struct world *w = *state;
	struct delete_object d = { .key = bytes_str("k") };
	struct upload expired = {
		.bucket = "del", .key = "old", .is_inline = true, .expires_ns = NOW - 1
	};
	struct object o;

	make_bucket(w, "del", VERSIONING_OFF);
	put(w, "del", "k");
	assert_int_equal(delete (w, "del", &d), OK);
	assert_true(d.was_removed && !d.was_marked);
	assert_int_equal(delete (w, "del", &d), OK);
	assert_false(d.was_removed);
	assert_int_equal(upload(w, &expired), OK);
	assert_int_equal(find(w, "del", "old", &o), ERR_NOT_FOUND);
	d.key = bytes_str("old");
	assert_int_equal(delete (w, "del", &d), OK);
	assert_false(d.was_removed);
}

/* ---- copy and move ---- */

static enum err run_copy(struct call *call, struct db_tx *tx, struct step *s)
{
	return object_finish_copy(call, tx, s->arg);
}

static enum err run_move(struct call *call, struct db_tx *tx, struct step *s)
{
	return object_finish_move(call, tx, s->arg);
}

static struct finish_copy a_copy(struct world *w, const struct object *o, const char *bucket,
				 const char *key, struct segment_key *keys)
{
	struct finish_copy f = {
		.source = {
			.project = w->project,
			.bucket = bytes_str("cp"),
			.bucket_id = o->bucket_id,
			.key = o->key,
			.version = o->version,
			.uuid = o->stream,
		},
		.new_bucket = bytes_str(bucket),
		.new_key = bytes_str(key),
		.keys = keys,
		.keys_count = (size_t)o->segment_count,
		.data = { .key = BYTES("new", 3), .nonce = BYTES("NNN", 3) },
		.may_delete = true,
		.now_ns = NOW,
	};

	for (int64_t i = 0; i < o->segment_count; i++)
		keys[i] = (struct segment_key){ i, BYTES("new key", 7), BYTES("new nonce", 9) };
	stream_uuid_new(&f.new_uuid);
	return f;
}

static void test_copy_and_move(void **state)
{
	struct world *w = *state;
	struct upload u = { .bucket = "cp", .key = "from", .segments = 2 };
	struct segment_key keys[2];
	struct object o;

	make_bucket(w, "cp", VERSIONING_OFF);
	make_bucket(w, "cp2", VERSIONING_ON);
	assert_int_equal(upload(w, &u), OK);
	struct step s = { .run = run_copy, .bucket = bytes_str("cp") };
	struct finish_copy f = a_copy(w, &u.result, "cp2", "to", keys);
	s.arg = &f;
	assert_int_equal(do_write(w, s), OK);
	assert_int_equal(f.result.status, OBJECT_VERSIONED);
	assert_int_equal(f.result.plain_size, 200);
	assert_true(bytes_equal(f.result.data.key, bytes_str("new")));
	assert_true(bytes_equal(f.result.data.metadata, bytes_str("m")));
	assert_int_equal(count_rows(w, "SELECT COUNT(*) FROM segments"), 4);
	assert_int_equal(count_rows(w, "SELECT COUNT(DISTINCT pieces) FROM segments"), 1);
	/* Onto itself, and a stale source. */
	struct finish_copy self = a_copy(w, &u.result, "cp", "from", keys);
	s.arg = &self;
	assert_int_equal(do_write(w, s), OK);
	struct finish_copy stale = a_copy(w, &u.result, "cp", "x", keys);
	s.arg = &stale;
	assert_int_equal(do_write(w, s), ERR_NOT_FOUND);
	assert_string_equal(w->call.error, "object not found: object was changed during copy");
	struct finish_copy few = a_copy(w, &self.result, "cp", "x", keys);
	few.keys_count = 1;
	s.arg = &few;
	assert_int_equal(do_write(w, s), ERR_INVALID);
	/* Move over another object, then onto itself. */
	put(w, "cp", "target");
	struct finish_copy m = a_copy(w, &self.result, "cp", "target", keys);
	m.may_delete = false;
	s = (struct step){ .run = run_move, .bucket = bytes_str("cp"), .arg = &m };
	assert_int_equal(do_write(w, s), ERR_PERMISSION);
	m.may_delete = true;
	assert_int_equal(do_write(w, s), OK);
	assert_int_equal(find(w, "cp", "from", &o), ERR_NOT_FOUND);
	assert_int_equal(find(w, "cp", "target", &o), OK);
	assert_memory_equal(o.stream.b, self.result.stream.b, STREAM_UUID_BYTES);
	struct finish_copy again = a_copy(w, &o, "cp", "target", keys);
	again.may_delete = false;
	s.arg = &again;
	assert_int_equal(do_write(w, s), OK);
	assert_int_equal(find(w, "cp", "target", &o), OK);
	assert_int_equal(count_rows(w, "SELECT COUNT(*) FROM objects"), 2);
	assert_int_equal(count_rows(w, "SELECT COUNT(*) FROM segments"), 4);
}

/* ---- listings against a model ---- */

enum { MODEL_ROWS_MAX = 400, MODEL_ITEMS_MAX = 800 };

struct model_row {
	char key[16];
	int64_t version;
	enum object_status status;
	int64_t expires_ns;
};

struct model {
	struct model_row rows[MODEL_ROWS_MAX];
	size_t count;
};

struct model_item {
	char key[16];
	int64_t version; /* 0 = a prefix */
	bool latest;
};

static int compare_rows(const void *a, const void *b)
{
	const struct model_row *x = a, *y = b;
	int c = strcmp(x->key, y->key);

	return c ? c : (x->version < y->version) - (x->version > y->version);
}

/* Everything a listing without limit shows, by the definition in metainfo.md 5.12. */
static size_t model_list(const struct model *m, const struct listing *l, struct model_item *items)
{
	size_t n = 0;
	const char *last_key = "\x7f none";
	size_t order[MODEL_ROWS_MAX];

	for (size_t i = 0; i < m->count; i++)
		order[i] = i;
	/* Rows are sorted newest version first; pending ones are listed oldest first. */
	for (size_t i = 0; l->pending && i < m->count;) {
		size_t end = i;
		while (end < m->count && !strcmp(m->rows[end].key, m->rows[i].key))
			end++;
		for (size_t k = i; k < end; k++)
			order[k] = end - 1 - (k - i);
		i = end;
	}
	for (size_t k = 0; k < m->count; k++) {
		const struct model_row *r = &m->rows[order[k]];
		if ((r->status == OBJECT_PENDING) != l->pending ||
		    (r->expires_ns && r->expires_ns <= l->now_ns))
			continue;
		if (strncmp(r->key, (const char *)l->prefix.data, l->prefix.len))
			continue;
		const char *rel = r->key + l->prefix.len;
		const char *slash = l->recursive ? NULL : strchr(rel, '/');
		if (slash) {
			size_t len = (size_t)(slash - rel) + 1;
			if (n && !items[n - 1].version && strlen(items[n - 1].key) == len &&
			    !strncmp(items[n - 1].key, rel, len))
				continue;
			items[n] = (struct model_item){ 0 };
			memcpy(items[n++].key, rel, len);
			continue;
		}
		bool first = strcmp(last_key, r->key) != 0;
		last_key = r->key;
		if (!first && !l->all_versions && !l->pending)
			continue;
		if (!l->all_versions && status_is_marker(r->status))
			continue;
		items[n] = (struct model_item){ .version = r->version, .latest = first };
		memcpy(items[n++].key, rel, strlen(rel) + 1);
	}
	return n;
}

struct fill {
	struct model *m;
	int64_t bucket_id;
};

static enum err run_fill(struct call *call, struct db_tx *tx, struct step *s)
{
	struct fill *f = s->arg;

	f->bucket_id = s->found.id;
	for (size_t i = 0; i < f->m->count; i++) {
		const struct model_row *r = &f->m->rows[i];
		struct object o = {
			.bucket_id = s->found.id,
			.key = bytes_str(r->key),
			.version = r->version,
			.status = r->status,
			.created_ns = NOW,
			.expires_ns = r->expires_ns,
		};
		stream_uuid_new(&o.stream);
		TRY_PLAIN(store_object_insert(call, tx, &o));
	}
	return OK;
}

static void make_model(struct model *m)
{
	static const char *const parts[] = { "a", "b", "c", "a/", "b/", "0", "~" };

	m->count = 0;
	while (m->count < 60 + os_random_below(100)) {
		struct model_row r = { .status = OBJECT_VERSIONED };
		size_t n = 1 + os_random_below(4), at = 0;
		for (size_t i = 0; i < n; i++) {
			const char *p = parts[os_random_below(ARRAY_LEN(parts))];
			memcpy(r.key + at, p, strlen(p));
			at += strlen(p);
		}
		size_t versions = os_random_below(8) ? 1 + os_random_below(3) : 20;
		for (size_t v = 1; v <= versions && m->count < MODEL_ROWS_MAX; v++) {
			r.version = (int64_t)v;
			r.status = os_random_below(4) ? OBJECT_VERSIONED : MARKER_VERSIONED;
			if (!os_random_below(6)) {
				r.status = OBJECT_PENDING;
				r.version = -(int64_t)v;
			}
			r.expires_ns = os_random_below(6) ? 0
							  : NOW - 5 + (int64_t)os_random_below(10);
			bool taken = false;
			for (size_t i = 0; i < m->count; i++)
				taken |= !strcmp(m->rows[i].key, r.key) &&
					 m->rows[i].version == r.version;
			if (!taken)
				m->rows[m->count++] = r;
		}
	}
	qsort(m->rows, m->count, sizeof(m->rows[0]), compare_rows);
}

struct page_step {
	struct listing l;
	struct listing_page page;
};

static enum err run_page(struct call *call, struct db_tx *tx, void *arg)
{
	struct page_step *p = arg;

	return listing_read(call, tx, &p->l, &p->page);
}

/* Pages through and compares with the model. */
static void compare_listing(struct world *w, const struct model *m, struct listing l)
{
	static struct model_item want[MODEL_ITEMS_MAX];
	size_t n = model_list(m, &l, want), at = 0;
	char cursor[64];

	for (size_t pages = 0; pages <= n + 1; pages++) {
		AUTO_CALL struct call call = CALL_INIT;
		call_init(&call);
		struct page_step p = { .l = l };
		enum err e = db_read(&call, w->db, run_page, &p);
		if (e)
			fail_msg("list: %s", call_error(&call, e));
		assert_true(p.page.count <= l.limit);
		for (size_t i = 0; i < p.page.count; i++, at++) {
			const struct listing_item *got = &p.page.items[i];
			assert_true(at < n);
			if (!bytes_equal(got->object.key, bytes_str(want[at].key)) ||
			    got->object.version != want[at].version)
				fail_msg("item %zu: got %.*s@%lld, want %s@%lld", at,
					 (int)got->object.key.len,
					 (const char *)got->object.key.data,
					 (long long)got->object.version, want[at].key,
					 (long long)want[at].version);
			if (l.all_versions && !l.pending && want[at].version)
				assert_int_equal(got->is_latest, want[at].latest);
		}
		if (!p.page.more)
			break;
		assert_true(p.page.count > 0);
		const struct listing_item *last = &p.page.items[p.page.count - 1];
		/* The item may lie where the cursor did. */
		char next[64];
		int len = snprintf(next, sizeof(next), "%.*s%.*s", (int)l.prefix.len,
				   (const char *)l.prefix.data, (int)last->object.key.len,
				   (const char *)last->object.key.data);
		memcpy(cursor, next, sizeof(cursor));
		l.has_cursor = true;
		l.cursor_key = BYTES(cursor, (size_t)len);
		l.has_cursor_version = last->object.status != OBJECT_PREFIX &&
				       (l.all_versions || l.pending);
		l.cursor_version = last->object.version;
	}
	assert_int_equal(at, n);
}

static void test_listing(void **state)
{
	struct world *w = *state;
	static const char *const prefixes[] = { "", "a/", "b/", "a/a/", "a", "nothing/" };
	static struct model m;
	char name[16];

	for (int round = 0; round < 12; round++) {
		snprintf(name, sizeof(name), "list%d", round);
		make_bucket(w, name, VERSIONING_ON);
		make_model(&m);
		struct fill f = { &m, 0 };
		assert_int_equal(do_write(w, (struct step){ .run = run_fill,
							    .bucket = bytes_str(name),
							    .arg = &f }),
				 OK);
		for (size_t i = 0; i < ARRAY_LEN(prefixes) * 2 * 3; i++) {
			struct listing l = {
				.bucket_id = f.bucket_id,
				.prefix = bytes_str(prefixes[i / 6]),
				.delimiter = bytes_str("/"),
				.recursive = i % 2,
				.pending = i / 2 % 3 == 1,
				.all_versions = i / 2 % 3 == 2,
				.now_ns = NOW,
			};
			static const size_t limits[] = { 1, 2, 7, 1000 };
			for (size_t k = 0; k < ARRAY_LEN(limits); k++) {
				l.limit = limits[k];
				compare_listing(w, &m, l);
			}
		}
	}
}

static void test_listing_cursor(void **state)
{
	struct world *w = *state;
	struct object o;

	make_bucket(w, "cur", VERSIONING_OFF);
	o = put(w, "cur", "a");
	put(w, "cur", "b/1");
	put(w, "cur", "b/2");
	put(w, "cur", "c");
	struct page_step p = { .l = { .bucket_id = o.bucket_id,
				      .delimiter = bytes_str("/"),
				      .limit = 10,
				      .has_cursor = true,
				      .now_ns = NOW } };
	static const struct {
		const char *cursor;
		bool recursive;
		size_t count;
	} cases[] = {
		{ "a", false, 2 },   { "a", true, 3 },	 { "b/", false, 1 },
		{ "b/1", false, 1 }, { "b/1", true, 2 }, { "b/", true, 3 },
		{ "b", false, 2 },   { "c", false, 0 },	 { "0", false, 3 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		p.l.cursor_key = bytes_str(cases[i].cursor);
		p.l.recursive = cases[i].recursive;
		assert_int_equal(db_read(&w->call, w->db, run_page, &p), OK);
		assert_int_equal(p.page.count, cases[i].count);
		assert_false(p.page.more);
	}
}

/* ---- numbers of nodes ---- */

enum { NUMBERED = 40, NUMBERERS = 4 };

struct numberer {
	struct world *w;
	struct os_thread *thread;
	struct node_id ids[NUMBERED];
	enum err result;
	char error[CALL_ERROR_MAX];
};

static void number_all(void *arg)
{
	struct numberer *n = arg;
	AUTO_CALL struct call call = CALL_INIT;
	struct node_aliases *own = node_aliases_new(); /* as another process has them */

	call_init(&call);
	n->result = own ? node_aliases_ensure(&call, n->w->db, own, n->ids, NUMBERED)
			: ERR_NO_MEMORY;
	snprintf(n->error, sizeof(n->error), "%.400s", call_error(&call, n->result));
	node_aliases_free(own);
}

/* Processes that meet the same new nodes at once, each in its own order: every node gets one
 * number, the same for all, and asking again changes nothing. */
static void test_numbers(void **state)
{
	struct world *w = *state;
	struct numberer n[NUMBERERS] = { 0 };
	struct node_id *ids = NULL, *same = NULL;
	uint32_t count = 0, again = 0, given = 0;

	for (unsigned i = 0; i < NUMBERERS; i++) {
		n[i].w = w;
		for (unsigned k = 0; k < NUMBERED; k++) {
			unsigned node = (k * (2 * i + 1) + 7 * i) % NUMBERED;
			memset(n[i].ids[k].b, (int)node + 1, sizeof(n[i].ids[k].b));
		}
		assert_int_equal(
			os_thread_start(&w->call, "numbers", number_all, &n[i], &n[i].thread), OK);
	}
	for (unsigned i = 0; i < NUMBERERS; i++) {
		os_thread_join(n[i].thread);
		if (n[i].result)
			fail_msg("%s", n[i].error);
	}
	assert_int_equal(node_aliases_all(&w->call, w->db, w->aliases, &ids, &count), OK);
	for (uint32_t alias = 1; alias < count; alias++) {
		given += !node_id_is_zero(&ids[alias]);
		for (uint32_t other = 1; other < alias; other++)
			assert_true(node_id_is_zero(&ids[alias]) ||
				    memcmp(&ids[alias], &ids[other], sizeof(ids[0])) != 0);
	}
	assert_int_equal(given, NUMBERED);
	assert_false(node_id_is_zero(&ids[count - 1]));
	/* What a process knows costs nothing; what only the database knows is found there. */
	struct node_aliases *fresh = node_aliases_new();
	assert_non_null(fresh);
	assert_int_equal(node_aliases_ensure(&w->call, w->db, fresh, n[0].ids, NUMBERED), OK);
	assert_int_equal(node_aliases_ensure(&w->call, w->db, fresh, n[1].ids, NUMBERED), OK);
	assert_int_equal(node_aliases_all(&w->call, w->db, fresh, &same, &again), OK);
	assert_int_equal(again, count);
	assert_memory_equal(ids, same, count * sizeof(ids[0]));
	free(ids);
	free(same);
	node_aliases_free(fresh);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_upload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_segments, setup, teardown),
		cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plain_delete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copy_and_move, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listing_cursor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
	};

	if (argc > 1)
		kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
