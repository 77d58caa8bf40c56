/*
 * libacre: the client library's C API, source compatible with storj/uplink-c.
 *
 * Ownership: what a function returns belongs to the caller, who frees the whole result (or the
 * single struct) with the uplink_free_* function of its type; NULL is fine there.  What is passed
 * in stays the caller's.  A result has either its value or an error; a few calls that say so give
 * both.  Handles may be used by several threads at once, except that one upload, part upload or
 * download is written, read or ended by one thread at a time.
 *
 * After fork() the child has none of the parent's handles: calls with them answer
 * UPLINK_ERROR_INVALID_HANDLE, freeing them frees only the structs, and the parent notices nothing.
 * The child makes handles of its own.
 *
 * Times are Unix seconds, 0 for "none".  Names and keys are zero-terminated UTF-8 by custom; any
 * bytes but zero are kept as they are.  The library never prints, exits or raises a signal.
 *
 * What goes beyond uplink-c is in acre.h.
 */
#ifndef ACRE_UPLINK_H
#define ACRE_UPLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h> /* EOF, the code of a download that is at its end */
#include <stdlib.h>

#include "uplink_compat.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define UPLINK_API __attribute__((visibility("default")))
#else
#define UPLINK_API
#endif

typedef const char uplink_const_char;

/* ---- handles ---- */

typedef struct UplinkHandle {
	size_t _handle;
} UplinkHandle;

typedef struct UplinkAccess {
	size_t _handle;
} UplinkAccess;

typedef struct UplinkProject {
	size_t _handle;
} UplinkProject;

typedef struct UplinkDownload {
	size_t _handle;
} UplinkDownload;

typedef struct UplinkUpload {
	size_t _handle;
} UplinkUpload;

typedef struct UplinkEncryptionKey {
	size_t _handle;
} UplinkEncryptionKey;

typedef struct UplinkPartUpload {
	size_t _handle;
} UplinkPartUpload;

typedef struct UplinkObjectIterator {
	size_t _handle;
} UplinkObjectIterator;

typedef struct UplinkBucketIterator {
	size_t _handle;
} UplinkBucketIterator;

typedef struct UplinkUploadIterator {
	size_t _handle;
} UplinkUploadIterator;

typedef struct UplinkPartIterator {
	size_t _handle;
} UplinkPartIterator;

/* ---- values ---- */

typedef struct UplinkConfig {
	const char *user_agent;

	int32_t dial_timeout_milliseconds; /* 0 = 10 s */

	/* Where an upload may keep encrypted data it may have to send again; NULL or "" = the
	 * system's place, "inmemory" = memory only. */
	const char *temp_directory;
} UplinkConfig;

typedef struct UplinkBucket {
	char *name;
	int64_t created;
} UplinkBucket;

typedef struct UplinkSystemMetadata {
	int64_t created;
	int64_t expires;
	int64_t content_length;
} UplinkSystemMetadata;

typedef struct UplinkCustomMetadataEntry {
	char *key;
	size_t key_length;

	char *value;
	size_t value_length;
} UplinkCustomMetadataEntry;

typedef struct UplinkCustomMetadata {
	UplinkCustomMetadataEntry *entries; /* returned ones are sorted by key */
	size_t count;
} UplinkCustomMetadata;

typedef struct UplinkObject {
	char *key;
	bool is_prefix;
	UplinkSystemMetadata system;
	UplinkCustomMetadata custom;
} UplinkObject;

typedef struct UplinkUploadOptions {
	int64_t expires; /* 0 or negative = never */
} UplinkUploadOptions;

typedef struct UplinkDownloadOptions {
	/* Negative: that many bytes from the end; length must then be negative. */
	int64_t offset;
	int64_t length; /* negative = to the end */
} UplinkDownloadOptions;

typedef struct UplinkListObjectsOptions {
	const char *prefix; /* "" or ends with '/' */
	const char *cursor; /* relative to prefix; listing begins behind it */
	bool recursive;

	bool system; /* fill UplinkObject.system, .custom */
	bool custom;
} UplinkListObjectsOptions;

