/* A node's life: opening, serving, chores, stopping. */
#include "node/node.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/day_hours.h"
#include "base/num.h"
#include "base/text.h"
#include "identity/signed_tags.h"
#include "node/node_internal.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"
#include "os/process.h"

enum {
	SYNC_ORDERS_SECONDS = 1,
	STOP_SECONDS = 3,
	RECENT_MEMORY_DIVISOR = 8,
};

/* ---- chores ---- */

void node_fail(struct node *n, const struct call *call, enum err e)
{
	log_error("the node stops", F_STR("why", call_error(call, e)));
	os_mutex_lock(&n->lock);
	bool first = !n->failure;
	if (first) {
		n->failure = e;
		memcpy(n->failure_text, call->error, sizeof(n->failure_text));
	}
	os_mutex_unlock(&n->lock);
	os_cancel_set(&n->cancel);
	if (first && n->on_failure)
		n->on_failure(n->on_failure_arg);
}

static int64_t sync_orders(struct call *call, void *arg)
{
	struct node *n = arg;
	enum err e = order_log_sync(call, n->orders, os_clock_unix_ns());

	if (!e)
		return CHORE_NEVER;
	log_error("orders could not be synced", F_STR("why", call_error(call, e)));
	return SYNC_ORDERS_SECONDS * NS_PER_SEC;
}

static enum err start_chores(struct call *call, struct node *n)
{
	const struct {
		chore_fn *fn;
		int64_t first_ns;
		struct chore **ret;
	} list[] = {
		{ sync_orders, CHORE_NEVER, &n->sync_orders },
	};

	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		TRY_PLAIN(chores_add(call, n->chores, list[i].fn, n, list[i].first_ns, &n->cancel,
				     list[i].ret));
	return node_storage_start(call, n);
}

static void stop_chores(struct node *n)
{
	struct chore **list[] = { &n->sync_orders };

	node_storage_stop(n);
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		chores_remove(n->chores, take(list[i]));
}

struct order_window node_order_window(const struct limit_terms *t)
{
	return (struct order_window){ t->satellite, order_window_hour(t->order_creation_unix_ns) };
}

void node_keep_order(struct node *n, const struct limit_terms *t, const struct order *order)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct order_window w = node_order_window(t);

	call_init(&call);
	enum err e = order_log_append(&call, n->orders, &w, t->wire, order);
	if (e)
		log_error("an order could not be kept: it will not be paid",
			  F_STR("why", call_error(&call, e)));
	chores_soon(n->chores, n->sync_orders, SYNC_ORDERS_SECONDS * NS_PER_SEC);
}

/* ---- opening ---- */

static enum err keep_string(struct call *call, struct arena *a, const char **s)
{
	*s = arena_str(a, bytes_str(*s ? *s : ""));
	return *s ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

static enum err check_config(struct call *call, const struct node_config *c)
{
	Node__SignedNodeTagSets tags;
	struct day_hours hours;
	const char *external = c->external_address;

	if (external && external[0] && !text_is_address(bytes_str(external)))
		return call_fail(call, ERR_CONFIG,
				 "external-address: \"%s\" is not host:port, as others reach it",
				 external);
	TRY(node_own_tags_check(call, c->own_tags), "self-signed-tags");
	TRY(day_hours_parse(call, c->upload_hours, &hours), "upload-hours");
	TRY(day_hours_parse(call, c->online_hours, &hours), "online-hours");
	TRY(signed_tags_parse(call, c->signed_tags, &tags), "signed-tags");
	return OK;
}

static enum err keep_config(struct call *call, struct node *n, const char *dir)
{
	struct node_config *c = &n->config;
	const char **strings[] = {
		&n->dir,       &c->storage,	 &c->address,	&c->external_address,
		&c->identity,  &c->upload_hours, &c->email,	&c->wallet,
		&c->log_level, &c->receive_rate, &c->send_rate, &c->online_hours,
		&c->own_tags,  &c->signed_tags
	};

