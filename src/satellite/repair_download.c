/*
 * The pieces of a segment under repair: fetched with GET_REPAIR limits, each checked against the
 * hash that the uplink signed and the limit of ours it was uploaded with (orders.md 6.5), kept in
 * spools until enough are here.  Then the missing ones, computed strip by strip.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "erasure/rs.h"
#include "os/clock.h"
#include "os/random.h"
#include "satellite/piece_origin.h"
#include "satellite/repair_internal.h"
#include "transfer/piece_download.h"

/* As Storj's repairer allows (satellite.md 6). */
#define DOWNLOAD_NS_MAX (300 * NS_PER_SEC)
#define STALL_NS (15 * NS_PER_SEC)

enum {
	/* Streams beyond k, so that a slow node holds nobody up. */
	EXTRA_STREAMS = 2,
	STRIP_MAX = 64 << 10,
	STRIP_UNIT = 4 << 10,
	STRIPS_BYTES = 2 << 20, /* of all inputs and outputs together */
};

DEFINE_AUTO_PTR(struct piece_download, download_auto, piece_download_close)
DEFINE_AUTO_PTR(struct ed25519_signer, signer_auto, ed25519_signer_free)
DEFINE_AUTO_PTR(struct hasher, hasher_auto, hasher_free)
DEFINE_AUTO_PTR(struct rs, rs_auto, rs_free)
DEFINE_AUTO_PTR(struct rs_rebuilder, rebuilder_auto, rs_rebuilder_free)

struct fetch {
	struct order_batch batch;
	struct ed25519_signer *signer;
};

static enum err read_origin(struct call *call, const struct repair_job *job,
			    const struct repair_piece *p, const struct piece_download *d,
			    struct piece_origin *ret)
{
	struct piece_wanted wanted = { .node = p->node, .size = job->piece_size };
	struct bytes hash, limit;

	piece_download_origin(d, &hash, &limit);
	piece_id_derive(&job->segment.root, &p->node, p->number, &wanted.id);
	return piece_origin_read(call, job->sat, &wanted, hash, limit, ret);
}

static enum err read_piece(struct call *call, struct repair_job *job, struct repair_piece *p,
			   struct piece_download *d)
{
	AUTO(hasher_auto) struct hasher *hasher = NULL;
	struct piece_origin origin;
	uint8_t sum[HASH_BYTES];
	struct bytes data;
	enum err e;

	while (!(e = piece_download_read(call, d, &data))) {
		if (!hasher) {
			TRY_PLAIN(read_origin(call, job, p, d, &origin));
			hasher = hasher_new(origin.algorithm);
			if (!hasher)
				return call_fail(call, ERR_NO_MEMORY, "out of memory");
		}
		TRY_PLAIN(pacer_wait(call, fanout_download_pacer(job->fanout), data.len));
		hasher_update(hasher, data);
		TRY_PLAIN(spool_append(call, p->spool, data));
	}
	if (e != ERR_EOF)
		return e;
	hasher_sum(hasher, sum);
	if (memcmp(sum, origin.hash, HASH_BYTES) == 0)
		return OK;
	p->state = REPAIR_BAD;
	return call_fail(call, ERR_DATA_LOSS, "what it sent is not what was stored there");
}

static enum err fetch_piece(struct call *call, struct repair_job *job, struct repair_piece *p,
			    void *arg)
{
	AUTO(download_auto) struct piece_download *d = NULL;
	const struct fetch *f = arg;
	Metainfo__AddressedOrderLimit *m = NULL;
	struct addressed_limit limit;

	os_call_limit(call, DOWNLOAD_NS_MAX);
	TRY_PLAIN(order_batch_limit(call, job->sat, &call->scratch, &f->batch, &p->place, p->number,
				    &m));
	TRY_PLAIN(addressed_limit_read(call, m, &limit));
	TRY_PLAIN(spool_new(call, job->sat->config.dir, job->spool_memory,
			    (uint64_t)job->piece_size, NULL, &p->spool));
	enum err e = piece_download_open(call, job->fanout, &limit, f->signer, 0,
					 (uint64_t)job->piece_size, STALL_NS, &d);
	if (!e)
		e = read_piece(call, job, p, d);
	if (e == ERR_NOT_FOUND || e == ERR_DATA_LOSS)
		p->state = REPAIR_BAD; /* it says so itself */
	if (e) {
		spool_free(p->spool);
		p->spool = NULL;
	}
	return e;
}

/* Those that can be read, healthy ones before those that may soon be gone, else in random order. */
static size_t candidates(struct repair_job *job, struct repair_piece **out)
{
	size_t n = 0, healthy = 0;

	for (size_t i = 0; i < job->listed_count; i++) {
		struct repair_piece *p = &job->listed[i];
		if (p->health & PIECE_MISSING || !p->place.known)
			continue;
		out[n] = p;
		if (!p->health) {
			size_t to = (size_t)os_random_below(healthy + 1);
			out[n] = out[healthy];
			out[healthy++] = out[to];
			out[to] = p;
		}
		n++;
	}
	return n;
}

