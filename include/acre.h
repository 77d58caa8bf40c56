/*
 * What libacre offers beyond uplink-c: progress, cancellation, time limits, event loops, transfers
 * that resume, a look into access grants.  Ownership, threads and errors are as in uplink.h.
 *
 * Structs with options are zeroed first: zero always means the default.
 */
#ifndef ACRE_ACRE_H
#define ACRE_ACRE_H

#include "uplink.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The library's version, "0.1.0". */
UPLINK_API const char *acre_version(void);

/* ---- cancellation ---- */

/* Ends everything that was started with it, soon and with UPLINK_ERROR_CANCELED.  Stays set. */
typedef struct AcreCancel AcreCancel;

/* NULL when no file descriptor or memory is left. */
UPLINK_API AcreCancel *acre_cancel_new(void);
/* From any thread or a signal handler, any number of times. */
UPLINK_API void acre_cancel_set(AcreCancel *cancel);
/* Whether acre_cancel_set was called. */
UPLINK_API bool acre_cancel_is_set(const AcreCancel *cancel);
/* Only after all that was started with it is freed.  NULL is fine. */
UPLINK_API void acre_cancel_free(AcreCancel *cancel);

/* ---- projects ---- */

/* Noise is a transport beside TLS that nodes may offer: it connects with one round trip less. */
typedef enum AcreNoise {
	ACRE_NOISE_DEFAULT = 0, /* on, unless STORJ_NOISE_DISABLED_EXPERIMENTAL=true is set */
	ACRE_NOISE_OFF = 1,
	ACRE_NOISE_ON = 2,
} AcreNoise;

typedef struct AcreConfig {
	UplinkConfig uplink;
	AcreCancel *cancel;	  /* borrowed; lives longer than all that is opened with it */
	int64_t call_timeout_ms;  /* each question to the satellite, retries included; 0 = 2 min */
	int64_t stall_timeout_ms; /* a transfer that moves nothing for so long fails; 0 = 2 min */
	uint32_t parallelism;	  /* segments of one upload in flight, 1 to 16; 0 = as it pays */
	uint64_t segment_size;	  /* plain bytes a segment, for tests; 0 = 64 MiB */
	uint32_t connections_max; /* connections to nodes at a time, 0 = 200 */
	bool unencrypted_object_keys; /* acre_request_access: path cipher null */
	/* Bytes a second to and from nodes, redundancy included, of all transfers of the project
	 * together; each direction has its own; 0 = as fast as it goes. */
	uint64_t upload_rate_max;
	uint64_t download_rate_max;
	AcreNoise noise; /* how nodes are called; the satellite always by TLS */
} AcreConfig;

/* Makes a grant of an API key and a passphrase: asks the satellite ("id@host:port") for the
 * project's salt and derives the root key. config may be NULL. */
UPLINK_API UplinkAccessResult acre_request_access(const AcreConfig *config,
						  uplink_const_char *satellite_address,
						  uplink_const_char *api_key,
						  uplink_const_char *passphrase);
/* Opens the project the grant belongs to. config may be NULL, it is copied.  Nothing is asked of
 * the satellite yet. */
UPLINK_API UplinkProjectResult acre_open_project(const AcreConfig *config, UplinkAccess *access);

/* Another handle to the same open project, with the same connections, for calls that must not take
 * longer than timeout_ms from now on (0 = no limit) or must be ended by themselves: all that is
 * done through it ends at the limit with ACRE_ERROR_DEADLINE, and when it is closed
 * (uplink_close_project, from any thread) with UPLINK_ERROR_CANCELED.  The first handle does not
 * notice.  Uploads, downloads and iterators that are begun with it keep the limit.  It cannot be
 * limited again; free it with uplink_free_project_result. */
UPLINK_API UplinkProjectResult acre_project_limit(UplinkProject *project, int64_t timeout_ms);
#define ACRE_ERROR_DEADLINE 0x7002

/* ---- transfers ---- */

/* How far a transfer is.  Called from any of its threads, one at a time; must not call back into
 * the transfer and should return at once. */
typedef struct AcreProgress {
	uint64_t bytes_done; /* plain bytes stored at nodes, or received and decrypted */
	int64_t bytes_total; /* -1 = not known (uploads, until committed) */
	uint32_t segments_done;
} AcreProgress;
typedef void AcreProgressFunc(void *arg, const AcreProgress *progress);

/* What a user wants to know although the transfer goes on.  From any of its threads; must not call
 * back into it. */
typedef enum AcreNotice {
	ACRE_NOTICE_RESUMED = 1,      /* an earlier try is continued */
	ACRE_NOTICE_STARTED_OVER = 2, /* an earlier try cannot be continued, and why */
	ACRE_NOTICE_NO_RESUME = 3,  /* the transfer could not be continued after a kill, and why */
	ACRE_NOTICE_WRONG_DATA = 4, /* a node sent wrong data: which; the transfer goes on */
} AcreNotice;
typedef void AcreNoticeFunc(void *arg, AcreNotice notice, const char *text);

