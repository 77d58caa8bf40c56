/*
 * Every call with what must not be: NULL, handles that were never made, handles that were freed,
 * handles of another kind.  The answer is an error, nothing is lost, and no network is needed.
 */
#include "library.h"

/* The error of a call that gives a result struct. */
#define ERROR_OF(call) ((call).error)
#define BOTH(null_call, bad_call)                                                                  \
	do {                                                                                       \
		IS_ERROR(null_call, UPLINK_ERROR_INTERNAL);                                        \
		IS_ERROR(bad_call, UPLINK_ERROR_INVALID_HANDLE);                                   \
	} while (0)

/* Handles that nobody gave out. */
static UplinkProject project = { 999 };
static UplinkAccess access_grant = { 999 };
static UplinkUpload upload = { 999 };
static UplinkPartUpload part = { 999 };
static UplinkDownload download = { 999 };
static UplinkEncryptionKey key = { 999 };
static UplinkCustomMetadata none;
static unsigned char data[8];

static void grants(void)
{
	UplinkPermission all = { true, true, true, true, 0, 0 };
	UplinkConfig config = { NULL, 0, NULL };
	EdgeConfig edge = { "127.0.0.1:1", NULL, true };

	IS_ERROR(uplink_parse_access(NULL).error, UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_parse_access("").error, UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_parse_access("neither base58 nor a grant").error, UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_request_access_with_passphrase(NULL, "k", "p").error,
		 UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_request_access_with_passphrase("s", NULL, "p").error,
		 UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_request_access_with_passphrase("s", "k", NULL).error,
		 UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_request_access_with_passphrase("s", "k", "p").error, UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_config_request_access_with_passphrase(config, NULL, "k", "p").error,
		 UPLINK_ERROR_INTERNAL);
	IS_ERROR(acre_request_access(NULL, NULL, NULL, NULL).error, UPLINK_ERROR_INTERNAL);
	BOTH(ERROR_OF(uplink_access_satellite_address(NULL)),
	     ERROR_OF(uplink_access_satellite_address(&access_grant)));
	BOTH(ERROR_OF(uplink_access_serialize(NULL)),
	     ERROR_OF(uplink_access_serialize(&access_grant)));
	BOTH(ERROR_OF(acre_access_api_key(NULL)), ERROR_OF(acre_access_api_key(&access_grant)));
	BOTH(ERROR_OF(acre_access_inspect(NULL)), ERROR_OF(acre_access_inspect(&access_grant)));
	BOTH(ERROR_OF(uplink_access_share(NULL, all, NULL, 0)),
	     ERROR_OF(uplink_access_share(&access_grant, all, NULL, -1)));
	BOTH(ERROR_OF(acre_access_share(NULL, (AcrePermission){ all, 0 }, NULL, 0)),
	     ERROR_OF(acre_access_share(&access_grant, (AcrePermission){ all, 0 }, NULL, 0)));
	BOTH(uplink_access_override_encryption_key(NULL, "b", "p/", &key),
	     uplink_access_override_encryption_key(&access_grant, "b", "p/", &key));
	BOTH(ERROR_OF(uplink_open_project(NULL)), ERROR_OF(uplink_open_project(&access_grant)));
	BOTH(ERROR_OF(uplink_config_open_project(config, NULL)),
	     ERROR_OF(uplink_config_open_project(config, &access_grant)));
	BOTH(ERROR_OF(acre_open_project(NULL, NULL)),
	     ERROR_OF(acre_open_project(NULL, &access_grant)));
	IS_ERROR(uplink_derive_encryption_key(NULL, data, 8).error, UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_derive_encryption_key("p", NULL, 8).error, UPLINK_ERROR_INTERNAL);
	BOTH(ERROR_OF(edge_register_access(edge, NULL, NULL)),
	     ERROR_OF(edge_register_access(edge, &access_grant, NULL)));
	IS_ERROR(edge_join_share_url(NULL, "id", NULL, NULL, NULL).error, UPLINK_ERROR_INTERNAL);
	IS_ERROR(edge_join_share_url("https://x", NULL, NULL, NULL, NULL).error,
		 UPLINK_ERROR_INTERNAL);
}

