/* Making an identity: a search for a CA key whose node ID ends in enough zero bits, then files. */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/hash.h"
#include "crypto/key_search.h"
#include "identity/internal.h"
#include "identity/pem.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/lock.h"
#include "os/thread.h"

enum { DIFFICULTY_MIN = 8, DIFFICULTY_MAX = 60, THREADS_MAX = 256, TICK_MS = 250 };

struct search {
	struct os_mutex lock;
	struct os_cond changed;
	unsigned difficulty;
	_Atomic uint64_t tried;
	_Atomic bool stop;
	/* Under the lock: */
	unsigned running;
	struct private_key *found;
	enum err failed;
	char error[CALL_ERROR_MAX];
};

DEFINE_AUTO_PTR(struct private_key, private_key_auto, private_key_free)
DEFINE_AUTO_PTR(struct key_search, key_search_auto, key_search_free)

static unsigned difficulty_of(struct bytes spki)
{
	uint8_t once[HASH_BYTES];
	struct node_id id;

	hash_sha256(spki, once);
	hash_sha256(BYTES_OF(once), id.b);
	id.b[NODE_ID_BYTES - 1] = 0;
	return node_id_difficulty(&id);
}

static void search_main(void *arg)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO(key_search_auto) struct key_search *keys = NULL;
	AUTO(private_key_auto) struct private_key *key = NULL;
	struct search *s = arg;

	call_init(&call);
	enum err e = key_search_new(&call, &keys);
	while (!e && !s->stop) {
		struct bytes spki = BYTES_NONE;

		e = key_search_next(&call, keys, &spki);
		s->tried++;
		if (!e && difficulty_of(spki) >= s->difficulty) {
			e = key_search_key(&call, keys, &key);
			break;
		}
	}
	os_mutex_lock(&s->lock);
	if (e && !s->failed) {
		s->failed = e;
		memcpy(s->error, call.error, sizeof(s->error));
	}
	if (key && !s->found)
		s->found = take(&key);
	s->stop = true;
	s->running--;
	os_cond_broadcast(&s->changed);
	os_mutex_unlock(&s->lock);
}

/* Waits for the threads, reporting on the way; stops them when the call ends. */
static enum err watch(struct call *call, struct search *s, const struct identity_search *how)
{
	uint64_t expected = UINT64_C(1) << (s->difficulty - DIFFICULTY_MIN);
	enum err e = OK;

	for (;;) {
		AUTO_CALL struct call tick = CALL_INIT;
		call_init(&tick);
		os_call_limit(&tick, TICK_MS * NS_PER_MS);
		os_mutex_lock(&s->lock);
		bool ended = s->running == 0;
		if (!ended && os_cond_wait(&tick, &s->changed, &s->lock) == OK)
			ended = s->running == 0;
		os_mutex_unlock(&s->lock);
		if (how->progress)
			how->progress(how->progress_arg, s->tried, expected);
		if (ended)
			return e;
		if (!e && (e = os_call_check(call)))
			s->stop = true;
	}
}

static enum err find_key(struct call *call, const struct identity_search *how,
			 struct private_key **ret)
{
	struct search s = { .difficulty = MAX(how->difficulty, (unsigned)DIFFICULTY_MIN) };
	unsigned count = MIN(how->threads ? how->threads : os_cpu_count(), (unsigned)THREADS_MAX);
	struct os_thread *threads[THREADS_MAX];
	unsigned started = 0;
	enum err e = OK;

	if (s.difficulty > DIFFICULTY_MAX)
		return call_fail(call, ERR_INVALID, "difficulty %u would take longer than a life",
				 s.difficulty);
	for (; started < count; started++) {
		os_mutex_lock(&s.lock);
		s.running++;
		os_mutex_unlock(&s.lock);
		e = os_thread_start(call, "identity", search_main, &s, &threads[started]);
		if (e) {
			os_mutex_lock(&s.lock);
			s.running--;
			os_mutex_unlock(&s.lock);
			break;
		}
	}
	/* Fewer threads than wished are fine, none is not. */
	if (started)
		e = watch(call, &s, how);
	for (unsigned i = 0; i < started; i++)
		os_thread_join(threads[i]);
	os_mutex_fini(&s.lock);
	os_cond_fini(&s.changed);
	if (!e && s.failed && !s.found)
		e = call_fail(call, s.failed, "%s", s.error);
	if (e) {
		private_key_free(s.found);
		return e;
	}
	*ret = s.found;
	return OK;
}

enum { FILE_CA_KEY, FILE_CA_CERT, FILE_KEY, FILE_CERT, FILE_COUNT };
static const struct {
	const char *name;
	bool secret;
} files[FILE_COUNT] = {
	[FILE_CA_KEY] = { "ca.key", true },
	[FILE_CA_CERT] = { "ca.cert", false },
	[FILE_KEY] = { "identity.key", true },
	[FILE_CERT] = { "identity.cert", false },
};

