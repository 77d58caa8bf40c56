/* Requests as clients make them, for tests of metainfo. */
#ifndef ACRE_SATELLITE_TEST_METAINFO_REQUESTS_H
#define ACRE_SATELLITE_TEST_METAINFO_REQUESTS_H

#include "satellite/test/metainfo_world.h"

/* Items of a batch. */
enum {
	I_GET_BUCKET = 2,
	I_BEGIN = 6,
	I_COMMIT = 7,
	I_GET = 8,
	I_LIST = 9,
	I_SEGMENT_BEGIN = 12,
	I_SEGMENT_COMMIT = 13,
	I_INLINE = 14,
	I_SEGMENT_DOWNLOAD = 18,
	I_DOWNLOAD = 23
};

struct remote {
	Metainfo__BeginObjectResponse *object;
	Metainfo__BeginSegmentResponse *segment;
};

ProtobufCBinaryData nonce(void);
ProtobufCBinaryData key48(void);
enum err create_bucket(struct world *w, const char *name);
Metainfo__BeginObjectRequest *begin_request(struct world *w, const char *bucket, const char *key);
Metainfo__MakeInlineSegmentRequest *inline_request(struct world *w, const char *data);
Metainfo__CommitObjectRequest *commit_request(struct world *w);
Metainfo__BatchRequestItem *batch_item(struct world *w, unsigned number, void *request);
enum err put_object(struct world *w, enum form form, const char *bucket, const char *key,
		    const char *data, Metainfo__BatchResponse **ret);
enum err get_object(struct world *w, const char *bucket, const char *key, Metainfo__Object **ret);
enum err download_object(struct world *w, const char *bucket, const char *key,
			 Metainfo__DownloadObjectResponse **ret);
enum err list_objects(struct world *w, const char *bucket, Metainfo__ListObjectsRequest *req,
		      Metainfo__ListObjectsResponse **ret);
enum err delete_object(struct world *w, const char *bucket, const char *key,
		       Metainfo__BeginDeleteObjectResponse **ret);
void set_versioning(struct world *w, const char *bucket, bool on);
struct remote begin_remote(struct world *w, const char *key);
Metainfo__CommitSegmentRequest *commit_remote(struct world *w, ProtobufCBinaryData id,
					      Metainfo__AddressedOrderLimit **limits, size_t count,
					      int64_t size);
enum err abort_upload(struct world *w, const char *key, ProtobufCBinaryData id);

#endif
