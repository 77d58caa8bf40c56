/* Between the files of this room. */
#ifndef ACRE_NET_INTERNAL_H
#define ACRE_NET_INTERNAL_H

#include <openssl/ssl.h>

#include "net/net.h"

/* Bytes from the socket that are not yet decrypted, or records for it; flat, used from `at`. */
struct net_buffer {
	uint8_t *data;
	size_t cap, at, end;
};

struct net_conn {
	struct os_sock *sock;
	SSL *ssl;
	struct net_buffer in, out;
	struct cert_chain *peer;
	bool server;
	bool magic_pending; /* server: the 8 bytes were not seen yet */
	bool established;
	bool in_eof;	    /* the socket ended; what is in `in` may still be decrypted */
	bool failed;	    /* TLS is beyond repair: nothing may be written any more */
	bool out_of_memory; /* seen inside the BIO, told outside */
};

/* TLS objects (tls.c): no system call and no wait happens inside. */
enum err net_tls_attach(struct call *call, const struct net_tls *tls, struct net_conn *c,
			bool server) MUST_USE;
/* OK when done, ERR_WOULD_BLOCK when more input is needed.  Output may be waiting either way. */
enum err net_tls_handshake(struct call *call, struct net_conn *c) MUST_USE;

static inline size_t net_buffer_len(const struct net_buffer *b)
{
	return b->end - b->at;
}

/* Room for `more` behind the content, the whole not beyond max. */
bool net_buffer_reserve(struct net_buffer *b, size_t more, size_t max);
void net_buffer_free(struct net_buffer *b);

#endif
