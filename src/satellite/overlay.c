/* The node table: check-ins change it in place, a thread reads what other processes changed. */
#include "satellite/overlay_internal.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/log.h"

enum { SLOTS_FIRST = 64 };

#define REFRESH_NS (10 * NS_PER_SEC)
/* Rows are looked at again for so long, since clocks of several processes differ. */
#define REFRESH_OVERLAP_NS (120 * NS_PER_SEC)
/* Nothing about a node changed: its row is written at least this often (satellite.md 1.8). */
#define ROW_NS_MAX (INT64_C(4200) * NS_PER_SEC)
#define SPACE_NS_MAX (60 * NS_PER_SEC)

/* Of declared hours, in minutes (docs/design/hours.md). */
enum {
	BEFORE_END = 10,     /* no upload begins then */
	AFTER_BEGIN = 15,    /* until a machine that was started has checked in */
	HOURS_MIN = 10 * 60, /* of a day; with fewer nobody is excused */
};

static size_t slot_of(const struct node_id *id, size_t slots)
{
	/* IDs are hashes. */
	return (size_t)get_le64(id->b) & (slots - 1);
}

static void entry_free(struct node_entry *e)
{
	free(e->address);
	free(e->last_ip_port);
	free(e->last_net);
	free(e->version);
	free(e->email);
	free(e->wallet);
	free(e->tags);
	free(e);
}

struct node_entry *overlay_find(const struct overlay *o, const struct node_id *id)
{
	size_t at = slot_of(id, o->slots_count);

	for (; o->slots[at]; at = (at + 1) & (o->slots_count - 1))
		if (node_id_equal(&o->slots[at]->node.id, id))
			return o->slots[at];
	return NULL;
}

bool overlay_online(const struct overlay *o, const struct node_entry *e, int64_t now_ns)
{
	return now_ns - e->node.last_success_ns < satellite_live(o->sat)->online_window;
}

bool overlay_heard(const struct overlay *o, const struct node_entry *e, int64_t now_ns)
{
	return overlay_online(o, e, now_ns) &&
	       now_ns - e->node.last_success_ns < o->sat->config.silence_window;
}

static unsigned minute_of(int64_t unix_ns)
{
	return (unsigned)(unix_ns / NS_PER_SEC / 60 % DAY_MINUTES);
}

/* For how many minutes it has been away; 0: it is not, or not to be excused. */
static unsigned away_for(const struct node_entry *e, int64_t now_ns)
{
	unsigned minute = minute_of(now_ns), over = day_hours_over(&e->hours, minute);

	if (!over) { /* just begun? */
		minute = (minute + DAY_MINUTES - AFTER_BEGIN) % DAY_MINUTES;
		over = day_hours_over(&e->hours, minute);
		over += over ? AFTER_BEGIN : 0;
	}
	return e->hours_suffice ? over : 0;
}

bool overlay_away(const struct node_entry *e, int64_t now_ns)
{
	return away_for(e, now_ns) != 0;
}

bool overlay_excused(const struct overlay *o, const struct node_entry *e, int64_t now_ns)
{
	int64_t away_ns = away_for(e, now_ns) * 60 * NS_PER_SEC;

	return away_ns &&
	       now_ns - e->node.last_success_ns - away_ns < o->sat->config.silence_window;
}

bool overlay_takes(const struct node_entry *e, int64_t now_ns)
{
	unsigned now = minute_of(now_ns), soon = (now + BEFORE_END) % DAY_MINUTES;

	return day_hours_has(&e->hours, now) && day_hours_has(&e->hours, soon) &&
	       day_hours_has(&e->upload_hours, now) && day_hours_has(&e->upload_hours, soon);
}

static bool grow(struct overlay *o)
{
	size_t count = o->slots_count * 2;
	struct node_entry **slots = calloc(count, sizeof(struct node_entry *));

	if (!slots)
		return false;
	for (size_t i = 0; i < o->slots_count; i++) {
		if (!o->slots[i])
			continue;
		size_t at = slot_of(&o->slots[i]->node.id, count);
		while (slots[at])
			at = (at + 1) & (count - 1);
		slots[at] = o->slots[i];
	}
	free(o->slots);
	o->slots = slots;
	o->slots_count = count;
	return true;
}

static struct node_entry *insert(struct overlay *o, const struct node_id *id)
{
	if (o->count >= OVERLAY_NODES_MAX || (o->count * 2 >= o->slots_count && !grow(o)))
		return NULL;
	struct node_entry *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->node.id = *id;
	size_t at = slot_of(id, o->slots_count);
	while (o->slots[at])
		at = (at + 1) & (o->slots_count - 1);
	o->slots[at] = e;
	o->count++;
	return e;
}

