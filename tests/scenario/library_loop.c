/*
 * A program with an event loop: its only thread never waits but in poll().  Uploads and downloads
 * run side by side, some report progress, some are ended by a limit or by being closed.
 */
#include <poll.h>

#include "library.h"

enum { OBJECTS = 6, SIZE = 3 * 1024 * 1024 + 77, WAIT_MS = 100000 };

struct job {
	UplinkProject *project;
	AcreLoop *loop;
	char key[20];
	unsigned char *data, *back;
	size_t back_size;
	UplinkError *error;
	AcreLoopSource source;
	uint64_t seen;
	bool done;
};

static void upload(void *arg)
{
	struct job *job = arg;
	AcreTransferOptions o = { .progress = acre_loop_progress, .progress_arg = &job->source };
	UplinkUploadResult u = acre_upload_object(job->project, "loop", job->key, NULL, &o);

	job->error = u.error;
	if (!job->error)
		job->error = uplink_upload_write(u.upload, job->data, SIZE).error;
	if (!job->error)
		job->error = uplink_upload_commit(u.upload);
	u.error = NULL;
	uplink_free_upload_result(u);
}

static void download(void *arg)
{
	struct job *job = arg;

	job->error = get(job->project, "loop", job->key, job->back, SIZE + 1, &job->back_size);
}

