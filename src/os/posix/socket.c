/* TCP over the kernel's sockets, always non-blocking. */
#include "os/socket.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/lock.h"
#include "os/posix/resolve.h"
#include "os/posix/wait.h"

enum {
	TCP_USER_TIMEOUT_MS = 15 * 60 * 1000, /* as the reference peers (transport.md 10) */
	LISTEN_BACKLOG = 512,
	POLLER_BATCH_MAX = 64,
	FAST_OPEN_QUEUE = 256, /* half open ones; beyond it they are opened as usual */
	FAST_OPEN_SERVER = 2,  /* bit of the kernel's setting */
};

struct os_sock {
	int fd;
	char remote[OS_ADDRESS_MAX];
};

struct os_listener {
	bool fast_open;
	int fd;
	char address[OS_ADDRESS_MAX];
};

struct os_poller {
	int epoll;
	int wake;
};

/* Splits "host:port" or "[v6]:port". */
static enum err split(struct call *call, const char *address, char *host, const char **ret_port)
{
	const char *colon = strrchr(address, ':');
	uint64_t port = 0;

	if (!colon || !colon[1])
		return call_fail(call, ERR_INVALID, "address \"%s\" has no port (want host:port)",
				 address);
	/* getaddrinfo takes 65537 for 1. */
	if (text_u64(bytes_str(colon + 1), UINT16_MAX, &port))
		return call_fail(call, ERR_INVALID,
				 "address \"%s\": the port is no number up to %d", address,
				 UINT16_MAX);
	size_t n = (size_t)(colon - address);
	const char *from = address;
	if (n >= 2 && from[0] == '[' && from[n - 1] == ']') {
		from++;
		n -= 2;
	} else if (memchr(from, ':', n)) {
		return call_fail(call, ERR_INVALID,
				 "address \"%s\": write an IPv6 host in brackets, [::1]:7777",
				 address);
	}
	if (n >= OS_ADDRESS_MAX)
		return call_fail(call, ERR_INVALID, "host name too long");
	memcpy(host, from, n);
	host[n] = 0;
	*ret_port = colon + 1;
	return OK;
}

static enum err lookup(struct call *call, const char *address, bool passive, struct addrinfo **ret)
{
	char host[OS_ADDRESS_MAX];
	const char *port = NULL;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = (passive ? AI_PASSIVE : 0) | AI_NUMERICSERV };

	TRY_PLAIN(split(call, address, host, &port));
	os_assert_no_lock(__func__);
	int reason = 0;
	enum err e = posix_resolve(call, host[0] ? host : NULL, port, &hints, ret, &reason);
	if (e == ERR_CONNECT)
		return call_fail(call, e, "cannot resolve \"%s\": %s", address,
				 gai_strerror(reason));
	if (e && !call->error[0])
		return call_fail(call, e, "%s while resolving \"%s\"", err_text(e), address);
	return e;
}

static void format(const struct sockaddr *sa, socklen_t len, char *out)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV)) {
		snprintf(out, OS_ADDRESS_MAX, "?");
		return;
	}
	bool v6 = strchr(host, ':') != NULL;
	snprintf(out, OS_ADDRESS_MAX, v6 ? "[%.200s]:%.20s" : "%.200s:%.20s", host, port);
}

static enum err socket_error(struct call *call, int error, const char *what)
{
	enum err e;

	switch (error) {
	case EPIPE:
	case ECONNRESET:
	case ECONNABORTED:
	case ENOTCONN:
	case ETIMEDOUT:
		e = ERR_CLOSED;
		break;
	case EMFILE:
	case ENFILE:
		e = ERR_EXHAUSTED;
		break;
	case ENOMEM:
	case ENOBUFS:
		e = ERR_NO_MEMORY;
		break;
	default:
		e = ERR_IO;
	}
	return call_fail(call, e, "%s: %s", what, strerror(error));
}

static void set_options(int fd)
{
	int one = 1;
	unsigned timeout = TCP_USER_TIMEOUT_MS;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
}

static enum err wrap_fd(struct call *call, int fd, const char *remote, struct os_sock **ret)
{
	struct os_sock *s = malloc(sizeof(*s));

	if (!s) {
		close(fd);
		return call_fail(call, ERR_NO_MEMORY, "out of memory for a connection");
	}
	s->fd = fd;
	snprintf(s->remote, sizeof(s->remote), "%s", remote);
	set_options(fd);
	*ret = s;
	return OK;
}

