/* Orders as a node reads them, many in every stream. */
#include <stdlib.h>

#include "order/order.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t wire[ORDER_WIRE_MAX];
	struct order order, again;
	struct call call;

	call_init(&call);
	if (order_decode(&call, BYTES(data, size), &order) == OK) {
		size_t n = order_encode(&order, wire);
		if (n > sizeof(wire) || order_decode(&call, BYTES(wire, n), &again) != OK ||
		    memcmp(&order, &again, sizeof(order)) != 0)
			abort();
	}
	call_fini(&call);
	return 0;
}
