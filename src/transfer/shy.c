/* A row of the last ones, the oldest overwritten first. */
#include "transfer/shy.h"

#include "os/clock.h"

/* Lock held. */
static unsigned find(const struct shy_nodes *s, const struct node_id *node)
{
	unsigned i = 0;

	while (i < SHY_NODES_MAX && !(s->list[i].until_ns && node_id_equal(&s->list[i].node, node)))
		i++;
	return i;
}

void shy_add(struct shy_nodes *s, const struct node_id *node)
{
	OS_LOCKED(&s->lock);
	unsigned i = find(s, node);

	if (i == SHY_NODES_MAX) {
		i = s->next;
		s->next = (s->next + 1) % SHY_NODES_MAX;
	}
	s->list[i].node = *node;
	s->list[i].until_ns = os_clock_mono_ns() + SHY_MS * NS_PER_MS;
}

bool shy_has(struct shy_nodes *s, const struct node_id *node)
{
	OS_LOCKED(&s->lock);
	unsigned i = find(s, node);

	return i < SHY_NODES_MAX && s->list[i].until_ns > os_clock_mono_ns();
}

void shy_fini(struct shy_nodes *s)
{
	os_mutex_fini(&s->lock);
}
