/*
 * The pieces of one node on one disk: the log that holds them, the index that finds them, and the
 * account of the space they take.
 *
 * A piece can be read from the moment its upload is acknowledged, never earlier, and from then on
 * whatever is killed or loses power.  A piece that is uploaded again replaces the old one at that
 * moment.  Thread safe.
 */
#ifndef ACRE_NODE_PIECE_STORE_H
#define ACRE_NODE_PIECE_STORE_H

#include "base/bytes.h"
#include "base/call.h"
#include "node/piece_index.h"
#include "node/piece_record.h"
#include "os/file.h"

struct piece_store;

enum {
	STORE_BUFFER_BYTES = 128 << 10, /* pieces up to this are appended whole */
	STORE_FREE_RESERVE_DEFAULT = 256 << 20,
	STORE_TRASH_SECONDS = 7 * 24 * 3600,
	STORE_EXPIRY_GRACE_SECONDS = 3600,
};

/* Told of every record that a start found beyond the last checkpoint. */
typedef enum err store_recovered(struct call *call, void *arg, const struct piece_record *r);
/* Told once of every piece whose bytes turned out not to be what was stored. */
typedef void store_damaged(void *arg, const struct node_id *satellite,
			   const struct piece_id *piece);
/* Of a piece that is not here while others are still being taken over: brings it, or fails. */
typedef enum err store_missing(struct call *call, void *arg, const struct node_id *satellite,
			       const struct piece_id *piece);
/* Told when piece_store_maintain should be called soon; it must not wait. */
typedef void store_wake(void *arg);

struct piece_store_config {
	const char *dir; /* exists; "pieces" and "index" are made in it */
	struct node_id node;
	uint64_t allocated;	/* bytes of the disk that pieces may take */
	uint64_t free_reserve;	/* bytes of the disk never touched */
	uint64_t segment_bytes; /* 0 = default */
	uint64_t index_memory;	/* 0 = INDEX_MEMORY_DEFAULT */
	uint64_t recent_bytes;	/* see struct piece_log_config */
	bool accept_loss;
	store_recovered *recovered; /* NULL = nobody */
	store_damaged *damaged;	    /* NULL = nobody */
	store_wake *wake;	    /* NULL = nobody */
	store_missing *missing;	    /* see piece_store_set_incomplete */
	void *arg;
};

/* What was acknowledged before the last checkpoint can be read at once.  The rest is there after
 * piece_store_recover, which is called once, by any thread; until then pieces that are not known
 * are ERR_UNAVAILABLE, never ERR_NOT_FOUND. */
enum err piece_store_open(struct call *call, const struct piece_store_config *config,
			  struct piece_store **ret) MUST_USE;
/* Reads what the last checkpoint lacks; may be cancelled, and called again. */
enum err piece_store_recover(struct call *call, struct piece_store *s) MUST_USE;
bool piece_store_recovered(const struct piece_store *s);
/* Writes a checkpoint if there is anything new, so that the next start reads no log.  Nobody may be
 * using the store any more. */
void piece_store_close(struct call *call, struct piece_store *s);

struct piece_space {
	uint64_t pieces;
	uint64_t used;			/* bytes of the log on disk */
	uint64_t live;			/* of it: pieces that can be read, headers included */
	uint64_t trash;			/* of it: pieces in the trash */
	uint64_t dead;			/* of it: the rest */
	uint64_t trash_pieces, damaged; /* pieces */
	uint64_t index;			/* bytes of the index on disk */
	uint64_t reserved;		/* promised to uploads under way */
	uint64_t disk_free;
	uint64_t available; /* for new pieces */
};
enum err piece_store_space(struct call *call, struct piece_store *s,
			   struct piece_space *ret) MUST_USE;
/* The same for satellite i; false beyond the last. */
bool piece_store_satellite(struct piece_store *s, size_t i, struct index_satellite *ret);
/* Whether the disk failed a request since the last time this was asked. */
bool piece_store_take_trouble(struct piece_store *s);

/* What may be asked of the disk at the moment.  Whatever the disk does not let us do is refused as
 * ERR_UNAVAILABLE: nobody hears "not found" of what may be there. */
enum store_state {
	STORE_READY,
	STORE_READ_ONLY, /* no uploads, no room for any */
	STORE_OFFLINE,	 /* no downloads either */
};
enum { STORE_SLOW_SECONDS = 8 }; /* an audit answered later than 15 s is a missed one */
void piece_store_set_state(struct piece_store *s, enum store_state state);
/* Pieces are still being taken over from elsewhere: one that is not here is asked of `missing`, and
 * if that does not bring it, it is ERR_UNAVAILABLE. */
