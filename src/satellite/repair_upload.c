/* The pieces that a repair made, to their nodes; to others where a node fails. */
#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "satellite/repair_internal.h"
#include "transfer/piece_upload.h"

#define UPLOAD_NS_MAX (300 * NS_PER_SEC)
#define STALL_NS (15 * NS_PER_SEC)

enum { ROUNDS_MAX = 3, STREAMS_MAX = 32 };

DEFINE_AUTO_PTR(struct piece_upload, upload_auto, piece_upload_close)
DEFINE_AUTO_PTR(struct ed25519_signer, signer_auto, ed25519_signer_free)

struct store {
	struct order_batch batch;
	struct ed25519_signer *signer;
};

static enum err send_piece(struct call *call, struct repair_job *job, struct repair_piece *p,
			   struct piece_upload *u)
{
	uint64_t size = (uint64_t)job->piece_size;
	AUTO_FREE uint8_t *chunk = malloc(PIECE_CHUNK_MAX);

	if (!chunk)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (uint64_t at = 0; at < size; at += PIECE_CHUNK_MAX) {
		size_t n = (size_t)MIN(size - at, (uint64_t)PIECE_CHUNK_MAX);
		struct bytes slice = BYTES(chunk, n);
		TRY_PLAIN(spool_read(call, p->spool, at, chunk, n));
		TRY_PLAIN(pacer_wait(call, fanout_upload_pacer(job->fanout), n));
		TRY_PLAIN(piece_upload_write(call, u, &slice, 1, at + n == size, false));
	}
	return OK;
}

static enum err store_piece(struct call *call, struct repair_job *job, struct repair_piece *p,
			    void *arg)
{
	AUTO(upload_auto) struct piece_upload *u = NULL;
	const struct store *s = arg;
	Metainfo__AddressedOrderLimit *m = NULL;
	Orders__PieceHash *hash = NULL;
	struct addressed_limit limit;

	os_call_limit(call, UPLOAD_NS_MAX);
	TRY_PLAIN(order_batch_limit(call, job->sat, &call->scratch, &s->batch, &p->place, p->number,
				    &m));
	TRY_PLAIN(addressed_limit_read(call, m, &limit));
	TRY_PLAIN(
		piece_upload_open(call, job->fanout, &limit, s->signer, HASH_BLAKE3, STALL_NS, &u));
	TRY_PLAIN(send_piece(call, job, p, u));
	return piece_upload_finish(call, u, &call->scratch, &hash);
}

static size_t not_stored(struct repair_job *job, struct repair_piece **out)
{
	size_t n = 0;

	for (size_t i = 0; i < job->made_count; i++)
		if (job->made[i].state != REPAIR_OK)
			out[n++] = &job->made[i];
	return n;
}

/* Other nodes for the first of the pieces that failed; returns for how many. */
static size_t choose_others(struct call *call, struct repair_job *job, struct repair_piece **failed,
			    size_t count)
{
	struct node_place *places = NULL;

	count = repair_choose(call, job, count, &places);
	for (size_t i = 0; i < count; i++) {
		failed[i]->place = places[i];
		failed[i]->node = places[i].id;
		failed[i]->state = REPAIR_UNTRIED;
	}
	return count;
}

static enum err store_rounds(struct call *call, struct repair_job *job, struct store *s,
			     struct buf *why)
{
	struct repair_piece *list[PIECE_LIST_MAX];

	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		size_t count = not_stored(job, list);
		if (round)
			count = choose_others(call, job, list, count);
		if (!count)
			break;
		TRY_PLAIN(repair_each(call, job, list, count, STREAMS_MAX, count, store_piece, s,
				      why));
	}
	return OK;
}

enum err repair_upload(struct call *call, struct repair_job *job)
{
	AUTO(signer_auto) struct ed25519_signer *signer = NULL;
	AUTO_BUF struct buf why = BUF_INIT(CALL_ERROR_MAX);
	struct repair_piece *list[PIECE_LIST_MAX];
	struct ed25519_private key;
	struct store s = { .batch = { .action = ORDERS__PIECE_ACTION__PUT_REPAIR,
				      .limit = job->piece_size,
				      .piece_expiration_ns = job->segment.expires_ns,
				      .root = job->segment.root } };

	TRY_PLAIN(order_batch_begin(call, job->sat, &s.batch, &key));
	enum err e = ed25519_signer_new(call, &key, &signer);
	secret_wipe(&key, sizeof(key));
	TRY_PLAIN(e);
	s.signer = signer;
	TRY_PLAIN(store_rounds(call, job, &s, &why));
	if (not_stored(job, list) == job->made_count)
		return call_fail(call, ERR_UNAVAILABLE, "no node took a piece: %s", buf_cstr(&why));
	return OK;
}
