/*
 * Segments to and from a network of fake nodes, well-behaved ones and all kinds of others: what
 * arrives is what was sent, and nobody is waited for longer than needed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "crypto/aead.h"
#include "os/cancel.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/thread.h"
#include "proto/proto.h"
#include "transfer/peer.h"
#include "transfer/segment_download.h"
#include "transfer/segment_upload.h"
#include "transfer/test/fake_nodes.h"

static struct fake_network net;

/* A segment on its way: deterministic bytes, where they are, how often was asked again. */
struct segment {
	struct scheme scheme;
	uint64_t size, read_at, read_pause_ms;
	struct arena arena;
	struct fake_limits limits;
	int nodes[FAKE_NODES_MAX]; /* of piece i */
	unsigned next_node, renewals;
	const Metainfo__CohortRequirements *requirements;
	bool *again; /* not NULL = without a spool */
	struct segment_upload_result result;
};

static uint8_t byte_at(uint64_t i)
{
	return (uint8_t)(i * 131 + (i >> 9) * 17 + (i >> 17));
}

static enum err source(struct call *call, void *arg, uint8_t *buf, size_t cap, size_t *ret_n)
{
	struct segment *s = arg;
	size_t n = (size_t)MIN((uint64_t)cap, s->size - s->read_at);

	if (s->read_pause_ms)
		TRY_PLAIN(os_sleep(call, (int64_t)s->read_pause_ms * NS_PER_MS));
	for (size_t i = 0; i < n; i++)
		buf[i] = byte_at(s->read_at + i);
	s->read_at += n;
	*ret_n = n;
	return OK;
}

static enum err renew(struct call *call, void *arg, const unsigned numbers[], size_t count,
		      const Metainfo__AddressedOrderLimit *const **ret)
{
	struct segment *s = arg;
	int64_t limit = (int64_t)scheme_piece_size(&s->scheme, s->size);

	s->renewals++;
	for (size_t i = 0; i < count; i++) {
		if (s->next_node >= net.count)
			return call_fail(call, ERR_PRECONDITION, "not enough nodes");
		s->nodes[numbers[i]] = (int)s->next_node++;
		s->limits.list[numbers[i]] = fake_limit(&net, &s->arena, s->nodes[numbers[i]],
							numbers[i], limit,
							ORDERS__PIECE_ACTION__PUT, &s->limits);
	}
	*ret = (const Metainfo__AddressedOrderLimit *const *)s->limits.list;
	return OK;
}

static struct segment *segment_new(const char *scheme, uint64_t size)
{
	struct segment *s = calloc(1, sizeof(*s));

	assert_int_equal(scheme_parse(bytes_str(scheme), &s->scheme), OK);
	s->size = size;
	for (int i = 0; i < s->scheme.total; i++)
		s->nodes[i] = i;
	s->next_node = s->scheme.total;
	fake_limits_make(&net, &s->arena, s->nodes, s->scheme.total,
			 (int64_t)scheme_piece_size(&s->scheme, size), ORDERS__PIECE_ACTION__PUT,
			 &s->limits);
	return s;
}

static void segment_free(struct segment *s)
{
	arena_free(&s->arena);
	free(s);
}

static enum err upload(struct call *call, struct segment *s)
{
	struct segment_upload p = {
		.scheme = s->scheme,
		.limits = (const Metainfo__AddressedOrderLimit *const *)s->limits.list,
		.piece_key = s->limits.key,
		.algorithm = HASH_BLAKE3,
		.requirements = s->requirements,
		.size_max = s->size,
		.block_bytes = 7424,
		.read = source,
		.renew = renew,
		.arg = s,
		.again = s->again,
		.memory_max = 2 << 20,
		.stall_ns = 60 * NS_PER_SEC,
	};

	return segment_upload(call, net.fanout, &p, &s->arena, &s->result);
}

