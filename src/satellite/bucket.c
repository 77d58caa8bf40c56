/* Bucket names, versioning, lock configurations. */
#include "satellite/bucket.h"

#include "base/cleanup.h"

enum { LOCK_DAYS_MAX = 36500, LOCK_YEARS_MAX = 10 };

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_edge(uint8_t c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z');
}

static enum err check_label(struct call *call, struct bytes label)
{
	if (!label.len)
		return call_fail(call, ERR_INVALID, "bucket label cannot be empty");
	if (!is_edge(label.data[0]))
		return call_fail(call, ERR_INVALID,
				 "bucket label must start with a lowercase letter or number");
	if (!is_edge(label.data[label.len - 1]))
		return call_fail(call, ERR_INVALID,
				 "bucket label must end with a lowercase letter or number");
	for (size_t i = 0; i < label.len; i++) {
		if (!is_edge(label.data[i]) && label.data[i] != '-')
			return call_fail(call, ERR_INVALID,
					 "bucket name must contain only lowercase letters, numbers "
					 "or hyphens");
	}
	return OK;
}

/* Four numbers of 0 to 255 without leading zeros, as Go's parser of addresses has it. */
static bool is_ipv4(struct bytes v)
{
	size_t at = 0;

	for (int part = 0; part < 4; part++) {
		size_t begin = at;
		unsigned n = 0;
		while (at < v.len && at - begin < 3 && is_digit(v.data[at]))
			n = n * 10 + (v.data[at++] - '0');
		if (at == begin || n > 255 || (at - begin > 1 && v.data[begin] == '0'))
			return false;
		if (part < 3 && (at == v.len || v.data[at++] != '.'))
			return false;
	}
	return at == v.len;
}

enum err bucket_name_check(struct call *call, struct bytes name)
{
	size_t begin = 0;

	if (!name.len)
		return call_fail(call, ERR_INVALID, "no bucket specified");
	if (name.len < LIMIT_BUCKET_NAME_MIN || name.len > LIMIT_BUCKET_NAME_MAX)
		return call_fail(
			call, ERR_INVALID,
			"bucket name must be at least %d and no more than %d characters long",
			LIMIT_BUCKET_NAME_MIN, LIMIT_BUCKET_NAME_MAX);
	if (is_ipv4(name))
		return call_fail(call, ERR_INVALID,
				 "bucket name cannot be formatted as an IP address");
	for (size_t i = 0; i <= name.len; i++) {
		if (i < name.len && name.data[i] != '.')
			continue;
		TRY_PLAIN(check_label(call, BYTES(name.data + begin, i - begin)));
		begin = i + 1;
	}
	return OK;
}

enum err bucket_set_versioning(struct call *call, struct bucket *b, bool on)
{
	if (on) {
		b->versioning = VERSIONING_ON;
		return OK;
	}
	if (b->lock_enabled)
		return call_fail_status(call, ERR_PRECONDITION, STATUS_LOCK_BUCKET_STATE,
					"versioning cannot be suspended for buckets with Object "
					"Lock enabled");
	if (b->versioning != VERSIONING_ON && b->versioning != VERSIONING_SUSPENDED)
		return call_fail(call, ERR_PRECONDITION,
				 "versioning can only be suspended where it was enabled before");
	b->versioning = VERSIONING_SUSPENDED;
	return OK;
}

/* Libraries, not tools. */
static bool is_library(struct bytes product)
{
	static const char *const names[] = { "uplink", "common", "drpc", "Gateway-ST", "" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (bytes_equal(product, bytes_str(names[i])))
			return true;
	return false;
}

struct bytes user_agent_trim(struct arena *a, struct bytes v)
{
	AUTO_BUF struct buf out = BUF_INIT(v.len + 1);
	size_t first = 0;
	int depth = 0;

	for (size_t i = 0; i < v.len;) {
		size_t begin = i;
		while (i < v.len && v.data[i] != ' ' && v.data[i] != '(' && v.data[i] != ')')
			i++;
		struct bytes entry = BYTES(v.data + begin, i - begin);
		const uint8_t *slash = entry.len ? memchr(entry.data, '/', entry.len) : NULL;
		struct bytes product = BYTES(entry.data,
					     slash ? (size_t)(slash - entry.data) : entry.len);
		if (!depth && !is_library(product)) {
			if (out.len)
				buf_add_byte(&out, ' ');
			buf_add_bytes(&out, entry);
			first = first ? first : out.len;
		}
		if (i < v.len)
			depth = MAX(depth + (v.data[i] == '(') - (v.data[i] == ')'), 0);
		i += i < v.len;
	}
	size_t len = out.len <= LIMIT_USER_AGENT_BYTES ? out.len
		     : first <= LIMIT_USER_AGENT_BYTES ? first
						       : LIMIT_USER_AGENT_BYTES;
	return arena_bytes(a, BYTES(out.data, out.failed ? 0 : len));
}

static enum err bad_lock(struct call *call, const char *text)
{
	return call_fail_status(call, ERR_INVALID, STATUS_LOCK_BUCKET_CONFIG, "%s", text);
}

enum err bucket_read_lock(struct call *call, const Metainfo__ObjectLockConfiguration *m,
			  int32_t *ret_mode, int32_t *ret_days, int32_t *ret_years)
{
	int32_t days = 0, years = 0;

	if (!m)
		return bad_lock(call, "Object Lock configuration is required");
	if (!m->enabled)
		return bad_lock(call, "Object Lock can't be disabled");
	const Metainfo__DefaultRetention *d = m->default_retention;
	if (d) {
		if (d->mode != METAINFO__RETENTION__MODE__COMPLIANCE &&
		    d->mode != METAINFO__RETENTION__MODE__GOVERNANCE)
			return bad_lock(call, "Invalid retention mode");
		if (d->duration_case == METAINFO__DEFAULT_RETENTION__DURATION_DAYS) {
			days = d->days;
			if (days <= 0)
				return bad_lock(call, "Days must be a positive integer");
			if (days > LOCK_DAYS_MAX)
				return bad_lock(call, "Days must not exceed 36500");
		} else if (d->duration_case == METAINFO__DEFAULT_RETENTION__DURATION_YEARS) {
			years = d->years;
			if (years <= 0)
				return bad_lock(call, "Years must be a positive integer");
			if (years > LOCK_YEARS_MAX)
				return bad_lock(call, "Years must not exceed 10");
		} else {
			return bad_lock(call, "Either days or years must be specified");
		}
	}
	*ret_mode = d ? (int32_t)d->mode : RETENTION_NONE;
	*ret_days = days;
	*ret_years = years;
	return OK;
}
