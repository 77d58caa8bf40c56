/*
 * The opaque ids handed to clients: a message of proto/sat_ids.proto and a MAC over it with the
 * satellite's key, so nothing has to be kept (metainfo.md 3.2).  Stream ids do not expire, and the
 * same row gives the same bytes; segment ids are good for 48 hours.
 */
#ifndef ACRE_SATELLITE_STREAM_ID_H
#define ACRE_SATELLITE_STREAM_ID_H

#include "satellite/metainfo.h"
#include "satellite/orders.h"

enum { ID_MAC_BYTES = 32, STREAM_ID_MAX = 8 << 10, SEGMENT_ID_MAX = 64 << 10 };
#define SEGMENT_ID_LIFETIME_NS (48 * 3600 * NS_PER_SEC)

/* Memory from `a`. */
enum err stream_id_encode(struct call *call, struct arena *a, const struct secret_key *key,
			  const struct stream *s, struct bytes *ret) MUST_USE;
/* ERR_INVALID unless this satellite made it.  Views live in `a`. */
enum err stream_id_decode(struct call *call, struct arena *a, const struct secret_key *key,
			  struct bytes id, struct stream *ret) MUST_USE;

/* A segment between BeginSegment and CommitSegment.  nodes[i] is to store piece i. */
struct segment_ticket {
	struct stream stream;
	int32_t part, index;
	struct scheme redundancy;
	struct order_batch orders; /* its payer is filled by whoever makes limits */
	struct node_id *nodes;	   /* redundancy.total of them */
};
enum err segment_id_encode(struct call *call, struct arena *a, const struct secret_key *key,
			   const struct segment_ticket *t, struct bytes *ret) MUST_USE;
/* As stream_id_decode; also ERR_INVALID "segment ID expired". */
enum err segment_id_decode(struct call *call, struct arena *a, const struct secret_key *key,
			   struct bytes id, int64_t now_ns, struct segment_ticket *ret) MUST_USE;

#endif
