/*
 * Choosing nodes for uploads (satellite.md 2): a random network, then a random node in it, so that
 * many nodes behind one network earn as one.  The index is made anew when nodes came, went or
 * moved.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/hash.h"
#include "os/clock.h"
#include "os/random.h"
#include "satellite/overlay_internal.h"

enum { MILLION = 1000000, OPERATOR_TEXT_MAX = 400 };
#define UPLOAD_INTERVAL_NS (600 * NS_PER_SEC)

uint64_t operator_of(const char *wallet, const char *email)
{
	const char *who = operator_name(wallet, email);
	uint8_t sum[HASH_BYTES];
	char lower[OPERATOR_TEXT_MAX];
	size_t n = 0;

	if (!who[0])
		return 0;
	/* Wallets and mail addresses are the same in either case. */
	for (; who[n] && n < sizeof(lower); n++)
		lower[n] = (char)text_lower((uint8_t)who[n]);
	hash_sha256(BYTES(lower, n), sum);
	uint64_t v = get_le64(sum);
	return v ? v : 1;
}

/* ---- how uploads went ---- */

static void move_on(struct upload_counts *u, int64_t interval)
{
	if (interval - u->interval >= UPLOAD_INTERVALS) {
		*u = (struct upload_counts){ .interval = interval };
		return;
	}
	while (u->interval < interval) {
		size_t at = (size_t)(++u->interval % UPLOAD_INTERVALS);
		u->good[at] = u->bad[at] = 0;
	}
}

void upload_counts_add(struct upload_counts *u, bool good, int64_t now_ns)
{
	move_on(u, now_ns / UPLOAD_INTERVAL_NS);
	size_t at = (size_t)(u->interval % UPLOAD_INTERVALS);
	if (good)
		u->good[at]++;
	else
		u->bad[at]++;
}

double upload_counts_share(const struct upload_counts *u, int64_t now_ns)
{
	uint64_t good = 0, bad = 0;
	int64_t now = now_ns / UPLOAD_INTERVAL_NS;

	for (int64_t i = u->interval; i > u->interval - UPLOAD_INTERVALS && i >= 0; i--) {
		if (now - i >= UPLOAD_INTERVALS)
			break;
		good += u->good[i % UPLOAD_INTERVALS];
		bad += u->bad[i % UPLOAD_INTERVALS];
	}
	return good + bad ? (double)good / (double)(good + bad) : 2;
}

void satellite_count_upload(struct satellite *sat, const struct node_id *ids, size_t count,
			    const struct node_id *good, size_t good_count)
{
	int64_t now_ns = os_clock_unix_ns();

	OS_LOCKED(&sat->overlay->lock);
	for (size_t i = 0, j = 0; i < count; i++) {
		struct node_entry *e = overlay_find(sat->overlay, &ids[i]);
		bool kept = j < good_count && node_id_equal(&ids[i], &good[j]);
		j += kept;
		if (e)
			upload_counts_add(&e->uploads, kept, now_ns);
	}
}

static bool selectable(const struct overlay *o, const struct node_entry *e, int64_t now_ns)
{
	const struct overlay_node *n = &e->node;

	return overlay_online(o, e, now_ns) && overlay_takes(e, now_ns) && n->version_ok &&
	       !n->disqualified_ns && !n->suspended_ns && !n->exit_initiated_ns &&
	       e->last_ip_port &&
	       n->free_disk >=
		       (int64_t)MIN(satellite_live(o->sat)->min_free_space, (uint64_t)INT64_MAX);
}

static void group_free(struct index_group *g)
{
	free(g->nodes);
	free(g->nets);
	*g = (struct index_group){ 0 };
}

void index_free(struct overlay *o)
{
	group_free(&o->vetted);
	group_free(&o->fresh);
}

static int by_net(const void *a, const void *b)
{
	const struct node_entry *const *x = a, *const *y = b;
	int c = strcmp((*x)->node.last_net, (*y)->node.last_net);

	/* Ordered among themselves, too, so that equal seeds choose alike. */
	return c ? c : memcmp((*x)->node.id.b, (*y)->node.id.b, NODE_ID_BYTES);
}

