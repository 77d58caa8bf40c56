/* Formats of Storj's node. */
#include "node/go_format.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "base/wire.h"
#include "crypto/xxh3.h"
#include "proto/proto.h"

#define BLOB_SUFFIX ".sj1"

enum {
	HEADER_LENGTH_BYTES = 2,
	ID_TEXT_BYTES = 52, /* 32 bytes in base32 */
	CHECKED_RECORD_BYTES = 56,
	DAY_BITS = 23,
	TABLE_HASH = 0, /* its kinds */
	TABLE_APPENDED = 1,
};

static enum err malformed(struct call *call, const char *what)
{
	return call_fail(call, ERR_FORMAT, "malformed %s", what);
}

/* ---- the header of a piece ---- */

static bool read_time(struct bytes wire, int64_t *ret_unix_ns)
{
	Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	struct wire w = wire_read(wire);
	struct wire_field f;
	bool ok = true;

	while (wire_field(&w, &f)) {
		if (f.number == 1 && (ok = ok && f.type == WIRE_VARINT))
			t.seconds = (int64_t)f.value;
		else if (f.number == 2 && (ok = ok && f.type == WIRE_VARINT))
			t.nanos = (int32_t)f.value;
	}
	if (!ok || !wire_ok(&w))
		return false;
	*ret_unix_ns = proto_time(&t);
	return true;
}

static bool read_field(const struct wire_field *f, struct go_piece *p, struct bytes *hash)
{
	switch (f->number) {
	case 2:
		*hash = f->bytes;
		return f->type == WIRE_BYTES;
	case 3:
		return f->type == WIRE_BYTES && read_time(f->bytes, &p->created_unix_ns);
	case 4:
		p->signature = f->bytes;
		return f->type == WIRE_BYTES;
	case 5:
		p->limit = f->bytes;
		return f->type == WIRE_BYTES;
	case 6:
		p->algorithm = f->value == HASH_BLAKE3 ? HASH_BLAKE3 : HASH_SHA256;
		return f->type == WIRE_VARINT && f->value <= HASH_BLAKE3;
	default:
		return true;
	}
}

enum err go_piece_read(struct call *call, struct bytes area, struct go_piece *ret)
{
	struct go_piece p = { .created_unix_ns = TIME_NONE };
	struct wire all = wire_read(area);
	size_t len = wire_be16(&all);
	struct bytes hash = BYTES_NONE;
	struct wire_field f;

	if (area.len != GO_HEADER_BYTES || len > GO_HEADER_BYTES - HEADER_LENGTH_BYTES)
		return malformed(call, "piece header");
	/* Written last: what has none was being uploaded when the node ended. */
	if (!len)
		return call_fail(call, ERR_NOT_FOUND, "the upload was never completed");
	struct wire w = wire_read(wire_take(&all, len));
	while (wire_field(&w, &f))
		if (!read_field(&f, &p, &hash))
			return malformed(call, "piece header");
	bool signed_right = !p.signature.len || p.signature.len == ED25519_SIGNATURE_BYTES;
	if (!wire_ok(&w) || hash.len != HASH_BYTES || !p.limit.len || !signed_right)
		return malformed(call, "piece header");
	memcpy(p.hash, hash.data, HASH_BYTES);
	*ret = p;
	return OK;
}

/* ---- hashstore ---- */

static uint64_t le(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = bytes; i--;)
		v = v << 8 | p[i];
	return v;
}

bool go_record_read(const uint8_t wire[GO_RECORD_BYTES], struct go_record *ret)
{
	/* An empty slot is all zero, and its checksum is not. */
	uint64_t sum = xxh3_64(BYTES(wire, CHECKED_RECORD_BYTES)) >> 1;
	uint32_t expires = (uint32_t)le(wire + 53, 3);

	if (sum != le(wire + CHECKED_RECORD_BYTES, 8))
		return false;
	struct go_record r = {
		.offset = le(wire + 32, 6),
		.log = le(wire + 38, 8),
		.length = (uint32_t)le(wire + 46, 4),
		.created_day = (uint32_t)le(wire + 50, 3) & ((1u << DAY_BITS) - 1),
		.expires_day = expires >> 1,
		.trash = expires & 1,
	};
	memcpy(r.piece.b, wire, PIECE_ID_BYTES);
	*ret = r;
	return true;
}

