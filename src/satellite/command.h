/* The commands of acre-satellite and what they share. */
#ifndef ACRE_SATELLITE_COMMAND_H
#define ACRE_SATELLITE_COMMAND_H

#include "os/file.h"
#include "satellite/auth.h"
#include "satellite/config.h"
#include "satellite/satellite.h"

enum { SURGE_PERCENT_MAX = 10000 };
enum { COMMAND_OUTPUT_MAX = 16 << 20, COMMAND_PARAMS_MAX = 80 };

/* Numbers of a project: option, column, whether it is a size. */
#define PROJECT_SETTINGS(X)                                                                        \
	X("max-buckets", max_buckets, false)                                                       \
	X("max-storage", max_storage, true)                                                        \
	X("max-bandwidth", max_bandwidth, true)                                                    \
	X("max-segments", max_segments, false)                                                     \
	X("rate", rate, false)                                                                     \
	X("rate-burst", rate_burst, false)                                                         \
	X("rate-head", rate_head, false)                                                           \
	X("rate-head-burst", rate_head_burst, false)                                               \
	X("rate-get", rate_get, false)                                                             \
	X("rate-get-burst", rate_get_burst, false)                                                 \
	X("rate-put", rate_put, false)                                                             \
	X("rate-put-burst", rate_put_burst, false)                                                 \
	X("rate-list", rate_list, false)                                                           \
	X("rate-list-burst", rate_list_burst, false)                                               \
	X("rate-delete", rate_delete, false)                                                       \
	X("rate-delete-burst", rate_delete_burst, false)

/* What "project set" changes.  Texts: "default" is the satellite's own setting (NULL in the
 * database), for limits "none" is no limit (0). */
struct project_settings {
#define X(option, column, size) const char *column;
	PROJECT_SETTINGS(X)
#undef X
	enum param_choice versioning, disabled;
};

struct command_options {
	struct satellite_config config; /* first: satellite_params are about it */
	const char *dir;
	bool help;
	bool json;
	/* setup */
	uint64_t nodes;
	uint64_t difficulty;
	/* project, apikey */
	const char *name;
	const char *project;
	bool auditable;
	struct project_settings set;
	/* limit */
	const char *apikey, *storage, *egress, *downloads, *spend;
	bool monthly;
	/* statement, payment, report */
	const char *month, *node, *amount, *receipt, *notes;
	uint64_t surge;
	bool again, csv, by_key;
	/* pieces */
	const char *bucket;
	bool largest;
	/* placement, bucket set, project set */
	const char *placement, *countries, *continents, *tags, *operators;
	const char *max_storage_price, *max_egress_price;
	bool shared_networks;
	/* repair run, audit */
	bool all, wait, contained;
	uint64_t segments;
};

struct command {
	struct call *call; /* its scratch holds the options */
	/* Of a satellite that runs and does what a command would (admin.h): its settings are in o,
	 * complete; NULL for a program of its own. */
	struct db *db;
	struct command_options o;
	struct param_set set; /* of this command */
	const char **args;
	size_t args_count;
	int argc; /* the flags, to be read again over the file */
	const char *const *argv;
	struct buf out; /* for standard output, written when the command ends well */
};

struct command_entry {
	const char *name; /* "project create" */
	const char *usage, *summary;
	const struct param *params; /* besides --dir and --help */
	size_t params_count;
	bool settings; /* takes the satellite's settings as flags, too */
	size_t args_max;
	enum err (*run)(struct command *c);
};

/* Reads <dir>/config under the flags given; afterwards c->o.config is complete. */
enum err command_config(struct command *c) MUST_USE;
/* The database of the satellite in --dir, migrated; to be closed. */
enum err command_database(struct command *c, struct db **ret) MUST_USE;
/* A number of a list's row under its name; NULL is null in JSON, and left out for people. */
void command_add_number(struct command *c, const char *name, const struct db_rows *rows,
			unsigned column);
