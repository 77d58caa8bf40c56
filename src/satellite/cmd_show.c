/* acre-satellite nodes, pieces, backup: looks at the database, also while the satellite runs. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "os/clock.h"
#include "satellite/command.h"
#include "satellite/overlay_internal.h"
#include "satellite/piece_list.h"
#include "satellite/store_metainfo.h"

enum { SEGMENTS_SHOWN = 3, KEY_BYTES_SHOWN = 12 };

DEFINE_AUTO_PTR(struct db, db_auto, db_close)
DEFINE_AUTO_PTR(struct node_aliases, aliases_auto, node_aliases_free)

/* ---- nodes ---- */

struct nodes_list {
	struct command *c;
	struct node_row *rows; /* in the call's scratch */
	size_t count, cap;
};

static const char *copy(struct command *c, const char *text)
{
	const char *s = arena_str(&c->call->scratch, bytes_str(text));

	return s ? s : "";
}

static enum err keep_row(struct call *call, void *arg, const struct node_row *row)
{
	struct nodes_list *l = arg;

	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct node_row *rows = arena_array(&call->scratch, cap, sizeof(*rows));
		if (!rows)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		if (l->count)
			memcpy(rows, l->rows, l->count * sizeof(*rows));
		l->rows = rows;
		l->cap = cap;
	}
	struct node_row *kept = &l->rows[l->count++];
	*kept = *row;
	kept->node.address = copy(l->c, row->node.address);
	kept->node.last_ip_port = copy(l->c, row->node.last_ip_port);
	kept->node.last_net = copy(l->c, row->node.last_net);
	kept->node.tags = copy(l->c, row->node.tags);
	kept->version = copy(l->c, row->version);
	return OK;
}

static bool row_online(const struct command *c, const struct node_row *row)
{
	return os_clock_unix_ns() - row->node.last_success_ns < c->o.config.online_window;
}

static void add_tags_json(struct command *c, const char *tags)
{
	const char *separator = "";

	buf_add_str(&c->out, ",\"tags\":[");
	for (const char *end; (end = strchr(tags, '\n')); tags = end + 1, separator = ",") {
		buf_add_str(&c->out, separator);
		text_add_json(&c->out, BYTES(tags, (size_t)(end - tags)));
	}
	buf_add_byte(&c->out, ']');
}

static void add_node_json(struct command *c, const struct node_row *row)
{
	char id[NODE_ID_TEXT_MAX], where[COUNTRY_TEXT_MAX];

	node_id_text(&row->node.id, id);
	buf_printf(&c->out, "{\"id\":\"%s\",\"address\":", id);
	text_add_json(&c->out, bytes_str(row->node.address));
	buf_add_str(&c->out, ",\"last_ip_port\":");
	text_add_json(&c->out, bytes_str(row->node.last_ip_port));
	buf_add_str(&c->out, ",\"version\":");
	text_add_json(&c->out, bytes_str(row->version));
	country_text(row->node.geo.country, where);
	buf_printf(&c->out, ",\"country\":\"%s\",\"continent\":\"%s\"", where,
		   continent_text(row->node.geo.continent));
	add_tags_json(c, row->node.tags);
	buf_printf(&c->out, ",\"online\":%s,\"free_disk\":%lld,\"last_contact\":\"",
		   row_online(c, row) ? "true" : "false", (long long)row->node.free_disk);
	text_add_time(&c->out, row->node.last_success_ns, false);
	buf_add_str(&c->out, "\"}");
}

static void add_node_line(struct command *c, const struct node_row *row)
{
	char id[NODE_ID_TEXT_MAX];
	size_t start = c->out.len;

	node_id_text(&row->node.id, id);
	buf_printf(&c->out, "%s  %-21s  %-7s  ", id, row->node.address,
		   row_online(c, row) ? "online" : "offline");
	text_add_size(&c->out, (uint64_t)MAX(row->node.free_disk, 0));
	buf_add_str(&c->out, " free");
	while (c->out.len - start < 103 && !c->out.failed)
		buf_add_byte(&c->out, ' ');
	buf_add_str(&c->out, "last seen ");
	text_add_time(&c->out, row->node.last_success_ns, false);
	buf_add_byte(&c->out, '\n');
}

