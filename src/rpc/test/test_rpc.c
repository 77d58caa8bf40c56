/* Client and server in one process: unary, streams, errors, cancellation, reuse, pool, limits. */
#include "rpc/test/peers.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/num.h"
#include "os/cancel.h"
#include "os/thread.h"
#include "proto/contact.pb-c.h"

struct service {
	_Atomic int canceled, running;
	_Atomic bool release;
};

static enum err echo(struct call *call, void *service, struct rpc_stream *s)
{
	struct bytes m;

	TRY_PLAIN(rpc_recv(call, s, &m));
	return rpc_send(call, s, &m, 1);
}

static enum err echo_all(struct call *call, void *service, struct rpc_stream *s)
{
	for (;;) {
		struct bytes m;
		enum err e = rpc_recv(call, s, &m);
		if (e == ERR_EOF)
			return OK;
		TRY_PLAIN(e);
		TRY_PLAIN(rpc_send(call, s, &m, 1));
	}
}

static enum err fail_it(struct call *call, void *service, struct rpc_stream *s)
{
	return call_fail_status(call, ERR_NOT_FOUND, 10019, "no such bucket");
}

/* Waits for the peer to go away. */
static enum err hang(struct call *call, void *service, struct rpc_stream *s)
{
	struct service *sv = service;
	struct bytes m;
	enum err e;

	sv->running++;
	do {
		e = rpc_recv(call, s, &m);
	} while (!e);
	if (e != ERR_EOF && os_cancel_is_set(call->cancel))
		sv->canceled++;
	sv->running--;
	return e;
}

/* Has all it was sent, and works until its caller has gone. */
static enum err work(struct call *call, void *service, struct rpc_stream *s)
{
	struct service *sv = service;
	struct bytes m;
	enum err e;

	do {
		e = rpc_recv(call, s, &m);
	} while (!e);
	if (e != ERR_EOF)
		return e;
	sv->running++;
	while ((e = rpc_flush(call, s)) == OK && os_sleep(call, NS_PER_MS) == OK)
		;
	/* Not ERR_EOF, which a stream that the peer closed would tell. */
	if (e == ERR_CANCELED)
		sv->canceled++;
	sv->running--;
	return e;
}

/* Sends until it cannot. */
static enum err flood(struct call *call, void *service, struct rpc_stream *s)
{
	static const uint8_t chunk[64 << 10];
	struct service *sv = service;
	struct bytes part = BYTES_OF(chunk);
	enum err e;

	sv->running++;
	do {
		e = rpc_send(call, s, &part, 1);
	} while (!e);
	if (os_cancel_is_set(call->cancel))
		sv->canceled++;
	sv->running--;
	return e;
}

/* Counts what comes, then says how much. */
static enum err count(struct call *call, void *service, struct rpc_stream *s)
{
	uint64_t sum = 0;
	uint8_t out[8];

	for (;;) {
		struct bytes m;
		enum err e = rpc_recv(call, s, &m);
		if (e == ERR_EOF)
			break;
		TRY_PLAIN(e);
		for (size_t i = 0; i < m.len; i++)
			sum += (uint64_t)m.data[i] * (i + 1);
	}
	put_be64(out, sum);
	struct bytes part = BYTES_OF(out);
	return rpc_send(call, s, &part, 1);
}

/* Answers at once and does not read. */
static enum err reject(struct call *call, void *service, struct rpc_stream *s)
{
	return call_fail(call, ERR_NO_SPACE, "disk full");
}

static enum err ping(struct call *call, void *service, struct rpc_stream *s)
{
	AUTO(arena_free) struct arena a = { 0 };
	Contact__ContactPingRequest *request;
	Contact__ContactPingResponse response = CONTACT__CONTACT_PING_RESPONSE__INIT;

	TRY_PLAIN(rpc_request(call, s, &a, &contact__contact_ping_request__descriptor, &request));
	return rpc_send_message(call, s, &response.base);
}

static const struct rpc_method methods[] = {
	{ "/vector.Test/Echo", echo },	       { "/vector.Test/Stream", echo_all },
	{ "/vector.Test/Fail", fail_it },      { "/vector.Test/Hang", hang },
	{ "/vector.Test/Flood", flood },       { "/vector.Test/Count", count },
	{ "/vector.Test/Reject", reject },     { "/vector.Test/Work", work },
	{ "/contact.Contact/PingNode", ping },
};

