/* Caveats applied to what somebody wants to do (access.md 1.3). */
#include "access/permission.h"

#include "base/cleanup.h"

/* Decoded caveats of one key: at most its bytes, unfolded. */
enum { CAVEATS_ARENA_MAX = 8 << 20 };
#define AUTO_ARENA AUTO(arena_free)

static bool caveat_time_ok(const struct caveat *c, int64_t now_ns)
{
	return !(c->has_not_after && now_ns > c->not_after_ns) &&
	       !(c->has_not_before && now_ns < c->not_before_ns);
}

/* Bucket-level reads are always allowed, within the buckets; a list of buckets is filtered
 * afterwards. */
static bool caveat_bucket_ok(const struct caveat *c, struct bytes bucket)
{
	if (c->paths_count == 0 || bucket.len == 0)
		return true;
	for (size_t i = 0; i < c->paths_count; i++) {
		if (bytes_equal(c->paths[i].bucket, bucket))
			return true;
	}
	return false;
}

static bool caveat_op_ok(const struct caveat *c, enum action_op op)
{
	switch (op) {
	case ACTION_READ:
		return !c->disallow_reads;
	case ACTION_WRITE:
		return !c->disallow_writes;
	case ACTION_LIST:
		return !c->disallow_lists;
	case ACTION_DELETE:
		return !c->disallow_deletes;
	case ACTION_PROJECT_INFO:
		return true;
	case ACTION_LOCK:
		return !c->disallow_locks;
	case ACTION_PUT_RETENTION:
		return !c->disallow_put_retention;
	/* Who may set it may read it. */
	case ACTION_GET_RETENTION:
		return !(c->disallow_put_retention && c->disallow_get_retention);
	case ACTION_PUT_LEGAL_HOLD:
		return !c->disallow_put_legal_hold;
	case ACTION_GET_LEGAL_HOLD:
		return !c->disallow_get_legal_hold;
	case ACTION_BYPASS_GOVERNANCE:
		return !c->disallow_bypass_governance;
	case ACTION_PUT_BUCKET_LOCK_CONFIG:
		return !c->disallow_put_bucket_lock_config;
	case ACTION_GET_BUCKET_LOCK_CONFIG:
		return !c->disallow_get_bucket_lock_config;
	case ACTION_PUT_BUCKET_NOTIFICATION:
		return !c->disallow_put_bucket_notification;
	case ACTION_GET_BUCKET_NOTIFICATION:
		return !c->disallow_get_bucket_notification;
	}
	return false;
}

/* A raw prefix of bytes: no component has to end there. */
static bool caveat_path_ok(const struct caveat *c, const struct action *action)
{
	if (c->paths_count == 0 || action->op == ACTION_PROJECT_INFO)
		return true;
	for (size_t i = 0; i < c->paths_count; i++) {
		if (bytes_equal(c->paths[i].bucket, action->bucket) &&
		    bytes_has_prefix(action->path, c->paths[i].prefix))
			return true;
	}
	return false;
}

bool caveat_allows(const struct caveat *c, const struct action *action)
{
	if (!caveat_time_ok(c, action->now_unix_ns))
		return false;
	if (action->op == ACTION_READ && action->path.len == 0)
		return caveat_bucket_ok(c, action->bucket);
	return caveat_op_ok(c, action->op) && caveat_path_ok(c, action);
}

static bool version_allows(unsigned key_version, enum action_op op)
{
	if (op >= ACTION_LOCK && op <= ACTION_GET_BUCKET_LOCK_CONFIG)
		return key_version & KEY_VERSION_OBJECT_LOCK;
	if (op == ACTION_PUT_BUCKET_NOTIFICATION || op == ACTION_GET_BUCKET_NOTIFICATION)
		return key_version & KEY_VERSION_EVENTING;
	return true;
}

