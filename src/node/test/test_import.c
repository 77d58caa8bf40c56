/* Taking over what Storj's node wrote: real bytes, made ones, damaged ones, and a death at every
 * operation of the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "crypto/xxh3.h"
#include "memdisk.h"
#include "node/go_format.h"
#include "node/import.h"
#include "node/order_log.h"
#include "node/piece_log.h"
#include "os/clock.h"
#include "proto/piecestore2.pb-c.h"
#include "proto/proto.h"
#include "vectors.h"

enum { SIZE_SMALL = 5000, SIZE_LARGE = STORE_BUFFER_BYTES + 999, PIECES = 8, SLOTS = 1 << 14 };

struct world {
	struct call call;
	struct piece_store *store;
	struct node_id node, satellite;
	struct import_config config;
	struct import_figures figures;
	unsigned damaged;
};

static int64_t today(void)
{
	return os_clock_unix_ns() / NS_PER_SEC / (24 * 3600);
}

static void note_damage(void *arg, const struct node_id *satellite, const struct piece_id *piece)
{
	((struct world *)arg)->damaged++;
}

static void open_store(struct world *w)
{
	const struct piece_store_config config = {
		.dir = "/ours", .node = w->node, .allocated = GIB, .segment_bytes = 1 << 20
	};

	call_fini(&w->call);
	call_init(&w->call);
	assert_int_equal(piece_store_open(&w->call, &config, &w->store), OK);
	assert_int_equal(piece_store_recover(&w->call, w->store), OK);
	w->config.store = w->store;
	w->config.node = w->node;
}

static void begin(struct world *w)
{
	memset(w, 0, sizeof(*w));
	call_init(&w->call);
	memdisk_reset(1);
	assert_int_equal(os_dir_make(&w->call, "/ours", false), OK);
	assert_int_equal(os_dir_make(&w->call, "/theirs", false), OK);
	w->node = (struct node_id){ { 9, 9 } };
	w->satellite = (struct node_id){ { 7 } };
	w->config = (struct import_config){ .from = "/theirs",
					    .logs = "hashstore",
					    .tables = "/theirs/hashstore",
					    .damaged = note_damage,
					    .arg = w };
}

static void end(struct world *w)
{
	AUTO_CALL struct call aside = CALL_INIT;

	piece_store_close(&aside, take(&w->store));
	call_fini(&w->call);
}

static void write_file(const char *path, struct bytes content)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	/* The directories above it, which the disk of the test must be told of. */
	for (const char *p = path + 1; (p = strchr(p, '/')); p++) {
		char dir[512];
		struct os_stat st;
		snprintf(dir, sizeof(dir), "%.*s", (int)(p - path), path);
		if (os_stat(&call, dir, &st))
			assert_int_equal(os_dir_make(&call, dir, false), OK);
	}
	assert_int_equal(os_file_write_all(&call, path, content, false), OK);
}

static void write_proof(const struct world *w)
{
	write_file("/theirs/storage-dir-verification", node_id_bytes(&w->node));
}

/* ---- what Storj's node would write ---- */

struct piece {
	struct piece_id id;
	int64_t expires_unix_ns; /* TIME_NONE = never */
	size_t size;
	uint8_t *data;
	uint8_t header[GO_HEADER_BYTES];
};

static Orders__OrderLimit *limit_of(const struct world *w, struct arena *a, const struct piece *p)
{
	Orders__OrderLimit *m = arena_alloc(a, sizeof(*m));

	orders__order_limit__init(m);
	m->satellite_id = (ProtobufCBinaryData){ NODE_ID_BYTES,
						 (uint8_t *)(uintptr_t)w->satellite.b };
	m->storage_node_id = (ProtobufCBinaryData){ NODE_ID_BYTES,
						    (uint8_t *)(uintptr_t)w->node.b };
	m->piece_id = (ProtobufCBinaryData){ PIECE_ID_BYTES, (uint8_t *)(uintptr_t)p->id.b };
	m->limit = (int64_t)p->size;
	m->piece_expiration = proto_time_new(a, p->expires_unix_ns);
	return m;
}

