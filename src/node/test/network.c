/* The little network around a node under test. */
#include "network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "identity/noise_attestation.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "proto/heldamount.pb-c.h"
#include "proto/nodestats.pb-c.h"

enum { TALK_SECONDS = 20 };

static void must(struct call *call, enum err e)
{
	if (e)
		print_error("%s: %s\n", err_name(e), call_error(call, e));
	assert_int_equal(e, OK);
}

/* ---- satellite ---- */

static enum err handle_get_time(struct call *call, void *service, struct rpc_stream *stream)
{
	struct network *n = service;
	Contact__GetTimeRequest *request;
	Contact__GetTimeResponse reply = CONTACT__GET_TIME_RESPONSE__INIT;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch, &contact__get_time_request__descriptor,
			      &request));
	reply.timestamp = proto_time_new(&call->scratch, os_clock_unix_ns() + n->clock_ns);
	return rpc_send_message(call, stream, &reply.base);
}

/* Calls the node back, as satellites do. */
static enum err ping(struct call *call, struct network *n, const char *address,
		     const struct node_id *id)
{
	struct rpc_conn *conn = NULL;
	Contact__ContactPingRequest request = CONTACT__CONTACT_PING_REQUEST__INIT;
	Contact__ContactPingResponse *reply;

	TRY_PLAIN(rpc_dial(call, n->satellite_tls, address, id, &conn));
	enum err e = rpc_invoke(call, conn, "/contact.Contact/PingNode", &request.base,
				&call->scratch, &contact__contact_ping_response__descriptor,
				&reply);
	rpc_conn_close(conn);
	return e;
}

/* As storj.io/common/nodetag verifies them. */
static enum err read_tags(struct call *call, struct network *n, const Node__SignedNodeTagSets *sets,
			  const struct node_id *id, const struct public_key *leaf)
{
	Node__NodeTagSet *set = NULL;

	if (!sets || sets->n_tags != 1 ||
	    !bytes_equal(proto_bytes(sets->tags[0]->signer_node_id), node_id_bytes(id)))
		return call_fail(call, ERR_INVALID, "no tags, or others' tags");
	TRY_PLAIN(public_key_verify(call, leaf, proto_bytes(sets->tags[0]->serialized_tag),
				    proto_bytes(sets->tags[0]->signature)));
	TRY_PLAIN(proto_decode(call, &call->scratch, &node__node_tag_set__descriptor,
			       proto_bytes(sets->tags[0]->serialized_tag), &set));
	if (!bytes_equal(proto_bytes(set->node_id), node_id_bytes(id)) || set->n_tags != 1 ||
	    strcmp(set->tags[0]->name, "software") != 0)
		return call_fail(call, ERR_INVALID, "wrong tags");
	snprintf(n->software, sizeof(n->software), "%.*s", (int)set->tags[0]->value.len,
		 (const char *)set->tags[0]->value.data);
	return OK;
}

static enum err handle_check_in(struct call *call, void *service, struct rpc_stream *stream)
{
	struct network *n = service;
	Contact__CheckInRequest *request;
	Contact__CheckInResponse reply = CONTACT__CHECK_IN_RESPONSE__INIT;
	struct node_id id;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch, &contact__check_in_request__descriptor,
			      &request));
	TRY_PLAIN(net_peer_id(call, rpc_stream_net(stream), &id));
	if (n->check_in_cancels) {
		n->check_in_cancels--;
		return call_fail_status(call, ERR_INTERNAL, err_status(ERR_CANCELED),
					"satellitedb: context canceled");
	}
	snprintf(n->address, sizeof(n->address), "%s", request->address);
	snprintf(n->version, sizeof(n->version), "%s", request->version->version);
	n->release = request->version->release;
	n->free_disk = request->capacity->free_disk;
	n->debounce_limit = request->debounce_limit;
	TRY_PLAIN(read_tags(call, n, request->signed_tags, &id,
			    cert_chain_leaf_key(net_peer_chain(rpc_stream_net(stream)))));
	if (request->noise_key_attestation) {
		TRY_PLAIN(noise_attestation_verify(call, request->noise_key_attestation, &id));
		n->noise = noise_peer_from(
			request->noise_key_attestation->noise_proto,
			proto_bytes(request->noise_key_attestation->noise_public_key));
	}
	struct call aside;
	call_init_child(&aside, call);
	reply.ping_node_success = ping(&aside, n, request->address, &id) == OK;
	n->pings_ok += (unsigned)reply.ping_node_success;
	call_fini(&aside);
	n->check_ins++;
	return rpc_send_message(call, stream, &reply.base);
}