static void projects_and_objects(void)
{
	NO_ERROR(uplink_close_project(NULL));
	IS_ERROR(uplink_close_project(&project), UPLINK_ERROR_INVALID_HANDLE);
	BOTH(ERROR_OF(acre_project_limit(NULL, 0)), ERROR_OF(acre_project_limit(&project, 0)));
	BOTH(uplink_revoke_access(NULL, &access_grant),
	     uplink_revoke_access(&project, &access_grant));
	BOTH(ERROR_OF(uplink_stat_bucket(NULL, "b")), ERROR_OF(uplink_stat_bucket(&project, "b")));
	BOTH(ERROR_OF(uplink_create_bucket(NULL, "b")),
	     ERROR_OF(uplink_create_bucket(&project, "b")));
	BOTH(ERROR_OF(uplink_ensure_bucket(NULL, "b")),
	     ERROR_OF(uplink_ensure_bucket(&project, "b")));
	BOTH(ERROR_OF(uplink_delete_bucket(NULL, "b")),
	     ERROR_OF(uplink_delete_bucket(&project, "b")));
	BOTH(ERROR_OF(uplink_delete_bucket_with_objects(NULL, "b")),
	     ERROR_OF(uplink_delete_bucket_with_objects(&project, "b")));
	BOTH(ERROR_OF(uplink_stat_object(NULL, "b", "k")),
	     ERROR_OF(uplink_stat_object(&project, "b", "k")));
	BOTH(ERROR_OF(uplink_delete_object(NULL, "b", "k")),
	     ERROR_OF(uplink_delete_object(&project, "b", "k")));
	BOTH(uplink_update_object_metadata(NULL, "b", "k", none, NULL),
	     uplink_update_object_metadata(&project, "b", "k", none, NULL));
	BOTH(ERROR_OF(uplink_copy_object(NULL, "b", "k", "b", "l", NULL)),
	     ERROR_OF(uplink_copy_object(&project, "b", "k", "b", "l", NULL)));
	BOTH(uplink_move_object(NULL, "b", "k", "b", "l", NULL),
	     uplink_move_object(&project, "b", "k", "b", "l", NULL));
}

static void transfers(void)
{
	BOTH(ERROR_OF(uplink_upload_object(NULL, "b", "k", NULL)),
	     ERROR_OF(uplink_upload_object(&project, "b", "k", NULL)));
	BOTH(ERROR_OF(acre_upload_object(NULL, "b", "k", NULL, NULL)),
	     ERROR_OF(acre_upload_object(&project, "b", "k", NULL, NULL)));
	BOTH(ERROR_OF(uplink_upload_write(NULL, data, 8)),
	     ERROR_OF(uplink_upload_write(&upload, data, 8)));
	BOTH(uplink_upload_commit(NULL), uplink_upload_commit(&upload));
	BOTH(uplink_upload_abort(NULL), uplink_upload_abort(&upload));
	BOTH(ERROR_OF(uplink_upload_info(NULL)), ERROR_OF(uplink_upload_info(&upload)));
	BOTH(uplink_upload_set_custom_metadata(NULL, none),
	     uplink_upload_set_custom_metadata(&upload, none));
	BOTH(ERROR_OF(acre_upload_room(NULL)), ERROR_OF(acre_upload_room(&upload)));
	BOTH(ERROR_OF(acre_upload_filled(NULL, 8)), ERROR_OF(acre_upload_filled(&upload, 8)));
	BOTH(ERROR_OF(acre_upload_from(NULL, NULL, NULL, 8)),
	     ERROR_OF(acre_upload_from(&upload, NULL, NULL, 8)));
	REQUIRE(acre_upload_resumed(NULL) == 0 && acre_upload_resumed(&upload) == 0);
	BOTH(ERROR_OF(uplink_begin_upload(NULL, "b", "k", NULL)),
	     ERROR_OF(uplink_begin_upload(&project, "b", "k", NULL)));
	BOTH(ERROR_OF(uplink_commit_upload(NULL, "b", "k", "i", NULL)),
	     ERROR_OF(uplink_commit_upload(&project, "b", "k", "i", NULL)));
	BOTH(uplink_abort_upload(NULL, "b", "k", "i"),
	     uplink_abort_upload(&project, "b", "k", "i"));
	BOTH(ERROR_OF(uplink_upload_part(NULL, "b", "k", "i", 1)),
	     ERROR_OF(uplink_upload_part(&project, "b", "k", "i", 1)));
	BOTH(ERROR_OF(acre_upload_part(NULL, "b", "k", "i", 1, NULL)),
	     ERROR_OF(acre_upload_part(&project, "b", "k", "i", 1, NULL)));
	BOTH(ERROR_OF(uplink_part_upload_write(NULL, data, 8)),
	     ERROR_OF(uplink_part_upload_write(&part, data, 8)));
	BOTH(uplink_part_upload_commit(NULL), uplink_part_upload_commit(&part));
	BOTH(uplink_part_upload_abort(NULL), uplink_part_upload_abort(&part));
	BOTH(uplink_part_upload_set_etag(NULL, "e"), uplink_part_upload_set_etag(&part, "e"));
	BOTH(ERROR_OF(uplink_part_upload_info(NULL)), ERROR_OF(uplink_part_upload_info(&part)));
	BOTH(ERROR_OF(uplink_download_object(NULL, "b", "k", NULL)),
	     ERROR_OF(uplink_download_object(&project, "b", "k", NULL)));
	BOTH(ERROR_OF(acre_download_object(NULL, "b", "k", NULL, NULL)),
	     ERROR_OF(acre_download_object(&project, "b", "k", NULL, NULL)));
	BOTH(ERROR_OF(uplink_download_read(NULL, data, 8)),
	     ERROR_OF(uplink_download_read(&download, data, 8)));
	BOTH(ERROR_OF(uplink_download_info(NULL)), ERROR_OF(uplink_download_info(&download)));
	NO_ERROR(uplink_close_download(NULL));
	IS_ERROR(uplink_close_download(&download), UPLINK_ERROR_INVALID_HANDLE);
	REQUIRE(acre_download_resumed(NULL).offset == 0 &&
		acre_download_resumed(&download).offset == 0);
	BOTH(acre_download_checkpoint(NULL, 0, NULL, 0),
	     acre_download_checkpoint(&download, 0, NULL, 0));
	BOTH(acre_download_done(NULL), acre_download_done(&download));
}

