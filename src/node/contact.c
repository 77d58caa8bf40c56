/* Check-ins with every trusted satellite (storagenode.md 2) and the clock check (11). */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/day_hours.h"
#include "base/num.h"
#include "base/text.h"
#include "identity/signed_tags.h"
#include "node/node_internal.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/process.h"
#include "proto/contact.pb-c.h"

enum {
	CHECK_IN_SECONDS = 3600,
	CHECK_IN_MS_DEVELOPMENT = 1500,
	/* Of the time an attempt took: a machine that is busy is left alone, up to a point. */
	CHECK_IN_TIMES_DEVELOPMENT = 10,
	CHECK_IN_MS_MAX_DEVELOPMENT = 3000,
	RETRY_SECONDS_MAX = 1024,
	RETRY_SECONDS_MAX_DEVELOPMENT = 4,
	ATTEMPT_SECONDS_MAX = 10 * 60,
	DIAL_SECONDS = 20,
	CLOCK_SECONDS_WARN = 10 * 60,
	CLOCK_SECONDS_MAX = 30 * 60,
	CLOCK_RETRY_SECONDS = 60,
	/* noise.md 9: of equal first messages so many are coped with, by answering only one. */
	DEBOUNCE_LIMIT = 2,
	FEATURE_FAST_OPEN = 1,
	TAGS_MAX = 16,	  /* of its own */
	TAGS_OF_NODE = 3, /* of them: software, hours */
	TAG_NAME_MAX = 64,
	TAG_VALUE_MAX = 128,
};

/* The Storj release whose protocol this node implements: satellites may choose nodes by it
 * (storagenode.md 2).  Which program really runs is for a signed tag to say. */
#define PROTOCOL_RELEASE "v1.162.3"
#define PROTOCOL_RELEASE_UNIX_NS (INT64_C(1785888000) * NS_PER_SEC)

DEFINE_AUTO_PTR(struct rpc_conn, conn_auto, rpc_conn_close)

/* The clock is wrong when a satellite says so and none says the contrary: then satellites and we
 * would disagree about every limit, and the node is better offline (the grace for order limits is
 * an hour). */
static void note_clock(struct node *n, struct check_in *c, bool wrong)
{
	bool any = wrong;

	os_mutex_lock(&n->lock);
	c->clock = wrong ? CLOCK_WRONG : CLOCK_RIGHT;
	for (size_t i = 0; i < trust_count(n->trust); i++)
		any = any && n->check_ins[i].clock != CLOCK_RIGHT;
	bool before = n->clock_wrong;
	n->clock_wrong = any;
	os_mutex_unlock(&n->lock);
	if (any && !before)
		log_error("this machine's clock is wrong: nothing is served until it is right",
			  F_STR("satellite", trust_address(n->trust, c->satellite)));
	else if (before && !any)
		log_info("this machine's clock is right again");
}

/* What one satellite thinks of our clock. */
static enum err judge_clock(struct call *call, struct node *n, struct check_in *c, int64_t off_ns)
{
	int64_t off = llabs(off_ns / NS_PER_SEC);
	const char *way = off_ns > 0 ? "ahead" : "behind";

	note_clock(n, c, off > CLOCK_SECONDS_MAX);
	if (off > CLOCK_SECONDS_MAX)
		return call_fail(call, ERR_PRECONDITION,
				 "this machine's clock is %lld minutes %s%s the satellite's, so no "
				 "transfer can work: set it right (timedatectl set-ntp true)",
				 (long long)((off + 30) / 60), way, off_ns > 0 ? " of" : "");
	if (off > CLOCK_SECONDS_WARN)
		log_warn("this machine's clock differs from the satellite's: set it right (NTP)",
			 F_STR("satellite", trust_address(n->trust, c->satellite)),
			 F_I64("seconds", off), F_STR("clock", way));
	return OK;
}

static enum err ask_clock(struct call *call, struct rpc_conn *conn, int64_t *ret_off_ns)
{
	Contact__GetTimeRequest request = CONTACT__GET_TIME_REQUEST__INIT;
	Contact__GetTimeResponse *reply = NULL;
	int64_t before = os_clock_unix_ns();

	TRY_PLAIN(rpc_invoke(call, conn, "/contact.Node/GetTime", &request.base, &call->scratch,
			     &contact__get_time_response__descriptor, &reply));
	int64_t after = os_clock_unix_ns(), theirs = proto_time(reply->timestamp);
	/* A time of another century is no time (and its difference would not fit). */
	if (theirs <= TIME_NONE || theirs == INT64_MAX)
		return call_fail(call, ERR_FORMAT, "the satellite's time is none");
	/* Anywhere between asking and hearing is right. */
	*ret_off_ns = theirs < before ? before - theirs : theirs > after ? after - theirs : 0;
	return OK;
}

