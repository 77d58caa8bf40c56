/* Writing and reading checkpoints, a buffer at a time. */
#include "node/checkpoint.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/wire.h"
#include "crypto/hash.h"
#include "os/file.h"

enum { BLOCK_BYTES = 1 << 20, SHARD_BYTES_MAX = 1 << 30 };

static const uint8_t head_magic[8] = { 'A', 'C', 'R', 'E', 'C', 'K', 'P', 'T' };
static const uint8_t tail_magic[8] = { 'A', 'C', 'R', 'E', 'C', 'E', 'N', 'D' };

DEFINE_AUTO_PTR(struct os_file, os_file_auto, os_file_close)
DEFINE_AUTO_PTR(struct hasher, hasher_auto, hasher_free)

struct writer {
	struct os_file *file;
	struct hasher *hasher;
	uint64_t offset;
	struct buf block;
};

static enum err writer_flush(struct call *call, struct writer *w)
{
	struct bytes part = buf_bytes(&w->block);

	TRY(buf_status(&w->block), "checkpoint");
	hasher_update(w->hasher, part);
	TRY_PLAIN(os_file_write_at(call, w->file, &part, 1, w->offset));
	w->offset += part.len;
	buf_clear(&w->block);
	return OK;
}

static enum err writer_add(struct call *call, struct writer *w, const void *data, size_t len)
{
	if (w->block.len + len > BLOCK_BYTES)
		TRY_PLAIN(writer_flush(call, w));
	buf_add(&w->block, data, len);
	return OK;
}

static enum err write_tables(struct call *call, struct writer *w, const struct checkpoint *c)
{
	uint8_t head[CHECKPOINT_HEADER_BYTES] = { 0 };

	memcpy(head, head_magic, sizeof(head_magic));
	put_le32(head + 8, CHECKPOINT_VERSION);
	put_le32(head + 12, (uint32_t)c->satellites_count);
	put_le32(head + 16, (uint32_t)c->segments_count);
	put_le64(head + 24, (uint64_t)c->created_unix_ns);
	put_le64(head + 32, c->seq);
	memcpy(head + 64, c->node.b, NODE_ID_BYTES);
	TRY_PLAIN(writer_add(call, w, head, sizeof(head)));
	for (size_t i = 0; i < c->satellites_count; i++)
		TRY_PLAIN(writer_add(call, w, c->satellites[i].b, NODE_ID_BYTES));
	for (size_t i = 0; i < c->segments_count; i++) {
		uint8_t row[CHECKPOINT_SEGMENT_BYTES] = { 0 };
		put_le32(row, c->segments[i].number);
		row[4] = c->segments[i].sealed;
		put_le64(row + 8, c->segments[i].stable);
		TRY_PLAIN(writer_add(call, w, row, sizeof(row)));
	}
	return OK;
}

static enum err write_entries(struct call *call, struct writer *w, checkpoint_next *next, void *arg,
			      uint64_t *ret_count)
{
	AUTO_BUF struct buf some = BUF_INIT(SHARD_BYTES_MAX);
	uint64_t count = 0;

	for (;;) {
		buf_clear(&some);
		TRY_PLAIN(next(call, arg, &some));
		if (!some.len)
			break;
		for (size_t at = 0; at < some.len; at += sizeof(struct piece_entry)) {
			struct piece_entry e;
			uint8_t row[INDEX_ENTRY_BYTES];
			memcpy(&e, some.data + at, sizeof(e));
			piece_entry_encode(&e, row);
			TRY_PLAIN(writer_add(call, w, row, sizeof(row)));
			count++;
		}
	}
	*ret_count = count;
	return OK;
}

static enum err write_all(struct call *call, struct writer *w, const struct checkpoint *c,
			  checkpoint_next *next, void *arg)
{
	uint8_t tail[CHECKPOINT_TRAILER_BYTES] = { 0 };
	uint64_t count = 0;

	TRY_PLAIN(write_tables(call, w, c));
	TRY_PLAIN(write_entries(call, w, next, arg, &count));
	memcpy(tail, tail_magic, sizeof(tail_magic));
	put_le64(tail + 8, count);
	TRY_PLAIN(writer_add(call, w, tail, CHECKPOINT_TRAILER_BYTES - HASH_BYTES));
	TRY_PLAIN(writer_flush(call, w));
	hasher_sum(w->hasher, tail);
	struct bytes sum = BYTES(tail, HASH_BYTES);
	TRY_PLAIN(os_file_write_at(call, w->file, &sum, 1, w->offset));
	return os_file_sync(call, w->file);
}

