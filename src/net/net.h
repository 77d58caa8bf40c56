/*
 * Connections between peers: TLS (transport.md 2, 3, 5) or Noise (noise.md) over TCP.  No waiting
 * and no system call happens inside either: records go through memory, and this file's functions
 * move them between memory and socket.
 */
#ifndef ACRE_NET_NET_H
#define ACRE_NET_NET_H

#include "base/bytes.h"
#include "base/call.h"
#include "identity/identity.h"
#include "os/socket.h"

enum {
	NET_MAGIC_BYTES = 8,
	NET_IN_MAX = 64 << 10,	     /* undecrypted bytes held at most, of TLS */
	NET_NOISE_IN_MAX = 72 << 10, /* the same of Noise: its longest message fits */
	NET_OUT_MAX = 160 << 10,     /* encrypted bytes waiting for the socket at most */
	NET_OUT_GATHER = 128 << 10,  /* from here on a flush is worth its system call */
};

/* TLS settings made once from our identity; shared by all threads and connections. */
struct net_tls;
enum err net_tls_new(struct call *call, const struct identity *identity,
		     struct net_tls **ret) MUST_USE;
void net_tls_free(struct net_tls *tls);
const struct identity *net_tls_identity(const struct net_tls *tls);

/* Suites by their number on the wire (NoiseProtocol). */
enum noise_suite { NOISE_UNSET = 0, NOISE_CHACHAPOLY = 1, NOISE_AESGCM = 2 };
enum { NOISE_KEY_BYTES = 32 };

/* The one to advertise: AES where this processor has instructions for it. */
enum noise_suite noise_best_suite(void);

/* What a client must know of a node to dial it by Noise. */
struct noise_peer {
	enum noise_suite suite; /* NOISE_UNSET = none: TLS */
	uint8_t key[NOISE_KEY_BYTES];
};
/* From the numbers of an address.  Other suites and lengths give NOISE_UNSET (noise.md 6). */
struct noise_peer noise_peer_from(int64_t suite, struct bytes key);
bool noise_peer_equal(const struct noise_peer *a, const struct noise_peer *b);

/* The node's side, made once: its static key (noise.md 5), its suite, and a bounded memory of first
 * messages seen, so that of two copies of one only the first is answered (noise.md 9).  Shared by
 * all threads. */
struct net_noise;
enum err net_noise_new(struct call *call, const struct identity *identity, enum noise_suite suite,
		       struct net_noise **ret) MUST_USE;
void net_noise_free(struct net_noise *n);
/* What clients must be told. */
struct noise_peer net_noise_peer(const struct net_noise *n);

struct net_conn;

/* TCP, magic, TLS, chain checks.  expected NULL skips only the ID comparison.  The call's deadline
 * bounds all of it.  The last handshake flight is left buffered, to go out with the first data. */
enum err net_dial(struct call *call, const struct net_tls *tls, const char *address,
		  const struct node_id *expected, struct net_conn **ret) MUST_USE;
/* By Noise; expected is not proved by the connection (noise.md 8).  TCP only: the handshake begins
 * with the first flush.  Up to NOISE_PLAIN_MAX bytes of what is written before go with it, later
 * writes are not taken until the node has answered (net_must_read).  If it ends the connection
 * without an answer, the next net_wait dials again by TLS, checks the ID, and sends the same bytes:
 * the caller sees nothing of it. */
enum err net_dial_noise(struct call *call, const struct net_tls *tls, const char *address,
			const struct node_id *expected, const struct noise_peer *node,
			struct net_conn **ret) MUST_USE;

/* The world outside Storj's networks (an edge service): no magic, no identity of ours.  TLS checks
 * the server's certificate for the address's host against the roots; empty roots = the system's.
 * ERR_UNAUTHENTICATED when there are none. */
