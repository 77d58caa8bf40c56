/* Index tables: pages, sieve, what is behind them. */
#include "node/piece_table.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/hash.h"
#include "os/file.h"

enum {
	PAGES_AT_A_TIME = 64,
	TAIL_BLOCK_BYTES = 256 << 10,
	PAGE_CHECKSUM_BYTES = 8,
	SIEVE_PROBES = 4,
};

static const uint8_t trailer_magic[8] = { 'A', 'C', 'R', 'E', 'T', 'A', 'B', 'L' };

DEFINE_AUTO_PTR(struct os_file, os_file_auto, os_file_close)
DEFINE_AUTO_PTR(struct hasher, hasher_auto, hasher_free)
DEFINE_AUTO_PTR(struct piece_table, table_auto, piece_table_free)

static void page_checksum(const uint8_t *page, uint8_t out[PAGE_CHECKSUM_BYTES])
{
	uint8_t sum[HASH_BYTES];

	hash_blake3(BYTES(page + PAGE_CHECKSUM_BYTES, TABLE_PAGE_BYTES - PAGE_CHECKSUM_BYTES), sum);
	memcpy(out, sum, PAGE_CHECKSUM_BYTES);
}

/* Of pages one behind the other, side by side. */
static void page_checksums(const uint8_t *pages, size_t count, uint8_t (*out)[PAGE_CHECKSUM_BYTES])
{
	const uint8_t *inputs[PAGES_AT_A_TIME] = { 0 };
	uint8_t sums[PAGES_AT_A_TIME][HASH_BYTES];

	for (size_t i = 0; i < count; i++)
		inputs[i] = pages + i * TABLE_PAGE_BYTES + PAGE_CHECKSUM_BYTES;
	hash_blake3_many(inputs, count, TABLE_PAGE_BYTES - PAGE_CHECKSUM_BYTES, sums);
	for (size_t i = 0; i < count; i++)
		memcpy(out[i], sums[i], PAGE_CHECKSUM_BYTES);
}

/* ---- the sieve ---- */

/* Pages take the high bits of the hash; the sieve mixes them anew. */
static uint64_t remix(uint64_t hash)
{
	hash ^= hash >> 32;
	hash *= UINT64_C(0xd6e8feb86659fd93);
	return hash ^ hash >> 32;
}

static uint64_t sieve_block(uint64_t mixed, uint64_t sieve_len)
{
	uint64_t blocks = sieve_len / TABLE_SIEVE_BLOCK;

	return (uint64_t)((unsigned __int128)mixed * blocks >> 64) * TABLE_SIEVE_BLOCK;
}

static void sieve_add(uint8_t *sieve, uint64_t len, uint64_t hash)
{
	uint64_t mixed = remix(hash);
	uint8_t *block = sieve + sieve_block(mixed, len);

	for (unsigned i = 0; i < SIEVE_PROBES; i++, mixed >>= 9)
		block[mixed >> 3 & 63] |= (uint8_t)(1 << (mixed & 7));
}

static bool sieve_has(const uint8_t *sieve, uint64_t len, uint64_t hash)
{
	uint64_t mixed = remix(hash);
	const uint8_t *block = sieve + sieve_block(mixed, len);

	for (unsigned i = 0; i < SIEVE_PROBES; i++, mixed >>= 9)
		if (!(block[mixed >> 3 & 63] & 1 << (mixed & 7)))
			return false;
	return true;
}

/* ---- writing ---- */

struct table_writer {
	struct os_file *file;
	uint8_t *pages; /* PAGES_AT_A_TIME */
	unsigned full;	/* of them */
	unsigned entries;
	uint64_t pages_written, count;
	uint64_t *fences;
	size_t fences_cap;
	uint8_t *sieve;
	uint64_t sieve_len;
	/* Behind the pages: */
	struct hasher *hasher;
	uint64_t offset;
};

void table_writer_free(struct table_writer *w)
{
	if (!w)
		return;
	os_file_close(w->file);
	hasher_free(w->hasher);
	free(w->pages);
	free(w->fences);
	free(w->sieve);
	free(w);
}

