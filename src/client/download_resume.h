/* Downloads that go on after a kill: what the caller has stored, and of which object. */
#ifndef ACRE_CLIENT_DOWNLOAD_RESUME_H
#define ACRE_CLIENT_DOWNLOAD_RESUME_H

#include "client/object.h"
#include "client/progress.h"
#include "client/resume_file.h"

struct download_resume {
	struct resume_file *file;
	struct notices notices;
	struct node_id satellite;
	struct bytes guard; /* of the state; in `room` */
	uint8_t room[RESUME_GUARD_BYTES_MAX];
	uint8_t object[RESUME_OBJECT_BYTES]; /* of the state, then of the object */
	uint64_t size, offset;		     /* the same; offset 0 = from the start */
};

/* Opens the state; *ret NULL when the download does not resume (a notice says why when it
 * should). */
enum err download_resume_open(struct call *call, const struct project *p,
			      const struct secret_key *object_key,
			      const AcreTransferOptions *options,
			      struct download_resume **ret) MUST_USE;
/* It begins at the first byte, and a notice says why. */
void download_resume_start_over(struct download_resume *r, const char *why);
/* The object is known: false, and a notice, when it is not that of the state.  From then on the
 * state is about this object. */
bool download_resume_check(struct download_resume *r, const struct object *o);
enum err download_resume_checkpoint(struct call *call, struct download_resume *r, uint64_t offset,
				    struct bytes guard) MUST_USE;
/* Removes the state. */
void download_resume_done(struct download_resume *r);
/* NULL is fine. */
void download_resume_close(struct download_resume *r);

#endif
