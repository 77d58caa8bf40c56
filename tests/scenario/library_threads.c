/* Threads that share a grant, a project and a cancellation, and take handles away from each other. */
#include <pthread.h>
#include <stdatomic.h>

#include "library.h"

enum { THREADS = 8, ROUNDS = 3, SIZE = 200000 };

static unsigned char data[SIZE];
static UplinkAccess *access_grant;
static UplinkProject *project;

static void share(const char *prefix)
{
	UplinkPermission read = { .allow_download = true, .allow_list = true };
	UplinkSharePrefix place = { "threads", prefix };
	UplinkAccessResult s = uplink_access_share(access_grant, read, &place, 1);

	NO_ERROR(s.error);
	UplinkStringResult text = uplink_access_serialize(s.access);
	NO_ERROR(text.error);
	uplink_free_string_result(text);
	uplink_free_access_result(s);
}

static void *work(void *arg)
{
	const char *name = arg;
	unsigned char *back = malloc(SIZE + 1);
	char object[32], other[32], prefix[32];
	size_t n;

	snprintf(prefix, sizeof(prefix), "%s/", name);
	snprintf(object, sizeof(object), "%s/object", name);
	snprintf(other, sizeof(other), "%s/other", name);
	for (int i = 0; i < ROUNDS; i++) {
		NO_ERROR(put(project, "threads", object, data, SIZE));
		NO_ERROR(get(project, "threads", object, back, SIZE + 1, &n));
		REQUIRE(n == SIZE && memcmp(back, data, SIZE) == 0);
		NO_ERROR(uplink_move_object(project, "threads", object, "threads", other, NULL));
		UplinkListObjectsOptions o = { .prefix = prefix };
		UplinkObjectIterator *it = uplink_list_objects(project, "threads", &o);
		REQUIRE(uplink_object_iterator_next(it) && !uplink_object_iterator_next(it));
		NO_ERROR(uplink_object_iterator_err(it));
		uplink_free_object_iterator(it);
		share(prefix);
		UplinkObjectResult gone = uplink_delete_object(project, "threads", other);
		NO_ERROR(gone.error);
		uplink_free_object_result(gone);
	}
	free(back);
	return NULL;
}

/* Uses a project until its handle is gone under it. */
static void *until_gone(void *arg)
{
	UplinkProject mine = *(UplinkProject *)arg;

	for (;;) {
		UplinkBucketResult b = uplink_stat_bucket(&mine, "threads");
		int code = b.error ? b.error->code : 0;
		REQUIRE(!code || code == UPLINK_ERROR_CANCELED || code == UPLINK_ERROR_INVALID_HANDLE);
		uplink_free_bucket_result(b);
		if (code == UPLINK_ERROR_INVALID_HANDLE)
			return NULL;
	}
}

/* Reads an object until somebody ends that. */
static void *read_on(void *arg)
{
	UplinkDownloadResult d = uplink_download_object(project, "threads", "endless", NULL);
	unsigned char byte;
	(void)arg;

	while (!d.error) {
		UplinkReadResult r = uplink_download_read(d.download, &byte, 1);
		if (r.error) {
			REQUIRE(r.error->code == UPLINK_ERROR_CANCELED || r.error->code == EOF);
			uplink_free_read_result(r);
			break;
		}
	}
	uplink_free_download_result(d);
	return NULL;
}

int main(void)
{
	static const char *const names[THREADS] = { "a", "b", "c", "d", "e", "f", "g", "h" };
	pthread_t threads[THREADS];

	for (size_t i = 0; i < SIZE; i++)
		data[i] = (unsigned char)(i * 5 + (i >> 8));
	access_grant = access_of_network();
	project = project_of(access_grant);
	make_bucket(project, "threads");
	for (int i = 0; i < THREADS; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, work, (void *)names[i]));
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);

	UplinkProject *shared = project_of(access_grant), copy = *shared;
	for (int i = 0; i < THREADS; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, until_gone, &copy));
	for (int i = 0; i < 10; i++)
		uplink_free_bucket_result(uplink_stat_bucket(shared, "threads"));
	free_project(shared);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);

	NO_ERROR(put(project, "threads", "endless", data, SIZE));
	for (int i = 0; i < THREADS; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, read_on, NULL));
	uplink_free_bucket_result(uplink_stat_bucket(project, "threads"));
	NO_ERROR(uplink_close_project(project));
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	free_project(project);
	project = project_of(access_grant);
	remove_bucket(project, "threads");
	free_project(project);
	free_access(access_grant);
	REQUIRE(uplink_internal_UniverseIsEmpty());
	printf("ok\n");
	return 0;
}
