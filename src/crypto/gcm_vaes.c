/* The library is looked for at run time, so that nothing depends on it. */
#include "crypto/gcm_vaes.h"

#include <stdio.h>
#include <stdlib.h>

#include "crypto/secret.h"

enum { TAG_BYTES = GCM_VAES_TAG_BYTES, SHORT_KEY_BYTES = 16 };

#if defined(__x86_64__)
#include <cpuid.h>
#include <dlfcn.h>

/* What version 1 of the library has (intel-ipsec-mb.h: struct gcm_key_data of 1008 bytes, struct
 * gcm_context_data of 88), with room to spare. */
#define LIBRARY "libIPSec_MB.so.1"
enum { KEY_BYTES = 2048, CONTEXT_BYTES = 256, ALIGN = 64 };

typedef void pre_fn(const void *key, void *expanded);
typedef void crypt_fn(const void *expanded, void *context, uint8_t *out, const uint8_t *in,
		      uint64_t len, const uint8_t *iv, const uint8_t *ad, uint64_t ad_len,
		      uint8_t *tag, uint64_t tag_len);

struct functions {
	pre_fn *pre;
	crypt_fn *seal, *open;
};

struct gcm_vaes {
	struct functions aes128, aes256;
};

struct gcm_vaes_key {
	_Alignas(ALIGN) uint8_t expanded[KEY_BYTES];
	const struct functions *f;
};

/* clang-14 does not know these two by name (leaf 7, ecx). */
enum { CPUID_VAES = 1 << 9, CPUID_VPCLMULQDQ = 1 << 10 };

static bool has_vaes(void)
{
	unsigned a = 0, b = 0, c = 0, d = 0;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & CPUID_VAES) &&
	       (c & CPUID_VPCLMULQDQ);
}

static bool processor_has_it(void)
{
	return has_vaes() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl");
}

static bool find(void *library, struct functions *f, const char *bits)
{
	char name[64];

	/* POSIX's way to make a function of what dlsym gives. */
	snprintf(name, sizeof(name), "aes_gcm_pre_%s_vaes_avx512", bits);
	*(void **)&f->pre = dlsym(library, name);
	snprintf(name, sizeof(name), "aes_gcm_enc_%s_vaes_avx512", bits);
	*(void **)&f->seal = dlsym(library, name);
	snprintf(name, sizeof(name), "aes_gcm_dec_%s_vaes_avx512", bits);
	*(void **)&f->open = dlsym(library, name);
	return f->pre && f->seal && f->open;
}

const struct gcm_vaes *gcm_vaes_load(void)
{
	static struct gcm_vaes loaded;
	void *library = processor_has_it() ? dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL) : NULL;

	if (!library)
		return NULL;
	if (find(library, &loaded.aes128, "128") && find(library, &loaded.aes256, "256"))
		return &loaded;
	dlclose(library);
	return NULL;
}

struct gcm_vaes_key *gcm_vaes_key_new(const struct gcm_vaes *gcm, struct bytes key)
{
	struct gcm_vaes_key *k = aligned_alloc(ALIGN, sizeof(*k));

	if (!k)
		return NULL;
	k->f = key.len == SHORT_KEY_BYTES ? &gcm->aes128 : &gcm->aes256;
	k->f->pre(key.data, k->expanded);
	return k;
}

void gcm_vaes_key_free(struct gcm_vaes_key *k)
{
	if (k)
		secret_wipe(k, sizeof(*k));
	free(k);
}

static void crypt(crypt_fn *fn, const struct gcm_vaes_key *k, const uint8_t nonce[12],
		  struct bytes ad, struct bytes in, uint8_t *out, uint8_t tag[TAG_BYTES])
{
	_Alignas(ALIGN) uint8_t context[CONTEXT_BYTES];

	fn(k->expanded, context, out, in.data, in.len, nonce, ad.data, ad.len, tag, TAG_BYTES);
	secret_wipe(context, sizeof(context)); /* key stream of a last broken block */
}

void gcm_vaes_seal_apart(const struct gcm_vaes_key *k, const uint8_t nonce[12], struct bytes ad,
			 struct bytes plain, uint8_t *out, uint8_t tag[TAG_BYTES])
{
	crypt(k->f->seal, k, nonce, ad, plain, out, tag);
}

void gcm_vaes_open_apart(const struct gcm_vaes_key *k, const uint8_t nonce[12], struct bytes ad,
			 struct bytes sealed, uint8_t *out, uint8_t tag[TAG_BYTES])
{
	crypt(k->f->open, k, nonce, ad, sealed, out, tag);
}

#else

const struct gcm_vaes *gcm_vaes_load(void)
{
	return NULL;
}

struct gcm_vaes_key *gcm_vaes_key_new(const struct gcm_vaes *gcm, struct bytes key)
{
	return NULL;
}

void gcm_vaes_key_free(struct gcm_vaes_key *k)
{
}

void gcm_vaes_seal_apart(const struct gcm_vaes_key *k, const uint8_t nonce[12], struct bytes ad,
			 struct bytes plain, uint8_t *out, uint8_t tag[TAG_BYTES])
{
}

void gcm_vaes_open_apart(const struct gcm_vaes_key *k, const uint8_t nonce[12], struct bytes ad,
			 struct bytes sealed, uint8_t *out, uint8_t tag[TAG_BYTES])
{
}

#endif

void gcm_vaes_seal(const struct gcm_vaes_key *k, const uint8_t nonce[12], struct bytes ad,
		   struct bytes plain, uint8_t *out)
{
	gcm_vaes_seal_apart(k, nonce, ad, plain, out, out + plain.len);
}

enum err gcm_vaes_open(const struct gcm_vaes_key *k, const uint8_t nonce[12], struct bytes ad,
		       struct bytes sealed, uint8_t *out)
{
	uint8_t want[TAG_BYTES], tag[TAG_BYTES];
	size_t len = sealed.len - TAG_BYTES;

	/* Copied first: out may be the input's place. */
	memcpy(want, sealed.data + len, sizeof(want));
	gcm_vaes_open_apart(k, nonce, ad, BYTES(sealed.data, len), out, tag);
	return secret_equal(tag, want, sizeof(tag)) ? OK : ERR_CRYPTO;
}
