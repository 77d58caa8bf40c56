/* State files of transfers. */
#include "client/resume_file.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "os/file.h"

enum { SLOTS = 2 };

struct resume_file {
	char *path;
	struct secret_key key;
	struct os_file *file; /* NULL until the first write when there was none */
	uint64_t sequence;    /* of the newest state */
	unsigned next;	      /* slot to write */
	struct buf plain;     /* of the state read last */
	uint8_t slot[RESUME_SLOT_BYTES];
};

void resume_file_close(struct resume_file *f)
{
	if (!f)
		return;
	os_file_close(f->file);
	secret_key_wipe(&f->key);
	buf_free_secret(&f->plain);
	free(f->path);
	free(f);
}

DEFINE_AUTO_PTR(struct resume_file, resume_file_auto, resume_file_close)

enum err resume_file_open(struct call *call, const char *path, const struct secret_key *key,
			  struct resume_file **ret)
{
	struct resume_file *f AUTO(resume_file_auto) = calloc(1, sizeof(*f));

	if (!f)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	f->key = *key;
	f->plain = BUF_INIT(RESUME_SLOT_BYTES);
	f->path = strdup(path);
	if (!f->path)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	enum err e = os_file_open(call, path, OS_FILE_WRITE, &f->file);
	if (e == ERR_NOT_FOUND)
		call_clear_error(call);
	else
		TRY_PLAIN(e);
	if (f->file)
		TRY_PLAIN(os_file_lock(call, f->file));
	*ret = take(&f);
	return OK;
}

static enum err read_slot(struct call *call, struct resume_file *f, unsigned i, struct buf *room,
			  struct resume_state *ret)
{
	size_t n = 0;

	memset(f->slot, 0, sizeof(f->slot));
	TRY_PLAIN(os_file_read_at(call, f->file, f->slot, sizeof(f->slot),
				  (uint64_t)i * sizeof(f->slot), &n));
	return resume_open(call, &f->key, f->slot, room, ret);
}

enum err resume_file_read(struct call *call, struct resume_file *f, struct resume_state *ret)
{
	struct buf room AUTO_SECRET_BUF = BUF_INIT(RESUME_SLOT_BYTES);
	struct resume_state s;
	enum err worst = ERR_NOT_FOUND;
	bool found = false;

	for (unsigned i = 0; f->file && i < SLOTS; i++) {
		enum err e = read_slot(call, f, i, &room, &s);
		if (e) {
			/* A slot that is no state is only told of when there is no better one. */
			worst = e == ERR_NOT_FOUND ? worst : e;
			continue;
		}
		if (found && s.sequence < f->sequence)
			continue;
		found = true;
		f->sequence = s.sequence;
		f->next = (i + 1) % SLOTS;
		buf_clear(&f->plain);
		buf_add_bytes(&f->plain, buf_bytes(&room));
		TRY_PLAIN(buf_status(&f->plain));
	}
	if (!found)
		return worst;
	return resume_state_parse(buf_bytes(&f->plain), ret);
}

enum err resume_file_look(struct call *call, struct resume_file *f, enum resume_kind kind,
			  const struct node_id *satellite, struct resume_state *ret,
			  const char **ret_why)
{
	bool up = kind == RESUME_UPLOAD;
	enum err e = resume_file_read(call, f, ret);

	*ret_why = NULL;
	if (e == ERR_PERMISSION)
		*ret_why = "its state belongs to another access grant or object";
	else if (e == ERR_CRYPTO)
		*ret_why = "its state is damaged";
	else if (e)
		return e;
	else if (ret->kind != kind)
		*ret_why = up ? "its state is that of a download"
			      : "its state is that of an upload";
	else if (!node_id_equal(&ret->satellite, satellite))
		*ret_why = up ? "it went to another satellite" : "it came from another satellite";
	call_clear_error(call);
	return OK;
}

/* Made only now, and by no one else meanwhile. */
static enum err make(struct call *call, struct resume_file *f)
{
	unsigned flags = OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_EXCLUSIVE | OS_FILE_SECRET;
	enum err e = os_file_open(call, f->path, flags, &f->file);

	if (e == ERR_EXISTS)
		return call_fail(call, ERR_BUSY, "%s was made by another transfer just now",
				 f->path);
	TRY_PLAIN(e);
	TRY_PLAIN(os_file_lock(call, f->file));
	return os_dir_sync(call, os_path_dir(call, f->path));
}

enum err resume_file_write(struct call *call, struct resume_file *f, const struct resume_state *s)
{
	struct resume_state now = *s;

	now.sequence = f->sequence + 1;
	TRY_PLAIN(resume_seal(call, &f->key, &now, f->slot));
	if (!f->file)
		TRY_PLAIN(make(call, f));
	struct bytes slot = BYTES_OF(f->slot);
	TRY_PLAIN(os_file_write_at(call, f->file, &slot, 1, (uint64_t)f->next * sizeof(f->slot)));
	TRY_PLAIN(os_file_sync(call, f->file));
	f->sequence = now.sequence;
	f->next = (f->next + 1) % SLOTS;
	return OK;
}

void resume_file_remove(struct resume_file *f)
{
	struct call call AUTO_CALL = CALL_INIT;

	if (!f->file)
		return;
	if (os_unlink(&call, f->path))
		call_clear_error(&call); /* it is taken for stale then */
	os_file_close(take(&f->file));
}
