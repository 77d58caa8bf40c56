/*
 * The satellite's schema, an append-only list: never change or reorder an entry that was released,
 * add one at the end.  Times are Unix nanoseconds, NULL or 0 = not set.  Names that are compared or
 * ordered are BLOB, so that both databases order them bytewise.
 */
#include "base/cleanup.h"
#include "satellite/audit_schema.h"
#include "satellite/books_schema.h"
#include "satellite/metainfo_schema.h"
#include "satellite/satellite.h"

/* A row without a holder is at rest; requests above served ask for a run (chore.h). */
#define CHORES_SCHEMA                                                                              \
	"CREATE TABLE chores ("                                                                    \
	" name TEXT NOT NULL PRIMARY KEY,"                                                         \
	" holder BLOB,"                                                                            \
	" lease_until INTEGER NOT NULL,"                                                           \
	" next_at INTEGER NOT NULL,"                                                               \
	" requests INTEGER NOT NULL,"                                                              \
	" served INTEGER NOT NULL,"                                                                \
	" started_at INTEGER NOT NULL,"                                                            \
	" ended_at INTEGER NOT NULL,"                                                              \
	" runs INTEGER NOT NULL,"                                                                  \
	" failures INTEGER NOT NULL,"                                                              \
	" error TEXT NOT NULL,"                                                                    \
	" note TEXT NOT NULL)"

/* The most urgent first; those that cannot be repaired (lost) stay, for the day a node comes back.
 */
#define REPAIR_SCHEMA                                                                              \
	"CREATE TABLE repair_queue ("                                                              \
	" stream_id BLOB NOT NULL,"                                                                \
	" position INTEGER NOT NULL,"                                                              \
	" urgency INTEGER NOT NULL,"                                                               \
	" healthy INTEGER NOT NULL,"                                                               \
	" retrievable INTEGER NOT NULL,"                                                           \
	" required INTEGER NOT NULL,"                                                              \
	" success INTEGER NOT NULL,"                                                               \
	" eager INTEGER NOT NULL,"                                                                 \
	" lost INTEGER NOT NULL,"                                                                  \
	" added_at INTEGER NOT NULL,"                                                              \
	" seen_at INTEGER NOT NULL,"                                                               \
	" claimed_until INTEGER NOT NULL,"                                                         \
	" not_before INTEGER NOT NULL,"                                                            \
	" attempts INTEGER NOT NULL,"                                                              \
	" error TEXT NOT NULL,"                                                                    \
	" PRIMARY KEY (stream_id, position)) WITHOUT ROWID;"                                       \
	"CREATE INDEX repair_queue_urgency ON repair_queue (lost, urgency)"

