/* TLS connections over loopback: identity checks, both ends of a connection, cuts, backpressure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "net/net.h"
#include "os/clock.h"
#include "os/thread.h"

struct world {
	struct call call;
	struct identity *server_id, *client_id;
	struct net_tls *server_tls, *client_tls;
	struct os_listener *listener;
	struct os_thread *thread;
	/* Of the accepting thread: */
	struct net_conn *accepted;
	enum err accept_err;
	char accept_text[CALL_ERROR_MAX];
};

static void must(struct call *call, enum err e)
{
	if (e)
		print_error("%s: %s\n", err_name(e), call_error(call, e));
	assert_int_equal(e, OK);
}

static void world_start(struct world *w)
{
	*w = (struct world){ 0 };
	call_init(&w->call);
	os_call_limit(&w->call, 20 * NS_PER_SEC);
	must(&w->call, identity_ephemeral(&w->call, &w->server_id));
	must(&w->call, identity_ephemeral(&w->call, &w->client_id));
	must(&w->call, net_tls_new(&w->call, w->server_id, &w->server_tls));
	must(&w->call, net_tls_new(&w->call, w->client_id, &w->client_tls));
	must(&w->call, os_listen(&w->call, "127.0.0.1:0", &w->listener));
}

static void world_stop(struct world *w)
{
	net_close(w->accepted);
	net_tls_free(w->server_tls);
	net_tls_free(w->client_tls);
	identity_free(w->server_id);
	identity_free(w->client_id);
	os_listener_close(w->listener);
	call_fini(&w->call);
}

static void accept_main(void *arg)
{
	struct world *w = arg;
	struct os_sock *sock;
	struct call call;

	call_init(&call);
	os_call_limit(&call, 10 * NS_PER_SEC);
	w->accept_err = os_accept(&call, w->listener, &sock);
	if (!w->accept_err)
		w->accept_err = net_accept(&call, w->server_tls, NULL, sock, &w->accepted);
	memcpy(w->accept_text, call.error, sizeof(call.error));
	call_fini(&call);
}

static void accept_begin(struct world *w)
{
	must(&w->call, os_thread_start(&w->call, "accept", accept_main, w, &w->thread));
}

static void flush(struct world *w, struct net_conn *c)
{
	while (net_try_flush(&w->call, c) == ERR_WOULD_BLOCK)
		must(&w->call, net_wait(&w->call, c, false, true));
}

static struct net_conn *connect_pair(struct world *w)
{
	struct net_conn *c = NULL;

	accept_begin(w);
	must(&w->call, net_dial(&w->call, w->client_tls, os_listener_address(w->listener),
				identity_node_id(w->server_id), &c));
	/* The client's last flight waits for data unless told. */
	flush(w, c);
	os_thread_join(w->thread);
	assert_int_equal(w->accept_err, OK);
	return c;
}

static void both_ends_know_each_other(void **state)
{
	struct node_id id;
	struct world w;

	world_start(&w);
	struct net_conn *c = connect_pair(&w);
	must(&w.call, net_peer_id(&w.call, c, &id));
	assert_true(node_id_equal(&id, identity_node_id(w.server_id)));
	must(&w.call, net_peer_id(&w.call, w.accepted, &id));
	assert_true(node_id_equal(&id, identity_node_id(w.client_id)));
	struct bytes sent = cert_chain_der(identity_chain(w.client_id));
	assert_true(bytes_equal(cert_chain_der(net_peer_chain(w.accepted)), sent));
	assert_string_equal(net_remote(c), os_listener_address(w.listener));
	net_close(c);
	world_stop(&w);
}

static void wrong_peer_is_refused(void **state)
{
	struct net_conn *c = NULL;
	struct world w;

	world_start(&w);
	accept_begin(&w);
	assert_int_equal(net_dial(&w.call, w.client_tls, os_listener_address(w.listener),
				  identity_node_id(w.client_id), &c),
			 ERR_UNAUTHENTICATED);
	os_thread_join(w.thread);
	/* Without an expected ID everything else is checked still. */
	net_close(take(&w.accepted));
	accept_begin(&w);
	must(&w.call, net_dial(&w.call, w.client_tls, os_listener_address(w.listener), NULL, &c));
	flush(&w, c);
	os_thread_join(w.thread);
	net_close(c);
	world_stop(&w);
}

