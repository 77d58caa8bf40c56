/*
 * A program as others write it: only the public headers.  Runs against the
 * network of $ACRE_ACCESS; prints what failed and ends with 1, or "ok" and 0.
 */
#include "library.h"

enum { BIG = 5 * 1024 * 1024 + 12345, SMALL = 3000 };

static unsigned char data[BIG], back[BIG + 100];

static void upload(UplinkProject *p, const char *key, size_t size, int64_t expires)
{
	UplinkUploadOptions o = { .expires = expires };
	UplinkUploadResult u = uplink_upload_object(p, "library", key, &o);

	NO_ERROR(u.error);
	for (size_t at = 0; at < size;) {
		UplinkWriteResult w = uplink_upload_write(u.upload, data + at,
							  size - at < 70001 ? size - at : 70001);
		NO_ERROR(w.error);
		at += w.bytes_written;
	}
	UplinkCustomMetadataEntry e[] = { { (char *)"b", 1, (char *)"2", 1 },
					  { (char *)"a", 1, (char *)"1", 1 } };
	NO_ERROR(uplink_upload_set_custom_metadata(u.upload, (UplinkCustomMetadata){ e, 2 }));
	NO_ERROR(uplink_upload_commit(u.upload));
	IS_ERROR(uplink_upload_commit(u.upload), UPLINK_ERROR_UPLOAD_DONE);
	IS_ERROR(uplink_upload_abort(u.upload), UPLINK_ERROR_UPLOAD_DONE);
	UplinkObjectResult info = uplink_upload_info(u.upload);
	NO_ERROR(info.error);
	REQUIRE(info.object->system.content_length == (int64_t)size && info.object->system.created);
	uplink_free_object_result(info);
	uplink_free_upload_result(u);
}

/* Reads a range and compares it with data[want..want+size). */
static void download(UplinkProject *p, const char *key, int64_t offset, int64_t length, size_t want,
		     size_t size)
{
	UplinkDownloadOptions o = { offset, length };
	UplinkDownloadResult d = uplink_download_object(p, "library", key, &o);
	size_t at = 0;

	NO_ERROR(d.error);
	for (;;) {
		UplinkReadResult r = uplink_download_read(d.download, back + at, sizeof(back) - at);
		at += r.bytes_read;
		if (r.error) {
			IS_ERROR(r.error, EOF);
			break;
		}
	}
	REQUIRE(at == size && memcmp(back, data + want, size) == 0);
	NO_ERROR(uplink_close_download(d.download));
	uplink_free_download_result(d);
}

static void objects(UplinkProject *p)
{
	upload(p, "big", BIG, 0);
	upload(p, "dir/small", SMALL, 4000000000);
	upload(p, "dir/empty", 0, 0);
	download(p, "big", 0, -1, 0, BIG);
	download(p, "big", 1000000, 2000000, 1000000, 2000000);
	download(p, "big", -77, -1, BIG - 77, 77);
	download(p, "big", BIG, -1, BIG, 0);
	download(p, "big", 5, 0, 5, 0);
	download(p, "dir/small", 10, -1, 10, SMALL - 10);
	download(p, "dir/empty", 0, -1, 0, 0);
	UplinkObjectResult s = uplink_stat_object(p, "library", "dir/small");
	NO_ERROR(s.error);
	REQUIRE(s.object->system.expires == 4000000000 && s.object->custom.count == 2);
	REQUIRE(strcmp(s.object->custom.entries[0].key, "a") == 0);
	REQUIRE(strcmp(s.object->custom.entries[1].value, "2") == 0);
	uplink_free_object_result(s);
	s = uplink_stat_object(p, "library", "nothing");
	IS_ERROR(s.error, UPLINK_ERROR_OBJECT_NOT_FOUND);
	UplinkCustomMetadataEntry e = { (char *)"new", 3, (char *)"value", 5 };
	NO_ERROR(uplink_update_object_metadata(p, "library", "big", (UplinkCustomMetadata){ &e, 1 },
					       NULL));
	UplinkObjectResult c = uplink_copy_object(p, "library", "big", "library", "copy", NULL);
	NO_ERROR(c.error);
	REQUIRE(c.object->custom.count == 1 && c.object->system.content_length == BIG);
	uplink_free_object_result(c);
	NO_ERROR(uplink_move_object(p, "library", "copy", "library", "dir/moved", NULL));
	download(p, "dir/moved", 123, 456, 123, 456);
	UplinkObjectResult gone = uplink_delete_object(p, "library", "dir/moved");
	NO_ERROR(gone.error);
	uplink_free_object_result(gone);
}

