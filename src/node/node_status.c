/* Views of nodes, and writing them. */
#include "node/node_status.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "node/node_internal.h"

enum kind { TEXT, NUMBER, SIZE, MOMENT, SCORE, MONEY };

/* Every figure: its name in JSON and (with acre_node_ in front) among the metrics, its words for
 * people ("" = not shown to them), and its help. */
struct field {
	const char *name;
	enum kind kind;
	size_t offset;
	bool counter;
	const char *label, *help;
};

#define NODE(field) offsetof(struct node_view, field)
static const struct field node_fields[] = {
	{ "id", TEXT, NODE(id), false, "node", "" },
	{ "state", TEXT, NODE(state), false, "state", "" },
	{ "dir", TEXT, NODE(dir), false, "directory", "" },
	{ "address", TEXT, NODE(address), false, "listens on", "" },
	{ "external-address", TEXT, NODE(external_address), false, "known as", "" },
	{ "storage", TEXT, NODE(storage), false, "storage", "" },
	{ "store", TEXT, NODE(store), false, "disk", "" },
	{ "started", MOMENT, NODE(started), false, "started", "Unix time of its start" },
	{ "pieces", NUMBER, NODE(pieces), false, "pieces", "pieces stored" },
	{ "allocated", SIZE, NODE(allocated), false, "space set", "bytes it may use" },
	{ "used", SIZE, NODE(used), false, "used", "bytes of the piece log" },
	{ "live", SIZE, NODE(live), false, "  by pieces",
	  "bytes of pieces that satellites pay for" },
	{ "trash", SIZE, NODE(trash), false, "  in the trash", "bytes that can still be restored" },
	{ "dead", SIZE, NODE(dead), false, "  to be freed", "bytes that compaction will free" },
	{ "damaged", NUMBER, NODE(damaged), false, "damaged pieces", "pieces found damaged" },
	{ "reserved", SIZE, NODE(reserved), false, "promised",
	  "bytes that running uploads may take" },
	{ "available", SIZE, NODE(available), false, "available", "bytes offered to satellites" },
	{ "disk-free", SIZE, NODE(disk_free), false, "free on disk", "bytes free on the disk" },
	{ "transfers", NUMBER, NODE(transfers), false, "transfers now", "transfers running" },
	{ "uploads", NUMBER, NODE(uploads), true, "uploads", "pieces taken since the start" },
	{ "uploads-failed", NUMBER, NODE(uploads_failed), true, "  ended early",
	  "uploads that ended early" },
	{ "upload-bytes", SIZE, NODE(upload_bytes), true, "  received",
	  "bytes of pieces received" },
	{ "downloads", NUMBER, NODE(downloads), true, "downloads", "downloads since the start" },
	{ "downloads-failed", NUMBER, NODE(downloads_failed), true, "  failed",
	  "downloads that failed" },
	{ "download-bytes", SIZE, NODE(download_bytes), true, "  sent", "bytes of pieces sent" },
};

