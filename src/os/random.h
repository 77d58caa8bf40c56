/* Unpredictable bytes from the kernel (in the simulation: from the seed).  Cannot fail. */
#ifndef ACRE_OS_RANDOM_H
#define ACRE_OS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void os_random(void *out, size_t len);
/* Uniform in [0, n), n > 0. */
uint64_t os_random_below(uint64_t n);

#endif
