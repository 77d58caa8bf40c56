/* Private to the room: encrypted path components without bytes that sort or split (encryption.md
 * 2.4). */
#ifndef ACRE_ACCESS_PATH_ESCAPE_H
#define ACRE_ACCESS_PATH_ESCAPE_H

#include "base/bytes.h"

void path_escape(struct buf *out, struct bytes raw);
/* Appends the raw bytes.  ERR_FORMAT when path_escape would not have written that. */
enum err path_unescape(struct buf *out, struct bytes escaped) MUST_USE;

#endif
