/*
 * The code itself.  All matrices here are Lagrange interpolation from one set of points to another
 * (erasure.md 3), so nothing is ever inverted: k^2 steps for any k shares.
 */
#include "erasure/rs.h"

#include <isa-l/erasure_code.h>
#include <stdlib.h>

#include "base/call.h"
#include "base/num.h"
#include "erasure/internal.h"

/* A row alone costs about as much as four rows among many. */
enum { GENERATOR = 2, SINGLES_SHARE = 4 };

uint8_t rs_point(unsigned number)
{
	uint8_t x = number ? 1 : 0;

	for (unsigned i = 1; i < number; i++)
		x = gf_mul(x, GENERATOR);
	return x;
}

bool rs_numbers_ok(const struct rs *rs, const unsigned numbers[], unsigned count)
{
	bool seen[RS_TOTAL_MAX] = { false };

	for (unsigned i = 0; i < count; i++) {
		if (numbers[i] >= rs->n || seen[numbers[i]])
			return false;
		seen[numbers[i]] = true;
	}
	return true;
}

/* weight[j] = 1 / prod over m != j of (x_j - x_m); minus is exclusive or. */
static void lagrange_weights(const uint8_t x[], unsigned k, uint8_t weight[])
{
	for (unsigned j = 0; j < k; j++) {
		uint8_t product = 1;
		for (unsigned m = 0; m < k; m++)
			if (m != j)
				product = gf_mul(product, x[j] ^ x[m]);
		weight[j] = gf_inv(product);
	}
}

/* The coefficients of one row: value at y of the polynomial through values at x[0..k-1]. */
static void lagrange_row(const uint8_t x[], const uint8_t weight[], unsigned k, uint8_t y,
			 uint8_t row[])
{
	uint8_t product = 1;

	for (unsigned j = 0; j < k; j++) {
		if (x[j] == y) {
			memset(row, 0, k);
			row[j] = 1;
			return;
		}
		product = gf_mul(product, y ^ x[j]);
	}
	for (unsigned j = 0; j < k; j++)
		row[j] = gf_mul(gf_mul(product, weight[j]), gf_inv(y ^ x[j]));
}

enum err rs_rows_new(const struct rs *rs, const unsigned from[], const unsigned to[], unsigned rows,
		     struct rs_rows *ret)
{
	uint8_t x[RS_TOTAL_MAX], weight[RS_TOTAL_MAX];
	struct rs_rows r = { .kernel = rs->kernel, .k = rs->k, .rows = rows };
	unsigned k = rs->k;

	if (rows == 0) {
		*ret = r;
		return OK;
	}
	uint8_t *matrix = calloc(rows, k);
	r.tables = calloc((size_t)rows * k, r.kernel->table_bytes);
	r.singles = calloc((size_t)rows * k, r.kernel->table_bytes);
	if (!matrix || !r.tables || !r.singles) {
		free(matrix);
		rs_rows_fini(&r);
		return ERR_NO_MEMORY;
	}
	for (unsigned j = 0; j < k; j++)
		x[j] = rs_point(from[j]);
	lagrange_weights(x, k, weight);
	for (unsigned i = 0; i < rows; i++)
		lagrange_row(x, weight, k, rs_point(to[i]), matrix + (size_t)i * k);
	r.kernel->prepare(k, rows, matrix, r.tables);
	for (unsigned i = 0; i < rows; i++)
		r.kernel->prepare(k, 1, matrix + (size_t)i * k,
				  r.singles + (size_t)i * k * r.kernel->table_bytes);
	free(matrix);
	*ret = r;
	return OK;
}

void rs_rows_fini(struct rs_rows *r)
{
	free(r->tables);
	free(r->singles);
	r->tables = r->singles = NULL;
}

/* Some outputs are not wanted: few that are go one by one, otherwise the others are dropped. */
static void apply_some(const struct rs_rows *r, unsigned wanted, size_t len,
		       const uint8_t *const in[], uint8_t *const out[])
{
	uint8_t dropped[RS_STRIP_BYTES];
	uint8_t *all[RS_TOTAL_MAX];

	for (unsigned i = 0; i < r->rows; i++) {
		const uint8_t *single = r->singles + (size_t)i * r->k * r->kernel->table_bytes;

		all[i] = out[i] ? out[i] : dropped;
		if (out[i] && wanted <= r->rows / SINGLES_SHARE)
			r->kernel->apply(r->k, 1, single, len, in, &out[i]);
	}
	if (wanted > r->rows / SINGLES_SHARE)
		r->kernel->apply(r->k, r->rows, r->tables, len, in, all);
}

void rs_rows_apply(const struct rs_rows *r, size_t len, const uint8_t *const in[],
		   uint8_t *const out[])
{
	unsigned wanted = 0;

	for (unsigned i = 0; i < r->rows; i++)
		wanted += out[i] != NULL; /* NOLINT: every caller fills all rows */
	if (wanted == 0 || len == 0)
		return;
	if (wanted == r->rows)
		r->kernel->apply(r->k, r->rows, r->tables, len, in, out);
	else
		apply_some(r, wanted, len, in, out);
}

enum err rs_new_with(const struct rs_kernel *kernel, unsigned k, unsigned n, struct rs **ret)
{
	unsigned numbers[RS_TOTAL_MAX] = { 0 };

