/*
 * The handles of the C API.  uplink-c promises that a freed or made-up handle is an error and not a
 * crash, so handles are numbers in a table; this table is the library's only state.
 *
 * A forked child begins with an empty table: what the parent's handles stand for has threads and
 * connections that are the parent's.  Nothing of it is touched or freed in the child, whose own
 * handles go on with numbers the parent has not used.
 */
#ifndef ACRE_CLIENT_HANDLE_H
#define ACRE_CLIENT_HANDLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum handle_type {
	HANDLE_ACCESS = 1,
	HANDLE_PROJECT,
	HANDLE_DOWNLOAD,
	HANDLE_UPLOAD,
	HANDLE_PART_UPLOAD,
	HANDLE_ENCRYPTION_KEY,
	HANDLE_OBJECTS,
	HANDLE_BUCKETS,
	HANDLE_UPLOADS,
	HANDLE_PARTS,
	HANDLE_LOOP,
};

/* Everything behind a handle begins with this; release is called when the last user lets go. */
struct handled {
	enum handle_type type;
	size_t refs;
	void (*release)(struct handled *h);
};

/* Takes the first reference over and allocates the struct of the C API; NULL without memory (h is
 * then released). */
void *handle_new(struct handled *h);
/* A reference to what is behind the handle (pointer to one of the C API's structs, not NULL); NULL
 * if it was freed or is of another type.  Give it back with handle_put. */
void *handle_get(const void *handle, enum handle_type type);
/* Whether the handle is one of the process that this one was forked from. */
bool handle_foreign(const void *handle);
/* Another reference to something that one is held of. */
void *handle_ref(struct handled *h);
void handle_put(struct handled *h);
/* Ends the handle and frees the C API's struct; what runs keeps its reference.  Returns the
 * reference the table held, to be put, or NULL if there was none. */
struct handled *handle_end(void *handle, enum handle_type type);
bool handle_none(void);

#endif
