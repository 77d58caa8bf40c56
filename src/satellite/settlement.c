/* Checking, summing and storing what a node wants to be paid for. */
#include "satellite/settlement.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "order/order.h"
#include "os/clock.h"
#include "proto/proto.h"
#include "satellite/orders.h"

enum { SERIAL_SLOTS_FIRST = 1024, SUM_SLOTS_FIRST = 64, SUMS_MAX = 100000 };

#define WINDOW_NS (3600 * NS_PER_SEC)

/* Of a bucket, or of a key; the other is none. */
struct payer_sum {
	struct payer payer;
	Orders__PieceAction action;
	int64_t settled, dead;
};

struct settlement {
	const struct satellite *sat;
	struct node_id node;
	int64_t now_ns, window_ns;
	bool has_window;
	int64_t sums[SETTLEMENT_ACTIONS];
	size_t valid;
	/* Serials seen; a power of two, zero = free (a serial begins with its time). */
	struct serial *serials;
	size_t serials_slots;
	struct arena arena;   /* of the sums */
	struct arena scratch; /* of one entry */
	struct payer_sum **payers;
	size_t payers_slots, payers_count;
};

enum err settlement_new(struct call *call, const struct satellite *sat, const struct node_id *node,
			struct settlement **ret)
{
	struct settlement *s = calloc(1, sizeof(*s));

	if (!s)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	s->sat = sat;
	s->node = *node;
	s->now_ns = os_clock_unix_ns();
	s->serials_slots = SERIAL_SLOTS_FIRST;
	s->serials = calloc(s->serials_slots, sizeof(*s->serials));
	s->payers_slots = SUM_SLOTS_FIRST;
	s->payers = calloc(s->payers_slots, sizeof(struct payer_sum *));
	if (!s->serials || !s->payers) {
		settlement_free(s);
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	*ret = s;
	return OK;
}

void settlement_free(struct settlement *s)
{
	if (!s)
		return;
	arena_free(&s->arena);
	arena_free(&s->scratch);
	free(s->serials);
	free(s->payers);
	free(s);
}

const int64_t *settlement_sums(const struct settlement *s)
{
	return s->sums;
}

/* ---- serials ---- */

static struct serial *serial_slot(struct serial *slots, size_t count, const struct serial *serial)
{
	static const struct serial none;
	size_t at = (size_t)get_le64(serial->b + 8) & (count - 1);

	while (memcmp(&slots[at], &none, sizeof(none)) != 0 &&
	       memcmp(&slots[at], serial, sizeof(*serial)) != 0)
		at = (at + 1) & (count - 1);
	return &slots[at];
}

static bool serials_grow(struct settlement *s)
{
	static const struct serial none;
	size_t count = s->serials_slots * 2;
	struct serial *slots = calloc(count, sizeof(*slots));

	if (!slots)
		return false;
	for (size_t i = 0; i < s->serials_slots; i++)
		if (memcmp(&s->serials[i], &none, sizeof(none)) != 0)
			*serial_slot(slots, count, &s->serials[i]) = s->serials[i];
	free(s->serials);
	s->serials = slots;
	s->serials_slots = count;
	return true;
}

/* ---- checks ---- */

static bool signed_by_uplink(struct call *call, const Orders__OrderLimit *limit,
			     const Orders__Order *order)
{
	struct ed25519_verifier *v = NULL;
	struct order o;

	if (order->uplink_signature.len != ED25519_SIGNATURE_BYTES ||
	    ed25519_verifier_new(call, proto_bytes(limit->uplink_public_key), &v))
		return false;
	memcpy(o.serial.b, order->serial_number.data, SERIAL_BYTES);
	o.amount = order->amount;
	memcpy(o.signature, order->uplink_signature.data, ED25519_SIGNATURE_BYTES);
	bool ok = order_verify(call, &o, v) == OK;
	ed25519_verifier_free(v);
	return ok;
}

/* Cheap checks first; what is signed by us is of bounded number. */
static bool is_valid(struct call *call, const struct settlement *s, const Orders__OrderLimit *limit,
		     const Orders__Order *order)
{
	static const struct serial none;

	return limit->serial_number.len == SERIAL_BYTES &&
	       memcmp(limit->serial_number.data, none.b, SERIAL_BYTES) != 0 &&
	       bytes_equal(proto_bytes(limit->serial_number), proto_bytes(order->serial_number)) &&
	       bytes_equal(proto_bytes(limit->storage_node_id), node_id_bytes(&s->node)) &&
	       bytes_equal(proto_bytes(limit->satellite_id), node_id_bytes(&s->sat->id)) &&
	       proto_time(limit->order_expiration) > s->now_ns &&
	       proto_time(limit->order_creation) / WINDOW_NS * WINDOW_NS == s->window_ns &&
	       order->amount >= 0 && order->amount <= limit->limit && limit->action > 0 &&
	       (int)limit->action < SETTLEMENT_ACTIONS &&
	       order_limit_verify(call, limit,
				  cert_chain_leaf_key(identity_chain(s->sat->identity))) == OK &&
	       signed_by_uplink(call, limit, order);
}

/* ---- buckets and keys ---- */

static bool same_payer(const struct payer_sum *a, const struct payer_sum *b)
{
	return a->action == b->action && a->payer.key == b->payer.key &&
	       bytes_equal(a->payer.bucket, b->payer.bucket) &&
	       memcmp(a->payer.project.b, b->payer.project.b, PROJECT_ID_BYTES) == 0;
}

static struct payer_sum **payer_slot(struct payer_sum **slots, size_t count,
				     const struct payer_sum *b)
{
	uint64_t h = get_le64(b->payer.project.b) ^ (uint64_t)b->action ^ (uint64_t)b->payer.key;

	for (size_t i = 0; i < b->payer.bucket.len; i++)
		h = (h ^ b->payer.bucket.data[i]) * UINT64_C(1099511628211);
	size_t at = (size_t)(h ^ (h >> 32)) & (count - 1);
	while (slots[at] && !same_payer(slots[at], b))
		at = (at + 1) & (count - 1);
	return &slots[at];
}

static bool payers_grow(struct settlement *s)
{
	size_t count = s->payers_slots * 2;
	struct payer_sum **slots = calloc(count, sizeof(struct payer_sum *));

	if (!slots)
		return false;
	for (size_t i = 0; i < s->payers_slots; i++)
		if (s->payers[i])
			*payer_slot(slots, count, s->payers[i]) = s->payers[i];
	free(s->payers);
	s->payers = slots;
	s->payers_slots = count;
	return true;
}

static enum err add_sum(struct call *call, struct settlement *s, const struct payer_sum *sum)
{
	struct payer_sum **slot = payer_slot(s->payers, s->payers_slots, sum);