static enum err handle_settlement(struct call *call, void *service, struct rpc_stream *stream)
{
	Orders__SettlementWithWindowResponse reply = ORDERS__SETTLEMENT_WITH_WINDOW_RESPONSE__INIT;
	Orders__SettlementWithWindowResponse__ActionSettledEntry sum, *list = &sum;
	AUTO(arena_free) struct arena a = { 0 };
	struct network *n = service;
	Orders__SettlementRequest *entry = NULL;
	unsigned entries = 0;
	int64_t amount = 0;
	enum err e;

	while (!(e = rpc_recv_message(call, stream, &a, &orders__settlement_request__descriptor,
				      &entry))) {
		TRY_PLAIN(order_limit_verify(call, entry->limit,
					     cert_chain_leaf_key(identity_chain(n->satellite_id))));
		entries++;
		amount += entry->order->amount;
		if (n->settle_failures) {
			n->settle_failures--;
			return call_fail(call, ERR_UNAVAILABLE, "not today");
		}
	}
	if (e != ERR_EOF)
		return e;
	orders__settlement_with_window_response__action_settled_entry__init(&sum);
	sum.key = ORDERS__PIECE_ACTION__PUT;
	sum.value = amount;
	reply.status = n->settle_reject ? ORDERS__SETTLEMENT_WITH_WINDOW_RESPONSE__STATUS__REJECTED
					: ORDERS__SETTLEMENT_WITH_WINDOW_RESPONSE__STATUS__ACCEPTED;
	reply.action_settled = &list;
	reply.n_action_settled = !n->settle_reject;
	n->settle_entries = entries;
	n->settle_amount = amount;
	n->settlements++;
	return rpc_send_message(call, stream, &reply.base);
}

static enum err handle_stats(struct call *call, void *service, struct rpc_stream *stream)
{
	Nodestats__GetStatsResponse reply = NODESTATS__GET_STATS_RESPONSE__INIT;
	Nodestats__ReputationStats audit = NODESTATS__REPUTATION_STATS__INIT;
	struct bytes nothing;

	TRY_PLAIN(rpc_recv(call, stream, &nothing));
	audit.total_count = 100;
	audit.success_count = 97;
	audit.reputation_score = 0.97;
	audit.unknown_reputation_score = 1;
	reply.audit_check = &audit;
	reply.online_score = 0.5;
	reply.joined_at = proto_time_new(&call->scratch, 1700000000 * NS_PER_SEC);
	reply.suspended = proto_time_new(&call->scratch, 1700086400 * NS_PER_SEC);
	return rpc_send_message(call, stream, &reply.base);
}

static enum err handle_paystubs(struct call *call, void *service, struct rpc_stream *stream)
{
	Heldamount__GetAllPaystubsResponse reply = HELDAMOUNT__GET_ALL_PAYSTUBS_RESPONSE__INIT;
	Heldamount__GetHeldAmountResponse stubs[2], *list[] = { &stubs[0], &stubs[1] };
	struct bytes nothing;

	TRY_PLAIN(rpc_recv(call, stream, &nothing));
	for (int i = 0; i < 2; i++) {
		heldamount__get_held_amount_response__init(&stubs[i]);
		/* The newest comes first. */
		stubs[i].period = proto_time_new(&call->scratch,
						 (1700000000 - i * 2592000) * NS_PER_SEC);
		stubs[i].paid = 1500000 + i;
		stubs[i].held = 500000;
		stubs[i].disposed = i * 250000;
	}
	reply.paystub = list;
	reply.n_paystub = ARRAY_LEN(list);
	return rpc_send_message(call, stream, &reply.base);
}

static enum err handle_payments(struct call *call, void *service, struct rpc_stream *stream)
{
	Heldamount__GetAllPaymentsResponse reply = HELDAMOUNT__GET_ALL_PAYMENTS_RESPONSE__INIT;
	Heldamount__GetPaymentResponse payments[2], *list[] = { &payments[0], &payments[1] };
	struct bytes nothing;

