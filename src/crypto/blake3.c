/*
 * BLAKE3's tree.  Chunks of 1024 bytes are hashed to chaining values in runs as wide as the lanes;
 * a run is reduced level by level as far as its place in the tree allows, and what remains goes to
 * a stack of subtrees.  The stack is merged lazily, before something is pushed and never after,
 * because the very last merge is the root and has a flag of its own.
 */
#include "crypto/blake3.h"

#include <assert.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/blake3_kernel.h"

enum {
	RUN_CHUNKS_MAX = 64,
	RUN_LEVELS_MAX = 7,
	BLOCKS_PER_CHUNK = BLAKE3_CHUNK_BYTES / BLAKE3_BLOCK_BYTES,
	MANY_CHUNKS_MAX = BLAKE3_MANY_BYTES_MAX / BLAKE3_CHUNK_BYTES
};

/* The last compression below the root, not yet done. */
struct node {
	uint32_t cv[8];
	uint8_t block[BLAKE3_BLOCK_BYTES];
	uint32_t block_len;
	uint32_t flags;
	uint64_t counter;
};

static const struct blake3_kernel kernels[] = {
#ifdef ACRE_BLAKE3_X86
	{ "avx512", 16, blake3_lanes_avx512 },
	{ "avx2", 8, blake3_lanes_avx2 },
#endif
#ifdef ACRE_BLAKE3_NEON
	{ "neon", 4, blake3_lanes_neon },
#endif
	{ "portable", 1, blake3_lanes_portable },
};

_Static_assert(offsetof(struct blake3_job, counter_low) == BLAKE3_JOB_COUNTER_LOW &&
		       offsetof(struct blake3_job, counter_high) == BLAKE3_JOB_COUNTER_HIGH &&
		       offsetof(struct blake3_job, key) == BLAKE3_JOB_KEY &&
		       offsetof(struct blake3_job, flags) == BLAKE3_JOB_FLAGS &&
		       offsetof(struct blake3_job, flags_start) == BLAKE3_JOB_FLAGS_START &&
		       offsetof(struct blake3_job, flags_end) == BLAKE3_JOB_FLAGS_END &&
		       offsetof(struct blake3_job, scratch) == BLAKE3_JOB_SCRATCH,
	       "the assembler has these numbers");

/* How many at the front of kernels[] this processor cannot run. */
static size_t kernels_unusable(void)
{
#ifdef ACRE_BLAKE3_X86
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
		return 0;
	return __builtin_cpu_supports("avx2") ? 1 : 2;
#else
	return 0;
#endif
}

size_t blake3_kernel_count(void)
{
	return ARRAY_LEN(kernels) - kernels_unusable();
}

const char *blake3_kernel_name(size_t i)
{
	return kernels[kernels_unusable() + i].name;
}

void blake3_use_kernel(struct blake3 *b, size_t i)
{
	b->kernel = &kernels[kernels_unusable() + i];
}

static void init(struct blake3 *b, const uint32_t key[8], uint32_t flags)
{
	/* The buffer and the unused part of the stack need no clearing. */
	blake3_use_kernel(b, 0);
	memcpy(b->key, key, sizeof(b->key));
	b->flags = flags;
	b->chunks = 0;
	b->stack.count = 0;
	b->buffered = 0;
}

void blake3_init(struct blake3 *b)
{
	static const uint32_t iv[8] = BLAKE3_IV;

	init(b, iv, 0);
}

void blake3_init_keyed(struct blake3 *b, const uint8_t key[BLAKE3_KEY_BYTES])
{
	uint32_t words[8];

	memcpy(words, key, sizeof(words)); /* little endian, as the machine (num.h) */
	init(b, words, BLAKE3_KEYED_HASH);
}

void blake3_init_derive_key(struct blake3 *b, struct bytes context)
{
	static const uint32_t iv[8] = BLAKE3_IV;
	uint32_t key[8];

	init(b, iv, BLAKE3_DERIVE_KEY_CONTEXT);
	blake3_update(b, context);
	blake3_sum(b, (uint8_t *)key, sizeof(key));
	init(b, key, BLAKE3_DERIVE_KEY_MATERIAL);
}

static void node_cv(const struct node *n, uint32_t out[8])
{
	uint32_t full[16];

	blake3_compress(n->cv, n->block, n->counter, n->block_len, n->flags, full);
	memcpy(out, full, 32);
}

static struct node parent_node(const struct blake3 *b, const uint32_t left[8],
			       const uint32_t right[8])
{
	struct node n = { .block_len = BLAKE3_BLOCK_BYTES, .flags = b->flags | BLAKE3_PARENT };

	memcpy(n.cv, b->key, 32);
	memcpy(n.block, left, 32);
	memcpy(n.block + 32, right, 32);
	return n;
}

