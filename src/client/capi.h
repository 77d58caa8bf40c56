/* Private to the C API's files: arguments in, results out. */
#ifndef ACRE_CLIENT_CAPI_H
#define ACRE_CLIENT_CAPI_H

#include "client/bucket.h"
#include "client/handle.h"
#include "client/object.h"
#include "client/outcome.h"
#include "client/project.h"

/* A reference, to be put back; NULL with *error set when the handle is NULL or not one of these. */
void *capi_use(const void *handle, enum handle_type type, const char *what, UplinkError **error);
/* The same where there is no error to give. */
void *capi_peek(const void *handle, enum handle_type type);
/* The project, and the call readied for an operation of it. */
struct project *capi_project(const void *handle, struct call *call, UplinkError **error);
/* False, and *error set, when any of the arguments (name, pointer, ..., NULL) is NULL. */
bool capi_given(UplinkError **error, const char *name, const void *pointer, ...)
	__attribute__((sentinel));

/* For AUTO: gives the reference back. */
void capi_put(void *p);

/* Copies for the caller; NULL without memory. */
char *capi_string(struct bytes v);
UplinkBucket *capi_bucket(const struct bucket *b);
UplinkObject *capi_object(const struct object *o);
bool capi_custom(const struct metadata *m, UplinkCustomMetadata *ret);
void capi_free_custom(UplinkCustomMetadata *custom);
/* An upload, with its stream ID as upload ID. */
UplinkUploadInfo *capi_upload_info(const struct object *o);
UplinkPart *capi_part(uint32_t number, uint64_t size, int64_t modified_ns, struct bytes etag);
UplinkSystemMetadata capi_system(const struct object *o);

/* Entries as views, in the call's scratch. */
enum err capi_entries(struct call *call, const UplinkCustomMetadata *custom,
		      struct meta_entry **ret, size_t *ret_count) MUST_USE;
int64_t capi_seconds_to_ns(int64_t seconds);
int64_t capi_ns_to_seconds(int64_t ns);
/* The failure that stands for "no memory for the result", unless there is one already. */
UplinkError *capi_no_memory(UplinkError *error);

#endif