static void make_piece(const struct world *w, unsigned n, int64_t expires_unix_ns,
		       struct piece *ret)
{
	AUTO(arena_free) struct arena a = { 0 };
	static uint8_t signature[ED25519_SIGNATURE_BYTES] = { 5, 5 };
	Piecestore__PieceHeader m = PIECESTORE__PIECE_HEADER__INIT;
	struct piece p = { .id = { { (uint8_t)n, 0x21 } },
			   .expires_unix_ns = expires_unix_ns,
			   .size = n % 3 ? SIZE_SMALL + n : SIZE_LARGE + n };
	uint8_t hash[HASH_BYTES];

	p.data = malloc(p.size);
	for (size_t i = 0; i < p.size; i++)
		p.data[i] = (uint8_t)(i * 31 + n + (i >> 8));
	if (n % 2)
		hash_blake3(BYTES(p.data, p.size), hash);
	else
		hash_sha256(BYTES(p.data, p.size), hash);
	m.hash = (ProtobufCBinaryData){ sizeof(hash), hash };
	m.hash_algorithm = n % 2 ? ORDERS__PIECE_HASH_ALGORITHM__BLAKE3
				 : ORDERS__PIECE_HASH_ALGORITHM__SHA256;
	m.creation_time = proto_time_new(&a, NS_PER_SEC * 1700000000);
	m.signature = (ProtobufCBinaryData){ sizeof(signature), signature };
	m.order_limit = limit_of(w, &a, &p);
	size_t len = piecestore__piece_header__get_packed_size(&m);
	assert_true(len <= GO_HEADER_BYTES - 2);
	p.header[0] = (uint8_t)(len >> 8);
	p.header[1] = (uint8_t)len;
	piecestore__piece_header__pack(&m, p.header + 2);
	*ret = p;
}

static void blob_path(const struct world *w, const char *under, const struct piece *p,
		      char out[512])
{
	AUTO_BUF struct buf satellite = BUF_INIT(64), id = BUF_INIT(64);

	text_base32_lower(&satellite, node_id_bytes(&w->satellite));
	text_base32_lower(&id, BYTES_OF(p->id.b));
	int n = snprintf(out, 512, "/theirs/%s/%s", under[0] == 't' ? "trash" : "blobs",
			 buf_cstr(&satellite));
	snprintf(out + n, (size_t)(512 - n), "%s%s/%.2s/%s.sj1", under[0] == 't' ? "/" : "",
		 under[0] == 't' ? under + 6 : "", buf_cstr(&id), buf_cstr(&id) + 2);
}

/* under: "blobs", or "trash/<day>". */
static void write_blob(const struct world *w, const char *under, const struct piece *p)
{
	AUTO_BUF struct buf b = BUF_INIT(1 << 20);
	char path[512];

	buf_add(&b, p->header, sizeof(p->header));
	buf_add(&b, p->data, p->size);
	blob_path(w, under, p, path);
	write_file(path, buf_bytes(&b));
}

struct store_files {
	struct buf log, table;
	unsigned slots;
	bool appended;
};

static void store_begin(struct store_files *s, bool appended)
{
	uint8_t head[GO_TABLE_HEADER_BYTES] = "HTBL";

	*s = (struct store_files){ .log = BUF_INIT(16 << 20),
				   .table = BUF_INIT(16 << 20),
				   .appended = appended };
	head[8] = 1;
	head[9] = appended;
	head[17] = 14;
	put_be64(head + sizeof(head) - 8, xxh3_64(BYTES(head, sizeof(head) - 8)));
	buf_add(&s->table, head, sizeof(head));
	for (unsigned i = 0; !appended && i < SLOTS; i++)
		buf_add(&s->table, (uint8_t[GO_RECORD_BYTES]){ 0 }, GO_RECORD_BYTES);
}

/* The log does not know of the trash. */
static void add_as_stored(struct store_files *s, const uint8_t record[GO_RECORD_BYTES], bool trash)
{
	uint8_t r[GO_RECORD_BYTES];

	memcpy(r, record, sizeof(r));
	if (trash)
		memset(r + 53, 0, 3);
	put_le64(r + 56, xxh3_64(BYTES(r, 56)) >> 1);
	buf_add(&s->log, r, sizeof(r));
}

