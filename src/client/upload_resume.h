/* Uploads that go on after a kill: segment by segment, with the pending object of the first try. */
#ifndef ACRE_CLIENT_UPLOAD_RESUME_H
#define ACRE_CLIENT_UPLOAD_RESUME_H

#include "client/upload.h"

struct upload_resume;

/* With options->resume_file: opens the state and looks at the satellite what is left of an earlier
 * try.  *ret NULL when the upload does not resume (a notice says why when it should). */
enum err upload_resume_open(struct call *call, struct upload *u, const AcreTransferOptions *options,
			    struct upload_resume **ret) MUST_USE;
/* The stream ID is known now.  From one thread at a time. */
void upload_resume_begun(struct upload *u);
/* The segment is stored and committed.  Any thread. */
void upload_resume_committed(struct upload *u, uint32_t index);
/* Whether the pending object shall be left to a later try. */
bool upload_resume_keep(struct upload *u);
/* A failure of the satellite that means that it has forgotten the pending object becomes
 * ACRE_ERROR_RESUME_REFUSED, and the state goes; others pass. */
enum err upload_resume_failed(struct call *call, struct upload *u, enum err e) MUST_USE;
/* Bytes that need not be written. */
uint64_t upload_resume_offset(const struct upload *u);
/* Ends: the state is removed unless it is to be kept.  NULL is fine. */
void upload_resume_close(struct upload_resume *r, bool keep);

#endif
