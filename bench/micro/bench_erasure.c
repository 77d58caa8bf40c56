/* Reed-Solomon with the development and the production code, in the shapes that transfers use. */
#include "micro.h"

#include "erasure/internal.h"
#include "erasure/rs.h"

enum { SHARE = 256, SEGMENT_PART = 1 << 20 };

struct rs_bench {
	struct rs *rs;
	struct rs_decoder *decoder;
	unsigned numbers[RS_TOTAL_MAX];
	size_t stripes;
	uint8_t *data, *back;
	uint8_t *pieces[RS_TOTAL_MAX];
	const uint8_t *in[RS_TOTAL_MAX];
	uint8_t *work[RS_TOTAL_MAX];
	bool bad[RS_TOTAL_MAX];
	unsigned wrong; /* shares that are broken again before each correction */
};

static void encode(void *arg)
{
	struct rs_bench *b = arg;

	rs_encode_stripes(b->rs, SHARE, b->stripes, b->data, b->pieces);
}

static void decode(void *arg)
{
	struct rs_bench *b = arg;

	rs_decode_stripes(b->decoder, SHARE, b->stripes, b->in, b->back);
}

static void encode_long(void *arg)
{
	struct rs_bench *b = arg;

	rs_encode(b->rs, b->stripes * SHARE, b->pieces);
}

static void decoder_make(void *arg)
{
	struct rs_bench *b = arg;
	struct rs_decoder *d;

	must(rs_decoder_new(b->rs, b->numbers, &d));
	rs_decoder_free(d);
}

static void correct(void *arg)
{
	struct rs_bench *b = arg;
	unsigned all[RS_TOTAL_MAX];

	for (unsigned i = 0; i < rs_total(b->rs); i++)
		all[i] = i;
	for (unsigned i = 0; i < b->wrong; i++)
		for (size_t at = 0; at < b->stripes * SHARE; at++)
			b->pieces[5 * i + 1][at] ^= 0x55;
	must(rs_correct(b->rs, all, rs_total(b->rs), b->stripes * SHARE, b->pieces, b->bad));
}

static struct rs_bench *rs_bench_with(const struct rs_kernel *kernel, unsigned k, unsigned n)
{
	struct rs_bench *b = must_alloc(sizeof(*b));

	must(rs_new_with(kernel, k, n, &b->rs));
	b->stripes = SEGMENT_PART / (k * SHARE);
	b->data = must_alloc(b->stripes * k * SHARE);
	b->back = must_alloc(b->stripes * k * SHARE);
	fill(b->data, b->stripes * k * SHARE);
	for (unsigned i = 0; i < n; i++)
		b->pieces[i] = must_alloc(b->stripes * SHARE);
	encode(b);
	return b;
}

static struct rs_bench *rs_bench(unsigned k, unsigned n)
{
	return rs_bench_with(rs_kernel_get(0), k, n);
}

/* Which pieces came first: the data pieces, or any (every third number of all). */
static void add_decode(void (*add)(struct bench), unsigned k, unsigned n, bool systematic)
{
	struct rs_bench *b = rs_bench(k, n);

	for (unsigned i = 0, at = 0; i < k; i++, at += 3)
		b->numbers[i] = systematic ? i : at % n + (at >= n ? at / n : 0);
	for (unsigned i = 0; i < k; i++)
		b->in[i] = b->pieces[b->numbers[i]];
	must(rs_decoder_new(b->rs, b->numbers, &b->decoder));
	decode(b);
	must(memcmp(b->back, b->data, b->stripes * k * SHARE) == 0 ? OK : ERR_INTERNAL);
	add((struct bench){ name_of("erasure decode %u/%u, stripes of 256, %s", k, n,
				    systematic ? "data pieces" : "mixed pieces"),
			    b->stripes * k * SHARE, decode, b });
	if (!systematic)
		add((struct bench){ name_of("erasure decoder for a set of pieces %u/%u", k, n), 0,
				    decoder_make, b });
}

void bench_erasure(void (*add)(struct bench))
{
	static const struct {
		unsigned k, n;
	} codes[] = { { 4, 10 }, { 29, 80 }, { 29, 110 } };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		unsigned k = codes[i].k, n = codes[i].n;
		size_t bytes = SEGMENT_PART / (k * SHARE) * k * SHARE;

		for (size_t x = 0; x < rs_kernel_count(); x++)
			add((struct bench){ name_of("erasure encode %u/%u, stripes of 256, %s", k,
						    n, rs_kernel_get(x)->name),
					    bytes, encode, rs_bench_with(rs_kernel_get(x), k, n) });
		add((struct bench){ name_of("erasure encode %u/%u, long shares", k, n), bytes,
				    encode_long, rs_bench(k, n) });
		add_decode(add, k, n, true);
		add_decode(add, k, n, false);
		add((struct bench){ name_of("erasure correct %u/%u, nothing wrong", k, n), bytes,
				    correct, rs_bench(k, n) });
		struct rs_bench *c = rs_bench(k, n);
		c->wrong = 2;
		add((struct bench){ name_of("erasure correct %u/%u, two shares wrong", k, n), bytes,
				    correct, c });
	}
}
