/* Scheduler interface for the files of this room that implement os/. */
#ifndef ACRE_SIM_WORLD_INTERNAL_H
#define ACRE_SIM_WORLD_INTERNAL_H

#include "base/call.h"
#include "base/num.h"
#include "sim/world.h"

#define SIM_NEVER INT64_MAX

enum sim_event { SIM_SWITCH = 1, SIM_CLOCK, SIM_SEND, SIM_FILE_WRITE, SIM_FILE_SYNC, SIM_RANDOM };

/* When a wait becomes ready: a time not after now means at once; SIM_NEVER means not by itself. */
typedef int64_t sim_ready_at(void *arg);

struct sim_fibre;

/* Gives the baton away until ready, the call's deadline, or its cancellation (call may be NULL). */
enum err sim_block(struct call *call, sim_ready_at *ready_at, void *arg);
struct sim_fibre *sim_fibre_start(void (*fn)(void *arg), void *arg);
void sim_fibre_join(struct sim_fibre *f);
int64_t sim_now(void);
uint64_t sim_random(void);
uint64_t sim_random_below(uint64_t n);
struct sim_network sim_network(void);
void sim_trace(enum sim_event event, uint64_t a, struct bytes data);
_Noreturn void sim_bug(const char *text);

/* Each world begins with these; called by sim_run. */
void sim_sockets_reset(void);
void sim_files_reset(void);

#endif