struct source {
	struct world *w;
	struct net_conn *c;
	size_t size;
};

static void send_all(void *arg)
{
	struct source *s = arg;
	uint8_t *data = malloc(s->size);
	struct call call;

	call_init(&call);
	os_call_limit(&call, 20 * NS_PER_SEC);
	for (size_t i = 0; i < s->size; i++)
		data[i] = (uint8_t)(i * 13 + (i >> 9));
	struct bytes rest = BYTES(data, s->size);
	while (rest.len) {
		size_t n = 0;
		enum err e = net_try_write(&call, s->c, rest, &n);
		assert_true(net_out_pending(s->c) <= NET_OUT_MAX);
		rest = bytes_from(rest, n);
		if (e == ERR_WOULD_BLOCK) {
			e = net_try_flush(&call, s->c);
			if (e == ERR_WOULD_BLOCK)
				e = net_wait(&call, s->c, false, true);
		}
		must(&call, e);
	}
	while (net_try_flush(&call, s->c) == ERR_WOULD_BLOCK)
		must(&call, net_wait(&call, s->c, false, true));
	free(data);
	call_fini(&call);
}

static void megabytes_arrive_whole(void **state)
{
	enum { SIZE = 20 << 20 };
	struct os_thread *thread;
	uint8_t buf[50000];
	size_t got = 0;
	struct world w;

	world_start(&w);
	struct net_conn *c = connect_pair(&w);
	struct source source = { &w, c, SIZE };
	must(&w.call, os_thread_start(&w.call, "source", send_all, &source, &thread));
	while (got < SIZE) {
		size_t n;
		must(&w.call, net_read(&w.call, w.accepted, buf, 1 + got % sizeof(buf), &n));
		for (size_t i = 0; i < n; i++, got++)
			if (buf[i] != (uint8_t)(got * 13 + (got >> 9)))
				fail_msg("byte %zu is wrong", got);
	}
	os_thread_join(thread);
	assert_false(net_has_input(w.accepted));
	net_idle(w.accepted);
	net_idle(c);
	/* Idle buffers come back when needed. */
	struct bytes more = bytes_str("more");
	size_t n;
	must(&w.call, net_try_write(&w.call, w.accepted, more, &n));
	flush(&w, w.accepted);
	must(&w.call, net_read(&w.call, c, buf, sizeof(buf), &n));
	assert_true(bytes_equal(BYTES(buf, n), more));
	net_close(c);
	world_stop(&w);
}

static void ends(void **state)
{
	uint8_t buf[100];
	struct world w;
	size_t n;

	world_start(&w);
	struct net_conn *c = connect_pair(&w);
	assert_int_equal(net_try_read(&w.call, c, buf, sizeof(buf), &n), ERR_WOULD_BLOCK);
	must(&w.call, net_try_write(&w.call, c, bytes_str("bye"), &n));
	net_close(c);
	must(&w.call, net_read(&w.call, w.accepted, buf, sizeof(buf), &n));
	assert_int_equal(n, 3);
	assert_int_equal(net_read(&w.call, w.accepted, buf, sizeof(buf), &n), ERR_EOF);
	assert_int_equal(net_read(&w.call, w.accepted, buf, sizeof(buf), &n), ERR_EOF);
	world_stop(&w);
}

static void deadline_while_dialing(void **state)
{
	struct net_conn *c = NULL;
	struct world w;

	world_start(&w);
	/* Nobody accepts: the kernel completes TCP, TLS gets no answer. */
	os_call_limit(&w.call, 100 * NS_PER_MS);
	assert_int_equal(net_dial(&w.call, w.client_tls, os_listener_address(w.listener), NULL, &c),
			 ERR_DEADLINE);
	assert_non_null(strstr(w.call.error, "dial 127.0.0.1"));
	world_stop(&w);
}

/* A foreign TLS client over plain OpenSSL; returns the first byte count read, or <= 0. */
struct foreign {
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *in, *out;
	struct os_sock *sock;
};