static void store_add(struct store_files *s, const struct piece *p, uint64_t log, uint32_t created,
		      uint32_t expires, bool trash)
{
	uint8_t r[GO_RECORD_BYTES] = { 0 };
	uint64_t offset = s->log.len;
	uint32_t length = (uint32_t)(p->size + GO_HEADER_BYTES), days = expires << 1 | trash;

	memcpy(r, p->id.b, PIECE_ID_BYTES);
	for (unsigned i = 0; i < 6; i++)
		r[32 + i] = (uint8_t)(offset >> 8 * i);
	put_le64(r + 38, log);
	put_le32(r + 46, length);
	for (unsigned i = 0; i < 3; i++) {
		r[50 + i] = (uint8_t)(created >> 8 * i);
		r[53 + i] = (uint8_t)(days >> 8 * i);
	}
	put_le64(r + 56, xxh3_64(BYTES(r, 56)) >> 1);
	buf_add(&s->log, p->data, p->size);
	buf_add(&s->log, p->header, GO_HEADER_BYTES);
	add_as_stored(s, r, trash);
	if (s->appended) {
		buf_add(&s->table, r, sizeof(r));
		return;
	}
	uint64_t slot = xxh3_64(BYTES_OF(p->id.b)) >> (64 - 14);
	memcpy(s->table.data + GO_TABLE_HEADER_BYTES + slot * GO_RECORD_BYTES, r, sizeof(r));
}

static void store_write(const struct world *w, struct store_files *s, unsigned number, uint64_t log)
{
	char path[512], id[NODE_ID_TEXT_MAX];

	node_id_text(&w->satellite, id);
	snprintf(path, sizeof(path), "/theirs/hashstore/%s/s%u/meta/hashtbl", id, number);
	write_file(path, buf_bytes(&s->table));
	snprintf(path, sizeof(path), "/theirs/hashstore/%s/s%u/%02x/log-%016llx-00000000", id,
		 number, (unsigned)(log & 0xff), (unsigned long long)log);
	write_file(path, buf_bytes(&s->log));
	buf_free(&s->log);
	buf_free(&s->table);
}

/* ---- checks ---- */

static enum err run(struct world *w)
{
	return import_run(&w->call, &w->config, &w->figures);
}

static void check_piece(struct world *w, const struct piece *p, bool trash)
{
	AUTO_FREE uint8_t *data = malloc(p->size), *head = malloc(RECORD_HEADER_MAX);
	struct piece_reader r = { 0 };
	struct piece_record record;

	assert_int_equal(piece_reader_open(&w->call, w->store, &w->satellite, &p->id, &r), OK);
	assert_int_equal(r.restored, trash);
	assert_int_equal(piece_reader_size(&r), p->size);
	assert_int_equal(piece_reader_read(&w->call, &r, data, p->size, 0), OK);
	assert_memory_equal(data, p->data, p->size);
	/* What a repair is given: as the uplink signed it. */
	assert_int_equal(piece_reader_record(&w->call, &r, head, &record), OK);
	assert_int_equal(record.uplink_signature[0], 5);
	assert_int_equal(record.created_unix_ns, NS_PER_SEC * 1700000000);
	assert_int_equal(record.order_amount, 0);
	assert_true(record.limit.len > PIECE_ID_BYTES);
	struct bytes limit = record.limit;
	bool found = false;
	for (size_t i = 0; i + limit.len <= GO_HEADER_BYTES; i++)
		found |= memcmp(p->header + i, limit.data, limit.len) == 0;
	assert_true(found);
	piece_reader_close(&r);
}

static void check_gone(struct world *w, const struct piece *p)
{
	struct piece_reader r = { 0 };

	assert_int_equal(piece_reader_open(&w->call, w->store, &w->satellite, &p->id, &r),
			 ERR_NOT_FOUND);
}

static bool there(const char *path)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_stat st;

	return os_stat(&call, path, &st) == OK;
}

static void free_pieces(struct piece *p, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(p[i].data);
}

/* ---- tests ---- */

