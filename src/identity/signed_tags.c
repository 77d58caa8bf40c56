/* Signing sets of tags, and their text. */
#include "identity/signed_tags.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "os/clock.h"
#include "proto/proto.h"

enum { SETS_MAX = 16 };

enum err signed_tags_make(struct call *call, const struct identity *signer,
			  const struct node_id *of, Node__Tag **list, size_t count,
			  Node__SignedNodeTagSet **ret)
{
	AUTO_BUF struct buf wire = BUF_INIT(SIGNED_TAGS_BYTES_MAX);
	AUTO_BUF struct buf signature = BUF_INIT(SIGNATURE_MAX);
	struct arena *a = &call->scratch;
	Node__NodeTagSet set = NODE__NODE_TAG_SET__INIT;
	Node__SignedNodeTagSet *one = arena_alloc(a, sizeof(*one));

	set.node_id = proto_view(node_id_bytes(of));
	set.signed_at = os_clock_unix_ns() / NS_PER_SEC;
	set.tags = list;
	set.n_tags = count;
	TRY_PLAIN(proto_encode(call, &set.base, &wire));
	TRY_PLAIN(private_key_sign(call, identity_key(signer), buf_bytes(&wire), &signature));
	if (!one)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	node__signed_node_tag_set__init(one);
	one->serialized_tag = proto_copy(a, buf_bytes(&wire));
	one->signer_node_id = proto_view(node_id_bytes(identity_node_id(signer)));
	one->signature = proto_copy(a, buf_bytes(&signature));
	if (!one->serialized_tag.len || !one->signature.len)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*ret = one;
	return OK;
}

static enum err parse_part(struct call *call, struct bytes text, Node__SignedNodeTagSets *ret)
{
	AUTO_BUF struct buf wire = BUF_INIT(SIGNED_TAGS_BYTES_MAX);
	Node__SignedNodeTagSets *m = NULL;

	if (text_unbase64(&wire, text))
		return call_fail(call, ERR_CONFIG, "no base64 of signed tags");
	if (proto_decode(call, &call->scratch, &node__signed_node_tag_sets__descriptor,
			 buf_bytes(&wire), &m))
		return ERR_CONFIG;
	if (ret->n_tags + m->n_tags > SETS_MAX)
		return call_fail(call, ERR_CONFIG, "more than %d sets of tags", SETS_MAX);
	for (size_t i = 0; i < m->n_tags; i++)
		ret->tags[ret->n_tags++] = m->tags[i];
	return OK;
}

enum err signed_tags_parse(struct call *call, const char *text, Node__SignedNodeTagSets *ret)
{
	struct bytes rest = bytes_str(text ? text : "");
	Node__SignedNodeTagSets sets = NODE__SIGNED_NODE_TAG_SETS__INIT;

	sets.tags = arena_array(&call->scratch, SETS_MAX, sizeof(*sets.tags));
	if (!sets.tags)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	while (rest.len) {
		const uint8_t *comma = memchr(rest.data, ',', rest.len);
		size_t n = comma ? (size_t)(comma - rest.data) : rest.len;
		TRY_PLAIN(parse_part(call, text_trim(BYTES(rest.data, n)), &sets));
		rest = bytes_from(rest, n + 1);
	}
	*ret = sets;
	return OK;
}

enum err signed_tags_text(struct call *call, Node__SignedNodeTagSet *set, struct buf *out)
{
	AUTO_BUF struct buf wire = BUF_INIT(SIGNED_TAGS_BYTES_MAX);
	Node__SignedNodeTagSets sets = NODE__SIGNED_NODE_TAG_SETS__INIT;

	sets.tags = &set;
	sets.n_tags = 1;
	TRY_PLAIN(proto_encode(call, &sets.base, &wire));
	text_base64(out, buf_bytes(&wire));
	return buf_status(out);
}
