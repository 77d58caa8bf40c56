/* acre-satellite repair, chores: what waits to be repaired and why; what runs by itself. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "os/clock.h"
#include "satellite/chore.h"
#include "satellite/command.h"
#include "satellite/repair.h"

DEFINE_AUTO_PTR(struct db, db_auto, db_close)

enum { LIST_MAX = 1000, POLL_MS = 200 };
/* A pass that nobody begins: no satellite runs. */
#define BEGIN_NS_MAX (30 * NS_PER_SEC)
/* All that waits has failed, and goes on to. */
#define STUCK_NS (6 * NS_PER_SEC)
/* Nodes that died just before the command are waited for if they count as dead so soon. */
#define SILENCE_NS_MAX (30 * NS_PER_SEC)

/* ---- list ---- */

static void add_days(struct buf *out, int64_t urgency)
{
	if (urgency >= 1000 * 1000)
		buf_printf(out, "%lld days", (long long)(urgency / 1000));
	else
		buf_printf(out, "%.3f days", (double)urgency / 1000);
}

static void add_row(struct command *c, const struct repair_row *r, bool first)
{
	AUTO_BUF struct buf stream = BUF_INIT(64);
	struct buf *out = &c->out;

	text_hex(&stream, uuid_bytes(&r->stream));
	if (c->o.json) {
		buf_printf(out,
			   "%s{\"stream\":\"%s\",\"position\":%lld,\"healthy\":%u,"
			   "\"retrievable\":%u,\"required\":%u,\"success\":%u,\"lost\":%s,"
			   "\"days\":%.3f,\"attempts\":%lld,\"error\":",
			   first ? "" : ",\n ", buf_cstr(&stream), (long long)r->position,
			   r->healthy, r->retrievable, r->required, r->success,
			   r->lost ? "true" : "false", (double)r->urgency / 1000,
			   (long long)r->attempts);
		text_add_json(out, bytes_str(r->error));
		buf_add_byte(out, '}');
		return;
	}
	buf_printf(out, "%s/%lld  %3u healthy of %u wanted, %u can be read, %u needed",
		   buf_cstr(&stream), (long long)r->position, r->healthy, r->success,
		   r->retrievable, r->required);
	if (r->lost) {
		buf_add_str(out, "  LOST unless nodes come back");
	} else {
		buf_add_str(out, "  safe for ");
		add_days(out, r->urgency);
	}
	if (r->attempts)
		buf_printf(out, "  %lld attempts", (long long)r->attempts);
	if (r->error[0])
		buf_printf(out, ": %s", r->error);
	buf_add_byte(out, '\n');
}

static enum err add_list(struct command *c, struct db *db)
{
	struct repair_count count = { 0 };
	struct repair_row *rows = NULL;
	size_t n = 0;

	TRY_PLAIN(store_repair_count(c->call, db, &count));
	TRY_PLAIN(store_repair_list(c->call, db, &c->call->scratch, LIST_MAX, &rows, &n));
	if (c->o.json)
		buf_printf(
			&c->out, "{\"waiting\":%lld,\"failing\":%lld,\"lost\":%lld,\"segments\":[",
			(long long)count.waiting, (long long)count.failing, (long long)count.lost);
	else
		buf_printf(&c->out,
			   "%lld segments wait to be repaired (%lld of them failed before), %lld "
			   "are lost unless nodes come back\n",
			   (long long)count.waiting, (long long)count.failing,
			   (long long)count.lost);
	for (size_t i = 0; i < n; i++)
		add_row(c, &rows[i], i == 0);
	if (c->o.json)
		buf_add_str(&c->out, "]}\n");
	return OK;
}

enum err command_repair_list(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;

	TRY_PLAIN(command_database(c, &db));
	return add_list(c, db);
}

/* ---- run ---- */

static enum err find_state(struct command *c, struct db *db, const char *name,
			   struct chore_state *ret)
{
	struct chore_state *list = NULL;
	size_t count = 0;

	TRY_PLAIN(satellite_chores_list(c->call, db, &c->call->scratch, &list, &count));
	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i].name, name) != 0)
			continue;
		*ret = list[i];
		return OK;
	}
	return call_fail(c->call, ERR_NOT_FOUND, "no chore \"%s\"", name);
}

/* Until the pass that was asked for is over. */
static enum err wait_pass(struct command *c, struct db *db, const char *name, int64_t request)
{
	int64_t until_ns = os_clock_mono_ns() + BEGIN_NS_MAX;
	struct chore_state s = { 0 };

	for (;;) {
		TRY_PLAIN(find_state(c, db, name, &s));
		if (s.served >= request && !s.running)
			break;
		if (s.served < request && os_clock_mono_ns() > until_ns)
			return call_fail(c->call, ERR_UNAVAILABLE,
					 "nobody looks at the segments: does a satellite run (with "
					 "repair-workers above 0)?");
		TRY_PLAIN(os_sleep(c->call, POLL_MS * NS_PER_MS));
	}
	if (s.error[0])
		return call_fail(c->call, ERR_UNAVAILABLE, "the pass over the segments failed: %s",
				 s.error);
	return OK;
}

