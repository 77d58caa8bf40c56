/* Opening the index: what is on disk, and what of it can be used. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/piece_index_internal.h"
#include "os/file.h"
#include "os/log.h"
#include "os/random.h"

enum { GENERATION_DIGITS = 16 };

DEFINE_AUTO_PTR(struct os_file, os_file_auto, os_file_close)

static const char table_prefix[] = "table-";

const char *index_table_path(struct call *call, const struct piece_index *x, uint64_t generation)
{
	const char *p = arena_printf(&call->scratch, "%s/%s%016llx", x->dir, table_prefix,
				     (unsigned long long)generation);

	return p ? p : "";
}

const char *index_checkpoint_path(struct call *call, const struct piece_index *x)
{
	return os_path_join(call, x->dir, "checkpoint");
}

static bool parse_table_name(const char *name, uint64_t *ret)
{
	size_t prefix = sizeof(table_prefix) - 1;
	uint64_t v = 0;

	if (strncmp(name, table_prefix, prefix) != 0 || strlen(name) != prefix + GENERATION_DIGITS)
		return false;
	for (const char *p = name + prefix; *p; p++) {
		if (*p >= '0' && *p <= '9')
			v = v << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			v = v << 4 | (uint64_t)(*p - 'a' + 10);
		else
			return false;
	}
	*ret = v;
	return true;
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* The newest table; older ones and unfinished files go. */
static enum err pick_table(struct call *call, const struct piece_index *x, uint64_t *ret)
{
	const char **names = NULL;
	size_t count = 0;
	uint64_t newest = 0, generation;

	TRY_PLAIN(os_dir_list(call, &call->scratch, x->dir, &names, &count));
	for (size_t i = 0; i < count; i++)
		if (parse_table_name(names[i], &generation))
			newest = MAX(newest, generation);
	for (size_t i = 0; i < count; i++) {
		bool old = parse_table_name(names[i], &generation) && generation < newest;
		if (!old && !has_suffix(names[i], ".tmp"))
			continue;
		if (os_unlink(call, os_path_join(call, x->dir, names[i])))
			log_debug("a file of the index is left", F_STR("file", names[i]));
		call_clear_error(call);
	}
	*ret = newest;
	/* The newest table may have got its name just before a kill: what is built on it now must
	 * not lose it in a power cut. */
	return os_dir_sync(call, x->dir);
}

static enum err check_node(struct call *call, const struct piece_index *x,
			   const struct checkpoint *c)
{
	if (node_id_equal(&c->node, &x->config.node))
		return OK;
	return call_fail(call, ERR_PRECONDITION, "the index in %s belongs to another node", x->dir);
}

static enum err load_table(struct call *call, struct piece_index *x, struct arena *a,
			   uint64_t generation, struct checkpoint *known)
{
	struct table_ref *ref = calloc(1, sizeof(*ref));

	if (!ref)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for an index table");
	enum err e = piece_table_open(call, a, index_table_path(call, x, generation), known,
				      &ref->table);
	if (!e)
		e = check_node(call, x, known);
	if (!e && known->generation != generation)
		e = call_fail(call, ERR_FORMAT, "the index table has another's name");
	if (e) {
		piece_table_free(ref->table);
		free(ref);
		return e;
	}
	ref->users = 1;
	x->table = ref;
	x->generation = generation;
	x->seed = known->seed;
	return OK;
}

struct loading {
	struct piece_delta entries;
	struct piece_seed seed;
};

static enum err load_entry(struct call *call, void *arg, const struct piece_entry *e)
{
	struct loading *l = arg;

	piece_delta_put(&l->entries, piece_hash(&l->seed, e->id.b, e->satellite), e);
	return OK;
}

/* ERR_FORMAT: it cannot be used.  *ret_used false: there is none, or it is of an older table. */
static enum err load_checkpoint(struct call *call, struct piece_index *x, struct arena *a,
				struct checkpoint *known, bool *ret_used)
{
	AUTO(os_file_auto) struct os_file *f = NULL;
	struct loading l = { .seed = x->seed };
	struct checkpoint c = { 0 };
	uint64_t size = 0;
	enum err e = os_file_open(call, index_checkpoint_path(call, x), OS_FILE_READ, &f);

