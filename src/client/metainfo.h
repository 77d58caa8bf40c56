/* Questions to the satellite: unary calls and batches (metainfo.md 2, 3.3). */
#ifndef ACRE_CLIENT_METAINFO_H
#define ACRE_CLIENT_METAINFO_H

#include "client/project.h"
#include "proto/metainfo.pb-c.h"

enum { METAINFO_BATCH_MAX = 64, METAINFO_LIST_MAX = 1000 };

/* A question that may be asked again without harm also when its answer got lost. */
enum metainfo_retry { METAINFO_ONCE, METAINFO_IDEMPOTENT };

/* Calls "/metainfo.Metainfo/<method>".  The header is put into the request, which has it in the
 * field given by its address.  The reply (T **) lives in `a`.  Satellite errors keep text and
 * status; transport errors name the satellite. */
enum err metainfo_ask(struct call *call, struct satellite *s, const char *method,
		      ProtobufCMessage *request, Metainfo__RequestHeader **header,
		      enum metainfo_retry retry, struct arena *a,
		      const ProtobufCMessageDescriptor *type, void *ret_reply) MUST_USE;
/* All items in one CompressedBatch; as many answers, each of the item's kind, or an error. */
enum err metainfo_send_batch(struct call *call, struct satellite *s,
			     Metainfo__BatchRequestItem *const items[], size_t count,
			     enum metainfo_retry retry, struct arena *a,
			     Metainfo__BatchResponseItem ***ret_answers) MUST_USE;

/* Bounds what follows by the satellite's time limit; returns the deadline to put back. */
int64_t metainfo_limit(struct call *call, const struct satellite *s);

#endif
