/*
 * TLS connections between peers (transport.md 2, 3, 5).  No waiting and no system call happens
 * inside OpenSSL: records go through memory, our own BIO gathers them, and this file's functions
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
	NET_IN_MAX = 64 << 10,	   /* undecrypted bytes held at most */
	NET_OUT_MAX = 128 << 10,   /* encrypted bytes waiting for the socket at most */
	NET_OUT_GATHER = 64 << 10, /* from here on a flush is worth its system call */
};

/* TLS settings made once from our identity; shared by all threads and connections. */
struct net_tls;
enum err net_tls_new(struct call *call, const struct identity *identity,
		     struct net_tls **ret) MUST_USE;
void net_tls_free(struct net_tls *tls);
const struct identity *net_tls_identity(const struct net_tls *tls);

struct net_conn;

/* TCP, magic, TLS, chain checks.  expected NULL skips only the ID comparison.  The call's deadline
 * bounds all of it.  The last handshake flight is left buffered, to go out with the first data. */
enum err net_dial(struct call *call, const struct net_tls *tls, const char *address,
		  const struct node_id *expected, struct net_conn **ret) MUST_USE;
/* Server side: reads the magic, does the handshake; takes the socket over (closed on failure). */
enum err net_accept_tls(struct call *call, const struct net_tls *tls, struct os_sock *sock,
			struct net_conn **ret) MUST_USE;
/* The same in steps that never wait, so that a silent peer holds no thread: start takes the socket
 * over (closed on failure); each step does what the bytes at hand allow, ERR_WOULD_BLOCK when the
 * socket must become readable first.  After any other failure close the connection. */
enum err net_accept_start(struct call *call, const struct net_tls *tls, struct os_sock *sock,
			  struct net_conn **ret) MUST_USE;
enum err net_accept_step(struct call *call, struct net_conn *c) MUST_USE;
/* Sends what is buffered if that is possible at once, then closes. */
void net_close(struct net_conn *c);

/* Peer's chain; NULL if it sent fewer certificates than needed for an ID. */
const struct cert_chain *net_peer_chain(const struct net_conn *c);
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
 * ERR_WOULD_BLOCK when the out buffer is full; *ret_n says how much was taken. */
enum err net_try_write(struct call *call, struct net_conn *c, struct bytes data,
		       size_t *ret_n) MUST_USE;
/* Moves buffered records to the socket without waiting: OK when all is out, or ERR_WOULD_BLOCK. */
enum err net_try_flush(struct call *call, struct net_conn *c) MUST_USE;
/* Waits until the socket is readable or, if flushing, writable (the loops above it live in rpc). */
enum err net_wait(struct call *call, struct net_conn *c, bool want_read, bool want_write) MUST_USE;
/* Encrypted bytes that wait for the socket. */
size_t net_out_pending(const struct net_conn *c);
/* Whether bytes are held that the poller cannot see (decrypted or not): do not park then. */
bool net_has_input(const struct net_conn *c);
/* Gives buffers back that hold nothing, before the connection is left idle. */
void net_idle(struct net_conn *c);

#endif