enum err table_writer_new(struct call *call, const char *path, uint64_t sieve_bytes,
			  struct table_writer **ret)
{
	struct table_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for an index table");
	w->sieve_len = round_up(MAX(sieve_bytes, UINT64_C(1)), TABLE_SIEVE_BLOCK);
	w->pages = calloc(PAGES_AT_A_TIME, TABLE_PAGE_BYTES);
	w->sieve = calloc(1, w->sieve_len);
	w->hasher = hasher_new(HASH_BLAKE3);
	enum err e = w->pages && w->sieve && w->hasher
			     ? os_file_open(call, path,
					    OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_TRUNCATE,
					    &w->file)
			     : call_fail(call, ERR_NO_MEMORY, "out of memory for an index table");
	if (e) {
		table_writer_free(w);
		return e;
	}
	*ret = w;
	return OK;
}

static uint8_t *current_page(const struct table_writer *w)
{
	return w->pages + (size_t)w->full * TABLE_PAGE_BYTES;
}

static enum err write_pages(struct call *call, struct table_writer *w)
{
	struct bytes part = BYTES(w->pages, (size_t)w->full * TABLE_PAGE_BYTES);
	uint8_t sums[PAGES_AT_A_TIME][PAGE_CHECKSUM_BYTES];

	if (!w->full)
		return OK;
	page_checksums(w->pages, w->full, sums);
	for (size_t i = 0; i < w->full; i++)
		memcpy(w->pages + i * TABLE_PAGE_BYTES, sums[i], PAGE_CHECKSUM_BYTES);
	TRY_PLAIN(os_file_write_at(call, w->file, &part, 1, w->pages_written * TABLE_PAGE_BYTES));
	w->pages_written += w->full;
	w->full = 0;
	memset(w->pages, 0, (size_t)PAGES_AT_A_TIME * TABLE_PAGE_BYTES);
	return OK;
}

static enum err end_page(struct call *call, struct table_writer *w)
{
	uint8_t *page = current_page(w);

	put_le32(page + 8, (uint32_t)(w->pages_written + w->full));
	put_le16(page + 12, (uint16_t)w->entries);
	w->full++;
	w->entries = 0;
	return w->full == PAGES_AT_A_TIME ? write_pages(call, w) : OK;
}

static enum err begin_page(struct call *call, struct table_writer *w, uint64_t hash)
{
	uint64_t page = w->pages_written + w->full;

	if (page == TABLE_PAGES_MAX)
		return call_fail(call, ERR_EXHAUSTED, "the piece index is full");
	if (page == w->fences_cap) {
		size_t cap = w->fences_cap ? w->fences_cap + w->fences_cap / 2 : 16;
		uint64_t *grown = realloc(w->fences, cap * sizeof(*grown));
		if (!grown)
			return call_fail(call, ERR_NO_MEMORY, "out of memory for an index table");
		w->fences = grown;
		w->fences_cap = cap;
	}
	w->fences[page] = hash;
	return OK;
}

enum err table_writer_add(struct call *call, struct table_writer *w, uint64_t hash,
			  const struct piece_entry *e)
{
	if (w->entries == 0)
		TRY_PLAIN(begin_page(call, w, hash));
	piece_entry_encode(e, current_page(w) + TABLE_PAGE_HEAD_BYTES +
				      (size_t)w->entries * PIECE_ENTRY_BYTES);
	w->entries++;
	w->count++;
	sieve_add(w->sieve, w->sieve_len, hash);
	return w->entries == TABLE_PAGE_ENTRIES ? end_page(call, w) : OK;
}

static enum err write_tail(struct call *call, struct table_writer *w, struct bytes part)
{
	hasher_update(w->hasher, part);
	TRY_PLAIN(os_file_write_at(call, w->file, &part, 1, w->offset));
	w->offset += part.len;
	return OK;
}

enum err table_writer_end(struct call *call, struct table_writer *w, const struct checkpoint *c)
{
	uint64_t block_len = checkpoint_block_len(c->satellites_count, c->segments_count);
	AUTO_BUF struct buf block = BUF_INIT(block_len);
	uint8_t trailer[TABLE_TRAILER_BYTES] = { 0 };