typedef struct UplinkListUploadsOptions {
	const char *prefix;
	const char *cursor;
	bool recursive;

	bool system;
	bool custom;
} UplinkListUploadsOptions;

typedef struct UplinkListBucketsOptions {
	const char *cursor;
} UplinkListBucketsOptions;

typedef struct UplinkPermission {
	bool allow_download;
	bool allow_upload;
	bool allow_list;
	bool allow_delete;

	int64_t not_before; /* Unix seconds; 0 = no limit */
	int64_t not_after;
} UplinkPermission;

typedef struct UplinkPart {
	uint32_t part_number;
	size_t size; /* plain bytes */
	int64_t modified;
	char *etag;
	size_t etag_length;
} UplinkPart;

typedef struct UplinkSharePrefix {
	const char *bucket;
	const char *prefix; /* of the shared object keys */
} UplinkSharePrefix;

typedef struct UplinkError {
	int32_t code;  /* UPLINK_ERROR_*, EDGE_ERROR_*, or EOF */
	char *message; /* what failed, with which thing, and what helps; NULL for EOF */
} UplinkError;

#define UPLINK_ERROR_INTERNAL 0x02
#define UPLINK_ERROR_CANCELED 0x03
#define UPLINK_ERROR_INVALID_HANDLE 0x04
#define UPLINK_ERROR_TOO_MANY_REQUESTS 0x05
#define UPLINK_ERROR_BANDWIDTH_LIMIT_EXCEEDED 0x06
#define UPLINK_ERROR_STORAGE_LIMIT_EXCEEDED 0x07
#define UPLINK_ERROR_SEGMENTS_LIMIT_EXCEEDED 0x08
#define UPLINK_ERROR_PERMISSION_DENIED 0x09

#define UPLINK_ERROR_BUCKET_NAME_INVALID 0x10
#define UPLINK_ERROR_BUCKET_ALREADY_EXISTS 0x11
#define UPLINK_ERROR_BUCKET_NOT_EMPTY 0x12
#define UPLINK_ERROR_BUCKET_NOT_FOUND 0x13

#define UPLINK_ERROR_OBJECT_KEY_INVALID 0x20
#define UPLINK_ERROR_OBJECT_NOT_FOUND 0x21
#define UPLINK_ERROR_UPLOAD_DONE 0x22

#define EDGE_ERROR_AUTH_DIAL_FAILED 0x30
#define EDGE_ERROR_REGISTER_ACCESS_FAILED 0x31

/* ---- results ---- */

typedef struct UplinkAccessResult {
	UplinkAccess *access;
	UplinkError *error;
} UplinkAccessResult;

typedef struct UplinkProjectResult {
	UplinkProject *project;
	UplinkError *error;
} UplinkProjectResult;

typedef struct UplinkBucketResult {
	UplinkBucket *bucket;
	UplinkError *error;
} UplinkBucketResult;

typedef struct UplinkObjectResult {
	UplinkObject *object;
	UplinkError *error;
} UplinkObjectResult;

typedef struct UplinkUploadResult {
	UplinkUpload *upload;
	UplinkError *error;
} UplinkUploadResult;

typedef struct UplinkPartUploadResult {
	UplinkPartUpload *part_upload;
	UplinkError *error;
} UplinkPartUploadResult;

typedef struct UplinkDownloadResult {
	UplinkDownload *download;
	UplinkError *error;
} UplinkDownloadResult;

typedef struct UplinkWriteResult {
	size_t bytes_written;
	UplinkError *error;
} UplinkWriteResult;

typedef struct UplinkReadResult {
	size_t bytes_read;
	UplinkError *error;
} UplinkReadResult;

typedef struct UplinkStringResult {
	char *string;
	UplinkError *error;
} UplinkStringResult;

typedef struct UplinkEncryptionKeyResult {
	UplinkEncryptionKey *encryption_key;
	UplinkError *error;
} UplinkEncryptionKeyResult;

typedef struct UplinkUploadInfo {
	char *upload_id;

	char *key;
	bool is_prefix;
	UplinkSystemMetadata system;
	UplinkCustomMetadata custom;
} UplinkUploadInfo;

