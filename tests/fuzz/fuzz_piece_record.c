/* Segment headers and piece records.  The checksum is set right, or nothing would be read. */
#include <stdlib.h>

#include "node/piece_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t key[RECORD_KEY_BYTES] = { 1 };

static void check_record(struct bytes wire, const struct record_place *place)
{
	static uint8_t again[RECORD_HEADER_MAX];
	struct piece_record r;

	if (piece_record_decode(wire, place, &r))
		return;
	size_t len = record_header_len(r.limit.len);
	if (len > wire.len || r.limit.data < wire.data ||
	    r.limit.data + r.limit.len > wire.data + len || r.size > UINT32_MAX)
		abort();
	/* What was read can be written, and reads the same. */
	struct piece_record back;
	if (piece_record_encode(&r, place, again) != len ||
	    piece_record_decode(BYTES(again, len), place, &back) ||
	    !bytes_equal(r.limit, back.limit) || memcmp(r.hash, back.hash, HASH_BYTES) != 0 ||
	    r.seq != back.seq || r.size != back.size || r.type != back.type)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t copy[2 * RECORD_HEADER_MAX];
	struct record_place place = { .key = key, .segment = 3, .offset = 128 };
	struct segment_header h;
	struct call call;

	call_init(&call);
	if (segment_header_decode(&call, BYTES(data, size), &h) == OK) {
		uint8_t out[SEGMENT_HEADER_BYTES];
		segment_header_encode(&h, out);
	}
	call_fini(&call);
	check_record(BYTES(data, size), &place);
	size_t n = size < sizeof(copy) ? size : sizeof(copy);
	if (n < RECORD_FIXED_BYTES)
		return 0;
	memcpy(copy, data, n);
	size_t len = (size_t)copy[4] | (size_t)copy[5] << 8;
	if (len >= RECORD_FIXED_BYTES && len <= n && len <= RECORD_HEADER_MAX)
		piece_record_checksum(&place, BYTES(copy, len), copy + RECORD_CHECKSUM_AT);
	check_record(BYTES(copy, n), &place);
	return 0;
}
