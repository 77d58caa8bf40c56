/*
 * Audits against nodes that are honest, wrong, empty, slow, broken or away, over real connections:
 * `test_audit sqlite|postgres`.
 */
#include <math.h>

#include "os/cancel.h"
#include "proto/contact.pb-c.h"
#include "proto/piecestore2.pb-c.h"
#include "satellite/amnesty.h"
#include "satellite/audit.h"
#include "satellite/piece_origin.h"
#include "satellite/store_metainfo.h"
#include "satellite/test/metainfo_requests.h"

enum { SHARE = 256, PIECES = 5, SEGMENT_BYTES = 20000 };

/* Every share of a segment of zeros is zero, so nodes need not have been uploaded to. */
enum plan { HONEST, WRONG, MISSING, STALL, BROKEN, DAMAGED, AWAY };

struct fake {
	struct world *w;
	int node;
	_Atomic enum plan plan;
	_Atomic int asked;
	struct net_tls *tls;
	struct rpc_server *server;
	struct order_batch put; /* its piece came by such limits */
	struct ed25519_private key;
};

struct stage {
	struct world *w;
	struct fake nodes[NODES];
	struct audit_ref ref;
	struct segment segment;
};

/* ---- nodes ---- */

static enum err add_origin(struct call *call, struct fake *f, const Orders__OrderLimit *asked,
			   Piecestore__PieceDownloadResponse *resp)
{
	struct arena *a = &call->scratch;
	struct node_place place = { .id = *identity_node_id(f->w->nodes[f->node]),
				    .address = "127.0.0.1:1",
				    .known = true };
	Metainfo__AddressedOrderLimit *m = NULL;
	struct ed25519_signer *signer = NULL;
	Orders__PieceHash *hash = arena_alloc(a, sizeof(*hash));
	uint32_t number = 0;

	orders__piece_hash__init(hash);
	/* Which of its numbers the limit is for. */
	for (; number < 256; number++) {
		struct piece_id id;
		piece_id_derive(&f->put.root, &place.id, number, &id);
		if (bytes_equal(proto_bytes(asked->piece_id), BYTES_OF(id.b)))
			break;
	}
	TRY_PLAIN(order_batch_limit(call, &f->w->sat, a, &f->put, &place, number, &m));
	uint8_t *sum = arena_alloc(a, HASH_BYTES);
	uint8_t *zeros = arena_alloc(a, (size_t)f->put.limit);
	hash_sha256(BYTES(zeros, (size_t)f->put.limit), sum);
	hash->piece_id = asked->piece_id;
	hash->hash = proto_view(BYTES(sum, HASH_BYTES));
	hash->piece_size = f->put.limit;
	hash->timestamp = proto_time_new(a, os_clock_unix_ns());
	TRY_PLAIN(ed25519_signer_new(call, &f->key, &signer));
	enum err e = piece_hash_sign_uplink(call, a, hash, signer);
	ed25519_signer_free(signer);
	resp->hash = hash;
	resp->limit = m->limit;
	return e;
}

static enum err download(struct call *call, void *service, struct rpc_stream *stream)
{
	struct fake *f = service;
	Piecestore__PieceDownloadRequest *req = NULL;
	Piecestore__PieceDownloadResponse resp = PIECESTORE__PIECE_DOWNLOAD_RESPONSE__INIT;
	Piecestore__PieceDownloadResponse__Chunk chunk =
		PIECESTORE__PIECE_DOWNLOAD_RESPONSE__CHUNK__INIT;
	struct bytes rest;

	f->asked++;
	TRY_PLAIN(rpc_recv_message(call, stream, &call->scratch,
				   &piecestore__piece_download_request__descriptor, &req));
	if (f->plan == MISSING)
		return call_fail(call, ERR_NOT_FOUND, "file does not exist");
	if (f->plan == DAMAGED)
		return call_fail(call, ERR_DATA_LOSS, "the disk damaged this piece");
	if (f->plan == BROKEN)
		return call_fail(call, ERR_INTERNAL, "disk trouble");
	while (f->plan == STALL) {
		enum err e = rpc_recv(call, stream, &rest);
		if (e)
			return e;
	}
	chunk.offset = req->chunk->offset;
	uint8_t *data = arena_alloc(&call->scratch, (size_t)req->chunk->chunk_size);
	if (f->plan == WRONG)
		data[100] = 1;
	chunk.data = proto_view(BYTES(data, (size_t)req->chunk->chunk_size));
	resp.chunk = &chunk;
	if (req->limit->action == ORDERS__PIECE_ACTION__GET_REPAIR)
		TRY_PLAIN(add_origin(call, f, req->limit, &resp));
	return rpc_send_message(call, stream, &resp.base);
}