	if (k < 1 || k > n || n > RS_TOTAL_MAX)
		return ERR_INVALID;
	struct rs *rs = calloc(1, sizeof(*rs));
	if (!rs)
		return ERR_NO_MEMORY;
	*rs = (struct rs){ .kernel = kernel, .k = k, .n = n };
	for (unsigned i = 0; i < n; i++)
		numbers[i] = i;
	enum err e = rs_rows_new(rs, numbers, numbers + k, n - k, &rs->parity);
	if (e) {
		free(rs);
		return e;
	}
	*ret = rs;
	return OK;
}

enum err rs_new(unsigned k, unsigned n, struct rs **ret)
{
	return rs_new_with(rs_kernel_get(0), k, n, ret);
}

void rs_free(struct rs *rs)
{
	if (!rs)
		return;
	rs_rows_fini(&rs->parity);
	free(rs);
}

unsigned rs_required(const struct rs *rs)
{
	return rs->k;
}

unsigned rs_total(const struct rs *rs)
{
	return rs->n;
}

void rs_encode(const struct rs *rs, size_t len, uint8_t *const shares[])
{
	const uint8_t *in[RS_TOTAL_MAX];
	uint8_t *out[RS_TOTAL_MAX];

	for (size_t at = 0; at < len; at += RS_STRIP_BYTES) {
		for (unsigned j = 0; j < rs->k; j++)
			in[j] = shares[j] + at;
		for (unsigned i = rs->k; i < rs->n; i++)
			out[i - rs->k] = shares[i] ? shares[i] + at : NULL;
		rs_rows_apply(&rs->parity, MIN(len - at, (size_t)RS_STRIP_BYTES), in, out);
	}
}

enum err rs_decoder_new(const struct rs *rs, const unsigned numbers[], struct rs_decoder **ret)
{
	if (!rs_numbers_ok(rs, numbers, rs->k))
		return ERR_INVALID;
	struct rs_decoder *d = calloc(1, sizeof(*d));
	if (!d)
		return ERR_NO_MEMORY;
	unsigned missing = 0;
	d->k = rs->k;
	for (unsigned block = 0; block < rs->k; block++) {
		unsigned j = 0;
		while (j < rs->k && numbers[j] != block)
			j++;
		if (j == rs->k) {
			d->missing[missing++] = block;
		} else {
			d->present[d->present_count].block = block;
			d->present[d->present_count++].input = j;
		}
	}
	enum err e = rs_rows_new(rs, numbers, d->missing, missing, &d->rows);
	if (e) {
		free(d);
		return e;
	}
	*ret = d;
	return OK;
}

void rs_decoder_free(struct rs_decoder *d)
{
	if (!d)
		return;
	rs_rows_fini(&d->rows);
	free(d);
}

void rs_decode(const struct rs_decoder *d, size_t len, const uint8_t *const in[],
	       uint8_t *const out[])
{
	const uint8_t *from[RS_TOTAL_MAX];
	uint8_t *to[RS_TOTAL_MAX];

	for (size_t at = 0; at < len && d->rows.rows; at += RS_STRIP_BYTES) {
		for (unsigned j = 0; j < d->k; j++)
			from[j] = in[j] + at;
		for (unsigned i = 0; i < d->rows.rows; i++)
			to[i] = out[d->missing[i]] ? out[d->missing[i]] + at : NULL;
		rs_rows_apply(&d->rows, MIN(len - at, (size_t)RS_STRIP_BYTES), from, to);
	}
	for (unsigned i = 0; i < d->present_count; i++) {
		uint8_t *block = out[d->present[i].block];
		const uint8_t *share = in[d->present[i].input];

		if (block && block != share && len)
			memcpy(block, share, len);
	}
}

struct rs_rebuilder {
	struct rs_rows rows;
};

enum err rs_rebuilder_new(const struct rs *rs, const unsigned numbers[], const unsigned wanted[],
			  unsigned wanted_count, struct rs_rebuilder **ret)
{
	if (!rs_numbers_ok(rs, numbers, rs->k) || !rs_numbers_ok(rs, wanted, wanted_count))
		return ERR_INVALID;
	struct rs_rebuilder *r = calloc(1, sizeof(*r));
	if (!r)
		return ERR_NO_MEMORY;
	enum err e = rs_rows_new(rs, numbers, wanted, wanted_count, &r->rows);
	if (e) {
		free(r);
		return e;
	}
	*ret = r;
	return OK;
}

void rs_rebuilder_free(struct rs_rebuilder *r)
{
	if (!r)
		return;
	rs_rows_fini(&r->rows);
	free(r);
}

void rs_rebuilder_apply(const struct rs_rebuilder *r, size_t len, const uint8_t *const in[],
			uint8_t *const out[])
{
	const uint8_t *from[RS_TOTAL_MAX];
	uint8_t *to[RS_TOTAL_MAX];

	for (size_t at = 0; at < len; at += RS_STRIP_BYTES) {
		for (unsigned j = 0; j < r->rows.k; j++)
			from[j] = in[j] + at;
		for (unsigned i = 0; i < r->rows.rows; i++)
			to[i] = out[i] + at;
		rs_rows_apply(&r->rows, MIN(len - at, (size_t)RS_STRIP_BYTES), from, to);
	}
}

enum err rs_rebuild(const struct rs *rs, const unsigned numbers[], size_t len,
		    const uint8_t *const in[], unsigned wanted, uint8_t *out)
{
	struct rs_rebuilder *r = NULL;

	TRY_PLAIN(rs_rebuilder_new(rs, numbers, &wanted, 1, &r));
	rs_rebuilder_apply(r, len, in, &out);
	rs_rebuilder_free(r);
	return OK;
}
