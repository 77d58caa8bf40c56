/* Files in memory with the durability of a real disk: only what was synced is sure to stay. */
#include "memdisk.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/lock.h"

enum { SECTOR = 512, FILES_MAX = 512, CHANGES_MAX = 4096 };

struct change { /* not yet synced, in order */
	bool truncate;
	uint64_t offset, len;
	uint8_t *data;
	struct change *next;
};

struct content {
	uint8_t *data;
	uint64_t len, cap;
};

struct inode {
	struct content now, durable;
	struct change *first, **last;
	bool locked;
	struct inode *next; /* of all that were ever made */
};

struct entry {
	char *path;
	struct inode *inode; /* NULL = directory */
};

struct names {
	struct entry list[FILES_MAX];
	size_t count;
};

/* A change of the name space that its directory has not synced. */
struct renaming {
	char *from, *to; /* from NULL = create, to NULL = unlink */
	struct inode *inode;
};

static struct {
	struct os_mutex lock;
	struct names now, durable;
	struct inode *inodes;
	struct renaming pending[CHANGES_MAX];
	size_t pending_count;
	uint64_t seed, operations, die_after, free, syncs, reads;
	int64_t sync_ns;
	_Atomic bool dead;
} disk = { .free = UINT64_MAX };

struct os_file {
	struct inode *inode;
	char *path;
};

static uint64_t next_random(void)
{
	disk.seed ^= disk.seed << 13;
	disk.seed ^= disk.seed >> 7;
	disk.seed ^= disk.seed << 17;
	return disk.seed;
}

/* ---- content ---- */

static void put(struct content *c, uint64_t offset, const uint8_t *data, uint64_t len)
{
	if (offset + len > c->cap) {
		c->cap = (offset + len) * 2;
		c->data = realloc(c->data, c->cap);
	}
	if (offset > c->len)
		memset(c->data + c->len, 0, offset - c->len);
	memcpy(c->data + offset, data, len);
	c->len = MAX(c->len, offset + len);
}

static void cut(struct content *c, uint64_t len)
{
	static const uint8_t zero;

	if (len > c->len)
		put(c, len - 1, &zero, 1);
	c->len = len;
}

static void copy(struct content *to, const struct content *from)
{
	to->len = 0;
	if (from->len)
		put(to, 0, from->data, from->len);
}

static void add_change(struct inode *i, bool truncate, uint64_t offset, const uint8_t *data,
		       uint64_t len)
{
	struct change *c = calloc(1, sizeof(*c));

	*c = (struct change){ .truncate = truncate, .offset = offset, .len = len };
	if (len && data) {
		c->data = malloc(len);
		memcpy(c->data, data, len);
	}
	*i->last = c;
	i->last = &c->next;
}

static void drop_changes(struct inode *i)
{
	for (struct change *c = i->first, *next; c; c = next) {
		next = c->next;
		free(c->data);
		free(c);
	}
	i->first = NULL;
	i->last = &i->first;
}

/* What a power cut leaves of the changes: each sector of each write is there or not. */
static void settle(struct inode *i)
{
	for (struct change *c = i->first; c; c = c->next) {
		unsigned kind = (unsigned)(next_random() % 4); /* all, none, some */
		if (c->truncate) {
			if (kind)
				cut(&i->durable, c->offset);
			continue;
		}
		for (uint64_t at = 0; at < c->len;) {
			uint64_t n = MIN(SECTOR - (c->offset + at) % SECTOR, c->len - at);
			if (kind == 0 || (kind > 1 && next_random() % 2))
				put(&i->durable, c->offset + at, c->data + at, n);
			at += n;
		}
	}
	drop_changes(i);
	copy(&i->now, &i->durable);
}

/* ---- names ---- */

static struct entry *find(struct names *n, const char *path)
{
	for (size_t i = 0; i < n->count; i++)
		if (strcmp(n->list[i].path, path) == 0)
			return &n->list[i];
	return NULL;
}

static void set_name(struct names *n, const char *path, struct inode *inode)
{
	struct entry *e = find(n, path);

	if (!e) {
		e = &n->list[n->count++];
		e->path = strdup(path);
	}
	e->inode = inode;
}