static int listed(UplinkProject *p, UplinkListObjectsOptions o, const char *expect)
{
	UplinkObjectIterator *it = uplink_list_objects(p, "library", &o);
	int count = 0, found = 0;

	while (uplink_object_iterator_next(it)) {
		UplinkObject *item = uplink_object_iterator_item(it);
		REQUIRE(item);
		found += strcmp(item->key, expect) == 0;
		count++;
		uplink_free_object(item);
	}
	NO_ERROR(uplink_object_iterator_err(it));
	uplink_free_object_iterator(it);
	REQUIRE(found == 1);
	return count;
}

static void listings(UplinkProject *p)
{
	REQUIRE(listed(p, (UplinkListObjectsOptions){ .recursive = true }, "dir/empty") == 3);
	REQUIRE(listed(p, (UplinkListObjectsOptions){ 0 }, "dir/") == 2);
	REQUIRE(listed(p, (UplinkListObjectsOptions){ .prefix = "dir/" }, "dir/small") == 2);
	UplinkListObjectsOptions bad = { .prefix = "dir" };
	UplinkObjectIterator *it = uplink_list_objects(p, "library", &bad);
	REQUIRE(!uplink_object_iterator_next(it));
	IS_ERROR(uplink_object_iterator_err(it), UPLINK_ERROR_INTERNAL);
	uplink_free_object_iterator(it);
	it = uplink_list_objects(p, "no-such-bucket", NULL);
	REQUIRE(!uplink_object_iterator_next(it));
	IS_ERROR(uplink_object_iterator_err(it), UPLINK_ERROR_BUCKET_NOT_FOUND);
	uplink_free_object_iterator(it);
}

static void part(UplinkProject *p, const char *id, uint32_t number, size_t from, size_t size,
		 const char *etag)
{
	UplinkPartUploadResult u = uplink_upload_part(p, "library", "parts", id, number);

	NO_ERROR(u.error);
	UplinkWriteResult w = uplink_part_upload_write(u.part_upload, data + from, size);
	NO_ERROR(w.error);
	NO_ERROR(uplink_part_upload_set_etag(u.part_upload, etag));
	NO_ERROR(uplink_part_upload_commit(u.part_upload));
	UplinkPartResult info = uplink_part_upload_info(u.part_upload);
	REQUIRE(info.part->part_number == number && info.part->size == size);
	uplink_free_part_result(info);
	uplink_free_part_upload_result(u);
}

static void multipart(UplinkProject *p)
{
	enum { FIRST = BIG - 1000 }; /* above the least size of a part */
	UplinkUploadInfoResult up = uplink_begin_upload(p, "library", "parts", NULL);
	UplinkUploadInfoResult other = uplink_begin_upload(p, "library", "abandoned", NULL);
	int count = 0;

	NO_ERROR(up.error);
	NO_ERROR(other.error);
	const char *id = up.info->upload_id;
	part(p, id, 7, FIRST, 1000, "tail");
	part(p, id, 1, 0, FIRST, "head");
	UplinkUploadIterator *uploads = uplink_list_uploads(p, "library", NULL);
	while (uplink_upload_iterator_next(uploads))
		count++;
	NO_ERROR(uplink_upload_iterator_err(uploads));
	REQUIRE(count == 2);
	uplink_free_upload_iterator(uploads);
	UplinkPartIterator *parts = uplink_list_upload_parts(p, "library", "parts", id, NULL);
	REQUIRE(uplink_part_iterator_next(parts));
	UplinkPart *first = uplink_part_iterator_item(parts);
	REQUIRE(first->part_number == 1 && first->size == FIRST &&
		strcmp(first->etag, "head") == 0);
	uplink_free_part(first);
	REQUIRE(uplink_part_iterator_next(parts) && !uplink_part_iterator_next(parts));
	NO_ERROR(uplink_part_iterator_err(parts));
	uplink_free_part_iterator(parts);
	NO_ERROR(uplink_abort_upload(p, "library", "abandoned", other.info->upload_id));
	UplinkCustomMetadataEntry e = { (char *)"k", 1, (char *)"v", 1 };
	UplinkCommitUploadOptions o = { { &e, 1 } };
	UplinkCommitUploadResult done = uplink_commit_upload(p, "library", "parts", id, &o);
	NO_ERROR(done.error);
	REQUIRE(done.object->system.content_length == BIG);
	uplink_free_commit_upload_result(done);
	download(p, "parts", 0, -1, 0, BIG);
	download(p, "parts", FIRST - 500, 1000, FIRST - 500, 1000);
	uplink_free_upload_info_result(up);
	uplink_free_upload_info_result(other);
}

