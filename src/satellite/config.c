/* Settings: the table, the development preset, and what a table cannot check. */
#include "satellite/config.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "os/file.h"
#include "os/log.h"
#include "satellite/statement.h"

enum { CONFIG_BYTES_MAX = 256 << 10 };

/* A million dollars for a terabyte: what is reckoned with prices stays far from overflows. */
#define PRICE_MAX UINT64_C(1000000000000)

/* A number from least to most; most 0: no end. */
#define ENTRY_IN(name_, field, type_, text, least, most, doc_)                                     \
	{                                                                                          \
		.name = (name_), .type = (type_), .min = (least), .max = (most), .doc = (doc_),    \
		.offset = offsetof(struct satellite_config, field), .default_text = (text)         \
	}
#define ENTRY(name, field, type, text, doc) ENTRY_IN(name, field, type, text, 0, 0, doc)

const struct param satellite_params[] = {
	ENTRY("address", address, PARAM_STR, "127.0.0.1:7777",
	      "where it listens; loopback unless told otherwise, port 0 takes any free one"),
	ENTRY("external-address", external_address, PARAM_STR, "",
	      "host:port that nodes and clients are told; empty: the address it listens on"),
	ENTRY("database", database, PARAM_STR, "",
	      "sqlite:<path> (under its directory, unless it begins with /) or "
	      "postgres://user@host/name;\n"
	      "empty: satellite.db in its directory"),
	ENTRY("log-level", log_level, PARAM_STR, "info", "debug, info, warn, error or none"),
	ENTRY("development", development, PARAM_BOOL, "false",
	      "a network on one machine, for trying: the settings below that are meant for the "
	      "open\n"
	      "internet default to off (distinct networks, public addresses, difficulty, rates)"),
	ENTRY("admin-address", admin_address, PARAM_STR, "",
	      "where the local HTTP API and /metrics listen, such as :7778 (of loopback; without "
	      "TLS,\n"
	      "so think before you give another address); empty: nowhere"),
	ENTRY("slow-statement", slow_statement, PARAM_DURATION, "1s",
	      "statements to the database that take longer are logged, without what they are "
	      "about;\n"
	      "0s: none"),
	ENTRY("rs", rs, PARAM_STR, "29/35/80/110",
	      "erasure code k/m/o/n[-e]: k pieces give a segment back, it is repaired when only m "
	      "are\n"
	      "left, an upload is done with o, and n are started; e is the share size in bytes"),
	ENTRY_IN("segment-size", max_segment_size, PARAM_SIZE, "64MiB", 1, 64 * MIB,
		 "largest segment in plain bytes; smaller ones are for tests, real clients cut at "
		 "64 MiB"),
	ENTRY_IN("max-inline-size", max_inline_size, PARAM_SIZE, "4KiB", 0, 4 * KIB,
		 "segments up to this many plain bytes live in the database instead of on nodes"),
	ENTRY_IN("max-key-length", max_key_length, PARAM_SIZE, "4000", 1, MIB,
		 "longest encrypted object key in bytes"),
	ENTRY("min-part-size", min_part_size, PARAM_SIZE, "5MiB",
	      "smallest part of a multipart upload, the last one excepted"),
	ENTRY("max-buckets", max_buckets, PARAM_U64, "100", "buckets per project; 0: no limit"),
	ENTRY("rate", rate, PARAM_U64, "100", "requests per second and project; 0: no limit"),
	ENTRY("rate-burst", rate_burst, PARAM_U64, "100", "requests at once"),
	ENTRY("upload-interval", upload_interval, PARAM_DURATION, "1s",
	      "least time between uploads to one and the same key; 0s: no limit"),
	ENTRY("upload-burst", upload_burst, PARAM_U64, "3", "such uploads at once"),
	ENTRY("download-interval", download_interval, PARAM_DURATION, "1ms",
	      "least time between downloads of one and the same key; 0s: no limit"),
	ENTRY("download-burst", download_burst, PARAM_U64, "3", "such downloads at once"),
	ENTRY("max-storage", max_storage, PARAM_SIZE, "0",
	      "bytes a project may store; 0: no limit"),
	ENTRY("max-bandwidth", max_bandwidth, PARAM_SIZE, "0",
	      "bytes a project may download in a month; 0: no limit"),
	ENTRY("max-segments", max_segments, PARAM_U64, "0", "segments of a project; 0: no limit"),
	ENTRY_IN("storage-price", storage_price, PARAM_U64, "4000000", 0, PRICE_MAX,
		 "millionths of a dollar for a terabyte kept 720 hours; what spending limits count "
		 "by"),
	ENTRY_IN("egress-price", egress_price, PARAM_U64, "7000000", 0, PRICE_MAX,
		 "the same for a terabyte served"),
	ENTRY("max-limited-grants", max_limited_grants, PARAM_U64, "100000",
	      "grants with limits of their own that a project may use; 0: no end"),
	ENTRY("checksums", checksums, PARAM_BOOL, "true",
	      "clients may keep checksums with objects and segments"),
	ENTRY("bucket-tagging", bucket_tagging, PARAM_BOOL, "true", "buckets may have tags"),
	ENTRY_IN("min-difficulty", min_difficulty, PARAM_U64, "16", 0, NODE_ID_BYTES * 8,
		 "trailing zero bits a new node's ID must have; what makes a new identity cost "
		 "work"),
	ENTRY("distinct-networks", distinct_networks, PARAM_BOOL, "true",
	      "pieces of a segment go to distinct networks (/24, in IPv6 /64), not only to "
	      "distinct\n"
	      "nodes; with all nodes in one place turn it off, or uploads find one node only"),
	ENTRY("distinct-operators", distinct_operators, PARAM_BOOL, "false",
	      "and to distinct operators: nodes that name the same wallet (or email) count as one"),
	ENTRY("new-node-fraction", new_node_fraction, PARAM_REAL, "0.01",
	      "share of new pieces for nodes that are not vetted yet, while vetted ones suffice"),
	ENTRY_IN("upload-choices", upload_choices, PARAM_U64, "2", 0, 16,
		 "each node for an upload is the one of so many drawn ones that kept its pieces "
		 "best in the\n"
		 "last hour; 1: by chance alone"),
	ENTRY("allow-private-ips", allow_private_ips, PARAM_BOOL, "false",
	      "nodes may have addresses of private networks and loopback"),
	ENTRY("min-free-space", min_free_space, PARAM_SIZE, "5GB",
	      "nodes with less free space get no new pieces"),
	ENTRY("geoip-db", geoip_db, PARAM_STR, "",
	      "file in MaxMind's format that tells in which country a node's address is, such as\n"
	      "GeoLite2-Country.mmdb; without it nodes have no country, so placements with "
	      "countries\n"
	      "choose none; replace it by renaming a new one to its name"),
	ENTRY("tag-authorities", tag_authorities, PARAM_STR, "",
	      "files of certificates (identity.cert), separated by commas, of those whose signed "
	      "tags of\nnodes count besides this satellite's own; placements can ask for such "
	      "tags"),
	ENTRY("online-window", online_window, PARAM_DURATION, "4h",
	      "a node counts as online for so long after its last contact"),
	ENTRY("silence-window", silence_window, PARAM_DURATION, "0s",
	      "a node that was silent for so long is dead to repair: its pieces count as missing, "
	      "and it\n"
	      "gets no repaired ones; 0s: as the online window"),
	ENTRY("checkin-interval", checkin_interval, PARAM_DURATION, "10m",
	      "least time between check-ins of a node; 0s: no limit"),
	ENTRY("checkin-burst", checkin_burst, PARAM_U64, "2", "check-ins of a node at once"),
	ENTRY("ping-timeout", ping_timeout, PARAM_DURATION, "20s",
	      "how long the ping back to a node that checks in may take"),
	ENTRY_IN("connections-max", connections_max, PARAM_U64, "5000", 1, 1000000,
		 "open connections"),
	ENTRY_IN("active-max", active_max, PARAM_U64, "512", 1, 65536, "requests served at a time"),
	ENTRY("segment-loop-interval", segment_loop_interval, PARAM_DURATION, "2h",
	      "how often all segments are looked at, for repair and accounting; 0s: only when "
	      "asked for"),
	ENTRY_IN("segment-loop-share", segment_loop_share, PARAM_U64, "50", 1, 100,
		 "share of the time in percent that such a pass may take; the rest it rests"),
	ENTRY("gc-interval", gc_interval, PARAM_DURATION, "24h",
	      "how often nodes are told which pieces to keep, so that the others can go; 0s: only "
	      "when\n"
	      "asked for"),
	ENTRY_IN("gc-memory", gc_memory, PARAM_SIZE, "32MiB", MIB, 0,
		 "memory for the filters of a pass; with more nodes there are more passes"),
	ENTRY_IN("gc-filter-max", gc_filter_max, PARAM_SIZE, "16MiB", KIB, 0,
		 "largest filter of one node; smaller ones let more garbage stay"),
	ENTRY_IN("gc-false-percent", gc_false_percent, PARAM_U64, "10", 1, 90,
		 "share of the garbage that a filter takes for pieces in use"),
	ENTRY("gc-margin", gc_margin, PARAM_DURATION, "48h",
	      "pieces that came less than that before a filter was begun are kept: the longest an "
	      "upload\n"
	      "or a repair may take (nodes subtract as much or more again)"),
	ENTRY_IN("gc-drop-max", gc_drop_max, PARAM_U64, "50", 0, 100,
		 "a node's filter is held back when that many percent of its pieces are gone since "
		 "they were\n"
		 "counted"),
	ENTRY("bucket-tally-interval", bucket_tally_interval, PARAM_DURATION, "1h",
	      "how often it is counted what buckets hold"),
	ENTRY("pay-storage", pay_storage, PARAM_U64, "1497600",
	      "millionths of a dollar that nodes are owed for a terabyte kept 720 hours"),
	ENTRY("pay-egress", pay_egress, PARAM_U64, "20000000", "the same for a terabyte served"),
	ENTRY("pay-repair", pay_repair, PARAM_U64, "10000000",
	      "the same for a terabyte served for repair"),
	ENTRY("pay-audit", pay_audit, PARAM_U64, "10000000",
	      "the same for a terabyte served for audits"),
	ENTRY("pay-held", pay_held, PARAM_STR, "75,75,75,50,50,50,25,25,25,0,0,0,0,0,0",
	      "percent of it that is held back, month by month of a node's life"),
	ENTRY("pay-disposed", pay_disposed, PARAM_U64, "50",
	      "percent of what was held that is given back when these months are over; the rest "
	      "comes\n"
	      "with a graceful exit"),
	ENTRY("exit-min-months", exit_min_months, PARAM_U64, "6",
	      "months a node must be there before it may leave in grace"),
	ENTRY("exit-duration", exit_duration, PARAM_DURATION, "720h",
	      "how long a node that leaves must go on serving what it has"),
	ENTRY_IN("repair-workers", repair_workers, PARAM_U64, "2", 0, REPAIR_WORKERS_MAX,
		 "segments repaired at a time; 0: none by this process"),
	ENTRY("repair-interval", repair_interval, PARAM_DURATION, "5m",
	      "how often the queue is looked at, besides when a pass found something"),
	ENTRY("repair-retry", repair_retry, PARAM_DURATION, "1h",
	      "how long a segment waits that could not be repaired"),
	ENTRY("repair-rate", repair_rate, PARAM_SIZE, "0",
	      "bytes per second that repair may read, and write, of all nodes; 0: no limit"),
	ENTRY_IN("audit-workers", audit.workers, PARAM_U64, "2", 0, AUDIT_WORKERS_MAX,
		 "segments audited at a time; 0: no audits"),
	ENTRY("audit-interval", audit.interval, PARAM_DURATION, "2h",
	      "least time between drawings of segments to audit, three for each node"),
	ENTRY("audit-timeout", audit.timeout, PARAM_DURATION, "15s",
	      "how long a node may take for its answer in an audit"),
	ENTRY("reverify-interval", audit.reverify_interval, PARAM_DURATION, "6h",
	      "a node that gave none is asked for the whole piece, this often"),
	ENTRY("initial-alpha", reputation.initial_alpha, PARAM_REAL, "1000",
	      "a new node's audit score is alpha / (alpha + beta), and these are its beginning"),
	ENTRY("initial-beta", reputation.initial_beta, PARAM_REAL, "0", "see initial-alpha"),
	ENTRY("audit-lambda", reputation.lambda, PARAM_REAL, "0.999",
	      "how much an audit leaves of what was before: near 1 it takes many to change a "
	      "score"),
	ENTRY("audit-weight", reputation.weight, PARAM_REAL, "1", "what one audit adds"),
	ENTRY("audit-dq", reputation.dq_score, PARAM_REAL, "0.96",
	      "a node whose audit score falls to this is suspended, and disqualified if it stays "
	      "there"),
	ENTRY("audit-grace", reputation.audit_grace, PARAM_DURATION, "168h",
	      "how long such a node is suspended first, with the failed audits told to it; 0s: it "
	      "is\n"
	      "disqualified at once"),
	ENTRY("slow-fails", reputation.slow_fails, PARAM_BOOL, "false",
	      "a piece that timed out again and again counts as lost, not as an error that says "
	      "nothing"),
	ENTRY("unknown-audit-lambda", reputation.unknown_lambda, PARAM_REAL, "0.95",
	      "as audit-lambda, of answers that say nothing about the piece"),
	ENTRY("unknown-audit-dq", reputation.unknown_score, PARAM_REAL, "0.6",
	      "a node whose score of such answers falls to this is suspended until it rises"),
	ENTRY("suspension-dq", reputation.suspension_dq, PARAM_BOOL, "false",
	      "nodes suspended for that longer than suspension-grace are disqualified"),
	ENTRY("suspension-grace", reputation.suspension_grace, PARAM_DURATION, "168h",
	      "see suspension-dq"),
	ENTRY("vet-audits", reputation.vet_audits, PARAM_U64, "100",
	      "a new node gets few pieces until it had so many audits"),
	ENTRY("vet-age", reputation.vet_age, PARAM_DURATION, "504h",
	      "and so long after its first one"),
	ENTRY("offline-window", reputation.window, PARAM_DURATION, "12h",
	      "the online score is the mean, over windows of this length, of audits that found the "
	      "node"),
	ENTRY("offline-tracking", reputation.tracking, PARAM_DURATION, "720h",
	      "over how long it is taken; nobody is judged by less"),
	ENTRY("offline-threshold", reputation.offline_score, PARAM_REAL, "0.6",
	      "nodes with a lower online score are suspended until it rises"),
	ENTRY("offline-suspension", reputation.offline_suspension, PARAM_BOOL, "true",
	      "whether they are"),
	ENTRY("offline-grace", reputation.offline_grace, PARAM_DURATION, "168h",
	      "how long they have to mend it, before the offline-tracking that shows it"),
	ENTRY("offline-dq", reputation.offline_dq, PARAM_BOOL, "false",
	      "whether they are disqualified when it is still too low then"),
	ENTRY("stray", reputation.stray, PARAM_DURATION, "720h",
	      "nodes without contact for so long are disqualified; 0s: never"),
};
const size_t satellite_params_count = ARRAY_LEN(satellite_params);

