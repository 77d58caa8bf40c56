/* Randomness from the kernel. */
#include "os/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void os_random(void *out, size_t len)
{
	uint8_t *p = out;

	while (len) {
		ssize_t n = getrandom(p, len, 0);
		if (n < 0 && errno != EINTR)
			abort(); /* no kernel we run on refuses; going on without randomness is
				    worse */
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}