typedef struct UplinkUploadInfoResult {
	UplinkUploadInfo *info;
	UplinkError *error;
} UplinkUploadInfoResult;

typedef struct UplinkCommitUploadOptions {
	UplinkCustomMetadata custom_metadata;
} UplinkCommitUploadOptions;

typedef struct UplinkCommitUploadResult {
	UplinkObject *object;
	UplinkError *error;
} UplinkCommitUploadResult;

typedef struct UplinkPartResult {
	UplinkPart *part;
	UplinkError *error;
} UplinkPartResult;

typedef struct UplinkListUploadPartsOptions {
	uint32_t cursor; /* listing begins behind this part number */
} UplinkListUploadPartsOptions;

/* How to reach an edge service's auth service. */
typedef struct EdgeConfig {
	const char *auth_service_address; /* "host:port", DRPC */
	const char *certificate_pem;	  /* roots to trust instead of the system's */
	bool insecure_unencrypted_connection;
} EdgeConfig;

typedef struct EdgeRegisterAccessOptions {
	bool is_public; /* readable with the access key ID alone */
} EdgeRegisterAccessOptions;

/* S3 credentials. */
typedef struct EdgeCredentials {
	const char *access_key_id; /* also part of the link sharing path */
	const char *secret_key;
	const char *endpoint; /* base URL of the S3 gateway */
} EdgeCredentials;

typedef struct EdgeCredentialsResult {
	EdgeCredentials *credentials;
	UplinkError *error;
} EdgeCredentialsResult;

typedef struct EdgeShareURLOptions {
	bool raw; /* the file itself instead of a page about it */
} EdgeShareURLOptions;

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#endif
typedef struct UplinkMoveObjectOptions {
} UplinkMoveObjectOptions;

typedef struct UplinkUploadObjectMetadataOptions {
} UplinkUploadObjectMetadataOptions;

typedef struct UplinkCopyObjectOptions {
} UplinkCopyObjectOptions;
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/* ---- access grants ---- */

/* Parses an access grant as uplink_access_serialize writes it.  No network is used. */
UPLINK_API UplinkAccessResult uplink_parse_access(uplink_const_char *access_string);
/* Asks the satellite ("id@host:port") for the project's salt and derives the root key from the
 * passphrase. */
UPLINK_API UplinkAccessResult
uplink_request_access_with_passphrase(uplink_const_char *satellite_address,
				      uplink_const_char *api_key, uplink_const_char *passphrase);
/* As uplink_request_access_with_passphrase, with settings. */
UPLINK_API UplinkAccessResult uplink_config_request_access_with_passphrase(
	UplinkConfig config, uplink_const_char *satellite_address, uplink_const_char *api_key,
	uplink_const_char *passphrase);
/* The grant's satellite, "id@host:port". */
UPLINK_API UplinkStringResult uplink_access_satellite_address(UplinkAccess *access);
/* The grant as text, for uplink_parse_access.  It is a secret. */
UPLINK_API UplinkStringResult uplink_access_serialize(UplinkAccess *access);
/* A grant that can do at most what permission says, and only under the prefixes if there are any.
 */
UPLINK_API UplinkAccessResult uplink_access_share(UplinkAccess *access, UplinkPermission permission,
						  UplinkSharePrefix *prefixes,
						  long long prefixes_count);
/* Keys under the prefix (ends with '/') are encrypted with that key from now on. */
UPLINK_API UplinkError *uplink_access_override_encryption_key(UplinkAccess *access,
							      uplink_const_char *bucket,
							      uplink_const_char *prefix,
							      UplinkEncryptionKey *encryption_key);
/* Frees a result and the text in it. */
UPLINK_API void uplink_free_string_result(UplinkStringResult result);
/* Frees a result and ends the grant's handle; what was opened with it goes on. */
UPLINK_API void uplink_free_access_result(UplinkAccessResult result);

/* Derives a key from a passphrase and a salt of any bytes, for
 * uplink_access_override_encryption_key.  Takes a while on purpose (Argon2id). */
