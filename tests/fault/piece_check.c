/*
 * Which of a stopped node's pieces does the satellite know?  Reads lines "ROOT_PIECE_ID NUMBER
 * SIZE" (hex, decimal, decimal) of the pieces that segments say the node has; prints
 * "pieces N referenced N missing N".  A piece that is missing or of another size is named on
 * standard error.
 *
 *   piece-check STORAGE_DIR NODE_ID_IN_HEX SATELLITE_ID
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "node/piece_store.h"
#include "order/order.h"

static bool parse_hex(const char *hex, uint8_t *ret, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (sscanf(hex + 2 * i, "%2hhx", &ret[i]) != 1)
			return false;
	return true;
}

static enum err check(struct call *call, const char *dir, const struct node_id *node,
		      const struct node_id *satellite)
{
	struct piece_store_config config = { .dir = dir, .node = *node, .allocated = INT64_MAX };
	struct piece_store *store;
	struct piece_space space;
	uint64_t referenced = 0, missing = 0, size;
	char hex[128];
	unsigned number;

	TRY_PLAIN(piece_store_open(call, &config, &store));
	while (scanf("%127s %u %" SCNu64, hex, &number, &size) == 3) {
		struct piece_reader r = { 0 };
		struct piece_id root, id;
		if (!parse_hex(hex, root.b, sizeof(root.b)))
			return call_fail(call, ERR_FORMAT, "%s is no piece ID", hex);
		piece_id_derive(&root, node, number, &id);
		referenced++;
		enum err e = piece_reader_open(call, store, satellite, &id, &r);
		if (e || piece_reader_size(&r) != size) {
			missing++;
			fprintf(stderr, "%s/%u: %s\n", hex, number,
				e ? call_error(call, e) : "has another size");
		}
		piece_reader_close(&r);
	}
	enum err e = piece_store_space(call, store, &space);
	piece_store_close(call, store);
	TRY_PLAIN(e);
	printf("pieces %" PRIu64 " referenced %" PRIu64 " missing %" PRIu64 "\n", space.pieces,
	       referenced, missing);
	return OK;
}

int main(int argc, char *argv[])
{
	AUTO_CALL struct call call = CALL_INIT;
	struct node_id node, satellite;

	if (argc != 4 || !parse_hex(argv[2], node.b, sizeof(node.b)) ||
	    node_id_parse(bytes_str(argv[3]), &satellite)) {
		fprintf(stderr, "usage: piece-check STORAGE_DIR NODE_ID_IN_HEX SATELLITE_ID\n");
		return 2;
	}
	enum err e = check(&call, argv[1], &node, &satellite);
	if (e)
		fprintf(stderr, "piece-check: %s\n", call_error(&call, e));
	return e != OK;
}
