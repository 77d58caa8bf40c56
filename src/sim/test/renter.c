#include "sim/test/renter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/num.h"

enum { WRITE_BYTES = 100000 };

static const AcreConfig config = { .segment_size = RENTER_SEGMENT_BYTES,
				   .parallelism = 2,
				   .uplink = { .temp_directory = "inmemory" } };

static void check(UplinkError *error)
{
	if (error)
		fail_msg("%s", error->message);
}

struct renter renter_open(const struct sim_net *net)
{
	UplinkAccessResult access = acre_request_access(&config, sim_net_url(net),
							sim_net_api_key(net), "passphrase");
	check(access.error);
	UplinkProjectResult project = acre_open_project(&config, access.access);
	check(project.error);
	UplinkBucketResult bucket = uplink_ensure_bucket(project.project, "bucket");
	check(bucket.error);
	uplink_free_bucket_result(bucket);
	return (struct renter){ access.access, project.project };
}

void renter_close(struct renter *r)
{
	check(uplink_close_project(r->project));
	uplink_free_project_result((UplinkProjectResult){ .project = r->project });
	uplink_free_access_result((UplinkAccessResult){ .access = r->access });
	*r = (struct renter){ 0 };
}

void renter_put(const struct renter *r, const char *key, const uint8_t *data, size_t len)
{
	UplinkUploadResult up = uplink_upload_object(r->project, "bucket", key, NULL);

	check(up.error);
	for (size_t at = 0; at < len;) {
		UplinkWriteResult w = uplink_upload_write(up.upload, (void *)(uintptr_t)(data + at),
							  MIN(len - at, (size_t)WRITE_BYTES));
		check(w.error);
		at += w.bytes_written;
	}
	check(uplink_upload_commit(up.upload));
	uplink_free_upload_result(up);
}

void renter_get(const struct renter *r, const char *key, const uint8_t *want, size_t len)
{
	UplinkDownloadResult down = uplink_download_object(r->project, "bucket", key, NULL);
	uint8_t *got = malloc(RENTER_OBJECT_MAX);
	size_t n = 0;

	check(down.error);
	assert_non_null(got);
	for (;;) {
		UplinkReadResult read = uplink_download_read(down.download, got + n,
							     RENTER_OBJECT_MAX - n);
		n += read.bytes_read;
		if (read.error) {
			assert_int_equal(read.error->code, EOF);
			uplink_free_error(read.error);
			break;
		}
	}
	assert_int_equal(n, len);
	assert_memory_equal(got, want, len);
	free(got);
	check(uplink_close_download(down.download));
	uplink_free_download_result(down);
}
