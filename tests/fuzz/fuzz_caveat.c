/* Caveats: whoever holds a key can append any bytes. */
#include <stdlib.h>

#include "access/permission.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf once = BUF_INIT(1 << 20), twice = BUF_INIT(1 << 20);
	struct bytes wire = BYTES(data, size);
	struct macaroon m = { .caveats = &wire, .caveats_count = 1 };
	struct bytes *buckets;
	struct caveat c, again;
	struct caveat_limits limits;
	struct call call;
	size_t count;
	int64_t ttl;
	bool all;

	call_init(&call);
	if (caveat_decode(&call, &call.scratch, wire, &c) == OK) {
		caveat_encode(&once, &c);
		if (caveat_decode(&call, &call.scratch, buf_bytes(&once), &again) != OK)
			abort();
		caveat_encode(&twice, &again);
		if (!bytes_equal(buf_bytes(&once), buf_bytes(&twice)))
			abort();
		/* Limits are looked for without decoding the rest, and found by both. */
		if (caveat_limits_find(wire, &limits) != c.has_limits ||
		    (c.has_limits &&
		     (limits.storage != c.limits.storage || limits.egress != c.limits.egress ||
		      limits.downloads != c.limits.downloads || limits.spend != c.limits.spend ||
		      limits.monthly != c.limits.monthly)))
			abort();
		for (int op = 0; op <= ACTION_GET_BUCKET_NOTIFICATION + 1; op++) {
			struct action action = { (enum action_op)op, bytes_str("b"), bytes_str("p"),
						 5 };
			bool allowed = caveat_allows(&c, &action);
			if (allowed != caveat_allows(&again, &action) ||
			    allowed != (permission_check(&call, &m, 7, &action) == OK))
				abort();
		}
	} else if (permission_check(&call, &m, 7, &(struct action){ ACTION_PROJECT_INFO }) == OK) {
		abort();
	}
	(void)!permission_buckets(&call, &call.scratch, &m, &all, &buckets, &count);
	(void)!permission_ttl(&call, &m, &ttl);
	buf_free(&once);
	buf_free(&twice);
	call_fini(&call);
	return 0;
}
