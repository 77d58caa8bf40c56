/* What the files of an import share. */
#ifndef ACRE_NODE_IMPORT_INTERNAL_H
#define ACRE_NODE_IMPORT_INTERNAL_H

#include "node/go_format.h"
#include "node/import.h"
#include "os/file.h"

enum { IMPORT_BATCH_MAX = 256, IMPORT_BATCH_BYTES = 64 << 20, IMPORT_READ_BYTES = 128 << 10 };

struct import {
	const struct import_config *config;
	struct import_figures figures;
	/* Written, not yet synced: */
	struct piece_writer *batch[IMPORT_BATCH_MAX];
	size_t count;
	uint64_t bytes;
	const char **obsolete; /* of IMPORT_BATCH_MAX: files to remove when the batch is safe */
	size_t obsolete_count;
	struct arena names; /* of them */
	uint8_t *buffer;
	int64_t now_unix_ns;
};

/* A piece of the source. */
struct import_piece {
	struct node_id satellite;
	struct piece_id piece;
	struct os_file *file; /* NULL: its file is missing */
	const char *path;     /* of it */
	uint64_t header_at, data_at, size;
	int64_t stored_unix_ns;
	int64_t trashed_unix_ns; /* 0 = live */
	bool guessed; /* nothing says that there is one: what is not right is no damage */
};

/* Takes it over if it is not here.  *ret_safe: the source is not needed any more, once the batch is
 * safe.  A failure is one of ours, or of the whole source: the import ends. */
enum err import_take(struct call *call, struct import *im, const struct import_piece *p,
		     bool *ret_safe) MUST_USE;
/* Whether it is here already (then it is counted), so that its file need not be opened. */
enum err import_present(struct call *call, struct import *im, const struct import_piece *p,
			bool *ret) MUST_USE;
/* The file goes when all that was taken up to now is safe, if the source is to be moved. */
enum err import_obsolete(struct call *call, struct import *im, const char *path) MUST_USE;
enum err import_flush(struct call *call, struct import *im, const char *where) MUST_USE;

/* Names in a directory that need not be there. */
enum err import_list(struct call *call, struct arena *a, const char *path, const char ***ret_names,
		     size_t *ret_count) MUST_USE;

enum err import_blobs(struct call *call, struct import *im) MUST_USE;
enum err import_trash(struct call *call, struct import *im) MUST_USE;
enum err import_hashstores(struct call *call, struct import *im) MUST_USE;

/* A single piece, if it is there; what of it is in the trash is not. */
enum err import_one_blob(struct call *call, struct import *im, const struct node_id *satellite,
			 const struct piece_id *piece, bool *ret_found) MUST_USE;
enum err import_one_record(struct call *call, struct import *im, const struct node_id *satellite,
			   const struct piece_id *piece, bool *ret_found) MUST_USE;

#endif
