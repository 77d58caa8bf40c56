/* Scores and what follows from them: satellite.md 5. */
#include "satellite/reputation.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"

enum { WINDOWS_VERSION = 1 };

const char *audit_outcome_text(enum audit_outcome o)
{
	static const char *const texts[] = { "success", "failure",   "unknown",
					     "offline", "contained", "damaged" };

	return (size_t)o < ARRAY_LEN(texts) ? texts[o] : "?";
}

const char *disqualification_text(int64_t reason)
{
	static const char *const texts[] = {
		"an unknown reason",
		"failed audits",
		"suspended for too long",
		"offline for too long",
	};

	return reason >= 0 && (size_t)reason < ARRAY_LEN(texts) ? texts[reason] : texts[0];
}

void reputation_init(const struct reputation_rules *rules, struct reputation *ret)
{
	*ret = (struct reputation){
		.alpha = rules->initial_alpha,
		.beta = rules->initial_beta,
		.unknown_alpha = 1,
		.online_score = 1,
	};
}

static double share(double good, double bad)
{
	/* Both are 0 only where rules start them so. */
	return good + bad > 0 ? good / (good + bad) : 1;
}

double reputation_score(const struct reputation *r)
{
	return share(r->alpha, r->beta);
}

double reputation_unknown_score(const struct reputation *r)
{
	return share(r->unknown_alpha, r->unknown_beta);
}

int64_t reputation_suspended_ns(const struct reputation *r)
{
	if (r->audit_suspended_ns)
		return r->audit_suspended_ns;
	return r->unknown_suspended_ns ? r->unknown_suspended_ns : r->offline_suspended_ns;
}

/* ---- the online score ---- */

static double mean_of_windows(const struct reputation *r)
{
	double sum = 0;

	/* The newest one is not over yet. */
	if (r->windows_count <= 1)
		return 1;
	for (size_t i = 0; i + 1 < r->windows_count; i++)
		sum += (double)r->windows[i].online / (double)r->windows[i].total;
	return sum / (double)(r->windows_count - 1);
}

static void drop_windows(struct reputation *r, size_t count)
{
	memmove(r->windows, r->windows + count, (r->windows_count - count) * sizeof(r->windows[0]));
	r->windows_count -= count;
}

static void count_online(const struct reputation_rules *rules, struct reputation *r, bool online,
			 int64_t now_ns)
{
	int64_t start = now_ns - now_ns % rules->window;
	struct audit_window *last = r->windows_count ? &r->windows[r->windows_count - 1] : NULL;
	size_t old = 0;

	/* A clock that was set back counts into the newest window. */
	if (!last || last->start_ns < start) {
		if (r->windows_count == AUDIT_WINDOWS_MAX)
			drop_windows(r, 1);
		last = &r->windows[r->windows_count++];
		*last = (struct audit_window){ .start_ns = start };
	}
	last->online += online;
	last->total++;
	int64_t first = last->start_ns - rules->tracking;
	while (r->windows[old].start_ns < first)
		old++;
	drop_windows(r, old);
	r->online_score = mean_of_windows(r);
}

/* Enough windows are over to judge by them. */
static bool tracking_full(const struct reputation_rules *rules, const struct reputation *r)
{
	return r->windows_count > 0 &&
	       (int64_t)(r->windows_count - 1) >= rules->tracking / rules->window;
}

/* ---- what follows ---- */

static void disqualify(struct reputation *r, enum disqualification reason, int64_t now_ns)
{
	r->disqualified_ns = now_ns;
	r->disqualified_reason = reason;
}

/* Kinder: the first fall opens a review; within it the suspension goes with the score, and its end
 * is what counts. */
static void judge_audits(const struct reputation_rules *rules, struct reputation *r, int64_t now_ns)
{
	bool low = reputation_score(r) <= rules->dq_score;
	bool over = r->audit_review_ns && now_ns - r->audit_review_ns > rules->audit_grace;

	if (low && (over || rules->audit_grace == 0)) {
		disqualify(r, DISQUALIFIED_AUDIT, now_ns);
		r->audit_suspended_ns = r->audit_review_ns = 0;
	} else if (low) {
		if (!r->audit_review_ns)
			r->audit_review_ns = now_ns;
		if (!r->audit_suspended_ns)
			r->audit_suspended_ns = now_ns;
	} else {
		r->audit_suspended_ns = 0;
		if (over)
			r->audit_review_ns = 0;
	}
}

static void judge_unknown(const struct reputation_rules *rules, struct reputation *r,
			  int64_t now_ns)
{
	if (reputation_unknown_score(r) > rules->unknown_score) {
		r->unknown_suspended_ns = 0;
	} else if (!r->unknown_suspended_ns) {
		r->unknown_suspended_ns = now_ns;
	} else if (rules->suspension_dq &&
		   now_ns - r->unknown_suspended_ns > rules->suspension_grace) {
		disqualify(r, DISQUALIFIED_SUSPENSION, now_ns);
		r->unknown_suspended_ns = 0;
	}
}

static void judge_online(const struct reputation_rules *rules, struct reputation *r, int64_t now_ns)
{
	bool low = r->online_score < rules->offline_score && tracking_full(rules, r);

	if (!rules->offline_suspension) {
		r->offline_suspended_ns = r->offline_review_ns = 0;
		return;
	}
	if (!low)
		r->offline_suspended_ns = 0;
	else if (!r->offline_suspended_ns)
		r->offline_suspended_ns = now_ns;
	if (!r->offline_review_ns) {
		r->offline_review_ns = low ? now_ns : 0;
		return;
	}
	/* A grace to mend it, then a whole tracking period to show it. */
	if (now_ns - r->offline_review_ns <= rules->offline_grace + rules->tracking)
		return;
	if (!low)
		r->offline_review_ns = 0;
	else if (rules->offline_dq)
		disqualify(r, DISQUALIFIED_OFFLINE, now_ns);
}