enum err permission_check(struct call *call, const struct macaroon *m, unsigned key_version,
			  const struct action *action)
{
	struct arena a AUTO_ARENA = { .max = CAVEATS_ARENA_MAX };

	if (!version_allows(key_version, action->op))
		return call_fail(call, ERR_PERMISSION, "this kind of API key cannot do that");
	for (size_t i = 0; i < m->caveats_count; i++) {
		struct caveat c;
		enum err e = caveat_decode(call, &a, m->caveats[i], &c);
		/* A restriction that cannot be read restricts to nothing. */
		if (e == ERR_FORMAT)
			return call_fail(call, ERR_PERMISSION,
					 "the API key has a malformed restriction");
		TRY_PLAIN(e);
		if (!caveat_allows(&c, action))
			return call_fail(call, ERR_PERMISSION, "the API key does not allow that");
		arena_reset(&a);
	}
	return OK;
}

static int compare_buckets(const void *a, const void *b)
{
	return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* The caveat's buckets in order, each once. */
static enum err caveat_buckets(struct call *call, struct arena *a, const struct caveat *c,
			       struct bytes **ret, size_t *ret_count)
{
	struct bytes *buckets = arena_array(a, c->paths_count, sizeof(*buckets));
	size_t count = 0;

	if (!buckets)
		return call_fail(call, ERR_NO_MEMORY, "no memory for the buckets of an API key");
	for (size_t i = 0; i < c->paths_count; i++)
		buckets[i] = c->paths[i].bucket;
	qsort(buckets, c->paths_count, sizeof(*buckets), compare_buckets);
	for (size_t i = 0; i < c->paths_count; i++) {
		if (count == 0 || !bytes_equal(buckets[count - 1], buckets[i]))
			buckets[count++] = buckets[i];
	}
	*ret = buckets;
	*ret_count = count;
	return OK;
}

/* Keeps in `kept` what is in `other`, too; both are in order. */
static size_t intersect(struct bytes *kept, size_t count, const struct bytes *other,
			size_t other_count)
{
	size_t n = 0, j = 0;

	for (size_t i = 0; i < count; i++) {
		while (j < other_count && bytes_compare(other[j], kept[i]) < 0)
			j++;
		if (j < other_count && bytes_equal(other[j], kept[i]))
			kept[n++] = kept[i];
	}
	return n;
}

enum err permission_buckets(struct call *call, struct arena *a, const struct macaroon *m,
			    bool *ret_all, struct bytes **ret_buckets, size_t *ret_count)
{
	struct bytes *buckets = NULL;
	size_t count = 0;
	bool all = true;

	for (size_t i = 0; i < m->caveats_count; i++) {
		struct caveat c;
		TRY_PLAIN(caveat_decode(call, a, m->caveats[i], &c));
		if (c.paths_count == 0)
			continue;
		struct bytes *own = NULL;
		size_t own_count = 0;
		TRY_PLAIN(caveat_buckets(call, a, &c, &own, &own_count));
		if (all) {
			buckets = own;
			count = own_count;
			all = false;
		} else {
			count = intersect(buckets, count, own, own_count);
		}
	}
	*ret_all = all;
	*ret_buckets = buckets;
	*ret_count = count;
	return OK;
}

enum err permission_ttl(struct call *call, const struct macaroon *m, int64_t *ret_ns)
{
	struct arena a AUTO_ARENA = { .max = CAVEATS_ARENA_MAX };
	int64_t ttl = 0;
	bool found = false;

	for (size_t i = 0; i < m->caveats_count; i++) {
		struct caveat c;
		TRY_PLAIN(caveat_decode(call, &a, m->caveats[i], &c));
		if (c.has_ttl && (!found || c.ttl_ns < ttl)) {
			ttl = c.ttl_ns;
			found = true;
		}
		arena_reset(&a);
	}
	if (found && ttl <= 0)
		return call_fail(call, ERR_INVALID,
				 "the API key limits the life of objects to nothing");
	*ret_ns = ttl;
	return OK;
}