/* What --development sets before file and flags are read, so that they still overrule it. */
static const struct {
	const char *name, *value;
} development[] = {
	{ "min-difficulty", "0" },
	{ "distinct-networks", "false" },
	{ "allow-private-ips", "true" },
	{ "min-free-space", "0" },
	{ "checkin-interval", "0s" },
	{ "rate", "0" },
	{ "upload-interval", "0s" },
	{ "download-interval", "0s" },
	{ "rs", "4/6/8/10" },
	{ "silence-window", "5s" },
	{ "segment-loop-interval", "2s" },
	{ "gc-interval", "60s" },
	{ "gc-margin", "10m" },
	{ "bucket-tally-interval", "60s" },
	{ "exit-min-months", "0" },
	{ "exit-duration", "60s" },
	{ "repair-interval", "2s" },
	{ "repair-retry", "2s" },
	{ "audit-interval", "1m" },
	{ "reverify-interval", "10m" },
	{ "vet-audits", "0" },
	{ "vet-age", "0s" },
	{ "offline-window", "5m" },
	{ "offline-tracking", "1h" },
	{ "offline-grace", "1h" },
	{ "suspension-grace", "1h" },
	{ "audit-grace", "1h" },
};

enum err satellite_config_development(struct call *call, struct arena *a, struct param_set set,
				      void *options)
{
	for (size_t i = 0; i < ARRAY_LEN(development); i++)
		TRY(param_set_one(call, a, set, options, bytes_str(development[i].name),
				  bytes_str(development[i].value)),
		    "development");
	return OK;
}