	if (w->entries)
		TRY_PLAIN(end_page(call, w));
	TRY_PLAIN(write_pages(call, w));
	w->offset = w->pages_written * TABLE_PAGE_BYTES;
	checkpoint_encode(c, &block);
	TRY(buf_status(&block), "index table");
	TRY_PLAIN(write_tail(call, w, buf_bytes(&block)));
	if (w->pages_written)
		TRY_PLAIN(write_tail(call, w,
				     BYTES(w->fences, w->pages_written * sizeof(*w->fences))));
	TRY_PLAIN(write_tail(call, w, BYTES(w->sieve, w->sieve_len)));
	memcpy(trailer, trailer_magic, sizeof(trailer_magic));
	put_le32(trailer + 8, TABLE_VERSION);
	put_le64(trailer + 16, w->pages_written);
	put_le64(trailer + 24, w->count);
	put_le64(trailer + 32, block_len);
	put_le64(trailer + 40, w->sieve_len);
	TRY_PLAIN(write_tail(call, w, BYTES(trailer, TABLE_TRAILER_BYTES - HASH_BYTES)));
	hasher_sum(w->hasher, trailer + TABLE_TRAILER_BYTES - HASH_BYTES);
	TRY_PLAIN(
		write_tail(call, w, BYTES(trailer + TABLE_TRAILER_BYTES - HASH_BYTES, HASH_BYTES)));
	return os_file_sync(call, w->file);
}

/* ---- reading ---- */

struct piece_table {
	struct byte_source source;
	struct os_file *file; /* owned; NULL when the source is something else */
	uint64_t pages, count;
	uint64_t *fences;
	uint8_t *sieve;
	uint64_t sieve_len;
	size_t satellites_count;
};

void piece_table_free(struct piece_table *t)
{
	if (!t)
		return;
	os_file_close(t->file);
	free(t->fences);
	free(t->sieve);
	free(t);
}

uint64_t piece_table_count(const struct piece_table *t)
{
	return t->count;
}

uint64_t piece_table_memory(const struct piece_table *t)
{
	return sizeof(*t) + t->pages * sizeof(*t->fences) + t->sieve_len;
}

uint64_t piece_table_file_bytes(const struct piece_table *t)
{
	return t->source.size;
}

static enum err unusable(struct call *call, const char *why)
{
	return call_fail(call, ERR_FORMAT, "the index table is not usable: %s", why);
}

static enum err check_tail(struct call *call, const struct byte_source *s, uint64_t from,
			   const uint8_t *trailer)
{
	AUTO(hasher_auto) struct hasher *hasher = hasher_new(HASH_BLAKE3);
	AUTO_FREE uint8_t *block = malloc(TAIL_BLOCK_BYTES);
	uint64_t end = s->size - HASH_BYTES;
	uint8_t sum[HASH_BYTES];

	if (!hasher || !block)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for an index table");
	for (uint64_t at = from; at < end;) {
		size_t n = (size_t)MIN(end - at, (uint64_t)TAIL_BLOCK_BYTES);
		TRY_PLAIN(byte_source_read(call, s, block, n, at));
		hasher_update(hasher, BYTES(block, n));
		at += n;
	}
	hasher_sum(hasher, sum);
	if (memcmp(sum, trailer + TABLE_TRAILER_BYTES - HASH_BYTES, HASH_BYTES) != 0)
		return unusable(call, "its hash is wrong");
	return OK;
}

static enum err read_block(struct call *call, struct arena *a, const struct byte_source *s,
			   uint64_t at, uint64_t len, struct checkpoint *ret)
{
	AUTO_FREE uint8_t *wire = malloc((size_t)len + 1);

	if (!wire)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for an index table");
	TRY_PLAIN(byte_source_read(call, s, wire, (size_t)len, at));
	return checkpoint_decode(call, a, BYTES(wire, len), ret);
}

static enum err read_fences(struct call *call, struct piece_table *t, uint64_t at)
{
	t->fences = malloc((size_t)(t->pages + 1) * sizeof(*t->fences));
	if (!t->fences)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for an index table");
	TRY_PLAIN(byte_source_read(call, &t->source, t->fences,
				   (size_t)t->pages * sizeof(*t->fences), at));
	for (uint64_t i = 1; i < t->pages; i++)
		if (t->fences[i] < t->fences[i - 1])
			return unusable(call, "its pages are not in order");
	return OK;
}

