/* A segment's bytes: pieces decoded below, blocks decrypted here, cut to what was asked for. */
#include "client/segment_get.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "proto/proto.h"
#include "transfer/segment_download.h"

struct segment_get {
	const Metainfo__DownloadSegmentResponse *answer;
	uint32_t block, plain_block;
	uint64_t left;	     /* plain bytes of the range still to hand out */
	uint64_t skip;	     /* plain bytes in front of the range, in the first block */
	uint64_t next_block; /* number of the block that comes next */
	struct content_opener *opener;
	struct segment_download *in;
	struct buf sealed; /* encrypted bytes that do not make a whole block yet */
	struct bytes view; /* encrypted bytes as they came, behind those */
	uint8_t *plain;	   /* decrypted blocks that did not fit the reader's buffer */
	size_t plain_cap, plain_at, plain_len;
};

DEFINE_AUTO_PTR(struct segment_get, segment_get_auto, segment_get_close)

static enum err unwrap(struct call *call, const struct segment_get_params *p,
		       struct secret_key *ret)
{
	struct content_nonce nonce;

	if (!proto_fixed(p->answer->encrypted_key_nonce, sizeof(nonce.b), nonce.b))
		return call_fail(call, ERR_FORMAT, "nonce of a wrong length");
	TRY(content_unwrap_key(call, p->cipher, p->object_key, &nonce,
			       proto_bytes(p->answer->encrypted_key), ret),
	    "key of a segment");
	return OK;
}

static void free_plain(struct segment_get *g)
{
	if (g->plain)
		secret_wipe(g->plain, g->plain_cap);
	free(g->plain);
}

static enum err room_for_plain(struct call *call, struct segment_get *g, size_t n)
{
	if (n <= g->plain_cap)
		return OK;
	uint8_t *more = malloc(n);
	if (!more)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	free_plain(g); /* nothing is in it now */
	g->plain = more;
	g->plain_cap = n;
	return OK;
}

/* The whole segment is in the answer: one message, or blocks if the size says so
 * (encryption.md 3.4). */
static enum err open_inline(struct call *call, struct segment_get *g,
			    const struct segment_get_params *p, const struct secret_key *key,
			    const struct content_nonce *start)
{
	struct bytes sealed = proto_bytes(p->answer->encrypted_inline_data);
	struct buf plain AUTO_SECRET_BUF = BUF_INIT(sealed.len);

	if (sealed.len && sealed.len % g->block == 0) {
		TRY_PLAIN(content_opener_new(call, p->cipher, key, start, g->block, &g->opener));
		if (!buf_reserve(&plain, sealed.len))
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		TRY_PLAIN(content_open_blocks(call, g->opener, 0, sealed, plain.data));
		plain.len = sealed.len / g->block * g->plain_block;
	} else {
		TRY_PLAIN(content_open(call, p->cipher, key, start, sealed, &plain));
	}
	if (p->offset > plain.len || p->length > plain.len - p->offset)
		return call_fail(call, ERR_DATA_LOSS,
				 "an inline segment is shorter than announced");
	TRY_PLAIN(room_for_plain(call, g, plain.len));
	if (p->length)
		memcpy(g->plain, plain.data + p->offset, (size_t)p->length);
	g->plain_len = (size_t)p->length;
	return OK;
}

static enum err open_remote(struct call *call, struct project *project, struct segment_get *g,
			    const struct segment_get_params *p, const struct secret_key *key,
			    const struct content_nonce *start)
{
	const Metainfo__DownloadSegmentResponse *a = p->answer;
	const Pointerdb__RedundancyScheme *r = a->redundancy_scheme;

	if (!r || r->total < 1 || r->total > UINT8_MAX + 1 || r->min_req < 1 ||
	    r->min_req > r->total || r->erasure_share_size < 1 ||
	    a->n_addressed_limits != (size_t)r->total ||
	    a->private_key.len != ED25519_PRIVATE_BYTES || a->segment_size < 0)
		return call_fail(call, ERR_PROTOCOL,
				 "the satellite's answer is not enough to fetch a segment");
	uint64_t first = p->offset / g->plain_block;
	uint64_t end = div_up(p->offset + p->length, g->plain_block);
	if (end > (uint64_t)a->segment_size / g->block)
		return call_fail(call, ERR_DATA_LOSS, "a segment is shorter than announced");
	struct segment_download_params params = {
		.scheme = { (uint16_t)r->min_req, 0, 0, (uint16_t)r->total,
			    (uint32_t)r->erasure_share_size },
		.limits = (const Metainfo__AddressedOrderLimit *const *)a->addressed_limits,
		.encrypted_size = (uint64_t)a->segment_size,
		.offset = first * g->block,
		.length = (end - first) * g->block,
		.verify = p->verify,
		.ahead = p->ahead,
		.avoid = p->avoid,
		.avoid_count = p->avoid_count,
		.stall_ns = MIN(project->stall_ns, 30 * NS_PER_SEC),
	};
	g->next_block = first;
	g->skip = p->offset - first * g->plain_block;
	TRY_PLAIN(content_opener_new(call, p->cipher, key, start, g->block, &g->opener));
	memcpy(params.piece_key.b, a->private_key.data, ED25519_PRIVATE_BYTES);
	enum err e = segment_download_open(call, project->satellite.fanout, &params, &g->in);
	secret_wipe(&params.piece_key, sizeof(params.piece_key));
	return e;
}