/* A chunk of 0 to 1024 bytes, all but its last block compressed. */
static struct node chunk_node(const struct blake3 *b, const uint8_t *data, size_t len,
			      uint64_t number)
{
	struct node n = { .counter = number, .flags = b->flags | BLAKE3_CHUNK_START };

	memcpy(n.cv, b->key, 32);
	for (; len > BLAKE3_BLOCK_BYTES; data += BLAKE3_BLOCK_BYTES, len -= BLAKE3_BLOCK_BYTES) {
		uint32_t full[16];

		blake3_compress(n.cv, data, number, BLAKE3_BLOCK_BYTES, n.flags, full);
		memcpy(n.cv, full, 32);
		n.flags = b->flags;
	}
	memcpy(n.block, data, len);
	n.block_len = (uint32_t)len;
	n.flags |= BLAKE3_CHUNK_END;
	return n;
}

/* Leaves one entry for each subtree that the first `chunks` chunks fill. */
static void stack_merge(const struct blake3 *b, struct blake3_stack *s, uint64_t chunks)
{
	while (s->count > (unsigned)__builtin_popcountll(chunks)) {
		struct node n = parent_node(b, s->cv[s->count - 2], s->cv[s->count - 1]);

		s->count--;
		node_cv(&n, s->cv[s->count - 1]);
	}
}

/* Pushes the subtree that begins with chunk number `first`. */
static void stack_push(const struct blake3 *b, struct blake3_stack *s, const uint32_t cv[8],
		       uint64_t first)
{
	stack_merge(b, s, first);
	memcpy(s->cv[s->count++], cv, 32);
}

/* Inputs of `blocks` blocks each to chaining values; input i has the counter first + i * step,
 * which is 1 for chunks and 0 for parents.  The values may lie where the inputs are, from the front
 * on. */
static void hash_many(const struct blake3 *b, const uint8_t *const inputs[], size_t count,
		      size_t blocks, uint64_t first, unsigned step, uint32_t flags_start,
		      uint32_t flags_end, uint32_t (*out)[8])
{
	struct blake3_job job;
	const struct blake3_kernel *kernel = b->kernel;

	memcpy(job.key, b->key, sizeof(job.key));
	job.flags = b->flags;
	job.flags_start = flags_start;
	job.flags_end = flags_end;
	for (size_t done = 0, n; done < count; done += n) {
		const uint8_t *padded[BLAKE3_LANES_MAX];
		uint32_t all[BLAKE3_LANES_MAX][8];

		/* The narrowest that takes what is left; lanes without work repeat the last. */
		while (kernel->lanes > 1 && kernel[1].lanes >= count - done)
			kernel++;
		for (size_t i = 0; i < kernel->lanes; i++) {
			uint64_t counter = first + (done + i) * step;

			job.counter_low[i] = (uint32_t)counter;
			job.counter_high[i] = (uint32_t)(counter >> 32);
		}
		n = MIN(kernel->lanes, count - done);
		if (n == kernel->lanes) {
			kernel->hash(inputs + done, blocks, &job, out + done);
			continue;
		}
		for (size_t i = 0; i < kernel->lanes; i++)
			padded[i] = inputs[done + MIN(i, n - 1)];
		kernel->hash(padded, blocks, &job, all);
		memcpy(out + done, all, n * sizeof(all[0]));
	}
}

/* One level up: n chaining values (even) become n / 2, in place. */
static void merge_level(const struct blake3 *b, uint32_t (*cv)[8], size_t n)
{
	const uint8_t *pairs[RUN_CHUNKS_MAX / 2];

	for (size_t i = 0; i < n / 2; i++)
		pairs[i] = (const uint8_t *)cv[2 * i];
	hash_many(b, pairs, n / 2, 1, 0, 0, BLAKE3_PARENT, 0, cv);
}

/*
 * Pushes the chunks first .. first + n - 1, given their chaining values.  On each level what has no
 * sibling within the run goes to the stack: the left end at once, the right end after everything
 * left of it.  `more` says that input follows; without it the two halves of a run that is the whole
 * input so far stay apart, since their parent may be the root.
 */
