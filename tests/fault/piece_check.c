/*
 * Which of a stopped node's pieces does the satellite know, and are they whole?  Reads lines
 * "ROOT_PIECE_ID NUMBER SIZE" (hex, decimal, decimal) of the pieces that segments say the node has;
 * prints "pieces N referenced N missing N", and then what the store says of its space beside a full
 * count of its entries: "live N trash N trash-pieces N used N", and the same with "counted-" in
 * front, but for "used".  A piece that is missing, of another size or with content that its hash
 * does not fit is named on standard error; every piece that can be read is, with "all" as fourth
 * argument.
 *
 *   piece-check STORAGE_DIR NODE_ID_IN_HEX SATELLITE_ID [all|rot|flip|zero|delete]
 *
 * With another fourth argument it harms the pieces instead: every 64th byte changed (rot), one byte
 * (flip), record and content overwritten with zeros (zero), removed in due form (delete).  Then the
 * store is left as a crash would leave it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_store_internal.h"
#include "order/order.h"

enum { READ_BYTES = 64 << 10, ROT_EVERY = 64, HARM_BYTES_MAX = 64 << 20 };

struct check {
	struct piece_store *store;
	const char *dir, *harm; /* NULL = look only */
	const struct node_id *satellite;
	bool all;
	uint64_t referenced, missing;
};

static bool parse_hex(const char *hex, uint8_t *ret, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (sscanf(hex + 2 * i, "%2hhx", &ret[i]) != 1)
			return false;
	return true;
}

static enum err compare(struct call *call, struct piece_reader *r)
{
	static uint8_t head[RECORD_HEADER_MAX], data[READ_BYTES];
	uint8_t sum[HASH_BYTES];
	struct piece_record record;

	TRY_PLAIN(piece_reader_record(call, r, head, &record));
	struct hasher *h = hasher_new(record.algorithm);
	if (!h)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (uint64_t at = 0; at < piece_reader_size(r);) {
		size_t n = (size_t)MIN(piece_reader_size(r) - at, (uint64_t)READ_BYTES);
		enum err e = piece_reader_read(call, r, data, n, at);
		if (e) {
			hasher_free(h);
			return e;
		}
		hasher_update(h, BYTES(data, n));
		at += n;
	}
	hasher_sum(h, sum);
	hasher_free(h);
	if (memcmp(sum, record.hash, HASH_BYTES) != 0)
		return call_fail(call, ERR_DATA_LOSS, "its bytes are not those that were stored");
	return OK;
}

/* Changes bytes of the log in place, behind the store's back. */
static enum err harm(struct call *call, const struct check *c, const struct piece_entry *e)
{
	const char *path = arena_printf(&call->scratch, "%s/pieces/%08x.log", c->dir, e->segment);
	bool zero = strcmp(c->harm, "zero") == 0;
	uint64_t from = zero ? piece_entry_offset(e) : piece_entry_data(e);
	uint64_t end = piece_entry_data(e) + e->size;
	size_t every = strcmp(c->harm, "rot") == 0 ? ROT_EVERY : HARM_BYTES_MAX;
	AUTO_FREE uint8_t *data = malloc((size_t)(end - from) + 1);
	struct os_file *f = NULL;
	size_t n = 0;

	if (!path || !data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(os_file_open(call, path, OS_FILE_WRITE, &f));
	enum err err = os_file_read_at(call, f, data, (size_t)(end - from), from, &n);
	for (size_t i = zero ? 0 : (size_t)e->id.b[0] % (n < ROT_EVERY ? n + 1 : ROT_EVERY); i < n;
	     i += zero ? 1 : every)
		data[i] = zero ? 0 : data[i] ^ 0x55;
	struct bytes part = BYTES(data, n);
	if (!err)
		err = os_file_write_at(call, f, &part, 1, from);
	os_file_close(f);
	return err;
}

static enum err look(struct call *call, struct check *c, const struct piece_id *id, uint64_t size)
{
	struct piece_reader r = { 0 };
	enum err e = piece_reader_open(call, c->store, c->satellite, id, &r);