UPLINK_API UplinkEncryptionKeyResult uplink_derive_encryption_key(uplink_const_char *passphrase,
								  void *salt, size_t length);
/* Frees a result and wipes the key. */
UPLINK_API void uplink_free_encryption_key_result(UplinkEncryptionKeyResult result);

/* ---- projects ---- */

/* Opens the project the grant belongs to.  Nothing is asked of the satellite yet. */
UPLINK_API UplinkProjectResult uplink_open_project(UplinkAccess *access);
/* As uplink_open_project, with settings. */
UPLINK_API UplinkProjectResult uplink_config_open_project(UplinkConfig config,
							  UplinkAccess *access);
/* Cancels what still runs in the project. */
UPLINK_API UplinkError *uplink_close_project(UplinkProject *project);
/* Makes the satellite refuse that grant's API key and all made from it. */
UPLINK_API UplinkError *uplink_revoke_access(UplinkProject *project, UplinkAccess *access);
/* Closes the project if that was not done, and frees the result. */
UPLINK_API void uplink_free_project_result(UplinkProjectResult result);

/* ---- buckets ---- */

/* Asks for a bucket.  UPLINK_ERROR_BUCKET_NOT_FOUND when there is none. */
UPLINK_API UplinkBucketResult uplink_stat_bucket(UplinkProject *project,
						 uplink_const_char *bucket_name);
/* Makes a bucket.  One that exists: the bucket and UPLINK_ERROR_BUCKET_ALREADY_EXISTS. */
UPLINK_API UplinkBucketResult uplink_create_bucket(UplinkProject *project,
						   uplink_const_char *bucket_name);
/* Makes a bucket unless it exists already. */
UPLINK_API UplinkBucketResult uplink_ensure_bucket(UplinkProject *project,
						   uplink_const_char *bucket_name);
/* Removes an empty bucket and gives what it was.  UPLINK_ERROR_BUCKET_NOT_EMPTY when it is not
 * empty. */
UPLINK_API UplinkBucketResult uplink_delete_bucket(UplinkProject *project,
						   uplink_const_char *bucket_name);
/* Removes a bucket and all that is in it. */
UPLINK_API UplinkBucketResult uplink_delete_bucket_with_objects(UplinkProject *project,
								uplink_const_char *bucket_name);
/* Frees a result and the bucket in it. */
UPLINK_API void uplink_free_bucket_result(UplinkBucketResult result);
/* Frees a bucket, as of uplink_bucket_iterator_item. */
UPLINK_API void uplink_free_bucket(UplinkBucket *bucket);

/* Lists buckets in the order of their names; options may be NULL. To be freed with
 * uplink_free_bucket_iterator.  Errors come from uplink_bucket_iterator_err.  NULL only without
 * memory. */
UPLINK_API UplinkBucketIterator *uplink_list_buckets(UplinkProject *project,
						     UplinkListBucketsOptions *options);
/* Goes to the next bucket, asking the satellite when needed; false at the end and on failure. */
UPLINK_API bool uplink_bucket_iterator_next(UplinkBucketIterator *iterator);
/* Why the listing ended: NULL when all was listed. */
UPLINK_API UplinkError *uplink_bucket_iterator_err(UplinkBucketIterator *iterator);
/* A copy of the bucket the listing is at, to be freed with uplink_free_bucket; NULL before the
 * first and behind the last. */
UPLINK_API UplinkBucket *uplink_bucket_iterator_item(UplinkBucketIterator *iterator);
/* Ends a listing of buckets. */
UPLINK_API void uplink_free_bucket_iterator(UplinkBucketIterator *iterator);

/* ---- objects ---- */

/* Asks for an object.  UPLINK_ERROR_OBJECT_NOT_FOUND when there is none. */
UPLINK_API UplinkObjectResult uplink_stat_object(UplinkProject *project,
						 uplink_const_char *bucket_name,
						 uplink_const_char *object_key);
/* Deletes an object and gives what it was.  One that was not there: object NULL and no error. */
UPLINK_API UplinkObjectResult uplink_delete_object(UplinkProject *project,
						   uplink_const_char *bucket_name,
						   uplink_const_char *object_key);
