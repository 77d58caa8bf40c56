/* Lines that ask: parsing and writing them. */
#include "base/text.h"
#include "node/control.h"

static const char *const names[] = {
	[CONTROL_STATUS] = "status",   [CONTROL_RELOAD] = "reload",
	[CONTROL_RESTART] = "restart", [CONTROL_MAINTENANCE] = "maintenance",
	[CONTROL_STOP] = "stop",
};
static const char *const formats[] = {
	[STATUS_TEXT] = "text",
	[STATUS_JSON] = "json",
	[STATUS_METRICS] = "metrics",
};

static struct bytes take_word(struct bytes *line)
{
	while (line->len && line->data[0] == ' ')
		*line = bytes_from(*line, 1);
	size_t n = 0;
	while (n < line->len && line->data[n] != ' ')
		n++;
	struct bytes word = BYTES(line->data, n);
	*line = bytes_from(*line, n);
	return word;
}

static int find(struct bytes word, const char *const list[], size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bytes_equal(word, bytes_str(list[i])))
			return (int)i;
	return -1;
}

static enum err parse_maintenance(struct call *call, struct bytes *line, struct control_request *r)
{
	struct bytes what = take_word(line), how_long = take_word(line);

	r->on = bytes_equal(what, bytes_str("on"));
	if (!r->on && !bytes_equal(what, bytes_str("off")))
		return call_fail(call, ERR_FORMAT, "want \"maintenance on|off DURATION [NODE]\"");
	r->ns = INT64_MAX;
	if (bytes_equal(how_long, bytes_str("-")))
		return OK;
	if (text_duration(how_long, &r->ns))
		return call_fail(call, ERR_FORMAT,
				 "want a duration as 90s, 30m or 2h, or - for no end");
	return OK;
}

enum err control_parse(struct call *call, struct bytes line, struct control_request *ret)
{
	struct control_request r = { 0 };

	for (size_t i = 0; i < line.len; i++)
		if (line.data[i] < ' ' || line.data[i] == 0x7f)
			return call_fail(call, ERR_FORMAT, "a line with control characters");
	if (!bytes_has_prefix(line, bytes_str(CONTROL_HELLO)))
		return call_fail(call, ERR_FORMAT,
				 "this program speaks \"" CONTROL_HELLO "\" only: use the "
				 "acre-node of the same release");
	line = bytes_from(line, strlen(CONTROL_HELLO));
	int command = find(take_word(&line), names, sizeof(names) / sizeof(names[0]));
	if (command < 0)
		return call_fail(call, ERR_FORMAT, "unknown command");
	r.command = (enum control_command)command;
	if (r.command == CONTROL_STATUS) {
		int format = find(take_word(&line), formats, sizeof(formats) / sizeof(formats[0]));
		if (format < 0)
			return call_fail(call, ERR_FORMAT,
					 "want \"status text|json|metrics [NODE]\"");
		r.format = (enum status_format)format;
	}
	if (r.command == CONTROL_MAINTENANCE)
		TRY_PLAIN(parse_maintenance(call, &line, &r));
	r.node = take_word(&line);
	if (take_word(&line).len)
		return call_fail(call, ERR_FORMAT, "more words than the command takes");
	if (r.command == CONTROL_RESTART && !r.node.len)
		return call_fail(call, ERR_FORMAT, "want \"restart NODE\"");
	if (r.node.len && (r.command == CONTROL_RELOAD || r.command == CONTROL_STOP))
		return call_fail(call, ERR_FORMAT, "%s is of all nodes", names[r.command]);
	*ret = r;
	return OK;
}

void control_add(struct buf *out, const struct control_request *r)
{
	buf_add_str(out, CONTROL_HELLO);
	buf_add_str(out, names[r->command]);
	if (r->command == CONTROL_STATUS)
		buf_printf(out, " %s", formats[r->format]);
	if (r->command == CONTROL_MAINTENANCE) {
		buf_add_str(out, r->on ? " on " : " off ");
		if (r->ns == INT64_MAX)
			buf_add_byte(out, '-');
		else
			buf_printf(out, "%lldms", (long long)(r->ns / 1000000));
	}
	if (r->node.len) {
		buf_add_byte(out, ' ');
		buf_add_bytes(out, r->node);
	}
	buf_add_byte(out, '\n');
}