static void remove_name(struct names *n, const char *path)
{
	struct entry *e = find(n, path);

	if (!e)
		return;
	free(e->path);
	*e = n->list[--n->count];
}

static void apply(struct names *n, const struct renaming *r)
{
	if (r->from)
		remove_name(n, r->from);
	if (r->to)
		set_name(n, r->to, r->inode);
}

static void change_names(const char *from, const char *to, struct inode *inode)
{
	struct renaming r = { .from = from ? strdup(from) : NULL,
			      .to = to ? strdup(to) : NULL,
			      .inode = inode };

	apply(&disk.now, &r);
	disk.pending[disk.pending_count++] = r;
}

static bool in_dir(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return path && strncmp(path, dir, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

/* Makes the pending changes [0, count) durable. */
static void settle_names(size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < disk.pending_count; i++) {
		struct renaming r = disk.pending[i];
		if (i < count) {
			apply(&disk.durable, &r);
			free(r.from);
			free(r.to);
		} else {
			disk.pending[kept++] = r;
		}
	}
	disk.pending_count = kept;
}

/* ---- control ---- */

static void free_all(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->list[i].path);
	n->count = 0;
}

void memdisk_reset(uint64_t seed)
{
	for (struct inode *i = disk.inodes, *next; i; i = next) {
		next = i->next;
		drop_changes(i);
		free(i->now.data);
		free(i->durable.data);
		free(i);
	}
	disk.inodes = NULL;
	free_all(&disk.now);
	free_all(&disk.durable);
	for (size_t i = 0; i < disk.pending_count; i++) {
		free(disk.pending[i].from);
		free(disk.pending[i].to);
	}
	disk.pending_count = 0;
	disk.seed = seed * 0x9e3779b97f4a7c15u + 1;
	disk.operations = disk.die_after = disk.syncs = 0;
	disk.free = UINT64_MAX;
	disk.sync_ns = 0;
	disk.dead = false;
}

void memdisk_die_after(uint64_t count)
{
	disk.die_after = count ? disk.operations + count : 0;
}

uint64_t memdisk_operations(void)
{
	return disk.operations;
}

bool memdisk_dead(void)
{
	return disk.dead;
}

void memdisk_restart(bool power_cut)
{
	disk.dead = false;
	disk.die_after = 0;
	if (power_cut) {
		settle_names(disk.pending_count ? next_random() % (disk.pending_count + 1) : 0);
		for (size_t i = 0; i < disk.pending_count; i++) {
			free(disk.pending[i].from);
			free(disk.pending[i].to);
		}
		disk.pending_count = 0;
		free_all(&disk.now);
		for (size_t i = 0; i < disk.durable.count; i++)
			set_name(&disk.now, disk.durable.list[i].path, disk.durable.list[i].inode);
		for (size_t i = 0; i < disk.now.count; i++)
			if (disk.now.list[i].inode)
				settle(disk.now.list[i].inode);
	}
	for (size_t i = 0; i < disk.now.count; i++)
		if (disk.now.list[i].inode)
			disk.now.list[i].inode->locked = false;
}

void memdisk_set_free(uint64_t bytes)
{
	disk.free = bytes;
}

bool memdisk_damage(const char *path, uint64_t offset)
{
	struct entry *e = find(&disk.now, path);

	if (!e || !e->inode || offset >= e->inode->now.len)
		return false;
	e->inode->now.data[offset] ^= 0xff;
	if (offset < e->inode->durable.len)
		e->inode->durable.data[offset] ^= 0xff;
	return true;
}

void memdisk_slow_sync(int64_t ns)
{
	disk.sync_ns = ns;
}

uint64_t memdisk_reads(void)
{
	return disk.reads;
}

uint64_t memdisk_syncs(void)
{
	return disk.syncs;
}

/* One operation: ERR_IO when the disk is dead; *ret_part when it dies now. */
static enum err operation(struct call *call, bool *ret_part)
{
	if (disk.dead)
		return call_fail(call, ERR_IO, "the disk is dead");
	disk.operations++;
	*ret_part = disk.die_after && disk.operations >= disk.die_after;
	disk.dead = *ret_part;
	return OK;
}

static enum err died(struct call *call)
{
	return call_fail(call, ERR_IO, "the disk died");
}

/* ---- os/file.h ---- */

