/*
 * An open project: a grant, an identity for this process, connections to its satellite and to
 * nodes. Used by any number of threads.
 */
#ifndef ACRE_CLIENT_PROJECT_H
#define ACRE_CLIENT_PROJECT_H

#include "access/content.h"
#include "access/grant.h"
#include "client/access.h"
#include "client/outcome.h"
#include "identity/identity.h"
#include "net/net.h"
#include "os/cancel.h"
#include "rpc/rpc.h"
#include "transfer/fanout.h"

enum {
	PROJECT_PARALLELISM_MAX = 16,
	PROJECT_SEGMENT_MIN = 8 << 10,
};

struct AcreCancel {
	struct os_cancel cancel;
	int pid; /* of the process it is good in: a forked child shares its descriptor */
};

/* What only talks to a satellite: a project, or the asking for a new grant. */
struct satellite {
	struct arena arena;
	const char *address;
	struct node_id id;
	struct bytes api_key; /* binary macaroon; a secret */
	struct bytes user_agent;
	struct identity *identity;
	struct net_tls *tls;
	struct fanout *fanout;
	struct os_cancel *cancel; /* of the caller's configuration; NULL = none */
	int64_t call_ns;
};

/* The node URL must name the satellite's ID.  api_key is copied. */
enum err satellite_init(struct call *call, const AcreConfig *config, const char *node_url,
			const struct macaroon *api_key, struct satellite *ret) MUST_USE;
void satellite_fini(struct satellite *s);

/* Something that runs in the project and ends with it. */
struct project_child {
	struct os_cancel cancel;
	struct project_child *next, **prev;
	struct project *project; /* a reference */
	struct project *limited; /* NULL, or the limited project whose place this is */
};

struct project {
	struct handled handled;
	struct satellite satellite;
	struct grant grant; /* lives in satellite.arena */
	uint64_t segment_size;
	unsigned parallelism; /* 0 = as it pays */
	int64_t stall_ns;
	char *temp_dir;
	int64_t deadline_ns;	 /* of a limited project */
	struct os_cancel cancel; /* parent is the configuration's; set when the project is closed */
	bool cancel_made;
	struct os_mutex lock; /* guards children and closed */
	bool closed;
	struct project_child *children;
	/* A limited project's place in its base; its cancel stands for the one above.  What has
	 * pointers above belongs to the base. */
	struct project_child own;
};

enum err project_open(struct call *call, const AcreConfig *config, struct access *access,
		      struct project **ret) MUST_USE;
/* The same project with the same connections once more, whose calls and transfers end after
 * timeout_ns at latest (0 = no limit), with ERR_DEADLINE, and all together when this one is closed.
 */
enum err project_limit(struct call *call, struct project *base, int64_t timeout_ns,
		       struct project **ret) MUST_USE;
/* Cancels all that runs. */
void project_close(struct project *p);
/* Readies a call for one operation of the project: cancelled when the project closes. */
void project_call(struct project *p, struct call *call);
/* The same for one of a transfer. */
void project_child_call(struct project_child *child, struct call *call);
/* Links a transfer to the project: its cancel object's parent is the transfer's own AcreCancel,
 * else the configuration's.  ERR_CANCELED when the project is closed. */
enum err project_adopt(struct call *call, struct project *p, AcreCancel *cancel,
		       struct project_child *child) MUST_USE;
void project_disown(struct project_child *child);

/* Names that cannot be, before anything is asked (UPLINK_ERROR_BUCKET_NAME_INVALID,
 * ..._KEY_INVALID). */
enum err check_bucket(struct call *call, struct bytes bucket) MUST_USE;
enum err check_key(struct call *call, struct bytes bucket, struct bytes key) MUST_USE;
/* The encrypted object key; a grant without a key for it is UPLINK_ERROR_PERMISSION_DENIED. */
enum err encrypt_key(struct call *call, const struct project *p, struct bytes bucket,
		     struct bytes key, struct arena *a, struct bytes *ret) MUST_USE;
/* The key that wraps an object's keys (encryption.md 3.2). */
enum err object_content_key(struct call *call, const struct project *p, struct bytes bucket,
			    struct bytes key, struct secret_key *ret) MUST_USE;

#endif
