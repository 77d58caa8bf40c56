/*
 * Shares from nodes that lie.  Input: k, n, count, then the shares' bytes.  Whatever they are,
 * success means that they are consistent, and failure that they are untouched.
 */
#include <stdlib.h>

#include "erasure/rs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TOTAL_MAX = 24, LEN_MAX = 64 };

static void check_consistent(struct rs *rs, unsigned count, size_t len, uint8_t (*share)[LEN_MAX])
{
	unsigned numbers[TOTAL_MAX];
	const uint8_t *in[TOTAL_MAX];
	uint8_t again[LEN_MAX];

	for (unsigned i = 0; i < rs_required(rs); i++) {
		numbers[i] = i;
		in[i] = share[i];
	}
	for (unsigned i = 0; i < count; i++)
		if (rs_rebuild(rs, numbers, len, in, i, again) != OK ||
		    memcmp(again, share[i], len) != 0)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t share[TOTAL_MAX][LEN_MAX], before[TOTAL_MAX][LEN_MAX];
	uint8_t *shares[TOTAL_MAX];
	unsigned numbers[TOTAL_MAX];
	bool bad[TOTAL_MAX];
	struct rs *rs;

	if (size < 3)
		return 0;
	unsigned n = 1 + data[1] % TOTAL_MAX, k = 1 + data[0] % n, count = 1 + data[2] % n;
	size_t len = (size - 3) / count;
	if (len > LEN_MAX)
		len = LEN_MAX;
	for (unsigned i = 0; i < count; i++) {
		memcpy(share[i], data + 3 + i * len, len);
		shares[i] = share[i];
		numbers[i] = i;
	}
	memcpy(before, share, sizeof(share));
	if (rs_new(k, n, &rs) != OK)
		abort();
	enum err e = rs_correct(rs, numbers, count, len, shares, bad);
	if (e == OK)
		check_consistent(rs, count, len, share);
	else if (e != (count < k ? ERR_INVALID : ERR_DATA_LOSS))
		abort();
	for (unsigned i = 0; i < count; i++)
		if ((e != OK || !bad[i]) && memcmp(before[i], share[i], len) != 0)
			abort();
	rs_free(rs);
	return 0;
}
