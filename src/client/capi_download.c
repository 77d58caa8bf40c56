/* C API: downloads. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "client/capi.h"
#include "client/download.h"

struct download_handle {
	struct handled handled;
	struct download *download;
	bool closed;
};

static void download_release(struct handled *h)
{
	struct download_handle *d = (struct download_handle *)(void *)h;

	download_free(d->download);
	free(d);
}

UplinkDownloadResult acre_download_object(UplinkProject *project, uplink_const_char *bucket_name,
					  uplink_const_char *object_key,
					  const UplinkDownloadOptions *options,
					  const AcreTransferOptions *transfer)
{
	static const UplinkDownloadOptions all = { .offset = 0, .length = -1 };
	UplinkDownloadResult r = { NULL, NULL };
	struct call call AUTO_CALL = CALL_INIT;
	struct project *p AUTO(capi_put) = capi_project(project, &call, &r.error);

	if (!p || !capi_given(&r.error, "bucket_name", bucket_name, "object_key", object_key, NULL))
		return r;
	struct download_handle *d = calloc(1, sizeof(*d));
	if (!d) {
		r.error = capi_no_memory(NULL);
		return r;
	}
	d->handled = (struct handled){ HANDLE_DOWNLOAD, 1, download_release };
	if (!options)
		options = &all;
	r.error = outcome_error(&call, download_new(&call, p, bytes_str(bucket_name),
						    bytes_str(object_key), options->offset,
						    options->length, transfer, &d->download));
	if (r.error) {
		free(d);
		return r;
	}
	r.download = handle_new(&d->handled);
	if (!r.download)
		r.error = capi_no_memory(NULL);
	return r;
}

UplinkDownloadResult uplink_download_object(UplinkProject *project, uplink_const_char *bucket_name,
					    uplink_const_char *object_key,
					    UplinkDownloadOptions *options)
{
	return acre_download_object(project, bucket_name, object_key, options, NULL);
}

/* Fills buf as far as the object goes. */
static enum err read_some(struct call *call, struct download_handle *d, uint8_t *buf, size_t cap,
			  size_t *ret_n)
{
	*ret_n = 0;
	if (d->closed)
		return call_fail(call, ERR_CLOSED, "the download is closed");
	if (!cap)
		return OK;
	enum err e = download_read(call, d->download, buf, cap, ret_n);
	if (e == ERR_EOF)
		call->status = OUTCOME_STATUS(EOF);
	return e;
}

UplinkReadResult uplink_download_read(UplinkDownload *download, void *bytes, size_t length)
{
	UplinkReadResult r = { 0, NULL };
	struct call call AUTO_CALL = CALL_INIT;
	struct download_handle *d AUTO(capi_put) = capi_use(download, HANDLE_DOWNLOAD, "download",
							    &r.error);

	if (!d || (length && !capi_given(&r.error, "bytes", bytes, NULL)))
		return r;
	download_call(d->download, &call);
	enum err e = read_some(&call, d, bytes, length, &r.bytes_read);
	r.error = outcome_error(&call, e);
	return r;
}

UplinkObjectResult uplink_download_info(UplinkDownload *download)
{
	UplinkObjectResult r = { NULL, NULL };
	struct download_handle *d AUTO(capi_put) = capi_use(download, HANDLE_DOWNLOAD, "download",
							    &r.error);

	if (!d)
		return r;
	r.object = capi_object(download_info(d->download));
	if (!r.object)
		r.error = capi_no_memory(NULL);
	return r;
}

AcreResumed acre_download_resumed(UplinkDownload *download)
{
	UplinkError *error = NULL;
	struct download_handle *d AUTO(capi_put) = capi_use(download, HANDLE_DOWNLOAD, "download",
							    &error);

	if (!d) {
		uplink_free_error(error);
		return (AcreResumed){ 0 };
	}
	struct download_resumed r = download_resumed(d->download);
	return (AcreResumed){ r.offset, r.guard.data, r.guard.len };
}

UplinkError *acre_download_checkpoint(UplinkDownload *download, uint64_t offset, const void *guard,
				      size_t guard_length)
{
	UplinkError *error = NULL;
	struct call call AUTO_CALL = CALL_INIT;
	struct download_handle *d AUTO(capi_put) = capi_use(download, HANDLE_DOWNLOAD, "download",
							    &error);

	if (!d || (guard_length && !capi_given(&error, "guard", guard, NULL)))
		return error;
	return outcome_error(
		&call, download_checkpoint(&call, d->download, offset, BYTES(guard, guard_length)));
}

UplinkError *acre_download_done(UplinkDownload *download)
{
	UplinkError *error = NULL;
	struct download_handle *d AUTO(capi_put) = capi_use(download, HANDLE_DOWNLOAD, "download",
							    &error);

	if (d)
		download_done(d->download);
	return error;
}

void uplink_free_read_result(UplinkReadResult result)
{
	uplink_free_error(result.error);
}

UplinkError *uplink_close_download(UplinkDownload *download)
{
	UplinkError *error = NULL;

	if (!download)
		return NULL;
	struct download_handle *d AUTO(capi_put) = capi_use(download, HANDLE_DOWNLOAD, "download",
							    &error);
	if (!d)
		return error;
	d->closed = true;
	download_stop(d->download);
	return NULL;
}

void uplink_free_download_result(UplinkDownloadResult result)
{
	uplink_free_error(result.error);
	if (result.download)
		handle_put(handle_end(result.download, HANDLE_DOWNLOAD));
}
