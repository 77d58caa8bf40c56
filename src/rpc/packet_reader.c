/* Packets out of frames (transport.md 7.2), in place. */
#include <stdlib.h>

#include "base/num.h"
#include "rpc/frame.h"

enum {
	READER_CAP_MIN = 32 << 10,
	READER_CAP_MAX = 32 << 20, /* far above what the layers above let gather */
};

void packet_reader_init(struct packet_reader *r, uint64_t max)
{
	/* The first id of a connection must be at least (1, 1). */
	*r = (struct packet_reader){
		.keep = UINT64_MAX, .max = max, .next_stream = 1, .next_message = 1
	};
}

void packet_reader_fini(struct packet_reader *r)
{
	free(r->data);
	free(r->held);
	r->data = r->held = NULL;
}

/* Position from which on bytes are needed. */
static uint64_t needed_from(const struct packet_reader *r)
{
	uint64_t at = r->joining && !r->dropping ? r->packet.at : r->parse;

	return MIN(at, r->keep);
}

static enum err move_to_new(struct packet_reader *r, uint64_t from, size_t want)
{
	size_t len = (size_t)(r->end - from);
	size_t cap = MAX(r->cap, (size_t)READER_CAP_MIN);

	if (want > READER_CAP_MAX || len > READER_CAP_MAX - want)
		return ERR_NO_MEMORY;
	while (cap < len + want)
		cap *= 2;
	uint8_t *data = malloc(cap);
	if (!data)
		return ERR_NO_MEMORY;
	if (r->data && len)
		memcpy(data, r->data + (from - r->base), len);
	if (r->pinned && !r->held)
		r->held = r->data;
	else
		free(r->data);
	r->data = data;
	r->cap = cap;
	r->base = from;
	return OK;
}

enum err packet_reader_space(struct packet_reader *r, size_t want, uint8_t **ret_p, size_t *ret_n)
{
	uint64_t from = needed_from(r);
	bool movable = !r->pinned || r->held;

	if (movable && from == r->end)
		r->base = r->end;
	if (!r->data || r->cap - (size_t)(r->end - r->base) < want) {
		size_t len = (size_t)(r->end - from);
		/* Moving at most half of the buffer keeps the cost per byte constant. */
		if (r->data && movable && len <= r->cap / 2 && len + want <= r->cap) {
			memmove(r->data, r->data + (from - r->base), len);
			r->base = from;
		} else {
			TRY_PLAIN(move_to_new(r, from, want));
		}
	}
	*ret_p = r->data + (r->end - r->base);
	*ret_n = r->cap - (size_t)(r->end - r->base);
	return OK;
}

void packet_reader_added(struct packet_reader *r, size_t n)
{
	r->end += n;
}

static enum err broken(struct call *call, struct packet_reader *r, const char *what)
{
	r->broken = ERR_PROTOCOL;
	return call_fail(call, ERR_PROTOCOL, "the peer broke the protocol: %s", what);
}

/* Checks a frame against what came before; begins a new packet if its id is new. */
static enum err begin_frame(struct call *call, struct packet_reader *r,
			    const struct frame_header *h)
{
	if (h->stream < r->next_stream ||
	    (h->stream == r->next_stream && h->message < r->next_message))
		return broken(call, r, "frame ids go back");
	bool same = r->joining && h->stream == r->packet.stream && h->message == r->packet.message;
	if (!same) {
		/* An unfinished older packet is forgotten: its sender gave it up. */
		r->packet = (struct packet){
			.stream = h->stream, .message = h->message, .at = r->parse, .kind = h->kind
		};
		r->packet_len = 0;
		r->joining = true;
		r->dropping = h->stream <= r->drop_through;
		r->next_stream = h->stream;
		r->next_message = h->message;
	} else if (h->kind != r->packet.kind) {
		return broken(call, r, "frames of one packet differ in kind");
	}
	r->packet.control |= h->control;
	uint64_t max = h->stream == r->live || r->dropping ? r->max
							   : MIN(r->max, PACKET_INVOKE_MAX);
	if (r->packet_len > max || h->length > max - r->packet_len)
		return broken(call, r, "packet too large");
	r->frame_left = h->length;
	r->frame_done = h->done;
	r->in_frame = true;
	return OK;
}

/* Joins what is there of the present frame; OK when the frame is complete. */
static enum err take_frame_data(struct packet_reader *r)
{
	uint64_t n = MIN(r->frame_left, r->end - r->parse), to = r->packet.at + r->packet_len;

	if (!r->dropping && to != r->parse && n)
		memmove(r->data + (to - r->base), r->data + (r->parse - r->base), (size_t)n);
	r->parse += n;
	r->packet_len += n;
	r->frame_left -= n;
	if (!r->frame_left)
		return OK;
	/* All bytes are used: the rest of the frame can land directly behind its front. */
	if (!r->dropping)
		r->parse = r->end = r->packet.at + r->packet_len;
	return ERR_WOULD_BLOCK;
}

enum err packet_reader_next(struct call *call, struct packet_reader *r, struct packet *ret)
{
	if (r->broken)
		return call_fail(call, r->broken, "the peer broke the protocol");
	for (;;) {
		if (!r->in_frame) {
			struct frame_header h;
			size_t n;
			if (r->parse == r->end)
				return ERR_WOULD_BLOCK;
			struct bytes have = BYTES(r->data + (r->parse - r->base),
						  (size_t)(r->end - r->parse));
			enum err e = frame_parse_header(have, &h, &n);
			if (e == ERR_PROTOCOL)
				return broken(call, r, "bad number in a frame header");
			TRY_PLAIN(e);
			r->parse += n;
			TRY_PLAIN(begin_frame(call, r, &h));
		}
		TRY_PLAIN(take_frame_data(r));
		r->in_frame = false;
		if (!r->frame_done)
			continue;
		r->joining = false;
		r->next_message++;
		if (r->dropping)
			continue;
		r->packet.len = (uint32_t)r->packet_len;
		*ret = r->packet;
		return OK;
	}
}

struct bytes packet_reader_data(const struct packet_reader *r, const struct packet *p)
{
	return p->len ? BYTES(r->data + (p->at - r->base), p->len) : BYTES_NONE;
}

void packet_reader_unpin(struct packet_reader *r)
{
	r->pinned = false;
	free(r->held);
	r->held = NULL;
}

void packet_reader_drop(struct packet_reader *r, uint64_t stream)
{
	r->drop_through = stream;
	if (!r->joining || r->packet.stream > stream)
		return;
	r->dropping = true;
}

void packet_reader_idle(struct packet_reader *r)
{
	packet_reader_unpin(r);
	if (needed_from(r) != r->end)
		return;
	free(r->data);
	r->data = NULL;
	r->cap = 0;
	r->base = r->end;
}
