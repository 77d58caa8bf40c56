/*
 * Sets of tags, signed: facts about a node, as it or an authority has them (satellite.md 1; storj's
 * nodetag).
 */
#ifndef ACRE_IDENTITY_SIGNED_TAGS_H
#define ACRE_IDENTITY_SIGNED_TAGS_H

#include "identity/identity.h"
#include "proto/nodetags.pb-c.h"

enum { SIGNED_TAGS_BYTES_MAX = 16 << 10 };

/* Signs a set about the node `of`; *ret in call->scratch. */
enum err signed_tags_make(struct call *call, const struct identity *signer,
			  const struct node_id *of, Node__Tag **list, size_t count,
			  Node__SignedNodeTagSet **ret) MUST_USE;
/* As Storj's node has them in its setting contact.tags, and its tag-signer prints them: messages
 * SignedNodeTagSets in base64, separated by commas; all in one, in call->scratch.  ERR_CONFIG. */
enum err signed_tags_parse(struct call *call, const char *text,
			   Node__SignedNodeTagSets *ret) MUST_USE;
/* Appends one set in that form. */
enum err signed_tags_text(struct call *call, Node__SignedNodeTagSet *set, struct buf *out) MUST_USE;

#endif
