/*
 * One node under load: a satellite that nodes check in with, and uplinks that store and fetch
 * pieces straight at a node, with limits that the satellite has signed.  Reads commands from
 * standard input and answers each with one line; nodes announce themselves in between:
 *
 *   satellite URL                              first: what nodes must trust
 *   node NUMBER ID ADDRESS                     a node has checked in, and answered a ping
 *   put NUMBER SIZE FIRST COUNT CLIENTS WAY    -> done SECONDS CPU_SECONDS | failed TEXT
 *   get NUMBER SIZE FIRST COUNT CLIENTS WAY    -> the same; what comes is compared
 *
 * WAY is tls or noise.  Pieces are numbered; a get's were put before, with the same SIZE.  Limits
 * and keys are made before the clock starts: they are the satellite's work.  CPU is this process's.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "identity/noise_attestation.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/process.h"
#include "os/random.h"
#include "os/thread.h"
#include "proto/contact.pb-c.h"
#include "transfer/piece_download.h"
#include "transfer/piece_upload.h"

enum {
	NODES_MAX = 16,
	CLIENTS_MAX = 256,
	COUNT_MAX = 1 << 20,
	SIZE_MAX_BYTES = 64 << 20,
	ADDRESS_MAX = 256,
	SHIFTS = 61, /* so many neighbours differ */
	SHIFT_BYTES = 64,
	STALL_SECONDS = 60,
	DAY_SECONDS = 86400,
};

struct node {
	struct node_id id;
	char address[ADDRESS_MAX];
	struct noise_peer noise;
	int32_t debounce_limit;
};

struct load {
	struct identity *satellite_id, *uplink_id;
	struct net_tls *satellite_tls, *uplink_tls;
	struct rpc_server *satellite;
	uint8_t run[8]; /* in all serials and piece IDs of this run */
	_Atomic uint64_t serials;
	struct os_mutex lock; /* guards what follows, and lines of output */
	struct node nodes[NODES_MAX];
	unsigned nodes_count;
};

/* What the satellite gave an uplink for one piece. */
struct ticket {
	Orders__OrderLimit limit;
	struct addressed_limit addressed;
	uint8_t serial[SERIAL_BYTES], piece[PIECE_ID_BYTES], public_key[ED25519_PUBLIC_BYTES];
	struct ed25519_private key;
	struct ed25519_signer *signer;
};

/* One command. */
struct job {
	struct load *l;
	struct node node;
	struct fanout *fanout;
	struct ticket *tickets;
	uint8_t *data;
	unsigned long long size;
	unsigned first, count;
	bool put;
	_Atomic unsigned next;
	atomic_bool failed;
	char text[512]; /* of the first failure */
};

static void must(struct call *call, enum err e)
{
	if (!e)
		return;
	fprintf(stderr, "node_load: %s\n", call_error(call, e));
	exit(1);
}

/* ---- the satellite ---- */

static enum err handle_get_time(struct call *call, void *service, struct rpc_stream *stream)
{
	Contact__GetTimeResponse reply = CONTACT__GET_TIME_RESPONSE__INIT;
	Contact__GetTimeRequest *request;

	(void)service;
	TRY_PLAIN(rpc_request(call, stream, &call->scratch, &contact__get_time_request__descriptor,
			      &request));
	reply.timestamp = proto_time_new(&call->scratch, os_clock_unix_ns());
	return rpc_send_message(call, stream, &reply.base);
}

static enum err ping(struct call *call, struct load *l, const struct node *n)
{
	Contact__ContactPingRequest request = CONTACT__CONTACT_PING_REQUEST__INIT;
	Contact__ContactPingResponse *reply;
	struct rpc_conn *conn = NULL;

	TRY_PLAIN(rpc_dial(call, l->satellite_tls, n->address, &n->id, &conn));
	enum err e = rpc_invoke(call, conn, "/contact.Contact/PingNode", &request.base,
				&call->scratch, &contact__contact_ping_response__descriptor,
				&reply);
	rpc_conn_close(conn);
	return e;
}

