/*
 * One pass over the segments of a database with all observers that a satellite has: segments a
 * second, CPU, memory.
 *
 *	segment_loop DIR [SEGMENTS [PIECES [NODES [placed]]]]	default: 10 million, 10 pieces, 1000
 *nodes
 *
 * "placed": every second segment has to lie in the EU, where all nodes are.
 *
 * DIR is made, and kept for the next run with the same numbers; 10 million segments of 10 pieces
 * need 2.5 GB, of 80 pieces 5 GB.  Every thousandth segment lost so many pieces that it is injured.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/file.h"
#include "satellite/metainfo_internal.h"
#include "satellite/overlay_internal.h"
#include "satellite/placement.h"
#include "satellite/repair.h"
#include "satellite/segment_loop.h"
#include "satellite/store_metainfo.h"

enum { ROWS_PER_WRITE = 20000, INJURED_ONE_IN = 1000, RUNS = 3, TEXT_MAX = 32, PLACEMENT = 7 };

struct bench {
	struct call call;
	struct satellite sat;
	uint64_t segments, pieces, nodes;
	uint64_t made, random;
};

static void must(struct bench *b, enum err e)
{
	if (!e)
		return;
	fprintf(stderr, "segment_loop: %s\n", call_error(&b->call, e));
	exit(1);
}

static uint64_t next(struct bench *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return b->random;
}

/* ---- making it ---- */

static enum err put_aliases(struct call *call, struct db_tx *tx, void *arg)
{
	struct bench *b = arg;

	for (uint64_t i = 1; i <= b->nodes; i++) {
		struct node_id id = { { 0 } };
		put_le64(id.b, i * UINT64_C(0x9e3779b97f4a7c15));
		TRY_PLAIN(DB_EXEC(call, tx,
				  "INSERT INTO node_aliases (node_id, alias) VALUES ($1, $2)", NULL,
				  DB_V_BLOB(node_id_bytes(&id)), DB_V_INT((int64_t)i)));
	}
	return OK;
}

static void fill_segment(struct bench *b, struct segment *s, struct buf *list)
{
	struct piece pieces[PIECE_LIST_MAX];
	bool injured = b->made % INJURED_ONE_IN == 0;
	uint64_t first = next(b), count = injured ? s->redundancy.repair : b->pieces;

	s->placement = b->made % 2 ? PLACEMENT : 0;
	put_be64(s->stream.b, b->made << 32 | (next(b) & UINT32_MAX));
	put_be64(s->stream.b + 8, next(b));
	for (size_t i = 0; i < sizeof(s->root.b); i += 8)
		put_be64(s->root.b + i, next(b));
	/* Nodes of one segment are distinct, and their numbers as wide as they would be. */
	for (uint64_t i = 0; i < count; i++)
		pieces[i] = (struct piece){ (uint32_t)i,
					    (uint32_t)((first + i * 7919) % b->nodes) + 1 };
	buf_clear(list);
	piece_list_encode(list, pieces, count);
	s->pieces = buf_bytes(list);
}

static enum err put_segments(struct call *call, struct db_tx *tx, void *arg)
{
	struct bench *b = arg;
	AUTO_BUF struct buf list = BUF_INIT(8192);
	static const uint8_t key[64] = { 1 }, nonce[24] = { 2 };
	uint64_t end = MIN(b->segments, b->made + ROWS_PER_WRITE);
	struct segment s = { .created_ns = os_clock_unix_ns(),
			     .key = BYTES_OF(key),
			     .nonce = BYTES_OF(nonce),
			     .encrypted_size = 64 << 20,
			     .plain_size = 64 << 20,
			     .redundancy = { .required = (uint16_t)(b->pieces * 4 / 10),
					     .repair = (uint16_t)(b->pieces * 6 / 10),
					     .success = (uint16_t)(b->pieces * 8 / 10),
					     .total = (uint16_t)b->pieces,
					     .share_size = 256 } };

	for (; b->made < end; b->made++) {
		fill_segment(b, &s, &list);
		TRY_PLAIN(store_segment_put(call, tx, &s));
	}
	return OK;
}