enum err piece_table_new(struct call *call, struct arena *a, const struct byte_source *source,
			 struct checkpoint *ret_checkpoint, struct piece_table **ret)
{
	AUTO(table_auto) struct piece_table *t = calloc(1, sizeof(*t));
	uint8_t trailer[TABLE_TRAILER_BYTES];
	struct checkpoint c;

	if (!t)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for an index table");
	if (source->size < TABLE_TRAILER_BYTES)
		return unusable(call, "it is cut short");
	t->source = *source;
	TRY_PLAIN(byte_source_read(call, source, trailer, sizeof(trailer),
				   source->size - TABLE_TRAILER_BYTES));
	if (memcmp(trailer, trailer_magic, sizeof(trailer_magic)) != 0)
		return unusable(call, "it is something else");
	if (get_le32(trailer + 8) != TABLE_VERSION)
		return unusable(call, "it has another format");
	t->pages = get_le64(trailer + 16);
	t->count = get_le64(trailer + 24);
	uint64_t block_len = get_le64(trailer + 32);
	t->sieve_len = get_le64(trailer + 40);
	if (t->pages > TABLE_PAGES_MAX || t->count > t->pages * TABLE_PAGE_ENTRIES ||
	    t->count < t->pages || t->sieve_len > TABLE_SIEVE_MAX ||
	    t->sieve_len < TABLE_SIEVE_BLOCK || t->sieve_len % TABLE_SIEVE_BLOCK ||
	    block_len > checkpoint_block_len(PIECE_SATELLITES_MAX, CHECKPOINT_SEGMENTS_MAX) ||
	    t->pages * (TABLE_PAGE_BYTES + sizeof(*t->fences)) + block_len + t->sieve_len +
			    TABLE_TRAILER_BYTES !=
		    source->size)
		return unusable(call, "its parts do not fit");
	uint64_t at = t->pages * TABLE_PAGE_BYTES;
	TRY_PLAIN(check_tail(call, source, at, trailer));
	TRY_PLAIN(read_block(call, a, source, at, block_len, &c));
	at += block_len;
	TRY_PLAIN(read_fences(call, t, at));
	at += t->pages * sizeof(*t->fences);
	t->sieve = malloc((size_t)t->sieve_len);
	if (!t->sieve)
		return call_fail(call, ERR_NO_MEMORY, "out of memory for an index table");
	TRY_PLAIN(byte_source_read(call, source, t->sieve, (size_t)t->sieve_len, at));
	t->satellites_count = c.satellites_count;
	*ret_checkpoint = c;
	*ret = take(&t);
	return OK;
}

enum err piece_table_open(struct call *call, struct arena *a, const char *path,
			  struct checkpoint *ret_checkpoint, struct piece_table **ret)
{
	AUTO(os_file_auto) struct os_file *f = NULL;
	uint64_t size = 0;

	TRY_PLAIN(os_file_open(call, path, OS_FILE_READ, &f));
	TRY_PLAIN(os_file_size(call, f, &size));
	struct byte_source source = byte_source_file(f, size);
	TRY_PLAIN(piece_table_new(call, a, &source, ret_checkpoint, ret));
	(*ret)->file = take(&f);
	return OK;
}

bool piece_table_may_have(const struct piece_table *t, uint64_t hash)
{
	return t->pages && hash >= t->fences[0] && sieve_has(t->sieve, t->sieve_len, hash);
}

static enum err damaged(struct call *call, uint64_t page)
{
	return call_fail(call, ERR_DATA_LOSS, "page %llu of the index table is damaged",
			 (unsigned long long)page);
}

/* Whether the page is as it was written, by the sum of what is there; *ret_count entries are in it.
 */
static enum err check_page(struct call *call, const uint8_t *page,
			   const uint8_t sum[PAGE_CHECKSUM_BYTES], uint64_t number,
			   unsigned *ret_count)
{
	unsigned count = get_le16(page + 12);

	if (memcmp(sum, page, PAGE_CHECKSUM_BYTES) != 0 || get_le32(page + 8) != number ||
	    count == 0 || count > TABLE_PAGE_ENTRIES)
		return damaged(call, number);
	*ret_count = count;
	return OK;
}