/* A node that is known gets its new address. */
static void keep_node(struct load *l, const struct node *n)
{
	char id[NODE_ID_TEXT_MAX];
	unsigned i = 0;

	OS_LOCKED(&l->lock);
	while (i < l->nodes_count && !node_id_equal(&l->nodes[i].id, &n->id))
		i++;
	if (i == NODES_MAX)
		return;
	l->nodes[i] = *n;
	l->nodes_count = MAX(l->nodes_count, i + 1);
	node_id_text(&n->id, id);
	printf("node %u %s %s\n", i, id, n->address);
	fflush(stdout);
}

static enum err handle_check_in(struct call *call, void *service, struct rpc_stream *stream)
{
	Contact__CheckInResponse reply = CONTACT__CHECK_IN_RESPONSE__INIT;
	Contact__HashstoreSettings hashstore = CONTACT__HASHSTORE_SETTINGS__INIT;
	Contact__CheckInRequest *request;
	struct node n = { .noise = { .suite = NOISE_UNSET } };
	struct load *l = service;

	TRY_PLAIN(rpc_request(call, stream, &call->scratch, &contact__check_in_request__descriptor,
			      &request));
	TRY_PLAIN(net_peer_id(call, rpc_stream_net(stream), &n.id));
	snprintf(n.address, sizeof(n.address), "%s", request->address);
	n.debounce_limit = request->debounce_limit;
	if (request->noise_key_attestation) {
		TRY_PLAIN(noise_attestation_verify(call, request->noise_key_attestation, &n.id));
		n.noise = noise_peer_from(
			request->noise_key_attestation->noise_proto,
			proto_bytes(request->noise_key_attestation->noise_public_key));
	}
	TRY_PLAIN(ping(call, l, &n));
	reply.ping_node_success = true;
	/* As Storj's satellites have it by now: the newer and faster of a Go node's two stores. */
	hashstore.write_to_new = hashstore.ttl_to_new = hashstore.read_new_first = true;
	reply.hashstore_settings = &hashstore;
	TRY_PLAIN(rpc_send_message(call, stream, &reply.base));
	keep_node(l, &n);
	return OK;
}

static const struct rpc_method satellite_methods[] = {
	{ "/contact.Node/CheckIn", handle_check_in, false },
	{ "/contact.Node/GetTime", handle_get_time, false },
};

static void start_satellite(struct call *call, struct load *l, const char *address)
{
	struct rpc_server_config server = { .address = address,
					    .methods = satellite_methods,
					    .methods_count = ARRAY_LEN(satellite_methods),
					    .service = l };
	struct node_url url = { .has_id = true };
	AUTO_BUF struct buf text = BUF_INIT(NODE_URL_MAX);

	os_random(l->run, sizeof(l->run));
	must(call, identity_ephemeral(call, &l->satellite_id));
	must(call, identity_ephemeral(call, &l->uplink_id));
	must(call, net_tls_new(call, l->satellite_id, &l->satellite_tls));
	must(call, net_tls_new(call, l->uplink_id, &l->uplink_tls));
	server.tls = l->satellite_tls;
	must(call, rpc_server_start(call, &server, &l->satellite));
	url.id = *identity_node_id(l->satellite_id);
	url.address = rpc_server_address(l->satellite);
	node_url_add(&text, &url);
	printf("satellite %s\n", buf_cstr(&text));
	fflush(stdout);
}

/* ---- tickets ---- */

static enum err make_ticket(struct call *call, struct job *j, unsigned number, struct ticket *t)
{
	Orders__OrderLimit *m = &t->limit;
	int64_t now = os_clock_unix_ns();

