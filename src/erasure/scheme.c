/* Redundancy schemes: text, packed form, sizes. */
#include "erasure/scheme.h"

#include "base/call.h"
#include "base/num.h"
#include "base/text.h"
#include "erasure/rs.h"

enum { SHARE_SIZE_MAX = (1 << 24) - 1, PAD_COUNT_BYTES = 4, TYPE_REED_SOLOMON = 1 };

enum err scheme_check(struct scheme *s)
{
	struct scheme c = *s;

	if (c.repair == 0)
		c.repair = c.total;
	if (c.success == 0)
		c.success = c.total;
	if (c.required < 1 || c.required > c.repair || c.repair > c.success ||
	    c.success > c.total || c.total > RS_TOTAL_MAX || c.share_size < 1 ||
	    c.share_size > SHARE_SIZE_MAX)
		return ERR_INVALID;
	*s = c;
	return OK;
}

/* The number up to the separator (or the end), which is stepped over. */
static enum err take_number(struct bytes *text, char separator, uint16_t *ret)
{
	const uint8_t *end = text->len ? memchr(text->data, separator, text->len) : NULL;
	size_t n = end ? (size_t)(end - text->data) : text->len;
	uint64_t v;

	TRY_PLAIN(text_u64(BYTES(text->data, n), RS_TOTAL_MAX, &v));
	*ret = (uint16_t)v;
	*text = bytes_from(*text, n + 1);
	return OK;
}

enum err scheme_parse(struct bytes text, struct scheme *ret)
{
	struct scheme s = { .share_size = SCHEME_SHARE_SIZE };
	const uint8_t *dash = text.len ? memchr(text.data, '-', text.len) : NULL;
	struct bytes numbers = text;

	if (dash) {
		uint64_t size;

		numbers.len = (size_t)(dash - text.data);
		TRY_PLAIN(text_size(bytes_from(text, numbers.len + 1), &size));
		if (size < 1 || size > SHARE_SIZE_MAX)
			return ERR_OUT_OF_RANGE;
		s.share_size = (uint32_t)size;
	}
	/* Three slashes, no more: the fourth number ends the text. */
	size_t slashes = 0;
	for (size_t i = 0; i < numbers.len; i++)
		slashes += numbers.data[i] == '/';
	if (slashes != 3)
		return ERR_FORMAT;
	TRY_PLAIN(take_number(&numbers, '/', &s.required));
	TRY_PLAIN(take_number(&numbers, '/', &s.repair));
	TRY_PLAIN(take_number(&numbers, '/', &s.success));
	TRY_PLAIN(take_number(&numbers, '/', &s.total));
	TRY_PLAIN(scheme_check(&s));
	*ret = s;
	return OK;
}

void scheme_add_text(struct buf *out, const struct scheme *s)
{
	buf_printf(out, "%u/%u/%u/%u-%uB", s->required, s->repair, s->success, s->total,
		   s->share_size);
}

uint64_t scheme_pack(const struct scheme *s)
{
	uint8_t b[8] = { TYPE_REED_SOLOMON };

	put_le32(b + 1, s->share_size);
	b[4] = (uint8_t)s->required; /* also cuts the share size to three bytes */
	b[5] = (uint8_t)s->repair;
	b[6] = (uint8_t)s->success;
	b[7] = (uint8_t)s->total;
	return get_le64(b);
}

struct scheme scheme_unpack(uint64_t packed)
{
	uint8_t b[8];

	put_le64(b, packed);
	return (struct scheme){
		.required = b[4] ? b[4] : RS_TOTAL_MAX,
		.repair = b[5] ? b[5] : RS_TOTAL_MAX,
		.success = b[6] ? b[6] : RS_TOTAL_MAX,
		.total = b[7] ? b[7] : RS_TOTAL_MAX,
		.share_size = (uint32_t)b[1] | (uint32_t)b[2] << 8 | (uint32_t)b[3] << 16,
	};
}

uint64_t scheme_piece_size(const struct scheme *s, uint64_t encrypted_size)
{
	return (encrypted_size + PAD_COUNT_BYTES + scheme_stripe_size(s) - 1) /
	       scheme_stripe_size(s) * s->share_size;
}

uint32_t pad_length(uint64_t size, uint32_t unit)
{
	uint32_t rest = (uint32_t)((size + PAD_COUNT_BYTES) % unit);

	return PAD_COUNT_BYTES + (rest ? unit - rest : 0);
}
