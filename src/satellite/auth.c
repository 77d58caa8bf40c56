/* Requests: who asks, and whether the key allows it (metainfo.md 3.1). */
#include "satellite/auth.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/log.h"
#include "satellite/keys.h"
#include "satellite/ratelimit.h"

/* What a name's tokens are counted for. */
enum { SUFFIX_PROJECT, SUFFIX_KEY, SUFFIX_KIND };
#define TOKEN_NEVER_NS (INT64_C(365) * 24 * 3600 * NS_PER_SEC)

static enum err unauthorized(struct call *call)
{
	return call_fail(call, ERR_PERMISSION, "Unauthorized API credentials");
}

/* What is wrong with our own database is logged here and not told. */
static enum err own_trouble(struct call *call, enum err e)
{
	return satellite_trouble(call, e, "cannot check an API key", "metainfo",
				 "the satellite cannot check API keys now");
}

/* A token of the bucket named so; one that can never have any closes the door (metainfo.md 3.4). */
static enum err take_token(struct call *call, struct satellite *sat, const struct rate *r,
			   struct bytes owner, uint8_t suffix, bool must)
{
	uint8_t name[MACAROON_HEAD_BYTES + 1]; /* a project's ID is shorter */

	if (!r->limited)
		return OK;
	if (r->rate <= 0 && r->burst <= 0)
		return call_fail(call, ERR_PERMISSION, "All access disabled");
	memcpy(name, owner.data, owner.len);
	name[owner.len] = suffix;
	int64_t interval = r->rate > 0 ? MAX(NS_PER_SEC / r->rate, 1) : TOKEN_NEVER_NS;
	bool ok = r->burst > 0 &&
		  rate_limiter_take(sat->project_rates, BYTES(name, owner.len + 1U), interval,
				    (uint64_t)r->burst, os_clock_mono_ns());
	/* Failing in the midst of an upload would only break it (metainfo.md 3.4). */
	return ok || !must ? OK : call_fail(call, ERR_EXHAUSTED, "Too Many Requests");
}

static enum err check_rate(struct call *call, struct satellite *sat, struct bytes head,
			   const struct key_info *info, enum rate_kind kind)
{
	bool must = kind != RATE_PUT_NO_ERROR;
	enum rate_kind counted = must ? kind : RATE_PUT;
	const struct rate *r = &info->project.rates[counted];

	TRY_PLAIN(take_token(call, sat, &info->rate, head, SUFFIX_KEY, must));
	return take_token(call, sat, r, BYTES_OF(info->project.id.b),
			  r->own ? (uint8_t)(SUFFIX_KIND + counted) : SUFFIX_PROJECT, must);
}

static enum err check_chain(struct call *call, struct satellite *sat, struct arena *a,
			    const struct macaroon *m, const struct key_info *info,
			    struct limit_set *ret_limits)
{
	enum tails_state state = TAILS_REVOKED;

	if (!macaroon_valid(m, &info->secret))
		return unauthorized(call);
	uint8_t(*tails)[MACAROON_TAIL_BYTES] = arena_array(a, m->caveats_count + 1,
							   MACAROON_TAIL_BYTES);
	if (!tails)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	macaroon_tails(m, &info->secret, tails);
	enum err e = key_check_tails(call, sat, (const uint8_t(*)[MACAROON_TAIL_BYTES])tails,
				     m->caveats_count + 1, info->version & KEY_VERSION_AUDITABLE,
				     &state);
	enum err limits = limit_set_read(call, m, (const uint8_t(*)[MACAROON_TAIL_BYTES])tails,
					 info->has_limit, ret_limits);
	secret_wipe(tails, (m->caveats_count + 1) * MACAROON_TAIL_BYTES);
	if (e)
		return own_trouble(call, e);
	if (state == TAILS_UNREGISTERED)
		return call_fail(call, ERR_PERMISSION,
				 "unregistered tail not allowed for auditable API key");
	return state == TAILS_REVOKED ? unauthorized(call) : limits;
}

static enum err find(struct call *call, struct satellite *sat, struct bytes head,
		     struct key_info *ret)
{
	enum err e = key_find(call, sat, head, ret);

	if (e == ERR_NOT_FOUND)
		return unauthorized(call);
	return e ? own_trouble(call, e) : OK;
}

enum err satellite_authenticate(struct call *call, struct satellite *sat, struct arena *a,
				struct bytes api_key, enum rate_kind kind, struct auth *ret)
{
	AUTO(key_info_wipe) struct key_info info = { 0 };
	struct auth auth = { .now_unix_ns = os_clock_unix_ns() };

	if (macaroon_parse(call, a, api_key, &auth.key))
		return call_fail(call, ERR_INVALID, "Invalid API credentials");
	TRY_PLAIN(find(call, sat, auth.key.head, &info));
	TRY_PLAIN(check_rate(call, sat, auth.key.head, &info, kind));
	TRY_PLAIN(check_chain(call, sat, a, &auth.key, &info, &auth.limits));
	auth.project = info.project;
	auth.key_version = info.version;
	auth.key_number = info.number;
	*ret = auth;
	return OK;
}

enum err auth_check(struct call *call, const struct auth *auth, enum action_op op,
		    struct bytes bucket, struct bytes path)
{
	return auth_allows(auth, op, bucket, path) ? OK : unauthorized(call);
}

bool auth_allows(const struct auth *auth, enum action_op op, struct bytes bucket, struct bytes path)
{
	struct action action = { op, bucket, path, auth->now_unix_ns };
	AUTO_CALL struct call probe = CALL_INIT;

	call_init(&probe);
	return permission_check(&probe, &auth->key, auth->key_version, &action) == OK;
}

enum err auth_ttl(struct call *call, const struct auth *auth, int64_t *ret_ns)
{
	enum err e = permission_ttl(call, &auth->key, ret_ns);

	if (e == ERR_INVALID)
		return call_fail(call, ERR_INVALID, "invalid MaxObjectTTL in API key");
	return e ? unauthorized(call) : OK;
}

enum err satellite_revoke(struct call *call, struct satellite *sat, const struct auth *auth,
			  struct bytes target_key)
{
	AUTO(key_info_wipe) struct key_info info = { 0 };
	struct arena *a = &call->scratch;
	struct macaroon target;
	bool ancestor = false;

	if (macaroon_parse(call, a, target_key, &target))
		return call_fail(call, ERR_INVALID, "API key to revoke is not a macaroon");
	TRY_PLAIN(find(call, sat, auth->key.head, &info));
	if (!bytes_equal(target.head, auth->key.head) || !macaroon_valid(&target, &info.secret))
		return call_fail(call, ERR_INVALID, "Macaroon to revoke invalid");
	uint8_t(*tails)[MACAROON_TAIL_BYTES] = arena_array(a, target.caveats_count + 1,
							   MACAROON_TAIL_BYTES);
	if (!tails)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	macaroon_tails(&target, &info.secret, tails);
	/* Nobody revokes himself: the last tail does not count. */
	for (size_t i = 0; i < target.caveats_count; i++)
		ancestor |= secret_equal(tails[i], auth->key.tail, MACAROON_TAIL_BYTES);
	secret_wipe(tails, (target.caveats_count + 1) * MACAROON_TAIL_BYTES);
	if (!ancestor)
		return call_fail(call, ERR_PERMISSION, "Unauthorized attempt to revoke macaroon");
	enum err e = key_revoke(call, sat, target.head, target.tail);
	return e ? own_trouble(call, e) : OK;
}
