/* Caveats between their bytes and what they say (access.md 1.2). */
#include "access/permission.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"

enum {
	FIELD_PATHS = 10,
	FIELD_NOT_AFTER = 20,
	FIELD_NOT_BEFORE = 21,
	FIELD_TTL = 22,
	FIELD_NONCE = 30,
	FIELD_LIMITS = 1000,
	LIMIT_STORAGE = 1,
	LIMIT_EGRESS = 2,
	LIMIT_DOWNLOADS = 3,
	LIMIT_SPEND = 4,
	LIMIT_MONTHLY = 5,
	LIMITS_BYTES_MAX = 5 * (1 + WIRE_VARINT_MAX),
};
/* What a satellite that does not know FIELD_LIMITS goes by. */
#define LIMITS_NOT_AFTER_NS NS_PER_SEC

/* The bool of a field number; NULL when it is none. */
static bool *disallow(struct caveat *c, uint32_t number)
{
	switch (number) {
	case 1:
		return &c->disallow_reads;
	case 2:
		return &c->disallow_writes;
	case 3:
		return &c->disallow_lists;
	case 4:
		return &c->disallow_deletes;
	case 5:
		return &c->disallow_locks;
	case 6:
		return &c->disallow_put_retention;
	case 7:
		return &c->disallow_get_retention;
	case 8:
		return &c->disallow_put_legal_hold;
	case 9:
		return &c->disallow_get_legal_hold;
	case 11:
		return &c->disallow_bypass_governance;
	case 12:
		return &c->disallow_put_bucket_lock_config;
	case 13:
		return &c->disallow_get_bucket_lock_config;
	case 14:
		return &c->disallow_put_bucket_notification;
	case 15:
		return &c->disallow_get_bucket_notification;
	default:
		return NULL;
	}
}

/* Timestamps and durations: seconds and nanoseconds, of either sign; beyond int64 clamped. */
static bool decode_time(struct bytes body, int64_t *ret_ns)
{
	struct wire w = wire_read(body);
	struct wire_field f;
	int64_t seconds = 0;
	int32_t nanos = 0;

	while (wire_field(&w, &f)) {
		if (f.number != 1 && f.number != 2)
			continue;
		if (f.type != WIRE_VARINT)
			return false;
		if (f.number == 1)
			seconds = (int64_t)f.value;
		else
			nanos = (int32_t)f.value;
	}
	__int128 ns = (__int128)seconds * NS_PER_SEC + nanos;
	if (ns < INT64_MIN || ns > INT64_MAX)
		ns = ns < 0 ? INT64_MIN : INT64_MAX;
	*ret_ns = (int64_t)ns;
	return wire_ok(&w);
}

static bool decode_path(struct bytes body, struct allowed_path *ret)
{
	struct wire w = wire_read(body);
	struct wire_field f;

	*ret = (struct allowed_path){ 0 };
	while (wire_field(&w, &f)) {
		if (f.number != 1 && f.number != 2)
			continue;
		if (f.type != WIRE_BYTES)
			return false;
		if (f.number == 1)
			ret->bucket = f.bytes;
		else
			ret->prefix = f.bytes;
	}
	return wire_ok(&w);
}

/* A limit that is not understood must not be overlooked. */
static bool decode_limits(struct bytes body, struct caveat_limits *ret)
{
	struct wire w = wire_read(body);
	struct wire_field f;
	struct caveat_limits l = CAVEAT_LIMITS_NONE;
	int64_t *const numbers[] = { &l.storage, &l.egress, &l.downloads, &l.spend };

	while (wire_field(&w, &f)) {
		if (f.type != WIRE_VARINT || f.value > INT64_MAX)
			return false;
		if (f.number >= LIMIT_STORAGE && f.number <= LIMIT_SPEND)
			*numbers[f.number - LIMIT_STORAGE] = (int64_t)f.value;
		else if (f.number == LIMIT_MONTHLY)
			l.monthly = f.value != 0;
		else
			return false;
	}
	*ret = l;
	return wire_ok(&w);
}

/* Paths are decoded when there is room for them, else only counted. */
static bool decode_field(const struct wire_field *f, struct caveat *c, struct allowed_path *paths)
{
	bool *flag = disallow(c, f->number);

	if (flag) {
		/* The reference takes 2 for false; whoever wrote it wanted less to be allowed. */
		*flag = f->value != 0;
		return f->type == WIRE_VARINT;
	}
	switch (f->number) {
	case FIELD_PATHS:
		c->paths_count++;
		return f->type == WIRE_BYTES &&
		       (!paths || decode_path(f->bytes, &paths[c->paths_count - 1]));
	case FIELD_NOT_AFTER:
		c->has_not_after = true;
		return f->type == WIRE_BYTES && decode_time(f->bytes, &c->not_after_ns);
	case FIELD_NOT_BEFORE:
		c->has_not_before = true;
		return f->type == WIRE_BYTES && decode_time(f->bytes, &c->not_before_ns);
	case FIELD_TTL:
		c->has_ttl = true;
		return f->type == WIRE_BYTES && decode_time(f->bytes, &c->ttl_ns);
	case FIELD_NONCE:
		c->nonce = f->bytes;
		return f->type == WIRE_BYTES;
	case FIELD_LIMITS:
		c->has_limits = true;
		return f->type == WIRE_BYTES && decode_limits(f->bytes, &c->limits);
	default:
		return true;
	}
}

