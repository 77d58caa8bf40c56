/* Signed tags of nodes: who signed, what is kept (satellite.md 1, as storj's nodetag verifies). */
#include "satellite/node_tags.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "proto/proto.h"

enum { OF_NODE = '@' };

/* ---- authorities ---- */

static enum err load_one(struct call *call, struct tag_authorities *a, struct bytes path)
{
	const char *name = arena_str(&call->scratch, path);

	if (a->count == TAG_AUTHORITIES_MAX)
		return call_fail(call, ERR_CONFIG, "more than %d", TAG_AUTHORITIES_MAX);
	if (!name)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(cert_chain_load(call, name, &a->others[a->count]));
	a->count++;
	return OK;
}

enum err tag_authorities_load(struct call *call, const char *paths, struct tag_authorities *ret)
{
	struct bytes rest = bytes_str(paths ? paths : "");

	while (rest.len) {
		const uint8_t *comma = memchr(rest.data, ',', rest.len);
		size_t n = comma ? (size_t)(comma - rest.data) : rest.len;
		struct bytes path = text_trim(BYTES(rest.data, n));
		if (path.len)
			TRY(load_one(call, ret, path), "tag-authorities");
		rest = bytes_from(rest, n + 1);
	}
	return OK;
}

void tag_authorities_fini(struct tag_authorities *a)
{
	for (size_t i = 0; i < a->count; i++)
		cert_chain_free(a->others[i]);
	a->count = 0;
}

/* ---- reading ---- */

struct tag {
	bool own; /* said by the node itself */
	struct bytes name, value;
	int64_t signed_at;
};

struct tag_list {
	struct tag tags[NODE_TAGS_MAX];
	size_t count;
};

static bool is_signer(const struct cert_chain *c, struct bytes signer)
{
	AUTO_CALL struct call call = CALL_INIT;
	struct node_id id;

	call_init(&call);
	return c && !cert_chain_node_id(&call, c, &id) && bytes_equal(node_id_bytes(&id), signer);
}

static const struct cert_chain *find_signer(const struct tag_authorities *a, struct bytes signer)
{
	if (is_signer(a->own, signer))
		return a->own;
	for (size_t i = 0; i < a->count; i++)
		if (is_signer(a->others[i], signer))
			return a->others[i];
	return NULL;
}

/* Names and values are printed, compared and kept as text. */
static bool fits(struct bytes text, size_t max, bool is_name)
{
	if (text.len > max || (is_name && !text.len) || (is_name && text.data[0] == OF_NODE))
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < ' ' || text.data[i] > '~' || (is_name && text.data[i] == '='))
			return false;
	return true;
}

bool node_tag_fits(struct bytes name, struct bytes value)
{
	return fits(name, NODE_TAG_NAME_MAX, true) && fits(value, NODE_TAG_VALUE_MAX, false);
}

static void keep(struct tag_list *l, const struct tag *t)
{
	for (size_t i = 0; i < l->count; i++) {
		struct tag *have = &l->tags[i];
		if (have->own != t->own || !bytes_equal(have->name, t->name))
			continue;
		if (t->signed_at >= have->signed_at)
			*have = *t;
		return;
	}
	if (l->count < NODE_TAGS_MAX)
		l->tags[l->count++] = *t;
}

static enum err read_set(struct call *call, const struct tag_authorities *authorities,
			 const struct node_id *id, const struct cert_chain *self,
			 const Node__SignedNodeTagSet *m, struct arena *a, struct tag_list *l)
{
	struct bytes signer = proto_bytes(m->signer_node_id);
	bool own = is_signer(self, signer);
	const struct cert_chain *chain = own ? self : find_signer(authorities, signer);
	Node__NodeTagSet *set = NULL;

	if (!chain)
		return call_fail(call, ERR_UNAUTHENTICATED, "nobody known signed it");
	if (m->serialized_tag.len > SIGNED_TAGS_BYTES_MAX)
		return call_fail(call, ERR_INVALID, "more than %d bytes", SIGNED_TAGS_BYTES_MAX);
	TRY(public_key_verify(call, cert_chain_leaf_key(chain), proto_bytes(m->serialized_tag),
			      proto_bytes(m->signature)),
	    "its signature");
	TRY_PLAIN(proto_decode(call, a, &node__node_tag_set__descriptor,
			       proto_bytes(m->serialized_tag), &set));
	if (!bytes_equal(proto_bytes(set->node_id), node_id_bytes(id)))
		return call_fail(call, ERR_INVALID, "it is another node's");
	for (size_t i = 0; i < set->n_tags; i++) {
		struct tag t = { .own = own,
				 .name = bytes_str(set->tags[i]->name),
				 .value = proto_bytes(set->tags[i]->value),
				 .signed_at = set->signed_at };
		if (node_tag_fits(t.name, t.value))
			keep(l, &t);
	}
	return OK;
}

static enum err as_text(struct call *call, const struct tag_list *l, const char **ret)
{
	AUTO_BUF struct buf text = BUF_INIT(NODE_TAGS_TEXT_MAX);

	for (size_t i = 0; i < l->count; i++) {
		if (l->tags[i].own)
			buf_add_byte(&text, OF_NODE);
		buf_add_bytes(&text, l->tags[i].name);
		buf_add_byte(&text, '=');
		buf_add_bytes(&text, l->tags[i].value);
		buf_add_byte(&text, '\n');
	}
	TRY_PLAIN(buf_status(&text));
	*ret = arena_str(&call->scratch, buf_bytes(&text));
	return *ret ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory");
}