static enum err connect_one(struct call *call, const struct addrinfo *ai, struct os_sock **ret)
{
	char remote[OS_ADDRESS_MAX];
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return socket_error(call, errno, "socket");
	format(ai->ai_addr, ai->ai_addrlen, remote);
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) && errno != EINPROGRESS) {
		int error = errno;
		close(fd);
		return call_fail(call, ERR_CONNECT, "cannot connect to %s: %s", remote,
				 strerror(error));
	}
	enum err e = posix_wait(call, fd, POLLOUT, NULL);
	if (e) {
		close(fd);
		return call_fail(call, e, "%s while connecting to %s", err_text(e), remote);
	}
	int error = 0;
	socklen_t len = sizeof(error);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		close(fd);
		return call_fail(call, ERR_CONNECT, "cannot connect to %s: %s", remote,
				 strerror(error));
	}
	return wrap_fd(call, fd, remote, ret);
}

enum err os_sock_dial(struct call *call, const char *address, struct os_sock **ret_sock)
{
	struct addrinfo *list = NULL;
	enum err e = lookup(call, address, false, &list);

	for (struct addrinfo *ai = list; !e && ai; ai = ai->ai_next) {
		e = connect_one(call, ai, ret_sock);
		if (e != ERR_CONNECT || !ai->ai_next)
			break;
		e = OK;
	}
	freeaddrinfo(list);
	return e;
}

void os_sock_close(struct os_sock *s)
{
	if (!s)
		return;
	close(s->fd);
	free(s);
}

enum err os_sock_read(struct call *call, struct os_sock *s, void *buf, size_t cap, size_t *ret_n)
{
	for (;;) {
		ssize_t n = recv(s->fd, buf, cap, 0);
		if (n > 0) {
			*ret_n = (size_t)n;
			return OK;
		}
		if (n == 0)
			return call_fail(call, ERR_EOF, "connection closed by %s", s->remote);
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return ERR_WOULD_BLOCK;
		if (errno != EINTR)
			return socket_error(call, errno, s->remote);
	}
}

enum err os_sock_write(struct call *call, struct os_sock *s, const struct bytes *parts,
		       size_t parts_count, size_t *ret_n)
{
	struct iovec iov[OS_SOCK_PARTS_MAX];
	struct msghdr msg = { .msg_iov = iov };

	for (size_t i = 0; i < parts_count && i < OS_SOCK_PARTS_MAX; i++)
		if (parts[i].len)
			iov[msg.msg_iovlen++] = (struct iovec){ (void *)(uintptr_t)parts[i].data,
								parts[i].len };
	for (;;) {
		ssize_t n = sendmsg(s->fd, &msg, MSG_NOSIGNAL);
		if (n >= 0) {
			*ret_n = (size_t)n;
			return OK;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return ERR_WOULD_BLOCK;
		if (errno != EINTR)
			return socket_error(call, errno, s->remote);
	}
}

static enum err fd_wait(struct call *call, int fd, unsigned want, unsigned *ret_ready)
{
	short events = (short)((want & OS_WANT_READ ? POLLIN : 0) |
			       (want & OS_WANT_WRITE ? POLLOUT : 0));
	short got = 0;

	TRY_PLAIN(posix_wait(call, fd, events, &got));
	unsigned ready = (got & POLLIN ? OS_WANT_READ : 0) | (got & POLLOUT ? OS_WANT_WRITE : 0);
	if (got & (POLLERR | POLLHUP | POLLNVAL))
		ready |= OS_WANT_READ | OS_WANT_WRITE;
	*ret_ready = ready & want;
	return OK;
}

enum err os_sock_wait(struct call *call, struct os_sock *s, unsigned want, unsigned *ret_ready)
{
	enum err e = fd_wait(call, s->fd, want, ret_ready);

	return e ? call_fail(call, e, "%s while waiting for %s", err_text(e), s->remote) : OK;
}

enum err os_fd_wait(struct call *call, int fd, unsigned want, unsigned *ret_ready)
{
	enum err e = fd_wait(call, fd, want, ret_ready);

	return e ? call_fail(call, e, "%s", err_text(e)) : OK;
}

const char *os_sock_remote(const struct os_sock *s)
{
	return s->remote;
}

/* The option alone does nothing unless the administrator allows it to servers. */
static bool allow_fast_open(int fd)
{
	int queue = FAST_OPEN_QUEUE;
	char text[16] = "";

	if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)))
		return false;
	int proc = open("/proc/sys/net/ipv4/tcp_fastopen", O_RDONLY | O_CLOEXEC);
	if (proc < 0)
		return false;
	ssize_t n = read(proc, text, sizeof(text) - 1);
	close(proc);
	return n > 0 && (strtol(text, NULL, 10) & FAST_OPEN_SERVER);
}