/* Takes every node of `all` (sorted by network) that belongs to the group. */
static bool group_make(struct index_group *g, struct node_entry **all, size_t count, bool vetted)
{
	g->nodes = calloc(count + 1, sizeof(struct node_entry *));
	g->nets = calloc(count + 1, sizeof(*g->nets));
	if (!g->nodes || !g->nets)
		return false;
	for (size_t i = 0; i < count; i++) {
		struct node_entry *e = all[i];
		if (!e->node.vetted_ns == vetted)
			continue;
		struct index_net *last = g->nets_count ? &g->nets[g->nets_count - 1] : NULL;
		if (!last || last->number != e->net)
			g->nets[g->nets_count++] = (struct index_net){ .name = e->node.last_net,
								       .first = g->nodes_count,
								       .number = e->net };
		g->nets[g->nets_count - 1].count++;
		g->nodes[g->nodes_count++] = e;
	}
	return true;
}

static bool index_make(struct overlay *o, int64_t now_ns)
{
	AUTO_FREE struct node_entry **all = calloc(o->count + 1, sizeof(struct node_entry *));
	size_t count = 0, net = 0;

	index_free(o);
	if (!all)
		return false;
	for (size_t i = 0; i < o->slots_count; i++)
		if (o->slots[i] && selectable(o, o->slots[i], now_ns))
			all[count++] = o->slots[i];
	qsort(all, count, sizeof(struct node_entry *), by_net);
	for (size_t i = 0; i < count; i++) {
		if (i && strcmp(all[i]->node.last_net, all[i - 1]->node.last_net) != 0)
			net++;
		all[i]->net = net;
	}
	if (!group_make(&o->vetted, all, count, true) ||
	    !group_make(&o->fresh, all, count, false)) {
		index_free(o);
		return false;
	}
	o->index_stale = false;
	o->index_built_ns = now_ns;
	return true;
}

/* One selection under way. */
struct picking {
	struct overlay *o;
	struct arena *a;
	int64_t now_ns;
	const struct node_id *used;
	size_t used_count;
	const char **used_nets; /* of the nodes used before this selection */
	size_t used_nets_count;
	uint64_t *operators; /* of nodes used or picked, when they must be distinct */
	size_t operators_count;
	size_t *picked_nets; /* numbers, of this one */
	int32_t placement;
	const struct placement *rule; /* while the lock is held; NULL: everywhere */
	bool ruled;		      /* false: the placement has no rule */
	bool sharing;		      /* networks that were used or picked */
	char rule_name[PLACEMENT_NAME_MAX + 1];
	struct node_place *places;
	size_t count, want;
};

static bool net_is_free(const struct picking *p, const struct index_net *net)
{
	if (p->sharing)
		return true;
	for (size_t i = 0; i < p->count; i++)
		if (p->picked_nets[i] == net->number)
			return false;
	for (size_t i = 0; i < p->used_nets_count; i++)
		if (strcmp(p->used_nets[i], net->name) == 0)
			return false;
	return true;
}

static bool node_is_free(const struct picking *p, const struct node_entry *e)
{
	if (!placement_allows(p->rule, e->node.geo, e->conditions))
		return false;
	for (size_t i = 0; p->sharing && i < p->count; i++)
		if (node_id_equal(&p->places[i].id, &e->node.id))
			return false;
	for (size_t i = 0; i < p->used_count; i++)
		if (node_id_equal(&p->used[i], &e->node.id))
			return false;
	for (size_t i = 0; e->operator_ && i < p->operators_count; i++)
		if (p->operators[i] == e->operator_)
			return false;
	return overlay_online(p->o, e, p->now_ns);
}

static void take_operator(struct picking *p, const struct node_entry *e)
{
	if (p->o->sat->config.distinct_operators && e->operator_)
		p->operators[p->operators_count++] = e->operator_;
}

