/*
 * Which pieces of a segment upload run.  As many are started as must succeed; the others stay in
 * reserve until one fails, or is doubted: it will take longer, by what was seen of it and of the
 * others in this segment, than a whole new piece would.  docs/design/transfers.md says by which
 * rules.  Pure: it is told what happened and when, and never waits or looks at a clock; the caller
 * guards it with a lock.
 */
#ifndef ACRE_TRANSFER_RESERVE_H
#define ACRE_TRANSFER_RESERVE_H

#include "transfer/cohort.h"

enum piece_state {
	PIECE_NONE,	 /* no node for it */
	PIECE_RESERVE,	 /* has a node, not started */
	PIECE_OPENING,	 /* the node has taken nothing yet */
	PIECE_SENDING,	 /* waiting for more to send belongs to it */
	PIECE_ANSWERING, /* all is sent, the node's answer is awaited */
	PIECE_STORED,
	PIECE_FAILED,
	PIECE_DROPPED, /* not needed any more */
};

struct reserve_piece {
	enum piece_state state;
	bool shy;     /* its node failed or lagged lately: started after others */
	bool waiting; /* for bytes to send, so that its node may rest */
	bool doubted;
	int64_t since_ns; /* when the state began */
	int64_t moved_ns; /* when it last made a step */
	int64_t busy_ns;  /* sending, waiting left out, up to moved_ns */
	int64_t held_ns;  /* how long it kept all others from going on */
	uint64_t sent;
	struct {
		uint64_t sent;
		int64_t busy_ns;
	} mark[2]; /* its rate is what came after the first; see reserve.c */
	/* What was seen of it; -1 = not yet. */
	int64_t open_ns, gap_ns, answer_ns;
	int64_t stored_ns; /* after the segment began */
	double rate;	   /* bytes a second at the end of SENDING */
};

struct reserve {
	const struct cohort *cohort; /* borrowed */
	unsigned n;		     /* pieces */
	unsigned first;		     /* how many must succeed at least, as far as is known */
	int64_t begun_ns;
	uint64_t size;	   /* of a piece, or what it may become */
	uint64_t fed;	   /* bytes of each piece that are ready to be sent */
	int64_t source_ns; /* what making them took */
	bool ended;	   /* there are no more */
	bool all_again;	   /* to start a piece means to start all of them again */
	struct reserve_piece pieces[COHORT_PIECES_MAX];
	/* What is usual, as of the last look. */
	int64_t open_ns, gap_ns, answer_ns;
	/* What a new piece would take, or the usual piece took if that is more; if all must start
	 * again, as many of them. */
	int64_t whole_ns;
	double rate;	       /* 0 = not known */
	bool opened, answered; /* one has, at least */
};

/* size: of a piece at most. */
void reserve_init(struct reserve *r, const struct cohort *cohort, unsigned n, uint64_t size,
		  int64_t now);

/* ---- what happens to a piece ---- */

/* It has a node, a new one perhaps; its tags are known to the cohort. */
void reserve_offer(struct reserve *r, unsigned i, bool shy);
void reserve_start(struct reserve *r, unsigned i, int64_t now);
void reserve_opened(struct reserve *r, unsigned i, int64_t now);
/* So many bytes of it have gone in all. */
void reserve_sent(struct reserve *r, unsigned i, uint64_t bytes, int64_t now);
/* It begins to wait for something that is not the node's, and goes on. */
void reserve_wait(struct reserve *r, unsigned i, int64_t now);
void reserve_go_on(struct reserve *r, unsigned i, int64_t now);
void reserve_all_sent(struct reserve *r, unsigned i, int64_t now);
/* STORED, FAILED, DROPPED. */
void reserve_end(struct reserve *r, unsigned i, enum piece_state state, int64_t now);

static inline bool reserve_runs(const struct reserve *r, unsigned i)
{
	enum piece_state s = r->pieces[i].state;

	return s == PIECE_OPENING || s == PIECE_SENDING || s == PIECE_ANSWERING;
}

/* ---- what happens to the segment ---- */

/* Bytes of each piece are ready; making them took source_ns of the time so far, waiting for pieces
 * left out. */
void reserve_fed(struct reserve *r, uint64_t bytes, int64_t source_ns, bool ended);
/* A running piece kept the source and at least half of the others from going on for ns more.  True:
 * it delays all too much, let the others go ahead. */
bool reserve_holds_up(struct reserve *r, unsigned i, int64_t ns, int64_t now);

/* ---- decisions ---- */

/* The pieces to start now, in order; all are in reserve. */
unsigned reserve_wanted(struct reserve *r, int64_t now, unsigned numbers[COHORT_PIECES_MAX]);
/* When to look again if nothing happens; INT64_MAX = no need. */
int64_t reserve_due(const struct reserve *r);
/* Whether what is stored is enough. */
bool reserve_done(const struct reserve *r);
/* Whether it can become enough without new nodes. */
bool reserve_possible(const struct reserve *r);

#endif
