/*
 * The real node in a world that goes faster, for test_soak.py: upkeep that is due every minute or
 * less often is due sixty times as often, a piece whose time ended goes at once, not an hour later,
 * and what is trash for TRASH_SECONDS is trash for a week.
 *
 * Linked around the functions of the node (--wrap); the shipped programs have nothing of it.
 */
#include <stdlib.h>

#include "base/num.h"
#include "node/chores.h"
#include "node/piece_store_internal.h"

enum { FASTER = 60, UPKEEP_SECONDS = 60, TRASH_SECONDS = 30 };

struct fast {
	chore_fn *fn;
	void *arg;
};

static int64_t run_fast(struct call *call, void *arg)
{
	const struct fast *f = arg;
	int64_t ns = f->fn(call, f->arg);

	return ns == CHORE_NEVER ? ns : ns / FASTER;
}

enum err __real_chores_add(struct call *call, struct chores *c, chore_fn *fn, void *arg,
			   int64_t first_ns, struct os_cancel *cancel, struct chore **ret);
enum err __wrap_chores_add(struct call *call, struct chores *c, chore_fn *fn, void *arg,
			   int64_t first_ns, struct os_cancel *cancel, struct chore **ret);
enum err __wrap_chores_add(struct call *call, struct chores *c, chore_fn *fn, void *arg,
			   int64_t first_ns, struct os_cancel *cancel, struct chore **ret)
{
	if (first_ns < UPKEEP_SECONDS * NS_PER_SEC)
		return __real_chores_add(call, c, fn, arg, first_ns, cancel, ret);
	struct fast *f = malloc(sizeof(*f)); /* as long as the process */
	if (!f)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*f = (struct fast){ fn, arg };
	return __real_chores_add(call, c, run_fast, f, first_ns / FASTER, cancel, ret);
}

enum err __wrap_piece_store_expire(struct call *call, struct piece_store *s, uint64_t *ret_count);
enum err __wrap_piece_store_expire(struct call *call, struct piece_store *s, uint64_t *ret_count)
{
	struct store_sweep order = { .now = store_now() + STORE_EXPIRY_GRACE_SECONDS,
				     .satellite = UINT16_MAX };
	struct index_swept swept;

	TRY_PLAIN(store_sweep(call, s, &order, &swept));
	*ret_count = swept.dropped;
	return store_tidy(call, s);
}

enum err __wrap_piece_store_retain(struct call *call, struct piece_store *s,
				   const struct node_id *satellite, uint32_t created_before,
				   const struct bloom *filter, struct index_swept *ret);
enum err __wrap_piece_store_retain(struct call *call, struct piece_store *s,
				   const struct node_id *satellite, uint32_t created_before,
				   const struct bloom *filter, struct index_swept *ret)
{
	/* So long ago that expiry, which is an hour ahead, finds it old enough soon. */
	struct store_sweep order = { .now = store_now() + STORE_EXPIRY_GRACE_SECONDS +
					    TRASH_SECONDS - STORE_TRASH_SECONDS,
				     .filter = filter,
				     .created_before = created_before };

	*ret = (struct index_swept){ 0 };
	if (!piece_index_find_satellite(s->index, satellite, &order.satellite))
		return OK;
	return store_sweep(call, s, &order, ret);
}