	n->dir = dir;
	for (size_t i = 0; i < ARRAY_LEN(strings); i++)
		TRY_PLAIN(keep_string(call, &n->arena, strings[i]));
	if (!c->storage[0]) {
		c->storage = os_path_join(call, dir, "storage");
		TRY_PLAIN(keep_string(call, &n->arena, &c->storage));
	}
	if (!c->identity[0]) {
		c->identity = os_path_join(call, dir, "identity");
		TRY_PLAIN(keep_string(call, &n->arena, &c->identity));
	}
	TRY_PLAIN(check_config(call, c));
	if (!c->satellites.count)
		return call_fail(call, ERR_CONFIG,
				 "no satellite: name at least one (satellite = id@host:port)");
	return OK;
}

/* Serials of the hours whose limits can still be used (storagenode.md 3). */
static enum err remember_serial(struct call *call, void *arg, const struct order_window *w,
				const struct order_entry *entry)
{
	struct node *n = arg;
	struct order order;

	if (order_decode(call, entry->order, &order) == OK &&
	    serials_use(call, n->serials, &w->satellite, &order.serial, w->hour_unix * NS_PER_SEC,
			os_clock_unix_ns()))
		log_debug("a serial number was kept twice");
	call_clear_error(call);
	return OK;
}

/* A record beyond the last checkpoint: its order may not have reached the order log before the end.
 * Of recent hours it is known what is there.  Of older ones, an order that is there twice does no
 * harm (a serial counts once in a settlement); a window without a file has been settled. */
static enum err recover_order(struct call *call, void *arg, const struct piece_record *r)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct node *n = arg;
	struct order order = { .amount = r->order_amount };
	struct limit_terms t;
	int64_t now = os_clock_unix_ns();

	call_init(&own);
	if (r->order_amount <= 0 || limit_terms_read(&own, &own.scratch, r->limit, &t))
		return OK;
	struct order_window w = node_order_window(&t);
	bool recent = w.hour_unix >= order_window_hour(now) - ORDER_WINDOW_SECONDS;
	if (recent ? serials_use(&own, n->serials, &t.satellite, &t.serial,
				 t.order_creation_unix_ns, now) != OK
		   : !order_log_has(n->orders, &w))
		return OK;
	order.serial = t.serial;
	memcpy(order.signature, r->order_signature, sizeof(order.signature));
	return order_log_append(call, n->orders, &w, r->limit, &order);
}

static void wake_maintenance(void *arg)
{
	node_storage_maintain(arg);
}

/* This node's part of the memory for what was stored last. */
static uint64_t recent_bytes(const struct node *n)
{
	uint64_t machine = os_memory_bytes() / RECENT_MEMORY_DIVISOR / n->nodes;

	return machine ? MIN(n->config.recent_memory, machine) : n->config.recent_memory;
}

static enum err open_storage(struct call *call, struct node *n)
{
	const struct node_id *id = identity_node_id(n->identity);
	int64_t hour = order_window_hour(os_clock_unix_ns());

	bool foreign = false;

	n->storage_path = n->config.storage;
	TRY_PLAIN(node_import_resolve(call, &n->arena, id, &n->storage_path, &foreign));
	enum err e = storage_dir_open(call, n->storage_path, id, &n->storage);
	if (e && foreign)
		return call_wrap(call, e,
				 "this is the storage of Storj's node (acre-node import takes its "
				 "pieces over)");
	TRY_PLAIN(e);
	const char *orders = os_path_join(call, n->storage_path, "orders");
	TRY_PLAIN(os_dir_make(call, orders, false));
	TRY_PLAIN(order_log_open(call, orders, &n->orders));
	TRY_PLAIN(garbage_open(call, os_path_join(call, n->storage_path, "retain"), &n->garbage));
	TRY_PLAIN(serials_new(call, SERIALS_MEMORY_DEFAULT, &n->serials));
	TRY_PLAIN(order_log_read(call, n->orders, hour - ORDER_WINDOW_SECONDS, remember_serial, n));
	struct piece_store_config config = {
		.dir = n->storage_path,
		.node = *id,
		.allocated = n->config.space,
		.free_reserve = n->config.free_reserve,
		.segment_bytes = n->config.segment_size,
		.index_memory = n->config.index_memory,
		.recent_bytes = recent_bytes(n),
		.accept_loss = n->config.accept_loss,
		.recovered = recover_order,
		.damaged = node_piece_damaged,
		.wake = wake_maintenance,
		.missing = node_import_missing,
		.arg = n,
	};
	TRY_PLAIN(piece_store_open(call, &config, &n->store));
	return node_import_open(call, n);
}