enum err repair_download(struct call *call, struct repair_job *job)
{
	AUTO(signer_auto) struct ed25519_signer *signer = NULL;
	AUTO_BUF struct buf why = BUF_INIT(CALL_ERROR_MAX);
	struct repair_piece *list[PIECE_LIST_MAX];
	struct ed25519_private key;
	size_t required = job->code.required, count = candidates(job, list), ok = 0;
	struct fetch f = { .batch = { .action = ORDERS__PIECE_ACTION__GET_REPAIR,
				      .limit = job->piece_size,
				      .root = job->segment.root } };

	TRY_PLAIN(order_batch_begin(call, job->sat, &f.batch, &key));
	enum err e = ed25519_signer_new(call, &key, &signer);
	secret_wipe(&key, sizeof(key));
	TRY_PLAIN(e);
	f.signer = signer;
	TRY_PLAIN(repair_each(call, job, list, count, required + EXTRA_STREAMS, required,
			      fetch_piece, &f, &why));
	for (size_t i = 0; i < count; i++)
		ok += list[i]->state == REPAIR_OK;
	if (ok < required)
		return call_fail(call, ERR_UNAVAILABLE, "%zu pieces are needed, %zu came: %s",
				 required, ok, buf_cstr(&why));
	return OK;
}

/* ---- the missing pieces ---- */

struct rebuild {
	struct repair_job *job;
	struct repair_piece *from[PIECE_LIST_MAX];
	const uint8_t *in[PIECE_LIST_MAX];
	uint8_t *out[PIECE_LIST_MAX];
	size_t strip;
};

static enum err rebuild_strip(struct call *call, struct rebuild *r, const struct rs_rebuilder *rs,
			      uint64_t offset, size_t len)
{
	struct repair_job *job = r->job;

	for (size_t j = 0; j < job->code.required; j++)
		TRY_PLAIN(spool_read(call, r->from[j]->spool, offset,
				     (uint8_t *)(uintptr_t)r->in[j], len));
	rs_rebuilder_apply(rs, len, r->in, r->out);
	for (size_t i = 0; i < job->made_count; i++)
		TRY_PLAIN(spool_append(call, job->made[i].spool, BYTES(r->out[i], len)));
	return os_call_check(call);
}

static enum err rebuild_all(struct call *call, struct rebuild *r, const struct rs_rebuilder *rs)
{
	struct repair_job *job = r->job;
	size_t k = job->code.required, rows = k + job->made_count;
	uint64_t size = (uint64_t)job->piece_size;

	r->strip = MIN((size_t)STRIP_MAX, STRIPS_BYTES / rows / STRIP_UNIT * STRIP_UNIT);
	r->strip = MAX(r->strip, (size_t)STRIP_UNIT);
	AUTO_FREE uint8_t *memory = aligned_alloc(64, rows * r->strip);
	if (!memory)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t j = 0; j < k; j++)
		r->in[j] = memory + j * r->strip;
	for (size_t i = 0; i < job->made_count; i++)
		r->out[i] = memory + (k + i) * r->strip;
	for (uint64_t at = 0; at < size; at += r->strip)
		TRY_PLAIN(rebuild_strip(call, r, rs, at, (size_t)MIN(size - at, r->strip)));
	return OK;
}

enum err repair_rebuild(struct call *call, struct repair_job *job)
{
	AUTO(rs_auto) struct rs *code = NULL;
	AUTO(rebuilder_auto) struct rs_rebuilder *rs = NULL;
	struct rebuild r = { .job = job };
	unsigned from[PIECE_LIST_MAX], to[PIECE_LIST_MAX];
	size_t k = 0;

	for (size_t i = 0; i < job->listed_count && k < job->code.required; i++) {
		if (job->listed[i].state != REPAIR_OK)
			continue;
		from[k] = job->listed[i].number;
		r.from[k++] = &job->listed[i];
	}
	if (!k || k < job->code.required)
		return call_fail(call, ERR_INTERNAL, "%zu pieces are here, %u are needed", k,
				 job->code.required);
	for (size_t i = 0; i < job->made_count; i++) {
		to[i] = job->made[i].number;
		TRY_PLAIN(spool_new(call, job->sat->config.dir, job->spool_memory,
				    (uint64_t)job->piece_size, NULL, &job->made[i].spool));
	}
	TRY(rs_new(job->code.required, job->code.total, &code), "erasure code");
	TRY(rs_rebuilder_new(code, from, to, (unsigned)job->made_count, &rs), "erasure code");
	TRY_PLAIN(rebuild_all(call, &r, rs));
	/* What they were made from is not needed any more, and takes room. */
	for (size_t i = 0; i < job->listed_count; i++) {
		spool_free(job->listed[i].spool);
		job->listed[i].spool = NULL;
	}
	return OK;
}
