/*
 * Plain bytes from the thread that writes an upload to the thread that encrypts them.  Bounded;
 * block by block contiguous for the reader.
 */
#ifndef ACRE_CLIENT_PIPE_H
#define ACRE_CLIENT_PIPE_H

#include "client/plain_source.h"

enum { PIPE_BYTES_DEFAULT = 512 << 10 };

struct pipe;

/* Holds a multiple of `block` bytes, about `bytes`. */
enum err pipe_new(struct call *call, size_t block, size_t bytes, struct pipe **ret) MUST_USE;
void pipe_free(struct pipe *p);
/* Writer: all of it, waiting for room.  ERR_ABORTED when the reader is gone. */
enum err pipe_write(struct call *call, struct pipe *p, struct bytes data) MUST_USE;
/* Writer: where the next bytes go, contiguous and not empty; waits until there is some room.  They
 * are in the pipe after pipe_filled. */
enum err pipe_room(struct call *call, struct pipe *p, uint8_t **ret, size_t *ret_n) MUST_USE;
void pipe_filled(struct pipe *p, size_t n);
/* Writer: no more comes. */
void pipe_finish(struct pipe *p);
/* Reader: a contiguous extent of at least one whole block, or at the end what is left (perhaps
 * nothing, with *ret_last).  It stays in the pipe until pipe_drop. */
enum err pipe_peek(struct call *call, struct pipe *p, struct bytes *ret, bool *ret_last) MUST_USE;
void pipe_drop(struct pipe *p, size_t n);
struct plain_source pipe_plain(struct pipe *p);
/* Reader: takes nothing any more; writers fail. */
void pipe_break(struct pipe *p);

#endif
