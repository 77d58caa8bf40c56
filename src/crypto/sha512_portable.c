/* SHA-512 for any processor: two at a time, as SSE2 and NEON have them. */
#define WIDTH 2
#define SHA512_COMPRESS sha512_compress_portable
#include "crypto/sha512_lanes.h"
