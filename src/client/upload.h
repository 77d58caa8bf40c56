/* Uploads: of an object, and of a part of a multipart upload. */
#ifndef ACRE_CLIENT_UPLOAD_H
#define ACRE_CLIENT_UPLOAD_H

#include "client/object.h"
#include "client/project.h"
#include "client/source_range.h"

struct upload;

struct upload_options {
	int64_t expires_ns;		     /* 0 = never */
	const AcreTransferOptions *transfer; /* NULL = the project's settings */
	struct bytes stream_id; /* of the multipart upload, for a part; empty for an object */
	uint32_t part_number;
};

/* Nothing is asked yet, unless it continues an earlier try (transfer->resume_file). */
enum err upload_new(struct call *call, struct project *p, struct bytes bucket, struct bytes key,
		    const struct upload_options *options, struct upload **ret) MUST_USE;
/* Readies a call for an operation on it. */
void upload_call(struct upload *u, struct call *call);
/* Where the next bytes go, not empty; they are taken by upload_filled, up to so many.  The room is
 * gone with the next call. */
enum err upload_room(struct call *call, struct upload *u, uint8_t **ret, size_t *ret_n) MUST_USE;
enum err upload_filled(struct call *call, struct upload *u, size_t n) MUST_USE;
/* *ret_n: bytes taken, also on failure. */
enum err upload_write(struct call *call, struct upload *u, struct bytes data,
		      size_t *ret_n) MUST_USE;
/* All that is left of an object of that size, out of a source that can be read at any place, by
 * several threads, and again.  What went before must be whole segments; nothing may follow. */
enum err upload_from(struct call *call, struct upload *u, const struct source_reader *reader,
		     uint64_t size) MUST_USE;
/* UPLINK_ERROR_UPLOAD_DONE when it was committed or aborted before. */
enum err upload_commit(struct call *call, struct upload *u) MUST_USE;
enum err upload_abort(struct call *call, struct upload *u) MUST_USE;
enum err upload_set_metadata(struct call *call, struct upload *u, const struct meta_entry *entries,
			     size_t count) MUST_USE;
/* Once. */
enum err upload_set_etag(struct call *call, struct upload *u, struct bytes etag) MUST_USE;
/* Bytes of an earlier try: the next one to write. */
uint64_t upload_resumed(const struct upload *u);
/* Copied into `a`. */
enum err upload_info(struct call *call, struct upload *u, struct arena *a,
		     struct object *ret) MUST_USE;
/* Aborts it if it is neither committed nor aborted, nor can be resumed. */
void upload_free(struct upload *u);

/* Multipart uploads as a whole. */
enum err multipart_begin(struct call *call, struct project *p, struct arena *a, struct bytes bucket,
			 struct bytes key, int64_t expires_ns,
			 struct bytes *ret_stream_id) MUST_USE;
enum err multipart_commit(struct call *call, struct project *p, struct arena *a,
			  struct bytes bucket, struct bytes key, struct bytes stream_id,
			  const struct meta_entry *entries, size_t count,
			  struct object **ret) MUST_USE;
enum err multipart_abort(struct call *call, struct project *p, struct bytes bucket,
			 struct bytes key, struct bytes stream_id) MUST_USE;

#endif