/* Downloads [offset, offset + length) and compares; the outcome of the first failure. */
static enum err download(struct call *call, struct segment *s, uint64_t offset, uint64_t length,
			 bool verify, unsigned *ret_liars)
{
	struct arena a AUTO(arena_free) = { 0 };
	struct fake_limits limits;
	struct segment_download *d;
	struct bytes v;
	uint64_t at = offset;
	int nodes[FAKE_NODES_MAX];
	struct node_id liars[8];
	enum err e;

	for (unsigned i = 0; i < s->scheme.total; i++)
		nodes[i] = -1;
	for (size_t i = 0; i < s->result.count; i++)
		nodes[s->result.pieces[i].number] = s->nodes[s->result.pieces[i].number];
	fake_limits_make(&net, &a, nodes, s->scheme.total,
			 (int64_t)scheme_piece_size(&s->scheme, s->size), ORDERS__PIECE_ACTION__GET,
			 &limits);
	struct segment_download_params p = {
		.scheme = s->scheme,
		.limits = (const Metainfo__AddressedOrderLimit *const *)limits.list,
		.piece_key = limits.key,
		.encrypted_size = s->size,
		.offset = offset,
		.length = length,
		.verify = verify,
		.memory_max = 1 << 20,
		.stall_ns = 5 * NS_PER_SEC,
	};
	TRY_PLAIN(segment_download_open(call, net.fanout, &p, &d));
	while ((e = segment_download_read(call, d, &v)) == OK) {
		for (size_t i = 0; i < v.len; i++)
			if (v.data[i] != byte_at(at + i)) {
				e = ERR_CRYPTO;
				break;
			}
		if (e)
			break;
		at += v.len;
	}
	if (ret_liars)
		*ret_liars = (unsigned)segment_download_liars(d, liars, 8);
	segment_download_close(d);
	if (e != ERR_EOF)
		return e;
	assert_true(at == offset + length);
	return OK;
}

static int setup(void **state)
{
	fake_network_start(&net, 16);
	return 0;
}

static int teardown(void **state)
{
	fake_network_stop(&net);
	return 0;
}

static void heal(void)
{
	for (unsigned i = 0; i < net.count; i++) {
		net.nodes[i].fault = FAULT_NONE;
		net.nodes[i].at = 0;
		net.nodes[i].uploads = net.nodes[i].downloads = net.nodes[i].cancelled = 0;
	}
}

/* One that knows nothing of the nodes. */
static void new_client(void)
{
	struct call call AUTO_CALL = CALL_INIT;

	fanout_free(net.fanout);
	assert_int_equal(fanout_new(&call, net.client_tls,
				    (struct fanout_limits){ .noise = FAKE_NOISE }, &net.fanout),
			 OK);
}

static void expect_stored(struct segment *s)
{
	struct call call AUTO_CALL = CALL_INIT;

	assert_true(s->result.count >= s->scheme.success);
	assert_true(s->result.encrypted_size == s->size);
	for (size_t i = 0; i < s->result.count; i++) {
		const struct segment_piece *p = &s->result.pieces[i];
		assert_true(i == 0 || p->number > s->result.pieces[i - 1].number);
		assert_true(p->hash->piece_size == (int64_t)scheme_piece_size(&s->scheme, s->size));
	}
	assert_int_equal(download(&call, s, 0, s->size, false, NULL), OK);
}

/* ---- */

static void sizes(void **state)
{
	static const uint64_t list[] = { 1,	     17,	7424,	 14848,
					 1024 * 100, 7424 * 57, 3000001, 7424 * 1000 };
	static const char *const schemes[] = { "1/1/1/1", "1/1/2/3", "2/3/4/5-64B", "4/6/8/10",
					       "10/11/12/14-1024B" };

	heal();
	for (size_t k = 0; k < ARRAY_LEN(schemes); k++) {
		for (size_t i = 0; i < ARRAY_LEN(list); i++) {
			struct call call AUTO_CALL = CALL_INIT;
			struct segment *s = segment_new(schemes[k], list[i]);
			enum err e = upload(&call, s);
			if (e)
				fail_msg("%s size %llu: %s", schemes[k],
					 (unsigned long long)list[i], call_error(&call, e));
			expect_stored(s);
			assert_int_equal(s->renewals, 0);
			segment_free(s);
		}
	}
}