#define SAT(field) offsetof(struct satellite_view, field)
static const struct field satellite_fields[] = {
	{ "id", TEXT, SAT(id), false, "", "" },
	{ "address", TEXT, SAT(address), false, "", "" },
	{ "state", TEXT, SAT(state), false, "check-in", "" },
	{ "error", TEXT, SAT(error), false, "", "" },
	{ "checked-in", MOMENT, SAT(checked_in), false, "last tried",
	  "Unix time of the last check-in tried" },
	{ "orders-waiting", NUMBER, SAT(orders_waiting), false, "order windows waiting",
	  "windows of orders not settled" },
	{ "orders-paid", SIZE, SAT(orders_paid), true, "settled since start",
	  "bytes of orders settled since the start" },
	{ "orders-lost", SIZE, SAT(orders_lost), true, "", "bytes of orders refused or given up" },
	{ "settle-error", TEXT, SAT(settle_error), false, "", "" },
	{ "stats-known", MOMENT, SAT(stats_known), false, "its word of",
	  "Unix time when the satellite last told of the node" },
	{ "audit-score", SCORE, SAT(audit_score), false, "audit score",
	  "1 is best; below 0.96 the node is disqualified" },
	{ "suspension-score", SCORE, SAT(suspension_score), false, "suspension score",
	  "1 is best; audits that ended in errors" },
	{ "online-score", SCORE, SAT(online_score), false, "online score", "1 is best" },
	{ "audits", NUMBER, SAT(audits), false, "audits", "audits so far" },
	{ "audits-passed", NUMBER, SAT(audits_passed), false, "  passed", "audits passed" },
	{ "joined", MOMENT, SAT(joined), false, "member since", "Unix time of the first check-in" },
	{ "vetted", MOMENT, SAT(vetted), false, "vetted", "Unix time; 0 = not yet" },
	{ "disqualified", MOMENT, SAT(disqualified), false, "", "Unix time; 0 = no" },
	{ "suspended", MOMENT, SAT(suspended), false, "", "Unix time; 0 = no" },
	{ "offline-suspended", MOMENT, SAT(offline_suspended), false, "", "Unix time; 0 = no" },
	{ "under-review", MOMENT, SAT(under_review), false, "", "Unix time; 0 = no" },
	{ "paid", MONEY, SAT(paid), false, "paid so far", "millionths of a dollar" },
	{ "paid-last", MONEY, SAT(paid_last), false, "  last period", "millionths of a dollar" },
	{ "months", TEXT, SAT(months), false, "  by month", "" },
	{ "sent", MONEY, SAT(sent), false, "sent in payments", "millionths of a dollar" },
	{ "receipt", TEXT, SAT(receipt), false, "  last receipt", "" },
	{ "held", MONEY, SAT(held), false, "held back",
	  "millionths of a dollar, held and not given back" },
	{ "disposed", MONEY, SAT(disposed), false, "",
	  "millionths of a dollar, held and given back" },
};

/* ---- gathering ---- */

static const char *clean(struct arena *a, const char *text)
{
	char *copy = arena_str(a, bytes_str(text));

	/* Partly a satellite's words, and shown on a terminal. */
	for (char *p = copy; p && *p; p++)
		if ((uint8_t)*p < ' ' || *p == 0x7f)
			*p = ' ';
	return copy ? copy : "";
}

void node_view_worry(struct node_view *v, const char *what, const char *advice)
{
	if (v->worries_count < STATUS_WORRIES_MAX)
		v->worries[v->worries_count++] = (struct worry){ what, advice };
}

static void fill_satellite(struct arena *a, struct node *n, size_t i, struct satellite_view *v)
{
	struct check_in *c = &n->check_ins[i];
	struct settler_view settled = node_settle_view(n, i);
	char id[NODE_ID_TEXT_MAX];

	node_id_text(trust_id(n->trust, i), id);
	v->id = clean(a, id);
	v->address = clean(a, trust_address(n->trust, i));
	v->orders_waiting = settled.windows;
	v->orders_paid = settled.paid_bytes;
	v->orders_lost = settled.lost_bytes;
	v->settle_error = clean(a, settled.error);
	struct satellite_stats s = node_stats_of(n, i);
	v->stats_known = s.known_unix;
	v->audit_score = s.audit_score;
	v->suspension_score = s.suspension_score;
	v->online_score = s.online_score;
	v->audits = s.audits;
	v->audits_passed = s.audits_passed;
	v->disqualified = s.disqualified;
	v->suspended = s.suspended;
	v->offline_suspended = s.offline_suspended;
	v->under_review = s.under_review;
	v->joined = s.joined;
	v->vetted = s.vetted;
	v->paid = s.paid;
	v->held = s.held;
	v->disposed = s.disposed;
	v->paid_last = s.paid_last;
	v->months = clean(a, s.months);
	v->sent = s.sent;
	v->receipt = clean(a, s.receipt);
	OS_LOCKED(&n->lock);
	v->state = c->ok ? "ok" : c->last_unix_ns ? "failed" : "pending";
	v->error = clean(a, c->error);
	v->checked_in = (uint64_t)(c->last_unix_ns / NS_PER_SEC);
}

