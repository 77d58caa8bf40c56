/*
 * A client in one process for as many transfers as a test likes, so that what each leaves behind
 * adds up and is seen.  Reads commands from standard input and answers each with one line:
 *
 *   open GRANT STALL_MS CALL_MS SEGMENT_BYTES TEMP_DIR   -> ok (replaces an open project)
 *   put TAG BUCKET KEY SIZE SEED [0 SECONDS] -> TAG ok | TAG error CODE TEXT, when it is done; the
 *                                            object ends after so long
 *   get TAG BUCKET KEY SIZE SEED OFF LEN  -> the same; "TAG wrong TEXT" when the bytes differ
 *   multipart TAG BUCKET KEY SIZE SEED    -> the same, in two parts
 *   rm TAG BUCKET KEY                     -> the same; no object there is ok
 *   pending BUCKET                        -> pending N, uploads not committed
 *   stats  (waits for all)                -> stats FDS THREADS RSS_KB HEAP_KB
 *   close                                 -> ok
 *
 * Byte i of an object follows from its seed and i alone.
 */
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define UPLINK_DISABLE_NAMESPACE_COMPAT
#include <acre.h>

enum { LINE_MAX_BYTES = 16 << 10, NAME_MAX_BYTES = 128, CHUNK = 100 << 10, PART_MIN = 5 << 20 };

struct job {
	char verb[16], tag[NAME_MAX_BYTES], bucket[NAME_MAX_BYTES], key[NAME_MAX_BYTES];
	unsigned long long size, seed;
	long long offset, length;
};

static UplinkProject *project;
static UplinkAccess *granted;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static unsigned running;

static void fill(uint8_t *out, size_t n, unsigned long long seed, unsigned long long at)
{
	for (size_t i = 0; i < n; i++, at++) {
		uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + (at >> 3);
		x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
		out[i] = (uint8_t)((x ^ x >> 31) >> (at & 7) * 8);
	}
}

/* One line, whole. */
static void say(const char *tag, const char *what, int code, const char *text)
{
	char line[2048];
	int n = text ? snprintf(line, sizeof(line), "%s %s 0x%x %s", tag, what, (unsigned)code,
				text)
		     : snprintf(line, sizeof(line), "%s %s", tag, what);

	n = n < (int)sizeof(line) ? n : (int)sizeof(line) - 1;
	for (int i = 0; i < n; i++)
		if (line[i] == '\n' || line[i] == '\r')
			line[i] = '?';
	pthread_mutex_lock(&lock);
	printf("%s\n", line);
	fflush(stdout);
	pthread_mutex_unlock(&lock);
}

static void say_error(const char *tag, UplinkError *e)
{
	say(tag, "error", e->code, e->message ? e->message : "");
	uplink_free_error(e);
}

/* Writes bytes [from, to) with either writer. */
static UplinkError *write_all(UplinkUpload *u, UplinkPartUpload *p, const struct job *j,
			      unsigned long long from, unsigned long long to)
{
	uint8_t *chunk = malloc(CHUNK);

	while (from < to) {
		size_t n = to - from < CHUNK ? (size_t)(to - from) : CHUNK;
		fill(chunk, n, j->seed, from);
		UplinkWriteResult w = u ? uplink_upload_write(u, chunk, n)
					: uplink_part_upload_write(p, chunk, n);
		if (w.error) {
			free(chunk);
			return w.error;
		}
		from += w.bytes_written;
	}
	free(chunk);
	return NULL;
}

static UplinkError *put(const struct job *j)
{
	UplinkUploadOptions o = { .expires = j->length > 0 ? time(NULL) + j->length : 0 };
	UplinkUploadResult r = uplink_upload_object(project, j->bucket, j->key, &o);
	UplinkError *e = r.error;

	if (e)
		return e;
	e = write_all(r.upload, NULL, j, 0, j->size);
	if (!e)
		e = uplink_upload_commit(r.upload);
	if (e)
		uplink_free_error(uplink_upload_abort(r.upload));
	uplink_free_upload_result(r);
	return e;
}

