/*
 * DRPC frames joined to packets.  The first bytes choose how the rest is cut into reads, which
 * stream is live and which are dropped; the packets must be those of a plain model that sees all
 * bytes at once.
 */
#include <stdlib.h>

#include "base/num.h"
#include "rpc/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_PACKET = 70000, PACKETS_MAX = 64 };

struct model {
	struct bytes in;
	uint64_t live, drop;
	uint64_t stream, message; /* lowest id that may come */
	bool joining;
	uint8_t kind;
	bool control;
	uint64_t id_stream, id_message, len;
	uint8_t data[MAX_PACKET];
};

/* The next packet of the model in m->data: OK, ERR_WOULD_BLOCK or ERR_PROTOCOL. */
static enum err model_next(struct model *m)
{
	for (;;) {
		struct frame_header h;
		size_t n;
		TRY_PLAIN(frame_parse_header(m->in, &h, &n));
		m->in = bytes_from(m->in, n);
		if (h.stream < m->stream || (h.stream == m->stream && h.message < m->message))
			return ERR_PROTOCOL;
		if (!m->joining || h.stream != m->id_stream || h.message != m->id_message) {
			m->joining = true;
			m->kind = h.kind;
			m->control = false;
			m->id_stream = m->stream = h.stream;
			m->id_message = m->message = h.message;
			m->len = 0;
		} else if (h.kind != m->kind) {
			return ERR_PROTOCOL;
		}
		bool drop = h.stream <= m->drop;
		uint64_t max = h.stream == m->live || drop ? MAX_PACKET : PACKET_INVOKE_MAX;
		m->control |= h.control;
		if (h.length > max - m->len)
			return ERR_PROTOCOL;
		if (h.length > m->in.len)
			return ERR_WOULD_BLOCK;
		if (h.length)
			memcpy(m->data + m->len, m->in.data, (size_t)h.length);
		m->len += h.length;
		m->in = bytes_from(m->in, (size_t)h.length);
		if (!h.done)
			continue;
		m->joining = false;
		m->message++;
		if (!drop)
			return OK;
	}
}

static void compare(struct packet_reader *r, struct model *m, enum err e, const struct packet *p)
{
	enum err want = model_next(m);

	if (e != want)
		abort();
	if (e)
		return;
	struct bytes got = packet_reader_data(r, p);
	if (p->stream != m->id_stream || p->message != m->id_message || p->kind != m->kind ||
	    p->control != m->control || !bytes_equal(got, BYTES(m->data, (size_t)m->len)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct model m;
	struct packet_reader r;
	struct packet p;
	struct call call;
	uint8_t *copy = NULL;
	struct bytes view = BYTES_NONE;

	if (size < 4)
		return 0;
	size_t step = 1 + (size_t)data[0] * data[0];
	bool pin = data[1] & 1;
	call_init(&call);
	memset(&m, 0, offsetof(struct model, data));
	packet_reader_init(&r, MAX_PACKET);
	r.live = m.live = data[2];
	packet_reader_drop(&r, m.drop = data[3]);
	m.stream = m.message = 1;
	m.in = BYTES(data + 4, size - 4);
	enum err e = ERR_WOULD_BLOCK;
	for (size_t at = 4; at < size && e == ERR_WOULD_BLOCK; at += step) {
		size_t n = MIN(step, size - at), room;
		uint8_t *to;
		if (packet_reader_space(&r, n, &to, &room) || room < n)
			abort();
		memcpy(to, data + at, n);
		packet_reader_added(&r, n);
		while ((e = packet_reader_next(&call, &r, &p)) == OK) {
			compare(&r, &m, OK, &p);
			/* A view in somebody's hands must stay as it is until the next packet. */
			if (view.len && memcmp(view.data, copy, view.len))
				abort();
			packet_reader_unpin(&r);
			view = BYTES_NONE;
			if (pin && p.len) {
				r.pinned = true;
				view = packet_reader_data(&r, &p);
				free(copy);
				copy = malloc(view.len);
				memcpy(copy, view.data, view.len);
			}
		}
		/* Memory is bounded by what a packet may hold. */
		if (r.cap > 4 * (MAX_PACKET + 70000))
			abort();
	}
	/* The reader refuses a frame at its header, the model too: they end the same way. */
	compare(&r, &m, e, &p);
	if (view.len && memcmp(view.data, copy, view.len))
		abort();
	free(copy);
	packet_reader_fini(&r);
	call_fini(&call);
	return 0;
}