static int foreign_step(struct world *w, struct foreign *f, int (*fn)(SSL *ssl))
{
	for (;;) {
		int r = fn(f->ssl), why = SSL_get_error(f->ssl, r);
		uint8_t buf[16384];
		size_t n;
		int len = BIO_read(f->out, buf, sizeof(buf));
		if (len > 0) {
			struct bytes v = BYTES(buf, len);
			must(&w->call, os_sock_write(&w->call, f->sock, &v, 1, &n));
		}
		if (r > 0 || why != SSL_ERROR_WANT_READ)
			return r;
		unsigned ready;
		must(&w->call, os_sock_wait(&w->call, f->sock, OS_WANT_READ, &ready));
		if (os_sock_read(&w->call, f->sock, buf, sizeof(buf), &n))
			return -1;
		BIO_write(f->in, buf, (int)n);
	}
}

static int read_some(SSL *ssl)
{
	char buf[100];

	return SSL_read(ssl, buf, sizeof(buf));
}

static void foreign_start(struct world *w, struct foreign *f, int version, bool with_identity)
{
	static const char magic[] = "DRPC!!!1";
	struct bytes v = bytes_str(magic);
	size_t n;

	f->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_security_level(f->ctx, 0);
	assert_int_equal(SSL_CTX_set_min_proto_version(f->ctx, version), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(f->ctx, version), 1);
	if (with_identity) {
		struct bytes der = cert_chain_cert(identity_chain(w->client_id), 0);
		AUTO_SECRET_BUF struct buf pem = BUF_INIT(8192);
		must(&w->call, private_key_to_pem(&w->call, identity_key(w->client_id), &pem));
		BIO *mem = BIO_new_mem_buf(pem.data, (int)pem.len);
		EVP_PKEY *key = PEM_read_bio_PrivateKey(mem, NULL, NULL, NULL);
		BIO_free(mem);
		assert_int_equal(SSL_CTX_use_certificate_ASN1(f->ctx, (int)der.len, der.data), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(f->ctx, key), 1);
		EVP_PKEY_free(key);
	}
	f->ssl = SSL_new(f->ctx);
	f->in = BIO_new(BIO_s_mem());
	f->out = BIO_new(BIO_s_mem());
	SSL_set_bio(f->ssl, f->in, f->out);
	accept_begin(w);
	must(&w->call, os_sock_dial(&w->call, os_listener_address(w->listener), &f->sock));
	must(&w->call, os_sock_write(&w->call, f->sock, &v, 1, &n));
}

static void foreign_stop(struct world *w, struct foreign *f)
{
	os_sock_close(f->sock);
	os_thread_join(w->thread);
	SSL_free(f->ssl);
	SSL_CTX_free(f->ctx);
}

static void who_may_connect(void **state)
{
	static const struct {
		int version;
		bool identity;
		enum err want;
	} cases[] = {
		{ TLS1_1_VERSION, true, ERR_PROTOCOL },
		{ TLS1_2_VERSION, false, ERR_PROTOCOL },
		{ TLS1_3_VERSION, false, ERR_PROTOCOL },
		/* A leaf whose signer is missing is no chain (transport.md 5 item 2). */
		{ TLS1_2_VERSION, true, ERR_CRYPTO },
		{ TLS1_3_VERSION, true, ERR_CRYPTO },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct foreign f;
		struct world w;
		world_start(&w);
		foreign_start(&w, &f, cases[i].version, cases[i].identity);
		if (foreign_step(&w, &f, SSL_connect) > 0)
			assert_true(foreign_step(&w, &f, read_some) <= 0);
		foreign_stop(&w, &f);
		if (w.accept_err != cases[i].want)
			print_error("case %zu: %s (%s)\n", i, err_name(w.accept_err),
				    w.accept_text);
		assert_int_equal(w.accept_err, cases[i].want);
		world_stop(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ends_know_each_other),
		cmocka_unit_test(wrong_peer_is_refused),
		cmocka_unit_test(megabytes_arrive_whole),
		cmocka_unit_test(ends),
		cmocka_unit_test(deadline_while_dialing),
		cmocka_unit_test(who_may_connect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
