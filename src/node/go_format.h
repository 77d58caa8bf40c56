/*
 * What Storj's node writes to its disk, as far as an import reads it (storagenode.md 6).  Pure: the
 * bytes are foreign, so every length is checked here and nothing is believed that a checksum or the
 * hash of the piece does not confirm.
 */
#ifndef ACRE_NODE_GO_FORMAT_H
#define ACRE_NODE_GO_FORMAT_H

#include "base/bytes.h"
#include "base/call.h"
#include "crypto/hash.h"
#include "identity/identity.h"
#include "node/order_file.h"
#include "order/order.h"

enum {
	GO_HEADER_BYTES = 512, /* in front of a blob, behind a piece in a log */
	GO_RECORD_BYTES = 64,
	GO_TABLE_HEADER_BYTES = 4096,
	GO_TABLE_LOG_SLOTS_MIN = 14,
	GO_TABLE_LOG_SLOTS_MAX = 40,
	GO_BLOB_PREFIX = 2, /* characters of a piece's name that are its directory */
};

/* The header of a piece; views into it. */
struct go_piece {
	uint8_t hash[HASH_BYTES];
	enum hash_algorithm algorithm;
	int64_t created_unix_ns; /* of the uplink's hash */
	struct bytes signature;	 /* the uplink's; empty = none */
	struct bytes limit;	 /* the order limit, as it came */
};
/* ERR_FORMAT.  ERR_NOT_FOUND: the area is blank, so the upload was never completed. */
enum err go_piece_read(struct call *call, struct bytes area, struct go_piece *ret) MUST_USE;

/* A piece in a hashstore; also the 64 bytes behind it in its log. */
struct go_record {
	struct piece_id piece;
	uint64_t log, offset;
	uint32_t length;      /* of the piece and its header */
	uint32_t created_day; /* since 1970, rounded down */
	uint32_t expires_day; /* 0 = never */
	bool trash;	      /* expires_day is when the trash is emptied of it */
};
/* False: an empty slot, or a torn one. */
bool go_record_read(const uint8_t wire[GO_RECORD_BYTES], struct go_record *ret);

/* A table of records is GO_TABLE_HEADER_BYTES and records from there to its end, in any order, with
 * empty ones between.  In an appended one the last of a piece counts. */
struct go_table {
	bool appended;
	bool hash_key; /* slots follow from a hash of the ID, not from the ID */
	uint64_t records;
};
/* ERR_FORMAT. */
enum err go_table_read(struct call *call, struct bytes header, uint64_t file_bytes,
		       struct go_table *ret) MUST_USE;

/* Where a piece is, if its slot was free: else in one of the next, from the last to the first.  Of
 * a table that is not an appended one. */
uint64_t go_table_slot(const struct go_table *t, const struct piece_id *piece);

/* Which logs were complete when the table was last looked through, so that it has all of them. */
enum { GO_HINT_LOGS_MAX = 1024 };
struct go_hint {
	uint64_t largest; /* that there was */
	uint64_t writable[GO_HINT_LOGS_MAX];
	size_t writable_count;
};
/* Lines that mean nothing are passed over; more logs than fit: as if it said nothing. */
void go_hint_read(struct bytes text, struct go_hint *ret);
bool go_hint_complete(const struct go_hint *h, uint64_t log);

/* Files of orders.  ERR_FORMAT; *ret_at: where the first entry may be. */
enum err go_orders_header(struct call *call, struct bytes file, struct order_window *ret,
			  size_t *ret_at) MUST_USE;
/* The next entry at or after *at that its checksum confirms, as order_file_next; false: there is
 * none. */
bool go_orders_next(struct bytes file, size_t *at, struct order_entry *ret);
/* Of a file of orders not sent. */
bool go_orders_name(struct bytes name, struct order_window *ret);

/* Names of files; false = another file. */
bool go_log_name(struct bytes name, uint64_t *ret_log);
bool go_table_name(struct bytes name, uint64_t *ret_number);
bool go_hint_name(struct bytes name, uint64_t *ret_number);
/* Of a blob below its directory (GO_BLOB_PREFIX characters). */
bool go_blob_name(struct bytes directory, struct bytes name, struct piece_id *ret);
/* The same for what Storj calls FormatV0: without suffix, and without a header inside. */
bool go_headless_blob_name(struct bytes directory, struct bytes name, struct piece_id *ret);
/* A satellite's directory of blobs. */
bool go_blob_satellite(struct bytes name, struct node_id *ret);

#endif