/* Replaces all custom metadata of an object; options may be NULL. */
UPLINK_API UplinkError *uplink_update_object_metadata(UplinkProject *project,
						      uplink_const_char *bucket_name,
						      uplink_const_char *object_key,
						      UplinkCustomMetadata new_metadata,
						      UplinkUploadObjectMetadataOptions *options);
/* Copies an object at the satellite, without moving its data; a target that exists is replaced.
 * Options may be NULL. */
UPLINK_API UplinkObjectResult uplink_copy_object(UplinkProject *project,
						 uplink_const_char *old_bucket_name,
						 uplink_const_char *old_object_key,
						 uplink_const_char *new_bucket_name,
						 uplink_const_char *new_object_key,
						 UplinkCopyObjectOptions *options);
/* Gives an object another key or bucket, without moving its data.  Options may be NULL. */
UPLINK_API UplinkError *uplink_move_object(UplinkProject *project,
					   uplink_const_char *old_bucket_name,
					   uplink_const_char *old_object_key,
					   uplink_const_char *new_bucket_name,
					   uplink_const_char *new_object_key,
					   UplinkMoveObjectOptions *options);
/* Frees a result and the object in it. */
UPLINK_API void uplink_free_object_result(UplinkObjectResult obj);
/* Frees an object, as of uplink_object_iterator_item. */
UPLINK_API void uplink_free_object(UplinkObject *obj);

/* Lists objects and, unless recursive, prefixes below options->prefix; options may be NULL. The
 * order is that of the encrypted keys, which is not alphabetical.  To be freed with
 * uplink_free_object_iterator.  Errors come from uplink_object_iterator_err.  NULL only without
 * memory. */
UPLINK_API UplinkObjectIterator *uplink_list_objects(UplinkProject *project,
						     uplink_const_char *bucket_name,
						     UplinkListObjectsOptions *options);
/* Goes to the next object or prefix, asking the satellite when needed; false at the end and on
 * failure. */
UPLINK_API bool uplink_object_iterator_next(UplinkObjectIterator *iterator);
/* Why the listing ended: NULL when all was listed. */
UPLINK_API UplinkError *uplink_object_iterator_err(UplinkObjectIterator *iterator);
/* A copy of what the listing is at, to be freed with uplink_free_object; NULL before the first
 * and behind the last. */
UPLINK_API UplinkObject *uplink_object_iterator_item(UplinkObjectIterator *iterator);
/* Ends a listing of objects. */
UPLINK_API void uplink_free_object_iterator(UplinkObjectIterator *iterator);

/* ---- uploads ---- */

/* Begins an upload; options may be NULL. To be ended with uplink_upload_commit or
 * uplink_upload_abort, and freed with uplink_free_upload_result. */
UPLINK_API UplinkUploadResult uplink_upload_object(UplinkProject *project,
						   uplink_const_char *bucket_name,
						   uplink_const_char *object_key,
						   UplinkUploadOptions *options);
/* Takes bytes of the object, in order; waits while the network is behind. bytes_written counts
 * what was taken before an error. */
UPLINK_API UplinkWriteResult uplink_upload_write(UplinkUpload *upload, void *bytes, size_t length);
/* Stores what is still held and makes the object.  It exists only after this;
 * UPLINK_ERROR_UPLOAD_DONE when the upload had ended already. */
UPLINK_API UplinkError *uplink_upload_commit(UplinkUpload *upload);
/* Gives an upload up; nothing of it stays.  UPLINK_ERROR_UPLOAD_DONE when it had ended already. */
UPLINK_API UplinkError *uplink_upload_abort(UplinkUpload *upload);
/* The object as far as it is known: its size grows until the commit. */
UPLINK_API UplinkObjectResult uplink_upload_info(UplinkUpload *upload);
/* Sets the custom metadata the object will have; the last call counts. */
UPLINK_API UplinkError *uplink_upload_set_custom_metadata(UplinkUpload *upload,
							  UplinkCustomMetadata custom);
