/* Files of waiting garbage filters: head (magic, creation, satellite, BLAKE3 of the filter),
 * filter. */
#include "node/garbage.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "order/bloom.h"
#include "os/file.h"
#include "os/log.h"

static const uint8_t magic[8] = { 'A', 'C', 'R', 'E', 'R', 'E', 'T', '1' };

struct garbage {
	char dir[1];
};

enum err garbage_open(struct call *call, const char *dir, struct garbage **ret)
{
	struct garbage *g = calloc(1, sizeof(*g) + strlen(dir));

	if (!g)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	memcpy(g->dir, dir, strlen(dir) + 1);
	enum err e = os_dir_make(call, dir, false);
	if (e) {
		free(g);
		return e;
	}
	*ret = g;
	return OK;
}

void garbage_close(struct garbage *g)
{
	free(g);
}

/* "<satellite in hex>-<creation in hex>": names of one satellite sort by creation. */
static void make_name(const struct node_id *satellite, int64_t creation_unix_ns, char *out,
		      size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < NODE_ID_BYTES; i++)
		n += (size_t)snprintf(out + n, cap - n, "%02x", satellite->b[i]);
	snprintf(out + n, cap - n, "-%016llx", (unsigned long long)creation_unix_ns);
}

static bool same_satellite(const char *a, const char *b)
{
	return strncmp(a, b, 2 * NODE_ID_BYTES + 1) == 0;
}

enum err garbage_add(struct call *call, struct garbage *g, const struct node_id *satellite,
		     int64_t creation_unix_ns, struct bytes filter)
{
	AUTO_BUF struct buf content = BUF_INIT(GARBAGE_HEAD_BYTES + BLOOM_MAX);
	uint8_t head[GARBAGE_HEAD_BYTES] = { 0 };
	char name[2 * NODE_ID_BYTES + 32];
	const char **names = NULL;
	size_t count = 0;

	make_name(satellite, creation_unix_ns, name, sizeof(name));
	TRY_PLAIN(os_dir_list(call, &call->scratch, g->dir, &names, &count));
	for (size_t i = 0; i < count; i++)
		if (same_satellite(names[i], name) && strcmp(names[i], name) >= 0 &&
		    strlen(names[i]) == strlen(name))
			return OK;
	memcpy(head, magic, sizeof(magic));
	put_le64(head + 8, (uint64_t)creation_unix_ns);
	memcpy(head + 16, satellite->b, NODE_ID_BYTES);
	hash_blake3(filter, head + 48);
	buf_add(&content, head, sizeof(head));
	buf_add_bytes(&content, filter);
	TRY_PLAIN(buf_status(&content));
	TRY_PLAIN(os_file_write_all(call, os_path_join(call, g->dir, name), buf_bytes(&content),
				    false));
	for (size_t i = 0; i < count; i++)
		if (same_satellite(names[i], name) &&
		    os_unlink(call, os_path_join(call, g->dir, names[i])))
			call_clear_error(call); /* applied and removed meanwhile */
	return OK;
}

static bool parse(struct garbage_filter *f)
{
	struct bytes all = buf_bytes(&f->content);
	uint8_t sum[HASH_BYTES];

	if (all.len < GARBAGE_HEAD_BYTES || memcmp(all.data, magic, sizeof(magic)) != 0)
		return false;
	f->creation_unix_ns = (int64_t)get_le64(all.data + 8);
	memcpy(f->satellite.b, all.data + 16, NODE_ID_BYTES);
	f->filter = bytes_from(all, GARBAGE_HEAD_BYTES);
	hash_blake3(f->filter, sum);
	return memcmp(sum, all.data + 48, sizeof(sum)) == 0;
}

enum err garbage_next(struct call *call, struct garbage *g, struct garbage_filter *ret,
		      bool *ret_found)
{
	const char **names = NULL;
	size_t count = 0;

	*ret_found = false;
	TRY_PLAIN(os_dir_list(call, &call->scratch, g->dir, &names, &count));
	for (size_t i = 0; i < count; i++) {
		struct garbage_filter f = { .content = BUF_INIT(GARBAGE_HEAD_BYTES + BLOOM_MAX) };
		const char *path = os_path_join(call, g->dir, names[i]);
		enum err e = os_file_read_all(call, path, &f.content);
		if (!e && parse(&f) && strlen(names[i]) < sizeof(f.name)) {
			memcpy(f.name, names[i], strlen(names[i]) + 1);
			*ret = f;
			*ret_found = true;
			return OK;
		}
		garbage_filter_free(&f);
		if (e && e != ERR_OUT_OF_RANGE && e != ERR_NOT_FOUND)
			return e;
		call_clear_error(call);
		log_warn("a garbage filter on disk is damaged: removed", F_STR("file", path));
		TRY_PLAIN(os_unlink(call, path));
	}
	return OK;
}

enum err garbage_done(struct call *call, struct garbage *g, const struct garbage_filter *f)
{
	enum err e = os_unlink(call, os_path_join(call, g->dir, f->name));

	/* A newer one of the same satellite may have come and taken its place. */
	if (e != ERR_NOT_FOUND)
		return e;
	call_clear_error(call);
	return OK;
}

void garbage_filter_free(struct garbage_filter *f)
{
	buf_free(&f->content);
}