static void ranges(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct segment *s = segment_new("4/6/8/10", 7424 * 300);

	heal();
	assert_int_equal(upload(&call, s), OK);
	for (int i = 0; i < 60; i++) {
		uint64_t offset = os_random_below(s->size);
		uint64_t length = 1 + os_random_below(s->size - offset);
		if (i % 3 == 0)
			length = MIN(length, (uint64_t)5000);
		enum err e = download(&call, s, offset, length, i % 10 == 9, NULL);
		if (e)
			fail_msg("%llu+%llu: %s", (unsigned long long)offset,
				 (unsigned long long)length, call_error(&call, e));
	}
	/* No more was signed for than was wanted.  A node may still hear of a stream before that
	 * was not needed any more, hence several tries. */
	bool exact = false;
	for (int try = 0; try < 20 && !exact; try++) {
		heal();
		assert_int_equal(download(&call, s, 0, 7424, false, NULL), OK);
		exact = true;
		for (unsigned i = 0; i < 10; i++)
			exact &= !net.nodes[i].downloads || net.nodes[i].ordered <= 8 * 256;
	}
	assert_true(exact);
	segment_free(s);
}

/* Uploads with some nodes at fault; returns how long it took. */
static int64_t upload_with(enum fault fault, size_t at, unsigned bad, unsigned expect_renewals,
			   bool exact)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct segment *s = segment_new("4/6/8/10", 7424 * 900);

	heal();
	for (unsigned i = 0; i < bad; i++) {
		net.nodes[i * 2].fault = fault;
		net.nodes[i * 2].at = at;
	}
	int64_t start = os_clock_mono_ns();
	enum err e = upload(&call, s);
	int64_t took = os_clock_mono_ns() - start;
	if (e)
		fail_msg("fault %d: %s", fault, call_error(&call, e));
	if (exact)
		assert_int_equal(s->renewals, expect_renewals);
	heal();
	expect_stored(s);
	segment_free(s);
	return took;
}

static void few_bad_nodes_cost_nothing(void **state)
{
	assert_true(upload_with(FAULT_REFUSE, 0, 2, 0, true) < 20 * NS_PER_SEC);
	assert_true(upload_with(FAULT_CLOSE, 300000, 2, 0, true) < 20 * NS_PER_SEC);
	assert_true(upload_with(FAULT_STALL, 0, 2, 0, true) < 20 * NS_PER_SEC);
	assert_true(upload_with(FAULT_STALL, 200000, 2, 0, true) < 20 * NS_PER_SEC);
	assert_true(upload_with(FAULT_DEAF, 0, 2, 0, true) < 20 * NS_PER_SEC);
	/* Now the same nodes are fine, but for the connections they hang in. */
	assert_true(upload_with(FAULT_NONE, 0, 0, 0, true) < 20 * NS_PER_SEC);
	assert_true(upload_with(FAULT_NO_ANSWER, 0, 2, 0, true) < 20 * NS_PER_SEC);
	assert_true(upload_with(FAULT_WRONG_HASH, 0, 2, 0, true) < 20 * NS_PER_SEC);
	assert_true(upload_with(FAULT_SLOW, 300, 2, 0, true) < 20 * NS_PER_SEC);
}

static void many_bad_nodes_are_replaced(void **state)
{
	assert_true(upload_with(FAULT_REFUSE, 0, 4, 1, false) < 20 * NS_PER_SEC);
	assert_true(upload_with(FAULT_CLOSE, 300000, 4, 1, false) < 20 * NS_PER_SEC);
	assert_true(upload_with(FAULT_FOREIGN_SIGNATURE, 0, 4, 1, false) < 20 * NS_PER_SEC);
	assert_true(upload_with(FAULT_STALL, 200000, 4, 1, false) < 40 * NS_PER_SEC);
	/* Others are stored, so those that never answer are given up after ten seconds. */
	assert_true(upload_with(FAULT_NO_ANSWER, 0, 3, 1, true) < 40 * NS_PER_SEC);
}