enum err checkpoint_save(struct call *call, const char *path, const struct checkpoint *c,
			 checkpoint_next *next, void *arg)
{
	AUTO(os_file_auto) struct os_file *f = NULL;
	AUTO(hasher_auto) struct hasher *hasher = hasher_new(HASH_BLAKE3);
	const char *tmp = arena_printf(&call->scratch, "%s.tmp", path);

	if (!hasher || !tmp)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a checkpoint");
	TRY_PLAIN(os_file_open(call, tmp, OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_TRUNCATE, &f));
	struct writer w = { .file = f, .hasher = hasher, .block = BUF_INIT(BLOCK_BYTES) };
	enum err e = write_all(call, &w, c, next, arg);
	buf_free(&w.block);
	TRY(e, "write %s", tmp);
	TRY_PLAIN(os_rename(call, tmp, path));
	return os_dir_sync(call, os_path_dir(call, path));
}

static enum err file_read_at(struct call *call, void *arg, void *out, size_t cap, uint64_t offset,
			     size_t *ret_n)
{
	return os_file_read_at(call, arg, out, cap, offset, ret_n);
}

struct checkpoint_source checkpoint_source_file(struct os_file *f, uint64_t size)
{
	return (struct checkpoint_source){ .read_at = file_read_at, .arg = f, .size = size };
}

static enum err not_whole(struct call *call, const char *why)
{
	return call_fail(call, ERR_FORMAT, "checkpoint is not usable: %s", why);
}

static enum err read_exact(struct call *call, const struct checkpoint_source *s, void *out,
			   size_t len, uint64_t offset)
{
	size_t n = 0;

	TRY_PLAIN(s->read_at(call, s->arg, out, len, offset, &n));
	return n == len ? OK : not_whole(call, "it is cut short");
}

/* The whole is hashed before any of it is believed. */
static enum err check_hash(struct call *call, const struct checkpoint_source *s, uint8_t *block)
{
	AUTO(hasher_auto) struct hasher *hasher = hasher_new(HASH_BLAKE3);
	uint8_t want[HASH_BYTES], sum[HASH_BYTES];
	uint64_t end = s->size - HASH_BYTES;

	if (!hasher)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (uint64_t at = 0; at < end;) {
		size_t n = (size_t)MIN(end - at, (uint64_t)BLOCK_BYTES);
		TRY_PLAIN(read_exact(call, s, block, n, at));
		hasher_update(hasher, BYTES(block, n));
		at += n;
	}
	TRY_PLAIN(read_exact(call, s, want, sizeof(want), end));
	hasher_sum(hasher, sum);
	return memcmp(sum, want, sizeof(sum)) == 0 ? OK : not_whole(call, "its hash is wrong");
}

static enum err read_segments(struct call *call, struct arena *a, const struct checkpoint_source *s,
			      size_t count, uint64_t offset, struct checkpoint *c)
{
	struct checkpoint_segment *rows = arena_array(a, count + 1, sizeof(*rows));

	if (!rows)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a checkpoint");
	for (size_t i = 0; i < count; i++) {
		uint8_t row[CHECKPOINT_SEGMENT_BYTES];
		TRY_PLAIN(read_exact(call, s, row, sizeof(row), offset + i * sizeof(row)));
		rows[i] = (struct checkpoint_segment){ .number = get_le32(row),
						       .sealed = row[4] != 0,
						       .stable = get_le64(row + 8) };
		if ((i && rows[i].number <= rows[i - 1].number) || rows[i].stable % RECORD_ALIGN ||
		    rows[i].stable < SEGMENT_HEADER_BYTES)
			return not_whole(call, "its table of segments makes no sense");
	}
	c->segments = rows;
	c->segments_count = count;
	return OK;
}

/* Header and tables; *ret_entries_at is where the entries begin. */
static enum err read_tables(struct call *call, struct arena *a, const struct checkpoint_source *s,
			    struct checkpoint *c, uint64_t *ret_entries_at)
{
	uint8_t head[CHECKPOINT_HEADER_BYTES];

