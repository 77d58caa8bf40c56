/*
 * Where the list of trusted satellites comes from: node URLs, files with one on each line, and
 * names of lists.  Nothing is fetched: a list that Storj's node loads from Storj's site stands for
 * the satellites that it had when this program was made.
 */
#ifndef ACRE_NODE_TRUST_SOURCES_H
#define ACRE_NODE_TRUST_SOURCES_H

#include "base/call.h"
#include "base/param.h"

/* Replaces sources (each may be several with commas) by node URLs, without those that an exclusion
 * (node ID, host, or node URL) names, and without repetitions of an ID. */
enum err trust_sources_resolve(struct call *call, struct arena *a, const struct param_list *exclude,
			       struct param_list *list) MUST_USE;

#endif
