/* acre-satellite placement list, set, remove; bucket set: where pieces may lie. */
#include <stdlib.h>

#include "base/cleanup.h"
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

static void add_placement(struct command *c, const struct placement *p, bool first)
{
	struct buf *out = &c->out;

	if (!c->o.json) {
		buf_printf(out, "%5d  %-20s  %s%s%s%s\n", p->number, p->name,
			   p->limited ? p->countries_text : "everywhere",
			   p->tags_text[0] ? "  tags " : "", p->tags_text,
			   p->shared_networks ? "  networks shared" : "");
		return;
	}
	buf_printf(out, "%s{\"number\":%d,\"name\":", first ? "" : ",\n ", p->number);
	text_add_json(out, bytes_str(p->name));
	buf_add_str(out, ",\"countries\":");
	text_add_json(out, bytes_str(p->countries_text));
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

enum err command_placement_set(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct placement p;
	int64_t number = 0;

	TRY_PLAIN(command_placement_number(c, &number));
	TRY_PLAIN(placement_parse(c->call, number, bytes_str(c->o.name ? c->o.name : ""),
				  bytes_str(c->o.countries ? c->o.countries : ""), &p));
	TRY_PLAIN(placement_take_tags(c->call, bytes_str(c->o.tags ? c->o.tags : ""), &p));
	p.shared_networks = c->o.shared_networks;
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