typedef struct AcreTransferOptions {
	AcreCancel *cancel;	    /* in place of the project's; borrowed, outlives the transfer */
	AcreProgressFunc *progress; /* NULL = none */
	void *progress_arg;
	uint32_t parallelism;	/* 0 = the project's */
	AcreNoticeFunc *notice; /* NULL = none */
	void *notice_arg;
	/* For transfers that resume (below): where their state is kept; NULL = they do not. Copied.
	 */
	uplink_const_char *resume_file;
	/* What must be as it was for an earlier try to count: of an upload the source's size and
	 * times, say.  At most ACRE_RESUME_SOURCE_MAX bytes; copied. */
	const void *resume_source;
	size_t resume_source_length;
} AcreTransferOptions;

/* As uplink_upload_object; transfer may be NULL, it is copied. */
UPLINK_API UplinkUploadResult acre_upload_object(UplinkProject *project,
						 uplink_const_char *bucket_name,
						 uplink_const_char *object_key,
						 const UplinkUploadOptions *options,
						 const AcreTransferOptions *transfer);
/* As uplink_upload_part; transfer may be NULL, it is copied. */
UPLINK_API UplinkPartUploadResult acre_upload_part(
	UplinkProject *project, uplink_const_char *bucket_name, uplink_const_char *object_key,
	uplink_const_char *upload_id, uint32_t part_number, const AcreTransferOptions *transfer);
/* As uplink_download_object; transfer may be NULL, it is copied. */
UPLINK_API UplinkDownloadResult acre_download_object(UplinkProject *project,
						     uplink_const_char *bucket_name,
						     uplink_const_char *object_key,
						     const UplinkDownloadOptions *options,
						     const AcreTransferOptions *transfer);

/* ---- writing without a copy ----
 *
 * Where the next bytes of an upload are to be put by who can choose where they go, as one who
 * reads a file: acre_upload_room, then acre_upload_filled, in turns, instead of
 * uplink_upload_write.  Both ways mix.
 */
typedef struct AcreRoomResult {
	void *bytes;   /* valid until the next call with this upload */
	size_t length; /* not 0; of any size, whatever there is room for at the moment */
	UplinkError *error;
} AcreRoomResult;
/* Room for the next bytes; waits until there is some. */
UPLINK_API AcreRoomResult acre_upload_room(UplinkUpload *upload);
/* The first `length` bytes of that room are the next ones of the object; fewer than all is fine. */
UPLINK_API UplinkWriteResult acre_upload_filled(UplinkUpload *upload, size_t length);

/* ---- uploads from files ----
 *
 * What can be read at any place, and again, costs less to upload: nothing is kept for nodes that
 * fail.  When one does the segment is read again, and encrypted under another key.
 */
/* Up to `length` bytes at `offset` of the source; returns how many, fewer only at its end, or a
 * negative number when it cannot be read.  Called by several threads at once. */
typedef int64_t AcreReadAtFunc(void *arg, uint64_t offset, void *bytes, size_t length);
/* All the rest of an object of `size` bytes: from acre_upload_resumed on, or behind whole segments
 * that were written.  Nothing may be written afterwards.  `arg` is used until the upload is
 * committed, aborted or freed. */
UPLINK_API UplinkWriteResult acre_upload_from(UplinkUpload *upload, AcreReadAtFunc *read, void *arg,
					      uint64_t size);

/* ---- transfers that resume ----
 *
 * A transfer with a resume_file can be continued by a later one of the same object with the same
 * file, grant and resume_source, in whatever way the first one ended.  The file is encrypted under
 * a key of the grant and locked while in use.  What cannot be continued starts over, with a notice.
 *
 * Uploads (not of parts): segments that were stored stay stored, under the keys they have; the
 * first byte to write is that at acre_upload_resumed.  Whatever is read again is encrypted under
 * fresh keys.  A failed upload that has stored segments is not aborted, unless it is aborted
 * explicitly; once it is committed the file is gone.  If ACRE_ERROR_RESUME_REFUSED is the outcome
 * the satellite does not know the earlier try any more: the file is gone, begin again.
 *
 * Downloads (of whole objects): the caller says with acre_download_checkpoint how much is safe.
 */
enum { ACRE_RESUME_SOURCE_MAX = 256, ACRE_RESUME_GUARD_MAX = 64 };
#define ACRE_ERROR_RESUME_REFUSED 0x7001

/* Bytes that an earlier try has stored; 0 = none. */
UPLINK_API uint64_t acre_upload_resumed(UplinkUpload *upload);

typedef struct AcreResumed {
	uint64_t offset; /* the first byte that is read is this one of the object; 0 = from the
			    start */
	/* As given to the checkpoint; lives as long as the download. */
	const void *guard;
	size_t guard_length;
} AcreResumed;
/* Where a resumed download goes on. */
UPLINK_API AcreResumed acre_download_resumed(UplinkDownload *download);
/* The bytes before `offset` are stored and will be there after a kill.  guard: anything by which
 * the caller will know them again (a hash), at most ACRE_RESUME_GUARD_MAX bytes.  May run beside
 * reads, but not beside another checkpoint. */
