/* State of downloads.  Where the bytes are is the caller's business; its guard tells it later
 * whether they are still those. */
#include "client/download_resume.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/hash.h"

DEFINE_AUTO_PTR(struct download_resume, download_resume_auto, download_resume_close)

/* Changes whenever the object is another one, even of the same size. */
static void object_digest(const struct object *o, uint8_t out[RESUME_OBJECT_BYTES])
{
	uint8_t numbers[16];
	struct buf all AUTO_BUF = BUF_INIT(64 << 10);

	put_be64(numbers, (uint64_t)o->created_ns);
	put_be64(numbers + 8, (uint64_t)o->size);
	buf_add(&all, numbers, sizeof(numbers));
	buf_add_bytes(&all, o->version);
	hash_blake3(buf_bytes(&all), out);
}

void download_resume_start_over(struct download_resume *r, const char *why)
{
	r->offset = 0;
	r->guard = BYTES_NONE;
	notice_tell(&r->notices, ACRE_NOTICE_STARTED_OVER,
		    "the earlier download cannot be continued: %s; it starts from the beginning",
		    why);
}

static enum err look(struct call *call, struct download_resume *r)
{
	struct resume_state old;
	const char *why = NULL;
	enum err e = resume_file_look(call, r->file, RESUME_DOWNLOAD, &r->satellite, &old, &why);

	if (e)
		return e == ERR_NOT_FOUND ? OK : e;
	if (why) {
		download_resume_start_over(r, why);
		return OK;
	}
	memcpy(r->object, old.object.data, sizeof(r->object));
	memcpy(r->room, old.guard.data ? old.guard.data : r->room, old.guard.len);
	r->guard = BYTES(r->room, old.guard.len);
	r->size = old.size;
	/* The last byte is always asked for: an empty range is nothing a satellite answers. */
	r->offset = old.size ? MIN(old.offset, old.size - 1) : 0;
	return OK;
}

enum err download_resume_open(struct call *call, const struct project *p,
			      const struct secret_key *object_key, const AcreTransferOptions *o,
			      struct download_resume **ret)
{
	struct download_resume *r AUTO(download_resume_auto) = NULL;
	struct secret_key key AUTO(secret_key_wipe);

	*ret = NULL;
	if (!o || !o->resume_file || !o->resume_file[0])
		return OK;
	r = calloc(1, sizeof(*r));
	if (!r)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	r->notices = (struct notices){ o->notice, o->notice_arg };
	r->satellite = p->satellite.id;
	resume_key(object_key, &key);
	enum err e = resume_file_open(call, o->resume_file, &key, &r->file);
	if (e == ERR_BUSY)
		return call_wrap(call, e, "the same download is under way");
	if (e && e != ERR_NO_MEMORY) {
		notice_tell(&r->notices, ACRE_NOTICE_NO_RESUME, "%s", call_error(call, e));
		call_clear_error(call);
		return OK;
	}
	TRY_PLAIN(e);
	TRY_PLAIN(look(call, r));
	*ret = take(&r);
	return OK;
}

bool download_resume_check(struct download_resume *r, const struct object *o)
{
	uint8_t digest[RESUME_OBJECT_BYTES];
	bool same = true;

	object_digest(o, digest);
	if (r->offset && memcmp(digest, r->object, sizeof(digest)) != 0) {
		download_resume_start_over(r, "the object has changed since");
		same = false;
	}
	memcpy(r->object, digest, sizeof(digest));
	r->size = (uint64_t)o->size;
	if (r->offset)
		notice_tell(&r->notices, ACRE_NOTICE_RESUMED, "continuing at byte %llu",
			    (unsigned long long)r->offset);
	return same;
}

enum err download_resume_checkpoint(struct call *call, struct download_resume *r, uint64_t offset,
				    struct bytes guard)
{
	struct resume_state s = {
		.kind = RESUME_DOWNLOAD,
		.satellite = r->satellite,
		.object = BYTES_OF(r->object),
		.size = r->size,
		.offset = offset,
		.guard = guard,
	};

	if (offset > r->size || guard.len > RESUME_GUARD_BYTES_MAX)
		return call_fail(call, ERR_INVALID, "checkpoint outside of the object");
	return resume_file_write(call, r->file, &s);
}

void download_resume_done(struct download_resume *r)
{
	resume_file_remove(r->file);
}

void download_resume_close(struct download_resume *r)
{
	if (!r)
		return;
	resume_file_close(r->file);
	free(r);
}
