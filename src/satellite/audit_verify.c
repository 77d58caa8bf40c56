/*
 * One segment: asked, compared, counted.  Where shares cannot say which of them are wrong, the
 * pieces themselves are asked for, later (audit_reverify.c).
 */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "erasure/rs.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/random.h"
#include "satellite/audit_internal.h"
#include "satellite/metainfo_internal.h"
#include "satellite/store_metainfo.h"

DEFINE_AUTO_PTR(struct rs, rs_auto, rs_free)

static void end_job(struct audit_job *job)
{
	ed25519_signer_free(job->signer);
}

const char *audit_verdict_text(enum audit_verdict v)
{
	static const char *const texts[] = { "done", "gone", "not enough nodes", "uncertain" };

	return (size_t)v < ARRAY_LEN(texts) ? texts[v] : "?";
}

/* ---- the segment ---- */

static enum err get_segment(struct call *call, struct db_tx *tx, void *arg)
{
	struct audit_job *job = arg;

	return store_segment_get(call, tx, &job->ref.stream, job->ref.position, &job->segment);
}

static enum err find_contained(struct call *call, struct audit_job *job)
{
	struct reverify_job *list = NULL;
	size_t count = 0;

	TRY_PLAIN(store_reverify_list(call, job->sat->db, &call->scratch, NULL, &list, &count));
	for (size_t i = 0; i < job->count; i++)
		for (size_t j = 0; j < count; j++)
			if (!list[j].share.size &&
			    node_id_equal(&job->pieces[i].place.id, &list[j].node))
				job->pieces[i].contained = true;
	return OK;
}

static enum err find_places(struct call *call, struct audit_job *job)
{
	struct satellite *sat = job->sat;
	struct piece list[PIECE_LIST_MAX];
	struct node_id ids[PIECE_LIST_MAX];
	struct node_place *places = NULL;
	size_t share = job->segment.redundancy.share_size;

	TRY_PLAIN(piece_list_decode(call, job->segment.pieces, list, &job->count));
	TRY_PLAIN(node_aliases_find(call, sat->db, sat->metainfo->aliases, list, job->count, ids));
	TRY_PLAIN(satellite_lookup_nodes(call, sat, &call->scratch, ids, job->count, &places));
	job->pieces = arena_array(&call->scratch, job->count + 1, sizeof(*job->pieces));
	uint8_t *shares = arena_array(&call->scratch, job->count + 1, share);
	if (!job->pieces || !shares)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < job->count; i++)
		job->pieces[i] = (struct audit_piece){ .number = list[i].number,
						       .place = places[i],
						       .outcome = AUDIT_OFFLINE,
						       .contained = places[i].away,
						       .share = shares + i * share };
	return OK;
}

enum err audit_load(struct call *call, struct audit_job *job)
{
	TRY_PLAIN(db_read_one(call, job->sat->db, get_segment, job));
	const struct segment *s = &job->segment;
	if (s->is_inline || (s->expires_ns && s->expires_ns <= os_clock_unix_ns()))
		return ERR_NOT_FOUND;
	TRY_PLAIN(find_places(call, job));
	return find_contained(call, job);
}

enum err audit_unchanged(struct call *call, const struct audit_job *job, bool *ret)
{
	struct audit_job now = { .sat = job->sat, .ref = job->ref };
	enum err e = db_read_one(call, job->sat->db, get_segment, &now);

	*ret = e == OK && bytes_equal(now.segment.pieces, job->segment.pieces) &&
	       memcmp(now.segment.root.b, job->segment.root.b, PIECE_ID_BYTES) == 0;
	return e == ERR_NOT_FOUND ? OK : e;
}

static uint32_t random_stripe(const struct segment *s)
{
	uint64_t count = div_up((uint64_t)MAX(s->encrypted_size, 1),
				scheme_stripe_size(&s->redundancy));

	return (uint32_t)os_random_below(count);
}

/* ---- comparing ---- */

/* Marks shares that are not what the others say.  ERR_DATA_LOSS: that cannot be told, and all stay
 * as they came. */
static enum err compare(struct call *call, struct audit_job *job)
{
	AUTO(rs_auto) struct rs *rs = NULL;
	const struct scheme *r = &job->segment.redundancy;
	unsigned numbers[PIECE_LIST_MAX];
	uint8_t *shares[PIECE_LIST_MAX];
	bool bad[PIECE_LIST_MAX] = { false };
	struct audit_piece *of[PIECE_LIST_MAX];
	unsigned n = 0;

