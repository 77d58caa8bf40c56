/*
 * One file up or down.  Uploads keep the state for a resume in the configuration directory, under a
 * name that only says something to who has the grant; downloads keep theirs beside the file, and
 * its bytes in FILE.acre-partial until it is whole.
 */
#include "cli/cp_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/lock.h"
#include "os/pool.h"
#include "os/writer.h"

enum {
	GUARD_READ_BYTES = 64 << 10, /* the end of what is there, hashed to know it again */
	SAVE_MS = 2000,	    /* between checkpoints: each makes the writes of the moment wait */
	STATE_DAYS_MAX = 7, /* satellites forget pending uploads before */
	FACTS_MAX = 4096,
	BULK_MIN = 16 << 20, /* larger downloads go past the page cache as far as the disk can */
};

/* Progress that the library reports as totals becomes steps of the common bar. */
struct watch {
	struct progress *progress;
	uint64_t seen;
	const char *name;
};

static void on_progress(void *arg, const AcreProgress *p)
{
	struct watch *w = arg;

	progress_add(w->progress, (int64_t)(p->bytes_done - w->seen));
	w->seen = p->bytes_done;
}

static void on_notice(void *arg, AcreNotice notice, const char *text)
{
	const struct watch *w = arg;
	AUTO_BUF struct buf safe = BUF_INIT(8192);

	(void)notice;
	cli_add_safe(&safe, w->name);
	buf_add_str(&safe, ": ");
	cli_add_safe(&safe, text);
	cli_note("%s", buf_cstr(&safe));
}

/* ---- resume ---- */

static void sweep(struct cli *cli, const char *dir)
{
	int64_t oldest = os_clock_unix_ns() - STATE_DAYS_MAX * 24 * 3600 * NS_PER_SEC;
	const char **names;
	size_t count = 0;

	if (os_dir_list(&cli->call, &cli->call.scratch, dir, &names, &count))
		count = 0;
	for (size_t i = 0; i < count; i++) {
		const char *path = os_path_join(&cli->call, dir, names[i]);
		struct os_stat st;
		if (!os_stat(&cli->call, path, &st) && st.is_regular && st.mtime_unix_ns < oldest &&
		    os_unlink(&cli->call, path))
			break;
	}
	call_clear_error(&cli->call);
}

enum err cp_resume_init(struct cli *cli, struct cp *cp)
{
	UplinkAccess *access = NULL;
	const char *dir;

	TRY_PLAIN(cli_access(cli, &access));
	UplinkStringResult text = uplink_access_serialize(access);
	uplink_free_access_result((UplinkAccessResult){ .access = access });
	enum err e = cli_error(cli, text.error);
	text.error = NULL;
	if (!e)
		hash_blake3(bytes_str(text.string), cp->grant);
	uplink_free_string_result(text);
	TRY_PLAIN(e);
	/* Without a place for it uploads just do not resume. */
	if (cli_config_dir(cli, &dir)) {
		call_clear_error(&cli->call);
		return OK;
	}
	cp->resume_dir = os_path_join(&cli->call, dir, "resume");
	sweep(cli, cp->resume_dir);
	return OK;
}

static bool wants_resume(const struct cli *own, uint64_t size)
{
	switch (own->o.resume) {
	case PARAM_YES:
		return !own->o.no_resume;
	case PARAM_NO:
		return false;
	case PARAM_OPEN:
		break;
	}
	return !own->o.no_resume && size > CP_RESUME_ABOVE;
}

/* The state file of uploads to that object under this grant. */
static enum err upload_state(struct cli *own, const struct cp *cp, const struct location *to,
			     const char **ret)
{
	AUTO_BUF struct buf facts = BUF_INIT(FACTS_MAX + strlen(to->key));
	AUTO_BUF struct buf path = BUF_INIT(FACTS_MAX + strlen(cp->resume_dir));
	uint8_t digest[HASH_BYTES];

	buf_add(&facts, cp->grant, sizeof(cp->grant));
	buf_printf(&facts, "%s/%s", to->bucket, to->key);
	TRY_PLAIN(buf_status(&facts));
	hash_blake3(buf_bytes(&facts), digest);
	TRY_PLAIN(os_dir_make(&own->call, cp->resume_dir, true));
	buf_printf(&path, "%s/", cp->resume_dir);
	text_hex(&path, BYTES(digest, HASH_BYTES / 2));
	TRY_PLAIN(buf_status(&path));
	*ret = arena_str(&own->call.scratch, buf_bytes(&path));
	return *ret ? OK : call_fail(&own->call, ERR_NO_MEMORY, "out of memory");
}

