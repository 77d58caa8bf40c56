/* An import: one piece after another, in batches that share a sync. */
#include "node/import_internal.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "node/verify.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/log.h"
#include "proto/proto.h"

#define ORDER_NAME "import"
#define ORDER_HEAD "acre-node import 1\n"
#define PROOF_NAME "storage-dir-verification"

enum { ORDER_BYTES_MAX = 8192 };

/* ---- what is to be done ---- */

static struct bytes take_line(struct bytes *text, const char *name)
{
	size_t n = strlen(name);
	const uint8_t *end = text->len ? memchr(text->data, '\n', text->len) : NULL;
	struct bytes line = BYTES(text->data, end ? (size_t)(end - text->data) : text->len);

	*text = bytes_from(*text, line.len + 1);
	return bytes_has_prefix(line, bytes_str(name)) ? bytes_from(line, n) : BYTES_NONE;
}

enum err import_order_read(struct call *call, struct arena *a, const char *storage,
			   struct import_order *ret)
{
	AUTO_BUF struct buf text = BUF_INIT(ORDER_BYTES_MAX);
	const char *path = os_path_join(call, storage, ORDER_NAME);

	TRY_PLAIN(os_file_read_all(call, path, &text));
	struct bytes rest = buf_bytes(&text);
	if (!bytes_has_prefix(rest, bytes_str(ORDER_HEAD)))
		return call_fail(call, ERR_FORMAT, "%s is damaged, or of a later format", path);
	rest = bytes_from(rest, strlen(ORDER_HEAD));
	struct import_order o = { 0 };
	o.from = arena_str(a, take_line(&rest, "from "));
	o.logs = arena_str(a, take_line(&rest, "logs "));
	o.tables = arena_str(a, take_line(&rest, "tables "));
	o.move = bytes_equal(take_line(&rest, "how "), bytes_str("move"));
	o.done = bytes_equal(take_line(&rest, "state "), bytes_str("done"));
	if (!o.from || !o.logs || !o.tables)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*ret = o;
	return OK;
}

enum err import_order_write(struct call *call, const char *storage,
			    const struct import_order *order)
{
	AUTO_BUF struct buf text = BUF_INIT(ORDER_BYTES_MAX);

	if (strchr(order->from, '\n') || strchr(order->logs, '\n') || strchr(order->tables, '\n'))
		return call_fail(call, ERR_CONFIG, "a path of two lines");
	buf_printf(&text, ORDER_HEAD "from %s\nlogs %s\ntables %s\nhow %s\nstate %s\n", order->from,
		   order->logs, order->tables, order->move ? "move" : "copy",
		   order->done ? "done" : "unfinished");
	TRY(buf_status(&text), "import");
	return os_file_write_all(call, os_path_join(call, storage, ORDER_NAME), buf_bytes(&text),
				 false);
}

enum err import_is_source(struct call *call, const char *dir, const struct node_id *node, bool *ret)
{
	AUTO_BUF struct buf proof = BUF_INIT(NODE_ID_BYTES + 1);
	enum err e = os_file_read_all(call, os_path_join(call, dir, PROOF_NAME), &proof);

	/* Ours is longer, and text. */
	if (e == ERR_NOT_FOUND || e == ERR_OUT_OF_RANGE ||
	    (e == OK && proof.len != NODE_ID_BYTES)) {
		call_clear_error(call);
		*ret = false;
		return OK;
	}
	TRY_PLAIN(e);
	if (!bytes_equal(buf_bytes(&proof), node_id_bytes(node)))
		return call_fail(call, ERR_PRECONDITION,
				 "%s is of another node of Storj than this identity (mount the "
				 "right disk, or set identity)",
				 dir);
	*ret = true;
	return OK;
}

/* A disk that went away is no damaged piece. */
static enum err check_source(struct call *call, const struct import *im)
{
	bool source = false;

	TRY_PLAIN(import_is_source(call, im->config->from, &im->config->node, &source));
	if (!source)
		return call_fail(call, ERR_PRECONDITION,
				 "%s is no storage directory of Storj's node (no "
				 "storage-dir-verification in it): is the disk mounted?",
				 im->config->from);
	return OK;
}

/* ---- batches ---- */

enum err import_obsolete(struct call *call, struct import *im, const char *path)
{
	if (!im->config->move)
		return OK;
	if (im->obsolete_count == IMPORT_BATCH_MAX)
		TRY_PLAIN(import_flush(call, im, path));
	const char *copy = arena_str(&im->names, bytes_str(path));
	if (!copy)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	im->obsolete[im->obsolete_count++] = copy;
	return OK;
}

static enum err publish(struct call *call, struct import *im)
{
	enum err e = OK;

	for (size_t i = 0; i < im->count; i++) {
		if (!e)
			e = piece_writer_publish(call, im->batch[i]);
		if (!e) {
			im->figures.taken++;
			im->figures.bytes += piece_writer_size(im->batch[i]);
		}
		piece_writer_end(im->batch[i]);
	}
	im->count = 0;
	im->bytes = 0;
	return e;
}

