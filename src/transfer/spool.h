/*
 * The bytes of a segment as they were sent, kept until the segment is stored, for pieces that must
 * be sent again to other nodes.  They are encrypted already; the source is never read twice, so no
 * byte is encrypted twice (docs/decisions/0004-upload-spool.md).  Small ones stay in memory, larger
 * ones go to a file without a name, which the next spool may use again: memory that the page cache
 * has for it already is cheaper to write to than new.
 */
#ifndef ACRE_TRANSFER_SPOOL_H
#define ACRE_TRANSFER_SPOOL_H

#include "base/call.h"

enum { SPOOL_MEMORY_DEFAULT = 1 << 20 };

struct spool;
struct os_file;

/* dir NULL or "" = the system's place for temporary files, "inmemory" = memory only; memory_max is
 * what may stay in memory before a file is made, size_max what the spool holds in all.  `file`
 * (owned by the spool afterwards, also on failure) is one that spool_take_file gave, or NULL. */
enum err spool_new(struct call *call, const char *dir, uint64_t memory_max, uint64_t size_max,
		   struct os_file *file, struct spool **ret) MUST_USE;
void spool_free(struct spool *s);
/* The spool's file, for another one; NULL if it has none.  Nothing can be read afterwards. */
struct os_file *spool_take_file(struct spool *s);
/* One thread appends. */
enum err spool_append(struct call *call, struct spool *s, struct bytes data) MUST_USE;
/* Any threads read what was appended before.  The range must be there. */
enum err spool_read(struct call *call, struct spool *s, uint64_t offset, void *buf,
		    size_t len) MUST_USE;

#endif
