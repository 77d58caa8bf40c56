/* Pieces that the disk damaged are confessed to their satellites before audits find them
 * (storagenode.md 2): that costs less, and lets them be repaired sooner. */
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
};

DEFINE_AUTO_PTR(struct rpc_conn, conn_auto, rpc_conn_close)

struct lost {
	struct lost *next;
	struct node_id satellite;
	struct piece_id piece;
};

void node_piece_damaged(void *arg, const struct node_id *satellite, const struct piece_id *piece)
{
	struct lost *l = malloc(sizeof(*l));
	struct node *n = arg;

	log_warn("a piece is damaged: its satellite is told", F_HEX("piece", BYTES_OF(piece->b)));
	if (!l)
		return;
	*l = (struct lost){ .satellite = *satellite, .piece = *piece };
	os_mutex_lock(&n->lock);
	bool taken = n->lost_count < LOST_MAX;
	if (taken) {
		l->next = n->lost;
		n->lost = l;
		n->lost_count++;
	}
	/* Before the chores are there, the start of them looks. */
	struct chore *chore = n->amnesty;
	os_mutex_unlock(&n->lock);
	if (!taken)
		free(l);
	if (chore)
		chores_soon(n->chores, chore, COLLECT_SECONDS * NS_PER_SEC);
}

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

	for (size_t i = 0; i < trust_count(n->trust); i++) {
		enum err e = report_to(call, n, i);
		again |= e != OK;
		if (e && e != ERR_CANCELED)
			log_info("damaged pieces not reported, will be tried again",
				 F_STR("satellite", trust_address(n->trust, i)),
				 F_STR("why", call_error(call, e)));
		call_clear_error(call);
	}
	return again ? RETRY_SECONDS * NS_PER_SEC : CHORE_NEVER;
}

enum err node_amnesty_start(struct call *call, struct node *n)
{
	struct chore *chore = NULL;

	TRY_PLAIN(chores_add_network(call, n->chores, report, n, COLLECT_SECONDS * NS_PER_SEC,
				     &n->cancel, &chore));
	OS_LOCKED(&n->lock);
	n->amnesty = chore;
	return OK;
}

void node_amnesty_stop(struct node *n)
{
	os_mutex_lock(&n->lock);
	struct chore *chore = take(&n->amnesty);
	os_mutex_unlock(&n->lock);
	chores_remove(n->chores, chore);
	free_list(take(&n->lost));
}