static void sharing(UplinkAccess *access)
{
	UplinkPermission read = { .allow_download = true, .allow_list = true };
	UplinkSharePrefix prefix = { "library", "dir/" };
	UplinkAccessResult shared = uplink_access_share(access, read, &prefix, 1);
	NO_ERROR(shared.error);
	UplinkStringResult text = uplink_access_serialize(shared.access);
	NO_ERROR(text.error);
	UplinkAccessResult again = uplink_parse_access(text.string);
	NO_ERROR(again.error);
	UplinkProjectResult p = uplink_open_project(again.access);
	NO_ERROR(p.error);
	download(p.project, "dir/small", 0, -1, 0, SMALL);
	UplinkDownloadResult d = uplink_download_object(p.project, "library", "big", NULL);
	IS_ERROR(d.error, UPLINK_ERROR_PERMISSION_DENIED);
	UplinkObjectResult del = uplink_delete_object(p.project, "library", "dir/small");
	IS_ERROR(del.error, UPLINK_ERROR_PERMISSION_DENIED);
	UplinkStringResult json = acre_access_inspect(again.access);
	NO_ERROR(json.error);
	REQUIRE(strstr(json.string, "disallow_deletes") && strstr(json.string, "\"dir\""));
	uplink_free_string_result(json);
	uplink_free_project_result(p);
	uplink_free_access_result(again);
	uplink_free_string_result(text);
	uplink_free_access_result(shared);
}

/* A user with a key of his own in a place of a shared bucket, whose grant is revoked later. */
static void own_key(UplinkAccess *access, UplinkProject *project)
{
	UplinkConfig config = { .user_agent = "library-test", .temp_directory = "inmemory" };
	UplinkPermission all = { true, true, true, true, 0, 0 };
	UplinkSharePrefix place = { "library", "user/" };
	UplinkEncryptionKeyResult key = uplink_derive_encryption_key("theirs", data, 16);
	NO_ERROR(key.error);
	UplinkAccessResult user = uplink_access_share(access, all, &place, 1);
	NO_ERROR(user.error);
	NO_ERROR(uplink_access_override_encryption_key(user.access, "library", "user/",
						       key.encryption_key));
	IS_ERROR(uplink_access_override_encryption_key(user.access, "library", "no-slash",
						       key.encryption_key),
		 UPLINK_ERROR_INTERNAL);
	uplink_free_encryption_key_result(key);
	UplinkStringResult address = uplink_access_satellite_address(user.access);
	REQUIRE(address.string && strchr(address.string, '@'));
	uplink_free_string_result(address);
	UplinkProjectResult p = uplink_config_open_project(config, user.access);
	NO_ERROR(p.error);
	upload(p.project, "user/own", SMALL, 0);
	download(p.project, "user/own", 0, -1, 0, SMALL);
	IS_ERROR(uplink_stat_object(project, "library", "user/own").error,
		 UPLINK_ERROR_OBJECT_NOT_FOUND);
	UplinkObjectResult gone = uplink_delete_object(p.project, "library", "user/own");
	NO_ERROR(gone.error);
	uplink_free_object_result(gone);

	NO_ERROR(uplink_revoke_access(project, user.access));
	IS_ERROR(uplink_stat_object(p.project, "library", "user/own").error,
		 UPLINK_ERROR_PERMISSION_DENIED);
	uplink_free_project_result(p);
	uplink_free_access_result(user);
	UplinkObjectResult s = uplink_stat_object(project, "library", "dir/small");
	NO_ERROR(s.error);
	uplink_free_object_result(s);
}

