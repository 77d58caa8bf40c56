/* C API: access grants and encryption keys. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "client/access_inspect.h"
#include "client/capi.h"
#include "client/metainfo.h"
#include "proto/proto.h"

static void access_put(struct access **a)
{
	if (*a)
		handle_put(&(*a)->handled);
}

/* The finished access becomes a handle. */
static UplinkAccessResult access_result(struct call *call, struct access **access, enum err e)
{
	UplinkAccessResult r = { NULL, outcome_error(call, e) };

	if (r.error)
		return r;
	r.access = handle_new(&take(access)->handled);
	if (!r.access)
		r.error = capi_no_memory(NULL);
	return r;
}

UplinkAccessResult uplink_parse_access(uplink_const_char *access_string)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct access *access AUTO(access_put) = NULL;

	access = access_new(&call);
	enum err e = access ? grant_parse(&call, &access->arena, bytes_str(access_string),
					  &access->grant)
			    : ERR_NO_MEMORY;
	return access_result(&call, &access, e);
}

/* ---- a grant from a passphrase (access.md 3.1) ---- */

static enum err root_key(struct call *call, struct satellite *s, struct bytes passphrase,
			 struct secret_key *ret)
{
	struct arena a AUTO(arena_free) = { 0 };
	Metainfo__ProjectInfoRequest request = METAINFO__PROJECT_INFO_REQUEST__INIT;
	Metainfo__ProjectInfoResponse *answer;

	enum err e = metainfo_ask(call, s, "ProjectInfo", &request.base, &request.header,
				  METAINFO_IDEMPOTENT, &a,
				  &metainfo__project_info_response__descriptor, &answer);
	TRY_PLAIN(outcome_of_satellite(call, e, BYTES_NONE, BYTES_NONE));
	return grant_root_key(call, passphrase, proto_bytes(answer->project_salt), ret);
}

static enum err request_access(struct call *call, const AcreConfig *config, const char *address,
			       const char *api_key, const char *passphrase, struct access *access)
{
	struct arena a AUTO(arena_free) = { 0 };
	struct secret_key root AUTO(secret_key_wipe);
	struct satellite satellite = { 0 };
	struct macaroon key;

	TRY(macaroon_parse_text(call, &a, bytes_str(api_key), &key), "API key");
	TRY_PLAIN(satellite_init(call, config, address, &key, &satellite));
	call->cancel = satellite.cancel;
	enum err e = root_key(call, &satellite, bytes_str(passphrase), &root);
	call->cancel = NULL;
	satellite_fini(&satellite);
	TRY_PLAIN(e);
	/* A second parse, so that all of the grant lives in the access. */
	TRY_PLAIN(macaroon_parse_text(call, &access->arena, bytes_str(api_key), &key));
	const char *kept = arena_str(&access->arena, bytes_str(address));
	if (!kept)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return grant_new(call, &access->arena, kept, &key, &root, !config->unencrypted_object_keys,
			 &access->grant);
}

UplinkAccessResult acre_request_access(const AcreConfig *config,
				       uplink_const_char *satellite_address,
				       uplink_const_char *api_key, uplink_const_char *passphrase)
{
	static const AcreConfig defaults;
	struct call call AUTO_CALL = CALL_INIT;
	struct access *access AUTO(access_put) = NULL;
	UplinkAccessResult r = { NULL, NULL };

	if (!capi_given(&r.error, "satellite_address", satellite_address, "api_key", api_key,
			"passphrase", passphrase, NULL))
		return r;
	access = access_new(&call);
	enum err e = access ? request_access(&call, config ? config : &defaults, satellite_address,
					     api_key, passphrase, access)
			    : ERR_NO_MEMORY;
	return access_result(&call, &access, e);
}

UplinkAccessResult uplink_config_request_access_with_passphrase(
	UplinkConfig config, uplink_const_char *satellite_address, uplink_const_char *api_key,
	uplink_const_char *passphrase)
{
	AcreConfig c = { .uplink = config };

	return acre_request_access(&c, satellite_address, api_key, passphrase);
}

UplinkAccessResult uplink_request_access_with_passphrase(uplink_const_char *satellite_address,
							 uplink_const_char *api_key,
							 uplink_const_char *passphrase)
{
	return acre_request_access(NULL, satellite_address, api_key, passphrase);
}

/* ---- what is in a grant ---- */