/* Replaces a string; keeps the old one without memory. */
static bool set_text(char **text, const char *now)
{
	if (*text && strcmp(*text, now) == 0)
		return true;
	char *copy = strdup(now);
	if (!copy)
		return false;
	free(*text);
	*text = copy;
	return true;
}

static void read_tags(struct node_entry *e)
{
	e->node.tags = e->tags ? e->tags : "";
	node_tags_hours(e->node.tags, "hours", &e->hours);
	node_tags_hours(e->node.tags, "upload-hours", &e->upload_hours);
	e->hours_suffice = day_hours_total(&e->hours) >= HOURS_MIN;
}

static void find_conditions(const struct overlay *o, struct node_entry *e)
{
	const struct satellite_config *c = &o->sat->config;
	const struct prices paid = { (int64_t)MIN(c->pay_storage, (uint64_t)INT64_MAX),
				     (int64_t)MIN(c->pay_egress, (uint64_t)INT64_MAX) };
	struct node_traits traits = { .tags = e->node.tags,
				      .operator_ = operator_name(e->wallet, e->email) };

	e->conditions = 0;
	if (!o->placements || !o->placements->conditions_count)
		return;
	node_tags_prices(e->node.tags, &paid, &traits.prices);
	e->conditions = placement_conditions(o->placements, &traits);
}

static bool set_texts(const struct overlay *o, struct node_entry *e, const struct node_row *row)
{
	bool tagged = !e->tags || !row->node.tags || strcmp(e->tags, row->node.tags) != 0;

	bool ok = set_text(&e->address, row->node.address);

	ok &= set_text(&e->last_ip_port, row->node.last_ip_port);
	ok &= set_text(&e->last_net, row->node.last_net);
	ok &= set_text(&e->version, row->version);
	ok &= set_text(&e->email, row->email);
	ok &= set_text(&e->wallet, row->wallet);
	ok &= set_text(&e->tags, row->node.tags ? row->node.tags : "");
	e->node.tags = e->tags ? e->tags : "";
	if (tagged)
		read_tags(e);
	e->operator_ = operator_of(e->wallet, e->email);
	find_conditions(o, e);
	e->node.address = e->address ? e->address : "";
	e->node.last_ip_port = e->last_ip_port ? e->last_ip_port : "";
	e->node.last_net = e->last_net ? e->last_net : "";
	return ok;
}

/* Whether the change moves the node within, into or out of the index. */
static bool moves(const struct overlay *o, const struct node_entry *e, const struct node_row *row,
		  int64_t now_ns)
{
	const struct overlay_node *was = &e->node, *is = &row->node;
	int64_t least = (int64_t)satellite_live(o->sat)->min_free_space;

	return !e->last_net || strcmp(was->last_net, is->last_net) != 0 ||
	       (was->free_disk < least) != (is->free_disk < least) ||
	       !was->vetted_ns != !is->vetted_ns || !was->disqualified_ns != !is->disqualified_ns ||
	       !was->suspended_ns != !is->suspended_ns ||
	       !was->exit_initiated_ns != !is->exit_initiated_ns ||
	       strcmp(was->tags ? was->tags : "", is->tags ? is->tags : "") != 0 ||
	       (!overlay_online(o, e, now_ns) && is->last_success_ns > was->last_success_ns);
}

enum err overlay_put(struct call *call, struct overlay *o, const struct node_row *row, bool stored)
{
	OS_LOCKED(&o->lock);
	struct node_entry *e = overlay_find(o, &row->node.id);
	if (e && stored && e->updated_ns > row->updated_ns)
		return OK;
	if (!e)
		e = insert(o, &row->node.id);
	if (!e)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for nodes");
	int64_t success = MAX(e->node.last_success_ns, row->node.last_success_ns);
	int64_t failure = MAX(e->node.last_failure_ns, row->node.last_failure_ns);
	if (moves(o, e, row, os_clock_unix_ns())) {
		o->index_stale = true;
		/* It points to the strings that change now. */
		index_free(o);
	}
	struct node_id id = e->node.id;
	e->node = row->node;
	e->node.id = id;
	bool ok = set_texts(o, e, row);
	e->node.last_success_ns = success;
	e->node.last_failure_ns = failure;
	e->updated_ns = MAX(e->updated_ns, row->updated_ns);
	return ok ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory for nodes");
}

/* ---- check-in ---- */

