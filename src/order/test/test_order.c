/* Limits, orders and piece hashes of real peers: the same signing bytes, the same signatures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vectors.h"

#include "base/cleanup.h"
#include "base/wire.h"
#include "order/order.h"
#include "os/random.h"
#include "proto/proto.h"

struct fixture {
	struct call call;
	json_t *root;
	struct private_key *satellite, *node;
	struct public_key *satellite_public, *node_public;
	struct ed25519_signer *signer;
	struct ed25519_verifier *verifier;
};

static void load_leaf(struct fixture *f, const char *who, struct private_key **ret,
		      struct public_key **ret_public)
{
	struct buf spki AUTO_BUF = BUF_INIT(PRIVATE_KEY_DER_MAX);
	const char *pem = vector_text(vector_get(f->root, who), "leaf_key_pem");

	assert_int_equal(private_key_from_pem(&f->call, bytes_str(pem), ret), OK);
	assert_int_equal(private_key_public_der(&f->call, *ret, &spki), OK);
	assert_int_equal(public_key_from_der(&f->call, buf_bytes(&spki), ret_public), OK);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct ed25519_private key;

	call_init(&f->call);
	f->root = vectors_load("orders");
	load_leaf(f, "satellite", &f->satellite, &f->satellite_public);
	load_leaf(f, "storage_node", &f->node, &f->node_public);
	const json_t *piece_key = vector_get(f->root, "piece_key");
	struct bytes private = vector_hex(&f->call.scratch, piece_key, "private_hex");
	assert_int_equal(private.len, sizeof(key));
	memcpy(key.b, private.data, sizeof(key));
	assert_int_equal(ed25519_signer_new(&f->call, &key, &f->signer), OK);
	assert_int_equal(ed25519_verifier_new(&f->call,
					      vector_hex(&f->call.scratch, piece_key, "public_hex"),
					      &f->verifier),
			 OK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	private_key_free(f->satellite);
	private_key_free(f->node);
	public_key_free(f->satellite_public);
	public_key_free(f->node_public);
	ed25519_signer_free(f->signer);
	ed25519_verifier_free(f->verifier);
	json_decref(f->root);
	call_fini(&f->call);
	free(f);
	return 0;
}

static Orders__OrderLimit *limit_of(struct fixture *f, struct bytes wire)
{
	Orders__OrderLimit *limit;

	assert_int_equal(proto_decode(&f->call, &f->call.scratch, &orders__order_limit__descriptor,
				      wire, &limit),
			 OK);
	return limit;
}

static Orders__PieceHash *hash_of(struct fixture *f, const json_t *v, const char *key)
{
	Orders__PieceHash *hash;

	assert_int_equal(proto_decode(&f->call, &f->call.scratch, &orders__piece_hash__descriptor,
				      vector_hex(&f->call.scratch, v, key), &hash),
			 OK);
	return hash;
}

static void limits(void **state)
{
	struct fixture *f = *state;
	struct call *call = &f->call;
	struct arena *a = &call->scratch;
	const json_t *list = vector_get(f->root, "order_limits");

	assert_true(json_array_size(list) > 5);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct buf signing AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);
		Orders__OrderLimit *limit = limit_of(f, vector_hex(a, v, "wire_pb_hex"));

		assert_int_equal(order_limit_signing(call, limit, &signing), OK);
		assert_bytes_equal(buf_bytes(&signing), vector_hex(a, v, "signing_bytes_hex"));
		assert_int_equal(order_limit_verify(call, limit, f->satellite_public), OK);
		assert_int_equal(order_limit_verify(call, limit, f->node_public),
				 ERR_UNAUTHENTICATED);
		limit->satellite_signature =
			proto_view(vector_hex(a, v, "satellite_signature_sample_hex"));
		assert_int_equal(order_limit_verify(call, limit, f->satellite_public), OK);
		limit->satellite_signature = proto_view(BYTES_NONE);
		assert_int_equal(order_limit_verify(call, limit, f->satellite_public),
				 ERR_UNAUTHENTICATED);
		assert_int_equal(order_limit_sign(call, a, limit, f->satellite), OK);
		assert_int_equal(order_limit_verify(call, limit, f->satellite_public), OK);
		limit->limit++;
		assert_int_equal(order_limit_verify(call, limit, f->satellite_public),
				 ERR_UNAUTHENTICATED);
	}
}

/* Kept, written and signed: what a later version of the protocol may add. */
static void a_limit_survives_reencoding(void **state)
{
	struct fixture *f = *state;
	const json_t *list = vector_get(f->root, "order_limits");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct buf wire AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);
		Orders__OrderLimit *limit =
			limit_of(f, vector_hex(&f->call.scratch, v, "wire_pb_hex"));
		assert_int_equal(proto_encode(&f->call, &limit->base, &wire), OK);
		limit = limit_of(f, buf_bytes(&wire));
		assert_int_equal(order_limit_verify(&f->call, limit, f->satellite_public), OK);
	}
}

