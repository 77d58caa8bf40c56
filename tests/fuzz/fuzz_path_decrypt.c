/* Encrypted object keys as a satellite returns them; the first byte chooses the cipher. */
#include <stdlib.h>

#include "access/path_cipher.h"
#include "access/path_escape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void unescape(struct bytes v)
{
	struct buf raw = BUF_INIT(1 << 20), back = BUF_INIT(1 << 20);

	if (path_unescape(&raw, v) == OK) {
		path_escape(&back, buf_bytes(&raw));
		if (!bytes_equal(buf_bytes(&back), v))
			abort();
	}
	buf_free(&raw);
	buf_free(&back);
}

static void decrypt(struct call *call, const struct store *s, struct bytes encrypted)
{
	struct buf plain = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20), back = BUF_INIT(1 << 20);
	struct bytes bucket = bytes_str("photos");

	if (path_decrypt(call, s, bucket, encrypted, &plain) == OK) {
		if (path_encrypt(call, s, bucket, buf_bytes(&plain), &again) == OK &&
		    path_decrypt(call, s, bucket, buf_bytes(&again), &back) != OK)
			abort();
	} else if (plain.len) {
		abort();
	}
	buf_free(&plain);
	buf_free(&again);
	buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The key of tests/vectors/path_encryption.json, so that some inputs do decrypt. */
	struct store s = { .has_default = true,
			   .default_key = { { 0x6b, 0x0e, 0xb3, 0x5b, 0x30, 0x9e, 0x0a, 0x4c,
					      0x44, 0xd0, 0x36, 0x9f, 0xfa, 0x4d, 0xf8, 0x21,
					      0x0c, 0x7e, 0x12, 0x9b, 0x4b, 0x7a, 0x47, 0x22,
					      0x5e, 0x4d, 0xaa, 0x2a, 0xad, 0xd2, 0x6c, 0xa5 } } };
	struct buf prefix = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
	struct path_listing l;
	struct call call;

	if (size == 0)
		return 0;
	call_init(&call);
	s.default_cipher = (enum cipher)(data[0] % 6);
	struct bytes v = BYTES(data + 1, size - 1);
	unescape(v);
	decrypt(&call, &s, v);
	if (path_listing_init(&call, &s, bytes_str("photos"), v, &l, &prefix) == OK) {
		(void)!path_listing_decrypt(&call, &l, v, &out);
		path_listing_fini(&l);
	}
	buf_free(&prefix);
	buf_free(&out);
	call_fini(&call);
	return 0;
}
