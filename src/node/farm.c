/* The nodes of a process: finding, starting, watching, reloading and stopping them. */
#include "node/farm.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/import.h"
#include "node/storage_dir.h"
#include "node/traffic.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/lock.h"
#include "os/log.h"
#include "os/pool.h"
#include "os/process.h"
#include "os/sandbox.h"

enum {
	CHORE_THREADS_MAX = 8,
	RETRY_SECONDS = 20,
	STOP_SECONDS = 3,
	STOP_THREADS_MAX = 64,
	SLOTS_MAX = 65536,
	SANDBOX_PATHS_MAX = 16384,
};

/* A place for a node.  Only its chore starts and stops the node (and farm_stop, without chores). */
struct slot {
	struct slot *next;
	struct farm *farm;
	struct arena arena, settings;
	const char *name, *dir;
	struct chore *chore;
	/* Under the farm's lock: */
	struct node *node;
	unsigned holders; /* who look at the node: it is not stopped meanwhile */
	bool failed, gone, tried, restart;
	bool stopping;	      /* the node is no longer looked at, but may still serve */
	int64_t away_till_ns; /* maintenance; 0 = none */
	char why[CALL_ERROR_MAX];
};

struct farm {
	int argc;
	const char *const *argv;
	struct arena arena;
	const char *dir;
	bool single;
	int64_t started_unix_ns;
	struct os_cancel *cancel; /* borrowed */
	struct node_host host;
	struct os_mutex lock;
	struct os_cond changed;
	struct slot *slots;
	size_t count, found; /* slots; directories of nodes at the last look */
	bool reloading;
	int64_t stop_till_ns; /* for transfers to end */
};

/* ---- one node ---- */

static void slot_failed(void *arg)
{
	struct slot *s = arg;

	os_mutex_lock(&s->farm->lock);
	s->failed = true;
	os_mutex_unlock(&s->farm->lock);
	chores_soon(s->farm->host.chores, s->chore, 0);
}

static enum err read_settings(struct call *call, const struct farm *f, const struct slot *s,
			      struct arena *a, struct settings *ret)
{
	const struct settings_source source = { .argc = f->argc,
						.argv = f->argv,
						.process_dir = f->single ? NULL : f->dir,
						.node_dir = s->dir };

	return settings_load(call, a, &source, ret);
}

static enum err start_node(struct call *call, struct slot *s, struct node **ret)
{
	struct farm *f = s->farm;
	struct settings settings;
	struct node *n = NULL;

	arena_free(&s->settings);
	TRY_PLAIN(read_settings(call, f, s, &s->settings, &settings));
	if (!f->single)
		settings_tell(&settings);
	struct node_host host = f->host;
	os_mutex_lock(&f->lock);
	host.nodes = f->found;
	os_mutex_unlock(&f->lock);
	TRY_PLAIN(node_open(call, s->dir, &settings.node, &host, &n));
	node_on_failure(n, slot_failed, s);
	enum err e = node_start(call, n);
	if (e)
		node_stop(n);
	else
		*ret = n;
	return e;
}

static enum err open_slot(struct call *call, struct slot *s)
{
	struct farm *f = s->farm;
	AUTO_CALL struct call own = CALL_INIT;
	struct node *n = NULL;

	/* The node's life is not the call's; its end is that of the process. */
	own.cancel = f->cancel;
	enum err e = start_node(&own, s, &n);
	os_mutex_lock(&f->lock);
	s->node = n;
	bool news = e && strncmp(s->why, call_error(&own, e), sizeof(s->why) - 1) != 0;
	s->tried = true;
	s->why[0] = 0;
	if (e)
		snprintf(s->why, sizeof(s->why), "%s", call_error(&own, e));
	os_mutex_unlock(&f->lock);
	if (news && !f->single && e != ERR_CANCELED)
		log_error("a node does not start, it is tried again", F_STR("node", s->name),
			  F_STR("why", s->why));
	if (e)
		call_copy_error(call, &own);
	return e;
}