enum err os_file_open(struct call *call, const char *path, unsigned flags, struct os_file **ret)
{
	OS_LOCKED(&disk.lock);
	struct entry *e = find(&disk.now, path);
	struct inode *inode = e ? e->inode : NULL;
	bool part = false;

	if (disk.dead)
		return died(call);
	if (!e && !(flags & OS_FILE_CREATE))
		return call_fail(call, ERR_NOT_FOUND, "no file %s", path);
	if (e && (flags & OS_FILE_EXCLUSIVE))
		return call_fail(call, ERR_EXISTS, "%s exists", path);
	if (!e) {
		TRY_PLAIN(operation(call, &part));
		inode = calloc(1, sizeof(*inode));
		inode->last = &inode->first;
		inode->next = disk.inodes;
		disk.inodes = inode;
		change_names(NULL, path, inode);
	}
	if (flags & OS_FILE_TRUNCATE && inode->now.len) {
		add_change(inode, true, 0, NULL, 0);
		cut(&inode->now, 0);
	}
	if (part)
		return died(call);
	struct os_file *f = calloc(1, sizeof(*f));
	f->inode = inode;
	f->path = strdup(path);
	*ret = f;
	return OK;
}

void os_file_close(struct os_file *f)
{
	if (!f)
		return;
	free(f->path);
	free(f);
}

enum err os_file_read_at(struct call *call, struct os_file *f, void *buf, size_t cap,
			 uint64_t offset, size_t *ret_n)
{
	OS_LOCKED(&disk.lock);
	const struct content *c = &f->inode->now;

	if (disk.dead)
		return died(call);
	disk.reads++;
	*ret_n = offset < c->len ? (size_t)MIN((uint64_t)cap, c->len - offset) : 0;
	if (*ret_n)
		memcpy(buf, c->data + offset, *ret_n);
	return OK;
}

static enum err write_part(struct call *call, struct os_file *f, struct bytes part, uint64_t offset)
{
	bool dies = false;

	TRY_PLAIN(operation(call, &dies));
	uint64_t n = dies ? next_random() % (part.len + 1) : part.len;
	/* Bytes that the file has already need no room. */
	uint64_t len = f->inode->now.len, own = offset < len ? MIN(len - offset, n) : 0;
	bool full = n - own > disk.free;
	n = own + MIN(n - own, disk.free);
	if (disk.free != UINT64_MAX)
		disk.free -= n - own;
	if (n) {
		put(&f->inode->now, offset, part.data, n);
		add_change(f->inode, false, offset, part.data, n);
	}
	if (dies)
		return died(call);
	return full ? call_fail(call, ERR_NO_SPACE, "write %s: no space left", f->path) : OK;
}

enum err os_file_write_at(struct call *call, struct os_file *f, const struct bytes *parts,
			  size_t parts_count, uint64_t offset)
{
	OS_LOCKED(&disk.lock);

	for (size_t i = 0; i < parts_count; i++) {
		if (!parts[i].len)
			continue;
		TRY_PLAIN(write_part(call, f, parts[i], offset));
		offset += parts[i].len;
	}
	return OK;
}

enum err os_file_write_cached_at(struct call *call, struct os_file *f, const struct bytes *parts,
				 size_t parts_count, uint64_t offset)
{
	return os_file_write_at(call, f, parts, parts_count, offset);
}

enum err os_file_sync(struct call *call, struct os_file *f)
{
	bool dies = false;

	if (disk.sync_ns)
		TRY_PLAIN(os_sleep(call, disk.sync_ns));
	OS_LOCKED(&disk.lock);
	TRY_PLAIN(operation(call, &dies));
	if (dies)
		return died(call);
	disk.syncs++;
	copy(&f->inode->durable, &f->inode->now);
	drop_changes(f->inode);
	return OK;
}

enum err os_file_size(struct call *call, struct os_file *f, uint64_t *ret)
{
	OS_LOCKED(&disk.lock);

	*ret = f->inode->now.len;
	return disk.dead ? died(call) : OK;
}

enum err os_file_truncate(struct call *call, struct os_file *f, uint64_t size)
{
	OS_LOCKED(&disk.lock);
	bool dies = false;