/* A line of a table that grows while it changes; on standard error. */
static void note_count(const struct repair_count *c, int64_t most, int64_t start_ns)
{
	command_note("%6.1f s %10lld %10lld %10lld %10lld",
		     (double)(os_clock_mono_ns() - start_ns) / (double)NS_PER_SEC,
		     (long long)(most - c->waiting), (long long)c->waiting, (long long)c->failing,
		     (long long)c->lost);
}

/* Until nothing waits, or all that waits has failed for a while. */
static enum err wait_queue(struct command *c, struct db *db, struct repair_count *ret)
{
	struct repair_count said = { .waiting = -1 }, count = { 0 };
	int64_t start_ns = os_clock_mono_ns(), moved_ns = start_ns, most = 0;

	command_note("    time   repaired    waiting    failing       lost");
	for (;;) {
		TRY_PLAIN(store_repair_count(c->call, db, &count));
		most = MAX(most, count.waiting);
		if (count.waiting != said.waiting || count.failing != said.failing ||
		    count.lost != said.lost)
			note_count(&count, most, start_ns);
		if (count.waiting != said.waiting || count.failing < count.waiting)
			moved_ns = os_clock_mono_ns();
		said = count;
		*ret = count;
		if (!count.waiting || os_clock_mono_ns() - moved_ns > STUCK_NS)
			return OK;
		TRY_PLAIN(os_sleep(c->call, POLL_MS * NS_PER_MS));
	}
}

/* What is silent since a moment ago is known to be dead after the silence window. */
static enum err wait_silence(struct command *c)
{
	int64_t window = c->o.config.silence_window;

	return window > SILENCE_NS_MAX ? OK : os_sleep(c->call, window + NS_PER_SEC / 2);
}

enum err command_repair_run(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	const char *pass = c->o.all ? "repair-all" : "segment-loop";
	struct repair_count count = { 0 };
	int64_t request = 0;

	TRY_PLAIN(command_database(c, &db));
	if (c->o.wait)
		TRY_PLAIN(wait_silence(c));
	TRY_PLAIN(satellite_chores_request(c->call, db, pass, &request));
	if (!c->o.wait)
		return OK;
	TRY_PLAIN(wait_pass(c, db, pass, request));
	TRY_PLAIN(wait_queue(c, db, &count));
	if (!count.waiting && !count.lost) {
		buf_add_str(&c->out, c->o.all ? "Every segment has all the pieces it should have.\n"
					      : "No segment waits to be repaired.\n");
		return OK;
	}
	TRY_PLAIN(add_list(c, db));
	TRY_PLAIN(command_flush(c));
	return call_fail(c->call, count.lost ? ERR_DATA_LOSS : ERR_PRECONDITION,
			 "%lld segments could not be repaired and %lld are lost unless nodes come "
			 "back",
			 (long long)count.waiting, (long long)count.lost);
}

/* ---- chores ---- */

static void add_time(struct buf *out, const char *name, int64_t unix_ns)
{
	buf_printf(out, ",\"%s\":", name);
	if (!unix_ns || unix_ns == INT64_MAX) {
		buf_add_str(out, "null");
		return;
	}
	buf_add_byte(out, '"');
	text_add_time(out, unix_ns, true);
	buf_add_byte(out, '"');
}

static void add_chore_json(struct buf *out, const struct chore_state *s, bool first)
{
	buf_add_str(out, first ? "{\"name\":" : ",\n {\"name\":");
	text_add_json(out, bytes_str(s->name));
	buf_printf(out, ",\"running\":%s,\"runs\":%lld,\"failures\":%lld",
		   s->running ? "true" : "false", (long long)s->runs, (long long)s->failures);
	add_time(out, "started", s->started_ns);
	add_time(out, "ended", s->ended_ns);
	add_time(out, "next", s->next_ns);
	buf_add_str(out, ",\"note\":");
	text_add_json(out, bytes_str(s->note));
	buf_add_str(out, ",\"error\":");
	text_add_json(out, bytes_str(s->error));
	buf_add_byte(out, '}');
}

static void add_chore_text(struct buf *out, const struct chore_state *s)
{
	buf_printf(out, "%-20s %-8s %6lld runs", s->name, s->running ? "running" : "waits",
		   (long long)s->runs);
	if (s->failures)
		buf_printf(out, ", %lld failed", (long long)s->failures);
	if (s->ended_ns) {
		buf_add_str(out, ", last ended ");
		text_add_time(out, s->ended_ns, false);
	}
	if (s->note[0])
		buf_printf(out, ": %s", s->note);
	if (s->error[0])
		buf_printf(out, "; FAILED: %s", s->error);
	buf_add_byte(out, '\n');
}

enum err command_chores(struct command *c)
{
	AUTO(db_auto) struct db *db = NULL;
	struct chore_state *list = NULL;
	size_t count = 0;

	TRY_PLAIN(command_database(c, &db));
	TRY_PLAIN(satellite_chores_list(c->call, db, &c->call->scratch, &list, &count));
	if (c->o.json)
		buf_add_byte(&c->out, '[');
	for (size_t i = 0; i < count; i++) {
		if (c->o.json)
			add_chore_json(&c->out, &list[i], i == 0);
		else
			add_chore_text(&c->out, &list[i]);
	}
	if (c->o.json)
		buf_add_str(&c->out, "]\n");
	return OK;
}
