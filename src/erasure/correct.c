/*
 * Finding and correcting wrong shares (erasure.md 4).  A byte position is a codeword with unknown
 * errors; the Berlekamp-Welch equations for it are solved with Euclid's algorithm, which takes n^2
 * steps where elimination takes n^3, and works for any points, zero included.
 *
 * That is done only where it must be.  Shares are usually wrong as a whole: once a position has
 * shown which, the next positions are rebuilt from the other shares, a strip at a time.  When all
 * shares but at most e = (count - k) / 2 agree, what they agree on is the one codeword within
 * reach, so both ways give the same bytes.
 */
#include "erasure/rs.h"

#include <isa-l/erasure_code.h>
#include <stdlib.h>

#include "base/call.h"
#include "base/num.h"
#include "erasure/internal.h"

enum { POLY_MAX = RS_TOTAL_MAX + 1, STRIP = 1024 };

/* Coefficients, lowest first; those at and above len are zero and not looked at. */
struct poly {
	unsigned len; /* degree + 1, 0 for the zero polynomial */
	uint8_t c[POLY_MAX];
};

struct corrector {
	const struct rs *rs;
	unsigned k, count, errors_max;
	const unsigned *numbers;
	uint8_t *const *shares;
	uint8_t x[RS_TOTAL_MAX];      /* points of the shares */
	uint8_t weight[RS_TOTAL_MAX]; /* of interpolation through all of them */
	struct poly all;	      /* product of (x - x_j) */
	bool suspect[RS_TOTAL_MAX];   /* at most errors_max shares; not among the trusted */
	unsigned suspects;
	unsigned trusted[RS_TOTAL_MAX]; /* k indexes */
	unsigned others[RS_TOTAL_MAX];	/* the count - k remaining indexes, suspects included */
	struct rs_rows rows;		/* others from trusted */
	uint8_t *expected;		/* count - k strips */
	bool write;
	bool *bad;
};

static void poly_trim(struct poly *p)
{
	while (p->len && p->c[p->len - 1] == 0)
		p->len--;
}

/* p += factor * x^shift * q */
static void poly_add_scaled(struct poly *p, const struct poly *q, uint8_t factor, unsigned shift)
{
	unsigned len = q->len + shift;

	if (p->len < len) {
		memset(p->c + p->len, 0, len - p->len);
		p->len = len;
	}
	for (unsigned i = 0; i < q->len; i++)
		p->c[i + shift] ^= gf_mul(factor, q->c[i]);
	poly_trim(p);
}

/* Divides p by q (not zero): the remainder stays in p, and each quotient term times with is added
 * to add (both may be NULL).  Quotient terms, not their sum, since that is all Euclid needs. */
static void poly_reduce(struct poly *p, const struct poly *q, struct poly *add,
			const struct poly *with)
{
	uint8_t inverse = gf_inv(q->c[q->len - 1]);

	while (p->len >= q->len) {
		unsigned shift = p->len - q->len;
		uint8_t factor = gf_mul(p->c[p->len - 1], inverse);

		poly_add_scaled(p, q, factor, shift);
		if (add)
			poly_add_scaled(add, with, factor, shift);
	}
}

static uint8_t poly_eval(const struct poly *p, uint8_t x)
{
	uint8_t v = 0;

	for (unsigned i = p->len; i-- > 0;)
		v = gf_mul(v, x) ^ p->c[i];
	return v;
}

/* The polynomial through the received values: sum of value * weight * all / (x - x_j). */
static void interpolate(const struct corrector *c, const uint8_t value[], struct poly *ret)
{
	ret->len = c->count;
	memset(ret->c, 0, sizeof(ret->c));
	for (unsigned j = 0; j < c->count; j++) {
		uint8_t factor = gf_mul(value[j], c->weight[j]);
		uint8_t carry = 0;

		/* Division by (x - x_j) from the top down (Horner), added as it goes. */
		for (unsigned i = c->count; factor && i-- > 0;) {
			carry = gf_mul(carry, c->x[j]) ^ c->all.c[i + 1];
			ret->c[i] ^= gf_mul(factor, carry);
		}
	}
	poly_trim(ret);
}

/*
 * The values that all shares should have at one position, given those they have.  Euclid on `all`
 * and the received polynomial R keeps r = v * R (mod all); stopped at degree (count + k) / 2, r / v
 * is the message when at most errors_max values are wrong.  False otherwise.
 */
