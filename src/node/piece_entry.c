/* Index entries: bytes, order, sums. */
#include "node/piece_entry.h"

#include "base/num.h"

void piece_entry_encode(const struct piece_entry *e, uint8_t out[PIECE_ENTRY_BYTES])
{
	memcpy(out, e->id.b, PIECE_ID_BYTES);
	put_le32(out + 32, e->segment);
	put_le32(out + 36, e->offset64);
	put_le32(out + 40, e->size);
	put_le32(out + 44, e->stored_at);
	put_le32(out + 48, e->expires_at);
	put_le32(out + 52, e->trashed_at);
	put_le16(out + 56, e->satellite);
	out[58] = e->header64;
	out[59] = e->flags;
}

enum err piece_entry_decode(const uint8_t in[PIECE_ENTRY_BYTES], struct piece_entry *ret)
{
	struct piece_entry e = {
		.segment = get_le32(in + 32),
		.offset64 = get_le32(in + 36),
		.size = get_le32(in + 40),
		.stored_at = get_le32(in + 44),
		.expires_at = get_le32(in + 48),
		.trashed_at = get_le32(in + 52),
		.satellite = get_le16(in + 56),
		.header64 = in[58],
		.flags = in[59],
	};

	memcpy(e.id.b, in, PIECE_ID_BYTES);
	if (e.header64 < RECORD_FIXED_BYTES / RECORD_ALIGN ||
	    e.header64 > RECORD_HEADER_MAX / RECORD_ALIGN ||
	    e.offset64 < SEGMENT_HEADER_BYTES / RECORD_ALIGN ||
	    e.satellite >= PIECE_SATELLITES_MAX || (e.flags & ~(PIECE_DAMAGED | PIECE_DELETED)))
		return ERR_FORMAT;
	*ret = e;
	return OK;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

uint64_t piece_hash(const struct piece_seed *seed, const uint8_t id[PIECE_ID_BYTES],
		    uint16_t satellite)
{
	uint64_t h = fold(get_le64(id) ^ seed->v[0], get_le64(id + 8) ^ seed->v[1]);

	h ^= fold(get_le64(id + 16) ^ seed->v[1], get_le64(id + 24) ^ h);
	return fold(h ^ satellite, seed->v[0] | 1);
}

int piece_order(uint64_t hash_a, const struct piece_entry *a, uint64_t hash_b,
		const struct piece_entry *b)
{
	if (hash_a != hash_b)
		return hash_a < hash_b ? -1 : 1;
	int c = memcmp(a->id.b, b->id.b, PIECE_ID_BYTES);

	return c ? c : (int)a->satellite - (int)b->satellite;
}

void piece_figures_add(struct piece_figures *f, const struct piece_entry *e, int sign)
{
	uint64_t one = (uint64_t)(int64_t)sign;

	if (e->flags & PIECE_DELETED)
		return;
	if (e->trashed_at) {
		f->trash_pieces += one;
		f->trash_bytes += one * piece_entry_len(e);
		f->trash_data += one * e->size;
	} else {
		f->pieces += one;
		f->bytes += one * piece_entry_len(e);
		f->data += one * e->size;
	}
	if (e->flags & PIECE_DAMAGED)
		f->damaged += one;
}

void piece_figures_sum(struct piece_figures *f, const struct piece_figures *more)
{
	f->pieces += more->pieces;
	f->bytes += more->bytes;
	f->data += more->data;
	f->trash_pieces += more->trash_pieces;
	f->trash_bytes += more->trash_bytes;
	f->trash_data += more->trash_data;
	f->damaged += more->damaged;
}
