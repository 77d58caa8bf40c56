/*
 * A whole network in one process: a satellite and nodes, built of the very code their programs are
 * built of, on the simulated world.  Called from inside sim_run.
 */
#ifndef ACRE_SIM_NETWORK_H
#define ACRE_SIM_NETWORK_H

#include "base/call.h"

struct sim_net;

/* nodes >= the code's total; rs such as "2/2/3/4".  Returns when all nodes are known. */
enum err sim_net_start(struct call *call, unsigned nodes, const char *rs,
		       struct sim_net **ret) MUST_USE;
/* Ends everything and frees. */
void sim_net_stop(struct sim_net *net);
/* For acre_request_access; they live as long as the network. */
const char *sim_net_url(const struct sim_net *net);
const char *sim_net_api_key(const struct sim_net *net);
/* The satellite's, for looking at what a run has left. */
struct db;
struct db *sim_net_database(const struct sim_net *net);

#endif
