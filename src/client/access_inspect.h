/* A grant for people to read: what it allows, without its secrets. */
#ifndef ACRE_CLIENT_ACCESS_INSPECT_H
#define ACRE_CLIENT_ACCESS_INSPECT_H

#include "access/grant.h"

/* Appends a JSON object (acre.h, acre_access_inspect). */
enum err access_inspect(struct call *call, struct buf *out, const struct grant *g) MUST_USE;

#endif
