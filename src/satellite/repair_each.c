/* Many pieces at a time: threads that take one after another until enough are done. */
#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/lock.h"
#include "satellite/repair_internal.h"

struct each {
	struct repair_job *job;
	struct repair_piece *const *pieces;
	size_t count, enough;
	repair_piece_fn *fn;
	void *arg;
	const struct call *parent;
	struct os_cancel cancel; /* of what is under way when there are enough */

	struct os_mutex lock; /* over what follows */
	struct os_cond ended;
	size_t next, ok, threads;
	struct buf *why;
};

static struct repair_piece *next_piece(struct each *all)
{
	OS_LOCKED(&all->lock);
	if (all->ok >= all->enough || all->next == all->count || os_cancel_is_set(&all->cancel))
		return NULL;
	return all->pieces[all->next++];
}

static void record(struct each *all, struct call *call, struct repair_piece *p, enum err e)
{
	char node[NODE_ID_TEXT_MAX];

	OS_LOCKED(&all->lock);
	if (!e) {
		p->state = REPAIR_OK;
		if (++all->ok >= all->enough)
			os_cancel_set(&all->cancel);
		return;
	}
	if (p->state != REPAIR_BAD)
		p->state = REPAIR_FAILED;
	/* The first few reasons will do. */
	if (os_cancel_is_set(&all->cancel) || all->why->len > all->why->max / 2)
		return;
	node_id_text(&p->node, node);
	buf_printf(all->why, "%snode %.8s: %.160s", all->why->len ? "; " : "", node,
		   call_error(call, e));
}

static void each_main(void *arg)
{
	struct each *all = arg;

	for (struct repair_piece *p; (p = next_piece(all));) {
		AUTO_CALL struct call call = CALL_INIT;
		call_init_child(&call, all->parent);
		call.cancel = &all->cancel;
		enum err e = all->fn(&call, all->job, p, all->arg);
		record(all, &call, p, e);
	}
	OS_LOCKED(&all->lock);
	all->threads--;
	os_cond_broadcast(&all->ended);
}

/* They end by themselves: each of their steps has a limit and sees the cancellation. */
static void wait_threads(struct each *all)
{
	OS_LOCKED(&all->lock);
	while (all->threads)
		os_cond_wait_forever(&all->ended, &all->lock);
}

static void start_threads(struct call *call, struct each *all, size_t threads)
{
	all->threads = threads;
	for (size_t i = 0; i < threads; i++) {
		if (!fanout_start(call, all->job->fanout, each_main, all))
			continue;
		/* Fewer do as well; none at all shows in what is done. */
		call_clear_error(call);
		OS_LOCKED(&all->lock);
		all->threads--;
	}
}

enum err repair_each(struct call *call, struct repair_job *job, struct repair_piece *const *pieces,
		     size_t count, size_t threads, size_t enough, repair_piece_fn *fn, void *arg,
		     struct buf *why)
{
	struct each all = { .job = job,
			    .pieces = pieces,
			    .count = count,
			    .enough = enough,
			    .fn = fn,
			    .arg = arg,
			    .parent = call,
			    .why = why };
	unsigned leased = 0;

	if (!count || !enough)
		return OK;
	TRY_PLAIN(
		fanout_lease(call, job->fanout, 1, (unsigned)MIN(threads, count), false, &leased));
	enum err e = os_cancel_init(call, &all.cancel, call->cancel);
	if (!e) {
		start_threads(call, &all, leased);
		wait_threads(&all);
		os_cancel_fini(&all.cancel);
	}
	fanout_unlease(job->fanout, leased);
	os_mutex_fini(&all.lock);
	os_cond_fini(&all.ended);
	TRY_PLAIN(e);
	return os_call_check(call);
}