/* What must not change between two tries.  The time of the last change cannot be set back, so that
 * a file that was written to is found out whatever its modification time says. */
static enum err source_facts(const struct cp *cp, const struct os_stat *st,
			     uint8_t digest[HASH_BYTES])
{
	AUTO_BUF struct buf facts = BUF_INIT(FACTS_MAX);

	buf_printf(&facts, "%llu %lld %lld %s", (unsigned long long)st->size,
		   (long long)st->mtime_unix_ns, (long long)st->changed_unix_ns,
		   cp->expires_text ? cp->expires_text : "");
	TRY_PLAIN(buf_status(&facts));
	hash_blake3(buf_bytes(&facts), digest);
	return OK;
}

static void note_resumable(const char *state)
{
	struct os_stat st;
	struct call call AUTO_CALL = CALL_INIT;

	if (state && os_stat(&call, state, &st) == OK)
		cli_note("to continue the transfer run the same command again");
}

/* ---- up ---- */

struct up {
	struct cli *own;
	struct cp *cp;
	const struct location *from, *to;
	struct os_file *in;
	struct os_stat st; /* before anything was read */
	const char *state; /* NULL = it does not resume */
	bool refused;	   /* the satellite has not kept the earlier try */
	struct os_mutex lock;
	char unread[CALL_ERROR_MAX]; /* why the file cannot be read; guarded by lock */
};

static enum err up_error(struct up *u, UplinkError *error)
{
	u->refused |= error && error->code == ACRE_ERROR_RESUME_REFUSED;
	return cli_error(u->own, error);
}

/* AcreReadAtFunc: the threads of the library read the file. */
static int64_t read_file(void *arg, uint64_t offset, void *bytes, size_t length)
{
	struct up *u = arg;
	struct call call AUTO_CALL = CALL_INIT;
	size_t n = 0;

	enum err e = os_file_read_at(&call, u->in, bytes, length, offset, &n);
	if (!e)
		return (int64_t)n;
	OS_LOCKED(&u->lock);
	snprintf(u->unread, sizeof(u->unread), "%s", call_error(&call, e));
	return -1;
}

/* The library says where the next bytes go, so that they are copied once. */
static enum err pump_stream(struct up *u, UplinkUpload *up)
{
	for (;;) {
		size_t n;
		AcreRoomResult room = acre_upload_room(up);
		TRY_PLAIN(up_error(u, room.error));
		TRY_PLAIN(os_file_read(&u->own->call, u->in, room.bytes, room.length, &n));
		if (n == 0)
			return OK;
		TRY_PLAIN(up_error(u, acre_upload_filled(up, n).error));
	}
}

/* What went wrong with the file says more than that the library could not read it. */
static enum err reading_failed(struct up *u, enum err e)
{
	OS_LOCKED(&u->lock);
	return e && u->unread[0] ? call_fail(&u->own->call, ERR_IO, "%s", u->unread) : e;
}

/* Some files of the system say that they are empty. */
static bool is_plain(const struct up *u)
{
	return u->st.is_regular && u->st.size > 0;
}

/* A file that is written to while it is read ends up as a mixture. */
static void check_unchanged(struct up *u)
{
	struct os_stat now;
	struct call call AUTO_CALL = CALL_INIT;

	if (!u->st.is_regular || os_stat(&call, u->from->path, &now))
		return;
	if (now.size != u->st.size || now.mtime_unix_ns != u->st.mtime_unix_ns ||
	    now.changed_unix_ns != u->st.changed_unix_ns)
		cli_note("%s changed while it was read", location_text(u->own, u->from));
}

static enum err up_once(struct up *u)
{
	struct watch watch = { u->cp->progress, 0, location_text(u->own, u->from) };
	uint8_t facts[HASH_BYTES];
	AcreTransferOptions t = {
		.progress = on_progress,
		.progress_arg = &watch,
		.notice = on_notice,
		.notice_arg = &watch,
		.resume_file = u->state,
		.resume_source = facts,
		.resume_source_length = sizeof(facts),
	};

