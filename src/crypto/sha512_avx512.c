/* SHA-512 with AVX-512: eight at a time.  Built with -mavx512f, run only where the processor has
 * it. */
#define WIDTH 8
#define SHA512_COMPRESS sha512_compress_avx512
#include "crypto/sha512_lanes.h"
