/*
 * A plain main for the fuzz targets: runs every file given, and every file in the directories
 * given, through LLVMFuzzerTestOneInput.  Without arguments, or with none but empty directories, it
 * fails: a corpus that went missing must not look like a pass.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { INPUT_MAX = 16 << 20, PATH_BYTES = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(INPUT_MAX);

	if (!f || !data) {
		fprintf(stderr, "cannot read %s\n", path);
		exit(1);
	}
	size_t n = fread(data, 1, INPUT_MAX, f);
	fclose(f);
	/* A copy of just the size, so that a sanitizer sees reads beyond the end. */
	uint8_t *exact = malloc(n ? n : 1);
	if (!exact)
		exit(1);
	for (size_t i = 0; i < n; i++)
		exact[i] = data[i];
	free(data);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	return 1;
}

static int replay(const char *path)
{
	struct stat st;
	int count = 0;

	if (stat(path, &st) != 0) {
		fprintf(stderr, "no such input: %s\n", path);
		exit(1);
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);
	DIR *dir = opendir(path);
	if (!dir)
		exit(1);
	for (struct dirent *d; (d = readdir(dir));) {
		char file[PATH_BYTES];

		if (d->d_name[0] == '.')
			continue;
		if (snprintf(file, sizeof(file), "%s/%s", path, d->d_name) >= (int)sizeof(file))
			exit(1);
		count += replay_file(file);
	}
	closedir(dir);
	return count;
}

int main(int argc, char *argv[])
{
	int count = 0;

	for (int i = 1; i < argc; i++)
		count += replay(argv[i]);
	printf("%d inputs\n", count);
	return count ? 0 : 1;
}
