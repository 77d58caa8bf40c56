/* A garbage filter on its way to a node (storagenode.md 5). */
#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/hash.h"
#include "os/clock.h"
#include "proto/piecestore2.pb-c.h"
#include "satellite/gc.h"
#include "satellite/satellite.h"

#define DIAL_NS (10 * NS_PER_SEC)
#define SEND_NS (120 * NS_PER_SEC)

DEFINE_AUTO_PTR(struct rpc_conn, conn_auto, rpc_conn_close)
DEFINE_AUTO_PTR(struct rpc_stream, stream_auto, rpc_stream_end)

static enum err send_one(struct call *call, struct rpc_conn *conn,
			 Piecestore__RetainRequest *request, struct bytes wire)
{
	Piecestore__RetainResponse *reply = NULL;

	request->filter = proto_view(wire);
	return rpc_invoke(call, conn, "/piecestore.Piecestore/Retain", &request->base,
			  &call->scratch, &piecestore__retain_response__descriptor, &reply);
}

/* Parts of the filter; the last one brings the hash over all of it. */
static enum err send_parts(struct call *call, struct rpc_conn *conn,
			   const Piecestore__RetainRequest *request, struct bytes wire)
{
	AUTO(stream_auto) struct rpc_stream *stream = NULL;
	Piecestore__RetainRequest part = *request;
	Piecestore__RetainResponse *reply = NULL;
	uint8_t hash[HASH_BYTES];

	hash_blake3(wire, hash);
	TRY_PLAIN(rpc_open(call, conn, "/piecestore.Piecestore/RetainBig", &stream));
	for (bool last = false; !last;) {
		size_t n = MIN(wire.len, (size_t)GC_RETAIN_MAX);
		last = n == wire.len;
		part.filter = proto_view(BYTES(wire.data, n));
		if (last) {
			part.hash_algorithm = ORDERS__PIECE_HASH_ALGORITHM__BLAKE3;
			part.hash = proto_view(BYTES_OF(hash));
		}
		TRY_PLAIN(rpc_send_message(call, stream, &part.base));
		wire = bytes_from(wire, n);
	}
	TRY_PLAIN(rpc_close_send(call, stream));
	/* The reference ends this stream without a message. */
	enum err e = rpc_recv_message(call, stream, &call->scratch,
				      &piecestore__retain_response__descriptor, &reply);
	return e == ERR_EOF ? OK : e;
}

enum err gc_send(struct call *call, struct satellite *sat, const struct gc_filter *f)
{
	Piecestore__RetainRequest request = PIECESTORE__RETAIN_REQUEST__INIT;
	AUTO(conn_auto) struct rpc_conn *conn = NULL;
	AUTO_CALL struct call dial = CALL_INIT;

	call_init_child(&dial, call);
	os_call_limit(&dial, DIAL_NS);
	enum err e = rpc_dial(&dial, sat->tls, f->address, &f->node, &conn);
	if (e) {
		call_copy_error(call, &dial);
		return e;
	}
	os_call_limit(call, SEND_NS);
	request.creation_date = proto_time_new(&call->scratch, f->created_before_ns);
	if (!request.creation_date)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return f->wire.len > GC_RETAIN_MAX ? send_parts(call, conn, &request, f->wire)
					   : send_one(call, conn, &request, f->wire);
}