	TRY_PLAIN(read_exact(call, s, head, sizeof(head), 0));
	size_t satellites = get_le32(head + 12), segments = get_le32(head + 16);
	if (memcmp(head, head_magic, sizeof(head_magic)) != 0)
		return not_whole(call, "it is something else");
	if (get_le32(head + 8) != CHECKPOINT_VERSION)
		return not_whole(call, "it has another format");
	if (satellites > INDEX_SATELLITES_MAX || segments > CHECKPOINT_SEGMENTS_MAX)
		return not_whole(call, "its tables are too large");
	uint64_t segments_at = CHECKPOINT_HEADER_BYTES + (uint64_t)satellites * NODE_ID_BYTES;
	uint64_t entries_at = segments_at + (uint64_t)segments * CHECKPOINT_SEGMENT_BYTES;
	if (entries_at + CHECKPOINT_TRAILER_BYTES > s->size)
		return not_whole(call, "it is cut short");
	struct node_id *ids = arena_array(a, satellites + 1, sizeof(*ids));
	if (!ids)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a checkpoint");
	TRY_PLAIN(read_exact(call, s, ids, satellites * NODE_ID_BYTES, CHECKPOINT_HEADER_BYTES));
	c->satellites = ids;
	c->satellites_count = satellites;
	c->created_unix_ns = (int64_t)get_le64(head + 24);
	c->seq = get_le64(head + 32);
	memcpy(c->node.b, head + 64, NODE_ID_BYTES);
	*ret_entries_at = entries_at;
	return read_segments(call, a, s, segments, segments_at, c);
}

bool checkpoint_covers(const struct checkpoint *c, uint32_t segment, uint64_t end)
{
	size_t low = 0, high = c->segments_count;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (c->segments[mid].number == segment)
			return end <= c->segments[mid].stable;
		if (c->segments[mid].number < segment)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static enum err read_entries(struct call *call, const struct checkpoint_source *s,
			     const struct checkpoint *c, uint64_t at, uint64_t count,
			     uint8_t *block, checkpoint_entry *entry, void *arg)
{
	enum { BATCH = BLOCK_BYTES / INDEX_ENTRY_BYTES };

	while (count) {
		size_t n = (size_t)MIN(count, (uint64_t)BATCH);
		TRY_PLAIN(read_exact(call, s, block, n * INDEX_ENTRY_BYTES, at));
		for (size_t i = 0; i < n; i++) {
			struct piece_entry e;
			if (piece_entry_decode(block + i * INDEX_ENTRY_BYTES, &e) ||
			    e.satellite >= c->satellites_count ||
			    !checkpoint_covers(c, e.segment,
					       piece_entry_offset(&e) + piece_entry_len(&e)))
				return not_whole(call, "an entry makes no sense");
			TRY_PLAIN(entry(call, arg, &e));
		}
		at += n * INDEX_ENTRY_BYTES;
		count -= n;
	}
	return OK;
}

enum err checkpoint_load(struct call *call, struct arena *a, const struct checkpoint_source *source,
			 struct checkpoint *ret, checkpoint_entry *entry, void *arg)
{
	uint8_t tail[CHECKPOINT_TRAILER_BYTES];
	struct checkpoint c = { 0 };
	uint64_t at = 0;

	if (source->size < CHECKPOINT_HEADER_BYTES + CHECKPOINT_TRAILER_BYTES)
		return not_whole(call, "it is cut short");
	AUTO_FREE uint8_t *block = malloc(BLOCK_BYTES);
	if (!block)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a checkpoint");
	TRY_PLAIN(check_hash(call, source, block));
	TRY_PLAIN(read_tables(call, a, source, &c, &at));
	TRY_PLAIN(read_exact(call, source, tail, sizeof(tail), source->size - sizeof(tail)));
	uint64_t count = get_le64(tail + 8), room = source->size - sizeof(tail) - at;
	if (memcmp(tail, tail_magic, sizeof(tail_magic)) != 0 || room % INDEX_ENTRY_BYTES ||
	    count != room / INDEX_ENTRY_BYTES)
		return not_whole(call, "its end does not fit");
	TRY_PLAIN(read_entries(call, source, &c, at, count, block, entry, arg));
	*ret = c;
	return OK;
}