/* A random node of the network that may be used; NULL when there is none. */
static struct node_entry *node_of(const struct picking *p, const struct index_group *g,
				  const struct index_net *net)
{
	size_t start = (size_t)os_random_below(net->count);

	for (size_t i = 0; i < net->count; i++) {
		struct node_entry *e = g->nodes[net->first + (start + i) % net->count];
		if (node_is_free(p, e))
			return e;
	}
	return NULL;
}

static void fill_place(struct arena *a, const struct node_entry *e, bool online,
		       struct node_place *ret)
{
	const char *address = arena_str(a, bytes_str(e->node.last_ip_port));

	*ret = (struct node_place){ .id = e->node.id,
				    .address = address ? address : "",
				    .known = true,
				    .dial = e->node.dial,
				    .online = online && address };
}

/* One step of a shuffle: a random network of those from `at` on comes to `at`.  That the order
 * stays stirred makes it no less random. */
static void draw(struct index_group *g, size_t at)
{
	size_t j = at + (size_t)os_random_below(g->nets_count - at);
	struct index_net net = g->nets[j];

	g->nets[j] = g->nets[at];
	g->nets[at] = net;
}

static const struct node_entry *candidate(const struct picking *p, const struct index_group *g,
					  size_t at)
{
	return net_is_free(p, &g->nets[at]) ? node_of(p, g, &g->nets[at]) : NULL;
}

/* Of some drawn networks the one whose node keeps its pieces best comes to `at` (the power of two
 * choices: bad nodes get little, and none gets all). */
static const struct node_entry *best_of_some(const struct picking *p, struct index_group *g,
					     size_t at)
{
	uint64_t choices = MAX(p->o->sat->config.upload_choices, UINT64_C(1));
	const struct node_entry *best = NULL;
	double best_share = 0;

	for (size_t i = at; i < g->nets_count && choices; i++) {
		draw(g, i);
		const struct node_entry *e = candidate(p, g, i);
		if (!e)
			continue;
		choices--;
		double share = upload_counts_share(&e->uploads, p->now_ns);
		if (best && share <= best_share)
			continue;
		struct index_net net = g->nets[i];
		g->nets[i] = g->nets[at];
		g->nets[at] = net;
		best = e;
		best_share = share;
	}
	return best;
}

/* Picks up to `count` nodes from networks in random order. */
static void pick(struct picking *p, struct index_group *g, size_t count)
{
	size_t end = MIN(p->want, p->count + count);

	for (size_t i = 0; i < g->nets_count && p->count < end; i++) {
		const struct node_entry *e = best_of_some(p, g, i);
		if (!e)
			break; /* it looked at all that are left */
		take_operator(p, e);
		p->picked_nets[p->count] = g->nets[i].number;
		fill_place(p->a, e, true, &p->places[p->count++]);
	}
}

/* Networks of their own do not suffice, and the rule lets nodes share one: one more of each, round
 * by round. */
static void pick_sharing(struct picking *p)
{
	size_t before;

	if (!p->rule || !p->rule->shared_networks)
		return;
	p->sharing = true;
	do {
		before = p->count;
		pick(p, &p->o->vetted, p->want);
		pick(p, &p->o->fresh, p->want);
	} while (p->count < p->want && p->count > before);
}

/* How many go to new nodes first: the smaller of new-node-fraction and their share among all. */
static size_t new_nodes_wanted(const struct overlay *o, size_t want)
{
	size_t fresh = o->fresh.nodes_count, all = fresh + o->vetted.nodes_count;

	if (all == 0)
		return 0;
	double part = MIN(o->sat->config.new_node_fraction, (double)fresh / (double)all);
	uint64_t share = (uint64_t)((double)want * part * MILLION);
	/* Less than one is one with that probability. */
	if (share < MILLION)
		return os_random_below(MILLION) < share;
	return (size_t)(share / MILLION);
}

