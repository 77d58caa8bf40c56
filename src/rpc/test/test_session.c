/*
 * Sessions recorded between real peers, replayed: their client's bytes against our server, their
 * server's bytes against our client.  Trailing Close and CloseSend packets depend on timing.
 */
#include "rpc/test/raw.h"

#include <stdlib.h>

#include "os/thread.h"
#include "rpc/test/service.h"
#include "vectors.h"
#include "vectors_stream.h"

/* Data of the frames in order; long ones are cuts of the label's stream. */
static struct bytes frame_data(struct arena *a, const json_t *frame, size_t *big_at)
{
	const char *hex = json_string_value(json_object_get(frame, "data_hex"));
	size_t len = (size_t)vector_int(frame, "data_len");

	if (hex && (strlen(hex) || !len))
		return vector_unhex(a, hex);
	*big_at += len;
	return bytes_from(vector_stream(a, "drpc-big", *big_at), *big_at - len);
}

static struct frame_header header_of(const json_t *f)
{
	return (struct frame_header){ .stream = (uint64_t)vector_int(f, "stream"),
				      .message = (uint64_t)vector_int(f, "message"),
				      .kind = (uint8_t)vector_int(f, "kind"),
				      .control = vector_bool(f, "control"),
				      .done = vector_bool(f, "done") };
}

static void add_frame(struct buf *out, struct arena *a, const json_t *f, size_t *big_at)
{
	struct bytes data = frame_data(a, f, big_at);
	struct frame_header h = header_of(f);
	uint8_t head[FRAME_HEADER_MAX];

	h.length = data.len;
	buf_add(out, head, frame_put_header(head, &h));
	buf_add_bytes(out, data);
}

static bool is_ender(const json_t *f)
{
	int64_t kind = vector_int(f, "kind");

	return kind == PACKET_CLOSE || kind == PACKET_CLOSE_SEND;
}

/* Receives the packets that the recorded server sent on `stream`. */
static void expect_stream(struct peers *p, struct raw *r, struct arena *a, const json_t *frames,
			  uint64_t stream)
{
	AUTO_BUF struct buf want = BUF_INIT(1 << 20);
	size_t i, big_at = 0;
	json_t *f;

	r->reader.live = stream;
	json_array_foreach((json_t *)(uintptr_t)frames, i, f)
	{
		struct packet got;
		struct bytes data = frame_data(a, f, &big_at);
		if ((uint64_t)vector_int(f, "stream") != stream || is_ender(f))
			continue;
		buf_add_bytes(&want, data);
		if (!vector_bool(f, "done"))
			continue;
		do {
			must(&p->call, raw_packet(&p->call, r, &got));
		} while (got.stream < stream || got.kind == PACKET_CLOSE_SEND);
		assert_int_equal(got.stream, stream);
		assert_int_equal(got.message, vector_int(f, "message"));
		assert_int_equal(got.kind, vector_int(f, "kind"));
		assert_bytes_equal(packet_reader_data(&r->reader, &got), buf_bytes(&want));
		buf_clear(&want);
	}
}

static void replay_client(const json_t *session)
{
	const json_t *client = vector_get(session, "client_to_server_frames");
	const json_t *server = vector_get(session, "server_to_client_frames");
	AUTO_BUF struct buf all = BUF_INIT(1 << 20);
	struct arena a = { 0 };
	size_t i, big_at = 0;
	uint64_t answered = 0;
	struct peers p;
	struct raw r;
	json_t *f;

	peers_start(&p, VECTOR_SERVICE);
	raw_dial(&p, &r);
	json_array_foreach((json_t *)(uintptr_t)client, i, f)
	{
		struct frame_header h = header_of(f);
		size_t from = all.len;
		/* A client closes, and begins its next call, when it has the answer. */
		bool next = h.kind == PACKET_INVOKE && h.stream > 1;
		uint64_t due = h.kind == PACKET_CLOSE ? h.stream : next ? h.stream - 1 : 0;
		if (due > answered) {
			expect_stream(&p, &r, &a, server, due);
			answered = due;
		}
		add_frame(&all, &a, f, &big_at);
		raw_send(&p.call, &r, bytes_from(buf_bytes(&all), from));
	}
	f = json_array_get(client, json_array_size(client) - 1);
	if (header_of(f).stream > answered)
		expect_stream(&p, &r, &a, server, header_of(f).stream);
	if (json_object_get(session, "client_to_server_hex")) {
		assert_bytes_equal(buf_bytes(&all),
				   vector_hex(&a, session, "client_to_server_hex"));
	} else {
		uint8_t hash[HASH_BYTES];
		hash_sha256(buf_bytes(&all), hash);
		assert_bytes_equal(BYTES_OF(hash),
				   vector_hex(&a, session, "client_to_server_sha256"));
	}
	raw_close(&r);
	peers_stop(&p);
	arena_free(&a);
}

static void their_client_against_our_server(void **state)
{
	json_t *root = vectors_load("drpc"), *v;
	size_t i;

	json_array_foreach(json_object_get(root, "sessions"), i, v) replay_client(v);
	assert_true(i >= 9);
	json_decref(root);
}