static enum err get_entry(struct call *call, const struct piece_table *t, const uint8_t *page,
			  uint64_t number, unsigned i, struct piece_entry *ret)
{
	if (piece_entry_decode(page + TABLE_PAGE_HEAD_BYTES + (size_t)i * PIECE_ENTRY_BYTES, ret) ||
	    ret->satellite >= t->satellites_count)
		return damaged(call, number);
	return OK;
}

static enum err find_in_page(struct call *call, const struct piece_table *t, uint64_t number,
			     const struct piece_key *key, struct piece_entry *ret)
{
	uint8_t page[TABLE_PAGE_BYTES], sum[PAGE_CHECKSUM_BYTES];
	unsigned count = 0;

	enum err read = byte_source_read(call, &t->source, page, sizeof(page),
					 number * TABLE_PAGE_BYTES);
	if (read)
		return call_wrap(call, read == ERR_FORMAT ? ERR_DATA_LOSS : read,
				 "page %llu of the index table", (unsigned long long)number);
	page_checksum(page, sum);
	TRY_PLAIN(check_page(call, page, sum, number, &count));
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *wire = page + TABLE_PAGE_HEAD_BYTES + (size_t)i * PIECE_ENTRY_BYTES;
		struct piece_entry e;
		if (memcmp(wire, key->id.b, PIECE_ID_BYTES) != 0)
			continue;
		TRY_PLAIN(get_entry(call, t, page, number, i, &e));
		if (e.satellite == key->satellite) {
			*ret = e;
			return OK;
		}
	}
	return ERR_NOT_FOUND;
}

enum err piece_table_find(struct call *call, const struct piece_table *t, uint64_t hash,
			  const struct piece_key *key, struct piece_entry *ret)
{
	uint64_t low = 0, high = t->pages;

	/* The last page that does not begin behind the hash. */
	while (low < high) {
		uint64_t mid = (low + high) / 2;
		if (t->fences[mid] <= hash)
			low = mid + 1;
		else
			high = mid;
	}
	while (low--) {
		enum err e = find_in_page(call, t, low, key, ret);
		/* Equal hashes may have begun in the page before. */
		if (e != ERR_NOT_FOUND || t->fences[low] != hash)
			return e;
	}
	return ERR_NOT_FOUND;
}

enum err table_cursor_begin(struct call *call, struct table_cursor *c, const struct piece_table *t)
{
	*c = (struct table_cursor){ .table = t };
	c->pages = malloc((size_t)PAGES_AT_A_TIME * TABLE_PAGE_BYTES);
	return c->pages ? OK : call_fail(call, ERR_NO_MEMORY, "out of memory for the piece index");
}

void table_cursor_end(struct table_cursor *c)
{
	free(c->pages);
	c->pages = NULL;
}

static enum err load_pages(struct call *call, struct table_cursor *c)
{
	uint64_t n = MIN(c->table->pages - c->next_page, (uint64_t)PAGES_AT_A_TIME);
	uint8_t sums[PAGES_AT_A_TIME][PAGE_CHECKSUM_BYTES];

	c->loaded = c->page = c->entry = 0;
	TRY(byte_source_read(call, &c->table->source, c->pages, (size_t)n * TABLE_PAGE_BYTES,
			     c->next_page * TABLE_PAGE_BYTES),
	    "index table");
	page_checksums(c->pages, (size_t)n, sums);
	for (uint64_t i = 0; i < n; i++) {
		unsigned count;
		TRY_PLAIN(check_page(call, c->pages + i * TABLE_PAGE_BYTES, sums[i],
				     c->next_page + i, &count));
	}
	c->next_page += n;
	c->loaded = (unsigned)n;
	return OK;
}

enum err table_cursor_next(struct call *call, struct table_cursor *c, struct piece_entry *ret,
			   bool *ret_found)
{
	if (c->page == c->loaded) {
		if (!c->table || c->next_page == c->table->pages) {
			*ret_found = false;
			return OK;
		}
		TRY_PLAIN(load_pages(call, c));
	}
	const uint8_t *page = c->pages + (size_t)c->page * TABLE_PAGE_BYTES;
	TRY_PLAIN(
		get_entry(call, c->table, page, c->next_page - c->loaded + c->page, c->entry, ret));
	*ret_found = true;
	if (++c->entry == get_le16(page + 12)) {
		c->entry = 0;
		c->page++;
	}
	return OK;
}
