/*
 * The satellite below metainfo: settings, rates, keys, nodes, orders, settlement.
 * `test_foundation sqlite|postgres`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "proto/proto.h"
#include "satellite/check.h"
#include "satellite/command.h"
#include "satellite/contact.h"
#include "satellite/keys.h"
#include "satellite/orders.h"
#include "satellite/overlay_internal.h"
#include "satellite/ratelimit.h"
#include "satellite/settlement.h"

enum { NODES = 30 };

static const char *kind = "sqlite";

/* ---- a satellite without a network ---- */

struct fixture {
	struct call call;
	struct satellite sat;
	const char *path;
};

static enum err wipe(struct call *call, struct db_tx *tx, void *arg)
{
	static const char *const tables[] = {
		"api_keys",
		"projects",
		"revocations",
		"nodes",
		"peer_identities",
		"secrets",
		"storagenode_bandwidth_rollups",
		"bucket_bandwidth_rollups",
		"key_bandwidth",
		"placements",
	};
	char sql[128];

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		snprintf(sql, sizeof(sql), "DELETE FROM %s", tables[i]);
		TRY_PLAIN(db_exec(call, tx, sql, NULL, 0, NULL));
	}
	return OK;
}

static void defaults(struct fixture *f)
{
	const struct param_set set = { satellite_params, satellite_params_count };

	assert_int_equal(param_defaults(&f->call, &f->call.scratch, set, &f->sat.config), OK);
	assert_int_equal(satellite_config_check(&f->call, &f->sat.config), OK);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct call *call = &f->call;
	enum err e;

	call_init(call);
	*state = f;
	defaults(f);
	f->path = arena_printf(&call->scratch, "/tmp/acre-test-foundation-%d", os_pid());
	e = db_open(call, strcmp(kind, "postgres") == 0 ? os_getenv("ACRE_TEST_POSTGRES") : f->path,
		    &f->sat.db);
	if (!e)
		e = db_migrate(call, f->sat.db, satellite_migrations, satellite_migrations_count);
	if (!e)
		e = db_write(call, f->sat.db, wipe, NULL);
	if (!e)
		e = identity_ephemeral(call, &f->sat.identity);
	f->sat.keys = key_cache_new();
	f->sat.project_rates = rate_limiter_new(100);
	f->sat.checkin_rates = rate_limiter_new(100);
	if (!e)
		e = overlay_new(call, &f->sat, &f->sat.overlay);
	if (e)
		fail_msg("%s", call_error(call, e));
	f->sat.id = *identity_node_id(f->sat.identity);
	memset(f->sat.order_key.b, 7, SECRET_KEY_BYTES);
	memset(f->sat.order_key_id, 9, sizeof(f->sat.order_key_id));
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	overlay_free(f->sat.overlay);
	key_cache_free(f->sat.keys);
	rate_limiter_free(f->sat.project_rates);
	rate_limiter_free(f->sat.checkin_rates);
	db_close(f->sat.db);
	identity_free(f->sat.identity);
	if (strcmp(kind, "postgres") != 0 && os_unlink(&f->call, f->path))
		return 1;
	call_fini(&f->call);
	free(f);
	return 0;
}

/* ---- settings ---- */

static void codes(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct scheme r;
	static const char *const bad[] = { "",		 "4",		"4/6/8",
					   "4/6/8/",	 "0/1/2/3",	"5/4/6/8",
					   "4/6/9/8",	 "1/1/1/256",	"4/6/8/10x",
					   "4/6/8/10-0", "4/6/8/10-",	"a/b/c/d",
					   "-1/2/3/4",	 "4/6/8/10/12", "4/6/8/10-99999999" };

	call_init(&call);
	assert_int_equal(redundancy_parse(&call, "4/6/8/10", &r), OK);
	assert_int_equal(r.required, 4);
	assert_int_equal(r.repair, 6);
	assert_int_equal(r.success, 8);
	assert_int_equal(r.total, 10);
	assert_int_equal(r.share_size, 256);
	assert_int_equal(redundancy_parse(&call, "1/1/1/1-1024", &r), OK);
	assert_int_equal(r.share_size, 1024);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(redundancy_parse(&call, bad[i], &r), ERR_CONFIG);
	/* metainfo.md 3.5 */
	assert_int_equal(redundancy_parse(&call, "29/35/80/110", &r), OK);
	assert_true((int64_t)scheme_piece_size(&r, (uint64_t)67254016) == 2319360);
}

/* What makes no sense is refused when it is read, not when it does harm. */
static void settings_refused(void **state)
{
	static const struct {
		const char *name, *value;
	} bad[] = {
		{ "active-max", "0" },
		{ "active-max", "4000000000" },
		{ "connections-max", "0" },
		{ "min-difficulty", "257" },
		{ "max-key-length", "99999999999" },
		{ "storage-price", "18446744073709551615" },
		{ "egress-price", "1000000000001" },
		{ "segment-size", "0" },
		{ "max-inline-size", "5KiB" },
		{ "repair-workers", "17" },
		{ "audit-workers", "17" },
		{ "gc-false-percent", "91" },
		{ "segment-loop-share", "0" },
		{ "pay-held", "75,x" },
		{ "pay-held", "101" },
		{ "pay-disposed", "101" },
		{ "pay-egress", "18446744073709551615" },
		{ "new-node-fraction", "1.01" },
		{ "external-address", "example.org" },
		{ "external-address", ":7777" },
		{ "external-address", "example.org:99999" },
	};
	const struct param_set set = { satellite_params, satellite_params_count };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_CALL struct call call = CALL_INIT;
		struct satellite_config config = { 0 };
		call_init(&call);
		assert_int_equal(param_defaults(&call, &call.scratch, set, &config), OK);
		assert_int_equal(satellite_config_check(&call, &config), OK);
		enum err e = param_set_one(&call, &call.scratch, set, &config,
					   bytes_str(bad[i].name), bytes_str(bad[i].value));
		if (!e)
			e = satellite_config_check(&call, &config);
		if (e != ERR_CONFIG || !strstr(call.error, bad[i].name))
			fail_msg("%s = %s: %s", bad[i].name, bad[i].value, call_error(&call, e));
	}
}

static void proposals(void **state)
{
	for (uint64_t nodes = 1; nodes < 300; nodes++) {
		struct code_choice choices[CODE_CHOICES];
		code_propose(nodes, choices);
		for (unsigned i = 0; i < CODE_CHOICES; i++) {
			const struct scheme *c = &choices[i].code;
			AUTO_BUF struct buf b = BUF_INIT(1000);
			assert_true(c->required >= 1 && c->required <= c->repair);
			assert_true(c->repair <= c->success && c->success <= c->total);
			assert_true(c->total <= nodes && c->total <= 110);
			/* Not every segment is to be repaired at once. */
			assert_true(c->repair < c->success || c->success == c->required);
			code_describe(&b, &choices[i], nodes);
			assert_false(b.failed);
		}
		assert_true(choices[0].code.required >= choices[1].code.required);
		assert_true(choices[1].code.required >= choices[2].code.required);
	}
}

static void config_round_trip(void **state)
{
	const struct param_set set = { satellite_params, satellite_params_count };
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf text = BUF_INIT(100000);
	struct satellite_config a = { 0 }, b = { 0 };

	call_init(&call);
	assert_int_equal(param_defaults(&call, &call.scratch, set, &a), OK);
	assert_int_equal(satellite_config_development(&call, &call.scratch, set, &a), OK);
	a.external_address = "sat.example.org:7777";
	a.download_interval = 1500 * 1000;
	param_add_config(&text, set, &a);
	assert_int_equal(param_defaults(&call, &call.scratch, set, &b), OK);
	enum err e = param_read_config(&call, &call.scratch, set, &b, buf_bytes(&text));
	if (e)
		fail_msg("%s", call_error(&call, e));
	assert_int_equal(b.upload_interval, 0);
	assert_int_equal(b.download_interval, 1500 * 1000);
	assert_false(b.distinct_networks);
	assert_true(b.allow_private_ips);
	assert_int_equal(b.min_difficulty, 0);
	assert_int_equal(b.checkin_interval, 0);
	assert_string_equal(b.external_address, a.external_address);
	assert_int_equal(satellite_config_complete(&call, &call.scratch, &b, "/somewhere"), OK);
	assert_string_equal(b.database, "sqlite:/somewhere/satellite.db");
	b.database = "sqlite:x/y.db";
	assert_int_equal(satellite_config_complete(&call, &call.scratch, &b, "/somewhere"), OK);
	assert_string_equal(b.database, "sqlite:/somewhere/x/y.db");
	b.database = "postgres://x";
	assert_int_equal(satellite_config_complete(&call, &call.scratch, &b, "/somewhere"), OK);
	assert_string_equal(b.database, "postgres://x");
	b.address = "noport";
	assert_int_equal(satellite_config_complete(&call, &call.scratch, &b, "/"), ERR_CONFIG);
}