static struct rpc_server_config config_of(struct service *sv)
{
	return (struct rpc_server_config){ .methods = methods,
					   .methods_count = ARRAY_LEN(methods),
					   .service = sv };
}

static void open_stream(struct peers *p, struct rpc_conn *c, const char *method,
			struct rpc_stream **s)
{
	must(&p->call, rpc_open(&p->call, c, method, s));
}

static void send(struct peers *p, struct rpc_stream *s, struct bytes v)
{
	must(&p->call, rpc_send(&p->call, s, &v, 1));
}

static void wait_for(_Atomic int *what, int value)
{
	struct call call;

	call_init(&call);
	for (int i = 0; i < 5000 && *what != value; i++)
		assert_int_equal(os_sleep(&call, NS_PER_MS), OK);
	assert_int_equal(*what, value);
}

static void echo_once(struct peers *p, struct rpc_conn *c, size_t len)
{
	uint8_t *data = malloc(len + 1);
	struct rpc_stream *s;
	struct bytes m;

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 31 + len);
	open_stream(p, c, "/vector.Test/Echo", &s);
	send(p, s, BYTES(data, len));
	must(&p->call, rpc_close_send(&p->call, s));
	must(&p->call, rpc_recv(&p->call, s, &m));
	assert_int_equal(m.len, len);
	assert_true(bytes_equal(m, BYTES(data, len)));
	assert_int_equal(rpc_recv(&p->call, s, &m), ERR_EOF);
	rpc_stream_end(s);
	assert_true(rpc_conn_reusable(c));
	free(data);
}

static void messages_of_all_sizes(void **state)
{
	static const size_t sizes[] = { 0,	1,	100,	 4000,	 16370,	 16383,
					16384,	16385,	32768,	 65536,	 131071, 131072,
					131073, 300000, 1 << 20, 4 << 20 };
	struct service sv = { 0 };
	struct peers p;

	peers_start(&p, config_of(&sv));
	struct rpc_conn *c = peers_dial(&p);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		echo_once(&p, c, sizes[i]);
	rpc_conn_close(c);
	peers_stop(&p);
}

static void unary_with_messages(void **state)
{
	Contact__ContactPingRequest request = CONTACT__CONTACT_PING_REQUEST__INIT;
	AUTO(arena_free) struct arena a = { 0 };
	Contact__ContactPingResponse *reply;
	struct service sv = { 0 };
	struct peers p;

	peers_start(&p, config_of(&sv));
	struct rpc_conn *c = peers_dial(&p);
	for (int i = 0; i < 100; i++) {
		must(&p.call, rpc_invoke(&p.call, c, "/contact.Contact/PingNode", &request.base, &a,
					 &contact__contact_ping_response__descriptor, &reply));
		assert_non_null(reply);
	}
	assert_true(rpc_conn_reusable(c));
	rpc_conn_close(c);
	peers_stop(&p);
}

static void errors_come_with_text_and_status(void **state)
{
	AUTO(arena_free) struct arena a = { 0 };
	Contact__ContactPingResponse *reply;
	struct service sv = { 0 };
	struct peers p;

	peers_start(&p, config_of(&sv));
	struct rpc_conn *c = peers_dial(&p);
	enum err e = rpc_invoke(&p.call, c, "/vector.Test/Fail", NULL, &a,
				&contact__contact_ping_response__descriptor, &reply);
	assert_int_equal(e, ERR_NOT_FOUND);
	assert_int_equal(p.call.status, 10019);
	assert_string_equal(p.call.error, "no such bucket");
	e = rpc_invoke(&p.call, c, "/vector.Test/Nope", NULL, &a,
		       &contact__contact_ping_response__descriptor, &reply);
	assert_int_equal(e, ERR_UNKNOWN);
	assert_string_equal(p.call.error, "protocol error: unknown rpc: \"/vector.Test/Nope\"");
	assert_true(rpc_conn_reusable(c));
	echo_once(&p, c, 10);
	rpc_conn_close(c);
	peers_stop(&p);
}

static void stream_both_ways(void **state)
{
	struct service sv = { 0 };
	struct rpc_stream *s;
	struct bytes m;
	struct peers p;

	peers_start(&p, config_of(&sv));
	struct rpc_conn *c = peers_dial(&p);
	open_stream(&p, c, "/vector.Test/Stream", &s);
	for (int i = 0; i < 200; i++) {
		send(&p, s, BYTES(&i, sizeof(i)));
		must(&p.call, rpc_recv(&p.call, s, &m));
		assert_true(bytes_equal(m, BYTES(&i, sizeof(i))));
	}
	must(&p.call, rpc_close_send(&p.call, s));
	assert_int_equal(rpc_recv(&p.call, s, &m), ERR_EOF);
	rpc_stream_end(s);
	assert_true(rpc_conn_reusable(c));
	rpc_conn_close(c);
	peers_stop(&p);
}