static struct bytes table_of(struct arena *a, const json_t *v)
{
	size_t size = (size_t)vector_int(v, "size");
	struct bytes head = vector_unhex(a, vector_text(v, "head"));
	struct bytes sum = vector_unhex(a, vector_text(v, "checksum"));
	const json_t *slots = json_object_get(v, "slots"), *slot;
	uint8_t *p = arena_alloc(a, size);
	const char *number;

	memcpy(p, head.data, head.len);
	memcpy(p + GO_TABLE_HEADER_BYTES - 8, sum.data, 8);
	json_object_foreach((json_t *)(uintptr_t)slots, number, slot)
	{
		struct bytes r = vector_unhex(a, json_string_value(slot));
		memcpy(p + GO_TABLE_HEADER_BYTES + strtoul(number, NULL, 10) * GO_RECORD_BYTES,
		       r.data, r.len);
	}
	if (!slots) {
		struct bytes r = vector_unhex(a, vector_text(v, "records"));
		memcpy(p + GO_TABLE_HEADER_BYTES, r.data, r.len);
	}
	return BYTES(p, size);
}

static void path_of(const json_t *v, char out[512])
{
	snprintf(out, 512, "/theirs/%s", vector_text(v, "path"));
}

/* A blob and a log that a real node wrote. */
static void test_real(void **state)
{
	AUTO(arena_free) struct arena a = { 0 };
	json_t *root = vectors_load("go_storage");
	const json_t *blob = vector_get(root, "blob"), *log = vector_get(root, "log");
	const json_t *table = vector_get(root, "table"), *appended = vector_get(root, "appended");
	struct go_table t;
	struct world w;
	char path[512];

	begin(&w);
	struct bytes id = vector_unhex(&a, vector_text(root, "node_id"));
	memcpy(w.node.b, id.data, NODE_ID_BYTES);
	write_proof(&w);
	path_of(blob, path);
	write_file(path, vector_unhex(&a, vector_text(blob, "bytes")));
	path_of(log, path);
	write_file(path, vector_unhex(&a, vector_text(log, "bytes")));
	path_of(table, path);
	struct bytes wire = table_of(&a, table);
	write_file(path, wire);
	open_store(&w);
	/* The other seven of the table are in a log that is not here; the log's one has an end,
	 * which comes. */
	assert_int_equal(run(&w), OK);
	assert_int_equal(w.figures.taken + w.figures.expired, 2);
	assert_true(w.figures.taken >= 1);
	assert_int_equal(w.figures.damaged, 7);
	assert_int_equal(w.damaged, 7);

	assert_int_equal(
		go_table_read(&w.call, BYTES(wire.data, GO_TABLE_HEADER_BYTES), wire.len, &t), OK);
	assert_false(t.appended);
	for (uint64_t i = 0; i < t.records; i++) {
		struct go_record r;
		if (go_record_read(wire.data + GO_TABLE_HEADER_BYTES + i * GO_RECORD_BYTES, &r))
			assert_int_equal(go_table_slot(&t, &r.piece), i);
	}
	wire = table_of(&a, appended);
	assert_int_equal(
		go_table_read(&w.call, BYTES(wire.data, GO_TABLE_HEADER_BYTES), wire.len, &t), OK);
	assert_true(t.appended);
	assert_int_equal(t.records, 8);
	for (uint64_t i = 0; i < t.records; i++) {
		struct go_record r;
		assert_true(go_record_read(wire.data + GO_TABLE_HEADER_BYTES + i * GO_RECORD_BYTES,
					   &r));
		assert_true(r.log == 1 || (r.log == 2 && r.expires_day == 20794));
	}
	json_decref(root);
	end(&w);
}