/* Where nothing is kept, what must be sent again is asked of the caller. */
static void starts_over_without_a_spool(enum fault fault, size_t at)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct segment *s = segment_new("4/6/8/10", 7424 * 900);
	bool again = false;

	new_client();
	heal();
	net.nodes[3].fault = fault;
	net.nodes[3].at = at;
	s->again = &again;
	int64_t start = os_clock_mono_ns();
	assert_int_equal(upload(&call, s), ERR_UNAVAILABLE);
	if (!again)
		fail_msg("fault %d: it does not say that it shall start over", fault);
	assert_int_equal(s->renewals, 0);
	assert_true(os_clock_mono_ns() - start < 30 * NS_PER_SEC);
	call_clear_error(&call);
	s->again = NULL;
	s->read_at = 0;
	assert_int_equal(upload(&call, s), OK);
	heal();
	expect_stored(s);
	segment_free(s);
}

static void without_a_spool(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	bool again = false, smooth = false;

	(void)state;
	starts_over_without_a_spool(FAULT_REFUSE, 0);
	starts_over_without_a_spool(FAULT_CLOSE, 300000);
	starts_over_without_a_spool(FAULT_STALL, 0);
	starts_over_without_a_spool(FAULT_STALL, 200000);
	starts_over_without_a_spool(FAULT_NO_ANSWER, 0);
	starts_over_without_a_spool(FAULT_WRONG_HASH, 0);
	/* On a busy machine a node may lag by chance, hence several tries. */
	for (int try = 0; try < 10 && !smooth; try++) {
		struct segment *s = segment_new("4/6/8/10", 7424 * 900);
		new_client();
		heal();
		again = false;
		s->again = &again;
		enum err e = upload(&call, s);
		assert_true(e == OK || again);
		call_clear_error(&call);
		smooth = !e && s->result.smooth;
		assert_true(!smooth || s->result.count == s->scheme.success);
		if (smooth)
			expect_stored(s);
		segment_free(s);
	}
	assert_true(smooth);
}

static void no_nodes_left(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct segment *s = segment_new("4/6/8/10", 7424 * 50);

	heal();
	for (unsigned i = 0; i < net.count; i++)
		net.nodes[i].fault = FAULT_REFUSE;
	assert_int_equal(upload(&call, s), ERR_UNAVAILABLE);
	assert_non_null(strstr(call.error, "overloaded"));
	segment_free(s);
	heal();
}

static unsigned nodes_asked(void)
{
	unsigned asked = 0;

	for (unsigned i = 0; i < net.count; i++)
		asked += net.nodes[i].uploads > 0;
	return asked;
}

/* Uploads with `bad` nodes at fault; how many nodes were asked in all. */
static unsigned asked_with(uint64_t size, enum fault fault, size_t at, unsigned bad)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct segment *s = segment_new("4/6/8/10", size);

	/* What earlier tests saw of the nodes is forgotten, except for one healthy upload. */
	new_client();
	heal();
	for (unsigned i = 0; i < bad; i++) {
		net.nodes[i * 3].fault = fault;
		net.nodes[i * 3].at = at;
	}
	enum err e = upload(&call, s);
	if (e)
		fail_msg("fault %d: %s", fault, call_error(&call, e));
	unsigned asked = nodes_asked();
	/* Of an upload before, a node may still hear; hence only so much. */
	assert_true(!s->result.smooth || asked >= s->scheme.success);
	for (unsigned i = 0; i < net.count; i++)
		net.nodes[i].fault = FAULT_NONE;
	expect_stored(s);
	segment_free(s);
	return asked;
}