/* ---- the other way ---- */

struct script {
	struct peers *p;
	struct os_listener *listener;
	const json_t *session;
};

/* Answers each stream with the recorded bytes as soon as its request is complete. */
static void play_server(void *arg)
{
	struct script *s = arg;
	const json_t *server = vector_get(s->session, "server_to_client_frames");
	struct arena a = { 0 };
	struct os_sock *sock;
	struct net_conn *net;
	struct packet got;
	struct call call;
	struct raw r;

	call_init(&call);
	os_call_limit(&call, 30 * NS_PER_SEC);
	must(&call, os_accept(&call, s->listener, &sock));
	must(&call, net_accept(&call, s->p->server_tls, NULL, sock, &net));
	raw_init(&r, net);
	while (raw_packet(&call, &r, &got) == OK) {
		AUTO_BUF struct buf out = BUF_INIT(1 << 20);
		size_t i, big_at = 0;
		json_t *f;
		if (got.kind == PACKET_INVOKE)
			r.reader.live = got.stream;
		if (got.kind != PACKET_CLOSE_SEND)
			continue;
		json_array_foreach((json_t *)(uintptr_t)server, i,
				   f) if ((uint64_t)vector_int(f, "stream") == got.stream)
			add_frame(&out, &a, f, &big_at);
		raw_send(&call, &r, buf_bytes(&out));
	}
	raw_close(&r);
	arena_free(&a);
	call_fini(&call);
}

/* What the recorded client did, done with our client. */
static void act_client(struct peers *p, struct rpc_conn *c, struct arena *a, const json_t *session)
{
	const json_t *client = vector_get(session, "client_to_server_frames");
	const json_t *server = vector_get(session, "server_to_client_frames");
	AUTO_BUF struct buf joined = BUF_INIT(1 << 20);
	struct rpc_stream *s = NULL;
	size_t i, j, big_at = 0;
	struct bytes m;
	json_t *f, *g;

	json_array_foreach((json_t *)(uintptr_t)client, i, f)
	{
		struct frame_header h = header_of(f);
		struct bytes data = frame_data(a, f, &big_at);
		if (h.kind == PACKET_INVOKE)
			must(&p->call, rpc_open(&p->call, c, arena_str(a, data), &s));
		if (h.kind == PACKET_MESSAGE)
			buf_add_bytes(&joined, data);
		if (h.kind == PACKET_MESSAGE && h.done) {
			m = buf_bytes(&joined);
			must(&p->call, rpc_send(&p->call, s, &m, 1));
			buf_clear(&joined);
		}
		if (h.kind != PACKET_CLOSE_SEND)
			continue;
		must(&p->call, rpc_close_send(&p->call, s));
		size_t answer_at = 0;
		json_array_foreach((json_t *)(uintptr_t)server, j, g)
		{
			struct bytes part = frame_data(a, g, &answer_at);
			if ((uint64_t)vector_int(g, "stream") != h.stream || is_ender(g))
				continue;
			buf_add_bytes(&joined, part);
			if (!vector_bool(g, "done"))
				continue;
			enum err e = rpc_recv(&p->call, s, &m);
			if (vector_int(g, "kind") == PACKET_ERROR) {
				uint64_t code;
				struct bytes text = error_body_parse(buf_bytes(&joined), &code);
				assert_int_equal(e, err_from_status(code));
				assert_int_equal(p->call.status, code);
				assert_bytes_equal(bytes_str(p->call.error), text);
			} else {
				must(&p->call, e);
				assert_bytes_equal(m, buf_bytes(&joined));
			}
			buf_clear(&joined);
		}
		rpc_stream_end(s);
		assert_true(rpc_conn_reusable(c));
	}
}

static void our_client_against_their_server(void **state)
{
	json_t *root = vectors_load("drpc"), *v;
	size_t i, played = 0;

	json_array_foreach(json_object_get(root, "sessions"), i, v)
	{
		struct arena a = { 0 };
		struct os_thread *thread;
		struct rpc_conn *c;
		struct peers p;
		struct script script = { &p, NULL, v };
		/* Those where the client gives up have no server side to speak of. */
		const char *name = vector_text(v, "name");
		if (strstr(name, "early") || strstr(name, "cancel"))
			continue;
		peers_start(&p, VECTOR_SERVICE);
		must(&p.call, os_listen(&p.call, "127.0.0.1:0", &script.listener));
		must(&p.call, os_thread_start(&p.call, "script", play_server, &script, &thread));
		must(&p.call, rpc_dial(&p.call, p.client_tls, os_listener_address(script.listener),
				       identity_node_id(p.server_id), &c));
		act_client(&p, c, &a, v);
		rpc_conn_close(c);
		os_thread_join(thread);
		os_listener_close(script.listener);
		peers_stop(&p);
		arena_free(&a);
		played++;
	}
	assert_true(played >= 7);
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(their_client_against_our_server),
		cmocka_unit_test(our_client_against_their_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