	for (size_t i = 0; i < job->count; i++) {
		struct audit_piece *p = &job->pieces[i];
		if (p->outcome != AUDIT_SUCCESS)
			continue;
		numbers[n] = p->number;
		shares[n] = p->share;
		of[n++] = p;
	}
	TRY(rs_new(r->required, r->total, &rs), "the segment's code");
	TRY_PLAIN(rs_correct(rs, numbers, n, r->share_size, shares, bad));
	for (unsigned i = 0; i < n; i++) {
		of[i]->wrong = bad[i];
		if (!bad[i])
			continue;
		of[i]->outcome = AUDIT_FAILURE;
		snprintf(of[i]->detail, sizeof(of[i]->detail),
			 "the bytes are not those that were stored");
	}
	return OK;
}

static size_t count_of(const struct audit_job *job, enum audit_outcome outcome)
{
	size_t n = 0;

	for (size_t i = 0; i < job->count; i++)
		n += !job->pieces[i].contained && job->pieces[i].outcome == outcome;
	return n;
}

/* Nobody at all could be connected to: that is our own network, not theirs. */
static bool all_out_of_reach(const struct audit_job *job)
{
	for (size_t i = 0; i < job->count; i++)
		if (job->pieces[i].connected)
			return false;
	return true;
}

/* ---- counting ---- */

/* Which outcomes count, by the verdict (satellite.md 5). */
static bool counts(enum audit_verdict verdict, enum audit_outcome outcome)
{
	switch (verdict) {
	case AUDIT_DONE:
		return true;
	case AUDIT_UNCERTAIN:
		return outcome != AUDIT_SUCCESS && outcome != AUDIT_CONTAINED;
	case AUDIT_NOT_ENOUGH:
		return outcome == AUDIT_OFFLINE || outcome == AUDIT_UNKNOWN ||
		       outcome == AUDIT_DAMAGED;
	case AUDIT_GONE:
		break;
	}
	return false;
}

static enum err make_records(struct call *call, const struct audit_job *job,
			     struct audit_report *report)
{
	uint32_t share = job->segment.redundancy.share_size;

	report->records = arena_array(&call->scratch, job->count + 1, sizeof(*report->records));
	if (!report->records)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < job->count; i++) {
		const struct audit_piece *p = &job->pieces[i];
		if (p->contained || !p->place.known || !counts(report->verdict, p->outcome))
			continue;
		struct audit_record *r = &report->records[report->count++];
		*r = (struct audit_record){ .node = p->place.id,
					    .outcome = p->outcome,
					    .stream = job->ref.stream,
					    .position = job->ref.position,
					    .number = p->number,
					    .offset = (int64_t)job->stripe * share,
					    .size = share,
					    .detail = p->asked ? p->detail : "no contact lately" };
		piece_id_derive(&job->segment.root, &p->place.id, p->number, &r->piece);
	}
	return OK;
}

/* Who owes an answer; and who gave a share that may be wrong: those are not contained, or a few
 * that lie would keep honest ones from audits.  The share's hash is kept, so that nobody can give a
 * wrong one here and the right piece when asked alone. */
static enum err put_owed(struct call *call, const struct audit_job *job,
			 struct audit_report *report, int64_t now_ns)
{
	struct reverify_job *list = arena_array(&call->scratch, job->count + 1, sizeof(*list));
	uint32_t size = job->segment.redundancy.share_size;
	bool uncertain = report->verdict == AUDIT_UNCERTAIN;
	size_t n = 0;

	if (!list)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < job->count; i++) {
		const struct audit_piece *p = &job->pieces[i];
		bool suspect = uncertain && p->outcome == AUDIT_SUCCESS;
		bool owes = report->verdict == AUDIT_DONE && p->outcome == AUDIT_CONTAINED;
		if (p->contained || !p->place.known || (!suspect && !owes))
			continue;
		struct reverify_job *j = &list[n++];
		*j = (struct reverify_job){ .node = p->place.id,
					    .ref = report->ref,
					    .number = p->number };
		report->suspects += suspect;
		if (!suspect)
			continue;
		j->share.offset = (int64_t)job->stripe * size;
		j->share.size = size;
		hash_sha256(BYTES(p->share, size), j->share.hash);
	}
	if (n)
		TRY_PLAIN(store_reverify_put(call, job->sat->db, list, n, now_ns));
	if (report->suspects && job->sat->chores)
		satellite_chores_trigger(job->sat->chores, "reverify");
	return OK;
}

enum err audit_remove(struct call *call, const struct audit_job *job, const uint32_t *numbers,
		      size_t count, size_t *ret)
{
	*ret = 0;
	/* And never so many that nothing could be read if they were found again. */
	if (count > AUDIT_REMOVE_MAX || job->count < count + job->segment.redundancy.required) {
		log_warn("failed pieces stay listed: too many at once", F_U64("pieces", count),
			 F_U64("listed", job->count));
		return OK;
	}
	enum err e = store_segment_remove_pieces(call, job->sat->db, &job->ref.stream,
						 job->ref.position, job->segment.pieces, numbers,
						 count);
	if (e == ERR_ABORTED) { /* repaired or deleted a moment ago */
		call_clear_error(call);
		return OK;
	}
	if (!e)
		*ret = count;
	return e;
}

