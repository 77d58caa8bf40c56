/*
 * What nodes say of themselves and what authorities say of them, signed (satellite.md 1;
 * docs/design/placement.md).  Kept as text, a tag a line: "NAME=VALUE\n" as an authority has it,
 * "@NAME=VALUE\n" as the node has it.
 */
#ifndef ACRE_SATELLITE_NODE_TAGS_H
#define ACRE_SATELLITE_NODE_TAGS_H

#include "base/call.h"
#include "base/day_hours.h"
#include "identity/identity.h"
#include "identity/signed_tags.h"
#include "satellite/limit.h"

enum {
	NODE_TAG_SETS_MAX = 16, /* signed sets of a check-in that are looked at */
	NODE_TAGS_MAX = 32,	/* of a node */
	NODE_TAG_NAME_MAX = 64,
	NODE_TAG_VALUE_MAX = 128,
	NODE_TAGS_TEXT_MAX = NODE_TAGS_MAX * (NODE_TAG_NAME_MAX + NODE_TAG_VALUE_MAX + 3),
	TAG_AUTHORITIES_MAX = 16,
};

/* Whose word counts: this satellite's own (own: its chain, borrowed), and chains of others. */
struct tag_authorities {
	const struct cert_chain *own;
	struct cert_chain *others[TAG_AUTHORITIES_MAX];
	size_t count;
};
/* Reads files of identities (identity.cert), separated by commas; "" = none. */
enum err tag_authorities_load(struct call *call, const char *paths,
			      struct tag_authorities *ret) MUST_USE;
void tag_authorities_fini(struct tag_authorities *a);

/* The tags of a check-in by node `id`, whose chain is `self`, as text in call->scratch.  Sets that
 * nobody known signed, whose signature is wrong or that are another node's are left out, and
 * *ret_bad tells of the first ("" = none); so are tags beyond the limits, or not of printable
 * ASCII.  Of one name, that which was signed last counts. */
enum err node_tags_read(struct call *call, const struct tag_authorities *authorities,
			const struct node_id *id, const struct cert_chain *self,
			const Node__SignedNodeTagSets *sets, const char **ret,
			const char **ret_bad) MUST_USE;
/* Whether they are of a form that is kept. */
bool node_tag_fits(struct bytes name, struct bytes value);
/* Whether an authority says so. */
bool node_tags_has(const char *tags, struct bytes name, struct bytes value);
/* The hours the node declares under that name; always when it does not, or not in a form that is
 * one. */
void node_tags_hours(const char *tags, const char *name, struct day_hours *ret);
/* *price: that which the node declares in dollars under the name, if it is lower. */
void node_tags_lower(const char *tags, const char *name, int64_t *price);
/* What a terabyte costs there: what the node declares, storage_price and egress_price in dollars
 * (satellite.md 3), but no more than what is paid, which is what one costs that declares none. */
void node_tags_prices(const char *tags, const struct prices *paid, struct prices *ret);

#endif
