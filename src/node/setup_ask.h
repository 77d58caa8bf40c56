/* Asks on the terminal for what `setup` needs and was not told. */
#ifndef ACRE_NODE_SETUP_ASK_H
#define ACRE_NODE_SETUP_ASK_H

#include "node/settings.h"

/* Whether there is somebody to ask. */
bool setup_can_ask(void);
/* flags: what was given, not to be asked again.  Answers are checked as they come and asked for
 * again when they are wrong; their strings live in `a`. */
enum err setup_ask(struct call *call, struct arena *a, int argc, const char *const argv[],
		   struct settings *s) MUST_USE;

#endif
