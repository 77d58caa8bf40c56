/*
 * Text forms of bytes: hex, base32 (RFC 4648, no padding), base58 (Bitcoin alphabet), base64.
 * Encoders append to a buf; decoders append the bytes and return ERR_FORMAT on anything that the
 * encoder would not have written (hex and base32 accept either case).  base58check needs SHA-256
 * and lives in crypto/base58check.h.
 */
#ifndef ACRE_BASE_TEXT_H
#define ACRE_BASE_TEXT_H

#include "base/bytes.h"

void text_hex(struct buf *b, struct bytes v);
void text_base32(struct buf *b, struct bytes v); /* upper case */
void text_base32_lower(struct buf *b, struct bytes v);
void text_base64(struct buf *b, struct bytes v);    /* with padding */
void text_base64url(struct buf *b, struct bytes v); /* with padding, - and _ */
/* Quadratic in the length; inputs above TEXT_BASE58_MAX are refused. */
enum { TEXT_BASE58_MAX = 16384 };
enum err text_base58(struct buf *b, struct bytes v) MUST_USE;

enum err text_unhex(struct buf *b, struct bytes text) MUST_USE;
enum err text_unbase32(struct buf *b, struct bytes text) MUST_USE;
enum err text_unbase64(struct buf *b, struct bytes text) MUST_USE;
enum err text_unbase58(struct buf *b, struct bytes text) MUST_USE;

/* ASCII only. */
static inline uint8_t text_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

/* Without the spaces around it. */
struct bytes text_trim(struct bytes v);

/* Whole-string numbers: decimal without sign games; ERR_FORMAT otherwise, ERR_OUT_OF_RANGE. */
enum err text_u64(struct bytes text, uint64_t max, uint64_t *ret) MUST_USE;
/* "0.96", "1000": the double nearest to it; at most 15 digits. */
enum err text_real(struct bytes text, double *ret) MUST_USE;
/* "512", "64KiB", "1.5MB", "2GiB", "1TB": a size in bytes (decimal and binary units, case free). */
enum err text_size(struct bytes text, uint64_t *ret) MUST_USE;
/* "90s", "5m", "2h45m", "1.5h", "3d", "500ms": a duration in nanoseconds, not negative. */
enum err text_duration(struct bytes text, int64_t *ret_ns) MUST_USE;
/* RFC 3339 ("2026-11-26T04:26:41Z", offsets and fractions allowed, or a date alone) to Unix ns. */
enum err text_time(struct bytes text, int64_t *ret_unix_ns) MUST_USE;
/* Unix ns as "2026-11-26T04:26:41.123Z" (UTC; milliseconds left out when ms is false). */
void text_add_time(struct buf *b, int64_t unix_ns, bool ms);
/* "1.2 GiB" style, for people. */
void text_add_size(struct buf *b, uint64_t bytes);
/* "host:port" that others can be told: a host, and a port from 1 to 65535. */
bool text_is_address(struct bytes text);
/* Length of the valid UTF-8 sequence at p, with `left` > 0 bytes; 0 if there is none (RFC 3629). */
size_t text_utf8_len(const uint8_t *p, size_t left);
/* JSON string literal with quotes; invalid UTF-8 bytes become U+FFFD. */
void text_add_json(struct buf *b, struct bytes v);

#endif
