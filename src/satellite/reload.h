/*
 * Settings that change while it serves.  sat->config is what it was opened with and never changes;
 * satellite_live is what holds now.  Whoever reads more than one setting that must fit together
 * takes the pointer once: what it points to lives as long as the satellite.
 */
#ifndef ACRE_SATELLITE_RELOAD_H
#define ACRE_SATELLITE_RELOAD_H

#include "satellite/satellite.h"

enum { RELOAD_NAMES_MAX = 256 };

struct reload_report {
	const char *changed[RELOAD_NAMES_MAX]; /* settings that hold now; names are static */
	size_t changed_count;
	const char *restart[RELOAD_NAMES_MAX]; /* that differ, and will with the next start */
	size_t restart_count;
};

/* Takes over what of `fresh` may change (complete settings, borrowed).  Requests that run go on
 * with what they have; what is cached of projects and keys is forgotten. */
enum err satellite_reload(struct call *call, struct satellite *sat,
			  const struct satellite_config *fresh, struct reload_report *ret) MUST_USE;
/* Frees what it replaced. */
void satellite_reload_free(struct satellite *sat);

#endif
