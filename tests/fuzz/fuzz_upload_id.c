/* Upload IDs as users type them. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "client/upload_id.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct buf text AUTO_BUF = BUF_INIT(UPLOAD_ID_TEXT_MAX);
	struct bytes id;

	if (upload_id_parse(&call, &call.scratch, BYTES(data, size), &id) != OK)
		return 0;
	/* The text form is unique. */
	if (upload_id_add(&text, id) || !bytes_equal(buf_bytes(&text), BYTES(data, size)))
		abort();
	return 0;
}
