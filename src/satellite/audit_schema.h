/*
 * Tables of audits and reputation, entries of satellite_migrations.
 *
 * reputations: apart from nodes, since it is written at the rate of audits; the states that follow
 * from it are columns of nodes.  Scores are INTEGER: the bits of the double, so that they come back
 * exact from either database.
 * verification_audits: segments to be audited, oldest first.  reverification_audits: pieces to be
 * asked for whole: those whose node did not answer in time (while a node has one it is contained),
 * and suspects, with the place and hash of the share they gave.
 * audit_results: what did not succeed, as the node can have it, signed.
 * lost_pieces: what nodes confessed, until the next pass over the segments.
 */
#ifndef ACRE_SATELLITE_AUDIT_SCHEMA_H
#define ACRE_SATELLITE_AUDIT_SCHEMA_H

#define AUDIT_SCHEMA_1                                                                             \
	"ALTER TABLE nodes ADD COLUMN audit_suspended_at INTEGER;"                                 \
	"CREATE TABLE reputations ("                                                               \
	" node_id BLOB NOT NULL PRIMARY KEY,"                                                      \
	" created_at INTEGER NOT NULL,"                                                            \
	" total INTEGER NOT NULL,"                                                                 \
	" success INTEGER NOT NULL,"                                                               \
	" alpha INTEGER NOT NULL,"                                                                 \
	" beta INTEGER NOT NULL,"                                                                  \
	" unknown_alpha INTEGER NOT NULL,"                                                         \
	" unknown_beta INTEGER NOT NULL,"                                                          \
	" online_score INTEGER NOT NULL,"                                                          \
	" windows BLOB NOT NULL,"                                                                  \
	" audit_review_at INTEGER,"                                                                \
	" offline_review_at INTEGER) WITHOUT ROWID;"                                               \
	"CREATE TABLE node_events ("                                                               \
	" node_id BLOB NOT NULL,"                                                                  \
	" at INTEGER NOT NULL,"                                                                    \
	" event TEXT NOT NULL,"                                                                    \
	" PRIMARY KEY (node_id, at, event)) WITHOUT ROWID;"                                        \
	"CREATE TABLE audit_results ("                                                             \
	" node_id BLOB NOT NULL,"                                                                  \
	" at INTEGER NOT NULL,"                                                                    \
	" stream_id BLOB NOT NULL,"                                                                \
	" position INTEGER NOT NULL,"                                                              \
	" number INTEGER NOT NULL,"                                                                \
	" outcome INTEGER NOT NULL,"                                                               \
	" result BLOB NOT NULL,"                                                                   \
	" signature BLOB NOT NULL,"                                                                \
	" PRIMARY KEY (node_id, at, stream_id, position)) WITHOUT ROWID;"                          \
	"CREATE TABLE verification_audits ("                                                       \
	" inserted_at INTEGER NOT NULL,"                                                           \
	" stream_id BLOB NOT NULL,"                                                                \
	" position INTEGER NOT NULL,"                                                              \
	" PRIMARY KEY (inserted_at, stream_id, position)) WITHOUT ROWID;"                          \
	"CREATE TABLE reverification_audits ("                                                     \
	" node_id BLOB NOT NULL,"                                                                  \
	" stream_id BLOB NOT NULL,"                                                                \
	" position INTEGER NOT NULL,"                                                              \
	" number INTEGER NOT NULL,"                                                                \
	" inserted_at INTEGER NOT NULL,"                                                           \
	" attempted_at INTEGER NOT NULL,"                                                          \
	" count INTEGER NOT NULL,"                                                                 \
	" PRIMARY KEY (node_id, stream_id, position)) WITHOUT ROWID;"                              \
	"CREATE INDEX reverification_audits_due ON reverification_audits (attempted_at)"

#define AUDIT_SCHEMA_2                                                                             \
	"ALTER TABLE reverification_audits ADD COLUMN share_offset INTEGER NOT NULL DEFAULT 0;"    \
	"ALTER TABLE reverification_audits ADD COLUMN share_size INTEGER NOT NULL DEFAULT 0;"      \
	"ALTER TABLE reverification_audits ADD COLUMN share_hash BLOB"

#define AUDIT_SCHEMA_3                                                                             \
	"CREATE TABLE lost_pieces ("                                                               \
	" node_id BLOB NOT NULL,"                                                                  \
	" piece_id BLOB NOT NULL,"                                                                 \
	" reported_at INTEGER NOT NULL,"                                                           \
	" PRIMARY KEY (node_id, piece_id)) WITHOUT ROWID"

#endif
