/* Reckoning and storing what nodes are owed. */
#include "satellite/statement.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "os/clock.h"
#include "satellite/calendar.h"
#include "satellite/node_tags.h"

enum { HOURS_OF_MONTH = 720, CENT = 100 };
#define TERABYTE INT64_C(1000000000000)
/* Amounts are counted in micro-dollars of this, so that nothing is rounded before the end: bytes by
 * hours of a terabyte-month, percents of percents. */
#define UNIT ((wide)TERABYTE * HOURS_OF_MONTH * CENT * CENT)
/* Orders of a month's last hour are valid a day longer, and settled an hour after that. */
#define SETTLED_NS (26 * 3600 * NS_PER_SEC)

typedef __int128 wide;

/* ---- months ---- */

struct month month_of(int64_t unix_ns)
{
	struct month m;
	int64_t year = 0, month = 0;

	calendar_month(unix_ns, &m.begin_ns);
	m.end_ns = calendar_add_months(m.begin_ns, 1);
	calendar_date(m.begin_ns, &year, &month);
	snprintf(m.text, sizeof(m.text), "%04d-%02d", (int)(year % 10000), (int)month);
	return m;
}

struct month month_before(const struct month *m)
{
	return month_of(m->begin_ns - 1);
}

enum err month_parse(struct call *call, const char *text, struct month *ret)
{
	uint64_t year = 0, month = 0;

	if (strlen(text) != 7 || text[4] != '-' || text_u64(BYTES(text, 4), 9999, &year) ||
	    text_u64(BYTES(text + 5, 2), 12, &month) || !month || year < 1970 || year > 2200)
		return call_fail(call, ERR_CONFIG, "\"%.32s\" is no month such as 2026-11", text);
	*ret = month_of(calendar_add_months(0, ((int64_t)year - 1970) * 12 + (int64_t)month - 1));
	return OK;
}

/* ---- rules ---- */

enum err pay_rules_read(struct call *call, const struct satellite_config *config,
			struct pay_rules *ret)
{
	struct pay_rules r = { .at_rest = (int64_t)config->pay_storage,
			       .disposed = (uint8_t)config->pay_disposed };

	r.rates[ORDERS__PIECE_ACTION__GET] = (int64_t)config->pay_egress;
	r.rates[ORDERS__PIECE_ACTION__GET_REPAIR] = (int64_t)config->pay_repair;
	r.rates[ORDERS__PIECE_ACTION__GET_AUDIT] = (int64_t)config->pay_audit;
	if (MAX(MAX(config->pay_storage, config->pay_egress),
		MAX(config->pay_repair, config->pay_audit)) > (uint64_t)PAY_RATE_MAX)
		return call_fail(call, ERR_CONFIG,
				 "pay-storage, pay-egress, pay-repair, pay-audit: more than 1000 "
				 "dollars a terabyte");
	if (config->pay_disposed > 100)
		return call_fail(call, ERR_CONFIG, "pay-disposed: want 0 to 100 percent");
	for (const char *at = config->pay_held; *at;) {
		size_t n = strcspn(at, ",");
		uint64_t percent = 0;
		if (r.held_count == HELD_MONTHS_MAX || text_u64(BYTES(at, n), 100, &percent))
			return call_fail(call, ERR_CONFIG,
					 "pay-held: \"%s\" are no percents such as 75,75,50",
					 config->pay_held);
		r.held[r.held_count++] = (uint8_t)percent;
		at += n + (at[n] == ',');
	}
	*ret = r;
	return OK;
}

/* ---- reckoning ---- */

static void add_code(struct statement *s, char code)
{
	size_t n = strlen(s->codes);

	snprintf(s->codes + n, sizeof(s->codes) - n, "%s%c", n ? ":" : "", code);
}

/* Percent of the month of its life that ends after the period; whether there is one. */
static bool withheld(const struct pay_rules *rules, const struct node_month *n,
		     const struct month *m, unsigned *ret_percent)
{
	for (size_t i = 0; i < rules->held_count; i++) {
		*ret_percent = rules->held[i];
		if (calendar_add_months(n->created_ns, (int64_t)i + 1) > m->end_ns)
			return true;
	}
	*ret_percent = 0;
	return false;
}