/* Nobody may look at it any more. */
static struct node *take_node(struct slot *s)
{
	struct farm *f = s->farm;
	OS_LOCKED(&f->lock);
	struct node *n = take(&s->node);

	s->stopping = n != NULL;
	while (s->holders)
		os_cond_wait_forever(&f->changed, &f->lock);
	return n;
}

static void close_slot(struct slot *s)
{
	struct farm *f = s->farm;
	AUTO_CALL struct call call = CALL_INIT;
	struct node *n = take_node(s);
	enum err e = n ? node_failure(&call, n) : OK;

	os_mutex_lock(&f->lock);
	if (e)
		snprintf(s->why, sizeof(s->why), "%s", call_error(&call, e));
	int64_t end = f->stop_till_ns;
	os_mutex_unlock(&f->lock);
	int64_t left = end ? end - os_clock_mono_ns() : STOP_SECONDS * NS_PER_SEC;
	node_stop_within(n, MAX(left, (int64_t)0));
	os_mutex_lock(&f->lock);
	s->stopping = false;
	os_mutex_unlock(&f->lock);
}

/* The one behind s (NULL: the first) whose directory is still there.  Slots live as long as the
 * farm. */
static struct slot *next_slot(struct farm *f, struct slot *s)
{
	OS_LOCKED(&f->lock);
	do
		s = s ? s->next : f->slots;
	while (s && s->gone);
	return s;
}

static bool is_away(const struct slot *s, int64_t now)
{
	return s->away_till_ns > now;
}

/* The chore of a slot: brings the node to where it shall be. */
static int64_t supervise(struct call *call, void *arg)
{
	struct slot *s = arg;
	struct farm *f = s->farm;
	int64_t now = os_clock_mono_ns();

	os_mutex_lock(&f->lock);
	bool away = is_away(s, now), gone = s->gone, failed = s->failed, open = s->node != NULL;
	bool restart = s->restart;
	int64_t till = s->away_till_ns;
	/* Told of what opens or closes now: anew. */
	s->restart = s->failed = false;
	os_mutex_unlock(&f->lock);
	if (open && (away || gone || failed || restart)) {
		close_slot(s);
		log_info("node stopped", F_STR("node", s->name));
		open = false;
	}
	if (os_cancel_is_set(f->cancel) || gone)
		return CHORE_NEVER;
	if (away)
		return till == INT64_MAX ? CHORE_NEVER : till - now;
	if (failed) /* not at once: the reason is still there */
		return RETRY_SECONDS * NS_PER_SEC;
	if (open || !open_slot(call, s))
		return CHORE_NEVER;
	return RETRY_SECONDS * NS_PER_SEC;
}

/* ---- the list ---- */

static struct slot *find_slot(struct farm *f, struct bytes name)
{
	for (struct slot *s = f->slots; s; s = s->next)
		if (!s->gone && bytes_equal(name, bytes_str(s->name)))
			return s;
	return NULL;
}

static void slot_free(struct slot *s)
{
	if (!s)
		return;
	arena_free(&s->arena);
	arena_free(&s->settings);
	free(s);
}

static enum err add_slot(struct call *call, struct farm *f, const char *name, const char *dir,
			 struct slot **ret)
{
	struct slot *s = calloc(1, sizeof(*s));

	if (!s || f->count == SLOTS_MAX) {
		slot_free(s);
		return call_fail(call, ERR_NO_MEMORY, "too many nodes for one process");
	}
	s->farm = f;
	s->name = arena_str(&s->arena, bytes_str(name));
	s->dir = arena_str(&s->arena, bytes_str(dir));
	enum err e = OK;
	if (!s->name || !s->dir)
		e = call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (!e)
		e = chores_add(call, f->host.chores, supervise, s, CHORE_NEVER, f->cancel,
			       &s->chore);
	if (e) {
		slot_free(s);
		return e;
	}
	os_mutex_lock(&f->lock);
	struct slot **end = &f->slots;
	while (*end)
		end = &(*end)->next;
	*end = s;
	f->count++;
	os_mutex_unlock(&f->lock);
	*ret = s;
	return OK;
}

