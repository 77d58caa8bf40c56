/* Tables and records of Storj's hashstore, and the names of files: the first byte says which. */
#include <stdlib.h>

#include "crypto/xxh3.h"
#include "base/num.h"
#include "node/go_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* With a checksum that is right, so that what is behind it is reached, too. */
static void table(struct call *call, struct bytes in, bool repaired)
{
	uint8_t head[GO_TABLE_HEADER_BYTES] = "HTBL";
	struct piece_id id = { { 0xff, 0x80 } };
	struct go_table t;
	uint64_t bytes = in.len >= 8 ? get_le64(in.data) : in.len;

	in = bytes_from(in, 8);
	if (in.len)
		memcpy(head + (repaired ? 4 : 0), in.data,
		       in.len < sizeof(head) - 4 ? in.len : sizeof(head) - 4);
	if (repaired)
		put_be64(head + sizeof(head) - 8, xxh3_64(BYTES(head, sizeof(head) - 8)));
	if (go_table_read(call, BYTES_OF(head), bytes, &t))
		return;
	if (t.records > bytes / GO_RECORD_BYTES ||
	    (!t.appended && (t.records < 2 || go_table_slot(&t, &id) >= t.records)))
		abort();
}

static void record(struct bytes in, bool repaired)
{
	uint8_t wire[GO_RECORD_BYTES] = { 0 };
	struct go_record r;

	if (in.len)
		memcpy(wire, in.data, in.len < sizeof(wire) ? in.len : sizeof(wire));
	if (repaired)
		put_le64(wire + 56, xxh3_64(BYTES(wire, 56)) >> 1);
	if (!go_record_read(wire, &r)) {
		if (repaired)
			abort();
		return;
	}
	if (r.offset >> 48 || r.created_day >> 23 || r.expires_day >> 23)
		abort();
}

static void hint(struct bytes in)
{
	struct go_hint h;

	go_hint_read(in, &h);
	if (h.writable_count > GO_HINT_LOGS_MAX ||
	    (h.writable_count && go_hint_complete(&h, h.writable[0])) ||
	    (h.largest < UINT64_MAX && go_hint_complete(&h, h.largest + 1)))
		abort();
}

/* The entries lie behind each other, each within the file. */
static void orders(struct call *call, struct bytes in)
{
	struct order_window window;
	struct order_entry entry;
	size_t at = 0, before;

	if (go_orders_header(call, in, &window, &at))
		return;
	if (window.hour_unix % ORDER_WINDOW_SECONDS)
		abort();
	for (before = at; go_orders_next(in, &at, &entry); before = at)
		if (entry.limit.data < in.data + before || at > in.len || at <= before ||
		    entry.order.data + entry.order.len > in.data + at)
			abort();
	if (at != in.len)
		abort();
}

static void names(struct bytes in)
{
	struct order_window window;

	struct node_id satellite;
	struct piece_id piece;
	uint64_t number;

	(void)go_log_name(in, &number);
	(void)go_table_name(in, &number);
	(void)go_hint_name(in, &number);
	(void)go_orders_name(in, &window);
	(void)go_blob_satellite(in, &satellite);
	if (in.len >= GO_BLOB_PREFIX)
		(void)go_blob_name(BYTES(in.data, GO_BLOB_PREFIX), bytes_from(in, GO_BLOB_PREFIX),
				   &piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_from(BYTES(data, size), 1);
	struct call call;

	if (!size)
		return 0;
	call_init(&call);
	switch (data[0] % 6) {
	case 0:
	case 1:
		table(&call, in, data[0] % 6);
		break;
	case 2:
	case 3:
		record(in, data[0] % 6 == 3);
		break;
	case 5:
		orders(&call, in);
		break;
	default:
		names(in);
		hint(in);
	}
	call_fini(&call);
	return 0;
}
