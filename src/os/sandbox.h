/*
 * What a program gives up once it knows what it needs: other users' rights, other directories, most
 * system calls, programs.  For good, and for all threads started later: so it comes before them.
 */
#ifndef ACRE_OS_SANDBOX_H
#define ACRE_OS_SANDBOX_H

#include "base/call.h"

struct os_sandbox {
	const char *user; /* to become, when started as root; NULL or "" = stay */
	const char *const
		*directories; /* the only ones to write in (and their parents must exist) */
	size_t directories_count;
	const char *const
		*readable; /* files and directories to read besides; those absent are none */
	size_t readable_count;
};

struct os_sandboxed {
	bool user;     /* another user than root */
	bool seccomp;  /* system calls are filtered */
	bool landlock; /* directories are */
};

/* Parts that the kernel does not have are left out and told in ret.  ERR_CONFIG: no such user;
 * ERR_PERMISSION: not allowed to become it.  In builds for sanitizers only the user changes. */
enum err os_sandbox_enter(struct call *call, const struct os_sandbox *s,
			  struct os_sandboxed *ret) MUST_USE;

#endif
