/*
 * The unit is the package's (packaging/acre-node.service, built in), with this node's directory,
 * user and program.  Where the package is installed and the directory is its own, there is nothing
 * to write: the unit is only switched on.
 */
#include "node/service.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/service_unit.h"
#include "node/settings.h"
#include "os/file.h"
#include "os/process.h"

#define PACKAGE_PROGRAM "/usr/bin/acre-node"
#define DEFAULT_USER "acre-node"

enum {
	UNIT_MAX = 16 << 10,
	NAME_MAX_BYTES = 200,
	OUTPUT_MAX = 64 << 10,
};

struct work {
	const struct service *s;
	const char *dir; /* that the unit runs: the node's, or that of all nodes */
	const char *unit, *path;
	const char *user;
	struct os_user who;
};

static bool here(struct call *call, const char *path)
{
	bool found = false;

	if (os_exists(call, path, &found))
		call_clear_error(call);
	return found;
}

bool service_possible(struct call *call)
{
	return os_is_root() && here(call, "/run/systemd/system");
}

static const char *rooted(struct call *call, const struct service *s, const char *path)
{
	return s->root[0] ? os_path_join(call, s->root, path + 1) : path;
}

/* ---- names ---- */

/* What a unit can say without quotes. */
static bool plain(const char *path)
{
	for (const char *p = path; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
		      (*p >= '0' && *p <= '9') || strchr("/_.:@+-", *p)))
			return false;
	return path[0] == '/';
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Where the process runs: a node in DIR/nodes/ is one of DIR. */
static const char *process_dir(struct call *call, const struct service *s)
{
	const char *above = os_path_dir(call, s->dir);

	return strcmp(base_name(above), "nodes") == 0 ? os_path_dir(call, above) : s->dir;
}

static enum err name_unit(struct call *call, struct work *w)
{
	w->dir = process_dir(call, w->s);
	if (!plain(w->dir) || !plain(w->s->program) || strlen(w->dir) > NAME_MAX_BYTES)
		return call_fail(call, ERR_CONFIG,
				 "service: %s and %s must be whole paths of letters, digits and "
				 "_.:@+- for systemd",
				 w->dir, w->s->program);
	if (strcmp(w->dir, SETTINGS_PACKAGE_DIR) == 0) {
		w->unit = "acre-node.service";
	} else {
		char *name = arena_printf(&call->scratch, "acre-node%s.service", w->dir);
		for (char *p = name; p && *p; p++)
			if (*p == '/')
				*p = '-';
		w->unit = name;
	}
	if (!w->unit)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	w->path = os_path_join(call, rooted(call, w->s, "/etc/systemd/system"), w->unit);
	return OK;
}

/* ---- the user ---- */

static enum err run(struct call *call, const char *const argv[])
{
	AUTO_BUF struct buf out = BUF_INIT(OUTPUT_MAX);
	int status = 0;

	TRY_PLAIN(os_run(call, argv, &out, &status));
	if (status)
		return call_fail(call, ERR_IO, "%s %s ended with status %d", argv[0], argv[1],
				 status);
	return OK;
}

static const char *root_flag(struct call *call, const struct service *s)
{
	const char *flag = arena_printf(&call->scratch, "--root=%s", s->root);

	return flag ? flag : "--root=/nonexistent";
}

/* The package makes him in its own way; here systemd does. */
static enum err make_user(struct call *call, const struct work *w)
{
	const char *dir = rooted(call, w->s, "/etc/sysusers.d");
	const char *path = os_path_join(call, dir, DEFAULT_USER ".conf");
	const char *line = arena_printf(&call->scratch,
					"u " DEFAULT_USER
					" - \"Acre storage nodes\" " SETTINGS_PACKAGE_DIR "\n");
	const char *const there[] = { "/usr/bin/systemd-sysusers", root_flag(call, w->s), NULL };
	const char *const argv[] = { there[0], path, NULL };

	if (!line)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(os_dir_make(call, dir, true));
	TRY_PLAIN(os_file_write_all(call, path, bytes_str(line), false));
	TRY(run(call, w->s->root[0] ? there : argv), "user " DEFAULT_USER);
	return OK;
}

static enum err find_user(struct call *call, struct work *w, struct buf *text)
{
	w->user = w->s->user[0] ? w->s->user : DEFAULT_USER;
	enum err e = os_user_find(call, w->s->root, w->user, &w->who);
	if (e != ERR_NOT_FOUND)
		return e;
	call_clear_error(call);
	if (w->s->user[0])
		return call_fail(call, ERR_CONFIG, "user: there is no user \"%s\"", w->user);
	TRY_PLAIN(make_user(call, w));
	buf_printf(text, "user %s made\n", w->user);
	return os_user_find(call, w->s->root, w->user, &w->who);
}

static enum err give_files(struct call *call, const struct work *w)
{
	const char *const own[] = { w->dir, w->s->dir, os_path_join(call, w->s->dir, "config"),
				    os_path_join(call, w->s->dir, "config.yaml") };
	const char *const trees[] = { w->s->identity, w->s->storage };

