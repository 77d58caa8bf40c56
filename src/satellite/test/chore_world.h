/* A satellite without a network, on either database, for what it does by itself. */
#ifndef ACRE_SATELLITE_TEST_CHORE_WORLD_H
#define ACRE_SATELLITE_TEST_CHORE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "os/clock.h"
#include "satellite/overlay.h"
#include "satellite/piece_list.h"
#include "satellite/satellite.h"
#include "satellite/store_metainfo.h"

struct chore_world {
	struct call call;
	struct satellite sat; /* database, identity, overlay, metainfo; nodes are made up */
	const char *path;
};

extern const char *chore_world_kind; /* "sqlite" or "postgres" */

int chore_world_setup(void **state);
int chore_world_teardown(void **state);

/* A node whose last contact was age_ns ago, and its ID: it begins with `number`. */
struct node_id chore_world_node(struct chore_world *w, uint32_t number, const char *net,
				int64_t age_ns);
/* Numbers in piece lists for these nodes. */
void chore_world_aliases(struct chore_world *w, const struct node_id *ids, size_t count,
			 uint32_t *ret);
/* A remote segment of an object of its own: pieces 0 to count - 1 at these aliases. */
void chore_world_segment(struct chore_world *w, uint64_t stream, struct scheme r,
			 const uint32_t *aliases, size_t count);
/* Runs a statement without parameters. */
void chore_world_sql(struct chore_world *w, const char *sql);

static inline void must(struct chore_world *w, enum err e)
{
	if (e)
		fail_msg("%s: %s", err_name(e), call_error(&w->call, e));
}

/* Until the condition holds, in a function that has a world w; fails after half a minute. */
#define EVENTUALLY(condition)                                                                      \
	do {                                                                                       \
		int64_t until_ns = os_clock_mono_ns() + 30 * NS_PER_SEC;                           \
		while (!(condition)) {                                                             \
			if (os_clock_mono_ns() > until_ns)                                         \
				fail_msg("never: %s", #condition);                                 \
			must(w, os_sleep(&w->call, 2 * NS_PER_MS));                                \
		}                                                                                  \
	} while (0)

#endif
