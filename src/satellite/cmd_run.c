/* acre-satellite run: serves until SIGTERM or SIGINT; SIGHUP reads the settings again. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/event.h"
#include "os/file.h"
#include "os/log.h"
#include "os/process.h"
#include "os/socket.h"
#include "satellite/admin.h"
#include "satellite/command.h"
#include "satellite/metrics.h"
#include "satellite/overlay.h"
#include "satellite/reload.h"

#define STOP_NS_MAX (3 * NS_PER_SEC)
/* A database that is that far ahead of the clock means a wrong clock. */
#define CLOCK_NS_MAX (INT64_C(600) * NS_PER_SEC)

enum { ADDRESS_FILE_MAX = 1024, NOTES_MAX = 16 << 10 };

enum err satellite_url(struct call *call, struct arena *a, const struct satellite_config *config,
		       const struct node_id *id, const char **ret)
{
	AUTO_BUF struct buf file = BUF_INIT(ADDRESS_FILE_MAX), url = BUF_INIT(NODE_URL_MAX + 1);
	struct node_url u = { .id = *id, .has_id = true, .address = config->external_address };

	if (!u.address[0]) {
		/* The address really bound, while it runs. */
		enum err e = os_file_read_all(call, os_path_join(call, config->dir, "address"),
					      &file);
		if (e && e != ERR_NOT_FOUND)
			return e;
		while (file.len && file.data[file.len - 1] == '\n')
			file.len--;
		u.address = e ? config->address : buf_cstr(&file);
		if (e && strcmp(strrchr(config->address, ':'), ":0") == 0)
			return call_fail(
				call, ERR_UNAVAILABLE,
				"its port is chosen when it starts: run the satellite first");
	}
	node_url_add(&url, &u);
	*ret = arena_str(a, buf_bytes(&url));
	return *ret ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

/* One process per directory: two with a free port each would share the rest. */
enum err command_lock_dir(struct command *c, struct os_file **ret)
{
	struct os_file *f = NULL;

	TRY_PLAIN(os_file_open(c->call, os_path_join(c->call, c->o.dir, "lock"),
			       OS_FILE_WRITE | OS_FILE_CREATE, &f));
	enum err e = os_file_lock(c->call, f);
	if (e) {
		os_file_close(f);
		if (e == ERR_BUSY)
			return call_fail(
				c->call, ERR_BUSY,
				"%s is in use: a satellite runs there already; stop that one first",
				c->o.dir);
		return e;
	}
	*ret = f;
	return OK;
}
DEFINE_AUTO_PTR(struct os_file, file_auto, os_file_close)
DEFINE_AUTO_PTR(struct satellite, satellite_auto, satellite_close)

/* Files that say where it listens, while it does. */
#define ADDRESS_NAME "address"
#define ADMIN_ADDRESS_NAME "admin-address"

static enum err write_address(struct command *c, const char *name, const char *address)
{
	AUTO_BUF struct buf line = BUF_INIT(ADDRESS_FILE_MAX);

	buf_printf(&line, "%s\n", address);
	return os_file_write_all(c->call, os_path_join(c->call, c->o.dir, name), buf_bytes(&line),
				 false);
}

/* A full disk keeps it from being told, not from serving. */
static enum err tell_address(struct command *c, const char *name, const char *address)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct command with = *c;

	call_init(&own);
	with.call = &own;
	enum err e = write_address(&with, name, address);
	if (!e)
		return OK;
	if (e != ERR_NO_SPACE) {
		call_copy_error(c->call, &own);
		return e;
	}
	log_warn("where it listens is not written down", F_STR("file", name),
		 F_STR("address", address), F_STR("error", own.error));
	return OK;
}

static void remove_addresses(struct command *c)
{
	static const char *const names[] = { ADDRESS_NAME, ADMIN_ADDRESS_NAME };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_CALL struct call own = CALL_INIT;
		call_init(&own);
		if (os_unlink(&own, os_path_join(&own, c->o.dir, names[i])))
			log_debug("no address file", F_STR("error", own.error));
	}
}

static void log_start(struct command *c, struct satellite *sat, const char *address)
{
	struct overlay_count count = overlay_count(sat);
	const char *url = "?";
	AUTO_CALL struct call own = CALL_INIT;

	call_init(&own);
	if (satellite_url(&own, &own.scratch, &sat->config, &sat->id, &url))
		url = own.error;
	log_info("satellite serves", F_STR("address", address), F_STR("url", url),
		 F_STR("rs", sat->config.rs), F_U64("nodes_known", count.known),
		 F_U64("nodes_online", count.online));
	if (strncmp(address, "0.0.0.0:", 8) == 0 && !sat->config.external_address[0])
		log_warn("it listens on all addresses, but nodes and clients are not told a useful "
			 "one: "
			 "set external-address");
	if (overlay_newest_ns(sat) > os_clock_unix_ns() + CLOCK_NS_MAX)
		log_warn("the clock of this machine is behind: the database has entries from the "
			 "future; "
			 "set the clock, or orders and uploads will be refused");
}

/* ---- reading settings again ---- */

struct running {
	struct command *c;
	struct satellite *sat;
	struct rpc_server *server;
	struct admin *admin; /* NULL: none */
	struct os_event reload;
};

