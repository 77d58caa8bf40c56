/* Private to the room: what is checked before protobuf-c may see foreign bytes. */
#ifndef ACRE_PROTO_DIALECT_H
#define ACRE_PROTO_DIALECT_H

#include <protobuf-c/protobuf-c.h>

#include "base/bytes.h"
#include "base/call.h"

/* Messages in messages.  The deepest of ours that does not recurse is 7; a placement's
 * requirements (metainfo.CohortRequirements) recurse, two levels for each step. */
enum { PROTO_DEPTH_MAX = 64 };

/* ERR_FORMAT when the bytes nest deeper than PROTO_DEPTH_MAX, when an ID or nonce has the wrong
 * length (transport.md 8.1), when a string has a zero byte in it (it would be cut there), or when
 * they are no protobuf at all. */
enum err dialect_check(struct call *call, const ProtobufCMessageDescriptor *type,
		       struct bytes wire) MUST_USE;

#endif
