/* Checks of an uploaded segment, and how much of one a download needs. */
#include "satellite/segment_check.h"

#include "access/path_cipher.h"
#include "base/cleanup.h"
#include "proto/proto.h"

enum { REASONS_MAX = 400 };

enum err segment_check_sizes(struct call *call, const struct segment_check *c,
			     const Metainfo__CommitSegmentRequest *req)
{
	const struct scheme *r = &c->ticket->redundancy;
	int64_t common = -1;

	if (req->n_upload_result < r->success)
		return call_fail(call, ERR_INVALID,
				 "the number of results of uploaded pieces (%zu) is below the "
				 "optimal threshold (%d)",
				 req->n_upload_result, r->success);
	if (req->size_encrypted_data < 0 || req->size_encrypted_data > LIMIT_SEGMENT_CIPHER_BYTES)
		return call_fail(
			call, ERR_INVALID,
			"encrypted segment size %lld is out of range, maximum allowed is %d",
			(long long)req->size_encrypted_data, LIMIT_SEGMENT_CIPHER_BYTES);
	for (size_t i = 0; i < req->n_upload_result; i++) {
		const Orders__PieceHash *h = req->upload_result[i]->hash;
		if (!h)
			continue;
		if (h->piece_size <= 0)
			return call_fail(call, ERR_INVALID,
					 "piece sizes are invalid: size is invalid (%lld)",
					 (long long)h->piece_size);
		if (common > 0 && common != h->piece_size)
			return call_fail(
				call, ERR_INVALID,
				"piece sizes are invalid: sizes do not match (%lld != %lld)",
				(long long)common, (long long)h->piece_size);
		common = h->piece_size;
	}
	if (common < 0)
		return call_fail(call, ERR_INVALID, "piece sizes are invalid: no remote pieces");
	int64_t expected = (int64_t)scheme_piece_size(r, (uint64_t)req->size_encrypted_data);
	if (expected != common)
		return call_fail(call, ERR_INVALID,
				 "piece sizes are invalid: expected size is different from "
				 "provided (%lld != %lld)",
				 (long long)expected, (long long)common);
	return OK;
}

/* Why a piece does not count; NULL when it does. */
static const char *piece_fault(struct call *call, const struct segment_check *c,
			       const Metainfo__SegmentPieceUploadResult *p, const bool *seen)
{
	const struct segment_ticket *t = c->ticket;
	struct node_id node;
	struct piece_id id, expected;

	if (p->piece_num < 0 || p->piece_num >= t->redundancy.total)
		return "invalid piece number";
	if (!p->hash)
		return "no piece hash";
	if (proto_time(p->hash->timestamp) < c->now_ns - LIMIT_PIECE_HASH_AGE_NS)
		return "piece hash timestamp is too old";
	if (!proto_fixed(p->node_id, NODE_ID_BYTES, node.b) ||
	    !proto_fixed(p->hash->piece_id, PIECE_ID_BYTES, id.b))
		return "malformed ID";
	piece_id_derive(&t->orders.root, &t->nodes[p->piece_num], (uint32_t)p->piece_num,
			&expected);
	if (memcmp(id.b, expected.b, PIECE_ID_BYTES) != 0)
		return "piece ID does not match the order limit";
	if (p->hash->piece_size > t->orders.limit)
		return "piece is larger than its order limit";
	if (c->verify(call, c->verify_arg, &node, p->hash))
		return "signature of the node is not good";
	return seen[p->piece_num] ? "duplicate piece number" : NULL;
}

static void add_reason(struct buf *reasons, const Metainfo__SegmentPieceUploadResult *p,
		       const char *fault)
{
	char text[NODE_ID_TEXT_MAX] = "?";
	struct node_id node;

	if (proto_fixed(p->node_id, NODE_ID_BYTES, node.b))
		node_id_text(&node, text);
	if (reasons->len < REASONS_MAX / 2)
		buf_printf(reasons, "; piece %d of %s: %s", p->piece_num, text, fault);
}