static enum err open_parts(struct call *call, struct node *n, const char *dir)
{
	const char *trust = os_path_join(call, dir, "trust");

	TRY_PLAIN(keep_config(call, n, dir));
	TRY_PLAIN(os_cancel_init(call, &n->cancel, call->cancel));
	n->cancel_made = true;
	const char *identity = n->config.identity;
	TRY(identity_load(call, os_path_join(call, identity, "identity.cert"),
			  os_path_join(call, identity, "identity.key"), &n->identity),
	    "identity of the node in %s", identity);
	TRY_PLAIN(net_tls_new(call, n->identity, &n->tls));
	TRY_PLAIN(node_noise_new(call, n));
	TRY_PLAIN(os_dir_make(call, trust, false));
	TRY_PLAIN(trust_new(call, &n->config.satellites, trust, n->tls, &n->trust));
	TRY_PLAIN(open_storage(call, n));
	struct piece_space space;
	TRY_PLAIN(piece_store_space(call, n->store, &space));
	if (n->config.space > space.used + space.disk_free && !n->config.development)
		log_warn("less room on the disk than the space set: what is there is used",
			 F_U64("space", n->config.space),
			 F_U64("possible", space.used + space.disk_free));
	log_info("storage opened", F_STR("directory", n->storage_path),
		 F_U64("pieces", space.pieces), F_U64("used", space.used),
		 F_U64("available", space.available));
	return OK;
}

enum err node_open(struct call *call, const char *dir, const struct node_config *config,
		   const struct node_host *host, struct node **ret)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	n->config = *config;
	n->chores = host->chores;
	n->rpc = host->rpc;
	n->nodes = MAX(host->nodes, (size_t)1);
	enum err e = traffic_new(call, host->traffic, &n->traffic);
	if (!e)
		e = traffic_set(call, n->traffic, config->receive_rate, config->send_rate);
	if (!e)
		e = open_parts(call, n, dir);
	if (e) {
		node_stop(n);
		return e;
	}
	*ret = n;
	return OK;
}

/* ---- serving ---- */

enum err node_start(struct call *call, struct node *n)
{
	struct rpc_server_config config = {
		.host = n->rpc,
		.tls = n->tls,
		.noise = n->noise,
		.address = n->config.address,
		.methods = node_methods,
		.methods_count = node_methods_count,
		.service = n,
	};
	char id[NODE_ID_TEXT_MAX];

	/* Nobody can be sent to "all addresses". */
	const char *bound = n->config.address;
	if (!n->config.external_address[0] &&
	    (bound[0] == ':' || strncmp(bound, "0.0.0.0:", 8) == 0 ||
	     strncmp(bound, "[::]:", 5) == 0))
		return call_fail(
			call, ERR_CONFIG,
			"the node listens on %s: set external-address to the host:port that "
			"satellites and renters reach it by",
			bound);
	n->started_unix_ns = os_clock_unix_ns();
	/* Requests may come at once, and they call on chores. */
	TRY_PLAIN(start_chores(call, n));
	TRY_PLAIN(node_contact_start(call, n));
	TRY_PLAIN(node_settle_start(call, n));
	TRY_PLAIN(node_leave_start(call, n));
	TRY_PLAIN(node_amnesty_start(call, n));
	TRY_PLAIN(node_stats_start(call, n));
	TRY_PLAIN(node_import_start(call, n));
	TRY_PLAIN(rpc_server_start(call, &config, &n->server));
	n->fast_open = rpc_server_fast_open(n->server);
	snprintf(n->address, sizeof(n->address), "%s", rpc_server_address(n->server));
	node_id_text(identity_node_id(n->identity), id);
	log_info("node serves", F_STR("node", id), F_STR("address", node_address(n)));
	AUTO_BUF struct buf line = BUF_INIT(OS_ADDRESS_MAX + 1);
	buf_printf(&line, "%s\n", node_address(n));
	TRY_PLAIN(os_file_write_all(call, os_path_join(call, n->dir, "address"), buf_bytes(&line),
				    false));
	node_noise_test(n);
	/* Only now: satellites call back at once. */
	n->serving = true;
	node_contact_all(n);
	return OK;
}

