/*
 * Private to the segment upload (segment_upload.c): its state, shared by the feeder and the threads
 * of its pieces.
 */
#ifndef ACRE_TRANSFER_UPLOAD_INTERNAL_H
#define ACRE_TRANSFER_UPLOAD_INTERNAL_H

#include "erasure/rs.h"
#include "os/cancel.h"
#include "os/lock.h"
#include "transfer/piece_upload.h"
#include "transfer/reserve.h"
#include "transfer/segment_upload.h"
#include "transfer/spool.h"

enum { RING_SLOTS_MIN = 3, RING_SLOTS_MAX = 32 };

struct upload;

struct piece {
	struct upload *up;
	unsigned number;
	bool from_ring;
	bool joined; /* no thread runs for it */
	bool cancel_made;
	unsigned column;			    /* of the ring */
	uint64_t cursor;			    /* next batch it takes from the ring */
	const Metainfo__AddressedOrderLimit *offer; /* the limit as it came */
	struct addressed_limit limit;
	struct os_cancel cancel;
	struct arena arena;
	Orders__PieceHash *hash;
	char reason[160];
};

struct upload {
	const struct segment_upload *p;
	struct call *call; /* of the feeder */
	struct fanout *fanout;
	struct rs *ring_rs,
		*rs; /* for the pieces that start in the ring, for all; made when needed */
	struct cohort *cohort;
	struct ed25519_signer *signer;
	struct spool *spool; /* NULL = nothing is kept: p->again */
	int64_t stall_ns, deadline_ns;
	unsigned n, k, e;
	unsigned first[COHORT_PIECES_MAX]; /* pieces to begin with, by columns of the ring */
	unsigned width;			   /* so many */
	size_t slice;			   /* bytes of a piece in a full batch */
	unsigned slots, hand_over;
	uint8_t *ring;	    /* slots * width * slice */
	uint8_t *staging;   /* behind it, k * slice and some: a batch as it came, by stripes */
	size_t memory_size; /* of both */
	int64_t begun_ns, waited_ns; /* for slots, in all */

	struct os_mutex lock;		  /* guards all below, and pieces but for what is fixed */
	struct os_cond news;		  /* for pieces: batches, the end, cancellation */
	struct os_cond space;		  /* for the feeder: a slot or a piece changed */
	uint64_t published;		  /* batches */
	uint64_t told;			  /* of them, when pieces were woken last */
	unsigned awaited;		  /* slot that the feeder waits for */
	uint64_t spooled;		  /* stripes */
	bool ended;			  /* published and spooled grow no more */
	bool stop;			  /* pieces give up */
	size_t batch_len[RING_SLOTS_MAX]; /* slice length of the batch in a slot */
	unsigned users[RING_SLOTS_MAX];	  /* pieces that still need the slot */
	unsigned running;
	bool changed; /* a piece ended or got a node: time to look at the reserve */
	int64_t look_ns;
	struct reserve reserve; /* states of the pieces, and who runs */
	uint64_t encrypted;
	unsigned rounds;
	bool smooth; /* not yet more pieces than at first; without a spool it cannot go on else */
	struct piece pieces[COHORT_PIECES_MAX];
};

/* ---- upload_ring.c: batches from the feeder to the pieces ---- */

/* Slices as large as memory allows, but not larger than a message; batches of whole blocks of the
 * source where that is possible without making them small. */
enum err ring_plan(struct upload *up) MUST_USE;
/* For the feeder: encodes what staging holds into the next slot, which must be free. */
void ring_encode(struct upload *up, size_t stripes);
/* ... and hands it out. */
void ring_publish(struct upload *up, size_t stripes, bool last);
/* Waits until the slot for the next batch is free. */
enum err ring_wait_slot(struct upload *up) MUST_USE;
/* For a piece: waits for batches behind its cursor, and takes as many as fit into one message.
 * *ret_count 0 and not last: it is in the ring no more, the spool has the rest. */
enum err ring_take(struct upload *up, struct piece *p, struct bytes slices[], size_t *ret_count,
		   bool *ret_last, bool *ret_flush) MUST_USE;
/* They have gone. */
void ring_release(struct upload *up, struct piece *p, size_t count);
/* The piece needs no more slots.  Its share of those it had is not written to again, so that a
 * message of it that is on its way stays as it is.  Lock held. */
void ring_leave(struct upload *up, struct piece *p);

/* ---- upload_piece.c: a piece's thread ---- */

/* Runs until the piece is stored or not; gives its lease back. */
void piece_main(void *arg);
bool piece_given_up(const struct upload *up, const struct piece *p);
/* Waits for batches, the end or cancellation.  Lock held, also on return. */
void piece_wait_news(struct upload *up, struct piece *p);

/* ---- upload_pieces.c: which pieces run; the feeder's thread ---- */

/* The satellite named a node for the piece. */
void pieces_offer(struct upload *up, unsigned number, const Metainfo__AddressedOrderLimit *limit);
/* Chooses those to begin with: up->first, width. */
void pieces_choose(struct upload *up);
/* Starts them from the ring, as far as there are connections; the others follow from the spool. */
enum err pieces_start_first(struct upload *up) MUST_USE;
/* Starts what the reserve wants to be started, if it is time to look. */
void pieces_start_wanted(struct upload *up);
/* Asks for other nodes for failed pieces. */
enum err pieces_renew(struct upload *up) MUST_USE;
/* The failed pieces that have no thread any more.  Lock held. */
size_t pieces_failed(const struct upload *up, unsigned numbers[COHORT_PIECES_MAX]);
/* A node that hangs while others move is not waited for any longer.  Lock held. */
void pieces_fail_stalled(struct upload *up);
/* Waits for a piece or slot to change or a tick to pass.  Lock held, also on return. */
enum err pieces_wait_tick(struct upload *up, int64_t *ret_waited_ns) MUST_USE;
/* Fails if a segment without a spool must start over. */
enum err pieces_check_again(struct upload *up) MUST_USE;
/* Everything ends here. */
void pieces_stop(struct upload *up);

#endif