static bool exists(struct call *call, const char *path)
{
	struct os_stat st;
	bool there = os_stat(call, path, &st) == OK;

	call_clear_error(call);
	return there;
}

/* New directories become slots; slots whose directory went are gone. */
static enum err scan(struct call *call, struct farm *f)
{
	AUTO(arena_free) struct arena a = { 0 };
	const char *dir = os_path_join(call, f->dir, "nodes"), **names = NULL;
	size_t count = 0;

	TRY_PLAIN(os_dir_list(call, &a, dir, &names, &count));
	os_mutex_lock(&f->lock);
	f->found = count;
	os_mutex_unlock(&f->lock);
	for (size_t i = 0; i < count; i++) {
		const char *node = os_path_join(call, dir, names[i]);
		os_mutex_lock(&f->lock);
		struct slot *s = find_slot(f, bytes_str(names[i]));
		os_mutex_unlock(&f->lock);
		if (s || !exists(call, os_path_join(call, node, "config")))
			continue;
		TRY_PLAIN(add_slot(call, f, names[i], node, &s));
		chores_soon(f->host.chores, s->chore, 0);
	}
	for (struct slot *s = next_slot(f, NULL); s; s = next_slot(f, s)) {
		if (exists(call, os_path_join(call, s->dir, "config")))
			continue;
		os_mutex_lock(&f->lock);
		s->gone = true;
		os_mutex_unlock(&f->lock);
		chores_soon(f->host.chores, s->chore, 0);
	}
	return OK;
}

/* ---- life ---- */

static enum err start_single(struct call *call, struct farm *f)
{
	struct slot *s = NULL;

	TRY_PLAIN(add_slot(call, f, "node", f->dir, &s));
	return open_slot(call, s);
}

/* ---- sandbox ---- */

static enum err add_path(struct call *call, struct param_list *list, const char *path)
{
	if (list->count == SANDBOX_PATHS_MAX)
		return call_fail(call, ERR_CONFIG, "more than %d directories", SANDBOX_PATHS_MAX);
	list->items[list->count++] = path;
	return OK;
}

/* A disk that is not there now may be mounted later.  The kernel does not look at what a mount
 * hides, so the permission must be of the directory above the mount point: which is the storage
 * directory, or the one above it. */
static enum err add_storage(struct call *call, struct param_list *list, const char *storage)
{
	const char *proof = os_path_join(call, storage, "storage-dir-verification");
	const char *up = os_path_dir(call, storage), *above = os_path_dir(call, up);

	if (exists(call, proof))
		return add_path(call, list, storage);
	return add_path(call, list, strcmp(above, "/") == 0 ? up : above);
}

/* Where pieces are still being taken over from. */
static enum err add_import(struct call *call, const char *storage, struct param_list *list)
{
	const char *inner = os_path_join(call, storage, STORAGE_DIR_INNER);
	struct import_order order = { .done = true };

	if (import_order_read(call, &call->scratch, storage, &order) &&
	    import_order_read(call, &call->scratch, inner, &order))
		call_clear_error(call);
	if (order.done)
		return OK;
	TRY_PLAIN(add_path(call, list, order.from));
	if (order.logs[0] == '/')
		TRY_PLAIN(add_path(call, list, order.logs));
	return order.tables[0] == '/' ? add_path(call, list, order.tables) : OK;
}

static enum err add_node_paths(struct call *call, const struct farm *f, const char *dir,
			       struct param_list *write, struct param_list *read)
{
	const struct slot slot = { .dir = dir };
	struct settings s;

