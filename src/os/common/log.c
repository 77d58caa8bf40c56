/* Log lines. */
#include "os/log.h"

#include <stdatomic.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/process.h"

enum { LOG_LINE_MAX = 4096 };

static _Atomic int current_level = LOG_NONE;
static const char *const level_names[] = { "debug", "info", "warn", "error", "none" };

void log_set_level(enum log_level level)
{
	current_level = (int)level;
}

bool log_enabled(enum log_level level)
{
	return (int)level >= current_level;
}

enum err log_parse_level(const char *text, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
		if (strcmp(text, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return OK;
		}
	return ERR_FORMAT;
}

/* Quotes text that has spaces or control bytes, so that a line stays a line. */
static void add_text(struct buf *b, const char *text)
{
	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p == '"' || *p == '=' || *p == 0x7f) {
			text_add_json(b, bytes_str(text));
			return;
		}
	buf_add_str(b, text[0] ? text : "\"\"");
}

static void add_field(struct buf *b, const struct log_field *f)
{
	buf_printf(b, " %s=", f->key);
	switch (f->kind) {
	case LOG_F_STR:
		add_text(b, f->str ? f->str : "-");
		break;
	case LOG_F_I64:
		buf_printf(b, "%lld", (long long)f->i64);
		break;
	case LOG_F_U64:
		buf_printf(b, "%llu", (unsigned long long)f->u64);
		break;
	case LOG_F_HEX:
		text_hex(b, f->bytes);
		break;
	case LOG_F_NS:
		buf_printf(b, "%.1fms", (double)f->i64 / NS_PER_MS);
		break;
	case LOG_F_END:
		break;
	}
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
	AUTO_BUF struct buf line = BUF_INIT(LOG_LINE_MAX);

	text_add_time(&line, os_clock_unix_ns(), true);
	buf_printf(&line, " %-5s ", level_names[level]);
	buf_add_str(&line, message);
	for (; fields->kind != LOG_F_END; fields++)
		add_field(&line, fields);
	line.failed = false;
	if (line.len == LOG_LINE_MAX)
		line.len--;
	buf_add_byte(&line, '\n');
	os_stderr_line(buf_bytes(&line));
}
