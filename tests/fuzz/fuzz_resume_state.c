/* The state of an interrupted transfer: its fields, and slots as found on disk. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "client/resume_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void slot(struct bytes in)
{
	static const struct secret_key key = { { 5 } };
	static uint8_t bytes[RESUME_SLOT_BYTES];
	struct call call AUTO_CALL = CALL_INIT;
	struct buf room AUTO_BUF = BUF_INIT(RESUME_SLOT_BYTES);
	struct resume_state s;

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, in.data, in.len < sizeof(bytes) ? in.len : sizeof(bytes));
	/* Nobody finds a tag by chance. */
	if (resume_open(&call, &key, bytes, &room, &s) == OK)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf wire AUTO_BUF = BUF_INIT(64 << 10), again AUTO_BUF = BUF_INIT(64 << 10);
	struct resume_state s, back;

	if (size)
		slot(BYTES(data, size));
	if (resume_state_parse(BYTES(data, size), &s) != OK)
		return 0;
	/* What was understood is written the same way ever after. */
	if (resume_state_encode(&s, &wire) || resume_state_parse(buf_bytes(&wire), &back) ||
	    resume_state_encode(&back, &again) || !bytes_equal(buf_bytes(&wire), buf_bytes(&again)))
		abort();
	return 0;
}