enum err node_wait(struct call *call, struct node *n)
{
	AUTO_CALL struct call wait = CALL_INIT;

	call_init(&wait);
	/* Set by whoever fails the node, and by whoever cancels the one who opened it. */
	wait.cancel = &n->cancel;
	while (!os_cancel_is_set(&n->cancel))
		if (os_sleep(&wait, INT64_MAX / 2) == ERR_CANCELED)
			break;
	return node_failure(call, n);
}

enum err node_failure(struct call *call, struct node *n)
{
	OS_LOCKED(&n->lock);
	if (n->failure)
		return call_fail(call, n->failure, "%s", n->failure_text);
	return OK;
}

void node_on_failure(struct node *n, void (*failed)(void *arg), void *arg)
{
	n->on_failure = failed;
	n->on_failure_arg = arg;
}

void node_refuse_uploads(struct node *n, enum node_no_uploads why, bool on)
{
	os_mutex_lock(&n->lock);
	unsigned before = n->no_uploads;
	n->no_uploads = on ? before | why : before & ~(unsigned)why;
	bool changed = !before != !n->no_uploads;
	/* Under the lock, so that the last to decide is the last to say. */
	piece_store_set_state(n->store, n->no_uploads ? STORE_READ_ONLY : STORE_READY);
	os_mutex_unlock(&n->lock);
	if (changed)
		node_contact_all(n);
}

/* ---- settings that change ---- */

static const struct {
	const char *name;
	size_t offset;
	enum { RATE, STRING, FIXED_STRING, FIXED_SIZE } kind;
} changeable[] = {
#define CONFIG(name, field, kind)                                                                  \
	{                                                                                          \
		name, offsetof(struct node_config, field), kind                                    \
	}
	CONFIG("space", space, RATE),
	CONFIG("free-reserve", free_reserve, RATE),
	CONFIG("max-requests", max_requests, RATE),
	CONFIG("compact-rate", compact_rate, RATE),
	CONFIG("scrub-rate", scrub_rate, RATE),
	CONFIG("retain-skew", retain_skew_ns, RATE),
	CONFIG("email", email, STRING),
	CONFIG("wallet", wallet, STRING),
	CONFIG("external-address", external_address, STRING),
	CONFIG("upload-hours", upload_hours, STRING),
	CONFIG("online-hours", online_hours, STRING),
	CONFIG("self-signed-tags", own_tags, STRING),
	CONFIG("signed-tags", signed_tags, STRING),
	CONFIG("address", address, FIXED_STRING),
	CONFIG("storage", storage, FIXED_STRING),
	CONFIG("identity", identity, FIXED_STRING),
	CONFIG("segment-size", segment_size, FIXED_SIZE),
	CONFIG("index-memory", index_memory, FIXED_SIZE),
	CONFIG("recent-memory", recent_memory, FIXED_SIZE),
#undef CONFIG
};

static void needs_restart(struct buf *notes, const char *node, const char *name)
{
	buf_printf(notes, "%s: %s changes when the node is restarted\n", node, name);
}

static bool apply_string(struct node *n, const char **to, const char *from)
{
	OS_LOCKED(&n->lock);
	const char *copy = strcmp(*to, from) == 0 ? NULL : arena_str(&n->arena, bytes_str(from));

	if (copy)
		__atomic_store_n(to, copy, __ATOMIC_RELEASE);
	return copy;
}