static void bad_lengths(void **state)
{
	struct fixture *f = *state;
	struct buf out AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);
	Orders__OrderLimit limit = ORDERS__ORDER_LIMIT__INIT;
	struct order_limit_ids ids;
	uint8_t short_id[31] = { 1 };

	assert_int_equal(order_limit_signing(&f->call, &limit, &out), OK);
	assert_int_equal(out.len, 2 + SERIAL_BYTES + 3 * (2 + NODE_ID_BYTES));
	assert_int_equal(order_limit_ids(&f->call, &limit, &ids), OK);
	limit.piece_id = proto_view(BYTES_OF(short_id));
	assert_int_equal(order_limit_signing(&f->call, &limit, &out), ERR_FORMAT);
	assert_int_equal(order_limit_ids(&f->call, &limit, &ids), ERR_FORMAT);
	assert_int_equal(order_limit_verify(&f->call, &limit, f->satellite_public), ERR_FORMAT);
	limit.piece_id = proto_view(BYTES_NONE);
	limit.encrypted_metadata = proto_view(
		BYTES(arena_alloc(&f->call.scratch, ORDER_SIGNING_MAX), ORDER_SIGNING_MAX));
	buf_clear(&out);
	assert_int_equal(order_limit_signing(&f->call, &limit, &out), ERR_INVALID);
}

static void orders(void **state)
{
	struct fixture *f = *state;
	struct call *call = &f->call;
	struct arena *a = &call->scratch;
	const json_t *list = vector_get(f->root, "orders");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct bytes wire = vector_hex(a, v, "wire_pb_hex");
		struct buf signing AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);
		uint8_t encoded[ORDER_WIRE_MAX];
		struct order order;
		Orders__Order *message;

		assert_int_equal(order_decode(call, wire, &order), OK);
		assert_int_equal(order.amount, vector_int(v, "amount"));
		assert_int_equal(order_verify(call, &order, f->verifier), OK);
		assert_bytes_equal(BYTES(encoded, order_encode(&order, encoded)), wire);
		memset(order.signature, 0, sizeof(order.signature));
		assert_int_equal(order_verify(call, &order, f->verifier), ERR_UNAUTHENTICATED);
		assert_int_equal(order_sign(call, &order, f->signer), OK);
		assert_bytes_equal(BYTES_OF(order.signature),
				   vector_hex(a, v, "uplink_signature_hex"));
		order.amount++;
		assert_int_equal(order_verify(call, &order, f->verifier), ERR_UNAUTHENTICATED);

		assert_int_equal(proto_decode(call, a, &orders__order__descriptor, wire, &message),
				 OK);
		assert_int_equal(order_signing(call, message, &signing), OK);
		assert_bytes_equal(buf_bytes(&signing), vector_hex(a, v, "signing_bytes_hex"));
	}
}

