/*
 * A network of nodes inside the test: real servers with real identities, pieces in memory, and any
 * way of misbehaving a test asks for.
 */
#ifndef ACRE_TRANSFER_TEST_FAKE_NODES_H
#define ACRE_TRANSFER_TEST_FAKE_NODES_H

#include "order/order.h"
#include "os/lock.h"
#include "proto/metainfo.pb-c.h"
#include "rpc/rpc.h"
#include "transfer/fanout.h"

/* Whether nodes offer Noise, and the client takes it. */
#ifndef FAKE_NOISE
#define FAKE_NOISE 0
#endif

enum { FAKE_NODES_MAX = 130, FAKE_PIECE_MAX = 8 << 20 };

enum fault {
	FAULT_NONE,
	FAULT_REFUSE,		 /* answers with an error at once */
	FAULT_STALL,		 /* takes `at` bytes (or sends them), then hangs */
	FAULT_DEAF,		 /* the same, and does not even notice when the client gives up */
	FAULT_CLOSE,		 /* the same, then ends the stream with an error */
	FAULT_NO_ANSWER,	 /* takes the piece, never answers */
	FAULT_WRONG_HASH,	 /* answers with another hash */
	FAULT_FOREIGN_SIGNATURE, /* answers signed by another node */
	FAULT_SLOW,		 /* waits `at` milliseconds for each message */
	FAULT_LIE,		 /* sends other bytes than it was given */
	FAULT_SHORT,		 /* ends the download early as if all were sent */
	FAULT_MORE,		 /* sends bytes that were not ordered */
};

struct fake_node {
	struct identity *identity;
	struct net_tls *tls;
	struct net_noise *noise;
	struct rpc_server *server;
	char address[64];
	_Atomic enum fault fault;
	_Atomic size_t at;
	struct fake_network *network;
	struct os_mutex lock;
	struct buf piece; /* the last one, for whatever ID */
	struct piece_id piece_id;
	_Atomic unsigned uploads, downloads, cancelled;
	_Atomic int64_t ordered; /* largest amount signed in the last stream */
};

struct fake_network {
	struct identity *client_identity;
	struct net_tls *client_tls;
	struct fanout *fanout;
	struct fake_node nodes[FAKE_NODES_MAX];
	unsigned count;
	struct os_cancel stop; /* ends what hangs */
};

void fake_network_start(struct fake_network *n, unsigned count);
void fake_network_stop(struct fake_network *n);

/* Order limits for pieces 0..count-1 at nodes[i]; node -1 = blank.  Messages live in `a`. */
struct fake_limits {
	Metainfo__AddressedOrderLimit **list;
	struct ed25519_private key;
	uint8_t public_key[ED25519_PUBLIC_BYTES];
};
void fake_limits_make(struct fake_network *n, struct arena *a, const int nodes[], unsigned count,
		      int64_t limit, Orders__PieceAction action, struct fake_limits *ret);
/* Another limit of the same operation, for RetryBeginSegmentPieces. */
Metainfo__AddressedOrderLimit *fake_limit(struct fake_network *n, struct arena *a, int node,
					  unsigned piece, int64_t limit, Orders__PieceAction action,
					  const struct fake_limits *keys);

#endif
