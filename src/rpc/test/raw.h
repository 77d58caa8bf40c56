/* A client below DRPC: frames by hand over a real TLS connection. */
#ifndef ACRE_RPC_TEST_RAW_H
#define ACRE_RPC_TEST_RAW_H

#include "rpc/frame.h"
#include "rpc/test/peers.h"

struct raw {
	struct net_conn *net;
	struct packet_reader reader;
};

static inline void raw_init(struct raw *r, struct net_conn *net)
{
	r->net = net;
	packet_reader_init(&r->reader, RPC_PACKET_MAX);
	r->reader.live = 1;
}

static inline void raw_dial(struct peers *p, struct raw *r)
{
	struct net_conn *net = NULL;

	must(&p->call, net_dial(&p->call, p->client_tls, rpc_server_address(p->server),
				identity_node_id(p->server_id), &net));
	raw_init(r, net);
}

static inline void raw_close(struct raw *r)
{
	net_close(r->net);
	packet_reader_fini(&r->reader);
}

static inline void raw_send(struct call *call, struct raw *r, struct bytes v)
{
	while (v.len) {
		size_t n = 0;
		enum err e = net_try_write(call, r->net, v, &n);
		if (e == ERR_WOULD_BLOCK)
			must(call, net_wait(call, r->net, false, true));
		else
			must(call, e);
		v = bytes_from(v, n);
		e = net_try_flush(call, r->net);
		assert_true(e == OK || e == ERR_WOULD_BLOCK);
	}
	while (net_out_pending(r->net)) {
		must(call, net_wait(call, r->net, false, true));
		enum err e = net_try_flush(call, r->net);
		assert_true(e == OK || e == ERR_WOULD_BLOCK);
	}
}

static inline void raw_frame(struct call *call, struct raw *r, struct frame_header h,
			     struct bytes data)
{
	uint8_t head[FRAME_HEADER_MAX];

	if (!h.length)
		h.length = data.len;
	raw_send(call, r, BYTES(head, frame_put_header(head, &h)));
	raw_send(call, r, data);
}

/* The next packet: OK, or how reading ended. */
static inline enum err raw_packet(struct call *call, struct raw *r, struct packet *ret)
{
	for (;;) {
		uint8_t *p;
		size_t room, n;
		enum err e = packet_reader_next(call, &r->reader, ret);
		if (e != ERR_WOULD_BLOCK)
			return e;
		assert_int_equal(packet_reader_space(&r->reader, 4096, &p, &room), OK);
		TRY_PLAIN(net_read(call, r->net, p, room, &n));
		packet_reader_added(&r->reader, n);
	}
}

#endif
