/*
 * Order limits, orders, piece hashes (orders.md): signing bytes, signatures, piece IDs.  The
 * messages are the generated Orders__* structs of proto/orders.pb-c.h.
 */
#ifndef ACRE_ORDER_ORDER_H
#define ACRE_ORDER_ORDER_H

#include "base/call.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "identity/identity.h"
#include "proto/metainfo.pb-c.h"
#include "proto/orders.pb-c.h"

enum { PIECE_ID_BYTES = 32, SERIAL_BYTES = 16, ORDER_SIGNING_MAX = 8192 };
enum { PIECE_ID_TEXT_MAX = 53, SERIAL_TEXT_MAX = 27 };

struct piece_id {
	uint8_t b[PIECE_ID_BYTES];
};
struct serial {
	uint8_t b[SERIAL_BYTES];
};

/* piece_id = HMAC-SHA512(root, node || be32(number))[0..32] (orders.md 4). */
void piece_id_derive(const struct piece_id *root, const struct node_id *node, uint32_t number,
		     struct piece_id *ret);
/* The same by the thousand; quickest when those of one root are side by side. */
struct piece_derive {
	const struct piece_id *root;
	const struct node_id *node;
	uint32_t number;
};
void piece_ids_derive(const struct piece_derive *jobs, size_t count, struct piece_id *ret);

/* Base32, upper case, without padding, NUL-terminated. */
void piece_id_text(const struct piece_id *id, char out[PIECE_ID_TEXT_MAX]);
void serial_text(const struct serial *serial, char out[SERIAL_TEXT_MAX]);
/* ERR_FORMAT. */
enum err piece_id_parse(struct bytes text, struct piece_id *ret) MUST_USE;

/* The IDs of a limit, zeros for those that are absent.  ERR_FORMAT when one has another length
 * (proto_decode lets none of those through). */
struct order_limit_ids {
	struct serial serial;
	struct node_id satellite, node;
	struct piece_id piece;
};
enum err order_limit_ids(struct call *call, const Orders__OrderLimit *limit,
			 struct order_limit_ids *ret) MUST_USE;

/* One entry of BeginSegment's and DownloadSegment's answers.  Views into the message.  A download
 * has an entry for each piece number, blank (limit NULL) where no node can serve it. */
struct addressed_limit {
	const Orders__OrderLimit *limit;
	struct order_limit_ids ids;
	const char *address; /* "host:port"; "" = none */
	int32_t debounce_limit;
	uint64_t features;
	int32_t noise_proto; /* 0 = none */
	struct bytes noise_key;
};
enum err addressed_limit_read(struct call *call, const Metainfo__AddressedOrderLimit *addressed,
			      struct addressed_limit *ret) MUST_USE;
static inline bool addressed_limit_blank(const struct addressed_limit *l)
{
	return !l->limit;
}

/* Signing bytes (orders.md 3); unknown fields of a limit are kept at the end. ERR_FORMAT when an
 * ID has the wrong length. */
enum err order_limit_signing(struct call *call, const Orders__OrderLimit *limit,
			     struct buf *out) MUST_USE;
enum err order_signing(struct call *call, const Orders__Order *order, struct buf *out) MUST_USE;
enum err piece_hash_signing(struct call *call, const Orders__PieceHash *hash,
			    struct buf *out) MUST_USE;

/* The satellite signs: satellite_signature is set, memory from `a`. */
enum err order_limit_sign(struct call *call, struct arena *a, Orders__OrderLimit *limit,
			  const struct private_key *key) MUST_USE;
/* ERR_UNAUTHENTICATED when the signature is not good. */
enum err order_limit_verify(struct call *call, const Orders__OrderLimit *limit,
			    const struct public_key *satellite) MUST_USE;

/* An order is small and hot: serial, amount, signature, without generated structs. */
enum { ORDER_WIRE_MAX = 128 };
struct order {
	struct serial serial;
	int64_t amount;
	uint8_t signature[ED25519_SIGNATURE_BYTES];
};
enum err order_sign(struct call *call, struct order *order,
		    const struct ed25519_signer *signer) MUST_USE;
enum err order_verify(struct call *call, const struct order *order,
		      const struct ed25519_verifier *verifier) MUST_USE;
/* Protobuf form of orders.Order at p (ORDER_WIRE_MAX bytes); returns the length. */
size_t order_encode(const struct order *order, uint8_t *p);
/* From protobuf bytes; unknown fields are refused (they break the signature). ERR_INVALID. */
enum err order_decode(struct call *call, struct bytes wire, struct order *ret) MUST_USE;

/* Piece hashes: by the uplink with the piece key, by the node with its leaf key. */
enum err piece_hash_sign_uplink(struct call *call, struct arena *a, Orders__PieceHash *hash,
				const struct ed25519_signer *signer) MUST_USE;
enum err piece_hash_verify_uplink(struct call *call, const Orders__PieceHash *hash,
				  const struct ed25519_verifier *verifier) MUST_USE;
enum err piece_hash_sign_node(struct call *call, struct arena *a, Orders__PieceHash *hash,
			      const struct private_key *key) MUST_USE;
enum err piece_hash_verify_node(struct call *call, const Orders__PieceHash *hash,
				const struct public_key *node) MUST_USE;

/*
 * How the signed amount grows (orders.md 5): first step 256 KiB, then by half.  Storj's uplink
 * stops at steps of 550 KiB; ours go on: nodes ask only that the amount suffices and is within the
 * limit, and a signature costs both sides as much as 100 KB of data.  What is signed in vain, for a
 * piece that is cut or a node that takes the order and stops, is at most half of what was moved.
 */
enum {
	ORDER_STEP_FIRST = 256 << 10,
	ORDER_STEP_DOWNLOAD_MAX = 2 << 20,
	ORDER_STEP_UPLOAD_MAX = 4 << 20,
};
static inline int64_t order_step_next(int64_t step, int64_t max)
{
	return step * 3 / 2 > max ? max : step * 3 / 2;
}

#endif