static void judge_vetting(const struct reputation_rules *rules, struct reputation *r,
			  int64_t now_ns)
{
	if (!r->vetted_ns && r->total >= rules->vet_audits &&
	    now_ns - r->created_ns >= rules->vet_age)
		r->vetted_ns = now_ns;
}

/* ---- events ---- */

/* One event for (good, bad), `good` being what it speaks for. */
static void count(double *good, double *bad, double lambda, double weight)
{
	*good = lambda * *good + weight;
	*bad = lambda * *bad;
}

void reputation_apply(const struct reputation_rules *rules, struct reputation *r,
		      enum audit_outcome outcome, int64_t now_ns)
{
	if (r->disqualified_ns || outcome == AUDIT_CONTAINED)
		return;
	if (!r->created_ns)
		r->created_ns = now_ns;
	switch (outcome) {
	case AUDIT_SUCCESS:
		count(&r->alpha, &r->beta, rules->lambda, rules->weight);
		count(&r->unknown_alpha, &r->unknown_beta, rules->unknown_lambda, rules->weight);
		r->success++;
		break;
	case AUDIT_FAILURE:
		count(&r->beta, &r->alpha, rules->lambda, rules->weight);
		break;
	case AUDIT_DAMAGED: /* kinder than being found out, and not for nothing */
	case AUDIT_UNKNOWN:
		count(&r->unknown_beta, &r->unknown_alpha, rules->unknown_lambda, rules->weight);
		break;
	case AUDIT_OFFLINE:
	case AUDIT_CONTAINED:
		break;
	}
	r->total++;
	count_online(rules, r, outcome != AUDIT_OFFLINE, now_ns);
	judge_vetting(rules, r, now_ns);
	reputation_age(rules, r, now_ns);
}

void reputation_age(const struct reputation_rules *rules, struct reputation *r, int64_t now_ns)
{
	if (!r->disqualified_ns)
		judge_audits(rules, r, now_ns);
	if (!r->disqualified_ns)
		judge_unknown(rules, r, now_ns);
	if (!r->disqualified_ns)
		judge_online(rules, r, now_ns);
}

void reputation_reinstate(const struct reputation_rules *rules, struct reputation *r)
{
	r->alpha = rules->initial_alpha;
	r->beta = rules->initial_beta;
	r->unknown_alpha = 1;
	r->unknown_beta = 0;
	r->disqualified_ns = r->disqualified_reason = 0;
	r->unknown_suspended_ns = r->offline_suspended_ns = r->audit_suspended_ns = 0;
	r->offline_review_ns = r->audit_review_ns = 0;
}

/* ---- the column ---- */

void audit_windows_encode(struct buf *out, const struct reputation *r)
{
	int64_t before = 0;

	buf_add_byte(out, WINDOWS_VERSION);
	for (size_t i = 0; i < r->windows_count; i++) {
		const struct audit_window *w = &r->windows[i];
		buf_add_varint(out, (uint64_t)(w->start_ns - before));
		buf_add_varint(out, w->online);
		buf_add_varint(out, w->total);
		before = w->start_ns;
	}
}

enum err audit_windows_decode(struct bytes v, struct reputation *r)
{
	struct wire w = wire_read(v);
	uint64_t start = 0;
	size_t n = 0;

	if (wire_byte(&w) != WINDOWS_VERSION)
		return ERR_FORMAT;
	for (; wire_ok(&w) && wire_left(&w); n++) {
		uint64_t step = wire_varint(&w), online = wire_varint(&w), total = wire_varint(&w);
		if (n == AUDIT_WINDOWS_MAX || step > (uint64_t)INT64_MAX - start || total == 0 ||
		    total > UINT32_MAX || online > total || (n && step == 0))
			return ERR_FORMAT;
		start += step;
		r->windows[n] = (struct audit_window){ (int64_t)start, (uint32_t)online,
						       (uint32_t)total };
	}
	if (!wire_ok(&w))
		return ERR_FORMAT;
	r->windows_count = n;
	return OK;
}

/* ---- settings ---- */

static bool is_part(double v)
{
	return v >= 0 && v <= 1;
}

enum err reputation_rules_check(struct call *call, const struct reputation_rules *rules)
{
	if (!is_part(rules->lambda) || !is_part(rules->unknown_lambda) ||
	    !is_part(rules->dq_score) || !is_part(rules->unknown_score) ||
	    !is_part(rules->offline_score))
		return call_fail(
			call, ERR_CONFIG,
			"audit-lambda, audit-dq, unknown-audit-lambda, unknown-audit-dq and "
			"offline-threshold are between 0 and 1");
	if (!(rules->weight > 0) || !(rules->initial_alpha >= 0) || !(rules->initial_beta >= 0) ||
	    !(rules->initial_alpha + rules->initial_beta > 0))
		return call_fail(call, ERR_CONFIG,
				 "audit-weight and initial-alpha must be more than 0");
	if (rules->window < NS_PER_SEC || rules->tracking < rules->window ||
	    rules->tracking / rules->window > AUDIT_WINDOWS_MAX - 2)
		return call_fail(call, ERR_CONFIG,
				 "offline-window must be a second at least, and offline-tracking "
				 "between 1 and %d of them",
				 AUDIT_WINDOWS_MAX - 2);
	return OK;
}
