/*
 * A whole network in one process: a satellite and nodes, built of the very code their programs are
 * built of, on the simulated world.  Called from inside sim_run.
 */
#ifndef ACRE_SIM_NETWORK_H
#define ACRE_SIM_NETWORK_H

#include "base/call.h"
#include "identity/identity.h"

struct sim_net;

struct sim_net_config {
	unsigned nodes; /* >= the code's total */
	const char *rs; /* such as "2/2/3/4" */
	/* For runs of many hours: what comes again and again comes as rarely as it can. */
	bool rarely;
};
/* Returns when all nodes are known. */
enum err sim_net_start(struct call *call, const struct sim_net_config *config,
		       struct sim_net **ret) MUST_USE;
/* Ends everything and frees. */
void sim_net_stop(struct sim_net *net);
/* For acre_request_access; they live as long as the network. */
const char *sim_net_url(const struct sim_net *net);
const char *sim_net_api_key(const struct sim_net *net);
/* The satellite's, for looking at what a run has left. */
struct db;
struct db *sim_net_database(const struct sim_net *net);
/* ERR_DATA_LOSS, with the first of them, when an invariant of the satellite's database does not
 * hold. */
enum err sim_net_check(struct call *call, const struct sim_net *net) MUST_USE;
/* Itself, for asking it and for setting what it lets change while it runs. */
struct satellite;
struct satellite *sim_net_satellite(const struct sim_net *net);

/* Nodes by number, from 0.  One that runs is stopped as its program is; one that does not is
 * started on what it has, with these online-hours ("" = always). */
void sim_net_node_stop(struct sim_net *net, unsigned number);
enum err sim_net_node_start(struct call *call, struct sim_net *net, unsigned number,
			    const char *online_hours) MUST_USE;
struct node_id sim_net_node_id(const struct sim_net *net, unsigned number);

#endif