/* ---- rates ---- */

static void rates(void **state)
{
	struct rate_limiter *r = rate_limiter_new(1000);
	struct bytes k = bytes_str("key"), other = bytes_str("other key, longer than eight");

	assert_non_null(r);
	for (unsigned i = 0; i < 3; i++)
		assert_true(rate_limiter_take(r, k, NS_PER_SEC, 3, 5));
	assert_false(rate_limiter_take(r, k, NS_PER_SEC, 3, 5));
	assert_true(rate_limiter_take(r, other, NS_PER_SEC, 3, 5));
	assert_false(rate_limiter_take(r, k, NS_PER_SEC, 3, NS_PER_SEC - 1));
	assert_true(rate_limiter_take(r, k, NS_PER_SEC, 3, NS_PER_SEC + 5));
	assert_false(rate_limiter_take(r, k, NS_PER_SEC, 3, NS_PER_SEC + 5));
	rate_limiter_give_back(r, k, NS_PER_SEC);
	assert_true(rate_limiter_take(r, k, NS_PER_SEC, 3, NS_PER_SEC + 5));
	/* Idle for long: no more than the burst. */
	for (unsigned i = 0; i < 3; i++)
		assert_true(rate_limiter_take(r, k, NS_PER_SEC, 3, 1000 * NS_PER_SEC));
	assert_false(rate_limiter_take(r, k, NS_PER_SEC, 3, 1000 * NS_PER_SEC));
	for (unsigned i = 0; i < 100; i++)
		assert_true(rate_limiter_take(r, k, 0, 1, 0));
	/* Many keys push the idle ones out, not the busy one. */
	for (uint32_t i = 0; i < 500; i++)
		assert_true(rate_limiter_take(r, BYTES(&i, sizeof(i)), NS_PER_SEC, 1,
					      1000 * NS_PER_SEC));
	assert_false(rate_limiter_take(r, k, NS_PER_SEC, 3, 1000 * NS_PER_SEC));
	rate_limiter_free(r);
}

/* ---- addresses ---- */

static void addresses(void **state)
{
	static const struct {
		const char *text;
		bool global;
	} cases[] = {
		{ "8.8.8.8:1", true },		{ "127.0.0.1:1", false },
		{ "10.1.2.3:1", false },	{ "172.16.0.1:1", false },
		{ "172.32.0.1:1", true },	{ "192.168.1.1:1", false },
		{ "169.254.1.1:1", false },	{ "100.64.0.1:1", false },
		{ "100.128.0.1:1", true },	{ "224.0.0.1:1", false },
		{ "0.0.0.0:1", false },		{ "255.255.255.255:1", false },
		{ "[::1]:1", false },		{ "[::]:1", false },
		{ "[fe80::1]:1", false },	{ "[fc00::1]:1", false },
		{ "[fd12::1]:1", false },	{ "[ff02::1]:1", false },
		{ "[2001:db8::1]:1", true },	{ "[::ffff:10.0.0.1]:1", false },
		{ "[::ffff:8.8.8.8]:1", true },
	};
	struct fixture *f = *state;
	char ip_port[OS_ADDRESS_MAX], net[LAST_NET_MAX];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t ip[OS_IP_BYTES_MAX];
		size_t len = 0;
		assert_true(os_ip_parse(cases[i].text, ip, &len));
		if (contact_ip_is_global(ip, len) != cases[i].global)
			fail_msg("%s", cases[i].text);
	}
	assert_int_equal(contact_resolve(&f->call, &f->sat, "127.0.0.1:7", ip_port, net),
			 ERR_INVALID);
	assert_int_equal(contact_resolve(&f->call, &f->sat, "no port", ip_port, net), ERR_INVALID);
	assert_int_equal(contact_resolve(&f->call, &f->sat, "8.7.6.5:7", ip_port, net), OK);
	assert_string_equal(ip_port, "8.7.6.5:7");
	assert_string_equal(net, "8.7.6.0");
	assert_int_equal(contact_resolve(&f->call, &f->sat, "[2001:db8:1:2:3::9]:7", ip_port, net),
			 OK);
	assert_string_equal(net, "2001:0db8:0001:0002::");
	f->sat.config.distinct_networks = false;
	f->sat.config.allow_private_ips = true;
	assert_int_equal(contact_resolve(&f->call, &f->sat, "127.0.0.1:7", ip_port, net), OK);
	assert_string_equal(net, "127.0.0.1:7");
}

/* ---- keys ---- */

static struct bytes key_bytes(struct fixture *f, const struct macaroon *m)
{
	AUTO_BUF struct buf b = BUF_INIT(MACAROON_BYTES_MAX);

	macaroon_add_binary(&b, m);
	return arena_bytes(&f->call.scratch, buf_bytes(&b));
}

static void restrict_with(struct fixture *f, struct macaroon *m, const struct caveat *c)
{
	AUTO_BUF struct buf b = BUF_INIT(1000);

	caveat_encode(&b, c);
	assert_int_equal(macaroon_restrict(&f->call, &f->call.scratch, m,
					   arena_bytes(&f->call.scratch, buf_bytes(&b))),
			 OK);
}

static enum err authenticate(struct fixture *f, struct bytes key, struct auth *auth)
{
	return satellite_authenticate(&f->call, &f->sat, &f->call.scratch, key, RATE_GET, auth);
}

static void make_key(struct fixture *f, struct project *p, struct macaroon *m)
{
	enum err e = project_create(&f->call, f->sat.db, bytes_str("prj"), p);

	if (!e)
		e = api_key_create(&f->call, f->sat.db, &f->call.scratch, &p->id, bytes_str("k"),
				   m);
	if (e)
		fail_msg("%s", call_error(&f->call, e));
}

static void authentication(void **state)
{
	struct fixture *f = *state;
	struct call *call = &f->call;
	struct project p, again;
	struct macaroon m, readonly, stranger;
	struct auth auth;
	struct secret_key secret = { .b = { 1 } };
	struct bytes b = bytes_str("bucket"), none = BYTES_NONE;
	char text[37];

	make_key(f, &p, &m);
	assert_int_equal(project_create(call, f->sat.db, bytes_str("prj"), &again), ERR_EXISTS);
	assert_int_equal(project_create(call, f->sat.db, bytes_str(""), &again), ERR_INVALID);
	assert_int_equal(project_create(call, f->sat.db, bytes_str("a\nb"), &again), ERR_INVALID);
	assert_int_equal(project_find(call, f->sat.db, bytes_str("prj"), &again), OK);
	assert_memory_equal(again.salt, p.salt, PROJECT_SALT_BYTES);
	project_id_text(&p.id, text);
	assert_int_equal(project_find(call, f->sat.db, bytes_str(text), &again), OK);
	assert_int_equal(project_find(call, f->sat.db, bytes_str("nope"), &again), ERR_NOT_FOUND);

	assert_int_equal(authenticate(f, bytes_str("garbage"), &auth), ERR_INVALID);
	assert_string_equal(call->error, "Invalid API credentials");
	assert_int_equal(authenticate(f, none, &auth), ERR_INVALID);
	assert_int_equal(macaroon_new(call, &call->scratch, &secret, &stranger), OK);
	assert_int_equal(authenticate(f, key_bytes(f, &stranger), &auth), ERR_PERMISSION);
	assert_string_equal(call->error, "Unauthorized API credentials");

	assert_int_equal(authenticate(f, key_bytes(f, &m), &auth), OK);
	assert_memory_equal(auth.project.id.b, p.id.b, PROJECT_ID_BYTES);
	assert_int_equal(auth.project.max_buckets, 100);
	assert_int_equal(auth_check(call, &auth, ACTION_WRITE, b, none), OK);
	assert_int_equal(auth_check(call, &auth, ACTION_PUT_RETENTION, b, none), OK);
	assert_int_equal(auth_check(call, &auth, ACTION_PUT_BUCKET_NOTIFICATION, b, none),
			 ERR_PERMISSION);

	readonly = m;
	restrict_with(f, &readonly, &(struct caveat){ .disallow_writes = true });
	assert_int_equal(authenticate(f, key_bytes(f, &readonly), &auth), OK);
	assert_int_equal(auth_check(call, &auth, ACTION_WRITE, b, none), ERR_PERMISSION);
	assert_string_equal(call->error, "Unauthorized API credentials");
	assert_true(auth_allows(&auth, ACTION_READ, b, bytes_str("x")));
	/* A caveat taken away again. */
	readonly.caveats_count = 0;
	assert_int_equal(authenticate(f, key_bytes(f, &readonly), &auth), ERR_PERMISSION);
	/* A tail that is cut. */
	struct bytes whole = key_bytes(f, &m);
	assert_int_equal(authenticate(f, BYTES(whole.data, whole.len - 1), &auth), ERR_INVALID);
}

