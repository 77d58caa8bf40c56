/* The fixture. */
#include "satellite/test/metainfo_world.h"

const char *world_kind = "sqlite";

/* What the test itself asks of the database is no request's. */
static void on_statement(void *arg, const char *sql)
{
	struct world *w = arg;

	if (w->asking)
		sql_trace_add(&w->trace, sql);
}

/* Every statement that any request of any test made. */
static void explain_requests(struct world *w)
{
	AUTO_CALL struct call call = CALL_INIT;
	const char *fault = NULL;

	call_init(&call);
	db_trace(w->sat.db, NULL, NULL);
	enum err e = sql_explain(&call, w->sat.db, &w->trace, &fault);
	bool full = w->trace.distinct == SQL_STATEMENTS_MAX;
	sql_trace_free(&w->trace);
	if (e || fault || full)
		fail_msg("%s", e ? call_error(&call, e) : fault ? fault : "too many statements");
}

static enum err wipe(struct call *call, struct db_tx *tx, void *arg)
{
	static const char *const tables[] = { "objects",
					      "segments",
					      "buckets",
					      "node_aliases",
					      "api_keys",
					      "projects",
					      "revocations",
					      "nodes",
					      "peer_identities",
					      "limits",
					      "bucket_bandwidth_rollups",
					      "key_bandwidth",
					      "api_key_tails",
					      "reputations",
					      "node_events",
					      "audit_results",
					      "verification_audits",
					      "reverification_audits",
					      "lost_pieces" };

	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		TRY_PLAIN(db_exec(call, tx,
				  arena_printf(&call->scratch, "DELETE FROM %s", tables[i]), NULL,
				  0, NULL));
	return OK;
}

static void open_satellite(struct world *w)
{
	const struct param_set set = { satellite_params, satellite_params_count };
	struct satellite_config *c = &w->sat.config;

	must(w, param_defaults(&w->call, &w->call.scratch, set, c));
	must(w, satellite_config_development(&w->call, &w->call.scratch, set, c));
	c->rs = "2/3/4/5";
	must(w, satellite_config_check(&w->call, c));
	w->path = arena_printf(&w->call.scratch, "/tmp/acre-test-metainfo-%d", os_pid());
	must(w, db_open(&w->call,
			strcmp(world_kind, "postgres") == 0 ? os_getenv("ACRE_TEST_POSTGRES")
							    : w->path,
			&w->sat.db));
	must(w, db_migrate(&w->call, w->sat.db, satellite_migrations, satellite_migrations_count));
	must(w, db_write(&w->call, w->sat.db, wipe, NULL));
	must(w, identity_ephemeral(&w->call, &w->sat.identity));
	must(w, net_tls_new(&w->call, w->sat.identity, &w->sat.tls));
	w->sat.id = *identity_node_id(w->sat.identity);
	w->sat.keys = key_cache_new();
	w->sat.project_rates = rate_limiter_new(100);
	w->sat.checkin_rates = rate_limiter_new(100);
	os_random(w->sat.id_key.b, SECRET_KEY_BYTES);
	os_random(w->sat.order_key.b, SECRET_KEY_BYTES);
	must(w, overlay_new(&w->call, &w->sat, &w->sat.overlay));
	must(w, metainfo_open(&w->call, &w->sat));
}

