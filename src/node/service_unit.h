/* Built from packaging/acre-node.service. */
#ifndef ACRE_NODE_SERVICE_UNIT_H
#define ACRE_NODE_SERVICE_UNIT_H

#include <stddef.h>

extern const char service_unit[];
extern const size_t service_unit_len;

#endif
