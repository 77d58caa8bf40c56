/* /contact.Contact/PingNode, and the table of all calls this node answers. */
#include "base/cleanup.h"
#include "node/node_internal.h"
#include "proto/contact.pb-c.h"

enum err endpoint_ping_node(struct call *call, void *service, struct rpc_stream *stream)
{
	struct node *n = service;
	Contact__ContactPingRequest *request = NULL;
	Contact__ContactPingResponse answer = CONTACT__CONTACT_PING_RESPONSE__INIT;
	struct node_id peer;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch,
			      &contact__contact_ping_request__descriptor, &request));
	TRY_PLAIN(net_peer_id(call, rpc_stream_net(stream), &peer));
	/* Others could use the answer to find out which addresses are nodes (storagenode.md 2). */
	if (!trust_has(n->trust, &peer))
		return call_fail(call, ERR_UNAUTHENTICATED, "untrusted");
	/* Better offline than failing audits. */
	if (piece_store_state(n->store) == STORE_OFFLINE)
		return call_fail(call, ERR_UNAVAILABLE, "the disk does not answer");
	if (n->clock_wrong)
		return call_fail(call, ERR_UNAVAILABLE, "the node's clock is wrong");
	return rpc_send_message(call, stream, &answer.base);
}

enum err endpoint_unimplemented(struct call *call, void *service, struct rpc_stream *stream)
{
	return call_fail(call, ERR_UNIMPLEMENTED, "not implemented by this node");
}

/* What satellites no longer call is answered as such and not as unknown. */
const struct rpc_method node_methods[] = {
	{ "/contact.Contact/PingNode", endpoint_ping_node },
	{ "/piecestore.Piecestore/Upload", endpoint_upload, .anonymous = true },
	{ "/piecestore.Piecestore/Download", endpoint_download, .anonymous = true },
	{ "/piecestore.Piecestore/Delete", endpoint_unimplemented },
	{ "/piecestore.Piecestore/DeletePieces", endpoint_unimplemented },
	{ "/piecestore.Piecestore/Exists", endpoint_unimplemented },
	{ "/piecestore.Piecestore/Retain", endpoint_retain },
	{ "/piecestore.Piecestore/RetainBig", endpoint_retain_big },
	{ "/piecestore.Piecestore/RestoreTrash", endpoint_restore_trash },
};
const size_t node_methods_count = ARRAY_LEN(node_methods);
