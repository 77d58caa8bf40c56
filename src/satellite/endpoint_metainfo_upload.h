/* Shared by the files that serve uploads. */
#ifndef ACRE_SATELLITE_ENDPOINT_METAINFO_UPLOAD_H
#define ACRE_SATELLITE_ENDPOINT_METAINFO_UPLOAD_H

#include "base/wire.h"
#include "satellite/endpoint_metainfo.h"

/* Room for that much more in the project. */
enum err metainfo_check_upload(struct call *call, struct mcall *mc, int64_t bytes,
			       int64_t segments) MUST_USE;
/* Not empty, not too long. */
enum err check_object_key(struct call *call, const struct mcall *mc, struct bytes key) MUST_USE;
/* What a segment row keeps: key, nonce, ETag. */
enum err check_segment_key(struct call *call, ProtobufCBinaryData key, ProtobufCBinaryData nonce,
			   ProtobufCBinaryData etag) MUST_USE;
int64_t likely_offset(const struct mcall *mc, int64_t position);
/* Key and nonce of an object's data; very old clients kept them inside the metadata (field 4 of
 * StreamMeta). */
void metadata_key(const struct user_data *d, struct bytes *ret_key, struct bytes *ret_nonce);
enum err read_if_none_match(struct call *call, char *const *list, size_t count, bool *ret) MUST_USE;

#endif
