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

/*
 * What lies between bytes and records.  No system call and no wait happens inside: records are
 * taken from c->in and put into c->out.  A failure other than ERR_WOULD_BLOCK is for good.
 */
struct net_transport {
	/* OK when data may flow, ERR_WOULD_BLOCK when more input is needed.  Output may be waiting
	 * either way. */
	enum err (*handshake)(struct call *call, struct net_conn *c);
	/* Some of the plain bytes at hand, at least one: OK, ERR_WOULD_BLOCK when the next record
	 * is not whole yet, ERR_EOF when the peer said that it ends. */
	enum err (*read)(struct call *call, struct net_conn *c, uint8_t *buf, size_t cap,
			 size_t *ret_n);
	/* The front of data as one record: OK, ERR_WOULD_BLOCK while there is no room for it. */
	enum err (*write)(struct call *call, struct net_conn *c, struct bytes data, size_t *ret_n);
	/* Whether plain bytes are held that are not in c->in. */
	bool (*has_plain)(const struct net_conn *c);
	/* The last words of an established connection, if there are any. */
	void (*shut)(struct net_conn *c);
	void (*free)(struct net_conn *c);
};

struct net_conn {
	const struct net_transport *transport; /* server: NULL until the magic was seen */
	const struct net_tls *tls;
	struct os_sock *sock;
	SSL *ssl; /* of TLS */
	struct net_buffer in, out;
	struct cert_chain *peer;
	bool server;
	bool established;
	bool in_eof;	    /* the socket ended; what is in `in` may still be decrypted */
	bool failed;	    /* beyond repair: nothing may be written any more */
	bool out_of_memory; /* seen inside the BIO, told outside */
};

/* Puts TLS (tls.c) on the connection. */
enum err net_tls_attach(struct call *call, struct net_conn *c) MUST_USE;

static inline size_t net_buffer_len(const struct net_buffer *b)
{
	return b->end - b->at;
}

/* Room for `more` behind the content, the whole not beyond max. */
bool net_buffer_reserve(struct net_buffer *b, size_t more, size_t max);
void net_buffer_free(struct net_buffer *b);

#endif
