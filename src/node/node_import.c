/* Taking over the pieces of Storj's node: beside serving, or by a command while nothing serves. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/node_internal.h"
#include "node/import.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"

enum { RETRY_SECONDS = 60, TELL_SECONDS = 60 };

DEFINE_AUTO_PTR(struct identity, identity_auto, identity_free)
DEFINE_AUTO_PTR(struct storage_dir, storage_dir_auto, storage_dir_close)

enum err node_import_resolve(struct call *call, struct arena *a, const struct node_id *id,
			     const char **storage, bool *ret_foreign)
{
	TRY_PLAIN(import_is_source(call, *storage, id, ret_foreign));
	if (!*ret_foreign)
		return OK;
	const char *inner = os_path_join(call, *storage, STORAGE_DIR_INNER);
	inner = arena_str(a, bytes_str(inner));
	if (!inner)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*storage = inner;
	return OK;
}

/* ---- beside serving ---- */

static void tell(void *arg, const struct import_figures *f, const char *where)
{
	struct node *n = arg;
	int64_t now = os_clock_mono_ns();

	os_mutex_lock(&n->lock);
	n->imported = *f;
	os_mutex_unlock(&n->lock);
	node_storage_maintain(n);
	if (now - n->import_told_ns < TELL_SECONDS * NS_PER_SEC)
		return;
	n->import_told_ns = now;
	log_info("pieces of Storj's node are being taken over", F_U64("pieces", f->taken),
		 F_U64("bytes", f->bytes), F_STR("at", where));
}

static struct import_config config_of(struct node *n)
{
	return (struct import_config){
		.from = n->import.from,
		.logs = n->import.logs,
		.tables = n->import.tables,
		.move = n->import.move,
		.node = *identity_node_id(n->identity),
		.store = n->store,
		.progress = tell,
		.damaged = node_piece_damaged,
		.arg = n,
	};
}

enum err node_import_missing(struct call *call, void *arg, const struct node_id *satellite,
			     const struct piece_id *piece)
{
	const struct import_config config = config_of(arg);

	return import_one(call, &config, satellite, piece);
}

static int64_t import_all(struct call *call, void *arg)
{
	struct node *n = arg;
	const struct import_config config = config_of(n);
	struct import_figures f = { 0 };

	if (!piece_store_recovered(n->store) || piece_store_state(n->store) == STORE_OFFLINE)
		return NS_PER_SEC;
	enum err e = import_run(call, &config, &f);
	if (e == ERR_CANCELED)
		return CHORE_NEVER;
	if (!e) {
		n->import.done = true;
		e = import_order_write(call, n->storage_path, &n->import);
	}
	os_mutex_lock(&n->lock);
	n->imported = f;
	snprintf(n->import_error, sizeof(n->import_error), "%s", e ? call_error(call, e) : "");
	os_mutex_unlock(&n->lock);
	if (e) {
		log_error("taking over pieces stopped; tried again in a minute",
			  F_STR("why", call_error(call, e)));
		return RETRY_SECONDS * NS_PER_SEC;
	}
	log_info("all pieces of Storj's node are taken over", F_U64("pieces", f.taken),
		 F_U64("bytes", f.bytes), F_U64("here-before", f.present),
		 F_U64("expired", f.expired), F_U64("never-complete", f.partial),
		 F_U64("damaged", f.damaged));
	if (f.headless)
		log_warn("pieces of before 2019 have neither hash nor signature, and are left with "
			 "Storj's node: satellites that ask for them are told \"not found\"",
			 F_U64("pieces", f.headless), F_U64("bytes", f.headless_bytes));
	piece_store_set_incomplete(n->store, false);
	node_refuse_uploads(n, NODE_IMPORTING, false);
	return CHORE_NEVER;
}

enum err node_import_open(struct call *call, struct node *n)
{
	enum err e = import_order_read(call, &n->arena, n->storage_path, &n->import);

	if (e == ERR_NOT_FOUND) {
		call_clear_error(call);
		n->import.done = true;
		return OK;
	}
	TRY_PLAIN(e);
	if (n->import.done)
		return OK;
	bool source = false;
	TRY_PLAIN(import_is_source(call, n->import.from, identity_node_id(n->identity), &source));
	if (!source)
		return call_fail(call, ERR_PRECONDITION,
				 "not all pieces of %s are taken over, and it is not there: is the "
				 "disk mounted?",
				 n->import.from);
	/* Two nodes would fill one disk. */
	n->no_uploads |= NODE_IMPORTING;
	piece_store_set_incomplete(n->store, true);
	piece_store_set_state(n->store, STORE_READ_ONLY);
	return OK;
}

