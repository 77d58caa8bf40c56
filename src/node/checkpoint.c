/* Writing and reading checkpoints, a buffer at a time. */
#include "node/checkpoint.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/hash.h"
#include "os/file.h"

enum { BLOCK_BYTES = 256 << 10 };

static const uint8_t block_magic[8] = { 'A', 'C', 'R', 'E', 'B', 'L', 'C', 'K' };
static const uint8_t head_magic[8] = { 'A', 'C', 'R', 'E', 'C', 'K', 'P', 'T' };

DEFINE_AUTO_PTR(struct os_file, os_file_auto, os_file_close)
DEFINE_AUTO_PTR(struct hasher, hasher_auto, hasher_free)

const struct checkpoint_segment *checkpoint_find(const struct checkpoint *c, uint32_t segment)
{
	size_t low = 0, high = c->segments_count;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (c->segments[mid].number == segment)
			return &c->segments[mid];
		if (c->segments[mid].number < segment)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* ---- the block ---- */

static void encode_satellite(const struct checkpoint_satellite *s, uint8_t *row)
{
	memset(row, 0, CHECKPOINT_SATELLITE_BYTES);
	memcpy(row, s->id.b, NODE_ID_BYTES);
	put_le64(row + 32, s->figures.pieces);
	put_le64(row + 40, s->figures.bytes);
	put_le64(row + 48, s->figures.data);
	put_le64(row + 56, s->figures.trash_pieces);
	put_le64(row + 64, s->figures.trash_bytes);
	put_le64(row + 72, s->figures.trash_data);
	put_le64(row + 80, s->figures.damaged);
	put_le32(row + 88, s->oldest_trash);
	put_le32(row + 92, s->newest_trash);
	put_le32(row + 96, s->restored_at);
}

static void decode_satellite(const uint8_t *row, struct checkpoint_satellite *s)
{
	memcpy(s->id.b, row, NODE_ID_BYTES);
	s->figures = (struct piece_figures){
		.pieces = get_le64(row + 32),
		.bytes = get_le64(row + 40),
		.data = get_le64(row + 48),
		.trash_pieces = get_le64(row + 56),
		.trash_bytes = get_le64(row + 64),
		.trash_data = get_le64(row + 72),
		.damaged = get_le64(row + 80),
	};
	s->oldest_trash = get_le32(row + 88);
	s->newest_trash = get_le32(row + 92);
	s->restored_at = get_le32(row + 96);
}

void checkpoint_encode(const struct checkpoint *c, struct buf *out)
{
	uint8_t head[CHECKPOINT_BLOCK_HEAD_BYTES] = { 0 };

	memcpy(head, block_magic, sizeof(block_magic));
	put_le32(head + 8, CHECKPOINT_VERSION);
	put_le32(head + 12, (uint32_t)c->satellites_count);
	put_le32(head + 16, (uint32_t)c->segments_count);
	put_le32(head + 20, c->next_segment);
	put_le64(head + 24, (uint64_t)c->created_unix_ns);
	put_le64(head + 32, c->generation);
	put_le64(head + 40, c->seq);
	put_le64(head + 48, c->seed.v[0]);
	put_le64(head + 56, c->seed.v[1]);
	memcpy(head + 64, c->node.b, NODE_ID_BYTES);
	put_le32(head + 96, c->scrub_segment);
	head[100] = c->rebuilding;
	buf_add(out, head, sizeof(head));
	for (size_t i = 0; i < c->satellites_count; i++) {
		uint8_t row[CHECKPOINT_SATELLITE_BYTES];
		encode_satellite(&c->satellites[i], row);
		buf_add(out, row, sizeof(row));
	}
	for (size_t i = 0; i < c->segments_count; i++) {
		const struct checkpoint_segment *s = &c->segments[i];
		uint8_t row[CHECKPOINT_SEGMENT_BYTES] = { 0 };
		put_le32(row, s->number);
		row[4] = s->sealed;
		row[5] = s->removed;
		put_le32(row + 8, s->expiry_group);
		put_le64(row + 16, s->stable);
		put_le64(row + 24, s->end);
		put_le64(row + 32, s->live);
		buf_add(out, row, sizeof(row));
	}
}

static enum err not_whole(struct call *call, const char *why)
{
	return call_fail(call, ERR_FORMAT, "the index on disk is not usable: %s", why);
}

static enum err decode_segments(struct call *call, const uint8_t *row, struct checkpoint *c)
{
	for (size_t i = 0; i < c->segments_count; i++, row += CHECKPOINT_SEGMENT_BYTES) {
		struct checkpoint_segment *s = &c->segments[i];
		*s = (struct checkpoint_segment){ .number = get_le32(row),
						  .sealed = row[4] != 0,
						  .removed = row[5] != 0,
						  .expiry_group = get_le32(row + 8),
						  .stable = get_le64(row + 16),
						  .end = get_le64(row + 24),
						  .live = get_le64(row + 32) };
		if ((i && s->number <= s[-1].number) || s->stable % RECORD_ALIGN ||
		    s->stable < SEGMENT_HEADER_BYTES || s->end % RECORD_ALIGN ||
		    s->number >= c->next_segment || s->live > MAX(s->stable, s->end))
			return not_whole(call, "its table of segments makes no sense");
	}
	return OK;
}

enum err checkpoint_decode(struct call *call, struct arena *a, struct bytes wire,
			   struct checkpoint *ret)
{
	struct checkpoint c = { 0 };
	const uint8_t *p = wire.data;

	if (wire.len < CHECKPOINT_BLOCK_HEAD_BYTES ||
	    memcmp(p, block_magic, sizeof(block_magic)) != 0)
		return not_whole(call, "it is something else");
	if (get_le32(p + 8) != CHECKPOINT_VERSION)
		return not_whole(call, "it has another format");
	c.satellites_count = get_le32(p + 12);
	c.segments_count = get_le32(p + 16);
	if (c.satellites_count > PIECE_SATELLITES_MAX ||
	    c.segments_count > CHECKPOINT_SEGMENTS_MAX ||
	    checkpoint_block_len(c.satellites_count, c.segments_count) != wire.len)
		return not_whole(call, "its tables do not fit");
	c.next_segment = get_le32(p + 20);
	c.created_unix_ns = (int64_t)get_le64(p + 24);
	c.generation = get_le64(p + 32);
	c.seq = get_le64(p + 40);
	c.seed = (struct piece_seed){ { get_le64(p + 48), get_le64(p + 56) } };
	memcpy(c.node.b, p + 64, NODE_ID_BYTES);
	c.scrub_segment = get_le32(p + 96);
	c.rebuilding = p[100] != 0;
	c.satellites = arena_array(a, c.satellites_count + 1, sizeof(*c.satellites));
	c.segments = arena_array(a, c.segments_count + 1, sizeof(*c.segments));
	if (!c.satellites || !c.segments)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a checkpoint");
	p += CHECKPOINT_BLOCK_HEAD_BYTES;
	for (size_t i = 0; i < c.satellites_count; i++, p += CHECKPOINT_SATELLITE_BYTES)
		decode_satellite(p, &c.satellites[i]);
	TRY_PLAIN(decode_segments(call, p, &c));
	*ret = c;
	return OK;
}

/* ---- the file ---- */

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

static enum err write_all(struct call *call, struct writer *w, const struct checkpoint *c,
			  const struct piece_entry *entries, size_t count)
{
	uint8_t head[CHECKPOINT_HEAD_BYTES], tail[CHECKPOINT_TRAILER_BYTES];

	memcpy(head, head_magic, sizeof(head_magic));
	put_le64(head + 8, checkpoint_block_len(c->satellites_count, c->segments_count));
	buf_add(&w->block, head, sizeof(head));
	checkpoint_encode(c, &w->block);
	for (size_t i = 0; i < count; i++) {
		uint8_t wire[PIECE_ENTRY_BYTES];
		if (w->block.len >= BLOCK_BYTES)
			TRY_PLAIN(writer_flush(call, w));
		piece_entry_encode(&entries[i], wire);
		buf_add(&w->block, wire, sizeof(wire));
	}
	put_le64(tail, count);
	buf_add(&w->block, tail, 8);
	TRY_PLAIN(writer_flush(call, w));
	hasher_sum(w->hasher, tail + 8);
	struct bytes sum = BYTES(tail + 8, HASH_BYTES);
	TRY_PLAIN(os_file_write_at(call, w->file, &sum, 1, w->offset));
	return os_file_sync(call, w->file);
}

enum err checkpoint_save(struct call *call, const char *path, const struct checkpoint *c,
			 const struct piece_entry *entries, size_t count)
{
	AUTO(os_file_auto) struct os_file *f = NULL;
	AUTO(hasher_auto) struct hasher *hasher = hasher_new(HASH_BLAKE3);
	const char *tmp = arena_printf(&call->scratch, "%s.tmp", path);
	uint64_t block = checkpoint_block_len(c->satellites_count, c->segments_count);

	if (!hasher || !tmp)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a checkpoint");
	TRY_PLAIN(os_file_open(call, tmp, OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_TRUNCATE, &f));
	struct writer w = { .file = f,
			    .hasher = hasher,
			    .block = BUF_INIT(block + 2 * BLOCK_BYTES) };
	enum err e = write_all(call, &w, c, entries, count);
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

struct byte_source byte_source_file(struct os_file *f, uint64_t size)
{
	return (struct byte_source){ .read_at = file_read_at, .arg = f, .size = size };
}

enum err byte_source_read(struct call *call, const struct byte_source *s, void *out, size_t len,
			  uint64_t offset)
{
	size_t n = 0;

	TRY_PLAIN(s->read_at(call, s->arg, out, len, offset, &n));
	return n == len ? OK : not_whole(call, "it is cut short");
}

/* The whole is hashed before any of it is believed. */
static enum err check_hash(struct call *call, const struct byte_source *s, uint8_t *block)
{
	AUTO(hasher_auto) struct hasher *hasher = hasher_new(HASH_BLAKE3);
	uint8_t want[HASH_BYTES], sum[HASH_BYTES];
	uint64_t end = s->size - HASH_BYTES;

	if (!hasher)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	for (uint64_t at = 0; at < end;) {
		size_t n = (size_t)MIN(end - at, (uint64_t)BLOCK_BYTES);
		TRY_PLAIN(byte_source_read(call, s, block, n, at));
		hasher_update(hasher, BYTES(block, n));
		at += n;
	}
	TRY_PLAIN(byte_source_read(call, s, want, sizeof(want), end));
	hasher_sum(hasher, sum);
	return memcmp(sum, want, sizeof(sum)) == 0 ? OK : not_whole(call, "its hash is wrong");
}

static enum err read_entries(struct call *call, const struct byte_source *s,
			     const struct checkpoint *c, uint64_t at, uint64_t count,
			     uint8_t *block, checkpoint_entry *entry, void *arg)
{
	enum { BATCH = BLOCK_BYTES / PIECE_ENTRY_BYTES };

	while (count) {
		size_t n = (size_t)MIN(count, (uint64_t)BATCH);
		TRY_PLAIN(byte_source_read(call, s, block, n * PIECE_ENTRY_BYTES, at));
		for (size_t i = 0; i < n; i++) {
			struct piece_entry e;
			if (piece_entry_decode(block + i * PIECE_ENTRY_BYTES, &e) ||
			    e.satellite >= c->satellites_count)
				return not_whole(call, "an entry makes no sense");
			TRY_PLAIN(entry(call, arg, &e));
		}
		at += n * PIECE_ENTRY_BYTES;
		count -= n;
	}
	return OK;
}

enum err checkpoint_load(struct call *call, struct arena *a, const struct byte_source *source,
			 struct checkpoint *ret, checkpoint_entry *entry, void *arg)
{
	AUTO_FREE uint8_t *block = malloc(BLOCK_BYTES);
	AUTO_FREE uint8_t *wire = NULL;
	struct checkpoint c = { 0 };
	uint8_t head[CHECKPOINT_HEAD_BYTES], tail[8];

	if (!block)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a checkpoint");
	if (source->size < CHECKPOINT_HEAD_BYTES + CHECKPOINT_TRAILER_BYTES)
		return not_whole(call, "it is cut short");
	TRY_PLAIN(check_hash(call, source, block));
	TRY_PLAIN(byte_source_read(call, source, head, sizeof(head), 0));
	uint64_t len = get_le64(head + 8);
	uint64_t room = source->size - CHECKPOINT_HEAD_BYTES - CHECKPOINT_TRAILER_BYTES;
	if (memcmp(head, head_magic, sizeof(head_magic)) != 0 || len > room ||
	    len > checkpoint_block_len(PIECE_SATELLITES_MAX, CHECKPOINT_SEGMENTS_MAX))
		return not_whole(call, "it is something else");
	wire = malloc((size_t)len + 1);
	if (!wire)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a checkpoint");
	TRY_PLAIN(byte_source_read(call, source, wire, (size_t)len, CHECKPOINT_HEAD_BYTES));
	TRY_PLAIN(checkpoint_decode(call, a, BYTES(wire, len), &c));
	TRY_PLAIN(byte_source_read(call, source, tail, sizeof(tail),
				   source->size - CHECKPOINT_TRAILER_BYTES));
	uint64_t count = get_le64(tail);
	if (count > room / PIECE_ENTRY_BYTES || len + count * PIECE_ENTRY_BYTES != room)
		return not_whole(call, "its end does not fit");
	TRY_PLAIN(read_entries(call, source, &c, CHECKPOINT_HEAD_BYTES + len, count, block, entry,
			       arg));
	*ret = c;
	return OK;
}
