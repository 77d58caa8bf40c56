/* acre-satellite statement, payment, report: the books, for people and for programs. */
#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "os/clock.h"
#include "satellite/auth.h"
#include "satellite/calendar.h"
#include "satellite/command.h"
#include "satellite/statement.h"

DEFINE_AUTO_PTR(struct db, db_auto, db_close)

enum { MICRO_PER_DOLLAR = 1000000 };

/* ---- what the flags say ---- */

/* --month, or the one before this. */
static enum err read_month(struct command *c, struct month *ret)
{
	const struct month now = month_of(os_clock_unix_ns());

	if (!c->o.month || !c->o.month[0]) {
		*ret = month_before(&now);
		return OK;
	}
	return month_parse(c->call, c->o.month, ret);
}

static enum err read_node(struct command *c, struct node_id *id, const struct node_id **ret)
{
	*ret = NULL;
	if (!c->o.node || !c->o.node[0])
		return OK;
	if (node_id_parse(bytes_str(c->o.node), id))
		return call_fail(c->call, ERR_CONFIG, "--node: \"%.80s\" is no node ID", c->o.node);
	*ret = id;
	return OK;
}

void command_add_money(struct buf *out, int64_t micro)
{
	uint64_t v = micro < 0 ? 0 - (uint64_t)micro : (uint64_t)micro;

	buf_printf(out, "%s%llu.%06llu", micro < 0 ? "-" : "",
		   (unsigned long long)(v / MICRO_PER_DOLLAR),
		   (unsigned long long)(v % MICRO_PER_DOLLAR));
}

/* A field of CSV (RFC 4180), never a formula for a spreadsheet. */
static void add_csv(struct buf *out, struct bytes v)
{
	static const char formula[] = { '=', '+', '-', '@', '\t', '\r' };

	buf_add_byte(out, '"');
	if (v.len && memchr(formula, v.data[0], sizeof(formula)))
		buf_add_byte(out, '\'');
	for (size_t i = 0; i < v.len; i++) {
		if (v.data[i] == '"')
			buf_add_byte(out, '"');
		buf_add_byte(out, v.data[i]);
	}
	buf_add_byte(out, '"');
}

/* ---- statements ---- */

enum err command_statement_make(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct pay_rules rules;
	struct month m;
	size_t count = 0;

	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(read_month(c, &m));
	TRY_PLAIN(pay_rules_read(c->call, &c->o.config, &rules));
	if (c->o.surge > SURGE_PERCENT_MAX)
		return call_fail(c->call, ERR_CONFIG, "--surge: want 0 to %d percent",
				 SURGE_PERCENT_MAX);
	rules.surge = (int64_t)c->o.surge;
	TRY_PLAIN(statements_store(c->call, db, &rules, &m, c->o.again, &count));
	buf_printf(&c->out,
		   c->o.json ? "{\"statements\":%zu,\"month\":\"%s\"}\n"
			     : "%zu statements for %s\n",
		   count, m.text);
	return OK;
}

static const struct {
	const char *name;
	size_t offset;
	bool money;
} numbers[] = {
#define NUMBER(name, field, money)                                                                 \
	{                                                                                          \
		name, offsetof(struct paystub, field), money                                       \
	}
	NUMBER("at_rest_byte_hours", byte_hours, false),
	NUMBER("get", usage[ORDERS__PIECE_ACTION__GET], false),
	NUMBER("put", usage[ORDERS__PIECE_ACTION__PUT], false),
	NUMBER("get_repair", usage[ORDERS__PIECE_ACTION__GET_REPAIR], false),
	NUMBER("put_repair", usage[ORDERS__PIECE_ACTION__PUT_REPAIR], false),
	NUMBER("get_audit", usage[ORDERS__PIECE_ACTION__GET_AUDIT], false),
	NUMBER("comp_at_rest", s.at_rest, true),
	NUMBER("comp_get", s.comp[ORDERS__PIECE_ACTION__GET], true),
	NUMBER("comp_put", s.comp[ORDERS__PIECE_ACTION__PUT], true),
	NUMBER("comp_get_repair", s.comp[ORDERS__PIECE_ACTION__GET_REPAIR], true),
	NUMBER("comp_put_repair", s.comp[ORDERS__PIECE_ACTION__PUT_REPAIR], true),
	NUMBER("comp_get_audit", s.comp[ORDERS__PIECE_ACTION__GET_AUDIT], true),
	NUMBER("held", s.held, true),
	NUMBER("owed", s.owed, true),
	NUMBER("disposed", s.disposed, true),
	NUMBER("paid", paid, true),
	NUMBER("distributed", distributed, true),
};

static int64_t number_of(const struct paystub *p, size_t i)
{
	int64_t v;

	memcpy(&v, (const uint8_t *)p + numbers[i].offset, sizeof(v));
	return v;
}

