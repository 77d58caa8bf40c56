/*
 * A database of many objects: what they take, and whether asking for one and putting one cost more
 * than among few.
 *
 *	scale URL [OBJECTS [PIECES [ROUNDS]]]	default: 10 million, segments of 10 pieces, 5 rounds
 *
 * URL as in the satellite's setting: sqlite:<path> or postgres://...  Objects lie in one bucket,
 * each with one remote segment; what is there already from an earlier run stays, so that the same
 * database can be measured at 10,000 and then be filled up.  Keys are spread evenly and made in
 * their order, which is the fast way; on PostgreSQL, where each statement takes a way to and fro,
 * by the server itself.  CPU of the server's processes is told when they are on this machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/thread.h"
#include "satellite/metainfo_internal.h"
#include "satellite/object.h"
#include "satellite/store_metainfo.h"

enum {
	ROWS_PER_WRITE = 100000,
	STATS = 50000,
	PUTS = 4000,
	ROUNDS = 5,
	WORKERS = 16,
	WORKERS_MAX = 64,
	KEY_BYTES = 64,
	KEY_FILL = 0xa5,
	INLINE_BYTES = 1024,
	NODES = 20000,
};
#define BUCKET "scale"

struct bench {
	struct call call;
	struct db *db;
	struct project_id project;
	int64_t bucket_id;
	uint64_t objects, pieces, there;
	uint64_t made;
	_Atomic uint64_t tries; /* of changes; conflicts run them again */
};

struct worker {
	struct bench *b;
	struct os_thread *thread;
	uint64_t seed, count;
	bool put;
};

static void must(struct call *call, enum err e)
{
	if (!e)
		return;
	fprintf(stderr, "scale: %s\n", call_error(call, e));
	exit(1);
}

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static void fill_bytes(uint8_t *out, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i += 8)
		put_le64(out + i, mix(seed + i));
}

/* In the order of i; of the 2^24 places behind each, 0 is that of an object made by fill(). */
static void object_key(uint64_t i, uint64_t place, uint8_t out[KEY_BYTES])
{
	memset(out, KEY_FILL, KEY_BYTES);
	put_be64(out, i << 24 | place);
}

/* ---- making it ---- */

static enum err count_objects(struct call *call, struct db_tx *tx, void *arg)
{
	struct bench *b = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT object_key FROM objects WHERE bucket_id = $1 ORDER BY "
			   "object_key DESC LIMIT 1",
			   &rows, DB_V_INT(b->bucket_id)));
	enum err e = db_rows_next(call, rows);
	b->there = e ? 0 : (get_be64(db_bytes(rows, 0).data) >> 24) + 1;
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err find_bucket(struct call *call, struct db_tx *tx, void *arg)
{
	struct bench *b = arg;
	struct bucket bucket;
	enum err e = store_bucket_get(call, tx, &b->project, bytes_str(BUCKET), &bucket);

	if (e == ERR_NOT_FOUND) {
		bucket = (struct bucket){ .id = 1,
					  .name = bytes_str(BUCKET),
					  .created_ns = os_clock_unix_ns(),
					  .versioning = VERSIONING_OFF,
					  .user_agent = bytes_str("scale") };
		e = store_bucket_put(call, tx, &b->project, &bucket);
	}
	b->bucket_id = bucket.id;
	return e;
}

