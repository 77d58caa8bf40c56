/* Making a node: identity, CA put aside, trust and storage directories. */
#include "base/cleanup.h"
#include "node/node.h"
#include "node/storage_dir.h"
#include "os/file.h"

static enum err move(struct call *call, const char *from_dir, const char *to_dir, const char *name)
{
	return os_rename(call, os_path_join(call, from_dir, name),
			 os_path_join(call, to_dir, name));
}

static const char *setup_identity_dir(struct call *call, const char *dir,
				      const struct node_config *config)
{
	return config->identity && config->identity[0] ? config->identity
						       : os_path_join(call, dir, "identity");
}

/* The identity is made in the CA's directory; only what the daemon needs is moved out of it, so
 * that the CA's key was never in a directory the daemon reads (DESIGN 4.7).  An identity that is
 * there already is kept: an operator may bring his own. */
static enum err make_identity(struct call *call, const char *dir, const struct node_config *config,
			      const struct node_setup *setup, struct node_id *ret_id)
{
	const char *ca = os_path_join(call, dir, "ca");
	const char *own = setup_identity_dir(call, dir, config);
	const char *cert = os_path_join(call, own, "identity.cert");
	const char *key = os_path_join(call, own, "identity.key");
	struct identity_search search = { .difficulty = setup->difficulty,
					  .progress = setup->progress,
					  .progress_arg = setup->progress_arg };
	struct identity *identity = NULL;
	bool have = false, made = false, have_key = false;

	TRY_PLAIN(os_exists(call, cert, &have));
	if (!have) {
		TRY_PLAIN(os_dir_make(call, ca, false));
		TRY_PLAIN(os_dir_make(call, own, false));
		/* Whatever a killed setup left is taken up from there. */
		TRY_PLAIN(os_exists(call, os_path_join(call, ca, "identity.cert"), &made));
		if (!made)
			TRY(identity_create(call, ca, &search, ret_id), "make identity");
		TRY_PLAIN(os_exists(call, key, &have_key));
		if (!have_key)
			TRY_PLAIN(move(call, ca, own, "identity.key"));
		TRY_PLAIN(move(call, ca, own, "identity.cert"));
		TRY_PLAIN(os_dir_sync(call, own));
		TRY_PLAIN(os_dir_sync(call, ca));
	}
	TRY(identity_load(call, cert, key, &identity), "identity");
	*ret_id = *identity_node_id(identity);
	identity_free(identity);
	return OK;
}

static enum err check_satellites(struct call *call, const struct node_config *config)
{
	if (!config->satellites.count)
		return call_fail(call, ERR_CONFIG,
				 "which satellite shall the node work for? give --satellite "
				 "id@host:port");
	for (size_t i = 0; i < config->satellites.count; i++) {
		struct node_url url;
		const char *text = config->satellites.items[i];
		if (node_url_parse(call, &call->scratch, bytes_str(text), &url))
			return call_wrap(call, ERR_CONFIG, "satellite \"%s\"", text);
		if (!url.has_id || !url.address[0])
			return call_fail(call, ERR_CONFIG,
					 "satellite \"%s\": want a node URL, id@host:port", text);
	}
	return OK;
}

/* Nodes are in the directory of a process, or one node is that directory; never both. */
static enum err check_farm(struct call *call, const char *dir)
{
	const char *nodes = os_path_dir(call, dir), *farm = os_path_dir(call, nodes);
	size_t n = strlen(nodes), name = strlen("/nodes");
	bool have = false;

	if (n < name || strcmp(nodes + n - name, "/nodes") != 0)
		return OK;
	TRY_PLAIN(os_exists(call, os_path_join(call, farm, "identity"), &have));
	if (have)
		return call_fail(
			call, ERR_CONFIG,
			"%s is a node itself, so it cannot have others in %s: stop it, move "
			"its files into %s/NAME/ first (and give its storage there, if it was "
			"in it)",
			farm, nodes, nodes);
	return OK;
}

enum err node_create(struct call *call, const char *dir, const struct node_config *config,
		     const struct node_setup *setup, struct node_id *ret_id)
{
	const char *storage = config->storage && config->storage[0]
				      ? config->storage
				      : os_path_join(call, dir, "storage");
	bool have = false;

	TRY_PLAIN(check_satellites(call, config));
	TRY_PLAIN(check_farm(call, dir));
	if (config->storage && config->storage[0] && config->storage[0] != '/')
		return call_fail(
			call, ERR_CONFIG,
			"storage: \"%s\" must be a whole path, beginning with /: the node may "
			"be started from another directory",
			config->storage);
	TRY_PLAIN(os_dir_make(call, dir, true));
	TRY_PLAIN(os_exists(call, os_path_join(call, dir, "config"), &have));
	if (have)
		return call_fail(call, ERR_EXISTS,
				 "there is a node in %s already: change its settings in %s/config",
				 dir, dir);
	TRY_PLAIN(make_identity(call, dir, config, setup, ret_id));
	return storage_dir_create(call, storage, ret_id);
}
