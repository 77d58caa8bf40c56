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

/* Everything but the numbers of networks; those are strings so far. */
static size_t look_up(struct overlay *o, struct arena *a, struct loop_node *nodes, uint32_t count,
		      struct named *names, uint32_t *ret_known)
{
	int64_t now_ns = os_clock_unix_ns();
	size_t n = 0;

	OS_LOCKED(&o->lock);
	for (uint32_t alias = 1; alias < count; alias++) {
		const struct node_entry *e = overlay_find(o, &nodes[alias].id);
		if (!e)
			continue;
		nodes[alias].flags = flags_of(o, e, now_ns);
		nodes[alias].country = e->node.country;
		const char *net = arena_str(a, bytes_str(e->node.last_net));
		if (net)
			names[n++] = (struct named){ net, alias };
	}
	*ret_known = (uint32_t)o->count;
	return n;
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

static enum err fill(struct call *call, struct satellite *sat, struct loop_node *nodes,
		     uint32_t count, uint32_t *ret_nets, uint32_t *ret_known)
{
	AUTO(arena_free) struct arena a = { 0 };
	AUTO_FREE struct named *names = calloc(count, sizeof(*names));

	if (!names)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	size_t named = look_up(sat->overlay, &a, nodes, count, names, ret_known);
	*ret_nets = number_nets(nodes, names, named);
	return OK;
}

enum err overlay_states(struct call *call, struct satellite *sat, struct loop_node *nodes,
			uint32_t count)
{
	uint32_t nets = 0, known = 0;

	return fill(call, sat, nodes, count, &nets, &known);
}

enum err overlay_by_alias(struct call *call, struct satellite *sat, struct loop_node **ret_nodes,
			  uint32_t *ret_count, uint32_t *ret_nets, uint32_t *ret_known)
{
	AUTO_FREE struct node_id *ids = NULL;
	uint32_t count = 0;

	TRY_PLAIN(node_aliases_all(call, sat->db, sat->metainfo->aliases, &ids, &count));
	AUTO_FREE struct loop_node *nodes = calloc(count, sizeof(*nodes));
	if (!nodes)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (uint32_t i = 0; i < count; i++)
		nodes[i].id = ids[i];
	TRY_PLAIN(fill(call, sat, nodes, count, ret_nets, ret_known));
	*ret_nodes = take(&nodes);
	*ret_count = count;
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
