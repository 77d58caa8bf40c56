/* For tests of rooms above: one number out of a database. */
#ifndef ACRE_DB_TEST_NUMBER_H
#define ACRE_DB_TEST_NUMBER_H

#include "db/db.h"

/* The first column of the statement's first row; ERR_NOT_FOUND without a row. */
enum err db_test_number(struct call *call, struct db *db, const char *sql, int64_t *ret) MUST_USE;

#endif
