/* Projects and the satellite they belong to. */
#include "client/project.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/process.h"

enum {
	CALL_DEFAULT_MS = 120000,
	STALL_DEFAULT_MS = 120000,
	USER_AGENT_MAX = 512,
	API_KEY_MAX = MACAROON_BYTES_MAX,
};

static enum err read_node_url(struct call *call, const char *text, struct satellite *s)
{
	struct node_url url;

	TRY(node_url_parse(call, &s->arena, bytes_str(text), &url), "satellite address \"%s\"",
	    text);
	if (!url.has_id || !url.address || !url.address[0])
		return call_fail(call, ERR_INVALID,
				 "satellite address \"%s\" must be NODE-ID@HOST:PORT, so that the "
				 "satellite can be told from an impostor",
				 text);
	s->id = url.id;
	s->address = arena_str(&s->arena, bytes_str(url.address));
	if (!s->address)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return OK;
}

static enum err set_user_agent(struct call *call, const AcreConfig *config, struct satellite *s)
{
	struct buf text AUTO_BUF = BUF_INIT(USER_AGENT_MAX);

	if (config->uplink.user_agent && config->uplink.user_agent[0])
		buf_printf(&text, "%s ", config->uplink.user_agent);
	buf_printf(&text, "acre/%s", acre_version());
	if (buf_status(&text))
		return call_fail(call, ERR_INVALID, "the user agent is longer than %d bytes",
				 USER_AGENT_MAX);
	s->user_agent = arena_bytes(&s->arena, buf_bytes(&text));
	return s->user_agent.data ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

/* The variable is the Go library's, so that one switch turns both off. */
static bool use_noise(const AcreConfig *config)
{
	const char *off = os_getenv("STORJ_NOISE_DISABLED_EXPERIMENTAL");

	if (config->noise == ACRE_NOISE_DEFAULT)
		return !off || strcmp(off, "true") != 0;
	return config->noise == ACRE_NOISE_ON;
}

static enum err satellite_fill(struct call *call, const AcreConfig *config, const char *node_url,
			       const struct macaroon *api_key, struct satellite *s)
{
	struct buf binary AUTO_SECRET_BUF = BUF_INIT(API_KEY_MAX);
	struct fanout_limits limits = {
		.connections_max = config->connections_max,
		.upload_rate = config->upload_rate_max,
		.download_rate = config->download_rate_max,
	};

	limits.noise = use_noise(config);
	if (config->uplink.dial_timeout_milliseconds > 0)
		limits.dial_ns_max = config->uplink.dial_timeout_milliseconds * NS_PER_MS;
	TRY_PLAIN(read_node_url(call, node_url, s));
	TRY_PLAIN(set_user_agent(call, config, s));
	macaroon_add_binary(&binary, api_key);
	if (buf_status(&binary))
		return call_fail(call, ERR_INVALID, "the API key is too long");
	s->api_key = arena_bytes(&s->arena, buf_bytes(&binary));
	if (!s->api_key.data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(identity_ephemeral(call, &s->identity));
	TRY_PLAIN(net_tls_new(call, s->identity, &s->tls));
	TRY_PLAIN(fanout_new(call, s->tls, limits, &s->fanout));
	s->cancel = config->cancel ? &config->cancel->cancel : NULL;
	s->call_ns = (config->call_timeout_ms > 0 ? config->call_timeout_ms : CALL_DEFAULT_MS) *
		     NS_PER_MS;
	return OK;
}

enum err satellite_init(struct call *call, const AcreConfig *config, const char *node_url,
			const struct macaroon *api_key, struct satellite *ret)
{
	struct satellite s = { 0 };
	enum err e = satellite_fill(call, config, node_url, api_key, &s);

	if (e) {
		satellite_fini(&s);
		return e;
	}
	*ret = s;
	return OK;
}

void satellite_fini(struct satellite *s)
{
	fanout_free(s->fanout);
	if (s->tls)
		net_tls_free(s->tls);
	if (s->identity)
		identity_free(s->identity);
	if (s->api_key.len)
		secret_wipe((void *)(uintptr_t)s->api_key.data, s->api_key.len);
	arena_free(&s->arena);
	*s = (struct satellite){ 0 };
}

static void project_release(struct handled *h)
{
	struct project *p = (struct project *)(void *)h;

	grant_wipe(&p->grant);
	if (p->cancel_made)
		os_cancel_fini(&p->cancel);
	satellite_fini(&p->satellite);
	os_mutex_fini(&p->lock);
	free(p->temp_dir);
	free(p);
}

static void project_auto(struct project **p)
{
	if (*p)
		project_release(&(*p)->handled);
}

enum err project_open(struct call *call, const AcreConfig *config, struct access *access,
		      struct project **ret)
{
	struct project *p AUTO(project_auto) = calloc(1, sizeof(*p));
	struct arena scratch AUTO(arena_free) = { 0 };
	struct grant grant;

	if (!p)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	p->handled = (struct handled){ HANDLE_PROJECT, 1, project_release };
	p->deadline_ns = CALL_NO_DEADLINE;
	if (config->segment_size && config->segment_size < PROJECT_SEGMENT_MIN)
		return call_fail(call, ERR_INVALID, "segment size %llu is below %d",
				 (unsigned long long)config->segment_size, PROJECT_SEGMENT_MIN);
	if (config->segment_size > CONTENT_SEGMENT_BYTES)
		return call_fail(call, ERR_INVALID, "segment size %llu is above 64 MiB",
				 (unsigned long long)config->segment_size);
	p->segment_size = config->segment_size ? config->segment_size : CONTENT_SEGMENT_BYTES;
	p->parallelism = MIN(config->parallelism, (unsigned)PROJECT_PARALLELISM_MAX);
	p->stall_ns = (config->stall_timeout_ms > 0 ? config->stall_timeout_ms : STALL_DEFAULT_MS) *
		      NS_PER_MS;
	if (config->uplink.temp_directory) {
		p->temp_dir = strdup(config->uplink.temp_directory);
		if (!p->temp_dir)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	TRY_PLAIN(access_copy_grant(call, access, &scratch, &grant));
	enum err e = satellite_init(call, config, grant.satellite, &grant.key, &p->satellite);
	grant_wipe(&grant);
	TRY_PLAIN(e);
	TRY_PLAIN(access_copy_grant(call, access, &p->satellite.arena, &p->grant));
	TRY_PLAIN(os_cancel_init(call, &p->cancel, p->satellite.cancel));
	p->cancel_made = true;
	*ret = take(&p);
	return OK;
}

static void limited_release(struct handled *h)
{
	struct project *p = (struct project *)(void *)h;

	project_disown(&p->own);
	os_mutex_fini(&p->lock);
	free(p);
}

enum err project_limit(struct call *call, struct project *base, int64_t timeout_ns,
		       struct project **ret)
{
	if (base->own.limited)
		return call_fail(call, ERR_INVALID, "this project handle is limited already");
	struct project *p = calloc(1, sizeof(*p));
	if (!p)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	p->handled = (struct handled){ HANDLE_PROJECT, 1, limited_release };
	p->satellite = base->satellite;
	p->grant = base->grant;
	p->segment_size = base->segment_size;
	p->parallelism = base->parallelism;
	p->stall_ns = base->stall_ns;
	p->temp_dir = base->temp_dir;
	p->deadline_ns = timeout_ns ? os_clock_mono_ns() + timeout_ns : CALL_NO_DEADLINE;
	p->own.limited = p;
	enum err e = project_adopt(call, base, NULL, &p->own);
	if (e) {
		free(p);
		return e;
	}
	*ret = p;
	return OK;
}

static struct os_cancel *cancel_of(struct project *p)
{
	return p->own.limited ? &p->own.cancel : &p->cancel;
}

/* Lock held. */
static void close_locked(struct project *p)
{
	p->closed = true;
	os_cancel_set(cancel_of(p));
	for (struct project_child *c = p->children; c; c = c->next)
		os_cancel_set(&c->cancel);
}

void project_close(struct project *p)
{
	OS_LOCKED(&p->lock);
	close_locked(p);
	/* Limited ones have no limited ones below them. */
	for (struct project_child *c = p->children; c; c = c->next)
		if (c->limited) {
			os_mutex_lock(&c->limited->lock);
			close_locked(c->limited);
			os_mutex_unlock(&c->limited->lock);
		}
}

void project_call(struct project *p, struct call *call)
{
	call->cancel = cancel_of(p);
	call->deadline_ns = p->deadline_ns;
}

void project_child_call(struct project_child *child, struct call *call)
{
	call->cancel = &child->cancel;
	call->deadline_ns = child->project->deadline_ns;
}

enum err project_adopt(struct call *call, struct project *p, AcreCancel *cancel,
		       struct project_child *child)
{
	TRY_PLAIN(os_cancel_init(call, &child->cancel,
				 cancel ? &cancel->cancel : p->satellite.cancel));
	os_mutex_lock(&p->lock);
	bool closed = p->closed;
	if (!closed) {
		child->next = p->children;
		child->prev = &p->children;
		if (child->next)
			child->next->prev = &child->next;
		p->children = child;
	}
	os_mutex_unlock(&p->lock);
	if (closed) {
		os_cancel_fini(&child->cancel);
		return call_fail(call, ERR_CANCELED, "the project is closed");
	}
	child->project = handle_ref(&p->handled);
	return OK;
}

void project_disown(struct project_child *child)
{
	struct project *p = child->project;

	if (!p)
		return;
	os_mutex_lock(&p->lock);
	*child->prev = child->next;
	if (child->next)
		child->next->prev = child->prev;
	os_mutex_unlock(&p->lock);
	os_cancel_fini(&child->cancel);
	child->project = NULL;
	handle_put(&p->handled);
}

enum err check_bucket(struct call *call, struct bytes bucket)
{
	if (bucket.len)
		return OK;
	return outcome_fail(call, ERR_INVALID, UPLINK_ERROR_BUCKET_NAME_INVALID,
			    "bucket name invalid: it is empty");
}

enum err check_key(struct call *call, struct bytes bucket, struct bytes key)
{
	TRY_PLAIN(check_bucket(call, bucket));
	if (key.len)
		return OK;
	return outcome_fail(call, ERR_INVALID, UPLINK_ERROR_OBJECT_KEY_INVALID,
			    "object key invalid: it is empty");
}

/* The grant's store has no key there: it was shared for another place. */
static enum err no_base(struct call *call, enum err e, struct bytes bucket, struct bytes key)
{
	if (e != ERR_PERMISSION)
		return e;
	return outcome_fail(
		call, e, UPLINK_ERROR_PERMISSION_DENIED,
		"permission denied: the access grant has no encryption key for \"%.*s\" "
		"in bucket \"%.*s\"; it was shared for another prefix",
		(int)MIN(key.len, (size_t)200), (const char *)key.data, (int)bucket.len,
		(const char *)bucket.data);
}

enum err encrypt_key(struct call *call, const struct project *p, struct bytes bucket,
		     struct bytes key, struct arena *a, struct bytes *ret)
{
	struct buf out AUTO_BUF = BUF_INIT(PATH_ENCRYPTED_MAX);
	enum err e = path_encrypt(call, &p->grant.store, bucket, key, &out);

	TRY_PLAIN(no_base(call, e, bucket, key));
	*ret = arena_bytes(a, buf_bytes(&out));
	if (!ret->data)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return OK;
}

enum err object_content_key(struct call *call, const struct project *p, struct bytes bucket,
			    struct bytes key, struct secret_key *ret)
{
	return no_base(call, content_key(call, &p->grant.store, bucket, key, ret), bucket, key);
}
