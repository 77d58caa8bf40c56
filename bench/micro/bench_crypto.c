/* Encryption as segments use it, hashes, signatures. */
#include "micro.h"

#include "crypto/aead.h"
#include "crypto/base58check.h"
#include "crypto/blake3.h"
#include "crypto/hash.h"
#include "crypto/key_search.h"
#include "crypto/sign.h"
#include "crypto/x509.h"

enum {
	BLOCK = 7408, /* plain bytes of an encrypted block of 29 * 256 (encryption.md 3) */
	BLOCKS = 64,
	MESSAGE = 200, /* about an order limit */
};

struct aead_bench {
	struct aead *seal, *open;
	uint8_t *plain, *sealed;
};

static void seal(void *arg)
{
	struct aead_bench *b = arg;

	for (size_t i = 0; i < BLOCKS; i++) {
		uint8_t nonce[AEAD_NONCE_BYTES] = { (uint8_t)i };
		must(aead_seal(b->seal, nonce, BYTES(b->plain + i * BLOCK, BLOCK),
			       b->sealed + i * (BLOCK + AEAD_TAG_BYTES)));
	}
}

static void open_blocks(void *arg)
{
	struct aead_bench *b = arg;

	for (size_t i = 0; i < BLOCKS; i++) {
		uint8_t nonce[AEAD_NONCE_BYTES] = { (uint8_t)i };
		struct bytes sealed = BYTES(b->sealed + i * (BLOCK + AEAD_TAG_BYTES),
					    BLOCK + AEAD_TAG_BYTES);
		must(aead_open(b->open, nonce, sealed, b->plain + i * BLOCK));
	}
}

static void secretbox(void *arg)
{
	static const struct secret_key key = { { 1 } };
	static const uint8_t nonce[SECRETBOX_NONCE_BYTES];
	struct aead_bench *b = arg;

	must(secretbox_seal(&key, nonce, BYTES(b->plain, BLOCK), b->sealed));
}

static void add_aead(void (*add)(struct bench))
{
	static const struct secret_key key = { { 1, 2, 3 } };
	struct aead_bench *b = must_alloc(sizeof(*b));

	b->seal = aead_new(&key, true);
	b->open = aead_new(&key, false);
	must(b->seal && b->open ? OK : ERR_NO_MEMORY);
	b->plain = must_alloc(BLOCKS * BLOCK);
	b->sealed = must_alloc(BLOCKS * (BLOCK + AEAD_TAG_BYTES));
	fill(b->plain, BLOCKS * BLOCK);
	seal(b);
	add((struct bench){ "encrypt AES-256-GCM, blocks of 7408+16", BLOCKS * BLOCK, seal, b });
	add((struct bench){ "decrypt AES-256-GCM, blocks of 7408+16", BLOCKS * BLOCK, open_blocks,
			    b });
	/* After the sealed blocks were measured: it overwrites one of its own. */
	struct aead_bench *s = must_alloc(sizeof(*s));
	*s = *b;
	s->sealed = must_alloc(BLOCK + AEAD_TAG_BYTES);
	add((struct bench){ "encrypt SecretBox, blocks of 7408+16", BLOCK, secretbox, s });
}

struct hash_bench {
	uint8_t *data;
	size_t len;
	size_t kernel;
	struct hasher *hasher;
	struct blake3 blake3;
};

static void sha256(void *arg)
{
	struct hash_bench *b = arg;
	uint8_t out[HASH_BYTES];

	hash_sha256(BYTES(b->data, b->len), out);
}

static void hasher(void *arg)
{
	struct hash_bench *b = arg;

	hasher_update(b->hasher, BYTES(b->data, b->len));
}

static void blake3(void *arg)
{
	struct hash_bench *b = arg;

	blake3_update(&b->blake3, BYTES(b->data, b->len));
}

static struct hash_bench *hash_bench(size_t len)
{
	struct hash_bench *b = must_alloc(sizeof(*b));

	b->len = len;
	b->data = must_alloc(len);
	fill(b->data, len);
	return b;
}

static void add_hashes(void (*add)(struct bench))
{
	static const size_t updates[] = { 64 << 10, 4 << 10, 1 << 10 };

	add((struct bench){ "SHA-256, 256 bytes", 256, sha256, hash_bench(256) });
	struct hash_bench *b = hash_bench(64 << 10);
	b->hasher = hasher_new(HASH_SHA256);
	must(b->hasher ? OK : ERR_NO_MEMORY);
	add((struct bench){ "SHA-256, 64 KiB updates", b->len, hasher, b });
	for (size_t k = 0; k < blake3_kernel_count(); k++) {
		for (size_t u = 0; u < sizeof(updates) / sizeof(updates[0]); u++) {
			b = hash_bench(updates[u]);
			blake3_init(&b->blake3);
			blake3_use_kernel(&b->blake3, k);
			add((struct bench){ name_of("BLAKE3 %s, %zu KiB updates",
						    blake3_kernel_name(k), b->len >> 10),
					    b->len, blake3, b });
		}
	}
}