/* From scratch; and listings of buckets. */
static void whole_project(void)
{
	UplinkListBucketsOptions behind = { "library" };
	UplinkConfig config = { .dial_timeout_milliseconds = 5000 };
	UplinkAccessResult a = uplink_config_request_access_with_passphrase(
		config, getenv("ACRE_SATELLITE"), getenv("ACRE_API_KEY"), "another passphrase");
	NO_ERROR(a.error);
	UplinkAccessResult again = uplink_request_access_with_passphrase(
		getenv("ACRE_SATELLITE"), getenv("ACRE_API_KEY"), "another passphrase");
	NO_ERROR(again.error);
	UplinkStringResult one = uplink_access_serialize(a.access);
	UplinkStringResult two = uplink_access_serialize(again.access);
	REQUIRE(one.string && two.string && strcmp(one.string, two.string) == 0);
	UplinkProject *p = project_of(a.access);
	make_bucket(p, "library-b");
	UplinkBucketIterator *it = uplink_list_buckets(p, NULL);
	int count = 0;
	while (uplink_bucket_iterator_next(it)) {
		UplinkBucket *item = uplink_bucket_iterator_item(it);
		REQUIRE(item->created > 1600000000);
		count += strncmp(item->name, "library", 7) == 0;
		uplink_free_bucket(item);
	}
	NO_ERROR(uplink_bucket_iterator_err(it));
	uplink_free_bucket_iterator(it);
	REQUIRE(count == 2);
	it = uplink_list_buckets(p, &behind);
	REQUIRE(uplink_bucket_iterator_next(it));
	UplinkBucket *item = uplink_bucket_iterator_item(it);
	REQUIRE(strcmp(item->name, "library-b") == 0);
	uplink_free_bucket(item);
	uplink_free_bucket_iterator(it);
	/* Names under another passphrase are passed over, and counted. */
	UplinkListObjectsOptions all = { .recursive = true };
	UplinkObjectIterator *o = uplink_list_objects(p, "library", &all);
	REQUIRE(!uplink_object_iterator_next(o));
	NO_ERROR(uplink_object_iterator_err(o));
	REQUIRE(acre_object_iterator_skipped(o) > 0);
	uplink_free_object_iterator(o);
	UplinkBucketResult b = uplink_delete_bucket(p, "library-b");
	NO_ERROR(b.error);
	uplink_free_bucket_result(b);
	free_project(p);
	uplink_free_string_result(one);
	uplink_free_string_result(two);
	uplink_free_access_result(a);
	uplink_free_access_result(again);
}

static void links(void)
{
	EdgeShareURLOptions raw = { .raw = true };
	UplinkStringResult u = edge_join_share_url("https://link.example/", "id", "bucket",
						   "a b/c?d", &raw);
	NO_ERROR(u.error);
	REQUIRE(strcmp(u.string, "https://link.example/raw/id/bucket/a%20b/c%3Fd") == 0);
	uplink_free_string_result(u);
	IS_ERROR(edge_join_share_url("https://link.example", "id", "", "key", NULL).error,
		 UPLINK_ERROR_INTERNAL);
}

static void progressed(void *arg, const AcreProgress *p)
{
	*(uint64_t *)arg = p->bytes_done;
}

/* Bytes put where the library wants them, mixed with written ones. */
static void rooms(UplinkProject *project)
{
	UplinkUploadResult u = uplink_upload_object(project, "library", "rooms", NULL);
	size_t at = 0;

	NO_ERROR(u.error);
	for (unsigned round = 0; at < BIG; round++) {
		AcreRoomResult room = acre_upload_room(u.upload);
		NO_ERROR(room.error);
		REQUIRE(room.length > 0);
		if (round == 3)
			IS_ERROR(acre_upload_filled(u.upload, room.length + 1).error,
				 UPLINK_ERROR_INTERNAL);
		size_t n = room.length - (round % 3 == 1 ? room.length / 2 : 0);
		n = n < BIG - at ? n : BIG - at;
		if (round % 5 != 4) {
			memcpy(room.bytes, data + at, n);
			UplinkWriteResult w = acre_upload_filled(u.upload, n);
			NO_ERROR(w.error);
			REQUIRE(w.bytes_written == n);
			IS_ERROR(acre_upload_filled(u.upload, 1).error, UPLINK_ERROR_INTERNAL);
		} else {
			UplinkWriteResult w = uplink_upload_write(u.upload, data + at, n);
			NO_ERROR(w.error);
		}
		at += n;
	}
	NO_ERROR(acre_upload_filled(u.upload, 0).error);
	NO_ERROR(uplink_upload_commit(u.upload));
	IS_ERROR(acre_upload_room(u.upload).error, UPLINK_ERROR_UPLOAD_DONE);
	uplink_free_upload_result(u);
	download(project, "rooms", 0, -1, 0, BIG);
}

struct source {
	size_t size;
	bool broken;
};

static int64_t read_source(void *arg, uint64_t offset, void *bytes, size_t length)
{
	const struct source *s = arg;
	size_t n = offset < s->size ? s->size - (size_t)offset : 0;

	if (s->broken)
		return -1;
	n = n < length ? n : length;
	memcpy(bytes, data + offset, n);
	return (int64_t)n;
}

