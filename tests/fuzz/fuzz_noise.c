/*
 * What a peer sends by Noise.  The first byte chooses the side that reads and the suite; headers,
 * handshake messages and records are taken from the rest, as connections take them.  With the top
 * bit set the front is a good first message, so that what lies behind it is reached.
 */
#include <stdlib.h>

#include "net/noise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_READ = 200 << 10, GOOD_BYTES = NOISE_HEADER_BYTES + NOISE_FIRST_OVERHEAD };

static const struct secret_key server_key = { { 1 } }, keys[] = { { { 2 } }, { { 3 } }, { { 4 } } };

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* One message at the front of v; how much of it was used, 0 at the end. */
static size_t take(enum noise_message kind, struct bytes v, size_t *ret_len)
{
	enum err e = noise_parse_header(kind, v, ret_len);

	check(e == OK || e == ERR_WOULD_BLOCK || e == ERR_PROTOCOL);
	return e || v.len - NOISE_HEADER_BYTES < *ret_len ? 0 : NOISE_HEADER_BYTES;
}

static void read_records(struct noise_session *s, uint8_t *at, size_t left)
{
	size_t len;

	while (take(NOISE_RECORD, BYTES(at, left), &len)) {
		if (noise_open(&s->open, BYTES(at + NOISE_HEADER_BYTES, len),
			       at + NOISE_HEADER_BYTES))
			break;
		at += NOISE_HEADER_BYTES + len;
		left -= NOISE_HEADER_BYTES + len;
	}
	noise_cipher_free(&s->seal);
	noise_cipher_free(&s->open);
}

static void be_server(enum noise_suite suite, const struct noise_key *own, uint8_t *in, size_t size)
{
	uint8_t answer[NOISE_SECOND_OVERHEAD];
	struct noise_handshake hs;
	struct noise_session s;
	struct bytes payload;
	size_t len;

	if (!take(NOISE_FIRST, BYTES(in, size), &len))
		return;
	check(noise_server_start(&hs, suite, own) == OK);
	if (noise_server_read(&hs, in + NOISE_HEADER_BYTES, len, &payload))
		return;
	check(payload.len == len - NOISE_FIRST_OVERHEAD);
	if (noise_server_write(&hs, &keys[2], BYTES_NONE, answer, &s) == OK)
		read_records(&s, in + NOISE_HEADER_BYTES + len, size - NOISE_HEADER_BYTES - len);
}

static void be_client(enum noise_suite suite, const struct noise_key *node, uint8_t *in,
		      size_t size)
{
	uint8_t first[NOISE_FIRST_OVERHEAD];
	struct noise_handshake hs;
	struct noise_session s;
	struct bytes payload;
	size_t len;

	if (!take(NOISE_SECOND, BYTES(in, size), &len))
		return;
	check(noise_client_start(&hs, suite, node->public, &keys[0], &keys[1]) == OK);
	check(noise_client_write(&hs, BYTES_NONE, first) == OK);
	if (noise_client_read(&hs, in + NOISE_HEADER_BYTES, len, &payload, &s))
		return;
	check(payload.len == len - NOISE_SECOND_OVERHEAD);
	read_records(&s, in + NOISE_HEADER_BYTES + len, size - NOISE_HEADER_BYTES - len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct noise_handshake hs;
	struct noise_key node;

	if (!size || size > SIZE_MAX_READ)
		return 0;
	enum noise_suite suite = data[0] & 1 ? NOISE_AESGCM : NOISE_CHACHAPOLY;
	bool good = data[0] & 0x80;
	size_t before = good ? GOOD_BYTES : 0;
	/* Its own allocation, so that the sanitizer sees every byte too far. */
	uint8_t *in = malloc(before + size - 1 + !(before + size - 1));
	if (!in)
		return 0;
	check(noise_key_init(&node, &server_key) == OK);
	if (good) {
		noise_put_header(in, NOISE_FIRST_OVERHEAD);
		check(noise_client_start(&hs, suite, node.public, &keys[0], &keys[1]) == OK);
		check(noise_client_write(&hs, BYTES_NONE, in + NOISE_HEADER_BYTES) == OK);
	}
	if (size > 1)
		memcpy(in + before, data + 1, size - 1);
	if (good || !(data[0] & 2))
		be_server(suite, &node, in, before + size - 1);
	else
		be_client(suite, &node, in, size - 1);
	free(in);
	return 0;
}