static const struct rpc_method node_methods[] = {
	{ "/piecestore.Piecestore/Download", download },
};

static void start_node(struct stage *s, int i)
{
	struct world *w = s->w;
	struct fake *f = &s->nodes[i];

	f->w = w;
	f->node = i;
	must(w, net_tls_new(&w->call, w->nodes[i], &f->tls));
	struct rpc_server_config config = {
		.tls = f->tls,
		.address = "127.0.0.1:0",
		.methods = node_methods,
		.methods_count = ARRAY_LEN(node_methods),
		.service = f,
	};
	must(w, rpc_server_start(&w->call, &config, &f->server));
	struct checkin in = {
		.id = *identity_node_id(w->nodes[i]),
		.address = rpc_server_address(f->server),
		.last_ip_port = rpc_server_address(f->server),
		.last_net = rpc_server_address(f->server),
		.version = "v1.100.0",
		.release = true,
		.chain = cert_chain_der(identity_chain(w->nodes[i])),
		.email = "",
		.wallet = "",
		.free_disk = INT64_C(1) << 40,
		.up = true,
		.now_unix_ns = os_clock_unix_ns(),
	};
	must(w, overlay_checkin(&w->call, &w->sat, &in));
}

static void stop_node(struct fake *f)
{
	rpc_server_stop(f->server, 0);
	net_tls_free(f->tls);
	f->server = NULL;
	f->tls = NULL;
}

/* ---- a segment on five of them ---- */

static enum err read_segment(struct call *call, struct db_tx *tx, void *arg)
{
	struct stage *s = arg;

	return store_segment_get(call, tx, &s->ref.stream, s->ref.position, &s->segment);
}

static void reload(struct stage *s)
{
	must(s->w, db_read(&s->w->call, s->w->sat.db, read_segment, s));
}

static size_t pieces_of(struct stage *s)
{
	struct piece list[PIECE_LIST_MAX];
	size_t count = 0;

	reload(s);
	must(s->w, piece_list_decode(&s->w->call, s->segment.pieces, list, &count));
	return count;
}

static void upload(struct stage *s)
{
	struct world *w = s->w;
	struct remote r = begin_remote(w, "key");
	Metainfo__CommitSegmentRequest *segment = commit_remote(
		w, r.segment->segment_id, r.segment->addressed_limits, PIECES, SEGMENT_BYTES);
	Metainfo__CommitObjectRequest *object = commit_request(w);

	object->stream_id = r.object->stream_id;
	Metainfo__BatchRequestItem *items[] = { batch_item(w, I_SEGMENT_COMMIT, segment),
						batch_item(w, I_COMMIT, object) };
	must(w, ask_batch(w, FORM_ZSTD, items, 2, NULL));
	must(w, store_audit_random(&w->call, w->sat.db, &s->ref));
	assert_int_equal(pieces_of(s), PIECES);
}

/* The node that holds the i-th piece of the list. */
static struct fake *holder(struct stage *s, size_t i)
{
	struct world *w = s->w;
	struct piece list[PIECE_LIST_MAX];
	struct node_id ids[PIECE_LIST_MAX];
	size_t count = 0;

	reload(s);
	must(w, piece_list_decode(&w->call, s->segment.pieces, list, &count));
	must(w, node_aliases_find(&w->call, w->sat.db, w->sat.metainfo->aliases, list, count, ids));
	assert_true(i < count);
	for (int n = 0; n < NODES; n++)
		if (node_id_equal(identity_node_id(w->nodes[n]), &ids[i]))
			return &s->nodes[n];
	fail_msg("nobody holds piece %zu", i);
	return NULL;
}

