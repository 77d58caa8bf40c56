/* First and further messages of uploads and downloads, as a node reads them in place. */
#include <stdlib.h>

#include "node/piece_request.h"
#include "node/verify.h"
#include "os/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void within(struct bytes v, const uint8_t *data, size_t size)
{
	if (v.len && (v.data < data || v.len > size || v.data + v.len > data + size))
		abort();
}

/* The limit goes on to the rules. */
static void judge(struct call *call, struct bytes limit)
{
	struct limit_terms t;
	struct node_id me = { { 0 } };

	if (limit_terms_read(call, &call->scratch, limit, &t) == OK) {
		me = t.node;
		if (verify_limit(call, &t, &me, os_clock_unix_ns()) == OK && t.limit < 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct upload_request u;
	struct download_request d;
	struct call call;

	call_init(&call);
	if (upload_request_parse(&call, BYTES(data, size), &u) == OK) {
		within(u.limit, data, size);
		within(u.order, data, size);
		within(u.data, data, size);
		within(u.done, data, size);
		if (u.has_limit)
			judge(&call, u.limit);
	}
	if (download_request_parse(&call, BYTES(data, size), &d) == OK) {
		within(d.limit, data, size);
		within(d.order, data, size);
		if (d.maximum_chunk_size > INT32_MAX || d.maximum_chunk_size < INT32_MIN)
			abort();
	}
	call_fini(&call);
	return 0;
}