static bool differs(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") != 0;
}

static bool dial_differs(const struct node_dial *a, const struct node_dial *b)
{
	return a->debounce_limit != b->debounce_limit || a->features != b->features ||
	       !noise_peer_equal(&a->noise, &b->noise);
}

/* How old a row may get while nothing changes: other processes know no more than the rows. */
static int64_t row_age_max(const struct overlay *o)
{
	return db_is_sqlite(o->sat->db) ? ROW_NS_MAX
					: MIN(ROW_NS_MAX, o->sat->config.silence_window / 2);
}

/* Free space always changes; that alone is written when it decides or after a while. */
static bool space_matters(const struct overlay *o, const struct node_entry *e,
			  const struct checkin *in)
{
	int64_t least = (int64_t)satellite_live(o->sat)->min_free_space;

	return e->node.free_disk != in->free_disk &&
	       ((e->node.free_disk < least) != (in->free_disk < least) ||
		in->now_unix_ns - e->updated_ns > SPACE_NS_MAX);
}

/* Whether the row has to be written; *ret_row is what the table shall say. */
static bool needs_row(struct overlay *o, const struct checkin *in, struct node_row *ret_row)
{
	struct node_row *row = ret_row;

	*row = (struct node_row){
		.node = { .id = in->id,
			  .address = in->address,
			  .last_ip_port = in->last_ip_port,
			  .last_net = in->last_net,
			  .free_disk = in->free_disk,
			  .created_ns = in->now_unix_ns,
			  .version_ok = true,
			  .geo = in->geo,
			  .tags = in->tags,
			  .dial = in->dial },
		.version = in->version,
		.email = in->email,
		.wallet = in->wallet,
		.updated_ns = in->now_unix_ns,
	};
	OS_LOCKED(&o->lock);
	const struct node_entry *e = overlay_find(o, &in->id);
	if (e) {
		row->node.created_ns = e->node.created_ns;
		row->node.last_success_ns = e->node.last_success_ns;
		row->node.last_failure_ns = e->node.last_failure_ns;
		row->node.vetted_ns = e->node.vetted_ns;
		row->node.disqualified_ns = e->node.disqualified_ns;
		row->node.suspended_ns = e->node.suspended_ns;
		row->node.exit_initiated_ns = e->node.exit_initiated_ns;
		row->node.exit_finished_ns = e->node.exit_finished_ns;
	}
	bool was_up = e && e->node.last_success_ns >= e->node.last_failure_ns;
	*(in->up ? &row->node.last_success_ns : &row->node.last_failure_ns) = in->now_unix_ns;
	return !e || was_up != in->up || in->now_unix_ns - e->updated_ns > row_age_max(o) ||
	       differs(e->address, in->address) || differs(e->last_ip_port, in->last_ip_port) ||
	       differs(e->last_net, in->last_net) || differs(e->version, in->version) ||
	       differs(e->email, in->email) || differs(e->wallet, in->wallet) ||
	       differs(e->tags, in->tags) || !geo_equal(e->node.geo, in->geo) ||
	       space_matters(o, e, in) || dial_differs(&e->node.dial, &in->dial);
}

/* Without a database of countries what one told earlier stays, while the address does. */
static struct geo geo_of(struct overlay *o, const struct checkin *in)
{
	if (o->sat->geoip)
		return in->geo;
	OS_LOCKED(&o->lock);
	const struct node_entry *e = overlay_find(o, &in->id);
	return e && !differs(e->last_ip_port, in->last_ip_port) ? e->node.geo : (struct geo){ 0 };
}

enum err overlay_checkin(struct call *call, struct satellite *sat, const struct checkin *asked)
{
	struct overlay *o = sat->overlay;
	struct checkin placed = *asked;
	const struct checkin *in = &placed;
	struct node_row row;

	placed.geo = geo_of(o, asked);
	/* A new leaf certificate must not be lost with this process. */
	bool new_keys = !node_keys_has(o, &in->id, in->chain);
	bool write = needs_row(o, in, &row) || new_keys;
	enum err e = write ? store_checkin(call, sat->db, in) : OK;
	/* Nobody is lost who is known: without room for rows, reading goes on. */
	if (e && (e != ERR_NO_SPACE || new_keys))
		return e;
	if (e || !write)
		row.updated_ns = 0; /* the row's own stays */
	node_keys_put(o, &in->id, in->chain);
	return overlay_put(call, o, &row, false);
}

