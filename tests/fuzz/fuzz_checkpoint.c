/* Checkpoints and tables of the piece index.  The hash at the end is set right, or nothing would be
 * read. */
#include <stdlib.h>

#include "base/num.h"
#include "node/piece_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err read_memory(struct call *call, void *arg, void *out, size_t cap, uint64_t offset,
			    size_t *ret_n)
{
	const struct bytes *v = arg;
	struct bytes rest = bytes_from(*v, (size_t)offset);

	*ret_n = MIN(cap, rest.len);
	if (*ret_n)
		memcpy(out, rest.data, *ret_n);
	return OK;
}

static enum err take_entry(struct call *call, void *arg, const struct piece_entry *e)
{
	size_t *count = arg;

	if (!e->header64 || piece_entry_len(e) < RECORD_FIXED_BYTES)
		abort();
	(*count)++;
	return OK;
}

static void check_block(const struct checkpoint *c, size_t len)
{
	if (c->segments_count > len || c->satellites_count > len)
		abort();
	for (size_t i = 0; i < c->segments_count; i++)
		if (checkpoint_find(c, c->segments[i].number) != &c->segments[i])
			abort();
}

static void load_checkpoint(struct bytes file)
{
	struct byte_source source = { .read_at = read_memory, .arg = &file, .size = file.len };
	struct checkpoint c;
	struct call call;
	size_t count = 0;

	call_init(&call);
	if (checkpoint_load(&call, &call.scratch, &source, &c, take_entry, &count) == OK) {
		if (count * PIECE_ENTRY_BYTES > file.len)
			abort();
		check_block(&c, file.len);
	}
	call_fini(&call);
}

/* Whatever a cursor shows, a look-up may find; neither reads beyond the file. */
static void read_table(struct call *call, const struct piece_table *t, const struct checkpoint *c)
{
	struct table_cursor cursor;
	struct piece_entry e, same;
	uint64_t count = 0;
	bool found = true;

	if (table_cursor_begin(call, &cursor, t) == OK) {
		while (table_cursor_next(call, &cursor, &e, &found) == OK && found) {
			struct piece_key key = piece_entry_key(&e);
			uint64_t hash = piece_hash(&c->seed, e.id.b, e.satellite);
			if (piece_table_may_have(t, hash) &&
			    piece_table_find(call, t, hash, &key, &same) == OK &&
			    !piece_entry_is(&same, &key))
				abort();
			if (e.satellite >= c->satellites_count ||
			    ++count > piece_table_count(t) * 68)
				abort();
		}
	}
	table_cursor_end(&cursor);
}

static void load_table(struct bytes file)
{
	struct byte_source source = { .read_at = read_memory, .arg = &file, .size = file.len };
	struct piece_table *t = NULL;
	struct checkpoint c;
	struct call call;

	call_init(&call);
	if (piece_table_new(&call, &call.scratch, &source, &c, &t) == OK) {
		check_block(&c, file.len);
		read_table(&call, t, &c);
		piece_table_free(t);
	}
	call_fini(&call);
}

/* The hash of a table covers what is behind its pages; pages have their own checksums. */
static void repair_table(uint8_t *data, size_t size)
{
	if (size < TABLE_TRAILER_BYTES)
		return;
	uint64_t pages = get_le64(data + size - TABLE_TRAILER_BYTES + 16);
	if (pages > (size - TABLE_TRAILER_BYTES) / TABLE_PAGE_BYTES)
		return;
	for (uint64_t i = 0; i < pages; i++) {
		uint8_t sum[HASH_BYTES], *page = data + i * TABLE_PAGE_BYTES;
		hash_blake3(BYTES(page + 8, TABLE_PAGE_BYTES - 8), sum);
		memcpy(page, sum, 8);
	}
	size_t at = (size_t)pages * TABLE_PAGE_BYTES;
	hash_blake3(BYTES(data + at, size - HASH_BYTES - at), data + size - HASH_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	load_checkpoint(BYTES(data, size));
	load_table(BYTES(data, size));
	if (size < HASH_BYTES)
		return 0;
	uint8_t *copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	hash_blake3(BYTES(copy, size - HASH_BYTES), copy + size - HASH_BYTES);
	load_checkpoint(BYTES(copy, size));
	memcpy(copy, data, size);
	repair_table(copy, size);
	load_table(BYTES(copy, size));
	free(copy);
	return 0;
}
