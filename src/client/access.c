/* Access grants as the library holds them. */
#include "client/access.h"

#include <stdlib.h>

static void access_release(struct handled *h)
{
	struct access *access = (struct access *)(void *)h;

	grant_wipe(&access->grant);
	arena_free(&access->arena);
	os_mutex_fini(&access->lock);
	free(access);
}

struct access *access_new(struct call *call)
{
	struct access *access = calloc(1, sizeof(*access));

	if (!access) {
		(void)call_fail(call, ERR_NO_MEMORY, "out of memory");
		return NULL;
	}
	access->handled = (struct handled){ HANDLE_ACCESS, 1, access_release };
	return access;
}

static enum err copy_store(struct call *call, const struct store *from, struct arena *a,
			   struct store *ret)
{
	struct store s = {
		.has_default = from->has_default,
		.default_key = from->default_key,
		.default_cipher = from->default_cipher,
	};

	for (size_t i = 0; i < from->count; i++)
		TRY_PLAIN(store_add(call, a, &s, &from->entries[i]));
	*ret = s;
	return OK;
}

enum err access_copy_grant(struct call *call, struct access *from, struct arena *a,
			   struct grant *ret)
{
	struct grant g = { 0 };
	const struct macaroon *key = &from->grant.key;

	OS_LOCKED(&from->lock);
	g.satellite = arena_str(a, bytes_str(from->grant.satellite));
	g.key.head = arena_bytes(a, key->head);
	g.key.caveats = arena_array(a, key->caveats_count + 1, sizeof(*g.key.caveats));
	if (!g.satellite || !g.key.caveats)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < key->caveats_count; i++)
		g.key.caveats[i] = arena_bytes(a, key->caveats[i]);
	g.key.caveats_count = key->caveats_count;
	memcpy(g.key.tail, key->tail, sizeof(g.key.tail));
	TRY_PLAIN(copy_store(call, &from->grant.store, a, &g.store));
	*ret = g;
	return OK;
}
