/* Encoding of order files (little endian). */
#include "node/order_file.h"

#include "base/num.h"
#include "base/wire.h"
#include "crypto/hash.h"

enum { VERSION = 1, CHECKSUM_BYTES = 8, PREFIX_BYTES = 16, ENTRY_MAGIC = 0x3143524f };

static const uint8_t file_magic[8] = { 'A', 'C', 'R', 'E', 'O', 'R', 'D', 'S' };

static bool checksum_is(struct bytes v, const uint8_t *want)
{
	uint8_t sum[HASH_BYTES];

	hash_blake3(v, sum);
	return memcmp(sum, want, CHECKSUM_BYTES) == 0;
}

void order_file_encode_header(const struct order_window *w, uint8_t out[ORDER_FILE_HEADER_BYTES])
{
	uint8_t sum[HASH_BYTES];

	memset(out, 0, ORDER_FILE_HEADER_BYTES);
	memcpy(out, file_magic, sizeof(file_magic));
	put_le32(out + 8, VERSION);
	put_le64(out + 16, (uint64_t)w->hour_unix);
	memcpy(out + 24, w->satellite.b, NODE_ID_BYTES);
	hash_blake3(BYTES(out, ORDER_FILE_HEADER_BYTES - CHECKSUM_BYTES), sum);
	memcpy(out + ORDER_FILE_HEADER_BYTES - CHECKSUM_BYTES, sum, CHECKSUM_BYTES);
}

enum err order_file_header(struct bytes file, struct order_window *ret)
{
	enum { CHECKED = ORDER_FILE_HEADER_BYTES - CHECKSUM_BYTES };

	if (file.len < ORDER_FILE_HEADER_BYTES ||
	    memcmp(file.data, file_magic, sizeof(file_magic)) != 0 ||
	    !checksum_is(BYTES(file.data, CHECKED), file.data + CHECKED) ||
	    get_le32(file.data + 8) != VERSION)
		return ERR_FORMAT;
	ret->hour_unix = (int64_t)get_le64(file.data + 16);
	memcpy(ret->satellite.b, file.data + 24, NODE_ID_BYTES);
	return OK;
}

void order_file_encode_entry(struct buf *out, struct bytes limit, struct bytes order)
{
	size_t start = out->len;
	uint8_t sum[HASH_BYTES];

	buf_add_le32(out, ENTRY_MAGIC);
	buf_add_le32(out, (uint32_t)limit.len);
	buf_add_le32(out, (uint32_t)order.len);
	buf_add_le32(out, 0);
	buf_add_bytes(out, limit);
	buf_add_bytes(out, order);
	if (out->failed)
		return;
	hash_blake3(BYTES(out->data + start, out->len - start), sum);
	buf_add(out, sum, CHECKSUM_BYTES);
}

/* The entry that begins exactly at pos, if it is good. */
static bool entry_at(struct bytes file, size_t pos, struct order_entry *ret, size_t *ret_len)
{
	struct bytes rest = bytes_from(file, pos);

	if (rest.len < ORDER_ENTRY_FRAME_BYTES || get_le32(rest.data) != ENTRY_MAGIC)
		return false;
	uint64_t limit = get_le32(rest.data + 4), order = get_le32(rest.data + 8);
	if (limit > ORDER_ENTRY_LIMIT_MAX || order > ORDER_WIRE_MAX)
		return false;
	size_t checked = PREFIX_BYTES + (size_t)limit + (size_t)order;
	if (rest.len < checked + CHECKSUM_BYTES ||
	    !checksum_is(BYTES(rest.data, checked), rest.data + checked))
		return false;
	ret->limit = BYTES(rest.data + PREFIX_BYTES, (size_t)limit);
	ret->order = BYTES(rest.data + PREFIX_BYTES + limit, (size_t)order);
	*ret_len = checked + CHECKSUM_BYTES;
	return true;
}

bool order_file_next(struct bytes file, size_t *pos, size_t until, struct order_entry *ret)
{
	size_t len;

	for (size_t at = *pos; at < until; at++)
		if (entry_at(file, at, ret, &len)) {
			*pos = at + len;
			return true;
		}
	if (*pos < until)
		*pos = until;
	return false;
}
