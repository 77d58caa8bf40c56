/* Requirements of a satellite on where pieces are, flattened and evaluated without recursion. */
#include "transfer/cohort.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "proto/proto.h"

struct rule {
	const Metainfo__CohortRequirements *message; /* NULL: just `count` pieces */
	unsigned parent; /* index of the rule whose set this one judges; own index = all pieces */
	int64_t count;
};

struct cohort {
	struct rule rules[COHORT_RULES_MAX];
	unsigned count;
	const Metainfo__AddressedOrderLimit *nodes[COHORT_PIECES_MAX];
};

DEFINE_AUTO_PTR(struct cohort, cohort_auto, cohort_free)

static enum err add_rule(struct call *call, struct cohort *c,
			 const Metainfo__CohortRequirements *message, unsigned parent)
{
	if (!message)
		return OK;
	if (c->count == COHORT_RULES_MAX)
		return call_fail(call, ERR_PROTOCOL,
				 "the satellite's cohort requirements have more than %d parts",
				 COHORT_RULES_MAX);
	c->rules[c->count++] = (struct rule){ .message = message, .parent = parent };
	return OK;
}

/* Parents come before their children, so that one pass forward evaluates all. */
static enum err flatten(struct call *call, struct cohort *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		const Metainfo__CohortRequirements *m = c->rules[i].message;
		switch (m->requirement_case) {
		case METAINFO__COHORT_REQUIREMENTS__REQUIREMENT_AND:
			for (size_t k = 0; k < m->and_->n_requirements; k++)
				TRY_PLAIN(add_rule(call, c, m->and_->requirements[k], i));
			break;
		case METAINFO__COHORT_REQUIREMENTS__REQUIREMENT_WITHHOLD:
			TRY_PLAIN(add_rule(call, c, m->withhold->child, i));
			break;
		case METAINFO__COHORT_REQUIREMENTS__REQUIREMENT_LITERAL:
		case METAINFO__COHORT_REQUIREMENTS__REQUIREMENT__NOT_SET:
		default:
			break;
		}
	}
	return OK;
}

enum err cohort_new(struct call *call, const Metainfo__CohortRequirements *requirements,
		    unsigned success, struct cohort **ret)
{
	struct cohort *c AUTO(cohort_auto) = calloc(1, sizeof(*c));

	if (!c)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (requirements) {
		TRY_PLAIN(add_rule(call, c, requirements, 0));
		TRY_PLAIN(flatten(call, c));
	} else {
		c->rules[c->count++] = (struct rule){ .count = success };
	}
	*ret = take(&c);
	return OK;
}

void cohort_free(struct cohort *c)
{
	free(c);
}

void cohort_set_tags(struct cohort *c, unsigned number, const Metainfo__AddressedOrderLimit *node)
{
	if (number < COHORT_PIECES_MAX)
		c->nodes[number] = node;
}

/* The node's value of the tag; empty when it has none. */
static struct bytes tag_value(const Metainfo__AddressedOrderLimit *node, const char *key)
{
	for (size_t i = 0; node && i < node->n_tags; i++)
		if (strcmp(node->tags[i]->key, key) == 0)
			return proto_bytes(node->tags[i]->value);
	return BYTES_NONE;
}

/* Takes away the pieces of the `amount` values that most pieces carry; no value is never taken. */
static void withhold(const struct cohort *c, const Metainfo__CohortRequirements__Withhold *w,
		     bool set[COHORT_PIECES_MAX])
{
	struct bytes value[COHORT_PIECES_MAX];

	for (unsigned i = 0; i < COHORT_PIECES_MAX; i++)
		value[i] = set[i] ? tag_value(c->nodes[i], w->tag_key) : BYTES_NONE;
	for (int32_t round = 0; round < w->amount; round++) {
		struct bytes most = BYTES_NONE;
		unsigned most_count = 0;
		for (unsigned i = 0; i < COHORT_PIECES_MAX; i++) {
			unsigned n = 0;
			for (unsigned k = 0; value[i].len && k < COHORT_PIECES_MAX; k++)
				n += bytes_equal(value[i], value[k]);
			if (n > most_count) {
				most = value[i];
				most_count = n;
			}
		}
		if (!most_count)
			return;
		for (unsigned i = 0; i < COHORT_PIECES_MAX; i++) {
			if (!bytes_equal(value[i], most))
				continue;
			set[i] = false;
			value[i] = BYTES_NONE;
		}
	}
}

static int64_t count_set(const bool set[COHORT_PIECES_MAX])
{
	int64_t n = 0;

	for (unsigned i = 0; i < COHORT_PIECES_MAX; i++)
		n += set[i];
	return n;
}

bool cohort_enough(const struct cohort *c, const bool have[COHORT_PIECES_MAX])
{
	bool sets[COHORT_RULES_MAX][COHORT_PIECES_MAX]; /* what the children of a rule judge */

	for (unsigned i = 0; i < c->count; i++) {
		const struct rule *r = &c->rules[i];
		memcpy(sets[i], i ? sets[r->parent] : have, sizeof(sets[i]));
		if (!r->message) {
			if (count_set(sets[i]) < r->count)
				return false;
			continue;
		}
		switch (r->message->requirement_case) {
		case METAINFO__COHORT_REQUIREMENTS__REQUIREMENT_LITERAL:
			if (count_set(sets[i]) < r->message->literal->value)
				return false;
			break;
		case METAINFO__COHORT_REQUIREMENTS__REQUIREMENT_WITHHOLD:
			withhold(c, r->message->withhold, sets[i]);
			break;
		case METAINFO__COHORT_REQUIREMENTS__REQUIREMENT_AND:
		case METAINFO__COHORT_REQUIREMENTS__REQUIREMENT__NOT_SET:
		default:
			break;
		}
	}
	return true;
}