static void worry_about_satellite(struct arena *a, struct node_view *v,
				  const struct satellite_view *s)
{
	bool out_of_reach = strcmp(s->state, "failed") == 0 &&
			    strncmp(s->error, NODE_DIAL_FAILED, strlen(NODE_DIAL_FAILED)) == 0;
	const struct {
		bool is;
		const char *what, *advice;
	} list[] = {
		{ out_of_reach, "the satellite cannot be reached",
		  "is this machine online, and the satellite's address right?  It is tried again; "
		  "the "
		  "node counts as offline there meanwhile" },
		{ strcmp(s->state, "failed") == 0 && !out_of_reach, "check-in failed",
		  "is the port open and forwarded, and external-address right?  Until it succeeds "
		  "the satellite counts the node as offline" },
		{ s->disqualified, "the node is disqualified",
		  "it earns nothing there any more; the satellite's operator can say why" },
		{ s->suspended, "the node is suspended: audits ended in errors",
		  "look at the disk and the log; the score rises again with every audit that "
		  "works" },
		{ s->offline_suspended, "the node is suspended: it was offline too long",
		  "keep it online; the satellite reviews it" },
		{ s->under_review, "the node is under review: it was offline often",
		  "keep it online for the next weeks" },
		{ s->stats_known && s->audit_score < 0.98, "audits have failed",
		  "pieces are missing or damaged: look at the log, and check the disk (SMART)" },
		{ s->settle_error[0], "orders are not settled",
		  "they are kept and sent again; later than a day after the transfer they are not "
		  "paid" },
		{ s->orders_lost, "orders were refused or too late to be paid", "see the log" },
	};

	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		if (!list[i].is)
			continue;
		const char *what = arena_printf(a, "%s: %s", s->address, list[i].what);
		node_view_worry(v, what ? what : list[i].what, list[i].advice);
	}
}

static void worry_about_disk(struct node_view *v, enum store_state state, unsigned no_uploads)
{
	uint64_t possible = v->used + v->disk_free;

	if (state == STORE_OFFLINE)
		node_view_worry(
			v, "the disk does not answer in time: nothing is served",
			"look at the system's log (dmesg) and the disk's health; a cable or a "
			"dying disk are usual");
	if (no_uploads & NODE_DISK_UNWRITABLE)
		node_view_worry(v, "the disk cannot be written to: no pieces are taken",
				"it may have been mounted read-only after an error: see dmesg");
	if (v->allocated > possible && possible < v->allocated - v->allocated / 20)
		node_view_worry(v, "the disk is smaller than the space set",
				"what is there is used; set space to what the disk can give");
	if (v->damaged)
		node_view_worry(v, "damaged pieces were found",
				"they are served to nobody; check the disk (SMART) and the memory");
}

enum err node_view_fill(struct call *call, struct arena *a, struct node *n, struct node_view *v)
{
	const struct node_counters *c = &n->counters;
	struct piece_space space;
	char id[NODE_ID_TEXT_MAX];
	size_t count = trust_count(n->trust);

