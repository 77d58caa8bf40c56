/* A buffer of whole blocks, filled when the reader has used it up. */
#include "client/source_range.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/secret.h"
#include "os/clock.h"

struct source_range {
	struct source_reader reader;
	uint64_t begin, at, end; /* of the source; `at` is the first byte that is not in buf */
	size_t cap, from, to;	 /* of buf; what it holds */
	uint8_t *buf;
};

DEFINE_AUTO_PTR(struct source_range, range_auto, source_range_free)

enum err source_range_new(struct call *call, const struct source_reader *reader, uint64_t at,
			  uint64_t size, size_t block, size_t bytes, struct source_range **ret)
{
	struct source_range *r AUTO(range_auto) = calloc(1, sizeof(*r));

	if (!r)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*r = (struct source_range){ .reader = *reader, .begin = at, .at = at, .end = at + size };
	r->cap = MAX(bytes / block, (size_t)1) * block;
	r->buf = malloc(r->cap);
	if (!r->buf)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*ret = take(&r);
	return OK;
}

void source_range_free(struct source_range *r)
{
	if (!r)
		return;
	/* Plain text of the user. */
	if (r->buf)
		secret_wipe(r->buf, r->cap);
	free(r->buf);
	free(r);
}

void source_range_rewind(struct source_range *r)
{
	r->at = r->begin;
	r->from = r->to = 0;
}

enum err source_read(struct call *call, const struct source_reader *reader, uint64_t at,
		     uint8_t *buf, size_t len)
{
	for (size_t have = 0; have < len;) {
		int64_t n = reader->read(reader->arg, at + have, buf + have, len - have);
		if (n < 0)
			return call_fail(call, ERR_IO, "the source cannot be read at byte %llu",
					 (unsigned long long)(at + have));
		if (n == 0)
			return call_fail(call, ERR_IO, "the source ends at byte %llu already",
					 (unsigned long long)(at + have));
		if ((uint64_t)n > len - have)
			return call_fail(call, ERR_INVALID,
					 "the source gave more than was asked for");
		have += (size_t)n;
	}
	return os_call_check(call);
}

static enum err peek(struct call *call, void *arg, struct bytes *ret, bool *ret_last)
{
	struct source_range *r = arg;

	if (r->from == r->to) {
		size_t n = (size_t)MIN((uint64_t)r->cap, r->end - r->at);
		TRY_PLAIN(source_read(call, &r->reader, r->at, r->buf, n));
		r->at += n;
		r->from = 0;
		r->to = n;
	}
	*ret = BYTES(r->buf + r->from, r->to - r->from);
	*ret_last = r->at == r->end;
	return OK;
}

static void drop(void *arg, size_t n)
{
	struct source_range *r = arg;

	r->from += n;
}

struct plain_source source_range_plain(struct source_range *r)
{
	return (struct plain_source){ peek, drop, r };
}
