/* base58(version || payload || first 4 bytes of SHA-256 twice) (transport.md 4.2). */
#include "crypto/base58check.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

enum { CHECKSUM_BYTES = 4, FRAME_BYTES = 1 + CHECKSUM_BYTES };

static void checksum(struct bytes v, uint8_t out[CHECKSUM_BYTES])
{
	uint8_t h[HASH_BYTES];

	hash_sha256(v, h);
	hash_sha256(BYTES_OF(h), h);
	memcpy(out, h, CHECKSUM_BYTES);
}

enum err base58check_add(struct buf *out, uint8_t version, struct bytes payload)
{
	/* API keys and grants pass here: the copies are wiped. */
	AUTO_SECRET_BUF struct buf raw = BUF_INIT(TEXT_BASE58_MAX);
	uint8_t sum[CHECKSUM_BYTES];

	if (payload.len > TEXT_BASE58_MAX - FRAME_BYTES)
		return ERR_INVALID;
	if (!buf_reserve(&raw, payload.len + FRAME_BYTES))
		return ERR_NO_MEMORY;
	buf_add_byte(&raw, version);
	buf_add_bytes(&raw, payload);
	checksum(buf_bytes(&raw), sum);
	buf_add(&raw, sum, sizeof(sum));
	return text_base58(out, buf_bytes(&raw));
}

enum err base58check_decode(struct bytes text, uint8_t *ret_version, struct buf *ret)
{
	AUTO_SECRET_BUF struct buf raw = BUF_INIT(TEXT_BASE58_MAX);
	uint8_t sum[CHECKSUM_BYTES];

	if (!buf_reserve(&raw, MIN(text.len, (size_t)TEXT_BASE58_MAX)))
		return ERR_NO_MEMORY;
	TRY_PLAIN(text_unbase58(&raw, text));
	if (raw.len < FRAME_BYTES)
		return ERR_FORMAT;
	size_t n = raw.len - CHECKSUM_BYTES;
	checksum(BYTES(raw.data, n), sum);
	if (memcmp(sum, raw.data + n, CHECKSUM_BYTES) != 0)
		return ERR_FORMAT;
	if (!buf_reserve(ret, n - 1))
		return ERR_NO_MEMORY;
	buf_add(ret, raw.data + 1, n - 1);
	*ret_version = raw.data[0];
	return OK;
}
