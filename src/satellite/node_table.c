/* The nodes by the numbers that piece lists know them by, for passes over the segments. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "satellite/metainfo_internal.h"
#include "satellite/overlay_internal.h"
#include "satellite/segment_loop.h"

/* A network's name, copied while the overlay is locked, and who is in it. */
struct named {
	const char *net;
	uint32_t alias;
};

static uint32_t flags_of(const struct overlay *o, const struct node_entry *e, int64_t now_ns)
{
	const struct overlay_node *n = &e->node;
	uint32_t flags = NODE_KNOWN;

	if (overlay_heard(o, e, now_ns) && !n->exit_finished_ns)
		flags |= NODE_ONLINE;
	else if (overlay_excused(o, e, now_ns) && !n->exit_finished_ns)
		flags |= NODE_AWAY;
	if (n->disqualified_ns)
		flags |= NODE_DISQUALIFIED;
	if (n->suspended_ns)
		flags |= NODE_SUSPENDED;
	if (n->exit_initiated_ns)
		flags |= NODE_EXITING;
	if (n->vetted_ns)
		flags |= NODE_VETTED;
	return flags;
}

/* What is looked up under one lock. */
struct lookup {
	struct loop_node *nodes;
	uint32_t count, known;
	struct named *names;
	size_t names_count;
	struct arena names_memory;
};

/* Everything but the numbers of networks; those are strings so far.  Lock held. */
static void look_up(struct overlay *o, struct lookup *l)
{
	int64_t now_ns = os_clock_unix_ns();
	struct loop_node *nodes = l->nodes;

	for (uint32_t alias = 1; alias < l->count; alias++) {
		const struct node_entry *e = overlay_find(o, &nodes[alias].id);
		if (!e)
			continue;
		nodes[alias].flags = flags_of(o, e, now_ns);
		nodes[alias].geo = e->node.geo;
		nodes[alias].conditions = e->conditions;
		const char *net = arena_str(&l->names_memory, bytes_str(e->node.last_net));
		if (net)
			l->names[l->names_count++] = (struct named){ net, alias };
	}
	l->known = (uint32_t)o->count;
}

static int by_name(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	return strcmp(x->net, y->net);
}

static uint32_t number_nets(struct loop_node *nodes, struct named *names, size_t count)
{
	uint32_t net = 0;

	if (count)
		qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count; i++) {
		if (!i || strcmp(names[i].net, names[i - 1].net) != 0)
			net++;
		nodes[names[i].alias].net = net;
	}
	return net + 1;
}

static void lookup_fini(struct lookup *l)
{
	free(l->names);
	arena_free(&l->names_memory);
}

static enum err lookup_init(struct call *call, struct lookup *l)
{
	l->names = calloc(l->count, sizeof(*l->names));
	return l->names ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

enum err overlay_states(struct call *call, struct satellite *sat, struct loop_node *nodes,
			uint32_t count, int32_t placement, struct placement *ret_rule,
			bool *ret_ruled)
{
	AUTO(lookup_fini) struct lookup l = { .nodes = nodes, .count = count };
	struct overlay *o = sat->overlay;

	TRY_PLAIN(lookup_init(call, &l));
	os_mutex_lock(&o->lock);
	look_up(o, &l);
	const struct placement *rule = placement_find(o->placements, placement);
	*ret_ruled = rule != NULL;
	if (rule)
		*ret_rule = *rule;
	os_mutex_unlock(&o->lock);
	number_nets(nodes, l.names, l.names_count);
	return OK;
}

/* Lock held. */
static struct placement_set *copy_placements(const struct overlay *o)
{
	const struct placement_set *set = o->placements;
	size_t count = set ? set->count : 0;
	struct placement_set *copy = calloc(1, sizeof(*copy) + count * sizeof(copy->list[0]));

	if (copy && count)
		memcpy(copy, set, sizeof(*copy) + count * sizeof(copy->list[0]));
	return copy;
}

enum err overlay_by_alias(struct call *call, struct satellite *sat, struct overlay_nodes *ret)
{
	AUTO(lookup_fini) struct lookup l = { .count = 0 };
	AUTO_FREE struct node_id *ids = NULL;
	struct overlay *o = sat->overlay;

	TRY_PLAIN(node_aliases_all(call, sat->db, sat->metainfo->aliases, &ids, &l.count));
	AUTO_FREE struct loop_node *nodes = calloc(l.count, sizeof(*nodes));
	if (!nodes)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (uint32_t i = 0; i < l.count; i++)
		nodes[i].id = ids[i];
	l.nodes = nodes;
	TRY_PLAIN(lookup_init(call, &l));
	os_mutex_lock(&o->lock);
	look_up(o, &l);
	struct placement_set *placements = copy_placements(o);
	os_mutex_unlock(&o->lock);
	if (!placements)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*ret = (struct overlay_nodes){ .placements = placements,
				       .count = l.count,
				       .known = l.known,
				       .nets_count = number_nets(nodes, l.names, l.names_count) };
	ret->nodes = take(&nodes);
	return OK;
}

enum err overlay_silent(struct call *call, struct satellite *sat, struct arena *a,
			struct node_id **ret, size_t *ret_count)
{
	struct overlay *o = sat->overlay;
	int64_t now_ns = os_clock_unix_ns();
	size_t n = 0, most = 0;

	OS_LOCKED(&o->lock);
	for (size_t i = 0; i < o->slots_count; i++)
		most += o->slots[i] && overlay_online(o, o->slots[i], now_ns) &&
			!overlay_heard(o, o->slots[i], now_ns);
	struct node_id *ids = arena_array(a, most + 1, sizeof(*ids));
	if (!ids)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < o->slots_count && n < most; i++)
		if (o->slots[i] && overlay_online(o, o->slots[i], now_ns) &&
		    !overlay_heard(o, o->slots[i], now_ns))
			ids[n++] = o->slots[i]->node.id;
	*ret = ids;
	*ret_count = n;
	return OK;
}