enum err import_flush(struct call *call, struct import *im, const char *where)
{
	TRY(publish(call, im), "pieces could not be taken over");
	for (size_t i = 0; i < im->obsolete_count; i++)
		TRY(os_unlink(call, im->obsolete[i]), "what was taken over cannot be removed");
	im->obsolete_count = 0;
	arena_reset(&im->names);
	if (im->config->progress)
		im->config->progress(im->config->arg, &im->figures, where);
	if (call->cancel && os_cancel_is_set(call->cancel))
		return call_fail(call, ERR_CANCELED, "stopped");
	return OK;
}

/* ---- a piece ---- */

enum err import_list(struct call *call, struct arena *a, const char *path, const char ***ret_names,
		     size_t *ret_count)
{
	enum err e = os_dir_list(call, a, path, ret_names, ret_count);

	if (e != ERR_NOT_FOUND)
		return e;
	call_clear_error(call);
	*ret_count = 0;
	return OK;
}

static enum err damaged(struct call *call, struct import *im, const struct import_piece *p,
			enum err why)
{
	if (p->guessed) {
		call_clear_error(call);
		return OK;
	}
	log_warn("a piece of Storj's node cannot be taken over", F_STR("file", p->path),
		 F_HEX("piece", BYTES_OF(p->piece.b)), F_STR("why", call_error(call, why)));
	call_clear_error(call);
	TRY_PLAIN(check_source(call, im));
	im->figures.damaged++;
	if (im->config->damaged)
		im->config->damaged(im->config->arg, &p->satellite, &p->piece);
	return OK;
}

enum err import_present(struct call *call, struct import *im, const struct import_piece *p,
			bool *ret)
{
	struct piece_store *s = im->config->store;
	struct piece_reader r = { 0 };
	struct piece_entry entry;
	enum err e = piece_store_find(call, s, &p->satellite, &p->piece, &entry);

	*ret = false;
	if (e == ERR_NOT_FOUND)
		return OK;
	TRY_PLAIN(e);
	if (entry.flags & PIECE_DAMAGED)
		return OK;
	/* The other layout of Storj's node had it in the trash, this one has not: that counts. */
	if (entry.trashed_at && !p->trashed_unix_ns) {
		TRY_PLAIN(piece_reader_open(call, s, &p->satellite, &p->piece, &r));
		piece_reader_close(&r);
	}
	im->figures.present++;
	*ret = true;
	return OK;
}

static enum err read_part(struct call *call, const struct import_piece *p, void *out, size_t n,
			  uint64_t at)
{
	size_t got = 0;

	TRY_PLAIN(os_file_read_at(call, p->file, out, n, at, &got));
	return got == n ? OK : call_fail(call, ERR_DATA_LOSS, "the file ends early");
}

/* What the header says of the piece is about this very piece. */
static enum err read_header(struct call *call, const struct import *im,
			    const struct import_piece *p, uint8_t area[GO_HEADER_BYTES],
			    struct go_piece *ret, struct limit_terms *ret_terms)
{
	TRY_PLAIN(read_part(call, p, area, GO_HEADER_BYTES, p->header_at));
	TRY_PLAIN(go_piece_read(call, BYTES(area, GO_HEADER_BYTES), ret));
	TRY_PLAIN(limit_terms_read(call, &call->scratch, ret->limit, ret_terms));
	if (!node_id_equal(&ret_terms->satellite, &p->satellite) ||
	    !node_id_equal(&ret_terms->node, &im->config->node) ||
	    memcmp(ret_terms->piece.b, p->piece.b, PIECE_ID_BYTES) != 0)
		return call_fail(call, ERR_DATA_LOSS, "its header is of another piece");
	return OK;
}

/* Failures of the source go to *ret_source, all others are ours. */
static enum err copy(struct call *call, struct import *im, const struct import_piece *p,
		     const struct go_piece *head, struct piece_writer *w, enum err *ret_source)
{
	struct piece_commit c = { .created_unix_ns = head->created_unix_ns,
				  .stored_unix_ns = MIN(p->stored_unix_ns, im->now_unix_ns),
				  .trashed_unix_ns = p->trashed_unix_ns };
	uint8_t hash[HASH_BYTES];

	for (uint64_t at = 0; at < p->size;) {
		size_t n = (size_t)MIN(p->size - at, (uint64_t)IMPORT_READ_BYTES);
		*ret_source = read_part(call, p, im->buffer, n, p->data_at + at);
		if (*ret_source)
			return OK;
		TRY_PLAIN(piece_writer_add(call, w, BYTES(im->buffer, n)));
		at += n;
	}
	piece_writer_hash(w, hash);
	if (memcmp(hash, head->hash, HASH_BYTES) != 0) {
		*ret_source = call_fail(call, ERR_DATA_LOSS, "its bytes are not those of its hash");
		return OK;
	}
	if (head->signature.len)
		memcpy(c.uplink_signature, head->signature.data, sizeof(c.uplink_signature));
	return piece_writer_write(call, w, &c);
}

