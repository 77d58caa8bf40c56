/*
 * What a node is owed for a month (satellite.md 11, docs/design/books.md): storage and traffic at
 * the satellite's rates, a part of it held back while the node is young.  Money is micro-dollars;
 * it is reckoned exactly and cut to whole ones at the end.
 */
#ifndef ACRE_SATELLITE_STATEMENT_H
#define ACRE_SATELLITE_STATEMENT_H

#include "db/db.h"
#include "identity/identity.h"
#include "satellite/config.h"
#include "satellite/settlement.h"

#define PAY_RATE_MAX INT64_C(1000000000) /* 1000 dollars a terabyte: sums stay in their bounds */
enum { HELD_MONTHS_MAX = 60, STATEMENT_CODES_MAX = 24, MONTH_TEXT_MAX = 16 };

/* A calendar month, UTC. */
struct month {
	int64_t begin_ns, end_ns;
	char text[MONTH_TEXT_MAX]; /* "2026-11" */
};
struct month month_of(int64_t unix_ns);
struct month month_before(const struct month *m);
/* ERR_CONFIG. */
enum err month_parse(struct call *call, const char *text, struct month *ret) MUST_USE;

struct pay_rules {
	int64_t at_rest;		   /* per TB (10^12) kept for 720 hours */
	int64_t rates[SETTLEMENT_ACTIONS]; /* per TB, by action */
	uint8_t held[HELD_MONTHS_MAX];	   /* percent, month by month of a node's life */
	size_t held_count;
	uint8_t disposed; /* percent of what was held, given back when these months are over */
	int64_t surge;	  /* percent of the total that is paid; 0 = 100 */
};
/* From the settings; ERR_CONFIG. */
enum err pay_rules_read(struct call *call, const struct satellite_config *config,
			struct pay_rules *ret) MUST_USE;

/* A node and what it did in the month; times are Unix, 0 = never. */
struct node_month {
	struct node_id id;
	int64_t created_ns, last_contact_ns, disqualified_ns, exit_initiated_ns;
	int64_t exited_ns; /* with success */
	int64_t byte_hours;
	int64_t usage[SETTLEMENT_ACTIONS];    /* bytes by action */
	int64_t held_before, disposed_before; /* in all statements before */
	const char *tags; /* node_tags.h; of which it may ask for less; NULL: none */
};
struct statement {
	char codes[STATEMENT_CODES_MAX]; /* "E:O" */
	int64_t at_rest, comp[SETTLEMENT_ACTIONS];
	int64_t held, owed, disposed;
};
/* Pure.  ERR_OUT_OF_RANGE when an amount has no room in 63 bits. */
enum err statement_make(struct call *call, const struct pay_rules *rules,
			const struct node_month *n, const struct month *m,
			struct statement *ret) MUST_USE;

/* ---- stored ---- */

struct paystub {
	struct node_id node;
	const char *month;
	int64_t created_ns, byte_hours, usage[SETTLEMENT_ACTIONS];
	int64_t surge, paid, distributed;
	struct statement s;
};
/* Makes and stores those of all nodes for a month that is over and whose orders are settled.
 * ERR_EXISTS when that was done; again: anew, unless something was paid.  *ret_count nodes. */
enum err statements_store(struct call *call, struct db *db, const struct pay_rules *rules,
			  const struct month *m, bool again, size_t *ret_count) MUST_USE;
/* By month and node; month "" = all, node NULL = all.  In `a`. */
enum err paystubs_list(struct call *call, struct db *db, struct arena *a, const char *month,
		       const struct node_id *node, struct paystub **ret,
		       size_t *ret_count) MUST_USE;

struct payment {
	int64_t id;
	struct node_id node;
	const char *month;
	int64_t created_ns, amount;
	const char *receipt, *notes;
};
/* Notes that a node was paid; id and created_ns are given.  ERR_NOT_FOUND without a statement. */
enum err payment_store(struct call *call, struct db *db, struct payment *p) MUST_USE;
enum err payments_list(struct call *call, struct db *db, struct arena *a, const char *month,
		       const struct node_id *node, struct payment **ret,
		       size_t *ret_count) MUST_USE;

#endif