enum err redundancy_parse(struct call *call, const char *text, struct scheme *ret)
{
	struct scheme s;
	enum err e = scheme_parse(bytes_str(text), &s);

	if (e == ERR_FORMAT)
		return call_fail(call, ERR_CONFIG,
				 "rs: \"%s\" is not k/m/o/n, four numbers such as 4/6/8/10", text);
	if (e || !redundancy_offered(&s))
		return call_fail(
			call, ERR_CONFIG,
			"rs: \"%s\": want 1 <= k <= m <= o <= n <= %d, shares of at most %d "
			"bytes",
			text, LIMIT_SHARES_TOTAL, LIMIT_SHARE_BYTES);
	*ret = s;
	return OK;
}

enum err satellite_config_check(struct call *call, struct satellite_config *config)
{
	enum log_level level;
	struct pay_rules pay;

	TRY_PLAIN(redundancy_parse(call, config->rs, &config->redundancy));
	if (log_parse_level(config->log_level, &level))
		return call_fail(call, ERR_CONFIG,
				 "log-level: \"%s\" is not debug, info, warn, error or none",
				 config->log_level);
	if (!config->silence_window || config->silence_window > config->online_window)
		config->silence_window = config->online_window;
	if (!strrchr(config->address, ':'))
		return call_fail(call, ERR_CONFIG, "address: \"%s\" has no port (want host:port)",
				 config->address);
	if (config->admin_address[0] && !strrchr(config->admin_address, ':'))
		return call_fail(call, ERR_CONFIG,
				 "admin-address: \"%s\" has no port (want host:port)",
				 config->admin_address);
	if (config->external_address[0] && !text_is_address(bytes_str(config->external_address)))
		return call_fail(call, ERR_CONFIG,
				 "external-address: \"%s\" is not host:port, as others reach it",
				 config->external_address);
	if (!(config->new_node_fraction <= 1))
		return call_fail(call, ERR_CONFIG, "new-node-fraction: want at most 1");
	TRY_PLAIN(pay_rules_read(call, config, &pay));
	TRY_PLAIN(reputation_rules_check(call, &config->reputation));
	if (config->audit.timeout == 0 || config->audit.reverify_interval == 0)
		return call_fail(call, ERR_CONFIG,
				 "audit-timeout and reverify-interval must be longer than nothing");
	if (config->online_window == 0 || config->ping_timeout == 0)
		return call_fail(call, ERR_CONFIG,
				 "online-window and ping-timeout must be longer than nothing");
	return OK;
}

