/* SHA-512 with AVX2: four at a time.  Built with -mavx2, run only where the processor has it. */
#define WIDTH 4
#define SHA512_COMPRESS sha512_compress_avx2
#include "crypto/sha512_lanes.h"
