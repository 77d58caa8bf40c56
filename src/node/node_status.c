/* Writing and printing the status of a node. */
#include "node/node_status.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "node/node_internal.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"
#include "os/process.h"

enum { STATUS_MAX = 64 << 10 };

/* ---- writing ---- */

static void add_u64(struct buf *b, const char *name, uint64_t v)
{
	buf_printf(b, "%s %llu\n", name, (unsigned long long)v);
}

static void add_satellites(struct buf *b, struct node *n)
{
	for (size_t i = 0; i < trust_count(n->trust); i++) {
		struct check_in *c = &n->check_ins[i];
		char id[NODE_ID_TEXT_MAX];
		node_id_text(trust_id(n->trust, i), id);
		OS_LOCKED(&n->lock);
		buf_printf(b, "satellite %s %s %lld %s ", id, trust_address(n->trust, i),
			   (long long)(c->last_unix_ns / NS_PER_SEC),
			   c->ok	     ? "ok"
			   : c->last_unix_ns ? "failed"
					     : "pending");
		for (const char *p = c->error; *p; p++)
			/* Partly the satellite's words, and shown on a terminal. */
			buf_add_byte(b, (uint8_t)*p < ' ' || *p == 0x7f ? ' ' : (uint8_t)*p);
		buf_add_byte(b, '\n');
	}
}

static void add_status(struct buf *b, struct node *n, const struct piece_space *space)
{
	const struct node_counters *c = &n->counters;
	char id[NODE_ID_TEXT_MAX];

	node_id_text(identity_node_id(n->identity), id);
	buf_printf(b, "node %s\naddress %s\n", id, node_address(n));
	buf_printf(b, "external-address %s\n",
		   n->config.external_address[0] ? n->config.external_address : node_address(n));
	buf_printf(b, "storage %s\n", n->config.storage);
	add_u64(b, "pid", (uint64_t)os_pid());
	add_u64(b, "process-start", os_process_start_time(os_pid()));
	add_u64(b, "started", (uint64_t)(n->started_unix_ns / NS_PER_SEC));
	add_u64(b, "pieces", space->pieces);
	add_u64(b, "allocated", n->config.space);
	add_u64(b, "used", space->used);
	add_u64(b, "live", space->live);
	add_u64(b, "dead", space->dead);
	add_u64(b, "reserved", space->reserved);
	add_u64(b, "trash", space->trash);
	add_u64(b, "damaged", space->damaged);
	add_u64(b, "available", space->available);
	add_u64(b, "uploads", c->uploads);
	add_u64(b, "uploads-failed", c->uploads_failed);
	add_u64(b, "upload-bytes", c->upload_bytes);
	add_u64(b, "downloads", c->downloads);
	add_u64(b, "downloads-failed", c->downloads_failed);
	add_u64(b, "download-bytes", c->download_bytes);
	add_satellites(b, n);
}

void node_status_write(struct node *n)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf text = BUF_INIT(STATUS_MAX);
	struct piece_space space;

	call_init(&call);
	if (piece_store_space(&call, n->store, &space))
		return;
	/* An idle disk's free space moves all the time because of others; only what is asked for
	 * by hand needs it, in whole megabytes. */
	space.available -= space.available % MIB;
	add_status(&text, n, &space);
	if (bytes_equal(buf_bytes(&text), buf_bytes(&n->status_written)))
		return;
	enum err e = os_file_write_all(&call, os_path_join(&call, n->dir, "status"),
				       buf_bytes(&text), false);
	if (e) {
		log_debug("status not written", F_STR("why", call_error(&call, e)));
		return;
	}
	buf_clear(&n->status_written);
	buf_add_bytes(&n->status_written, buf_bytes(&text));
}

/* ---- printing ---- */

static struct bytes take_until(struct bytes *text, uint8_t end)
{
	const uint8_t *p = text->len ? memchr(text->data, end, text->len) : NULL;
	struct bytes part = BYTES(text->data, p ? (size_t)(p - text->data) : text->len);

	*text = bytes_from(*text, part.len + 1);
	return part;
}

static struct bytes find_value(struct bytes text, const char *name)
{
	while (text.len) {
		struct bytes line = take_until(&text, '\n');
		if (bytes_equal(take_until(&line, ' '), bytes_str(name)))
			return line;
	}
	return BYTES_NONE;
}

static uint64_t find_number(struct bytes text, const char *name)
{
	uint64_t v = 0;

	return text_u64(find_value(text, name), UINT64_MAX, &v) ? 0 : v;
}

static bool is_running(struct bytes text)
{
	uint64_t pid = find_number(text, "pid"), start = find_number(text, "process-start");

	return pid > 1 && pid <= INT32_MAX && start && os_process_start_time((int)pid) == start;
}