static UplinkStringResult string_result(struct call *call, struct buf *text, enum err e)
{
	UplinkStringResult r = { NULL, NULL };

	if (!e && buf_status(text))
		e = ERR_NO_MEMORY;
	r.error = outcome_error(call, e);
	if (r.error)
		return r;
	r.string = capi_string(buf_bytes(text));
	if (!r.string)
		r.error = capi_no_memory(NULL);
	return r;
}

typedef enum err add_text(struct call *call, struct buf *out, const struct grant *g);

/* One of the text forms of a grant. */
static UplinkStringResult access_text(UplinkAccess *handle, add_text *add)
{
	UplinkStringResult r = { NULL, NULL };
	struct call call AUTO_CALL = CALL_INIT;
	struct buf text AUTO_SECRET_BUF = BUF_INIT(1 << 20);
	struct access *access AUTO(capi_put) = capi_use(handle, HANDLE_ACCESS, "access", &r.error);

	if (!access)
		return r;
	os_mutex_lock(&access->lock);
	enum err e = add(&call, &text, &access->grant);
	os_mutex_unlock(&access->lock);
	return string_result(&call, &text, e);
}

static enum err add_address(struct call *call, struct buf *out, const struct grant *g)
{
	buf_add_str(out, g->satellite);
	return OK;
}

static enum err add_api_key(struct call *call, struct buf *out, const struct grant *g)
{
	return macaroon_add_text(out, &g->key);
}

UplinkStringResult uplink_access_satellite_address(UplinkAccess *access)
{
	return access_text(access, add_address);
}

UplinkStringResult uplink_access_serialize(UplinkAccess *access)
{
	return access_text(access, grant_add_text);
}

UplinkStringResult acre_access_api_key(UplinkAccess *access)
{
	return access_text(access, add_api_key);
}

UplinkStringResult acre_access_inspect(UplinkAccess *access)
{
	return access_text(access, access_inspect);
}

/* ---- sharing ---- */

static enum err share(struct call *call, struct access *from, const AcrePermission *p,
		      const UplinkSharePrefix *prefixes, size_t count, struct access *to)
{
	struct grant_permission permission = {
		.download = p->uplink.allow_download,
		.upload = p->uplink.allow_upload,
		.list = p->uplink.allow_list,
		.remove = p->uplink.allow_delete,
		.not_before_ns = capi_seconds_to_ns(p->uplink.not_before),
		.not_after_ns = capi_seconds_to_ns(p->uplink.not_after),
		.ttl_ns = capi_seconds_to_ns(p->max_object_ttl_seconds),
	};
	struct arena a AUTO(arena_free) = { 0 };
	struct grant_prefix *list = arena_array(&a, count + 1, sizeof(*list));
	struct grant grant, shared;

	if (!list)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++)
		list[i] = (struct grant_prefix){ bytes_str(prefixes[i].bucket),
						 bytes_str(prefixes[i].prefix) };
	/* The result may have views into what it was made from, so that lives as long. */
	TRY_PLAIN(access_copy_grant(call, from, &to->arena, &grant));
	enum err e = grant_restrict(call, &to->arena, &grant, &permission, list, count, &shared);
	if (!e)
		to->grant = shared;
	grant_wipe(&grant);
	return e;
}

UplinkAccessResult acre_access_share(UplinkAccess *handle, AcrePermission permission,
				     const UplinkSharePrefix *prefixes, size_t prefixes_count)
{
	UplinkAccessResult r = { NULL, NULL };
	struct call call AUTO_CALL = CALL_INIT;
	struct access *shared AUTO(access_put) = NULL;
	struct access *access AUTO(capi_put) = capi_use(handle, HANDLE_ACCESS, "access", &r.error);

	if (!access)
		return r;
	shared = access_new(&call);
	enum err e = shared ? share(&call, access, &permission, prefixes,
				    prefixes ? prefixes_count : 0, shared)
			    : ERR_NO_MEMORY;
	return access_result(&call, &shared, e);
}

static int64_t limit_or_none(int64_t v)
{
	return v ? v : CAVEAT_UNLIMITED;
}

static enum err limit(struct call *call, struct access *from, const AcreLimits *l,
		      struct access *to)
{
	const struct caveat_limits limits = {
		.storage = limit_or_none(l->storage_bytes),
		.egress = limit_or_none(l->egress_bytes),
		.downloads = limit_or_none(l->downloads),
		.spend = limit_or_none(l->spend_micro_dollars),
		.monthly = l->monthly,
	};
	struct grant grant, limited;

