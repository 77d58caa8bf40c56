/*
 * Log lines to standard error: time, level, message, key=value fields.  Never secrets; addresses of
 * renters at debug only.
 *
 *	log_info("piece stored", F_HEX("piece", BYTES_OF(id)), F_U64("size", n));
 */
#ifndef ACRE_OS_LOG_H
#define ACRE_OS_LOG_H

#include "base/bytes.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_NONE };

struct log_field {
	const char *key;
	enum { LOG_F_END, LOG_F_STR, LOG_F_I64, LOG_F_U64, LOG_F_HEX, LOG_F_NS } kind;
	union {
		const char *str;
		int64_t i64;
		uint64_t u64;
		struct bytes bytes;
	};
};

#define F_STR(k, v) ((struct log_field){ .key = (k), .kind = LOG_F_STR, .str = (v) })
#define F_I64(k, v) ((struct log_field){ .key = (k), .kind = LOG_F_I64, .i64 = (v) })
#define F_U64(k, v) ((struct log_field){ .key = (k), .kind = LOG_F_U64, .u64 = (v) })
#define F_HEX(k, v) ((struct log_field){ .key = (k), .kind = LOG_F_HEX, .bytes = (v) })
/* A duration in nanoseconds, printed in milliseconds. */
#define F_NS(k, v) ((struct log_field){ .key = (k), .kind = LOG_F_NS, .i64 = (v) })
#define F_END ((struct log_field){ .kind = LOG_F_END })

#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) LOG_AT(LOG_INFO, __VA_ARGS__)
#define log_warn(...) LOG_AT(LOG_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__)
#define LOG_AT(level, message, ...)                                                                \
	do {                                                                                       \
		if (log_enabled(level))                                                            \
			log_write(level, message,                                                  \
				  (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ) F_END }); \
	} while (0)

/* The library's default is LOG_NONE: it prints nothing.  Daemons set LOG_INFO. */
void log_set_level(enum log_level level);
enum err log_parse_level(const char *text, enum log_level *ret) MUST_USE;
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *message, const struct log_field *fields);

#endif
