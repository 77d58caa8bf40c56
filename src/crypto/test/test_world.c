/*
 * With crypto_use_os_random, everything that is random comes from os_random: here a counter that
 * the test resets, so keys, signatures and a whole TLS handshake repeat byte for byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "crypto/world.h"
#include "crypto/x509.h"
#include "os/random.h"

static uint64_t seed, drawn;

/* In place of the one of os/. */
void os_random(void *out, size_t len)
{
	uint8_t *p = out;

	while (len) {
		uint8_t in[16], block[HASH_BYTES];
		size_t n = MIN(len, sizeof(block));

		put_be64(in, seed);
		put_be64(in + 8, drawn++);
		hash_sha256(BYTES_OF(in), block);
		memcpy(p, block, n);
		p += n;
		len -= n;
	}
}

DEFINE_AUTO_PTR(struct private_key, private_key_auto, private_key_free)

static void keys_and_signatures(uint64_t with_seed, struct buf *out)
{
	AUTO(private_key_auto) struct private_key *ca = NULL, *leaf = NULL;
	struct ed25519_private key;
	uint8_t public[ED25519_PUBLIC_BYTES];
	struct call call;

	call_init(&call);
	seed = with_seed;
	drawn = 0;
	assert_int_equal(private_key_generate(&call, &ca), OK);
	assert_int_equal(private_key_generate(&call, &leaf), OK);
	assert_int_equal(private_key_to_pem(&call, leaf, out), OK);
	assert_int_equal(x509_create_leaf(&call, leaf, ca, out), OK);
	assert_int_equal(x509_create_ca(&call, ca, 0, out), OK);
	for (int i = 0; i < 10; i++)
		assert_int_equal(private_key_sign(&call, leaf, bytes_str("order limit"), out), OK);
	assert_int_equal(ed25519_generate(&call, &key, public), OK);
	buf_add(out, key.b, sizeof(key.b));
	assert_true(drawn > 10);
	call_fini(&call);
}

static void signatures_follow_the_seed(void **state)
{
	AUTO_BUF struct buf a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20), c = BUF_INIT(1 << 20);

	keys_and_signatures(1, &a);
	keys_and_signatures(1, &b);
	keys_and_signatures(2, &c);
	assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
	assert_false(bytes_equal(buf_bytes(&a), buf_bytes(&c)));
}

static SSL_CTX *tls_context(bool server, char *groups, int version)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	assert_non_null(ctx);
	assert_int_equal(SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, groups), 1);
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	return ctx;
}

/* Moves what one side wrote to the other, and to the record. */
static void carry(SSL *from, SSL *to, struct buf *record)
{
	uint8_t data[4096];
	int n;

	while ((n = BIO_read(SSL_get_wbio(from), data, sizeof(data))) > 0) {
		buf_add(record, data, (size_t)n);
		assert_int_equal(BIO_write(SSL_get_rbio(to), data, n), n);
	}
}

static void handshake(char *groups, int version, struct buf *record)
{
	AUTO(private_key_auto) struct private_key *leaf = NULL;
	AUTO_BUF struct buf pem = BUF_INIT(4096), der = BUF_INIT(4096);
	struct call call;

	call_init(&call);
	seed = 42;
	drawn = 0;
	assert_int_equal(private_key_generate(&call, &leaf), OK);
	assert_int_equal(private_key_to_pem(&call, leaf, &pem), OK);
	assert_int_equal(x509_create_leaf(&call, leaf, leaf, &der), OK);
	SSL_CTX *server_ctx = tls_context(true, groups, version);
	SSL_CTX *client_ctx = tls_context(false, groups, version);
	assert_int_equal(SSL_CTX_use_certificate_ASN1(server_ctx, (int)der.len, der.data), 1);
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
	EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	assert_int_equal(SSL_CTX_use_PrivateKey(server_ctx, pkey), 1);
	SSL *server = SSL_new(server_ctx), *client = SSL_new(client_ctx);
	SSL_set_bio(server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_bio(client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	for (int i = 0; i < 10 && !(SSL_is_init_finished(server) && SSL_is_init_finished(client));
	     i++) {
		SSL_do_handshake(client);
		carry(client, server, record);
		SSL_do_handshake(server);
		carry(server, client, record);
	}
	assert_true(SSL_is_init_finished(server) && SSL_is_init_finished(client));
	assert_int_equal(SSL_write(client, "piece", 5), 5);
	carry(client, server, record);
	assert_int_equal(buf_status(record), OK);
	SSL_free(server);
	SSL_free(client);
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	EVP_PKEY_free(pkey);
	BIO_free(bio);
	ERR_clear_error();
	call_fini(&call);
}

static void handshakes_follow_the_seed(void **state)
{
	static struct {
		char groups[16];
		int version;
	} kinds[] = {
		{ "X25519", TLS1_3_VERSION },
		{ "P-256", TLS1_3_VERSION },
		{ "P-256", TLS1_2_VERSION },
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		AUTO_BUF struct buf a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20);

		handshake(kinds[i].groups, kinds[i].version, &a);
		handshake(kinds[i].groups, kinds[i].version, &b);
		assert_true(a.len > 500);
		assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
	}
}

static int set_up(void **state)
{
	return crypto_use_os_random() == OK ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures_follow_the_seed),
		cmocka_unit_test(handshakes_follow_the_seed),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