/* Blobs, both stores, the trash; twice. */
static void test_all_ways(void **state)
{
	struct piece p[PIECES];
	struct store_files s;
	struct piece_space space;
	struct world w;
	char day[32], headless[512];

	begin(&w);
	write_proof(&w);
	for (unsigned n = 0; n < PIECES; n++)
		make_piece(&w, n, TIME_NONE, &p[n]);
	write_blob(&w, "blobs", &p[0]);
	write_blob(&w, "blobs", &p[1]);
	store_begin(&s, false);
	store_add(&s, &p[2], 1, (uint32_t)today() - 30, 0, false);
	store_add(&s, &p[3], 1, (uint32_t)today() - 30, (uint32_t)today() + 3, true);
	store_write(&w, &s, 0, 1);
	store_begin(&s, true);
	store_add(&s, &p[4], 0x1ff, (uint32_t)today(), 0, false);
	store_add(&s, &p[5], 0x1ff, (uint32_t)today() - 30, (uint32_t)today() - 20, true);
	store_write(&w, &s, 1, 0x1ff);
	AUTO_BUF struct buf text = BUF_INIT(64);
	text_add_time(&text, os_clock_unix_ns() - 2 * 24 * 3600 * NS_PER_SEC, false);
	snprintf(day, sizeof(day), "trash/%.10s", buf_cstr(&text));
	write_blob(&w, day, &p[6]);
	write_blob(&w, day, &p[0]); /* the live one counts */
	/* As nodes wrote them before 2019: no suffix, no header. */
	blob_path(&w, "blobs", &p[5], headless);
	headless[strlen(headless) - strlen(".sj1")] = 0;
	write_file(headless, BYTES(p[5].data, p[5].size));
	open_store(&w);

	assert_int_equal(run(&w), OK);
	assert_int_equal(w.figures.taken, 6);
	assert_int_equal(w.figures.expired, 1);
	assert_int_equal(w.figures.headless, 1);
	assert_int_equal(w.figures.headless_bytes, p[5].size);
	assert_int_equal(w.figures.damaged, 0);
	assert_int_equal(w.figures.present, 1);
	assert_int_equal(piece_store_space(&w.call, w.store, &space), OK);
	assert_int_equal(space.pieces, 4);
	assert_int_equal(space.trash_pieces, 2);
	assert_int_equal(run(&w), OK);
	assert_int_equal(w.figures.taken, 0);
	assert_int_equal(w.figures.present, 7);

	for (unsigned n = 0; n < 5; n++)
		check_piece(&w, &p[n], n == 3);
	check_gone(&w, &p[5]);
	check_piece(&w, &p[6], true);
	/* Nothing of theirs was touched; what was left stays also when the rest is moved. */
	assert_true(there("/theirs/storage-dir-verification"));
	w.config.move = true;
	assert_int_equal(run(&w), OK);
	assert_int_equal(w.figures.headless, 1);
	assert_true(there(headless));
	end(&w);
	free_pieces(p, PIECES);
}

/* What is wrong is told, left where it is, and does not stop the rest. */
static void test_damage(void **state)
{
	struct piece p[PIECES];
	struct store_files s;
	struct world w;
	char path[512];

	begin(&w);
	write_proof(&w);
	for (unsigned n = 0; n < PIECES; n++)
		make_piece(&w, n, n == 5 ? 1000 * NS_PER_SEC : TIME_NONE, &p[n]);
	p[1].data[77] ^= 1;
	p[2].header[30] ^= 1; /* of its hash, or its frame */
	memset(p[3].header, 0, sizeof(p[3].header));
	for (unsigned n = 0; n < 6; n++)
		write_blob(&w, "blobs", &p[n]);
	p[7].data[p[7].size - 1] ^= 1;
	store_begin(&s, false);
	store_add(&s, &p[6], 1, (uint32_t)today() - 30, 0, false);
	store_add(&s, &p[7], 1, (uint32_t)today() - 30, 0, false);
	store_write(&w, &s, 0, 1);
	open_store(&w);
	w.config.move = true;

	assert_int_equal(run(&w), OK);
	assert_int_equal(w.figures.taken, 3);
	assert_int_equal(w.figures.damaged, 3);
	assert_int_equal(w.damaged, 3);
	assert_int_equal(w.figures.partial, 1);
	assert_int_equal(w.figures.expired, 1);
	check_piece(&w, &p[0], false);
	check_gone(&w, &p[1]);
	check_gone(&w, &p[2]);
	check_gone(&w, &p[7]);
	for (unsigned n = 0; n < 6; n++) {
		blob_path(&w, "blobs", &p[n], path);
		assert_int_equal(there(path), n == 1 || n == 2);
	}
	/* The log has one that is damaged, so it stays. */
	char id[NODE_ID_TEXT_MAX];
	node_id_text(&w.satellite, id);
	snprintf(path, sizeof(path), "/theirs/hashstore/%s/s0/01/log-0000000000000001-00000000",
		 id);
	assert_true(there(path));
	end(&w);
	free_pieces(p, PIECES);
}