/* The project of --project. */
enum err command_project(struct command *c, struct db *db, struct project *ret) MUST_USE;
/* Fails while a satellite runs in --dir, and keeps one from starting until it is closed. */
enum err command_lock_dir(struct command *c, struct os_file **ret) MUST_USE;
/* Dollars with up to six digits behind the point, in millionths; "none" leaves *ret. */
enum err command_money(struct command *c, const char *flag, const char *text,
		       int64_t *ret) MUST_USE;
/* And printed. */
void command_add_money(struct buf *out, int64_t micro);
/* The number in --placement; it may have no rule. */
enum err command_placement_number(struct command *c, int64_t *ret) MUST_USE;
/* Words for people, left out of JSON. */
void command_say(struct command *c, const char *text);
/* What check found. */
struct check_report;
void command_add_report(struct command *c, const struct check_report *r);
/* A line to standard error, for people. */
void command_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Writes what is in c->out now. */
enum err command_flush(struct command *c) MUST_USE;

enum err command_setup(struct command *c) MUST_USE;
enum err command_run(struct command *c) MUST_USE;
enum err command_url(struct command *c) MUST_USE;
enum err command_project_create(struct command *c) MUST_USE;
enum err command_project_list(struct command *c) MUST_USE;
enum err command_apikey_create(struct command *c) MUST_USE;
enum err command_project_set(struct command *c) MUST_USE;
enum err command_apikey_list(struct command *c) MUST_USE;
enum err command_apikey_set(struct command *c) MUST_USE;
enum err command_apikey_delete(struct command *c) MUST_USE;
enum err command_apikey_revoke(struct command *c) MUST_USE;
enum err command_apikey_register(struct command *c) MUST_USE;
enum err command_bucket_list(struct command *c) MUST_USE;
enum err command_bucket_set(struct command *c) MUST_USE;
enum err command_placement_list(struct command *c) MUST_USE;
enum err command_placement_set(struct command *c) MUST_USE;
enum err command_placement_remove(struct command *c) MUST_USE;
enum err command_limit_set(struct command *c) MUST_USE;
enum err command_limit_list(struct command *c) MUST_USE;
enum err command_usage(struct command *c) MUST_USE;
enum err command_statement_make(struct command *c) MUST_USE;
enum err command_statement_list(struct command *c) MUST_USE;
enum err command_payment_record(struct command *c) MUST_USE;
enum err command_report(struct command *c) MUST_USE;
enum err command_check(struct command *c) MUST_USE;
enum err command_restore(struct command *c) MUST_USE;
enum err command_nodes(struct command *c) MUST_USE;
enum err command_node_list(struct command *c) MUST_USE;
enum err command_node_show(struct command *c) MUST_USE;
enum err command_node_reinstate(struct command *c) MUST_USE;
enum err command_node_tag(struct command *c) MUST_USE;
enum err command_node_disqualify(struct command *c) MUST_USE;
/* Audits --segments segments, or all, by that satellite. */
enum err command_audit_segments(struct command *c, struct satellite *sat) MUST_USE;
enum err command_audit_run(struct command *c) MUST_USE;
enum err command_audit_list(struct command *c) MUST_USE;
enum err command_pieces(struct command *c) MUST_USE;
enum err command_backup(struct command *c) MUST_USE;
enum err command_repair_list(struct command *c) MUST_USE;
enum err command_repair_run(struct command *c) MUST_USE;
enum err command_chores(struct command *c) MUST_USE;

/* id@host:port to give to nodes and clients. */
enum err satellite_url(struct call *call, struct arena *a, const struct satellite_config *config,
		       const struct node_id *id, const char **ret) MUST_USE;

/* ---- proposing a code (proposal.c) ---- */

struct code_choice {
	const char *name;
	struct scheme code;
};
enum { CODE_CHOICES = 3 };
/* Three codes for that many nodes, the second is the one to take. */
void code_propose(uint64_t nodes, struct code_choice ret[CODE_CHOICES]);
/* A line in plain words: what it survives, what it costs. */
void code_describe(struct buf *out, const struct code_choice *choice, uint64_t nodes);

#endif