	orders__order_limit__init(m);
	put_be64(t->serial, (uint64_t)(now / NS_PER_SEC + DAY_SECONDS));
	put_be64(t->serial + 8, get_be64(j->l->run) + ++j->l->serials);
	/* Evenly spread, as piece IDs are. */
	uint8_t seed[16];
	memcpy(seed, j->l->run, 8);
	put_be64(seed + 8, (uint64_t)j->size << 32 | number);
	hash_sha256(BYTES_OF(seed), t->piece);
	TRY_PLAIN(ed25519_generate(call, &t->key, t->public_key));
	TRY_PLAIN(ed25519_signer_new(call, &t->key, &t->signer));
	m->serial_number = proto_view(BYTES_OF(t->serial));
	m->satellite_id = proto_view(node_id_bytes(identity_node_id(j->l->satellite_id)));
	m->storage_node_id = proto_view(node_id_bytes(&j->node.id));
	m->piece_id = proto_view(BYTES_OF(t->piece));
	m->limit = (int64_t)j->size;
	m->action = j->put ? ORDERS__PIECE_ACTION__PUT : ORDERS__PIECE_ACTION__GET;
	m->order_creation = proto_time_new(&call->scratch, now);
	m->order_expiration = proto_time_new(&call->scratch, now + DAY_SECONDS * NS_PER_SEC);
	m->uplink_public_key = proto_view(BYTES_OF(t->public_key));
	m->encrypted_metadata_key_id = proto_view(bytes_str("keyid678"));
	m->encrypted_metadata = proto_view(bytes_str("what only the satellite can read"));
	TRY_PLAIN(order_limit_sign(call, &call->scratch, m, identity_key(j->l->satellite_id)));
	t->addressed = (struct addressed_limit){
		.limit = m,
		.address = j->node.address,
		.debounce_limit = j->node.debounce_limit,
		.noise_proto = (int32_t)j->node.noise.suite,
		.noise_key = BYTES_OF(j->node.noise.key),
	};
	return order_limit_ids(call, m, &t->addressed.ids);
}

/* ---- clients ---- */

/* Every piece begins elsewhere in the data. */
static struct bytes piece_data(const struct job *j, unsigned number)
{
	return BYTES(j->data + (size_t)(number % SHIFTS) * SHIFT_BYTES, j->size);
}

static enum err put_piece(struct call *call, struct job *j, const struct ticket *t,
			  struct bytes data)
{
	AUTO(arena_free) struct arena a = { 0 };
	struct piece_upload *u;
	Orders__PieceHash *hash;
	enum err e = OK;

	TRY_PLAIN(piece_upload_open(call, j->fanout, &t->addressed, t->signer, HASH_BLAKE3,
				    STALL_SECONDS * NS_PER_SEC, &u));
	for (size_t at = 0; !e && at < data.len;) {
		struct bytes chunk = BYTES(data.data + at,
					   MIN(data.len - at, (size_t)PIECE_CHUNK_MAX));
		at += chunk.len;
		e = piece_upload_write(call, u, &chunk, 1, at == data.len, false);
	}
	if (!e)
		e = piece_upload_finish(call, u, &a, &hash);
	piece_upload_close(u);
	return e;
}

static enum err get_piece(struct call *call, struct job *j, const struct ticket *t,
			  struct bytes data)
{
	struct piece_download *d;
	struct bytes v;
	size_t got = 0;
	enum err e;

	TRY_PLAIN(piece_download_open(call, j->fanout, &t->addressed, t->signer, 0, data.len,
				      STALL_SECONDS * NS_PER_SEC, &d));
	while (!(e = piece_download_read(call, d, &v))) {
		if (v.len > data.len - got || memcmp(v.data, data.data + got, v.len) != 0)
			break;
		got += v.len;
	}
	piece_download_close(d);
	if (e != ERR_EOF)
		return e ? e : call_fail(call, ERR_DATA_LOSS, "other bytes than were stored");
	return got == data.len ? OK : call_fail(call, ERR_DATA_LOSS, "the piece is cut off");
}

