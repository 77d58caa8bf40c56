/*
 * Tables of the books (docs/design/books.md), entries of satellite_migrations.  Amounts by the hour
 * have interval_start as part of their key and once more as an index, for summing days up.
 */
#ifndef ACRE_SATELLITE_BOOKS_SCHEMA_H
#define ACRE_SATELLITE_BOOKS_SCHEMA_H

#define BOOKS_SCHEMA_1                                                                             \
	"CREATE TABLE tally_times ("                                                               \
	" name TEXT NOT NULL PRIMARY KEY,"                                                         \
	" at INTEGER NOT NULL);"                                                                   \
	"CREATE TABLE node_tallies ("                                                              \
	" node_id BLOB NOT NULL PRIMARY KEY,"                                                      \
	" pieces INTEGER NOT NULL,"                                                                \
	" bytes INTEGER NOT NULL,"                                                                 \
	" tallied_at INTEGER NOT NULL);"                                                           \
	"CREATE TABLE node_storage ("                                                              \
	" node_id BLOB NOT NULL,"                                                                  \
	" interval_start INTEGER NOT NULL,"                                                        \
	" byte_hours INTEGER NOT NULL,"                                                            \
	" PRIMARY KEY (node_id, interval_start)) WITHOUT ROWID;"                                   \
	"CREATE INDEX node_storage_interval ON node_storage (interval_start);"                     \
	"CREATE TABLE bucket_storage ("                                                            \
	" project_id BLOB NOT NULL,"                                                               \
	" bucket_name BLOB NOT NULL,"                                                              \
	" interval_start INTEGER NOT NULL,"                                                        \
	" byte_hours INTEGER NOT NULL,"                                                            \
	" segment_hours INTEGER NOT NULL,"                                                         \
	" object_hours INTEGER NOT NULL,"                                                          \
	" PRIMARY KEY (project_id, bucket_name, interval_start)) WITHOUT ROWID;"                   \
	"CREATE INDEX bucket_storage_interval ON bucket_storage (interval_start);"                 \
	"CREATE INDEX storagenode_bandwidth_interval ON storagenode_bandwidth_rollups "            \
	"(interval_start);"                                                                        \
	"CREATE INDEX bucket_bandwidth_interval ON bucket_bandwidth_rollups (interval_start);"     \
	"CREATE TABLE node_filters ("                                                              \
	" node_id BLOB NOT NULL PRIMARY KEY,"                                                      \
	" sent_at INTEGER NOT NULL,"                                                               \
	" pieces INTEGER NOT NULL,"                                                                \
	" bytes INTEGER NOT NULL);"                                                                \
	"CREATE TABLE copied_streams ("                                                            \
	" stream_id BLOB NOT NULL PRIMARY KEY,"                                                    \
	" copied_at INTEGER NOT NULL);"                                                            \
	"CREATE INDEX copied_streams_at ON copied_streams (copied_at);"                            \
	"CREATE TABLE storagenode_paystubs ("                                                      \
	" period TEXT NOT NULL,"                                                                   \
	" node_id BLOB NOT NULL,"                                                                  \
	" created_at INTEGER NOT NULL,"                                                            \
	" codes TEXT NOT NULL,"                                                                    \
	" usage_at_rest INTEGER NOT NULL,"                                                         \
	" usage_get INTEGER NOT NULL,"                                                             \
	" usage_put INTEGER NOT NULL,"                                                             \
	" usage_get_repair INTEGER NOT NULL,"                                                      \
	" usage_put_repair INTEGER NOT NULL,"                                                      \
	" usage_get_audit INTEGER NOT NULL,"                                                       \
	" comp_at_rest INTEGER NOT NULL,"                                                          \
	" comp_get INTEGER NOT NULL,"                                                              \
	" comp_put INTEGER NOT NULL,"                                                              \
	" comp_get_repair INTEGER NOT NULL,"                                                       \
	" comp_put_repair INTEGER NOT NULL,"                                                       \
	" comp_get_audit INTEGER NOT NULL,"                                                        \
	" surge_percent INTEGER NOT NULL,"                                                         \
	" held INTEGER NOT NULL,"                                                                  \
	" owed INTEGER NOT NULL,"                                                                  \
	" disposed INTEGER NOT NULL,"                                                              \
	" paid INTEGER NOT NULL,"                                                                  \
	" distributed INTEGER NOT NULL,"                                                           \
	" PRIMARY KEY (period, node_id));"                                                         \
	"CREATE INDEX storagenode_paystubs_node ON storagenode_paystubs (node_id);"                \
	"CREATE TABLE storagenode_payments ("                                                      \
	" id INTEGER NOT NULL PRIMARY KEY,"                                                        \
	" node_id BLOB NOT NULL,"                                                                  \
	" period TEXT NOT NULL,"                                                                   \
	" created_at INTEGER NOT NULL,"                                                            \
	" amount INTEGER NOT NULL,"                                                                \
	" receipt TEXT NOT NULL,"                                                                  \
	" notes TEXT NOT NULL);"                                                                   \
	"CREATE INDEX storagenode_payments_node ON storagenode_payments (node_id);"                \
	"CREATE TABLE bandwidth_writers ("                                                         \
	" id BLOB NOT NULL PRIMARY KEY,"                                                           \
	" flushed_at INTEGER NOT NULL);"                                                           \
	"CREATE TABLE bandwidth_gaps ("                                                            \
	" interval_start INTEGER NOT NULL PRIMARY KEY);"                                           \
	"ALTER TABLE nodes ADD COLUMN exit_success INTEGER"

/* What API keys move and keep, by the key's number: no name, and nothing of keys made from it.  A
 * deleted key's rows stay, as a bucket's do.  Numbers that are given later are random, 48 bits
 * (project.c). */
#define BOOKS_SCHEMA_2                                                                             \
	"ALTER TABLE api_keys ADD COLUMN number INTEGER;"                                          \
	"UPDATE api_keys SET number = n.number FROM (SELECT head, ROW_NUMBER() OVER (ORDER BY "    \
	"head) AS number FROM api_keys) n WHERE n.head = api_keys.head;"                           \
	"CREATE UNIQUE INDEX api_keys_number ON api_keys (number);"                                \
	"CREATE TABLE key_bandwidth ("                                                             \
	" project_id BLOB NOT NULL,"                                                               \
	" key_number INTEGER NOT NULL,"                                                            \
	" interval_start INTEGER NOT NULL,"                                                        \
	" action INTEGER NOT NULL,"                                                                \
	" allocated INTEGER NOT NULL,"                                                             \
	" settled INTEGER NOT NULL,"                                                               \
	" inline INTEGER NOT NULL,"                                                                \
	" PRIMARY KEY (project_id, key_number, interval_start, action)) WITHOUT ROWID;"            \
	"CREATE INDEX key_bandwidth_interval ON key_bandwidth (interval_start);"                   \
	"CREATE TABLE key_storage ("                                                               \
	" project_id BLOB NOT NULL,"                                                               \
	" key_number INTEGER NOT NULL,"                                                            \
	" interval_start INTEGER NOT NULL,"                                                        \
	" byte_hours INTEGER NOT NULL,"                                                            \
	" PRIMARY KEY (project_id, key_number, interval_start)) WITHOUT ROWID;"                    \
	"CREATE INDEX key_storage_interval ON key_storage (interval_start)"

#endif
