/* The Noise transport of a node: its key, proof that it works here, and its attestation. */
#include "base/cleanup.h"
#include "identity/noise_attestation.h"
#include "node/node_internal.h"
#include "os/clock.h"
#include "os/log.h"
#include "proto/contact.pb-c.h"

enum { TEST_SECONDS = 10 };

DEFINE_AUTO_PTR(struct rpc_conn, conn_auto, rpc_conn_close)

enum err node_noise_new(struct call *call, struct node *n)
{
	if (!n->config.noise)
		return OK;
	return net_noise_new(call, n->identity, noise_best_suite(), &n->noise);
}

/* A call that must come back refused, by Noise and not by the way out of it. */
static enum err call_ourselves(struct call *call, struct node *n)
{
	AUTO(conn_auto) struct rpc_conn *conn = NULL;
	struct noise_peer key = net_noise_peer(n->noise);
	Contact__GetTimeResponse *reply = NULL;

	os_call_limit(call, TEST_SECONDS * NS_PER_SEC);
	TRY_PLAIN(rpc_dial_noise(call, n->tls, node_address(n), identity_node_id(n->identity), &key,
				 &conn));
	enum err e = rpc_invoke(call, conn, "/contact.Contact/PingNode", NULL, &call->scratch,
				&contact__get_time_response__descriptor, &reply);
	if (e == ERR_UNKNOWN && net_is_noise(rpc_conn_net(conn)))
		return OK;
	return e ? e : call_fail(call, ERR_PROTOCOL, "an answer that was not to be had");
}

/* Nobody else tests a node's Noise before clients are sent to it (noise.md 6), and clients of the
 * reference do not turn to TLS when it fails. */
void node_noise_test(struct node *n)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct noise_peer key;

	if (!n->noise)
		return;
	call_init(&call);
	key = net_noise_peer(n->noise);
	enum err e = call_ourselves(&call, n);
	if (!e) {
		call_clear_error(&call);
		e = noise_attestation_new(&call, &n->arena, n->identity, key.suite,
					  BYTES_OF(key.key), os_clock_unix_ns(), &n->attestation);
	}
	if (e)
		log_warn("Noise is not offered: the node could not reach itself by it",
			 F_STR("why", call_error(&call, e)));
}
