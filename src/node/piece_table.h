/*
 * The index table on disk: all entries of a node at one moment, in the order of their hash, never
 * changed once written.  In memory it takes 8 bytes for each page of 68 entries, and the sieve.
 *
 *	pages 4096 each | checkpoint block | first hash of each page 8 each | sieve | trailer 96
 *	page    = checksum 8 | page number 4 | count 2 | zeros 2 | 68 entries of 60 bytes
 *	trailer = magic 8 | version 4 | zeros 4 | pages 8 | entries 8 | block length 8 |
 *	          sieve length 8 | zeros 16 | BLAKE3 of everything behind the pages 32
 *
 * A look-up reads one page, unless the sieve says that there is nothing to find.  The sieve is a
 * Bloom filter of 64-byte blocks: 4 bits in one block for each entry.
 */
#ifndef ACRE_NODE_PIECE_TABLE_H
#define ACRE_NODE_PIECE_TABLE_H

#include "node/checkpoint.h"
#include "node/piece_entry.h"

enum {
	TABLE_VERSION = 1,
	TABLE_PAGE_BYTES = 4096,
	TABLE_PAGE_HEAD_BYTES = 16,
	TABLE_PAGE_ENTRIES = (TABLE_PAGE_BYTES - TABLE_PAGE_HEAD_BYTES) / PIECE_ENTRY_BYTES,
	TABLE_TRAILER_BYTES = 96,
	TABLE_SIEVE_BLOCK = 64,
	TABLE_PAGES_MAX = 1 << 26,
};
#define TABLE_SIEVE_MAX (UINT64_C(1) << 32)

/* ---- writing ---- */

struct table_writer;
/* sieve_bytes is rounded up to a block. */
enum err table_writer_new(struct call *call, const char *path, uint64_t sieve_bytes,
			  struct table_writer **ret) MUST_USE;
void table_writer_free(struct table_writer *w); /* NULL is fine; the file stays */
/* In the order of the index, each piece once. */
enum err table_writer_add(struct call *call, struct table_writer *w, uint64_t hash,
			  const struct piece_entry *e) MUST_USE;
/* Writes what is behind the pages, and syncs. */
enum err table_writer_end(struct call *call, struct table_writer *w,
			  const struct checkpoint *c) MUST_USE;

/* ---- reading ---- */

struct piece_table;
/* Reads what is behind the pages; the checkpoint's tables are made in `a`.  `source` is copied;
 * what it reads from must stay.  ERR_FORMAT. */
enum err piece_table_new(struct call *call, struct arena *a, const struct byte_source *source,
			 struct checkpoint *ret_checkpoint, struct piece_table **ret) MUST_USE;
/* The same for a file, which the table then owns. */
enum err piece_table_open(struct call *call, struct arena *a, const char *path,
			  struct checkpoint *ret_checkpoint, struct piece_table **ret) MUST_USE;
void piece_table_free(struct piece_table *t); /* NULL is fine */
uint64_t piece_table_count(const struct piece_table *t);
uint64_t piece_table_memory(const struct piece_table *t);
uint64_t piece_table_file_bytes(const struct piece_table *t);

/* False when the piece is certainly not there; reads nothing. */
bool piece_table_may_have(const struct piece_table *t, uint64_t hash);
/* Reads one page (two when the same 64-bit hash ends one and begins the next).  ERR_NOT_FOUND
 * without text; ERR_DATA_LOSS: the page is damaged. */
enum err piece_table_find(struct call *call, const struct piece_table *t, uint64_t hash,
			  const struct piece_key *key, struct piece_entry *ret) MUST_USE;

/* All entries in order, many pages at a time. */
struct table_cursor {
	const struct piece_table *table; /* NULL = empty */
	uint8_t *pages;
	uint64_t next_page;
	unsigned loaded, page, entry;
};
enum err table_cursor_begin(struct call *call, struct table_cursor *c,
			    const struct piece_table *t) MUST_USE;
void table_cursor_end(struct table_cursor *c);
/* *ret_found false at the end. */
enum err table_cursor_next(struct call *call, struct table_cursor *c, struct piece_entry *ret,
			   bool *ret_found) MUST_USE;

#endif