	TRY_PLAIN(operation(call, &dies));
	if (size != f->inode->now.len) {
		add_change(f->inode, true, size, NULL, 0);
		cut(&f->inode->now, size);
	}
	return dies ? died(call) : OK;
}

enum err os_file_lock(struct call *call, struct os_file *f)
{
	OS_LOCKED(&disk.lock);

	if (f->inode->locked)
		return call_fail(call, ERR_BUSY, "%s is in use by another process", f->path);
	f->inode->locked = true;
	return OK;
}

enum err os_file_read(struct call *call, struct os_file *f, void *buf, size_t cap, size_t *ret_n)
{
	return call_fail(call, ERR_IO, "not on this disk");
}

enum err os_file_write(struct call *call, struct os_file *f, struct bytes data)
{
	return call_fail(call, ERR_IO, "not on this disk");
}

struct os_file *os_stdin(void)
{
	return NULL;
}

struct os_file *os_stdout(void)
{
	return NULL;
}

struct os_file *os_stderr(void)
{
	return NULL;
}

enum err os_stat(struct call *call, const char *path, struct os_stat *ret)
{
	OS_LOCKED(&disk.lock);
	const struct entry *e = find(&disk.now, path);

	if (disk.dead)
		return died(call);
	if (!e)
		return call_fail(call, ERR_NOT_FOUND, "no file %s", path);
	*ret = (struct os_stat){ .size = e->inode ? e->inode->now.len : 0,
				 .is_dir = !e->inode,
				 .is_regular = e->inode != NULL };
	return OK;
}

enum err os_rename(struct call *call, const char *from, const char *to)
{
	OS_LOCKED(&disk.lock);
	struct entry *e = find(&disk.now, from);
	bool dies = false;

	TRY_PLAIN(operation(call, &dies));
	if (!e)
		return call_fail(call, ERR_NOT_FOUND, "no file %s", from);
	if (!dies)
		change_names(from, to, e->inode);
	return dies ? died(call) : OK;
}

enum err os_unlink(struct call *call, const char *path)
{
	OS_LOCKED(&disk.lock);
	bool dies = false;

	if (!disk.dead && !find(&disk.now, path))
		return call_fail(call, ERR_NOT_FOUND, "no file %s", path);
	TRY_PLAIN(operation(call, &dies));
	if (!dies)
		change_names(path, NULL, NULL);
	return dies ? died(call) : OK;
}

/* Directories are made once, at the beginning, and stay. */
enum err os_dir_make(struct call *call, const char *path, bool parents)
{
	OS_LOCKED(&disk.lock);

	if (disk.dead)
		return died(call);
	set_name(&disk.now, path, NULL);
	set_name(&disk.durable, path, NULL);
	return OK;
}

enum err os_dir_remove(struct call *call, const char *path)
{
	return call_fail(call, ERR_IO, "not on this disk");
}

enum err os_dir_sync(struct call *call, const char *path)
{
	OS_LOCKED(&disk.lock);
	bool dies = false;

	TRY_PLAIN(operation(call, &dies));
	if (dies)
		return died(call);
	/* A journal keeps order: everything up to the last change of this directory. */
	size_t count = 0;
	for (size_t i = 0; i < disk.pending_count; i++)
		if (in_dir(disk.pending[i].from, path) || in_dir(disk.pending[i].to, path))
			count = i + 1;
	settle_names(count);
	return OK;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum err os_dir_list(struct call *call, struct arena *a, const char *path, const char ***ret_names,
		     size_t *ret_count)
{
	OS_LOCKED(&disk.lock);
	const char **names = arena_array(a, FILES_MAX, sizeof(*names));
	size_t count = 0;

	if (disk.dead)
		return died(call);
	for (size_t i = 0; i < disk.now.count; i++)
		if (in_dir(disk.now.list[i].path, path))
			names[count++] =
				arena_str(a, bytes_str(strrchr(disk.now.list[i].path, '/') + 1));
	if (count)
		qsort(names, count, sizeof(*names), compare);
	*ret_names = names;
	*ret_count = count;
	return OK;
}

enum err os_space(struct call *call, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
	OS_LOCKED(&disk.lock);

	*ret_free = MIN(disk.free, UINT64_C(1) << 40);
	*ret_total = UINT64_C(1) << 41;
	return disk.dead ? died(call) : OK;
}
