/*
 * Progress on standard error.  On a terminal one line is redrawn; elsewhere a new line is written
 * every few seconds, so that a log stays readable.
 */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/process.h"

enum { REDRAW_MS = 100, LINE_MS = 2000, BAR_WIDTH_MAX = 40, NAME_WIDTH = 28 };

struct progress {
	struct os_mutex lock;
	char title[64];
	bool terminal, keys;
	int64_t bytes_done, bytes_total;
	int64_t started_ns, next_draw_ns;
};

struct progress *progress_new(struct cli *cli, const char *title, uint64_t bytes_total)
{
	bool terminal = os_stderr_is_terminal();

	if (!cli->o.progress)
		return NULL;
	struct progress *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->terminal = terminal;
	p->bytes_total = (int64_t)bytes_total;
	p->started_ns = os_clock_mono_ns();
	p->next_draw_ns = p->started_ns + (terminal ? 0 : LINE_MS * NS_PER_MS);
	progress_name(p, title);
	return p;
}

void progress_name(struct progress *p, const char *name)
{
	AUTO_BUF struct buf safe = BUF_INIT(4096);

	if (!p)
		return;
	cli_add_safe(&safe, name);
	OS_LOCKED(&p->lock);
	memset(p->title, 0, sizeof(p->title));
	memcpy(p->title, buf_cstr(&safe), MIN(safe.len, sizeof(p->title) - 1));
}

static void add_amount(const struct progress *p, struct buf *line, double amount)
{
	amount = MAX(amount, 0.0);
	if (p->keys)
		buf_printf(line, "%.0f keys", amount);
	else
		text_add_size(line, (uint64_t)amount);
}

static void draw(struct progress *p, bool last, bool done)
{
	AUTO_BUF struct buf line = BUF_INIT(4096);
	int64_t ns = MAX(os_clock_mono_ns() - p->started_ns, NS_PER_MS);
	double rate = (double)p->bytes_done * (double)NS_PER_SEC / (double)ns;
	unsigned width = os_terminal_width();
	unsigned bar = width > 100 ? BAR_WIDTH_MAX : width > 76 ? 16 : 0;

	if (p->terminal)
		buf_add_byte(&line, '\r');
	buf_printf(&line, "%-*.*s ", NAME_WIDTH, NAME_WIDTH, p->title);
	if (p->bytes_total > 0) {
		double part = MIN((double)p->bytes_done / (double)p->bytes_total, 1.0);
		if (bar) {
			unsigned full = (unsigned)(part * bar);
			buf_add_byte(&line, '[');
			for (unsigned i = 0; i < bar; i++)
				buf_add_byte(&line, i < full ? '=' : i == full ? '>' : ' ');
			buf_add_str(&line, "] ");
		}
		buf_printf(&line, "%3d%%  ", (int)(part * 100));
	}
	add_amount(p, &line, (double)p->bytes_done);
	if (p->bytes_total > 0) {
		buf_add_str(&line, " of ");
		add_amount(p, &line, (double)p->bytes_total);
	}
	buf_add_str(&line, "  ");
	add_amount(p, &line, rate);
	buf_add_str(&line, "/s");
	if (last)
		buf_printf(&line, "  %s in %.1f s", done ? "done" : "stopped", (double)ns / 1e9);
	else if (p->bytes_total > p->bytes_done && rate > 1)
		buf_printf(&line, "  %.0f s left", (double)(p->bytes_total - p->bytes_done) / rate);
	if (p->terminal)
		buf_add_str(&line, "\x1b[K");
	if (last || !p->terminal)
		buf_add_byte(&line, '\n');
	os_stderr_line(buf_bytes(&line));
}

/* With the lock held. */
static void draw_when_due(struct progress *p)
{
	int64_t now = os_clock_mono_ns();

	if (now < p->next_draw_ns)
		return;
	p->next_draw_ns = now + (p->terminal ? REDRAW_MS : LINE_MS) * NS_PER_MS;
	draw(p, false, false);
}

void progress_add(struct progress *p, int64_t bytes)
{
	if (!p)
		return;
	OS_LOCKED(&p->lock);
	p->bytes_done += bytes;
	draw_when_due(p);
}

void progress_set(struct progress *p, int64_t bytes_done)
{
	if (!p)
		return;
	OS_LOCKED(&p->lock);
	p->bytes_done = bytes_done;
	draw_when_due(p);
}

void progress_count_keys(struct progress *p)
{
	p->keys = true;
}

void progress_end(struct progress *p, bool done)
{
	if (!p)
		return;
	draw(p, true, done);
	os_mutex_fini(&p->lock);
	free(p);
}
