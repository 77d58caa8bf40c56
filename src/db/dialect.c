/* One SQL text for two databases: what PostgreSQL calls otherwise (DESIGN 4.6). */
#include <ctype.h>

#include "base/cleanup.h"
#include "db/db_internal.h"

static const struct {
	const char *from, *to;
} words[] = {
	{ "BLOB", "BYTEA" },
	{ "INTEGER", "BIGINT" },
	{ "WITHOUT ROWID", "" },
};

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$';
}

/* Bytes of a quoted text, quoted name or comment that begins at p; 0 when none does. */
static size_t quoted(const char *p)
{
	const char *end;

	if (*p == '\'' || *p == '"') {
		/* A doubled quote ends one and begins the next. */
		end = strchr(p + 1, *p);
		return end ? (size_t)(end - p) + 1 : strlen(p);
	}
	if (p[0] == '-' && p[1] == '-') {
		end = strchr(p, '\n');
		return end ? (size_t)(end - p) : strlen(p);
	}
	return 0;
}

static const char *replacement(const char *p, size_t *ret_len)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i].from);
		if (strncmp(p, words[i].from, n) == 0 && !is_word(p[n])) {
			*ret_len = n;
			return words[i].to;
		}
	}
	return NULL;
}

void db_rewrite_postgres(struct buf *out, const char *sql)
{
	const char *p = sql;

	while (*p) {
		size_t n = quoted(p);
		if (n == 0 && is_word(*p)) {
			const char *other = replacement(p, &n);
			if (other) {
				buf_add_str(out, other);
				p += n;
				continue;
			}
			while (is_word(p[n]))
				n++;
		}
		if (n == 0)
			n = 1;
		buf_add(out, p, n);
		p += n;
	}
}