	node_id_text(identity_node_id(n->identity), id);
	v->id = clean(a, id);
	v->address = clean(a, node_address(n));
	const char *external = node_get(n, external_address);
	v->external_address = external[0] ? clean(a, external) : v->address;
	v->storage = clean(a, n->storage_path);
	v->started = (uint64_t)(n->started_unix_ns / NS_PER_SEC);
	v->satellites = arena_array(a, count + 1, sizeof(*v->satellites));
	if (!v->satellites)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(piece_store_space(call, n->store, &space));
	v->pieces = space.pieces;
	v->allocated = node_get(n, space);
	v->used = space.used;
	v->live = space.live;
	v->trash = space.trash;
	v->dead = space.dead;
	v->reserved = space.reserved;
	v->damaged = space.damaged;
	v->available = space.available;
	v->disk_free = space.disk_free;
	v->transfers = n->live;
	v->uploads = c->uploads;
	v->uploads_failed = c->uploads_failed;
	v->upload_bytes = c->upload_bytes;
	v->downloads = c->downloads;
	v->downloads_failed = c->downloads_failed;
	v->download_bytes = c->download_bytes;
	os_mutex_lock(&n->lock);
	unsigned no_uploads = n->no_uploads;
	const char *import = arena_str(a, bytes_str(n->import_error));
	os_mutex_unlock(&n->lock);
	if (import && import[0])
		node_view_worry(v, "taking over the pieces of Storj's node stopped",
				clean(a, import));
	enum store_state state = piece_store_state(n->store);
	v->store = state == STORE_OFFLINE	      ? "does not answer"
		   : no_uploads & NODE_IMPORTING      ? "served, taking over pieces"
		   : state == STORE_READ_ONLY	      ? "served, no uploads"
		   : !piece_store_recovered(n->store) ? "being recovered"
						      : "ready";
	worry_about_disk(v, state, no_uploads);
	if (n->clock_wrong)
		node_view_worry(
			v, "this machine's clock is wrong: nothing is served",
			"set it right (timedatectl set-ntp true); the node notices within a "
			"minute");
	for (size_t i = 0; i < count; i++) {
		fill_satellite(a, n, i, &v->satellites[i]);
		worry_about_satellite(a, v, &v->satellites[i]);
	}
	v->satellites_count = count;
	return OK;
}

/* ---- values ---- */

static uint64_t number_of(const struct field *f, const void *view)
{
	uint64_t v;

	memcpy(&v, (const uint8_t *)view + f->offset, sizeof(v));
	return v;
}

static double score_of(const struct field *f, const void *view)
{
	double v;

	memcpy(&v, (const uint8_t *)view + f->offset, sizeof(v));
	/* A satellite's figure; JSON knows no others. */
	return v >= 0 && v <= 1e6 ? v : 0;
}

static struct bytes text_of(const struct field *f, const void *view)
{
	const char *v;

	memcpy(&v, (const uint8_t *)view + f->offset, sizeof(v));
	return bytes_str(v ? v : "");
}

static void add_plain(struct buf *out, const struct field *f, const void *view)
{
	switch (f->kind) {
	case TEXT:
		text_add_json(out, text_of(f, view));
		break;
	case SCORE:
		buf_printf(out, "%.6f", score_of(f, view));
		break;
	case NUMBER:
	case SIZE:
	case MOMENT:
	case MONEY:
		buf_printf(out, "%llu", (unsigned long long)number_of(f, view));
	}
}

static void add_pretty(struct buf *out, const struct field *f, const void *view)
{
	uint64_t number = f->kind == TEXT || f->kind == SCORE ? 0 : number_of(f, view);

	switch (f->kind) {
	case TEXT:
		buf_add_bytes(out, text_of(f, view));
		break;
	case SCORE:
		buf_printf(out, "%.4f", score_of(f, view));
		break;
	case NUMBER:
		buf_printf(out, "%llu", (unsigned long long)number);
		break;
	case SIZE:
		text_add_size(out, number);
		break;
	case MOMENT:
		if (!number || number > UINT32_MAX)
			buf_add_str(out, "never");
		else
			text_add_time(out, (int64_t)number * NS_PER_SEC, false);
		break;
	case MONEY:
		buf_printf(out, "$%llu.%02llu", (unsigned long long)(number / 1000000),
			   (unsigned long long)(number / 10000 % 100));
	}
}

/* ---- for people ---- */