/* Objects out of what can be read at any place: empty, inline, remote ones. */
static void sources(UplinkProject *project)
{
	static const size_t sizes[] = { 0, 1, 4096, 4097, BIG };
	struct source s = { BIG - 1, false };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		s.size = sizes[i];
		UplinkUploadResult u = uplink_upload_object(project, "library", "source", NULL);
		NO_ERROR(u.error);
		UplinkWriteResult w = acre_upload_from(u.upload, read_source, &s, s.size);
		NO_ERROR(w.error);
		REQUIRE(w.bytes_written == s.size);
		IS_ERROR(acre_upload_from(u.upload, read_source, &s, s.size).error,
			 UPLINK_ERROR_INTERNAL);
		NO_ERROR(uplink_upload_commit(u.upload));
		uplink_free_upload_result(u);
		download(project, "source", 0, -1, 0, s.size);
	}
	/* One that is shorter than was said, and one that fails. */
	for (int broken = 0; broken < 2; broken++) {
		s = (struct source){ BIG - 1, broken };
		UplinkUploadResult u = uplink_upload_object(project, "library", "source", NULL);
		NO_ERROR(u.error);
		UplinkWriteResult w = acre_upload_from(u.upload, read_source, &s, BIG);
		UplinkError *e = w.error ? w.error : uplink_upload_commit(u.upload);
		REQUIRE(e && strstr(e->message, "source"));
		uplink_free_error(e);
		uplink_free_upload_result(u);
	}
	download(project, "source", 0, -1, 0, BIG);
}

static void extensions(UplinkAccess *access)
{
	AcreCancel *cancel = acre_cancel_new();
	AcreConfig config = { .cancel = cancel, .segment_size = 1 << 20, .parallelism = 2 };
	UplinkProjectResult p = acre_open_project(&config, access);
	uint64_t seen = 0;
	AcreTransferOptions t = { .progress = progressed, .progress_arg = &seen };

	NO_ERROR(p.error);
	UplinkUploadResult u = acre_upload_object(p.project, "library", "segments", NULL, &t);
	NO_ERROR(u.error);
	UplinkWriteResult w = uplink_upload_write(u.upload, data, BIG);
	NO_ERROR(w.error);
	NO_ERROR(uplink_upload_commit(u.upload));
	REQUIRE(seen == BIG);
	uplink_free_upload_result(u);
	download(p.project, "segments", 0, -1, 0, BIG);
	download(p.project, "segments", (1 << 20) - 3, 7, (1 << 20) - 3, 7);
	u = uplink_upload_object(p.project, "library", "never", NULL);
	w = uplink_upload_write(u.upload, data, 100000);
	acre_cancel_set(cancel);
	w = uplink_upload_write(u.upload, data, BIG);
	if (!w.error)
		w.error = uplink_upload_commit(u.upload);
	IS_ERROR(w.error, UPLINK_ERROR_CANCELED);
	uplink_free_upload_result(u);
	UplinkObjectResult s = uplink_stat_object(p.project, "library", "big");
	IS_ERROR(s.error, UPLINK_ERROR_CANCELED);
	uplink_free_project_result(p);
	acre_cancel_free(cancel);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 31 + (i >> 8) * 7 + (i >> 16));
	UplinkAccessResult a = uplink_parse_access(getenv("ACRE_ACCESS"));
	NO_ERROR(a.error);
	UplinkProjectResult p = uplink_open_project(a.access);
	NO_ERROR(p.error);
	uplink_free_bucket_result(uplink_delete_bucket_with_objects(p.project, "library"));
	UplinkBucketResult b = uplink_create_bucket(p.project, "library");
	NO_ERROR(b.error);
	uplink_free_bucket_result(b);
	b = uplink_create_bucket(p.project, "library");
	REQUIRE(b.bucket && strcmp(b.bucket->name, "library") == 0);
	IS_ERROR(b.error, UPLINK_ERROR_BUCKET_ALREADY_EXISTS);
	uplink_free_bucket(b.bucket);
	objects(p.project);
	listings(p.project);
	multipart(p.project);
	sharing(a.access);
	own_key(a.access, p.project);
	whole_project();
	links();
	extensions(a.access);
	rooms(p.project);
	sources(p.project);
	b = uplink_delete_bucket(p.project, "library");
	IS_ERROR(b.error, UPLINK_ERROR_BUCKET_NOT_EMPTY);
	b = uplink_delete_bucket_with_objects(p.project, "library");
	NO_ERROR(b.error);
	uplink_free_bucket_result(b);
	NO_ERROR(uplink_close_project(p.project));
	uplink_free_project_result(p);
	uplink_free_access_result(a);
	REQUIRE(uplink_internal_UniverseIsEmpty());
	printf("ok\n");
	return 0;
}