static void add_stub_json(struct buf *out, const struct paystub *p, bool first)
{
	char id[NODE_ID_TEXT_MAX];

	node_id_text(&p->node, id);
	buf_printf(out, "%s{\"month\":\"%s\",\"node\":\"%s\",\"codes\":\"%s\"", first ? "" : ",\n ",
		   p->month, id, p->s.codes);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		buf_printf(out, ",\"%s%s\":%lld", numbers[i].name,
			   numbers[i].money ? "_micro_dollars" : "", (long long)number_of(p, i));
	buf_printf(out, ",\"surge_percent\":%lld}", (long long)p->surge);
}

static void add_stub_csv(struct buf *out, const struct paystub *p)
{
	char id[NODE_ID_TEXT_MAX];

	node_id_text(&p->node, id);
	buf_printf(out, "%s,%s,%s", p->month, id, p->s.codes);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		buf_printf(out, ",%lld", (long long)number_of(p, i));
	buf_printf(out, ",%lld\r\n", (long long)p->surge);
}

static void add_csv_head(struct buf *out)
{
	buf_add_str(out, "month,node,codes");
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		buf_printf(out, ",%s%s", numbers[i].name, numbers[i].money ? "_micro_dollars" : "");
	buf_add_str(out, ",surge_percent\r\n");
}

static void add_stub_line(struct buf *out, const struct paystub *p)
{
	char id[NODE_ID_TEXT_MAX];

	node_id_text(&p->node, id);
	buf_printf(out, "%s  %s  %-7s  owed ", p->month, id, p->s.codes);
	command_add_money(out, p->s.owed);
	buf_add_str(out, "  held ");
	command_add_money(out, p->s.held);
	buf_add_str(out, "  given back ");
	command_add_money(out, p->s.disposed);
	buf_add_str(out, "  paid ");
	command_add_money(out, p->paid);
	buf_add_byte(out, '\n');
}

enum err command_statement_list(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	const struct node_id *node = NULL;
	struct paystub *list = NULL;
	struct node_id id;
	struct month m = { .text = "" };
	size_t count = 0;

	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(read_node(c, &id, &node));
	if (c->o.month && c->o.month[0])
		TRY_PLAIN(month_parse(c->call, c->o.month, &m));
	TRY_PLAIN(paystubs_list(c->call, db, &c->call->scratch, m.text, node, &list, &count));
	if (c->o.csv)
		add_csv_head(&c->out);
	else if (c->o.json)
		buf_add_byte(&c->out, '[');
	for (size_t i = 0; i < count; i++) {
		if (c->o.csv)
			add_stub_csv(&c->out, &list[i]);
		else if (c->o.json)
			add_stub_json(&c->out, &list[i], i == 0);
		else
			add_stub_line(&c->out, &list[i]);
	}
	if (c->o.json && !c->o.csv)
		buf_add_str(&c->out, "]\n");
	return OK;
}

/* ---- payments ---- */

enum err command_payment_record(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	const struct node_id *node = NULL;
	struct node_id id;
	struct month m;
	struct payment p = { .receipt = c->o.receipt, .notes = c->o.notes };

	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(read_node(c, &id, &node));
	if (!node)
		return call_fail(c->call, ERR_CONFIG, "say which node was paid: --node ID");
	TRY_PLAIN(read_month(c, &m));
	TRY_PLAIN(command_money(c, "amount", c->o.amount, &p.amount));
	p.node = id;
	p.month = m.text;
	TRY_PLAIN(payment_store(c->call, db, &p));
	buf_printf(&c->out, c->o.json ? "{\"payment\":%lld}\n" : "payment %lld noted\n",
		   (long long)p.id);
	return OK;
}

/* ---- usage of projects, buckets and keys ---- */

struct report_arg {
	struct command *c;
	struct month m;
	struct project_id project; /* all zero: all */
	bool all;
};

#define BUCKETS_QUERY                                                                              \
	"SELECT p.name, u.bucket_name, CAST(SUM(u.byte_hours) AS INTEGER), "                       \
	"CAST(SUM(u.segment_hours) AS INTEGER), CAST(SUM(u.object_hours) AS INTEGER), "            \
	"CAST(SUM(u.egress) AS INTEGER), CAST(SUM(u.ingress) AS INTEGER) FROM ("                   \
	"SELECT project_id, bucket_name, byte_hours, segment_hours, object_hours, 0 AS egress, "   \
	"0 AS ingress FROM bucket_storage WHERE interval_start >= $1 AND interval_start < $2 "     \
	"UNION ALL SELECT project_id, bucket_name, 0, 0, 0, CASE WHEN action = 2 THEN settled + "  \
	"inline ELSE 0 END, CASE WHEN action = 1 THEN settled + inline ELSE 0 END FROM "           \
	"bucket_bandwidth_rollups WHERE interval_start >= $1 AND interval_start < $2) u "          \
	"JOIN projects p ON p.id = u.project_id WHERE ($3 = 1 OR u.project_id = $4) "              \
	"GROUP BY p.name, u.bucket_name ORDER BY p.name, u.bucket_name"