static int stage_setup(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));
	void *world = NULL;

	world_setup(&world);
	s->w = world;
	*state = s;
	/* Some time even where everything is slow; stalls take all of it. */
	s->w->sat.config.audit.timeout = 4 * NS_PER_SEC;
	for (int i = 0; i < NODES; i++)
		start_node(s, i);
	must(s->w, create_bucket(s->w, "bucket"));
	upload(s);
	for (int i = 0; i < NODES; i++) {
		struct order_batch put = { .action = ORDERS__PIECE_ACTION__PUT,
					   .root = s->segment.root };
		put.limit = (int64_t)scheme_piece_size(&s->segment.redundancy,
						       (uint64_t)s->segment.encrypted_size);
		must(s->w, order_batch_begin(&s->w->call, &s->w->sat, &put, &s->nodes[i].key));
		s->nodes[i].put = put;
	}
	return 0;
}

static int stage_teardown(void **state)
{
	struct stage *s = *state;
	void *world = s->w;

	for (int i = 0; i < NODES; i++)
		if (s->nodes[i].server)
			stop_node(&s->nodes[i]);
	world_teardown(&world);
	free(s);
	return 0;
}

static struct audit_report audit(struct stage *s)
{
	struct audit_report r;

	must(s->w, audit_segment(&s->w->call, &s->w->sat, &s->ref, &r));
	return r;
}

static enum audit_outcome outcome_of(struct stage *s, const struct audit_report *r,
				     const struct fake *f)
{
	for (size_t i = 0; i < r->count; i++)
		if (node_id_equal(&r->records[i].node, identity_node_id(s->w->nodes[f->node])))
			return r->records[i].outcome;
	return (enum audit_outcome)99;
}

static struct reputation standing(struct stage *s, const struct fake *f)
{
	struct reputation r;

	must(s->w, standing_get(&s->w->call, s->w->sat.db, &s->w->sat.config.reputation,
				identity_node_id(s->w->nodes[f->node]), &r));
	return r;
}

/* ---- outcomes ---- */

static void test_honest(void **state)
{
	struct stage *s = *state;
	struct audit_report r = audit(s);

	assert_int_equal(r.verdict, AUDIT_DONE);
	assert_int_equal(r.count, PIECES);
	for (size_t i = 0; i < r.count; i++)
		assert_int_equal(r.records[i].outcome, AUDIT_SUCCESS);
	assert_int_equal(standing(s, holder(s, 0)).success, 1);
	assert_int_equal(pieces_of(s), PIECES);
}

/* Two are enough, five are there: one wrong share is found, and told from the missing one. */
static void test_wrong_and_missing(void **state)
{
	struct stage *s = *state;
	struct fake *wrong = holder(s, 0), *missing = holder(s, 3);

	wrong->plan = WRONG;
	missing->plan = MISSING;
	struct audit_report r = audit(s);
	assert_int_equal(r.verdict, AUDIT_DONE);
	assert_int_equal(outcome_of(s, &r, wrong), AUDIT_FAILURE);
	assert_int_equal(outcome_of(s, &r, missing), AUDIT_FAILURE);
	assert_int_equal(outcome_of(s, &r, holder(s, 1)), AUDIT_SUCCESS);
	assert_true(standing(s, wrong).beta == 1);
	/* Both are off the list, so they pay once. */
	assert_int_equal(r.removed, 2);
	assert_int_equal(pieces_of(s), PIECES - 2);
	r = audit(s);
	assert_int_equal(r.count, 3);
	assert_int_equal(outcome_of(s, &r, wrong), 99);
	assert_int_equal(standing(s, wrong).total, 1);
}

static void test_broken_and_away(void **state)
{
	struct stage *s = *state;
	struct fake *broken = holder(s, 1), *away = holder(s, 2);

	broken->plan = BROKEN;
	stop_node(away);
	struct audit_report r = audit(s);
	assert_int_equal(outcome_of(s, &r, broken), AUDIT_UNKNOWN);
	assert_int_equal(outcome_of(s, &r, away), AUDIT_OFFLINE);
	assert_int_equal(r.removed, 0);
	assert_true(reputation_score(&(struct reputation){ .alpha = 1 }) == 1);
	struct reputation rep = standing(s, away);
	assert_true(rep.beta == 0 && rep.unknown_beta == 0);
	assert_int_equal(rep.windows[0].online, 0);
	rep = standing(s, broken);
	assert_true(rep.beta == 0 && rep.unknown_beta == 1);
}

