/*
 * Where the pieces of a bucket may lie: rules as rows of the table placements, by their number;
 * bucket and segment carry that.  0 is everywhere and has no row (docs/design/placement.md).
 */
#ifndef ACRE_SATELLITE_PLACEMENT_H
#define ACRE_SATELLITE_PLACEMENT_H

#include "base/call.h"
#include "base/text.h"

struct db;
struct db_tx;
struct satellite;

enum {
	PLACEMENT_NUMBER_MAX = 65535, /* as wide as Storj's */
	PLACEMENTS_MAX = 256,
	PLACEMENT_NAME_MAX = 64,
	PLACEMENT_COUNTRIES_MAX = 2048, /* bytes of the text */
	PLACEMENT_TAGS_MAX = 1024,	/* the same */
	PLACEMENT_CONDITIONS_MAX = 64,	/* different tags in all rules */
	COUNTRIES = 26 * 26,		/* all pairs of letters */
	COUNTRY_TEXT_MAX = 3,
};

/* Two letters (ISO 3166-1): 1 to COUNTRIES; 0 = not known. */
typedef uint16_t country;
/* 0 unless it is two letters; of either case. */
country country_parse(struct bytes text);
/* In capitals; "" for 0. */
void country_text(country c, char out[COUNTRY_TEXT_MAX]);

struct placement {
	int32_t number;
	char name[PLACEMENT_NAME_MAX + 1];
	char countries_text[PLACEMENT_COUNTRIES_MAX + 1]; /* as it was given */
	bool limited; /* else every node, also without a country */
	uint64_t countries[(COUNTRIES + 63) / 64];
	char tags_text[PLACEMENT_TAGS_MAX + 1]; /* as it was given */
	uint64_t tags_wanted, tags_refused;	/* conditions of its set, a bit each */
	bool shared_networks;			/* several pieces may lie in one network */
};

/* Number, name, and "DE,FR" or "EU,!HU" or "!US,!CN": from left to right each adds a country or a
 * group (EU, EEA), or with "!" takes it away; beginning with "!", from all.  Empty: everywhere.
 * ERR_CONFIG says what is wrong. */
enum err placement_parse(struct call *call, int64_t number, struct bytes name,
			 struct bytes countries, struct placement *ret) MUST_USE;
/* "tier=gold,!old=yes": an authority has to say the one of a node, and none may say the other
 * (node_tags.h).  ERR_CONFIG. */
enum err placement_take_tags(struct call *call, struct bytes tags, struct placement *p) MUST_USE;

/* All rules, numbers rising.  Freed with free(). */
struct placement_set {
	size_t count;
	size_t conditions_count;
	struct {
		struct bytes name, value; /* in tags_text of a rule; made anew in a copy */
	} conditions[PLACEMENT_CONDITIONS_MAX];
	struct placement list[];
};
/* Numbers the conditions of its rules.  ERR_EXHAUSTED. */
enum err placement_set_link(struct call *call, struct placement_set *set) MUST_USE;
/* Which of the set's conditions a node's tags fulfil. */
uint64_t placement_conditions(const struct placement_set *set, const char *tags);

/* NULL allows all.  A rule with countries allows no node whose country is not known.  tags: by
 * placement_conditions of the set that the rule is in. */
bool placement_allows(const struct placement *p, country c, uint64_t tags);
/* NULL for 0 and for a number without a rule. */
const struct placement *placement_find(const struct placement_set *set, int32_t number);

/* ---- rows (store_placement.c) ---- */

enum err store_placements(struct call *call, struct db *db, struct placement_set **ret) MUST_USE;
/* Makes or changes it.  ERR_EXISTS: another has the name; ERR_EXHAUSTED: PLACEMENTS_MAX. */
enum err store_placement_set(struct call *call, struct db *db, const struct placement *p) MUST_USE;
/* ERR_PRECONDITION while a bucket or a project has it; ERR_NOT_FOUND. */
enum err store_placement_remove(struct call *call, struct db *db, int32_t number) MUST_USE;
/* ERR_NOT_FOUND with a text, unless it is 0 or has a rule. */
enum err store_placement_check(struct call *call, struct db_tx *tx, int64_t number) MUST_USE;

/* ---- what a running satellite goes by (overlay.c), as of the last refresh ---- */

/* A copy; false for 0 and for a number without a rule. */
bool overlay_placement(struct satellite *sat, int32_t number, struct placement *ret);

#endif
