/* Object keys and API keys. */
#include "micro.h"

#include "access/macaroon.h"
#include "access/path_cipher.h"
#include "access/permission.h"

struct path_bench {
	struct call call;
	struct store store;
	struct bytes plain;
	struct buf encrypted, decrypted;
};

static const char bucket[] = "photos";

static void encrypt_path(void *arg)
{
	struct path_bench *b = arg;

	buf_clear(&b->encrypted);
	must(path_encrypt(&b->call, &b->store, bytes_str(bucket), b->plain, &b->encrypted));
}

static void decrypt_path(void *arg)
{
	struct path_bench *b = arg;

	buf_clear(&b->decrypted);
	must(path_decrypt(&b->call, &b->store, bytes_str(bucket), buf_bytes(&b->encrypted),
			  &b->decrypted));
}

static void add_paths(void (*add)(struct bench))
{
	struct path_bench *b = must_alloc(sizeof(*b));

	call_init(&b->call);
	b->store.has_default = true;
	b->store.default_key.b[0] = 1;
	b->store.default_cipher = CIPHER_AESGCM;
	b->plain = bytes_str("2026/november/holiday in the hills/IMG_20261126_042641.jpg");
	b->encrypted = b->decrypted = BUF_INIT(PATH_ENCRYPTED_MAX);
	encrypt_path(b);
	struct path_bench *d = must_alloc(sizeof(*d));
	*d = *b;
	d->encrypted = BUF_INIT(PATH_ENCRYPTED_MAX); /* the other bench rewrites its own */
	buf_add_bytes(&d->encrypted, buf_bytes(&b->encrypted));
	add((struct bench){ "path encrypt, 4 components", 0, encrypt_path, b });
	add((struct bench){ "path decrypt, 4 components", 0, decrypt_path, d });
}

struct key_bench {
	struct call call;
	struct arena arena;
	struct secret_key secret;
	struct macaroon key;
	struct bytes binary;
	struct action action;
};

static void key_check(void *arg)
{
	struct key_bench *b = arg;
	struct arena a = { 0 };
	struct macaroon m;

	must(macaroon_parse(&b->call, &a, b->binary, &m));
	must(macaroon_valid(&m, &b->secret) ? OK : ERR_PERMISSION);
	must(permission_check(&b->call, &m, 0, &b->action));
	arena_free(&a);
}

static void add_keys(void (*add)(struct bench), unsigned caveats)
{
	struct key_bench *b = must_alloc(sizeof(*b));
	struct buf binary = BUF_INIT(MACAROON_BYTES_MAX);

	call_init(&b->call);
	b->secret.b[0] = 7;
	must(macaroon_new(&b->call, &b->arena, &b->secret, &b->key));
	for (unsigned i = 0; i < caveats; i++) {
		struct allowed_path path = { bytes_str(bucket), bytes_str("encrypted prefix/") };
		struct caveat c = { .disallow_deletes = true,
				    .paths = &path,
				    .paths_count = 1,
				    .nonce = bytes_str("nonc") };
		struct buf wire = BUF_INIT(4096);

		caveat_encode(&wire, &c);
		must(macaroon_restrict(&b->call, &b->arena, &b->key,
				       arena_bytes(&b->arena, buf_bytes(&wire))));
		buf_free(&wire);
	}
	macaroon_add_binary(&binary, &b->key);
	b->binary = buf_bytes(&binary);
	b->action = (struct action){ .op = ACTION_READ,
				     .bucket = bytes_str(bucket),
				     .path = bytes_str("encrypted prefix/encrypted name"),
				     .now_unix_ns = INT64_C(1764131201000000000) };
	add((struct bench){ name_of("API key check, %u caveats", caveats), 0, key_check, b });
}

void bench_access(void (*add)(struct bench))
{
	add_paths(add);
	add_keys(add, 0);
	add_keys(add, 2);
	add_keys(add, 10);
}
