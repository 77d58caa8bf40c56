/* Node URLs and node IDs: what is accepted prints to something that means the same. */
#include <stdlib.h>

#include "identity/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf text = BUF_INIT(4096), twice = BUF_INIT(4096);
	struct arena a = { 0 };
	struct node_url url, back;
	char id_text[NODE_ID_TEXT_MAX];
	struct node_id id, id_back;
	struct call call;

	call_init(&call);
	if (node_url_parse(&call, &a, BYTES(data, size), &url) == OK) {
		node_url_add(&text, &url);
		/* Only noise keys and IDs get longer by being printed, never beyond reason. */
		if (text.failed)
			abort();
		if (text.len <= NODE_URL_MAX) {
			if (node_url_parse(&call, &a, buf_bytes(&text), &back) != OK)
				abort();
			node_url_add(&twice, &back);
			if (!bytes_equal(buf_bytes(&text), buf_bytes(&twice)) ||
			    !node_id_equal(&url.id, &back.id))
				abort();
		}
	} else if (!call.error[0]) {
		abort();
	}
	if (node_id_parse(BYTES(data, size), &id) == OK) {
		node_id_text(&id, id_text);
		if (node_id_parse(bytes_str(id_text), &id_back) != OK ||
		    !node_id_equal(&id, &id_back))
			abort();
	}
	buf_free(&text);
	buf_free(&twice);
	arena_free(&a);
	call_fini(&call);
	return 0;
}