static void check_nodes_in(struct world *w)
{
	for (int i = 0; i < NODES; i++) {
		must(w, identity_ephemeral(&w->call, &w->nodes[i]));
		char *address = arena_printf(&w->call.scratch, "127.0.0.1:%d", 20000 + i);
		struct checkin in = {
			.id = *identity_node_id(w->nodes[i]),
			.address = address,
			.last_ip_port = address,
			.last_net = address,
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
}

void use_key(struct world *w, const struct macaroon *key)
{
	AUTO_BUF struct buf b = BUF_INIT(MACAROON_BYTES_MAX);

	macaroon_add_binary(&b, key);
	w->key_bytes = arena_bytes(&w->call.scratch, buf_bytes(&b));
	w->header.api_key = proto_view(w->key_bytes);
}

struct macaroon restricted(struct world *w, const struct caveat *c)
{
	AUTO_BUF struct buf b = BUF_INIT(1000);
	struct macaroon m = w->key;

	caveat_encode(&b, c);
	must(w, macaroon_restrict(&w->call, &w->call.scratch, &m,
				  arena_bytes(&w->call.scratch, buf_bytes(&b))));
	return m;
}

int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	*state = w;
	call_init(&w->call);
	os_call_limit(&w->call, 120 * NS_PER_SEC);
	open_satellite(w);
	check_nodes_in(w);
	must(w, project_create(&w->call, w->sat.db, bytes_str("p"), &w->project));
	must(w, api_key_create(&w->call, w->sat.db, &w->call.scratch, &w->project.id,
			       bytes_str("k"), &w->key));
	metainfo__request_header__init(&w->header);
	use_key(w, &w->key);
	struct rpc_server_config config = {
		.tls = w->sat.tls,
		.address = "127.0.0.1:0",
		.methods = metainfo_methods,
		.methods_count = metainfo_methods_count,
		.service = &w->sat,
	};
	db_trace(w->sat.db, on_statement, w);
	must(w, rpc_server_start(&w->call, &config, &w->server));
	must(w, identity_ephemeral(&w->call, &w->client_id));
	must(w, net_tls_new(&w->call, w->client_id, &w->client_tls));
	must(w, rpc_dial(&w->call, w->client_tls, rpc_server_address(w->server), &w->sat.id,
			 &w->conn));
	return 0;
}

int world_teardown(void **state)
{
	struct world *w = *state;
	static const char *const ends[] = { "", "-wal", "-shm" };

	rpc_conn_close(w->conn);
	rpc_server_stop(w->server, NS_PER_SEC);
	explain_requests(w);
	net_tls_free(w->client_tls);
	identity_free(w->client_id);
	for (int i = 0; i < NODES; i++)
		identity_free(w->nodes[i]);
	metainfo_close(&w->sat);
	overlay_free(w->sat.overlay);
	key_cache_free(w->sat.keys);
	rate_limiter_free(w->sat.project_rates);
	rate_limiter_free(w->sat.checkin_rates);
	db_close(w->sat.db);
	net_tls_free(w->sat.tls);
	identity_free(w->sat.identity);
	for (size_t i = 0; strcmp(world_kind, "postgres") != 0 && i < ARRAY_LEN(ends); i++) {
		if (os_unlink(&w->call, arena_printf(&w->call.scratch, "%s%s", w->path, ends[i])))
			call_clear_error(&w->call);
	}
	call_fini(&w->call);
	free(w);
	return 0;
}

struct world *world_client(struct world *w)
{
	struct world *c = calloc(1, sizeof(*c));

	call_init(&c->call);
	os_call_limit(&c->call, 120 * NS_PER_SEC);
	c->key_bytes = arena_bytes(&c->call.scratch, w->key_bytes);
	metainfo__request_header__init(&c->header);
	c->header.api_key = proto_view(c->key_bytes);
	must(c, rpc_dial(&c->call, w->client_tls, rpc_server_address(w->server), &w->sat.id,
			 &c->conn));
	return c;
}

void world_client_free(struct world *c)
{
	rpc_conn_close(c->conn);
	call_fini(&c->call);
	free(c);
}

static const struct metainfo_method *find(const char *name)
{
	for (size_t i = 0; i < metainfo_table_count; i++) {
		if (!strcmp(metainfo_table[i].name, name))
			return &metainfo_table[i];
	}
	fail_msg("no method %s", name);
	return NULL;
}

enum err ask(struct world *w, const char *method, void *request, void *ret_response)
{
	const struct metainfo_method *m = find(method);
	void *unused = NULL;

	*(Metainfo__RequestHeader **)((char *)request + m->header_offset) = &w->header;
	w->asking = true;
	enum err e = rpc_invoke(
		&w->call, w->conn, arena_printf(&w->call.scratch, "/metainfo.Metainfo/%s", method),
		request, &w->call.scratch, m->response, ret_response ? ret_response : &unused);
	w->asking = false;
	return e;
}

static enum err ask_compressed(struct world *w, bool zstd, const Metainfo__BatchRequest *batch,
			       Metainfo__BatchResponse **ret)
{
	struct call *call = &w->call;
	Metainfo__CompressedBatchRequest req = METAINFO__COMPRESSED_BATCH_REQUEST__INIT;
	Metainfo__CompressedBatchRequest__CompressionType type =
		METAINFO__COMPRESSED_BATCH_REQUEST__COMPRESSION_TYPE__ZSTD;
	Metainfo__CompressedBatchResponse *resp = NULL;
	AUTO_BUF struct buf plain = BUF_INIT(16 << 20);
	AUTO_BUF struct buf packed = BUF_INIT(16 << 20);
	AUTO_BUF struct buf answer = BUF_INIT(64 << 20);

	TRY_PLAIN(proto_encode(call, &batch->base, &plain));
	req.data = proto_view(buf_bytes(&plain));
	if (zstd) {
		TRY_PLAIN(zstd_compress(call, buf_bytes(&plain), &packed));
		req.data = proto_view(buf_bytes(&packed));
		req.selected = type;
		req.supported = &type;
		req.n_supported = 1;
	}
	w->asking = true;
	enum err e = rpc_invoke(call, w->conn, "/metainfo.Metainfo/CompressedBatch", &req.base,
				&call->scratch, &metainfo__compressed_batch_response__descriptor,
				&resp);
	w->asking = false;
	TRY_PLAIN(e);
	struct bytes data = proto_bytes(resp->data);
	if (resp->selected == type) {
		assert_true(zstd);
		TRY_PLAIN(zstd_decompress(call, data, 64 << 20, &answer));
		data = buf_bytes(&answer);
	}
	return proto_decode(call, &call->scratch, &metainfo__batch_response__descriptor, data, ret);
}

enum err ask_batch(struct world *w, enum form form, Metainfo__BatchRequestItem *const *items,
		   size_t count, Metainfo__BatchResponse **ret)
{
	Metainfo__BatchRequest req = METAINFO__BATCH_REQUEST__INIT;
	Metainfo__BatchResponse *unused = NULL;

	req.header = &w->header;
	req.n_requests = count;
	req.requests = (Metainfo__BatchRequestItem **)(uintptr_t)items;
	if (form == FORM_BATCH)
		return ask(w, "Batch", &req, ret);
	return ask_compressed(w, form == FORM_ZSTD, &req, ret ? ret : &unused);
}