const char *node_software(void)
{
	return "acre/" ACRE_VERSION;
}

/* ---- tags ---- */

/* Those that have settings of their own, or are no setting. */
static bool is_reserved(struct bytes name)
{
	return bytes_equal(name, bytes_str("software")) || bytes_equal(name, bytes_str("hours")) ||
	       bytes_equal(name, bytes_str("upload-hours"));
}

static bool is_printable(struct bytes text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < ' ' || text.data[i] > '~')
			return false;
	return true;
}

/* Takes the next "NAME=VALUE" off *rest, which is not empty. */
static enum err next_own_tag(struct call *call, struct bytes *rest, struct bytes *ret_name,
			     struct bytes *ret_value)
{
	const uint8_t *comma = memchr(rest->data, ',', rest->len);
	size_t n = comma ? (size_t)(comma - rest->data) : rest->len;
	struct bytes item = text_trim(BYTES(rest->data, n));
	const uint8_t *equals = item.len ? memchr(item.data, '=', item.len) : NULL;
	size_t name_len = equals ? (size_t)(equals - item.data) : 0;

	*rest = bytes_from(*rest, n + 1);
	if (!name_len || name_len > TAG_NAME_MAX || item.len - name_len - 1 > TAG_VALUE_MAX ||
	    item.len == name_len + 1 || !is_printable(item))
		return call_fail(call, ERR_CONFIG,
				 "want NAME=VALUE, separated by commas, of at most %d and %d bytes",
				 TAG_NAME_MAX, TAG_VALUE_MAX);
	*ret_name = BYTES(item.data, name_len);
	*ret_value = bytes_from(item, name_len + 1);
	if (is_reserved(*ret_name))
		return call_fail(call, ERR_CONFIG, "\"%.*s\" is told by the node itself",
				 (int)name_len, (const char *)item.data);
	return OK;
}

enum err node_own_tags_check(struct call *call, const char *text)
{
	struct bytes rest = text_trim(bytes_str(text ? text : "")), name, value;

	for (size_t count = TAGS_OF_NODE; rest.len; count++) {
		if (count == TAGS_MAX)
			return call_fail(call, ERR_CONFIG, "more than %d", TAGS_MAX - TAGS_OF_NODE);
		TRY_PLAIN(next_own_tag(call, &rest, &name, &value));
	}
	return OK;
}

static enum err add_tag(struct call *call, Node__Tag **list, size_t *count, const char *name,
			const char *value)
{
	Node__Tag *t = arena_alloc(&call->scratch, sizeof(*t));
	struct bytes copy = arena_bytes(&call->scratch, bytes_str(value));

	if (!t || !copy.len)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	node__tag__init(t);
	t->name = (char *)(uintptr_t)name;
	t->value = proto_view(copy);
	list[(*count)++] = t;
	return OK;
}

/* Hours of the day in UTC, the operator's are in local time. */
static enum err add_hours(struct call *call, Node__Tag **list, size_t *count, const char *name,
			  const char *local)
{
	int64_t now_ns = os_clock_unix_ns();
	unsigned utc = (unsigned)(now_ns / NS_PER_SEC / 60 % DAY_MINUTES);
	char text[DAY_HOURS_TEXT_MAX];
	struct day_hours hours;

	TRY_PLAIN(day_hours_parse(call, local, &hours));
	if (hours.always)
		return OK;
	day_hours_text(&hours, utc + DAY_MINUTES - os_clock_day_minute(now_ns), text);
	return add_tag(call, list, count, name, text);
}

/* Checked when it was set. */
static enum err add_own_tags(struct call *call, Node__Tag **list, size_t *count, const char *text)
{
	struct bytes rest = text_trim(bytes_str(text ? text : "")), name, value;

	while (rest.len && *count < TAGS_MAX) {
		TRY_PLAIN(next_own_tag(call, &rest, &name, &value));
		const char *n = arena_str(&call->scratch, name);
		const char *v = arena_str(&call->scratch, value);
		if (!n || !v)
			return call_fail(call, ERR_NO_MEMORY, "out of memory");
		TRY_PLAIN(add_tag(call, list, count, n, v));
	}
	return OK;
}

/* A satellite chooses nodes by the release of Storj's whose protocol they speak; what really runs
 * this says, signed by the node itself, and when it may be chosen (satellite.md 2.6); and what
 * others have signed of it. */
