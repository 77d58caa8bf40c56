/* Nodes that lately failed or kept a transfer waiting: asked after others for a while.  A small
 * memory of them that all transfers share. */
#ifndef ACRE_TRANSFER_SHY_H
#define ACRE_TRANSFER_SHY_H

#include "identity/identity.h"
#include "os/lock.h"

enum { SHY_NODES_MAX = 64, SHY_MS = 120000 };

struct shy_nodes {
	struct os_mutex lock;
	unsigned next; /* the oldest entry */
	struct {
		struct node_id node;
		int64_t until_ns;
	} list[SHY_NODES_MAX];
};

void shy_add(struct shy_nodes *s, const struct node_id *node);
bool shy_has(struct shy_nodes *s, const struct node_id *node);
void shy_fini(struct shy_nodes *s);

#endif
