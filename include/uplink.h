/*
 * libacre: the client library's C API, source compatible with storj/uplink-c.
 *
 * Ownership: what a function returns belongs to the caller, who frees the whole result (or the
 * single struct) with the uplink_free_* function of its type; NULL is fine there.  What is passed
 * in stays the caller's.  A result has either its value or an error; a few calls that say so give
 * both.  Handles may be used by several threads at once, except that one upload, part upload or
 * download is written, read or ended by one thread at a time.
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

UPLINK_API UplinkAccessResult uplink_parse_access(uplink_const_char *access_string);
/* Asks the satellite ("id@host:port") for the project's salt and derives the root key from the
 * passphrase. */
UPLINK_API UplinkAccessResult
uplink_request_access_with_passphrase(uplink_const_char *satellite_address,
				      uplink_const_char *api_key, uplink_const_char *passphrase);
UPLINK_API UplinkAccessResult uplink_config_request_access_with_passphrase(
	UplinkConfig config, uplink_const_char *satellite_address, uplink_const_char *api_key,
	uplink_const_char *passphrase);
UPLINK_API UplinkStringResult uplink_access_satellite_address(UplinkAccess *access);
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
UPLINK_API void uplink_free_string_result(UplinkStringResult result);
UPLINK_API void uplink_free_access_result(UplinkAccessResult result);

UPLINK_API UplinkEncryptionKeyResult uplink_derive_encryption_key(uplink_const_char *passphrase,
								  void *salt, size_t length);
UPLINK_API void uplink_free_encryption_key_result(UplinkEncryptionKeyResult result);

/* ---- projects ---- */

UPLINK_API UplinkProjectResult uplink_open_project(UplinkAccess *access);
UPLINK_API UplinkProjectResult uplink_config_open_project(UplinkConfig config,
							  UplinkAccess *access);
/* Cancels what still runs in the project. */
UPLINK_API UplinkError *uplink_close_project(UplinkProject *project);
/* Makes the satellite refuse that grant's API key and all made from it. */
UPLINK_API UplinkError *uplink_revoke_access(UplinkProject *project, UplinkAccess *access);
UPLINK_API void uplink_free_project_result(UplinkProjectResult result);

/* ---- buckets ---- */

UPLINK_API UplinkBucketResult uplink_stat_bucket(UplinkProject *project,
						 uplink_const_char *bucket_name);
/* Existing bucket: the bucket and UPLINK_ERROR_BUCKET_ALREADY_EXISTS. */
UPLINK_API UplinkBucketResult uplink_create_bucket(UplinkProject *project,
						   uplink_const_char *bucket_name);
UPLINK_API UplinkBucketResult uplink_ensure_bucket(UplinkProject *project,
						   uplink_const_char *bucket_name);
UPLINK_API UplinkBucketResult uplink_delete_bucket(UplinkProject *project,
						   uplink_const_char *bucket_name);
UPLINK_API UplinkBucketResult uplink_delete_bucket_with_objects(UplinkProject *project,
								uplink_const_char *bucket_name);
UPLINK_API void uplink_free_bucket_result(UplinkBucketResult result);
UPLINK_API void uplink_free_bucket(UplinkBucket *bucket);

/* Iterators: next until false, then err; item is a copy to be freed. */
UPLINK_API UplinkBucketIterator *uplink_list_buckets(UplinkProject *project,
						     UplinkListBucketsOptions *options);
UPLINK_API bool uplink_bucket_iterator_next(UplinkBucketIterator *iterator);
UPLINK_API UplinkError *uplink_bucket_iterator_err(UplinkBucketIterator *iterator);
UPLINK_API UplinkBucket *uplink_bucket_iterator_item(UplinkBucketIterator *iterator);
UPLINK_API void uplink_free_bucket_iterator(UplinkBucketIterator *iterator);

/* ---- objects ---- */

UPLINK_API UplinkObjectResult uplink_stat_object(UplinkProject *project,
						 uplink_const_char *bucket_name,
						 uplink_const_char *object_key);