	/* What is wrong with it is told when it is to start. */
	if (read_settings(call, f, &slot, &call->scratch, &s)) {
		call_clear_error(call);
		return OK;
	}
	TRY_PLAIN(add_path(call, write, dir));
	/* The one below it may be a link to another disk. */
	const char *usual = os_path_join(call, dir, "storage");
	if (s.node.storage[0])
		TRY_PLAIN(add_storage(call, write, s.node.storage));
	else if (exists(call, usual))
		TRY_PLAIN(add_path(call, write, usual));
	TRY_PLAIN(add_import(call, s.node.storage[0] ? s.node.storage : usual, write));
	return s.node.identity[0] ? add_path(call, read, s.node.identity) : OK;
}

static enum err add_all_paths(struct call *call, const struct farm *f, struct param_list *write,
			      struct param_list *read)
{
	/* Names are resolved, and the time zone read, as the system is set up. */
	static const char *const system[] = { "/etc",		"/usr/share/zoneinfo",
					      "/proc",		"/run/systemd",
					      "/usr/lib",	"/lib",
					      "/run/resolvconf" };
	const char *nodes = os_path_join(call, f->dir, "nodes"), **names = NULL;
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(system); i++)
		TRY_PLAIN(add_path(call, read, system[i]));
	if (f->single)
		return add_node_paths(call, f, f->dir, write, read);
	TRY_PLAIN(add_path(call, write, f->dir));
	TRY_PLAIN(os_dir_list(call, &call->scratch, nodes, &names, &count));
	for (size_t i = 0; i < count; i++)
		TRY_PLAIN(
			add_node_paths(call, f, os_path_join(call, nodes, names[i]), write, read));
	return OK;
}

/* Before there are threads. */
static enum err enter_sandbox(struct call *call, const struct farm *f, const struct settings *s)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct param_list write = { arena_array(&own.scratch, SANDBOX_PATHS_MAX, sizeof(char *)),
				    0 };
	struct param_list read = { arena_array(&own.scratch, SANDBOX_PATHS_MAX, sizeof(char *)),
				   0 };
	struct os_sandboxed done = { 0 };

	if (!write.items || !read.items)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	enum err e = add_all_paths(&own, f, &write, &read);
	const struct os_sandbox sandbox = { .user = s->user,
					    .directories = write.items,
					    .directories_count = write.count,
					    .readable = read.items,
					    .readable_count = read.count };
	if (!e)
		e = os_sandbox_enter(&own, &sandbox, &done);
	if (e) {
		call_copy_error(call, &own);
		return e;
	}
	log_info("sandboxed", F_STR("system-calls", done.seccomp ? "filtered" : "not here"),
		 F_STR("directories", done.landlock ? "own only" : "not here"));
	if (!done.user)
		log_warn("the node runs as root: it needs not (set user, or use the systemd unit)");
	return OK;
}

/* What belongs to the process: where it is, its log, its threads. */
static enum err start_process(struct call *call, struct farm *f)
{
	const struct settings_source source = { .argc = f->argc, .argv = f->argv };
	struct rpc_host_config rpc = { 0 };
	struct settings s;
	enum log_level level;

	TRY_PLAIN(settings_load(call, &f->arena, &source, &s));
	f->dir = s.dir;
	f->single = !exists(call, os_path_join(call, s.dir, "nodes"));
	if (!f->single && exists(call, os_path_join(call, s.dir, "identity")))
		return call_fail(call, ERR_CONFIG,
				 "%s has both an identity and nodes: move the node into %s/nodes/ "
				 "(the farm itself is none)",
				 s.dir, s.dir);
	TRY_PLAIN(settings_process(call, &f->arena, &source, f->single, &s, &level));
	log_set_level(level);
	settings_tell(&s);
	if (s.sandbox)
		TRY(enter_sandbox(call, f, &s), "sandbox (--sandbox=false does without)");
	settings_limits(&s, &rpc);
	TRY_PLAIN(traffic_new(call, NULL, &f->host.traffic));
	TRY_PLAIN(traffic_set(call, f->host.traffic, s.node.receive_rate, s.node.send_rate));
	TRY_PLAIN(chores_new(call, CHORE_THREADS_MAX, &f->host.chores));
	return rpc_host_new(call, &rpc, &f->host.rpc);
}