static enum err to_micro(struct call *call, wide v, int64_t *ret)
{
	v /= UNIT;
	if (v > INT64_MAX || v < INT64_MIN)
		return call_fail(call, ERR_OUT_OF_RANGE,
				 "an amount of money is beyond all measure");
	*ret = (int64_t)v;
	return OK;
}

/* Micro-dollars of UNIT for the whole month; the parts into s. */
static enum err reckon_total(struct call *call, const struct pay_rules *rules,
			     const struct node_month *n, struct statement *s, wide *ret)
{
	wide total = (wide)n->byte_hours * rules->at_rest * CENT * CENT;

	TRY_PLAIN(to_micro(call, total, &s->at_rest));
	for (unsigned action = 0; action < SETTLEMENT_ACTIONS; action++) {
		wide part = (wide)n->usage[action] * rules->rates[action] * HOURS_OF_MONTH * CENT *
			    CENT;
		TRY_PLAIN(to_micro(call, part, &s->comp[action]));
		total += part;
	}
	*ret = rules->surge ? total / CENT * rules->surge : total;
	return OK;
}

/* satellite.md 3: of each rate the lower one. */
static struct pay_rules rules_of(const struct pay_rules *rules, const struct node_month *n)
{
	struct pay_rules r = *rules;

	if (!n->tags)
		return r;
	node_tags_lower(n->tags, "storage_price", &r.at_rest);
	node_tags_lower(n->tags, "egress_price", &r.rates[ORDERS__PIECE_ACTION__GET]);
	node_tags_lower(n->tags, "repair_price", &r.rates[ORDERS__PIECE_ACTION__GET_REPAIR]);
	node_tags_lower(n->tags, "audit_price", &r.rates[ORDERS__PIECE_ACTION__GET_AUDIT]);
	return r;
}

enum err statement_make(struct call *call, const struct pay_rules *all, const struct node_month *n,
			const struct month *m, struct statement *ret)
{
	const struct pay_rules own = rules_of(all, n), *rules = &own;
	bool exited = n->exited_ns && n->exited_ns < m->end_ns;
	bool offline = n->last_contact_ns < m->begin_ns;
	bool disqualified = n->disqualified_ns && n->disqualified_ns < m->end_ns && !exited;
	struct statement s = { 0 };
	unsigned percent = 0;
	wide total = 0, disposed = 0;

	TRY_PLAIN(reckon_total(call, rules, n, &s, &total));
	if (exited)
		add_code(&s, 'X');
	if (n->exit_initiated_ns && n->exit_initiated_ns < m->end_ns && !exited)
		add_code(&s, 'I');
	if (offline)
		add_code(&s, 'O');
	bool young = withheld(rules, n, m, &percent);
	if (young)
		add_code(&s, 'E');
	if (disqualified)
		add_code(&s, 'D');
	wide held = exited ? 0 : total / CENT * percent;
	if (!young || exited) {
		disposed = (wide)n->held_before * UNIT;
		disposed = exited ? disposed : disposed / CENT * rules->disposed;
		disposed -= (wide)n->disposed_before * UNIT;
		disposed = MAX(disposed, (wide)0);
	}
	if (!offline && !disqualified) {
		TRY_PLAIN(to_micro(call, held, &s.held));
		TRY_PLAIN(to_micro(call, disposed, &s.disposed));
		TRY_PLAIN(to_micro(call, total - held + disposed, &s.owed));
	}
	*ret = s;
	return OK;
}

/* ---- storing ---- */

struct store_arg {
	const struct pay_rules *rules;
	const struct month *m;
	bool again;
	size_t count;
};

