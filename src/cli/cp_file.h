/* One file up or down: what acre cp does for each of its copies, with resume. */
#ifndef ACRE_CLI_CP_FILE_H
#define ACRE_CLI_CP_FILE_H

#include "cli/cli.h"
#include "crypto/hash.h"

enum {
	CP_BLOCK_BYTES = 256 << 10,
	CP_RESUME_ABOVE = 64 << 20, /* larger ones resume by default */
};

/* What all copies of a command share. */
struct cp {
	UplinkProject *project;
	struct progress *progress;
	UplinkUploadOptions upload;
	UplinkDownloadOptions download;
	UplinkCustomMetadata metadata;
	bool whole;		   /* no --range */
	const char *expires_text;  /* as given; NULL = never */
	const char *resume_dir;	   /* state files of uploads */
	uint8_t grant[HASH_BYTES]; /* hash of the access grant: its state files are its own */
};

/* Fills in resume_dir and grant. */
enum err cp_resume_init(struct cli *cli, struct cp *cp) MUST_USE;
/* own: a cli for this copy alone.  block has CP_BLOCK_BYTES. */
enum err cp_upload(struct cli *own, struct cp *cp, const struct location *from,
		   const struct location *to) MUST_USE;
enum err cp_download(struct cli *own, struct cp *cp, const struct location *from,
		     const struct location *to, uint8_t *block) MUST_USE;

#endif