static void hmac512(void *arg)
{
	static const uint8_t key[32], message[20];
	uint8_t out[64];

	hmac_sha512(BYTES_OF(key), BYTES_OF(message), out);
}

struct sign_bench {
	struct call call;
	struct private_key *key;
	struct public_key *public;
	struct key_search *search;
	struct ed25519_signer *signer;
	struct ed25519_verifier *verifier;
	struct buf spki, signature, certificate;
	uint8_t message[MESSAGE], ed25519[ED25519_SIGNATURE_BYTES];
};

static void ecdsa_sign(void *arg)
{
	struct sign_bench *b = arg;

	buf_clear(&b->signature);
	must(private_key_sign(&b->call, b->key, BYTES_OF(b->message), &b->signature));
}

static void ecdsa_verify(void *arg)
{
	struct sign_bench *b = arg;

	must(public_key_verify(&b->call, b->public, BYTES_OF(b->message),
			       buf_bytes(&b->signature)));
}

static void ed25519_sign_one(void *arg)
{
	struct sign_bench *b = arg;

	must(ed25519_sign(&b->call, b->signer, BYTES_OF(b->message), b->ed25519));
}

static void ed25519_verify_one(void *arg)
{
	struct sign_bench *b = arg;

	must(ed25519_verify(&b->call, b->verifier, BYTES_OF(b->message), BYTES_OF(b->ed25519)));
}

static void key_parse(void *arg)
{
	struct sign_bench *b = arg;
	struct public_key *k;

	must(public_key_from_der(&b->call, buf_bytes(&b->spki), &k));
	public_key_free(k);
}

static void key_generate(void *arg)
{
	struct sign_bench *b = arg;
	struct private_key *k;

	must(private_key_generate(&b->call, &k));
	private_key_free(k);
}

static void key_next(void *arg)
{
	struct sign_bench *b = arg;
	struct bytes spki;

	must(key_search_next(&b->call, b->search, &spki));
}

static void certificate_check(void *arg)
{
	struct sign_bench *b = arg;
	struct public_key *k;
	struct x509 x;

	must(x509_parse(&b->call, buf_bytes(&b->certificate), &x));
	must(x509_public_key(&b->call, &x, &k));
	must(x509_check_signature(&b->call, &x, k));
	public_key_free(k);
}

static void add_signatures(void (*add)(struct bench))
{
	struct sign_bench *b = must_alloc(sizeof(*b));
	struct ed25519_private private;
	uint8_t public[ED25519_PUBLIC_BYTES];

	call_init(&b->call);
	b->spki = b->signature = b->certificate = BUF_INIT(4096);
	fill(b->message, sizeof(b->message));
	must(private_key_generate(&b->call, &b->key));
	must(private_key_public_der(&b->call, b->key, &b->spki));
	must(public_key_from_der(&b->call, buf_bytes(&b->spki), &b->public));
	must(x509_create_ca(&b->call, b->key, 0, &b->certificate));
	must(ed25519_generate(&b->call, &private, public));
	must(ed25519_signer_new(&b->call, &private, &b->signer));
	must(ed25519_verifier_new(&b->call, BYTES_OF(public), &b->verifier));
	ecdsa_sign(b);
	ed25519_sign_one(b);
	add((struct bench){ "ECDSA P-256 sign, 200 bytes", 0, ecdsa_sign, b });
	struct sign_bench *v = must_alloc(sizeof(*v));
	*v = *b;
	v->signature = BUF_INIT(4096); /* the signing bench rewrites its own */
	buf_add_bytes(&v->signature, buf_bytes(&b->signature));
	add((struct bench){ "ECDSA P-256 verify", 0, ecdsa_verify, v });
	add((struct bench){ "Ed25519 sign, 200 bytes", 0, ed25519_sign_one, b });
	add((struct bench){ "Ed25519 verify", 0, ed25519_verify_one, b });
	add((struct bench){ "P-256 public key from DER", 0, key_parse, b });
	add((struct bench){ "P-256 key generation", 0, key_generate, b });
	must(key_search_new(&b->call, &b->search));
	add((struct bench){ "P-256 key in a search for a node ID", 0, key_next, b });
	add((struct bench){ "certificate: parse, key, signature", 0, certificate_check, b });
}

void bench_crypto(void (*add)(struct bench))
{
	add_aead(add);
	add_hashes(add);
	add((struct bench){ "HMAC-SHA512, 20 bytes (one step of a path key)", 0, hmac512, NULL });
	add_signatures(add);
}
