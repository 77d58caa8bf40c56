/* A range of one piece from one node (orders.md 6).  Blocking; one thread per piece. */
#ifndef ACRE_TRANSFER_PIECE_DOWNLOAD_H
#define ACRE_TRANSFER_PIECE_DOWNLOAD_H

#include "order/order.h"
#include "transfer/fanout.h"

enum { PIECE_DOWNLOAD_CHUNK = 65536 /* what we ask the node to send at most in a message */ };

struct piece_download;

/* Connects and asks for [offset, offset + size) of the piece, size > 0.  The limit and signer are
 * borrowed until close.  Each step that waits for the node may take stall_ns. */
enum err piece_download_open(struct call *call, struct fanout *f,
			     const struct addressed_limit *limit,
			     const struct ed25519_signer *signer, uint64_t offset, uint64_t size,
			     int64_t stall_ns, struct piece_download **ret) MUST_USE;
/* The same over a connection to that node which is there already and stays the caller's: for who
 * has to know whether it was the connection that failed. */
enum err piece_download_open_on(struct call *call, struct rpc_conn *conn,
				const struct addressed_limit *limit,
				const struct ed25519_signer *signer, uint64_t offset, uint64_t size,
				int64_t stall_ns, struct piece_download **ret) MUST_USE;
/* The next bytes in order, never empty; a view that lives until the next call.  ERR_EOF after the
 * last one; any other end of the stream is a failure of its own. */
enum err piece_download_read(struct call *call, struct piece_download *d,
			     struct bytes *ret) MUST_USE;
/* GET_REPAIR: the uplink's piece hash and order limit, as the node sent them in front of the data;
 * empty when it did not (orders.md 6.5).  Known after the first read. */
void piece_download_origin(const struct piece_download *d, struct bytes *ret_hash,
			   struct bytes *ret_limit);
void piece_download_close(struct piece_download *d);

#endif
