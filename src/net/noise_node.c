/* The node's side of Noise that outlives connections: its static key and the first messages seen.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/blake3.h"
#include "net/internal.h"
#include "net/noise.h"
#include "os/clock.h"
#include "os/lock.h"

enum {
	/* Copies of a double dial come within a round trip of each other; 10 minutes are the
	 * reference's.  What finds no room makes the oldest of its set forgotten: a copy is served
	 * then, and its used serial number refused (noise.md 9). */
	SEEN_SETS = 2048,
	SEEN_WAYS = 4,
	SEEN_SECONDS = 600,
	SEEN_BYTES = 12,
};

struct seen {
	uint8_t digest[SEEN_BYTES];
	uint32_t until; /* seconds of the monotonic clock, 0 = free */
};

struct net_noise {
	enum noise_suite suite;
	struct noise_key *key; /* secret_alloc */
	struct os_mutex lock;
	struct seen seen[SEEN_SETS][SEEN_WAYS];
};

enum noise_suite noise_best_suite(void)
{
	return aead_aes_is_fast() ? NOISE_AESGCM : NOISE_CHACHAPOLY;
}

struct noise_peer noise_peer_from(int64_t suite, struct bytes key)
{
	struct noise_peer p = { .suite = NOISE_UNSET };

	if ((suite == NOISE_CHACHAPOLY || suite == NOISE_AESGCM) && key.len == sizeof(p.key)) {
		p.suite = (enum noise_suite)suite;
		memcpy(p.key, key.data, sizeof(p.key));
	}
	return p;
}

bool noise_peer_equal(const struct noise_peer *a, const struct noise_peer *b)
{
	return a->suite == b->suite && memcmp(a->key, b->key, sizeof(a->key)) == 0;
}

/* ---- the key (noise.md 5) ---- */

static enum err derive_key(struct call *call, const struct identity *identity,
			   struct noise_key *ret)
{
	static const char context[] = "storj noise server key";
	AUTO_SECRET_BUF struct buf der = BUF_INIT(PRIVATE_KEY_DER_MAX);
	struct secret_key private;
	struct blake3 b;

	TRY_PLAIN(private_key_to_der(call, identity_key(identity), &der));
	blake3_init_derive_key(&b, bytes_str(context));
	blake3_update(&b, buf_bytes(&der));
	blake3_sum(&b, private.b, sizeof(private.b));
	enum err e = noise_key_init(ret, &private);
	secret_wipe(&b, sizeof(b));
	secret_key_wipe(&private);
	return e ? call_fail(call, e, "cannot make a Noise key") : OK;
}

enum err net_noise_new(struct call *call, const struct identity *identity, enum noise_suite suite,
		       struct net_noise **ret)
{
	struct net_noise *n = calloc(1, sizeof(*n));

	if (n)
		n->key = secret_alloc(sizeof(*n->key));
	if (!n || !n->key) {
		free(n);
		return call_fail(call, ERR_NO_MEMORY, "out of memory for Noise");
	}
	n->suite = suite;
	enum err e = derive_key(call, identity, n->key);
	if (e) {
		net_noise_free(n);
		return e;
	}
	*ret = n;
	return OK;
}

void net_noise_free(struct net_noise *n)
{
	if (!n)
		return;
	secret_free(n->key);
	os_mutex_fini(&n->lock);
	free(n);
}

struct noise_peer net_noise_peer(const struct net_noise *n)
{
	return noise_peer_from(n->suite, BYTES_OF(n->key->public));
}

enum err net_noise_server_start(const struct net_noise *n, struct noise_handshake *hs)
{
	return noise_server_start(hs, n->suite, n->key);
}

/* ---- first messages (noise.md 9) ---- */

bool net_noise_seen(struct net_noise *n, const uint8_t digest[HASH_BYTES])
{
	uint32_t now = (uint32_t)(os_clock_mono_ns() / NS_PER_SEC) + 1;
	struct seen *set = n->seen[get_le32(digest) % SEEN_SETS], *oldest = set;

	digest += HASH_BYTES - SEEN_BYTES;
	OS_LOCKED(&n->lock);
	for (unsigned i = 0; i < SEEN_WAYS; i++) {
		if (set[i].until > now && memcmp(set[i].digest, digest, SEEN_BYTES) == 0) {
			/* As the reference counts: the third copy is a first one again. */
			set[i].until = 0;
			return true;
		}
		if (set[i].until < oldest->until)
			oldest = &set[i];
	}
	memcpy(oldest->digest, digest, SEEN_BYTES);
	oldest->until = now + SEEN_SECONDS;
	return false;
}
