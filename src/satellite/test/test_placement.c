/* Rules for places from text, hostile texts too; countries out of a database made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "os/file.h"
#include "os/process.h"
#include "proto/proto.h"
#include "satellite/geoip.h"
#include "satellite/node_tags.h"
#include "satellite/placement.h"
#include "vectors.h"

static const struct geo nowhere;

static bool parse(const char *countries, struct placement *ret)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	enum err e = placement_parse(&call, 5, bytes_str("name"), bytes_str(countries), ret);
	assert_true(e == OK || (e == ERR_CONFIG && call.error[0]));
	return e == OK;
}

static bool allows(const struct placement *p, const char *code)
{
	return placement_allows(p, (struct geo){ country_parse(bytes_str(code)), 0 }, 0);
}

static void test_rules(void **state)
{
	struct placement p;

	assert_true(parse("", &p) && allows(&p, "") && allows(&p, "DE"));
	assert_true(allows(NULL, "") && allows(NULL, "ZZ"));
	assert_true(parse("de, FR", &p) && allows(&p, "DE") && allows(&p, "fr"));
	assert_false(allows(&p, "US") || allows(&p, ""));
	assert_true(parse("!US,!CN", &p) && allows(&p, "DE") && allows(&p, "ZZ"));
	assert_false(allows(&p, "US") || allows(&p, "CN") || allows(&p, ""));
	assert_true(parse("EU,!HU", &p) && allows(&p, "SK") && allows(&p, "AT"));
	assert_false(allows(&p, "HU") || allows(&p, "NO") || allows(&p, "CH"));
	assert_true(parse("EEA,CH", &p) && allows(&p, "NO") && allows(&p, "CH") &&
		    allows(&p, "IE"));
	/* From left to right. */
	assert_true(parse("!DE,DE", &p) && allows(&p, "DE") && allows(&p, "US"));
	assert_true(parse("DE,!DE", &p));
	assert_false(allows(&p, "DE") || allows(&p, "US"));
}