	TRY_PLAIN(rpc_recv(call, stream, &nothing));
	for (int i = 0; i < 2; i++) {
		heldamount__get_payment_response__init(&payments[i]);
		payments[i].period = proto_time_new(&call->scratch,
						    (1700000000 - i * 2592000) * NS_PER_SEC);
		payments[i].created_at = proto_time_new(&call->scratch,
							(1701000000 - i * 2592000) * NS_PER_SEC);
		payments[i].amount = 1200000 + i;
	}
	payments[0].receipt = (char *)(uintptr_t) "eth:0xabc\ndef";
	reply.payment = list;
	reply.n_payment = ARRAY_LEN(list);
	return rpc_send_message(call, stream, &reply.base);
}

static enum err handle_amnesty(struct call *call, void *service, struct rpc_stream *stream)
{
	Contact__AmnestyReportResponse reply = CONTACT__AMNESTY_REPORT_RESPONSE__INIT;
	Contact__AmnestyReportRequest *request = NULL;
	struct network *n = service;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch,
			      &contact__amnesty_report_request__descriptor, &request));
	n->reports++;
	if (n->amnesty_failures) {
		n->amnesty_failures--;
		return call_fail_status(call, ERR_UNAVAILABLE, n->amnesty_status, "not now");
	}
	for (size_t i = 0; i < request->n_lost_pieces; i++) {
		const Contact__LostPiece *p = request->lost_pieces[i];
		if (p->piece_id.len != PIECE_ID_BYTES || n->lost_count == ARRAY_LEN(n->lost))
			return call_fail(call, ERR_INVALID, "not a piece");
		memcpy(n->lost[n->lost_count].b, p->piece_id.data, PIECE_ID_BYTES);
		n->lost_count++;
	}
	return rpc_send_message(call, stream, &reply.base);
}

static const struct rpc_method satellite_methods[] = {
	{ "/contact.Node/AmnestyReport", handle_amnesty },
	{ "/nodestats.NodeStats/GetStats", handle_stats },
	{ "/heldamount.HeldAmount/GetAllPaystubs", handle_paystubs },
	{ "/heldamount.HeldAmount/GetAllPayments", handle_payments },
	{ "/orders.Orders/SettlementWithWindow", handle_settlement },
	{ "/contact.Node/CheckIn", handle_check_in },
	{ "/contact.Node/GetTime", handle_get_time },
};

/* ---- life ---- */

void network_start_node(struct network *n)
{
	char dir[128];

	snprintf(dir, sizeof(dir), "%s/node", n->dir);
	must(&n->call, chores_new(&n->call, 4, &n->chores));
	must(&n->call, node_open(&n->call, dir, &n->config,
				 &(struct node_host){ .chores = n->chores }, &n->node));
	must(&n->call, node_start(&n->call, n->node));
}

void network_stop_node(struct network *n)
{
	node_stop(n->node);
	chores_free(n->chores);
	n->node = NULL;
	n->chores = NULL;
}

void network_start(struct network *n)
{
	struct rpc_server_config server = { .address = "127.0.0.1:0",
					    .methods = satellite_methods,
					    .methods_count = ARRAY_LEN(satellite_methods),
					    .service = n };
	struct node_setup setup = { .difficulty = 8 };
	struct node_url url = { .has_id = true };
	AUTO_BUF struct buf text = BUF_INIT(NODE_URL_MAX);
	char dir[128];

	*n = (struct network){ 0 };
	call_init(&n->call);
	snprintf(n->dir, sizeof(n->dir), "/tmp/acre-node-test-XXXXXX");
	assert_non_null(mkdtemp(n->dir));
	must(&n->call, identity_ephemeral(&n->call, &n->satellite_id));
	must(&n->call, identity_ephemeral(&n->call, &n->uplink_id));
	must(&n->call, net_tls_new(&n->call, n->satellite_id, &n->satellite_tls));
	must(&n->call, net_tls_new(&n->call, n->uplink_id, &n->uplink_tls));
	server.tls = n->satellite_tls;
	must(&n->call, rpc_server_start(&n->call, &server, &n->satellite));
	url.id = *identity_node_id(n->satellite_id);
	url.address = rpc_server_address(n->satellite);
	node_url_add(&text, &url);
	snprintf(n->url, sizeof(n->url), "%s", buf_cstr(&text));
	n->url_item = n->url;
	n->config = (struct node_config){
		.address = "127.0.0.1:0",
		.satellites = { &n->url_item, 1 },
		.space = 1 << 30,
		.segment_size = 4 << 20,
		.email = "",
		.wallet = "0x1",
		.development = true,
		.noise = true,
		/* What was stored a moment ago can be garbage. */
		.retain_skew_ns = -60 * NS_PER_SEC,
	};
	snprintf(dir, sizeof(dir), "%s/node", n->dir);
	must(&n->call, node_create(&n->call, dir, &n->config, &setup, &n->node_id));
	network_start_node(n);
}