static void revocation(void **state)
{
	struct fixture *f = *state;
	struct call *call = &f->call;
	struct project p;
	struct macaroon m, child, grandchild, sibling;
	struct auth parent, auth;

	make_key(f, &p, &m);
	child = m;
	restrict_with(f, &child, &(struct caveat){ .disallow_writes = true });
	grandchild = child;
	restrict_with(f, &grandchild, &(struct caveat){ .disallow_lists = true });
	sibling = m;
	restrict_with(f, &sibling, &(struct caveat){ .disallow_deletes = true });
	assert_int_equal(authenticate(f, key_bytes(f, &grandchild), &auth), OK);
	/* Nobody revokes himself, his ancestors or his siblings. */
	assert_int_equal(satellite_revoke(call, &f->sat, &auth, key_bytes(f, &grandchild)),
			 ERR_PERMISSION);
	assert_string_equal(call->error, "Unauthorized attempt to revoke macaroon");
	assert_int_equal(satellite_revoke(call, &f->sat, &auth, key_bytes(f, &m)), ERR_PERMISSION);
	assert_int_equal(satellite_revoke(call, &f->sat, &auth, key_bytes(f, &sibling)),
			 ERR_PERMISSION);
	assert_int_equal(satellite_revoke(call, &f->sat, &auth, bytes_str("x")), ERR_INVALID);
	assert_int_equal(authenticate(f, key_bytes(f, &m), &parent), OK);
	assert_int_equal(satellite_revoke(call, &f->sat, &parent, key_bytes(f, &child)), OK);
	/* At once, though it was used a moment ago, and its descendants with it. */
	assert_int_equal(authenticate(f, key_bytes(f, &child), &auth), ERR_PERMISSION);
	assert_int_equal(authenticate(f, key_bytes(f, &grandchild), &auth), ERR_PERMISSION);
	assert_int_equal(authenticate(f, key_bytes(f, &sibling), &auth), OK);
	assert_int_equal(authenticate(f, key_bytes(f, &m), &auth), OK);
	assert_int_equal(satellite_revoke(call, &f->sat, &parent, key_bytes(f, &child)), OK);
}

static enum err close_project(struct call *call, struct db_tx *tx, void *arg)
{
	return db_exec(call, tx, "UPDATE projects SET rate = 0, rate_burst = 0", NULL, 0, NULL);
}

static enum err slow_project(struct call *call, struct db_tx *tx, void *arg)
{
	return db_exec(call, tx, "UPDATE projects SET rate = 2", NULL, 0, NULL);
}

static void project_rate(void **state)
{
	struct fixture *f = *state;
	struct project p;
	struct macaroon m;
	struct auth auth;

	make_key(f, &p, &m);
	assert_int_equal(db_write(&f->call, f->sat.db, slow_project, NULL), OK);
	struct bytes key = key_bytes(f, &m);
	assert_int_equal(authenticate(f, key, &auth), OK);
	assert_int_equal(authenticate(f, key, &auth), OK);
	assert_int_equal(authenticate(f, key, &auth), ERR_EXHAUSTED);
	assert_string_equal(f->call.error, "Too Many Requests");
	assert_int_equal(satellite_authenticate(&f->call, &f->sat, &f->call.scratch, key,
						RATE_PUT_NO_ERROR, &auth),
			 OK);
	assert_int_equal(db_write(&f->call, f->sat.db, close_project, NULL), OK);
	key_cache_clear(f->sat.keys);
	assert_int_equal(authenticate(f, key, &auth), ERR_PERMISSION);
	assert_string_equal(f->call.error, "All access disabled");
}

/* ---- nodes ---- */

struct test_node {
	struct identity *identity;
	struct checkin in;
	char address[40], net[40];
};

static void node_new(struct fixture *f, struct test_node *n, unsigned i, const char *net)
{
	assert_int_equal(identity_ephemeral(&f->call, &n->identity), OK);
	snprintf(n->address, sizeof(n->address), "10.0.0.%u:7", i);
	snprintf(n->net, sizeof(n->net), "%s", net);
	n->in = (struct checkin){
		.id = *identity_node_id(n->identity),
		.address = n->address,
		.last_ip_port = n->address,
		.last_net = n->net,
		.version = "v1.0.0",
		.email = "",
		.wallet = "",
		.chain = cert_chain_der(identity_chain(n->identity)),
		.free_disk = INT64_C(1000000000000),
		.up = true,
		.now_unix_ns = os_clock_unix_ns(),
	};
}

static void checkin(struct fixture *f, const struct checkin *in)
{
	enum err e = overlay_checkin(&f->call, &f->sat, in);

	if (e)
		fail_msg("%s", call_error(&f->call, e));
}

static void expect_selectable(struct fixture *f, size_t count)
{
	assert_int_equal(overlay_count(&f->sat).selectable, count);
}

static void selection(void **state)
{
	struct fixture *f = *state;
	struct call *call = &f->call;
	struct arena *a = &call->scratch;
	struct test_node nodes[NODES] = { 0 };
	struct node_place *places = NULL;
	struct node_id used[3];

	assert_int_equal(satellite_select_nodes(call, &f->sat, a, 0, 1, NULL, 0, &places),
			 ERR_PRECONDITION);
	assert_non_null(strstr(call->error, "not enough nodes"));
	/* Ten networks of three nodes each. */
	for (unsigned i = 0; i < NODES; i++) {
		char net[40];
		snprintf(net, sizeof(net), "10.0.%u.0", i / 3);
		node_new(f, &nodes[i], i, net);
		checkin(f, &nodes[i].in);
	}
	expect_selectable(f, NODES);
	assert_int_equal(overlay_count(&f->sat).networks, 10);
	assert_int_equal(satellite_select_nodes(call, &f->sat, a, 0, 11, NULL, 0, &places),
			 ERR_PRECONDITION);
	for (unsigned round = 0; round < 50; round++) {
		assert_int_equal(satellite_select_nodes(call, &f->sat, a, 0, 10, NULL, 0, &places),
				 OK);
		for (unsigned i = 0; i < 10; i++)
			for (unsigned j = 0; j < i; j++)
				assert_string_not_equal(
					overlay_find(f->sat.overlay, &places[i].id)->last_net,
					overlay_find(f->sat.overlay, &places[j].id)->last_net);
	}
	/* Used nodes block their networks. */
	used[0] = nodes[0].in.id;
	used[1] = nodes[3].in.id;
	used[2] = nodes[4].in.id;
	assert_int_equal(satellite_select_nodes(call, &f->sat, a, 0, 9, used, 3, &places),
			 ERR_PRECONDITION);
	assert_int_equal(satellite_select_nodes(call, &f->sat, a, 0, 8, used, 3, &places), OK);
	/* Full, gone for long, down: not chosen; moved: in its new network. */
	nodes[29].in.free_disk = 1000;
	checkin(f, &nodes[29].in);
	expect_selectable(f, NODES - 1);
	snprintf(nodes[28].net, sizeof(nodes[28].net), "99.0.0.0");
	checkin(f, &nodes[28].in);
	assert_int_equal(overlay_count(&f->sat).networks, 11);
	assert_int_equal(satellite_select_nodes(call, &f->sat, a, 0, 11, NULL, 0, &places), OK);
	f->sat.config.online_window = 1;
	assert_int_equal(satellite_select_nodes(call, &f->sat, a, 0, 1, NULL, 0, &places),
			 ERR_PRECONDITION);
	f->sat.config.online_window = 4 * 3600 * NS_PER_SEC;

	assert_int_equal(satellite_lookup_nodes(
				 call, &f->sat, a,
				 (const struct node_id[]){ nodes[5].in.id, f->sat.id }, 2, &places),
			 OK);
	assert_true(places[0].known && places[0].online);
	assert_string_equal(places[0].address, nodes[5].address);
	assert_false(places[1].known || places[1].online);
	/* Another process sees the same. */
	struct satellite other = f->sat;
	assert_int_equal(overlay_new(call, &other, &other.overlay), OK);
	assert_int_equal(overlay_count(&other).known, NODES);
	assert_int_equal(overlay_count(&other).selectable, NODES - 1);
	overlay_free(other.overlay);
	for (unsigned i = 0; i < NODES; i++)
		identity_free(nodes[i].identity);
}

