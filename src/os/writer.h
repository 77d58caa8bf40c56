/*
 * A file written in order while its writer goes on: what fills a buffer is written by a thread
 * beside.  Errors of that thread come with a later call.  A bulk file's bytes go past the page
 * cache as long as the disk keeps up, and through it while earlier writes are still under way.
 */
#ifndef ACRE_OS_WRITER_H
#define ACRE_OS_WRITER_H

#include "base/call.h"
#include "os/file.h"

struct os_writer;

enum {
	OS_WRITER_RUN = 512 << 10,  /* written at a time, about */
	OS_WRITER_ROOM = 256 << 10, /* there always is room for so much */
};

/* The file is borrowed; the first byte goes to `offset`. */
enum err os_writer_new(struct call *call, struct os_file *file, uint64_t offset,
		       struct os_writer **ret) MUST_USE;
/* Where the next bytes are to be put, at least OS_WRITER_ROOM. */
uint8_t *os_writer_room(struct os_writer *w, size_t *ret_cap);
/* n bytes were put there.  After a failure an unknown part is written. */
enum err os_writer_added(struct call *call, struct os_writer *w, size_t n) MUST_USE;
/* All that was added is in the file, though not safe from a power cut.  The writer can go on. */
enum err os_writer_flush(struct call *call, struct os_writer *w) MUST_USE;
/* Waits for the thread beside; what was not flushed is lost.  NULL is fine. */
void os_writer_free(struct os_writer *w);

#endif