/* Both sides send more than any buffer holds before they receive: neither may block the other. */
static void two_senders_do_not_deadlock(void **state)
{
	enum { COUNT = 40, SIZE = 20000 };
	struct service sv = { 0 };
	struct rpc_stream *s;
	struct bytes m;
	struct peers p;
	uint8_t *data = calloc(1, SIZE);

	peers_start(&p, config_of(&sv));
	struct rpc_conn *c = peers_dial(&p);
	open_stream(&p, c, "/vector.Test/Stream", &s);
	for (int i = 0; i < COUNT; i++) {
		memset(data, i, SIZE);
		send(&p, s, BYTES(data, SIZE));
	}
	must(&p.call, rpc_close_send(&p.call, s));
	for (int i = 0; i < COUNT; i++) {
		memset(data, i, SIZE);
		must(&p.call, rpc_recv(&p.call, s, &m));
		assert_true(bytes_equal(m, BYTES(data, SIZE)));
	}
	assert_int_equal(rpc_recv(&p.call, s, &m), ERR_EOF);
	rpc_stream_end(s);
	rpc_conn_close(c);
	peers_stop(&p);
	free(data);
}

static void upload_in_parts(void **state)
{
	enum { CHUNK = 64 << 10, COUNT = 100 };
	uint8_t *data = malloc(CHUNK), sum[8], head[7] = { 1, 2, 3, 4, 5, 6, 7 };
	struct service sv = { 0 };
	struct rpc_stream *s;
	struct bytes m;
	struct peers p;
	uint64_t want = 0;

	for (size_t i = 0; i < CHUNK; i++)
		data[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < sizeof(head) + CHUNK; i++)
		want += (uint64_t)(i < sizeof(head) ? head[i] : data[i - sizeof(head)]) * (i + 1);
	put_be64(sum, want * COUNT);
	peers_start(&p, config_of(&sv));
	struct rpc_conn *c = peers_dial(&p);
	open_stream(&p, c, "/vector.Test/Count", &s);
	const struct bytes parts[] = { BYTES_OF(head), BYTES_NONE, BYTES(data, CHUNK) };
	for (int i = 0; i < COUNT; i++)
		must(&p.call, rpc_send(&p.call, s, parts, ARRAY_LEN(parts)));
	must(&p.call, rpc_close_send(&p.call, s));
	must(&p.call, rpc_recv(&p.call, s, &m));
	assert_true(bytes_equal(m, BYTES_OF(sum)));
	rpc_stream_end(s);
	rpc_conn_close(c);
	peers_stop(&p);
	free(data);
}

static void server_error_reaches_a_sender(void **state)
{
	static const uint8_t chunk[64 << 10];
	struct bytes part = BYTES_OF(chunk);
	struct service sv = { 0 };
	struct rpc_stream *s;
	struct peers p;
	enum err e;

	peers_start(&p, config_of(&sv));
	struct rpc_conn *c = peers_dial(&p);
	open_stream(&p, c, "/vector.Test/Reject", &s);
	do {
		e = rpc_send(&p.call, s, &part, 1);
	} while (!e);
	assert_int_equal(p.call.status, err_status(ERR_NO_SPACE));
	assert_string_equal(p.call.error, "disk full");
	rpc_stream_end(s);
	if (!rpc_conn_reusable(c))
		must(&p.call, rpc_open(&p.call, c, "/why", &s));
	echo_once(&p, c, 100000);
	rpc_conn_close(c);
	peers_stop(&p);
}

