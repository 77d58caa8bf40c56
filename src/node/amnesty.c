/*
 * Pieces that the disk damaged are confessed to their satellites before audits find them
 * (storagenode.md 2): that costs less, and lets them be repaired sooner.  What no satellite took
 * yet is in a file beside the pieces, so that it is said after a restart, too: per piece the
 * satellite's ID and the piece's.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/node_internal.h"
#include "os/clock.h"
#include "os/log.h"
#include "proto/contact.pb-c.h"

enum {
	LOST_MAX = 10000, /* waiting; more are left to audits */
	BATCH_MAX = 50,
	COLLECT_SECONDS = 5,
	RETRY_SECONDS = 600,
	SEND_SECONDS_MAX = 60,
	LOST_BYTES = NODE_ID_BYTES + PIECE_ID_BYTES,
};

DEFINE_AUTO_PTR(struct rpc_conn, conn_auto, rpc_conn_close)

struct lost {
	struct lost *next;
	struct node_id satellite;
	struct piece_id piece;
};

static bool is_listed(const struct node *n, const struct node_id *satellite,
		      const struct piece_id *piece)
{
	for (const struct lost *l = n->lost; l; l = l->next)
		if (memcmp(l->piece.b, piece->b, PIECE_ID_BYTES) == 0 &&
		    node_id_equal(&l->satellite, satellite))
			return true;
	return false;
}

/* Each once. */
static void add(struct node *n, const struct node_id *satellite, const struct piece_id *piece)
{
	struct lost *l = malloc(sizeof(*l));

	if (!l)
		return;
	*l = (struct lost){ .satellite = *satellite, .piece = *piece };
	os_mutex_lock(&n->lock);
	bool taken = n->lost_count < LOST_MAX && !is_listed(n, satellite, piece);
	if (taken) {
		l->next = n->lost;
		n->lost = l;
		n->lost_count++;
		n->lost_changed = true;
	}
	os_mutex_unlock(&n->lock);
	if (!taken)
		free(l);
}

void node_piece_damaged(void *arg, const struct node_id *satellite, const struct piece_id *piece)
{
	struct node *n = arg;

	log_warn("a piece is damaged: its satellite is told", F_HEX("piece", BYTES_OF(piece->b)));
	add(n, satellite, piece);
	os_mutex_lock(&n->lock);
	/* Before the chores are there, the start of them looks. */
	struct chore *chore = n->amnesty;
	os_mutex_unlock(&n->lock);
	if (chore)
		chores_soon(n->chores, chore, COLLECT_SECONDS * NS_PER_SEC);
}

/* ---- the file ---- */

static const char *path_of(struct call *call, const struct node *n)
{
	return os_path_join(call, n->storage_path, "lost-pieces");
}

/* All that is listed; *ret_changed: it differs from the file. */
static void write_list(struct node *n, struct buf *out, bool *ret_changed)
{
	OS_LOCKED(&n->lock);
	*ret_changed = n->lost_changed;
	n->lost_changed = false;
	for (const struct lost *l = n->lost; *ret_changed && l; l = l->next) {
		buf_add(out, l->satellite.b, NODE_ID_BYTES);
		buf_add(out, l->piece.b, PIECE_ID_BYTES);
	}
}

/* While nothing is on its way, or it would be missing. */
static void save(struct call *call, struct node *n)
{
	AUTO_BUF struct buf list = BUF_INIT(LOST_MAX * LOST_BYTES);
	bool changed = false;

	write_list(n, &list, &changed);
	if (!changed)
		return;
	enum err e = buf_status(&list);
	if (!e)
		e = os_file_write_all(call, path_of(call, n), buf_bytes(&list), false);
	if (!e)
		return;
	log_warn("damaged pieces that no satellite knows of yet are not kept on disk",
		 F_STR("why", call_error(call, e)));
	call_clear_error(call);
	OS_LOCKED(&n->lock);
	n->lost_changed = true;
}

static void load(struct call *call, struct node *n)
{
	AUTO_BUF struct buf list = BUF_INIT(LOST_MAX * LOST_BYTES);
	enum err e = os_file_read_all(call, path_of(call, n), &list);
	struct bytes b = buf_bytes(&list);

	if (!e && b.len % LOST_BYTES)
		e = call_fail(call, ERR_FORMAT, "its length is wrong");
	if (e && e != ERR_NOT_FOUND)
		log_warn("the list of damaged pieces cannot be read: audits will find them",
			 F_STR("why", call_error(call, e)));
	call_clear_error(call);
	for (size_t at = 0; !e && at < b.len; at += LOST_BYTES) {
		struct node_id satellite;
		struct piece_id piece;
		memcpy(satellite.b, b.data + at, NODE_ID_BYTES);
		memcpy(piece.b, b.data + at + NODE_ID_BYTES, PIECE_ID_BYTES);
		add(n, &satellite, &piece);
	}
}

