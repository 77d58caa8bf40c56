/*
 * Limits in bytes a second on what a node or a process receives (pieces taken) and sends (pieces
 * served), by the hours of the day.  Kept by back-pressure: who is not yet to send or to read
 * waits, and the kernel makes the peer wait.  Audits never wait, since who answers them late fails
 * them. Thread safe.
 */
#ifndef ACRE_NODE_TRAFFIC_H
#define ACRE_NODE_TRAFFIC_H

#include "base/call.h"

enum traffic_way { TRAFFIC_RECEIVE, TRAFFIC_SEND, TRAFFIC_WAYS };

struct traffic;

/* What it counts, `whole` (borrowed; NULL is fine) counts, too: a node's bytes are its process's.
 */
enum err traffic_new(struct call *call, struct traffic *whole, struct traffic **ret) MUST_USE;
void traffic_free(struct traffic *t); /* NULL is fine */
/* Limits as text: "" or 0 = none, "20MB", "20MB, 8-18=2MB, 12-13=0": the last that fits the minute
 * counts.  ERR_CONFIG, and nothing changes. */
enum err traffic_set(struct call *call, struct traffic *t, const char *receive,
		     const char *send) MUST_USE;

/* t may be NULL: no limit.  Waits until n bytes may go. */
enum err traffic_wait(struct call *call, struct traffic *t, enum traffic_way way,
		      uint64_t n) MUST_USE;
/* n bytes go at once, and count. */
void traffic_charge(struct traffic *t, enum traffic_way way, uint64_t n);
/* At most so many at a time. */
uint64_t traffic_step(struct traffic *t, enum traffic_way way);
/* Who begins now would wait too long to be of use. */
bool traffic_congested(struct traffic *t, enum traffic_way way);

/* What a text says of a minute of the day, in bytes a second; 0 = no limit.  ERR_CONFIG. */
enum err traffic_rate_at(struct call *call, const char *text, unsigned minute,
			 uint64_t *ret) MUST_USE;

#endif