void piece_store_set_incomplete(struct piece_store *s, bool incomplete);
/* Other limits from now on; what is stored already stays. */
void piece_store_set_room(struct piece_store *s, uint64_t allocated, uint64_t free_reserve);
/* Also STORE_OFFLINE while the disk is slow: while a question to it (asked ... answered) waits too
 * long for its answer, and until the next one is quick. */
enum store_state piece_store_state(const struct piece_store *s);
void piece_store_disk_asked(struct piece_store *s);
void piece_store_disk_answered(struct piece_store *s);
/* Reads a block of the log, anywhere, past the page cache. */
enum err piece_store_probe(struct call *call, struct piece_store *s) MUST_USE;
/* The index on disk is damaged, or could not be written: a new start goes on with what is there, or
 * rebuilds it from the log. */
bool piece_store_index_damaged(struct piece_store *s);

/* ---- chores ---- */

/* Completes full segments, merges the index when it is due, writes a checkpoint when enough is new,
 * removes segments that hold nothing. */
enum err piece_store_maintain(struct call *call, struct piece_store *s) MUST_USE;
enum err piece_store_checkpoint(struct call *call, struct piece_store *s) MUST_USE;
/* Drops pieces whose time ended more than an hour ago and trash that is a week old, if there are
 * any; *ret_count pieces. */
enum err piece_store_expire(struct call *call, struct piece_store *s, uint64_t *ret_count) MUST_USE;

struct store_compaction {
	uint64_t bytes_max;    /* copied at a time, roughly */
	unsigned dead_percent; /* a segment with less than that dead is left alone */
};
struct store_compacted {
	uint64_t copied, freed; /* bytes */
	bool more;		/* it was not all: call again */
};
/* Copies what lives in segments that are mostly dead, and removes them: a part at a time, so that
 * the caller decides how fast it goes.  Each round begins with one pass over the index.  One
 * thread at a time. */
enum err piece_store_compact(struct call *call, struct piece_store *s,
			     const struct store_compaction *how,
			     struct store_compacted *ret) MUST_USE;

struct store_scrubbed {
	uint64_t records, bytes, damaged;
};
/* Reads on where the last call ended, about bytes_max, and compares every piece with its hash.
 * Nothing read: the end of the log is reached, and the next call begins anew. */
enum err piece_store_scrub(struct call *call, struct piece_store *s, uint64_t bytes_max,
			   struct store_scrubbed *ret) MUST_USE;

/* ---- what satellites ask ---- */

struct bloom;
/* Puts every piece of the satellite into the trash that was stored before `created_before` (Unix
 * seconds) and that the filter does not have. */
enum err piece_store_retain(struct call *call, struct piece_store *s,
			    const struct node_id *satellite, uint32_t created_before,
			    const struct bloom *filter, struct index_swept *ret) MUST_USE;
/* Takes everything of the satellite out of the trash: durable when it returns. */
enum err piece_store_restore_trash(struct call *call, struct piece_store *s,
				   const struct node_id *satellite) MUST_USE;
/* Frees everything of the satellite; there is no way back. */
enum err piece_store_forget(struct call *call, struct piece_store *s,
			    const struct node_id *satellite, struct index_swept *ret) MUST_USE;
/* Removes one piece: durable when it returns.  ERR_NOT_FOUND. */
enum err piece_store_delete(struct call *call, struct piece_store *s,
			    const struct node_id *satellite, const struct piece_id *piece) MUST_USE;

/* ---- writing ---- */

struct piece_writer;

struct piece_begin {
	struct node_id satellite;
	struct piece_id piece;
	enum hash_algorithm algorithm;
	int64_t expiration_unix_ns; /* TIME_NONE = never */
	uint64_t size_max;	    /* reserved until the end */
	bool import;		    /* taken though uploads are not */
	struct bytes limit;	    /* the order limit as received; copied */
};
/* ERR_ABORTED when there is no room for size_max. */
enum err piece_writer_begin(struct call *call, struct piece_store *s, const struct piece_begin *b,
			    struct piece_writer **ret) MUST_USE;
