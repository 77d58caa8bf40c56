/*
 * Choosing nodes for uploads (satellite.md 2): a random network, then a random node in it, so that
 * many nodes behind one network earn as one.  The index is made anew when nodes came, went or
 * moved.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/random.h"
#include "satellite/overlay_internal.h"

/* Share of uploads that unvetted nodes get at most, while vetted ones suffice. */
enum { NEW_NODE_ONE_IN = 100 };

static bool selectable(const struct overlay *o, const struct node_entry *e, int64_t now_ns)
{
	const struct overlay_node *n = &e->node;

	return overlay_online(o, e, now_ns) && n->version_ok && !n->disqualified_ns &&
	       !n->suspended_ns && !n->exit_initiated_ns && e->last_ip_port &&
	       n->free_disk >= (int64_t)MIN(o->sat->config.min_free_space, (uint64_t)INT64_MAX);
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
	size_t *picked_nets; /* numbers, of this one */
	struct node_place *places;
	size_t count, want;
};

static bool net_is_free(const struct picking *p, const struct index_net *net)
{
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
	for (size_t i = 0; i < p->used_count; i++)
		if (node_id_equal(&p->used[i], &e->node.id))
			return false;
	return overlay_online(p->o, e, p->now_ns);
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

/* Picks up to `count` nodes from networks in random order. */
static void pick(struct picking *p, struct index_group *g, size_t count)
{
	size_t end = MIN(p->want, p->count + count);

	for (size_t i = 0; i < g->nets_count && p->count < end; i++) {
		/* One step of a shuffle; that the order stays stirred makes it no less random. */
		size_t j = i + (size_t)os_random_below(g->nets_count - i);
		struct index_net net = g->nets[j];
		g->nets[j] = g->nets[i];
		g->nets[i] = net;
		if (!net_is_free(p, &net))
			continue;
		const struct node_entry *e = node_of(p, g, &net);
		if (!e)
			continue;
		p->picked_nets[p->count] = net.number;
		fill_place(p->a, e, true, &p->places[p->count++]);
	}
}

/* How many go to new nodes first: the smaller of 1 % and their share among all. */
static size_t new_nodes_wanted(const struct overlay *o, size_t want)
{
	size_t fresh = o->fresh.nodes_count, all = fresh + o->vetted.nodes_count;

	if (all == 0)
		return 0;
	uint64_t share = MIN((uint64_t)want * 1000000 / NEW_NODE_ONE_IN,
			     (uint64_t)want * fresh * 1000000 / all);
	/* Less than one is one with that probability. */
	if (share < 1000000)
		return os_random_below(1000000) < share;
	return (size_t)(share / 1000000);
}

static bool pick_all(struct picking *p)
{
	struct overlay *o = p->o;

	OS_LOCKED(&o->lock);
	if ((o->index_stale || !o->vetted.nodes) && !index_make(o, p->now_ns))
		return false;
	for (size_t i = 0; i < p->used_count; i++) {
		const struct node_entry *e = overlay_find(o, &p->used[i]);
		if (e && e->last_net)
			p->used_nets[p->used_nets_count++] = e->last_net;
	}
	pick(p, &o->fresh, new_nodes_wanted(o, p->want));
	pick(p, &o->vetted, p->want);
	/* A young network has no vetted nodes yet. */
	pick(p, &o->fresh, p->want);
	return true;
}

enum err satellite_select_nodes(struct call *call, struct satellite *sat, struct arena *a,
				size_t count, const struct node_id *used, size_t used_count,
				struct node_place **ret)
{
	struct picking p = { .o = sat->overlay,
			     .a = a,
			     .now_ns = os_clock_unix_ns(),
			     .used = used,
			     .used_count = used_count,
			     .want = count };

	p.used_nets = arena_array(a, used_count + 1, sizeof(*p.used_nets));
	p.picked_nets = arena_array(a, count + 1, sizeof(*p.picked_nets));
	p.places = arena_array(a, count + 1, sizeof(*p.places));
	if (!p.used_nets || !p.picked_nets || !p.places || !pick_all(&p))
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (p.count < count)
		return call_fail(
			call, ERR_PRECONDITION,
			"not enough nodes: want %zu in distinct networks, have %zu that are "
			"online with free space",
			count, p.count);
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
		if (e)
			fill_place(a, e,
				   overlay_online(o, e, now_ns) && !e->node.disqualified_ns &&
					   !e->node.exit_finished_ns,
				   &places[i]);
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