static enum err put_object(struct call *call, struct db_tx *tx, struct bench *b, uint64_t i,
			   struct buf *list)
{
	uint8_t key[KEY_BYTES], data[160];
	struct piece pieces[PIECE_LIST_MAX];
	struct object o = { .bucket_id = b->bucket_id,
			    .key = BYTES_OF(key),
			    .version = 1,
			    .status = OBJECT_COMMITTED,
			    .created_ns = INT64_C(1700000000000000000) + (int64_t)i * 1000,
			    .segment_count = 1,
			    .plain_size = 1 << 20,
			    .encrypted_size = 1 << 20,
			    .fixed_segment_size = 1 << 20,
			    .cipher = 2,
			    .block_size = 7408,
			    .data = { .metadata = BYTES(data, 88),
				      .nonce = BYTES(data, 24),
				      .key = BYTES(data, 48) } };
	struct segment s = { .created_ns = o.created_ns,
			     .key = BYTES(data, 48),
			     .nonce = BYTES(data, 24),
			     .encrypted_size = 1 << 20,
			     .plain_size = 1 << 20,
			     .redundancy = { .required = (uint16_t)(b->pieces * 4 / 10),
					     .repair = (uint16_t)(b->pieces * 6 / 10),
					     .success = (uint16_t)(b->pieces * 8 / 10),
					     .total = (uint16_t)b->pieces,
					     .share_size = 256 } };

	object_key(i, 0, key);
	fill_bytes(data, sizeof(data), i + 1);
	fill_bytes(o.stream.b, sizeof(o.stream.b), i + 2);
	put_be64(o.stream.b, i << 24);
	s.stream = o.stream;
	fill_bytes(s.root.b, sizeof(s.root.b), i + 3);
	for (uint64_t p = 0; p < b->pieces; p++)
		pieces[p] = (struct piece){ (uint32_t)p,
					    (uint32_t)((mix(i) + p * 7919) % NODES) + 1 };
	buf_clear(list);
	piece_list_encode(list, pieces, b->pieces);
	s.pieces = buf_bytes(list);
	TRY_PLAIN(store_object_insert(call, tx, &o));
	return store_segment_put(call, tx, &s);
}

static enum err put_objects(struct call *call, struct db_tx *tx, void *arg)
{
	struct bench *b = arg;
	AUTO_BUF struct buf list = BUF_INIT(8192);
	uint64_t end = MIN(b->objects, b->made + ROWS_PER_WRITE);

	for (uint64_t i = b->made; i < end; i++)
		TRY_PLAIN(put_object(call, tx, b, i, &list));
	return OK;
}

#define PLACE "decode(lpad(to_hex(i * 16777216), 16, '0') || "

static enum err generate(struct call *call, struct db_tx *tx, void *arg)
{
	struct bench *b = arg;
	uint64_t end = MIN(b->objects, b->made + ROWS_PER_WRITE);
	AUTO_BUF struct buf list = BUF_INIT(8192);
	struct piece pieces[PIECE_LIST_MAX];
	const struct scheme code = { .required = (uint16_t)(b->pieces * 4 / 10),
				     .repair = (uint16_t)(b->pieces * 6 / 10),
				     .success = (uint16_t)(b->pieces * 8 / 10),
				     .total = (uint16_t)b->pieces,
				     .share_size = 256 };

	for (uint64_t p = 0; p < b->pieces; p++)
		pieces[p] = (struct piece){ (uint32_t)p, (uint32_t)(p * 7919 % NODES) + 1 };
	piece_list_encode(&list, pieces, b->pieces);
	TRY_PLAIN(DB_EXEC(
		call, tx,
		"INSERT INTO objects (bucket_id, object_key, age, stream_id, status, flags, "
		"created_at, segment_count, plain_size, encrypted_size, fixed_segment_size, "
		"cipher, block_size, metadata, metadata_nonce, metadata_key, checksum_kind, "
		"lock_mode) SELECT $1, " PLACE "repeat('a5', 56), 'hex'), -1, " PLACE
		"substr(md5(CAST(i AS TEXT)), 1, 16), 'hex'), 3, 0, 1700000000000000000 + i, 1, "
		"1048576, 1048576, 1048576, 2, 7408, decode(repeat('5a', 88), 'hex'), "
		"decode(repeat('5a', 24), 'hex'), decode(repeat('5a', 48), 'hex'), 0, 0 "
		"FROM generate_series($2, $3) AS i",
		NULL, DB_V_INT(b->bucket_id), DB_V_INT((int64_t)b->made),
		DB_V_INT((int64_t)end - 1)));
	return DB_EXEC(call, tx,
		       "INSERT INTO segments (stream_id, position, redundancy, encrypted_size, "
		       "created_at, placement, root_piece_id, pieces, plain_size, plain_offset, "
		       "encrypted_key, key_nonce) SELECT " PLACE
		       "substr(md5(CAST(i AS TEXT)), 1, 16), 'hex'), 0, $4, 1048576, "
		       "1700000000000000000 + i, 0, decode(md5(CAST(i AS TEXT)) || "
		       "md5(CAST(i AS TEXT)), 'hex'), $1, 1048576, 0, decode(repeat('5a', 48), "
		       "'hex'), decode(repeat('5a', 24), 'hex') FROM generate_series($2, $3) AS i",
		       NULL, DB_V_BLOB(buf_bytes(&list)), DB_V_INT((int64_t)b->made),
		       DB_V_INT((int64_t)end - 1), DB_V_INT((int64_t)scheme_pack(&code)));
}

