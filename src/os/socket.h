/*
 * TCP sockets and the poller that parks idle ones.  Reads and writes never wait: they do what they
 * can at once.  Waiting is os_sock_wait alone, until the call's deadline or cancellation.
 */
#ifndef ACRE_OS_SOCKET_H
#define ACRE_OS_SOCKET_H

#include "base/bytes.h"
#include "base/call.h"

struct os_sock;
struct os_listener;
struct os_poller;

enum { OS_ADDRESS_MAX = 300 }; /* "host:port" or "[v6]:port" with its zero byte */

enum { OS_WANT_READ = 1, OS_WANT_WRITE = 2 };

/* Connects to "host:port".  ERR_CONNECT (refused, unreachable, no such host), ERR_DEADLINE, ... */
enum err os_sock_dial(struct call *call, const char *address, struct os_sock **ret_sock) MUST_USE;
void os_sock_close(struct os_sock *s);
/* Reads what is there: OK with *ret_n > 0, ERR_WOULD_BLOCK, ERR_EOF, ERR_CLOSED (reset). */
enum err os_sock_read(struct call *call, struct os_sock *s, void *buf, size_t cap,
		      size_t *ret_n) MUST_USE;
/* Writes the front of the parts (at most OS_SOCK_PARTS_MAX); never raises SIGPIPE. */
enum { OS_SOCK_PARTS_MAX = 64 };
enum err os_sock_write(struct call *call, struct os_sock *s, const struct bytes *parts,
		       size_t parts_count, size_t *ret_n) MUST_USE;
/* Waits until at least one of want is possible; *ret_ready is the subset (errors count as both). */
enum err os_sock_wait(struct call *call, struct os_sock *s, unsigned want,
		      unsigned *ret_ready) MUST_USE;
/* The same for a descriptor that a foreign library owns (libpq's).  Not in the simulated world. */
enum err os_fd_wait(struct call *call, int fd, unsigned want, unsigned *ret_ready) MUST_USE;
/* "ip:port" of the other end; lives as long as the socket. */
const char *os_sock_remote(const struct os_sock *s);

/* Listens on "host:port", port 0 = any free one.  ERR_EXISTS with advice when the port is in use.
 */
enum err os_listen(struct call *call, const char *address, struct os_listener **ret) MUST_USE;
/* A Unix socket at a path (of any length), for this user alone; what a dead process left there is
 * removed.  ERR_BUSY when somebody listens at it.  Not in the simulated world, nor the dialing. */
enum err os_listen_local(struct call *call, const char *path, struct os_listener **ret) MUST_USE;
/* ERR_CONNECT when nobody listens there. */
enum err os_sock_dial_local(struct call *call, const char *path, struct os_sock **ret) MUST_USE;
/* Waits for a connection. */
enum err os_accept(struct call *call, struct os_listener *l, struct os_sock **ret_sock) MUST_USE;
/* The same without waiting: ERR_WOULD_BLOCK. */
enum err os_try_accept(struct call *call, struct os_listener *l, struct os_sock **ret) MUST_USE;
/* Whether clients may send their first bytes with the SYN (TCP fast open, RFC 7413): asked of the
 * kernel when listening. */
bool os_listener_fast_open(const struct os_listener *l);
/* The address really bound, "ip:port". */
const char *os_listener_address(const struct os_listener *l);
void os_listener_close(struct os_listener *l);
/* For a foreign library that accepts by itself and waits with os_fd_wait; stays the listener's.
 * Not in the simulated world. */
int os_listener_fd(const struct os_listener *l);
/* Ends both directions of such a library's connection: it notices by itself. */
void os_fd_shutdown(int fd);

/* Resolves "host:port" to "ip:port" (IPv4 first).  out has OS_ADDRESS_MAX bytes. */
enum err os_resolve(struct call *call, const char *address, char *out) MUST_USE;

/* The IP's 4 or 16 bytes of "ip:port" or "[v6]:port"; false when it is no number. */
enum { OS_IP_BYTES_MAX = 16 };
bool os_ip_parse(const char *ip_port, uint8_t out[OS_IP_BYTES_MAX], size_t *ret_len);

/* Poller: watches many idle sockets with one thread.  A watch fires once, when the socket becomes
 * readable or dies, and is then gone. */
enum err os_poller_new(struct call *call, struct os_poller **ret) MUST_USE;
enum err os_poller_add(struct call *call, struct os_poller *p, struct os_sock *s,
		       void *tag) MUST_USE;
/* Ends a watch that may or may not have fired; the tag may still come out of a wait under way. */
void os_poller_remove(struct os_poller *p, struct os_sock *s);
/* The same for a listener, which becomes readable when somebody connects. */
enum err os_poller_add_listener(struct call *call, struct os_poller *p, struct os_listener *l,
				void *tag) MUST_USE;
void os_poller_remove_listener(struct os_poller *p, struct os_listener *l);
/* Waits for tags; OK with *ret_count 0 after os_poller_wake or when spurious; ERR_DEADLINE. */
enum err os_poller_wait(struct call *call, struct os_poller *p, void **tags, size_t tags_max,
			size_t *ret_count) MUST_USE;
void os_poller_wake(struct os_poller *p);
void os_poller_free(struct os_poller *p);

#endif