enum err segment_get_open(struct call *call, struct project *project,
			  const struct segment_get_params *p, struct segment_get **ret)
{
	struct segment_get *g AUTO(segment_get_auto) = calloc(1, sizeof(*g));
	struct secret_key key AUTO(secret_key_wipe);
	const Metainfo__SegmentPosition *at = p->answer->position;

	if (!g)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	if (p->block < CONTENT_BLOCK_MIN || p->block > CONTENT_BLOCK_MAX)
		return call_fail(call, ERR_PROTOCOL, "impossible encryption block size %u",
				 p->block);
	if (!at || at->part_number < 0 || at->index < 0)
		return call_fail(call, ERR_PROTOCOL,
				 "the satellite does not say which segment it is");
	struct content_nonce start = content_start_nonce((uint32_t)at->part_number,
							 (uint32_t)at->index);
	g->answer = p->answer;
	g->block = p->block;
	g->plain_block = content_block_plain(p->cipher, p->block);
	g->left = p->length;
	g->sealed = BUF_INIT(p->block);
	TRY_PLAIN(unwrap(call, p, &key));
	if (!p->answer->n_addressed_limits)
		TRY_PLAIN(open_inline(call, g, p, &key, &start));
	else
		TRY_PLAIN(open_remote(call, project, g, p, &key, &start));
	*ret = take(&g);
	return OK;
}

/* ---- reading ---- */

/* Gathers encrypted bytes until there is at least one whole block; *ret are whole blocks. */
static enum err next_blocks(struct call *call, struct segment_get *g, struct bytes *ret)
{
	buf_clear(&g->sealed);
	for (;;) {
		if (!g->sealed.len && g->view.len >= g->block) {
			size_t n = g->view.len / g->block * g->block;
			*ret = BYTES(g->view.data, n);
			g->view = bytes_from(g->view, n);
			return OK;
		}
		size_t n = MIN(g->view.len, g->block - g->sealed.len);
		buf_add(&g->sealed, g->view.data, n);
		g->view = bytes_from(g->view, n);
		TRY_PLAIN(buf_status(&g->sealed));
		if (g->sealed.len == g->block) {
			*ret = buf_bytes(&g->sealed);
			return OK;
		}
		enum err e = segment_download_read(call, g->in, &g->view);
		if (e == ERR_EOF)
			return call_fail(call, ERR_DATA_LOSS, "a segment ended early");
		TRY_PLAIN(e);
	}
}

/* Decrypts the next blocks: into buf when it has room for all and nothing must be cut off, else
 * into the own buffer.  *ret_n: bytes now in buf. */
static enum err decrypt(struct call *call, struct segment_get *g, uint8_t *buf, size_t cap,
			size_t *ret_n)
{
	struct bytes sealed;

	TRY_PLAIN(next_blocks(call, g, &sealed));
	size_t blocks = sealed.len / g->block, n = blocks * g->plain_block;
	bool direct = cap >= n && !g->skip && g->left >= n;
	if (!direct)
		TRY_PLAIN(room_for_plain(call, g, n));
	TRY_PLAIN(content_open_blocks(call, g->opener, g->next_block, sealed,
				      direct ? buf : g->plain));
	g->next_block += blocks;
	*ret_n = direct ? n : 0;
	if (direct)
		return OK;
	g->plain_at = (size_t)g->skip;
	g->plain_len = (size_t)MIN((uint64_t)n, g->skip + g->left);
	g->skip = 0;
	return OK;
}

enum err segment_get_read(struct call *call, struct segment_get *g, uint8_t *buf, size_t cap,
			  size_t *ret_n)
{
	size_t n = 0;

	if (!g->left)
		return ERR_EOF;
	if (g->plain_at == g->plain_len)
		TRY_PLAIN(decrypt(call, g, buf, cap, &n));
	if (!n) {
		n = MIN(cap, g->plain_len - g->plain_at);
		memcpy(buf, g->plain + g->plain_at, n);
		g->plain_at += n;
	}
	g->left -= n;
	*ret_n = n;
	return OK;
}

size_t segment_get_liars(struct segment_get *g, struct node_id *ret, size_t max)
{
	return g->in ? segment_download_liars(g->in, ret, max) : 0;
}

void segment_get_close(struct segment_get *g)
{
	if (!g)
		return;
	segment_download_close(g->in);
	if (g->opener)
		content_opener_free(g->opener);
	buf_free(&g->sealed);
	free_plain(g);
	free(g);
}