/* Who says so himself loses the piece, and pays less. */
static void test_damaged(void **state)
{
	struct stage *s = *state;
	struct fake *damaged = holder(s, 1);

	damaged->plan = DAMAGED;
	struct audit_report r = audit(s);
	assert_int_equal(r.verdict, AUDIT_DONE);
	assert_int_equal(outcome_of(s, &r, damaged), AUDIT_DAMAGED);
	assert_int_equal(r.removed, 1);
	assert_int_equal(pieces_of(s), PIECES - 1);
	struct reputation rep = standing(s, damaged);
	assert_true(rep.beta == 0 && rep.unknown_beta == 1);
}

/* Nobody answers at all: that is our network, and nobody is blamed. */
static void test_all_away(void **state)
{
	struct stage *s = *state;

	for (int i = 0; i < NODES; i++)
		stop_node(&s->nodes[i]);
	struct audit_report r = audit(s);
	assert_int_equal(r.verdict, AUDIT_GONE);
	assert_int_equal(r.count, 0);
	assert_int_equal(standing(s, holder(s, 0)).total, 0);
}

static void test_too_few(void **state)
{
	struct stage *s = *state;

	for (size_t i = 0; i < 3; i++)
		holder(s, i)->plan = MISSING;
	holder(s, 3)->plan = BROKEN;
	struct audit_report r = audit(s);
	assert_int_equal(r.verdict, AUDIT_NOT_ENOUGH);
	assert_int_equal(r.count, 1);
	assert_int_equal(r.records[0].outcome, AUDIT_UNKNOWN);
	assert_int_equal(pieces_of(s), PIECES);
}

/* ---- contained ---- */

static enum err reverify(struct stage *s, struct reverify_report *ret)
{
	s->w->sat.config.audit.reverify_interval = 0;
	return audit_reverify_next(&s->w->call, &s->w->sat, ret);
}

static size_t contained(struct stage *s)
{
	struct reverify_job *list = NULL;
	size_t count = 0;

	must(s->w, store_reverify_list(&s->w->call, s->w->sat.db, &s->w->call.scratch, NULL, &list,
				       &count));
	return count;
}

static void test_contained_and_proven(void **state)
{
	struct stage *s = *state;
	struct fake *slow = holder(s, 2);
	struct reverify_report again;

	slow->plan = STALL;
	struct audit_report r = audit(s);
	assert_int_equal(r.verdict, AUDIT_DONE);
	assert_int_equal(outcome_of(s, &r, slow), AUDIT_CONTAINED);
	assert_int_equal(standing(s, slow).total, 0);
	assert_int_equal(contained(s), 1);
	/* While it owes an answer it is asked for nothing else. */
	int asked = slow->asked;
	r = audit(s);
	assert_int_equal(r.count, PIECES - 1);
	assert_int_equal(slow->asked, asked);
	slow->plan = HONEST;
	must(s->w, reverify(s, &again));
	assert_true(again.counted && !again.stays);
	assert_string_equal(again.record.detail, "");
	assert_int_equal(again.record.outcome, AUDIT_SUCCESS);
	assert_int_equal(contained(s), 0);
	assert_int_equal(reverify(s, &again), ERR_NOT_FOUND);
	assert_int_equal(pieces_of(s), PIECES);
}

/* More wrong ones than can be told from right ones: who says "not found" is off the list, the
 * others have to prove their pieces. */