enum err node_import_start(struct call *call, struct node *n)
{
	if (n->import.done)
		return OK;
	return chores_add(call, n->chores, import_all, n, 0, &n->cancel, &n->import_chore);
}

/* ---- the command ---- */

static enum err open_parts(struct call *call, const struct node_import *how,
			   const struct node_config *config, const struct node_id *id,
			   struct storage_dir **ret_dir, struct piece_store **ret_store)
{
	const struct piece_store_config store = {
		.dir = config->storage,
		.node = *id,
		.allocated = config->space,
		.free_reserve = config->free_reserve,
		.segment_bytes = config->segment_size,
		.index_memory = config->index_memory,
	};

	TRY_PLAIN(storage_dir_open(call, config->storage, id, ret_dir));
	if (how->later)
		return OK;
	TRY_PLAIN(piece_store_open(call, &store, ret_store));
	return piece_store_recover(call, *ret_store);
}

/* Its configuration's directory has them, and usually its storage directory, too. */
static enum err take_orders(struct call *call, const char *dir, const char *storage,
			    const struct node_import *how)
{
	const char *const places[] = { os_path_join(call, dir, "orders"),
				       os_path_join(call, os_path_dir(call, how->from), "orders"),
				       os_path_join(call, how->from, "orders") };
	const char *to = os_path_join(call, storage, "orders"), *from = how->orders;
	struct os_stat st;

	for (size_t i = 0; !from[0] && i < ARRAY_LEN(places); i++)
		if (strcmp(places[i], to) != 0 &&
		    os_stat(call, os_path_join(call, places[i], "unsent"), &st) == OK)
			from = places[i];
	call_clear_error(call);
	if (!from[0])
		return OK;
	TRY(import_unsettled(call, from, to, how->orders_taken), "orders in %s", from);
	return OK;
}

static enum err run(struct call *call, const char *own_dir, const struct node_import *how,
		    const struct node_config *config, const struct node_id *id,
		    struct import_figures *ret)
{
	AUTO(storage_dir_auto) struct storage_dir *dir = NULL;
	AUTO_CALL struct call aside = CALL_INIT;
	struct piece_store *store = NULL;
	struct import_order order = {
		.from = how->from, .logs = how->logs, .tables = how->tables, .move = how->move
	};

	enum err e = open_parts(call, how, config, id, &dir, &store);
	if (!e)
		e = take_orders(call, own_dir, config->storage, how);
	if (!e)
		e = import_order_write(call, config->storage, &order);
	if (!e && !how->later) {
		const struct import_config import = {
			.from = how->from,
			.logs = how->logs,
			.tables = how->tables,
			.move = how->move,
			.node = *id,
			.store = store,
			.progress = how->progress,
			.arg = how->progress_arg,
		};
		e = import_run(call, &import, ret);
	}
	/* Its checkpoint says what is here, before the order says that all is. */
	piece_store_close(&aside, store);
	if (e || how->later)
		return e;
	order.done = true;
	return import_order_write(call, config->storage, &order);
}

enum err node_import(struct call *call, const char *dir, const struct node_config *config,
		     const struct node_import *how, struct import_figures *ret)
{
	AUTO(identity_auto) struct identity *identity = NULL;
	AUTO(arena_free) struct arena a = { 0 };
	struct node_config c = *config;
	struct node_import own = *how;
	bool foreign = false;

	const char *keys = c.identity[0] ? c.identity : os_path_join(call, dir, "identity");
	if (!c.storage[0])
		c.storage = os_path_join(call, dir, "storage");
	TRY(identity_load(call, os_path_join(call, keys, "identity.cert"),
			  os_path_join(call, keys, "identity.key"), &identity),
	    "identity of the node in %s", keys);
	const struct node_id *id = identity_node_id(identity);
	const char *outer = c.storage;
	TRY_PLAIN(node_import_resolve(call, &a, id, &c.storage, &foreign));
	if (!own.from[0] && foreign)
		own.from = outer;
	if (!own.from[0])
		return call_fail(call, ERR_CONFIG,
				 "from where? give --from DIR, the storage directory of Storj's "
				 "node (the one with storage-dir-verification in it)");
	if (own.from[0] != '/')
		return call_fail(call, ERR_CONFIG,
				 "from: \"%s\" must be a whole path, beginning with /: the import "
				 "may go on from elsewhere",
				 own.from);
	TRY_PLAIN(import_is_source(call, own.from, id, &foreign));
	if (!foreign)
		return call_fail(call, ERR_PRECONDITION,
				 "%s is no storage directory of Storj's node (no "
				 "storage-dir-verification in it): is the disk mounted?",
				 own.from);
	TRY_PLAIN(storage_dir_create(call, c.storage, id));
	return run(call, dir, &own, &c, id, ret);
}
