/* Files change their owner, and never others that links lead to.  Takes root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "os/file.h"
#include "os/process.h"
#include "os/thread.h"

static const struct os_user them = { 4711, 4712 };

struct place {
	struct call call;
	const char *dir;
};

static const char *in(struct place *p, const char *name)
{
	return os_path_join(&p->call, p->dir, name);
}

static void make(struct place *p, const char *name)
{
	assert_int_equal(os_dir_make(&p->call, os_path_dir(&p->call, in(p, name)), true), OK);
	assert_int_equal(os_file_write_all(&p->call, in(p, name), bytes_str("x"), false), OK);
}

static unsigned owner(struct place *p, const char *name)
{
	struct stat st;

	assert_int_equal(lstat(in(p, name), &st), 0);
	return st.st_uid;
}

static int begin(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	char template[] = "/tmp/acre-test-give-XXXXXX";

	if (!p || !mkdtemp(template))
		return -1;
	call_init(&p->call);
	p->dir = arena_str(&p->call.scratch, bytes_str(template));
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct place *p = *state;
	char command[200];

	snprintf(command, sizeof(command), "rm -rf %s", p->dir);
	int r = system(command);
	call_fini(&p->call);
	free(p);
	return r;
}

/* Not under qemu-user, which shows another tree when it is asked for "/" alone. */
static bool root_is_root(struct place *p)
{
	int root = open("/", O_PATH | O_CLOEXEC), fd = openat(root, p->dir + 1, O_PATH | O_CLOEXEC);

	if (root >= 0)
		close(root);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

#define TAKES_ROOT()                                                                               \
	do {                                                                                       \
		if (!os_is_root())                                                                 \
			skip();                                                                    \
		if (!root_is_root(p)) {                                                            \
			print_message("ANOTHER ROOT THAN / HERE (QEMU)\n");                        \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

static void trees(void **state)
{
	struct place *p = *state;

	TAKES_ROOT();
	make(p, "tree/a/b/file");
	make(p, "tree/file");
	make(p, "outside/file");
	assert_int_equal(symlink("../outside", in(p, "tree/dir-link")), 0);
	assert_int_equal(symlink("../../outside/file", in(p, "tree/a/file-link")), 0);
	assert_int_equal(symlink("nowhere", in(p, "tree/gone")), 0);
	assert_int_equal(os_give_tree(&p->call, in(p, "tree"), &them), OK);
	const char *const theirs[] = { "tree",	    "tree/a",	       "tree/a/b",
				       "tree/file", "tree/a/b/file",   "tree/dir-link",
				       "tree/gone", "tree/a/file-link" };
	for (size_t i = 0; i < sizeof(theirs) / sizeof(*theirs); i++)
		assert_int_equal(owner(p, theirs[i]), them.uid);
	assert_int_equal(owner(p, "outside"), 0);
	assert_int_equal(owner(p, "outside/file"), 0);
	assert_int_equal(os_give_tree(&p->call, in(p, "nothing"), &them), ERR_NOT_FOUND);
	assert_int_equal(os_give(&p->call, in(p, "outside/"), &them), OK);
	struct os_user who = { 0 };
	assert_int_equal(os_owner(&p->call, in(p, "outside"), &who), OK);
	assert_true(who.uid == them.uid && who.gid == them.gid);
	assert_int_equal(os_owner(&p->call, in(p, "nothing"), &who), ERR_NOT_FOUND);
	assert_int_equal(owner(p, "outside"), them.uid);
	assert_int_equal(owner(p, "outside/file"), 0);
}

/* A link that root made in the path is the operator's word; anybody else's is not. */
static void links_in_the_path(void **state)
{
	struct place *p = *state;

	TAKES_ROOT();
	make(p, "disk/node/storage/file");
	make(p, "etc/file");
	assert_int_equal(symlink("disk", in(p, "mine")), 0);
	assert_int_equal(symlink(in(p, "disk/node"), in(p, "whole")), 0);
	assert_int_equal(os_give_tree(&p->call, in(p, "mine/node/../node/storage"), &them), OK);
	assert_int_equal(owner(p, "disk/node/storage/file"), them.uid);
	assert_int_equal(owner(p, "disk/node"), 0);
	assert_int_equal(os_give(&p->call, in(p, "whole"), &them), OK);
	assert_int_equal(owner(p, "disk/node"), them.uid);
	assert_int_equal(owner(p, "whole"), 0);

	assert_int_equal(symlink("etc", in(p, "theirs")), 0);
	assert_int_equal(lchown(in(p, "theirs"), 12345, 0), 0);
	assert_int_equal(os_give_tree(&p->call, in(p, "theirs"), &them), ERR_PERMISSION);
	assert_int_equal(os_give(&p->call, in(p, "theirs/file"), &them), ERR_PERMISSION);
	assert_non_null(strstr(p->call.error, "belongs to another user"));
	assert_int_equal(owner(p, "etc"), 0);
	assert_int_equal(owner(p, "etc/file"), 0);

	assert_int_equal(symlink("loop", in(p, "loop")), 0);
	assert_int_equal(os_give(&p->call, in(p, "loop"), &them), ERR_PERMISSION);
}

static void other_names(void **state)
{
	struct place *p = *state;

	TAKES_ROOT();
	make(p, "etc/shadow");
	make(p, "tree/file");
	assert_int_equal(link(in(p, "etc/shadow"), in(p, "tree/shadow")), 0);
	assert_int_equal(os_give_tree(&p->call, in(p, "tree"), &them), ERR_PERMISSION);
	assert_non_null(strstr(p->call.error, "shadow has other names"));
	assert_int_equal(owner(p, "etc/shadow"), 0);
	assert_int_equal(chown(in(p, "etc/shadow"), them.uid, them.gid), 0);
	assert_int_equal(os_give_tree(&p->call, in(p, "tree"), &them), OK);
	assert_int_equal(owner(p, "tree/file"), them.uid);
}

static void depth(void **state)
{
	struct place *p = *state;
	const char *path = "tree";

	TAKES_ROOT();
	for (int i = 1; i < 32; i++)
		path = os_path_join(&p->call, path, "d");
	assert_int_equal(os_dir_make(&p->call, in(p, path), true), OK);
	assert_int_equal(os_give_tree(&p->call, in(p, "tree"), &them), OK);
	assert_int_equal(owner(p, path), them.uid);
	assert_int_equal(os_dir_make(&p->call, in(p, os_path_join(&p->call, path, "d")), true), OK);
	assert_int_equal(os_give_tree(&p->call, in(p, "tree"), &them), ERR_OUT_OF_RANGE);
}

/* ---- a race ---- */

struct exchange {
	const char *name, *link, *spare;
	atomic_bool stop;
};

/* A directory and a link to the outside take turns under one name. */
static void exchange_main(void *arg)
{
	struct exchange *x = arg;

	while (!atomic_load(&x->stop)) {
		if (rename(x->name, x->spare) || rename(x->link, x->name) ||
		    rename(x->name, x->link) || rename(x->spare, x->name))
			return;
	}
}

static void exchanged_meanwhile(void **state)
{
	struct place *p = *state;
	struct os_thread *thread;
	enum { ROUNDS = 300 };

	TAKES_ROOT();
	make(p, "tree/name/file");
	make(p, "outside/file");
	assert_int_equal(symlink("../outside", in(p, "tree/link")), 0);
	struct exchange x = { .name = in(p, "tree/name"),
			      .link = in(p, "tree/link"),
			      .spare = in(p, "spare") };
	assert_int_equal(os_thread_start(&p->call, "exchange", exchange_main, &x, &thread), OK);
	for (int i = 0; i < ROUNDS; i++) {
		struct os_user who = { them.uid + (unsigned)i, them.gid };
		enum err e = os_give_tree(&p->call, in(p, "tree"), &who);
		assert_true(!e || e == ERR_NOT_FOUND);
		assert_int_equal(owner(p, "outside"), 0);
		assert_int_equal(owner(p, "outside/file"), 0);
	}
	atomic_store(&x.stop, true);
	os_thread_join(thread);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(trees, begin, end),
		cmocka_unit_test_setup_teardown(links_in_the_path, begin, end),
		cmocka_unit_test_setup_teardown(other_names, begin, end),
		cmocka_unit_test_setup_teardown(depth, begin, end),
		cmocka_unit_test_setup_teardown(exchanged_meanwhile, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