static void push_run(const struct blake3 *b, struct blake3_stack *s, uint32_t (*cv)[8], size_t n,
		     uint64_t first, bool more)
{
	struct {
		uint32_t cv[8];
		uint64_t first;
	} right[RUN_LEVELS_MAX];
	size_t rights = 0;
	uint64_t at = first; /* in subtrees of the level */

	for (unsigned level = 0; n; level++) {
		if (at & 1) {
			stack_push(b, s, cv[0], at << level);
			cv++;
			at++;
			n--;
		}
		if (n & 1) {
			n--;
			memcpy(right[rights].cv, cv[n], 32);
			right[rights++].first = (at + n) << level;
		}
		if (n == 2 && first == 0 && !rights && !more) {
			stack_push(b, s, cv[0], 0);
			stack_push(b, s, cv[1], UINT64_C(1) << level);
			return;
		}
		merge_level(b, cv, n);
		n /= 2;
		at /= 2;
	}
	while (rights--)
		stack_push(b, s, right[rights].cv, right[rights].first);
}

/* Hashes n full chunks: those in the buffer, then the front of *data. */
static void take_run(struct blake3 *b, struct bytes *data, size_t n)
{
	const uint8_t *chunks[RUN_CHUNKS_MAX];
	uint32_t cv[RUN_CHUNKS_MAX][8];
	size_t i = 0;

	for (size_t at = 0; at < b->buffered; at += BLAKE3_CHUNK_BYTES)
		chunks[i++] = b->buffer + at;
	b->buffered = 0;
	for (; i < n; i++) {
		chunks[i] = data->data;
		data->data += BLAKE3_CHUNK_BYTES;
		data->len -= BLAKE3_CHUNK_BYTES;
	}
	hash_many(b, chunks, n, BLOCKS_PER_CHUNK, b->chunks, 1, BLAKE3_CHUNK_START,
		  BLAKE3_CHUNK_END, cv);
	push_run(b, &b->stack, cv, n, b->chunks, data->len > 0);
	b->chunks += n;
}

static void buffer_add(struct blake3 *b, struct bytes *data, size_t n)
{
	if (n == 0)
		return;
	memcpy(b->buffer + b->buffered, data->data, n);
	b->buffered += n;
	data->data += n;
	data->len -= n;
}

void blake3_update(struct blake3 *b, struct bytes data)
{
	size_t lanes = b->kernel->lanes;

	if (data.len <= sizeof(b->buffer) - b->buffered) {
		buffer_add(b, &data, data.len);
		return;
	}
	/* There is more than a buffer of bytes, and a buffer holds a multiple of the lanes: the
	 * first run takes all that is buffered. */
	buffer_add(b, &data, round_up(b->buffered, BLAKE3_CHUNK_BYTES) - b->buffered);
	for (;;) {
		size_t n = b->buffered / BLAKE3_CHUNK_BYTES + data.len / BLAKE3_CHUNK_BYTES;

		n = MIN(n, (size_t)RUN_CHUNKS_MAX);
		if (n < lanes)
			break;
		take_run(b, &data, n - n % lanes);
	}
	buffer_add(b, &data, data.len);
}

/* The node below the root, given everything so far. */
static struct node last_node(const struct blake3 *b)
{
	struct blake3_stack s;
	struct node n;

	s.count = b->stack.count;
	memcpy(s.cv, b->stack.cv, s.count * sizeof(s.cv[0]));
	if (b->buffered == 0 && b->chunks > 0) {
		s.count -= 2;
		n = parent_node(b, s.cv[s.count], s.cv[s.count + 1]);
	} else {
		/* All chunks but the last, which may be short and may be the only one. */
		size_t full = b->buffered ? (b->buffered - 1) / BLAKE3_CHUNK_BYTES : 0;
		const uint8_t *chunks[BLAKE3_BUFFER_BYTES / BLAKE3_CHUNK_BYTES];
		uint32_t cv[ARRAY_LEN(chunks)][8];

		for (size_t i = 0; i < full; i++)
			chunks[i] = b->buffer + i * BLAKE3_CHUNK_BYTES;
		hash_many(b, chunks, full, BLOCKS_PER_CHUNK, b->chunks, 1, BLAKE3_CHUNK_START,
			  BLAKE3_CHUNK_END, cv);
		push_run(b, &s, cv, full, b->chunks, true);
		stack_merge(b, &s, b->chunks + full);
		n = chunk_node(b, b->buffer + full * BLAKE3_CHUNK_BYTES,
			       b->buffered - full * BLAKE3_CHUNK_BYTES, b->chunks + full);
	}
	while (s.count) {
		uint32_t right[8];

		node_cv(&n, right);
		n = parent_node(b, s.cv[--s.count], right);
	}
	return n;
}

