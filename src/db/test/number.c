#include "db/test/number.h"

struct number {
	const char *sql;
	int64_t value;
};

static enum err read_number(struct call *call, struct db_tx *tx, void *arg)
{
	struct number *n = arg;
	struct db_rows *rows = NULL;

	TRY_PLAIN(db_query(call, tx, n->sql, NULL, 0, &rows));
	enum err e = db_rows_next(call, rows);
	if (!e)
		n->value = db_int(rows, 0);
	db_rows_free(rows);
	return e;
}

enum err db_test_number(struct call *call, struct db *db, const char *sql, int64_t *ret)
{
	struct number n = { .sql = sql };

	TRY_PLAIN(db_read(call, db, read_number, &n));
	*ret = n.value;
	return OK;
}
