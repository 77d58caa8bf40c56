/* Stored access grants: {"default": name, "accesses": {name: grant}}, the layout uplink uses. */
#include "cli/cli.h"

#include <jansson.h>
#include <string.h>

#include "os/file.h"
#include "os/process.h"

enum { STORE_BYTES_MAX = 16 << 20, NAME_MAX_BYTES = 100 };

static void json_auto(json_t **j)
{
	json_decref(*j);
}

enum err cli_config_dir(struct cli *cli, const char **ret)
{
	const char *dir = cli->o.config_dir;

	if (!dir)
		dir = os_getenv("ACRE_CONFIG_DIR");
	if (!dir)
		dir = os_getenv("UPLINK_CONFIG_DIR");
	if (!dir) {
		const char *xdg = os_getenv("XDG_CONFIG_HOME"), *home = os_getenv("HOME");
		if (xdg && xdg[0])
			dir = os_path_join(&cli->call, xdg, "acre");
		else if (home && home[0])
			dir = os_path_join(&cli->call, home, ".config/acre");
		else
			return call_fail(
				&cli->call, ERR_CONFIG,
				"no place for the configuration: set HOME or give --config-dir");
	}
	*ret = dir;
	return OK;
}

static enum err load(struct cli *cli, json_t **ret)
{
	AUTO_SECRET_BUF struct buf text = BUF_INIT(STORE_BYTES_MAX);
	const char *dir;
	json_error_t problem;

	TRY_PLAIN(cli_config_dir(cli, &dir));
	const char *path = os_path_join(&cli->call, dir, "access.json");
	enum err e = os_file_read_all(&cli->call, path, &text);
	if (e == ERR_NOT_FOUND) {
		call_clear_error(&cli->call);
		*ret = json_pack("{s:s, s:{}}", "default", "", "accesses");
		return *ret ? OK : call_fail(&cli->call, ERR_NO_MEMORY, "out of memory");
	}
	CLI_TRY(e, "stored accesses");
	json_t *root = json_loadb((const char *)text.data, text.len, 0, &problem);
	if (!json_is_object(json_object_get(root, "accesses"))) {
		json_decref(root);
		return call_fail(
			&cli->call, ERR_FORMAT,
			"%s is damaged (line %d: %s); move it away and import the accesses again",
			path, problem.line, root ? "no \"accesses\"" : problem.text);
	}
	*ret = root;
	return OK;
}

static enum err save(struct cli *cli, json_t *root)
{
	const char *dir;

	TRY_PLAIN(cli_config_dir(cli, &dir));
	TRY_PLAIN(os_dir_make(&cli->call, dir, true));
	char *text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS);
	if (!text)
		return call_fail(&cli->call, ERR_NO_MEMORY, "out of memory");
	enum err e = os_file_write_all(&cli->call, os_path_join(&cli->call, dir, "access.json"),
				       bytes_str(text), true);
	explicit_bzero(text, strlen(text));
	free(text);
	CLI_TRY(e, "store the access");
	return OK;
}

static enum err check_name(struct cli *cli, const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > NAME_MAX_BYTES ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN"
			 "OPQRSTUVWXYZ0123456789-_.") != n)
		return call_fail(&cli->call, ERR_CONFIG,
				 "\"%s\" is no name for an access (letters, digits, - _ . only)",
				 name);
	return OK;
}

enum err access_store_get(struct cli *cli, const char *name, const char **ret_grant)
{
	AUTO(json_auto) json_t *root = NULL;

	TRY_PLAIN(load(cli, &root));
	if (!name)
		name = json_string_value(json_object_get(root, "default"));
	if (!name || !name[0])
		return call_fail(
			&cli->call, ERR_NOT_FOUND,
			"no access: give --access, set ACRE_ACCESS, or run \"acre setup\"");
	const char *grant =
		json_string_value(json_object_get(json_object_get(root, "accesses"), name));
	if (!grant)
		return call_fail(
			&cli->call, ERR_NOT_FOUND,
			"no access is stored as \"%s\" (\"acre access list\" shows what is)", name);
	*ret_grant = arena_str(&cli->call.scratch, bytes_str(grant));
	return *ret_grant ? OK : call_fail(&cli->call, ERR_NO_MEMORY, "out of memory");
}

enum err access_store_put(struct cli *cli, const char *name, const char *grant, bool force,
			  bool use)
{
	AUTO(json_auto) json_t *root = NULL;

	TRY_PLAIN(check_name(cli, name));
	TRY_PLAIN(load(cli, &root));
	json_t *accesses = json_object_get(root, "accesses");
	if (json_object_get(accesses, name) && !force)
		return call_fail(
			&cli->call, ERR_EXISTS,
			"an access is stored as \"%s\" already: choose another name, or --force",
			name);
	const char *used = json_string_value(json_object_get(root, "default"));
	json_object_set_new(accesses, name, json_string(grant));
	if (use || !used || !used[0])
		json_object_set_new(root, "default", json_string(name));
	return save(cli, root);
}

enum err access_store_remove(struct cli *cli, const char *name)
{
	AUTO(json_auto) json_t *root = NULL;

	TRY_PLAIN(load(cli, &root));
	if (json_object_del(json_object_get(root, "accesses"), name))
		return call_fail(&cli->call, ERR_NOT_FOUND, "no access is stored as \"%s\"", name);
	const char *used = json_string_value(json_object_get(root, "default"));
	if (used && strcmp(used, name) == 0)
		json_object_set_new(root, "default", json_string(""));
	return save(cli, root);
}

enum err access_store_use(struct cli *cli, const char *name)
{
	AUTO(json_auto) json_t *root = NULL;

	TRY_PLAIN(load(cli, &root));
	if (!json_object_get(json_object_get(root, "accesses"), name))
		return call_fail(&cli->call, ERR_NOT_FOUND, "no access is stored as \"%s\"", name);
	json_object_set_new(root, "default", json_string(name));
	return save(cli, root);
}

enum err access_store_list(struct cli *cli, struct access_store_list *ret)
{
	AUTO(json_auto) json_t *root = NULL;
	struct arena *a = &cli->call.scratch;
	const char *name;
	json_t *value;
	size_t i = 0;

	TRY_PLAIN(load(cli, &root));
	json_t *accesses = json_object_get(root, "accesses");
	size_t count = json_object_size(accesses);
	ret->names = arena_array(a, count + 1, sizeof(*ret->names));
	ret->grants = arena_array(a, count + 1, sizeof(*ret->grants));
	if (!ret->names || !ret->grants)
		return call_fail(&cli->call, ERR_NO_MEMORY, "out of memory");
	json_object_foreach(accesses, name, value)
	{
		const char *grant = json_string_value(value);
		ret->names[i] = arena_str(a, bytes_str(name));
		ret->grants[i] = arena_str(a, bytes_str(grant ? grant : ""));
		if (!ret->names[i] || !ret->grants[i])
			return call_fail(&cli->call, ERR_NO_MEMORY, "out of memory");
		i++;
	}
	ret->count = i;
	const char *used = json_string_value(json_object_get(root, "default"));
	ret->used = used && used[0] ? arena_str(a, bytes_str(used)) : NULL;
	return OK;
}
