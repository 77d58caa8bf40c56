/*
 * The command line: one table of commands, one struct of options, and what commands share.
 * Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not permitted, 5 not reachable,
 * 130 interrupted.
 */
#ifndef ACRE_CLI_CLI_H
#define ACRE_CLI_CLI_H

#define UPLINK_DISABLE_NAMESPACE_COMPAT
#include "acre.h"
#include "base/cleanup.h"
#include "base/param.h"

enum { CLI_OUT_MAX = 64 << 20, CLI_GRANT_MAX = 64 << 10, CLI_BUFFER_BYTES = 1 << 20 };

/* Every option of every command; each command lists those it takes. */
struct cli_options {
	/* common */
	const char *access, *config_dir, *output, *log_level;
	bool help;
	/* transfers */
	bool recursive, progress, dry_run, force, pending;
	uint64_t parallelism, transfers, segment_size;
	enum param_choice resume;
	bool no_resume;
	uint64_t limit_rate, connections;
	const char *range, *expires, *metadata, *temp_dir;
	/* listing */
	bool expanded, utc;
	/* grants */
	const char *satellite_address, *api_key, *import_as, *export_to;
	bool passphrase_stdin, unencrypted_object_keys;
	enum param_choice readonly;
	bool writeonly;
	uint64_t limit_storage, limit_egress, limit_downloads;
	const char *limit_spend;
	bool limit_monthly;
	enum param_choice disallow_reads, disallow_writes, disallow_lists, disallow_deletes;
	const char *not_before, *not_after;
	int64_t max_object_ttl;
	struct param_list prefix;
	/* identity, dev */
	const char *dir, *rs, *database;
	uint64_t difficulty, threads, nodes;
	bool wait;
};

struct cli {
	struct call call;
	struct cli_options o;
	struct param_set params; /* of the running command */
	const char **args;
	size_t args_count;
	AcreCancel *cancel;
	struct buf out; /* what goes to standard output; flushed by cli_flush */
	bool json;
	enum err worst; /* of a command that goes on after failures */
};

struct cli_command {
	const char *name;  /* "cp", or "access create" */
	const char *usage; /* arguments */
	const char *summary;
	struct param_set params;
	enum err (*run)(struct cli *cli);
	size_t args_min, args_max;
};

extern const struct cli_command cli_commands_access[], cli_commands_object[], cli_commands_dev[];

/* TRY where the call is cli->call. */
#define CLI_TRY(expr, ...)                                                                         \
	do {                                                                                       \
		struct call *call = &cli->call;                                                    \
		TRY(expr, __VA_ARGS__);                                                            \
	} while (0)

/* Takes the library's error (frees it) into the call; its outcome, OK for NULL. */
enum err cli_error(struct cli *cli, UplinkError *error) MUST_USE;

/* The access of --access (grant or name), the environment, or the stored default. */
enum err cli_access(struct cli *cli, UplinkAccess **ret) MUST_USE;
enum err cli_project(struct cli *cli, UplinkProject **ret) MUST_USE;
AcreConfig cli_config(const struct cli *cli);
/* Where stored accesses and the state of uploads are. */
enum err cli_config_dir(struct cli *cli, const char **ret) MUST_USE;

/* Standard output: append to cli->out, then flush. */
enum err cli_flush(struct cli *cli) MUST_USE;
/* A line on standard error. */
void cli_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Text for a terminal: control bytes become \xNN. */
void cli_add_safe(struct buf *out, const char *text);
/* JSON "key": string, and beside it "key_base64" when the text is no UTF-8. */
void cli_add_json_key(struct buf *out, const char *name, const char *text);
void cli_add_json_metadata(struct buf *out, const UplinkCustomMetadata *custom);
/* Unix seconds as text; "-" for 0. */
void cli_add_time(struct buf *out, int64_t unix_seconds);
/* "now", "none" (0), "+2h", "-5m", RFC 3339: Unix seconds. */
enum err cli_parse_time(struct cli *cli, const char *what, const char *text, int64_t *ret) MUST_USE;

/* sj://bucket/key, a local path, or "-". */
struct location {
	enum { LOCATION_LOCAL, LOCATION_REMOTE, LOCATION_STD } kind;
	const char *path;   /* local */
	const char *bucket; /* remote */
	const char *key;    /* remote, "" for the bucket itself */
};
enum err location_parse(struct cli *cli, const char *text, struct location *ret) MUST_USE;
/* Requires sj://bucket (and a key when want_key). */
enum err location_parse_remote(struct cli *cli, const char *text, bool want_key,
			       struct location *ret) MUST_USE;
const char *location_text(struct cli *cli, const struct location *l);
/* Ends with '/' or has no key: something to put names into. */
bool location_is_folder(const struct location *l);
/* The last component of a key or path, "" if it ends with '/'. */
const char *location_base(const char *path);

/* Stored accesses: access.json (mode 0600) in the configuration directory, as uplink keeps it. */
enum err access_store_get(struct cli *cli, const char *name, const char **ret_grant) MUST_USE;
enum err access_store_put(struct cli *cli, const char *name, const char *grant, bool force,
			  bool use) MUST_USE;
enum err access_store_remove(struct cli *cli, const char *name) MUST_USE;
enum err access_store_use(struct cli *cli, const char *name) MUST_USE;
struct access_store_list {
	const char **names, **grants;
	size_t count;
	const char *used; /* NULL = none */
};
enum err access_store_list(struct cli *cli, struct access_store_list *ret) MUST_USE;

/* Progress of one or many files, drawn on standard error. */
struct progress;
struct progress *progress_new(struct cli *cli, const char *title, uint64_t bytes_total);
/* Adds transferred bytes (negative: takes them back); any thread. */
void progress_add(struct progress *p, int64_t bytes);
/* As progress_add, to a total. */
void progress_set(struct progress *p, int64_t bytes_done);
/* It counts keys, not bytes. */
void progress_count_keys(struct progress *p);
void progress_name(struct progress *p, const char *name);
/* Draws the last state and frees; NULL is fine. */
void progress_end(struct progress *p, bool done);

#define OPTION(text, field, letter, type, default_, doc)                                           \
	PARAM_NAMED(text, struct cli_options, field, letter, type, default_, doc)
#define OPTIONS_COMMON                                                                             \
	OPTION("access", access, 0, PARAM_STR, NULL,                                               \
	       "access grant, or the name of a stored one (else $ACRE_ACCESS, $UPLINK_ACCESS, "    \
	       "the default)"),                                                                    \
		OPTION("config-dir", config_dir, 0, PARAM_STR, NULL,                               \
		       "where accesses are stored (else $ACRE_CONFIG_DIR, ~/.config/acre)"),       \
		OPTION("output", output, 'o', PARAM_STR, "tab", "output format: tab or json"),     \
		OPTION("log-level", log_level, 0, PARAM_STR, "none",                               \
		       "debug, info, warn, error or none"),                                        \
		OPTION("help", help, 'h', PARAM_BOOL, NULL, "this text")

#endif