UPLINK_API UplinkError *acre_download_checkpoint(UplinkDownload *download, uint64_t offset,
						 const void *guard, size_t guard_length);
/* The object is where it shall be: the state is removed. */
UPLINK_API UplinkError *acre_download_done(UplinkDownload *download);

/* ---- event loops ----
 *
 * All calls of this library wait.  A program with an event loop lets them run in threads of an
 * AcreLoop and watches its descriptor (poll, epoll, libuv, GLib, asyncio, ...); when it is readable
 * it takes events until there is none:
 *
 *	AcreLoopEvent event;
 *
 *	while (acre_loop_next(loop, &event))
 *		if (event.kind == ACRE_LOOP_DONE)
 *			...event.arg is that of acre_loop_run...
 */

typedef struct AcreLoop {
	size_t _handle;
} AcreLoop;

typedef struct AcreLoopResult {
	AcreLoop *loop;
	UplinkError *error;
} AcreLoopResult;

typedef enum AcreLoopEventKind {
	ACRE_LOOP_DONE = 1,
	ACRE_LOOP_PROGRESS = 2,
} AcreLoopEventKind;

typedef struct AcreLoopEvent {
	AcreLoopEventKind kind;
	void *arg;
	AcreProgress progress; /* of ACRE_LOOP_PROGRESS */
} AcreLoopEvent;

/* What runs in a thread of the loop: makes calls that wait and leaves their results where arg
 * points.  Its stack is 256 KiB, signals are blocked. */
typedef void AcreLoopFunc(void *arg);

/* threads_max: calls at a time, at most 1024, more wait in line; 0 = 16.  Threads are made when
 * they are needed and end when they are not. */
UPLINK_API AcreLoopResult acre_loop_new(uint32_t threads_max);
/* Readable while acre_loop_next has an event; only to be watched, never read.  It lives as long as
 * the loop.  -1 when the handle is invalid. */
UPLINK_API int acre_loop_fd(AcreLoop *loop);
/* Lets work(arg) run; when it has returned, acre_loop_next gives an event with that arg.  Work that
 * is refused (an error is returned) does not run. */
UPLINK_API UplinkError *acre_loop_run(AcreLoop *loop, AcreLoopFunc *work, void *arg);
/* Takes the oldest event, without waiting; false when there is none. */
UPLINK_API bool acre_loop_next(AcreLoop *loop, AcreLoopEvent *event);

/* Where progress goes: the loop, and the arg of its events. */
typedef struct AcreLoopSource {
	AcreLoop *loop;
	void *arg;
} AcreLoopSource;
/* Brings a transfer's progress to the loop: AcreTransferOptions.progress = acre_loop_progress,
 * .progress_arg = an AcreLoopSource that lives as long as the transfer.  What was not taken yet is
 * brought up to date, so that a slow loop is not flooded. */
UPLINK_API void acre_loop_progress(void *source, const AcreProgress *progress);

/* Waits for the work that was given to it; what should end sooner is cancelled first.  Events that
 * were not taken are lost.  Not from work itself. */
UPLINK_API void acre_free_loop_result(AcreLoopResult result);

/* ---- listings ---- */

/* How many items the listing has passed over so far because they do not decrypt: they were stored
 * with another passphrase. */
UPLINK_API uint64_t acre_object_iterator_skipped(UplinkObjectIterator *iterator);

/* ---- access grants ---- */

typedef struct AcrePermission {
	UplinkPermission uplink;
	int64_t max_object_ttl_seconds; /* objects uploaded with it end at most so late; 0 = none */
} AcrePermission;

/* As uplink_access_share, with all that a grant can be limited by. prefixes may be NULL with a
 * count of 0. */
UPLINK_API UplinkAccessResult acre_access_share(UplinkAccess *access, AcrePermission permission,
						const UplinkSharePrefix *prefixes,
						size_t prefixes_count);
/* 0 = no such limit. */
typedef struct AcreLimits {
	int64_t storage_bytes;	     /* stored at a time, as encrypted */
	int64_t egress_bytes;	     /* served */
	int64_t downloads;	     /* objects served */
	int64_t spend_micro_dollars; /* at the satellite's prices */
	bool monthly;		     /* all but what is stored begins anew each month (UTC) */
} AcreLimits;

/* A grant with limits that travel with it: an Acre satellite counts what it stores and is served,
 * and stops at them; another satellite refuses such a grant.  They hold together with all other
 * limits there are, those of the grants it was made from as well. */
UPLINK_API UplinkAccessResult acre_access_limit(UplinkAccess *access, AcreLimits limits);
/* The grant's API key, as text; it is a secret. */
UPLINK_API UplinkStringResult acre_access_api_key(UplinkAccess *access);
/* What the grant holds, as a JSON object: "satellite", "api_key" {"head", "tail", "caveats":
 * [...]}, "encryption" {"default", "prefixes": [...]}.  No secret is in it: keys are shown as
 * present or absent, the tail as its SHA-256. */
UPLINK_API UplinkStringResult acre_access_inspect(UplinkAccess *access);

#ifdef __cplusplus
}
#endif

#endif