	if (e == ERR_NOT_FOUND) {
		call_clear_error(call);
		return OK;
	}
	TRY_PLAIN(e);
	TRY_PLAIN(os_file_size(call, f, &size));
	struct byte_source source = byte_source_file(f, size);
	TRY_PLAIN(piece_delta_reserve(call, &l.entries, &l.seed, size / PIECE_ENTRY_BYTES));
	e = checkpoint_load(call, a, &source, &c, load_entry, &l);
	if (!e)
		e = check_node(call, x, &c);
	if (!e && c.generation > x->generation)
		e = call_fail(call, ERR_FORMAT, "the table that the checkpoint goes with is gone");
	if (e || c.generation < x->generation) {
		piece_delta_free(&l.entries);
		return e;
	}
	/* Without a table the seed is the checkpoint's; it was loaded by another one. */
	x->active = l.entries;
	if (!x->table && memcmp(&x->seed, &c.seed, sizeof(x->seed)) != 0) {
		struct piece_delta again = { 0 };
		e = piece_delta_reserve(call, &again, &c.seed, l.entries.count);
		for (uint32_t i = 0; !e && i < l.entries.cap; i++) {
			const struct piece_entry *one = &l.entries.slots[i];
			if (one->header64)
				piece_delta_put(&again,
						piece_hash(&c.seed, one->id.b, one->satellite),
						one);
		}
		piece_delta_free(&x->active);
		x->active = again;
		x->seed = c.seed;
	}
	*known = c;
	*ret_used = true;
	return e;
}

/* It is of no more use; the log has everything. */
static void remove_files(struct piece_index *x, uint64_t generation)
{
	AUTO_CALL struct call call = CALL_INIT;
	const char *paths[] = { index_checkpoint_path(&call, x),
				index_table_path(&call, x, generation) };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		enum err e = os_unlink(&call, paths[i]);
		if (e && e != ERR_NOT_FOUND)
			log_error("the damaged index cannot be removed",
				  F_STR("why", call_error(&call, e)));
	}
}

/* What cannot be used is only a slower start: the log says it all. */
static enum err give_up(struct call *call, struct piece_index *x, enum err e,
			struct checkpoint *known)
{
	if (e != ERR_FORMAT)
		return e;
	log_warn("reading the whole piece log instead", F_STR("why", call_error(call, e)));
	call_clear_error(call);
	piece_delta_free(&x->active);
	if (x->table)
		piece_table_free(index_table_drop(take(&x->table)));
	*known = (struct checkpoint){ 0 };
	return OK;
}

static enum err load(struct call *call, struct piece_index *x, struct arena *a,
		     struct checkpoint *known)
{
	uint64_t newest = 0;
	bool used = false;

	TRY_PLAIN(pick_table(call, x, &newest));
	enum err e = newest ? load_table(call, x, a, newest, known) : OK;
	if (!e)
		e = load_checkpoint(call, x, a, known, &used);
	if (e) {
		TRY_PLAIN(give_up(call, x, e, known));
		remove_files(x, newest);
		/* No later table may have the number of one that is there. */
		x->generation = newest;
	}
	x->satellites = calloc(known->satellites_count + 1, sizeof(*x->satellites));
	if (!x->satellites)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for the piece index");
	if (known->satellites_count)
		memcpy(x->satellites, known->satellites,
		       known->satellites_count * sizeof(*x->satellites));
	x->satellites_count = known->satellites_count;
	x->satellites_cap = known->satellites_count + 1;
	return OK;
}

enum err piece_index_open(struct call *call, const struct piece_index_config *config,
			  struct arena *a, struct checkpoint *ret_known, struct piece_index **ret)
{
	AUTO_CALL struct call own = CALL_INIT;
	struct piece_index *x = calloc(1, sizeof(*x));
	struct checkpoint known = { 0 };

	if (!x || !(x->dir = strdup(config->dir))) {
		free(x);
		return call_fail(call, ERR_NO_MEMORY, "out of memory for the piece index");
	}
	call_init_child(&own, call);
	x->config = *config;
	x->config.dir = x->dir;
	if (!x->config.memory)
		x->config.memory = INDEX_MEMORY_DEFAULT;
	os_random(&x->seed, sizeof(x->seed));
	enum err e = load(&own, x, a, &known);
	if (e) {
		call_copy_error(call, &own);
		piece_index_close(x);
		return call_wrap(call, e, "piece index");
	}
	index_set_limit(x);
	*ret_known = known;
	*ret = x;
	return OK;
}

void piece_index_close(struct piece_index *x)
{
	if (!x)
		return;
	if (x->damaged) {
		log_warn("the index on disk is damaged: the next start rebuilds it from the log");
		remove_files(x, x->generation);
	}
	piece_table_free(index_table_drop(x->table));
	piece_delta_free(&x->active);
	piece_delta_free(&x->frozen);
	free(x->satellites);
	free(x->replaced);
	os_cond_fini(&x->calm);
	os_mutex_fini(&x->lock);
	free(x->dir);
	free(x);
}
