/* Shared by the files of this room: points, coefficients, kernels. */
#ifndef ACRE_ERASURE_INTERNAL_H
#define ACRE_ERASURE_INTERNAL_H

#include "erasure/rs.h"

enum { RS_STRIP_BYTES = 4096 };

/* A way of multiplying rows of coefficients with shares.  All give the same bytes. */
struct rs_kernel {
	const char *name;
	size_t table_bytes; /* for one coefficient */
	/* matrix[row][input] to this kernel's tables. */
	void (*prepare)(unsigned k, unsigned rows, const uint8_t *matrix, void *tables);
	/* out[row] = sum over inputs; len > 0; inputs and outputs do not overlap. */
	void (*apply)(unsigned k, unsigned rows, const void *tables, size_t len,
		      const uint8_t *const in[], uint8_t *const out[]);
};

extern const struct rs_kernel rs_kernel_isal;
#ifdef ACRE_RS_GFNI
extern const struct rs_kernel rs_kernel_gfni512;
#endif
/* Those this processor can run, best first; ISA-L is the last. */
size_t rs_kernel_count(void);
const struct rs_kernel *rs_kernel_get(size_t i);

/* Rows of a matrix over k inputs, expanded for a kernel. */
struct rs_rows {
	const struct rs_kernel *kernel;
	unsigned k;
	unsigned rows;
	uint8_t *tables;  /* of all rows together */
	uint8_t *singles; /* of each row alone, one behind the other */
};

struct rs {
	const struct rs_kernel *kernel;
	unsigned k;
	unsigned n;
	struct rs_rows parity; /* shares k .. n-1 */
};

/* As rs_new, with a kernel of choice; for tests and measurements. */
enum err rs_new_with(const struct rs_kernel *kernel, unsigned k, unsigned n,
		     struct rs **ret) MUST_USE;

/* The evaluation point of a share: 0 for share 0, else 2^(number-1) (erasure.md 3). */
uint8_t rs_point(unsigned number);
/* Whether the numbers are distinct and below rs->n. */
bool rs_numbers_ok(const struct rs *rs, const unsigned numbers[], unsigned count);
/* The rows that give the shares to[0..rows-1] from the k shares `from`; rows may be 0. */
enum err rs_rows_new(const struct rs *rs, const unsigned from[], const unsigned to[], unsigned rows,
		     struct rs_rows *ret) MUST_USE;
void rs_rows_fini(struct rs_rows *r);
/* out[i] = row i applied to in; len <= RS_STRIP_BYTES.  A NULL among out is skipped. */
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