static void test_uncertain(void **state)
{
	struct stage *s = *state;
	struct fake *wrong[] = { holder(s, 0), holder(s, 1) }, *missing = holder(s, 2);
	struct fake *honest[] = { holder(s, 3), holder(s, 4) };
	struct reverify_report again;

	wrong[0]->plan = wrong[1]->plan = WRONG;
	missing->plan = MISSING;
	struct audit_report r = audit(s);
	assert_int_equal(r.verdict, AUDIT_UNCERTAIN);
	assert_int_equal(r.count, 1);
	assert_int_equal(r.records[0].outcome, AUDIT_FAILURE);
	assert_int_equal(r.removed, 1);
	assert_int_equal(r.suspects, 4);
	assert_int_equal(pieces_of(s), PIECES - 1);
	assert_int_equal(standing(s, wrong[0]).total, 0);
	assert_int_equal(standing(s, honest[0]).total, 0);
	/* Nobody is kept from other audits meanwhile, and another of the same changes nothing. */
	int asked = honest[0]->asked;
	assert_int_equal(audit(s).verdict, AUDIT_UNCERTAIN);
	assert_int_equal(honest[0]->asked, asked + 1);
	assert_int_equal(contained(s), 4);
	/* At once, however long it takes until contained ones are asked again. */
	for (int i = 0; i < 4; i++)
		must(s->w, audit_reverify_next(&s->w->call, &s->w->sat, &again));
	assert_int_equal(contained(s), 0);
	assert_int_equal(pieces_of(s), 2);
	for (int i = 0; i < 2; i++) {
		assert_true(standing(s, wrong[i]).beta == 1);
		assert_int_equal(standing(s, honest[i]).success, 1);
		assert_true(standing(s, honest[i]).beta == 0);
	}
	r = audit(s);
	assert_int_equal(r.verdict, AUDIT_DONE);
	assert_int_equal(r.count, 2);
}

/* Wrong to the audit, right when asked alone: the share is remembered. */
static void test_uncertain_by_liars(void **state)
{
	struct stage *s = *state;
	struct fake *liars[] = { holder(s, 0), holder(s, 1) };
	struct reverify_report again;

	liars[0]->plan = liars[1]->plan = WRONG;
	holder(s, 2)->plan = MISSING;
	assert_int_equal(audit(s).verdict, AUDIT_UNCERTAIN);
	liars[0]->plan = liars[1]->plan = HONEST;
	for (int i = 0; i < 4; i++)
		must(s->w, audit_reverify_next(&s->w->call, &s->w->sat, &again));
	assert_int_equal(pieces_of(s), 2);
	assert_true(standing(s, liars[0]).beta == 1 && standing(s, liars[1]).beta == 1);
	assert_int_equal(audit(s).verdict, AUDIT_DONE);
}

static void contain(struct stage *s, struct fake *f)
{
	struct piece list[PIECE_LIST_MAX];
	size_t count = 0;

	reload(s);
	must(s->w, piece_list_decode(&s->w->call, s->segment.pieces, list, &count));
	for (size_t i = 0; i < count; i++) {
		if (holder(s, i) != f)
			continue;
		struct reverify_job j = { .node = *identity_node_id(s->w->nodes[f->node]),
					  .ref = s->ref,
					  .number = list[i].number };
		must(s->w, store_reverify_put(&s->w->call, s->w->sat.db, &j, 1,
					      os_clock_unix_ns() - NS_PER_SEC));
	}
}

static void test_contained_and_lost(void **state)
{
	static const enum plan plans[] = { WRONG, MISSING };
	struct stage *s = *state;
	struct reverify_report again;

	for (size_t i = 0; i < ARRAY_LEN(plans); i++) {
		struct fake *f = holder(s, 1);
		contain(s, f);
		f->plan = plans[i];
		must(s->w, reverify(s, &again));
		assert_int_equal(again.record.outcome, AUDIT_FAILURE);
		assert_false(again.stays);
		assert_int_equal(pieces_of(s), PIECES - 1 - i);
		assert_int_equal(contained(s), 0);
	}
}

/* Slow is not lost: after three attempts it counts as an error that says nothing. */
static void test_contained_and_slow(void **state)
{
	struct stage *s = *state;
	struct fake *slow = holder(s, 1);
	struct reverify_report again;

	s->w->sat.config.audit.timeout = NS_PER_SEC / 2;
	contain(s, slow);
	slow->plan = STALL;
	for (int i = 1; i < AUDIT_REVERIFY_MAX; i++) {
		must(s->w, reverify(s, &again));
		assert_true(again.stays);
		assert_int_equal(standing(s, slow).total, 0);
	}
	must(s->w, reverify(s, &again));
	assert_int_equal(again.record.outcome, AUDIT_UNKNOWN);
	assert_int_equal(contained(s), 0);
	assert_int_equal(pieces_of(s), PIECES);
	/* Storj's way. */
	s->w->sat.config.reputation.slow_fails = true;
	contain(s, slow);
	for (int i = 0; i < AUDIT_REVERIFY_MAX; i++)
		must(s->w, reverify(s, &again));
	assert_int_equal(again.record.outcome, AUDIT_FAILURE);
	assert_int_equal(pieces_of(s), PIECES - 1);
}

