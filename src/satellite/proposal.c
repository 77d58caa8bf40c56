/* Which code suits how many nodes, and what each choice survives. */
#include "base/num.h"
#include "satellite/command.h"

enum { NODES_OF_REFERENCE = 120 };

/* Tenths of n that any k of them are. */
static const struct {
	const char *name;
	unsigned tenths;
} kinds[CODE_CHOICES] = { { "thrifty", 6 }, { "balanced", 4 }, { "careful", 2 } };

static struct scheme make(uint64_t nodes, unsigned tenths)
{
	/* Some nodes may be away while files go up; few networks can spare one. */
	unsigned spare = nodes < 5 ? 0 : (unsigned)MAX(nodes / 10, 1U);
	unsigned n = (unsigned)MIN(nodes - spare, 110U);
	unsigned k = MAX((n * tenths + 5) / 10, 1U);
	/* The slowest are not waited for, where there are enough. */
	unsigned slow = (n * 15 + 50) / 100;
	unsigned o = MAX(n - slow, k);
	unsigned m = k + (o - k) / 2;

	return (struct scheme){ (uint16_t)k, (uint16_t)m, (uint16_t)o, (uint16_t)n,
				SCHEME_SHARE_SIZE };
}

void code_propose(uint64_t nodes, struct code_choice ret[CODE_CHOICES])
{
	nodes = MAX(nodes, 1U);
	for (unsigned i = 0; i < CODE_CHOICES; i++)
		ret[i] = (struct code_choice){ kinds[i].name, make(nodes, kinds[i].tenths) };
	/* What Storj's own network runs on. */
	if (nodes >= NODES_OF_REFERENCE)
		ret[1].code = (struct scheme){ 29, 35, 80, 110, SCHEME_SHARE_SIZE };
}

void code_describe(struct buf *out, const struct code_choice *choice, uint64_t nodes)
{
	const struct scheme *c = &choice->code;
	unsigned lost = c->success - c->required;

	buf_printf(out, "  %u/%u/%u/%u  %-9s ", c->required, c->repair, c->success, c->total,
		   choice->name);
	if (lost == 0)
		buf_add_str(out, "survives no lost node");
	else
		buf_printf(out, "survives any %u lost node%s", lost, lost == 1 ? "" : "s");
	buf_printf(out, "; takes %.1f to %.1f bytes for each byte",
		   (double)c->success / c->required, (double)c->total / c->required);
	if (nodes > c->total)
		buf_printf(out, "; uploads go on with %llu of %llu nodes away\n",
			   (unsigned long long)(nodes - c->total), (unsigned long long)nodes);
	else
		buf_printf(out, "; uploads need all %u nodes\n", c->total);
}