/* Frees the error of a result, if there is one. */
UPLINK_API void uplink_free_write_result(UplinkWriteResult result);
/* Aborts an upload that was not committed. */
UPLINK_API void uplink_free_upload_result(UplinkUploadResult result);

/* ---- multipart uploads ---- */

/* Begins a multipart upload; options may be NULL. Its ID is info->upload_id, its parts may be
 * uploaded by several processes. */
UPLINK_API UplinkUploadInfoResult uplink_begin_upload(UplinkProject *project,
						      uplink_const_char *bucket_name,
						      uplink_const_char *object_key,
						      UplinkUploadOptions *options);
/* Frees a result and the information in it. */
UPLINK_API void uplink_free_upload_info_result(UplinkUploadInfoResult result);
/* Frees an upload's information, as of uplink_upload_iterator_item. */
UPLINK_API void uplink_free_upload_info(UplinkUploadInfo *info);
/* Makes an object of the parts that were committed, in the order of their numbers; options may
 * be NULL. */
UPLINK_API UplinkCommitUploadResult uplink_commit_upload(UplinkProject *project,
							 uplink_const_char *bucket_name,
							 uplink_const_char *object_key,
							 uplink_const_char *upload_id,
							 UplinkCommitUploadOptions *options);
/* Frees a result and the object in it. */
UPLINK_API void uplink_free_commit_upload_result(UplinkCommitUploadResult result);
/* Gives a multipart upload up, with all its parts. */
UPLINK_API UplinkError *uplink_abort_upload(UplinkProject *project, uplink_const_char *bucket_name,
					    uplink_const_char *object_key,
					    uplink_const_char *upload_id);
/* Begins the upload of a part; one with the same number is replaced.  Parts but the last must
 * have 5 MiB, unless the satellite says otherwise.  To be freed with
 * uplink_free_part_upload_result. */
UPLINK_API UplinkPartUploadResult uplink_upload_part(UplinkProject *project,
						     uplink_const_char *bucket_name,
						     uplink_const_char *object_key,
						     uplink_const_char *upload_id,
						     uint32_t part_number);
/* As uplink_upload_write, of a part. */
UPLINK_API UplinkWriteResult uplink_part_upload_write(UplinkPartUpload *upload, void *bytes,
						      size_t length);
/* As uplink_upload_commit, of a part. */
UPLINK_API UplinkError *uplink_part_upload_commit(UplinkPartUpload *upload);
/* As uplink_upload_abort, of a part. */
UPLINK_API UplinkError *uplink_part_upload_abort(UplinkPartUpload *upload);
/* Sets a text to be stored, encrypted, with the part; before its commit. */
UPLINK_API UplinkError *uplink_part_upload_set_etag(UplinkPartUpload *upload,
						    uplink_const_char *etag);
/* The part as far as it is known. */
UPLINK_API UplinkPartResult uplink_part_upload_info(UplinkPartUpload *upload);
/* Frees a result and the part in it. */
UPLINK_API void uplink_free_part_result(UplinkPartResult result);
/* Aborts a part that was not committed, and frees the result. */
UPLINK_API void uplink_free_part_upload_result(UplinkPartUploadResult result);
/* Frees a part, as of uplink_part_iterator_item. */
UPLINK_API void uplink_free_part(UplinkPart *part);

/* Lists multipart uploads that have not ended, as uplink_list_objects lists objects.  To be
 * freed with uplink_free_upload_iterator. */
UPLINK_API UplinkUploadIterator *uplink_list_uploads(UplinkProject *project,
						     uplink_const_char *bucket_name,
						     UplinkListUploadsOptions *options);
/* Goes to the next upload or prefix, asking the satellite when needed; false at the end and on
 * failure. */
UPLINK_API bool uplink_upload_iterator_next(UplinkUploadIterator *iterator);
/* Why the listing ended: NULL when all was listed. */
UPLINK_API UplinkError *uplink_upload_iterator_err(UplinkUploadIterator *iterator);
/* A copy of what the listing is at, to be freed with uplink_free_upload_info; NULL before the
 * first and behind the last. */