enum err go_table_read(struct call *call, struct bytes header, uint64_t file_bytes,
		       struct go_table *ret)
{
	struct wire w = wire_read(header);

	if (header.len != GO_TABLE_HEADER_BYTES || file_bytes < GO_TABLE_HEADER_BYTES ||
	    !bytes_equal(wire_take(&w, 4), bytes_str("HTBL")))
		return malformed(call, "table");
	(void)wire_be32(&w); /* the day it was made */
	bool hash_key = wire_byte(&w);
	uint8_t kind = wire_byte(&w);
	uint64_t log_slots = wire_be64(&w), records;
	struct wire end = wire_read(bytes_from(header, GO_TABLE_HEADER_BYTES - 8));
	if (wire_be64(&end) != xxh3_64(BYTES(header.data, GO_TABLE_HEADER_BYTES - 8)))
		return call_fail(call, ERR_FORMAT, "the header of the table is damaged");
	if (kind > TABLE_APPENDED)
		return call_fail(call, ERR_FORMAT, "a table of unknown kind %u", kind);
	records = (file_bytes - GO_TABLE_HEADER_BYTES) / GO_RECORD_BYTES;
	/* Old files do not say how many slots; an appended table may end in half a record. */
	bool fits = kind == TABLE_APPENDED ||
		    (records >> GO_TABLE_LOG_SLOTS_MIN && !(records & (records - 1)) &&
		     (file_bytes - GO_TABLE_HEADER_BYTES) % GO_RECORD_BYTES == 0 &&
		     (!log_slots || (log_slots <= GO_TABLE_LOG_SLOTS_MAX &&
				     records == UINT64_C(1) << log_slots)));
	if (!fits || records >> GO_TABLE_LOG_SLOTS_MAX)
		return call_fail(call, ERR_FORMAT,
				 "the table was cut: %llu bytes are not what it says",
				 (unsigned long long)file_bytes);
	*ret = (struct go_table){ .appended = kind == TABLE_APPENDED,
				  .hash_key = hash_key,
				  .records = records };
	return OK;
}

uint64_t go_table_slot(const struct go_table *t, const struct piece_id *piece)
{
	struct wire id = wire_read(BYTES_OF(piece->b));
	uint64_t hash = t->hash_key ? xxh3_64(BYTES_OF(piece->b)) : wire_be64(&id);

	/* The upper bits: as many as number the slots, of which there is a power of two. */
	return (uint64_t)((unsigned __int128)hash * t->records >> 64);
}

/* ---- names ---- */

static bool hex_number(struct bytes text, uint64_t *ret)
{
	uint8_t wire[8];
	AUTO_BUF struct buf b = BUF_INIT(sizeof(wire));

	if (text.len != 2 * sizeof(wire) || text_unhex(&b, text) || b.len != sizeof(wire))
		return false;
	struct wire w = wire_read(buf_bytes(&b));
	*ret = wire_be64(&w);
	return true;
}

bool go_log_name(struct bytes name, uint64_t *ret_log)
{
	enum { PREFIX = 4, ID = 16, TTL = 9 };

	/* Old names lack the day by which the pieces end. */
	return (name.len == PREFIX + ID || name.len == PREFIX + ID + TTL) &&
	       bytes_has_prefix(name, bytes_str("log-")) &&
	       hex_number(BYTES(name.data + PREFIX, ID), ret_log);
}