static void fill(struct bench *b)
{
	int64_t begun_ns = os_clock_mono_ns();

	must(&b->call, db_write(&b->call, b->db, find_bucket, b));
	must(&b->call, db_read_one(&b->call, b->db, count_objects, b));
	for (b->made = b->there; b->made < b->objects; b->made += ROWS_PER_WRITE)
		must(&b->call,
		     db_write(&b->call, b->db, db_is_sqlite(b->db) ? put_objects : generate, b));
	if (b->there < b->objects)
		printf("%llu objects made in %.0f s\n", (unsigned long long)(b->objects - b->there),
		       (double)(os_clock_mono_ns() - begun_ns) / 1e9);
	fflush(stdout);
}

/* ---- measuring ---- */

struct one {
	struct bench *b;
	uint8_t key[KEY_BYTES];
	struct object found;
};

static enum err stat_one(struct call *call, struct db_tx *tx, void *arg)
{
	struct one *o = arg;

	return store_object_latest_named(call, tx, &o->b->project, bytes_str(BUCKET),
					 BYTES_OF(o->key), os_clock_unix_ns(), &o->found);
}

static enum err put_one(struct call *call, struct db_tx *tx, void *arg)
{
	struct one *o = arg;
	uint8_t data[INLINE_BYTES] = { 0 };
	struct begin_object begin = {
		.stream = { .project = o->b->project,
			    .bucket = bytes_str(BUCKET),
			    .key = BYTES_OF(o->key),
			    .version = -1,
			    .created_ns = time_us(os_clock_unix_ns()),
			    .cipher = 2,
			    .block_size = 7408 },
		.data = { .metadata = BYTES(data, 88),
			  .nonce = BYTES(data, 24),
			  .key = BYTES(data, 48) },
		.now_ns = os_clock_unix_ns(),
	};
	struct put_segment segment = { .stream = &begin.stream,
				       .segment = { .created_ns = begin.stream.created_ns,
						    .key = BYTES(data, 48),
						    .nonce = BYTES(data, 24),
						    .encrypted_size = INLINE_BYTES,
						    .plain_size = INLINE_BYTES - 16,
						    .is_inline = true,
						    .inline_data = BYTES_OF(data) },
				       .now_ns = begin.now_ns };
	struct commit_object commit = { .stream = &begin.stream,
					.may_delete = true,
					.now_ns = begin.now_ns };

	o->b->tries++;
	stream_uuid_new(&begin.stream.uuid);
	return object_put_inline(call, tx, &begin, &segment, &commit);
}

static void work(void *arg)
{
	struct worker *w = arg;
	struct bench *b = w->b;

	for (uint64_t n = 0; n < w->count; n++) {
		AUTO_CALL struct call call = CALL_INIT;
		struct one o = { .b = b };
		uint64_t random = mix(w->seed + n);
		call_init(&call);
		object_key(random % b->objects, w->put ? 1 + (random >> 40) % 0xfffffe : 0, o.key);
		must(&call, w->put ? db_write(&call, b->db, put_one, &o)
				   : db_look_up(&call, b->db, stat_one, &o));
	}
}