/* On a busy machine a node may lag by chance, hence several tries. */
static void expect_asked(uint64_t size, enum fault fault, size_t at, unsigned bad, unsigned want)
{
	unsigned asked = 0;

	for (int try = 0; try < 10 && asked != want; try++)
		asked = asked_with(size, fault, at, bad);
	if (asked != want)
		fail_msg("fault %d in %u nodes: %u were asked, want %u", fault, bad, asked, want);
}

/* As many nodes as must succeed are asked, and one more for each that fails or lags. */
static void no_more_nodes_than_needed(void **state)
{
	static const uint64_t sizes_tried[] = { 20000, 7424 * 57, 7424 * 1500 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes_tried); i++) {
		expect_asked(sizes_tried[i], FAULT_NONE, 0, 0, 8);
		expect_asked(sizes_tried[i], FAULT_REFUSE, 0, 1, 9);
		expect_asked(sizes_tried[i], FAULT_CLOSE, sizes_tried[i] / 8, 2, 10);
		expect_asked(sizes_tried[i], FAULT_STALL, sizes_tried[i] / 8, 1, 9);
		expect_asked(sizes_tried[i], FAULT_NO_ANSWER, 0, 2, 10);
	}
	expect_asked(7424 * 1500, FAULT_SLOW, 200, 1, 9);
}

/* A node that lagged is asked last by the next upload. */
static void slow_nodes_are_asked_last(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct segment *s = segment_new("4/6/8/10", 7424 * 57);
	bool last = false;

	(void)state;
	for (int try = 0; try < 10 && !last; try++) {
		new_client();
		heal();
		net.nodes[3].fault = FAULT_STALL;
		s->read_at = 0;
		assert_int_equal(upload(&call, s), OK);
		assert_true(net.nodes[3].uploads > 0);
		heal();
		s->read_at = 0;
		assert_int_equal(upload(&call, s), OK);
		last = net.nodes[3].uploads == 0 && nodes_asked() == 8;
	}
	assert_true(last);
	segment_free(s);
	heal();
}

/* The rules of a satellite: the nodes of the data centre that has most may go away. */
static void cohort_is_fulfilled(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	Metainfo__CohortRequirements__Literal six = METAINFO__COHORT_REQUIREMENTS__LITERAL__INIT;
	Metainfo__CohortRequirements__Withhold largest =
		METAINFO__COHORT_REQUIREMENTS__WITHHOLD__INIT;
	Metainfo__CohortRequirements child = METAINFO__COHORT_REQUIREMENTS__INIT, all = child;
	Metainfo__AddressedOrderLimit__TagsEntry tags[10], *lists[10];
	static char key[] = "dc", values[] = "aaabbbcdef";

	(void)state;
	six.value = 6;
	child.requirement_case = METAINFO__COHORT_REQUIREMENTS__REQUIREMENT_LITERAL;
	child.literal = &six;
	largest.tag_key = key;
	largest.amount = 1;
	largest.child = &child;
	all.requirement_case = METAINFO__COHORT_REQUIREMENTS__REQUIREMENT_WITHHOLD;
	all.withhold = &largest;
	for (unsigned bad = 0; bad < 10; bad += 3) {
		struct segment *s = segment_new("4/6/8/10", 7424 * 57);
		unsigned count[256] = { 0 }, most = 0;
		for (unsigned i = 0; i < 10; i++) {
			metainfo__addressed_order_limit__tags_entry__init(&tags[i]);
			tags[i].key = key;
			tags[i].value = proto_view(BYTES(&values[i], 1));
			lists[i] = &tags[i];
			s->limits.list[i]->tags = &lists[i];
			s->limits.list[i]->n_tags = 1;
		}
		new_client();
		heal();
		net.nodes[bad].fault = bad ? FAULT_STALL : FAULT_NONE;
		s->requirements = &all;
		enum err e = upload(&call, s);
		if (e)
			fail_msg("%u: %s", bad, call_error(&call, e));
		for (size_t i = 0; i < s->result.count; i++) {
			unsigned n = ++count[(uint8_t)values[s->result.pieces[i].number]];
			most = MAX(most, n);
		}
		assert_true(s->result.count - most >= 6);
		segment_free(s);
	}
	heal();
}