static bool decode(struct bytes body, struct caveat *c, struct allowed_path *paths)
{
	struct wire w = wire_read(body);
	struct wire_field f;

	*c = (struct caveat){ .paths = paths };
	while (wire_field(&w, &f)) {
		if (!decode_field(&f, c, paths))
			return false;
	}
	if (c->has_limits) {
		c->has_not_after = false;
		c->not_after_ns = 0;
	}
	return wire_ok(&w);
}

bool caveat_limits_find(struct bytes wire, struct caveat_limits *ret)
{
	struct wire w = wire_read(wire);
	struct wire_field f;
	bool found = false;

	while (wire_field(&w, &f))
		found = (f.number == FIELD_LIMITS && f.type == WIRE_BYTES &&
			 decode_limits(f.bytes, ret)) ||
			found;
	return found;
}

enum err caveat_decode(struct call *call, struct arena *a, struct bytes wire, struct caveat *ret)
{
	struct caveat c;

	if (!decode(wire, &c, NULL))
		return call_fail(call, ERR_FORMAT, "malformed restriction in an API key");
	if (c.paths_count) {
		struct allowed_path *paths = arena_array(a, c.paths_count, sizeof(*paths));
		if (!paths)
			return call_fail(call, ERR_NO_MEMORY, "no memory for a restriction");
		if (!decode(wire, &c, paths))
			return call_fail(call, ERR_FORMAT, "malformed restriction in an API key");
	}
	*ret = c;
	return OK;
}

static void add_time(struct buf *out, uint32_t number, int64_t seconds, int64_t nanos)
{
	uint8_t body[2 * (1 + WIRE_VARINT_MAX)];
	size_t n = 0;

	if (seconds) {
		body[n++] = 1 << 3 | WIRE_VARINT;
		n += wire_put_varint(body + n, (uint64_t)seconds);
	}
	if (nanos) {
		body[n++] = 2 << 3 | WIRE_VARINT;
		n += wire_put_varint(body + n, (uint64_t)nanos);
	}
	buf_add_field_bytes(out, number, BYTES(body, n));
}

/* The nanoseconds of a moment are never negative, those of a duration have its sign. */
static void add_moment(struct buf *out, uint32_t number, int64_t ns)
{
	int64_t nanos = ns % NS_PER_SEC, seconds = ns / NS_PER_SEC;

	if (nanos < 0)
		add_time(out, number, seconds - 1, nanos + NS_PER_SEC);
	else
		add_time(out, number, seconds, nanos);
}

static void add_path(struct buf *out, const struct allowed_path *path)
{
	size_t len = 0;

	if (path->bucket.len)
		len += 1 + wire_varint_len(path->bucket.len) + path->bucket.len;
	if (path->prefix.len)
		len += 1 + wire_varint_len(path->prefix.len) + path->prefix.len;
	buf_add_varint(out, FIELD_PATHS << 3 | WIRE_BYTES);
	buf_add_varint(out, len);
	if (path->bucket.len)
		buf_add_field_bytes(out, 1, path->bucket);
	if (path->prefix.len)
		buf_add_field_bytes(out, 2, path->prefix);
}

static void add_limits(struct buf *out, const struct caveat_limits *l)
{
	AUTO_BUF struct buf body = BUF_INIT(LIMITS_BYTES_MAX);
	const int64_t numbers[] = { l->storage, l->egress, l->downloads, l->spend };

	for (uint32_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (numbers[i] >= 0)
			buf_add_field_varint(&body, LIMIT_STORAGE + i, (uint64_t)numbers[i]);
	if (l->monthly)
		buf_add_field_varint(&body, LIMIT_MONTHLY, 1);
	buf_add_field_bytes(out, FIELD_LIMITS, buf_bytes(&body));
	out->failed = out->failed || body.failed;
}

void caveat_encode(struct buf *out, const struct caveat *c)
{
	struct caveat copy = *c;

	for (uint32_t number = 1; number <= 15; number++) {
		if (number == FIELD_PATHS) {
			for (size_t i = 0; i < c->paths_count; i++)
				add_path(out, &c->paths[i]);
		} else if (*disallow(&copy, number)) {
			buf_add_field_varint(out, number, 1);
		}
	}
	if (c->has_not_after || c->has_limits)
		add_moment(out, FIELD_NOT_AFTER,
			   c->has_limits ? LIMITS_NOT_AFTER_NS : c->not_after_ns);
	if (c->has_not_before)
		add_moment(out, FIELD_NOT_BEFORE, c->not_before_ns);
	if (c->has_ttl)
		add_time(out, FIELD_TTL, c->ttl_ns / NS_PER_SEC, c->ttl_ns % NS_PER_SEC);
	if (c->nonce.len)
		buf_add_field_bytes(out, FIELD_NONCE, c->nonce);
	if (c->has_limits)
		add_limits(out, &c->limits);
}