static void remove_tree(struct call *call, const char *path)
{
	const char **names = NULL;
	size_t count = 0;
	struct os_stat st;

	must(call, os_stat(call, path, &st));
	if (!st.is_dir) {
		must(call, os_unlink(call, path));
		return;
	}
	must(call, os_dir_list(call, &call->scratch, path, &names, &count));
	for (size_t i = 0; i < count; i++)
		remove_tree(call, os_path_join(call, path, names[i]));
	must(call, os_dir_remove(call, path));
}

void network_stop(struct network *n)
{
	if (n->node)
		network_stop_node(n);
	rpc_server_stop(n->satellite, NS_PER_SEC);
	net_tls_free(n->satellite_tls);
	net_tls_free(n->uplink_tls);
	identity_free(n->satellite_id);
	identity_free(n->uplink_id);
	remove_tree(&n->call, n->dir);
	call_fini(&n->call);
}

void network_wait_settlements(struct network *n, unsigned count)
{
	for (int i = 0; i < 2000 && n->settlements < count; i++)
		must(&n->call, os_sleep(&n->call, 10 * NS_PER_MS));
	assert_true(n->settlements >= count);
}

void network_wait_check_in(struct network *n, unsigned count)
{
	for (int i = 0; i < 1000 && n->check_ins < count; i++)
		must(&n->call, os_sleep(&n->call, 10 * NS_PER_MS));
	assert_true(n->check_ins >= count);
}

/* ---- tickets ---- */

void network_sign(struct network *n, struct ticket *t)
{
	must(&n->call, order_limit_sign(&n->call, &n->call.scratch, &t->limit,
					identity_key(n->satellite_id)));
}

struct ticket *network_ticket(struct network *n, Orders__PieceAction action, int64_t limit,
			      unsigned piece)
{
	struct ticket *t = arena_alloc(&n->call.scratch, sizeof(*t));
	Orders__OrderLimit *m = &t->limit;
	int64_t now = os_clock_unix_ns();

	orders__order_limit__init(m);
	put_be64(t->serial.b, (uint64_t)(now / NS_PER_SEC + 86400));
	put_be64(t->serial.b + 8, ++n->serials);
	put_be32(t->piece.b, piece + 1);
	t->satellite = *identity_node_id(n->satellite_id);
	t->node = n->node_id;
	must(&n->call, ed25519_generate(&n->call, &t->key, t->public_key));
	must(&n->call, ed25519_signer_new(&n->call, &t->key, &t->signer));
	m->serial_number = proto_view(BYTES_OF(t->serial.b));
	m->satellite_id = proto_view(node_id_bytes(&t->satellite));
	m->storage_node_id = proto_view(node_id_bytes(&t->node));
	m->piece_id = proto_view(BYTES_OF(t->piece.b));
	m->limit = limit;
	m->action = action;
	m->order_creation = proto_time_new(&n->call.scratch, now);
	m->order_expiration = proto_time_new(&n->call.scratch, now + 86400 * NS_PER_SEC);
	m->uplink_public_key = proto_view(BYTES_OF(t->public_key));
	m->encrypted_metadata_key_id = proto_view(bytes_str("keyid678"));
	m->encrypted_metadata = proto_view(bytes_str("what only the satellite can read"));
	network_sign(n, t);
	return t;
}

/* ---- requests ---- */

static void add_order(struct network *n, const struct request *r, struct buf *out)
{
	struct order order = { .serial = r->order_by->serial, .amount = r->order_amount };
	uint8_t wire[ORDER_WIRE_MAX];

	if (r->other_order_serial)
		order.serial.b[15] ^= 1;
	must(&n->call, order_sign(&n->call, &order, r->order_by->signer));
	if (r->bad_order_signature)
		order.signature[5] ^= 1;
	buf_add_field_bytes(out, 2, BYTES(wire, order_encode(&order, wire)));
}