static bool solve(const struct corrector *c, const uint8_t value[], uint8_t ret[])
{
	struct poly r0 = c->all, r1, v0 = { .len = 0 }, v1 = { .len = 1, .c = { 1 } };
	struct poly *older = &r0, *newer = &r1, *v_older = &v0, *v_newer = &v1;
	unsigned wrong = 0;

	interpolate(c, value, newer);
	while (newer->len && 2 * (newer->len - 1) >= c->count + c->k) {
		poly_reduce(older, newer, v_older, v_newer);
		struct poly *swap = older;
		older = newer;
		newer = swap;
		swap = v_older;
		v_older = v_newer;
		v_newer = swap;
	}
	/* message = newer / v_newer, which must go without remainder. */
	struct poly message = { .len = 0 };
	const struct poly one = { .len = 1, .c = { 1 } };
	poly_reduce(newer, v_newer, &message, &one);
	if (newer->len || message.len > c->k)
		return false;
	for (unsigned j = 0; j < c->count; j++) {
		ret[j] = poly_eval(&message, c->x[j]);
		wrong += ret[j] != value[j];
	}
	return wrong <= c->errors_max;
}

/* Splits the shares into k trusted ones and the others, by the suspects known now. */
static enum err choose(struct corrector *c)
{
	unsigned from[RS_TOTAL_MAX], to[RS_TOTAL_MAX];
	unsigned trusted = 0, others = 0;

	for (unsigned j = 0; j < c->count; j++) {
		if (!c->suspect[j] && trusted < c->k)
			c->trusted[trusted++] = j;
		else
			c->others[others++] = j;
	}
	for (unsigned i = 0; i < trusted; i++)
		from[i] = c->numbers[c->trusted[i]];
	for (unsigned i = 0; i < others; i++)
		to[i] = c->numbers[c->others[i]];
	rs_rows_fini(&c->rows);
	return rs_rows_new(c->rs, from, to, others, &c->rows);
}

/* What the trusted shares say about the others, for the strip at `at`. */
static void expect(const struct corrector *c, size_t at, size_t len)
{
	const uint8_t *in[RS_TOTAL_MAX];
	uint8_t *out[RS_TOTAL_MAX];

	for (unsigned i = 0; i < c->k; i++)
		in[i] = c->shares[c->trusted[i]] + at;
	for (unsigned i = 0; i < c->count - c->k; i++)
		out[i] = c->expected + (size_t)i * STRIP;
	rs_rows_apply(&c->rows, len, in, out);
}

/* Gives share j the bytes it should have. */
static void put(const struct corrector *c, unsigned j, size_t at, const uint8_t *right, size_t len)
{
	uint8_t *share = c->shares[j] + at;

	if (memcmp(share, right, len) == 0)
		return;
	c->bad[j] = true;
	if (c->write)
		memcpy(share, right, len);
}

/* One position that the trusted shares do not explain.  *ret_new: it showed a share that was not
 * suspected. */
static enum err correct_position(struct corrector *c, size_t at, bool *ret_new)
{
	uint8_t value[RS_TOTAL_MAX], right[RS_TOTAL_MAX];
	bool wrong[RS_TOTAL_MAX] = { false };
	unsigned together = c->suspects;

	for (unsigned j = 0; j < c->count; j++)
		value[j] = c->shares[j][at];
	if (c->errors_max == 0 || !solve(c, value, right))
		return ERR_DATA_LOSS;
	*ret_new = false;
	for (unsigned j = 0; j < c->count; j++) {
		wrong[j] = right[j] != value[j];
		if (wrong[j] && !c->suspect[j]) {
			*ret_new = true;
			together++;
		}
		put(c, j, at, &right[j], 1);
	}
	if (!*ret_new)
		return OK;
	/* No more suspects than can be corrected: the newest finding counts most. */
	if (together > c->errors_max)
		memset(c->suspect, 0, sizeof(c->suspect));
	c->suspects = 0;
	for (unsigned j = 0; j < c->count; j++) {
		c->suspect[j] |= wrong[j];
		c->suspects += c->suspect[j];
	}
	return choose(c);
}

static bool strip_clean(const struct corrector *c, size_t at, size_t len)
{
	for (unsigned o = 0; o < c->count - c->k; o++)
		if (memcmp(c->shares[c->others[o]] + at, c->expected + (size_t)o * STRIP, len) != 0)
			return false;
	return true;
}

