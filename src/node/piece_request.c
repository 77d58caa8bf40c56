/* Reading piece requests in place. */
#include "node/piece_request.h"

#include "base/wire.h"

static enum err malformed(struct call *call, const char *what)
{
	return call_fail(call, ERR_INVALID, "malformed %s", what);
}

/* A known field of another wire type is not that field (the reference refuses the message). */
static bool typed(const struct wire_field *f, enum wire_type type, bool *ok)
{
	*ok = *ok && f->type == type;
	return *ok;
}

static bool upload_chunk(struct bytes wire, struct upload_request *r)
{
	struct wire w = wire_read(wire);
	struct wire_field f;
	bool ok = true;

	while (wire_field(&w, &f)) {
		if (f.number == 1 && typed(&f, WIRE_VARINT, &ok))
			r->offset = (int64_t)f.value;
		else if (f.number == 2 && typed(&f, WIRE_BYTES, &ok))
			r->data = f.bytes;
	}
	return ok && wire_ok(&w);
}

enum err upload_request_parse(struct call *call, struct bytes wire, struct upload_request *ret)
{
	struct upload_request r = { 0 };
	struct wire w = wire_read(wire);
	struct wire_field f;
	bool ok = true;

	while (wire_field(&w, &f)) {
		if (f.number == 1 && typed(&f, WIRE_BYTES, &ok)) {
			r.has_limit = true;
			r.limit = f.bytes;
		} else if (f.number == 2 && typed(&f, WIRE_BYTES, &ok)) {
			r.has_order = true;
			r.order = f.bytes;
		} else if (f.number == 3 && typed(&f, WIRE_BYTES, &ok)) {
			r.has_chunk = true;
			ok = upload_chunk(f.bytes, &r);
		} else if (f.number == 4 && typed(&f, WIRE_BYTES, &ok)) {
			r.has_done = true;
			r.done = f.bytes;
		} else if (f.number == 5 && typed(&f, WIRE_VARINT, &ok)) {
			r.hash_algorithm = f.value;
		}
	}
	if (!ok || !wire_ok(&w))
		return malformed(call, "upload request");
	*ret = r;
	return OK;
}

static bool download_chunk(struct bytes wire, struct download_request *r)
{
	struct wire w = wire_read(wire);
	struct wire_field f;
	bool ok = true;

	while (wire_field(&w, &f)) {
		if (f.number == 1 && typed(&f, WIRE_VARINT, &ok))
			r->offset = (int64_t)f.value;
		else if (f.number == 2 && typed(&f, WIRE_VARINT, &ok))
			r->size = (int64_t)f.value;
	}
	return ok && wire_ok(&w);
}

enum err download_request_parse(struct call *call, struct bytes wire, struct download_request *ret)
{
	struct download_request r = { 0 };
	struct wire w = wire_read(wire);
	struct wire_field f;
	bool ok = true;

	while (wire_field(&w, &f)) {
		if (f.number == 1 && typed(&f, WIRE_BYTES, &ok)) {
			r.has_limit = true;
			r.limit = f.bytes;
		} else if (f.number == 2 && typed(&f, WIRE_BYTES, &ok)) {
			r.has_order = true;
			r.order = f.bytes;
		} else if (f.number == 3 && typed(&f, WIRE_BYTES, &ok)) {
			r.has_chunk = true;
			ok = download_chunk(f.bytes, &r);
		} else if (f.number == 4 && typed(&f, WIRE_VARINT, &ok)) {
			r.maximum_chunk_size = (int32_t)f.value;
		}
	}
	if (!ok || !wire_ok(&w))
		return malformed(call, "download request");
	*ret = r;
	return OK;
}
