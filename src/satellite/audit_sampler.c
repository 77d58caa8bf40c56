/*
 * Which segments are audited: per node a weighted reservoir (A-Res with exponential keys: the
 * smallest of E / size stay, as Storj's), but by jumps: how much size has to pass until the next
 * segment gets in is drawn once, so that nearly every piece costs one subtraction.
 */
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/random.h"
#include "satellite/audit.h"

struct reservoir {
	double keys[AUDIT_SLOTS];
	struct audit_ref refs[AUDIT_SLOTS];
	unsigned count;
};

struct audit_sampler {
	double *left; /* by node number: size to pass by; below 0 = not full yet */
	struct reservoir *reservoirs;
	uint32_t cap;
};

struct audit_sampler *audit_sampler_new(void)
{
	return calloc(1, sizeof(struct audit_sampler));
}

void audit_sampler_reset(struct audit_sampler *s)
{
	free(s->left);
	free(s->reservoirs);
	*s = (struct audit_sampler){ 0 };
}

void audit_sampler_free(struct audit_sampler *s)
{
	if (!s)
		return;
	audit_sampler_reset(s);
	free(s);
}

/* Uniform in (0, 1]. */
static double uniform(void)
{
	const uint64_t steps = UINT64_C(1) << 53;

	return (double)(os_random_below(steps) + 1) / (double)steps;
}

static bool grow(struct audit_sampler *s, uint32_t number)
{
	uint32_t cap = MAX(number + 1, MAX(s->cap * 2, 64));
	double *left = realloc(s->left, cap * sizeof(*left));

	if (left)
		s->left = left;
	struct reservoir *r = left ? realloc(s->reservoirs, cap * sizeof(*r)) : NULL;
	if (!r)
		return false;
	s->reservoirs = r;
	memset(r + s->cap, 0, (cap - s->cap) * sizeof(*r));
	for (uint32_t i = s->cap; i < cap; i++)
		left[i] = -1;
	s->cap = cap;
	return true;
}

static unsigned largest(const struct reservoir *r)
{
	unsigned at = 0;

	for (unsigned i = 1; i < r->count; i++)
		if (r->keys[i] > r->keys[at])
			at = i;
	return at;
}

static void take_in(struct audit_sampler *s, uint32_t number, const struct audit_ref *ref,
		    double size)
{
	struct reservoir *r = &s->reservoirs[number];
	unsigned at;

	if (r->count < AUDIT_SLOTS) {
		at = r->count++;
		r->keys[at] = -log(uniform()) / size;
	} else {
		/* Given that it is smaller than the largest key there. */
		at = largest(r);
		double below = -expm1(-r->keys[at] * size);
		r->keys[at] = -log1p(-uniform() * below) / size;
	}
	r->refs[at] = *ref;
	if (r->count == AUDIT_SLOTS)
		s->left[number] = -log(uniform()) / r->keys[largest(r)];
}

bool audit_sampler_add(struct audit_sampler *s, const struct audit_ref *ref, int64_t size,
		       const struct piece *pieces, size_t count)
{
	double weight = (double)MAX(size, 1);

	for (size_t i = 0; i < count; i++) {
		uint32_t number = pieces[i].alias;
		if (number >= s->cap && !grow(s, number))
			return false;
		s->left[number] -= weight;
		if (s->left[number] < 0)
			take_in(s, number, ref, weight);
	}
	return true;
}

static int by_ref(const void *a, const void *b)
{
	const struct audit_ref *x = a, *y = b;
	int c = memcmp(x->stream.b, y->stream.b, STREAM_UUID_BYTES);

	return c ? c : (x->position > y->position) - (x->position < y->position);
}

enum err audit_sampler_take(struct call *call, struct audit_sampler *s, struct audit_ref **ret,
			    size_t *ret_count)
{
	struct audit_ref *list = arena_array(&call->scratch, (size_t)s->cap * AUDIT_SLOTS + 1,
					     sizeof(*list));
	size_t n = 0, unique = 0;

	if (!list)
		return call_fail(call, ERR_NO_MEMORY, "no room for the segments to audit");
	for (uint32_t i = 0; i < s->cap; i++)
		for (unsigned k = 0; k < s->reservoirs[i].count; k++)
			list[n++] = s->reservoirs[i].refs[k];
	qsort(list, n, sizeof(*list), by_ref);
	for (size_t i = 0; i < n; i++)
		if (!i || by_ref(&list[i], &list[unique - 1]) != 0)
			list[unique++] = list[i];
	*ret = list;
	*ret_count = unique;
	return OK;
}