static void test_hostile_rules(void **state)
{
	static const char *const bad[] = {
		"D",   "DEU",	",",	 "DE,",	 ",DE",	  "DE,,FR",   "!",    "!!DE",
		"D E", "D1",	"DE;FR", "DE\n", "\x1b[", "\xc3\xa9", "!EUX", "DE'--",
		"%s",  "DE FR", "E\tU",	 "EEAA", "DE,!,", "*",
	};
	char long_text[PLACEMENT_COUNTRIES_MAX + 3], name[PLACEMENT_NAME_MAX + 2];
	AUTO_CALL struct call call = CALL_INIT;
	struct placement p = { .number = -3 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (parse(bad[i], &p))
			fail_msg("\"%s\" is taken", bad[i]);
	memset(long_text, ' ', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	assert_false(parse(long_text, &p));
	assert_int_equal(p.number, -3);
	call_init(&call);
	/* A zero byte inside; numbers and names beyond what there is. */
	const uint8_t zero[] = { 'D', 'E', 0, 'F' };
	assert_int_equal(placement_parse(&call, 1, bytes_str("n"), BYTES(zero, 4), &p), ERR_CONFIG);
	static const int64_t numbers[] = { 0, -1, 65536, INT64_MAX, INT64_MIN, 1LL << 32 | 1 };
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		assert_int_equal(placement_parse(&call, numbers[i], bytes_str("n"), BYTES_NONE, &p),
				 ERR_CONFIG);
	memset(name, 'n', sizeof(name));
	assert_int_equal(placement_parse(&call, 1, BYTES(name, sizeof(name)), BYTES_NONE, &p),
			 ERR_CONFIG);
	assert_int_equal(placement_parse(&call, 1, BYTES_NONE, BYTES_NONE, &p), ERR_CONFIG);
	assert_int_equal(placement_parse(&call, 1, bytes_str("a\nb"), BYTES_NONE, &p), ERR_CONFIG);
}

/* ---- tags ---- */

static void test_tag_rules(void **state)
{
	static const char *const bad[] = { "gold",   "=gold", ",",	"!",	  "!=x",
					   "@own=x", "a=b\n", "a=\x80", "\x1b=a", "tier=a,,b=c" };
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_FREE struct placement_set *set = calloc(1, sizeof(*set) + 3 * sizeof(set->list[0]));
	struct placement *p = set->list;
	char many[PLACEMENT_TAGS_MAX + 1] = "";

	set->count = 3;
	assert_int_equal(placement_take_tags(&call, bytes_str("tier=gold, !old=yes"), &p[0]), OK);
	assert_int_equal(placement_take_tags(&call, bytes_str("old=yes"), &p[1]), OK);
	assert_int_equal(placement_take_tags(&call, bytes_str(" "), &p[2]), OK);
	assert_int_equal(placement_set_link(&call, set), OK);
	assert_int_equal(set->conditions_count, 2);
	static const struct {
		const char *tags;
		bool gold, old;
	} cases[] = {
		{ "", false, false },
		{ "tier=gold\n", true, false },
		{ "tier=gold\nold=yes\n", false, true },
		{ "@tier=gold\n", false, false }, /* its own word is nobody's */
		{ "tier=golden\n", false, false },
		{ "xtier=gold\ntier=\n", false, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct node_traits node = { .tags = cases[i].tags, .operator_ = "" };
		uint64_t bits = placement_conditions(set, &node);
		assert_int_equal(placement_allows(&p[0], nowhere, bits), cases[i].gold);
		assert_int_equal(placement_allows(&p[1], nowhere, bits), cases[i].old);
		assert_true(placement_allows(&p[2], nowhere, bits));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(placement_take_tags(&call, bytes_str(bad[i]), &p[0]), ERR_CONFIG);
	/* More than there are bits for. */
	for (unsigned i = 0; i <= PLACEMENT_CONDITIONS_MAX; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "%st%u=v", i ? "," : "",
			 i);
	assert_int_equal(placement_take_tags(&call, bytes_str(many), &p[0]), OK);
	assert_int_equal(placement_set_link(&call, set), ERR_EXHAUSTED);
}

/* ---- continents, operators, prices ---- */

static bool on_continent(const struct placement *p, const char *code)
{
	return placement_allows(p, (struct geo){ 0, continent_parse(bytes_str(code)) }, 0);
}

static void test_continent_rules(void **state)
{
	static const char *const bad[] = { "E", "EUR",	",",	"EU,", ",EU", "EU,,NA",
					   "!", "!!EU", "EU\n", "*",   "DE",  "EU NA" };
	AUTO_CALL struct call call = CALL_INIT;
	char many[PLACEMENT_CONTINENTS_MAX + 2];
	struct placement p;

	assert_true(parse("", &p) && on_continent(&p, "") && on_continent(&p, "AS"));
	assert_int_equal(placement_take_continents(&call, bytes_str("eu, NA"), &p), OK);
	assert_string_equal(p.continents_text, "eu, NA");
	assert_true(on_continent(&p, "EU") && on_continent(&p, "na"));
	assert_false(on_continent(&p, "AS") || on_continent(&p, ""));
	assert_int_equal(placement_take_continents(&call, bytes_str("!AS"), &p), OK);
	assert_true(on_continent(&p, "EU") && on_continent(&p, "AN"));
	assert_false(on_continent(&p, "AS") || on_continent(&p, ""));
	assert_int_equal(placement_take_continents(&call, bytes_str("!AS,AS"), &p), OK);
	assert_true(on_continent(&p, "AS"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (placement_take_continents(&call, bytes_str(bad[i]), &p) != ERR_CONFIG)
			fail_msg("\"%s\" is taken", bad[i]);
	assert_string_equal(p.continents_text, "!AS,AS");
	memset(many, ' ', sizeof(many));
	assert_int_equal(placement_take_continents(&call, BYTES(many, sizeof(many)), &p),
			 ERR_CONFIG);
	assert_int_equal(placement_take_continents(&call, bytes_str(" "), &p), OK);
	assert_true(on_continent(&p, ""));
	/* Countries and continents have to hold both. */
	assert_true(parse("EU,!HU", &p));
	assert_int_equal(placement_take_continents(&call, bytes_str("EU"), &p), OK);
	const continent eu = continent_parse(bytes_str("EU")),
			na = continent_parse(bytes_str("NA"));
	const country de = country_parse(bytes_str("DE")), hu = country_parse(bytes_str("HU"));
	assert_true(placement_allows(&p, (struct geo){ de, eu }, 0));
	assert_false(placement_allows(&p, (struct geo){ hu, eu }, 0) ||
		     placement_allows(&p, (struct geo){ de, na }, 0) ||
		     placement_allows(&p, (struct geo){ de, CONTINENTS + 1 }, 0));
	for (unsigned c = 0; c <= CONTINENTS; c++)
		assert_int_equal(continent_parse(bytes_str(continent_text((continent)c))), c);
	assert_string_equal(continent_text(CONTINENTS + 1), "");
}

static bool run_by(struct placement_set *set, const char *wallet, const char *email)
{
	const struct node_traits node = { .tags = "", .operator_ = operator_name(wallet, email) };

	return placement_allows(set->list, nowhere, placement_conditions(set, &node));
}

static void test_operator_rules(void **state)
{
	static const char *const bad[] = { ",",	  "a,",	 ",a",	 "a,,b", "!",	"!!a",
					   "a b", "a\n", "\x80", "a!b",	 "\x1b" };
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_FREE struct placement_set *set = calloc(1, sizeof(*set) + sizeof(set->list[0]));
	char text[PLACEMENT_OPERATORS_MAX + 1];

	set->count = 1;
	assert_int_equal(placement_take_operators(&call, bytes_str("0xAB,me@my.org"), set->list),
			 OK);
	assert_int_equal(placement_set_link(&call, set), OK);
	assert_int_equal(set->conditions_count, 1);
	assert_true(run_by(set, "0xab", "") && run_by(set, "0xAb", "x@y") &&
		    run_by(set, "", "Me@my.org") && run_by(set, NULL, "me@my.org"));
	/* Who has a wallet is known by that. */
	assert_false(run_by(set, "0xcd", "me@my.org") || run_by(set, "0xabc", "") ||
		     run_by(set, "0xa", "") || run_by(set, "", "") || run_by(set, NULL, NULL));
	assert_int_equal(placement_take_operators(&call, bytes_str("!0xab, !0xcd"), set->list), OK);
	assert_int_equal(placement_set_link(&call, set), OK);
	assert_true(run_by(set, "0xef", ""));
	assert_false(run_by(set, "0xab", "") || run_by(set, "0xCD", "") || run_by(set, "", ""));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (placement_take_operators(&call, bytes_str(bad[i]), set->list) != ERR_CONFIG)
			fail_msg("\"%s\" is taken", bad[i]);
	memset(text, 'a', sizeof(text));
	assert_int_equal(placement_take_operators(&call, BYTES(text, OPERATOR_MAX + 1), set->list),
			 ERR_CONFIG);
	assert_int_equal(placement_take_operators(&call, BYTES(text, sizeof(text)), set->list),
			 ERR_CONFIG);
	assert_int_equal(placement_take_operators(&call, BYTES("a\0b", 3), set->list), ERR_CONFIG);
	assert_string_equal(set->list[0].operators_text, "!0xab, !0xcd");
}

/* As shopspring/decimal and storj's satellite/compensation take them. */
static void test_prices(void **state)
{
	static const struct {
		const char *value;
		int64_t micro; /* -1: no price */
	} cases[] = {
		{ "1.2", 1200000 },
		{ "1.50", 1500000 },
		{ "0", 0 },
		{ "-0", 0 },
		{ ".5", 500000 },
		{ "1.", 1000000 },
		{ "+1", 1000000 },
		{ "15e-1", 1500000 },
		{ "15E-1", 1500000 },
		{ "1e+0", 1000000 },
		{ "0.0000001", 1 },
		{ "0.000001", 1 },
		{ "1.4976001", 1497601 },
		{ "1e6", 5000000 },
		{ "99999999999999999999999999999999999999999", 5000000 },
		{ "1e7", -1 },
		{ "1e-13", -1 },
		{ "0.0000000000001", -1 },
		{ "-1", -1 },
		{ "", -1 },
		{ ".", -1 },
		{ "e1", -1 },
		{ "1e", -1 },
		{ "1e1e1", -1 },
		{ "1.2.3", -1 },
		{ "1,5", -1 },
		{ "free", -1 },
		{ "0x10", -1 },
		{ " 1", -1 },
		{ "1e-2000000000", -1 },
		{ "1e99999999999", -1 },
		{ "++1", -1 },
		{ "1e--1", -1 },
	};
	const struct prices paid = { 5000000, 20000000 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char tags[200];
		struct prices p;
		snprintf(tags, sizeof(tags), "storage_price=0.1\n@storage_price=%s\n",
			 cases[i].value);
		node_tags_prices(tags, &paid, &p);
		if (p.storage != (cases[i].micro < 0 ? paid.storage : cases[i].micro))
			fail_msg("\"%s\" is %lld", cases[i].value, (long long)p.storage);
		assert_int_equal(p.egress, paid.egress);
	}
}

static void test_price_rules(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_FREE struct placement_set *set = calloc(1, sizeof(*set) + 2 * sizeof(set->list[0]));
	struct node_traits node = { .tags = "", .operator_ = "", .prices = { 1000, 2000 } };

	set->count = 2;
	assert_int_equal(placement_take_prices(&call, &(const struct prices){ 1000, 0 }, set->list),
			 OK);
	assert_int_equal(
		placement_take_prices(&call, &(const struct prices){ 1000, 1999 }, set->list + 1),
		OK);
	assert_int_equal(placement_set_link(&call, set), OK);
	assert_int_equal(set->conditions_count, 2);
	uint64_t bits = placement_conditions(set, &node);
	assert_true(placement_allows(&set->list[0], nowhere, bits));
	assert_false(placement_allows(&set->list[1], nowhere, bits));
	node.prices = (struct prices){ 1000, 1999 };
	assert_true(placement_allows(&set->list[1], nowhere, placement_conditions(set, &node)));
	node.prices = (struct prices){ 1001, 0 };
	bits = placement_conditions(set, &node);
	assert_false(placement_allows(&set->list[0], nowhere, bits) ||
		     placement_allows(&set->list[1], nowhere, bits));
	assert_int_equal(placement_take_prices(&call, &(const struct prices){ -1, 0 }, set->list),
			 ERR_CONFIG);
	assert_int_equal(placement_take_prices(&call, &(const struct prices){ 0, -1 }, set->list),
			 ERR_CONFIG);
	/* What tells two sets apart. */
	assert_true(placement_sets_equal(set, set));
	AUTO_FREE struct placement_set *other = calloc(1, sizeof(*set) + 2 * sizeof(set->list[0]));
	other->count = 2;
	memcpy(other->list, set->list, 2 * sizeof(set->list[0]));
	assert_true(placement_sets_equal(set, other));
	other->list[1].max_prices.egress++;
	assert_false(placement_sets_equal(set, other));
	other->list[1] = set->list[1];
	assert_int_equal(placement_take_operators(&call, bytes_str("a"), &other->list[0]), OK);
	assert_false(placement_sets_equal(set, other));
	other->count = 1;
	assert_false(placement_sets_equal(set, other));
}

struct go_tags {
	struct tag_authorities authorities;
	struct cert_chain *node;
	struct node_id id;
	Node__SignedNodeTagSets *sets;
};

/* Authority, node and sets that storj.io/common signed. */
static void load_tags(struct call *call, const json_t *root, struct go_tags *ret)
{
	const char *path = arena_printf(&call->scratch, "/tmp/acre-test-tags-%d", os_pid());
	struct arena *a = &call->scratch;

	*ret = (struct go_tags){ .node = NULL };
	assert_int_equal(
		os_file_write_all(call, path, bytes_str(vector_text(root, "authority_pem")), false),
		OK);
	enum err e = tag_authorities_load(call, arena_printf(a, " %s ,", path), &ret->authorities);
	assert_int_equal(os_unlink(call, path), OK);
	assert_int_equal(e, OK);
	assert_int_equal(ret->authorities.count, 1);
	assert_int_equal(cert_chain_from_der(call,
					     vector_unhex(a, vector_text(root, "node_chain_hex")),
					     &ret->node),
			 OK);
	assert_int_equal(cert_chain_node_id(call, ret->node, &ret->id), OK);
	assert_int_equal(proto_decode(call, a, &node__signed_node_tag_sets__descriptor,
				      vector_unhex(a, vector_text(root, "signed_sets_hex")),
				      &ret->sets),
			 OK);
}

static void expect_tags(struct call *call, struct go_tags *g, const char *want, const char *why)
{
	const char *text = NULL, *bad = NULL;

	assert_int_equal(
		node_tags_read(call, &g->authorities, &g->id, g->node, g->sets, &text, &bad), OK);
	assert_string_equal(text, want);
	assert_true(why ? strstr(bad, why) != NULL : !bad[0]);
}

static void test_tags_of_storj(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	json_t *root = vectors_load("node_tags");
	struct go_tags g;
	struct day_hours hours;

	load_tags(&call, root, &g);
	expect_tags(&call, &g, vector_text(root, "text"), NULL);
	node_tags_hours(vector_text(root, "text"), "hours", &hours);
	assert_true(day_hours_has(&hours, 8 * 60) && !day_hours_has(&hours, 22 * 60));
	node_tags_hours(vector_text(root, "text"), "tier", &hours);
	assert_true(hours.always);
	/* Each set by itself: a bad one takes no other with it. */
	g.sets->tags[0]->signature.data[10] ^= 1;
	expect_tags(&call, &g, "tier=silver\n@hours=8-22\n@tier=own\n", "signature");
	g.sets->tags[2]->serialized_tag.data[g.sets->tags[2]->serialized_tag.len - 1] ^= 1;
	expect_tags(&call, &g, "tier=silver\n", "signature");
	g.sets->tags[1]->signer_node_id.data[0] ^= 1;
	expect_tags(&call, &g, "", "signature");
	cert_chain_free(g.node);
	tag_authorities_fini(&g.authorities);
	/* Another node's. */
	load_tags(&call, root, &g);
	g.id.b[0] ^= 1;
	expect_tags(&call, &g, "", "another node's");
	/* Nobody trusts the authority any more. */
	g.id.b[0] ^= 1;
	tag_authorities_fini(&g.authorities);
	expect_tags(&call, &g, "@hours=8-22\n@tier=own\n", "nobody known");
	cert_chain_free(g.node);
	json_decref(root);
}

/* What this satellite signs itself; names and values that are none; too many. */
static void test_own_tags(void **state)
{
	static const char *const names[] = { "a", "", "@x", "a=b", "a\nb" };
	AUTO_CALL struct call call = CALL_INIT;
	struct identity *own = NULL, *node = NULL;
	Node__Tag tags[NODE_TAGS_MAX + 5], *list[ARRAY_LEN(tags)];
	Node__SignedNodeTagSet *one = NULL;
	Node__SignedNodeTagSets sets = NODE__SIGNED_NODE_TAG_SETS__INIT;
	const char *text = NULL, *bad = NULL;

	assert_int_equal(identity_ephemeral(&call, &own), OK);
	assert_int_equal(identity_ephemeral(&call, &node), OK);
	struct tag_authorities authorities = { .own = identity_chain(own) };
	for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
		node__tag__init(&tags[i]);
		tags[i].name = i < ARRAY_LEN(names) ? arena_printf(&call.scratch, "%s", names[i])
						    : arena_printf(&call.scratch, "n%zu", i);
		list[i] = &tags[i];
	}
	assert_int_equal(
		signed_tags_make(&call, own, identity_node_id(node), list, ARRAY_LEN(list), &one),
		OK);
	sets.tags = &one;
	sets.n_tags = 1;
	assert_int_equal(node_tags_read(&call, &authorities, identity_node_id(node),
					identity_chain(node), &sets, &text, &bad),
			 OK);
	assert_string_equal(bad, "");
	assert_int_equal(strncmp(text, "a=\nn5=\n", 7), 0);
	assert_true(node_tags_has(text, bytes_str("n30"), BYTES_NONE));
	assert_null(strstr(text, "n36"));
	assert_int_equal(node_tags_read(&call, &authorities, identity_node_id(node),
					identity_chain(node), NULL, &text, &bad),
			 OK);
	assert_string_equal(text, "");
	identity_free(own);
	identity_free(node);
}

/* Whatever it says to noise, it stays within its text, and what it takes it takes again. */
static void test_noise(void **state)
{
	static const char letters[] = "DEUFRAeu!!,,, x\n\x80";
	uint32_t seed = 1;

	for (unsigned round = 0; round < 20000; round++) {
		AUTO_CALL struct call call = CALL_INIT;
		struct placement p, again;
		size_t n = round % 24;
		uint8_t *text = malloc(n + 1); /* exact, for ASan */
		call_init(&call);
		for (size_t i = 0; i < n; i++) {
			seed = seed * 1664525 + 1013904223;
			text[i] = (uint8_t)letters[(seed >> 16) % (sizeof(letters) - 1)];
		}
		if (!placement_parse(&call, 1, bytes_str("n"), BYTES(text, n), &p)) {
			assert_int_equal(placement_parse(&call, 1, bytes_str("n"),
							 bytes_str(p.countries_text), &again),
					 OK);
			assert_memory_equal(p.countries, again.countries, sizeof(p.countries));
		}
		free(text);
	}
}

static void test_countries(void **state)
{
	char text[COUNTRY_TEXT_MAX];

	for (unsigned c = 1; c <= COUNTRIES; c++) {
		country_text((country)c, text);
		assert_int_equal(country_parse(bytes_str(text)), c);
	}
	country_text(0, text);
	assert_string_equal(text, "");
	country_text(COUNTRIES + 1, text);
	assert_string_equal(text, "");
	assert_int_equal(country_parse(bytes_str("AA")), 1);
	assert_int_equal(country_parse(bytes_str("zz")), COUNTRIES);
	assert_int_equal(country_parse(bytes_str("[[")), 0);
}

/* ---- a database ---- */

static void add_text(struct buf *b, const char *s)
{
	buf_add_byte(b, (uint8_t)(2 << 5 | strlen(s)));
	buf_add_str(b, s);
}

static void add_map(struct buf *b, unsigned entries)
{
	buf_add_byte(b, (uint8_t)(7 << 5 | entries));
}

static void add_u16(struct buf *b, const char *name, unsigned v)
{
	add_text(b, name);
	buf_add_byte(b, 5 << 5 | 2);
	buf_add_byte(b, (uint8_t)(v >> 8));
	buf_add_byte(b, (uint8_t)v);
}

static void add_record(struct buf *b, unsigned v)
{
	buf_add_byte(b, (uint8_t)(v >> 16));
	buf_add_byte(b, (uint8_t)(v >> 8));
	buf_add_byte(b, (uint8_t)v);
}

/* Two levels of the tree: 0/2 Germany, 64/2 an embassy, 128/2 an entry without a country, 192/2
 * nothing. */
static void make_database(struct buf *b)
{
	AUTO_BUF struct buf data = BUF_INIT(1000);
	unsigned at[3];

	at[0] = (unsigned)data.len;
	add_map(&data, 2);
	add_text(&data, "continent");
	add_map(&data, 1);
	add_text(&data, "code");
	add_text(&data, "EU");
	add_text(&data, "country");
	add_map(&data, 1);
	add_text(&data, "iso_code");
	add_text(&data, "DE");
	at[1] = (unsigned)data.len;
	add_map(&data, 3);
	add_text(&data, "continent");
	add_map(&data, 1);
	add_text(&data, "code");
	add_text(&data, "EU");
	add_text(&data, "country");
	add_map(&data, 1);
	add_text(&data, "iso_code");
	add_text(&data, "DE");
	add_text(&data, "represented_country");
	add_map(&data, 1);
	add_text(&data, "iso_code");
	add_text(&data, "US");
	at[2] = (unsigned)data.len;
	add_map(&data, 1);
	add_text(&data, "country");
	add_text(&data, "no map");

	add_record(b, 1);
	add_record(b, 2);
	add_record(b, 3 + 16 + at[0]);
	add_record(b, 3 + 16 + at[1]);
	add_record(b, 3 + 16 + at[2]);
	add_record(b, 3);
	for (unsigned i = 0; i < 16; i++)
		buf_add_byte(b, 0);
	buf_add_bytes(b, buf_bytes(&data));
	buf_add_str(b, "\xab\xcd\xefMaxMind.com");
	add_map(b, 9);
	add_text(b, "node_count");
	buf_add(b, "\xc1\3", 2); /* of 32 bits, in a byte */
	add_u16(b, "record_size", 24);
	add_u16(b, "ip_version", 4);
	add_u16(b, "binary_format_major_version", 2);
	add_u16(b, "binary_format_minor_version", 0);
	add_text(b, "database_type");
	add_text(b, "Test");
	add_text(b, "languages");
	buf_add(b, "\0\4", 2); /* an array of none */
	add_text(b, "description");
	add_map(b, 0);
	add_text(b, "build_epoch");
	buf_add(b, "\1\2\1", 3); /* 1 in a byte */
}

static enum err open_bytes(struct call *call, struct bytes content, struct geoip **ret)
{
	const char *path = arena_printf(&call->scratch, "/tmp/acre-test-geoip-%d", os_pid());

	assert_int_equal(os_file_write_all(call, path, content, false), OK);
	enum err e = geoip_open(call, path, ret);
	assert_int_equal(os_unlink(call, path), OK);
	return e;
}

static void expect_geo(const struct geoip *g, const char *address, const char *in, const char *on)
{
	struct geo is = geoip_look(g, address);

	assert_int_equal(is.country, country_parse(bytes_str(in)));
	assert_string_equal(continent_text(is.continent), on);
}

static void test_database(void **state)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf b = BUF_INIT(4000);
	struct geoip *g = NULL;

	call_init(&call);
	make_database(&b);
	if (open_bytes(&call, buf_bytes(&b), &g))
		fail_msg("%s", call.error);
	expect_geo(g, "1.2.3.4:5", "DE", "EU");
	expect_geo(g, "64.2.3.4:5", "", "");
	expect_geo(g, "130.2.3.4:5", "", "");
	expect_geo(g, "200.2.3.4:5", "", "");
	expect_geo(g, "[2001:db8::1]:5", "", "");
	expect_geo(g, "no address", "", "");
	expect_geo(NULL, "1.2.3.4:5", "", "");
	geoip_free(g);
}

/* Cut anywhere: an error with the file's name, or no answer; never a crash. */
static void test_damaged_database(void **state)
{
	AUTO_BUF struct buf b = BUF_INIT(4000);

	make_database(&b);
	for (size_t n = 0; n < b.len; n += 5) {
		AUTO_CALL struct call call = CALL_INIT;
		struct geoip *g = NULL;
		call_init(&call);
		if (open_bytes(&call, BYTES(b.data, n), &g)) {
			assert_non_null(strstr(call.error, "geoip-db: "));
			continue;
		}
		geoip_look(g, "1.2.3.4:5");
		geoip_free(g);
	}
	AUTO_CALL struct call call = CALL_INIT;
	struct geoip *g = NULL;
	call_init(&call);
	assert_int_equal(geoip_open(&call, "/nonexistent/geo.mmdb", &g), ERR_CONFIG);
	assert_non_null(strstr(call.error, "/nonexistent/geo.mmdb"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tag_rules),	 cmocka_unit_test(test_tags_of_storj),
		cmocka_unit_test(test_own_tags),	 cmocka_unit_test(test_rules),
		cmocka_unit_test(test_hostile_rules),	 cmocka_unit_test(test_noise),
		cmocka_unit_test(test_countries),	 cmocka_unit_test(test_database),
		cmocka_unit_test(test_damaged_database), cmocka_unit_test(test_continent_rules),
		cmocka_unit_test(test_operator_rules),	 cmocka_unit_test(test_prices),
		cmocka_unit_test(test_price_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
