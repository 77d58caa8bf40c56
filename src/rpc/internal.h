/* Between the files of this room: connections and their one stream. */
#ifndef ACRE_RPC_INTERNAL_H
#define ACRE_RPC_INTERNAL_H

#include "os/cancel.h"
#include "rpc/frame.h"
#include "rpc/rpc.h"

enum {
	RPC_STAGING = 16 << 10,	   /* one full TLS record */
	RPC_FRAME_MAX = 128 << 10, /* larger messages are cut, so that a frame is soon finished */
	RPC_READY_MAX = 64,	   /* messages taken in and not yet received */
	RPC_TEXT_MAX = 400,	   /* of a peer's error text */
};

/* How the peer ended the stream before its time. */
enum stream_end { END_NONE, END_ERROR, END_CANCELED, END_CLOSED };

struct rpc_stream {
	struct rpc_conn *conn;
	uint64_t id;
	uint64_t message; /* id of our newest packet */
	bool open;	  /* between open and end, on our side */
	bool sent_close_send, got_close_send;
	bool answered; /* a message of the peer was taken */
	enum stream_end ended;
	enum err peer_err; /* with END_ERROR */
	uint64_t peer_status;
	char peer_text[RPC_TEXT_MAX];
};

struct rpc_conn {
	struct net_conn *net;
	bool server;
	bool mid_frame;	 /* a frame is begun and not finished: nothing else may be written */
	enum err broken; /* not usable any more; broken_text says why */
	char broken_text[128];

	struct packet_reader reader;
	struct packet ready[RPC_READY_MAX]; /* ring of messages of the stream, in order */
	unsigned ready_first, ready_len;
	size_t ready_bytes;
	bool has_invoke; /* server: the next call; nothing behind it is parsed before it is taken */
	struct packet invoke;

	uint8_t *staging; /* plain bytes that do not fill a record yet */
	size_t staging_at, staging_len;
	size_t unheard;	   /* bytes encrypted since the peer was listened to */
	int64_t finish_ns; /* deadline for finishing a frame after the peer ended the stream */

	struct rpc_stream stream;
	struct os_cancel *cancel; /* server: of the running call; set when the peer ends it */

	struct { /* of pool.c */
		struct node_id id;
		struct noise_peer noise;
		char *address;
		int64_t since_ns; /* idle since */
		struct rpc_conn *next;
	} pool;
};

void conn_init(struct rpc_conn *c, struct net_conn *net, bool server);
/* Closes the connection below; c itself belongs to the caller. */
void conn_fini(struct rpc_conn *c);
/* Remembers the first reason; returns e with that text. */
enum err conn_break(struct call *call, struct rpc_conn *c, enum err e);
enum err conn_broken(struct call *call, const struct rpc_conn *c);
/* Sorts all packets in hand into ready, invoke and stream state. */
enum err conn_pump(struct call *call, struct rpc_conn *c) MUST_USE;
/* Reads what is there without waiting: OK, ERR_WOULD_BLOCK, or the connection is broken. */
enum err conn_fill(struct call *call, struct rpc_conn *c) MUST_USE;
/* Takes in what can be had without waiting, up to the inbox limits and a number of reads. */
enum err conn_take(struct call *call, struct rpc_conn *c) MUST_USE;
/* net_wait; on a server with an end even if the call has none, so that no peer keeps a worker. */
enum err conn_wait(struct call *call, struct rpc_conn *c, bool read, bool write) MUST_USE;
/* Puts a packet into the buffers; waits only when they are full. */
enum err conn_packet(struct call *call, struct rpc_conn *c, enum packet_kind kind, bool control,
		     const struct bytes *parts, size_t count) MUST_USE;
/* Waits until everything buffered is with the socket. */
enum err conn_flush(struct call *call, struct rpc_conn *c) MUST_USE;
/* The same as far as it goes at once: OK or ERR_WOULD_BLOCK. */
enum err conn_try_flush(struct call *call, struct rpc_conn *c) MUST_USE;
void conn_idle(struct rpc_conn *c);
/* As rpc_conn_reusable, and with nothing left to send. */
bool conn_is_idle(struct rpc_conn *c);

void stream_begin(struct rpc_conn *c, uint64_t id);
/* Both sides are done with it; late packets of it will be forgotten. */
void stream_finish(struct rpc_conn *c);
/* The outcome of a stream that the peer ended; ended must not be END_NONE. */
enum err stream_ended(struct call *call, const struct rpc_stream *s);
/* Nothing more will come from the peer and nothing need be sent. */
bool stream_is_over(const struct rpc_stream *s);

#endif
