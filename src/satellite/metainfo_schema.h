/*
 * Tables of the metainfo service, entries of satellite_migrations.
 *
 * objects: one row per version; age is the version with its sign turned, so that the rows of a key
 * lie together, newest first and pending ones (random negative versions) last: "latest" is one
 * seek, a listing reads rows side by side.  Hence no rowid: the order of encrypted keys has nothing
 * to do with when they came, so each row of a listing would be a page of its own.
 * segments: position = part << 32 | index.  Nothing refers to a row from outside: a copied object
 * has segment rows of its own with the same root piece ID and pieces; garbage collection keeps a
 * piece while any row names it.
 * limits: counters finer than a project's (limit.h); objects.charged names those that an object's
 * size was counted in.
 */
#ifndef ACRE_SATELLITE_METAINFO_SCHEMA_H
#define ACRE_SATELLITE_METAINFO_SCHEMA_H

#define METAINFO_SCHEMA_1                                                                          \
	"CREATE TABLE buckets ("                                                                   \
	" id INTEGER NOT NULL PRIMARY KEY,"                                                        \
	" project_id BLOB NOT NULL,"                                                               \
	" name BLOB NOT NULL,"                                                                     \
	" created_at INTEGER NOT NULL,"                                                            \
	" placement INTEGER NOT NULL,"                                                             \
	" versioning INTEGER NOT NULL,"                                                            \
	" lock_enabled INTEGER NOT NULL,"                                                          \
	" lock_mode INTEGER NOT NULL,"                                                             \
	" lock_days INTEGER NOT NULL,"                                                             \
	" lock_years INTEGER NOT NULL,"                                                            \
	" user_agent BLOB);"                                                                       \
	"CREATE UNIQUE INDEX buckets_name ON buckets (project_id, name);"                          \
	"CREATE TABLE objects ("                                                                   \
	" bucket_id INTEGER NOT NULL,"                                                             \
	" object_key BLOB NOT NULL,"                                                               \
	" age INTEGER NOT NULL,"                                                                   \
	" stream_id BLOB NOT NULL,"                                                                \
	" status INTEGER NOT NULL,"                                                                \
	" flags INTEGER NOT NULL,"                                                                 \
	" created_at INTEGER NOT NULL,"                                                            \
	" expires_at INTEGER,"                                                                     \
	" zombie_at INTEGER,"                                                                      \
	" segment_count INTEGER NOT NULL,"                                                         \
	" plain_size INTEGER NOT NULL,"                                                            \
	" encrypted_size INTEGER NOT NULL,"                                                        \
	" fixed_segment_size INTEGER NOT NULL,"                                                    \
	" cipher INTEGER NOT NULL,"                                                                \
	" block_size INTEGER NOT NULL,"                                                            \
	" metadata BLOB,"                                                                          \
	" metadata_nonce BLOB,"                                                                    \
	" metadata_key BLOB,"                                                                      \
	" etag BLOB,"                                                                              \
	" checksum_kind INTEGER NOT NULL,"                                                         \
	" checksum BLOB,"                                                                          \
	" lock_mode INTEGER NOT NULL,"                                                             \
	" retain_until INTEGER,"                                                                   \
	" PRIMARY KEY (bucket_id, object_key, age)) WITHOUT ROWID;"                                \
	"CREATE INDEX objects_pending ON objects (bucket_id, object_key, age DESC) "               \
	"WHERE age > 0;"                                                                           \
	"CREATE INDEX objects_expires ON objects (expires_at) WHERE expires_at IS NOT NULL;"       \
	"CREATE INDEX objects_zombies ON objects (zombie_at) WHERE zombie_at IS NOT NULL;"         \
	"CREATE TABLE segments ("                                                                  \
	" stream_id BLOB NOT NULL,"                                                                \
	" position INTEGER NOT NULL,"                                                              \
	" created_at INTEGER NOT NULL,"                                                            \
	" repaired_at INTEGER,"                                                                    \
	" expires_at INTEGER,"                                                                     \
	" encrypted_key BLOB NOT NULL,"                                                            \
	" key_nonce BLOB NOT NULL,"                                                                \
	" encrypted_size INTEGER NOT NULL,"                                                        \
	" plain_size INTEGER NOT NULL,"                                                            \
	" plain_offset INTEGER NOT NULL,"                                                          \
	" etag BLOB,"                                                                              \
	" checksum BLOB,"                                                                          \
	" redundancy INTEGER NOT NULL,"                                                            \
	" placement INTEGER NOT NULL,"                                                             \
	" root_piece_id BLOB,"                                                                     \
	" pieces BLOB,"                                                                            \
	" inline_data BLOB,"                                                                       \
	" PRIMARY KEY (stream_id, position));"                                                     \
	"CREATE TABLE node_aliases ("                                                              \
	" node_id BLOB NOT NULL PRIMARY KEY,"                                                      \
	" alias INTEGER NOT NULL);"                                                                \
	"CREATE UNIQUE INDEX node_aliases_alias ON node_aliases (alias)"