static enum err place_nodes(struct call *call, struct db_tx *tx, void *arg)
{
	const struct test_node *n = arg;

	for (unsigned i = 0; i < NODES; i++)
		TRY_PLAIN(DB_EXEC(call, tx, "UPDATE nodes SET country = $2 WHERE id = $1", NULL,
				  DB_V_BLOB(node_id_bytes(&n[i].in.id)),
				  DB_V_TEXT(bytes_str(i < 10   ? "DE"
						      : i < 20 ? "FR"
							       : ""))));
	return OK;
}

static void expect_placed(struct fixture *f, int32_t placement, size_t most, const char *where)
{
	struct node_place *places = NULL;
	char text[COUNTRY_TEXT_MAX];

	assert_int_equal(satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, placement,
						most + 1, NULL, 0, &places),
			 ERR_PRECONDITION);
	assert_non_null(strstr(f->call.error, "not enough nodes"));
	call_clear_error(&f->call);
	if (!most)
		return;
	assert_int_equal(satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, placement,
						most, NULL, 0, &places),
			 OK);
	for (size_t i = 0; where[0] && i < most; i++) {
		country_text(overlay_find(f->sat.overlay, &places[i].id)->node.geo.country, text);
		assert_non_null(strstr(where, text));
	}
}

static void set_rule(struct fixture *f, int32_t number, const char *name, const char *countries)
{
	struct placement p;

	assert_int_equal(
		placement_parse(&f->call, number, bytes_str(name), bytes_str(countries), &p), OK);
	assert_int_equal(store_placement_set(&f->call, f->sat.db, &p), OK);
	assert_int_equal(overlay_refresh(&f->call, &f->sat), OK);
}

/* Ten nodes in Germany, ten in France, ten of which nobody knows. */
static void placements(void **state)
{
	struct fixture *f = *state;
	struct test_node nodes[NODES] = { 0 };
	struct placement p;

	for (unsigned i = 0; i < NODES; i++) {
		char net[40];
		snprintf(net, sizeof(net), "net %u", i);
		node_new(f, &nodes[i], i, net);
		checkin(f, &nodes[i].in);
	}
	assert_int_equal(db_write(&f->call, f->sat.db, place_nodes, nodes), OK);
	set_rule(f, 1, "home", "DE");
	set_rule(f, 2, "abroad", "!DE");
	set_rule(f, 65535, "any", "");
	set_rule(f, 4, "nowhere", "US");
	expect_placed(f, 1, 10, "DE");
	expect_placed(f, 2, 10, "FR");
	expect_placed(f, 65535, 30, "DE FR");
	expect_placed(f, 0, 30, "DE FR");
	expect_placed(f, 4, 0, "");
	expect_placed(f, 3, 0, "");
	/* A check-in of a satellite that has no database of countries takes none away, until the
	 * node is elsewhere. */
	nodes[0].in.free_disk++;
	nodes[0].in.now_unix_ns += 3600 * NS_PER_SEC;
	checkin(f, &nodes[0].in);
	expect_placed(f, 1, 10, "DE");
	snprintf(nodes[0].address, sizeof(nodes[0].address), "10.9.9.9:7");
	checkin(f, &nodes[0].in);
	expect_placed(f, 1, 9, "DE");
	/* Rules change and go. */
	set_rule(f, 1, "home", "DE,FR");
	expect_placed(f, 1, 19, "DE FR");
	assert_int_equal(placement_parse(&f->call, 9, bytes_str("home"), BYTES_NONE, &p), OK);
	assert_int_equal(store_placement_set(&f->call, f->sat.db, &p), ERR_EXISTS);
	call_clear_error(&f->call);
	assert_int_equal(store_placement_remove(&f->call, f->sat.db, 1), OK);
	assert_int_equal(store_placement_remove(&f->call, f->sat.db, 1), ERR_NOT_FOUND);
	call_clear_error(&f->call);
	assert_int_equal(overlay_refresh(&f->call, &f->sat), OK);
	expect_placed(f, 1, 0, "");
	assert_false(overlay_placement(&f->sat, 1, &p));
	assert_true(overlay_placement(&f->sat, 2, &p));
	for (unsigned i = 0; i < NODES; i++)
		identity_free(nodes[i].identity);
}

static void checkin_tagged(struct fixture *f, struct test_node *n, const char *tags)
{
	n->in.tags = tags;
	n->in.now_unix_ns += NS_PER_SEC;
	checkin(f, &n->in);
}

/* Tags are asked of the nodes that have them, also of those that came before the rule. */
static void tagged_placements(void **state)
{
	struct fixture *f = *state;
	struct test_node nodes[NODES] = { 0 };
	struct placement p;

	for (unsigned i = 0; i < NODES; i++) {
		char net[40];
		snprintf(net, sizeof(net), "net %u", i / 10);
		node_new(f, &nodes[i], i, net);
		nodes[i].in.tags = i < 5 ? "tier=gold\n" : i < 9 ? "tier=gold\nold=yes\n" : "";
		checkin(f, &nodes[i].in);
	}
	assert_int_equal(placement_parse(&f->call, 1, bytes_str("gold"), BYTES_NONE, &p), OK);
	assert_int_equal(placement_take_tags(&f->call, bytes_str("tier=gold,!old=yes"), &p), OK);
	assert_int_equal(store_placement_set(&f->call, f->sat.db, &p), OK);
	assert_int_equal(overlay_refresh(&f->call, &f->sat), OK);
	expect_placed(f, 1, 1, ""); /* all in one network */
	p.shared_networks = true;
	assert_int_equal(store_placement_set(&f->call, f->sat.db, &p), OK);
	assert_int_equal(overlay_refresh(&f->call, &f->sat), OK);
	expect_placed(f, 1, 5, "");
	checkin_tagged(f, &nodes[0], "");
	checkin_tagged(f, &nodes[9], "tier=gold\n");
	checkin_tagged(f, &nodes[10], "@tier=gold\n");
	checkin_tagged(f, &nodes[11], "tier=gold\n");
	expect_placed(f, 1, 6, "");
	/* A network of its own first. */
	struct node_place *places = NULL;
	for (unsigned round = 0; round < 20; round++) {
		assert_int_equal(satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, 1, 2,
							NULL, 0, &places),
				 OK);
		assert_true(node_id_equal(&places[0].id, &nodes[11].in.id) ||
			    node_id_equal(&places[1].id, &nodes[11].in.id));
	}
	/* Those used before are not chosen again, their networks are. */
	struct node_id used[] = { nodes[11].in.id, nodes[9].in.id };
	assert_int_equal(
		satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, 1, 4, used, 2, &places),
		OK);
	assert_int_equal(
		satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, 1, 5, used, 2, &places),
		ERR_PRECONDITION);
	call_clear_error(&f->call);
	/* Another process reads the same from the rows. */
	struct satellite other = f->sat;
	assert_int_equal(overlay_new(&f->call, &other, &other.overlay), OK);
	assert_int_equal(
		satellite_select_nodes(&f->call, &other, &f->call.scratch, 1, 6, NULL, 0, &places),
		OK);
	overlay_free(other.overlay);
	for (unsigned i = 0; i < NODES; i++)
		identity_free(nodes[i].identity);
}