static enum err copy_piece(struct call *call, struct import *im, const struct import_piece *p,
			   const struct go_piece *head, const struct limit_terms *t, bool *ret_safe)
{
	const struct piece_begin begin = {
		.satellite = p->satellite,
		.piece = p->piece,
		.algorithm = head->algorithm,
		.expiration_unix_ns = t->piece_expiration_unix_ns,
		.size_max = p->size,
		.limit = head->limit,
		.import = true,
	};
	struct piece_writer *w = NULL;
	enum err source = OK;

	if (im->count == IMPORT_BATCH_MAX || im->bytes > IMPORT_BATCH_BYTES)
		TRY_PLAIN(import_flush(call, im, p->path));
	TRY_PLAIN(piece_writer_begin(call, im->config->store, &begin, &w));
	enum err e = copy(call, im, p, head, w, &source);
	if (e || source) {
		piece_writer_end(w);
		return e ? e : damaged(call, im, p, source);
	}
	im->batch[im->count++] = w;
	im->bytes += p->size;
	*ret_safe = true;
	return OK;
}

static bool expired(const struct import *im, const struct import_piece *p,
		    const struct limit_terms *t)
{
	int64_t now = im->now_unix_ns, end = t->piece_expiration_unix_ns;

	return (end != TIME_NONE && end < now - STORE_EXPIRY_GRACE_SECONDS * NS_PER_SEC) ||
	       (p->trashed_unix_ns && p->trashed_unix_ns < now - STORE_TRASH_SECONDS * NS_PER_SEC);
}

enum err import_take(struct call *call, struct import *im, const struct import_piece *p,
		     bool *ret_safe)
{
	AUTO_CALL struct call own = CALL_INIT;
	uint8_t area[GO_HEADER_BYTES];
	struct go_piece head;
	struct limit_terms t;

	call_init_child(&own, call);
	*ret_safe = false;
	enum err e = p->file ? read_header(&own, im, p, area, &head, &t)
			     : call_fail(&own, ERR_DATA_LOSS,
					 "its file is missing, or cannot be read");
	if (e == ERR_NOT_FOUND && !p->guessed) {
		im->figures.partial++;
		*ret_safe = true;
		return OK;
	}
	if (e == ERR_CANCELED) {
		call_copy_error(call, &own);
		return e;
	}
	if (!e && expired(im, p, &t)) {
		im->figures.expired++;
		*ret_safe = true;
		return OK;
	}
	e = e ? damaged(&own, im, p, e) : copy_piece(&own, im, p, &head, &t, ret_safe);
	if (e)
		call_copy_error(call, &own);
	return e;
}

/* ---- all of them ---- */

static enum err run(struct call *call, struct import *im)
{
	TRY_PLAIN(check_source(call, im));
	TRY_PLAIN(import_blobs(call, im));
	TRY_PLAIN(import_hashstores(call, im));
	TRY_PLAIN(import_trash(call, im));
	return import_flush(call, im, "the end");
}

static enum err run_one(struct call *call, struct import *im, const struct node_id *satellite,
			const struct piece_id *piece)
{
	bool found = false;

	TRY_PLAIN(import_one_blob(call, im, satellite, piece, &found));
	if (!found)
		TRY_PLAIN(import_one_record(call, im, satellite, piece, &found));
	return found ? import_flush(call, im, "a piece") : ERR_NOT_FOUND;
}

/* run for all, run_one for `piece`. */
static enum err with_import(struct call *call, const struct import_config *config,
			    const struct node_id *satellite, const struct piece_id *piece,
			    struct import_figures *ret)
{
	struct import im = { .config = config, .now_unix_ns = os_clock_unix_ns() };

	im.buffer = malloc(IMPORT_READ_BYTES);
	im.obsolete = calloc(IMPORT_BATCH_MAX, sizeof(*im.obsolete));
	enum err e = OK;
	if (!im.buffer || !im.obsolete)
		e = call_fail(call, ERR_NO_MEMORY, "out of memory");
	else
		e = piece ? run_one(call, &im, satellite, piece) : run(call, &im);
	if (e) {
		/* What was written is whole: it need not be read again. */
		AUTO_CALL struct call own = CALL_INIT;
		if (publish(&own, &im))
			call_clear_error(&own);
	}
	free(im.buffer);
	free(im.obsolete);
	arena_free(&im.names);
	*ret = im.figures;
	return e;
}

enum err import_run(struct call *call, const struct import_config *config,
		    struct import_figures *ret)
{
	return with_import(call, config, NULL, NULL, ret);
}

enum err import_one(struct call *call, const struct import_config *config,
		    const struct node_id *satellite, const struct piece_id *piece)
{
	struct import_config own = *config;
	struct import_figures figures;

	own.move = false; /* the run removes what is not needed any more */
	own.progress = NULL;
	own.damaged = NULL; /* it may just have been moved */
	return with_import(call, &own, satellite, piece, &figures);
}
