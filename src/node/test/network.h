/*
 * A satellite that trusts anybody, a node that works for it, and an uplink, all on loopback with a
 * real directory: for tests of the node from outside.
 */
#ifndef ACRE_NODE_TEST_NETWORK_H
#define ACRE_NODE_TEST_NETWORK_H

#include "node/node.h"
#include "order/order.h"
#include "proto/contact.pb-c.h"
#include "rpc/rpc.h"

struct network {
	struct call call;
	char dir[64]; /* of everything */
	struct identity *satellite_id, *uplink_id;
	struct net_tls *satellite_tls, *uplink_tls;
	struct rpc_server *satellite;
	char url[NODE_URL_MAX];
	struct node_config config;
	struct param_list urls;
	const char *url_item;
	struct chores *chores;
	struct node *node;
	struct node_id node_id;
	uint64_t serials; /* given out */
	int64_t clock_ns; /* the satellite's clock minus ours */
	/* What the satellite saw of the last check-in. */
	_Atomic unsigned check_ins, pings_ok;
	_Atomic unsigned check_in_cancels; /* so many answers are "canceled", as of one that ends */
	char address[256], version[64];
	int64_t free_disk;
	bool release;
	struct noise_peer noise; /* attested */
	int32_t debounce_limit;
	char software[64]; /* of the tag that the node signed itself */
	/* Settlement: the first `settle_failures` streams break after an entry. */
	_Atomic unsigned settlements, settle_failures;
	unsigned settle_entries; /* of the last one */
	int64_t settle_amount;	 /* sum of it */
	bool settle_reject;
	/* Amnesty: the first `amnesty_failures` reports are refused with that status. */
	_Atomic unsigned reports, amnesty_failures;
	_Atomic uint64_t amnesty_status;
	_Atomic size_t lost_count;
	struct piece_id lost[256];
};

void network_start(struct network *n);
/* Ends the node as SIGTERM does, and starts it again. */
void network_stop_node(struct network *n);
void network_start_node(struct network *n);
void network_stop(struct network *n);
/* Streams that came to their end. */
void network_wait_settlements(struct network *n, unsigned count);
void network_wait_check_in(struct network *n, unsigned count);

/* A limit of this satellite for this node, good in every respect, with the key for its orders. */
struct ticket {
	Orders__OrderLimit limit;
	struct serial serial;
	struct piece_id piece;
	struct node_id satellite, node;
	struct ed25519_private key;
	uint8_t public_key[ED25519_PUBLIC_BYTES];
	struct ed25519_signer *signer;
};
struct ticket *network_ticket(struct network *n, Orders__PieceAction action, int64_t limit,
			      unsigned piece);
/* Signs what the limit says now. */
void network_sign(struct network *n, struct ticket *t);

/* One stream to the node, on a connection of its own: by Noise for transfers when NETWORK_NOISE. */
#ifndef NETWORK_NOISE
#define NETWORK_NOISE 0
#endif
struct talk {
	struct call call;
	struct rpc_conn *conn;
	struct rpc_stream *stream;
};
void talk_begin(struct network *n, struct talk *t, const char *method);
/* The same over this transport whatever the method. */
void talk_begin_noise(struct network *n, struct talk *t, const char *method);
void talk_end(struct talk *t);

/* Parts of a request; zero fields are left out, as on the wire. */
struct request {
	const struct ticket *limit; /* sent if set */
	const struct ticket *order_by;
	int64_t order_amount; /* sent if order_by is set */
	bool has_chunk;
	int64_t offset, size; /* size of downloads */
	struct bytes data;
	bool done;
	const uint8_t *done_hash;
	const struct ticket *done_by;
	int64_t done_size;
	int done_algorithm;
	int algorithm;
	int64_t maximum_chunk_size;
	/* What tests break: */
	bool bad_order_signature, bad_done_signature, other_done_piece, other_order_serial;
};
void request_encode(struct network *n, const struct request *r, struct buf *out);
enum err talk_send(struct network *n, struct talk *t, const struct request *r);

/* Whole transfers; the peer's outcome, its status in ret_status. */
enum err network_upload(struct network *n, const struct ticket *t, struct bytes data, int algorithm,
			uint64_t *ret_status);
enum err network_download(struct network *n, const struct ticket *t, int64_t offset, int64_t size,
			  struct buf *ret, uint64_t *ret_status);

#endif