static enum err check_absent(struct call *call, const char *dir)
{
	for (size_t i = 0; i < FILE_COUNT; i++) {
		struct os_stat st;
		const char *path = os_path_join(call, dir, files[i].name);
		enum err e = os_stat(call, path, &st);
		if (e == OK)
			return call_fail(
				call, ERR_EXISTS,
				"%s exists already and is never overwritten: choose another "
				"directory, or move the old identity away",
				path);
		if (e != ERR_NOT_FOUND)
			return e;
	}
	call_clear_error(call);
	return OK;
}

DEFINE_AUTO_PTR(struct os_file, os_file_auto, os_file_close)

static enum err write_new(struct call *call, const char *path, bool secret, struct bytes content)
{
	AUTO(os_file_auto) struct os_file *f = NULL;
	unsigned flags = OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_EXCLUSIVE;

	TRY_PLAIN(os_file_open(call, path, flags | (secret ? OS_FILE_SECRET : 0), &f));
	enum err e = os_file_write_at(call, f, &content, 1, 0);
	if (!e)
		e = os_file_sync(call, f);
	if (e) {
		AUTO_CALL struct call drop = CALL_INIT;
		call_init(&drop);
		if (os_unlink(&drop, path))
			return e; /* the first failure is the one to report */
	}
	return e;
}

/* All four files, or none of those made here. */
static enum err write_files(struct call *call, const char *dir, struct buf content[FILE_COUNT])
{
	for (size_t i = 0; i < FILE_COUNT; i++) {
		enum err e = write_new(call, os_path_join(call, dir, files[i].name),
				       files[i].secret, buf_bytes(&content[i]));
		if (!e)
			continue;
		while (i-- > 0) {
			AUTO_CALL struct call drop = CALL_INIT;
			call_init(&drop);
			if (os_unlink(&drop, os_path_join(call, dir, files[i].name)))
				break;
		}
		return e;
	}
	return os_dir_sync(call, dir);
}

static enum err make_pem(struct call *call, const struct private_key *ca,
			 struct buf content[FILE_COUNT], struct node_id *ret_id)
{
	AUTO(private_key_auto) struct private_key *leaf = NULL;
	AUTO_BUF struct buf leaf_der = BUF_INIT(CHAIN_DER_MAX);
	AUTO_BUF struct buf ca_der = BUF_INIT(CHAIN_DER_MAX);
	struct cert_chain *chain;

	TRY_PLAIN(private_key_generate(call, &leaf));
	TRY_PLAIN(identity_chain_create(call, ca, leaf, &leaf_der, &ca_der));
	TRY_PLAIN(private_key_to_pem(call, ca, &content[FILE_CA_KEY]));
	TRY_PLAIN(private_key_to_pem(call, leaf, &content[FILE_KEY]));
	pem_add(&content[FILE_CA_CERT], "CERTIFICATE", buf_bytes(&ca_der));
	pem_add(&content[FILE_CERT], "CERTIFICATE", buf_bytes(&leaf_der));
	pem_add(&content[FILE_CERT], "CERTIFICATE", buf_bytes(&ca_der));
	for (size_t i = 0; i < FILE_COUNT; i++)
		TRY_PLAIN(buf_status(&content[i]));
	buf_add_bytes(&leaf_der, buf_bytes(&ca_der));
	TRY_PLAIN(cert_chain_from_der(call, buf_bytes(&leaf_der), &chain));
	enum err e = cert_chain_node_id(call, chain, ret_id);
	cert_chain_free(chain);
	return e;
}

enum err identity_create(struct call *call, const char *dir, const struct identity_search *search,
			 struct node_id *ret_id)
{
	AUTO(private_key_auto) struct private_key *ca = NULL;
	struct buf content[FILE_COUNT];
	struct node_id id;

	TRY_PLAIN(check_absent(call, dir));
	/* Before hours of searching: whether the directory can be written to at all. */
	TRY_PLAIN(os_dir_make(call, dir, true));
	TRY(find_key(call, search, &ca), "search for an identity");
	for (size_t i = 0; i < FILE_COUNT; i++)
		content[i] = BUF_INIT(2 * (size_t)CHAIN_DER_MAX);
	enum err e = make_pem(call, ca, content, &id);
	if (!e)
		e = write_files(call, dir, content);
	for (size_t i = 0; i < FILE_COUNT; i++)
		buf_free_secret(&content[i]);
	TRY(e, "create identity in %s", dir);
	*ret_id = id;
	return OK;
}
