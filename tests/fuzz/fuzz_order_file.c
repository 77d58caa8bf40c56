/* Files of orders waiting for settlement. */
#include <stdlib.h>

#include "node/order_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes file = BYTES(data, size);
	struct order_window w;
	struct order_entry e;
	struct order order;
	struct call call;
	size_t pos = 0, last = 0;

	call_init(&call);
	if (order_file_header(file, &w) == OK) {
		uint8_t head[ORDER_FILE_HEADER_BYTES];
		order_file_encode_header(&w, head);
	}
	while (order_file_next(file, &pos, size, &e)) {
		if (pos <= last || pos > size || e.limit.data < data ||
		    e.order.data + e.order.len > data + size)
			abort();
		last = pos;
		if (order_decode(&call, e.order, &order) == OK && order.amount < 0)
			last = pos;
	}
	call_fini(&call);
	return 0;
}