	if (w->dir != w->s->dir)
		TRY_PLAIN(os_give(call, os_path_dir(call, w->s->dir), &w->who));
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (here(call, own[i]))
			TRY_PLAIN(os_give(call, own[i], &w->who));
	for (size_t i = 0; i < ARRAY_LEN(trees); i++)
		TRY_PLAIN(os_give_tree(call, trees[i], &w->who));
	return OK;
}

enum err service_follow_owner(struct call *call, const struct service *s)
{
	struct work w = { .s = s, .dir = process_dir(call, s) };

	if (!os_is_root())
		return OK;
	TRY_PLAIN(os_owner(call, w.dir, &w.who));
	return w.who.uid ? give_files(call, &w) : OK;
}

/* ---- the unit ---- */

static void add_replaced(struct buf *out, struct bytes line, const char *from, const char *to)
{
	size_t n = strlen(from);

	while (line.len) {
		bool hit = bytes_has_prefix(line, bytes_str(from));
		buf_add_bytes(out, hit ? bytes_str(to) : BYTES(line.data, 1));
		line = bytes_from(line, hit ? n : 1);
	}
}

static bool in_home(const char *path)
{
	return bytes_has_prefix(bytes_str(path), bytes_str("/home/")) ||
	       bytes_has_prefix(bytes_str(path), bytes_str("/root/"));
}

static void add_line(struct buf *out, const struct work *w, struct bytes line)
{
	bool own = strcmp(w->dir, SETTINGS_PACKAGE_DIR) == 0;
	const struct {
		const char *prefix;
		bool leave_out;
	} lines[] = {
		{ "StateDirectory", !own },			  /* means /var/lib */
		{ "Group=", strcmp(w->user, DEFAULT_USER) != 0 }, /* the user's own */
		{ "ProtectHome=", in_home(w->dir) || in_home(w->s->storage) },
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (lines[i].leave_out && bytes_has_prefix(line, bytes_str(lines[i].prefix)))
			return;
	if (bytes_has_prefix(line, bytes_str("User="))) {
		buf_printf(out, "User=%s\n", w->user);
		return;
	}
	AUTO_BUF struct buf half = BUF_INIT(UNIT_MAX);
	add_replaced(&half, line, PACKAGE_PROGRAM, w->s->program);
	add_replaced(out, buf_bytes(&half), SETTINGS_PACKAGE_DIR, w->dir);
	buf_add_byte(out, '\n');
}

static enum err write_unit(struct call *call, const struct work *w, struct buf *text)
{
	AUTO_BUF struct buf unit = BUF_INIT(UNIT_MAX), old = BUF_INIT(UNIT_MAX);
	const char *packaged[] = { "/lib/systemd/system", "/usr/lib/systemd/system" };
	bool have = false;

	for (size_t i = 0; i < ARRAY_LEN(packaged); i++)
		if (here(call, os_path_join(call, rooted(call, w->s, packaged[i]), w->unit)))
			return OK;
	for (struct bytes rest = BYTES(service_unit, service_unit_len); rest.len;) {
		const uint8_t *end = memchr(rest.data, '\n', rest.len);
		size_t n = end ? (size_t)(end - rest.data) : rest.len;
		add_line(&unit, w, BYTES(rest.data, n));
		rest = bytes_from(rest, MIN(n + 1, rest.len));
	}
	TRY(buf_status(&unit), "%s", w->path);
	TRY_PLAIN(os_exists(call, w->path, &have));
	if (have)
		TRY_PLAIN(os_file_read_all(call, w->path, &old));
	if (have && !bytes_equal(buf_bytes(&old), buf_bytes(&unit)))
		return call_fail(call, ERR_EXISTS,
				 "%s is there already, and is another: it is left alone", w->path);
	TRY_PLAIN(os_dir_make(call, os_path_dir(call, w->path), true));
	TRY_PLAIN(os_file_write_all(call, w->path, buf_bytes(&unit), false));
	buf_printf(text, "%s written\n", w->path);
	return OK;
}

static enum err switch_on(struct call *call, const struct work *w, struct buf *text)
{
	const char *systemctl = "/usr/bin/systemctl";
	const char *const there[] = { systemctl, root_flag(call, w->s),
				      "--quiet", "enable",
				      w->unit,	 NULL };
	const char *const reload[] = { systemctl, "daemon-reload", NULL };
	const char *const start[] = { systemctl, "--quiet", "enable", "--now", w->unit, NULL };

	if (w->s->root[0]) {
		TRY_PLAIN(run(call, there));
		buf_printf(text, "%s starts when %s does\n", w->unit, w->s->root);
		return OK;
	}
	TRY_PLAIN(run(call, reload));
	TRY_PLAIN(run(call, start));
	buf_printf(text, "%s runs, and will after every start of this machine\n", w->unit);
	return OK;
}

enum err service_install(struct call *call, const struct service *s, struct buf *ret_text)
{
	struct work w = { .s = s };

	if (!os_is_root())
		return call_fail(call, ERR_CONFIG, "service: only root can install one");
	if (!s->root[0] && !service_possible(call))
		return call_fail(call, ERR_CONFIG, "service: systemd does not run here");
	TRY_PLAIN(name_unit(call, &w));
	TRY_PLAIN(find_user(call, &w, ret_text));
	TRY_PLAIN(give_files(call, &w));
	TRY_PLAIN(write_unit(call, &w, ret_text));
	return switch_on(call, &w, ret_text);
}
