/*
 * An HTTP server for a few peers: requests are read whole, answered by worker threads, each within
 * limits.  libmicrohttpd speaks the protocol; threads and waiting are os/'s.  No TLS: it is meant
 * for loopback, or for behind somebody who does that.  Not in the simulated world.
 */
#ifndef ACRE_HTTP_HTTP_H
#define ACRE_HTTP_HTTP_H

#include "base/bytes.h"
#include "base/call.h"

enum {
	HTTP_HEAD_MAX = 16 << 10, /* bytes of a request's line and headers */
	HTTP_PATH_MAX = 4 << 10,
	HTTP_ALLOW_MAX = 64,
};

struct http_server;

/* Views that live until the handler returns. */
struct http_request {
	const char *method; /* "GET"; HEAD comes as GET, its body is left out by the server */
	const char *path;   /* as it came, escapes and all, without the query */
	struct bytes body;
	void *head; /* for http_header */
};
/* The value of a header, any case; NULL without one. */
const char *http_header(const struct http_request *req, const char *name);

struct http_response {
	unsigned status;	    /* 200 unless changed */
	const char *type;	    /* Content-Type, static; NULL: none */
	char allow[HTTP_ALLOW_MAX]; /* Allow; empty: none */
	bool authenticate;	    /* says "WWW-Authenticate: Bearer" */
	struct buf body;	    /* wiped when it was sent; its max is set by the server */
};

/* Runs in a worker, with the deadline of the request; fills the response, whatever happens. */
typedef void http_handler(struct call *call, void *arg, const struct http_request *req,
			  struct http_response *resp);

struct http_config {
	const char *address; /* "ip:port" */
	http_handler *handle;
	void *arg;
	size_t body_max;	  /* of a request; beyond: 413 */
	size_t answer_max;	  /* of a response */
	unsigned connections_max; /* further ones wait to be let in */
	unsigned workers_max;	  /* requests at a time; as many again wait, beyond: 503 */
	int64_t work_ns_max;	  /* for the handler */
	int64_t io_ns_max;	  /* for a request to come, for an answer to be taken */
};

enum err http_server_start(struct call *call, const struct http_config *config,
			   struct http_server **ret) MUST_USE;
/* "ip:port" really bound. */
const char *http_server_address(const struct http_server *s);
/* Cancels what runs, closes all, frees; NULL is fine. */
void http_server_stop(struct http_server *s);

/* One segment of a path: "%41" becomes "A".  ERR_FORMAT: bad escapes, zero bytes, no UTF-8. */
enum err http_unescape(struct bytes segment, struct buf *ret) MUST_USE;

#endif