	if (l->storage_bytes < 0 || l->egress_bytes < 0 || l->downloads < 0 ||
	    l->spend_micro_dollars < 0)
		return call_fail(call, ERR_INVALID, "a limit is not negative");
	TRY_PLAIN(access_copy_grant(call, from, &to->arena, &grant));
	enum err e = grant_limit(call, &to->arena, &grant, &limits, &limited);
	if (!e)
		to->grant = limited;
	grant_wipe(&grant);
	return e;
}

UplinkAccessResult acre_access_limit(UplinkAccess *handle, AcreLimits limits)
{
	UplinkAccessResult r = { NULL, NULL };
	struct call call AUTO_CALL = CALL_INIT;
	struct access *limited AUTO(access_put) = NULL;
	struct access *access AUTO(capi_put) = capi_use(handle, HANDLE_ACCESS, "access", &r.error);

	call_init(&call);
	if (!access)
		return r;
	limited = access_new(&call);
	enum err e = limited ? limit(&call, access, &limits, limited) : ERR_NO_MEMORY;
	return access_result(&call, &limited, e);
}

UplinkAccessResult uplink_access_share(UplinkAccess *access, UplinkPermission permission,
				       UplinkSharePrefix *prefixes, long long prefixes_count)
{
	AcrePermission p = { .uplink = permission };

	return acre_access_share(access, p, prefixes,
				 prefixes_count > 0 ? (size_t)prefixes_count : 0);
}

UplinkError *uplink_access_override_encryption_key(UplinkAccess *handle, uplink_const_char *bucket,
						   uplink_const_char *prefix,
						   UplinkEncryptionKey *encryption_key)
{
	UplinkError *error = NULL;
	struct call call AUTO_CALL = CALL_INIT;
	struct access *access AUTO(capi_put) = capi_use(handle, HANDLE_ACCESS, "access", &error);
	struct encryption_key *key AUTO(capi_put) = NULL;

	if (!access)
		return error;
	key = capi_use(encryption_key, HANDLE_ENCRYPTION_KEY, "encryption key", &error);
	if (!key)
		return error;
	os_mutex_lock(&access->lock);
	enum err e = grant_override_key(&call, &access->arena, &access->grant, bytes_str(bucket),
					bytes_str(prefix), &key->key);
	os_mutex_unlock(&access->lock);
	return outcome_error(&call, e);
}

void uplink_free_string_result(UplinkStringResult result)
{
	uplink_free_error(result.error);
	free(result.string);
}

void uplink_free_access_result(UplinkAccessResult result)
{
	uplink_free_error(result.error);
	if (result.access)
		handle_put(handle_end(result.access, HANDLE_ACCESS));
}

/* ---- encryption keys ---- */

static void key_release(struct handled *h)
{
	struct encryption_key *key = (struct encryption_key *)(void *)h;

	secret_key_wipe(&key->key);
	free(key);
}

UplinkEncryptionKeyResult uplink_derive_encryption_key(uplink_const_char *passphrase, void *salt,
						       size_t length)
{
	UplinkEncryptionKeyResult r = { NULL, NULL };
	struct call call AUTO_CALL = CALL_INIT;

	if (!capi_given(&r.error, "passphrase", passphrase, NULL) ||
	    (length && !capi_given(&r.error, "salt", salt, NULL)))
		return r;
	struct encryption_key *key = calloc(1, sizeof(*key));
	if (!key) {
		r.error = capi_no_memory(NULL);
		return r;
	}
	key->handled = (struct handled){ HANDLE_ENCRYPTION_KEY, 1, key_release };
	enum err e = grant_encryption_key(&call, bytes_str(passphrase), BYTES(salt, length),
					  &key->key);
	if (e) {
		r.error = outcome_error(&call, e);
		key_release(&key->handled);
		return r;
	}
	r.encryption_key = handle_new(&key->handled);
	if (!r.encryption_key)
		r.error = capi_no_memory(NULL);
	return r;
}

void uplink_free_encryption_key_result(UplinkEncryptionKeyResult result)
{
	uplink_free_error(result.error);
	if (result.encryption_key)
		handle_put(handle_end(result.encryption_key, HANDLE_ENCRYPTION_KEY));
}
