/*
 * The chains nodes came with, parsed once: every piece of every upload is verified with one.  An
 * entry is counted while somebody verifies with it, outside of the lock.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "order/order.h"
#include "satellite/overlay_internal.h"

enum { KEYS_MAX = 50000, KEY_SLOTS = 1 << 17 };

/* Another process may have seen a new leaf certificate. */
#define KEY_NS_MAX (600 * NS_PER_SEC)

struct node_key {
	struct node_id id;
	struct cert_chain *chain;
	int64_t loaded_ns;
	unsigned users; /* the table counts as one */
};

static size_t slot_of(const struct node_id *id)
{
	return (size_t)get_le64(id->b + 8) & (KEY_SLOTS - 1);
}

static void key_free(struct node_key *k)
{
	cert_chain_free(k->chain);
	free(k);
}

/* With the lock held. */
static void drop(struct node_key *k)
{
	if (--k->users == 0)
		key_free(k);
}

static struct node_key **find_slot(struct overlay *o, const struct node_id *id)
{
	size_t at = slot_of(id);

	while (o->key_slots[at] && !node_id_equal(&o->key_slots[at]->id, id))
		at = (at + 1) & (KEY_SLOTS - 1);
	return &o->key_slots[at];
}

static void clear(struct overlay *o)
{
	for (size_t i = 0; i < KEY_SLOTS; i++) {
		if (o->key_slots[i])
			drop(o->key_slots[i]);
		o->key_slots[i] = NULL;
	}
	o->keys_count = 0;
}

enum err node_keys_init(struct call *call, struct overlay *o)
{
	o->key_slots = calloc(KEY_SLOTS, sizeof(struct node_key *));
	return o->key_slots ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

void node_keys_free(struct overlay *o)
{
	if (!o->key_slots)
		return;
	clear(o);
	free(o->key_slots);
}

bool node_keys_has(struct overlay *o, const struct node_id *id, struct bytes chain)
{
	OS_LOCKED(&o->lock);
	const struct node_key *k = *find_slot(o, id);
	return k && bytes_equal(cert_chain_der(k->chain), chain);
}

void node_keys_put(struct overlay *o, const struct node_id *id, struct bytes chain)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct node_key *k = calloc(1, sizeof(*k));

	call_init(&call);
	/* Without it the node's signatures are refused, and it is asked for again. */
	if (!k || cert_chain_from_der(&call, chain, &k->chain)) {
		free(k);
		return;
	}
	k->id = *id;
	k->users = 1;
	k->loaded_ns = os_clock_mono_ns();
	OS_LOCKED(&o->lock);
	if (o->keys_count >= KEYS_MAX)
		clear(o);
	struct node_key **slot = find_slot(o, id);
	if (*slot)
		drop(*slot);
	else
		o->keys_count++;
	*slot = k;
}

/* ---- loading ---- */

struct load_arg {
	const struct node_id *ids; /* that are missing */
	size_t count;
	struct arena *a;
	struct bytes *chains;
};

static enum err load_chains(struct call *call, struct db_tx *tx, void *arg)
{
	struct load_arg *l = arg;

	for (size_t i = 0; i < l->count; i++) {
		struct db_rows *rows = NULL;
		TRY_PLAIN(DB_QUERY(call, tx, "SELECT chain FROM peer_identities WHERE node_id = $1",
				   &rows, DB_V_BLOB(node_id_bytes(&l->ids[i]))));
		enum err e = db_rows_next(call, rows);
		l->chains[i] = e ? BYTES_NONE : arena_bytes(l->a, db_bytes(rows, 0));
		db_rows_free(rows);
		if (e && e != ERR_NOT_FOUND)
			return e;
	}
	return OK;
}

/* Copies the IDs without a fresh entry. */
static size_t missing(struct overlay *o, const struct node_id *ids, size_t count,
		      struct node_id *ret)
{
	int64_t now = os_clock_mono_ns();
	size_t n = 0;

	OS_LOCKED(&o->lock);
	for (size_t i = 0; i < count; i++) {
		const struct node_key *k = *find_slot(o, &ids[i]);
		if (!k || now - k->loaded_ns > KEY_NS_MAX)
			ret[n++] = ids[i];
	}
	return n;
}

enum err satellite_load_node_keys(struct call *call, struct satellite *sat,
				  const struct node_id *ids, size_t count)
{
	struct arena a = { 0 };
	struct node_id *wanted = arena_array(&a, count + 1, sizeof(*wanted));
	struct load_arg l = { .ids = wanted, .a = &a };
	enum err e = OK;

	l.chains = arena_array(&a, count + 1, sizeof(*l.chains));
	if (!wanted || !l.chains) {
		arena_free(&a);
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	l.count = missing(sat->overlay, ids, count, wanted);
	if (l.count)
		e = db_read(call, sat->db, load_chains, &l);
	for (size_t i = 0; !e && i < l.count; i++)
		if (l.chains[i].len)
			node_keys_put(sat->overlay, &wanted[i], l.chains[i]);
	arena_free(&a);
	return e;
}

enum err satellite_verify_piece_hash(struct call *call, struct satellite *sat,
				     const struct node_id *id, const Orders__PieceHash *hash)
{
	struct overlay *o = sat->overlay;

	os_mutex_lock(&o->lock);
	struct node_key *k = *find_slot(o, id);
	if (k)
		k->users++;
	os_mutex_unlock(&o->lock);
	if (!k)
		return call_fail(call, ERR_UNAUTHENTICATED,
				 "the node's certificates are not known");
	enum err e = piece_hash_verify_node(call, hash, cert_chain_leaf_key(k->chain));
	os_mutex_lock(&o->lock);
	drop(k);
	os_mutex_unlock(&o->lock);
	return e;
}