/* ERR_OUT_OF_RANGE beyond size_max. */
enum err piece_writer_add(struct call *call, struct piece_writer *w, struct bytes data) MUST_USE;
uint64_t piece_writer_size(const struct piece_writer *w);
/* Bytes that were available when it began, without what it reserved. */
uint64_t piece_writer_room(const struct piece_writer *w);
void piece_writer_hash(const struct piece_writer *w, uint8_t out[HASH_BYTES]);

struct piece_commit {
	int64_t created_unix_ns; /* of the uplink's piece hash */
	uint8_t uplink_signature[ED25519_SIGNATURE_BYTES];
	int64_t order_amount;
	uint8_t order_signature[ED25519_SIGNATURE_BYTES];
	/* Of a piece that was another program's before: */
	int64_t stored_unix_ns;	 /* what garbage collection compares; 0 = now */
	int64_t trashed_unix_ns; /* it is in the trash since; 0 = it is not */
};
/* Returns when the piece would survive a power cut; from then on it can be read. */
enum err piece_writer_commit(struct call *call, struct piece_writer *w,
			     const struct piece_commit *c) MUST_USE;
/* The same in two steps, so that many share a sync: all are written, then all are published.  Of a
 * writer little memory is left after the first step. */
enum err piece_writer_write(struct call *call, struct piece_writer *w,
			    const struct piece_commit *c) MUST_USE;
enum err piece_writer_publish(struct call *call, struct piece_writer *w) MUST_USE;
/* Frees the writer; without a commit nothing remains.  NULL is fine. */
void piece_writer_end(struct piece_writer *w);

/* ---- reading ---- */

/* The entry of a piece, in the trash or damaged as it may be.  ERR_NOT_FOUND without text. */
enum err piece_store_find(struct call *call, struct piece_store *s, const struct node_id *satellite,
			  const struct piece_id *piece, struct piece_entry *ret) MUST_USE;

struct log_file;
struct piece_reader {
	struct piece_store *store; /* NULL = closed */
	struct log_file *file;
	struct piece_entry entry;
	bool restored; /* it was in the trash, and is not any more */
};
/* ERR_NOT_FOUND; ERR_UNAVAILABLE while the log is being read after a crash; ERR_DATA_LOSS, ERR_IO
 * and others when it is there but damaged or cannot be opened. */
enum err piece_reader_open(struct call *call, struct piece_store *s,
			   const struct node_id *satellite, const struct piece_id *piece,
			   struct piece_reader *ret) MUST_USE;
void piece_reader_close(struct piece_reader *r); /* twice is fine */
static inline uint64_t piece_reader_size(const struct piece_reader *r)
{
	return r->entry.size;
}
/* Exactly n bytes from offset on, which must be within the piece. */
enum err piece_reader_read(struct call *call, struct piece_reader *r, void *out, size_t n,
			   uint64_t offset) MUST_USE;
enum {
	PIECE_STREAM_BYTES = 512 << 10,	      /* read from a large piece at a time */
	PIECE_BULK_MIN = 64 << 10,	      /* less is worth the page cache */
	PIECE_BULK_SLACK = 2 * OS_FILE_BLOCK, /* what a buffer for n bytes must have more */
};
/* The same, in a buffer from os_file_buffer of at least n + PIECE_BULK_SLACK bytes; the way for
 * bulk to the network: large pieces do not go through the page cache. */
enum err piece_reader_bulk(struct call *call, struct piece_reader *r, uint8_t *buffer, size_t n,
			   uint64_t offset, struct bytes *ret) MUST_USE;

/* A range read in order and ahead: while one part is on its way to the network the disk brings the
 * next.  The reader is borrowed and used by nobody else meanwhile.
 * from_disk: not what is still in memory of an upload; that says nothing of the disk. */
struct piece_stream;
enum err piece_stream_open(struct call *call, struct piece_reader *r, uint64_t offset,
			   uint64_t size, bool from_disk, struct piece_stream **ret) MUST_USE;
/* At most PIECE_STREAM_BYTES; a view until the next call.  Not called behind the end. */
enum err piece_stream_next(struct call *call, struct piece_stream *s, struct bytes *ret) MUST_USE;
void piece_stream_close(struct piece_stream *s); /* NULL is fine */

/* Its record; ret->limit points into buf (RECORD_HEADER_MAX bytes). */
enum err piece_reader_record(struct call *call, struct piece_reader *r, uint8_t *buf,
			     struct piece_record *ret) MUST_USE;

#endif
