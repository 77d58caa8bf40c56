/* What commands print, and how the library's errors become outcomes. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"

enum err cli_error(struct cli *cli, UplinkError *error)
{
	enum err e = ERR_INTERNAL;

	if (!error)
		return OK;
	switch (error->code) {
	case UPLINK_ERROR_CANCELED:
		e = ERR_CANCELED;
		break;
	case UPLINK_ERROR_TOO_MANY_REQUESTS:
	case UPLINK_ERROR_BANDWIDTH_LIMIT_EXCEEDED:
	case UPLINK_ERROR_STORAGE_LIMIT_EXCEEDED:
	case UPLINK_ERROR_SEGMENTS_LIMIT_EXCEEDED:
		e = ERR_EXHAUSTED;
		break;
	case UPLINK_ERROR_PERMISSION_DENIED:
		e = ERR_PERMISSION;
		break;
	case UPLINK_ERROR_BUCKET_NAME_INVALID:
	case UPLINK_ERROR_OBJECT_KEY_INVALID:
		e = ERR_INVALID;
		break;
	case UPLINK_ERROR_BUCKET_ALREADY_EXISTS:
		e = ERR_EXISTS;
		break;
	case UPLINK_ERROR_BUCKET_NOT_EMPTY:
		e = ERR_PRECONDITION;
		break;
	case UPLINK_ERROR_BUCKET_NOT_FOUND:
	case UPLINK_ERROR_OBJECT_NOT_FOUND:
		e = ERR_NOT_FOUND;
		break;
	default:
		break;
	}
	call_fail(&cli->call, e, "%s", error->message ? error->message : err_text(e));
	/* The library has one code for all that went wrong on the way; its text says which. */
	if (e == ERR_INTERNAL && strstr(cli->call.error, "cannot connect"))
		e = ERR_CONNECT;
	uplink_free_error(error);
	return e;
}

enum err cli_flush(struct cli *cli)
{
	if (cli->out.failed)
		return call_fail(&cli->call, ERR_NO_MEMORY, "the output is too long");
	enum err e = OK;
	if (cli->out.len)
		e = os_file_write(&cli->call, os_stdout(), buf_bytes(&cli->out));
	buf_clear(&cli->out);
	return e;
}

void cli_note(const char *fmt, ...)
{
	AUTO_BUF struct buf line = BUF_INIT(16 << 10);
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&line, fmt, ap);
	va_end(ap);
	buf_add_byte(&line, '\n');
	os_stderr_line(buf_bytes(&line));
}

void cli_add_safe(struct buf *out, const char *text)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			buf_printf(out, "\\x%02x", (unsigned char)*p);
		else
			buf_add_byte(out, (uint8_t)*p);
}

void cli_add_json_key(struct buf *out, const char *name, const char *text)
{
	size_t start = out->len;

	buf_printf(out, "\"%s\":", name);
	text_add_json(out, bytes_str(text));
	/* Replacement characters that were not in the text itself mean lost bytes. */
	if (!out->failed && memmem(out->data + start, out->len - start, "\\ufffd", 6)) {
		buf_printf(out, ",\"%s_base64\":\"", name);
		text_base64(out, bytes_str(text));
		buf_add_byte(out, '"');
	}
}

void cli_add_json_metadata(struct buf *out, const UplinkCustomMetadata *custom)
{
	buf_add_byte(out, '{');
	for (size_t i = 0; i < custom->count; i++) {
		const UplinkCustomMetadataEntry *m = &custom->entries[i];
		if (i)
			buf_add_byte(out, ',');
		text_add_json(out, BYTES(m->key, m->key_length));
		buf_add_byte(out, ':');
		text_add_json(out, BYTES(m->value, m->value_length));
	}
	buf_add_byte(out, '}');
}

void cli_add_time(struct buf *out, int64_t unix_seconds)
{
	if (unix_seconds)
		text_add_time(out, unix_seconds * NS_PER_SEC, false);
	else
		buf_add_byte(out, '-');
}

enum err cli_parse_time(struct cli *cli, const char *what, const char *text, int64_t *ret)
{
	int64_t ns, now = os_clock_unix_ns();
	struct bytes v = bytes_str(text);

	if (strcmp(text, "none") == 0) {
		*ret = 0;
		return OK;
	}
	if (strcmp(text, "now") == 0) {
		*ret = now / NS_PER_SEC;
		return OK;
	}
	if (v.len > 1 && (text[0] == '+' || text[0] == '-') &&
	    text_duration(bytes_from(v, 1), &ns) == OK && ns < INT64_MAX / 4) {
		*ret = (now + (text[0] == '+' ? ns : -ns)) / NS_PER_SEC;
		return OK;
	}
	if (text_time(v, &ns) == OK) {
		*ret = ns / NS_PER_SEC;
		return OK;
	}
	return call_fail(&cli->call, ERR_CONFIG,
			 "%s: \"%s\" is no time (want +2h, now, none, or 2027-01-31T12:00:00Z)",
			 what, text);
}