enum err node_tags_read(struct call *call, const struct tag_authorities *authorities,
			const struct node_id *id, const struct cert_chain *self,
			const Node__SignedNodeTagSets *sets, const char **ret, const char **ret_bad)
{
	struct tag_list list = { .count = 0 };
	const char *bad = "";

	for (size_t i = 0; sets && i < sets->n_tags && i < NODE_TAG_SETS_MAX; i++) {
		AUTO_CALL struct call one = CALL_INIT;
		call_init_child(&one, call);
		enum err e = read_set(&one, authorities, id, self, sets->tags[i], &call->scratch,
				      &list);
		if (e && !bad[0])
			bad = arena_printf(&call->scratch, "%s", call_error(&one, e));
	}
	TRY_PLAIN(as_text(call, &list, ret));
	*ret_bad = bad ? bad : "";
	return OK;
}

/* ---- asking ---- */

/* Takes the next line off *text; false at the end. */
static bool next_tag(const char **text, struct bytes *ret_name, struct bytes *ret_value)
{
	const char *line = *text, *end = strchr(line, '\n');

	if (!end)
		return false;
	const char *equals = memchr(line, '=', (size_t)(end - line));
	const char *name_end = equals ? equals : end;
	*ret_name = BYTES(line, (size_t)(name_end - line));
	*ret_value = equals ? BYTES(equals + 1, (size_t)(end - equals - 1)) : BYTES_NONE;
	*text = end + 1;
	return true;
}

bool node_tags_has(const char *tags, struct bytes name, struct bytes value)
{
	struct bytes n, v;

	while (next_tag(&tags, &n, &v))
		if (bytes_equal(n, name) && bytes_equal(v, value))
			return true;
	return false;
}

/* The last value that the node itself gives to the name. */
static bool own_tag(const char *tags, const char *name, struct bytes *ret)
{
	struct bytes n, v;
	bool found = false;

	while (next_tag(&tags, &n, &v)) {
		if (!n.len || n.data[0] != OF_NODE ||
		    !bytes_equal(bytes_from(n, 1), bytes_str(name)))
			continue;
		*ret = v;
		found = true;
	}
	return found;
}

void node_tags_hours(const char *tags, const char *name, struct day_hours *ret)
{
	AUTO_CALL struct call call = CALL_INIT;
	char text[NODE_TAG_VALUE_MAX + 1];
	struct bytes v;

	call_init(&call);
	*ret = (struct day_hours){ .always = true };
	if (!own_tag(tags, name, &v) || v.len > NODE_TAG_VALUE_MAX)
		return;
	memcpy(text, v.data, v.len);
	text[v.len] = '\0';
	if (day_hours_parse(&call, text, ret))
		*ret = (struct day_hours){ .always = true };
}

/* Behind the point, and before it, as Storj bounds them. */
enum { PRICE_DIGITS_MIN = -12, PRICE_DIGITS_MAX = 6, MICRO_DIGITS = 6 };
#define PRICE_VALUE_MAX ((__int128)1000000000000 * 1000000000000)

static int sign_of(struct bytes *text)
{
	bool has = text->len && (text->data[0] == '-' || text->data[0] == '+');
	bool minus = has && text->data[0] == '-';

	*text = bytes_from(*text, has);
	return minus ? -1 : 1;
}

/* Digits with at most one point, as a whole number and the power of ten of its last digit. */
static bool take_digits(struct bytes text, __int128 *value, int *power)
{
	bool point = false, digits = false;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];
		if (c == '.' && !point) {
			point = true;
			continue;
		}
		if (c < '0' || c > '9')
			return false;
		digits = true;
		*power -= point;
		*value = MIN(*value * 10 + (c - '0'), PRICE_VALUE_MAX);
	}
	return digits;
}

/* "1.50", "15e-1", in dollars, to millionths, which are rounded up. */
static bool parse_price(struct bytes text, int64_t *ret_micro)
{
	int sign = sign_of(&text), power = 0;
	struct bytes mantissa = text;
	__int128 v = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint64_t exponent = 0;
		if (text_lower(text.data[i]) != 'e')
			continue;
		struct bytes after = bytes_from(text, i + 1);
		int way = sign_of(&after);
		if (text_u64(after, NODE_TAG_VALUE_MAX, &exponent))
			return false;
		mantissa = BYTES(text.data, i);
		power = way * (int)exponent;
		break;
	}
	if (!take_digits(mantissa, &v, &power) || (sign < 0 && v) || power < PRICE_DIGITS_MIN ||
	    power > PRICE_DIGITS_MAX)
		return false;
	for (power += MICRO_DIGITS; power > 0; power--)
		v = MIN(v * 10, PRICE_VALUE_MAX);
	__int128 unit = 1;
	for (; power < 0; power++)
		unit *= 10;
	*ret_micro = (int64_t)MIN((v + unit - 1) / unit, (__int128)INT64_MAX);
	return true;
}

void node_tags_lower(const char *tags, const char *name, int64_t *price)
{
	struct bytes v;
	int64_t micro = 0;

	if (own_tag(tags, name, &v) && parse_price(v, &micro))
		*price = MIN(*price, micro);
}

void node_tags_prices(const char *tags, const struct prices *paid, struct prices *ret)
{
	*ret = *paid;
	node_tags_lower(tags, "storage_price", &ret->storage);
	node_tags_lower(tags, "egress_price", &ret->egress);
}