static void add_names(struct buf *out, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		buf_add_str(out, i ? "," : "");
		text_add_json(out, bytes_str(names[i]));
	}
}

/* The file, under the flags that it was started with. */
static enum err reload(struct call *call, void *arg, struct buf *ret)
{
	struct running *r = arg;
	struct command fresh = *r->c; /* the flags again; all that is read lives in this call */
	struct reload_report report;

	fresh.call = call;
	TRY_PLAIN(command_config(&fresh));
	TRY_PLAIN(satellite_reload(call, r->sat, &fresh.o.config, &report));
	if (r->admin)
		TRY_PLAIN(admin_reload_token(call, r->admin));
	buf_add_str(ret, "{\"changed\":[");
	add_names(ret, report.changed, report.changed_count);
	buf_add_str(ret, "],\"restart\":[");
	add_names(ret, report.restart, report.restart_count);
	buf_add_str(ret, "]}\n");
	return buf_status(ret);
}

static void reload_by_signal(struct running *r)
{
	AUTO_CALL struct call own = CALL_INIT;
	AUTO_BUF struct buf notes = BUF_INIT(NOTES_MAX);

	call_init(&own);
	enum err e = reload(&own, r, &notes);
	if (e) {
		log_error("settings are not read again, nothing changed",
			  F_STR("why", call_error(&own, e)));
		return;
	}
	notes.len--; /* the line's end */
	log_info("settings are read again", F_STR("what", buf_cstr(&notes)));
}

static void wait_for_end(struct running *r)
{
	struct call *call = r->c->call;
	unsigned ready;

	os_signal_reload(&r->reload);
	while (os_fd_wait(call, r->reload.fd, OS_WANT_READ, &ready) == OK) {
		os_event_clear(&r->reload);
		reload_by_signal(r);
	}
	call_clear_error(call);
	os_signal_reload(NULL);
}

/* ---- serving ---- */

static enum err start_admin(struct running *r)
{
	struct call *call = r->c->call;
	const struct admin_config config = { r->sat, r->server, reload, r };

	if (!r->sat->config.admin_address[0])
		return OK;
	TRY_PLAIN(admin_start(call, &config, &r->admin));
	return tell_address(r->c, ADMIN_ADDRESS_NAME, admin_address(r->admin));
}

static enum err serve_running(struct running *r)
{
	const char *address = rpc_server_address(r->server);

	TRY_PLAIN(satellite_start_chores(r->c->call, r->sat));
	TRY_PLAIN(start_admin(r));
	/* Last: who sees it may ask for anything. */
	TRY_PLAIN(tell_address(r->c, ADDRESS_NAME, address));
	log_start(r->c, r->sat, address);
	wait_for_end(r);
	log_info("satellite stops");
	return OK;
}

static enum err serve(struct command *c, struct satellite *sat)
{
	AUTO_FREE struct rpc_method *methods = NULL;
	struct running r = { .c = c, .sat = sat };
	struct rpc_server_config config = {
		.tls = sat->tls,
		.address = sat->config.address,
		.service = sat,
		.observe = metrics_observe,
		.connections_max = (unsigned)MIN(sat->config.connections_max, (uint64_t)UINT32_MAX),
		.active_max = (unsigned)MIN(sat->config.active_max, (uint64_t)UINT32_MAX),
	};

	TRY_PLAIN(satellite_methods(c->call, &methods, &config.methods_count));
	config.methods = methods;
	TRY_PLAIN(metrics_set_methods(c->call, sat->metrics, methods, config.methods_count));
	TRY_PLAIN(os_event_init(c->call, &r.reload));
	enum err e = rpc_server_start(c->call, &config, &r.server);
	if (!e) {
		e = serve_running(&r);
		remove_addresses(c);
		admin_stop(r.admin);
		rpc_server_stop(r.server, STOP_NS_MAX);
	}
	os_event_fini(&r.reload);
	return e;
}

enum err command_run(struct command *c)
{
	AUTO(file_auto) struct os_file *lock = NULL;
	AUTO(satellite_auto) struct satellite *sat = NULL;
	enum log_level level;

	os_signal_reload(NULL); /* nobody listens yet */
	TRY_PLAIN(command_config(c));
	TRY_PLAIN(command_lock_dir(c, &lock));
	if (log_parse_level(c->o.config.log_level, &level) == OK)
		log_set_level(level);
	/* A leftover of a killed process would be taken for a sign of life. */
	remove_addresses(c);
	TRY_PLAIN(satellite_open(c->call, &c->o.config, &sat));
	return serve(c, sat);
}

enum err command_url(struct command *c)
{
	struct identity *identity = NULL;
	const char *url = NULL;

	TRY_PLAIN(command_config(c));
	TRY_PLAIN(identity_load(c->call, os_path_join(c->call, c->o.dir, "identity.cert"),
				os_path_join(c->call, c->o.dir, "identity.key"), &identity));
	enum err e = satellite_url(c->call, &c->call->scratch, &c->o.config,
				   identity_node_id(identity), &url);
	identity_free(identity);
	TRY_PLAIN(e);
	buf_printf(&c->out, "%s\n", url);
	return OK;
}