/* Each list function with a project that is not there: a listing whose error says so. */
#define LISTING(name, list_call, code)                                                             \
	do {                                                                                       \
		__typeof__(list_call) it = list_call;                                              \
		REQUIRE(it && !uplink_##name##_iterator_next(it));                                 \
		REQUIRE(!uplink_##name##_iterator_item(it));                                       \
		IS_ERROR(uplink_##name##_iterator_err(it), code);                                  \
		IS_ERROR(uplink_##name##_iterator_err(it), code);                                  \
		uplink_free_##name##_iterator(it);                                                 \
		REQUIRE(!uplink_##name##_iterator_next(NULL));                                     \
		REQUIRE(!uplink_##name##_iterator_item(NULL));                                     \
		IS_ERROR(uplink_##name##_iterator_err(NULL), UPLINK_ERROR_INTERNAL);               \
		uplink_free_##name##_iterator(NULL);                                               \
	} while (0)

static void listings(void)
{
	UplinkBucketIterator made_up = { 999 };

	LISTING(bucket, uplink_list_buckets(&project, NULL), UPLINK_ERROR_INVALID_HANDLE);
	LISTING(bucket, uplink_list_buckets(NULL, NULL), UPLINK_ERROR_INTERNAL);
	LISTING(object, uplink_list_objects(&project, "b", NULL), UPLINK_ERROR_INVALID_HANDLE);
	LISTING(object, uplink_list_objects(NULL, "b", NULL), UPLINK_ERROR_INTERNAL);
	LISTING(upload, uplink_list_uploads(&project, "b", NULL), UPLINK_ERROR_INVALID_HANDLE);
	LISTING(upload, uplink_list_uploads(NULL, "b", NULL), UPLINK_ERROR_INTERNAL);
	LISTING(part, uplink_list_upload_parts(&project, "b", "k", "i", NULL),
		UPLINK_ERROR_INVALID_HANDLE);
	LISTING(part, uplink_list_upload_parts(NULL, "b", "k", "i", NULL), UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_bucket_iterator_err(&made_up), UPLINK_ERROR_INVALID_HANDLE);
	REQUIRE(acre_object_iterator_skipped(NULL) == 0);
}

/* A grant and a project that are real, but whose satellite nobody asks. */
static void arguments(const char *grant)
{
	UplinkAccessResult a = uplink_parse_access(grant);
	NO_ERROR(a.error);
	UplinkProjectResult p = uplink_open_project(a.access);
	NO_ERROR(p.error);
	UplinkAccess old = *a.access;
	UplinkEncryptionKeyResult k = uplink_derive_encryption_key("passphrase", data,
								   sizeof(data));
	NO_ERROR(k.error);

	/* Handles of another kind. */
	IS_ERROR(uplink_stat_bucket((UplinkProject *)(void *)a.access, "b").error,
		 UPLINK_ERROR_INVALID_HANDLE);
	IS_ERROR(uplink_access_serialize((UplinkAccess *)(void *)k.encryption_key).error,
		 UPLINK_ERROR_INVALID_HANDLE);
	IS_ERROR(uplink_access_override_encryption_key(a.access, "b", "p/", NULL),
		 UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_access_override_encryption_key(a.access, "b", "p/", &key),
		 UPLINK_ERROR_INVALID_HANDLE);
	IS_ERROR(uplink_revoke_access(p.project, NULL), UPLINK_ERROR_INTERNAL);
	/* Names that cannot be. */
	IS_ERROR(uplink_stat_bucket(p.project, NULL).error, UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_stat_bucket(p.project, "").error, UPLINK_ERROR_BUCKET_NAME_INVALID);
	IS_ERROR(uplink_stat_object(p.project, NULL, "k").error, UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_stat_object(p.project, "b", NULL).error, UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_stat_object(p.project, "", "k").error, UPLINK_ERROR_BUCKET_NAME_INVALID);
	IS_ERROR(uplink_stat_object(p.project, "b", "").error, UPLINK_ERROR_OBJECT_KEY_INVALID);
	IS_ERROR(uplink_upload_object(p.project, "b", "", NULL).error,
		 UPLINK_ERROR_OBJECT_KEY_INVALID);
	IS_ERROR(uplink_download_object(p.project, "b", "", NULL).error,
		 UPLINK_ERROR_OBJECT_KEY_INVALID);
	IS_ERROR(uplink_copy_object(p.project, "b", "k", "b", NULL, NULL).error,
		 UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_move_object(p.project, "b", "k", NULL, "k", NULL), UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_begin_upload(p.project, "b", NULL, NULL).error, UPLINK_ERROR_INTERNAL);
	IS_ERROR(uplink_upload_part(p.project, "b", "k", "not an ID!", 1).error,
		 UPLINK_ERROR_INTERNAL);
	LISTING(object, uplink_list_objects(p.project, NULL, NULL), UPLINK_ERROR_INTERNAL);
	LISTING(upload, uplink_list_uploads(p.project, NULL, NULL), UPLINK_ERROR_INTERNAL);
	LISTING(part, uplink_list_upload_parts(p.project, "b", "k", NULL, NULL),
		UPLINK_ERROR_INTERNAL);
	/* Handles that were freed. */
	REQUIRE(!uplink_internal_UniverseIsEmpty());
	uplink_free_access_result(a);
	IS_ERROR(uplink_access_serialize(&old).error, UPLINK_ERROR_INVALID_HANDLE);
	uplink_free_encryption_key_result(k);
	/* Closed: what is begun ends at once. */
	NO_ERROR(uplink_close_project(p.project));
	IS_ERROR(uplink_stat_bucket(p.project, "b").error, UPLINK_ERROR_CANCELED);
	IS_ERROR(uplink_upload_object(p.project, "b", "k", NULL).error, UPLINK_ERROR_CANCELED);
	LISTING(bucket, uplink_list_buckets(p.project, NULL), UPLINK_ERROR_CANCELED);
	uplink_free_project_result(p);
}

/* All of them take nothing, too. */
static void frees(void)
{
	uplink_free_error(NULL);
	uplink_free_access_result((UplinkAccessResult){ NULL, NULL });
	uplink_free_string_result((UplinkStringResult){ NULL, NULL });
	uplink_free_encryption_key_result((UplinkEncryptionKeyResult){ NULL, NULL });
	uplink_free_project_result((UplinkProjectResult){ NULL, NULL });
	uplink_free_bucket_result((UplinkBucketResult){ NULL, NULL });
	uplink_free_bucket(NULL);
	uplink_free_object_result((UplinkObjectResult){ NULL, NULL });
	uplink_free_object(NULL);
	uplink_free_upload_result((UplinkUploadResult){ NULL, NULL });
	uplink_free_write_result((UplinkWriteResult){ 0, NULL });
	uplink_free_upload_info_result((UplinkUploadInfoResult){ NULL, NULL });
	uplink_free_upload_info(NULL);
	uplink_free_commit_upload_result((UplinkCommitUploadResult){ NULL, NULL });
	uplink_free_part_result((UplinkPartResult){ NULL, NULL });
	uplink_free_part_upload_result((UplinkPartUploadResult){ NULL, NULL });
	uplink_free_part(NULL);
	uplink_free_download_result((UplinkDownloadResult){ NULL, NULL });
	uplink_free_read_result((UplinkReadResult){ 0, NULL });
	edge_free_credentials_result((EdgeCredentialsResult){ NULL, NULL });
	edge_free_credentials(NULL);
	acre_free_loop_result((AcreLoopResult){ NULL, NULL });
	acre_cancel_free(NULL);
	acre_cancel_set(NULL);
	uplinkFlushCoverage();
}

int main(void)
{
	REQUIRE(uplink_internal_UniverseIsEmpty());
	grants();
	projects_and_objects();
	transfers();
	listings();
	arguments(getenv("ACRE_ACCESS"));
	frees();
	REQUIRE(uplink_internal_UniverseIsEmpty());
	printf("ok\n");
	return 0;
}