enum err satellite_config_read_file(struct call *call, struct arena *a, struct param_set set,
				    const char *dir, void *options)
{
	AUTO_BUF struct buf text = BUF_INIT(CONFIG_BYTES_MAX);
	const char *path = os_path_join(call, dir, "config");
	enum err e = os_file_read_all(call, path, &text);

	if (e == ERR_NOT_FOUND)
		return call_fail(
			call, ERR_CONFIG,
			"%s does not exist: make a satellite there with \"acre-satellite setup "
			"--dir %s\"",
			path, dir);
	TRY_PLAIN(e);
	TRY(param_read_config(call, a, set, options, buf_bytes(&text)), "%s", path);
	return OK;
}

enum err satellite_config_complete(struct call *call, struct arena *a,
				   struct satellite_config *config, const char *dir)
{
	const char *path = config->database;

	config->dir = dir;
	TRY_PLAIN(satellite_config_check(call, config));
	if (strncmp(path, "sqlite:", strlen("sqlite:")) == 0)
		path += strlen("sqlite:");
	if (path[0] == '/' || strstr(path, "://"))
		return OK;
	/* Relative ones stay with the satellite, wherever it is started. */
	config->database = arena_printf(a, "sqlite:%s/%s", dir, path[0] ? path : "satellite.db");
	if (!config->database)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	return OK;
}