static enum err place_by_continent(struct call *call, struct db_tx *tx, void *arg)
{
	const struct test_node *n = arg;

	for (unsigned i = 0; i < 10; i++)
		TRY_PLAIN(DB_EXEC(call, tx, "UPDATE nodes SET continent = $2 WHERE id = $1", NULL,
				  DB_V_BLOB(node_id_bytes(&n[i].in.id)),
				  DB_V_TEXT(bytes_str(i < 4 ? "EU" : "NA"))));
	return OK;
}

static void set_node_rule(struct fixture *f, int32_t number, const char *continents,
			  const char *operators, struct prices max)
{
	struct placement p;

	assert_int_equal(placement_parse(&f->call, number,
					 bytes_str(arena_printf(&f->call.scratch, "p%d", number)),
					 BYTES_NONE, &p),
			 OK);
	assert_int_equal(placement_take_continents(&f->call, bytes_str(continents), &p), OK);
	assert_int_equal(placement_take_operators(&f->call, bytes_str(operators), &p), OK);
	assert_int_equal(placement_take_prices(&f->call, &max, &p), OK);
	assert_int_equal(store_placement_set(&f->call, f->sat.db, &p), OK);
	assert_int_equal(overlay_refresh(&f->call, &f->sat), OK);
}

static void expect_node_rules(struct fixture *f)
{
	expect_placed(f, 1, 4, "");
	expect_placed(f, 2, 4, ""); /* neither the others' nor who does not say */
	expect_placed(f, 3, 3, "");
	expect_placed(f, 4, 5, "");
	expect_placed(f, 5, NODES - 20, "");
	expect_placed(f, 6, NODES, "");
	expect_placed(f, 7, 1, "");
}

/* Four of ten nodes in Europe; five operators with two nodes each, of which one declares prices.
 * The others cost what is paid. */
static void node_placements(void **state)
{
	struct fixture *f = *state;
	struct test_node nodes[NODES] = { 0 };

	f->sat.config.pay_storage = 1500000;
	f->sat.config.pay_egress = 2000000;
	for (unsigned i = 0; i < NODES; i++) {
		char net[40];
		snprintf(net, sizeof(net), "net %u", i);
		node_new(f, &nodes[i], i, net);
		nodes[i].in.wallet = i < 10 ? arena_printf(&f->call.scratch, "0xW%u", i / 2) : "";
		nodes[i].in.email = i >= 10 && i < 12 ? "Me@my.org" : "";
		nodes[i].in.tags = i < 10 && i % 2 ? "@storage_price=1.20\n"
				   : i >= 20	   ? "@egress_price=1e-1\nstorage_price=0\n"
						   : "@egress_price=none\n";
		checkin(f, &nodes[i].in);
	}
	assert_int_equal(db_write(&f->call, f->sat.db, place_by_continent, nodes), OK);
	set_node_rule(f, 1, "EU", "", (struct prices){ 0 });
	set_node_rule(f, 2, "", "0xw1,me@MY.org,0xw99", (struct prices){ 0 });
	set_node_rule(f, 3, "!EU", "", (struct prices){ 1200000, 0 });
	set_node_rule(f, 4, "", "", (struct prices){ 1499999, 0 });
	set_node_rule(f, 5, "", "", (struct prices){ 1500000, 100000 });
	set_node_rule(f, 6, "", "", (struct prices){ 1500000, 2000000 });
	set_node_rule(f, 7, "EU", "!0xw0", (struct prices){ 1200000, 2000000 });
	expect_node_rules(f);
	/* As the rows have it. */
	struct satellite own = f->sat;
	assert_int_equal(overlay_new(&f->call, &f->sat, &f->sat.overlay), OK);
	expect_node_rules(f);
	overlay_free(f->sat.overlay);
	f->sat.overlay = own.overlay;
	/* Who changes hands or asks for more is counted anew at once. */
	nodes[2].in.wallet = "0xw2";
	checkin(f, &nodes[2].in);
	expect_placed(f, 2, 3, "");
	checkin_tagged(f, &nodes[1], "");
	expect_placed(f, 4, 4, "");
	for (unsigned i = 0; i < NODES; i++)
		identity_free(nodes[i].identity);
}

static enum err break_rules(struct call *call, struct db_tx *tx, void *arg)
{
	return db_exec(call, tx, arg, NULL, 0, NULL);
}

/* Rows that are no rules, as another program may have left them. */
static void broken_placements(void **state)
{
	static const char *const breaches[] = {
		"INSERT INTO placements (number, name, countries) VALUES (1, 'a', 'X')",
		"INSERT INTO placements (number, name, countries, tags) VALUES (1, 'a', '', 'x')",
		"INSERT INTO placements (number, name, countries, continents) VALUES (1, 'a', '', "
		"'DE')",
		"INSERT INTO placements (number, name, countries, operators) VALUES (1, 'a', '', "
		"'x y')",
		"INSERT INTO placements (number, name, countries, max_storage_price) VALUES (1, "
		"'a', '', -1)",
	};
	struct fixture *f = *state;
	struct check_report r;

	if (satellite_check(&f->call, f->sat.db, &r))
		fail_msg("%s", f->call.error);
	/* Other tests leave what wipe does not know. */
	uint64_t before = r.broken;
	for (size_t i = 0; i < ARRAY_LEN(breaches); i++) {
		assert_int_equal(
			db_write(&f->call, f->sat.db, break_rules, (void *)(uintptr_t)breaches[i]),
			OK);
		assert_int_equal(satellite_check(&f->call, f->sat.db, &r), OK);
		assert_int_equal(r.broken, before + 1);
		assert_int_equal(store_placement_remove(&f->call, f->sat.db, 1), OK);
	}
}

static int64_t at(unsigned hour, unsigned minute)
{
	return INT64_C(20000) * 86400 * NS_PER_SEC + (hour * 60 + minute) * 60 * NS_PER_SEC;
}

/* A machine that is on from 8 to 22, and takes pieces from 20 to 21 only. */
static void declared_hours(void **state)
{
	struct fixture *f = *state;
	struct node_entry e = { .node = { .last_success_ns = at(21, 30) }, .hours_suffice = true };
	const int64_t day = 86400 * NS_PER_SEC;

	node_tags_hours("@hours=8:00-22:00\n@upload-hours=20-21\n", "hours", &e.hours);
	node_tags_hours("@hours=8:00-22:00\n@upload-hours=20-21\n", "upload-hours",
			&e.upload_hours);
	assert_false(overlay_takes(&e, at(19, 59)) || overlay_takes(&e, at(20, 50)) ||
		     overlay_takes(&e, at(3, 0)));
	assert_true(overlay_takes(&e, at(20, 0)) && overlay_takes(&e, at(20, 49)));
	assert_true(overlay_away(&e, at(22, 0)) && overlay_away(&e, at(3, 0)) &&
		    overlay_away(&e, at(7, 59)));
	/* Until it has had time to check in. */
	assert_true(overlay_away(&e, at(8, 14)));
	assert_false(overlay_away(&e, at(8, 15)) || overlay_away(&e, at(21, 59)));
	/* Excused when it was there until then, for that night only. */
	f->sat.config.silence_window = 3600 * NS_PER_SEC;
	assert_true(overlay_excused(f->sat.overlay, &e, at(22, 5)) &&
		    overlay_excused(f->sat.overlay, &e, at(8, 14) + day));
	assert_false(overlay_excused(f->sat.overlay, &e, at(21, 59)) ||
		     overlay_excused(f->sat.overlay, &e, at(8, 15) + day) ||
		     overlay_excused(f->sat.overlay, &e, at(22, 5) + day));
	e.node.last_success_ns = at(20, 30);
	assert_false(overlay_excused(f->sat.overlay, &e, at(22, 5)));
	/* Who declares to be there for too short is excused for none, and chosen then only. */
	e.hours_suffice = false;
	assert_false(overlay_away(&e, at(22, 5)) || overlay_away(&e, at(3, 0)) ||
		     overlay_takes(&e, at(22, 5)));
	/* What is no span of hours declares nothing. */
	node_tags_hours("@hours=25-26\n", "hours", &e.hours);
	assert_true(e.hours.always);
	assert_false(overlay_away(&e, at(3, 0)));
}