static void add_done(struct network *n, const struct request *r, struct buf *out)
{
	Orders__PieceHash hash = ORDERS__PIECE_HASH__INIT;
	AUTO_BUF struct buf wire = BUF_INIT(4096);
	struct piece_id piece = r->done_by->piece;

	if (r->other_done_piece)
		piece.b[31] ^= 1;
	hash.piece_id = proto_view(BYTES_OF(piece.b));
	hash.hash = proto_view(BYTES(r->done_hash, HASH_BYTES));
	hash.piece_size = r->done_size;
	hash.hash_algorithm = (Orders__PieceHashAlgorithm)r->done_algorithm;
	hash.timestamp = r->done_by->limit.order_creation;
	must(&n->call,
	     piece_hash_sign_uplink(&n->call, &n->call.scratch, &hash, r->done_by->signer));
	if (r->bad_done_signature)
		hash.signature.data[5] ^= 1;
	must(&n->call, proto_encode(&n->call, &hash.base, &wire));
	buf_add_field_bytes(out, 4, buf_bytes(&wire));
}

void request_encode(struct network *n, const struct request *r, struct buf *out)
{
	if (r->limit) {
		AUTO_BUF struct buf wire = BUF_INIT(64 << 10);
		must(&n->call, proto_encode(&n->call, &r->limit->limit.base, &wire));
		buf_add_field_bytes(out, 1, buf_bytes(&wire));
	}
	if (r->order_by)
		add_order(n, r, out);
	if (r->has_chunk) {
		AUTO_BUF struct buf chunk = BUF_INIT(2 << 20);
		if (r->offset)
			buf_add_field_varint(&chunk, 1, (uint64_t)r->offset);
		if (r->size)
			buf_add_field_varint(&chunk, 2, (uint64_t)r->size);
		if (r->data.len)
			buf_add_field_bytes(&chunk, 2, r->data);
		buf_add_field_bytes(out, 3, buf_bytes(&chunk));
	}
	if (r->done)
		add_done(n, r, out);
	if (r->maximum_chunk_size)
		buf_add_field_varint(out, 4, (uint64_t)r->maximum_chunk_size);
	if (r->algorithm)
		buf_add_field_varint(out, 5, (uint64_t)r->algorithm);
	assert_false(out->failed);
}

void talk_begin_noise(struct network *n, struct talk *t, const char *method)
{
	*t = (struct talk){ 0 };
	network_wait_check_in(n, 1);
	call_init(&t->call);
	os_call_limit(&t->call, TALK_SECONDS * NS_PER_SEC);
	must(&t->call, rpc_dial_noise(&t->call, n->uplink_tls, node_address(n->node), &n->node_id,
				      &n->noise, &t->conn));
	must(&t->call, rpc_open(&t->call, t->conn, method, &t->stream));
}

void talk_begin(struct network *n, struct talk *t, const char *method)
{
	if (NETWORK_NOISE && (strcmp(method, "/piecestore.Piecestore/Upload") == 0 ||
			      strcmp(method, "/piecestore.Piecestore/Download") == 0)) {
		talk_begin_noise(n, t, method);
		return;
	}
	*t = (struct talk){ 0 };
	call_init(&t->call);
	os_call_limit(&t->call, TALK_SECONDS * NS_PER_SEC);
	must(&t->call,
	     rpc_dial(&t->call, n->uplink_tls, node_address(n->node), &n->node_id, &t->conn));
	must(&t->call, rpc_open(&t->call, t->conn, method, &t->stream));
}

void talk_end(struct talk *t)
{
	rpc_stream_end(t->stream);
	rpc_conn_close(t->conn);
	call_fini(&t->call);
}

enum err talk_send(struct network *n, struct talk *t, const struct request *r)
{
	AUTO_BUF struct buf wire = BUF_INIT(4 << 20);

	request_encode(n, r, &wire);
	struct bytes part = buf_bytes(&wire);
	return rpc_send(&t->call, t->stream, &part, 1);
}

static void hash_of(int algorithm, struct bytes data, uint8_t out[HASH_BYTES])
{
	if (algorithm == HASH_BLAKE3)
		hash_blake3(data, out);
	else
		hash_sha256(data, out);
}

