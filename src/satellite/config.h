/*
 * Settings of a satellite.  One table (config.c) gives flags, the config file and its comments.
 */
#ifndef ACRE_SATELLITE_CONFIG_H
#define ACRE_SATELLITE_CONFIG_H

#include "base/call.h"
#include "base/param.h"
#include "erasure/scheme.h"
#include "satellite/reputation.h"

/* Numbers of metainfo.md 3.4 and satellite.md that are no setting. */
enum {
	REPAIR_WORKERS_MAX = 16,
	AUDIT_WORKERS_MAX = 16,
	LIMIT_INLINE_CIPHER_BYTES = 4736,      /* 4096 with 128-byte blocks */
	LIMIT_SEGMENT_CIPHER_BYTES = 76695936, /* 64 MiB with 128-byte blocks */
	LIMIT_METADATA_BYTES = 2 << 10,	       /* metadata + ETag + checksum */
	LIMIT_METADATA_KEY_BYTES = 48,
	LIMIT_PARTS = 10000,
	LIMIT_LIST_PAGE = 1000,
	LIMIT_LIST_BUCKETS = 10000,
	LIMIT_DELETE_OBJECTS = 1000,
	LIMIT_COPY_SEGMENTS = 10000,
	LIMIT_BUCKET_NAME_MIN = 3,
	LIMIT_BUCKET_NAME_MAX = 63,
	LIMIT_SHARES_TOTAL = 255,
	LIMIT_PINGS = 64, /* at a time: a ping to nowhere takes its time-out, and a worker */
	LIMIT_SHARE_BYTES = 64 << 10,
};
#define LIMIT_COMMIT_INTERVAL_NS (INT64_C(48) * 3600 * 1000000000)
#define LIMIT_PIECE_HASH_AGE_NS (INT64_C(24) * 3600 * 1000000000)
#define ORDER_EXPIRATION_NS (INT64_C(24) * 3600 * 1000000000)
#define ZOMBIE_DEADLINE_NS (INT64_C(24) * 3600 * 1000000000)

struct audit_settings {
	int64_t interval; /* between drawings; 0 = with every pass over the segments */
	int64_t timeout;  /* of a share, at least */
	int64_t reverify_interval;
	uint64_t workers; /* segments audited at a time; 0 = no audits */
};

struct satellite_config {
	const char *dir; /* a flag only */
	const char *address;
	const char *external_address;
	const char *database; /* "sqlite:<dir>/satellite.db" by default */
	const char *log_level;
	const char *rs;
	const char *admin_address; /* empty: no API */
	int64_t slow_statement;	   /* 0 = not logged */
	bool development;

	/* metainfo */
	uint64_t max_segment_size; /* plain bytes the scheme is announced for */
	uint64_t max_inline_size;  /* plain; larger ones are remote */
	uint64_t max_key_length;   /* encrypted object key */
	uint64_t min_part_size;
	uint64_t max_buckets; /* per project */
	uint64_t rate;	      /* requests per second and project; 0 = no limit */
	uint64_t rate_burst;
	int64_t upload_interval; /* same object, BeginObject; 0 = no limit */
	uint64_t upload_burst;
	int64_t download_interval; /* same object, downloads and stats */
	uint64_t download_burst;
	uint64_t max_storage;	/* per project unless its row says otherwise; 0 = no limit */
	uint64_t max_bandwidth; /* per month */
	uint64_t max_segments;
	uint64_t storage_price;	     /* micro-dollars per TB and 720 hours, for spending limits */
	uint64_t egress_price;	     /* per TB */
	uint64_t max_limited_grants; /* per project; 0 = no end */
	bool checksums, bucket_tagging; /* false: answered as unsupported */

	/* nodes */
	uint64_t min_difficulty;
	bool distinct_networks;
	bool distinct_operators;
	double new_node_fraction;
	uint64_t upload_choices;
	bool allow_private_ips;
	uint64_t min_free_space;
	const char *geoip_db; /* empty: none */
	const char *tag_authorities;
	int64_t online_window;
	int64_t silence_window;	  /* never above online_window once the configuration is complete */
	int64_t checkin_interval; /* 0 = no limit */
	uint64_t checkin_burst;
	int64_t ping_timeout;
	uint64_t connections_max;
	uint64_t active_max;

	/* garbage collection */
	int64_t gc_interval; /* 0 = only when asked for */
	uint64_t gc_memory, gc_filter_max;
	uint64_t gc_false_percent;
	int64_t gc_margin;    /* pieces younger than the filter less this are kept */
	uint64_t gc_drop_max; /* percent of a node's pieces that may vanish between two counts */

	/* the books */
	int64_t bucket_tally_interval;
	uint64_t pay_storage;			    /* micro-dollars per TB and 720 hours */
	uint64_t pay_egress, pay_repair, pay_audit; /* per TB */
	const char *pay_held;			    /* percents, month by month */
	uint64_t pay_disposed;
	uint64_t exit_min_months;
	int64_t exit_duration;

	/* chores */
	int64_t segment_loop_interval; /* 0 = only when asked for */
	uint64_t segment_loop_share;   /* percent of the time */
	uint64_t repair_workers;       /* 0 = none in this process */
	int64_t repair_interval, repair_retry;
	uint64_t repair_rate; /* bytes a second each way; 0 = no limit */
	struct reputation_rules reputation;
	struct audit_settings audit;

	struct scheme redundancy; /* parsed from rs; no setting of its own */
};

extern const struct param satellite_params[];
extern const size_t satellite_params_count;

/* The parts of reading it, in this order: param_defaults; the development preset if the file or the
 * arguments ask for it; <dir>/config; the arguments; complete.  Strings live in `a`.  `set` may
 * have more settings, if struct satellite_config is the first member of its options. */
enum err satellite_config_development(struct call *call, struct arena *a, struct param_set set,
				      void *options) MUST_USE;
enum err satellite_config_read_file(struct call *call, struct arena *a, struct param_set set,
				    const char *dir, void *options) MUST_USE;
/* Checked, rs parsed, the database's default filled in. */
enum err satellite_config_complete(struct call *call, struct arena *a,
				   struct satellite_config *config, const char *dir) MUST_USE;
/* Checks what the table cannot, and parses rs. */
enum err satellite_config_check(struct call *call, struct satellite_config *config) MUST_USE;
static inline bool redundancy_offered(const struct scheme *s)
{
	return s->total <= LIMIT_SHARES_TOTAL && s->share_size <= LIMIT_SHARE_BYTES;
}
/* scheme_parse, of what is offered. */
enum err redundancy_parse(struct call *call, const char *text, struct scheme *ret) MUST_USE;

#endif