/* By the clock of this test: those within their hours are chosen. */
static void hours_choose(void **state)
{
	struct fixture *f = *state;
	unsigned now = (unsigned)(os_clock_unix_ns() / NS_PER_SEC / 60 % DAY_MINUTES);
	struct day_hours open = { .count = 1, .spans = { { 0, 120 } } };
	struct test_node nodes[2] = { 0 };
	char text[DAY_HOURS_TEXT_MAX], tags[2][200];

	for (unsigned i = 0; i < 2; i++) {
		char net[40];
		snprintf(net, sizeof(net), "net %u", i);
		node_new(f, &nodes[i], i, net);
		/* One hour ago to in an hour; or the two hours after that. */
		day_hours_text(&open, now + DAY_MINUTES - 60 + i * 120, text);
		snprintf(tags[i], sizeof(tags[i]), "@software=acre\n@upload-hours=%s\n", text);
		nodes[i].in.tags = tags[i];
		checkin(f, &nodes[i].in);
	}
	expect_selectable(f, 1);
	checkin_tagged(f, &nodes[1], "@upload-hours=\n");
	expect_selectable(f, 2);
	/* Ten hours a day are enough to be excused, in however many spans; less is not. */
	const struct node_entry *e = overlay_find(f->sat.overlay, &nodes[1].in.id);
	assert_true(e->hours_suffice);
	checkin_tagged(f, &nodes[1], "@hours=0:00-0:01,12-12:01\n");
	assert_false(e->hours_suffice);
	checkin_tagged(f, &nodes[1], "@hours=22-3,10-15\n");
	assert_true(e->hours_suffice);
	checkin_tagged(f, &nodes[1], "@hours=22-3,10-14:59\n");
	assert_false(e->hours_suffice);
	for (unsigned i = 0; i < 2; i++)
		identity_free(nodes[i].identity);
}

static void every_node_gets_its_share(void **state)
{
	struct fixture *f = *state;
	struct test_node nodes[4] = { 0 };
	struct node_place *places = NULL;
	unsigned hits[4] = { 0 };

	/* One network of three nodes and one of one: the one earns as much as the three together.
	 */
	for (unsigned i = 0; i < 4; i++) {
		node_new(f, &nodes[i], i, i < 3 ? "1.1.1.0" : "2.2.2.0");
		checkin(f, &nodes[i].in);
	}
	for (unsigned round = 0; round < 4000; round++) {
		assert_int_equal(satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, 0, 1,
							NULL, 0, &places),
				 OK);
		for (unsigned i = 0; i < 4; i++)
			hits[i] += node_id_equal(&nodes[i].in.id, &places[0].id);
	}
	assert_in_range(hits[3], 1800, 2200);
	for (unsigned i = 0; i < 3; i++)
		assert_in_range(hits[i], 500, 850);
	for (unsigned i = 0; i < 4; i++)
		identity_free(nodes[i].identity);
}

static enum err vet_first(struct call *call, struct db_tx *tx, void *arg)
{
	const struct test_node *n = arg;

	for (unsigned i = 0; i < 10; i++)
		TRY_PLAIN(DB_EXEC(call, tx, "UPDATE nodes SET vetted_at = 1 WHERE id = $1", NULL,
				  DB_V_BLOB(node_id_bytes(&n[i].in.id))));
	return DB_EXEC(call, tx, "UPDATE nodes SET disqualified_at = 1 WHERE id = $1", NULL,
		       DB_V_BLOB(node_id_bytes(&n[0].in.id)));
}

static void new_nodes_wait(void **state)
{
	struct fixture *f = *state;
	struct test_node nodes[20] = { 0 };
	struct node_place *places = NULL;
	unsigned fresh = 0;

	for (unsigned i = 0; i < 20; i++) {
		char net[40];
		snprintf(net, sizeof(net), "net %u", i);
		node_new(f, &nodes[i], i, net);
		checkin(f, &nodes[i].in);
	}
	assert_int_equal(db_write(&f->call, f->sat.db, vet_first, nodes), OK);
	assert_int_equal(overlay_refresh(&f->call, &f->sat), OK);
	expect_selectable(f, 19);
	for (unsigned round = 0; round < 2000; round++) {
		assert_int_equal(satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, 0, 5,
							NULL, 0, &places),
				 OK);
		for (unsigned i = 0; i < 5; i++) {
			const struct node_entry *e = overlay_find(f->sat.overlay, &places[i].id);
			assert_false(node_id_equal(&places[i].id, &nodes[0].in.id));
			fresh += !e->node.vetted_ns;
		}
	}
	/* 1 % of 10000. */
	assert_in_range(fresh, 60, 150);
	/* When the vetted ones do not suffice, the rest is better than no upload. */
	assert_int_equal(satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, 0, 19, NULL, 0,
						&places),
			 OK);
	for (unsigned i = 0; i < 20; i++)
		identity_free(nodes[i].identity);
}

/* Nodes of one operator in many networks count as one, when that is set. */
static void operators_are_distinct(void **state)
{
	struct fixture *f = *state;
	struct test_node nodes[12] = { 0 };
	struct node_place *places = NULL;

	assert_int_equal(operator_of("", ""), 0);
	assert_true(operator_of("0xAB", "a@x") == operator_of("0xab", "b@y"));
	assert_true(operator_of("", "A@x") == operator_of(NULL, "a@x"));
	assert_true(operator_of("", "a@x") != operator_of("", "b@x"));
	for (unsigned i = 0; i < 12; i++) {
		char net[40];
		snprintf(net, sizeof(net), "net %u", i);
		node_new(f, &nodes[i], i, net);
		if (i < 6)
			nodes[i].in.wallet = "0xfarm";
		else if (i < 8)
			nodes[i].in.email = "two@example.org";
		checkin(f, &nodes[i].in);
	}
	assert_int_equal(satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, 0, 12, NULL, 0,
						&places),
			 OK);
	f->sat.config.distinct_operators = true;
	/* The farm, the two, and four that do not say. */
	assert_int_equal(
		satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, 0, 7, NULL, 0, &places),
		ERR_PRECONDITION);
	assert_non_null(strstr(f->call.error, "distinct operators"));
	for (unsigned round = 0; round < 200; round++) {
		unsigned farm = 0, two = 0;
		assert_int_equal(satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, 0, 6,
							NULL, 0, &places),
				 OK);
		for (unsigned i = 0; i < 6; i++)
			for (unsigned n = 0; n < 8; n++)
				if (node_id_equal(&nodes[n].in.id, &places[i].id))
					(*(n < 6 ? &farm : &two))++;
		assert_int_equal(farm, 1);
		assert_int_equal(two, 1);
	}
	/* Also those of nodes that are used already. */
	assert_int_equal(satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, 0, 6,
						&nodes[0].in.id, 1, &places),
			 ERR_PRECONDITION);
	assert_int_equal(satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, 0, 5,
						&nodes[0].in.id, 1, &places),
			 OK);
	f->sat.config.distinct_operators = false;
	for (unsigned i = 0; i < 12; i++)
		identity_free(nodes[i].identity);
}