static void add_satellite_text(struct buf *out, const struct satellite_view *s)
{
	buf_printf(out, "satellite %s\n", s->address);
	for (size_t i = 0; i < ARRAY_LEN(satellite_fields); i++) {
		const struct field *f = &satellite_fields[i];
		/* What it says of the node, once it said it. */
		if (!f->label[0] || (f->offset >= SAT(stats_known) && !s->stats_known))
			continue;
		buf_printf(out, "  %-22s ", f->label);
		add_pretty(out, f, s);
		buf_add_byte(out, '\n');
	}
	if (s->error[0])
		buf_printf(out, "    %s\n", s->error);
	if (s->settle_error[0])
		buf_printf(out, "    %s\n", s->settle_error);
}

static void add_text(struct buf *out, const struct process_view *p)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct node_view *v = &p->nodes[i];
		if (p->count > 1 || v->id == NULL)
			buf_printf(out, "%s== %s: %s ==\n", i ? "\n" : "", v->name, v->state);
		for (size_t j = 0; v->id && j < ARRAY_LEN(node_fields); j++) {
			buf_printf(out, "%-14s ", node_fields[j].label);
			add_pretty(out, &node_fields[j], v);
			buf_add_byte(out, '\n');
		}
		for (size_t j = 0; j < v->satellites_count; j++)
			add_satellite_text(out, &v->satellites[j]);
		if (!v->worries_count && v->id)
			buf_add_str(out, "nothing to worry about\n");
		for (size_t j = 0; j < v->worries_count; j++)
			buf_printf(out, "! %s%s%s\n", v->worries[j].what,
				   v->worries[j].advice[0] ? "\n  " : "", v->worries[j].advice);
	}
	if (!p->count)
		buf_printf(out, "no nodes in %s/nodes yet\n", p->dir);
}

/* ---- JSON ---- */

static void add_fields(struct buf *out, const struct field *fields, size_t count, const void *view,
		       const char *indent)
{
	for (size_t i = 0; i < count; i++) {
		buf_printf(out, "%s\n%s\"%s\": ", i ? "," : "", indent, fields[i].name);
		add_plain(out, &fields[i], view);
	}
}

static void add_node_json(struct buf *out, const struct node_view *v)
{
	buf_add_str(out, "    {\n      \"name\": ");
	text_add_json(out, bytes_str(v->name));
	buf_add_str(out, ",\n      \"why\": ");
	text_add_json(out, bytes_str(v->why));
	buf_add_byte(out, ',');
	add_fields(out, node_fields, ARRAY_LEN(node_fields), v, "      ");
	buf_add_str(out, ",\n      \"worries\": [");
	for (size_t i = 0; i < v->worries_count; i++) {
		buf_add_str(out, i ? ",\n        {\"what\": " : "\n        {\"what\": ");
		text_add_json(out, bytes_str(v->worries[i].what));
		buf_add_str(out, ", \"advice\": ");
		text_add_json(out, bytes_str(v->worries[i].advice));
		buf_add_byte(out, '}');
	}
	buf_add_str(out, "],\n      \"satellites\": [");
	for (size_t i = 0; i < v->satellites_count; i++) {
		buf_add_str(out, i ? ",\n        {" : "\n        {");
		add_fields(out, satellite_fields, ARRAY_LEN(satellite_fields), &v->satellites[i],
			   "          ");
		buf_add_byte(out, '}');
	}
	buf_add_str(out, "]\n    }");
}

static void add_json(struct buf *out, const struct process_view *p)
{
	buf_printf(out,
		   "{\n  \"version\": %d,\n  \"running\": true,\n  \"pid\": %llu,\n"
		   "  \"started\": %llu,\n  \"dir\": ",
		   STATUS_VERSION, (unsigned long long)p->pid, (unsigned long long)p->started);
	text_add_json(out, bytes_str(p->dir));
	buf_add_str(out, ",\n  \"nodes\": [\n");
	for (size_t i = 0; i < p->count; i++) {
		add_node_json(out, &p->nodes[i]);
		buf_add_str(out, i + 1 < p->count ? ",\n" : "\n");
	}
	buf_add_str(out, "  ]\n}\n");
}

