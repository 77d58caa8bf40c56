/*
 * Reed-Solomon over GF(2^8), byte-identical to storj.io/infectious (erasure.md 3): evaluation
 * points x_0 = 0, x_i = 2^(i-1); share i is the value at x_i of the polynomial through the k data
 * bytes.  Systematic.  Tables are computed once per code and shared by all threads.
 */
#ifndef ACRE_ERASURE_RS_H
#define ACRE_ERASURE_RS_H

#include "base/bytes.h"

enum { RS_TOTAL_MAX = 256 };

struct rs; /* immutable; free when no one uses it */

/* 1 <= k <= n <= 256, else ERR_INVALID. */
enum err rs_new(unsigned k, unsigned n, struct rs **ret) MUST_USE;
void rs_free(struct rs *rs);
unsigned rs_required(const struct rs *rs);
unsigned rs_total(const struct rs *rs);

/* shares[0..k-1] are the data (inputs, len bytes each); shares[k..n-1] are written.  A NULL among
 * the outputs is skipped.  Long lengths are cut into cache-sized strips inside. */
void rs_encode(const struct rs *rs, size_t len, uint8_t *const shares[]);

/* The hot call of upload: `stripes` stripes of k * share_size bytes each, one behind the other as
 * the encrypted segment is, to n pieces of stripes * share_size bytes.  A NULL piece is skipped. */
void rs_encode_stripes(const struct rs *rs, size_t share_size, size_t stripes, const uint8_t *data,
		       uint8_t *const pieces[]);

/* Decoder for one set of k available share numbers; made once per set, used for many stripes. */
struct rs_decoder;
/* The k numbers must be distinct and below n, in any order, else ERR_INVALID. */
enum err rs_decoder_new(const struct rs *rs, const unsigned numbers[],
			struct rs_decoder **ret) MUST_USE;
void rs_decoder_free(struct rs_decoder *d);
/* in[j] is the share numbers[j] (len bytes); out[0..k-1] receive the data blocks.  out[i] may be
 * NULL when not wanted, or equal to the input that already is data block i. */
void rs_decode(const struct rs_decoder *d, size_t len, const uint8_t *const in[],
	       uint8_t *const out[]);

/* The hot call of download, the reverse of rs_encode_stripes: in[j] is a part of piece numbers[j]
 * (stripes * share_size bytes), out receives stripes * k * share_size bytes. */
void rs_decode_stripes(const struct rs_decoder *d, size_t share_size, size_t stripes,
		       const uint8_t *const in[], uint8_t *out);

/* Any shares from any k others, for repair: made once for numbers and wanted, used for many strips
 * by any threads.  ERR_INVALID for numbers that are out of range or not distinct. */
struct rs_rebuilder;
enum err rs_rebuilder_new(const struct rs *rs, const unsigned numbers[], const unsigned wanted[],
			  unsigned wanted_count, struct rs_rebuilder **ret) MUST_USE;
void rs_rebuilder_free(struct rs_rebuilder *r);
/* in as for rs_decode; out[i] receives the share wanted[i] and may not be one of them. */
void rs_rebuilder_apply(const struct rs_rebuilder *r, size_t len, const uint8_t *const in[],
			uint8_t *const out[]);
/* The same for one share, once. */
enum err rs_rebuild(const struct rs *rs, const unsigned numbers[], size_t len,
		    const uint8_t *const in[], unsigned wanted, uint8_t *out) MUST_USE;

/* Berlekamp-Welch: with count > k shares (distinct numbers, len bytes each) corrects up to
 * (count-k)/2 wrong bytes per position, in place.  bad[j] is set for each share that was changed.
 * OK: all shares are now consistent.  ERR_DATA_LOSS: errors were found that cannot be corrected
 * (shares unchanged).  ERR_INVALID: fewer than k shares, duplicate or out-of-range numbers. */
enum err rs_correct(const struct rs *rs, const unsigned numbers[], unsigned count, size_t len,
		    uint8_t *const shares[], bool bad[]) MUST_USE;

#endif
