/*
 * Chores: what is done from time to time.  One thread keeps the times of all chores of all nodes of
 * the process; a pool of few threads runs them, and another one those that speak with satellites,
 * so that a satellite that does not answer holds up no disk.  A chore never runs twice at once.
 * Thread safe.
 */
#ifndef ACRE_NODE_CHORES_H
#define ACRE_NODE_CHORES_H

#include "base/call.h"
#include "os/cancel.h"

struct chores;
struct chore;

#define CHORE_NEVER INT64_MAX /* until chores_soon */

/* Does it once; returns the nanoseconds until the next time. */
typedef int64_t chore_fn(struct call *call, void *arg);

enum err chores_new(struct call *call, unsigned threads_max, struct chores **ret) MUST_USE;
/* All chores are gone already; NULL is fine. */
void chores_free(struct chores *c);
/* The first time is in first_ns.  Its calls are cancelled by `cancel` (borrowed). */
enum err chores_add(struct call *call, struct chores *c, chore_fn *fn, void *arg, int64_t first_ns,
		    struct os_cancel *cancel, struct chore **ret) MUST_USE;
/* The same for a chore that waits for peers. */
enum err chores_add_network(struct call *call, struct chores *c, chore_fn *fn, void *arg,
			    int64_t first_ns, struct os_cancel *cancel,
			    struct chore **ret) MUST_USE;
/* Waits until it does not run, and forgets it.  NULL is fine. */
void chores_remove(struct chores *c, struct chore *chore);
/* Makes the next time at most ns away. */
void chores_soon(struct chores *c, struct chore *chore, int64_t ns);

#endif