static bool pick_all(struct picking *p)
{
	struct overlay *o = p->o;

	OS_LOCKED(&o->lock);
	p->rule = placement_find(o->placements, p->placement);
	p->ruled = p->rule || !p->placement;
	if (!p->ruled)
		return true;
	snprintf(p->rule_name, sizeof(p->rule_name), "%s", p->rule ? p->rule->name : "");
	if ((o->index_stale || !o->vetted.nodes) && !index_make(o, p->now_ns))
		return false;
	for (size_t i = 0; i < p->used_count; i++) {
		const struct node_entry *e = overlay_find(o, &p->used[i]);
		if (e && e->last_net)
			p->used_nets[p->used_nets_count++] = e->last_net;
		if (e)
			take_operator(p, e);
	}
	pick(p, &o->fresh, new_nodes_wanted(o, p->want));
	pick(p, &o->vetted, p->want);
	/* A young network has no vetted nodes yet. */
	pick(p, &o->fresh, p->want);
	if (p->count < p->want)
		pick_sharing(p);
	return true;
}

enum err satellite_select_nodes(struct call *call, struct satellite *sat, struct arena *a,
				int32_t placement, size_t count, const struct node_id *used,
				size_t used_count, struct node_place **ret)
{
	struct picking p = { .o = sat->overlay,
			     .a = a,
			     .now_ns = os_clock_unix_ns(),
			     .placement = placement,
			     .used = used,
			     .used_count = used_count,
			     .want = count };

	p.used_nets = arena_array(a, used_count + 1, sizeof(*p.used_nets));
	p.picked_nets = arena_array(a, count + 1, sizeof(*p.picked_nets));
	p.places = arena_array(a, count + 1, sizeof(*p.places));
	p.operators = arena_array(a, used_count + count + 1, sizeof(*p.operators));
	if (!p.used_nets || !p.picked_nets || !p.places || !p.operators || !pick_all(&p))
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (!p.ruled)
		return call_fail(call, ERR_PRECONDITION,
				 "not enough nodes: placement %d has no rule", placement);
	if (p.count < count)
		return call_fail(
			call, ERR_PRECONDITION,
			"not enough nodes: want %zu in distinct networks%s%s%s, have %zu that are "
			"online with free space",
			count, sat->config.distinct_operators ? " and of distinct operators" : "",
			placement ? ", in placement " : "", p.rule_name, p.count);
	*ret = p.places;
	return OK;
}

enum err satellite_lookup_nodes(struct call *call, struct satellite *sat, struct arena *a,
				const struct node_id *ids, size_t count, struct node_place **ret)
{
	struct overlay *o = sat->overlay;
	struct node_place *places = arena_array(a, count + 1, sizeof(*places));
	int64_t now_ns = os_clock_unix_ns();

	if (!places)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	OS_LOCKED(&o->lock);
	for (size_t i = 0; i < count; i++) {
		const struct node_entry *e = overlay_find(o, &ids[i]);
		places[i] = (struct node_place){ .id = ids[i], .address = "" };
		if (!e)
			continue;
		bool gone = e->node.disqualified_ns || e->node.exit_finished_ns;
		fill_place(a, e, overlay_online(o, e, now_ns) && !gone, &places[i]);
		places[i].gone = gone;
		places[i].away = overlay_away(e, now_ns);
	}
	*ret = places;
	return OK;
}

struct overlay_count overlay_count(struct satellite *sat)
{
	struct overlay *o = sat->overlay;
	int64_t now_ns = os_clock_unix_ns();
	struct overlay_count c = { 0 };

	OS_LOCKED(&o->lock);
	if ((o->index_stale || !o->vetted.nodes) && !index_make(o, now_ns))
		return c;
	c.known = o->count;
	for (size_t i = 0; i < o->slots_count; i++)
		c.online += o->slots[i] && overlay_online(o, o->slots[i], now_ns);
	c.selectable = o->vetted.nodes_count + o->fresh.nodes_count;
	for (size_t i = 0; i < o->slots_count; i++)
		if (o->slots[i] && selectable(o, o->slots[i], now_ns))
			c.networks = MAX(c.networks, o->slots[i]->net + 1);
	return c;
}