/* A position is explained when every share that is not suspected agrees; ret[i] is then 0. */
static void differences(const struct corrector *c, size_t at, size_t len, uint8_t ret[STRIP])
{
	memset(ret, 0, len);
	for (unsigned o = 0; o < c->count - c->k; o++) {
		const uint8_t *expected = c->expected + (size_t)o * STRIP;
		const uint8_t *share = c->shares[c->others[o]] + at;

		for (size_t i = 0; i < len && !c->suspect[c->others[o]]; i++)
			ret[i] |= share[i] ^ expected[i];
	}
}

/* Positions from .. to - 1 are explained: the suspects get what the others say. */
static void adopt(const struct corrector *c, size_t at, size_t from, size_t to)
{
	for (unsigned o = 0; o < c->count - c->k && from < to; o++)
		if (c->suspect[c->others[o]])
			put(c, c->others[o], at + from, c->expected + (size_t)o * STRIP + from,
			    to - from);
}

static enum err correct_strip(struct corrector *c, size_t at, size_t len)
{
	uint8_t differs[STRIP];
	bool fresh = true;
	size_t from = 0;

	while (from < len) {
		size_t i = from;

		if (fresh) {
			/* Other suspects now, or the first round. */
			at += from;
			len -= from;
			i = from = 0;
			expect(c, at, len);
			if (strip_clean(c, at, len))
				return OK;
			differences(c, at, len, differs);
			fresh = false;
		}
		while (i < len && !differs[i])
			i++;
		adopt(c, at, from, i);
		if (i == len)
			return OK;
		TRY_PLAIN(correct_position(c, at + i, &fresh));
		from = i + 1;
	}
	return OK;
}

static enum err correct_all(struct corrector *c, size_t len, bool write)
{
	c->write = write;
	c->suspects = 0;
	memset(c->suspect, 0, sizeof(c->suspect));
	TRY_PLAIN(choose(c));
	for (size_t at = 0; at < len; at += STRIP)
		TRY_PLAIN(correct_strip(c, at, MIN(len - at, (size_t)STRIP)));
	return OK;
}

static void set_up_points(struct corrector *c)
{
	c->all = (struct poly){ .len = 1, .c = { 1 } };
	for (unsigned j = 0; j < c->count; j++) {
		uint8_t product = 1;

		c->x[j] = rs_point(c->numbers[j]);
		for (unsigned m = 0; m < c->count; m++)
			if (m != j)
				product = gf_mul(product, rs_point(c->numbers[m]) ^ c->x[j]);
		c->weight[j] = gf_inv(product);
		/* all *= (x + x_j) */
		for (unsigned i = c->all.len; i > 0; i--)
			c->all.c[i] = c->all.c[i - 1] ^ gf_mul(c->all.c[i], c->x[j]);
		c->all.c[0] = gf_mul(c->all.c[0], c->x[j]);
		c->all.len++;
	}
}

enum err rs_correct(const struct rs *rs, const unsigned numbers[], unsigned count, size_t len,
		    uint8_t *const shares[], bool bad[])
{
	bool found[RS_TOTAL_MAX] = { false };

	if (count < rs->k || count > rs->n || !rs_numbers_ok(rs, numbers, count))
		return ERR_INVALID;
	if (count == rs->k) {
		memset(bad, 0, count * sizeof(*bad));
		return OK;
	}
	struct corrector *c = calloc(1, sizeof(*c));
	uint8_t *expected = calloc(count - rs->k, STRIP);
	enum err e = c && expected ? OK : ERR_NO_MEMORY;
	if (!e) {
		*c = (struct corrector){ .rs = rs,
					 .k = rs->k,
					 .count = count,
					 .numbers = numbers,
					 .errors_max = (count - rs->k) / 2,
					 .shares = shares,
					 .expected = expected,
					 .bad = found };
		set_up_points(c);
		/* First without writing, so that shares beyond repair stay as they are. */
		e = correct_all(c, len, false);
	}
	bool dirty = false;
	for (unsigned j = 0; j < count; j++)
		dirty |= found[j];
	if (!e && dirty)
		e = correct_all(c, len, true);
	if (!e)
		memcpy(bad, found, count * sizeof(*bad));
	if (c)
		rs_rows_fini(&c->rows);
	free(c);
	free(expected);
	return e;
}
