/* What chore.c and store_chores.c share: the rows of table chores. */
#ifndef ACRE_SATELLITE_CHORE_INTERNAL_H
#define ACRE_SATELLITE_CHORE_INTERNAL_H

#include "satellite/chore.h"

enum { CHORE_HOLDER_BYTES = 16 };

/* What the keeper needs of a row. */
struct chore_row {
	char name[CHORE_NAME_MAX + 1];
	uint8_t holder[CHORE_HOLDER_BYTES]; /* zeros: nobody */
	int64_t lease_until_ns, next_ns;
	bool requested;
};
enum err store_chore_rows(struct call *call, struct db *db, struct chore_row rows[CHORES_MAX],
			  size_t *ret_count) MUST_USE;
/* A row for a new chore, to run at next_ns; an old one's date is moved up to latest_ns, as settings
 * may have changed.  INT64_MAX: never by itself. */
enum err store_chore_put(struct call *call, struct db *db, const char *name, int64_t next_ns,
			 int64_t latest_ns) MUST_USE;
struct chore_claim {
	const char *name;
	const uint8_t *holder;
	int64_t now_ns, lease_until_ns;
	bool take_over; /* whoever else held it is gone for sure */
	bool claimed;	/* out */
};
/* Takes the lease if nobody has it and the chore is due or asked for. */
enum err store_chore_claim(struct call *call, struct db *db, struct chore_claim *claim) MUST_USE;
/* Renews; ERR_NOT_FOUND: another has it now. */
enum err store_chore_renew(struct call *call, struct db *db, const char *name,
			   const uint8_t *holder, int64_t lease_until_ns,
			   const char *note) MUST_USE;
/* In a transaction; ERR_NOT_FOUND: another has it now. */
enum err store_chore_held(struct call *call, struct db_tx *tx, const char *name,
			  const uint8_t *holder) MUST_USE;
struct chore_end {
	const char *name;
	const uint8_t *holder; /* NULL: one that runs everywhere */
	int64_t started_ns, ended_ns, next_ns;
	const char *error; /* "": it went well */
	const char *note;
	bool counts; /* false: it was stopped, neither well nor badly */
};
enum err store_chore_end(struct call *call, struct db *db, const struct chore_end *end) MUST_USE;

#endif