const struct db_migration satellite_migrations[] = {
	{ "secrets", "CREATE TABLE secrets ("
		     " name TEXT NOT NULL PRIMARY KEY,"
		     " value BLOB NOT NULL)" },
	/* Whoever changes a node's row sets updated_at, or other processes do not notice. */
	{ "nodes", "CREATE TABLE nodes ("
		   " id BLOB NOT NULL PRIMARY KEY,"
		   " address TEXT NOT NULL,"
		   " last_ip_port TEXT NOT NULL,"
		   " last_net TEXT NOT NULL,"
		   " email TEXT NOT NULL,"
		   " wallet TEXT NOT NULL,"
		   " version TEXT NOT NULL,"
		   " release INTEGER NOT NULL,"
		   " free_disk INTEGER NOT NULL,"
		   " debounce_limit INTEGER NOT NULL,"
		   " features INTEGER NOT NULL,"
		   " created_at INTEGER NOT NULL,"
		   " last_contact_success INTEGER NOT NULL,"
		   " last_contact_failure INTEGER NOT NULL,"
		   " vetted_at INTEGER,"
		   " disqualified_at INTEGER,"
		   " disqualification_reason INTEGER,"
		   " unknown_audit_suspended_at INTEGER,"
		   " offline_suspended_at INTEGER,"
		   " exit_initiated_at INTEGER,"
		   " exit_finished_at INTEGER,"
		   " updated_at INTEGER NOT NULL);"
		   "CREATE INDEX nodes_updated_at ON nodes (updated_at);"
		   "CREATE TABLE peer_identities ("
		   " node_id BLOB NOT NULL PRIMARY KEY,"
		   " chain BLOB NOT NULL,"
		   " updated_at INTEGER NOT NULL)" },
	/* A limit that is NULL is the satellite's setting; 0 is no limit. */
	{ "projects", "CREATE TABLE projects ("
		      " id BLOB NOT NULL PRIMARY KEY,"
		      " public_id BLOB NOT NULL UNIQUE,"
		      " name TEXT NOT NULL UNIQUE,"
		      " salt BLOB NOT NULL,"
		      " max_buckets INTEGER,"
		      " max_storage INTEGER,"
		      " max_bandwidth INTEGER,"
		      " max_segments INTEGER,"
		      " rate INTEGER,"
		      " rate_burst INTEGER,"
		      " created_at INTEGER NOT NULL);"
		      "CREATE TABLE api_keys ("
		      " head BLOB NOT NULL PRIMARY KEY,"
		      " secret BLOB NOT NULL,"
		      " project_id BLOB NOT NULL REFERENCES projects (id),"
		      " name TEXT NOT NULL,"
		      " version INTEGER NOT NULL,"
		      " created_at INTEGER NOT NULL,"
		      " UNIQUE (project_id, name));"
		      "CREATE TABLE revocations ("
		      " tail BLOB NOT NULL PRIMARY KEY,"
		      " head BLOB NOT NULL,"
		      " revoked_at INTEGER NOT NULL)" },
	/* The primary key is the defence against settling twice (satellite.md 3). */
	{ "settlement", "CREATE TABLE storagenode_bandwidth_rollups ("
			" node_id BLOB NOT NULL,"
			" interval_start INTEGER NOT NULL,"
			" action INTEGER NOT NULL,"
			" settled INTEGER NOT NULL,"
			" PRIMARY KEY (node_id, interval_start, action));"
			"CREATE TABLE bucket_bandwidth_rollups ("
			" project_id BLOB NOT NULL,"
			" bucket_name BLOB NOT NULL,"
			" interval_start INTEGER NOT NULL,"
			" action INTEGER NOT NULL,"
			" allocated INTEGER NOT NULL,"
			" settled INTEGER NOT NULL,"
			" inline INTEGER NOT NULL,"
			" dead INTEGER NOT NULL,"
			" PRIMARY KEY (project_id, bucket_name, interval_start, action))" },
	{ "metainfo", METAINFO_SCHEMA_1 },
	{ "metainfo limits", METAINFO_SCHEMA_2 },
	{ "prices of limits",
	  "ALTER TABLE limits ADD COLUMN storage_price INTEGER NOT NULL DEFAULT 0;"
	  "ALTER TABLE limits ADD COLUMN egress_price INTEGER NOT NULL DEFAULT 0" },
	/* 0 and NULL: the node is called by TLS. */
	{ "noise keys", "ALTER TABLE nodes ADD COLUMN noise_suite INTEGER NOT NULL DEFAULT 0;"
			"ALTER TABLE nodes ADD COLUMN noise_key BLOB" },
	{ "segments in key order", METAINFO_SCHEMA_3 },
	{ "chores", CHORES_SCHEMA },
	/* The share size had all the lower half, which is as Storj packs it now (scheme_pack). */
	{ "packed schemes", "UPDATE segments SET redundancy = (redundancy & -4294967296)"
			    " | ((redundancy & 16777215) << 8) | 1 WHERE redundancy <> 0" },
	{ "books", BOOKS_SCHEMA_1 },
	{ "repair queue", REPAIR_SCHEMA },
	{ "audit", AUDIT_SCHEMA_1 },
	{ "audit suspects", AUDIT_SCHEMA_2 },
	{ "lost pieces", AUDIT_SCHEMA_3 },
	/* A project's is that of its new buckets; a node's country is "" while it is not known. */
	{ "placements", "CREATE TABLE placements ("
			" number INTEGER NOT NULL PRIMARY KEY,"
			" name TEXT NOT NULL UNIQUE,"
			" countries TEXT NOT NULL);"
			"ALTER TABLE projects ADD COLUMN placement INTEGER;"
			"ALTER TABLE nodes ADD COLUMN country TEXT NOT NULL DEFAULT ''" },
	{ "books of keys", BOOKS_SCHEMA_2 },
	/* A node's are as node_tags.h has them. */
	{ "tags of nodes",
	  "ALTER TABLE nodes ADD COLUMN tags TEXT NOT NULL DEFAULT '';"
	  "ALTER TABLE placements ADD COLUMN tags TEXT NOT NULL DEFAULT '';"
	  "ALTER TABLE placements ADD COLUMN shared_networks INTEGER NOT NULL DEFAULT 0" },
	/* Micro-dollars for a terabyte (limit.h), NULL: any.  A node's continent is "" while it is
	 * not known. */
	{ "continents, operators and prices of placements",
	  "ALTER TABLE nodes ADD COLUMN continent TEXT NOT NULL DEFAULT '';"
	  "ALTER TABLE placements ADD COLUMN continents TEXT NOT NULL DEFAULT '';"
	  "ALTER TABLE placements ADD COLUMN operators TEXT NOT NULL DEFAULT '';"
	  "ALTER TABLE placements ADD COLUMN max_storage_price INTEGER;"
	  "ALTER TABLE placements ADD COLUMN max_egress_price INTEGER" },
};
const size_t satellite_migrations_count = ARRAY_LEN(satellite_migrations);
