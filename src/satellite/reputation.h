/*
 * Reputation of a node (satellite.md 5; docs/design/audit.md): what audits say about it, by Storj's
 * formulas.  Arithmetic only: no clock, no database, nothing waits.  Times are Unix nanoseconds,
 * 0 = not.
 */
#ifndef ACRE_SATELLITE_REPUTATION_H
#define ACRE_SATELLITE_REPUTATION_H

#include "base/bytes.h"
#include "base/call.h"

enum audit_outcome {
	AUDIT_SUCCESS = 0,
	AUDIT_FAILURE = 1,   /* the piece is not there, or its bytes are wrong */
	AUDIT_UNKNOWN = 2,   /* the node answered with an error that says nothing about the piece */
	AUDIT_OFFLINE = 3,   /* it could not be connected to */
	AUDIT_CONTAINED = 4, /* it took the request and gave no answer: asked again later */
	AUDIT_DAMAGED = 5,   /* the node itself says that its disk damaged the piece */
};
const char *audit_outcome_text(enum audit_outcome o);
/* The piece is gone for good, and leaves its segment's list. */
static inline bool audit_outcome_lost(enum audit_outcome o)
{
	return o == AUDIT_FAILURE || o == AUDIT_DAMAGED;
}

/* Why a node is disqualified: numbers of Storj's column. */
enum disqualification {
	DISQUALIFIED_UNKNOWN = 0,
	DISQUALIFIED_AUDIT = 1,
	DISQUALIFIED_SUSPENSION = 2,
	DISQUALIFIED_OFFLINE = 3,
};
const char *disqualification_text(int64_t reason);

/* Settings; where 0 or false is Storj's way and the default another it says so. */
struct reputation_rules {
	double initial_alpha, initial_beta; /* of the audit score; the unknown one starts at 1, 0 */
	double lambda, weight;
	double dq_score; /* at or below it a node is disqualified */
	double unknown_lambda;
	double unknown_score; /* at or below it a node is suspended */
	int64_t suspension_grace;
	bool suspension_dq; /* suspended longer than that: disqualified */
	uint64_t vet_audits;
	int64_t vet_age;
	int64_t window, tracking; /* of the online score */
	int64_t offline_grace;
	double offline_score; /* below it a node is suspended */
	bool offline_suspension, offline_dq;
	/* Kinder than Storj: suspended so long before it is disqualified for its audit score. */
	int64_t audit_grace;
	/* Storj: a node that let audits of a piece time out again and again has lost it. */
	bool slow_fails;
	int64_t stray; /* without contact so long: disqualified; 0 = never */
};

enum { AUDIT_WINDOWS_MAX = 256 };

struct audit_window {
	int64_t start_ns;
	uint32_t online, total;
};

struct reputation {
	int64_t created_ns; /* its first audit */
	uint64_t total, success;
	double alpha, beta, unknown_alpha, unknown_beta;
	double online_score;
	struct audit_window windows[AUDIT_WINDOWS_MAX]; /* oldest first */
	size_t windows_count;
	int64_t vetted_ns;
	int64_t disqualified_ns;
	int64_t disqualified_reason; /* enum disqualification */
	int64_t unknown_suspended_ns, offline_suspended_ns, audit_suspended_ns;
	int64_t offline_review_ns, audit_review_ns;
	int64_t left_ns; /* it has exited gracefully */
};

/* Of a node that was never audited. */
void reputation_init(const struct reputation_rules *rules, struct reputation *ret);
/* One audit (not AUDIT_CONTAINED, which says nothing yet).  A disqualified node's stays as it is.
 */
void reputation_apply(const struct reputation_rules *rules, struct reputation *r,
		      enum audit_outcome outcome, int64_t now_ns);
/* What follows from time alone: graces that ended. */
void reputation_age(const struct reputation_rules *rules, struct reputation *r, int64_t now_ns);
/* Starts anew after a disqualification or a suspension; the online windows stay. */
void reputation_reinstate(const struct reputation_rules *rules, struct reputation *r);
double reputation_score(const struct reputation *r);
double reputation_unknown_score(const struct reputation *r);
/* Since when it gets no new pieces, for whichever reason; 0 = it does. */
int64_t reputation_suspended_ns(const struct reputation *r);

/* The windows as a column of bytes. */
void audit_windows_encode(struct buf *out, const struct reputation *r);
/* ERR_FORMAT when it is damaged. */
enum err audit_windows_decode(struct bytes v, struct reputation *r) MUST_USE;

/* ERR_CONFIG: values that make no sense. */
enum err reputation_rules_check(struct call *call, const struct reputation_rules *rules) MUST_USE;

#endif