/* ---- telling ---- */

/* Up to BATCH_MAX of one satellite, off the list. */
static struct lost *take_batch(struct node *n, const struct node_id *satellite, size_t *ret_count)
{
	struct lost *batch = NULL;
	size_t count = 0;

	OS_LOCKED(&n->lock);
	for (struct lost **p = &n->lost; *p && count < BATCH_MAX;) {
		struct lost *l = *p;
		if (!node_id_equal(&l->satellite, satellite)) {
			p = &l->next;
			continue;
		}
		*p = l->next;
		l->next = batch;
		batch = l;
		count++;
	}
	n->lost_count -= count;
	n->lost_changed |= count > 0;
	*ret_count = count;
	return batch;
}

static void free_list(struct lost *l)
{
	while (l) {
		struct lost *next = l->next;
		free(l);
		l = next;
	}
}

static void put_back(struct node *n, struct lost *batch, size_t count)
{
	OS_LOCKED(&n->lock);
	while (batch) {
		struct lost *next = batch->next;
		batch->next = n->lost;
		n->lost = batch;
		batch = next;
	}
	n->lost_count += count;
}

static enum err send_batch(struct call *call, struct rpc_conn *conn, const struct lost *batch,
			   size_t count)
{
	Contact__AmnestyReportRequest request = CONTACT__AMNESTY_REPORT_REQUEST__INIT;
	Contact__AmnestyReportResponse *reply = NULL;
	Contact__LostPiece *pieces = arena_array(&call->scratch, count, sizeof(*pieces));

	request.lost_pieces = arena_array(&call->scratch, count, sizeof(Contact__LostPiece *));
	if (!pieces || !request.lost_pieces)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++, batch = batch->next) {
		contact__lost_piece__init(&pieces[i]);
		pieces[i].piece_id = proto_view(BYTES_OF(batch->piece.b));
		pieces[i].reason = CONTACT__LOST_PIECE_REASON__HASH_MISMATCH;
		request.lost_pieces[i] = &pieces[i];
	}
	request.n_lost_pieces = count;
	return rpc_invoke(call, conn, "/contact.Node/AmnestyReport", &request.base, &call->scratch,
			  &contact__amnesty_report_response__descriptor, &reply);
}

static enum err report_to(struct call *call, struct node *n, size_t satellite)
{
	AUTO(conn_auto) struct rpc_conn *conn = NULL;
	struct lost *batch;
	size_t count = 0;

	while ((batch = take_batch(n, trust_id(n->trust, satellite), &count))) {
		AUTO_CALL struct call own = CALL_INIT;
		call_init_child(&own, call);
		os_call_limit(&own, SEND_SECONDS_MAX * NS_PER_SEC);
		enum err e = conn ? OK : node_dial_satellite(&own, n, satellite, &conn);
		if (!e)
			e = send_batch(&own, conn, batch, count);
		if (e == ERR_UNIMPLEMENTED) /* it does not want to know */
			e = OK;
		if (e) {
			put_back(n, batch, count);
			call_copy_error(call, &own);
			return e;
		}
		free_list(batch);
		if (!rpc_conn_reusable(conn))
			rpc_conn_close(take(&conn));
	}
	return OK;
}

static int64_t report(struct call *call, void *arg)
{
	struct node *n = arg;
	bool again = false;

	save(call, n);
	for (size_t i = 0; i < trust_count(n->trust); i++) {
		enum err e = report_to(call, n, i);
		again |= e != OK;
		if (e && e != ERR_CANCELED)
			log_info("damaged pieces not reported, will be tried again",
				 F_STR("satellite", trust_address(n->trust, i)),
				 F_STR("why", call_error(call, e)));
		call_clear_error(call);
	}
	save(call, n);
	return again ? RETRY_SECONDS * NS_PER_SEC : CHORE_NEVER;
}

enum err node_amnesty_start(struct call *call, struct node *n)
{
	struct chore *chore = NULL;

	load(call, n);
	TRY_PLAIN(chores_add_network(call, n->chores, report, n, COLLECT_SECONDS * NS_PER_SEC,
				     &n->cancel, &chore));
	OS_LOCKED(&n->lock);
	n->amnesty = chore;
	return OK;
}

void node_amnesty_stop(struct node *n)
{
	AUTO_CALL struct call call = CALL_INIT;

	call_init(&call);
	os_mutex_lock(&n->lock);
	struct chore *chore = take(&n->amnesty);
	os_mutex_unlock(&n->lock);
	chores_remove(n->chores, chore);
	/* One that never came to its start has not read what was said before. */
	if (chore)
		save(&call, n);
	free_list(take(&n->lost));
}
