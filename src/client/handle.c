/* Table of handles: open addressing over growing numbers that are never used twice. */
#include "client/handle.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "os/lock.h"
#include "os/process.h"

/* All of the C API's handle structs look like this. */
struct c_handle {
	size_t number;
};

enum { TABLE_CAP_MIN = 64 };

static struct {
	_Atomic int owner; /* process; 0 before the first, negative while it changes hands */
	size_t foreign;	   /* numbers up to this one are of a process we were forked from */
	struct os_mutex lock;
	size_t next; /* number given out last */
	size_t count;
	size_t cap; /* power of two */
	struct slot {
		size_t number; /* 0 = empty */
		struct handled *h;
	} * slots, *inherited; /* not used any more, but not lost either */
} table;

/* The lock of the table, which is this process's afterwards.  In a forked child a thread that is
 * not there any more may have held it, so it begins anew. */
static struct os_mutex *own_table(void)
{
	int self = os_pid(), was = table.owner;

	while (was != self) {
		/* Another thread of ours is at it: a few stores. */
		if (was == -self) {
			was = table.owner;
			continue;
		}
		if (!atomic_compare_exchange_weak(&table.owner, &was, -self))
			continue;
		if (was) {
			table.lock = (struct os_mutex){ 0 };
			table.foreign = table.next;
			table.inherited = table.slots;
			table.slots = NULL;
			table.cap = table.count = 0;
		}
		table.owner = was = self;
	}
	return &table.lock;
}

/* Where the number is, or the empty slot where it would be.  Lock held, cap > 0. */
static struct slot *find(size_t number)
{
	size_t i = number & (table.cap - 1);

	while (table.slots[i].number && table.slots[i].number != number)
		i = (i + 1) & (table.cap - 1);
	return &table.slots[i];
}

static bool grow(void)
{
	size_t cap = table.cap, new_cap = cap ? cap * 2 : TABLE_CAP_MIN;
	struct slot *old = table.slots, *fresh = calloc(new_cap, sizeof(*fresh));

	if (!fresh)
		return false;
	table.slots = fresh;
	table.cap = new_cap;
	for (size_t i = 0; i < cap; i++)
		if (old[i].number)
			*find(old[i].number) = old[i];
	free(old);
	return true;
}

void *handle_new(struct handled *h)
{
	struct c_handle *c = calloc(1, sizeof(*c));

	h->refs = 1;
	os_mutex_lock(own_table());
	bool ok = c && (table.count * 2 < table.cap || grow());
	if (ok) {
		c->number = ++table.next;
		*find(c->number) = (struct slot){ c->number, h };
		table.count++;
	}
	os_mutex_unlock(&table.lock);
	if (ok)
		return c;
	free(c);
	h->release(h);
	return NULL;
}

void *handle_get(const void *handle, enum handle_type type)
{
	const struct c_handle *c = handle;

	OS_LOCKED(own_table());
	if (!table.cap || !c->number)
		return NULL;
	struct slot *s = find(c->number);
	if (!s->number || s->h->type != type)
		return NULL;
	s->h->refs++;
	return s->h;
}

void *handle_ref(struct handled *h)
{
	OS_LOCKED(own_table());
	h->refs++;
	return h;
}

void handle_put(struct handled *h)
{
	if (!h)
		return;
	os_mutex_lock(own_table());
	bool last = --h->refs == 0;
	os_mutex_unlock(&table.lock);
	if (last)
		h->release(h);
}

/* Takes the entry out; the ones behind it that it pushed away move up.  Lock held. */
static void remove_slot(struct slot *s)
{
	size_t i = (size_t)(s - table.slots), mask = table.cap - 1;

	table.count--;
	for (size_t j = (i + 1) & mask; table.slots[j].number; j = (j + 1) & mask) {
		size_t home = table.slots[j].number & mask;
		if (((j - home) & mask) >= ((j - i) & mask)) {
			table.slots[i] = table.slots[j];
			i = j;
		}
	}
	table.slots[i] = (struct slot){ 0, NULL };
	if (table.count == 0) {
		free(table.slots);
		table.slots = NULL;
		table.cap = 0;
	}
}

struct handled *handle_end(void *handle, enum handle_type type)
{
	struct c_handle *c = handle;
	struct handled *h = NULL;

	os_mutex_lock(own_table());
	if (table.cap && c->number) {
		struct slot *s = find(c->number);
		if (s->number && s->h->type == type) {
			h = s->h;
			remove_slot(s);
		}
	}
	os_mutex_unlock(&table.lock);
	free(c);
	return h;
}

bool handle_foreign(const void *handle)
{
	const struct c_handle *c = handle;

	OS_LOCKED(own_table());
	return c->number && c->number <= table.foreign;
}

bool handle_none(void)
{
	OS_LOCKED(own_table());
	return table.count == 0;
}
