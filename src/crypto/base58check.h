/* base58check with one version byte: node IDs, grants, API keys, upload IDs. */
#ifndef ACRE_CRYPTO_BASE58CHECK_H
#define ACRE_CRYPTO_BASE58CHECK_H

#include "base/bytes.h"

enum err base58check_add(struct buf *out, uint8_t version, struct bytes payload) MUST_USE;
/* ERR_FORMAT for a bad character or checksum (a text cut short by copy and paste). */
enum err base58check_decode(struct bytes text, uint8_t *ret_version, struct buf *ret) MUST_USE;

#endif