static void odd_orders_are_refused(void **state)
{
	struct fixture *f = *state;
	struct call *call = &f->call;
	struct order order = { .amount = -1 }, back;
	uint8_t wire[ORDER_WIRE_MAX];
	size_t len = order_encode(&order, wire);

	assert_true(len <= ORDER_WIRE_MAX - 20);
	assert_int_equal(order_decode(call, BYTES(wire, len), &back), OK);
	assert_int_equal(back.amount, -1);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(order_decode(call, BYTES(wire, cut), &back), ERR_INVALID);
	/* An unknown field, as it breaks the signature. */
	wire[len] = 4 << 3 | WIRE_VARINT;
	wire[len + 1] = 1;
	assert_int_equal(order_decode(call, BYTES(wire, len + 2), &back), ERR_INVALID);

	struct buf out AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);
	Orders__Order *message;
	assert_int_equal(proto_decode(call, &call->scratch, &orders__order__descriptor,
				      BYTES(wire, len + 2), &message),
			 OK);
	assert_int_equal(order_signing(call, message, &out), ERR_INVALID);
}

static void piece_hashes(void **state)
{
	struct fixture *f = *state;
	struct call *call = &f->call;
	struct arena *a = &call->scratch;
	const json_t *list = vector_get(f->root, "piece_hashes");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct buf signing AUTO_BUF = BUF_INIT(ORDER_SIGNING_MAX);
		Orders__PieceHash *uplink = hash_of(f, v, "uplink_wire_pb_hex");
		Orders__PieceHash *node = hash_of(f, v, "node_wire_pb_hex");

		assert_int_equal(piece_hash_signing(call, uplink, &signing), OK);
		assert_bytes_equal(buf_bytes(&signing), vector_hex(a, v, "signing_bytes_hex"));
		assert_int_equal(piece_hash_verify_uplink(call, uplink, f->verifier), OK);
		assert_int_equal(piece_hash_verify_node(call, node, f->node_public), OK);
		assert_int_equal(piece_hash_verify_node(call, uplink, f->node_public),
				 ERR_UNAUTHENTICATED);
		assert_int_equal(piece_hash_verify_uplink(call, node, f->verifier),
				 ERR_UNAUTHENTICATED);

		assert_int_equal(piece_hash_sign_uplink(call, a, node, f->signer), OK);
		assert_bytes_equal(proto_bytes(node->signature),
				   vector_hex(a, v, "uplink_ed25519_signature_hex"));
		assert_int_equal(piece_hash_sign_node(call, a, uplink, f->node), OK);
		assert_int_equal(piece_hash_verify_node(call, uplink, f->node_public), OK);
		uplink->piece_size++;
		assert_int_equal(piece_hash_verify_node(call, uplink, f->node_public),
				 ERR_UNAUTHENTICATED);
	}
}

/* More than fits at once, of several roots and nodes. */
static void many_piece_ids(void **state)
{
	enum { MANY = 300 };
	static struct piece_derive jobs[MANY];
	static struct piece_id got[MANY];
	struct piece_id roots[7], want;
	struct node_id nodes[3];

	os_random(roots, sizeof(roots));
	os_random(nodes, sizeof(nodes));
	for (unsigned i = 0; i < MANY; i++)
		jobs[i] = (struct piece_derive){ &roots[i / 10 % 7], &nodes[i % 3], i };
	piece_ids_derive(jobs, MANY, got);
	for (unsigned i = 0; i < MANY; i++) {
		piece_id_derive(jobs[i].root, jobs[i].node, i, &want);
		assert_memory_equal(got[i].b, want.b, sizeof(want.b));
	}
}

