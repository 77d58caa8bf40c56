/*
 * How much a project stores and reads, for its limits (metainfo.md 3.4): totals from the database,
 * now and then, and what was added since.  A project without limits costs nothing.
 */
#ifndef ACRE_SATELLITE_USAGE_H
#define ACRE_SATELLITE_USAGE_H

#include "db/db.h"
#include "satellite/auth.h"

struct usage;

struct usage *usage_new(void);
void usage_free(struct usage *u);
/* ResourceExhausted "Exceeded Storage Limit" / "Exceeded Segments Limit" when that much more does
 * not fit.  May read the database. */
enum err usage_check_upload(struct call *call, struct db *db, struct usage *u,
			    const struct project *p, int64_t bytes, int64_t segments,
			    int64_t now_ns) MUST_USE;
/* ResourceExhausted "Exceeded Usage Limit". */
enum err usage_check_download(struct call *call, struct db *db, struct usage *u,
			      const struct project *p, int64_t now_ns) MUST_USE;
/* Counts; negative when something went. */
void usage_add_stored(struct usage *u, const struct project *p, int64_t bytes, int64_t segments);
void usage_add_downloaded(struct usage *u, const struct project *p, int64_t bytes);

#endif
