/* Between the files of this room. */
#ifndef ACRE_NET_INTERNAL_H
#define ACRE_NET_INTERNAL_H

#include <openssl/ssl.h>

#include "crypto/hash.h"
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
	/* NULL, or: before c->out goes to the socket, before c waits for its peer. */
	enum err (*before_flush)(struct call *call, struct net_conn *c);
	enum err (*before_wait)(struct call *call, struct net_conn *c);
	/* NULL, or: plain bytes of the next record if they are better taken in one go, else 0. */
	size_t (*read_size)(const struct net_conn *c);
	/* Whether plain bytes are held that are not in c->in. */
	bool (*has_plain)(const struct net_conn *c);
	/* NULL, or: gives back what it holds for records, when there are none. */
	void (*idle)(struct net_conn *c);
	/* The last words of an established connection, if there are any. */
	void (*shut)(struct net_conn *c);
	void (*free)(struct net_conn *c);
	size_t in_max; /* bytes of c->in */
};

/* Where a connection by Noise is dialed again by TLS. */
struct net_redial {
	char address[OS_ADDRESS_MAX];
	struct node_id expected;
	bool due; /* the node hung up: net_wait dials */
};

struct net_tls {
	SSL_CTX *ctx;
	BIO_METHOD *bio;
	const struct identity *identity; /* borrowed; NULL for the web */
	bool web;			 /* OpenSSL checks the server; chains are not kept */
};

struct net_conn {
	const struct net_transport *transport; /* server: NULL until the magic was seen */
	const struct net_tls *tls;
	struct os_sock *sock;
	SSL *ssl;		  /* of TLS */
	struct noise_conn *noise; /* of Noise */
	struct net_noise *noise_server;
	struct net_redial *redial; /* NULL once the node has answered, and for all others */
	struct net_buffer in, out;
	struct cert_chain *peer;
	struct cert_chain *named; /* by the peer in a message, see net_keep_chain */
	bool server;
	bool established;
	bool in_eof;	    /* the socket ended; what is in `in` may still be decrypted */
	bool failed;	    /* beyond repair: nothing may be written any more */
	bool out_of_memory; /* seen inside the BIO, told outside */
};

/* Puts TLS (tls.c) or Noise (noise_conn.c) on the connection; node is the client's alone. */
enum err net_tls_attach(struct call *call, struct net_conn *c) MUST_USE;
enum err net_noise_attach(struct call *call, struct net_conn *c,
			  const struct noise_peer *node) MUST_USE;
/* The plain bytes of the first message, for sending them by other means.  A copy; the caller frees
 * *ret_data. */
enum err net_noise_unsent(struct call *call, struct net_conn *c, uint8_t **ret_data,
			  size_t *ret_len) MUST_USE;
/* Of noise_node.c: what a handshake begins with; whether this first message came before. */
struct noise_handshake;
enum err net_noise_server_start(const struct net_noise *n, struct noise_handshake *hs) MUST_USE;
bool net_noise_seen(struct net_noise *n, const uint8_t digest[HASH_BYTES]);
bool net_noise_must_read(const struct net_conn *c);

extern const char net_tls_magic[NET_MAGIC_BYTES + 1];
extern const char net_noise_magic[NET_MAGIC_BYTES + 1];
/* Settings that are the same with and without an identity; any chain is taken unseen.  context:
 * OpenSSL's, NULL for its default. */
enum err net_tls_base(struct call *call, OSSL_LIB_CTX *context, struct net_tls **ret) MUST_USE;
/* A connection before any transport; takes the socket over. */
enum err net_conn_new(struct call *call, const struct net_tls *tls, struct os_sock *sock,
		      bool server, struct net_conn **ret) MUST_USE;
enum err net_conn_handshake(struct call *call, struct net_conn *c) MUST_USE;

static inline size_t net_buffer_len(const struct net_buffer *b)
{
	return b->end - b->at;
}

/* Room for `more` behind the content, the whole not beyond max. */
bool net_buffer_reserve(struct net_buffer *b, size_t more, size_t max);
void net_buffer_free(struct net_buffer *b);

#endif
