/*
 * load put|get|stat|list BUCKET COUNT SIZE PARALLEL [TIMES]: moves, or asks for, COUNT objects of
 * SIZE bytes, PARALLEL at a time, over libacre, or lists them all; prints the seconds it took,
 * without its start.  TIMES is how many operations there are over those objects: COUNT, but one
 * listing, if it is not given.  The grant is in ACRE_ACCESS.  The Go twin is gouplink/main.go.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "uplink.h"

struct load {
	UplinkProject *project;
	char *bucket;
	char *data;
	size_t size;
	int count, times;
	atomic_int next;
	UplinkError *(*one)(struct load *l, char *key);
	atomic_bool failed;
};

static UplinkError *put(struct load *l, char *key)
{
	UplinkUploadResult u = uplink_upload_object(l->project, l->bucket, key, NULL);
	size_t at = 0;

	while (!u.error && at < l->size) {
		UplinkWriteResult w = uplink_upload_write(u.upload, l->data + at, l->size - at);
		at += w.bytes_written;
		u.error = w.error;
	}
	if (!u.error)
		u.error = uplink_upload_commit(u.upload);
	UplinkError *e = u.error;
	u.error = NULL;
	uplink_free_upload_result(u);
	return e;
}

static UplinkError *get(struct load *l, char *key)
{
	UplinkDownloadResult d = uplink_download_object(l->project, l->bucket, key, NULL);
	UplinkError *e = d.error;
	size_t got = 0;
	char block[16384];

	while (!e) {
		UplinkReadResult r = uplink_download_read(d.download, block, sizeof(block));
		got += r.bytes_read;
		e = r.error;
	}
	if (e->code == EOF && got == l->size) {
		uplink_free_error(e);
		e = NULL;
	}
	d.error = NULL;
	if (d.download)
		uplink_free_error(uplink_close_download(d.download));
	uplink_free_download_result(d);
	return e;
}

static UplinkError *stat_one(struct load *l, char *key)
{
	UplinkObjectResult r = uplink_stat_object(l->project, l->bucket, key);
	UplinkError *e = r.error;

	r.error = NULL;
	uplink_free_object_result(r);
	return e;
}

static UplinkError *list(struct load *l, char *key)
{
	UplinkListObjectsOptions options = { .recursive = true, .system = true };
	UplinkObjectIterator *it = uplink_list_objects(l->project, l->bucket, &options);
	int seen = 0;

	while (uplink_object_iterator_next(it)) {
		uplink_free_object(uplink_object_iterator_item(it));
		seen++;
	}
	UplinkError *e = uplink_object_iterator_err(it);
	uplink_free_object_iterator(it);
	if (!e && seen != l->count) {
		fprintf(stderr, "load: %d objects listed instead of %d\n", seen, l->count);
		l->failed = true;
	}
	return e;
}

static void *worker(void *arg)
{
	struct load *l = arg;

	for (;;) {
		int i = atomic_fetch_add(&l->next, 1);
		char key[32];
		if (i >= l->times || l->failed)
			return NULL;
		snprintf(key, sizeof(key), "load/%06d", i % l->count);
		UplinkError *e = l->one(l, key);
		if (!e)
			continue;
		fprintf(stderr, "load: %s: %s\n", key, e->message);
		uplink_free_error(e);
		l->failed = true;
	}
}

static int run_all(struct load *l, int parallel)
{
	pthread_t threads[256];

	for (int i = 0; i < parallel; i++)
		if (pthread_create(&threads[i], NULL, worker, l))
			return 1;
	for (int i = 0; i < parallel; i++)
		pthread_join(threads[i], NULL);
	return l->failed;
}

static const struct {
	const char *name;
	UplinkError *(*one)(struct load *l, char *key);
} kinds[] = { { "put", put }, { "get", get }, { "stat", stat_one }, { "list", list } };

/* false: the arguments are wrong. */
static int read_arguments(int argc, char **argv, struct load *l)
{
	if (argc != 6 && argc != 7)
		return 0;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(argv[1], kinds[i].name) == 0)
			l->one = kinds[i].one;
	l->bucket = argv[2];
	l->count = (int)strtol(argv[3], NULL, 10);
	l->size = strtoul(argv[4], NULL, 10);
	l->times = argc == 7 ? (int)strtol(argv[6], NULL, 10) : l->one == list ? 1 : l->count;
	return l->one && l->count > 0;
}

int main(int argc, char **argv)
{
	struct load l = { 0 };
	struct timespec start, end;

	int parallel = read_arguments(argc, argv, &l) ? (int)strtol(argv[5], NULL, 10) : 0;
	if (parallel < 1 || parallel > 256) {
		fprintf(stderr,
			"usage: load put|get|stat|list BUCKET COUNT SIZE PARALLEL [TIMES]\n");
		return 2;
	}
	l.data = malloc(l.size + 1);
	for (size_t i = 0; i < l.size; i++)
		l.data[i] = (char)(i * 2654435761U >> 11);
	UplinkAccessResult a = uplink_parse_access(getenv("ACRE_ACCESS"));
	UplinkProjectResult p = { 0 };
	if (!a.error)
		p = uplink_open_project(a.access);
	if (a.error || p.error) {
		fprintf(stderr, "load: %s\n", (a.error ? a.error : p.error)->message);
		return 1;
	}
	l.project = p.project;
	clock_gettime(CLOCK_MONOTONIC, &start);
	int failed = run_all(&l, parallel);
	clock_gettime(CLOCK_MONOTONIC, &end);
	uplink_free_error(uplink_close_project(p.project));
	uplink_free_project_result(p);
	uplink_free_access_result(a);
	free(l.data);
	if (failed)
		return 1;
	printf("%.6f\n",
	       (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
	return 0;
}
