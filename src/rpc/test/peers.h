/* Two identities, a server and a client connection on loopback, for the tests of this room. */
#ifndef ACRE_RPC_TEST_PEERS_H
#define ACRE_RPC_TEST_PEERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "rpc/rpc.h"

/* The transport of peers_dial: 0 = TLS, or a suite of Noise. */
#ifndef PEERS_SUITE
#define PEERS_SUITE 0
#endif

enum { PEERS_METHODS_MAX = 32 };

struct peers {
	struct call call;
	struct net_noise *noise;
	struct noise_peer node; /* what the client knows of the server */
	struct rpc_method methods[PEERS_METHODS_MAX];
	struct identity *server_id, *client_id;
	struct net_tls *server_tls, *client_tls;
	struct rpc_server *server;
};

static inline void must(struct call *call, enum err e)
{
	if (e)
		print_error("%s: %s\n", err_name(e), call_error(call, e));
	assert_int_equal(e, OK);
}

static inline void peers_start(struct peers *p, struct rpc_server_config config)
{
	call_init(&p->call);
	p->noise = NULL;
	os_call_limit(&p->call, 60 * NS_PER_SEC);
	must(&p->call, identity_ephemeral(&p->call, &p->server_id));
	must(&p->call, identity_ephemeral(&p->call, &p->client_id));
	must(&p->call, net_tls_new(&p->call, p->server_id, &p->server_tls));
	must(&p->call, net_tls_new(&p->call, p->client_id, &p->client_tls));
	config.tls = p->server_tls;
	if (PEERS_SUITE) {
		must(&p->call, net_noise_new(&p->call, p->server_id, PEERS_SUITE, &p->noise));
		p->node = net_noise_peer(p->noise);
		assert_true(config.methods_count <= PEERS_METHODS_MAX);
		for (size_t i = 0; i < config.methods_count; i++) {
			p->methods[i] = config.methods[i];
			p->methods[i].anonymous = true;
		}
		config.methods = p->methods;
	}
	config.noise = p->noise;
	config.address = "127.0.0.1:0";
	must(&p->call, rpc_server_start(&p->call, &config, &p->server));
}

static inline struct rpc_conn *peers_dial(struct peers *p)
{
	struct rpc_conn *c = NULL;

	if (PEERS_SUITE)
		must(&p->call,
		     rpc_dial_noise(&p->call, p->client_tls, rpc_server_address(p->server),
				    identity_node_id(p->server_id), &p->node, &c));
	else
		must(&p->call, rpc_dial(&p->call, p->client_tls, rpc_server_address(p->server),
					identity_node_id(p->server_id), &c));
	return c;
}

static inline void peers_stop(struct peers *p)
{
	rpc_server_stop(p->server, 5 * NS_PER_SEC);
	net_noise_free(p->noise);
	net_tls_free(p->server_tls);
	net_tls_free(p->client_tls);
	identity_free(p->server_id);
	identity_free(p->client_id);
	call_fini(&p->call);
}

#endif
