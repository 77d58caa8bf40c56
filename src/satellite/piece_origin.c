/* Where a piece came from, as its node can prove it. */
#include "satellite/piece_origin.h"

#include "base/cleanup.h"
#include "proto/proto.h"

DEFINE_AUTO_PTR(struct ed25519_verifier, verifier_auto, ed25519_verifier_free)

static enum err check_limit(struct call *call, const struct satellite *sat,
			    const struct piece_wanted *wanted, const Orders__OrderLimit *limit)
{
	struct order_limit_ids ids;

	TRY_PLAIN(order_limit_ids(call, limit, &ids));
	if (!node_id_equal(&ids.satellite, &sat->id) || !node_id_equal(&ids.node, &wanted->node) ||
	    memcmp(ids.piece.b, wanted->id.b, PIECE_ID_BYTES) != 0 ||
	    (limit->action != ORDERS__PIECE_ACTION__PUT &&
	     limit->action != ORDERS__PIECE_ACTION__PUT_REPAIR))
		return call_fail(call, ERR_PROTOCOL,
				 "the order limit it shows is about something else");
	TRY(order_limit_verify(call, limit, cert_chain_leaf_key(identity_chain(sat->identity))),
	    "the order limit it shows");
	return OK;
}

static enum err check_hash(struct call *call, const struct piece_wanted *wanted,
			   const Orders__OrderLimit *limit, const Orders__PieceHash *hash)
{
	AUTO(verifier_auto) struct ed25519_verifier *v = NULL;

	if (!bytes_equal(proto_bytes(hash->piece_id), BYTES_OF(wanted->id.b)) ||
	    hash->piece_size != wanted->size || hash->hash.len != HASH_BYTES ||
	    ((int)hash->hash_algorithm != HASH_SHA256 && (int)hash->hash_algorithm != HASH_BLAKE3))
		return call_fail(call, ERR_PROTOCOL, "the hash it shows is of another piece");
	TRY_PLAIN(ed25519_verifier_new(call, proto_bytes(limit->uplink_public_key), &v));
	TRY(piece_hash_verify_uplink(call, hash, v), "the hash it shows");
	return OK;
}

enum err piece_origin_read(struct call *call, const struct satellite *sat,
			   const struct piece_wanted *wanted, struct bytes hash_wire,
			   struct bytes limit_wire, struct piece_origin *ret)
{
	Orders__PieceHash *hash = NULL;
	Orders__OrderLimit *limit = NULL;

	if (!hash_wire.len || !limit_wire.len)
		return call_fail(call, ERR_PROTOCOL, "it does not show where the piece came from");
	TRY_PLAIN(proto_decode(call, &call->scratch, &orders__piece_hash__descriptor, hash_wire,
			       (void *)&hash));
	TRY_PLAIN(proto_decode(call, &call->scratch, &orders__order_limit__descriptor, limit_wire,
			       (void *)&limit));
	TRY_PLAIN(check_limit(call, sat, wanted, limit));
	TRY_PLAIN(check_hash(call, wanted, limit, hash));
	ret->algorithm = (enum hash_algorithm)hash->hash_algorithm;
	memcpy(ret->hash, hash->hash.data, HASH_BYTES);
	return OK;
}