static UplinkError *put_part(const struct job *j, const char *id, uint32_t number,
			     unsigned long long from, unsigned long long to)
{
	UplinkPartUploadResult r = uplink_upload_part(project, j->bucket, j->key, id, number);
	UplinkError *e = r.error;

	if (e)
		return e;
	e = write_all(NULL, r.part_upload, j, from, to);
	if (!e)
		e = uplink_part_upload_commit(r.part_upload);
	if (e)
		uplink_free_error(uplink_part_upload_abort(r.part_upload));
	uplink_free_part_upload_result(r);
	return e;
}

static UplinkError *multipart(const struct job *j)
{
	unsigned long long cut = j->size < PART_MIN ? j->size : PART_MIN;
	UplinkUploadInfoResult up = uplink_begin_upload(project, j->bucket, j->key, NULL);
	UplinkError *e = up.error;

	if (e)
		return e;
	e = put_part(j, up.info->upload_id, 1, 0, cut);
	if (!e && cut < j->size)
		e = put_part(j, up.info->upload_id, 2, cut, j->size);
	if (!e) {
		UplinkCommitUploadResult done = uplink_commit_upload(project, j->bucket, j->key,
								     up.info->upload_id, NULL);
		e = done.error;
		done.error = NULL;
		uplink_free_commit_upload_result(done);
	}
	if (e)
		uplink_free_error(
			uplink_abort_upload(project, j->bucket, j->key, up.info->upload_id));
	uplink_free_upload_info_result(up);
	return e;
}

/* *ret_at: how many bytes came and were right. */
static UplinkError *get(const struct job *j, unsigned long long *ret_at, bool *ret_wrong)
{
	UplinkDownloadOptions o = { j->offset, j->length };
	UplinkDownloadResult r = uplink_download_object(project, j->bucket, j->key, &o);
	UplinkError *e = r.error;

	if (e)
		return e;
	uint8_t *got = malloc(CHUNK), *want = malloc(CHUNK);
	while (!e) {
		UplinkReadResult n = uplink_download_read(r.download, got, CHUNK);
		fill(want, n.bytes_read, j->seed, (unsigned long long)j->offset + *ret_at);
		*ret_wrong |= memcmp(got, want, n.bytes_read) != 0;
		*ret_at += n.bytes_read;
		e = n.error;
	}
	free(got);
	free(want);
	uplink_free_error(uplink_close_download(r.download));
	uplink_free_download_result(r);
	if (e->code == EOF) {
		uplink_free_error(e);
		e = NULL;
	}
	return e;
}

static UplinkError *rm(const struct job *j)
{
	UplinkObjectResult r = uplink_delete_object(project, j->bucket, j->key);
	UplinkError *e = r.error;

	r.error = NULL;
	uplink_free_object_result(r);
	if (e && e->code == UPLINK_ERROR_OBJECT_NOT_FOUND) {
		uplink_free_error(e);
		e = NULL;
	}
	return e;
}

static void *run(void *arg)
{
	struct job *j = arg;
	unsigned long long at = 0;
	bool wrong = false;
	UplinkError *e;

	if (strcmp(j->verb, "get") == 0) {
		e = get(j, &at, &wrong);
		wrong |= !e && at != (j->length < 0 ? j->size - (unsigned long long)j->offset
						    : (unsigned long long)j->length);
	} else if (strcmp(j->verb, "put") == 0) {
		e = put(j);
	} else if (strcmp(j->verb, "rm") == 0) {
		e = rm(j);
	} else {
		e = multipart(j);
	}
	char text[64];
	snprintf(text, sizeof(text), "after %llu bytes", at);
	if (wrong)
		say(j->tag, "wrong", 0, text);
	else if (e)
		say_error(j->tag, e);
	else
		say(j->tag, "ok", 0, NULL);
	free(j);
	pthread_mutex_lock(&lock);
	running--;
	pthread_cond_broadcast(&ended);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void start(const struct job *j)
{
	struct job *copy = malloc(sizeof(*copy));
	pthread_attr_t detached;
	pthread_t thread;

	*copy = *j;
	pthread_mutex_lock(&lock);
	running++;
	pthread_mutex_unlock(&lock);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &detached, run, copy)) {
		perror("pthread_create");
		exit(1);
	}
	pthread_attr_destroy(&detached);
}

