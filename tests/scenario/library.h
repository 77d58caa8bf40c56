/* What the programs of test_library.py have in common: the public headers and nothing else. */
#ifndef LIBRARY_H
#define LIBRARY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UPLINK_DISABLE_NAMESPACE_COMPAT
#include <acre.h>

#define REQUIRE(what)                                                                              \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #what);                          \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static inline void no_error(UplinkError *e, const char *file, int line)
{
	if (!e)
		return;
	printf("%s:%d: error 0x%x: %s\n", file, line, (unsigned)e->code,
	       e->message ? e->message : "");
	exit(1);
}
#define NO_ERROR(e) no_error(e, __FILE__, __LINE__)

static inline void is_error(UplinkError *e, int code, const char *file, int line)
{
	if (!e || e->code != code) {
		printf("%s:%d: want error 0x%x, got 0x%x %s\n", file, line, (unsigned)code,
		       e ? (unsigned)e->code : 0, e && e->message ? e->message : "");
		exit(1);
	}
	uplink_free_error(e);
}
#define IS_ERROR(e, code) is_error(e, code, __FILE__, __LINE__)

static inline UplinkAccess *access_of_network(void)
{
	UplinkAccessResult a = uplink_parse_access(getenv("ACRE_ACCESS"));

	NO_ERROR(a.error);
	return a.access;
}

static inline UplinkProject *project_of(UplinkAccess *access)
{
	UplinkProjectResult p = uplink_open_project(access);

	NO_ERROR(p.error);
	return p.project;
}

static inline void free_access(UplinkAccess *access)
{
	uplink_free_access_result((UplinkAccessResult){ access, NULL });
}

static inline void free_project(UplinkProject *project)
{
	uplink_free_project_result((UplinkProjectResult){ project, NULL });
}

static inline void make_bucket(UplinkProject *project, const char *name)
{
	UplinkBucketResult b = uplink_ensure_bucket(project, name);

	NO_ERROR(b.error);
	uplink_free_bucket_result(b);
}

static inline void remove_bucket(UplinkProject *project, const char *name)
{
	UplinkBucketResult b = uplink_delete_bucket_with_objects(project, name);

	NO_ERROR(b.error);
	uplink_free_bucket_result(b);
}

/* The whole of data as one object. */
static inline UplinkError *put(UplinkProject *project, const char *bucket, const char *key,
			       void *data, size_t size)
{
	UplinkUploadResult u = uplink_upload_object(project, bucket, key, NULL);

	if (u.error)
		return u.error;
	UplinkWriteResult w = uplink_upload_write(u.upload, data, size);
	UplinkError *error = w.error ? w.error : uplink_upload_commit(u.upload);
	uplink_free_upload_result(u);
	return error;
}

/* Up to size bytes of an object. */
static inline UplinkError *get(UplinkProject *project, const char *bucket, const char *key,
			       unsigned char *data, size_t size, size_t *ret_size)
{
	UplinkDownloadResult d = uplink_download_object(project, bucket, key, NULL);
	UplinkError *error = d.error;
	size_t at = 0;

	if (error)
		return error;
	while (!error && at < size) {
		UplinkReadResult r = uplink_download_read(d.download, data + at, size - at);
		at += r.bytes_read;
		error = r.error;
	}
	if (error && error->code == EOF) {
		uplink_free_error(error);
		error = NULL;
	}
	*ret_size = at;
	uplink_free_download_result(d);
	return error;
}

#endif
