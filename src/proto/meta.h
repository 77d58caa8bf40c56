/*
 * User metadata of an object (objects.SerializableMeta, encryption.md 4) as bytes: in protobuf-c a
 * map of strings would be cut at zero bytes, which peers may put there.
 */
#ifndef ACRE_PROTO_META_H
#define ACRE_PROTO_META_H

#include "base/bytes.h"
#include "base/call.h"

struct meta_entry {
	struct bytes key;
	struct bytes value;
};

struct meta {
	struct bytes content_type; /* of old objects; today it is the entry "content-type" */
	struct meta_entry *entries;
	size_t count;
};

/* Views into `wire`, the array from `a`.  Of entries with one key the last one is kept, in the
 * place of the first.  ERR_FORMAT. */
enum err meta_decode(struct call *call, struct arena *a, struct bytes wire,
		     struct meta *ret) MUST_USE;
/* Entries in the order given. */
void meta_encode(struct buf *out, const struct meta *m);

#endif