static void wait_all(void)
{
	pthread_mutex_lock(&lock);
	while (running)
		pthread_cond_wait(&ended, &lock);
	pthread_mutex_unlock(&lock);
}

static void close_project(void)
{
	wait_all();
	if (!project)
		return;
	uplink_free_error(uplink_close_project(project));
	uplink_free_project_result((UplinkProjectResult){ .project = project });
	uplink_free_access_result((UplinkAccessResult){ .access = granted });
	project = NULL;
	granted = NULL;
}

static void open_project(const char *line)
{
	static char grant[LINE_MAX_BYTES];
	char temp[512];
	long long stall, call;
	unsigned long long segment;

	close_project();
	if (sscanf(line, "open %16000s %lld %lld %llu %511s", grant, &stall, &call, &segment,
		   temp) != 5) {
		say("open", "error", 0, "usage");
		return;
	}
	AcreConfig config = { .uplink = { .temp_directory = temp },
			      .call_timeout_ms = call,
			      .stall_timeout_ms = stall,
			      .segment_size = segment,
			      .parallelism = 2 };
	UplinkAccessResult a = uplink_parse_access(grant);
	if (a.error) {
		say_error("open", a.error);
		return;
	}
	UplinkProjectResult p = acre_open_project(&config, a.access);
	if (p.error) {
		say_error("open", p.error);
		uplink_free_access_result(a);
		return;
	}
	granted = a.access;
	project = p.project;
	say("open", "ok", 0, NULL);
}

static int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n - 2;
}

static void stats(void)
{
	char line[256];
	unsigned long rss = 0, threads = 0;

	wait_all();
	/* Threads that are done are gone a moment later. */
	for (int i = 0; i < 50 && count_entries("/proc/self/task") > 1; i++)
		usleep(20000);
	malloc_trim(0);
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "VmRSS: %lu", &rss);
		sscanf(line, "Threads: %lu", &threads);
	}
	if (f)
		fclose(f);
	struct mallinfo2 m = mallinfo2();
	printf("stats %d %lu %lu %zu\n", count_entries("/proc/self/fd") - 1, threads, rss,
	       (m.uordblks + m.hblkhd) >> 10);
	fflush(stdout);
}

static void pending(const char *bucket)
{
	UplinkListUploadsOptions o = { .recursive = true };
	UplinkUploadIterator *it = uplink_list_uploads(project, bucket, &o);
	int n = 0;

	while (uplink_upload_iterator_next(it))
		n++;
	UplinkError *e = uplink_upload_iterator_err(it);
	uplink_free_upload_iterator(it);
	if (e) {
		say_error("pending", e);
		return;
	}
	printf("pending %d\n", n);
	fflush(stdout);
}

int main(void)
{
	static char line[LINE_MAX_BYTES + 1024];
	char bucket[NAME_MAX_BYTES];

	setvbuf(stdout, NULL, _IOLBF, 0);
	/* Else glibc, having seen a large buffer freed, keeps tens of MiB in each thread's arena,
	 * and what we keep could not be told from it. */
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	mallopt(M_TRIM_THRESHOLD, 128 << 10);
	while (fgets(line, sizeof(line), stdin)) {
		struct job j = { .length = -1 };
		if (strncmp(line, "open ", 5) == 0) {
			open_project(line);
		} else if (strncmp(line, "close", 5) == 0) {
			close_project();
			say("close", "ok", 0, NULL);
		} else if (strncmp(line, "stats", 5) == 0) {
			stats();
		} else if (sscanf(line, "pending %127s", bucket) == 1) {
			pending(bucket);
		} else if (sscanf(line, "%15s %127s %127s %127s %llu %llu %lld %lld", j.verb, j.tag,
				  j.bucket, j.key, &j.size, &j.seed, &j.offset,
				  &j.length) >= (strncmp(line, "rm ", 3) == 0 ? 4 : 6)) {
			start(&j);
		} else {
			say("driver", "error", 0, "unknown command");
		}
	}
	close_project();
	if (!uplink_internal_UniverseIsEmpty()) {
		fprintf(stderr, "handles are left\n");
		return 1;
	}
	return 0;
}
