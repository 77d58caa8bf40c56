/* Questions of the set-up, one after another; an empty answer takes what stands in brackets. */
#include "node/setup_ask.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "base/text.h"
#include "node/service.h"
#include "node/trust_sources.h"
#include "os/file.h"
#include "os/process.h"

enum {
	ANSWER_MAX = 1024,
	PROMPT_MAX = 4096,
	ROUNDS_MAX = 10, /* wrong answers to one question */
	STORJ_DIFFICULTY = 36,
};

/* What is proposed; NULL = nothing. */
typedef const char *proposal(struct call *call, const struct settings *s);

static const char *propose_storage(struct call *call, const struct settings *s)
{
	return os_path_join(call, s->dir, "storage");
}

/* Nine tenths of what is free, where the pieces will be or above. */
static const char *propose_space(struct call *call, const struct settings *s)
{
	const char *path = s->node.storage[0] ? s->node.storage : propose_storage(call, s);
	uint64_t left = 0, total = 0;

	while (os_space(call, path, &left, &total)) {
		call_clear_error(call);
		const char *above = os_path_dir(call, path);
		if (strcmp(above, path) == 0 || strcmp(above, ".") == 0)
			return NULL;
		path = above;
	}
	const char *text = arena_printf(&call->scratch, "%lluGB",
					(unsigned long long)(left / 10 * 9 / 1000000000));
	return left > UINT64_C(2000000000) ? text : NULL;
}

static const char *propose_address(struct call *call, const struct settings *s)
{
	return "0.0.0.0:28967";
}

static const char *propose_no(struct call *call, const struct settings *s)
{
	return "no";
}

static const struct question {
	const char *name;
	const char *text;
	proposal *propose;
	bool (*when)(struct call *call); /* NULL = always */
	bool optional;
} questions[] = {
	{ .name = "satellite",
	  .text = "Which satellites shall it work for?  Node URLs (id@host:port, separated by "
		  "commas), or \"storj\"\nfor those of Storj Inc." },
	{ .name = "storage",
	  .text = "In which directory shall the pieces be?  A disk of its own is best.",
	  .propose = propose_storage },
	{ .name = "space", .text = "How much space shall it rent out?", .propose = propose_space },
	{ .name = "address", .text = "Where shall it listen?", .propose = propose_address },
	{ .name = "external-address",
	  .text = "By which host:port is it reached from outside?  A router must forward that "
		  "port." },
	{ .name = "email",
	  .text = "Your e-mail address, told to the satellites (may be left empty):",
	  .optional = true },
	{ .name = "wallet",
	  .text = "Your wallet (0x...), told to the satellites, so that they can pay (may be left "
		  "empty):",
	  .optional = true },
	{ .name = "service",
	  .text = "Shall systemd run it, from now on and after every start of this machine (yes or "
		  "no)?",
	  .propose = propose_no,
	  .when = service_possible },
};

bool setup_can_ask(void)
{
	return os_stdin_is_terminal() && os_stderr_is_terminal();
}

/* ERR_EOF: nobody is there any more. */
static enum err read_line(struct call *call, struct buf *ret)
{
	for (;;) {
		uint8_t c;
		size_t n = 0;
		TRY_PLAIN(os_file_read(call, os_stdin(), &c, 1, &n));
		if (!n)
			return call_fail(call, ERR_EOF, "no answer");
		if (c == '\n')
			return OK;
		if (c != '\r')
			buf_add_byte(ret, c);
		TRY(buf_status(ret), "an answer of more than %d bytes", ANSWER_MAX);
	}
}

static void say(const char *text)
{
	os_stderr_line(bytes_str(text));
}

static enum err set(struct call *call, struct arena *a, const struct question *q,
		    struct bytes answer, struct settings *s)
{
	if (strcmp(q->name, "storage") == 0 && answer.data[0] != '/')
		return call_fail(call, ERR_CONFIG, "want a whole path, beginning with /");
	if (strcmp(q->name, "service") == 0 && !bytes_equal(answer, bytes_str("yes")) &&
	    !bytes_equal(answer, bytes_str("no")))
		return call_fail(call, ERR_CONFIG, "want yes or no");
	TRY_PLAIN(param_set_one(call, a, settings_all(), s, bytes_str(q->name), answer));
	if (strcmp(q->name, "satellite") == 0) {
		enum err e = trust_sources_resolve(call, a, &s->exclude, &s->node.satellites);
		if (e)
			s->node.satellites.count = 0;
		return e;
	}
	return OK;
}

static enum err ask(struct call *call, struct arena *a, const struct question *q,
		    struct settings *s)
{
	const char *proposed = q->propose ? q->propose(call, s) : NULL;

	for (int round = 0; round < ROUNDS_MAX; round++) {
		AUTO_BUF struct buf prompt = BUF_INIT(PROMPT_MAX), line = BUF_INIT(ANSWER_MAX);
		buf_printf(&prompt, "\n%s\n", q->text);
		if (proposed)
			buf_printf(&prompt, "[%s] ", proposed);
		buf_add_str(&prompt, "> ");
		os_stderr_line(buf_bytes(&prompt));
		TRY(read_line(call, &line), "%s", q->name);
		struct bytes answer = text_trim(buf_bytes(&line));
		if (!answer.len && q->optional)
			return OK;
		if (!answer.len && proposed)
			answer = bytes_str(proposed);
		enum err e = answer.len ? set(call, a, q, answer, s)
					: call_fail(call, ERR_CONFIG, "an answer is needed");
		if (!e)
			return OK;
		buf_clear(&prompt);
		buf_printf(&prompt, "%s\n", call_error(call, e));
		os_stderr_line(buf_bytes(&prompt));
		call_clear_error(call);
	}
	return call_fail(call, ERR_CONFIG, "no answer that fits: give --%s VALUE", q->name);
}

/* By its name or its alias. */
static bool given(const char *name, int argc, const char *const argv[])
{
	struct param_set all = settings_all();
	const char *alias = NULL;

	for (size_t i = 0; i < all.count; i++)
		if (strcmp(all.params[i].name, name) == 0)
			alias = all.params[i].alias;
	for (int i = 0; i < argc; i++) {
		const char *names[] = { name, alias };
		for (size_t j = 0; j < ARRAY_LEN(names); j++) {
			size_t n = names[j] ? strlen(names[j]) : 0;
			if (n && strncmp(argv[i], "--", 2) == 0 &&
			    strncmp(argv[i] + 2, names[j], n) == 0 &&
			    (argv[i][2 + n] == '\0' || argv[i][2 + n] == '='))
				return true;
		}
	}
	return false;
}

static bool of_storj(const struct settings *s)
{
	for (size_t i = 0; i < s->node.satellites.count; i++)
		if (strstr(s->node.satellites.items[i], ".storj.io:"))
			return true;
	return false;
}

enum err setup_ask(struct call *call, struct arena *a, int argc, const char *const argv[],
		   struct settings *s)
{
	for (size_t i = 0; i < ARRAY_LEN(questions); i++)
		if (!given(questions[i].name, argc, argv) &&
		    (!questions[i].when || questions[i].when(call)))
			TRY_PLAIN(ask(call, a, &questions[i], s));
	if (of_storj(s) && !given("difficulty", argc, argv) && !given("identity", argc, argv)) {
		s->difficulty = STORJ_DIFFICULTY;
		say("\nSatellites of Storj Inc. want an identity that takes hours to make.  If you "
		    "have one, stop here\n(Ctrl-C) and give --identity DIR.\n");
	}
	return OK;
}