/* ERR_EXISTS when there are statements that must stay. */
static enum err make_way(struct call *call, struct db_tx *tx, const struct store_arg *s)
{
	struct db_rows *rows = NULL;
	int64_t made = 0, paid = 0;

	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT COUNT(*), CAST(COALESCE(SUM(paid), 0) AS INTEGER) FROM "
			   "storagenode_paystubs WHERE period = $1",
			   &rows, DB_V_TEXT(bytes_str(s->m->text))));
	enum err e = db_rows_next(call, rows);
	if (!e) {
		made = db_int(rows, 0);
		paid = db_int(rows, 1);
	}
	db_rows_free(rows);
	TRY_PLAIN(e);
	if (made && (paid || !s->again))
		return call_fail(call, ERR_EXISTS,
				 paid ? "the statements of %s were paid on: they stay as they are"
				      : "the statements of %s were made (--again makes them anew)",
				 s->m->text);
	return DB_EXEC(call, tx, "DELETE FROM storagenode_paystubs WHERE period = $1", NULL,
		       DB_V_TEXT(bytes_str(s->m->text)));
}

/* All nodes, with sums of the statements before. */
static enum err read_nodes(struct call *call, struct db_tx *tx, const struct store_arg *s,
			   struct node_month **ret, size_t *ret_count)
{
	struct db_rows *rows = NULL;
	size_t room = 0, n = 0;
	enum err e;

	TRY_PLAIN(db_query(call, tx, "SELECT COUNT(*) FROM nodes", NULL, 0, &rows));
	e = db_rows_next(call, rows);
	if (!e)
		room = (size_t)db_int(rows, 0);
	db_rows_free(rows);
	TRY_PLAIN(e);
	struct node_month *list = arena_array(&call->scratch, room + 1, sizeof(*list));
	if (!list)
		return call_fail(call, ERR_NO_MEMORY, "no room for the nodes");
	TRY_PLAIN(DB_QUERY(
		call, tx,
		"SELECT n.id, n.created_at, n.last_contact_success, n.disqualified_at, "
		"n.exit_initiated_at, CASE WHEN COALESCE(n.exit_success, 0) = 1 THEN "
		"n.exit_finished_at ELSE 0 END, CAST(COALESCE(p.held, 0) AS INTEGER), "
		"CAST(COALESCE(p.disposed, 0) AS INTEGER), n.tags FROM nodes n LEFT JOIN (SELECT "
		"node_id, "
		"SUM(held) AS held, SUM(disposed) AS disposed FROM storagenode_paystubs WHERE "
		"period < $1 GROUP BY node_id) p ON p.node_id = n.id WHERE n.created_at < $2 "
		"ORDER BY n.id",
		&rows, DB_V_TEXT(bytes_str(s->m->text)), DB_V_INT(s->m->end_ns)));
	while (!(e = db_rows_next(call, rows)) && n < room) {
		struct node_month *one = &list[n];
		*one = (struct node_month){ .created_ns = db_int(rows, 1),
					    .last_contact_ns = db_int(rows, 2),
					    .disqualified_ns = db_int(rows, 3),
					    .exit_initiated_ns = db_int(rows, 4),
					    .exited_ns = db_int(rows, 5),
					    .held_before = db_int(rows, 6),
					    .disposed_before = db_int(rows, 7),
					    .tags = arena_str(&call->scratch, db_bytes(rows, 8)) };
		if (!one->tags) {
			e = call_fail(call, ERR_NO_MEMORY, "no room for the nodes");
			break;
		}
		n += node_id_from_bytes(db_bytes(rows, 0), &one->id) == OK;
	}
	db_rows_free(rows);
	*ret = list;
	*ret_count = n;
	return e && e != ERR_NOT_FOUND ? e : OK;
}

static int by_id(const void *a, const void *b)
{
	const struct node_month *x = a, *y = b;

	return memcmp(x->id.b, y->id.b, NODE_ID_BYTES);
}

static struct node_month *find_node(struct node_month *list, size_t count, struct bytes id)
{
	struct node_month key = { 0 };

	if (node_id_from_bytes(id, &key.id) || !count)
		return NULL;
	return bsearch(&key, list, count, sizeof(*list), by_id);
}

static enum err read_usage(struct call *call, struct db_tx *tx, const struct store_arg *s,
			   struct node_month *list, size_t count)
{
	struct db_rows *rows = NULL;
	enum err e;

