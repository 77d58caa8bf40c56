/* What the C API's functions have in common. */
#include "client/capi.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"

void *capi_use(const void *handle, enum handle_type type, const char *what, UplinkError **error)
{
	if (!handle) {
		*error = outcome_null(what);
		return NULL;
	}
	void *p = handle_get(handle, type);
	if (!p)
		*error = outcome_invalid_handle(what, handle_foreign(handle));
	return p;
}

void *capi_peek(const void *handle, enum handle_type type)
{
	return handle ? handle_get(handle, type) : NULL;
}

struct project *capi_project(const void *handle, struct call *call, UplinkError **error)
{
	struct project *p = capi_use(handle, HANDLE_PROJECT, "project", error);

	if (p)
		project_call(p, call);
	return p;
}

bool capi_given(UplinkError **error, const char *name, const void *pointer, ...)
{
	va_list ap;

	va_start(ap, pointer);
	while (name && pointer) {
		name = va_arg(ap, const char *);
		if (name)
			pointer = va_arg(ap, const void *);
	}
	va_end(ap);
	if (!name)
		return true;
	*error = outcome_null(name);
	return false;
}

void capi_put(void *p)
{
	struct handled **h = p;

	handle_put(*h);
}

char *capi_string(struct bytes v)
{
	char *s = malloc(v.len + 1);

	if (!s)
		return NULL;
	if (v.len)
		memcpy(s, v.data, v.len);
	s[v.len] = 0;
	return s;
}

int64_t capi_seconds_to_ns(int64_t seconds)
{
	if (seconds > INT64_MAX / NS_PER_SEC)
		return INT64_MAX;
	if (seconds < INT64_MIN / NS_PER_SEC)
		return INT64_MIN;
	return seconds * NS_PER_SEC;
}

int64_t capi_ns_to_seconds(int64_t ns)
{
	/* Rounded down, also before 1970. */
	return ns / NS_PER_SEC - (ns % NS_PER_SEC < 0);
}

UplinkBucket *capi_bucket(const struct bucket *b)
{
	UplinkBucket *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->name = capi_string(b->name);
	r->created = capi_ns_to_seconds(b->created_ns);
	if (r->name)
		return r;
	free(r);
	return NULL;
}

bool capi_custom(const struct metadata *m, UplinkCustomMetadata *ret)
{
	UplinkCustomMetadata c = { calloc(m->count + 1, sizeof(*c.entries)), m->count };

	if (!c.entries)
		return false;
	for (size_t i = 0; i < m->count; i++) {
		c.entries[i] = (UplinkCustomMetadataEntry){
			capi_string(m->entries[i].key),
			m->entries[i].key.len,
			capi_string(m->entries[i].value),
			m->entries[i].value.len,
		};
		if (!c.entries[i].key || !c.entries[i].value) {
			capi_free_custom(&c);
			return false;
		}
	}
	*ret = c;
	return true;
}

void capi_free_custom(UplinkCustomMetadata *custom)
{
	for (size_t i = 0; custom->entries && i < custom->count; i++) {
		free(custom->entries[i].key);
		free(custom->entries[i].value);
	}
	free(custom->entries);
	*custom = (UplinkCustomMetadata){ NULL, 0 };
}

UplinkSystemMetadata capi_system(const struct object *o)
{
	return (UplinkSystemMetadata){
		.created = capi_ns_to_seconds(o->created_ns),
		.expires = capi_ns_to_seconds(o->expires_ns),
		.content_length = o->size,
	};
}

UplinkObject *capi_object(const struct object *o)
{
	UplinkObject *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->key = capi_string(o->key);
	r->is_prefix = o->is_prefix;
	r->system = capi_system(o);
	if (r->key && capi_custom(&o->metadata, &r->custom))
		return r;
	uplink_free_object(r);
	return NULL;
}

enum err capi_entries(struct call *call, const UplinkCustomMetadata *custom,
		      struct meta_entry **ret, size_t *ret_count)
{
	size_t count = custom->entries ? custom->count : 0;

	if (count > METADATA_ENTRIES_MAX)
		return call_fail(call, ERR_INVALID,
				 "custom metadata has %zu entries, at most %d fit", count,
				 METADATA_ENTRIES_MAX);
	struct meta_entry *e = arena_array(&call->scratch, count + 1, sizeof(*e));
	if (!e)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		const UplinkCustomMetadataEntry *c = &custom->entries[i];
		e[i].key = BYTES(c->key, c->key ? c->key_length : 0);
		e[i].value = BYTES(c->value, c->value ? c->value_length : 0);
	}
	*ret = e;
	*ret_count = count;
	return OK;
}

UplinkError *capi_no_memory(UplinkError *error)
{
	AUTO_CALL struct call call = CALL_INIT;

	return error ? error : outcome_error(&call, ERR_NO_MEMORY);
}

uint8_t uplink_internal_UniverseIsEmpty(void)
{
	return handle_none();
}

void uplinkFlushCoverage(void)
{
}
