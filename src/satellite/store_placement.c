/* Table placements. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "db/db.h"
#include "satellite/placement.h"

static enum err read_one(struct call *call, const struct db_rows *rows, struct placement *ret)
{
	TRY_PLAIN(
		placement_parse(call, db_int(rows, 0), db_bytes(rows, 1), db_bytes(rows, 2), ret));
	ret->shared_networks = db_int(rows, 4) != 0;
	TRY_PLAIN(placement_take_tags(call, db_bytes(rows, 3), ret));
	TRY_PLAIN(placement_take_continents(call, db_bytes(rows, 5), ret));
	TRY_PLAIN(placement_take_operators(call, db_bytes(rows, 6), ret));
	return placement_take_prices(
		call, &(const struct prices){ db_int(rows, 7), db_int(rows, 8) }, ret);
}

static enum err read_all(struct call *call, struct db_tx *tx, void *arg)
{
	struct placement_set *set = arg;
	struct db_rows *rows = NULL;
	enum err e;

	set->count = 0;
	TRY_PLAIN(DB_QUERY(
		call, tx,
		"SELECT number, name, countries, tags, shared_networks, continents, operators, "
		"max_storage_price, max_egress_price FROM placements WHERE number > 0 ORDER BY "
		"number",
		&rows));
	while (!(e = db_rows_next(call, rows))) {
		e = set->count == PLACEMENTS_MAX
			    ? call_fail(call, ERR_EXHAUSTED, "more than %d", PLACEMENTS_MAX)
			    : read_one(call, rows, &set->list[set->count]);
		if (e)
			break;
		set->count++;
	}
	db_rows_free(rows);
	return e == ERR_NOT_FOUND ? OK : e;
}

/* With room for all there may be. */
static struct placement_set *new_set(void)
{
	struct placement_set *set = NULL;

	return calloc(1, sizeof(*set) + PLACEMENTS_MAX * sizeof(set->list[0]));
}

enum err store_placements(struct call *call, struct db *db, struct placement_set **ret)
{
	AUTO_FREE struct placement_set *set = new_set();

	if (!set)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY(db_read(call, db, read_all, set), "read the placements");
	struct placement_set *fit = realloc(set, sizeof(*set) + set->count * sizeof(set->list[0]));
	if (fit)
		set = fit;
	TRY_PLAIN(placement_set_link(call, set));
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

/* The rules as they will be: this one beside the others. */
static enum err check_all(struct call *call, struct placement_set *set, const struct placement *p)
{
	size_t at = set->count;

	for (size_t i = 0; i < set->count; i++) {
		if (set->list[i].number == p->number)
			at = i;
		else if (strcmp(set->list[i].name, p->name) == 0)
			return call_fail(call, ERR_EXISTS,
					 "placement %d has the name \"%s\" already",
					 set->list[i].number, p->name);
	}
	if (at == PLACEMENTS_MAX)
		return call_fail(call, ERR_EXHAUSTED, "there are %d placements already",
				 PLACEMENTS_MAX);
	set->list[at] = *p;
	set->count = MAX(set->count, at + 1);
	return placement_set_link(call, set);
}

static struct db_value price(int64_t max)
{
	return max ? DB_V_INT(max) : DB_V_NULL;
}

static enum err write_one(struct call *call, struct db_tx *tx, void *arg)
{
	const struct placement *p = arg;
	AUTO_FREE struct placement_set *set = new_set();

	if (!set)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(read_all(call, tx, set));
	TRY_PLAIN(check_all(call, set, p));
	return DB_EXEC(call, tx,
		       "INSERT INTO placements (number, name, countries, tags, shared_networks, "
		       "continents, operators, max_storage_price, max_egress_price) VALUES ($1, "
		       "$2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (number) DO UPDATE SET name = "
		       "excluded.name, countries = excluded.countries, tags = excluded.tags, "
		       "shared_networks = excluded.shared_networks, continents = "
		       "excluded.continents, operators = excluded.operators, max_storage_price = "
		       "excluded.max_storage_price, max_egress_price = excluded.max_egress_price",
		       NULL, DB_V_INT(p->number), DB_V_TEXT(bytes_str(p->name)),
		       DB_V_TEXT(bytes_str(p->countries_text)), DB_V_TEXT(bytes_str(p->tags_text)),
		       DB_V_INT(p->shared_networks), DB_V_TEXT(bytes_str(p->continents_text)),
		       DB_V_TEXT(bytes_str(p->operators_text)), price(p->max_prices.storage),
		       price(p->max_prices.egress));
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

enum err store_placements_check(struct call *call, struct db_tx *tx)
{
	AUTO_FREE struct placement_set *set = new_set();

	if (!set)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(read_all(call, tx, set));
	return placement_set_link(call, set);
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