static bool apply_number(uint64_t *to, uint64_t number)
{
	return __atomic_exchange_n(to, number, __ATOMIC_ACQ_REL) != number;
}

/* Whether something changed. */
static bool apply_one(struct node *n, size_t i, const struct node_config *config, const char *node,
		      struct buf *notes)
{
	uint8_t *to = (uint8_t *)&n->config + changeable[i].offset;
	const uint8_t *from = (const uint8_t *)config + changeable[i].offset;
	const char *text = "";
	uint64_t number = 0;

	switch (changeable[i].kind) {
	case STRING:
	case FIXED_STRING:
		memcpy(&text, from, sizeof(text));
		text = text ? text : "";
		break;
	case RATE:
	case FIXED_SIZE:
		memcpy(&number, from, sizeof(number));
	}
	switch (changeable[i].kind) {
	case STRING:
		return apply_string(n, (const char **)(void *)to, text);
	case FIXED_STRING:
		/* An empty storage directory was completed when the node was opened. */
		if (text[0] && strcmp(*(const char **)(void *)to, text) != 0)
			needs_restart(notes, node, changeable[i].name);
		break;
	case RATE:
		return apply_number((uint64_t *)(void *)to, number);
	case FIXED_SIZE:
		if (*(uint64_t *)(void *)to != number)
			needs_restart(notes, node, changeable[i].name);
	}
	return false;
}

static bool same_list(const struct param_list *a, const struct param_list *b)
{
	bool same = a->count == b->count;

	for (size_t i = 0; same && i < a->count; i++)
		same = strcmp(a->items[i], b->items[i]) == 0;
	return same;
}

enum err node_apply(struct call *call, struct node *n, const struct node_config *config,
		    const char *name, struct buf *notes)
{
	bool changed = false;

	TRY_PLAIN(check_config(call, config));
	TRY_PLAIN(traffic_set(call, n->traffic, config->receive_rate, config->send_rate));
	for (size_t i = 0; i < ARRAY_LEN(changeable); i++)
		changed |= apply_one(n, i, config, name, notes);
	if (!same_list(&n->config.satellites, &config->satellites))
		needs_restart(notes, name, "satellite");
	piece_store_set_room(n->store, node_get(n, space), node_get(n, free_reserve));
	node_storage_hours(n);
	/* Satellites hear of what changed for them. */
	if (changed)
		node_contact_all(n);
	return buf_status(notes);
}

void node_stop(struct node *n)
{
	node_stop_within(n, STOP_SECONDS * NS_PER_SEC);
}

void node_stop_within(struct node *n, int64_t grace_ns)
{
	AUTO_CALL struct call call = CALL_INIT;

	if (!n)
		return;
	call_init(&call);
	if (n->cancel_made)
		os_cancel_set(&n->cancel);
	/* Transfers first: their orders still need the chores. */
	rpc_server_stop(n->server, grace_ns);
	node_settle_stop(n);
	node_leave_stop(n);
	node_stats_stop(n);
	chores_remove(n->chores, take(&n->import_chore));
	stop_chores(n);
	node_amnesty_stop(n);
	/* Others ask for check-ins until they end. */
	node_contact_stop(n);
	piece_store_close(&call, n->store);
	order_log_close(n->orders);
	garbage_close(n->garbage);
	serials_free(n->serials);
	traffic_free(n->traffic);
	storage_dir_close(n->storage);
	trust_free(n->trust);
	net_noise_free(n->noise);
	net_tls_free(n->tls);
	identity_free(n->identity);
	if (n->cancel_made)
		os_cancel_fini(&n->cancel);
	os_mutex_fini(&n->lock);
	arena_free(&n->arena);
	free(n);
}

const char *node_address(const struct node *n)
{
	return n->address;
}

const struct node_id *node_id_of(const struct node *n)
{
	return identity_node_id(n->identity);
}
