/* The observer that finds injured segments (satellite.md 6). */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "os/clock.h"
#include "os/log.h"
#include "satellite/chore.h"
#include "satellite/repair_internal.h"

enum err repair_checker_begin(struct call *call, void *arg, const struct segment_run *run)
{
	struct repair_checker *c = arg;

	c->seen = (struct repair_seen){ .margin_min = UINT32_MAX };
	return health_marks_size(call, &c->marks, run->nets_count);
}

static void take_injured(struct repair_checker *c, const struct segment_run *run,
			 const struct loop_segment *s, const struct segment_health *h)
{
	struct scheme t = health_thresholds(&s->redundancy);
	struct repair_row *row = &c->rows[c->rows_count++];

	*row = (struct repair_row){
		.stream = s->stream,
		.position = s->position,
		.urgency = segment_urgency(&s->redundancy, h, run->nodes_known),
		.healthy = h->healthy,
		.retrievable = h->retrievable,
		.required = t.required,
		.success = t.success,
		.eager = c->eager,
		.lost = segment_is_lost(&s->redundancy, h),
		.seen_ns = run->started_ns,
		.error = "",
	};
	c->seen.injured++;
	c->seen.lost += row->lost;
}

static void look(struct repair_checker *c, const struct segment_run *run,
		 const struct loop_segment *s)
{
	struct segment_health h;

	if (s->is_inline || (s->expires_ns && s->expires_ns <= run->started_ns))
		return;
	segment_health(&c->marks, s->pieces, s->pieces_count, run->nodes,
		       placement_find(run->placements, s->placement), NULL, &h);
	unsigned there = h.healthy - h.away;
	uint32_t margin = there > s->redundancy.required ? there - s->redundancy.required : 0;
	if (h.retrievable >= s->redundancy.required)
		c->seen.durability.spare[MIN(h.retrievable - s->redundancy.required,
					     (unsigned)REPAIR_SPARE_MAX)]++;
	c->seen.remote++;
	c->seen.misplaced += h.misplaced;
	c->seen.margin_min = MIN(c->seen.margin_min, margin);
	if (segment_is_injured(&s->redundancy, &h, c->eager))
		take_injured(c, run, s, &h);
}

enum err repair_checker_segments(struct call *call, void *arg, const struct segment_run *run,
				 const struct loop_segment *list, size_t count)
{
	struct repair_checker *c = arg;

	TRY_PLAIN(health_marks_size(call, &c->marks, run->nets_count));
	c->rows_count = 0;
	for (size_t i = 0; i < count; i++)
		look(c, run, &list[i]);
	if (!c->rows_count)
		return OK;
	TRY(store_repair_put(call, c->sat->db, c->rows, c->rows_count), "queue for repair");
	/* The first ones need not wait for the end of the pass. */
	satellite_chores_trigger(c->sat->chores, "repair");
	return OK;
}

enum err repair_checker_end(struct call *call, void *arg, const struct segment_run *run,
			    bool complete)
{
	struct repair_checker *c = arg;
	int64_t removed = 0;

	health_marks_free(&c->marks);
	if (!complete)
		return OK;
	os_mutex_lock(&c->lock);
	c->last = c->seen.durability;
	c->last.ended_ns = os_clock_unix_ns();
	c->last.injured = c->seen.injured;
	c->last.lost = c->seen.lost;
	os_mutex_unlock(&c->lock);
	if (!c->eager)
		TRY_PLAIN(store_repair_clean(call, c->sat->db, run->started_ns, &removed));
	if (c->seen.injured || removed)
		log_info("segments are injured", F_U64("segments", c->seen.remote),
			 F_U64("injured", c->seen.injured), F_U64("lost", c->seen.lost),
			 F_U64("misplaced_pieces", c->seen.misplaced),
			 F_U64("least_spare_pieces", c->seen.margin_min));
	return OK;
}