static void slow_source(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct segment *s = segment_new("4/6/8/10", 7424 * 400);

	heal();
	s->read_pause_ms = 150;
	assert_int_equal(upload(&call, s), OK);
	expect_stored(s);
	segment_free(s);
}

struct later {
	struct os_cancel *cancel;
	int64_t ns;
};

static void cancel_later(void *arg)
{
	struct later *l = arg;
	struct call call AUTO_CALL = CALL_INIT;

	assert_int_equal(os_sleep(&call, l->ns), OK);
	os_cancel_set(l->cancel);
}

static void cancelled_upload(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct segment *s = segment_new("4/6/8/10", 7424 * 900);
	struct os_cancel cancel;
	struct os_thread *thread;
	struct later later = { &cancel, 300 * NS_PER_MS };

	heal();
	for (unsigned i = 0; i < 10; i++)
		net.nodes[i].fault = FAULT_STALL;
	assert_int_equal(os_cancel_init(&call, &cancel, NULL), OK);
	call.cancel = &cancel;
	assert_int_equal(os_thread_start(&call, "later", cancel_later, &later, &thread), OK);
	int64_t start = os_clock_mono_ns();
	assert_int_equal(upload(&call, s), ERR_CANCELED);
	assert_true(os_clock_mono_ns() - start < 5 * NS_PER_SEC);
	os_thread_join(thread);
	os_cancel_fini(&cancel);
	segment_free(s);
	heal();
}

static void download_around(enum fault fault, size_t at, unsigned bad, int64_t ns_max)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct segment *s = segment_new("4/6/8/10", 7424 * 700);

	heal();
	assert_int_equal(upload(&call, s), OK);
	for (unsigned i = 0, done = 0; i < s->result.count && done < bad; i++, done++) {
		struct fake_node *n = &net.nodes[s->nodes[s->result.pieces[i].number]];
		n->fault = fault;
		n->at = at;
	}
	int64_t start = os_clock_mono_ns();
	enum err e = download(&call, s, 0, s->size, false, NULL);
	if (e)
		fail_msg("fault %d: %s", fault, call_error(&call, e));
	assert_true(os_clock_mono_ns() - start < ns_max);
	segment_free(s);
	heal();
}

static void bad_nodes_are_passed_by(void **state)
{
	download_around(FAULT_REFUSE, 0, 4, 10 * NS_PER_SEC);
	download_around(FAULT_CLOSE, 100000, 4, 10 * NS_PER_SEC);
	download_around(FAULT_STALL, 0, 4, 15 * NS_PER_SEC);
	download_around(FAULT_STALL, 100000, 4, 15 * NS_PER_SEC);
	download_around(FAULT_SHORT, 0, 4, 10 * NS_PER_SEC);
	download_around(FAULT_MORE, 0, 3, 10 * NS_PER_SEC);
	download_around(FAULT_SLOW, 100, 4, 30 * NS_PER_SEC);
}

static void too_few_nodes(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct segment *s = segment_new("4/6/8/10", 7424 * 100);

	heal();
	assert_int_equal(upload(&call, s), OK);
	for (unsigned i = 3; i < s->result.count; i++)
		net.nodes[s->nodes[s->result.pieces[i].number]].fault = FAULT_REFUSE;
	assert_int_equal(download(&call, s, 0, s->size, false, NULL), ERR_UNAVAILABLE);
	assert_non_null(strstr(call.error, "piece not found"));
	for (unsigned i = 3; i < s->result.count; i++)
		net.nodes[s->nodes[s->result.pieces[i].number]].fault = FAULT_STALL;
	int64_t start = os_clock_mono_ns();
	assert_int_not_equal(download(&call, s, 0, s->size, false, NULL), OK);
	assert_true(os_clock_mono_ns() - start < 20 * NS_PER_SEC);
	segment_free(s);
	heal();
}

