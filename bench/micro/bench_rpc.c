/* Framing: packets of the sizes that piece uploads have, written and read back in memory. */
#include "micro.h"

#include "rpc/frame.h"

enum { PACKETS = 16, FRAME_DATA = 7936 /* the reference's cut, transport.md 7.2 */ };

struct frame_bench {
	struct call call;
	struct packet_reader reader;
	struct buf wire;
	size_t packet_bytes, frame_bytes;
	uint64_t stream;
	uint8_t *data;
};

/* One stream's packets, each in frames of frame_bytes. */
static void write_packets(struct frame_bench *b)
{
	buf_clear(&b->wire);
	b->stream++;
	for (uint64_t p = 0; p < PACKETS; p++) {
		for (size_t at = 0; at < b->packet_bytes; at += b->frame_bytes) {
			size_t n = b->packet_bytes - at < b->frame_bytes ? b->packet_bytes - at
									 : b->frame_bytes;
			struct frame_header h = { .stream = b->stream,
						  .message = p + 1,
						  .length = n,
						  .kind = PACKET_MESSAGE,
						  .done = at + n == b->packet_bytes };
			uint8_t head[FRAME_HEADER_MAX];

			buf_add(&b->wire, head, frame_put_header(head, &h));
			buf_add(&b->wire, b->data + at, n);
		}
	}
	must(buf_status(&b->wire));
}

/* Fed in parts of 16 KiB, as TLS records come. */
static void round_trip(void *arg)
{
	struct frame_bench *b = arg;
	unsigned seen = 0;

	write_packets(b);
	b->reader.live = b->stream;
	for (size_t at = 0; at < b->wire.len;) {
		struct packet p;
		uint8_t *to;
		size_t room;
		enum err e;

		must(packet_reader_space(&b->reader, 16 << 10, &to, &room));
		size_t n = b->wire.len - at < (16 << 10) ? b->wire.len - at : 16 << 10;
		memcpy(to, b->wire.data + at, n);
		packet_reader_added(&b->reader, n);
		at += n;
		while ((e = packet_reader_next(&b->call, &b->reader, &p)) == OK)
			seen += packet_reader_data(&b->reader, &p).len == b->packet_bytes;
		must(e == ERR_WOULD_BLOCK ? OK : e);
	}
	must(seen == PACKETS ? OK : ERR_INTERNAL);
}

static void add_framing(void (*add)(struct bench), size_t packet, size_t frame)
{
	struct frame_bench *b = must_alloc(sizeof(*b));

	call_init(&b->call);
	packet_reader_init(&b->reader, 4 << 20);
	b->wire = BUF_INIT(64 << 20);
	b->packet_bytes = packet;
	b->frame_bytes = frame;
	b->data = must_alloc(packet);
	fill(b->data, packet);
	add((struct bench){ name_of("frames, packets of %zu in frames of %zu", packet, frame),
			    PACKETS * packet, round_trip, b });
}

void bench_rpc(void (*add)(struct bench))
{
	add_framing(add, 64 << 10, 64 << 10);
	add_framing(add, 64 << 10, FRAME_DATA);
	add_framing(add, 200, 200);
}
