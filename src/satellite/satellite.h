/*
 * The satellite: what every service of it shares.  Handlers get a struct satellite as `service`.
 * endpoint_*.c decode, authorise and answer; <noun>.c decides; store_*.c and SQL touch the
 * database.
 */
#ifndef ACRE_SATELLITE_SATELLITE_H
#define ACRE_SATELLITE_SATELLITE_H

#include <stdatomic.h>

#include "base/call.h"
#include "crypto/secret.h"
#include "db/db.h"
#include "identity/identity.h"
#include "net/net.h"
#include "os/lock.h"
#include "rpc/rpc.h"
#include "satellite/config.h"

struct overlay;	  /* overlay.h: the nodes, in memory */
struct key_cache; /* auth.h: API keys, projects, revocations */
struct rate_limiter;
struct tally;	       /* tally.h */
struct gc;	       /* gc.h */
struct chores;	       /* chore.h */
struct segment_loop;   /* segment_loop.h */
struct config_version; /* reload.c */
struct repair;	       /* repair.h */
struct audit;	       /* audit.c */
struct geoip;	       /* geoip.h */
struct tag_authorities;
struct amnesty;	 /* amnesty.h */
struct metrics;	 /* metrics.h */
struct metainfo; /* endpoint_metainfo.c: node numbers, same-object rates, project usage */

struct satellite {
	struct satellite_config config; /* as it was opened; never changes */
	/* What holds now (reload.h); NULL: config. */
	const struct satellite_config *_Atomic live;
	struct config_version *versions;
	struct os_mutex reload_lock;
	struct identity *identity;
	struct node_id id;
	struct net_tls *tls;
	struct db *db;
	struct geoip *geoip;		     /* NULL without geoip-db: countries are not known */
	struct tag_authorities *authorities; /* node_tags.h */
	struct overlay *overlay;
	struct key_cache *keys;
	_Atomic unsigned pings;		    /* under way */
	struct rate_limiter *checkin_rates; /* per node */
	struct rate_limiter *project_rates; /* per project and kind of request */
	struct metainfo *metainfo;
	struct metrics *metrics;
	struct chores *chores;	   /* NULL until satellite_make_chores */
	struct segment_loop *loop; /* the same */
	struct tally *tally;	   /* the same */
	struct gc *gc;		   /* the same */
	struct repair *repair;	   /* the same */
	struct audit *audit;	   /* the same */
	struct amnesty *amnesty;   /* the same */
	/* Secrets of this satellite, made at setup and kept in its database. */
	struct secret_key id_key;    /* MAC of stream and segment IDs (metainfo.md 3.2) */
	struct secret_key order_key; /* encrypted metadata in order limits (orders.md 7) */
	uint8_t order_key_id[8];
};

/* The settings that hold now. */
static inline const struct satellite_config *satellite_live(const struct satellite *sat)
{
	const struct satellite_config *live = atomic_load_explicit(&sat->live,
								   memory_order_acquire);

	return live ? live : &sat->config;
}

/* Opens identity, database (migrated), overlay and caches; no socket yet.  config is copied, its
 * strings are borrowed. */
enum err satellite_open(struct call *call, const struct satellite_config *config,
			struct satellite **ret) MUST_USE;
void satellite_close(struct satellite *sat);
/* Puts the chores and observers of all services together (chore.h, segment_loop.h); start does that
 * and starts them.  They end with satellite_close, or before.  Who only looks at a database leaves
 * them out. */
enum err satellite_make_chores(struct call *call, struct satellite *sat) MUST_USE;
enum err satellite_start_chores(struct call *call, struct satellite *sat) MUST_USE;
void satellite_stop_chores(struct satellite *sat);
/* What our own database or a bug has to say is for our log, not for the peer: logs it under
 * `message`, with whose or which it is about, and fails with the text for the peer, Unavailable or
 * Internal.  Both have the request's number. */
enum err satellite_trouble(struct call *call, enum err e, const char *message, const char *of,
			   const char *text) MUST_USE;
/* The part of it that metainfo needs: sat->metainfo, once the database is open and migrated; a
 * chore thread that removes what expired.  Called by satellite_open and satellite_close. */
enum err metainfo_open(struct call *call, struct satellite *sat) MUST_USE;
void metainfo_close(struct satellite *sat);

/* The methods it serves: arrays of contact, orders and metainfo in one. */
extern const struct rpc_method contact_methods[];
extern const size_t contact_methods_count;
extern const struct rpc_method orders_methods[];
extern const size_t orders_methods_count;
extern const struct rpc_method payout_methods[]; /* heldamount, parts of nodestats */
extern const size_t payout_methods_count;
extern const struct rpc_method exit_methods[]; /* gracefulexit */
extern const size_t exit_methods_count;
extern const struct rpc_method node_service_methods[]; /* GetStats, audits */
extern const size_t node_service_methods_count;
extern const struct rpc_method metainfo_methods[];
extern const size_t metainfo_methods_count;
/* All of them; freed with free(). */
enum err satellite_methods(struct call *call, struct rpc_method **ret, size_t *ret_count) MUST_USE;

/* The schema, one append-only list for all services (migrations.c). */
extern const struct db_migration satellite_migrations[];
extern const size_t satellite_migrations_count;

#endif