	if (!*slot) {
		if (s->payers_count >= SUMS_MAX)
			return call_fail(call, ERR_EXHAUSTED, "too many buckets in one window");
		if (s->payers_count * 2 >= s->payers_slots && !payers_grow(s))
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		slot = payer_slot(s->payers, s->payers_slots, sum);
		struct payer_sum *made = arena_alloc(&s->arena, sizeof(*made));
		if (!made)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		*made = *sum;
		made->payer.bucket = arena_bytes(&s->arena, sum->payer.bucket);
		if (!made->payer.bucket.data && sum->payer.bucket.len)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		*slot = made;
		s->payers_count++;
		return OK;
	}
	(*slot)->settled += sum->settled;
	(*slot)->dead += sum->dead;
	return OK;
}

/* An order whose metadata cannot be read still pays the node. */
static enum err add_to_payer(struct call *call, struct settlement *s,
			     const Orders__OrderLimit *limit, int64_t amount)
{
	struct payer_sum sum = { .action = limit->action,
				 .settled = amount,
				 .dead = limit->limit - amount };

	arena_reset(&s->scratch);
	if (limit->action != ORDERS__PIECE_ACTION__PUT &&
	    limit->action != ORDERS__PIECE_ACTION__GET)
		return OK;
	if (order_metadata_open(call, s->sat, &s->scratch, limit, &sum.payer) ||
	    sum.payer.bucket.len == 0)
		return OK;
	int64_t key = sum.payer.key;
	sum.payer.key = 0;
	TRY_PLAIN(add_sum(call, s, &sum));
	if (!key)
		return OK;
	sum.payer.key = key;
	sum.payer.bucket = BYTES_NONE;
	return add_sum(call, s, &sum);
}

enum err settlement_add(struct call *call, struct settlement *s,
			const Orders__SettlementRequest *entry)
{
	const Orders__OrderLimit *limit = entry->limit;
	struct serial serial;

	if (!limit)
		return OK;
	if (!s->has_window) {
		/* The first one counts, valid or not. */
		s->window_ns = proto_time(limit->order_creation) / WINDOW_NS * WINDOW_NS;
		s->has_window = true;
	}
	if (!entry->order || !is_valid(call, s, limit, entry->order)) {
		call_clear_error(call);
		return OK;
	}
	if (s->valid >= SETTLEMENT_ENTRIES_MAX)
		return call_fail(call, ERR_EXHAUSTED, "too many orders in one window");
	if (s->valid * 2 >= s->serials_slots && !serials_grow(s))
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	memcpy(serial.b, limit->serial_number.data, SERIAL_BYTES);
	struct serial *slot = serial_slot(s->serials, s->serials_slots, &serial);
	if (memcmp(slot, &serial, sizeof(serial)) == 0)
		return OK;
	if (__builtin_add_overflow(s->sums[limit->action], entry->order->amount,
				   &s->sums[limit->action]))
		return call_fail(call, ERR_EXHAUSTED, "too many bytes in one window");
	*slot = serial;
	s->valid++;
	return add_to_payer(call, s, limit, entry->order->amount);
}

/* ---- storing ---- */

struct finish_arg {
	struct settlement *s;
	bool accepted;
};

/* OK: the window is there, *ret_same says whether with the same sums; ERR_NOT_FOUND: it is not. */
static enum err compare_stored(struct call *call, struct db_tx *tx, const struct settlement *s,
			       bool *ret_same)
{
	int64_t stored[SETTLEMENT_ACTIONS] = { 0 };
	struct db_rows *rows = NULL;
	bool any = false;
	enum err e;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT action, settled FROM storagenode_bandwidth_rollups"
			   " WHERE node_id = $1 AND interval_start = $2",
			   &rows, DB_V_BLOB(node_id_bytes(&s->node)), DB_V_INT(s->window_ns)));
	while ((e = db_rows_next(call, rows)) == OK) {
		int64_t action = db_int(rows, 0);
		any = true;
		if (action >= 0 && action < SETTLEMENT_ACTIONS)
			stored[action] = db_int(rows, 1);
	}
	db_rows_free(rows);
	if (e != ERR_NOT_FOUND)
		return e;
	*ret_same = memcmp(stored, s->sums, sizeof(stored)) == 0;
	return any ? OK : ERR_NOT_FOUND;
}