static void soft_cancel_keeps_the_connection(void **state)
{
	struct service sv = { 0 };
	struct rpc_stream *s;
	struct peers p;

	peers_start(&p, config_of(&sv));
	struct rpc_conn *c = peers_dial(&p);
	/* Over Noise nothing can be said before the first answer: a new one is given up instead. */
	echo_once(&p, c, 10);
	open_stream(&p, c, "/vector.Test/Hang", &s);
	send(&p, s, bytes_str("a"));
	must(&p.call, rpc_flush(&p.call, s));
	wait_for(&sv.running, 1);
	rpc_stream_end(s);
	wait_for(&sv.canceled, 1);
	assert_true(rpc_conn_reusable(c));
	echo_once(&p, c, 1000);

	/* A server that is blocked in sending notices too, and finishes its frame. */
	open_stream(&p, c, "/vector.Test/Flood", &s);
	must(&p.call, rpc_flush(&p.call, s));
	wait_for(&sv.running, 1);
	struct call wait;
	call_init(&wait);
	assert_int_equal(os_sleep(&wait, 100 * NS_PER_MS), OK);
	rpc_stream_end(s);
	echo_once(&p, c, 1000);
	wait_for(&sv.canceled, 2);
	rpc_conn_close(c);
	peers_stop(&p);
}

static void call_given_up_before_its_answer_is_cancelled(void **state)
{
	struct service sv = { 0 };
	struct rpc_stream *s;
	struct peers p;

	peers_start(&p, config_of(&sv));
	struct rpc_conn *c = peers_dial(&p);
	/* Over Noise nothing can be said before the first answer: a new one is given up instead. */
	echo_once(&p, c, 10);
	open_stream(&p, c, "/vector.Test/Work", &s);
	send(&p, s, bytes_str("a"));
	must(&p.call, rpc_close_send(&p.call, s));
	wait_for(&sv.running, 1);
	rpc_stream_end(s);
	wait_for(&sv.canceled, 1);
	assert_true(rpc_conn_reusable(c));
	echo_once(&p, c, 1000);
	rpc_conn_close(c);
	peers_stop(&p);
}

static void vanished_peer_cancels_the_call(void **state)
{
	struct service sv = { 0 };
	struct rpc_stream *s;
	struct peers p;

	peers_start(&p, config_of(&sv));
	struct rpc_conn *c = peers_dial(&p);
	open_stream(&p, c, "/vector.Test/Hang", &s);
	must(&p.call, rpc_flush(&p.call, s));
	wait_for(&sv.running, 1);
	rpc_conn_close(c);
	wait_for(&sv.canceled, 1);
	peers_stop(&p);
}

static void stop_cancels_running_calls(void **state)
{
	struct service sv = { 0 };
	struct rpc_stream *s;
	struct bytes m;
	struct peers p;

	peers_start(&p, config_of(&sv));
	struct rpc_conn *c = peers_dial(&p);
	open_stream(&p, c, "/vector.Test/Hang", &s);
	must(&p.call, rpc_flush(&p.call, s));
	wait_for(&sv.running, 1);
	struct rpc_server *server = p.server;
	p.server = NULL;
	rpc_server_stop(server, 50 * NS_PER_MS);
	assert_int_equal(sv.canceled, 1);
	assert_int_not_equal(rpc_recv(&p.call, s, &m), OK);
	rpc_conn_close(c);
	peers_stop(&p);
}

/* One goes while the other serves, and the host's threads are nobody's. */
static void servers_of_one_host(void **state)
{
	struct rpc_host_config shared = { .connections_max = 8 };
	struct rpc_host *host = NULL;
	struct peers a, b;
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	must(&call, rpc_host_new(&call, &shared, &host));
	peers_start(&a, (struct rpc_server_config){ .host = host,
						    .methods = methods,
						    .methods_count = ARRAY_LEN(methods) });
	peers_start(&b, (struct rpc_server_config){ .host = host,
						    .methods = methods,
						    .methods_count = ARRAY_LEN(methods) });
	struct rpc_conn *to_a = peers_dial(&a), *to_b = peers_dial(&b), *more = peers_dial(&b);
	echo_once(&a, to_a, 1000);
	echo_once(&b, to_b, 1000);
	rpc_server_stop(take(&a.server), 5 * NS_PER_SEC);
	echo_once(&b, to_b, 100000);
	echo_once(&b, more, 10);
	rpc_conn_close(more);
	rpc_conn_close(to_a);
	rpc_conn_close(to_b);
	peers_stop(&a);
	peers_stop(&b);
	rpc_host_free(host);
}

static void deadline_of_a_call(void **state)
{
	struct service sv = { 0 };
	struct rpc_stream *s;
	struct bytes m;
	struct peers p;
	struct call call;

	peers_start(&p, config_of(&sv));
	struct rpc_conn *c = peers_dial(&p);
	open_stream(&p, c, "/vector.Test/Hang", &s);
	call_init(&call);
	os_call_limit(&call, 50 * NS_PER_MS);
	assert_int_equal(rpc_recv(&call, s, &m), ERR_DEADLINE);
	rpc_stream_end(s);
	wait_for(&sv.canceled, 1);
	assert_true(rpc_conn_reusable(c));
	rpc_conn_close(c);
	peers_stop(&p);
}