#define METAINFO_SCHEMA_2                                                                          \
	"ALTER TABLE projects ADD COLUMN disabled_at INTEGER;"                                     \
	"ALTER TABLE projects ADD COLUMN default_versioning INTEGER;"                              \
	"ALTER TABLE projects ADD COLUMN has_bucket_limits INTEGER;"                               \
	"ALTER TABLE projects ADD COLUMN rate_head INTEGER;"                                       \
	"ALTER TABLE projects ADD COLUMN rate_head_burst INTEGER;"                                 \
	"ALTER TABLE projects ADD COLUMN rate_get INTEGER;"                                        \
	"ALTER TABLE projects ADD COLUMN rate_get_burst INTEGER;"                                  \
	"ALTER TABLE projects ADD COLUMN rate_put INTEGER;"                                        \
	"ALTER TABLE projects ADD COLUMN rate_put_burst INTEGER;"                                  \
	"ALTER TABLE projects ADD COLUMN rate_list INTEGER;"                                       \
	"ALTER TABLE projects ADD COLUMN rate_list_burst INTEGER;"                                 \
	"ALTER TABLE projects ADD COLUMN rate_delete INTEGER;"                                     \
	"ALTER TABLE projects ADD COLUMN rate_delete_burst INTEGER;"                               \
	"ALTER TABLE api_keys ADD COLUMN rate INTEGER;"                                            \
	"ALTER TABLE api_keys ADD COLUMN rate_burst INTEGER;"                                      \
	"ALTER TABLE api_keys ADD COLUMN has_limit INTEGER;"                                       \
	"ALTER TABLE buckets ADD COLUMN tags BLOB;"                                                \
	"ALTER TABLE objects ADD COLUMN charged BLOB;"                                             \
	"CREATE TABLE api_key_tails ("                                                             \
	" tail BLOB NOT NULL PRIMARY KEY,"                                                         \
	" head BLOB NOT NULL,"                                                                     \
	" caveat BLOB NOT NULL,"                                                                   \
	" registered_at INTEGER NOT NULL);"                                                        \
	"CREATE TABLE limits ("                                                                    \
	" id BLOB NOT NULL PRIMARY KEY,"                                                           \
	" project_id BLOB NOT NULL,"                                                               \
	" kind INTEGER NOT NULL,"                                                                  \
	" subject BLOB NOT NULL,"                                                                  \
	" max_storage INTEGER,"                                                                    \
	" max_egress INTEGER,"                                                                     \
	" max_downloads INTEGER,"                                                                  \
	" max_spend INTEGER,"                                                                      \
	" monthly INTEGER NOT NULL,"                                                               \
	" stored INTEGER NOT NULL,"                                                                \
	" egress INTEGER NOT NULL,"                                                                \
	" downloads INTEGER NOT NULL,"                                                             \
	" spent INTEGER NOT NULL,"                                                                 \
	" month INTEGER NOT NULL,"                                                                 \
	" updated_at INTEGER NOT NULL);"                                                           \
	"CREATE INDEX limits_project ON limits (project_id, kind)"

/* The loop over all segments reads them in the order of their key, so that is how they lie: no
 * rowid, and what the loop wants stands in front of what it leaves. */
#define METAINFO_SCHEMA_3                                                                          \
	"CREATE TABLE segments_by_key ("                                                           \
	" stream_id BLOB NOT NULL,"                                                                \
	" position INTEGER NOT NULL,"                                                              \
	" redundancy INTEGER NOT NULL,"                                                            \
	" encrypted_size INTEGER NOT NULL,"                                                        \
	" created_at INTEGER NOT NULL,"                                                            \
	" repaired_at INTEGER,"                                                                    \
	" expires_at INTEGER,"                                                                     \
	" placement INTEGER NOT NULL,"                                                             \
	" root_piece_id BLOB,"                                                                     \
	" pieces BLOB,"                                                                            \
	" plain_size INTEGER NOT NULL,"                                                            \
	" plain_offset INTEGER NOT NULL,"                                                          \
	" encrypted_key BLOB NOT NULL,"                                                            \
	" key_nonce BLOB NOT NULL,"                                                                \
	" etag BLOB,"                                                                              \
	" checksum BLOB,"                                                                          \
	" inline_data BLOB,"                                                                       \
	" PRIMARY KEY (stream_id, position)) WITHOUT ROWID;"                                       \
	"INSERT INTO segments_by_key SELECT stream_id, position, redundancy, encrypted_size, "     \
	"created_at, repaired_at, expires_at, placement, root_piece_id, pieces, plain_size, "      \
	"plain_offset, encrypted_key, key_nonce, etag, checksum, inline_data FROM segments;"       \
	"DROP TABLE segments;"                                                                     \
	"ALTER TABLE segments_by_key RENAME TO segments"

#endif