/* The answer must be the node's signed word for exactly this piece. */
static void check_answer(struct network *n, const struct ticket *t, struct bytes data,
			 const uint8_t hash[HASH_BYTES], struct bytes answer)
{
	struct wire w = wire_read(answer);
	struct wire_field f;
	struct bytes done = BYTES_NONE, chain_der = BYTES_NONE;
	Orders__PieceHash *h = NULL;
	struct cert_chain *chain = NULL;

	while (wire_field(&w, &f)) {
		if (f.number == 1)
			done = f.bytes;
		if (f.number == 2)
			chain_der = f.bytes;
	}
	assert_true(wire_ok(&w));
	must(&n->call,
	     proto_decode(&n->call, &n->call.scratch, &orders__piece_hash__descriptor, done, &h));
	must(&n->call, cert_chain_from_der(&n->call, chain_der, &chain));
	must(&n->call, cert_chain_check_dialed(&n->call, chain, &n->node_id));
	must(&n->call, piece_hash_verify_node(&n->call, h, cert_chain_leaf_key(chain)));
	cert_chain_free(chain);
	assert_int_equal(h->piece_size, (int64_t)data.len);
	assert_true(bytes_equal(proto_bytes(h->hash), BYTES(hash, HASH_BYTES)));
	assert_true(bytes_equal(proto_bytes(h->piece_id), BYTES_OF(t->piece.b)));
}

enum err network_upload(struct network *n, const struct ticket *t, struct bytes data, int algorithm,
			uint64_t *ret_status)
{
	enum { CHUNK = 65536 };
	struct talk talk;
	uint8_t hash[HASH_BYTES];
	struct bytes answer;
	enum err e;

	talk_begin(n, &talk, "/piecestore.Piecestore/Upload");
	hash_of(algorithm, data, hash);
	e = talk_send(n, &talk, &(struct request){ .limit = t, .algorithm = algorithm });
	int64_t signed_amount = 0;
	for (size_t at = 0; !e && at < data.len; at += CHUNK) {
		size_t len = MIN(data.len - at, (size_t)CHUNK);
		struct request r = { .has_chunk = true,
				     .offset = (int64_t)at,
				     .data = BYTES(data.data + at, len) };
		if ((int64_t)(at + len) > signed_amount) {
			signed_amount = MIN((int64_t)(at + ORDER_STEP_FIRST), t->limit.limit);
			r.order_by = t;
			r.order_amount = signed_amount;
		}
		e = talk_send(n, &talk, &r);
	}
	if (!e)
		e = talk_send(n, &talk,
			      &(struct request){ .done = true,
						 .done_hash = hash,
						 .done_by = t,
						 .done_size = (int64_t)data.len,
						 .done_algorithm = algorithm });
	if (!e)
		e = rpc_close_send(&talk.call, talk.stream);
	enum err r = rpc_recv(&talk.call, talk.stream, &answer);
	e = r ? r : e;
	if (!e)
		check_answer(n, t, data, hash, answer);
	*ret_status = talk.call.status;
	talk_end(&talk);
	return e;
}

enum err network_download(struct network *n, const struct ticket *t, int64_t offset, int64_t size,
			  struct buf *ret, uint64_t *ret_status)
{
	struct talk talk;
	struct bytes answer;

	talk_begin(n, &talk, "/piecestore.Piecestore/Download");
	enum err e = talk_send(n, &talk,
			       &(struct request){ .limit = t,
						  .has_chunk = true,
						  .offset = offset,
						  .size = size,
						  .order_by = size > 0 ? t : NULL,
						  .order_amount = size });
	while (!e && (e = rpc_recv(&talk.call, talk.stream, &answer)) == OK) {
		struct wire w = wire_read(answer);
		struct wire_field f, g;
		while (wire_field(&w, &f)) {
			if (f.number != 1)
				continue;
			struct wire chunk = wire_read(f.bytes);
			int64_t at = 0;
			while (wire_field(&chunk, &g)) {
				if (g.number == 1)
					at = (int64_t)g.value;
				if (g.number == 2) {
					assert_int_equal(at, offset + (int64_t)ret->len);
					buf_add_bytes(ret, g.bytes);
				}
			}
		}
		assert_true(wire_ok(&w));
	}
	*ret_status = talk.call.status;
	if (e == ERR_EOF)
		e = OK;
	talk_end(&talk);
	return e;
}