static void test_contained_away_or_needless(void **state)
{
	struct stage *s = *state;
	struct fake *away = holder(s, 1);
	struct reverify_report again;

	contain(s, away);
	stop_node(away);
	must(s->w, reverify(s, &again));
	assert_int_equal(again.record.outcome, AUDIT_OFFLINE);
	assert_true(again.stays && again.counted);
	must(s->w, delete_object(s->w, "bucket", "key", NULL));
	must(s->w, reverify(s, &again));
	assert_false(again.stays || again.counted);
	assert_int_equal(contained(s), 0);
	/* And there is nothing to audit any more. */
	assert_int_equal(audit(s).verdict, AUDIT_GONE);
}

static void test_contained_and_damaged(void **state)
{
	struct stage *s = *state;
	struct fake *f = holder(s, 1);
	struct reverify_report again;

	contain(s, f);
	f->plan = DAMAGED;
	must(s->w, reverify(s, &again));
	assert_true(again.counted && !again.stays);
	assert_int_equal(again.record.outcome, AUDIT_DAMAGED);
	assert_int_equal(pieces_of(s), PIECES - 1);
	assert_true(standing(s, f).beta == 0);
}

/* ---- amnesty ---- */

static struct piece_id piece_of(struct stage *s, const struct fake *f, size_t i)
{
	struct piece list[PIECE_LIST_MAX];
	struct piece_id id;
	size_t count = 0;

	must(s->w, piece_list_decode(&s->w->call, s->segment.pieces, list, &count));
	piece_id_derive(&s->segment.root, identity_node_id(s->w->nodes[f->node]), list[i].number,
			&id);
	return id;
}

/* By the call that nodes make. */
static enum err confess(struct stage *s, const struct fake *f, const struct piece_id *list,
			size_t count, size_t id_len)
{
	struct world *w = s->w;
	Contact__AmnestyReportRequest req = CONTACT__AMNESTY_REPORT_REQUEST__INIT;
	Contact__AmnestyReportResponse *reply = NULL;
	struct rpc_server_config config = {
		.tls = w->sat.tls,
		.address = "127.0.0.1:0",
		.methods = contact_methods,
		.methods_count = contact_methods_count,
		.service = &w->sat,
	};
	struct rpc_server *server = NULL;
	struct rpc_conn *conn = NULL;

	must(w, rpc_server_start(&w->call, &config, &server));
	must(w, rpc_dial(&w->call, f->tls, rpc_server_address(server), &w->sat.id, &conn));
	req.lost_pieces = arena_array(&w->call.scratch, count + 1, sizeof(*req.lost_pieces));
	for (size_t i = 0; i < count; i++) {
		Contact__LostPiece *p = arena_alloc(&w->call.scratch, sizeof(*p));
		contact__lost_piece__init(p);
		p->piece_id = proto_view(BYTES(list[i].b, id_len));
		req.lost_pieces[req.n_lost_pieces++] = p;
	}
	enum err e = rpc_invoke(&w->call, conn, "/contact.Node/AmnestyReport", &req.base,
				&w->call.scratch, &contact__amnesty_report_response__descriptor,
				&reply);
	rpc_conn_close(conn);
	rpc_server_stop(server, NS_PER_SEC);
	return e;
}

static size_t confessed(struct stage *s)
{
	struct lost_piece *list = NULL;
	size_t count = 0;

	must(s->w, store_lost_list(&s->w->call, s->w->sat.db, &s->w->call.scratch, AMNESTY_PASS_MAX,
				   &list, &count));
	return count;
}

static void pass(struct stage *s)
{
	must(s->w, segment_loop_new(&s->w->call, &s->w->sat, &s->w->sat.loop));
	must(s->w, amnesty_open(&s->w->call, &s->w->sat));
	must(s->w, segment_loop_run(&s->w->call, s->w->sat.loop, 100, NULL));
	amnesty_close(&s->w->sat);
	segment_loop_free(s->w->sat.loop);
	s->w->sat.loop = NULL;
}

