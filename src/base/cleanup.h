/* Scope macros: what a block opens, it closes, on every way out. */
#ifndef ACRE_BASE_CLEANUP_H
#define ACRE_BASE_CLEANUP_H

#include <stdlib.h>

#include "base/bytes.h"
#include "base/call.h"

static inline void cleanup_free(void *p)
{
	void **pp = p;

	free(*pp);
}

/* Calls fn(variable's address) at the end of the scope. */
#define AUTO(fn) __attribute__((cleanup(fn)))
#define AUTO_FREE AUTO(cleanup_free)
#define AUTO_BUF AUTO(buf_free)
#define AUTO_SECRET_BUF AUTO(buf_free_secret)
/* Always with an initializer (CALL_INIT): the cleanup runs on every way out. */
#define AUTO_CALL AUTO(call_fini)

/* Defines name_auto(), for AUTO(name_auto) on a `type *` that fn frees (fn takes NULL). */
#define DEFINE_AUTO_PTR(type, name, fn)                                                            \
	static inline void name(type **p)                                                          \
	{                                                                                          \
		if (*p)                                                                            \
			fn(*p);                                                                    \
	}

/* Moves a pointer out of its variable, which becomes NULL. */
#define take(pp)                                                                                   \
	({                                                                                         \
		__typeof__(*(pp)) taken_ = *(pp);                                                  \
		*(pp) = NULL;                                                                      \
		taken_;                                                                            \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
