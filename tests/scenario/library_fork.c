/*
 * A process forks while its threads are transferring.  The child is told that the parent's handles
 * are not its own, can work with new ones, and harms nothing; the parent does not notice.
 */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library.h"

enum { SIZE = 2 * 1024 * 1024 + 5, FORKS = 8 };

static unsigned char data[SIZE];
static UplinkProject *project;
static _Atomic bool stop;

/* Takes and puts handles all the time, so that a fork finds the table in use. */
static void *busy(void *arg)
{
	unsigned char *back = malloc(SIZE + 1);
	char key[32];
	size_t n;

	snprintf(key, sizeof(key), "busy%s", (const char *)arg);
	while (!stop) {
		NO_ERROR(put(project, "fork", key, data, SIZE));
		NO_ERROR(get(project, "fork", key, back, SIZE + 1, &n));
		REQUIRE(n == SIZE && memcmp(back, data, SIZE) == 0);
	}
	free(back);
	return NULL;
}

static void *spin(void *arg)
{
	(void)arg;
	while (!stop)
		uplink_free_error(uplink_upload_commit(&(UplinkUpload){ 1234567 }));
	return NULL;
}

static void foreign(UplinkError *error)
{
	REQUIRE(error && error->code == UPLINK_ERROR_INVALID_HANDLE);
	REQUIRE(strstr(error->message, "fork"));
	uplink_free_error(error);
}

static void child(UplinkAccess *access, UplinkUploadResult upload, UplinkDownloadResult download,
		  UplinkObjectIterator *iterator, AcreCancel *cancel)
{
	unsigned char back[3000];
	size_t n;

	REQUIRE(uplink_internal_UniverseIsEmpty());
	foreign(uplink_upload_write(upload.upload, data, 10).error);
	foreign(uplink_upload_commit(upload.upload));
	foreign(uplink_download_read(download.download, back, 10).error);
	foreign(uplink_stat_object(project, "fork", "x").error);
	foreign(uplink_open_project(access).error);
	foreign(uplink_close_project(project));
	REQUIRE(!uplink_object_iterator_next(iterator));
	foreign(uplink_object_iterator_err(iterator));
	acre_cancel_set(cancel);
	REQUIRE(!acre_cancel_is_set(cancel));
	uplink_free_upload_result(upload);
	uplink_free_download_result(download);
	uplink_free_object_iterator(iterator);
	free_project(project);
	free_access(access);

	access = access_of_network();
	project = project_of(access);
	char key[32];
	snprintf(key, sizeof(key), "child%d", (int)getpid());
	NO_ERROR(put(project, "fork", key, data, sizeof(back)));
	NO_ERROR(get(project, "fork", key, back, sizeof(back), &n));
	REQUIRE(n == sizeof(back) && memcmp(back, data, n) == 0);
	free_project(project);
	free_access(access);
	REQUIRE(uplink_internal_UniverseIsEmpty());
	fflush(stdout);
	_exit(0); /* a checker of leaks would see what the parent's threads held */
}

int main(void)
{
	UplinkAccess *access = access_of_network();
	pthread_t threads[4];
	unsigned char *back = malloc(SIZE + 1);
	AcreCancel *cancel = acre_cancel_new();
	AcreTransferOptions o = { .cancel = cancel };
	size_t n;

	for (size_t i = 0; i < SIZE; i++)
		data[i] = (unsigned char)(i * 13 + (i >> 9));
	project = project_of(access);
	make_bucket(project, "fork");
	NO_ERROR(put(project, "fork", "down", data, SIZE));
	for (int i = 0; i < 4; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, i % 2 ? busy : spin,
					(void *)(i / 2 ? "1" : "2")));
	for (int i = 0; i < FORKS; i++) {
		UplinkUploadResult u = acre_upload_object(project, "fork", "up", NULL, &o);
		NO_ERROR(u.error);
		NO_ERROR(uplink_upload_write(u.upload, data, SIZE / 2).error);
		UplinkDownloadResult d = acre_download_object(project, "fork", "down", NULL, &o);
		NO_ERROR(d.error);
		UplinkReadResult r = uplink_download_read(d.download, back, SIZE / 2);
		NO_ERROR(r.error);
		UplinkObjectIterator *it = uplink_list_objects(project, "fork", NULL);
		fflush(stdout);
		pid_t pid = fork();
		REQUIRE(pid >= 0);
		if (!pid)
			child(access, u, d, it, cancel);
		int status = 1;
		REQUIRE(waitpid(pid, &status, 0) == pid && status == 0);
		REQUIRE(uplink_object_iterator_next(it));
		uplink_free_object_iterator(it);
		NO_ERROR(uplink_upload_write(u.upload, data + SIZE / 2, SIZE - SIZE / 2).error);
		NO_ERROR(uplink_upload_commit(u.upload));
		uplink_free_upload_result(u);
		for (n = r.bytes_read; !r.error; n += r.bytes_read)
			r = uplink_download_read(d.download, back + n, SIZE + 1 - n);
		IS_ERROR(r.error, EOF);
		REQUIRE(n == SIZE && memcmp(back, data, SIZE) == 0);
		uplink_free_download_result(d);
	}
	stop = true;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	NO_ERROR(get(project, "fork", "up", back, SIZE + 1, &n));
	REQUIRE(n == SIZE && memcmp(back, data, SIZE) == 0);
	remove_bucket(project, "fork");
	free_project(project);
	free_access(access);
	acre_cancel_free(cancel);
	free(back);
	REQUIRE(uplink_internal_UniverseIsEmpty());
	printf("ok\n");
	return 0;
}
