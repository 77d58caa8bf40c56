/* Locations: sj://bucket/key, local paths, "-". */
#include "cli/cli.h"

#include <string.h>

enum err location_parse(struct cli *cli, const char *text, struct location *ret)
{
	struct location l = { .kind = LOCATION_LOCAL, .path = text, .bucket = "", .key = "" };

	if (strcmp(text, "-") == 0) {
		l.kind = LOCATION_STD;
	} else if (strncmp(text, "sj://", 5) == 0 || strncmp(text, "s3://", 5) == 0) {
		const char *bucket = text + 5, *slash = strchr(bucket, '/');
		size_t n = slash ? (size_t)(slash - bucket) : strlen(bucket);
		if (n == 0)
			return call_fail(&cli->call, ERR_CONFIG,
					 "\"%s\" names no bucket (want sj://bucket/key)", text);
		l.kind = LOCATION_REMOTE;
		l.bucket = arena_str(&cli->call.scratch, BYTES(bucket, n));
		l.key = slash ? slash + 1 : "";
		if (!l.bucket)
			return call_fail(&cli->call, ERR_NO_MEMORY, "out of memory");
	} else if (!text[0]) {
		return call_fail(&cli->call, ERR_CONFIG, "an empty path names nothing");
	} else if (strncmp(text, "sj:", 3) == 0) {
		return call_fail(&cli->call, ERR_CONFIG,
				 "\"%s\" is no address (want sj://bucket/key)", text);
	}
	*ret = l;
	return OK;
}

enum err location_parse_remote(struct cli *cli, const char *text, bool want_key,
			       struct location *ret)
{
	TRY_PLAIN(location_parse(cli, text, ret));
	if (ret->kind != LOCATION_REMOTE)
		return call_fail(&cli->call, ERR_CONFIG,
				 "\"%s\" is not remote (want sj://bucket%s)", text,
				 want_key ? "/key" : "");
	if (want_key && !ret->key[0])
		return call_fail(&cli->call, ERR_CONFIG,
				 "\"%s\" names no object (want sj://bucket/key)", text);
	return OK;
}

const char *location_text(struct cli *cli, const struct location *l)
{
	const char *text = "-";

	if (l->kind == LOCATION_LOCAL)
		text = l->path;
	else if (l->kind == LOCATION_REMOTE)
		text = arena_printf(&cli->call.scratch, l->key[0] ? "sj://%s/%s" : "sj://%s%s",
				    l->bucket, l->key);
	return text ? text : "";
}

bool location_is_folder(const struct location *l)
{
	const char *path = l->kind == LOCATION_REMOTE ? l->key : l->path;

	if (l->kind == LOCATION_STD)
		return false;
	return !path[0] || path[strlen(path) - 1] == '/';
}

const char *location_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}
