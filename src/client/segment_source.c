/* Encryption on the fly: whole blocks go straight to where they are wanted, the rest through a
 * carry. */
#include "client/segment_source.h"

#include <stdlib.h>

#include "base/num.h"

enum err segment_source_init(struct call *call, struct segment_source *s, struct plain_source from,
			     struct content_sealer *sealer, uint32_t block)
{
	*s = (struct segment_source){ .from = from, .sealer = sealer, .block = block };
	s->carry = malloc(2 * (size_t)block);
	if (!s->carry)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return OK;
}

void segment_source_fini(struct segment_source *s)
{
	free(s->carry);
	s->carry = NULL;
}

static size_t take_carry(struct segment_source *s, uint8_t *buf, size_t cap)
{
	size_t n = MIN(cap, s->carry_len - s->carry_at);

	if (n)
		memcpy(buf, s->carry + s->carry_at, n);
	s->carry_at += n;
	return n;
}

/* The next blocks, to buf as far as they fit whole, else one (or the tail) to the carry. */
static enum err fill(struct call *call, struct segment_source *s, uint8_t *buf, size_t cap,
		     size_t *ret_n)
{
	size_t plain_block = s->block - AEAD_TAG_BYTES;
	struct bytes plain;
	bool last;

	*ret_n = 0;
	TRY_PLAIN(s->from.peek(call, s->from.arg, &plain, &last));
	size_t blocks = plain.len / plain_block, fit = cap / s->block;
	s->carry_at = s->carry_len = 0;
	if (!blocks) {
		s->plain += plain.len;
		TRY_PLAIN(content_seal_tail(call, s->sealer, plain, s->plain, s->carry,
					    &s->carry_len));
		s->from.drop(s->from.arg, plain.len);
		s->ended = true;
		return OK;
	}
	size_t n = fit ? MIN(fit, blocks) : 1;
	plain.len = n * plain_block;
	TRY_PLAIN(content_seal_blocks(call, s->sealer, plain, fit ? buf : s->carry));
	if (fit)
		*ret_n = n * s->block;
	else
		s->carry_len = s->block;
	s->plain += plain.len;
	s->from.drop(s->from.arg, plain.len);
	return OK;
}

enum err segment_source_read(struct call *call, struct segment_source *s, uint8_t *buf, size_t cap,
			     size_t *ret_n)
{
	size_t done = take_carry(s, buf, cap);

	while (done < cap && !s->ended) {
		size_t n;
		TRY_PLAIN(fill(call, s, buf + done, cap - done, &n));
		done += n;
		done += take_carry(s, buf + done, cap - done);
	}
	*ret_n = done;
	return OK;
}