/* One of ten that keeps nothing: among two drawn it always loses, and never is cut off. */
static void good_nodes_get_more(void **state)
{
	struct fixture *f = *state;
	struct test_node nodes[10] = { 0 };
	struct node_place *places = NULL;
	struct node_id ids[10];
	unsigned hits = 0;

	for (unsigned i = 0; i < 10; i++) {
		char net[40];
		snprintf(net, sizeof(net), "net %u", i);
		node_new(f, &nodes[i], i, net);
		checkin(f, &nodes[i].in);
		ids[i] = nodes[i].in.id;
	}
	for (unsigned i = 0; i < 20; i++)
		satellite_count_upload(&f->sat, ids, 10, ids + 1, 9);
	for (unsigned round = 0; round < 4000; round++) {
		assert_int_equal(satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, 0, 3,
							NULL, 0, &places),
				 OK);
		for (unsigned i = 0; i < 3; i++)
			hits += node_id_equal(&ids[0], &places[i].id);
	}
	/* Never, as another is always drawn beside it; by chance it would be 1200. */
	assert_int_equal(hits, 0);
	assert_int_equal(satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, 0, 10, NULL, 0,
						&places),
			 OK);
	f->sat.config.upload_choices = 1;
	for (unsigned round = 0; round < 4000; round++) {
		assert_int_equal(satellite_select_nodes(&f->call, &f->sat, &f->call.scratch, 0, 3,
							NULL, 0, &places),
				 OK);
		for (unsigned i = 0; i < 3; i++)
			hits += node_id_equal(&ids[0], &places[i].id);
	}
	assert_in_range(hits, 1050, 1350);
	f->sat.config.upload_choices = 2;
	for (unsigned i = 0; i < 10; i++)
		identity_free(nodes[i].identity);
}

static void uploads_are_forgotten(void **state)
{
	struct upload_counts u = { 0 };
	const int64_t interval = 600 * NS_PER_SEC, now = 1000000 * interval;

	assert_true(upload_counts_share(&u, now) > 1);
	upload_counts_add(&u, true, now);
	upload_counts_add(&u, false, now + interval);
	assert_true(upload_counts_share(&u, now + interval) == 0.5);
	/* The first interval is over after eight, without anybody counting. */
	assert_true(upload_counts_share(&u, now + 7 * interval) == 0.5);
	assert_true(upload_counts_share(&u, now + 8 * interval) == 0);
	assert_true(upload_counts_share(&u, now + 9 * interval) > 1);
	/* And the ring begins anew. */
	upload_counts_add(&u, true, now + 9 * interval);
	assert_true(upload_counts_share(&u, now + 9 * interval) == 1);
	upload_counts_add(&u, false, now + 30 * interval);
	assert_true(upload_counts_share(&u, now + 30 * interval) == 0);
}