bool go_table_name(struct bytes name, uint64_t *ret_number)
{
	enum { PREFIX = 8 };

	if (bytes_equal(name, bytes_str("hashtbl"))) {
		*ret_number = 0;
		return true;
	}
	return bytes_has_prefix(name, bytes_str("hashtbl-")) &&
	       hex_number(bytes_from(name, PREFIX), ret_number);
}

bool go_hint_name(struct bytes name, uint64_t *ret_number)
{
	enum { PREFIX = 5 };

	return bytes_has_prefix(name, bytes_str("hint-")) &&
	       hex_number(bytes_from(name, PREFIX), ret_number);
}

/* ---- hints ---- */

static void hint_line(struct bytes line, struct go_hint *h)
{
	const struct bytes largest = bytes_str("largest: "), writable = bytes_str("writable: ");
	uint64_t number;

	if (bytes_has_prefix(line, largest)) {
		if (hex_number(bytes_from(line, largest.len), &number))
			h->largest = number;
	} else if (bytes_has_prefix(line, writable)) {
		if (!hex_number(bytes_from(line, writable.len), &number))
			return;
		if (h->writable_count < GO_HINT_LOGS_MAX)
			h->writable[h->writable_count] = number;
		h->writable_count++;
	}
}

void go_hint_read(struct bytes text, struct go_hint *ret)
{
	struct go_hint h = { 0 };

	while (text.len) {
		const uint8_t *end = memchr(text.data, '\n', text.len);
		size_t n = end ? (size_t)(end - text.data) : text.len;
		hint_line(BYTES(text.data, n), &h);
		text = bytes_from(text, MIN(n + 1, text.len));
	}
	if (h.writable_count > GO_HINT_LOGS_MAX)
		h = (struct go_hint){ 0 };
	*ret = h;
}

bool go_hint_complete(const struct go_hint *h, uint64_t log)
{
	for (size_t i = 0; i < h->writable_count; i++)
		if (h->writable[i] == log)
			return false;
	return log <= h->largest;
}

/* ---- orders ---- */

static const uint8_t orders_magic[8] = { 0x0d, 0xdb, 0xa1, 0x1a, 0xcc, 0x01, 0xad, 0xe5 };
static const uint8_t entry_magic[8] = { 0x5c, 0xa1, 0xab, 0x1e, 0xba, 0x5e, 0xba, 0x11 };
static const uint8_t entry_end[8] = { 0xfe, 0xed, 0x1f, 0x00, 0xd1, 0xc0, 0xff, 0xee };

static bool hour_of(uint64_t unix_ns, int64_t *ret)
{
	enum { HOUR = ORDER_WINDOW_SECONDS };
	uint64_t seconds = unix_ns / NS_PER_SEC;

	*ret = (int64_t)seconds;
	return seconds % HOUR == 0 && unix_ns % NS_PER_SEC == 0 && unix_ns <= INT64_MAX;
}

enum err go_orders_header(struct call *call, struct bytes file, struct order_window *ret,
			  size_t *ret_at)
{
	enum { HEADER_BYTES = sizeof(orders_magic) + NODE_ID_BYTES + 8 };
	struct order_window w;

	if (file.len < HEADER_BYTES || memcmp(file.data, orders_magic, sizeof(orders_magic)) != 0 ||
	    !hour_of(get_le64(file.data + HEADER_BYTES - 8), &w.hour_unix))
		return malformed(call, "file of orders");
	memcpy(w.satellite.b, file.data + sizeof(orders_magic), NODE_ID_BYTES);
	*ret = w;
	*ret_at = HEADER_BYTES;
	return OK;
}

