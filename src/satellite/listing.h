/*
 * ListObjects (metainfo.md 5.12): a page of keys below a prefix, folded at a delimiter or not,
 * latest versions, all versions, or pending uploads.  A folded prefix costs a seek, however many
 * keys lie below it; so does a key with many versions.
 */
#ifndef ACRE_SATELLITE_LISTING_H
#define ACRE_SATELLITE_LISTING_H

#include "db/db.h"
#include "satellite/metainfo.h"

struct listing {
	int64_t bucket_id;
	struct bytes prefix;	/* all keys start with it; results are relative to it */
	struct bytes delimiter; /* not empty */
	bool recursive;
	bool pending; /* uploads under way, all of them, instead of what was committed */
	bool all_versions;
	/* Where the page before ended; has_cursor false = from the start.  cursor_key is absolute.
	 * Without a version the whole key was listed. */
	bool has_cursor, has_cursor_version;
	struct bytes cursor_key;
	int64_t cursor_version;
	size_t limit; /* > 0 */
	int64_t now_ns;
};

struct listing_item {
	struct object object; /* key relative to the prefix; status OBJECT_PREFIX: the key only */
	bool is_latest;	      /* all_versions only */
};

struct listing_page {
	struct listing_item *items;
	size_t count;
	bool more;
};

/* Memory from the call's scratch; keys may share that of l->cursor_key. */
enum err listing_read(struct call *call, struct db_tx *tx, const struct listing *l,
		      struct listing_page *ret) MUST_USE;

/* The smallest key greater than all that start with `prefix`, written to `out` (prefix.len bytes);
 * empty when there is none. */
struct bytes listing_after_prefix(struct bytes prefix, uint8_t *out);
/* Length of the part of `key` up to and with the first delimiter; 0 when it has none. */
size_t listing_fold(struct bytes key, struct bytes delimiter);

#endif