/* What a node confesses leaves the list with the next pass, what it says of others does not. */
static void test_amnesty(void **state)
{
	struct stage *s = *state;
	struct fake *f = holder(s, 1), *other = holder(s, 2);
	struct piece_id mine = piece_of(s, f, 1), theirs = piece_of(s, other, 2);
	struct piece_id list[] = { mine, theirs, { { 1 } } };

	must(s->w, confess(s, f, list, ARRAY_LEN(list), PIECE_ID_BYTES));
	must(s->w, confess(s, f, list, 1, PIECE_ID_BYTES));
	assert_int_equal(confessed(s), 3);
	assert_int_equal(pieces_of(s), PIECES);
	pass(s);
	assert_int_equal(confessed(s), 0);
	assert_int_equal(pieces_of(s), PIECES - 1);
	struct audit_report r = audit(s);
	assert_int_equal(outcome_of(s, &r, f), 99);
	assert_int_equal(outcome_of(s, &r, other), AUDIT_SUCCESS);
	struct reputation rep = standing(s, f);
	assert_true(rep.beta == 0 && rep.unknown_beta == 1 && rep.total == 1);
	assert_int_equal(standing(s, other).total, 1);
	/* Said again: it is on no list any more. */
	must(s->w, confess(s, f, &mine, 1, PIECE_ID_BYTES));
	pass(s);
	assert_int_equal(confessed(s), 0);
	assert_int_equal(standing(s, f).total, 1);
}

/* Not so many that the segment could not be read, and not without bounds. */
static void test_amnesty_bounds(void **state)
{
	struct stage *s = *state;
	struct piece_id *many = calloc(AMNESTY_REPORT_MAX + 1, sizeof(*many));
	struct fake *f[PIECES];

	for (size_t i = 0; i < PIECES; i++)
		f[i] = holder(s, i);
	for (size_t i = 0; i < PIECES; i++) {
		struct piece_id id = piece_of(s, f[i], i);
		must(s->w, confess(s, f[i], &id, 1, PIECE_ID_BYTES));
	}
	pass(s);
	assert_int_equal(pieces_of(s), 2);
	assert_int_equal(confessed(s), 0);

	for (size_t i = 0; i < AMNESTY_REPORT_MAX + 1; i++)
		put_be32(many[i].b, (uint32_t)i);
	assert_int_equal(confess(s, f[0], many, AMNESTY_REPORT_MAX + 1, PIECE_ID_BYTES),
			 ERR_INVALID);
	assert_int_equal(confess(s, f[0], many, 1, PIECE_ID_BYTES - 1), ERR_INVALID);
	call_clear_error(&s->w->call);
	assert_int_equal(confessed(s), 0);
	for (int i = 0; i < AMNESTY_NODE_MAX / AMNESTY_REPORT_MAX; i++) {
		for (size_t j = 0; j < AMNESTY_REPORT_MAX; j++)
			put_be32(many[j].b + 8, (uint32_t)i);
		must(s->w, amnesty_take(&s->w->call, &s->w->sat,
					identity_node_id(s->w->nodes[f[0]->node]), many,
					AMNESTY_REPORT_MAX));
	}
	assert_int_equal(confess(s, f[0], many, 1, PIECE_ID_BYTES), ERR_EXHAUSTED);
	call_clear_error(&s->w->call);
	must(s->w, confess(s, f[1], many, 1, PIECE_ID_BYTES));
	assert_int_equal(confessed(s), AMNESTY_NODE_MAX + 1);
	free(many);
}

/* ---- queue and drawing ---- */

static void test_queue(void **state)
{
	struct stage *s = *state;
	struct world *w = s->w;
	struct audit_ref list[3] = { { .position = 1 }, { .position = 2 }, { .position = 3 } }, got;
	struct audit_report r;
	int64_t count = 0;

	must(w, store_audit_push(&w->call, w->sat.db, list, 2, 100));
	must(w, store_audit_push(&w->call, w->sat.db, &list[2], 1, 50));
	must(w, store_audit_count(&w->call, w->sat.db, &count));
	assert_int_equal(count, 3);
	must(w, store_audit_take(&w->call, w->sat.db, &got));
	assert_int_equal(got.position, 3);
	must(w, store_audit_take(&w->call, w->sat.db, &got));
	assert_int_equal(got.position, 1);
	/* A segment that is gone by now. */
	must(w, audit_next(&w->call, &w->sat, &r));
	assert_int_equal(r.verdict, AUDIT_GONE);
	assert_int_equal(audit_next(&w->call, &w->sat, &r), ERR_NOT_FOUND);
	assert_int_equal(store_audit_take(&w->call, w->sat.db, &got), ERR_NOT_FOUND);
}

