/* Streams to nodes, and what makes a node's signature believable. */
#include "transfer/peer.h"

#include "base/cleanup.h"
#include "crypto/aead.h"
#include "os/clock.h"

enum { TLS_PAYS_BYTES = 1 << 20 };

static enum err open_stream(struct call *call, struct peer *p, const char *method, int64_t stall_ns)
{
	int64_t deadline = peer_step(call, stall_ns);
	enum err e = rpc_open(call, p->conn, method, &p->stream);

	call->deadline_ns = deadline;
	if (!e)
		peer_moved(p);
	return e;
}

/* How the node is called.  Storj's nodes offer ChaCha20, which costs more than twice what AES does
 * on a processor with instructions for that: TLS, which takes AES then, makes up for its handshake
 * with a large piece.  Downloads do without: TLS copies what it opened, and has the smaller
 * records. */
static struct noise_peer noise_of(const struct addressed_limit *limit)
{
	struct noise_peer noise = noise_peer_from(limit->noise_proto, limit->noise_key);

	if (noise.suite == NOISE_CHACHAPOLY && aead_aes_is_fast() &&
	    limit->limit->action == ORDERS__PIECE_ACTION__PUT &&
	    limit->limit->limit >= TLS_PAYS_BYTES)
		noise.suite = NOISE_UNSET;
	return noise;
}

enum err peer_open(struct call *call, struct fanout *f, const struct addressed_limit *limit,
		   const char *method, int64_t stall_ns, struct peer *ret)
{
	struct peer p = { .pool = fanout_connections(f) };
	struct noise_peer noise = { .suite = NOISE_UNSET };

	if (!limit->address[0])
		return call_fail(call, ERR_PROTOCOL,
				 "the satellite named a node without an address");
	if (fanout_noise(f))
		noise = noise_of(limit);
	TRY_PLAIN(rpc_pool_get(call, p.pool, &limit->ids.node, limit->address, &noise, &p.conn));
	enum err e = open_stream(call, &p, method, stall_ns);
	if (e) {
		rpc_pool_put(p.pool, p.conn);
		return e;
	}
	*ret = p;
	return OK;
}

enum err peer_open_on(struct call *call, struct rpc_conn *conn, const char *method,
		      int64_t stall_ns, struct peer *ret)
{
	struct peer p = { .conn = conn };

	TRY_PLAIN(open_stream(call, &p, method, stall_ns));
	*ret = p;
	return OK;
}

void peer_moved(struct peer *p)
{
	p->moved_ns = os_clock_mono_ns();
}

void peer_close(struct peer *p)
{
	if (!p->conn)
		return;
	bool spoilt = !p->finished && os_clock_mono_ns() - p->moved_ns > PEER_SPOILT_MS * NS_PER_MS;
	/* With a live stream the pool closes it. */
	if (!spoilt)
		rpc_stream_end(p->stream);
	if (p->pool)
		rpc_pool_put(p->pool, p->conn);
	*p = (struct peer){ 0 };
}

void peer_finished(struct call *call, struct peer *p, int64_t stall_ns)
{
	struct bytes rest;
	int64_t deadline = peer_step(call, MIN(stall_ns, NS_PER_SEC));

	/* What is said now changes nothing any more: the answer is complete and signed. */
	if (rpc_recv(call, p->stream, &rest) != OK)
		call_clear_error(call);
	call->deadline_ns = deadline;
	p->finished = true;
}

int64_t peer_step(struct call *call, int64_t stall_ns)
{
	int64_t deadline = call->deadline_ns;

	os_call_limit(call, stall_ns);
	return deadline;
}

/* The chain of the node's answer.  A connection's node sends the same every time. */
static enum err named_chain(struct call *call, const struct peer *p, struct bytes der,
			    const struct cert_chain **ret)
{
	const struct cert_chain *kept = net_kept_chain(rpc_conn_net(p->conn));
	struct cert_chain *chain;

	if (!kept || !bytes_equal(cert_chain_der(kept), der)) {
		TRY(cert_chain_from_der(call, der, &chain), "certificates in the node's answer");
		rpc_conn_keep_chain(p->conn, chain);
		kept = chain;
	}
	*ret = kept;
	return OK;
}

enum err peer_verify_hash(struct call *call, const struct peer *p, const struct node_id *node,
			  struct bytes der, const Orders__PieceHash *hash)
{
	const struct cert_chain *chain = net_peer_chain(rpc_conn_net(p->conn));
	struct node_id id;

	if (der.len)
		TRY_PLAIN(named_chain(call, p, der, &chain));
	if (!chain)
		return call_fail(call, ERR_UNAUTHENTICATED, "the node sent no certificates");
	TRY_PLAIN(cert_chain_node_id(call, chain, &id));
	if (!node_id_equal(&id, node))
		return call_fail(call, ERR_UNAUTHENTICATED, "another node signed the piece hash");
	TRY(piece_hash_verify_node(call, hash, cert_chain_leaf_key(chain)),
	    "the node's piece hash");
	return OK;
}