/* ---- metrics (Prometheus text format 0.0.4) ---- */

static void add_metric_name(struct buf *out, const char *prefix, const char *name)
{
	buf_add_str(out, prefix);
	for (; *name; name++)
		buf_add_byte(out, *name == '-' ? '_' : (uint8_t)*name);
}

static void add_metric_head(struct buf *out, const struct field *f, const char *prefix)
{
	buf_add_str(out, "# HELP ");
	add_metric_name(out, prefix, f->name);
	buf_printf(out, " %s\n# TYPE ", f->help);
	add_metric_name(out, prefix, f->name);
	buf_printf(out, " %s\n", f->counter ? "counter" : "gauge");
}

#define NODE_PREFIX "acre_node_"
#define SATELLITE_PREFIX "acre_node_satellite_"

static void add_node_metric(struct buf *out, const struct process_view *p, const struct field *f)
{
	add_metric_head(out, f, NODE_PREFIX);
	for (size_t i = 0; i < p->count; i++) {
		if (!p->nodes[i].id)
			continue;
		add_metric_name(out, NODE_PREFIX, f->name);
		/* Labels are quoted as JSON quotes, but for what neither has. */
		buf_add_str(out, "{node=");
		text_add_json(out, bytes_str(p->nodes[i].id));
		buf_add_str(out, ",name=");
		text_add_json(out, bytes_str(p->nodes[i].name));
		buf_add_str(out, "} ");
		add_plain(out, f, &p->nodes[i]);
		buf_add_byte(out, '\n');
	}
}

static void add_satellite_metric(struct buf *out, const struct process_view *p,
				 const struct field *f)
{
	add_metric_head(out, f, SATELLITE_PREFIX);
	for (size_t i = 0; i < p->count; i++)
		for (size_t j = 0; j < p->nodes[i].satellites_count; j++) {
			const struct satellite_view *s = &p->nodes[i].satellites[j];
			if (f->offset >= SAT(stats_known) && !s->stats_known)
				continue;
			add_metric_name(out, SATELLITE_PREFIX, f->name);
			buf_printf(out, "{node=\"%s\",satellite=\"%s\"} ", p->nodes[i].id, s->id);
			add_plain(out, f, s);
			buf_add_byte(out, '\n');
		}
}

static void add_metrics(struct buf *out, const struct process_view *p)
{
	static const struct field up = { .name = "up", .help = "1 while the node runs" };
	static const struct field worries = { .name = "worries",
					      .help = "things the operator should look at" };

	add_metric_head(out, &up, NODE_PREFIX);
	for (size_t i = 0; i < p->count; i++) {
		buf_add_str(out, NODE_PREFIX "up{name=");
		text_add_json(out, bytes_str(p->nodes[i].name));
		buf_printf(out, "} %d\n", strcmp(p->nodes[i].state, "running") == 0);
	}
	add_metric_head(out, &worries, NODE_PREFIX);
	for (size_t i = 0; i < p->count; i++) {
		buf_add_str(out, NODE_PREFIX "worries{name=");
		text_add_json(out, bytes_str(p->nodes[i].name));
		buf_printf(out, "} %zu\n", p->nodes[i].worries_count);
	}
	for (size_t i = 0; i < ARRAY_LEN(node_fields); i++)
		if (node_fields[i].kind != TEXT)
			add_node_metric(out, p, &node_fields[i]);
	for (size_t i = 0; i < ARRAY_LEN(satellite_fields); i++)
		if (satellite_fields[i].kind != TEXT)
			add_satellite_metric(out, p, &satellite_fields[i]);
}

enum err node_status_write(const struct process_view *p, enum status_format format, struct buf *out)
{
	switch (format) {
	case STATUS_TEXT:
		add_text(out, p);
		break;
	case STATUS_JSON:
		add_json(out, p);
		break;
	case STATUS_METRICS:
		add_metrics(out, p);
	}
	return buf_status(out);
}
