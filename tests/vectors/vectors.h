/*
 * Reading the JSON files beside this one in unit tests: bytes real peers made.  Whatever is missing
 * fails the test.  Include after cmocka.h.
 */
#ifndef ACRE_TESTS_VECTORS_H
#define ACRE_TESTS_VECTORS_H

#include <jansson.h>

#include "base/arena.h"
#include "base/text.h"

/* VECTORS_DIR comes from the build; the caller does json_decref. */
static inline json_t *vectors_load(const char *name)
{
	char path[512];
	json_error_t error;

	snprintf(path, sizeof(path), "%s/%s.json", VECTORS_DIR, name);
	json_t *root = json_load_file(path, 0, &error);
	if (!root)
		fail_msg("%s:%d: %s", path, error.line, error.text);
	return root;
}

static inline const json_t *vector_get(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	if (!v)
		fail_msg("no \"%s\" in the vector", key);
	return v;
}

static inline const char *vector_text(const json_t *object, const char *key)
{
	return json_string_value(vector_get(object, key));
}

static inline int64_t vector_int(const json_t *object, const char *key)
{
	return json_integer_value(vector_get(object, key));
}

static inline bool vector_bool(const json_t *object, const char *key)
{
	return json_is_true(vector_get(object, key));
}

static inline struct bytes vector_unhex(struct arena *a, const char *hex)
{
	struct buf b = BUF_INIT(64 << 20);

	assert_non_null(hex);
	assert_int_equal(text_unhex(&b, bytes_str(hex)), OK);
	struct bytes copy = arena_bytes(a, buf_bytes(&b));
	assert_int_equal(copy.len, b.len);
	buf_free(&b);
	return copy;
}

static inline struct bytes vector_hex(struct arena *a, const json_t *object, const char *key)
{
	return vector_unhex(a, vector_text(object, key));
}

static inline int64_t vector_time(const json_t *object, const char *key)
{
	int64_t ns = 0;

	assert_int_equal(text_time(bytes_str(vector_text(object, key)), &ns), OK);
	return ns;
}

static inline void assert_bytes_equal(struct bytes got, struct bytes want)
{
	assert_int_equal(got.len, want.len);
	if (want.len)
		assert_memory_equal(got.data, want.data, want.len);
}

#endif
