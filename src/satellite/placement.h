/*
 * Where the pieces of a bucket may lie: rules as rows of the table placements, by their number;
 * bucket and segment carry that.  0 is everywhere and has no row (docs/design/placement.md).
 */
#ifndef ACRE_SATELLITE_PLACEMENT_H
#define ACRE_SATELLITE_PLACEMENT_H

#include "base/call.h"
#include "base/text.h"
#include "satellite/limit.h"

struct db;
struct db_tx;
struct satellite;

enum {
	PLACEMENT_NUMBER_MAX = 65535, /* as wide as Storj's */
	PLACEMENTS_MAX = 256,
	PLACEMENT_NAME_MAX = 64,
	PLACEMENT_COUNTRIES_MAX = 2048, /* bytes of the text */
	PLACEMENT_TAGS_MAX = 1024,	/* the same */
	PLACEMENT_OPERATORS_MAX = 2048, /* the same */
	PLACEMENT_CONTINENTS_MAX = 64,	/* the same */
	PLACEMENT_CONDITIONS_MAX = 64,	/* different ones in all rules */
	OPERATOR_MAX = 320,		/* bytes of a wallet or an address of mail */
	COUNTRIES = 26 * 26,		/* all pairs of letters */
	COUNTRY_TEXT_MAX = 3,
	CONTINENTS = 7,
};

/* Two letters (ISO 3166-1): 1 to COUNTRIES; 0 = not known. */
typedef uint16_t country;
/* 0 unless it is two letters; of either case. */
country country_parse(struct bytes text);
/* In capitals; "" for 0. */
void country_text(country c, char out[COUNTRY_TEXT_MAX]);

/* AF, AN (Antarctica), AS, EU, NA, OC, SA: 1 to CONTINENTS; 0 = not known. */
typedef uint8_t continent;
continent continent_parse(struct bytes text); /* of either case */
const char *continent_text(continent c);      /* in capitals; "" for 0 */

/* Where an address is, as the database of countries has it (geoip.h). */
struct geo {
	country country;
	continent continent;
};
static inline bool geo_equal(struct geo a, struct geo b)
{
	return a.country == b.country && a.continent == b.continent;
}

struct placement {
	int32_t number;
	char name[PLACEMENT_NAME_MAX + 1];
	char countries_text[PLACEMENT_COUNTRIES_MAX + 1]; /* as it was given */
	bool limited; /* else every node, also without a country */
	uint64_t countries[(COUNTRIES + 63) / 64];
	char continents_text[PLACEMENT_CONTINENTS_MAX + 1]; /* as it was given */
	uint8_t continents_refused; /* a bit each; bit 0: those of which none is known */
	char tags_text[PLACEMENT_TAGS_MAX + 1];		  /* as it was given */
	char operators_text[PLACEMENT_OPERATORS_MAX + 1]; /* as it was given */
	struct prices max_prices;			  /* 0: any */
	uint64_t wanted, refused;			  /* conditions of its set, a bit each */
	bool shared_networks; /* several pieces may lie in one network */
};

/* Number, name, and "DE,FR" or "EU,!HU" or "!US,!CN": from left to right each adds a country or a
 * group (EU, EEA), or with "!" takes it away; beginning with "!", from all.  Empty: everywhere.
 * ERR_CONFIG says what is wrong. */
enum err placement_parse(struct call *call, int64_t number, struct bytes name,
			 struct bytes countries, struct placement *ret) MUST_USE;
/* "tier=gold,!old=yes": an authority has to say the one of a node, and none may say the other
 * (node_tags.h).  ERR_CONFIG. */
enum err placement_take_tags(struct call *call, struct bytes tags, struct placement *p) MUST_USE;
/* "EU,NA" or "!AS", as countries are.  ERR_CONFIG. */
enum err placement_take_continents(struct call *call, struct bytes continents,
				   struct placement *p) MUST_USE;
/* "0x12ab,me@example.org": wallets, or addresses of mail of those who tell no wallet; either case;
 * as countries are: with "!" taken away, and beginning so, from all who say who they are.
 * ERR_CONFIG. */
enum err placement_take_operators(struct call *call, struct bytes operators,
				  struct placement *p) MUST_USE;
/* 0: any.  ERR_CONFIG. */
enum err placement_take_prices(struct call *call, const struct prices *max,
			       struct placement *p) MUST_USE;

/* All rules, numbers rising.  Freed with free(). */
struct placement_set {
	size_t count;
	size_t conditions_count;
	struct placement_condition {
		enum {
			CONDITION_TAG,
			CONDITION_OPERATORS, /* one for a rule's whole list, which is the value */
			CONDITION_STORAGE_PRICE,
			CONDITION_EGRESS_PRICE,
		} kind;
		struct bytes name, value; /* in texts of a rule; made anew in a copy */
		int64_t max;		  /* of a price */
	} conditions[PLACEMENT_CONDITIONS_MAX];
	struct placement list[];
};
/* Numbers the conditions of its rules.  ERR_EXHAUSTED. */
enum err placement_set_link(struct call *call, struct placement_set *set) MUST_USE;
/* What conditions are about. */
struct node_traits {
	const char *tags;      /* node_tags.h */
	const char *operator_; /* operator_name */
	struct prices prices;  /* what a terabyte costs there (node_tags_prices) */
};
/* Which of the set's conditions a node fulfils. */
uint64_t placement_conditions(const struct placement_set *set, const struct node_traits *node);
/* Whose node it is: the wallet, else the address of mail; "" when it says neither.  Nothing proves
 * it. */
const char *operator_name(const char *wallet, const char *email);

/* Whether both have the same rules. */
bool placement_sets_equal(const struct placement_set *a, const struct placement_set *b);

/* NULL allows all.  A rule with countries allows no node whose country is not known, nor one with
 * continents.  conditions: by placement_conditions of the set that the rule is in. */
bool placement_allows(const struct placement *p, struct geo where, uint64_t conditions);
/* NULL for 0 and for a number without a rule. */
const struct placement *placement_find(const struct placement_set *set, int32_t number);

/* ---- rows (store_placement.c) ---- */

enum err store_placements(struct call *call, struct db *db, struct placement_set **ret) MUST_USE;
/* Makes or changes it.  ERR_EXISTS: another has the name; ERR_EXHAUSTED: PLACEMENTS_MAX. */
enum err store_placement_set(struct call *call, struct db *db, const struct placement *p) MUST_USE;
/* ERR_PRECONDITION while a bucket or a project has it; ERR_NOT_FOUND. */
enum err store_placement_remove(struct call *call, struct db *db, int32_t number) MUST_USE;
/* ERR_CONFIG or ERR_EXHAUSTED with a text: the rows are no rules. */
enum err store_placements_check(struct call *call, struct db_tx *tx) MUST_USE;
/* ERR_NOT_FOUND with a text, unless it is 0 or has a rule. */
enum err store_placement_check(struct call *call, struct db_tx *tx, int64_t number) MUST_USE;

/* ---- what a running satellite goes by (overlay.c), as of the last refresh ---- */

/* A copy; false for 0 and for a number without a rule. */
bool overlay_placement(struct satellite *sat, int32_t number, struct placement *ret);

#endif
