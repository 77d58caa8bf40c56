/* Maps of strings that may hold any byte. */
#include "proto/meta.h"

#include <stdlib.h>

#include "base/wire.h"

enum { FIELD_CONTENT_TYPE = 1, FIELD_USER_DEFINED = 2 };

static bool decode_entry(struct bytes body, struct meta_entry *ret)
{
	struct wire w = wire_read(body);
	struct wire_field f;

	*ret = (struct meta_entry){ 0 };
	while (wire_field(&w, &f)) {
		if (f.number > 2)
			continue;
		if (f.type != WIRE_BYTES)
			return false;
		if (f.number == 1)
			ret->key = f.bytes;
		else
			ret->value = f.bytes;
	}
	return wire_ok(&w);
}

/* With entries NULL it only counts them. */
static bool decode(struct bytes wire, struct meta_entry *entries, struct meta *m)
{
	struct wire w = wire_read(wire);
	struct wire_field f;

	m->count = 0;
	while (wire_field(&w, &f)) {
		if (f.number > FIELD_USER_DEFINED)
			continue;
		if (f.type != WIRE_BYTES)
			return false;
		if (f.number == FIELD_CONTENT_TYPE)
			m->content_type = f.bytes;
		else if (entries && !decode_entry(f.bytes, &entries[m->count]))
			return false;
		m->count += f.number == FIELD_USER_DEFINED;
	}
	m->entries = entries;
	return wire_ok(&w);
}

struct place {
	const struct meta_entry *entry;
	size_t index;
};

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int c = bytes_compare(x->entry->key, y->entry->key);

	return c ? c : (x->index > y->index) - (x->index < y->index);
}

/* The value of the last with a key goes to the first; the others are taken out. */
static bool merge_same_keys(struct arena *a, struct meta *m)
{
	struct place *places = arena_array(a, m->count, sizeof(*places));
	bool *dropped = arena_array(a, m->count, sizeof(*dropped));
	size_t first = 0, kept = 0;

	if (!places || !dropped)
		return false;
	for (size_t i = 0; i < m->count; i++)
		places[i] = (struct place){ &m->entries[i], i };
	qsort(places, m->count, sizeof(*places), compare_places);
	for (size_t i = 1; i < m->count; i++) {
		if (!bytes_equal(places[i].entry->key, places[first].entry->key)) {
			first = i;
			continue;
		}
		m->entries[places[first].index].value = places[i].entry->value;
		dropped[places[i].index] = true;
	}
	for (size_t i = 0; i < m->count; i++) {
		if (!dropped[i])
			m->entries[kept++] = m->entries[i];
	}
	m->count = kept;
	return true;
}

enum err meta_decode(struct call *call, struct arena *a, struct bytes wire, struct meta *ret)
{
	struct meta m = { 0 };

	if (!decode(wire, NULL, &m))
		return call_fail(call, ERR_FORMAT, "malformed user metadata");
	if (m.count) {
		struct meta_entry *entries = arena_array(a, m.count, sizeof(*entries));
		if (!entries)
			return call_fail(call, ERR_NO_MEMORY, "no memory for user metadata");
		if (!decode(wire, entries, &m))
			return call_fail(call, ERR_FORMAT, "malformed user metadata");
		if (!merge_same_keys(a, &m))
			return call_fail(call, ERR_NO_MEMORY, "no memory for user metadata");
	}
	*ret = m;
	return OK;
}

void meta_encode(struct buf *out, const struct meta *m)
{
	if (m->content_type.len)
		buf_add_field_bytes(out, FIELD_CONTENT_TYPE, m->content_type);
	for (size_t i = 0; i < m->count; i++) {
		const struct meta_entry *e = &m->entries[i];
		buf_add_varint(out, FIELD_USER_DEFINED << 3 | WIRE_BYTES);
		buf_add_varint(out, 2 + wire_varint_len(e->key.len) + e->key.len +
					    wire_varint_len(e->value.len) + e->value.len);
		buf_add_field_bytes(out, 1, e->key);
		buf_add_field_bytes(out, 2, e->value);
	}
}