	TRY_PLAIN(source_facts(u->cp, &u->st, facts));
	UplinkUploadResult r = acre_upload_object(u->cp->project, u->to->bucket, u->to->key,
						  &u->cp->upload, &t);
	TRY_PLAIN(up_error(u, r.error));
	enum err e = is_plain(u)
			     ? up_error(u,
					acre_upload_from(r.upload, read_file, u, u->st.size).error)
			     : pump_stream(u, r.upload);
	if (!e && u->cp->metadata.count)
		e = up_error(u, uplink_upload_set_custom_metadata(r.upload, u->cp->metadata));
	if (!e)
		e = up_error(u, uplink_upload_commit(r.upload));
	else if (!u->state)
		uplink_free_error(uplink_upload_abort(r.upload));
	/* What can be resumed is left as it is, else it is aborted. */
	uplink_free_upload_result((UplinkUploadResult){ .upload = r.upload });
	if (e)
		progress_add(u->cp->progress, -(int64_t)watch.seen);
	else
		check_unchanged(u);
	return reading_failed(u, e);
}

static enum err up_opened(struct up *u)
{
	if (u->from->kind == LOCATION_LOCAL)
		TRY_PLAIN(os_stat(&u->own->call, u->from->path, &u->st));
	if (u->st.is_regular && u->cp->resume_dir && wants_resume(u->own, u->st.size) &&
	    upload_state(u->own, u->cp, u->to, &u->state)) {
		cli_note("the upload could not be resumed: %s", call_error(&u->own->call, ERR_IO));
		call_clear_error(&u->own->call);
		u->state = NULL;
	}
	enum err e = up_once(u);
	if (e && u->refused) {
		cli_note("%s; it starts from the beginning", u->own->call.error);
		call_clear_error(&u->own->call);
		e = up_once(u);
	}
	if (e)
		note_resumable(u->state);
	return e;
}

enum err cp_upload(struct cli *own, struct cp *cp, const struct location *from,
		   const struct location *to)
{
	struct up u = { .own = own, .cp = cp, .from = from, .to = to };

	u.in = os_stdin();
	if (from->kind == LOCATION_LOCAL)
		TRY_PLAIN(os_file_open(&own->call, from->path, OS_FILE_READ, &u.in));
	enum err e = up_opened(&u);
	if (u.in != os_stdin())
		os_file_close(u.in);
	os_mutex_fini(&u.lock);
	return e;
}

/* ---- down ---- */

struct down {
	struct cli *own;
	struct cp *cp;
	const struct location *from, *to;
	uint8_t *block;
	UplinkDownload *download;
	struct os_file *out;
	const char *partial;	  /* NULL: a device, a pipe, standard output */
	const char *state;	  /* its file; NULL = it does not resume */
	uint64_t size, at;	  /* of the object; handed to `writer` */
	struct os_writer *writer; /* the way to the partial file */
	bool owned;		  /* the partial file is locked by us */
	bool again;		  /* what an earlier try left is not usable; begin anew */

	/* Checkpoints are made by a thread beside, as storing takes long. */
	struct os_pool *saver;
	struct os_mutex lock; /* guards what follows */
	bool saving, broken;
	uint64_t save_at; /* of the checkpoint under way or last made */
	int64_t saved_ns;
};

/* Hash of the end of the bytes before `at`: enough to know that nobody exchanged the file. */
static enum err guard_of(struct call *call, struct os_file *f, uint64_t at,
			 uint8_t guard[HASH_BYTES])
{
	AUTO_FREE uint8_t *tail = malloc(GUARD_READ_BYTES);
	size_t want = (size_t)MIN(at, (uint64_t)GUARD_READ_BYTES), n = 0;

	if (!tail)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	TRY_PLAIN(os_file_read_at(call, f, tail, want, at - want, &n));
	if (n < want)
		return call_fail(call, ERR_NOT_FOUND, "it is shorter than it was");
	hash_blake3(BYTES(tail, n), guard);
	return OK;
}

static void save(void *arg)
{
	struct down *d = arg;
	struct cli own = { .out = BUF_INIT(0) };
	uint8_t guard[HASH_BYTES];

	call_init(&own.call);
	os_mutex_lock(&d->lock);
	/* The last byte is always fetched again: a range without bytes cannot be asked for. */
	uint64_t at = MIN(d->save_at, d->size - 1);
	os_mutex_unlock(&d->lock);
	enum err e = os_file_sync(&own.call, d->out);
	if (!e)
		e = guard_of(&own.call, d->out, at, guard);
	if (!e)
		e = cli_error(&own,
			      acre_download_checkpoint(d->download, at, guard, sizeof(guard)));
	if (e)
		cli_note("%s: the download could not be resumed: %s", d->to->path,
			 call_error(&own.call, e));
	os_mutex_lock(&d->lock);
	d->saving = false;
	d->broken = d->broken || e;
	d->saved_ns = os_clock_mono_ns();
	os_mutex_unlock(&d->lock);
	call_fini(&own.call);
}

