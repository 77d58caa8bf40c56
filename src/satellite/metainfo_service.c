/* What metainfo keeps in memory, and its chore: rows whose time has come (metainfo.md 5). */
#include <stdlib.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/process.h"
#include "satellite/metainfo_internal.h"
#include "satellite/satellite.h"
#include "satellite/store_metainfo.h"

enum { CHORE_ROWS = 200 };
#define CLOSE_NS_MAX (10 * NS_PER_SEC)
#define CHORE_INTERVAL_NS (60 * NS_PER_SEC)
/* Expired rows are invisible at once; they stay a while, for downloads under way. */
#define CHORE_GRACE_NS (60 * NS_PER_SEC)

struct due_query {
	int64_t now_ns;
	size_t count;
};

static enum err delete_due(struct call *call, struct db_tx *tx, void *arg)
{
	struct due_query *q = arg;
	struct object *list = NULL;

	q->count = 0;
	TRY_PLAIN(store_object_due(call, tx, q->now_ns, CHORE_ROWS, &list, &q->count));
	for (size_t i = 0; i < q->count; i++)
		TRY_PLAIN(store_object_delete(call, tx, &list[i]));
	return OK;
}

enum err metainfo_delete_expired(struct call *call, struct satellite *sat, int64_t now_ns,
				 size_t *ret_deleted)
{
	struct due_query q = { .now_ns = now_ns };
	size_t deleted = 0;

	do {
		AUTO_CALL struct call round = CALL_INIT;
		call_init_child(&round, call);
		enum err e = db_write(&round, sat->db, delete_due, &q);
		if (e) {
			call_copy_error(call, &round);
			return e;
		}
		deleted += q.count;
	} while (q.count == CHORE_ROWS && !os_call_check(call));
	*ret_deleted = deleted;
	return OK;
}

static void chore(void *arg)
{
	struct satellite *sat = arg;
	struct metainfo *m = sat->metainfo;

	while (!os_cancel_is_set(&m->stop)) {
		AUTO_CALL struct call call = CALL_INIT;
		size_t deleted = 0;
		call_init(&call);
		call.cancel = &m->stop;
		if (os_sleep(&call, CHORE_INTERVAL_NS))
			return;
		os_memory_slim();
		if (bandwidth_mark(&call, m->bandwidth, sat->db, false))
			log_warn("bandwidth not written", F_STR("error", call.error));
		enum err e = metainfo_delete_expired(&call, sat,
						     os_clock_unix_ns() - CHORE_GRACE_NS, &deleted);
		if (e)
			log_warn("expired objects not removed",
				 F_STR("error", call_error(&call, e)));
		else if (deleted)
			log_debug("expired objects removed", F_U64("count", deleted));
	}
}

enum err metainfo_open(struct call *call, struct satellite *sat)
{
	const struct satellite_config *c = &sat->config;
	struct metainfo *m = calloc(1, sizeof(*m));

	if (!m)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	sat->metainfo = m;
	m->aliases = node_aliases_new();
	m->usage = usage_new();
	m->bandwidth = bandwidth_new();
	m->upload_rate = object_rate_new(c->upload_interval, c->upload_burst);
	m->download_rate = object_rate_new(c->download_interval, c->download_burst);
	if (!m->aliases || !m->usage || !m->bandwidth) {
		metainfo_close(sat);
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	/* From now on it grants; until it says so again, what it grants may be lost with it. */
	enum err e = bandwidth_mark(call, m->bandwidth, sat->db, false);
	if (e == ERR_NO_SPACE || e == ERR_IO || e == ERR_UNCERTAIN) /* the chore tries again */
		e = OK;
	if (!e)
		e = os_cancel_init(call, &m->stop, NULL);
	m->has_stop = !e;
	if (!e)
		e = os_thread_start(call, "expired", chore, sat, &m->chore);
	if (e)
		metainfo_close(sat);
	return e;
}

void metainfo_close(struct satellite *sat)
{
	struct metainfo *m = sat->metainfo;

	if (!m)
		return;
	if (m->chore) {
		os_cancel_set(&m->stop);
		os_thread_join(m->chore);
	}
	if (m->has_stop)
		os_cancel_fini(&m->stop);
	node_aliases_free(m->aliases);
	if (m->bandwidth) {
		AUTO_CALL struct call call = CALL_INIT;
		call_init(&call);
		os_call_limit(&call, CLOSE_NS_MAX);
		if (bandwidth_mark(&call, m->bandwidth, sat->db, true))
			log_warn("bandwidth not written", F_STR("error", call.error));
	}
	bandwidth_free(m->bandwidth);
	usage_free(m->usage);
	object_rate_free(m->upload_rate);
	object_rate_free(m->download_rate);
	free(m);
	sat->metainfo = NULL;
}
