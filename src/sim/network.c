/* A satellite and nodes as their programs start them, without the programs. */
#include "sim/network.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/node.h"
#include "node/settings.h"
#include "os/clock.h"
#include "os/file.h"
#include "satellite/auth.h"
#include "satellite/check.h"
#include "satellite/overlay.h"
#include "satellite/satellite.h"

enum { NODES_MAX = 64, CHORE_THREADS = 4, URL_MAX = NODE_URL_MAX, KEY_TEXT_MAX = 4096 };

#define QUIET_NS (60 * NS_PER_SEC)
#define RARE_NS (600 * NS_PER_SEC)
#define HOUR_NS (3600 * NS_PER_SEC)
#define WAIT_NS_MAX (600 * NS_PER_SEC)
#define STOP_NS (3 * NS_PER_SEC)

struct sim_net {
	struct arena arena; /* settings and their strings */
	struct satellite *satellite;
	struct rpc_method *methods;
	struct rpc_server *server;
	struct node_host host; /* with threads of their servers */
	struct sim_net_config config;
	struct node *nodes[NODES_MAX]; /* NULL: stopped */
	struct node_id ids[NODES_MAX];
	char *url, *api_key;
};

/* Hours pass in some runs: what a network for trying does every second or two would be most of the
 * work. */
static void set_intervals(const struct sim_net *net, struct satellite_config *config)
{
	config->silence_window = 0;
	config->segment_loop_interval = config->repair_interval = QUIET_NS;
	/* Each of these is a handshake with every node. */
	config->audit.interval = config->gc_interval = RARE_NS;
	if (!net->config.rarely)
		return;
	config->segment_loop_interval = config->repair_interval = RARE_NS / 2;
	config->audit.interval = HOUR_NS / 2;
	config->gc_interval = 6 * HOUR_NS;
}

static enum err start_satellite(struct call *call, struct sim_net *net)
{
	struct satellite_config config = { 0 };
	struct param_set set = { satellite_params, satellite_params_count };
	struct identity_search search = { .difficulty = 8, .threads = 1 };
	struct rpc_server_config server = { .address = "127.0.0.1:0" };
	struct node_url url = { .has_id = true };
	AUTO_BUF struct buf text = BUF_INIT(URL_MAX);

	TRY_PLAIN(os_dir_make(call, "satellite", true));
	TRY_PLAIN(identity_create(call, "satellite", &search, &url.id));
	TRY_PLAIN(param_defaults(call, &net->arena, set, &config));
	TRY_PLAIN(satellite_config_development(call, &net->arena, set, &config));
	set_intervals(net, &config);
	config.dir = "satellite";
	config.rs = net->config.rs;
	config.database = "sqlite:satellite/satellite.db";
	TRY_PLAIN(satellite_config_complete(call, &net->arena, &config, "satellite"));
	TRY_PLAIN(satellite_open(call, &config, &net->satellite));
	TRY_PLAIN(satellite_methods(call, &net->methods, &server.methods_count));
	server.methods = net->methods;
	server.tls = net->satellite->tls;
	server.service = net->satellite;
	TRY_PLAIN(rpc_server_start(call, &server, &net->server));
	TRY_PLAIN(satellite_start_chores(call, net->satellite));
	url.address = rpc_server_address(net->server);
	node_url_add(&text, &url);
	net->url = arena_str(&net->arena, buf_bytes(&text));
	return net->url ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

static enum err make_key(struct call *call, struct sim_net *net)
{
	AUTO_BUF struct buf text = BUF_INIT(KEY_TEXT_MAX);
	struct project project;
	struct macaroon key;

	TRY_PLAIN(project_create(call, net->satellite->db, bytes_str("sim"), &project));
	TRY_PLAIN(api_key_create(call, net->satellite->db, &net->arena, &project.id,
				 bytes_str("sim"), &key));
	TRY_PLAIN(macaroon_add_text(&text, &key));
	net->api_key = arena_str(&net->arena, buf_bytes(&text));
	return net->api_key ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

static enum err node_settings(struct call *call, struct sim_net *net, const char *online_hours,
			      struct settings *ret)
{
	const char **urls = arena_array(&net->arena, 1, sizeof(*urls));
	struct settings settings = { 0 };