static void piece_ids(void **state)
{
	struct fixture *f = *state;
	struct arena *a = &f->call.scratch;
	const json_t *list = vector_get(f->root, "piece_ids");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct piece_id root, id, parsed;
		struct node_id node;
		char text[PIECE_ID_TEXT_MAX];

		memcpy(root.b, vector_hex(a, v, "root_piece_id_hex").data, sizeof(root.b));
		memcpy(node.b, vector_hex(a, v, "node_id_hex").data, sizeof(node.b));
		piece_id_derive(&root, &node, (uint32_t)vector_int(v, "piece_num"), &id);
		assert_bytes_equal(BYTES_OF(id.b), vector_hex(a, v, "piece_id_hex"));
		struct piece_derive job = { &root, &node, (uint32_t)vector_int(v, "piece_num") };
		piece_ids_derive(&job, 1, &parsed);
		assert_memory_equal(parsed.b, id.b, sizeof(id.b));
		piece_id_text(&id, text);
		assert_string_equal(text, vector_text(v, "piece_id_text"));
		assert_int_equal(piece_id_parse(bytes_str(text), &parsed), OK);
		assert_memory_equal(parsed.b, id.b, sizeof(id.b));
		assert_int_equal(piece_id_parse(BYTES(text, 51), &parsed), ERR_FORMAT);
	}
	struct serial serial;
	char text[SERIAL_TEXT_MAX];
	memcpy(serial.b, vector_hex(a, f->root, "serial_hex").data, sizeof(serial.b));
	serial_text(&serial, text);
	assert_string_equal(text, vector_text(f->root, "serial_text"));
}

enum { UPLINK_STEP_MAX = 563200 }; /* where storj.io/uplink stops growing */

static void amounts_grow_as_uplinks(void **state)
{
	struct fixture *f = *state;
	const json_t *growth = vector_get(f->root, "upload_order_growth");
	const json_t *list = vector_get(growth, "full_piece_2319360");
	int64_t step = ORDER_STEP_FIRST;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		int64_t amount = vector_int(v, "at_offset") + step;
		assert_int_equal(amount < 2319360 ? amount : 2319360,
				 vector_int(v, "order_amount"));
		step = order_step_next(step, UPLINK_STEP_MAX);
	}
	assert_int_equal(step, UPLINK_STEP_MAX);
}

static void blank_and_addressed(void **state)
{
	struct fixture *f = *state;
	Metainfo__AddressedOrderLimit message = METAINFO__ADDRESSED_ORDER_LIMIT__INIT;
	Node__NodeAddress address = NODE__NODE_ADDRESS__INIT;
	Noise__NoiseInfo noise = NOISE__NOISE_INFO__INIT;
	struct addressed_limit limit;

	assert_int_equal(addressed_limit_read(&f->call, &message, &limit), OK);
	assert_true(addressed_limit_blank(&limit));
	assert_string_equal(limit.address, "");
	const json_t *v = json_array_get(vector_get(f->root, "order_limits"), 0);
	message.limit = limit_of(f, vector_hex(&f->call.scratch, v, "wire_pb_hex"));
	message.storage_node_address = &address;
	address.address = (char *)(uintptr_t) "node.example:28967";
	address.debounce_limit = 2;
	address.noise_info = &noise;
	noise.proto = NOISE__NOISE_PROTOCOL__NOISE_IK_25519_CHACHAPOLY_BLAKE2B;
	assert_int_equal(addressed_limit_read(&f->call, &message, &limit), OK);
	assert_false(addressed_limit_blank(&limit));
	assert_string_equal(limit.address, "node.example:28967");
	assert_int_equal(limit.debounce_limit, 2);
	assert_int_equal(limit.noise_proto, 1);
	assert_bytes_equal(BYTES_OF(limit.ids.serial.b),
			   vector_hex(&f->call.scratch, f->root, "serial_hex"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits),
		cmocka_unit_test(a_limit_survives_reencoding),
		cmocka_unit_test(bad_lengths),
		cmocka_unit_test(orders),
		cmocka_unit_test(odd_orders_are_refused),
		cmocka_unit_test(piece_hashes),
		cmocka_unit_test(piece_ids),
		cmocka_unit_test(many_piece_ids),
		cmocka_unit_test(amounts_grow_as_uplinks),
		cmocka_unit_test(blank_and_addressed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