static bool readable(AcreLoop *loop, int timeout_ms)
{
	struct pollfd p = { .fd = acre_loop_fd(loop), .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

/* Runs the loop until count jobs are done. */
static void turn(AcreLoop *loop, int count)
{
	AcreLoopEvent event;

	while (count) {
		REQUIRE(readable(loop, WAIT_MS));
		while (acre_loop_next(loop, &event)) {
			struct job *job = event.arg;
			if (event.kind == ACRE_LOOP_PROGRESS) {
				REQUIRE(event.progress.bytes_done >= job->seen);
				job->seen = event.progress.bytes_done;
				continue;
			}
			REQUIRE(event.kind == ACRE_LOOP_DONE && !job->done);
			job->done = true;
			count--;
		}
	}
	REQUIRE(!readable(loop, 0) && !acre_loop_next(loop, &event));
}

static void transfers(AcreLoop *loop, struct job *jobs)
{
	for (int i = 0; i < OBJECTS; i++)
		NO_ERROR(acre_loop_run(loop, upload, &jobs[i]));
	turn(loop, OBJECTS);
	for (int i = 0; i < OBJECTS; i++) {
		NO_ERROR(jobs[i].error);
		REQUIRE(jobs[i].seen == SIZE);
		jobs[i].done = false;
		NO_ERROR(acre_loop_run(loop, download, &jobs[i]));
	}
	turn(loop, OBJECTS);
	for (int i = 0; i < OBJECTS; i++) {
		NO_ERROR(jobs[i].error);
		REQUIRE(jobs[i].back_size == SIZE && memcmp(jobs[i].back, jobs[i].data, SIZE) == 0);
	}
}

static void limits(AcreLoop *loop, struct job *job, UplinkProject *project)
{
	/* A limit that is over. */
	UplinkProjectResult brief = acre_project_limit(project, 1);
	NO_ERROR(brief.error);
	IS_ERROR(acre_project_limit(brief.project, 5).error, UPLINK_ERROR_INTERNAL);
	poll(NULL, 0, 5);
	job->project = brief.project;
	job->done = false;
	NO_ERROR(acre_loop_run(loop, upload, job));
	turn(loop, 1);
	IS_ERROR(job->error, ACRE_ERROR_DEADLINE);
	IS_ERROR(uplink_stat_object(brief.project, "loop", "0").error, ACRE_ERROR_DEADLINE);
	uplink_free_project_result(brief);

	/* A limit that ends under an upload and a listing. */
	brief = acre_project_limit(project, 2000);
	NO_ERROR(brief.error);
	UplinkObjectIterator *it = uplink_list_objects(brief.project, "loop", NULL);
	UplinkUploadResult late = uplink_upload_object(brief.project, "loop", "late", NULL);
	NO_ERROR(late.error);
	NO_ERROR(uplink_upload_write(late.upload, job->data, SIZE / 2).error);
	poll(NULL, 0, 2100);
	IS_ERROR(uplink_upload_commit(late.upload), ACRE_ERROR_DEADLINE);
	uplink_free_upload_result(late);
	REQUIRE(!uplink_object_iterator_next(it));
	IS_ERROR(uplink_object_iterator_err(it), ACRE_ERROR_DEADLINE);
	uplink_free_object_iterator(it);
	uplink_free_project_result(brief);
	IS_ERROR(uplink_stat_object(project, "loop", "late").error, UPLINK_ERROR_OBJECT_NOT_FOUND);

	/* An upload that waits for more, ended by closing its handle alone. */
	UplinkProjectResult one = acre_project_limit(project, 0);
	NO_ERROR(one.error);
	UplinkUploadResult u = uplink_upload_object(one.project, "loop", "never", NULL);
	NO_ERROR(u.error);
	NO_ERROR(uplink_upload_write(u.upload, job->data, SIZE).error);
	NO_ERROR(uplink_close_project(one.project));
	IS_ERROR(uplink_upload_commit(u.upload), UPLINK_ERROR_CANCELED);
	uplink_free_upload_result(u);
	IS_ERROR(uplink_stat_object(one.project, "loop", "0").error, UPLINK_ERROR_CANCELED);
	uplink_free_project_result(one);

	/* The first handle noticed nothing; closed, it takes the others along. */
	job->project = project;
	job->done = false;
	NO_ERROR(acre_loop_run(loop, download, job));
	turn(loop, 1);
	NO_ERROR(job->error);
	one = acre_project_limit(project, 60000);
	NO_ERROR(one.error);
	UplinkDownloadResult d = uplink_download_object(one.project, "loop", "1", NULL);
	NO_ERROR(d.error);
	remove_bucket(project, "loop");
	NO_ERROR(uplink_close_project(project));
	UplinkReadResult r = { 0 };
	while (!r.error)
		r = uplink_download_read(d.download, job->back, 100000);
	IS_ERROR(r.error, UPLINK_ERROR_CANCELED);
	uplink_free_download_result(d);
	IS_ERROR(acre_project_limit(project, 5).error, UPLINK_ERROR_CANCELED);
	free_project(project);
	/* A limited handle keeps what it needs. */
	IS_ERROR(uplink_stat_object(one.project, "loop", "0").error, UPLINK_ERROR_CANCELED);
	uplink_free_project_result(one);
}

int main(void)
{
	static unsigned char data[SIZE];
	struct job jobs[OBJECTS];
	UplinkAccess *access = access_of_network();
	UplinkProject *project = project_of(access);
	AcreLoopResult loop = acre_loop_new(4);
	AcreLoopEvent event;

	NO_ERROR(loop.error);
	IS_ERROR(acre_loop_new(100000).error, UPLINK_ERROR_INTERNAL);
	REQUIRE(acre_loop_fd(NULL) == -1 && !acre_loop_next(NULL, &event));
	REQUIRE(!readable(loop.loop, 0) && !acre_loop_next(loop.loop, &event));
	IS_ERROR(acre_loop_run(NULL, upload, NULL), UPLINK_ERROR_INTERNAL);
	IS_ERROR(acre_loop_run(loop.loop, NULL, NULL), UPLINK_ERROR_INTERNAL);
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (unsigned char)(i * 7 + (i >> 10));
	memset(jobs, 0, sizeof(jobs));
	for (int i = 0; i < OBJECTS; i++) {
		jobs[i] = (struct job){ .project = project, .loop = loop.loop, .data = data };
		snprintf(jobs[i].key, sizeof(jobs[i].key), "%d", i);
		jobs[i].source = (AcreLoopSource){ loop.loop, &jobs[i] };
		jobs[i].back = malloc(SIZE + 1);
	}
	make_bucket(project, "loop");
	transfers(loop.loop, jobs);
	limits(loop.loop, &jobs[0], project);
	/* Freed with work in it and an event not taken: waits for the work. */
	jobs[1].project = NULL;
	jobs[1].done = false;
	NO_ERROR(acre_loop_run(loop.loop, upload, &jobs[1]));
	acre_free_loop_result(loop);
	IS_ERROR(jobs[1].error, UPLINK_ERROR_INTERNAL); /* project is NULL */
	for (int i = 0; i < OBJECTS; i++)
		free(jobs[i].back);
	free_access(access);
	REQUIRE(uplink_internal_UniverseIsEmpty());
	printf("ok\n");
	return 0;
}