static enum err add_tags(struct call *call, struct node *n, Contact__CheckInRequest *request)
{
	struct arena *a = &call->scratch;
	Node__SignedNodeTagSets *sets = arena_alloc(a, sizeof(*sets)), others;
	Node__Tag *list[TAGS_MAX];
	size_t count = 0;

	TRY_PLAIN(add_tag(call, list, &count, "software", node_software()));
	TRY_PLAIN(add_hours(call, list, &count, "hours", node_get(n, online_hours)));
	TRY_PLAIN(add_hours(call, list, &count, "upload-hours", node_get(n, upload_hours)));
	TRY_PLAIN(add_own_tags(call, list, &count, node_get(n, own_tags)));
	TRY_PLAIN(signed_tags_parse(call, node_get(n, signed_tags), &others));
	Node__SignedNodeTagSet **all = arena_array(a, others.n_tags + 1, sizeof(*all));
	if (!sets || !all)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	node__signed_node_tag_sets__init(sets);
	TRY_PLAIN(signed_tags_make(call, n->identity, identity_node_id(n->identity), list, count,
				   &all[0]));
	for (size_t i = 0; i < others.n_tags; i++)
		all[i + 1] = others.tags[i];
	sets->tags = all;
	sets->n_tags = others.n_tags + 1;
	request->signed_tags = sets;
	return OK;
}

static enum err send_check_in(struct call *call, struct node *n, struct rpc_conn *conn)
{
	Contact__CheckInRequest request = CONTACT__CHECK_IN_REQUEST__INIT;
	Node__NodeVersion version = NODE__NODE_VERSION__INIT;
	Node__NodeCapacity capacity = NODE__NODE_CAPACITY__INIT;
	Node__NodeOperator owner = NODE__NODE_OPERATOR__INIT;
	Contact__CheckInResponse *reply = NULL;
	struct piece_space space;

	TRY_PLAIN(piece_store_space(call, n->store, &space));
	version.version = arena_str(&call->scratch, bytes_str(PROTOCOL_RELEASE));
	version.timestamp = proto_time_new(&call->scratch, PROTOCOL_RELEASE_UNIX_NS);
	version.release = 1;
	capacity.free_disk = (int64_t)MIN(space.available, (uint64_t)INT64_MAX);
	owner.email = arena_str(&call->scratch, bytes_str(node_get(n, email)));
	owner.wallet = arena_str(&call->scratch, bytes_str(node_get(n, wallet)));
	const char *address = node_get(n, external_address);
	request.address = arena_str(&call->scratch,
				    bytes_str(address[0] ? address : node_address(n)));
	if (!version.version || !version.timestamp || !owner.email || !owner.wallet ||
	    !request.address)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	request.version = &version;
	request.capacity = &capacity;
	request.operator_ = &owner;
	request.features = n->fast_open ? FEATURE_FAST_OPEN : 0;
	request.noise_key_attestation = n->attestation;
	/* Tells clients, too, that an upload may come in one message. */
	request.debounce_limit = n->attestation ? DEBOUNCE_LIMIT : 0;
	TRY_PLAIN(add_tags(call, n, &request));
	TRY_PLAIN(rpc_invoke(call, conn, "/contact.Node/CheckIn", &request.base, &call->scratch,
			     &contact__check_in_response__descriptor, &reply));
	if (!reply->ping_node_success)
		return call_fail(
			call, ERR_UNAVAILABLE,
			"the satellite could not reach this node at %s: %.300s (is the port "
			"open, and external-address right?)",
			request.address, reply->ping_error_message);
	return OK;
}

enum err node_dial_satellite(struct call *call, struct node *n, size_t i, struct rpc_conn **ret)
{
	AUTO_CALL struct call limited = { 0 };

	call_init_child(&limited, call);
	os_call_limit(&limited, DIAL_SECONDS * NS_PER_SEC);
	enum err e = rpc_dial(&limited, n->tls, trust_address(n->trust, i), trust_id(n->trust, i),
			      ret);
	if (!e) {
		trust_learn(n->trust, trust_id(n->trust, i), net_peer_chain(rpc_conn_net(*ret)));
		return OK;
	}
	call_copy_error(call, &limited);
	return call_wrap(call, e, NODE_DIAL_FAILED);
}

static enum err attempt(struct call *call, struct node *n, struct check_in *c)
{
	AUTO(conn_auto) struct rpc_conn *conn = NULL;
	int64_t off_ns = 0;

