/* acre-satellite node tag: signs what this satellite says of a node. */
#include "base/cleanup.h"
#include "identity/signed_tags.h"
#include "os/file.h"
#include "satellite/command.h"
#include "satellite/node_tags.h"

DEFINE_AUTO_PTR(struct identity, identity_auto, identity_free)

static enum err parse_tag(struct command *c, const char *text, Node__Tag *ret)
{
	const char *equals = strchr(text, '=');
	size_t n = equals ? (size_t)(equals - text) : 0;

	if (!equals || !node_tag_fits(BYTES(text, n), bytes_str(equals + 1)))
		return call_fail(c->call, ERR_CONFIG,
				 "\"%.64s\": want NAME=VALUE of printable ASCII, at most %d and %d "
				 "bytes",
				 text, NODE_TAG_NAME_MAX, NODE_TAG_VALUE_MAX);
	node__tag__init(ret);
	ret->name = arena_str(&c->call->scratch, BYTES(text, n));
	ret->value = (ProtobufCBinaryData){ strlen(equals + 1),
					    (uint8_t *)(uintptr_t)(equals + 1) };
	return ret->name ? OK : call_fail(c->call, ERR_NO_MEMORY, "out of memory");
}

enum err command_node_tag(struct command *c)
{
	AUTO(identity_auto) struct identity *own = NULL;
	Node__Tag tags[NODE_TAGS_MAX], *list[NODE_TAGS_MAX];
	Node__SignedNodeTagSet *set = NULL;
	struct node_id node;
	size_t count = 0;

	if (c->args_count < 2 || c->args_count > NODE_TAGS_MAX ||
	    node_id_parse(bytes_str(c->args[0]), &node))
		return call_fail(c->call, ERR_CONFIG,
				 "say which node by its ID, and tags as NAME=VALUE");
	for (size_t i = 1; i < c->args_count; i++, count++) {
		TRY_PLAIN(parse_tag(c, c->args[i], &tags[count]));
		list[count] = &tags[count];
	}
	TRY_PLAIN(command_config(c));
	TRY_PLAIN(identity_load(c->call, os_path_join(c->call, c->o.dir, "identity.cert"),
				os_path_join(c->call, c->o.dir, "identity.key"), &own));
	TRY_PLAIN(signed_tags_make(c->call, own, &node, list, count, &set));
	TRY_PLAIN(signed_tags_text(c->call, set, &c->out));
	buf_add_byte(&c->out, '\n');
	return OK;
}
