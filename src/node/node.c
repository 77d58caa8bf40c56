/* A node's life: opening, serving, chores, stopping. */
#include "node/node.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/node_internal.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"

enum {
	STATUS_SECONDS = 10,
	SYNC_ORDERS_SECONDS = 1,
	STOP_SECONDS = 3,
	STATUS_TEXT_MAX = 64 << 10,
};

/* ---- chores ---- */

void node_fail(struct node *n, const struct call *call, enum err e)
{
	log_error("the node stops", F_STR("why", call_error(call, e)));
	os_mutex_lock(&n->lock);
	if (!n->failure) {
		n->failure = e;
		memcpy(n->failure_text, call->error, sizeof(n->failure_text));
	}
	os_mutex_unlock(&n->lock);
	os_cancel_set(&n->cancel);
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

static int64_t write_status(struct call *call, void *arg)
{
	node_status_write(arg);
	return STATUS_SECONDS * NS_PER_SEC;
}

static enum err start_chores(struct call *call, struct node *n)
{
	const struct {
		chore_fn *fn;
		int64_t first_ns;
		struct chore **ret;
	} list[] = {
		{ sync_orders, CHORE_NEVER, &n->sync_orders },
		{ write_status, CHORE_NEVER, &n->write_status },
	};

	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		TRY_PLAIN(chores_add(call, n->chores, list[i].fn, n, list[i].first_ns, &n->cancel,
				     list[i].ret));
	return node_storage_start(call, n);
}

static void stop_chores(struct node *n)
{
	struct chore **list[] = { &n->sync_orders, &n->write_status };

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

static enum err keep_config(struct call *call, struct node *n, const char *dir)
{
	struct node_config *c = &n->config;
	const char **strings[] = { &n->dir,   &c->storage, &c->address,	 &c->external_address,
				   &c->email, &c->wallet,  &c->log_level };

	n->dir = dir;
	for (size_t i = 0; i < ARRAY_LEN(strings); i++)
		TRY_PLAIN(keep_string(call, &n->arena, strings[i]));
	if (!c->storage[0]) {
		c->storage = os_path_join(call, dir, "storage");
		TRY_PLAIN(keep_string(call, &n->arena, &c->storage));
	}
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

static enum err open_storage(struct call *call, struct node *n)
{
	const struct node_id *id = identity_node_id(n->identity);
	int64_t hour = order_window_hour(os_clock_unix_ns());

	TRY_PLAIN(storage_dir_open(call, n->config.storage, id, &n->storage));
	const char *orders = os_path_join(call, n->config.storage, "orders");
	TRY_PLAIN(os_dir_make(call, orders, false));
	TRY_PLAIN(order_log_open(call, orders, &n->orders));
	TRY_PLAIN(garbage_open(call, os_path_join(call, n->config.storage, "retain"), &n->garbage));
	TRY_PLAIN(serials_new(call, SERIALS_MEMORY_DEFAULT, &n->serials));
	TRY_PLAIN(order_log_read(call, n->orders, hour - ORDER_WINDOW_SECONDS, remember_serial, n));
	struct piece_store_config config = {
		.dir = n->config.storage,
		.node = *id,
		.allocated = n->config.space,
		.free_reserve = n->config.free_reserve,
		.segment_bytes = n->config.segment_size,
		.index_memory = n->config.index_memory,
		.accept_loss = n->config.accept_loss,
		.recovered = recover_order,
		.wake = wake_maintenance,
		.arg = n,
	};
	return piece_store_open(call, &config, &n->store);
}

static enum err open_parts(struct call *call, struct node *n, const char *dir)
{
	const char *identity = os_path_join(call, dir, "identity");
	const char *trust = os_path_join(call, dir, "trust");

	TRY_PLAIN(keep_config(call, n, dir));
	TRY_PLAIN(os_cancel_init(call, &n->cancel, call->cancel));
	n->cancel_made = true;
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
	log_info("storage opened", F_STR("directory", n->config.storage),
		 F_U64("pieces", space.pieces), F_U64("used", space.used),
		 F_U64("available", space.available));
	return OK;
}

enum err node_open(struct call *call, const char *dir, const struct node_config *config,
		   struct chores *chores, struct node **ret)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	n->config = *config;
	n->chores = chores;
	n->status_written = BUF_INIT(STATUS_TEXT_MAX);
	enum err e = open_parts(call, n, dir);
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
	TRY_PLAIN(rpc_server_start(call, &config, &n->server));
	n->fast_open = rpc_server_fast_open(n->server);
	snprintf(n->address, sizeof(n->address), "%s", rpc_server_address(n->server));
	node_id_text(identity_node_id(n->identity), id);
	log_info("node serves", F_STR("node", id), F_STR("address", node_address(n)));
	AUTO_BUF struct buf line = BUF_INIT(OS_ADDRESS_MAX + 1);
	buf_printf(&line, "%s\n", node_address(n));
	TRY_PLAIN(os_file_write_all(call, os_path_join(call, n->dir, "address"), buf_bytes(&line),
				    false));
	chores_soon(n->chores, n->write_status, 0);
	node_noise_test(n);
	/* Only now: satellites call back at once. */
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
	OS_LOCKED(&n->lock);
	if (n->failure)
		return call_fail(call, n->failure, "%s", n->failure_text);
	return OK;
}

void node_stop(struct node *n)
{
	AUTO_CALL struct call call = CALL_INIT;

	if (!n)
		return;
	call_init(&call);
	if (n->cancel_made)
		os_cancel_set(&n->cancel);
	/* Transfers first: their orders still need the chores. */
	rpc_server_stop(n->server, STOP_SECONDS * NS_PER_SEC);
	node_contact_stop(n);
	node_settle_stop(n);
	stop_chores(n);
	piece_store_close(&call, n->store);
	order_log_close(n->orders);
	garbage_close(n->garbage);
	serials_free(n->serials);
	storage_dir_close(n->storage);
	trust_free(n->trust);
	net_noise_free(n->noise);
	net_tls_free(n->tls);
	identity_free(n->identity);
	if (n->cancel_made)
		os_cancel_fini(&n->cancel);
	buf_free(&n->status_written);
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