	os_call_limit(call, ATTEMPT_SECONDS_MAX * NS_PER_SEC);
	TRY_PLAIN(node_dial_satellite(call, n, c->satellite, &conn));
	/* Not every satellite must answer this; the check-in itself tells more. */
	if (!ask_clock(call, conn, &off_ns)) {
		TRY_PLAIN(judge_clock(call, n, c, off_ns));
	} else {
		log_debug("no time from satellite", F_STR("why", call->error));
		call_clear_error(call);
		if (!rpc_conn_reusable(conn)) {
			rpc_conn_close(take(&conn));
			TRY_PLAIN(node_dial_satellite(call, n, c->satellite, &conn));
		}
	}
	return send_check_in(call, n, conn);
}

/* 1, 2, 4 ... 1024 s after failures, then the next hour (storagenode.md 2). */
static int64_t next_try(struct node *n, struct check_in *c)
{
	int64_t max = n->config.development ? RETRY_SECONDS_MAX_DEVELOPMENT : RETRY_SECONDS_MAX;
	int64_t seconds = c->failures < 12 ? INT64_C(1) << (c->failures - 1) : INT64_MAX;

	if (seconds > max && n->config.development)
		seconds = max;
	if (seconds <= max)
		return seconds * NS_PER_SEC;
	c->failures = 0;
	return CHECK_IN_SECONDS * NS_PER_SEC;
}

/* Networks for trying notice within seconds that a node is gone, so its being there is said often.
 */
static int64_t next_check_in(const struct node *n, int64_t took_ns)
{
	if (n->config.check_in_ns)
		return n->config.check_in_ns;
	if (!n->config.development)
		return CHECK_IN_SECONDS * NS_PER_SEC;
	took_ns = MIN(CHECK_IN_TIMES_DEVELOPMENT * took_ns,
		      CHECK_IN_MS_MAX_DEVELOPMENT * NS_PER_MS);
	return MAX(CHECK_IN_MS_DEVELOPMENT * NS_PER_MS, took_ns);
}

static int64_t check_in(struct call *call, void *arg)
{
	struct check_in *c = arg;
	struct node *n = c->node;
	const char *address = trust_address(n->trust, c->satellite);
	int64_t start_ns = os_clock_mono_ns();
	enum err e = attempt(call, n, c);
	int64_t took_ns = os_clock_mono_ns() - start_ns;

	if (node_stops(n, e))
		return CHORE_NEVER;
	os_mutex_lock(&n->lock);
	bool changed = !c->last_unix_ns || c->ok != !e;
	c->ok = !e;
	c->last_unix_ns = os_clock_unix_ns();
	c->error[0] = 0;
	if (e)
		memcpy(c->error, call_error(call, e),
		       strnlen(call_error(call, e), CALL_ERROR_MAX - 1) + 1);
	os_mutex_unlock(&n->lock);
	if (changed) {
		if (e)
			log_warn("check-in failed, will be tried again",
				 F_STR("satellite", address), F_STR("why", call_error(call, e)));
		else
			log_info("checked in", F_STR("satellite", address));
	}
	c->failures = e ? c->failures + 1 : 0;
	/* Handshakes take much memory, and nothing else may come for an hour. */
	if (!n->config.development)
		os_memory_trim();
	int64_t next = e ? next_try(n, c) : next_check_in(n, took_ns);
	/* A clock is soon set. */
	return c->clock == CLOCK_WRONG ? MIN(next, CLOCK_RETRY_SECONDS * NS_PER_SEC) : next;
}

enum err node_contact_start(struct call *call, struct node *n)
{
	for (size_t i = 0; i < trust_count(n->trust); i++) {
		struct check_in *c = &n->check_ins[i];
		*c = (struct check_in){ .node = n, .satellite = i };
		TRY_PLAIN(chores_add_network(call, n->chores, check_in, c, CHORE_NEVER, &n->cancel,
					     &c->chore));
	}
	return OK;
}

void node_contact_stop(struct node *n)
{
	for (size_t i = 0; n->trust && i < trust_count(n->trust); i++)
		chores_remove(n->chores, take(&n->check_ins[i].chore));
}

void node_contact_all(struct node *n)
{
	/* A chore of the storage may have something to tell before there is an address. */
	if (!n->serving)
		return;
	for (size_t i = 0; i < trust_count(n->trust); i++)
		chores_soon(n->chores, n->check_ins[i].chore, 0);
}

void node_contact_low_space(struct node *n)
{
	int64_t now = os_clock_mono_ns(), last = n->low_space_mono_ns;

	if (last && now - last < NODE_LOW_SPACE_SECONDS * NS_PER_SEC)
		return;
	n->low_space_mono_ns = now;
	node_contact_all(n);
}
