/* Order limits: what is signed stays the same when a limit is decoded and written again. */
#include <stdlib.h>

#include "order/order.h"
#include "proto/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool signing(struct call *call, struct bytes wire, struct buf *out, Orders__OrderLimit **ret)
{
	struct order_limit_ids ids;

	if (proto_decode(call, &call->scratch, &orders__order_limit__descriptor, wire, ret) != OK)
		return false;
	/* Lengths were checked when decoding. */
	if (order_limit_ids(call, *ret, &ids) != OK)
		abort();
	return order_limit_signing(call, *ret, out) == OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf once = BUF_INIT(ORDER_SIGNING_MAX), twice = BUF_INIT(ORDER_SIGNING_MAX);
	struct buf wire = BUF_INIT(PROTO_MESSAGE_MAX);
	Orders__OrderLimit *limit;
	struct call call;

	call_init(&call);
	if (signing(&call, BYTES(data, size), &once, &limit) &&
	    proto_encode(&call, &limit->base, &wire) == OK) {
		if (!signing(&call, buf_bytes(&wire), &twice, &limit) ||
		    !bytes_equal(buf_bytes(&once), buf_bytes(&twice)))
			abort();
	}
	buf_free(&once);
	buf_free(&twice);
	buf_free(&wire);
	call_fini(&call);
	return 0;
}