/* Another's directory, one that is in use. */
static void test_refused(void **state)
{
	struct world w;
	struct store_files s;
	struct piece p;

	begin(&w);
	open_store(&w);
	assert_int_equal(run(&w), ERR_PRECONDITION);
	write_file("/theirs/storage-dir-verification", node_id_bytes(&w.satellite));
	assert_int_equal(run(&w), ERR_PRECONDITION);
	write_proof(&w);
	make_piece(&w, 1, TIME_NONE, &p);
	store_begin(&s, false);
	store_add(&s, &p, 1, (uint32_t)today(), 0, false);
	store_write(&w, &s, 0, 1);
	assert_int_equal(run(&w), OK);
	check_piece(&w, &p, false);
	end(&w);
	free(p.data);
}

/* The table has not heard of the piece that was added last. */
static void store_forget(struct store_files *s, const struct piece *p)
{
	uint64_t slot = xxh3_64(BYTES_OF(p->id.b)) >> (64 - 14);

	if (s->appended)
		s->table.len -= GO_RECORD_BYTES;
	else
		memset(s->table.data + GO_TABLE_HEADER_BYTES + slot * GO_RECORD_BYTES, 0,
		       GO_RECORD_BYTES);
}

/* As a kill in the middle of uploads leaves it: log 1 has pieces that the table lacks, between them
 * and behind them what was not finished, and one whose bytes look like a record. */
static void write_killed(const struct world *w, bool appended, struct piece p[PIECES],
			 const char *hint)
{
	char path[512], id[NODE_ID_TEXT_MAX];
	struct store_files s;
	uint32_t now = (uint32_t)today();

	for (unsigned n = 0; n < PIECES; n++)
		make_piece(w, n, TIME_NONE, &p[n]);
	store_begin(&s, appended);
	store_add(&s, &p[1], 1, now - 1, 0, false);
	store_add(&s, &p[2], 1, now - 1, now + 5, true);
	buf_add(&s.log, p[7].data, 3000);
	store_add(&s, &p[3], 1, now, 0, false);
	store_forget(&s, &p[3]);
	/* A record of a piece that is not there, as an uplink may have put it into its own. */
	size_t begins = s.log.len;
	store_add(&s, &p[6], 1, now, 0, false);
	store_forget(&s, &p[6]);
	memset(s.log.data + begins, 0xaa, 100);
	store_add(&s, &p[4], 1, now, 0, false);
	store_forget(&s, &p[4]);
	buf_add(&s.log, p[5].data, p[5].size);
	buf_add(&s.log, p[5].header, 77);
	store_write(w, &s, 0, 1);
	node_id_text(&w->satellite, id);
	snprintf(path, sizeof(path), "/theirs/hashstore/%s/s0/meta/hint-0000000000000003", id);
	if (hint)
		write_file(path, bytes_str(hint));
}

static void check_killed(struct world *w, const struct piece p[PIECES])
{
	assert_int_equal(run(w), OK);
	assert_int_equal(w->figures.taken, 4);
	assert_int_equal(w->figures.damaged, 0);
	assert_int_equal(w->damaged, 0);
	check_piece(w, &p[1], false);
	check_piece(w, &p[2], true); /* what the log has of it is older than the trash */
	check_piece(w, &p[3], false);
	check_piece(w, &p[4], false);
	for (unsigned n = 5; n < PIECES; n++)
		check_gone(w, &p[n]);
}

static void test_killed(void **state)
{
	const char *hints[] = { NULL, "largest: 0000000000000000\n",
				"largest: 0000000000000001\nwritable: 0000000000000001\n",
				"rubbish\nlargest: what\n" };
	struct piece p[PIECES];
	struct world w;

	for (unsigned i = 0; i < 2 * ARRAY_LEN(hints); i++) {
		char path[512], id[NODE_ID_TEXT_MAX];
		begin(&w);
		write_proof(&w);
		write_killed(&w, i % 2, p, hints[i / 2]);
		open_store(&w);
		w.config.move = i < 2;
		check_killed(&w, p);
		node_id_text(&w.satellite, id);
		snprintf(path, sizeof(path),
			 "/theirs/hashstore/%s/s0/01/log-0000000000000001-00000000", id);
		assert_int_equal(there(path), i >= 2);
		end(&w);
		free_pieces(p, PIECES);
	}
}