static void test_remove_only_what_is_as_it_was(void **state)
{
	struct stage *s = *state;
	struct world *w = s->w;
	struct bytes old = s->segment.pieces;
	uint32_t number = 0;
	struct piece list[PIECE_LIST_MAX];
	size_t count = 0;

	must(w, piece_list_decode(&w->call, old, list, &count));
	number = list[2].number;
	must(w, store_segment_remove_pieces(&w->call, w->sat.db, &s->ref.stream, s->ref.position,
					    old, &number, 1));
	assert_int_equal(pieces_of(s), PIECES - 1);
	assert_int_equal(s->segment.repaired_ns, 0);
	assert_int_equal(store_segment_remove_pieces(&w->call, w->sat.db, &s->ref.stream,
						     s->ref.position, old, &number, 1),
			 ERR_ABORTED);
}

/* Of 40 segments with one of 40 times the size of another: how often each is drawn. */
static void test_sampler(void **state)
{
	enum { SEGMENTS = 40, ROUNDS = 4000 };
	AUTO_CALL struct call call = CALL_INIT;
	struct audit_sampler *s = audit_sampler_new();
	const struct piece pieces[] = { { 0, 7 }, { 1, 300 } };
	size_t drawn[SEGMENTS] = { 0 }, total = 0;

	call_init(&call);
	for (int round = 0; round < ROUNDS; round++) {
		struct audit_ref *list = NULL;
		size_t count = 0;
		audit_sampler_reset(s);
		for (int i = 0; i < SEGMENTS; i++) {
			struct audit_ref ref = { .position = i };
			assert_true(audit_sampler_add(s, &ref, i == 17 ? 4000 : 100, pieces,
						      round % 2 ? 1 : 2));
		}
		assert_int_equal(audit_sampler_take(&call, s, &list, &count), OK);
		assert_true(count >= AUDIT_SLOTS && count <= 2 * AUDIT_SLOTS);
		if (round % 2 == 0)
			continue;
		assert_int_equal(count, AUDIT_SLOTS);
		for (size_t i = 0; i < count; i++)
			drawn[list[i].position]++;
		total += count;
		arena_reset(&call.scratch);
	}
	audit_sampler_free(s);
	assert_int_equal(total, ROUNDS / 2 * AUDIT_SLOTS);
	/* The big one: misses all three with (39/79)(38/78)(37/77) = 0.1156 of the weight. */
	double share = (double)drawn[17] / (ROUNDS / 2);
	assert_true(fabs(share - 0.884) < 0.04);
	/* The others share what is left evenly: (3 - 0.884) / 39 = 0.0543 each. */
	for (int i = 0; i < SEGMENTS; i++)
		if (i != 17)
			assert_true(fabs((double)drawn[i] / (ROUNDS / 2) - 0.0543) < 0.03);
}

int main(int argc, char **argv)
{
#define STAGE(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
	const struct CMUnitTest tests[] = {
		STAGE(test_honest),
		STAGE(test_wrong_and_missing),
		STAGE(test_broken_and_away),
		STAGE(test_damaged),
		STAGE(test_all_away),
		STAGE(test_too_few),
		STAGE(test_contained_and_proven),
		STAGE(test_uncertain),
		STAGE(test_uncertain_by_liars),
		STAGE(test_contained_and_lost),
		STAGE(test_contained_and_slow),
		STAGE(test_contained_away_or_needless),
		STAGE(test_contained_and_damaged),
		STAGE(test_amnesty),
		STAGE(test_amnesty_bounds),
		STAGE(test_queue),
		STAGE(test_remove_only_what_is_as_it_was),
		cmocka_unit_test(test_sampler),
	};

	if (argc > 1)
		world_kind = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