static void too_many_calls_are_told(void **state)
{
	enum { MANY = 40, ACTIVE = 2, QUEUE = 16 };
	struct rpc_server_config config;
	struct rpc_conn *c[MANY];
	struct rpc_stream *s[MANY];
	bool refused[MANY] = { false };
	unsigned refused_count = 0;
	struct service sv = { 0 };
	struct bytes m;
	struct peers p;

	config = config_of(&sv);
	config.active_max = ACTIVE;
	peers_start(&p, config);
	/* Idle connections hold no worker, so all can be dialed; then two calls fill the server. */
	for (int i = 0; i < MANY; i++)
		c[i] = peers_dial(&p);
	for (int i = 0; i < MANY; i++) {
		open_stream(&p, c[i], i < ACTIVE ? "/vector.Test/Hang" : "/vector.Test/Echo",
			    &s[i]);
		enum err e = rpc_flush(&p.call, s[i]);
		/* Over Noise a flush may wait for the server and hear of the refusal. */
		if (e != ERR_UNAVAILABLE)
			must(&p.call, e);
		if (i < ACTIVE)
			wait_for(&sv.running, i + 1);
	}
	while (refused_count < MANY - ACTIVE - QUEUE)
		for (int i = 0; i < MANY; i++) {
			if (refused[i])
				continue;
			enum err e = rpc_try_recv(&p.call, s[i], &m);
			if (e == ERR_WOULD_BLOCK) {
				must(&p.call, os_sleep(&p.call, NS_PER_MS / 10));
				continue;
			}
			assert_int_equal(e, ERR_UNAVAILABLE);
			assert_non_null(strstr(p.call.error, "overloaded"));
			rpc_stream_end(s[i]);
			assert_true(rpc_conn_reusable(c[i]));
			refused[i] = true;
			refused_count++;
		}
	for (int i = 0; i < MANY; i++)
		rpc_conn_close(c[i]);
	peers_stop(&p);
}

static void pool_reuses(void **state)
{
	struct service sv = { 0 };
	struct rpc_conn *a, *b;
	struct rpc_pool *pool;
	struct peers p;

	peers_start(&p, config_of(&sv));
	const struct node_id *id = identity_node_id(p.server_id);
	const char *address = rpc_server_address(p.server);
	must(&p.call, rpc_pool_new(&p.call, p.client_tls,
				   (struct rpc_pool_limits){ .idle_per_key = 1 }, &pool));
	must(&p.call, rpc_pool_get(&p.call, pool, id, address, NULL, &a));
	must(&p.call, rpc_pool_get(&p.call, pool, id, address, NULL, &b));
	echo_once(&p, a, 10);
	echo_once(&p, b, 10);
	rpc_pool_put(pool, a);
	rpc_pool_put(pool, b);
	must(&p.call, rpc_pool_get(&p.call, pool, id, address, NULL, &a));
	assert_ptr_equal(a, b);
	echo_once(&p, a, 10);
	rpc_pool_put(pool, a);
	struct node_id other = *id;
	other.b[0] ^= 1;
	assert_int_equal(rpc_pool_get(&p.call, pool, &other, address, NULL, &a),
			 ERR_UNAUTHENTICATED);
	rpc_pool_free(pool);
	peers_stop(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unary_with_messages),
		cmocka_unit_test(messages_of_all_sizes),
		cmocka_unit_test(errors_come_with_text_and_status),
		cmocka_unit_test(stream_both_ways),
		cmocka_unit_test(two_senders_do_not_deadlock),
		cmocka_unit_test(upload_in_parts),
		cmocka_unit_test(server_error_reaches_a_sender),
		cmocka_unit_test(soft_cancel_keeps_the_connection),
		cmocka_unit_test(call_given_up_before_its_answer_is_cancelled),
		cmocka_unit_test(vanished_peer_cancels_the_call),
		cmocka_unit_test(stop_cancels_running_calls),
		cmocka_unit_test(servers_of_one_host),
		cmocka_unit_test(deadline_of_a_call),
		cmocka_unit_test(too_many_calls_are_told),
		cmocka_unit_test(pool_reuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
