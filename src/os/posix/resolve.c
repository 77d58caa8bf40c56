/*
 * getaddrinfo cannot be interrupted, so names are asked for in a thread of their own; who asked
 * waits for it like for anything else, and leaves it to itself when time is up.
 */
#include "os/posix/resolve.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/num.h"
#include "os/clock.h"
#include "os/posix/wait.h"
#include "os/socket.h"

enum {
	LOOKUPS_MAX = 64, /* threads that may hang in a dead name server, in the whole process */
	LOOKUP_STACK_BYTES = 1 << 20, /* name services are modules of others */
	QUEUE_TICK_MS = 10,
	PORT_MAX = 8,
};

struct question {
	_Atomic int refs;      /* who asked, and the thread */
	int done;	       /* event descriptor: the answer is there */
	_Atomic bool answered; /* the same, in the language's own order of memory */
	int answer;	       /* of getaddrinfo */
	struct addrinfo hints, *list;
	char host[OS_ADDRESS_MAX], port[PORT_MAX];
};

/* Of the process, like the name server they wait for. */
static _Atomic int lookups;

static void unref(struct question *q)
{
	if (atomic_fetch_sub(&q->refs, 1) != 1)
		return;
	if (q->list)
		freeaddrinfo(q->list);
	close(q->done);
	free(q);
}

static void *ask(void *arg)
{
	struct question *q = arg;
	uint64_t one = 1;

	q->answer = getaddrinfo(q->host, q->port, &q->hints, &q->list);
	q->answered = true;
	if (write(q->done, &one, sizeof(one)) < 0) {
		/* An event descriptor takes its first event. */
	}
	unref(q);
	atomic_fetch_sub(&lookups, 1);
	return NULL;
}

static enum err start(struct call *call, struct question *q)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, LOOKUP_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	int r = pthread_create(&thread, &attr, ask, q);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r)
		return call_fail(call, ERR_EXHAUSTED, "cannot start a thread: %s", strerror(r));
	return OK;
}

/* Waits for one of the LOOKUPS_MAX places. */
static enum err claim(struct call *call)
{
	while (atomic_fetch_add(&lookups, 1) >= LOOKUPS_MAX) {
		atomic_fetch_sub(&lookups, 1);
		TRY_PLAIN(os_sleep(call, QUEUE_TICK_MS * NS_PER_MS));
	}
	return OK;
}

static enum err question_new(struct call *call, const char *host, const char *port,
			     const struct addrinfo *hints, struct question **ret)
{
	struct question *q;

	if (strlen(host) >= OS_ADDRESS_MAX || strlen(port) >= PORT_MAX)
		return call_fail(call, ERR_INVALID, "host name or port too long");
	q = calloc(1, sizeof(*q));
	if (!q)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	q->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->done < 0) {
		free(q);
		return call_fail(call, ERR_EXHAUSTED,
				 "no file descriptor left (raise the limit with ulimit -n)");
	}
	q->refs = 2;
	q->hints = *hints;
	snprintf(q->host, sizeof(q->host), "%s", host);
	snprintf(q->port, sizeof(q->port), "%s", port);
	*ret = q;
	return OK;
}

static enum err ask_beside(struct call *call, const char *host, const char *port,
			   const struct addrinfo *hints, struct addrinfo **ret, int *ret_reason)
{
	struct question *q = NULL;

	TRY_PLAIN(question_new(call, host, port, hints, &q));
	enum err e = claim(call);
	if (!e) {
		e = start(call, q);
		if (e)
			atomic_fetch_sub(&lookups, 1);
	}
	if (e) {
		q->refs = 1;
		unref(q);
		return e;
	}
	e = posix_wait(call, q->done, POLLIN, NULL);
	if (!e && q->answered) {
		*ret_reason = q->answer;
		*ret = q->answer ? NULL : q->list;
		q->list = q->answer ? q->list : NULL;
		e = q->answer ? ERR_CONNECT : OK;
	}
	unref(q);
	return e;
}

enum err posix_resolve(struct call *call, const char *host, const char *port,
		       const struct addrinfo *hints, struct addrinfo **ret, int *ret_reason)
{
	struct addrinfo numeric = *hints;

	/* What is a number already needs nobody. */
	numeric.ai_flags |= AI_NUMERICHOST;
	*ret_reason = getaddrinfo(host, port, &numeric, ret);
	if (!*ret_reason)
		return OK;
	if (*ret_reason != EAI_NONAME || !host)
		return ERR_CONNECT;
	return ask_beside(call, host, port, hints, ret, ret_reason);
}