/* CRC-32 as of IEEE 802.3, bit by bit: orders are few. */
static uint32_t crc32_of(struct bytes v)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < v.len; i++) {
		crc ^= v.data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

/* magic | length, limit | length, order | CRC of all between | end */
static bool read_entry(struct bytes file, size_t at, struct order_entry *ret, size_t *ret_end)
{
	struct wire w = wire_read(bytes_from(file, at + sizeof(entry_magic)));
	struct bytes two = wire_take(&w, 2);
	struct bytes limit = wire_take(&w, two.len ? get_le16(two.data) : 0);
	two = wire_take(&w, 2);
	struct bytes order = wire_take(&w, two.len ? get_le16(two.data) : 0);
	struct bytes crc = wire_take(&w, 4), end = wire_take(&w, sizeof(entry_end));

	if (!wire_ok(&w) || limit.len > ORDER_ENTRY_LIMIT_MAX || !limit.len || !order.len ||
	    order.len > ORDER_WIRE_MAX || !bytes_equal(end, BYTES_OF(entry_end)))
		return false;
	const uint8_t *from = file.data + at + sizeof(entry_magic);
	if (get_le32(crc.data) != crc32_of(BYTES(from, (size_t)(crc.data - from))))
		return false;
	*ret = (struct order_entry){ limit, order };
	*ret_end = (size_t)(end.data + end.len - file.data);
	return true;
}

bool go_orders_next(struct bytes file, size_t *at, struct order_entry *ret)
{
	while (*at < file.len) {
		struct bytes rest = bytes_from(file, *at);
		const uint8_t *hit = memmem(rest.data, rest.len, entry_magic, sizeof(entry_magic));
		if (!hit)
			break;
		size_t place = (size_t)(hit - file.data);
		if (read_entry(file, place, ret, at))
			return true;
		*at = place + sizeof(entry_magic);
	}
	*at = file.len;
	return false;
}

bool go_orders_name(struct bytes name, struct order_window *ret)
{
	const struct bytes prefix = bytes_str("unsent-orders-"), suffix = bytes_str(".v1");
	uint64_t ns;

	if (!bytes_has_prefix(name, prefix) || name.len < prefix.len + suffix.len ||
	    !bytes_equal(bytes_from(name, name.len - suffix.len), suffix))
		return false;
	name = BYTES(name.data + prefix.len, name.len - prefix.len - suffix.len);
	const uint8_t *dash = memchr(name.data, '-', name.len);
	if (!dash)
		return false;
	size_t id = (size_t)(dash - name.data);
	return node_id_parse(BYTES(name.data, id), &ret->satellite) == OK &&
	       text_u64(bytes_from(name, id + 1), INT64_MAX, &ns) == OK &&
	       hour_of(ns, &ret->hour_unix);
}

/* 32 bytes in lower case base32, from two parts. */
static bool read_id(struct bytes a, struct bytes b, uint8_t out[32])
{
	AUTO_BUF struct buf text = BUF_INIT(ID_TEXT_BYTES), id = BUF_INIT(32);

	buf_add_bytes(&text, a);
	buf_add_bytes(&text, b);
	if (text.failed || text.len != ID_TEXT_BYTES || text_unbase32(&id, buf_bytes(&text)) ||
	    id.len != 32)
		return false;
	memcpy(out, id.data, 32);
	return true;
}

bool go_blob_name(struct bytes directory, struct bytes name, struct piece_id *ret)
{
	struct bytes suffix = bytes_str(BLOB_SUFFIX);

	if (directory.len != GO_BLOB_PREFIX || name.len < suffix.len ||
	    !bytes_equal(bytes_from(name, name.len - suffix.len), suffix))
		return false;
	return read_id(directory, BYTES(name.data, name.len - suffix.len), ret->b);
}

bool go_headless_blob_name(struct bytes directory, struct bytes name, struct piece_id *ret)
{
	return directory.len == GO_BLOB_PREFIX && read_id(directory, name, ret->b);
}

bool go_blob_satellite(struct bytes name, struct node_id *ret)
{
	uint8_t id[NODE_ID_BYTES];

	return read_id(name, BYTES_NONE, id) && node_id_from_bytes(BYTES_OF(id), ret) == OK;
}