/* Whether a checkpoint is due; it is claimed then. */
static bool claim_save(struct down *d)
{
	OS_LOCKED(&d->lock);
	if (d->saving || d->broken)
		return false;
	if (d->at == d->save_at || os_clock_mono_ns() - d->saved_ns < SAVE_MS * NS_PER_MS)
		return false;
	d->saving = true;
	d->save_at = d->at;
	return true;
}

static enum err maybe_save(struct down *d)
{
	if (!d->state || !claim_save(d))
		return OK;
	TRY_PLAIN(os_writer_flush(&d->own->call, d->writer));
	if (!d->saver)
		TRY_PLAIN(os_pool_new(&d->own->call, "save", 1, 1, &d->saver));
	return os_pool_submit(&d->own->call, d->saver, save, d);
}

/* n bytes of the object came to `data`. */
static enum err take_in(struct down *d, const uint8_t *data, size_t n)
{
	if (!d->writer)
		return os_file_write(&d->own->call, d->out, BYTES(data, n));
	TRY_PLAIN(os_writer_added(&d->own->call, d->writer, n));
	d->at += n;
	return maybe_save(d);
}

static enum err pump_down(struct down *d)
{
	for (;;) {
		size_t cap = CP_BLOCK_BYTES;
		uint8_t *to = d->writer ? os_writer_room(d->writer, &cap) : d->block;
		UplinkReadResult r = uplink_download_read(d->download, to, cap);
		if (r.bytes_read) {
			enum err e = take_in(d, to, r.bytes_read);
			if (e) {
				uplink_free_error(r.error);
				return e;
			}
		}
		if (r.error && r.error->code == EOF) {
			uplink_free_error(r.error);
			return OK;
		}
		TRY_PLAIN(cli_error(d->own, r.error));
	}
}

/* Whether the partial file still is what the checkpoint was about. */
static bool partial_fits(struct down *d, const AcreResumed *resumed)
{
	uint8_t guard[HASH_BYTES];
	struct call call AUTO_CALL = CALL_INIT;

	return guard_of(&call, d->out, resumed->offset, guard) == OK &&
	       bytes_equal(BYTES_OF(guard), BYTES(resumed->guard, resumed->guard_length));
}

static enum err open_partial(struct down *d)
{
	struct call *call = &d->own->call;
	AcreResumed resumed = acre_download_resumed(d->download);

	unsigned bulk = d->size >= BULK_MIN ? OS_FILE_BULK : 0;
	TRY_PLAIN(os_file_open(call, d->partial, OS_FILE_WRITE | OS_FILE_CREATE | bulk, &d->out));
	TRY_PLAIN(os_file_lock(call, d->out));
	/* It may have been finished, and got its name, just before it could be locked. */
	struct os_stat st;
	if (os_stat(call, d->partial, &st))
		return call_fail(call, ERR_BUSY, "%s was finished by another process just now",
				 d->to->path);
	d->owned = true;
	if (resumed.offset && !partial_fits(d, &resumed)) {
		cli_note("%s: what is there is not what was downloaded; it starts from the "
			 "beginning",
			 d->partial);
		d->again = true;
		return cli_error(d->own, acre_download_done(d->download));
	}
	d->at = d->save_at = resumed.offset;
	d->saved_ns = os_clock_mono_ns();
	TRY_PLAIN(os_file_truncate(call, d->out, d->at));
	if (bulk && d->cp->whole)
		TRY_PLAIN(os_file_reserve(call, d->out, d->size));
	return os_writer_new(call, d->out, d->at, &d->writer);
}

static enum err object_size(struct down *d, uint64_t *ret)
{
	UplinkObjectResult o = uplink_download_info(d->download);

	*ret = o.object ? (uint64_t)MAX(o.object->system.content_length, 0) : 0;
	uplink_free_object(o.object);
	return cli_error(d->own, o.error);
}

