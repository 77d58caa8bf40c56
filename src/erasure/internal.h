/* Shared by the files of this room: points, coefficients, and the one call into ISA-L. */
#ifndef ACRE_ERASURE_INTERNAL_H
#define ACRE_ERASURE_INTERNAL_H

#include "erasure/rs.h"

enum { RS_STRIP_BYTES = 4096 };

/* Rows of a matrix over k inputs, expanded for ISA-L. */
struct rs_rows {
	unsigned k;
	unsigned rows;
	uint8_t *tables; /* opaque, 32 * k * rows bytes */
};

struct rs {
	unsigned k;
	unsigned n;
	struct rs_rows parity; /* shares k .. n-1 */
};

/* The evaluation point of a share: 0 for share 0, else 2^(number-1) (erasure.md 3). */
uint8_t rs_point(unsigned number);
/* Whether the numbers are distinct and below rs->n. */
bool rs_numbers_ok(const struct rs *rs, const unsigned numbers[], unsigned count);
/* The rows that give the shares to[0..rows-1] from the shares from[0..k-1]; rows may be 0. */
enum err rs_rows_new(const unsigned from[], unsigned k, const unsigned to[], unsigned rows,
		     struct rs_rows *ret) MUST_USE;
void rs_rows_fini(struct rs_rows *r);
/* out[i] = row i applied to in; len <= RS_STRIP_BYTES; no NULL. */
void rs_rows_apply(const struct rs_rows *r, size_t len, const uint8_t *const in[],
		   uint8_t *const out[]);

struct rs_decoder {
	unsigned k;
	unsigned missing[RS_TOTAL_MAX]; /* data blocks to compute, in order of the rows */
	struct {
		unsigned block, input;
	} present[RS_TOTAL_MAX]; /* data blocks that are among the inputs */
	unsigned present_count;
	struct rs_rows rows;
};

#endif
