/*
 * Segment bytes to pieces and back, stripe by stripe in place: the code runs at full speed on
 * shares of 256 bytes, so nothing is transposed into a buffer first.
 */
#include "base/num.h"
#include "erasure/internal.h"

void rs_encode_stripes(const struct rs *rs, size_t share_size, size_t stripes, const uint8_t *data,
		       uint8_t *const pieces[])
{
	const uint8_t *in[RS_TOTAL_MAX];
	uint8_t *out[RS_TOTAL_MAX];

	for (size_t s = 0; s < stripes; s++, data += rs->k * share_size) {
		for (unsigned j = 0; j < rs->k; j++)
			if (pieces[j])
				memcpy(pieces[j] + s * share_size, data + j * share_size,
				       share_size);
		for (size_t at = 0; at < share_size; at += RS_STRIP_BYTES) {
			for (unsigned j = 0; j < rs->k; j++)
				in[j] = data + j * share_size + at;
			for (unsigned i = rs->k; i < rs->n; i++)
				out[i - rs->k] = pieces[i] ? pieces[i] + s * share_size + at : NULL;
			rs_rows_apply(&rs->parity, MIN(share_size - at, (size_t)RS_STRIP_BYTES), in,
				      out);
		}
	}
}

void rs_decode_stripes(const struct rs_decoder *d, size_t share_size, size_t stripes,
		       const uint8_t *const in[], uint8_t *out)
{
	const uint8_t *from[RS_TOTAL_MAX];
	uint8_t *to[RS_TOTAL_MAX];

	for (size_t s = 0; s < stripes; s++, out += d->k * share_size) {
		for (unsigned i = 0; i < d->present_count; i++)
			memcpy(out + d->present[i].block * share_size,
			       in[d->present[i].input] + s * share_size, share_size);
		for (size_t at = 0; at < share_size && d->rows.rows; at += RS_STRIP_BYTES) {
			for (unsigned j = 0; j < d->k; j++)
				from[j] = in[j] + s * share_size + at;
			for (unsigned i = 0; i < d->rows.rows; i++)
				to[i] = out + d->missing[i] * share_size + at;
			rs_rows_apply(&d->rows, MIN(share_size - at, (size_t)RS_STRIP_BYTES), from,
				      to);
		}
	}
}
