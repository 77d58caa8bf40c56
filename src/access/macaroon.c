/* The binary form and the HMAC chain of API keys (access.md 1, 1.1). */
#include "access/macaroon.h"

#include "base/cleanup.h"
#include "base/wire.h"
#include "crypto/base58check.h"
#include "crypto/hash.h"
#include "os/random.h"

enum { VERSION = 2, NUMBER_MAX = 0x7fffffff };
enum field {
	FIELD_END = 0,
	FIELD_LOCATION = 1,
	FIELD_IDENTIFIER = 2,
	FIELD_VERIFICATION = 4,
	FIELD_SIGNATURE = 6
};
/* A section holds rising fields; of these three have a meaning and more are refused. */
enum { SECTION_FIELDS_MAX = 4 };

struct field_value {
	uint32_t number;
	struct bytes data;
};

struct section {
	struct field_value fields[SECTION_FIELDS_MAX];
	size_t count;
};

/* LEB128 up to NUMBER_MAX; unlike protobuf's, nothing falls off at the top. */
static uint32_t take_number(struct wire *w)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < WIRE_VARINT_MAX; i++) {
		uint8_t b = wire_byte(w);
		if (i == WIRE_VARINT_MAX - 1 && b > 1)
			break;
		v |= (uint64_t)(b & 0x7f) << (7 * i);
		if (b & 0x80)
			continue;
		if (v > NUMBER_MAX)
			break;
		return (uint32_t)v;
	}
	w->failed = true;
	return 0;
}

static struct field_value take_field(struct wire *w)
{
	struct field_value f = { .number = take_number(w) };

	if (f.number != FIELD_END)
		f.data = wire_take(w, take_number(w));
	return f;
}

static bool take_section(struct wire *w, struct section *s)
{
	uint32_t last = 0;

	s->count = 0;
	for (;;) {
		struct field_value f = take_field(w);
		if (!wire_ok(w))
			return false;
		if (f.number == FIELD_END)
			return true;
		if (f.number <= last || s->count == SECTION_FIELDS_MAX)
			return false;
		last = f.number;
		s->fields[s->count++] = f;
	}
}

/* The identifier: behind a location, which is dropped, and in a caveat before a verification id,
 * which is, too. */
static bool section_identifier(const struct section *s, bool caveat, struct bytes *ret)
{
	size_t i = s->fields[0].number == FIELD_LOCATION ? 1 : 0;
	size_t left = s->count - i;

	if (left == 0 || s->fields[i].number != FIELD_IDENTIFIER)
		return false;
	if (left > 2 || (left == 2 && (!caveat || s->fields[i + 1].number != FIELD_VERIFICATION)))
		return false;
	*ret = s->fields[i].data;
	return true;
}

/* With caveats NULL it only counts them. */
static const char *parse_body(struct bytes body, struct bytes *caveats, struct macaroon *m)
{
	struct wire w = wire_read(body);
	struct section s;
	size_t count = 0;

	if (!take_section(&w, &s) || s.count == 0 || !section_identifier(&s, false, &m->head))
		return "bad header";
	for (;;) {
		struct bytes caveat;
		if (!take_section(&w, &s))
			return "cut short";
		if (s.count == 0)
			break;
		if (!section_identifier(&s, true, &caveat))
			return "bad caveat";
		if (count == MACAROON_CAVEATS_MAX)
			return "too many caveats";
		if (caveats)
			caveats[count] = caveat;
		count++;
	}
	struct field_value tail = take_field(&w);
	if (!wire_ok(&w))
		return "cut short";
	if (tail.number != FIELD_SIGNATURE || tail.data.len != MACAROON_TAIL_BYTES)
		return "bad signature field";
	memcpy(m->tail, tail.data.data, MACAROON_TAIL_BYTES);
	m->caveats = caveats;
	m->caveats_count = count;
	return NULL;
}

enum err macaroon_parse(struct call *call, struct arena *a, struct bytes binary,
			struct macaroon *ret)
{
	struct macaroon m = { 0 };

	if (binary.len < 2 || binary.data[0] != VERSION)
		return call_fail(call, ERR_FORMAT, "not an API key");
	if (binary.len > MACAROON_BYTES_MAX)
		return call_fail(call, ERR_FORMAT, "API key of %zu bytes is too large", binary.len);
	struct bytes body = arena_bytes(a, bytes_from(binary, 1));
	if (!body.len)
		return call_fail(call, ERR_NO_MEMORY, "no memory for an API key");
	const char *problem = parse_body(body, NULL, &m);
	if (problem)
		return call_fail(call, ERR_FORMAT, "malformed API key: %s", problem);
	struct bytes *caveats = arena_array(a, m.caveats_count, sizeof(*caveats));
	if (!caveats)
		return call_fail(call, ERR_NO_MEMORY, "no memory for an API key");
	parse_body(body, caveats, &m);
	*ret = m;
	return OK;
}

