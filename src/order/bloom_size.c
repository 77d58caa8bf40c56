/* How large a garbage filter is.  A file of its own: nodes need neither it nor libm. */
#include "order/bloom.h"

#include <math.h>

#include "base/num.h"

struct bloom_size bloom_size(uint64_t elements, double p, size_t table_max)
{
	double bits = -1.44 * log2(p);
	double hashes = ceil(bits * M_LN2), bytes = ceil((double)elements * bits / 8);

	return (struct bloom_size){
		.hashes = (uint8_t)MAX(1.0, MIN(hashes, (double)BLOOM_PROBES_MAX)),
		.table_bytes = (size_t)MAX(1.0, MIN(bytes, (double)table_max)),
	};
}