enum err command_nodes(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct nodes_list l = { .c = c };

	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(store_nodes_since(c->call, db, 0, keep_row, &l));
	if (c->o.json)
		buf_add_byte(&c->out, '[');
	for (size_t i = 0; i < l.count; i++) {
		if (c->o.json && i)
			buf_add_str(&c->out, ",\n ");
		if (c->o.json)
			add_node_json(c, &l.rows[i]);
		else
			add_node_line(c, &l.rows[i]);
	}
	if (c->o.json)
		buf_add_str(&c->out, "]\n");
	return OK;
}

/* ---- pieces ---- */

struct pieces_query {
	struct command *c;
	struct bytes bucket, key;
	struct stream_uuid stream;
	int64_t plain_size, segment_count;
	struct segment *segments;
	size_t segments_count;
};

#define OBJECT_QUERY                                                                               \
	"SELECT b.name, o.object_key, o.stream_id, o.plain_size, o.segment_count FROM objects o"   \
	" JOIN buckets b ON b.id = o.bucket_id WHERE o.age < 0 AND ($1 = 0 OR b.name = $2)"        \
	" ORDER BY "

static enum err find_object(struct call *call, struct db_tx *tx, void *arg)
{
	struct pieces_query *q = arg;
	struct arena *a = &call->scratch;
	struct db_rows *rows = NULL;
	struct bytes bucket = bytes_str(q->c->o.bucket);

	TRY_PLAIN(DB_QUERY(call, tx,
			   q->c->o.largest ? OBJECT_QUERY "o.plain_size DESC LIMIT 1"
					   : OBJECT_QUERY "o.created_at DESC LIMIT 1",
			   &rows, DB_V_INT(bucket.len != 0), DB_V_BLOB(bucket)));
	enum err e = db_rows_next(call, rows);
	if (!e) {
		q->bucket = arena_bytes(a, db_bytes(rows, 0));
		q->key = arena_bytes(a, db_bytes(rows, 1));
		if (db_bytes(rows, 2).len == STREAM_UUID_BYTES)
			memcpy(q->stream.b, db_bytes(rows, 2).data, STREAM_UUID_BYTES);
		q->plain_size = db_int(rows, 3);
		q->segment_count = db_int(rows, 4);
	}
	db_rows_free(rows);
	if (e == ERR_NOT_FOUND)
		return call_fail(call, ERR_NOT_FOUND, "there is no object yet");
	TRY_PLAIN(e);
	return store_segment_list(call, tx, &q->stream, 0, NULL, true, SEGMENTS_SHOWN, &q->segments,
				  &q->segments_count);
}

static const struct node_row *find_row(const struct nodes_list *l, const struct node_id *id)
{
	for (size_t i = 0; i < l->count; i++)
		if (node_id_equal(&l->rows[i].node.id, id))
			return &l->rows[i];
	return NULL;
}

static void add_piece(struct command *c, const struct nodes_list *l, uint32_t number,
		      const struct node_id *id, bool first)
{
	const struct node_row *row = find_row(l, id);
	const char *address = row ? row->node.address : "?";
	const char *state = row && row_online(c, row) ? "online" : "offline";
	char text[NODE_ID_TEXT_MAX];

	node_id_text(id, text);
	if (c->o.json) {
		buf_printf(&c->out,
			   "%s{\"piece\":%u,\"node\":\"%s\",\"address\":", first ? "" : ",", number,
			   text);
		text_add_json(&c->out, bytes_str(address));
		buf_printf(&c->out, ",\"online\":%s}", state[1] == 'n' ? "true" : "false");
		return;
	}
	buf_printf(&c->out, "    piece %2u  node %.12s...  %-21s  %s\n", number, text, address,
		   state);
}

