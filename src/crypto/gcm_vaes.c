/* The library is looked for at run time, so that nothing depends on it. */
#include "crypto/gcm_vaes.h"

#include <stdlib.h>

#include "crypto/secret.h"

enum { TAG_BYTES = 16 };

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

struct gcm_vaes {
	pre_fn *pre;
	crypt_fn *seal, *open;
};

struct gcm_vaes_key {
	_Alignas(ALIGN) uint8_t expanded[KEY_BYTES];
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

const struct gcm_vaes *gcm_vaes_load(void)
{
	static struct gcm_vaes loaded;
	void *library = processor_has_it() ? dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL) : NULL;

	if (!library)
		return NULL;
	/* POSIX's way to make a function of what dlsym gives. */
	*(void **)&loaded.pre = dlsym(library, "aes_gcm_pre_256_vaes_avx512");
	*(void **)&loaded.seal = dlsym(library, "aes_gcm_enc_256_vaes_avx512");
	*(void **)&loaded.open = dlsym(library, "aes_gcm_dec_256_vaes_avx512");
	if (loaded.pre && loaded.seal && loaded.open)
		return &loaded;
	dlclose(library);
	return NULL;
}

struct gcm_vaes_key *gcm_vaes_key_new(const struct gcm_vaes *gcm, const uint8_t key[32])
{
	struct gcm_vaes_key *k = aligned_alloc(ALIGN, sizeof(*k));

	if (k)
		gcm->pre(key, k->expanded);
	return k;
}

void gcm_vaes_key_free(struct gcm_vaes_key *k)
{
	if (k)
		secret_wipe(k, sizeof(*k));
	free(k);
}

void gcm_vaes_seal(const struct gcm_vaes *gcm, const struct gcm_vaes_key *k,
		   const uint8_t nonce[12], struct bytes ad, struct bytes plain, uint8_t *out)
{
	_Alignas(ALIGN) uint8_t context[CONTEXT_BYTES];

	gcm->seal(k->expanded, context, out, plain.data, plain.len, nonce, ad.data, ad.len,
		  out + plain.len, TAG_BYTES);
	secret_wipe(context, sizeof(context)); /* key stream of a last broken block */
}

enum err gcm_vaes_open(const struct gcm_vaes *gcm, const struct gcm_vaes_key *k,
		       const uint8_t nonce[12], struct bytes ad, struct bytes sealed, uint8_t *out)
{
	_Alignas(ALIGN) uint8_t context[CONTEXT_BYTES];
	uint8_t want[TAG_BYTES], tag[TAG_BYTES];
	size_t len = sealed.len - TAG_BYTES;

	/* Copied first: out may be the input's place. */
	memcpy(want, sealed.data + len, sizeof(want));
	gcm->open(k->expanded, context, out, sealed.data, len, nonce, ad.data, ad.len, tag,
		  sizeof(tag));
	secret_wipe(context, sizeof(context));
	return secret_equal(tag, want, sizeof(tag)) ? OK : ERR_CRYPTO;
}

#else

const struct gcm_vaes *gcm_vaes_load(void)
{
	return NULL;
}

struct gcm_vaes_key *gcm_vaes_key_new(const struct gcm_vaes *gcm, const uint8_t key[32])
{
	return NULL;
}

void gcm_vaes_key_free(struct gcm_vaes_key *k)
{
}

void gcm_vaes_seal(const struct gcm_vaes *gcm, const struct gcm_vaes_key *k,
		   const uint8_t nonce[12], struct bytes ad, struct bytes plain, uint8_t *out)
{
}

enum err gcm_vaes_open(const struct gcm_vaes *gcm, const struct gcm_vaes_key *k,
		       const uint8_t nonce[12], struct bytes ad, struct bytes sealed, uint8_t *out)
{
	return ERR_CRYPTO;
}

#endif
