/* Spool: a list of chunks in memory up to a limit, an unlinked file beyond. */
#include "transfer/spool.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/file.h"
#include "os/lock.h"
#include "os/process.h"
#include "os/random.h"

enum { CHUNK_BYTES = 256 << 10 };

struct spool {
	struct os_mutex
		lock; /* guards chunks and file, which readers find while the writer grows */
	char *dir;
	uint64_t memory_max, size_max;
	uint64_t size;
	uint64_t in_memory; /* bytes at the front that are in chunks, the rest is in the file */
	uint8_t **chunks;
	size_t chunks_max;
	struct os_file *file;  /* in use */
	struct os_file *spare; /* the same, before it is needed */
};

DEFINE_AUTO_PTR(struct spool, spool_auto, spool_free)

enum err spool_new(struct call *call, const char *dir, uint64_t memory_max, uint64_t size_max,
		   struct os_file *file, struct spool **ret)
{
	struct spool *s AUTO(spool_auto) = calloc(1, sizeof(*s));

	if (!s) {
		os_file_close(file);
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	s->spare = file;
	if (!dir || !dir[0])
		dir = os_getenv("TMPDIR");
	if (!dir || !dir[0])
		dir = "/tmp";
	s->memory_max = strcmp(dir, "inmemory") ? MIN(memory_max, size_max) : size_max;
	s->size_max = size_max;
	s->dir = strdup(dir);
	s->chunks_max = (size_t)div_up(size_max, CHUNK_BYTES);
	s->chunks = calloc(s->chunks_max + 1, sizeof(*s->chunks));
	if (!s->dir || !s->chunks)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*ret = take(&s);
	return OK;
}

void spool_free(struct spool *s)
{
	if (!s)
		return;
	for (size_t i = 0; s->chunks && i < s->chunks_max; i++)
		free(s->chunks[i]);
	free(s->chunks);
	free(s->dir);
	os_file_close(s->file);
	os_file_close(s->spare);
	os_mutex_fini(&s->lock);
	free(s);
}

struct os_file *spool_take_file(struct spool *s)
{
	return s->file ? take(&s->file) : take(&s->spare);
}

static void use_file(struct spool *s, struct os_file *file)
{
	OS_LOCKED(&s->lock);
	s->file = file;
}

/* A file that is gone from its directory before anything is in it. */
static enum err make_file(struct call *call, struct spool *s)
{
	struct os_file *file = take(&s->spare);
	uint64_t random[2];
	char name[64];

	if (file) {
		use_file(s, file);
		return OK;
	}

	os_random(random, sizeof(random));
	snprintf(name, sizeof(name), "acre-%016llx%016llx", (unsigned long long)random[0],
		 (unsigned long long)random[1]);
	const char *path = os_path_join(call, s->dir, name);
	TRY(os_file_open(call, path,
			 OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_EXCLUSIVE | OS_FILE_SECRET,
			 &file),
	    "temporary file for an upload");
	enum err e = os_unlink(call, path);
	if (e) {
		os_file_close(file);
		return e;
	}
	use_file(s, file);
	return OK;
}

static enum err append_memory(struct call *call, struct spool *s, struct bytes data)
{
	while (data.len) {
		size_t at = (size_t)(s->size % CHUNK_BYTES);
		size_t n = MIN(data.len, CHUNK_BYTES - at);
		uint8_t *chunk = s->chunks[s->size / CHUNK_BYTES];
		if (!chunk) {
			chunk = malloc(CHUNK_BYTES);
			if (!chunk)
				return call_fail(call, ERR_NO_MEMORY, "out of memory");
		}
		memcpy(chunk + at, data.data, n);
		os_mutex_lock(&s->lock);
		s->chunks[s->size / CHUNK_BYTES] = chunk;
		s->size += n;
		s->in_memory = s->size;
		os_mutex_unlock(&s->lock);
		data = bytes_from(data, n);
	}
	return OK;
}

enum err spool_append(struct call *call, struct spool *s, struct bytes data)
{
	if (data.len > s->size_max - s->size)
		return call_fail(call, ERR_OUT_OF_RANGE, "segment is larger than announced");
	if (!s->file && s->size + data.len > s->memory_max && make_file(call, s)) {
		/* No place for a file: memory does it, too, only less of it would have been nice.
		 */
		call_clear_error(call);
		s->memory_max = s->size_max;
	}
	if (!s->file)
		return append_memory(call, s, data);
	TRY(os_file_write_at(call, s->file, &data, 1, s->size - s->in_memory),
	    "temporary file for an upload in %s", s->dir);
	os_mutex_lock(&s->lock);
	s->size += data.len;
	os_mutex_unlock(&s->lock);
	return OK;
}

/* The part of a read that is in memory; returns how much that was. */
static size_t read_memory(struct spool *s, uint64_t offset, uint8_t *out, size_t len)
{
	size_t done = 0;

	OS_LOCKED(&s->lock);
	while (done < len && offset < s->in_memory) {
		size_t at = (size_t)(offset % CHUNK_BYTES);
		size_t n = MIN(len - done, CHUNK_BYTES - at);
		n = (size_t)MIN((uint64_t)n, s->in_memory - offset);
		memcpy(out + done, s->chunks[offset / CHUNK_BYTES] + at, n);
		done += n;
		offset += n;
	}
	return done;
}

enum err spool_read(struct call *call, struct spool *s, uint64_t offset, void *buf, size_t len)
{
	uint8_t *out = buf;
	size_t done = read_memory(s, offset, out, len), got = 0;

	if (done == len)
		return OK;
	os_mutex_lock(&s->lock);
	struct os_file *file = s->file;
	bool there = offset <= s->size && len <= s->size - offset;
	os_mutex_unlock(&s->lock);
	if (!file || !there)
		return call_fail(call, ERR_INTERNAL, "spool read beyond its end");
	TRY(os_file_read_at(call, file, out + done, len - done, offset + done - s->in_memory, &got),
	    "temporary file of an upload");
	if (got != len - done)
		return call_fail(call, ERR_IO, "the temporary file of an upload is too short");
	return OK;
}
