/* Table placements. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "db/db.h"
#include "satellite/placement.h"

static enum err read_all(struct call *call, struct db_tx *tx, void *arg)
{
	struct placement_set *set = arg;
	struct db_rows *rows = NULL;
	enum err e;

	set->count = 0;
	TRY_PLAIN(DB_QUERY(
		call, tx,
		"SELECT number, name, countries FROM placements WHERE number > 0 ORDER BY number",
		&rows));
	while (!(e = db_rows_next(call, rows))) {
		e = set->count == PLACEMENTS_MAX
			    ? call_fail(call, ERR_EXHAUSTED, "more than %d", PLACEMENTS_MAX)
			    : placement_parse(call, db_int(rows, 0), db_bytes(rows, 1),
					      db_bytes(rows, 2), &set->list[set->count]);
		if (e)
			break;
		set->count++;
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err store_placements(struct call *call, struct db *db, struct placement_set **ret)
{
	AUTO_FREE struct placement_set *set =
		calloc(1, sizeof(*set) + PLACEMENTS_MAX * sizeof(set->list[0]));

	if (!set)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY(db_read(call, db, read_all, set), "read the placements");
	struct placement_set *fit = realloc(set, sizeof(*set) + set->count * sizeof(set->list[0]));
	if (fit)
		set = fit;
	*ret = take(&set);
	return OK;
}

/* The one number a statement gives; 0 when there is none. */
static enum err number_of(struct call *call, struct db_rows *rows, int64_t *ret)
{
	enum err e = db_rows_next(call, rows);

	*ret = e ? 0 : db_int(rows, 0);
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err write_one(struct call *call, struct db_tx *tx, void *arg)
{
	const struct placement *p = arg;
	struct db_rows *rows = NULL;
	int64_t other = 0, count = 0;

	TRY_PLAIN(DB_QUERY(call, tx, "SELECT number FROM placements WHERE name = $1", &rows,
			   DB_V_TEXT(bytes_str(p->name))));
	TRY_PLAIN(number_of(call, rows, &other));
	if (other && other != p->number)
		return call_fail(call, ERR_EXISTS, "placement %lld has the name \"%s\" already",
				 (long long)other, p->name);
	TRY_PLAIN(DB_QUERY(call, tx, "SELECT COUNT(*) FROM placements WHERE number <> $1", &rows,
			   DB_V_INT(p->number)));
	TRY_PLAIN(number_of(call, rows, &count));
	if (count >= PLACEMENTS_MAX)
		return call_fail(call, ERR_EXHAUSTED, "there are %d placements already",
				 PLACEMENTS_MAX);
	return DB_EXEC(call, tx,
		       "INSERT INTO placements (number, name, countries) VALUES ($1, $2, $3) ON "
		       "CONFLICT (number) DO UPDATE SET name = excluded.name, countries = "
		       "excluded.countries",
		       NULL, DB_V_INT(p->number), DB_V_TEXT(bytes_str(p->name)),
		       DB_V_TEXT(bytes_str(p->countries_text)));
}

enum err store_placement_set(struct call *call, struct db *db, const struct placement *p)
{
	return db_write(call, db, write_one, (void *)(uintptr_t)p);
}

static enum err remove_one(struct call *call, struct db_tx *tx, void *arg)
{
	int64_t number = *(const int32_t *)arg, users = 0, removed = 0;
	struct db_rows *rows = NULL;

	/* Segments have the number of their bucket, which changes only while it is empty. */
	TRY_PLAIN(DB_QUERY(call, tx,
			   "SELECT (SELECT COUNT(*) FROM buckets WHERE placement = $1) + (SELECT "
			   "COUNT(*) FROM projects WHERE placement = $1)",
			   &rows, DB_V_INT(number)));
	TRY_PLAIN(number_of(call, rows, &users));
	if (users)
		return call_fail(call, ERR_PRECONDITION,
				 "placement %lld is that of %lld buckets or projects",
				 (long long)number, (long long)users);
	TRY_PLAIN(DB_EXEC(call, tx, "DELETE FROM placements WHERE number = $1", &removed,
			  DB_V_INT(number)));
	return removed ? OK
		       : call_fail(call, ERR_NOT_FOUND, "there is no placement %lld",
				   (long long)number);
}

enum err store_placement_remove(struct call *call, struct db *db, int32_t number)
{
	return db_write(call, db, remove_one, &number);
}

enum err store_placement_check(struct call *call, struct db_tx *tx, int64_t number)
{
	struct db_rows *rows = NULL;
	int64_t there = 0;

	if (!number)
		return OK;
	TRY_PLAIN(DB_QUERY(call, tx, "SELECT number FROM placements WHERE number = $1", &rows,
			   DB_V_INT(number)));
	TRY_PLAIN(number_of(call, rows, &there));
	return there ? OK
		     : call_fail(call, ERR_NOT_FOUND,
				 "there is no placement %lld (see acre-satellite placement list)",
				 (long long)number);
}