/* A piece that is lost costs reputation once, and is replaced by the next repair.  "Not found"
 * needs nobody's word but the node's, so it counts also where shares could not be compared. */
static enum err remove_failed(struct call *call, const struct audit_job *job,
			      struct audit_report *report)
{
	uint32_t numbers[PIECE_LIST_MAX];
	size_t n = 0;

	for (size_t i = 0; i < report->count; i++)
		if (audit_outcome_lost(report->records[i].outcome))
			numbers[n++] = report->records[i].number;
	/* With fewer than it takes it may be our network that is to blame, and nothing was
	 * compared. */
	if (!n || report->verdict == AUDIT_NOT_ENOUGH)
		return OK;
	return audit_remove(call, job, numbers, n, &report->removed);
}

static enum err keep_report(struct call *call, const struct audit_job *job,
			    struct audit_report *report)
{
	int64_t now_ns = os_clock_unix_ns();

	TRY_PLAIN(make_records(call, job, report));
	TRY_PLAIN(standing_record(call, job->sat, report->records, report->count, now_ns));
	TRY_PLAIN(put_owed(call, job, report, now_ns));
	return remove_failed(call, job, report);
}

/* ---- all of it ---- */

static enum err judge(struct call *call, struct audit_job *job, enum audit_verdict *ret)
{
	bool same = false;

	TRY_PLAIN(audit_unchanged(call, job, &same));
	*ret = AUDIT_GONE;
	if (!same || all_out_of_reach(job))
		return OK;
	*ret = AUDIT_NOT_ENOUGH;
	if (count_of(job, AUDIT_SUCCESS) < job->segment.redundancy.required)
		return OK;
	enum err e = compare(call, job);
	*ret = e == ERR_DATA_LOSS ? AUDIT_UNCERTAIN : AUDIT_DONE;
	if (e == ERR_DATA_LOSS)
		call_clear_error(call);
	return e == ERR_DATA_LOSS ? OK : e;
}

static void log_report(const struct audit_job *job, const struct audit_report *r)
{
	log_info("audit", F_HEX("stream", uuid_bytes(&r->ref.stream)),
		 F_I64("position", r->ref.position),
		 F_STR("verdict", audit_verdict_text(r->verdict)),
		 F_U64("success", count_of(job, AUDIT_SUCCESS)),
		 F_U64("failure", count_of(job, AUDIT_FAILURE)),
		 F_U64("damaged", count_of(job, AUDIT_DAMAGED)),
		 F_U64("unknown", count_of(job, AUDIT_UNKNOWN)),
		 F_U64("offline", count_of(job, AUDIT_OFFLINE)),
		 F_U64("contained", count_of(job, AUDIT_CONTAINED)), F_U64("removed", r->removed),
		 F_U64("suspects", r->suspects));
}

static enum err ask_and_judge(struct call *call, struct audit_job *job, struct audit_report *report)
{
	size_t limits = 0;

	TRY_PLAIN(audit_make_limits(call, job, &limits));
	report->verdict = AUDIT_NOT_ENOUGH;
	/* Fewer than it takes: then nothing is said about anybody. */
	if (limits < job->segment.redundancy.required)
		return OK;
	job->stripe = random_stripe(&job->segment);
	TRY_PLAIN(audit_fetch_shares(call, job));
	TRY_PLAIN(judge(call, job, &report->verdict));
	if (report->verdict == AUDIT_GONE)
		return OK;
	TRY_PLAIN(keep_report(call, job, report));
	log_report(job, report);
	return OK;
}

enum err audit_segment(struct call *call, struct satellite *sat, const struct audit_ref *ref,
		       struct audit_report *ret)
{
	AUTO(end_job) struct audit_job job = { .sat = sat, .ref = *ref };
	struct audit_report report = { .verdict = AUDIT_GONE, .ref = *ref };
	enum err e = audit_load(call, &job);

	if (e == ERR_NOT_FOUND) {
		call_clear_error(call);
		*ret = report;
		return OK;
	}
	TRY_PLAIN(e);
	TRY_PLAIN(ask_and_judge(call, &job, &report));
	*ret = report;
	return OK;
}

enum err audit_next(struct call *call, struct satellite *sat, struct audit_report *ret)
{
	struct audit_ref ref;

	TRY_PLAIN(store_audit_take(call, sat->db, &ref));
	return audit_segment(call, sat, &ref, ret);
}
