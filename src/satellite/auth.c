/* Requests: who asks, and whether the key allows it (metainfo.md 3.1). */
#include "satellite/auth.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/log.h"
#include "satellite/keys.h"
#include "satellite/ratelimit.h"

static enum err unauthorized(struct call *call)
{
	return call_fail(call, ERR_PERMISSION, "Unauthorized API credentials");
}

/* What is wrong with our own database is logged here and not told. */
static enum err own_trouble(struct call *call, enum err e)
{
	log_warn("cannot check an API key", F_STR("error", call_error(call, e)));
	return call_fail(call, err_retryable(e) ? ERR_UNAVAILABLE : ERR_INTERNAL,
			 "the satellite cannot check API keys now");
}

static enum err check_rate(struct call *call, struct satellite *sat, const struct project *p,
			   enum rate_kind kind)
{
	if (p->rate < 0)
		return call_fail(call, ERR_PERMISSION, "All access disabled");
	if (p->rate == 0)
		return OK;
	int64_t interval = NS_PER_SEC / MAX(p->rate, 1);
	bool ok = rate_limiter_take(sat->project_rates, BYTES_OF(p->id.b), MAX(interval, 1),
				    (uint64_t)MAX(p->rate_burst, 1), os_clock_mono_ns());
	/* Failing in the midst of an upload would only break it (metainfo.md 3.4). */
	if (ok || kind == RATE_PUT_NO_ERROR)
		return OK;
	return call_fail(call, ERR_EXHAUSTED, "Too Many Requests");
}

static enum err check_chain(struct call *call, struct satellite *sat, struct arena *a,
			    const struct macaroon *m, const struct key_info *info)
{
	bool revoked = false;

	if (!macaroon_valid(m, &info->secret))
		return unauthorized(call);
	/* Keys whose every tail must be registered first are not made here (access.md 1.3). */
	if ((info->version & KEY_VERSION_AUDITABLE) && m->caveats_count > 0)
		return call_fail(call, ERR_PERMISSION,
				 "unregistered tail not allowed for auditable API key");
	uint8_t(*tails)[MACAROON_TAIL_BYTES] = arena_array(a, m->caveats_count + 1,
							   MACAROON_TAIL_BYTES);
	if (!tails)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	macaroon_tails(m, &info->secret, tails);
	enum err e = key_is_revoked(call, sat, (const uint8_t(*)[MACAROON_TAIL_BYTES])tails,
				    m->caveats_count + 1, &revoked);
	secret_wipe(tails, (m->caveats_count + 1) * MACAROON_TAIL_BYTES);
	if (e)
		return own_trouble(call, e);
	return revoked ? unauthorized(call) : OK;
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
	TRY_PLAIN(check_rate(call, sat, &info.project, kind));
	TRY_PLAIN(check_chain(call, sat, a, &auth.key, &info));
	auth.project = info.project;
	auth.key_version = info.version;
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
	return permission_ttl(call, &auth->key, ret_ns) ? unauthorized(call) : OK;
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