/* A log that was complete is not looked through: what the table lacks of it, it has dropped. */
static void test_complete_log(void **state)
{
	struct piece p[PIECES];
	struct world w;

	begin(&w);
	write_proof(&w);
	write_killed(&w, false, p, "largest: 0000000000000001\nwritable: 0000000000000009\n");
	open_store(&w);
	assert_int_equal(run(&w), OK);
	assert_int_equal(w.figures.taken, 2);
	check_gone(&w, &p[3]);
	end(&w);
	free_pieces(p, PIECES);
}

static void test_no_table(void **state)
{
	char path[512], id[NODE_ID_TEXT_MAX];
	struct piece p[PIECES];
	struct world w;

	begin(&w);
	write_proof(&w);
	write_killed(&w, false, p, "largest: 0000000000000001\n");
	node_id_text(&w.satellite, id);
	snprintf(path, sizeof(path), "/theirs/hashstore/%s/s0/meta/hashtbl", id);
	assert_int_equal(os_unlink(&w.call, path), OK);
	open_store(&w);
	assert_int_equal(run(&w), OK);
	assert_int_equal(w.figures.taken, 4);
	for (unsigned n = 1; n < 5; n++)
		check_piece(&w, &p[n], false);
	end(&w);
	free_pieces(p, PIECES);
}

/* ---- orders ---- */

struct orders_seen {
	struct bytes file; /* of Storj's node: what is kept are its bytes */
	unsigned count;
	int64_t amount;
};

static enum err see_order(struct call *call, void *arg, const struct order_window *window,
			  const struct order_entry *entry)
{
	struct orders_seen *seen = arg;
	struct order order;

	seen->count++;
	assert_non_null(
		memmem(seen->file.data, seen->file.len, entry->limit.data, entry->limit.len));
	TRY_PLAIN(order_decode(call, entry->order, &order));
	seen->amount += order.amount;
	return OK;
}

/* Windows that a real node left, whole, cut, damaged, and of another name. */
static void test_orders(void **state)
{
	json_t *root = vectors_load("go_storage");
	const json_t *v = json_object_get(root, "orders");
	const char *name = vector_text(v, "name");
	struct order_log *log = NULL;
	struct order_window window;
	char path[512];
	struct world w;

	begin(&w);
	AUTO(arena_free) struct arena a = { 0 };
	struct bytes file = vector_unhex(&a, vector_text(v, "bytes"));
	struct orders_seen seen = { .file = file };
	AUTO_BUF struct buf bad = BUF_INIT(1 << 20);
	uint64_t taken = 9;
	assert_true(go_orders_name(bytes_str(name), &window));
	/* Nothing there is no failure. */
	assert_int_equal(import_unsettled(&w.call, "/theirs/orders", "/ours/orders", &taken), OK);
	assert_int_equal(taken, 0);
	snprintf(path, sizeof(path), "/theirs/orders/unsent/%s", name);
	/* The first entry is damaged: the second counts.  Then a torn one. */
	buf_add_bytes(&bad, file);
	bad.data[100] ^= 1;
	buf_add(&bad, file.data + 48, 200);
	write_file(path, buf_bytes(&bad));
	write_file("/theirs/orders/unsent/unsent-orders-nonsense.v1", file);
	assert_int_equal(import_unsettled(&w.call, "/theirs/orders", "/ours/orders", &taken), OK);
	assert_int_equal(taken, 1);
	assert_int_equal(os_unlink(&w.call, order_window_path(&w.call, "/ours/orders", &window)),
			 OK);
	write_file(path, file);
	assert_int_equal(import_unsettled(&w.call, "/theirs/orders", "/ours/orders", &taken), OK);
	assert_int_equal(taken, vector_int(v, "entries"));
	/* Again: it is there already. */
	assert_int_equal(import_unsettled(&w.call, "/theirs/orders", "/ours/orders", &taken), OK);
	assert_int_equal(taken, 0);
	assert_int_equal(order_log_open(&w.call, "/ours/orders", &log), OK);
	assert_true(order_log_has(log, &window));
	assert_int_equal(order_log_visit(&w.call, log, &window, see_order, &seen), OK);
	assert_int_equal(seen.count, vector_int(v, "entries"));
	assert_true(seen.amount > 0);
	order_log_close(log);
	end(&w);
	json_decref(root);
}

