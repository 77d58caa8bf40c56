/* PieceDownloadResponse without copying its data. */
#include "transfer/piece_answer.h"

#include "base/wire.h"

enum {
	ANSWER_CHUNK = 1,
	ANSWER_HASH = 2,
	ANSWER_LIMIT = 3,
	CHUNK_OFFSET = 1,
	CHUNK_DATA = 2,
};

static bool read_chunk(struct bytes chunk, struct piece_answer *r)
{
	struct wire w = wire_read(chunk);
	struct wire_field f;

	r->offset = 0;
	r->data = BYTES_NONE;
	while (wire_field(&w, &f)) {
		if (f.number == CHUNK_OFFSET && f.type == WIRE_VARINT)
			r->offset = f.value;
		else if (f.number == CHUNK_DATA && f.type == WIRE_BYTES)
			r->data = f.bytes;
	}
	return wire_ok(&w);
}

enum err piece_answer_parse(struct bytes message, struct piece_answer *ret)
{
	struct piece_answer r = { 0 };
	struct wire w = wire_read(message);
	struct wire_field f;

	while (wire_field(&w, &f)) {
		if (f.type != WIRE_BYTES)
			continue;
		if (f.number == ANSWER_CHUNK && !read_chunk(f.bytes, &r))
			return ERR_FORMAT;
		if (f.number == ANSWER_HASH)
			r.hash = f.bytes;
		if (f.number == ANSWER_LIMIT)
			r.limit = f.bytes;
	}
	if (!wire_ok(&w))
		return ERR_FORMAT;
	*ret = r;
	return OK;
}
