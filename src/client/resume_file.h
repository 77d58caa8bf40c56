/*
 * The file with the state of a transfer, beside it: locked while in use, two slots written in turn,
 * so that a kill or a power cut in the middle of a write leaves the state before it.
 */
#ifndef ACRE_CLIENT_RESUME_FILE_H
#define ACRE_CLIENT_RESUME_FILE_H

#include "client/resume_state.h"

struct resume_file;

/* Opens and locks the file if there is one; else it is made by the first write.  ERR_BUSY: another
 * transfer uses it. */
enum err resume_file_open(struct call *call, const char *path, const struct secret_key *key,
			  struct resume_file **ret) MUST_USE;
/* The newest state; it lives until the next call on the file.  ERR_NOT_FOUND: none.
 * ERR_PERMISSION, ERR_CRYPTO: there is something, of others or damaged. */
enum err resume_file_read(struct call *call, struct resume_file *f,
			  struct resume_state *ret) MUST_USE;
/* The same for a transfer of `kind` with this satellite.  *ret_why: NULL, or words for why what is
 * there cannot be continued. */
enum err resume_file_look(struct call *call, struct resume_file *f, enum resume_kind kind,
			  const struct node_id *satellite, struct resume_state *ret,
			  const char **ret_why) MUST_USE;
/* The sequence is the file's; the state survives a power cut afterwards. */
enum err resume_file_write(struct call *call, struct resume_file *f,
			   const struct resume_state *s) MUST_USE;
/* Takes the file away; nothing is read or written afterwards. */
void resume_file_remove(struct resume_file *f);
/* What is in it stays for a later try.  NULL is fine. */
void resume_file_close(struct resume_file *f);

#endif
