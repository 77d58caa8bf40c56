/* Node IDs: text form and difficulty (transport.md 4.2). */
#include <stdio.h>

#include "base/cleanup.h"
#include "crypto/base58check.h"
#include "identity/identity.h"

enum { VERSION_BYTE = NODE_ID_BYTES - 1, VERSION_LATEST = 0 };

bool node_id_is_zero(const struct node_id *id)
{
	static const struct node_id zero;

	return node_id_equal(id, &zero);
}

enum err node_id_from_bytes(struct bytes v, struct node_id *ret)
{
	if (v.len != NODE_ID_BYTES)
		return ERR_FORMAT;
	memcpy(ret->b, v.data, NODE_ID_BYTES);
	return OK;
}

/* Versions beyond the known ones are shown as version 0, as the reference does. */
static uint8_t known_version(uint8_t version)
{
	return version <= VERSION_LATEST ? version : 0;
}

void node_id_text(const struct node_id *id, char out[NODE_ID_TEXT_MAX])
{
	AUTO_BUF struct buf text = BUF_INIT(NODE_ID_TEXT_MAX - 1);
	struct node_id plain = *id;

	plain.b[VERSION_BYTE] = 0;
	/* 37 bytes make at most 51 digits. */
	if (base58check_add(&text, known_version(id->b[VERSION_BYTE]), node_id_bytes(&plain)))
		buf_clear(&text);
	snprintf(out, NODE_ID_TEXT_MAX, "%s", buf_cstr(&text));
}

enum err node_id_parse(struct bytes text, struct node_id *ret)
{
	AUTO_BUF struct buf payload = BUF_INIT(NODE_ID_TEXT_MAX);
	uint8_t version;

	if (text.len >= NODE_ID_TEXT_MAX || base58check_decode(text, &version, &payload) ||
	    payload.len != NODE_ID_BYTES)
		return ERR_FORMAT;
	memcpy(ret->b, payload.data, NODE_ID_BYTES);
	ret->b[VERSION_BYTE] = known_version(version);
	return OK;
}

unsigned node_id_difficulty(const struct node_id *id)
{
	for (unsigned i = 1; i < NODE_ID_BYTES; i++) {
		uint8_t b = id->b[VERSION_BYTE - i];
		if (b)
			return i * 8 + (unsigned)__builtin_ctz(b);
	}
	return 0;
}