enum err farm_start(struct call *call, int argc, const char *const argv[], struct farm **ret)
{
	struct farm *f = calloc(1, sizeof(*f));

	if (!f)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	f->argc = argc;
	f->argv = argv;
	f->cancel = call->cancel;
	f->started_unix_ns = os_clock_unix_ns();
	enum err e = start_process(call, f);
	if (!e)
		e = f->single ? start_single(call, f) : scan(call, f);
	if (!e && !f->single)
		log_info("a farm of nodes", F_STR("directory", f->dir), F_U64("nodes", f->count));
	if (e)
		farm_stop(f);
	else
		*ret = f;
	return e;
}

static void close_slot_job(void *arg)
{
	close_slot(arg);
}

/* All at the same time: each may wait for its transfers and its disk. */
static void stop_nodes(struct farm *f)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct os_pool *pool = NULL;

	for (struct slot *s = f->slots; s; s = s->next)
		chores_remove(f->host.chores, take(&s->chore));
	if (f->count > 1 && os_pool_new(&call, "stop", (unsigned)MIN(f->count, STOP_THREADS_MAX),
					(unsigned)f->count, &pool))
		pool = NULL;
	for (struct slot *s = f->slots; s; s = s->next)
		if (!pool || os_pool_submit(&call, pool, close_slot_job, s))
			close_slot(s);
	os_pool_free(pool);
}

void farm_stop(struct farm *f)
{
	if (!f)
		return;
	os_cancel_set(f->cancel);
	os_mutex_lock(&f->lock);
	f->stop_till_ns = os_clock_mono_ns() + STOP_SECONDS * NS_PER_SEC;
	os_mutex_unlock(&f->lock);
	stop_nodes(f);
	rpc_host_free(f->host.rpc);
	chores_free(f->host.chores);
	traffic_free(f->host.traffic);
	while (f->slots) {
		struct slot *s = f->slots;
		f->slots = s->next;
		slot_free(s);
	}
	os_mutex_fini(&f->lock);
	os_cond_fini(&f->changed);
	arena_free(&f->arena);
	free(f);
}

/* ---- what is asked of it ---- */

static struct node *hold(struct slot *s)
{
	OS_LOCKED(&s->farm->lock);
	if (s->node)
		s->holders++;
	return s->node;
}

static void release(struct slot *s)
{
	OS_LOCKED(&s->farm->lock);
	s->holders--;
	os_cond_broadcast(&s->farm->changed);
}

/* Settings that cannot be read are told, and change nothing. */
static void reload_slot(struct farm *f, struct slot *s, struct buf *notes)
{
	AUTO(arena_free) struct arena a = { 0 };
	AUTO_CALL struct call call = CALL_INIT;
	struct settings settings;
	struct node *n = hold(s);

	if (!n)
		return;
	enum err e = read_settings(&call, f, s, &a, &settings);
	if (!e)
		e = node_apply(&call, n, &settings.node, s->name, notes);
	release(s);
	if (e)
		buf_printf(notes, "%s: not reloaded: %s\n", s->name, call_error(&call, e));
}

static enum err reload(struct call *call, struct farm *f, struct buf *notes)
{
	AUTO(arena_free) struct arena a = { 0 };
	const struct settings_source source = { .argc = f->argc, .argv = f->argv };
	struct settings s;
	enum log_level level;

	TRY_PLAIN(settings_process(call, &a, &source, f->single, &s, &level));
	TRY_PLAIN(traffic_set(call, f->host.traffic, s.node.receive_rate, s.node.send_rate));
	log_set_level(level);
	if (!f->single)
		TRY_PLAIN(scan(call, f));
	for (struct slot *p = next_slot(f, NULL); p; p = next_slot(f, p))
		reload_slot(f, p, notes);
	log_info("settings read again");
	return buf_status(notes);
}