UPLINK_API UplinkUploadInfo *uplink_upload_iterator_item(UplinkUploadIterator *iterator);
/* Ends a listing of uploads. */
UPLINK_API void uplink_free_upload_iterator(UplinkUploadIterator *iterator);

/* Lists the parts of a multipart upload in the order of their numbers; options may be NULL. To
 * be freed with uplink_free_part_iterator. */
UPLINK_API UplinkPartIterator *uplink_list_upload_parts(UplinkProject *project,
							uplink_const_char *bucket_name,
							uplink_const_char *object_key,
							uplink_const_char *upload_id,
							UplinkListUploadPartsOptions *options);
/* Goes to the next part, asking the satellite when needed; false at the end and on failure. */
UPLINK_API bool uplink_part_iterator_next(UplinkPartIterator *iterator);
/* Why the listing ended: NULL when all was listed. */
UPLINK_API UplinkError *uplink_part_iterator_err(UplinkPartIterator *iterator);
/* A copy of the part the listing is at, to be freed with uplink_free_part; NULL before the
 * first and behind the last. */
UPLINK_API UplinkPart *uplink_part_iterator_item(UplinkPartIterator *iterator);
/* Ends a listing of parts. */
UPLINK_API void uplink_free_part_iterator(UplinkPartIterator *iterator);

/* ---- downloads ---- */

/* Begins a download of an object or a range of it; options may be NULL for all of it.  To be
 * freed with uplink_free_download_result. */
UPLINK_API UplinkDownloadResult uplink_download_object(UplinkProject *project,
						       uplink_const_char *bucket_name,
						       uplink_const_char *object_key,
						       UplinkDownloadOptions *options);
/* Reads up to length bytes, at least one unless length is 0. At the end: error with code EOF,
 * perhaps beside the last bytes. */
UPLINK_API UplinkReadResult uplink_download_read(UplinkDownload *download, void *bytes,
						 size_t length);
/* The object that is downloaded. */
UPLINK_API UplinkObjectResult uplink_download_info(UplinkDownload *download);
/* Frees the error of a result, if there is one. */
UPLINK_API void uplink_free_read_result(UplinkReadResult result);
/* Ends a download; reads fail afterwards. */
UPLINK_API UplinkError *uplink_close_download(UplinkDownload *download);
/* Closes it as well if that was not done. */
UPLINK_API void uplink_free_download_result(UplinkDownloadResult result);

/* ---- edge services ---- */

/* Gives a grant to an edge service, which makes S3 credentials and links of it; options may be
 * NULL. All that the grant can do, the service can do: share it first.
 * EDGE_ERROR_REGISTER_ACCESS_FAILED when the service cannot be reached or refuses,
 * EDGE_ERROR_AUTH_DIAL_FAILED when its address cannot be. */
UPLINK_API EdgeCredentialsResult edge_register_access(EdgeConfig config, UplinkAccess *access,
						      EdgeRegisterAccessOptions *options);
/* Frees a result and the credentials in it. */
UPLINK_API void edge_free_credentials_result(EdgeCredentialsResult result);
/* Frees credentials. */
UPLINK_API void edge_free_credentials(EdgeCredentials *credentials);
/* Makes a link to what was registered for the public: base_url + "/s/" or "/raw/" + access key
 * ID + "/" + bucket + "/" + key, escaped.  Bucket and key may be empty for all of the project or
 * bucket.  Nothing is asked. */
UPLINK_API UplinkStringResult edge_join_share_url(uplink_const_char *base_url,
						  uplink_const_char *access_key_id,
						  uplink_const_char *bucket, uplink_const_char *key,
						  EdgeShareURLOptions *options);

/* ---- the rest ---- */

/* Frees an error; NULL is fine. */
UPLINK_API void uplink_free_error(UplinkError *err);
/* Whether no handle is left open, for tests of programs.  Not zero = empty. */
UPLINK_API uint8_t uplink_internal_UniverseIsEmpty(void);
/* For programs linked to a coverage build of uplink-c, which writes Go's counters.  Does nothing.
 */
UPLINK_API void uplinkFlushCoverage(void);

#ifdef __cplusplus
}
#endif

#endif