enum err os_listen(struct call *call, const char *address, struct os_listener **ret)
{
	struct addrinfo *list = NULL;

	TRY(lookup(call, address, true, &list), "listen");
	int one = 1, error = 0;
	int fd = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) || listen(fd, LISTEN_BACKLOG))
		error = errno;
	freeaddrinfo(list);
	if (error) {
		if (fd >= 0)
			close(fd);
		if (error == EADDRINUSE)
			return call_fail(
				call, ERR_EXISTS,
				"%s is in use by another program: stop that one, or choose "
				"another port",
				address);
		return call_fail(call, error == EACCES ? ERR_PERMISSION : ERR_IO,
				 "cannot listen on %s: %s", address, strerror(error));
	}
	struct os_listener *l = calloc(1, sizeof(*l));
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	if (!l) {
		close(fd);
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	}
	l->fd = fd;
	l->fast_open = allow_fast_open(fd);
	getsockname(fd, (struct sockaddr *)&sa, &len);
	format((struct sockaddr *)&sa, len, l->address);
	*ret = l;
	return OK;
}

enum err os_try_accept(struct call *call, struct os_listener *l, struct os_sock **ret)
{
	for (;;) {
		struct sockaddr_storage sa = { 0 };
		socklen_t len = sizeof(sa);
		int fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			char remote[OS_ADDRESS_MAX] = "local";
			if (sa.ss_family != AF_UNIX)
				format((struct sockaddr *)&sa, len, remote);
			return wrap_fd(call, fd, remote, ret);
		}
		/* Errors of the one connection (reset before we took it) are not the listener's. */
		if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return socket_error(call, errno, "accept");
		return ERR_WOULD_BLOCK;
	}
}

enum err os_accept(struct call *call, struct os_listener *l, struct os_sock **ret_sock)
{
	for (;;) {
		enum err e = os_try_accept(call, l, ret_sock);
		if (e != ERR_WOULD_BLOCK)
			return e;
		e = posix_wait(call, l->fd, POLLIN, NULL);
		if (e)
			return call_fail(call, e, "%s while accepting", err_text(e));
	}
}

/* An address for a path that may be longer than the kernel takes: through its directory, which is
 * *ret_dir, to be closed afterwards. */
static enum err local_address(struct call *call, const char *path, struct sockaddr_un *sa,
			      int *ret_dir)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	int dir = open(os_path_dir(call, path), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return call_fail(call, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path,
				 strerror(errno));
	int n = snprintf(sa->sun_path, sizeof(sa->sun_path), "/proc/self/fd/%d/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof(sa->sun_path)) {
		close(dir);
		return call_fail(call, ERR_INVALID, "%s: the name is too long for a socket", path);
	}
	*ret_dir = dir;
	return OK;
}

static enum err dial_local(struct call *call, const struct sockaddr_un *sa, const char *path,
			   int *ret_fd)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return socket_error(call, errno, "socket");
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa))) {
		int error = errno;
		close(fd);
		return call_fail(call,
				 error == EACCES   ? ERR_PERMISSION
				 : error == EAGAIN ? ERR_BUSY
						   : ERR_CONNECT,
				 "cannot connect to %s: %s", path, strerror(error));
	}
	*ret_fd = fd;
	return OK;
}

enum err os_sock_dial_local(struct call *call, const char *path, struct os_sock **ret)
{
	struct sockaddr_un sa;
	int dir = -1, fd = -1;

	TRY_PLAIN(local_address(call, path, &sa, &dir));
	enum err e = dial_local(call, &sa, path, &fd);
	close(dir);
	return e ? e : wrap_fd(call, fd, path, ret);
}

static enum err bind_local(struct call *call, const struct sockaddr_un *sa, const char *path,
			   int *ret_fd)
{
	int other = -1;

	if (dial_local(call, sa, path, &other) == OK) {
		close(other);
		return call_fail(call, ERR_BUSY, "%s: another process listens there", path);
	}
	call_clear_error(call);
	unlink(sa->sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return socket_error(call, errno, "socket");
	/* The mode that the name gets: nobody else may connect at any moment. */
	if (fchmod(fd, 0600) || bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) ||
	    listen(fd, LISTEN_BACKLOG)) {
		int error = errno;
		close(fd);
		return call_fail(call, error == EACCES ? ERR_PERMISSION : ERR_IO,
				 "cannot listen at %s: %s", path, strerror(error));
	}
	*ret_fd = fd;
	return OK;
}