enum err farm_reload(struct call *call, struct farm *f, struct buf *notes)
{
	os_mutex_lock(&f->lock);
	while (f->reloading)
		os_cond_wait_forever(&f->changed, &f->lock);
	f->reloading = true;
	os_mutex_unlock(&f->lock);
	enum err e = reload(call, f, notes);
	os_mutex_lock(&f->lock);
	f->reloading = false;
	os_cond_broadcast(&f->changed);
	os_mutex_unlock(&f->lock);
	return e;
}

static enum err not_found(struct call *call, const struct farm *f, struct bytes name)
{
	return call_fail(call, ERR_NOT_FOUND, "no node \"%.*s\" in %s", (int)MIN(name.len, 100u),
			 (const char *)name.data, f->dir);
}

enum err farm_maintenance(struct call *call, struct farm *f, struct bytes name, bool on, int64_t ns)
{
	int64_t now = os_clock_mono_ns();
	size_t found = 0;

	os_mutex_lock(&f->lock);
	for (struct slot *s = f->slots; s; s = s->next) {
		if (s->gone || (name.len && !bytes_equal(name, bytes_str(s->name))))
			continue;
		found++;
		s->away_till_ns = !on ? 0 : ns > INT64_MAX - now ? INT64_MAX : now + ns;
	}
	os_mutex_unlock(&f->lock);
	if (!found)
		return not_found(call, f, name);
	for (struct slot *s = next_slot(f, NULL); s; s = next_slot(f, s))
		chores_soon(f->host.chores, s->chore, 0);
	return OK;
}

enum err farm_restart(struct call *call, struct farm *f, struct bytes name)
{
	os_mutex_lock(&f->lock);
	struct slot *s = find_slot(f, name);
	if (s)
		s->restart = true;
	os_mutex_unlock(&f->lock);
	if (!s)
		return not_found(call, f, name);
	chores_soon(f->host.chores, s->chore, 0);
	return OK;
}

static void add_view(struct call *call, struct arena *a, struct slot *s, struct node_view *v)
{
	struct farm *f = s->farm;
	struct node *n = hold(s);

	*v = (struct node_view){ .name = s->name, .dir = s->dir, .why = "" };
	os_mutex_lock(&f->lock);
	bool away = is_away(s, os_clock_mono_ns());
	v->state = away ? "maintenance" : n ? "running" : s->tried ? "failed" : "starting";
	if (s->stopping || (away && n))
		v->state = "stopping";
	else if (s->failed && n)
		v->state = "failing";
	if (!n && !away && s->why[0])
		v->why = arena_str(a, bytes_str(s->why));
	os_mutex_unlock(&f->lock);
	if (n) {
		enum err e = node_view_fill(call, a, n, v);
		if (e)
			v->why = arena_str(a, bytes_str(call_error(call, e)));
		call_clear_error(call);
		release(s);
	}
	if (!v->why)
		v->why = "";
	if (v->why[0])
		node_view_worry(v, v->why, n ? "" : "it is tried again every 20 seconds");
}

enum err farm_status(struct call *call, struct farm *f, struct bytes name,
		     enum status_format format, struct buf *out)
{
	AUTO(arena_free) struct arena a = { 0 };
	struct process_view p = { .dir = f->dir,
				  .pid = (uint64_t)os_pid(),
				  .started = (uint64_t)(f->started_unix_ns / NS_PER_SEC) };
	struct node_view *views;

	os_mutex_lock(&f->lock);
	size_t max = f->count;
	os_mutex_unlock(&f->lock);
	views = arena_array(&a, max + 1, sizeof(*views));
	if (!views)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (struct slot *s = next_slot(f, NULL); s && p.count < max; s = next_slot(f, s))
		if (!name.len || bytes_equal(name, bytes_str(s->name)))
			add_view(call, &a, s, &views[p.count++]);
	if (name.len && !p.count)
		return not_found(call, f, name);
	p.nodes = views;
	return node_status_write(&p, format, out);
}