static void liars_are_found(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct segment *s = segment_new("4/6/8/10", 7424 * 200);
	unsigned liars = 0;

	heal();
	assert_int_equal(upload(&call, s), OK);
	for (unsigned i = 0; i < 2; i++)
		net.nodes[s->nodes[s->result.pieces[i].number]].fault = FAULT_LIE;
	/* 8 pieces or more: two wrong ones can be told from the others (erasure.md 4). */
	enum err e = download(&call, s, 0, s->size, true, &liars);
	if (e)
		fail_msg("%s", call_error(&call, e));
	assert_int_equal(liars, 2);
	for (unsigned i = 0; i < s->result.count; i++)
		net.nodes[s->nodes[s->result.pieces[i].number]].fault = FAULT_LIE;
	for (unsigned i = 0; i < 3; i++)
		net.nodes[s->nodes[s->result.pieces[i].number]].fault = FAULT_NONE;
	assert_int_not_equal(download(&call, s, 0, s->size, true, &liars), OK);
	segment_free(s);
	heal();
}

/* Fewer connections than pieces: the others follow from the spool; and fewer than a download
 * needs. */
static void few_connections(void **state)
{
	static const unsigned limits[] = { 1, 3, 8, 9 };
	struct call call AUTO_CALL = CALL_INIT;
	struct fanout *all = net.fanout;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct segment *s = segment_new("4/6/8/10", 7424 * 400);
		struct fanout_limits limit = { .connections_max = limits[i] };
		heal();
		net.nodes[1].fault = FAULT_REFUSE;
		net.nodes[2].fault = FAULT_CLOSE;
		net.nodes[2].at = 10000;
		assert_int_equal(fanout_new(&call, net.client_tls, limit, &net.fanout), OK);
		enum err e = upload(&call, s);
		if (e)
			fail_msg("%u connections: %s", limits[i], call_error(&call, e));
		expect_stored(s);
		e = download(&call, s, 0, s->size, false, NULL);
		if (e)
			fail_msg("%u connections: %s", limits[i], call_error(&call, e));
		/* All were given back. */
		assert_true(fanout_has_leases(net.fanout, limits[i]));
		fanout_free(net.fanout);
		net.fanout = all;
		segment_free(s);
	}
	heal();
}

struct lease_waiter {
	struct fanout *fanout;
	_Atomic unsigned got;
};

static void wait_for_lease(void *arg)
{
	struct lease_waiter *w = arg;
	struct call call AUTO_CALL = CALL_INIT;
	unsigned n = 0;

	assert_int_equal(fanout_lease(&call, w->fanout, 2, 5, false, &n), OK);
	w->got = n;
}

static void leases(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct fanout_limits limit = { .connections_max = 4 };
	struct lease_waiter w = { 0 };
	struct os_thread *thread;
	unsigned n = 0;

	(void)state;
	assert_int_equal(fanout_new(&call, net.client_tls, limit, &w.fanout), OK);
	/* More than there may be: cut, or all of it where nothing less will do. */
	assert_int_equal(fanout_lease(&call, w.fanout, 9, 10, false, &n), OK);
	assert_int_equal(n, 4);
	fanout_unlease(w.fanout, n);
	assert_int_equal(fanout_lease(&call, w.fanout, 9, 10, true, &n), OK);
	assert_int_equal(n, 9);
	assert_false(fanout_lease_one(w.fanout, false));
	assert_true(fanout_lease_one(w.fanout, true));
	fanout_unlease(w.fanout, 7);
	/* Three are out: who wants two waits. */
	os_call_limit(&call, 50 * NS_PER_MS);
	assert_int_equal(fanout_lease(&call, w.fanout, 2, 2, false, &n), ERR_DEADLINE);
	call.deadline_ns = CALL_NO_DEADLINE;
	assert_int_equal(os_thread_start(&call, "lease", wait_for_lease, &w, &thread), OK);
	fanout_unlease(w.fanout, 1);
	os_thread_join(thread);
	assert_int_equal(w.got, 2);
	fanout_unlease(w.fanout, 4);
	assert_true(fanout_has_leases(w.fanout, 4));
	fanout_free(w.fanout);
}

