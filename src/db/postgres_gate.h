/*
 * How many changes run on PostgreSQL at a time.  Serializable transactions that touch the same
 * pages of an index conflict though they change different rows (the server's locks of what was read
 * are those of pages): in a small database, or under one prefix of keys, nearly each with each of
 * those beside it, and a conflict costs the whole transaction again.  So conflicts make the gate
 * narrower, by a share of its width, and what ends well makes it wider, a little: it settles where
 * a few of a hundred conflict, at full width where none does.
 */
#ifndef ACRE_DB_POSTGRES_GATE_H
#define ACRE_DB_POSTGRES_GATE_H

#include "base/call.h"
#include "os/lock.h"

struct pg_gate {
	struct os_mutex lock; /* over what follows */
	struct os_cond left;
	unsigned inside;
	unsigned width; /* in parts, see postgres_gate.c */
};

void pg_gate_init(struct pg_gate *g);
void pg_gate_fini(struct pg_gate *g);
/* Waits for a place; fails only when the call ends. */
enum err pg_gate_enter(struct call *call, struct pg_gate *g) MUST_USE;
/* Gives it back and tells how it went. */
void pg_gate_leave(struct pg_gate *g, bool conflict);
/* Places there are now. */
unsigned pg_gate_width(struct pg_gate *g);

#endif