enum err macaroon_parse_text(struct call *call, struct arena *a, struct bytes text,
			     struct macaroon *ret)
{
	struct buf binary AUTO_SECRET_BUF = BUF_INIT(MACAROON_BYTES_MAX);
	uint8_t version;
	enum err e = base58check_decode(text, &version, &binary);

	if (e == ERR_NO_MEMORY)
		return call_fail(call, e, "no memory for an API key");
	if (e != OK)
		return call_fail(call, ERR_FORMAT,
				 "this API key is incomplete: it was cut short or mistyped");
	if (version != 0)
		return call_fail(call, ERR_FORMAT, "not an API key");
	return macaroon_parse(call, a, buf_bytes(&binary), ret);
}

static void add_field(struct buf *out, enum field number, struct bytes data)
{
	buf_add_varint(out, number);
	buf_add_varint(out, data.len);
	buf_add_bytes(out, data);
}

void macaroon_add_binary(struct buf *out, const struct macaroon *m)
{
	buf_add_byte(out, VERSION);
	add_field(out, FIELD_IDENTIFIER, m->head);
	buf_add_byte(out, FIELD_END);
	for (size_t i = 0; i < m->caveats_count; i++) {
		add_field(out, FIELD_IDENTIFIER, m->caveats[i]);
		buf_add_byte(out, FIELD_END);
	}
	buf_add_byte(out, FIELD_END);
	add_field(out, FIELD_SIGNATURE, BYTES_OF(m->tail));
}

enum err macaroon_add_text(struct buf *out, const struct macaroon *m)
{
	struct buf binary AUTO_SECRET_BUF = BUF_INIT(MACAROON_BYTES_MAX);

	macaroon_add_binary(&binary, m);
	TRY_PLAIN(buf_status(&binary));
	return base58check_add(out, 0, buf_bytes(&binary));
}

enum err macaroon_new(struct call *call, struct arena *a, const struct secret_key *secret,
		      struct macaroon *ret)
{
	uint8_t *head = arena_alloc(a, MACAROON_HEAD_BYTES);

	if (!head)
		return call_fail(call, ERR_NO_MEMORY, "no memory for an API key");
	os_random(head, MACAROON_HEAD_BYTES);
	*ret = (struct macaroon){ .head = BYTES(head, MACAROON_HEAD_BYTES) };
	hmac_sha256(BYTES_OF(secret->b), ret->head, ret->tail);
	return OK;
}

enum err macaroon_restrict(struct call *call, struct arena *a, struct macaroon *m,
			   struct bytes caveat)
{
	size_t count = m->caveats_count;

	if (count >= MACAROON_CAVEATS_MAX)
		return call_fail(call, ERR_INVALID,
				 "the API key has been restricted too often (%u times)",
				 MACAROON_CAVEATS_MAX);
	struct bytes *caveats = arena_array(a, count + 1, sizeof(*caveats));
	struct bytes copy = arena_bytes(a, caveat);
	if (!caveats || copy.len != caveat.len)
		return call_fail(call, ERR_NO_MEMORY, "no memory for an API key");
	if (count)
		memcpy(caveats, m->caveats, count * sizeof(*caveats));
	caveats[count] = copy;
	uint8_t tail[MACAROON_TAIL_BYTES];
	hmac_sha256(BYTES_OF(m->tail), copy, tail);
	memcpy(m->tail, tail, sizeof(tail));
	m->caveats = caveats;
	m->caveats_count = count + 1;
	return OK;
}

bool macaroon_valid(const struct macaroon *m, const struct secret_key *secret)
{
	uint8_t tail[MACAROON_TAIL_BYTES], next[MACAROON_TAIL_BYTES];

	hmac_sha256(BYTES_OF(secret->b), m->head, tail);
	for (size_t i = 0; i < m->caveats_count; i++) {
		hmac_sha256(BYTES_OF(tail), m->caveats[i], next);
		memcpy(tail, next, sizeof(tail));
	}
	bool valid = secret_equal(tail, m->tail, sizeof(tail));
	secret_wipe(tail, sizeof(tail));
	secret_wipe(next, sizeof(next));
	return valid;
}

void macaroon_tails(const struct macaroon *m, const struct secret_key *secret,
		    uint8_t (*out)[MACAROON_TAIL_BYTES])
{
	hmac_sha256(BYTES_OF(secret->b), m->head, out[0]);
	for (size_t i = 0; i < m->caveats_count; i++)
		hmac_sha256(BYTES_OF(out[i]), m->caveats[i], out[i + 1]);
}