static enum err fetch(struct call *call, void *arg, const struct node_id *satellite,
		      const struct piece_id *piece)
{
	return import_one(call, &((struct world *)arg)->config, satellite, piece);
}

/* A piece that is asked for before its turn comes at once; one that is not found is not denied. */
static void test_on_demand(void **state)
{
	struct piece_reader r = { 0 };
	struct store_files s;
	struct piece p[3];
	struct world w;

	begin(&w);
	write_proof(&w);
	for (unsigned n = 0; n < 3; n++)
		make_piece(&w, n, TIME_NONE, &p[n]);
	write_blob(&w, "blobs", &p[0]);
	store_begin(&s, false);
	store_add(&s, &p[1], 3, (uint32_t)today(), 0, false);
	store_write(&w, &s, 1, 3);
	const struct piece_store_config config = {
		.dir = "/ours", .node = w.node, .allocated = GIB, .missing = fetch, .arg = &w
	};
	assert_int_equal(piece_store_open(&w.call, &config, &w.store), OK);
	assert_int_equal(piece_store_recover(&w.call, w.store), OK);
	w.config.store = w.store;
	w.config.node = w.node;
	piece_store_set_incomplete(w.store, true);
	piece_store_set_state(w.store, STORE_READ_ONLY);
	check_piece(&w, &p[0], false);
	check_piece(&w, &p[1], false);
	assert_int_equal(piece_reader_open(&w.call, w.store, &w.satellite, &p[2].id, &r),
			 ERR_UNAVAILABLE);
	assert_int_equal(run(&w), OK);
	assert_int_equal(w.figures.present, 2);
	assert_int_equal(w.figures.taken, 0);
	piece_store_set_incomplete(w.store, false);
	check_gone(&w, &p[2]);
	end(&w);
	free_pieces(p, 3);
}

/* Moved, with a death at each operation: then it goes on, and nothing is lost. */
static void test_die_everywhere(void **state)
{
	bool finished = false;

	for (uint64_t at = 1; !finished; at++) {
		struct piece p[4];
		struct store_files s;
		struct world w;

		begin(&w);
		write_proof(&w);
		for (unsigned n = 0; n < 4; n++)
			make_piece(&w, n, TIME_NONE, &p[n]);
		write_blob(&w, "blobs", &p[0]);
		write_blob(&w, "blobs", &p[1]);
		store_begin(&s, false);
		store_add(&s, &p[2], 1, (uint32_t)today() - 30, 0, false);
		store_add(&s, &p[3], 1, (uint32_t)today() - 30, 0, false);
		store_write(&w, &s, 0, 1);
		open_store(&w);
		w.config.move = true;
		memdisk_die_after(at);
		finished = run(&w) == OK && !memdisk_dead();
		if (!finished) {
			AUTO_CALL struct call aside = CALL_INIT;
			assert_true(memdisk_dead());
			piece_store_close(&aside, take(&w.store));
			memdisk_restart(at % 2);
			open_store(&w);
			assert_int_equal(run(&w), OK);
			assert_int_equal(w.figures.damaged, 0);
		}
		memdisk_die_after(0);
		for (unsigned n = 0; n < 4; n++)
			check_piece(&w, &p[n], false);
		end(&w);
		free_pieces(p, 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real),	  cmocka_unit_test(test_all_ways),
		cmocka_unit_test(test_damage),	  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_killed),	  cmocka_unit_test(test_complete_log),
		cmocka_unit_test(test_no_table),  cmocka_unit_test(test_orders),
		cmocka_unit_test(test_on_demand), cmocka_unit_test(test_die_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
