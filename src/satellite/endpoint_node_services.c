/*
 * Services that a node asks about itself and that this satellite does not have yet.  Nodes log the
 * answer and go on (satellite.md, top); silence or code 0 would look like a broken satellite.
 */
#include "base/cleanup.h"
#include "satellite/satellite.h"

static enum err not_here(struct call *call, void *service, struct rpc_stream *stream)
{
	return call_fail(call, ERR_UNIMPLEMENTED, "this satellite does not offer that yet");
}

const struct rpc_method node_service_methods[] = {
	{ "/nodestats.NodeStats/GetStats", not_here },
};
const size_t node_service_methods_count = ARRAY_LEN(node_service_methods);