static enum err count_segments(struct call *call, struct db_tx *tx, void *arg)
{
	struct bench *b = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx, "SELECT COUNT(*) FROM segments", NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	b->made = e ? 0 : (uint64_t)db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

static void fill(struct bench *b)
{
	must(b, db_read_one(&b->call, b->sat.db, count_segments, b));
	if (b->made == b->segments)
		return;
	if (b->made) {
		fprintf(stderr,
			"segment_loop: there are %llu segments in it; take another directory\n",
			(unsigned long long)b->made);
		exit(1);
	}
	must(b, db_write(&b->call, b->sat.db, put_aliases, b));
	while (b->made < b->segments)
		must(b, db_write(&b->call, b->sat.db, put_segments, b));
	printf("%llu segments made\n", (unsigned long long)b->made);
}

/* ---- the satellite around it ---- */

static void put_nodes(struct bench *b)
{
	for (uint64_t i = 1; i <= b->nodes; i++) {
		char net[TEXT_MAX];
		struct node_row row = { .version = "v", .email = "", .wallet = "" };
		snprintf(net, sizeof(net), "10.%u.%u.0", (unsigned)(i >> 8) & 255,
			 (unsigned)i & 255);
		put_le64(row.node.id.b, i * UINT64_C(0x9e3779b97f4a7c15));
		row.node.address = row.node.last_ip_port = "127.0.0.1:1";
		row.node.last_net = net;
		row.node.free_disk = INT64_MAX;
		row.node.geo.country = country_parse(bytes_str(i % 3 ? "DE" : "FR"));
		row.node.version_ok = true;
		row.node.last_success_ns = row.updated_ns = os_clock_unix_ns();
		must(b, overlay_put(&b->call, b->sat.overlay, &row, false));
	}
}

static void put_placement(struct bench *b, bool placed)
{
	struct placement rule;

	must(b, placement_parse(&b->call, PLACEMENT, bytes_str("eu"), bytes_str("EU"), &rule));
	if (placed)
		must(b, store_placement_set(&b->call, b->sat.db, &rule));
	else if (store_placement_remove(&b->call, b->sat.db, PLACEMENT))
		call_clear_error(&b->call);
}

static void open_satellite(struct bench *b, const char *dir, bool placed)
{
	const struct param_set set = { satellite_params, satellite_params_count };
	struct call *call = &b->call;
	struct satellite *sat = &b->sat;

	must(b, param_defaults(call, &call->scratch, set, &sat->config));
	must(b, satellite_config_check(call, &sat->config));
	sat->config.audit.interval = 0;
	must(b, os_dir_make(call, dir, false));
	must(b, db_open(call, os_path_join(call, dir, "satellite.db"), &sat->db));
	must(b, db_migrate(call, sat->db, satellite_migrations, satellite_migrations_count));
	must(b, identity_ephemeral(call, &sat->identity));
	put_placement(b, placed);
	sat->id = *identity_node_id(sat->identity);
	must(b, net_tls_new(call, sat->identity, &sat->tls));
	must(b, overlay_new(call, sat, &sat->overlay));
	must(b, metainfo_open(call, sat));
}

static void close_satellite(struct bench *b)
{
	struct satellite *sat = &b->sat;

	satellite_stop_chores(sat);
	metainfo_close(sat);
	overlay_free(sat->overlay);
	db_close(sat->db);
	net_tls_free(sat->tls);
	identity_free(sat->identity);
}

/* As if the last pass's audits were done: each pass draws. */
static enum err forget_audits(struct call *call, struct db_tx *tx, void *arg)
{
	return db_exec(call, tx, "DELETE FROM verification_audits", NULL, 0, NULL);
}

static void run(struct bench *b)
{
	struct repair_count queue = { 0 };
	struct rusage usage;
	must(b, db_write(&b->call, b->sat.db, forget_audits, NULL));
	int64_t wall_ns = os_clock_mono_ns(), cpu_ns = os_clock_cpu_ns();

	must(b, segment_loop_run(&b->call, b->sat.loop, 100, NULL));
	wall_ns = os_clock_mono_ns() - wall_ns;
	cpu_ns = os_clock_cpu_ns() - cpu_ns;
	must(b, store_repair_count(&b->call, b->sat.db, &queue));
	getrusage(RUSAGE_SELF, &usage);
	printf("%.2f s, %.2f s CPU of its thread: %.0f segments a second (%.0f by CPU); "
	       "%lld injured; peak memory %ld MiB\n",
	       (double)wall_ns / 1e9, (double)cpu_ns / 1e9,
	       (double)b->segments * 1e9 / (double)wall_ns,
	       (double)b->segments * 1e9 / (double)cpu_ns, (long long)queue.waiting,
	       usage.ru_maxrss / 1024);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct bench *b = calloc(1, sizeof(*b));

	if (argc < 2 || !b) {
		fprintf(stderr, "usage: segment_loop DIR [SEGMENTS [PIECES [NODES [placed]]]]\n");
		return 2;
	}
	call_init(&b->call);
	b->random = 88172645463325252u;
	b->segments = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
	b->pieces = argc > 3 ? strtoull(argv[3], NULL, 10) : 10;
	b->nodes = argc > 4 ? strtoull(argv[4], NULL, 10) : 1000;
	if (b->pieces < 5 || b->pieces > 250 || b->nodes <= b->pieces || b->nodes > 65000)
		return 2;
	open_satellite(b, argv[1], argc > 5 && strcmp(argv[5], "placed") == 0);
	fill(b);
	put_nodes(b);
	must(b, satellite_make_chores(&b->call, &b->sat));
	for (unsigned i = 0; i < RUNS; i++)
		run(b);
	close_satellite(b);
	call_fini(&b->call);
	free(b);
	return 0;
}
