/* What the threads of one upload share. */
#ifndef ACRE_CLIENT_UPLOAD_INTERNAL_H
#define ACRE_CLIENT_UPLOAD_INTERNAL_H

#include "client/metainfo.h"
#include "client/pipe.h"
#include "client/progress.h"
#include "client/source_range.h"
#include "client/splitter.h"
#include "client/upload.h"
#include "client/upload_resume.h"

/* A committed segment the satellite does not know of yet. */
struct pending_commit {
	struct pending_commit *next;
	struct arena arena; /* holds item */
	uint32_t index;
	struct secret_key key; /* of the segment: an ETag is encrypted under it */
	Metainfo__BatchRequestItem *item;
};

/* A remote segment being uploaded: its thread reads the pipe, or the range of a source. */
struct segment_put {
	struct upload *upload;
	struct pipe *pipe;
	struct source_range *range;
	uint32_t index;
};

struct upload {
	struct project_child child; /* cancel object, place in the project */
	struct arena arena;
	struct bytes bucket, key, encrypted_key;
	struct secret_key object_key;
	struct upload_options o;
	bool is_part;
	unsigned parallelism; /* segments in flight; 0 = as it pays */
	struct progress progress;
	struct upload_resume *resume; /* NULL = it does not */

	/* The writer's. */
	struct splitter split;
	size_t room; /* that upload_room gave last and nobody filled */
	uint8_t head[CONTENT_INLINE_MAX +
		     1]; /* held back until the segment is known to be remote */
	struct segment_put *current;
	uint64_t size; /* bytes taken from the caller */
	uint32_t last_segment_size;
	bool sourced; /* upload_from had the last bytes: nothing is written behind them */
	bool committed, aborted;
	struct metadata metadata;
	bool etag_set;
	int64_t created_ns;
	struct bytes version;

	struct os_mutex lock;	/* guards all below */
	struct os_cond changed; /* stream_id, in_flight, failed */
	bool beginning;		/* a segment is asking for the stream ID */
	struct bytes stream_id;
	uint8_t *stream_id_owned; /* what it points to, of an object */
	unsigned in_flight;
	bool feeding;		    /* a segment of a source is being read */
	int64_t feed_ns, settle_ns; /* of the segments so far, smoothed */
	int calm; /* segments in a row that went quickly and smoothly, less those after a bad one */
	uint32_t started; /* remote segments so far: the highest index + 1 */
	struct pending_commit *pending;
	enum err failed; /* OK, or what the first failure was */
	uint64_t failed_status;
	char failed_text[CALL_ERROR_MAX];
};

/* Remembers the first failure and ends all that runs. */
void upload_fail(struct upload *u, const struct call *call, enum err e);

/* All pending commits that may go now (all with `all`) and then the items, in one batch; answers of
 * the items only, in `a`.  On success the commits are done. */
enum err upload_flush(struct call *call, struct upload *u, bool all,
		      Metainfo__BatchRequestItem *const items[], size_t count, struct arena *a,
		      Metainfo__BatchResponseItem ***ret_answers) MUST_USE;
/* The object_begin item of this upload; memory from `a`. */
enum err upload_begin_item(struct call *call, struct upload *u, struct arena *a,
			   Metainfo__BatchRequestItem **ret) MUST_USE;
/* Random key and nonce of a segment, wrapped for the satellite. */
struct segment_key {
	struct secret_key key;
	struct content_nonce wrap_nonce, start_nonce;
	struct bytes wrapped; /* in the arena given */
};
enum err segment_key_new(struct call *call, struct upload *u, uint32_t index, struct arena *a,
			 struct segment_key *ret) MUST_USE;
Metainfo__SegmentPosition *segment_position(struct upload *u, uint32_t index, struct arena *a);

/* All of the segment has been read: the next one may be. */
void upload_fed(struct upload *u);
/* How long a segment was fed, how long it then took until it was stored, and whether all went
 * smoothly. */
void upload_measured(struct upload *u, int64_t feed_ns, int64_t settle_ns, bool smooth);
/* Whether a segment that could be read again shall go without a spool. */
bool upload_is_calm(struct upload *u);
/* Such a one had to start over. */
void upload_is_not_calm(struct upload *u);

void segment_put_free(struct segment_put *s);
/* The thread of a remote segment. */
void segment_put_main(void *arg);

#endif