static const struct {
	const char *name;
	enum { TEXT, NUMBER, SIZE, MOMENT } kind;
	const char *label;
} fields[] = {
	{ "node", TEXT, "node" },
	{ "address", TEXT, "listens on" },
	{ "external-address", TEXT, "known as" },
	{ "storage", TEXT, "storage" },
	{ "pid", NUMBER, "process" },
	{ "started", MOMENT, "started" },
	{ "pieces", NUMBER, "pieces" },
	{ "allocated", SIZE, "space set" },
	{ "used", SIZE, "used" },
	{ "live", SIZE, "  by pieces" },
	{ "trash", SIZE, "  in the trash" },
	{ "dead", SIZE, "  to be freed" },
	{ "damaged", NUMBER, "damaged pieces" },
	{ "reserved", SIZE, "promised" },
	{ "available", SIZE, "available" },
	{ "uploads", NUMBER, "uploads" },
	{ "uploads-failed", NUMBER, "  ended early" },
	{ "upload-bytes", SIZE, "  received" },
	{ "downloads", NUMBER, "downloads" },
	{ "downloads-failed", NUMBER, "  failed" },
	{ "download-bytes", SIZE, "  sent" },
};

static void add_moment(struct buf *out, struct bytes value)
{
	uint64_t seconds = 0;

	if (text_u64(value, UINT32_MAX, &seconds) || !seconds)
		buf_add_str(out, "never");
	else
		text_add_time(out, (int64_t)seconds * NS_PER_SEC, false);
}

static void add_for_people(struct buf *out, struct bytes text)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		struct bytes v = find_value(text, fields[i].name);
		buf_printf(out, "%-14s ", fields[i].label);
		if (fields[i].kind == SIZE)
			text_add_size(out, find_number(text, fields[i].name));
		else if (fields[i].kind == MOMENT)
			add_moment(out, v);
		else
			buf_add_bytes(out, v);
		buf_add_byte(out, '\n');
	}
	while (text.len) {
		struct bytes line = take_until(&text, '\n');
		if (!bytes_equal(take_until(&line, ' '), bytes_str("satellite")))
			continue;
		take_until(&line, ' ');
		struct bytes address = take_until(&line, ' '), last = take_until(&line, ' ');
		struct bytes state = take_until(&line, ' ');
		buf_printf(out, "%-14s %.*s: check-in %.*s, last tried ", "satellite",
			   (int)address.len, (const char *)address.data, (int)state.len,
			   (const char *)state.data);
		add_moment(out, last);
		if (line.len)
			buf_printf(out, "\n%-14s   %.*s", "", (int)line.len,
				   (const char *)line.data);
		buf_add_byte(out, '\n');
	}
}

static void add_name(struct buf *out, const char *name)
{
	buf_add_str(out, "  ");
	text_add_json(out, bytes_str(name));
	buf_add_str(out, ": ");
}

static void add_json(struct buf *out, struct bytes text, bool running)
{
	const char *comma = "";

	buf_printf(out, "{\n  \"running\": %s,\n", running ? "true" : "false");
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		add_name(out, fields[i].name);
		if (fields[i].kind == TEXT)
			text_add_json(out, find_value(text, fields[i].name));
		else
			buf_printf(out, "%llu",
				   (unsigned long long)find_number(text, fields[i].name));
		buf_add_str(out, ",\n");
	}
	buf_add_str(out, "  \"satellites\": [");
	while (text.len) {
		struct bytes line = take_until(&text, '\n');
		if (!bytes_equal(take_until(&line, ' '), bytes_str("satellite")))
			continue;
		struct bytes id = take_until(&line, ' '), address = take_until(&line, ' ');
		struct bytes last = take_until(&line, ' '), state = take_until(&line, ' ');
		buf_printf(out, "%s\n    {\"id\": ", comma);
		text_add_json(out, id);
		buf_add_str(out, ", \"address\": ");
		text_add_json(out, address);
		buf_printf(out, ", \"last\": %.*s, \"state\": ", (int)last.len,
			   (const char *)last.data);
		text_add_json(out, state);
		buf_add_str(out, ", \"error\": ");
		text_add_json(out, line);
		buf_add_str(out, "}");
		comma = ",";
	}
	buf_add_str(out, "\n  ]\n}\n");
}

enum err node_status_print(struct call *call, const char *dir, bool json, struct buf *out)
{
	AUTO_BUF struct buf file = BUF_INIT(STATUS_MAX);
	struct os_stat st;

	if (os_stat(call, os_path_join(call, dir, "config"), &st))
		return call_fail(call, ERR_NOT_FOUND,
				 "no node in %s (\"acre-node setup --dir %s\" makes one)", dir,
				 dir);
	enum err e = os_file_read_all(call, os_path_join(call, dir, "status"), &file);
	if (e && e != ERR_NOT_FOUND)
		return e;
	call_clear_error(call);
	bool running = is_running(buf_bytes(&file));
	if (json) {
		add_json(out, buf_bytes(&file), running);
	} else if (!file.len) {
		buf_add_str(out, "the node has never run\n");
	} else {
		buf_add_str(out, running ? "the node runs\n"
					 : "the node does not run; this is how it was:\n");
		add_for_people(out, buf_bytes(&file));
	}
	return buf_status(out);
}