	/* Action 0 is nobody's: what was kept. */
	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT node_id, 0 AS action, CAST(SUM(byte_hours) AS INTEGER) FROM "
			   "node_storage WHERE interval_start >= $1 AND interval_start < $2 GROUP "
			   "BY node_id UNION ALL SELECT node_id, action, CAST(SUM(settled) AS "
			   "INTEGER) FROM storagenode_bandwidth_rollups WHERE interval_start >= $1 "
			   "AND interval_start < $2 GROUP BY node_id, action",
			   &rows, DB_V_INT(s->m->begin_ns), DB_V_INT(s->m->end_ns)));
	while (!(e = db_rows_next(call, rows))) {
		struct node_month *n = find_node(list, count, db_bytes(rows, 0));
		int64_t action = db_int(rows, 1);
		if (!n || action < 0 || action >= SETTLEMENT_ACTIONS)
			continue;
		if (action == 0)
			n->byte_hours = db_int(rows, 2);
		else
			n->usage[action] = db_int(rows, 2);
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

#define STUB_COLUMNS                                                                               \
	"period, node_id, created_at, codes, usage_at_rest, usage_get, usage_put, "                \
	"usage_get_repair, usage_put_repair, usage_get_audit, comp_at_rest, comp_get, comp_put, "  \
	"comp_get_repair, comp_put_repair, comp_get_audit, surge_percent, held, owed, disposed, "  \
	"paid, distributed"

static const Orders__PieceAction stub_actions[] = {
	ORDERS__PIECE_ACTION__GET,	  ORDERS__PIECE_ACTION__PUT,
	ORDERS__PIECE_ACTION__GET_REPAIR, ORDERS__PIECE_ACTION__PUT_REPAIR,
	ORDERS__PIECE_ACTION__GET_AUDIT,
};

static enum err store_stub(struct call *call, struct db_tx *tx, const struct store_arg *arg,
			   const struct node_month *n, const struct statement *s, int64_t now_ns)
{
	struct db_value v[22] = { DB_V_TEXT(bytes_str(arg->m->text)),
				  DB_V_BLOB(node_id_bytes(&n->id)), DB_V_INT(now_ns),
				  DB_V_TEXT(bytes_str(s->codes)), DB_V_INT(n->byte_hours) };

	for (unsigned i = 0; i < ARRAY_LEN(stub_actions); i++) {
		v[5 + i] = DB_V_INT(n->usage[stub_actions[i]]);
		v[11 + i] = DB_V_INT(s->comp[stub_actions[i]]);
	}
	v[10] = DB_V_INT(s->at_rest);
	v[16] = DB_V_INT(arg->rules->surge);
	v[17] = DB_V_INT(s->held);
	v[18] = DB_V_INT(s->owed);
	v[19] = DB_V_INT(s->disposed);
	v[20] = v[21] = DB_V_INT(0);
	return db_exec(call, tx,
		       "INSERT INTO storagenode_paystubs (" STUB_COLUMNS ") VALUES ($1, $2, $3, "
		       "$4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, "
		       "$20, $21, $22)",
		       v, ARRAY_LEN(v), NULL);
}

static enum err store_all(struct call *call, struct db_tx *tx, void *arg)
{
	struct store_arg *s = arg;
	struct node_month *list = NULL;
	int64_t now_ns = os_clock_unix_ns();

	s->count = 0;
	TRY_PLAIN(make_way(call, tx, s));
	TRY_PLAIN(read_nodes(call, tx, s, &list, &s->count));
	TRY_PLAIN(read_usage(call, tx, s, list, s->count));
	for (size_t i = 0; i < s->count; i++) {
		struct statement one;
		TRY_PLAIN(statement_make(call, s->rules, &list[i], s->m, &one));
		TRY_PLAIN(store_stub(call, tx, s, &list[i], &one, now_ns));
	}
	return OK;
}

enum err statements_store(struct call *call, struct db *db, const struct pay_rules *rules,
			  const struct month *m, bool again, size_t *ret_count)
{
	struct store_arg s = { rules, m, again, 0 };

	if (os_clock_unix_ns() < m->end_ns + SETTLED_NS)
		return call_fail(call, ERR_PRECONDITION,
				 "%s is not settled: nodes send the orders of its last hours until "
				 "26 hours after its end",
				 m->text);
	TRY_PLAIN(db_write(call, db, store_all, &s));
	*ret_count = s.count;
	return OK;
}

/* ---- reading ---- */

struct list_arg {
	struct arena *a;
	const char *month;
	const struct node_id *node;
	struct paystub *stubs;
	struct payment *payments;
	size_t count;
};

/* Rows of one month or all, of one node or all: nodes ask for theirs, which an index finds. */
struct list_sql {
	const char *of_all, *of_node;
};
#define LIST_MONTH " WHERE ($2 = 1 OR period = $1)"
#define LIST_SQL(select, order)                                                                    \
	((struct list_sql){ select LIST_MONTH order, select LIST_MONTH " AND node_id = "           \
								       "$3" order })

static enum err query_list(struct call *call, struct db_tx *tx, const struct list_arg *l,
			   struct list_sql sql, struct db_rows **ret)
{
	const struct db_value month = DB_V_TEXT(bytes_str(l->month));
	const struct db_value any = DB_V_INT(!l->month[0]);

	if (!l->node)
		return DB_QUERY(call, tx, sql.of_all, ret, month, any);
	return DB_QUERY(call, tx, sql.of_node, ret, month, any, DB_V_BLOB(node_id_bytes(l->node)));
}

static enum err count_list(struct call *call, struct db_tx *tx, const struct list_arg *l,
			   struct list_sql sql, size_t *ret)
{
	struct db_rows *rows = NULL;

	TRY_PLAIN(query_list(call, tx, l, sql, &rows));
	enum err e = db_rows_next(call, rows);
	if (!e)
		*ret = (size_t)db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

static enum err read_stub(struct call *call, struct arena *a, const struct db_rows *rows,
			  struct paystub *p)
{
	*p = (struct paystub){ .month = arena_str(a, db_bytes(rows, 0)),
			       .created_ns = db_int(rows, 2),
			       .byte_hours = db_int(rows, 4),
			       .surge = db_int(rows, 16),
			       .paid = db_int(rows, 20),
			       .distributed = db_int(rows, 21) };
	struct bytes codes = db_bytes(rows, 3);
	snprintf(p->s.codes, sizeof(p->s.codes), "%.*s", (int)codes.len, (const char *)codes.data);
	p->s.at_rest = db_int(rows, 10);
	for (unsigned i = 0; i < ARRAY_LEN(stub_actions); i++) {
		p->usage[stub_actions[i]] = db_int(rows, 5 + i);
		p->s.comp[stub_actions[i]] = db_int(rows, 11 + i);
	}
	p->s.held = db_int(rows, 17);
	p->s.owed = db_int(rows, 18);
	p->s.disposed = db_int(rows, 19);
	if (!p->month)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY(node_id_from_bytes(db_bytes(rows, 1), &p->node), "a statement's row is damaged");
	return OK;
}

static enum err list_stubs(struct call *call, struct db_tx *tx, void *arg)
{
	struct list_arg *l = arg;
	struct db_rows *rows = NULL;
	size_t room = 0;
	enum err e;

	l->count = 0;
	TRY_PLAIN(count_list(call, tx, l, LIST_SQL("SELECT COUNT(*) FROM storagenode_paystubs", ""),
			     &room));
	l->stubs = arena_array(l->a, room + 1, sizeof(*l->stubs));
	if (!l->stubs)
		return call_fail(call, ERR_NO_MEMORY, "no room for statements");
	TRY_PLAIN(query_list(call, tx, l,
			     LIST_SQL("SELECT " STUB_COLUMNS " FROM storagenode_paystubs",
				      " ORDER BY period, node_id"),
			     &rows));
	while (!(e = db_rows_next(call, rows)) && l->count < room) {
		e = read_stub(call, l->a, rows, &l->stubs[l->count]);
		if (e)
			break;
		l->count++;
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err paystubs_list(struct call *call, struct db *db, struct arena *a, const char *month,
		       const struct node_id *node, struct paystub **ret, size_t *ret_count)
{
	struct list_arg l = { .a = a, .month = month, .node = node };

	TRY_PLAIN(db_read(call, db, list_stubs, &l));
	*ret = l.stubs;
	*ret_count = l.count;
	return OK;
}

/* ---- payments ---- */

static enum err store_payment(struct call *call, struct db_tx *tx, void *arg)
{
	struct payment *p = arg;
	struct db_rows *rows = NULL;
	int64_t changed = 0;

	TRY_PLAIN(DB_EXEC(call, tx,
			  "UPDATE storagenode_paystubs SET paid = paid + $3, distributed = "
			  "distributed + $3 WHERE period = $1 AND node_id = $2",
			  &changed, DB_V_TEXT(bytes_str(p->month)),
			  DB_V_BLOB(node_id_bytes(&p->node)), DB_V_INT(p->amount)));
	if (!changed)
		return call_fail(call, ERR_NOT_FOUND, "no statement of that node for %.16s",
				 p->month);
	TRY_PLAIN(db_query(call, tx,
			   "SELECT CAST(COALESCE(MAX(id), 0) + 1 AS INTEGER) FROM "
			   "storagenode_payments",
			   NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	if (!e)
		p->id = db_int(rows, 0);
	db_rows_free(rows);
	TRY_PLAIN(e);
	return DB_EXEC(call, tx,
		       "INSERT INTO storagenode_payments (id, node_id, period, created_at, amount, "
		       "receipt, notes) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		       NULL, DB_V_INT(p->id), DB_V_BLOB(node_id_bytes(&p->node)),
		       DB_V_TEXT(bytes_str(p->month)), DB_V_INT(p->created_ns), DB_V_INT(p->amount),
		       DB_V_TEXT(bytes_str(p->receipt)), DB_V_TEXT(bytes_str(p->notes)));
}

enum err payment_store(struct call *call, struct db *db, struct payment *p)
{
	p->created_ns = os_clock_unix_ns();
	return db_write(call, db, store_payment, p);
}

static enum err read_payment(struct call *call, struct arena *a, const struct db_rows *rows,
			     struct payment *p)
{
	*p = (struct payment){ .id = db_int(rows, 0),
			       .month = arena_str(a, db_bytes(rows, 2)),
			       .created_ns = db_int(rows, 3),
			       .amount = db_int(rows, 4),
			       .receipt = arena_str(a, db_bytes(rows, 5)),
			       .notes = arena_str(a, db_bytes(rows, 6)) };
	if (!p->month || !p->receipt || !p->notes)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY(node_id_from_bytes(db_bytes(rows, 1), &p->node), "a payment's row is damaged");
	return OK;
}

static enum err list_payments(struct call *call, struct db_tx *tx, void *arg)
{
	struct list_arg *l = arg;
	struct db_rows *rows = NULL;
	size_t room = 0;
	enum err e;

	l->count = 0;
	TRY_PLAIN(count_list(call, tx, l, LIST_SQL("SELECT COUNT(*) FROM storagenode_payments", ""),
			     &room));
	l->payments = arena_array(l->a, room + 1, sizeof(*l->payments));
	if (!l->payments)
		return call_fail(call, ERR_NO_MEMORY, "no room for payments");
	TRY_PLAIN(query_list(call, tx, l,
			     LIST_SQL("SELECT id, node_id, period, created_at, amount, receipt, "
				      "notes FROM storagenode_payments",
				      " ORDER BY id"),
			     &rows));
	while (!(e = db_rows_next(call, rows)) && l->count < room) {
		e = read_payment(call, l->a, rows, &l->payments[l->count]);
		if (e)
			break;
		l->count++;
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err payments_list(struct call *call, struct db *db, struct arena *a, const char *month,
		       const struct node_id *node, struct payment **ret, size_t *ret_count)
{
	struct list_arg l = { .a = a, .month = month, .node = node };

	TRY_PLAIN(db_read(call, db, list_payments, &l));
	*ret = l.payments;
	*ret_count = l.count;
	return OK;
}