/* What the limit says is what passes, evenly. */
static void rates(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;
	struct pacer p = { .rate = 1000000 };
	int64_t start = os_clock_mono_ns();

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(pacer_wait(&call, &p, 20000), OK);
	/* The first goes at once, nine wait 20 ms each. */
	assert_true(os_clock_mono_ns() - start >= 180 * NS_PER_MS);
	/* Whoever is behind a minute's bytes does not wait for longer than it may. */
	assert_int_equal(pacer_wait(&call, &p, 60000000), OK);
	os_call_limit(&call, NS_PER_MS);
	assert_int_equal(pacer_wait(&call, &p, 1), ERR_DEADLINE);
	assert_int_equal(pacer_step(&p), 125000);
	p.rate = 0;
	assert_int_equal(pacer_wait(&call, &p, UINT64_MAX), OK);
	pacer_fini(&p);
}

static void connections_are_used_again(void **state)
{
	struct call call AUTO_CALL = CALL_INIT;

	heal();
	for (int i = 0; i < 5; i++) {
		struct segment *s = segment_new("2/3/4/4", 20000);
		assert_int_equal(upload(&call, s), OK);
		expect_stored(s);
		segment_free(s);
	}
}

/* A large piece goes up by AES, if need be over TLS, where the processor is good at that. */
static void way_to_a_node(void **state)
{
	const int64_t limits[] = { 1000, 1 << 20, 1 << 20 };
	const int nodes[] = { 0, 1 }; /* ChaCha20, AES-GCM */

	heal();
	for (unsigned i = 0; i < 2; i++)
		for (unsigned j = 0; j < 3; j++) {
			struct call call AUTO_CALL = CALL_INIT;
			struct fake_limits made;
			struct addressed_limit limit;
			struct peer peer;
			fake_limits_make(&net, &call.scratch, &nodes[i], 1, limits[j],
					 j == 2 ? ORDERS__PIECE_ACTION__GET
						: ORDERS__PIECE_ACTION__PUT,
					 &made);
			assert_int_equal(addressed_limit_read(&call, made.list[0], &limit), OK);
			assert_int_equal(peer_open(&call, net.fanout, &limit,
						   "/piecestore.Piecestore/Upload", NS_PER_SEC,
						   &peer),
					 OK);
			bool noise = FAKE_NOISE && (i == 1 || j != 1 || !aead_aes_is_fast());
			assert_int_equal(net_is_noise(rpc_conn_net(peer.conn)), noise);
			peer_close(&peer);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(ranges),
		cmocka_unit_test(few_bad_nodes_cost_nothing),
		cmocka_unit_test(many_bad_nodes_are_replaced),
		cmocka_unit_test(without_a_spool),
		cmocka_unit_test(no_nodes_left),
		cmocka_unit_test(no_more_nodes_than_needed),
		cmocka_unit_test(slow_nodes_are_asked_last),
		cmocka_unit_test(cohort_is_fulfilled),
		cmocka_unit_test(slow_source),
		cmocka_unit_test(cancelled_upload),
		cmocka_unit_test(bad_nodes_are_passed_by),
		cmocka_unit_test(too_few_nodes),
		cmocka_unit_test(liars_are_found),
		cmocka_unit_test(few_connections),
		cmocka_unit_test(leases),
		cmocka_unit_test(rates),
		cmocka_unit_test(connections_are_used_again),
		cmocka_unit_test(way_to_a_node),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
