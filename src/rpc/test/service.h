/* The service /vector.Test/ of the recorded sessions. */
#ifndef ACRE_RPC_TEST_SERVICE_H
#define ACRE_RPC_TEST_SERVICE_H

#include "rpc/rpc.h"

static enum err serve_echo(struct call *call, void *service, struct rpc_stream *s)
{
	struct bytes m;

	TRY_PLAIN(rpc_recv(call, s, &m));
	return rpc_send(call, s, &m, 1);
}

static enum err serve_stream(struct call *call, void *service, struct rpc_stream *s)
{
	for (;;) {
		struct bytes m;
		enum err e = rpc_recv(call, s, &m);
		if (e == ERR_EOF)
			return OK;
		TRY_PLAIN(e);
		TRY_PLAIN(rpc_send(call, s, &m, 1));
	}
}

static enum err serve_fail(struct call *call, void *service, struct rpc_stream *s)
{
	struct bytes m;

	TRY_PLAIN(rpc_recv(call, s, &m));
	return call_fail(call, ERR_NOT_FOUND, "no such thing");
}

static enum err serve_hang(struct call *call, void *service, struct rpc_stream *s)
{
	struct bytes m;
	enum err e;

	do {
		e = rpc_recv(call, s, &m);
	} while (!e);
	return e;
}

static enum err vector_ping(struct call *call, void *service, struct rpc_stream *s)
{
	struct bytes m;

	TRY_PLAIN(rpc_recv(call, s, &m));
	m = BYTES_NONE;
	return rpc_send(call, s, &m, 1);
}

static const struct rpc_method vector_methods[] = {
	{ "/vector.Test/Echo", serve_echo },	      { "/vector.Test/Stream", serve_stream },
	{ "/vector.Test/Fail", serve_fail },	      { "/vector.Test/Hang", serve_hang },
	{ "/contact.Contact/PingNode", vector_ping },
};

#define VECTOR_SERVICE                                                                             \
	((struct rpc_server_config){ .methods = vector_methods,                                    \
				     .methods_count = ARRAY_LEN(vector_methods) })

#endif
