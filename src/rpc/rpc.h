/*
 * DRPC (transport.md 7): one live stream per connection, messages are protobuf bytes.  Both ends
 * use struct rpc_stream.  While waiting to send, incoming packets are taken into a bounded inbox.
 */
#ifndef ACRE_RPC_RPC_H
#define ACRE_RPC_RPC_H

#include "base/bytes.h"
#include "base/call.h"
#include "identity/identity.h"
#include "net/net.h"
#include "proto/proto.h"

enum {
	RPC_PACKET_MAX = 4 << 20, /* bytes of one packet's data, as the reference reader */
	RPC_INBOX_MAX = 1 << 20,  /* with this many bytes of packets waiting we read no further */
	RPC_METHOD_MAX = 256,
};

struct rpc_conn;
struct rpc_stream;

/* ---- streams, either side ---- */

/* Sends one message made of parts, in order; buffered and corked until rpc_flush, rpc_recv, or the
 * buffer fills.  Peer's Error: its outcome, with its text and status in the call.  ERR_EOF when the
 * peer closed the stream. */
enum err rpc_send(struct call *call, struct rpc_stream *s, const struct bytes *parts,
		  size_t count) MUST_USE;
enum err rpc_send_message(struct call *call, struct rpc_stream *s,
			  const ProtobufCMessage *message) MUST_USE;
enum err rpc_flush(struct call *call, struct rpc_stream *s) MUST_USE;
/* Half close: no more messages from us; flushed. */
enum err rpc_close_send(struct call *call, struct rpc_stream *s) MUST_USE;
/* The next message; a view that lives until the next receive on this stream.  Flushes first.
 * ERR_EOF when the peer half-closed. */
enum err rpc_recv(struct call *call, struct rpc_stream *s, struct bytes *ret) MUST_USE;
/* As rpc_recv but ERR_WOULD_BLOCK instead of waiting (does not flush). */
enum err rpc_try_recv(struct call *call, struct rpc_stream *s, struct bytes *ret) MUST_USE;
/* Receives and decodes into the arena; ret_message is T **. */
enum err rpc_recv_message(struct call *call, struct rpc_stream *s, struct arena *a,
			  const ProtobufCMessageDescriptor *type, void *ret_message) MUST_USE;
/* Peer of the connection below. */
const struct net_conn *rpc_stream_net(const struct rpc_stream *s);

/* ---- client ---- */

enum err rpc_dial(struct call *call, const struct net_tls *tls, const char *address,
		  const struct node_id *expected, struct rpc_conn **ret) MUST_USE;
/* By Noise (net_dial_noise); for calls that may be made by anybody and be seen twice (noise.md 9).
 */
enum err rpc_dial_noise(struct call *call, const struct net_tls *tls, const char *address,
			const struct node_id *expected, const struct noise_peer *node,
			struct rpc_conn **ret) MUST_USE;
/* The same over a connection that is there; takes it over, closed on failure. */
enum err rpc_conn_new(struct call *call, struct net_conn *net, struct rpc_conn **ret) MUST_USE;
/* Closes; a live stream is thereby cancelled. */
void rpc_conn_close(struct rpc_conn *c);
/* No live stream, nothing unread, not closed by the peer: may be used again. */
bool rpc_conn_reusable(struct rpc_conn *c);
const struct net_conn *rpc_conn_net(const struct rpc_conn *c);
/* net_keep_chain; asked for by way of rpc_conn_net. */
void rpc_conn_keep_chain(struct rpc_conn *c, struct cert_chain *named);

/* Unary call: the reply is decoded into `a`.  request NULL = empty message. */
enum err rpc_invoke(struct call *call, struct rpc_conn *c, const char *method,
		    const ProtobufCMessage *request, struct arena *a,
		    const ProtobufCMessageDescriptor *reply_type, void *ret_reply) MUST_USE;

enum err rpc_open(struct call *call, struct rpc_conn *c, const char *method,
		  struct rpc_stream **ret) MUST_USE;
/* Ends the stream: finished streams leave the connection reusable; an unfinished one is soft
 * cancelled (Cancel packet if it can be written at once, otherwise the connection is spoilt). */
void rpc_stream_end(struct rpc_stream *s);