static void client_main(void *arg)
{
	struct job *j = arg;

	for (;;) {
		unsigned i = j->next++;
		if (i >= j->count || j->failed)
			return;
		AUTO_CALL struct call call = CALL_INIT;
		struct bytes data = piece_data(j, j->first + i);
		enum err e = j->put ? put_piece(&call, j, &j->tickets[i], data)
				    : get_piece(&call, j, &j->tickets[i], data);
		if (e && !atomic_exchange(&j->failed, true))
			snprintf(j->text, sizeof(j->text), "piece %u: %s", j->first + i,
				 call_error(&call, e));
	}
}

static int64_t cpu_ns(void)
{
	struct os_usage u = { 0 };

	return os_process_usage(&u) ? u.cpu_ns : 0;
}

static enum err run_clients(struct call *call, struct job *j, unsigned clients)
{
	struct os_thread *threads[CLIENTS_MAX] = { 0 };
	int64_t cpu = cpu_ns(), start = os_clock_mono_ns();
	enum err e = OK;

	for (unsigned i = 0; !e && i < clients; i++)
		e = os_thread_start(call, "client", client_main, j, &threads[i]);
	for (unsigned i = 0; i < clients; i++)
		os_thread_join(threads[i]);
	int64_t end = os_clock_mono_ns();
	TRY_PLAIN(e);
	OS_LOCKED(&j->l->lock);
	if (j->failed)
		printf("failed %s\n", j->text);
	else
		printf("done %.6f %.3f\n", (double)(end - start) / NS_PER_SEC,
		       (double)(cpu_ns() - cpu) / NS_PER_SEC);
	fflush(stdout);
	return OK;
}

static enum err run_job(struct call *call, struct job *j, unsigned clients)
{
	size_t len = j->size + (size_t)SHIFTS * SHIFT_BYTES;
	enum err e = OK;

	j->data = malloc(len);
	j->tickets = calloc(j->count, sizeof(*j->tickets));
	if (!j->data || !j->tickets)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	uint64_t x = 1;
	for (size_t i = 0; i < len; i++) {
		x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		j->data[i] = (uint8_t)(x >> 56);
	}
	for (unsigned i = 0; !e && i < j->count; i++)
		e = make_ticket(call, j, j->first + i, &j->tickets[i]);
	return e ? e : run_clients(call, j, clients);
}

static void command(struct load *l, const char *line)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct fanout_limits limits = { .connections_max = CLIENTS_MAX };
	struct job j = { .l = l };
	unsigned number, clients;
	char verb[8], way[8];

	if (sscanf(line, "%7s %u %llu %u %u %u %7s", verb, &number, &j.size, &j.first, &j.count,
		   &clients, way) != 7 ||
	    number >= l->nodes_count || !j.size || j.size > SIZE_MAX_BYTES || !j.count ||
	    j.count > COUNT_MAX || !clients || clients > CLIENTS_MAX) {
		fprintf(stderr, "node_load: no such command: %s", line);
		exit(2);
	}
	os_mutex_lock(&l->lock);
	j.node = l->nodes[number];
	os_mutex_unlock(&l->lock);
	j.put = strcmp(verb, "put") == 0;
	limits.noise = strcmp(way, "noise") == 0;
	must(&call, fanout_new(&call, l->uplink_tls, limits, &j.fanout));
	must(&call, run_job(&call, &j, clients));
	fanout_free(j.fanout);
	for (unsigned i = 0; i < j.count; i++)
		ed25519_signer_free(j.tickets[i].signer);
	free(j.tickets);
	free(j.data);
}

int main(int argc, char **argv)
{
	AUTO_CALL struct call call = CALL_INIT;
	static struct load l;
	char line[256];

	if (argc > 2) {
		fprintf(stderr, "usage: node_load [ADDRESS]\n");
		return 2;
	}
	start_satellite(&call, &l, argc == 2 ? argv[1] : "127.0.0.1:0");
	while (fgets(line, sizeof(line), stdin))
		command(&l, line);
	rpc_server_stop(l.satellite, 0);
	net_tls_free(l.satellite_tls);
	net_tls_free(l.uplink_tls);
	identity_free(l.satellite_id);
	identity_free(l.uplink_id);
	return 0;
}