static void add_segment_head(struct command *c, const struct segment *s, size_t pieces)
{
	int part = position_part(s->position), index = position_index(s->position);

	if (c->o.json) {
		buf_printf(&c->out, "{\"part\":%d,\"index\":%d,\"size\":%lld,\"pieces\":[", part,
			   index, (long long)s->plain_size);
		return;
	}
	if (part)
		buf_printf(&c->out, "  part %d, segment %d", part, index);
	else
		buf_printf(&c->out, "  segment %d", index);
	if (s->is_inline)
		buf_printf(&c->out, ": %lld bytes, kept in the database\n",
			   (long long)s->plain_size);
	else
		buf_printf(&c->out, ": %lld bytes; any %u of these %zu pieces give it back\n",
			   (long long)s->plain_size, s->redundancy.required, pieces);
}

static enum err add_segment(struct command *c, struct db *db, struct node_aliases *aliases,
			    const struct nodes_list *l, const struct segment *s)
{
	struct piece pieces[PIECE_LIST_MAX];
	struct node_id ids[PIECE_LIST_MAX];
	size_t count = 0;

	if (!s->is_inline) {
		TRY_PLAIN(piece_list_decode(c->call, s->pieces, pieces, &count));
		TRY_PLAIN(node_aliases_find(c->call, db, aliases, pieces, count, ids));
	}
	add_segment_head(c, s, count);
	for (size_t i = 0; i < count; i++)
		add_piece(c, l, pieces[i].number, &ids[i], i == 0);
	if (c->o.json)
		buf_add_str(&c->out, "]}");
	return OK;
}

static void add_object(struct command *c, const struct pieces_query *q)
{
	struct bytes key = BYTES(q->key.data, MIN(q->key.len, (size_t)KEY_BYTES_SHOWN));

	if (c->o.json) {
		buf_add_str(&c->out, "{\"bucket\":");
		text_add_json(&c->out, q->bucket);
		buf_add_str(&c->out, ",\"encrypted_key\":\"");
		text_hex(&c->out, q->key);
		buf_printf(&c->out, "\",\"size\":%lld,\"segments\":[", (long long)q->plain_size);
		return;
	}
	buf_add_str(&c->out, "bucket ");
	buf_add_bytes(&c->out, q->bucket);
	buf_add_str(&c->out, ", object with the encrypted name ");
	text_hex(&c->out, key);
	buf_printf(&c->out, "%s: ", key.len < q->key.len ? "..." : "");
	text_add_size(&c->out, (uint64_t)MAX(q->plain_size, 0));
	buf_printf(&c->out, " in %lld segment%s\n", (long long)q->segment_count,
		   q->segment_count == 1 ? "" : "s");
}

enum err command_pieces(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	AUTO(aliases_auto) struct node_aliases *aliases = node_aliases_new();
	struct nodes_list l = { .c = c };
	struct pieces_query q = { .c = c };

	if (!aliases)
		return call_fail(c->call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(db_read(c->call, db, find_object, &q));
	TRY_PLAIN(store_nodes_since(c->call, db, 0, keep_row, &l));
	add_object(c, &q);
	for (size_t i = 0; i < q.segments_count; i++) {
		if (c->o.json && i)
			buf_add_byte(&c->out, ',');
		TRY_PLAIN(add_segment(c, db, aliases, &l, &q.segments[i]));
	}
	if (c->o.json)
		buf_add_str(&c->out, "]}\n");
	else if (q.segment_count > (int64_t)q.segments_count)
		buf_printf(&c->out, "  and %lld more segments, each on nodes of its own choice\n",
			   (long long)(q.segment_count - (int64_t)q.segments_count));
	return OK;
}

/* ---- backup ---- */

enum err command_backup(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;

	if (c->args_count != 1)
		return call_fail(c->call, ERR_CONFIG,
				 "say where the copy goes: acre-satellite backup --dir DIR FILE");
	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(db_backup(c->call, db, c->args[0]));
	buf_printf(&c->out,
		   "The database is copied to %s.  To bring the satellite back you also need "
		   "identity.cert, "
		   "identity.key and config of %s.\n",
		   c->args[0], c->o.dir);
	return OK;
}