/* A file appears under its name when it is whole, not before. */
static enum err finish_file(struct down *d)
{
	TRY_PLAIN(os_writer_flush(&d->own->call, d->writer));
	if (d->cp->whole && d->at != d->size)
		return call_fail(&d->own->call, ERR_PROTOCOL, "%s: %llu bytes came, it has %llu",
				 d->to->path, (unsigned long long)d->at,
				 (unsigned long long)d->size);
	/* A file of that name goes only for one that outlives a power cut; else what a cut takes
	 * can be fetched again, and the disk may write when it likes. */
	struct os_stat st;
	if (os_stat(&d->own->call, d->to->path, &st) == OK)
		TRY_PLAIN(os_file_sync(&d->own->call, d->out));
	call_clear_error(&d->own->call);
	TRY_PLAIN(os_rename(&d->own->call, d->partial, d->to->path));
	return cli_error(d->own, acre_download_done(d->download));
}

/* What is there when a transfer ends early stays if it can be continued. */
static void keep_or_remove(struct down *d)
{
	struct call call AUTO_CALL = CALL_INIT;

	bool written = d->writer && os_writer_flush(&call, d->writer) == OK &&
		       os_file_truncate(&call, d->out, d->at) == OK;
	if (d->state && d->at && !d->again && written) {
		d->save_at = d->at;
		save(d);
		if (!d->broken)
			return;
	}
	uplink_free_error(acre_download_done(d->download));
	if (os_unlink(&call, d->partial))
		call_clear_error(&call);
}

static enum err down_opened(struct down *d)
{
	enum err e = OK;

	d->out = os_stdout();
	TRY_PLAIN(object_size(d, &d->size));
	/* The library keeps no state that is not written. */
	if (d->state && !wants_resume(d->own, d->size) &&
	    !acre_download_resumed(d->download).offset)
		d->state = NULL;
	if (d->partial)
		e = open_partial(d);
	else if (d->to->kind == LOCATION_LOCAL)
		e = os_file_open(&d->own->call, d->to->path, OS_FILE_WRITE, &d->out);
	if (!e && !d->again)
		e = pump_down(d);
	os_pool_free(d->saver);
	d->saver = NULL;
	if (!e && d->partial && !d->again)
		e = finish_file(d);
	if (e && d->owned)
		keep_or_remove(d);
	os_writer_free(take(&d->writer));
	if (d->out != os_stdout())
		os_file_close(d->out);
	return e;
}

static enum err down_once(struct down *d)
{
	struct watch watch = { d->cp->progress, 0, location_text(d->own, d->from) };
	AcreTransferOptions t = {
		.progress = on_progress,
		.progress_arg = &watch,
		.notice = on_notice,
		.notice_arg = &watch,
		.resume_file = d->state,
	};

	d->again = d->owned = false;
	d->at = 0;
	UplinkDownloadResult r = acre_download_object(d->cp->project, d->from->bucket, d->from->key,
						      &d->cp->download, &t);
	TRY_PLAIN(cli_error(d->own, r.error));
	d->download = r.download;
	enum err e = down_opened(d);
	enum err closed = cli_error(d->own, uplink_close_download(r.download));
	uplink_free_download_result((UplinkDownloadResult){ .download = r.download });
	if (e || d->again)
		progress_add(d->cp->progress, -(int64_t)watch.seen);
	return e ? e : closed;
}

/* Where it goes, and whether it may resume. */
static enum err plan_target(struct down *d)
{
	struct call *call = &d->own->call;
	const char *path = d->to->path;
	struct os_stat st;

	if (d->to->kind != LOCATION_LOCAL)
		return OK;
	bool exists = os_stat(call, path, &st) == OK;
	call_clear_error(call);
	if (exists && !st.is_regular) /* a device or a pipe is written as it is */
		return OK;
	TRY_PLAIN(os_dir_make(call, os_path_dir(call, path), true));
	d->partial = arena_printf(&call->scratch, "%s.acre-partial", path);
	d->state = arena_printf(&call->scratch, "%s.acre-resume", path);
	if (!d->partial || !d->state)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (d->cp->whole && wants_resume(d->own, UINT64_MAX))
		return OK;
	/* The partial file is written anew: an older state says nothing about it. */
	if (os_unlink(call, d->state))
		call_clear_error(call);
	d->state = NULL;
	return OK;
}

enum err cp_download(struct cli *own, struct cp *cp, const struct location *from,
		     const struct location *to, uint8_t *block)
{
	struct down d = { .own = own, .cp = cp, .from = from, .to = to, .block = block };

	TRY_PLAIN(plan_target(&d));
	const char *state = d.state;
	enum err e = down_once(&d);
	if (!e && d.again)
		e = down_once(&d);
	if (e)
		note_resumable(state);
	os_mutex_fini(&d.lock);
	return e;
}