/* An object that was not there: object NULL and no error. */
UPLINK_API UplinkObjectResult uplink_delete_object(UplinkProject *project,
						   uplink_const_char *bucket_name,
						   uplink_const_char *object_key);
/* Replaces all custom metadata. */
UPLINK_API UplinkError *uplink_update_object_metadata(UplinkProject *project,
						      uplink_const_char *bucket_name,
						      uplink_const_char *object_key,
						      UplinkCustomMetadata new_metadata,
						      UplinkUploadObjectMetadataOptions *options);
UPLINK_API UplinkObjectResult uplink_copy_object(UplinkProject *project,
						 uplink_const_char *old_bucket_name,
						 uplink_const_char *old_object_key,
						 uplink_const_char *new_bucket_name,
						 uplink_const_char *new_object_key,
						 UplinkCopyObjectOptions *options);
UPLINK_API UplinkError *uplink_move_object(UplinkProject *project,
					   uplink_const_char *old_bucket_name,
					   uplink_const_char *old_object_key,
					   uplink_const_char *new_bucket_name,
					   uplink_const_char *new_object_key,
					   UplinkMoveObjectOptions *options);
UPLINK_API void uplink_free_object_result(UplinkObjectResult obj);
UPLINK_API void uplink_free_object(UplinkObject *obj);

UPLINK_API UplinkObjectIterator *uplink_list_objects(UplinkProject *project,
						     uplink_const_char *bucket_name,
						     UplinkListObjectsOptions *options);
UPLINK_API bool uplink_object_iterator_next(UplinkObjectIterator *iterator);
UPLINK_API UplinkError *uplink_object_iterator_err(UplinkObjectIterator *iterator);
UPLINK_API UplinkObject *uplink_object_iterator_item(UplinkObjectIterator *iterator);
UPLINK_API void uplink_free_object_iterator(UplinkObjectIterator *iterator);

/* ---- uploads ---- */

UPLINK_API UplinkUploadResult uplink_upload_object(UplinkProject *project,
						   uplink_const_char *bucket_name,
						   uplink_const_char *object_key,
						   UplinkUploadOptions *options);
/* bytes_written counts what was taken before an error. */
UPLINK_API UplinkWriteResult uplink_upload_write(UplinkUpload *upload, void *bytes, size_t length);
/* The object exists only after this; UPLINK_ERROR_UPLOAD_DONE when it already ended. */
UPLINK_API UplinkError *uplink_upload_commit(UplinkUpload *upload);
UPLINK_API UplinkError *uplink_upload_abort(UplinkUpload *upload);
UPLINK_API UplinkObjectResult uplink_upload_info(UplinkUpload *upload);
UPLINK_API UplinkError *uplink_upload_set_custom_metadata(UplinkUpload *upload,
							  UplinkCustomMetadata custom);
UPLINK_API void uplink_free_write_result(UplinkWriteResult result);
/* Aborts an upload that was not committed. */
UPLINK_API void uplink_free_upload_result(UplinkUploadResult result);

/* ---- multipart uploads ---- */

UPLINK_API UplinkUploadInfoResult uplink_begin_upload(UplinkProject *project,
						      uplink_const_char *bucket_name,
						      uplink_const_char *object_key,
						      UplinkUploadOptions *options);
UPLINK_API void uplink_free_upload_info_result(UplinkUploadInfoResult result);
UPLINK_API void uplink_free_upload_info(UplinkUploadInfo *info);
UPLINK_API UplinkCommitUploadResult uplink_commit_upload(UplinkProject *project,
							 uplink_const_char *bucket_name,
							 uplink_const_char *object_key,
							 uplink_const_char *upload_id,
							 UplinkCommitUploadOptions *options);
UPLINK_API void uplink_free_commit_upload_result(UplinkCommitUploadResult result);
UPLINK_API UplinkError *uplink_abort_upload(UplinkProject *project, uplink_const_char *bucket_name,
					    uplink_const_char *object_key,
					    uplink_const_char *upload_id);