static enum err count_rows(struct call *call, struct db_tx *tx, void *arg)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(
		db_query(call, tx, "SELECT COUNT(*), MAX(updated_at) FROM nodes", NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	if (!e)
		*(int64_t *)arg = db_int(rows, 0) ? db_int(rows, 1) : 0;
	db_rows_free(rows);
	return e;
}

static void rows_are_written_seldom(void **state)
{
	struct fixture *f = *state;
	struct test_node n = { 0 };
	int64_t first = 0, then = 0;

	node_new(f, &n, 1, "net");
	checkin(f, &n.in);
	assert_int_equal(db_read(&f->call, f->sat.db, count_rows, &first), OK);
	assert_true(first == n.in.now_unix_ns);
	n.in.now_unix_ns += 600 * NS_PER_SEC;
	checkin(f, &n.in);
	assert_int_equal(db_read(&f->call, f->sat.db, count_rows, &then), OK);
	assert_true(then == first);
	assert_true(overlay_find(f->sat.overlay, &n.in.id)->node.last_success_ns ==
		    n.in.now_unix_ns);
	n.in.now_unix_ns = first + 71 * 60 * NS_PER_SEC;
	checkin(f, &n.in);
	assert_int_equal(db_read(&f->call, f->sat.db, count_rows, &then), OK);
	assert_true(then == n.in.now_unix_ns);
	/* Down: its last success stays. */
	int64_t success = n.in.now_unix_ns;
	n.in.up = false;
	n.in.now_unix_ns += NS_PER_SEC;
	checkin(f, &n.in);
	assert_int_equal(overlay_refresh(&f->call, &f->sat), OK);
	const struct node_entry *e = overlay_find(f->sat.overlay, &n.in.id);
	assert_true(e->node.last_success_ns == success);
	assert_true(e->node.last_failure_ns == n.in.now_unix_ns);
	identity_free(n.identity);
}

/* ---- signatures ---- */

static Orders__PieceHash *make_hash(struct fixture *f, const struct test_node *n)
{
	struct arena *a = &f->call.scratch;
	Orders__PieceHash *h = arena_alloc(a, sizeof(*h));

	orders__piece_hash__init(h);
	h->piece_id = proto_copy(a, BYTES("01234567890123456789012345678901", 32));
	h->hash = proto_copy(a, BYTES("abcdefghabcdefghabcdefghabcdefgh", 32));
	h->piece_size = 4711;
	h->timestamp = proto_time_new(a, os_clock_unix_ns());
	assert_int_equal(piece_hash_sign_node(&f->call, a, h, identity_key(n->identity)), OK);
	return h;
}

static void piece_hashes(void **state)
{
	struct fixture *f = *state;
	struct call *call = &f->call;
	struct test_node a = { 0 }, b = { 0 };

	node_new(f, &a, 1, "1");
	node_new(f, &b, 2, "2");
	checkin(f, &a.in);
	Orders__PieceHash *h = make_hash(f, &a);
	assert_int_equal(satellite_verify_piece_hash(call, &f->sat, &a.in.id, h), OK);
	h->piece_size++;
	assert_int_equal(satellite_verify_piece_hash(call, &f->sat, &a.in.id, h),
			 ERR_UNAUTHENTICATED);
	h->piece_size--;
	assert_int_equal(satellite_verify_piece_hash(call, &f->sat, &b.in.id, h),
			 ERR_UNAUTHENTICATED);
	checkin(f, &b.in);
	assert_int_equal(satellite_verify_piece_hash(call, &f->sat, &b.in.id, h),
			 ERR_UNAUTHENTICATED);
	/* A process that has not seen the check-in. */
	struct satellite other = f->sat;
	assert_int_equal(overlay_new(call, &other, &other.overlay), OK);
	assert_int_equal(satellite_verify_piece_hash(call, &other, &a.in.id, h),
			 ERR_UNAUTHENTICATED);
	const struct node_id ids[] = { a.in.id, b.in.id, f->sat.id };
	assert_int_equal(satellite_load_node_keys(call, &other, ids, 3), OK);
	assert_int_equal(satellite_verify_piece_hash(call, &other, &a.in.id, h), OK);
	assert_int_equal(satellite_verify_piece_hash(call, &other, &f->sat.id, h),
			 ERR_UNAUTHENTICATED);
	overlay_free(other.overlay);
	identity_free(a.identity);
	identity_free(b.identity);
}

static struct order_batch begin(struct fixture *f, Orders__PieceAction action,
				struct ed25519_private *key)
{
	struct order_batch b = { .action = action,
				 .limit = 1000,
				 .payer = { .bucket = bytes_str("my-bucket"), .key = 4711 } };

	memset(b.root.b, 3, PIECE_ID_BYTES);
	memset(b.payer.project.b, 4, PROJECT_ID_BYTES);
	assert_int_equal(order_batch_begin(&f->call, &f->sat, &b, key), OK);
	return b;
}

static void orders(void **state)
{
	struct fixture *f = *state;
	struct call *call = &f->call;
	struct arena *a = &call->scratch;
	struct node_place node = { .address = "1.2.3.4:5", .known = true, .online = true };
	Metainfo__AddressedOrderLimit *m = NULL;
	struct ed25519_private key;
	struct payer payer;
	struct piece_id piece;

	memset(node.id.b, 0xfe, NODE_ID_BYTES);
	struct order_batch b = begin(f, ORDERS__PIECE_ACTION__PUT, &key);
	assert_true((int64_t)get_be64(b.serial.b) == b.expiration_ns / NS_PER_SEC);
	assert_true(b.expiration_ns - b.creation_ns == 24 * 3600 * NS_PER_SEC);
	assert_int_equal(order_batch_limit(call, &f->sat, a, &b, &node, 7, &m), OK);
	assert_string_equal(m->storage_node_address->address, "1.2.3.4:5");
	assert_null(m->storage_node_address->noise_info);
	piece_id_derive(&b.root, &node.id, 7, &piece);
	assert_true(bytes_equal(proto_bytes(m->limit->piece_id), BYTES_OF(piece.b)));
	assert_null(m->limit->piece_expiration);
	assert_int_equal(order_limit_verify(call, m->limit,
					    cert_chain_leaf_key(identity_chain(f->sat.identity))),
			 OK);
	assert_int_equal(order_metadata_open(call, &f->sat, a, m->limit, &payer), OK);
	assert_memory_equal(payer.project.b, b.payer.project.b, PROJECT_ID_BYTES);
	assert_int_equal(payer.key, 4711);
	assert_true(bytes_equal(payer.bucket, bytes_str("my-bucket")));
	/* Nothing of it is readable, or changeable. */
	struct bytes sealed = proto_bytes(m->limit->encrypted_metadata);
	assert_null(memmem(sealed.data, sealed.len, "my-bucket", 9));
	m->limit->encrypted_metadata.data[sealed.len - 1] ^= 1;
	assert_int_not_equal(order_metadata_open(call, &f->sat, a, m->limit, &payer), OK);
	assert_int_equal(order_limit_verify(call, m->limit,
					    cert_chain_leaf_key(identity_chain(f->sat.identity))),
			 ERR_UNAUTHENTICATED);
	/* Limits of before keys had numbers, and those of audits. */
	b.payer.key = 0;
	assert_int_equal(order_batch_limit(call, &f->sat, a, &b, &node, 7, &m), OK);
	assert_int_equal(order_metadata_open(call, &f->sat, a, m->limit, &payer), OK);
	assert_int_equal(payer.key, 0);
	b.piece_expiration_ns = b.creation_ns + NS_PER_SEC;
	assert_int_equal(order_batch_limit(call, &f->sat, a, &b, &node, 8, &m), OK);
	assert_true(proto_time(m->limit->piece_expiration) == b.piece_expiration_ns);
}

/* ---- settlement ---- */

static Orders__SettlementRequest *entry(struct fixture *f, const struct order_batch *b,
					const struct ed25519_private *key,
					const struct node_id *node, int64_t amount)
{
	struct arena *a = &f->call.scratch;
	struct node_place place = { .id = *node, .address = "x:1" };
	Metainfo__AddressedOrderLimit *m = NULL;
	Orders__SettlementRequest *r = arena_alloc(a, sizeof(*r));
	Orders__Order *o = arena_alloc(a, sizeof(*o));
	struct ed25519_signer *signer = NULL;
	struct order order = { .serial = b->serial, .amount = amount };

	assert_int_equal(order_batch_limit(&f->call, &f->sat, a, b, &place, 0, &m), OK);
	assert_int_equal(ed25519_signer_new(&f->call, key, &signer), OK);
	assert_int_equal(order_sign(&f->call, &order, signer), OK);
	ed25519_signer_free(signer);
	orders__settlement_request__init(r);
	orders__order__init(o);
	o->serial_number = proto_copy(a, BYTES_OF(order.serial.b));
	o->amount = amount;
	o->uplink_signature = proto_copy(a, BYTES_OF(order.signature));
	r->limit = m->limit;
	r->order = o;
	return r;
}

static struct settlement *settle(struct fixture *f, const struct node_id *node,
				 Orders__SettlementRequest **entries, size_t count, bool *accepted)
{
	struct settlement *s = NULL;

	assert_int_equal(settlement_new(&f->call, &f->sat, node, &s), OK);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(settlement_add(&f->call, s, entries[i]), OK);
	enum err e = settlement_finish(&f->call, s, f->sat.db, accepted);
	if (e)
		fail_msg("%s", call_error(&f->call, e));
	return s;
}

static enum err totals(struct call *call, struct db_tx *tx, void *arg)
{
	struct db_rows *rows = NULL;
	int64_t *sums = arg;

	TRY_PLAIN(db_query(call, tx,
			   "SELECT SUM(settled), SUM(dead), (SELECT SUM(settled) FROM "
			   "key_bandwidth WHERE key_number = 4711) FROM bucket_bandwidth_rollups",
			   NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	for (unsigned i = 0; !e && i < 3; i++)
		sums[i] = db_int(rows, i);
	db_rows_free(rows);
	return e;
}

static void settlement(void **state)
{
	struct fixture *f = *state;
	struct ed25519_private key;
	struct node_id node = { .b = { 1, 2, 3 } }, other = { .b = { 9 } };
	Orders__SettlementRequest *e[200];
	bool accepted = false;
	int64_t sums[3] = { 0 };
	size_t n = 0;

	for (unsigned i = 0; i < 100; i++) {
		struct order_batch b = begin(
			f, i % 2 ? ORDERS__PIECE_ACTION__GET : ORDERS__PIECE_ACTION__PUT, &key);
		e[n++] = entry(f, &b, &key, &node, 100);
	}
	/* Twice the same; more than the limit; of another node; unsigned; expired; another hour. */
	e[n++] = e[0];
	struct order_batch b = begin(f, ORDERS__PIECE_ACTION__GET, &key);
	e[n++] = entry(f, &b, &key, &node, 1001);
	e[n++] = entry(f, &b, &key, &node, -1);
	e[n++] = entry(f, &b, &key, &other, 5);
	e[n] = entry(f, &b, &key, &node, 5);
	e[n++]->order->uplink_signature.data[0] ^= 1;
	e[n] = entry(f, &b, &key, &node, 5);
	e[n++]->limit->limit++;
	e[n] = entry(f, &b, &key, &node, 5);
	e[n++]->order = NULL;
	struct order_batch old = b;
	old.expiration_ns = os_clock_unix_ns() - 1;
	e[n++] = entry(f, &old, &key, &node, 5);
	old = b;
	old.creation_ns -= 2 * 3600 * NS_PER_SEC;
	e[n++] = entry(f, &old, &key, &node, 5);

	struct settlement *s = settle(f, &node, e, n, &accepted);
	assert_true(accepted);
	assert_int_equal(settlement_sums(s)[ORDERS__PIECE_ACTION__PUT], 5000);
	assert_int_equal(settlement_sums(s)[ORDERS__PIECE_ACTION__GET], 5000);
	settlement_free(s);
	assert_int_equal(db_read(&f->call, f->sat.db, totals, sums), OK);
	assert_int_equal(sums[0], 10000);
	assert_int_equal(sums[1], 90000);
	assert_int_equal(sums[2], 10000);
	/* A lost answer is repaired by sending the same again; it is not paid twice. */
	settlement_free(settle(f, &node, e, n, &accepted));
	assert_true(accepted);
	assert_int_equal(db_read(&f->call, f->sat.db, totals, sums), OK);
	assert_int_equal(sums[0], 10000);
	assert_int_equal(sums[2], 10000);
	/* Other sums for a settled window, or nothing valid at all. */
	settlement_free(settle(f, &node, e, 99, &accepted));
	assert_false(accepted);
	settlement_free(settle(f, &node, e + 100, n - 100, &accepted));
	assert_false(accepted);
	settlement_free(settle(f, &node, NULL, 0, &accepted));
	assert_false(accepted);
	/* What belongs to another node pays that one. */
	s = settle(f, &other, e, n, &accepted);
	assert_true(accepted);
	assert_int_equal(settlement_sums(s)[ORDERS__PIECE_ACTION__GET], 5);
	assert_int_equal(settlement_sums(s)[ORDERS__PIECE_ACTION__PUT], 0);
	settlement_free(s);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes),
		cmocka_unit_test(settings_refused),
		cmocka_unit_test(proposals),
		cmocka_unit_test(config_round_trip),
		cmocka_unit_test(rates),
		WITH(addresses),
		WITH(authentication),
		WITH(revocation),
		WITH(project_rate),
		WITH(selection),
		WITH(placements),
		WITH(tagged_placements),
		WITH(node_placements),
		WITH(broken_placements),
		WITH(declared_hours),
		WITH(hours_choose),
		WITH(operators_are_distinct),
		WITH(good_nodes_get_more),
		cmocka_unit_test(uploads_are_forgotten),
		WITH(every_node_gets_its_share),
		WITH(new_nodes_wait),
		WITH(rows_are_written_seldom),
		WITH(piece_hashes),
		WITH(orders),
		WITH(settlement),
	};

	if (argc > 1)
		kind = argv[1];
	if (strcmp(kind, "postgres") == 0 && !os_getenv("ACRE_TEST_POSTGRES")) {
		fprintf(stderr,
			"SKIPPED: no ACRE_TEST_POSTGRES (run by tests/pg.sh with-postgres)\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