enum err net_web_tls_new(struct call *call, struct bytes roots_pem, struct net_tls **ret) MUST_USE;
/* web is such settings, or NULL for a connection that is not encrypted. */
enum err net_dial_web(struct call *call, const struct net_tls *web, const char *address,
		      struct net_conn **ret) MUST_USE;

/* Server side: reads the magic, does the handshake; takes the socket over (closed on failure).
 * noise may be NULL: only TLS is taken. */
enum err net_accept(struct call *call, const struct net_tls *tls, struct net_noise *noise,
		    struct os_sock *sock, struct net_conn **ret) MUST_USE;
/* The same in steps that never wait, so that a silent peer holds no thread: start takes the socket
 * over (closed on failure); each step does what the bytes at hand allow, ERR_WOULD_BLOCK when the
 * socket must become readable first.  After any other failure close the connection. */
enum err net_accept_start(struct call *call, const struct net_tls *tls, struct net_noise *noise,
			  struct os_sock *sock, struct net_conn **ret) MUST_USE;
enum err net_accept_step(struct call *call, struct net_conn *c) MUST_USE;
/* Sends what is buffered if that is possible at once, then closes. */
void net_close(struct net_conn *c);

/* Whether this is Noise: the client is nobody in particular then, the node not proved. */
bool net_is_noise(const struct net_conn *c);
/* Peer's chain; NULL if it sent fewer certificates than needed for an ID, or none (Noise). */
const struct cert_chain *net_peer_chain(const struct net_conn *c);
/* A chain that the peer named in a message, kept with the connection so that it need not be checked
 * again when it comes again; takes ownership.  Proves nothing about the connection itself. */
void net_keep_chain(struct net_conn *c, struct cert_chain *named);
const struct cert_chain *net_kept_chain(const struct net_conn *c);
/* ERR_UNAUTHENTICATED when there is none. */
enum err net_peer_id(struct call *call, const struct net_conn *c, struct node_id *ret) MUST_USE;
const char *net_remote(const struct net_conn *c);
struct os_sock *net_sock(struct net_conn *c);

/* Decrypted bytes, waiting for them: at least one.  ERR_EOF at a clean or bare end. */
enum err net_read(struct call *call, struct net_conn *c, void *buf, size_t cap,
		  size_t *ret_n) MUST_USE;
/* What can be had without waiting: OK, or ERR_WOULD_BLOCK. */
enum err net_try_read(struct call *call, struct net_conn *c, void *buf, size_t cap,
		      size_t *ret_n) MUST_USE;
/* Encrypts into the out buffer (full 16 KiB records as far as the data goes).  Never waits:
 * ERR_WOULD_BLOCK when the out buffer is full or net_must_read; *ret_n says how much was taken. */
enum err net_try_write(struct call *call, struct net_conn *c, struct bytes data,
		       size_t *ret_n) MUST_USE;
/* Moves buffered records to the socket without waiting: OK when all is out, or ERR_WOULD_BLOCK. */
enum err net_try_flush(struct call *call, struct net_conn *c) MUST_USE;
/* A server that is at work and listens for its client meanwhile: sends what the client must have
 * before it can say anything.  Waiting for the client does the same. */
enum err net_try_answer(struct call *call, struct net_conn *c) MUST_USE;
/* Nothing can be written before the peer's answer was read. */
bool net_must_read(const struct net_conn *c);
/* Plain bytes that the next read may give at once: room for them saves a copy. */
size_t net_read_size(const struct net_conn *c);
/* Waits until the socket is readable or, if flushing, writable (the loops above it live in rpc). */
enum err net_wait(struct call *call, struct net_conn *c, bool want_read, bool want_write) MUST_USE;
/* Encrypted bytes that wait for the socket. */
size_t net_out_pending(const struct net_conn *c);
/* Whether bytes are held that the poller cannot see (decrypted or not): do not park then. */
bool net_has_input(const struct net_conn *c);
/* Before the connection is left idle: gives buffers back that hold nothing; an answer that was owed
 * is on its way. */
void net_idle(struct net_conn *c);

#endif
