/* The kernels: ISA-L everywhere, and our own where the processor has what ISA-L 2.30 does not use.
 */
#include <isa-l/erasure_code.h>

#include "base/cleanup.h"
#include "erasure/internal.h"

enum { ISAL_TABLE_BYTES = 32 };

static void isal_prepare(unsigned k, unsigned rows, const uint8_t *matrix, void *tables)
{
	/* ISA-L's prototypes know no const; it only reads matrix, tables and inputs. */
	ec_init_tables((int)k, (int)rows, (uint8_t *)(uintptr_t)matrix, tables);
}

static void isal_apply(unsigned k, unsigned rows, const void *tables, size_t len,
		       const uint8_t *const in[], uint8_t *const out[])
{
	ec_encode_data((int)len, (int)k, (int)rows, (uint8_t *)(uintptr_t)tables,
		       (uint8_t **)(uintptr_t)in, (uint8_t **)(uintptr_t)out);
}

const struct rs_kernel rs_kernel_isal = {
	.name = "isa-l",
	.table_bytes = ISAL_TABLE_BYTES, /* opaque; later versions fill less of it */
	.prepare = isal_prepare,
	.apply = isal_apply,
};

static const struct rs_kernel *const kernels[] = {
#ifdef ACRE_RS_GFNI
	&rs_kernel_gfni512,
#endif
	&rs_kernel_isal,
};

static size_t kernels_unusable(void)
{
#ifdef ACRE_RS_GFNI
	return __builtin_cpu_supports("gfni") && __builtin_cpu_supports("avx512bw") ? 0 : 1;
#else
	return 0;
#endif
}

size_t rs_kernel_count(void)
{
	return ARRAY_LEN(kernels) - kernels_unusable();
}

const struct rs_kernel *rs_kernel_get(size_t i)
{
	return kernels[kernels_unusable() + i];
}
