/* acre-satellite check and restore: whether the books are right; the books from a copy. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/file.h"
#include "satellite/check.h"
#include "satellite/command.h"

DEFINE_AUTO_PTR(struct db, db_auto, db_close)
DEFINE_AUTO_PTR(struct os_file, file_auto, os_file_close)

void command_add_report(struct command *c, const struct check_report *r)
{
	struct buf *out = &c->out;

	if (c->o.json) {
		buf_printf(out,
			   "{\"broken\":%llu,\"buckets\":%llu,\"objects\":%llu,\"segments\":%llu,"
			   "\"limits\":%llu,\"findings\":[",
			   (unsigned long long)r->broken, (unsigned long long)r->buckets,
			   (unsigned long long)r->objects, (unsigned long long)r->segments,
			   (unsigned long long)r->limits);
		for (size_t i = 0; i < r->count; i++) {
			buf_add_str(out, i ? ",\n {\"invariant\":" : "{\"invariant\":");
			text_add_json(out, bytes_str(r->findings[i].name));
			buf_printf(out, ",\"broken\":%llu,\"first\":",
				   (unsigned long long)r->findings[i].count);
			text_add_json(out, bytes_str(r->findings[i].example));
			buf_add_byte(out, '}');
		}
		buf_add_str(out, "]}\n");
		return;
	}
	for (size_t i = 0; i < r->count; i++) {
		const struct check_finding *f = &r->findings[i];
		if (f->count)
			buf_printf(out, "BROKEN  %s: %llu times, first %s\n", f->name,
				   (unsigned long long)f->count, f->example);
		else
			buf_printf(out, "ok      %s\n", f->name);
	}
	buf_printf(out, "%llu buckets, %llu objects, %llu segments, %llu limits\n",
		   (unsigned long long)r->buckets, (unsigned long long)r->objects,
		   (unsigned long long)r->segments, (unsigned long long)r->limits);
}

static enum err check_database(struct command *c, struct db *db)
{
	struct check_report r;

	TRY_PLAIN(satellite_check(c->call, db, &r));
	command_add_report(c, &r);
	if (!r.broken)
		return OK;
	TRY_PLAIN(command_flush(c));
	return call_fail(c->call, ERR_DATA_LOSS,
			 "the database has %llu errors; keep a copy of it as it is before anything "
			 "else",
			 (unsigned long long)r.broken);
}

enum err command_check(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;

	TRY_PLAIN(command_database(c, &db));
	return check_database(c, db);
}

/* ---- restore ---- */

static enum err remove_if_there(struct call *call, const char *path)
{
	enum err e = os_unlink(call, path);

	if (e == ERR_NOT_FOUND) {
		call_clear_error(call);
		return OK;
	}
	return e;
}

/* The copy under a name of its own in the satellite's directory, brought up to this version and
 * checked there. */
static enum err take_copy(struct command *c, const char *from, const char *part)
{
	AUTO(db_auto) struct db *source = NULL;
	AUTO(db_auto) struct db *copy = NULL;
	struct os_stat st;

	/* Opening it would make an empty one. */
	if (os_stat(c->call, from, &st))
		return call_fail(c->call, ERR_NOT_FOUND, "%s does not exist", from);
	TRY_PLAIN(remove_if_there(c->call, part));
	TRY_PLAIN(db_open(c->call, from, &source));
	TRY_PLAIN(db_backup(c->call, source, part));
	TRY_PLAIN(db_open(c->call, part, &copy));
	TRY_PLAIN(db_migrate(c->call, copy, satellite_migrations, satellite_migrations_count));
	return check_database(c, copy);
}

/* What was there before stays beside it, log and all. */
static enum err put_aside(struct command *c, const char *path, const char *aside)
{
	static const char *const ends[] = { "-shm", "-wal", "" };

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		const char *from = arena_printf(&c->call->scratch, "%s%s", path, ends[i]);
		const char *to = arena_printf(&c->call->scratch, "%s%s", aside, ends[i]);
		if (!from || !to)
			return call_fail(c->call, ERR_NO_MEMORY, "out of memory");
		enum err e = os_rename(c->call, from, to);
		if (e && e != ERR_NOT_FOUND)
			return e;
		if (!e && !ends[i][0])
			buf_printf(&c->out, "What was there before is %s now.\n", to);
		call_clear_error(c->call);
	}
	return OK;
}

/* Folds the log of what is there into it, if it can still be opened. */
static void fold_log(const char *url)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct db *db = NULL;

	call_init(&own);
	if (db_open(&own, url, &db))
		return; /* damaged: moved aside as it is */
	db_close(db);
}

enum err command_restore(struct command *c)
{
	AUTO(file_auto) struct os_file *lock = NULL;
	struct arena *a = &c->call->scratch;

	if (c->args_count != 1)
		return call_fail(
			c->call, ERR_CONFIG,
			"say from which copy: acre-satellite restore --dir DIR FILE (one that "
			"acre-satellite backup made)");
	TRY_PLAIN(command_config(c));
	const char *url = c->o.config.database;
	if (strncmp(url, "sqlite:", 7) != 0)
		return call_fail(c->call, ERR_UNIMPLEMENTED,
				 "%s is not a file: use PostgreSQL's own tools (pg_dump, "
				 "pg_restore), then acre-satellite check",
				 "this satellite's database");
	const char *path = url + 7;
	const char *part = arena_printf(a, "%s.restoring", path);
	const char *aside = arena_printf(a, "%s.before-%lld", path,
					 (long long)(os_clock_unix_ns() / NS_PER_SEC));
	if (!part || !aside)
		return call_fail(c->call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(command_lock_dir(c, &lock));
	enum err e = take_copy(c, c->args[0], part);
	if (e) {
		AUTO_CALL struct call own = CALL_INIT;
		call_init(&own);
		enum err ignored = remove_if_there(&own, part);
		(void)ignored; /* what went wrong first is what counts */
		return e;
	}
	fold_log(url);
	TRY_PLAIN(put_aside(c, path, aside));
	TRY_PLAIN(os_rename(c->call, part, path));
	TRY_PLAIN(os_dir_sync(c->call, os_path_dir(c->call, path)));
	buf_printf(&c->out, "The database is restored from %s.\n", c->args[0]);
	return OK;
}