static enum err insert_payer(struct call *call, struct db_tx *tx, const struct settlement *s,
			     const struct payer_sum *p)
{
	if (p->payer.key)
		return DB_EXEC(call, tx,
			       "INSERT INTO key_bandwidth (project_id, key_number, interval_start,"
			       " action, allocated, settled, inline) VALUES ($1, $2, $3, $4, 0, $5,"
			       " 0) ON CONFLICT (project_id, key_number, interval_start, action)"
			       " DO UPDATE SET settled = key_bandwidth.settled + excluded.settled",
			       NULL, DB_V_BLOB(BYTES_OF(p->payer.project.b)),
			       DB_V_INT(p->payer.key), DB_V_INT(s->window_ns), DB_V_INT(p->action),
			       DB_V_INT(p->settled));
	return DB_EXEC(call, tx,
		       "INSERT INTO bucket_bandwidth_rollups (project_id, bucket_name,"
		       " interval_start, action, allocated, settled, inline, dead)"
		       " VALUES ($1, $2, $3, $4, 0, $5, 0, $6)"
		       " ON CONFLICT (project_id, bucket_name, interval_start, action)"
		       " DO UPDATE SET"
		       " settled = bucket_bandwidth_rollups.settled + excluded.settled,"
		       " dead = bucket_bandwidth_rollups.dead + excluded.dead",
		       NULL, DB_V_BLOB(BYTES_OF(p->payer.project.b)), DB_V_BLOB(p->payer.bucket),
		       DB_V_INT(s->window_ns), DB_V_INT(p->action), DB_V_INT(p->settled),
		       DB_V_INT(p->dead));
}

static enum err insert_sums(struct call *call, struct db_tx *tx, const struct settlement *s)
{
	for (int64_t action = 1; action < SETTLEMENT_ACTIONS; action++)
		if (s->sums[action] || action == 1)
			TRY_PLAIN(DB_EXEC(call, tx,
					  "INSERT INTO storagenode_bandwidth_rollups"
					  " (node_id, interval_start, action, settled)"
					  " VALUES ($1, $2, $3, $4)",
					  NULL, DB_V_BLOB(node_id_bytes(&s->node)),
					  DB_V_INT(s->window_ns), DB_V_INT(action),
					  DB_V_INT(s->sums[action])));
	for (size_t i = 0; i < s->payers_slots; i++)
		if (s->payers[i])
			TRY_PLAIN(insert_payer(call, tx, s, s->payers[i]));
	return OK;
}

static enum err store(struct call *call, struct db_tx *tx, void *arg)
{
	struct finish_arg *f = arg;
	enum err e = compare_stored(call, tx, f->s, &f->accepted);

	if (e != ERR_NOT_FOUND)
		return e;
	f->accepted = true;
	return insert_sums(call, tx, f->s);
}

enum err settlement_finish(struct call *call, struct settlement *s, struct db *db,
			   bool *ret_accepted)
{
	struct finish_arg f = { .s = s };

	*ret_accepted = false;
	if (s->valid == 0)
		return OK;
	TRY_PLAIN(db_write(call, db, store, &f));
	*ret_accepted = f.accepted;
	return OK;
}