/* Pool of client connections, keyed by node ID, address and Noise key (transport.md 7.6). */
struct rpc_pool;
struct rpc_pool_limits {
	unsigned total_max;    /* open connections, idle ones are closed first; 0 = 100 */
	unsigned idle_per_key; /* 0 = 5 */
	int64_t idle_ns_max;   /* 0 = 2 minutes */
	int64_t dial_ns_max;   /* 0 = 10 s */
};
/* tls is borrowed and must live longer. */
enum err rpc_pool_new(struct call *call, const struct net_tls *tls, struct rpc_pool_limits limits,
		      struct rpc_pool **ret) MUST_USE;
void rpc_pool_free(struct rpc_pool *p);
/* An idle connection to that peer, or a new one: by Noise where noise is not NULL and set. */
enum err rpc_pool_get(struct call *call, struct rpc_pool *p, const struct node_id *id,
		      const char *address, const struct noise_peer *noise,
		      struct rpc_conn **ret) MUST_USE;
/* Gives a connection back; closed unless reusable.  NULL is fine. */
void rpc_pool_put(struct rpc_pool *p, struct rpc_conn *c);

/* ---- server ---- */

/* Handles one call.  Unary handlers receive one message and send one.  The error a handler returns
 * goes to the peer as Error packet with the call's text and status; OK ends with CloseSend.
 * The call's deadline is none unless the handler sets one (a peer that sends nothing for 30
 * minutes, or takes nothing for 10, ends it with ERR_DEADLINE all the same); it is cancelled when
 * the peer cancels or vanishes (noticed whenever the handler waits on its stream or sends much, and
 * by rpc_try_recv and rpc_flush). */
typedef enum err rpc_handler(struct call *call, void *service, struct rpc_stream *stream);

struct rpc_method {
	const char *name; /* "/metainfo.Metainfo/BeginObject" */
	rpc_handler *handle;
	bool anonymous; /* served by Noise, too, where the client has no identity */
};

/* The threads that any number of servers share: none belongs to a server or an idle connection. */
struct rpc_host;
struct rpc_host_config {
	unsigned connections_max; /* 0 = 5000; further ones are closed at once */
	unsigned active_max;	  /* calls at a time; 0 = 512; beyond: Unavailable "overloaded" */
};
enum err rpc_host_new(struct call *call, const struct rpc_host_config *config,
		      struct rpc_host **ret) MUST_USE;
/* Its servers are stopped already; NULL is fine. */
void rpc_host_free(struct rpc_host *h);

struct rpc_server;
struct rpc_server_config {
	struct rpc_host *host;		  /* borrowed; NULL = one of its own */
	const struct net_tls *tls;	  /* borrowed */
	struct net_noise *noise;	  /* NULL = TLS only; borrowed */
	const char *address;		  /* listens here */
	const struct rpc_method *methods; /* borrowed */
	size_t methods_count;
	void *service;			      /* handed to handlers */
	unsigned connections_max, active_max; /* as rpc_host_config, for a host of its own */
	/* Told of each call that has ended, in its worker; NULL: nobody.  It does not wait.  method
	 * is NULL for a name that nobody knows. */
	void (*observe)(void *service, const struct rpc_method *method, enum err e, int64_t ns);
	int64_t handshake_ns_max; /* magic + TLS or Noise; 0 = 15 s */
};
enum err rpc_server_start(struct call *call, const struct rpc_server_config *config,
			  struct rpc_server **ret) MUST_USE;
/* As os_listener_fast_open. */
bool rpc_server_fast_open(const struct rpc_server *s);
/* "ip:port" really bound. */
const char *rpc_server_address(const struct rpc_server *s);
/* Open connections of all servers of its host. */
unsigned rpc_server_connections(const struct rpc_server *s);
/* Takes no new calls, lets running ones end for at most grace_ns, then cancels them; frees. */
void rpc_server_stop(struct rpc_server *s, int64_t grace_ns);

/* Answers a unary call: decodes the one request, as most handlers begin. */
enum err rpc_request(struct call *call, struct rpc_stream *s, struct arena *a,
		     const ProtobufCMessageDescriptor *type, void *ret_message) MUST_USE;

#endif
