/* Checkpoints of the piece index.  The hash at the end is set right, or nothing would be read. */
#include <stdlib.h>

#include "base/num.h"
#include "node/checkpoint.h"

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

static void load(struct bytes file)
{
	struct checkpoint_source source = { .read_at = read_memory,
					    .arg = &file,
					    .size = file.len };
	struct checkpoint c;
	struct call call;
	size_t count = 0;

	call_init(&call);
	if (checkpoint_load(&call, &call.scratch, &source, &c, take_entry, &count) == OK) {
		if (count * INDEX_ENTRY_BYTES > file.len || c.segments_count > file.len)
			abort();
		for (size_t i = 0; i < c.segments_count; i++)
			if (!checkpoint_covers(&c, c.segments[i].number, c.segments[i].stable))
				abort();
	}
	call_fini(&call);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	load(BYTES(data, size));
	if (size < HASH_BYTES)
		return 0;
	uint8_t *copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	hash_blake3(BYTES(copy, size - HASH_BYTES), copy + size - HASH_BYTES);
	load(BYTES(copy, size));
	free(copy);
	return 0;
}