	if (!e && piece_reader_size(&r) != size)
		e = call_fail(call, ERR_DATA_LOSS, "it has another size");
	if (!e)
		e = compare(call, &r);
	struct piece_entry entry = r.entry;
	piece_reader_close(&r);
	if (e || !c->harm)
		return e;
	if (strcmp(c->harm, "delete") == 0)
		return piece_store_delete(call, c->store, c->satellite, id);
	return harm(call, c, &entry);
}

struct counted {
	struct piece_figures figures;
	struct piece_entry *live; /* all that can be read */
	size_t count;
	bool out_of_memory;
};

static bool count_entry(void *arg, const struct piece_entry *e)
{
	struct counted *c = arg;

	if (e->flags & PIECE_DELETED)
		return true;
	piece_figures_add(&c->figures, e, 1);
	if (e->trashed_at)
		return true;
	if (!(c->count & (c->count - 1))) { /* 0 and every power of two */
		struct piece_entry *grown = realloc(c->live,
						    MAX(2 * c->count, (size_t)1) * sizeof(*grown));
		if (!grown) {
			c->out_of_memory = true;
			return false;
		}
		c->live = grown;
	}
	c->live[c->count++] = *e;
	return true;
}

/* Every piece that can be read, and what the figures would be if nobody had kept them. */
static enum err count_all(struct call *call, struct check *c, struct counted *all)
{
	TRY_PLAIN(piece_index_scan(call, c->store->index, count_entry, all));
	if (all->out_of_memory)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; c->all && i < all->count; i++) {
		AUTO_CALL struct call own = CALL_INIT;
		const struct piece_entry *e = &all->live[i];
		enum err err = look(&own, c, &e->id, e->size);
		if (err)
			fprintf(stderr, "%02x%02x%02x%02x: %s\n", e->id.b[0], e->id.b[1],
				e->id.b[2], e->id.b[3], call_error(&own, err));
	}
	return OK;
}

static enum err check(struct call *call, struct check *c, const struct node_id *node)
{
	struct counted all = { 0 };
	struct piece_store_config config = { .dir = c->dir, .node = *node, .allocated = INT64_MAX };
	struct piece_space space;
	uint64_t size;
	char hex[128];
	unsigned number;

	TRY_PLAIN(piece_store_open(call, &config, &c->store));
	TRY_PLAIN(piece_store_recover(call, c->store));
	while (scanf("%127s %u %" SCNu64, hex, &number, &size) == 3) {
		AUTO_CALL struct call own = CALL_INIT;
		struct piece_id root, id;
		if (!parse_hex(hex, root.b, sizeof(root.b)))
			return call_fail(call, ERR_FORMAT, "%s is no piece ID", hex);
		piece_id_derive(&root, node, number, &id);
		c->referenced++;
		enum err e = look(&own, c, &id, size);
		if (e) {
			c->missing++;
			fprintf(stderr, "%s/%u: %s\n", hex, number, call_error(&own, e));
		}
	}
	TRY_PLAIN(piece_store_space(call, c->store, &space));
	printf("pieces %" PRIu64 " referenced %" PRIu64 " missing %" PRIu64, space.pieces,
	       c->referenced, c->missing);
	enum err e = count_all(call, c, &all);
	printf(" live %" PRIu64 " trash %" PRIu64 " trash-pieces %" PRIu64 " used %" PRIu64
	       " counted-pieces %" PRIu64 " counted-live %" PRIu64 " counted-trash %" PRIu64
	       " counted-trash-pieces %" PRIu64 "\n",
	       space.live, space.trash, space.trash_pieces, space.used, all.figures.pieces,
	       all.figures.bytes, all.figures.trash_bytes, all.figures.trash_pieces);
	free(all.live);
	return e;
}

int main(int argc, char *argv[])
{
	AUTO_CALL struct call call = CALL_INIT;
	struct node_id node, satellite;
	struct check c = { .satellite = &satellite };

	if (argc < 4 || argc > 5 || !parse_hex(argv[2], node.b, sizeof(node.b)) ||
	    node_id_parse(bytes_str(argv[3]), &satellite)) {
		fprintf(stderr, "usage: piece-check STORAGE_DIR NODE_ID_IN_HEX SATELLITE_ID "
				"[all|rot|flip|zero|delete]\n");
		return 2;
	}
	c.dir = argv[1];
	c.all = argv[4] && strcmp(argv[4], "all") == 0;
	c.harm = c.all ? NULL : argv[4];
	enum err e = check(&call, &c, &node);
	if (e)
		fprintf(stderr, "piece-check: %s\n", call_error(&call, e));
	fflush(NULL);
	/* No checkpoint: the node shall find its log as it left it. */
	_Exit(e != OK);
}
