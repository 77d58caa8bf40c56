/* An object's metadata as a satellite returns it; cipher null, so that the inside is reached too.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "client/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct secret_key key;
	struct call call AUTO_CALL = CALL_INIT;
	struct arena a AUTO(arena_free) = { .max = 64 << 20 };
	struct sealed_metadata sealed = {
		.wrapped_key = BYTES(key.b, sizeof(key.b)),
		.metadata = BYTES(data, size),
	};
	struct metadata m;
	enum cipher cipher;
	int32_t block;

	if (metadata_open(&call, &a, &key, &sealed, &m, &cipher, &block) != OK)
		return 0;
	if (m.segments_size < 0 || m.last_segment_size < 0 || m.segments < 0)
		abort();
	for (size_t i = 1; i < m.count; i++)
		if (bytes_compare(m.entries[i - 1].key, m.entries[i].key) > 0)
			abort();
	return 0;
}