enum err os_listen_local(struct call *call, const char *path, struct os_listener **ret)
{
	struct os_listener *l = calloc(1, sizeof(*l));
	struct sockaddr_un sa;
	int dir = -1;

	if (!l)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	enum err e = local_address(call, path, &sa, &dir);
	if (!e)
		e = bind_local(call, &sa, path, &l->fd);
	if (dir >= 0)
		close(dir);
	if (e) {
		free(l);
		return e;
	}
	snprintf(l->address, sizeof(l->address), "%s", path);
	*ret = l;
	return OK;
}

bool os_listener_fast_open(const struct os_listener *l)
{
	return l->fast_open;
}

const char *os_listener_address(const struct os_listener *l)
{
	return l->address;
}

int os_listener_fd(const struct os_listener *l)
{
	return l->fd;
}

void os_fd_shutdown(int fd)
{
	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
}

void os_listener_close(struct os_listener *l)
{
	if (!l)
		return;
	close(l->fd);
	free(l);
}

enum err os_resolve(struct call *call, const char *address, char *out)
{
	struct addrinfo *list = NULL;

	TRY_PLAIN(lookup(call, address, false, &list));
	assert(list); /* what was found has an address */
	const struct addrinfo *pick = list;
	for (const struct addrinfo *ai = list; ai; ai = ai->ai_next)
		if (ai->ai_family == AF_INET) {
			pick = ai;
			break;
		}
	format(pick->ai_addr, pick->ai_addrlen, out);
	freeaddrinfo(list);
	return OK;
}

enum err os_poller_new(struct call *call, struct os_poller **ret)
{
	struct os_poller *p = calloc(1, sizeof(*p));

	if (!p)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = p };
	if (p->epoll < 0 || p->wake < 0 || epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->wake, &ev)) {
		os_poller_free(p);
		return call_fail(call, ERR_EXHAUSTED, "no file descriptor left");
	}
	*ret = p;
	return OK;
}

static enum err watch(struct call *call, struct os_poller *p, int fd, unsigned events, void *tag)
{
	struct epoll_event ev = { .events = events | EPOLLONESHOT, .data.ptr = tag };

	if (epoll_ctl(p->epoll, EPOLL_CTL_MOD, fd, &ev) == 0)
		return OK;
	if (errno == ENOENT && epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &ev) == 0)
		return OK;
	return socket_error(call, errno, "epoll");
}

enum err os_poller_add(struct call *call, struct os_poller *p, struct os_sock *s, void *tag)
{
	return watch(call, p, s->fd, EPOLLIN | EPOLLRDHUP, tag);
}

void os_poller_remove(struct os_poller *p, struct os_sock *s)
{
	epoll_ctl(p->epoll, EPOLL_CTL_DEL, s->fd, NULL);
}

enum err os_poller_add_listener(struct call *call, struct os_poller *p, struct os_listener *l,
				void *tag)
{
	return watch(call, p, l->fd, EPOLLIN, tag);
}

void os_poller_remove_listener(struct os_poller *p, struct os_listener *l)
{
	epoll_ctl(p->epoll, EPOLL_CTL_DEL, l->fd, NULL);
}

enum err os_poller_wait(struct call *call, struct os_poller *p, void **tags, size_t tags_max,
			size_t *ret_count)
{
	struct epoll_event events[POLLER_BATCH_MAX];
	int max = (int)MIN(tags_max, (size_t)POLLER_BATCH_MAX);
	enum err e = posix_wait(call, p->epoll, POLLIN, NULL);

	if (e)
		return call_fail(call, e, "%s", err_text(e));
	int n = epoll_wait(p->epoll, events, max, 0);
	*ret_count = 0;
	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr == p) {
			uint64_t drained;
			if (read(p->wake, &drained, sizeof(drained)) < 0)
				continue;
		} else {
			tags[(*ret_count)++] = events[i].data.ptr;
		}
	}
	return OK;
}

void os_poller_wake(struct os_poller *p)
{
	uint64_t one = 1;

	if (write(p->wake, &one, sizeof(one)) < 0)
		return; /* full: awake already */
}

void os_poller_free(struct os_poller *p)
{
	if (!p)
		return;
	if (p->epoll >= 0)
		close(p->epoll);
	if (p->wake >= 0)
		close(p->wake);
	free(p);
}
