/* A renter of a simulated network, for tests: what goes wrong fails the test. */
#ifndef ACRE_SIM_TEST_RENTER_H
#define ACRE_SIM_TEST_RENTER_H

#include <stddef.h>
#include <stdint.h>

#define UPLINK_DISABLE_NAMESPACE_COMPAT
#include "acre.h"
#include "sim/network.h"

enum {
	RENTER_SEGMENT_BYTES = 256 << 10,
	RENTER_OBJECT_MAX = 1 << 20, /* that can be read */
};

struct renter {
	UplinkAccess *access;
	UplinkProject *project;
};

/* With a bucket, "bucket", that all objects are in. */
struct renter renter_open(const struct sim_net *net);
void renter_close(struct renter *r);
void renter_put(const struct renter *r, const char *key, const uint8_t *data, size_t len);
/* The object must be `want`. */
void renter_get(const struct renter *r, const char *key, const uint8_t *want, size_t len);

#endif
