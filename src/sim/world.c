/* Scheduler: one baton, a virtual clock, choices from the seed, and the trace. */
#include "sim/world_internal.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/cancel.h"
#include "os/lock.h"

enum { FIBRES_MAX = 4096, FIBRE_STACK_BYTES = 512 << 10 };

struct sim_fibre {
	pthread_t thread;
	sem_t baton;
	unsigned id;
	void (*fn)(void *arg);
	void *arg;
	bool done;
	/* While blocked: */
	bool blocked;
	sim_ready_at *ready_at;
	void *ready_arg;
	int64_t deadline_ns;
	struct os_cancel *cancel;
};

/* The one world of this process.  Only the baton's holder touches it. */
static struct {
	struct sim_fibre *fibres[FIBRES_MAX];
	unsigned count, next_id;
	struct sim_fibre *running;
	int64_t now_ns;
	uint64_t random[4];
	uint64_t trace, events;
	struct sim_network network;
	const char *failure;
	sem_t over;
} world;

/* xoshiro256** (Blackman, Vigna), seeded by splitmix64. */
static uint64_t rotate(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

uint64_t sim_random(void)
{
	uint64_t *s = world.random;
	uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t sim_random_below(uint64_t n)
{
	return sim_random() % n; /* the bias is far below what a simulation could notice */
}

static void seed_random(uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		seed += UINT64_C(0x9e3779b97f4a7c15);
		uint64_t z = seed;
		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		world.random[i] = z ^ z >> 31;
	}
}

static void mix(uint64_t v)
{
	/* FNV-1a over 64-bit words, with a rotation so that high bits spread too. */
	world.trace = rotate((world.trace ^ v) * UINT64_C(0x100000001b3), 29);
}

void sim_trace(enum sim_event event, uint64_t a, struct bytes data)
{
	uint64_t word = 0;

	world.events++;
	mix((uint64_t)event);
	mix((uint64_t)world.now_ns);
	mix(world.running ? world.running->id : 0);
	mix(a);
	for (size_t i = 0; i < data.len; i++) {
		word = word << 8 | data.data[i];
		if (i % 8 == 7)
			mix(word);
	}
	if (data.len)
		mix(word ^ data.len);
}

int64_t sim_now(void)
{
	return world.now_ns;
}

struct sim_network sim_network(void)
{
	return world.network;
}

void sim_set_network(struct sim_network network)
{
	world.network = network;
}

void sim_bug(const char *text)
{
	fprintf(stderr, "simulation: %s (fibre %u, at %lld ns)\n", text,
		world.running ? world.running->id : 0, (long long)world.now_ns);
	abort();
}

/* When f could run: not after now, later, or SIM_NEVER. */
static int64_t runnable_at(const struct sim_fibre *f)
{
	if (!f->blocked || (f->cancel && os_cancel_is_set(f->cancel)))
		return world.now_ns;
	int64_t at = f->ready_at(f->ready_arg);
	return MIN(at, f->deadline_ns);
}

/* Chooses who runs next; moves the clock when nobody can now.  NULL: nobody ever can. */
static struct sim_fibre *choose(void)
{
	for (;;) {
		unsigned ready = 0;
		int64_t next = SIM_NEVER;
		struct sim_fibre *pick = NULL;
		for (unsigned i = 0; i < world.count; i++) {
			int64_t at = runnable_at(world.fibres[i]);
			if (at <= world.now_ns) {
				/* Reservoir of one: each ready fibre with equal chance. */
				ready++;
				if (sim_random_below(ready) == 0)
					pick = world.fibres[i];
			} else if (at < next) {
				next = at;
			}
		}
		if (pick)
			return pick;
		if (next == SIM_NEVER)
			return NULL;
		world.now_ns = next;
		sim_trace(SIM_CLOCK, (uint64_t)next, BYTES_NONE);
	}
}

static void give_baton(struct sim_fibre *from)
{
	struct sim_fibre *to = choose();

	if (!to) {
		world.failure = "deadlock: every fibre waits for what cannot come";
		sem_post(&world.over);
		if (from && !from->done)
			for (;;)
				sem_wait(&from->baton);
		return;
	}
	world.running = to;
	sim_trace(SIM_SWITCH, to->id, BYTES_NONE);
	if (to == from)
		return;
	/* After the post the other thread runs; of our own state only the baton is touched. */
	bool leave = from && from->done;
	sem_post(&to->baton);
	if (from && !leave)
		while (sem_wait(&from->baton))
			;
}

enum err sim_block(struct call *call, sim_ready_at *ready_at, void *arg)
{
	struct sim_fibre *self = world.running;

	os_assert_no_lock(__func__);
	self->ready_at = ready_at;
	self->ready_arg = arg;
	self->deadline_ns = call ? call->deadline_ns : CALL_NO_DEADLINE;
	self->cancel = call ? call->cancel : NULL;
	self->blocked = true;
	give_baton(self);
	self->blocked = false;
	if (self->cancel && os_cancel_is_set(self->cancel))
		return ERR_CANCELED;
	if (ready_at(arg) <= world.now_ns)
		return OK;
	return ERR_DEADLINE;
}

static void remove_fibre(struct sim_fibre *f)
{
	for (unsigned i = 0; i < world.count; i++)
		if (world.fibres[i] == f) {
			memmove(&world.fibres[i], &world.fibres[i + 1],
				(world.count - i - 1) * sizeof(world.fibres[0]));
			world.count--;
			return;
		}
}

static void *fibre_main(void *arg)
{
	struct sim_fibre *self = arg;

	while (sem_wait(&self->baton))
		;
	self->fn(self->arg);
	self->done = true;
	remove_fibre(self);
	if (self->id == 1) {
		if (world.count)
			world.failure = "fibres were left running";
		sem_post(&world.over);
		return NULL;
	}
	give_baton(self);
	return NULL;
}

struct sim_fibre *sim_fibre_start(void (*fn)(void *arg), void *arg)
{
	struct sim_fibre *f = calloc(1, sizeof(*f));
	pthread_attr_t attr;

	if (!f || world.count == FIBRES_MAX)
		sim_bug("too many fibres");
	f->id = ++world.next_id;
	f->fn = fn;
	f->arg = arg;
	sem_init(&f->baton, 0, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, FIBRE_STACK_BYTES);
	if (pthread_create(&f->thread, &attr, fibre_main, f))
		sim_bug("cannot start a thread");
	pthread_attr_destroy(&attr);
	world.fibres[world.count++] = f;
	return f;
}

static int64_t done_at(void *arg)
{
	const struct sim_fibre *f = arg;

	return f->done ? 0 : SIM_NEVER;
}

static void free_fibre(struct sim_fibre *f)
{
	pthread_join(f->thread, NULL);
	sem_destroy(&f->baton);
	free(f);
}

void sim_fibre_join(struct sim_fibre *f)
{
	if (sim_block(NULL, done_at, f) != OK)
		sim_bug("join failed");
	free_fibre(f);
}

struct sim_result sim_run(uint64_t seed, void (*fn)(void *arg), void *arg)
{
	memset(&world, 0, sizeof(world));
	sem_init(&world.over, 0, 0);
	seed_random(seed);
	world.network = (struct sim_network){ NS_PER_MS / 10, 5 * NS_PER_MS, 256 << 10 };
	sim_sockets_reset();
	sim_files_reset();
	struct sim_fibre *first = sim_fibre_start(fn, arg);
	world.running = first;
	sem_post(&first->baton);
	while (sem_wait(&world.over))
		;
	if (!world.failure || first->done)
		free_fibre(first);
	sem_destroy(&world.over);
	sim_sockets_reset();
	sim_files_reset();
	return (struct sim_result){ world.trace, world.events, world.now_ns, world.failure };
}
