/*
 * Changing owners as root, in directories where others may write.  A name is asked once, for a
 * descriptor; what that is and whose it shall be is said of the descriptor, so that nobody can put
 * another file or a link in its place between the two.
 */
#include "os/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

enum {
	LEVELS_MAX = 32, /* of directories in a tree */
	LINKS_MAX = 40,	 /* in a path, as the kernel has it */
};

static enum err give_error(struct call *call, int error, const char *path)
{
	return call_fail(call, error == ENOENT ? ERR_NOT_FOUND : ERR_PERMISSION,
			 "%s: cannot change its owner: %s", path, strerror(error));
}

/* ---- one path ---- */

/* The rest of a path that is being walked, and where the walk has come to. */
struct walk {
	const char *whole; /* as given, for errors */
	char rest[PATH_MAX];
	int fd;
	unsigned links;
};

static void move_to(struct walk *w, int fd)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = fd;
}

/* Cuts the first name off w->rest; false at the end.  A path that begins with / begins there. */
static bool next_name(struct walk *w, char name[PATH_MAX])
{
	size_t skip = strspn(w->rest, "/"), n = strcspn(w->rest + skip, "/");

	if (skip && w->fd < 0)
		move_to(w, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	memcpy(name, w->rest + skip, n);
	name[n] = 0;
	memmove(w->rest, w->rest + skip + n, strlen(w->rest + skip + n) + 1);
	return n > 0;
}

/* Puts where the link leads before the rest.  Only what this user or root made is believed: in a
 * directory of others they would choose what is given to them. */
static enum err follow(struct call *call, struct walk *w, int link, const struct stat *st)
{
	char target[PATH_MAX];
	size_t rest = strlen(w->rest);
	ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);

	if (n < 0)
		return give_error(call, errno, w->whole);
	target[n] = 0;
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return call_fail(call, ERR_PERMISSION,
				 "%s: a link to %s in it belongs to another user: give the path "
				 "without it",
				 w->whole, target);
	if (++w->links > LINKS_MAX || (size_t)n + rest >= sizeof(w->rest))
		return give_error(call, ELOOP, w->whole);
	memmove(w->rest + n, w->rest, rest + 1);
	memcpy(w->rest, target, (size_t)n);
	if (target[0] == '/')
		move_to(w, -1);
	return OK;
}

/* A descriptor that only names what the path leads to. */
static enum err open_trusted(struct call *call, const char *path, int *ret_fd)
{
	struct walk w = { .whole = path, .fd = -1 };
	char name[PATH_MAX];
	enum err e = OK;

	if (strlen(path) >= sizeof(w.rest))
		return give_error(call, ENAMETOOLONG, path);
	memcpy(w.rest, path, strlen(path) + 1);
	while (!e && next_name(&w, name)) {
		struct stat st;
		int fd = openat(w.fd >= 0 ? w.fd : AT_FDCWD, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st)) {
			e = give_error(call, errno, path);
			if (fd >= 0)
				close(fd);
		} else if (S_ISLNK(st.st_mode)) {
			e = follow(call, &w, fd, &st);
			close(fd);
		} else {
			move_to(&w, fd);
		}
	}
	if (e || w.fd < 0) {
		move_to(&w, -1);
		return e ? e : give_error(call, ENOENT, path);
	}
	*ret_fd = w.fd;
	return OK;
}

/* ---- owners ---- */

/* Of what the descriptor names.  A file with several names may be somebody else's, who did not
 * put it here (a hard link takes no right to the file). */
static enum err give_fd(struct call *call, int fd, const char *path, const struct os_user *who,
			bool *ret_dir)
{
	struct stat st;

	if (fstat(fd, &st))
		return give_error(call, errno, path);
	*ret_dir = S_ISDIR(st.st_mode);
	if (st.st_uid == who->uid && st.st_gid == who->gid)
		return OK;
	if (!*ret_dir && st.st_nlink > 1)
		return call_fail(call, ERR_PERMISSION,
				 "%s has other names, too, so it may be another user's: if it is "
				 "not, change its owner with chown",
				 path);
	if (fchownat(fd, "", who->uid, who->gid, AT_EMPTY_PATH))
		return give_error(call, errno, path);
	return OK;
}

enum err os_give(struct call *call, const char *path, const struct os_user *who)
{
	bool is_dir = false;
	int fd = -1;

	TRY_PLAIN(open_trusted(call, path, &fd));
	enum err e = give_fd(call, fd, path, who, &is_dir);
	close(fd);
	return e;
}

enum err os_owner(struct call *call, const char *path, struct os_user *ret)
{
	struct stat st;
	int fd = -1;

	TRY_PLAIN(open_trusted(call, path, &fd));
	int r = fstat(fd, &st), error = errno;
	close(fd);
	if (r)
		return give_error(call, error, path);
	*ret = (struct os_user){ st.st_uid, st.st_gid };
	return OK;
}

/* ---- trees ---- */

/* The directories from the top to where the walk is, open. */
struct tree {
	const char *top;
	DIR *dirs[LEVELS_MAX];
	unsigned depth;
};

static void tree_close(struct tree *t)
{
	while (t->depth)
		closedir(t->dirs[--t->depth]);
}

static enum err enter(struct call *call, struct tree *t, int fd)
{
	if (t->depth == LEVELS_MAX)
		return call_fail(call, ERR_OUT_OF_RANGE, "%s: more than %d levels of directories",
				 t->top, LEVELS_MAX);
	int list = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = list < 0 ? NULL : fdopendir(list);
	if (!dir) {
		int error = errno;
		if (list >= 0)
			close(list);
		return give_error(call, error, t->top);
	}
	t->dirs[t->depth++] = dir;
	return OK;
}

static enum err give_and_enter(struct call *call, struct tree *t, int fd, const char *path,
			       const struct os_user *who)
{
	bool is_dir = false;

	TRY_PLAIN(give_fd(call, fd, path, who, &is_dir));
	return is_dir ? enter(call, t, fd) : OK;
}

/* The next thing in the innermost directory, or out of it. */
static enum err give_next(struct call *call, struct tree *t, const struct os_user *who)
{
	DIR *dir = t->dirs[t->depth - 1];

	errno = 0;
	struct dirent *d = readdir(dir);
	if (!d && errno)
		return give_error(call, errno, t->top);
	if (!d) {
		closedir(dir);
		t->depth--;
		return OK;
	}
	if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
		return OK;
	int fd = openat(dirfd(dir), d->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? OK : give_error(call, errno, d->d_name);
	enum err e = give_and_enter(call, t, fd, d->d_name, who);
	close(fd);
	return e ? call_wrap(call, e, "in %s", t->top) : OK;
}

enum err os_give_tree(struct call *call, const char *top, const struct os_user *who)
{
	AUTO(tree_close) struct tree t = { .top = top };
	enum err e = OK;
	int fd = -1;

	TRY_PLAIN(open_trusted(call, top, &fd));
	e = give_and_enter(call, &t, fd, top, who);
	close(fd);
	while (!e && t.depth)
		e = give_next(call, &t, who);
	return e;
}
