/* Library calls for programs with an event loop: they run in threads of ours, their ends and their
 * progress come out of a queue whose descriptor the program watches. */
#ifndef ACRE_CLIENT_LOOP_H
#define ACRE_CLIENT_LOOP_H

#include "client/handle.h"
#include "client/outcome.h"

enum {
	LOOP_THREADS_DEFAULT = 16,
	LOOP_THREADS_MAX = 1024,
	LOOP_WAITING_MAX = 16384, /* work that no thread has begun */
};

struct loop;

/* 0 threads = the default. */
enum err loop_new(struct call *call, unsigned threads_max, struct loop **ret) MUST_USE;
struct handled *loop_handled(struct loop *l);
int loop_fd(const struct loop *l);
/* work(arg) in a thread; then an event with arg. */
enum err loop_run(struct call *call, struct loop *l, AcreLoopFunc *work, void *arg) MUST_USE;
/* An event with arg and the newest numbers; several become one while they wait. */
void loop_progress(struct loop *l, void *arg, const AcreProgress *progress);
/* The oldest event; false when there is none.  Never waits. */
bool loop_next(struct loop *l, AcreLoopEvent *ret);
/* Takes no new work and waits until all that was given is done; events stay. */
void loop_stop(struct loop *l);

#endif