	if (!urls)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	urls[0] = net->url;
	TRY_PLAIN(param_defaults(call, &net->arena, settings_all(), &settings));
	settings.node.satellites = (struct param_list){ urls, 1 };
	settings.node.address = "127.0.0.1:0";
	settings.node.space = 100 * GIB;
	settings.node.development = !net->config.rarely;
	settings.node.check_in_ns = RARE_NS;
	settings.node.online_hours = online_hours;
	*ret = settings;
	return OK;
}

static enum err node_dir(struct call *call, unsigned number, const char **ret)
{
	*ret = arena_printf(&call->scratch, "node%u", number + 1);
	return *ret ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

static enum err make_node(struct call *call, struct sim_net *net, unsigned number)
{
	struct node_setup setup = { .difficulty = 8 };
	struct settings settings;
	const char *dir;

	TRY_PLAIN(node_dir(call, number, &dir));
	TRY_PLAIN(node_settings(call, net, "", &settings));
	TRY_PLAIN(os_dir_make(call, dir, true));
	return node_create(call, dir, &settings.node, &setup, &net->ids[number]);
}

enum err sim_net_node_start(struct call *call, struct sim_net *net, unsigned number,
			    const char *online_hours)
{
	struct settings settings;
	const char *dir;

	TRY_PLAIN(node_dir(call, number, &dir));
	TRY_PLAIN(node_settings(call, net, online_hours, &settings));
	TRY_PLAIN(node_open(call, dir, &settings.node, &net->host, &net->nodes[number]));
	return node_start(call, net->nodes[number]);
}

void sim_net_node_stop(struct sim_net *net, unsigned number)
{
	if (net->nodes[number])
		node_stop(net->nodes[number]);
	net->nodes[number] = NULL;
}

static enum err start_nodes(struct call *call, struct sim_net *net)
{
	for (unsigned i = 0; i < net->config.nodes; i++) {
		TRY(make_node(call, net, i), "node %u", i + 1);
		TRY(sim_net_node_start(call, net, i, ""), "node %u", i + 1);
	}
	return OK;
}

static enum err start_all(struct call *call, struct sim_net *net)
{
	int64_t end = os_clock_mono_ns() + WAIT_NS_MAX;

	TRY(start_satellite(call, net), "satellite");
	TRY(make_key(call, net), "API key");
	TRY_PLAIN(chores_new(call, CHORE_THREADS, &net->host.chores));
	TRY_PLAIN(rpc_host_new(call, &(struct rpc_host_config){ 0 }, &net->host.rpc));
	TRY_PLAIN(start_nodes(call, net));
	while (overlay_count(net->satellite).online < net->config.nodes) {
		if (os_clock_mono_ns() > end)
			return call_fail(call, ERR_DEADLINE, "the nodes do not come up");
		TRY_PLAIN(os_sleep(call, NS_PER_SEC / 10));
	}
	return OK;
}

enum err sim_net_start(struct call *call, const struct sim_net_config *config, struct sim_net **ret)
{
	struct sim_net *net = calloc(1, sizeof(*net));

	if (!net || config->nodes > NODES_MAX) {
		free(net);
		return call_fail(call, ERR_INVALID, "too many nodes");
	}
	net->config = *config;
	enum err e = start_all(call, net);
	if (e)
		sim_net_stop(net);
	else
		*ret = net;
	return e;
}

void sim_net_stop(struct sim_net *net)
{
	for (unsigned i = 0; i < net->config.nodes; i++)
		sim_net_node_stop(net, i);
	rpc_host_free(net->host.rpc);
	chores_free(net->host.chores);
	if (net->server)
		rpc_server_stop(net->server, STOP_NS);
	if (net->satellite)
		satellite_close(net->satellite);
	free(net->methods);
	arena_free(&net->arena);
	free(net);
}

const char *sim_net_url(const struct sim_net *net)
{
	return net->url;
}

const char *sim_net_api_key(const struct sim_net *net)
{
	return net->api_key;
}

struct db *sim_net_database(const struct sim_net *net)
{
	return net->satellite->db;
}

enum err sim_net_check(struct call *call, const struct sim_net *net)
{
	struct check_report report;

	TRY_PLAIN(satellite_check(call, net->satellite->db, &report));
	for (size_t i = 0; i < report.count; i++)
		if (report.findings[i].count)
			return call_fail(call, ERR_DATA_LOSS, "not so: %s (%s)",
					 report.findings[i].name, report.findings[i].example);
	return OK;
}

struct satellite *sim_net_satellite(const struct sim_net *net)
{
	return net->satellite;
}

struct node_id sim_net_node_id(const struct sim_net *net, unsigned number)
{
	return net->ids[number];
}