UPLINK_API UplinkPartUploadResult uplink_upload_part(UplinkProject *project,
						     uplink_const_char *bucket_name,
						     uplink_const_char *object_key,
						     uplink_const_char *upload_id,
						     uint32_t part_number);
UPLINK_API UplinkWriteResult uplink_part_upload_write(UplinkPartUpload *upload, void *bytes,
						      size_t length);
UPLINK_API UplinkError *uplink_part_upload_commit(UplinkPartUpload *upload);
UPLINK_API UplinkError *uplink_part_upload_abort(UplinkPartUpload *upload);
UPLINK_API UplinkError *uplink_part_upload_set_etag(UplinkPartUpload *upload,
						    uplink_const_char *etag);
UPLINK_API UplinkPartResult uplink_part_upload_info(UplinkPartUpload *upload);
UPLINK_API void uplink_free_part_result(UplinkPartResult result);
UPLINK_API void uplink_free_part_upload_result(UplinkPartUploadResult result);
UPLINK_API void uplink_free_part(UplinkPart *part);

UPLINK_API UplinkUploadIterator *uplink_list_uploads(UplinkProject *project,
						     uplink_const_char *bucket_name,
						     UplinkListUploadsOptions *options);
UPLINK_API bool uplink_upload_iterator_next(UplinkUploadIterator *iterator);
UPLINK_API UplinkError *uplink_upload_iterator_err(UplinkUploadIterator *iterator);
UPLINK_API UplinkUploadInfo *uplink_upload_iterator_item(UplinkUploadIterator *iterator);
UPLINK_API void uplink_free_upload_iterator(UplinkUploadIterator *iterator);

UPLINK_API UplinkPartIterator *uplink_list_upload_parts(UplinkProject *project,
							uplink_const_char *bucket_name,
							uplink_const_char *object_key,
							uplink_const_char *upload_id,
							UplinkListUploadPartsOptions *options);
UPLINK_API bool uplink_part_iterator_next(UplinkPartIterator *iterator);
UPLINK_API UplinkError *uplink_part_iterator_err(UplinkPartIterator *iterator);
UPLINK_API UplinkPart *uplink_part_iterator_item(UplinkPartIterator *iterator);
UPLINK_API void uplink_free_part_iterator(UplinkPartIterator *iterator);

/* ---- downloads ---- */

UPLINK_API UplinkDownloadResult uplink_download_object(UplinkProject *project,
						       uplink_const_char *bucket_name,
						       uplink_const_char *object_key,
						       UplinkDownloadOptions *options);
/* Up to length bytes.  At the end: error with code EOF, perhaps beside the last bytes. */
UPLINK_API UplinkReadResult uplink_download_read(UplinkDownload *download, void *bytes,
						 size_t length);
UPLINK_API UplinkObjectResult uplink_download_info(UplinkDownload *download);
UPLINK_API void uplink_free_read_result(UplinkReadResult result);
UPLINK_API UplinkError *uplink_close_download(UplinkDownload *download);
/* Closes it as well if that was not done. */
UPLINK_API void uplink_free_download_result(UplinkDownloadResult result);

/* ---- edge services ---- */

UPLINK_API EdgeCredentialsResult edge_register_access(EdgeConfig config, UplinkAccess *access,
						      EdgeRegisterAccessOptions *options);
UPLINK_API void edge_free_credentials_result(EdgeCredentialsResult result);
UPLINK_API void edge_free_credentials(EdgeCredentials *credentials);
/* base_url + "/s/" or "/raw/" + access key ID + "/" + bucket + "/" + key, escaped. */
UPLINK_API UplinkStringResult edge_join_share_url(uplink_const_char *base_url,
						  uplink_const_char *access_key_id,
						  uplink_const_char *bucket, uplink_const_char *key,
						  EdgeShareURLOptions *options);

/* ---- the rest ---- */

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