/* Of the whole process, the writer's thread, too; a server's is not in it. */
static double cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static double cpu_of_process_us(int64_t pid)
{
	unsigned long user = 0, system = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
	FILE *f = fopen(path, "r");
	if (!f)
		return 0;
	/* Fields 14 and 15, in ticks; a server's name has spaces, no parentheses. */
	if (fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
		   &system) != 2)
		user = system = 0;
	fclose(f);
	return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

/* Of all processes that the server has now; those of its pool stay for the whole run. */
static enum err server_cpu_us(struct call *call, struct db_tx *tx, void *arg)
{
	double *sum = arg;
	struct db_rows *rows = NULL;
	enum err e;

	*sum = 0;
	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT CAST(pid AS BIGINT) FROM pg_stat_activity WHERE pid IS NOT NULL",
			   &rows));
	while (!(e = db_rows_next(call, rows)))
		*sum += cpu_of_process_us(db_int(rows, 0));
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

static void measure(struct bench *b, bool put, uint64_t count, unsigned workers)
{
	struct worker list[WORKERS_MAX] = { 0 };
	double server = 0, server_end = 0;

	if (!db_is_sqlite(b->db))
		must(&b->call, db_read_one(&b->call, b->db, server_cpu_us, &server));
	int64_t wall_ns = os_clock_mono_ns();
	double cpu = cpu_us();
	b->tries = 0;
	for (unsigned i = 0; i < workers; i++) {
		list[i] = (struct worker){ .b = b,
					   .seed = mix((uint64_t)wall_ns + i),
					   .count = count / workers,
					   .put = put };
		must(&b->call, os_thread_start(&b->call, "scale", work, &list[i], &list[i].thread));
	}
	for (unsigned i = 0; i < workers; i++)
		os_thread_join(list[i].thread);
	wall_ns = os_clock_mono_ns() - wall_ns;
	cpu = cpu_us() - cpu;
	printf("%-4s %2u at a time: %8.0f a second, %6.1f us CPU each", put ? "put" : "stat",
	       workers, (double)count * 1e9 / (double)wall_ns, cpu / (double)count);
	if (!db_is_sqlite(b->db)) {
		must(&b->call, db_read_one(&b->call, b->db, server_cpu_us, &server_end));
		printf(" and %6.1f us of the server", (server_end - server) / (double)count);
	}
	if (put)
		printf(", %.3f tries", (double)b->tries / (double)count);
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct bench *b = calloc(1, sizeof(*b));

	if (argc < 2 || !b) {
		fprintf(stderr, "usage: scale URL [OBJECTS [PIECES [ROUNDS]]]\n");
		return 2;
	}
	call_init(&b->call);
	b->objects = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
	b->pieces = argc > 3 ? strtoull(argv[3], NULL, 10) : 10;
	uint64_t rounds = argc > 4 ? strtoull(argv[4], NULL, 10) : ROUNDS;
	if (b->pieces < 5 || b->pieces > PIECE_LIST_MAX || !b->objects)
		return 2;
	must(&b->call, db_open(&b->call, argv[1], &b->db));
	must(&b->call,
	     db_migrate(&b->call, b->db, satellite_migrations, satellite_migrations_count));
	fill(b);
	/* The first round fills caches. */
	for (uint64_t round = 0; round < rounds; round++) {
		measure(b, false, STATS, 1);
		measure(b, false, STATS, WORKERS);
		measure(b, true, PUTS / 10, 1);
		measure(b, true, PUTS, WORKERS);
		measure(b, true, PUTS, WORKERS_MAX);
	}
	db_close(b->db);
	call_fini(&b->call);
	free(b);
	return 0;
}