void blake3_sum(const struct blake3 *b, uint8_t *out, size_t len)
{
	struct node n = last_node(b);

	for (uint64_t i = 0; len; i++) {
		uint32_t full[16];
		size_t part = MIN(len, sizeof(full));

		blake3_compress(n.cv, n.block, i, n.block_len, n.flags | BLAKE3_ROOT, full);
		memcpy(out, full, part);
		out += part;
		len -= part;
	}
}

/* ---- many short inputs ---- */

/* As many as there are lanes, side by side through the same tree. */
struct many {
	const struct blake3 *b;
	const uint8_t *const *inputs;
	size_t count, chunks;
	uint32_t cv[BLAKE3_LANES_MAX][MANY_CHUNKS_MAX][8]; /* of each input's subtrees */
};

/* Blocks at the front of chunk number `chunk` of all inputs. */
static void many_blocks(struct many *m, size_t chunk, size_t blocks, uint32_t flags_end)
{
	const uint8_t *at[BLAKE3_LANES_MAX];
	uint32_t cv[BLAKE3_LANES_MAX][8];

	for (size_t i = 0; i < m->count; i++)
		at[i] = m->inputs[i] + chunk * BLAKE3_CHUNK_BYTES;
	hash_many(m->b, at, m->count, blocks, chunk, 0, BLAKE3_CHUNK_START, flags_end, cv);
	for (size_t i = 0; i < m->count; i++)
		memcpy(m->cv[i][chunk], cv[i], sizeof(cv[i]));
}

/* The last chunk, whose last block may be short, and which may be the root. */
static void many_last_chunk(struct many *m, size_t len)
{
	size_t chunk = m->chunks - 1, left = len - chunk * BLAKE3_CHUNK_BYTES;
	size_t blocks = left ? (left - 1) / BLAKE3_BLOCK_BYTES : 0;
	size_t at = chunk * BLAKE3_CHUNK_BYTES + blocks * BLAKE3_BLOCK_BYTES;
	uint32_t flags = m->b->flags | BLAKE3_CHUNK_END;

	flags |= (blocks ? 0 : BLAKE3_CHUNK_START) | (chunk ? 0 : BLAKE3_ROOT);
	if (blocks)
		many_blocks(m, chunk, blocks, 0);
	for (size_t i = 0; i < m->count; i++) {
		uint8_t block[BLAKE3_BLOCK_BYTES] = { 0 };
		uint32_t full[16];
		memcpy(block, m->inputs[i] + at, len - at);
		blake3_compress(blocks ? m->cv[i][chunk] : m->b->key, block, chunk,
				(uint32_t)(len - at), flags, full);
		memcpy(m->cv[i][chunk], full, sizeof(m->cv[i][chunk]));
	}
}

/* One level up; what has no sibling waits for the next. */
static void many_level(struct many *m)
{
	uint32_t flags = BLAKE3_PARENT | (m->chunks == 2 ? BLAKE3_ROOT : 0);
	const uint8_t *pairs[BLAKE3_LANES_MAX];
	uint32_t cv[BLAKE3_LANES_MAX][8];

	for (size_t pair = 0; pair < m->chunks / 2; pair++) {
		for (size_t i = 0; i < m->count; i++)
			pairs[i] = (const uint8_t *)m->cv[i][2 * pair];
		hash_many(m->b, pairs, m->count, 1, 0, 0, flags, 0, cv);
		for (size_t i = 0; i < m->count; i++)
			memcpy(m->cv[i][pair], cv[i], sizeof(cv[i]));
	}
	if (m->chunks % 2)
		for (size_t i = 0; i < m->count; i++)
			memcpy(m->cv[i][m->chunks / 2], m->cv[i][m->chunks - 1],
			       sizeof(m->cv[i][0]));
	m->chunks = (m->chunks + 1) / 2;
}

void blake3_many(const struct blake3 *b, const uint8_t *const inputs[], size_t count, size_t len,
		 uint8_t (*out)[32])
{
	assert(len <= BLAKE3_MANY_BYTES_MAX);
	for (size_t done = 0; done < count;) {
		struct many m;
		m.b = b;
		m.inputs = inputs + done;
		m.count = MIN(count - done, (size_t)BLAKE3_LANES_MAX);
		m.chunks = MAX((size_t)div_up(len, BLAKE3_CHUNK_BYTES), (size_t)1);
		for (size_t chunk = 0; chunk + 1 < m.chunks; chunk++)
			many_blocks(&m, chunk, BLOCKS_PER_CHUNK, BLAKE3_CHUNK_END);
		many_last_chunk(&m, len);
		while (m.chunks > 1)
			many_level(&m);
		for (size_t i = 0; i < m.count; i++)
			memcpy(out[done + i], m.cv[i][0], 32);
		done += m.count;
	}
}
