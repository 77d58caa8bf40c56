/* Access grants: the input is taken as text, and as what is inside of the text. */
#include <stdlib.h>

#include "access/grant.h"
#include "crypto/base58check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(struct bytes text)
{
	struct buf once = BUF_INIT(2 * GRANT_TEXT_MAX);
	struct grant g, again;
	struct call call;

	call_init(&call);
	if (grant_parse(&call, &call.scratch, text, &g) == OK) {
		/* A text of the greatest size may have grown a default cipher. */
		if (grant_add_text(&call, &once, &g) == OK) {
			if (grant_parse(&call, &call.scratch, buf_bytes(&once), &again) != OK ||
			    g.store.count != again.store.count ||
			    g.store.has_default != again.store.has_default)
				abort();
			grant_wipe(&again);
		}
		grant_wipe(&g);
	} else if (!call.error[0]) {
		abort();
	}
	buf_free(&once);
	call_fini(&call);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf text = BUF_INIT(2 * GRANT_TEXT_MAX);

	parse(BYTES(data, size));
	if (base58check_add(&text, 0, BYTES(data, size)) == OK)
		parse(buf_bytes(&text));
	buf_free(&text);
	return 0;
}
