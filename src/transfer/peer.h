/* Private to the room: a stream to the node of an order limit, over a pooled connection. */
#ifndef ACRE_TRANSFER_PEER_H
#define ACRE_TRANSFER_PEER_H

#include "order/order.h"
#include "transfer/fanout.h"

enum { PEER_SPOILT_MS = 500 };

struct peer {
	struct rpc_pool *pool;
	struct rpc_conn *conn;
	struct rpc_stream *stream;
	int64_t moved_ns; /* when the node last took or gave something */
	bool finished;
};

enum err peer_open(struct call *call, struct fanout *f, const struct addressed_limit *limit,
		   const char *method, int64_t stall_ns, struct peer *ret) MUST_USE;
/* The same over a connection that is the caller's and stays open. */
enum err peer_open_on(struct call *call, struct rpc_conn *conn, const char *method,
		      int64_t stall_ns, struct peer *ret) MUST_USE;
/* A step succeeded. */
void peer_moved(struct peer *p);
/* Ends the stream and gives the connection back; an unfinished stream is cancelled.  A node that
 * did not move for PEER_SPOILT_MS may still hang in it, so that connection is not used again. */
void peer_close(struct peer *p);
/* After the last message: takes the node's CloseSend too, so that the connection can be reused. */
void peer_finished(struct call *call, struct peer *p, int64_t stall_ns);
/* Bounds the next step by stall_ns; returns the deadline to put back. */
int64_t peer_step(struct call *call, int64_t stall_ns);
/* The hash is signed by the leaf of `node`: chain as sent (DER), or the connection's if empty. */
enum err peer_verify_hash(struct call *call, const struct peer *p, const struct node_id *node,
			  struct bytes chain, const Orders__PieceHash *hash) MUST_USE;

#endif