/* A key that was deleted has a number only. */
#define KEYS_QUERY                                                                                 \
	"SELECT p.name, COALESCE(k.name, '(deleted ' || CAST(u.key_number AS TEXT) || ')'), "      \
	"CAST(u.byte_hours AS INTEGER), CAST(u.egress AS INTEGER), CAST(u.ingress AS INTEGER) "    \
	"FROM (SELECT project_id, key_number, SUM(byte_hours) AS byte_hours, SUM(egress) AS "      \
	"egress, SUM(ingress) AS ingress FROM (SELECT project_id, key_number, byte_hours, 0 AS "   \
	"egress, 0 AS ingress FROM key_storage WHERE interval_start >= $1 AND interval_start < "   \
	"$2 UNION ALL SELECT project_id, key_number, 0, CASE WHEN action = 2 THEN settled + "      \
	"inline ELSE 0 END, CASE WHEN action = 1 THEN settled + inline ELSE 0 END FROM "           \
	"key_bandwidth WHERE interval_start >= $1 AND interval_start < $2) t WHERE ($3 = 1 OR "    \
	"t.project_id = $4) GROUP BY project_id, key_number) u JOIN projects p ON p.id = "         \
	"u.project_id LEFT JOIN api_keys k ON k.number = u.key_number ORDER BY p.name, 2"

struct report_kind {
	const char *sql, *subject;
	size_t numbers;
	const char *names[5];
};

static const struct report_kind of_buckets = { BUCKETS_QUERY,
					       "bucket",
					       5,
					       { "byte_hours", "segment_hours", "object_hours",
						 "egress", "ingress" } };
static const struct report_kind of_keys = {
	KEYS_QUERY, "apikey", 3, { "byte_hours", "egress", "ingress" }
};

static void add_report_row(struct command *c, const struct report_kind *k, const struct month *m,
			   const struct db_rows *rows, bool first)
{
	struct buf *out = &c->out;

	if (c->o.csv) {
		buf_printf(out, "%s,", m->text);
		add_csv(out, db_bytes(rows, 0));
		buf_add_byte(out, ',');
		add_csv(out, db_bytes(rows, 1));
	} else if (c->o.json) {
		buf_printf(out, "%s{\"month\":\"%s\",\"project\":", first ? "" : ",\n ", m->text);
		text_add_json(out, db_bytes(rows, 0));
		buf_printf(out, ",\"%s\":", k->subject);
		text_add_json(out, db_bytes(rows, 1));
	}
	for (unsigned i = 0; i < k->numbers; i++) {
		long long v = (long long)db_int(rows, 2 + i);
		if (c->o.csv)
			buf_printf(out, ",%lld", v);
		else if (c->o.json)
			buf_printf(out, ",\"%s\":%lld", k->names[i], v);
		else
			buf_printf(out, "%s %lld  ", k->names[i], v);
	}
	if (c->o.csv) {
		buf_add_str(out, "\r\n");
	} else if (c->o.json) {
		buf_add_byte(out, '}');
	} else {
		buf_add_bytes(out, db_bytes(rows, 0));
		buf_add_byte(out, '/');
		buf_add_bytes(out, db_bytes(rows, 1));
		buf_add_byte(out, '\n');
	}
}

static enum err report(struct call *call, struct db_tx *tx, void *arg)
{
	struct report_arg *a = arg;
	const struct report_kind *k = a->c->o.by_key ? &of_keys : &of_buckets;
	struct buf *out = &a->c->out;
	struct db_rows *rows = NULL;
	bool first = true;
	enum err e;

	buf_clear(out);
	TRY_PLAIN(DB_QUERY(call, tx, k->sql, &rows, DB_V_INT(a->m.begin_ns), DB_V_INT(a->m.end_ns),
			   DB_V_INT(a->all), DB_V_BLOB(BYTES_OF(a->project.b))));
	if (a->c->o.csv) {
		buf_printf(out, "month,project,%s", k->subject);
		for (unsigned i = 0; i < k->numbers; i++)
			buf_printf(out, ",%s", k->names[i]);
		buf_add_str(out, "\r\n");
	} else if (a->c->o.json) {
		buf_add_byte(out, '[');
	}
	for (; !(e = db_rows_next(call, rows)); first = false)
		add_report_row(a->c, k, &a->m, rows, first);
	db_rows_free(rows);
	if (a->c->o.json && !a->c->o.csv)
		buf_add_str(out, "]\n");
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err command_report(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct report_arg a = { .c = c, .all = !c->o.project || !c->o.project[0] };
	struct project p;

	TRY_PLAIN(command_database(c, &db));
	/* What is used so far is of interest, too. */
	if (c->o.month && c->o.month[0])
		TRY_PLAIN(month_parse(c->call, c->o.month, &a.m));
	else
		a.m = month_of(os_clock_unix_ns());
	if (!a.all) {
		TRY_PLAIN(command_project(c, db, &p));
		a.project = p.id;
	}
	return db_read(c->call, db, report, &a);
}