/* A valid piece must be where its limit sent it, and no node may hold two. */
static enum err collect(struct call *call, struct segment_check *c,
			const Metainfo__CommitSegmentRequest *req, const int16_t *result_of)
{
	const struct segment_ticket *t = c->ticket;

	c->count = 0;
	for (uint32_t number = 0; number < t->redundancy.total; number++) {
		if (result_of[number] < 0)
			continue;
		const Metainfo__SegmentPieceUploadResult *p = req->upload_result[result_of[number]];
		if (!bytes_equal(proto_bytes(p->node_id), node_id_bytes(&t->nodes[number])))
			return call_fail(call, ERR_INVALID, "piece NodeID != order limit NodeID");
		for (size_t i = 0; i < c->count; i++) {
			if (node_id_equal(&c->nodes[i], &t->nodes[number]))
				return call_fail(call, ERR_INVALID,
						 "node id for piece num %u is duplicated", number);
		}
		c->nodes[c->count] = t->nodes[number];
		c->numbers[c->count++] = number;
	}
	return OK;
}

enum err segment_check_pieces(struct call *call, struct segment_check *c,
			      const Metainfo__CommitSegmentRequest *req)
{
	const struct scheme *r = &c->ticket->redundancy;
	AUTO_BUF struct buf reasons = BUF_INIT(REASONS_MAX);
	bool seen[LIMIT_SHARES_TOTAL] = { false };
	int16_t result_of[LIMIT_SHARES_TOTAL];
	size_t valid = 0, invalid = 0;

	if (req->n_upload_result > INT16_MAX)
		return call_fail(call, ERR_INVALID, "too many results of uploaded pieces");
	if (c->now_ns - c->ticket->orders.creation_ns > LIMIT_COMMIT_INTERVAL_NS)
		return call_fail(call, ERR_INVALID,
				 "Segment not committed before max commit interval");
	if (req->plain_size < 0 || req->plain_size > req->size_encrypted_data)
		return call_fail(call, ERR_INVALID,
				 "plain segment size %lld is out of range, maximum allowed is %lld",
				 (long long)req->plain_size, (long long)req->size_encrypted_data);
	memset(result_of, 0xff, sizeof(result_of));
	for (size_t i = 0; i < req->n_upload_result; i++) {
		const Metainfo__SegmentPieceUploadResult *p = req->upload_result[i];
		const char *fault = piece_fault(call, c, p, seen);
		if (fault) {
			invalid++;
			add_reason(&reasons, p, fault);
			continue;
		}
		seen[p->piece_num] = true;
		result_of[p->piece_num] = (int16_t)i;
		valid++;
	}
	call_clear_error(call);
	if (valid < r->success)
		return call_fail(call, ERR_INVALID,
				 "Number of valid pieces (%zu) is less than the success threshold "
				 "(%d). Found %zu invalid pieces%s",
				 valid, r->success, invalid, buf_cstr(&reasons));
	return collect(call, c, req, result_of);
}

size_t segment_download_count(const struct scheme *r, int64_t desired)
{
	int64_t extra = (int64_t)(r->total - r->success) * r->required / MAX(r->success, 1);
	int64_t n = r->required + MAX(extra, 1);

	return (size_t)MIN(MAX(n, desired), r->total);
}

int64_t segment_range_limit(const struct scheme *r, int32_t cipher, int64_t block_size,
			    int64_t start, int64_t limit)
{
	enum { TAG_BYTES = 16 };
	int64_t in;

	if (cipher == CIPHER_NULL)
		in = block_size;
	else if (cipher == CIPHER_AESGCM || cipher == CIPHER_SECRETBOX)
		in = block_size - TAG_BYTES;
	else
		return 0;
	int64_t stripe = scheme_stripe_size(r);
	if (in <= 0 || block_size > LIMIT_SEGMENT_CIPHER_BYTES || stripe <= 0 || start < 0 ||
	    limit <= start)
		return 0;
	int64_t from = start / in * block_size, to = (limit + in - 1) / in * block_size;
	return ((to + stripe - 1) / stripe - from / stripe) * r->share_size;
}
