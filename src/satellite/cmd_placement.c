/* acre-satellite placement list, set, remove; bucket set: where pieces may lie. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "satellite/bucket.h"
#include "satellite/command.h"
#include "satellite/metainfo_internal.h"
#include "satellite/object.h"
#include "satellite/placement.h"
#include "satellite/store_metainfo.h"

DEFINE_AUTO_PTR(struct db, db_auto, db_close)

enum err command_placement_number(struct command *c, int64_t *ret)
{
	const char *text = c->o.placement ? c->o.placement : "";
	uint64_t v = 0;

	if (text_u64(bytes_str(text), PLACEMENT_NUMBER_MAX, &v))
		return call_fail(c->call, ERR_CONFIG,
				 "say which placement: \"%s\" is no number up to %d", text,
				 PLACEMENT_NUMBER_MAX);
	*ret = (int64_t)v;
	return OK;
}

static void add_text(struct buf *out, const char *what, const char *text)
{
	if (text[0])
		buf_printf(out, "  %s %s", what, text);
}

static void add_price(struct buf *out, const char *what, int64_t micro)
{
	if (!micro)
		return;
	buf_printf(out, "  %s at most ", what);
	command_add_money(out, micro);
}

static void add_line(struct buf *out, const struct placement *p)
{
	buf_printf(out, "%5d  %-20s  %s", p->number, p->name,
		   p->limited ? p->countries_text : "everywhere");
	add_text(out, "continents", p->continents_text);
	add_text(out, "operators", p->operators_text);
	add_text(out, "tags", p->tags_text);
	add_price(out, "storage", p->max_prices.storage);
	add_price(out, "egress", p->max_prices.egress);
	buf_printf(out, "%s\n", p->shared_networks ? "  networks shared" : "");
}

static void add_price_json(struct buf *out, const char *what, int64_t micro)
{
	buf_printf(out, ",\"max_%s_price_micro_dollars\":", what);
	if (micro)
		buf_printf(out, "%lld", (long long)micro);
	else
		buf_add_str(out, "null");
}

static void add_placement(struct command *c, const struct placement *p, bool first)
{
	struct buf *out = &c->out;

	if (!c->o.json) {
		add_line(out, p);
		return;
	}
	buf_printf(out, "%s{\"number\":%d,\"name\":", first ? "" : ",\n ", p->number);
	text_add_json(out, bytes_str(p->name));
	buf_add_str(out, ",\"countries\":");
	text_add_json(out, bytes_str(p->countries_text));
	buf_add_str(out, ",\"continents\":");
	text_add_json(out, bytes_str(p->continents_text));
	buf_add_str(out, ",\"operators\":");
	text_add_json(out, bytes_str(p->operators_text));
	add_price_json(out, "storage", p->max_prices.storage);
	add_price_json(out, "egress", p->max_prices.egress);
	buf_add_str(out, ",\"tags\":");
	text_add_json(out, bytes_str(p->tags_text));
	buf_printf(out, ",\"shared_networks\":%s}", p->shared_networks ? "true" : "false");
}

enum err command_placement_list(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	AUTO_FREE struct placement_set *set = NULL;

	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(store_placements(c->call, db, &set));
	if (c->o.json)
		buf_add_byte(&c->out, '[');
	for (size_t i = 0; i < set->count; i++)
		add_placement(c, &set->list[i], i == 0);
	if (c->o.json)
		buf_add_str(&c->out, "]\n");
	return OK;
}

static struct bytes option(const char *text)
{
	return bytes_str(text ? text : "");
}

/* No ceiling is "none": nobody shall take 0 for one. */
static enum err read_price(struct command *c, const char *flag, const char *text, int64_t *ret)
{
	int64_t micro = -1;

	TRY_PLAIN(command_money(c, flag, text, &micro));
	if (micro == 0)
		return call_fail(c->call, ERR_CONFIG,
				 "--%s: no node costs nothing; \"none\" is no ceiling", flag);
	*ret = MAX(micro, INT64_C(0));
	return OK;
}

static enum err read_rule(struct command *c, struct placement *p)
{
	const struct command_options *o = &c->o;
	struct prices max = { 0 };
	int64_t number = 0;

	TRY_PLAIN(command_placement_number(c, &number));
	TRY_PLAIN(placement_parse(c->call, number, option(o->name), option(o->countries), p));
	TRY_PLAIN(placement_take_continents(c->call, option(o->continents), p));
	TRY_PLAIN(placement_take_operators(c->call, option(o->operators), p));
	TRY_PLAIN(placement_take_tags(c->call, option(o->tags), p));
	TRY_PLAIN(read_price(c, "max-storage-price", o->max_storage_price, &max.storage));
	TRY_PLAIN(read_price(c, "max-egress-price", o->max_egress_price, &max.egress));
	p->shared_networks = o->shared_networks;
	return placement_take_prices(c->call, &max, p);
}

enum err command_placement_set(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct placement p;

	TRY_PLAIN(read_rule(c, &p));
	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(store_placement_set(c->call, db, &p));
	command_say(c, "Set.  A satellite that runs takes it up within 10 seconds, and its repair "
		       "moves what lies elsewhere.\n");
	return OK;
}

enum err command_placement_remove(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	int64_t number = 0;

	TRY_PLAIN(command_placement_number(c, &number));
	TRY_PLAIN(command_database(c, &db));
	return store_placement_remove(c->call, db, (int32_t)number);
}

/* ---- of a bucket ---- */

struct bucket_arg {
	struct project_id project;
	struct bytes name;
	int64_t placement;
};

static enum err set_bucket(struct call *call, struct db_tx *tx, void *arg)
{
	const struct bucket_arg *a = arg;
	struct bucket b;
	bool empty = false;

	TRY_PLAIN(bucket_find(call, tx, &a->project, a->name, &b));
	TRY_PLAIN(store_bucket_is_empty(call, tx, b.id, &empty));
	if (!empty && b.placement != a->placement)
		return call_fail(call, ERR_PRECONDITION,
				 "the bucket is not empty, and its segments keep their placement: "
				 "change the rule of placement %d, or copy into a new bucket",
				 b.placement);
	TRY_PLAIN(store_placement_check(call, tx, a->placement));
	return DB_EXEC(call, tx, "UPDATE buckets SET placement = $2 WHERE id = $1", NULL,
		       DB_V_INT(b.id), DB_V_INT(a->placement));
}

enum err command_bucket_set(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct bucket_arg a = { 0 };
	struct project p;

	if (!c->o.bucket || !c->o.bucket[0])
		return call_fail(c->call, ERR_CONFIG, "say which bucket: --bucket NAME");
	a.name = bytes_str(c->o.bucket);
	TRY_PLAIN(command_placement_number(c, &a.placement));
	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(command_project(c, db, &p));
	a.project = p.id;
	TRY_PLAIN(db_write(c->call, db, set_bucket, &a));
	command_say(c, "Set.\n");
	return OK;
}
