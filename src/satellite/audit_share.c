/* Shares of one stripe from the nodes of a segment: limits, connections, downloads. */
#include <stdatomic.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/thread.h"
#include "satellite/audit_internal.h"
#include "transfer/piece_download.h"

DEFINE_AUTO_PTR(struct rpc_conn, conn_auto, rpc_conn_close)
DEFINE_AUTO_PTR(struct piece_download, download_auto, piece_download_close)

int64_t audit_timeout_ns(const struct satellite *sat, int64_t size)
{
	return MAX(sat->config.audit.timeout, size * NS_PER_SEC / AUDIT_BYTES_PER_SEC);
}

enum err audit_make_limits(struct call *call, struct audit_job *job, size_t *ret_count)
{
	struct order_batch batch = { .action = ORDERS__PIECE_ACTION__GET_AUDIT,
				     .limit = job->segment.redundancy.share_size,
				     .root = job->segment.root };
	struct ed25519_private key;
	size_t n = 0;

	TRY_PLAIN(order_batch_begin(call, job->sat, &batch, &key));
	enum err e = ed25519_signer_new(call, &key, &job->signer);
	secret_wipe(&key, sizeof(key));
	TRY_PLAIN(e);
	for (size_t i = 0; i < job->count; i++) {
		struct audit_piece *p = &job->pieces[i];
		Metainfo__AddressedOrderLimit *m = NULL;
		if (!p->place.online || p->contained)
			continue;
		TRY_PLAIN(order_batch_limit(call, job->sat, &call->scratch, &batch, &p->place,
					    p->number, &m));
		TRY_PLAIN(addressed_limit_read(call, m, &p->limit));
		n++;
	}
	*ret_count = n;
	return OK;
}

enum err audit_dial(struct call *call, struct satellite *sat, const struct node_place *place,
		    struct rpc_conn **ret)
{
	/* By TLS, where the node proves who it is before it is asked for anything. */
	return rpc_dial(call, sat->tls, place->address, &place->id, ret);
}

static enum err read_share(struct call *call, struct piece_download *d, uint8_t *out, size_t size)
{
	size_t at = 0;
	struct bytes data;
	enum err e;

	while (!(e = piece_download_read(call, d, &data))) {
		memcpy(out + at, data.data, MIN(data.len, size - at));
		at += MIN(data.len, size - at);
	}
	return e == ERR_EOF ? OK : e;
}

/* What an error in answer to a request says (satellite.md 5). */
static enum audit_outcome outcome_of(enum err e)
{
	if (e == OK)
		return AUDIT_SUCCESS;
	if (e == ERR_NOT_FOUND)
		return AUDIT_FAILURE;
	if (e == ERR_DATA_LOSS)
		return AUDIT_DAMAGED;
	return e == ERR_DEADLINE ? AUDIT_CONTAINED : AUDIT_UNKNOWN;
}

static void fetch(struct call *call, struct audit_job *job, struct audit_piece *p)
{
	AUTO(conn_auto) struct rpc_conn *conn = NULL;
	AUTO(download_auto) struct piece_download *d = NULL;
	uint32_t size = job->segment.redundancy.share_size;
	int64_t timeout = audit_timeout_ns(job->sat, size);

	os_call_limit(call, timeout);
	p->asked = true;
	enum err e = audit_dial(call, job->sat, &p->place, &conn);
	p->connected = e == OK;
	if (!e)
		e = piece_download_open_on(call, conn, &p->limit, job->signer,
					   (uint64_t)job->stripe * size, size, timeout, &d);
	if (!e)
		e = read_share(call, d, p->share, size);
	p->outcome = p->connected ? outcome_of(e) : AUDIT_OFFLINE;
	if (e)
		snprintf(p->detail, sizeof(p->detail), "%s", call_error(call, e));
}

struct shares {
	struct audit_job *job;
	const struct call *call;
	_Atomic size_t next;
};

static void fetcher(void *arg)
{
	struct shares *s = arg;
	size_t i;

	while ((i = atomic_fetch_add(&s->next, 1)) < s->job->count) {
		AUTO_CALL struct call call = CALL_INIT;
		if (addressed_limit_blank(&s->job->pieces[i].limit))
			continue;
		call_init_child(&call, s->call);
		if (os_call_check(&call))
			return;
		fetch(&call, s->job, &s->job->pieces[i]);
	}
}

enum err audit_fetch_shares(struct call *call, struct audit_job *job)
{
	struct shares s = { .job = job, .call = call };
	struct os_thread *threads[AUDIT_THREADS] = { 0 };
	size_t want = MIN(job->count, (size_t)AUDIT_THREADS), started = 0;
	enum err e = OK;

	while (!e && started < want) {
		e = os_thread_start(call, "audit-share", fetcher, &s, &threads[started]);
		started += e == OK;
	}
	/* A few fewer do as well. */
	if (e && started) {
		call_clear_error(call);
		e = OK;
	}
	for (size_t i = 0; i < started; i++)
		os_thread_join(threads[i]);
	/* Stopped in the middle: what is missing is nobody's fault. */
	return e ? e : os_call_check(call);
}
