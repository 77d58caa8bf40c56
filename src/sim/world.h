/*
 * The simulated world: the second body of os/.  Fibres that hand one baton around, a virtual clock,
 * a network and a disk in memory, all choices from one seed.  A run is repeated exactly by its
 * seed.
 *
 * A fibre is a thread of its own of which only the baton's holder runs, so that thread-local state
 * (OpenSSL's error queue, the lock count) and debuggers work as usual.  The baton changes hands
 * only where os/ waits: never inside a TLS callback, a database file callback or under a lock.
 */
#ifndef ACRE_SIM_WORLD_H
#define ACRE_SIM_WORLD_H

#include "base/call.h"

struct sim_result {
	uint64_t trace;	     /* hash over every event: switches, bytes sent, bytes written, clock */
	uint64_t events;     /* how many */
	int64_t virtual_ns;  /* time that passed in the world */
	const char *failure; /* NULL, or why the world ended early (deadlock); static text */
};

/* Runs fn(arg) as the first fibre of a new world and waits until it returned; one world at a time
 * in a process.  Fibres that fn leaves behind are a failure. */
struct sim_result sim_run(uint64_t seed, void (*fn)(void *arg), void *arg);

/* Faults and knobs, called from inside the world. */
struct sim_network {
	int64_t latency_ns_min, latency_ns_max; /* one way, drawn per write */
	uint64_t window_bytes;			/* unread bytes per direction before writes block */
};
void sim_set_network(struct sim_network network);

#endif