bool overlay_is_known(struct satellite *sat, const struct node_id *id)
{
	OS_LOCKED(&sat->overlay->lock);
	return overlay_find(sat->overlay, id) != NULL;
}

int64_t overlay_newest_ns(struct satellite *sat)
{
	OS_LOCKED(&sat->overlay->lock);
	return sat->overlay->seen_ns;
}

/* ---- placements ---- */

bool overlay_placement(struct satellite *sat, int32_t number, struct placement *ret)
{
	OS_LOCKED(&sat->overlay->lock);
	const struct placement *p = placement_find(sat->overlay->placements, number);
	if (p)
		*ret = *p;
	return p != NULL;
}

/* Lock held.  It is found out anew what nodes fulfil only when there are other rules. */
static void put_placements(struct overlay *o, struct placement_set *set)
{
	bool changed = !o->placements || !placement_sets_equal(o->placements, set);

	free(o->placements);
	o->placements = set;
	for (size_t i = 0; changed && i < o->slots_count; i++)
		if (o->slots[i])
			find_conditions(o, o->slots[i]);
}

/* ---- refreshing ---- */

struct refresh {
	struct overlay *o;
	int64_t seen_ns;
};

static enum err refresh_row(struct call *call, void *arg, const struct node_row *row)
{
	struct refresh *r = arg;

	r->seen_ns = MAX(r->seen_ns, row->updated_ns);
	return overlay_put(call, r->o, row, true);
}

enum err overlay_refresh(struct call *call, struct satellite *sat)
{
	struct overlay *o = sat->overlay;
	struct refresh r = { .o = o };

	os_mutex_lock(&o->lock);
	r.seen_ns = o->seen_ns;
	os_mutex_unlock(&o->lock);
	int64_t since = r.seen_ns > REFRESH_OVERLAP_NS ? r.seen_ns - REFRESH_OVERLAP_NS : 0;
	TRY(store_nodes_since(call, sat->db, since, refresh_row, &r), "read the nodes");
	struct placement_set *placements = NULL;
	TRY_PLAIN(store_placements(call, sat->db, &placements));
	OS_LOCKED(&o->lock);
	put_placements(o, placements);
	o->seen_ns = MAX(o->seen_ns, r.seen_ns);
	/* Nodes that went offline drop out of it. */
	o->index_stale = true;
	return OK;
}

/* false when stopping. */
static bool sleep_until_refresh(struct overlay *o)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	os_call_limit(&call, REFRESH_NS);
	OS_LOCKED(&o->lock);
	while (!o->stopping)
		if (os_cond_wait(&call, &o->stop_asked, &o->lock))
			break;
	return !o->stopping;
}

static void refresher(void *arg)
{
	struct overlay *o = arg;
	bool warned = false;

	while (sleep_until_refresh(o)) {
		AUTO_CALL struct call call = CALL_INIT;
		call_init(&call);
		os_call_limit(&call, 3 * REFRESH_NS);
		enum err e = overlay_refresh(&call, o->sat);
		/* Once per trouble: what is in memory stays good for a while. */
		if (e && !warned)
			log_warn("the nodes are not refreshed",
				 F_STR("error", call_error(&call, e)));
		else if (!e && warned)
			log_info("the nodes are refreshed again");
		warned = e != OK;
	}
}

enum err overlay_new(struct call *call, struct satellite *sat, struct overlay **ret)
{
	struct overlay *o = calloc(1, sizeof(*o));

	if (!o)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	o->sat = sat;
	o->slots_count = SLOTS_FIRST;
	o->slots = calloc(o->slots_count, sizeof(struct node_entry *));
	enum err e = o->slots ? node_keys_init(call, o)
			      : call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (!e) {
		sat->overlay = o;
		e = overlay_refresh(call, sat);
	}
	if (!e)
		e = os_thread_start(call, "overlay", refresher, o, &o->refresher);
	if (e) {
		sat->overlay = NULL;
		overlay_free(o);
		return e;
	}
	*ret = o;
	return OK;
}

void overlay_free(struct overlay *o)
{
	if (!o)
		return;
	os_mutex_lock(&o->lock);
	o->stopping = true;
	os_cond_broadcast(&o->stop_asked);
	os_mutex_unlock(&o->lock);
	os_thread_join(o->refresher);
	index_free(o);
	for (size_t i = 0; o->slots && i < o->slots_count; i++)
		if (o->slots[i])
			entry_free(o->slots[i]);
	free(o->slots);
	free(o->placements);
	node_keys_free(o);
	os_mutex_fini(&o->lock);
	os_cond_fini(&o->stop_asked);
	free(o);
}
