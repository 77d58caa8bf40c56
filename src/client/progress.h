/* Tells the caller of the library how far a transfer is, from any thread, one at a time, never
 * waiting; and notices, from whichever thread finds out. */
#ifndef ACRE_CLIENT_PROGRESS_H
#define ACRE_CLIENT_PROGRESS_H

#include <stdatomic.h>
#include <stdio.h>

#define UPLINK_DISABLE_NAMESPACE_COMPAT
#include "acre.h"

struct progress {
	AcreProgressFunc *func;
	void *arg;
	_Atomic uint64_t done;
	_Atomic int64_t total;
	_Atomic uint32_t segments;
	_Atomic uint64_t told; /* changes that were told of */
	_Atomic uint64_t changes;
	_Atomic bool busy;
};

static inline void progress_init(struct progress *p, const AcreTransferOptions *o, int64_t total)
{
	p->func = o ? o->progress : NULL;
	p->arg = o ? o->progress_arg : NULL;
	p->total = total;
}

/* Call after changing done, total or segments. */
static inline void progress_tell(struct progress *p)
{
	if (!p->func)
		return;
	p->changes++;
	/* Whoever is inside already sees the change, or the loop brings it. */
	while (p->told != p->changes && !atomic_exchange(&p->busy, true)) {
		p->told = p->changes;
		AcreProgress now = { p->done, p->total, p->segments };
		p->func(p->arg, &now);
		p->busy = false;
	}
}

/* Who wants to know what the user should. */
struct notices {
	AcreNoticeFunc *func; /* NULL = nobody */
	void *arg;
};

enum { NOTICE_TEXT_MAX = 768 };

#define notice_tell(n, kind, ...)                                                                  \
	do {                                                                                       \
		char notice_text_[NOTICE_TEXT_MAX];                                                \
		snprintf(notice_text_, sizeof(notice_text_), __VA_ARGS__);                         \
		if ((n)->func)                                                                     \
			(n)->func((n)->arg, kind, notice_text_);                                   \
	} while (0)

#endif
