/* Text forms of bytes, numbers, sizes and times. */
#include "base/text.h"

#include <stdlib.h>

#include "base/num.h"

void text_hex(struct buf *b, struct bytes v)
{
	static const char digits[] = "0123456789abcdef";

	if (v.len > SIZE_MAX / 2 || !buf_reserve(b, v.len * 2))
		return;
	for (size_t i = 0; i < v.len; i++) {
		b->data[b->len++] = (uint8_t)digits[v.data[i] >> 4];
		b->data[b->len++] = (uint8_t)digits[v.data[i] & 15];
	}
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

enum err text_unhex(struct buf *b, struct bytes text)
{
	if (text.len % 2)
		return ERR_FORMAT;
	for (size_t i = 0; i < text.len; i += 2) {
		int hi = hex_digit(text.data[i]), lo = hex_digit(text.data[i + 1]);
		if (hi < 0 || lo < 0)
			return ERR_FORMAT;
		buf_add_byte(b, (uint8_t)(hi << 4 | lo));
	}
	return buf_status(b);
}

static void base32(struct buf *b, struct bytes v, const char *alphabet)
{
	uint32_t acc = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < v.len; i++) {
		acc = acc << 8 | v.data[i];
		bits += 8;
		while (bits >= 5) {
			bits -= 5;
			buf_add_byte(b, (uint8_t)alphabet[acc >> bits & 31]);
		}
	}
	if (bits)
		buf_add_byte(b, (uint8_t)alphabet[acc << (5 - bits) & 31]);
}

void text_base32(struct buf *b, struct bytes v)
{
	base32(b, v, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567");
}

void text_base32_lower(struct buf *b, struct bytes v)
{
	base32(b, v, "abcdefghijklmnopqrstuvwxyz234567");
}

enum err text_unbase32(struct buf *b, struct bytes text)
{
	uint32_t acc = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];
		uint32_t d;
		if (c >= 'A' && c <= 'Z')
			d = c - 'A';
		else if (c >= 'a' && c <= 'z')
			d = c - 'a';
		else if (c >= '2' && c <= '7')
			d = c - '2' + 26;
		else
			return ERR_FORMAT;
		acc = acc << 5 | d;
		bits += 5;
		if (bits >= 8) {
			bits -= 8;
			buf_add_byte(b, (uint8_t)(acc >> bits));
		}
	}
	/* A left-over of 5 bits or more, or set bits in it, is no encoding of whole bytes. */
	if (bits >= 5 || (acc & ((1u << bits) - 1)))
		return ERR_FORMAT;
	return buf_status(b);
}

static void base64(struct buf *b, struct bytes v, const char *last_two)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

	for (size_t i = 0; i < v.len; i += 3) {
		size_t n = MIN(v.len - i, (size_t)3);
		uint32_t x = (uint32_t)v.data[i] << 16;
		if (n > 1)
			x |= (uint32_t)v.data[i + 1] << 8;
		if (n > 2)
			x |= v.data[i + 2];
		for (size_t j = 0; j < 4; j++) {
			uint32_t d = x >> (18 - 6 * j) & 63;
			const char *c = "=";
			if (j <= n)
				c = d < 62 ? &alphabet[d] : &last_two[d - 62];
			buf_add_byte(b, (uint8_t)*c);
		}
	}
}

void text_base64(struct buf *b, struct bytes v)
{
	base64(b, v, "+/");
}

void text_base64url(struct buf *b, struct bytes v)
{
	base64(b, v, "-_");
}

static int base64_digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	if (c == '/' || c == '_')
		return 63;
	return -1;
}

enum err text_unbase64(struct buf *b, struct bytes text)
{
	uint32_t acc = 0;
	unsigned bits = 0;
	size_t n = text.len;

	if (n % 4 == 0)
		for (int i = 0; i < 2 && n && text.data[n - 1] == '='; i++)
			n--;
	for (size_t i = 0; i < n; i++) {
		int d = base64_digit(text.data[i]);
		if (d < 0)
			return ERR_FORMAT;
		acc = acc << 6 | (uint32_t)d;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			buf_add_byte(b, (uint8_t)(acc >> bits));
		}
	}
	if (bits >= 6 || (acc & ((1u << bits) - 1)))
		return ERR_FORMAT;
	return buf_status(b);
}

static const char base58_alphabet[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

enum err text_base58(struct buf *b, struct bytes v)
{
	if (v.len > TEXT_BASE58_MAX)
		return ERR_OUT_OF_RANGE;
	size_t zeros = 0;
	while (zeros < v.len && v.data[zeros] == 0)
		zeros++;
	/* log(256) / log(58) < 1.38 */
	size_t cap = (v.len - zeros) * 138 / 100 + 1;
	uint8_t *digits = calloc(1, cap);
	if (!digits)
		return ERR_NO_MEMORY;
	size_t used = 0;
	for (size_t i = zeros; i < v.len; i++) {
		uint32_t carry = v.data[i];
		for (size_t j = 0; j < used || carry; j++) {
			carry += 256u * digits[j];
			digits[j] = (uint8_t)(carry % 58);
			carry /= 58;
			if (j >= used)
				used = j + 1;
		}
	}
	for (size_t i = 0; i < zeros; i++)
		buf_add_byte(b, '1');
	for (size_t i = used; i-- > 0;)
		buf_add_byte(b, (uint8_t)base58_alphabet[digits[i]]);
	free(digits);
	return buf_status(b);
}

enum err text_unbase58(struct buf *b, struct bytes text)
{
	if (text.len > TEXT_BASE58_MAX * 14 / 10)
		return ERR_OUT_OF_RANGE;
	size_t zeros = 0;
	while (zeros < text.len && text.data[zeros] == '1')
		zeros++;
	/* log(58) / log(256) < 0.733 */
	size_t cap = (text.len - zeros) * 733 / 1000 + 1;
	uint8_t *out = calloc(1, cap);
	if (!out)
		return ERR_NO_MEMORY;
	size_t used = 0;
	for (size_t i = zeros; i < text.len; i++) {
		const char *p = text.data[i] ? strchr(base58_alphabet, text.data[i]) : NULL;
		if (!p) {
			free(out);
			return ERR_FORMAT;
		}
		uint32_t carry = (uint32_t)(p - base58_alphabet);
		for (size_t j = 0; j < used || carry; j++) {
			carry += 58u * out[j];
			out[j] = (uint8_t)carry;
			carry >>= 8;
			if (j >= used)
				used = j + 1;
		}
	}
	for (size_t i = 0; i < zeros; i++)
		buf_add_byte(b, 0);
	for (size_t i = used; i-- > 0;)
		buf_add_byte(b, out[i]);
	free(out);
	return buf_status(b);
}

struct bytes text_trim(struct bytes v)
{
	while (v.len && v.data[0] == ' ')
		v = bytes_from(v, 1);
	while (v.len && v.data[v.len - 1] == ' ')
		v.len--;
	return v;
}

enum err text_u64(struct bytes text, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (text.len == 0)
		return ERR_FORMAT;
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return ERR_FORMAT;
		uint64_t d = text.data[i] - '0';
		if (v > (UINT64_MAX - d) / 10)
			return ERR_OUT_OF_RANGE;
		v = v * 10 + d;
	}
	if (v > max)
		return ERR_OUT_OF_RANGE;
	*ret = v;
	return OK;
}

bool text_is_address(struct bytes text)
{
	const uint8_t *colon = text.len ? memrchr(text.data, ':', text.len) : NULL;
	uint64_t port = 0;

	if (!colon || colon == text.data)
		return false;
	size_t at = (size_t)(colon - text.data) + 1;
	return text_u64(BYTES(text.data + at, text.len - at), UINT16_MAX, &port) == OK && port;
}

/* Decimal with an optional fraction, e.g. "1.5"; moves *text behind it. */
static enum err take_decimal(struct bytes *text, uint64_t *ret_whole, double *ret_fraction)
{
	size_t i = 0;
	uint64_t whole = 0;
	double fraction = 0, unit = 1;

	for (; i < text->len && text->data[i] >= '0' && text->data[i] <= '9'; i++) {
		uint64_t d = text->data[i] - '0';
		if (whole > (UINT64_MAX - d) / 10)
			return ERR_OUT_OF_RANGE;
		whole = whole * 10 + d;
	}
	if (i == 0)
		return ERR_FORMAT;
	if (i < text->len && text->data[i] == '.') {
		size_t first = ++i;
		for (; i < text->len && text->data[i] >= '0' && text->data[i] <= '9'; i++) {
			unit /= 10;
			fraction += unit * (text->data[i] - '0');
		}
		if (i == first)
			return ERR_FORMAT;
	}
	*text = bytes_from(*text, i);
	*ret_whole = whole;
	*ret_fraction = fraction;
	return OK;
}

enum err text_real(struct bytes text, double *ret)
{
	enum { DIGITS_MAX = 15 };
	uint64_t digits = 0, divisor = 1;
	size_t count = 0, point = SIZE_MAX;

	/* Both numbers are exact in a double, so that their quotient is the nearest one. */
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];
		if (c == '.' && point == SIZE_MAX && i > 0 && i + 1 < text.len) {
			point = i;
			continue;
		}
		if (c < '0' || c > '9')
			return ERR_FORMAT;
		if (++count > DIGITS_MAX)
			return ERR_OUT_OF_RANGE;
		digits = digits * 10 + (uint64_t)(c - '0');
		if (point != SIZE_MAX)
			divisor *= 10;
	}
	if (count == 0)
		return ERR_FORMAT;
	*ret = (double)digits / (double)divisor;
	return OK;
}

static enum err scale(uint64_t whole, double fraction, uint64_t unit, uint64_t *ret)
{
	uint64_t add = (uint64_t)(fraction * (double)unit + 0.5);

	if (whole > UINT64_MAX / unit || whole * unit > UINT64_MAX - add)
		return ERR_OUT_OF_RANGE;
	*ret = whole * unit + add;
	return OK;
}

static bool equal_nocase(struct bytes v, const char *text)
{
	return v.len == strlen(text) &&
	       (v.len == 0 || strncasecmp((const char *)v.data, text, v.len) == 0);
}

enum err text_size(struct bytes text, uint64_t *ret)
{
	static const struct {
		const char *name;
		uint64_t unit;
	} units[] = {
		{ "", 1 },	    { "B", 1 },		  { "KB", 1000 },
		{ "K", 1024 },	    { "KiB", 1024 },	  { "MB", 1000000 },
		{ "M", MIB },	    { "MiB", MIB },	  { "GB", 1000000000 },
		{ "G", GIB },	    { "GiB", GIB },	  { "TB", UINT64_C(1000000000000) },
		{ "T", GIB << 10 }, { "TiB", GIB << 10 }, { "PB", UINT64_C(1000000000000000) },
		{ "P", GIB << 20 }, { "PiB", GIB << 20 },
	};
	uint64_t whole;
	double fraction;
	enum err e = take_decimal(&text, &whole, &fraction);

	if (e)
		return e;
	while (text.len && text.data[0] == ' ')
		text = bytes_from(text, 1);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (equal_nocase(text, units[i].name))
			return scale(whole, fraction, units[i].unit, ret);
	return ERR_FORMAT;
}

enum err text_duration(struct bytes text, int64_t *ret_ns)
{
	static const struct {
		const char *name;
		int64_t unit;
	} units[] = {
		{ "ms", NS_PER_MS },	     { "us", 1000 },	       { "ns", 1 },
		{ "s", NS_PER_SEC },	     { "m", 60 * NS_PER_SEC }, { "h", 3600 * NS_PER_SEC },
		{ "d", 86400 * NS_PER_SEC },
	};
	int64_t total = 0;

	if (text.len == 0)
		return ERR_FORMAT;
	while (text.len) {
		uint64_t whole, part;
		double fraction;
		enum err e = take_decimal(&text, &whole, &fraction);
		if (e)
			return e;
		size_t i = 0;
		for (; i < sizeof(units) / sizeof(units[0]); i++)
			if (bytes_has_prefix(text, bytes_str(units[i].name)))
				break;
		if (i == sizeof(units) / sizeof(units[0]))
			return ERR_FORMAT;
		e = scale(whole, fraction, (uint64_t)units[i].unit, &part);
		if (e)
			return e;
		if (part > (uint64_t)(INT64_MAX - total))
			return ERR_OUT_OF_RANGE;
		total += (int64_t)part;
		text = bytes_from(text, strlen(units[i].name));
	}
	*ret_ns = total;
	return OK;
}

/* Days since 1970-01-01 of a proleptic Gregorian date (H. Hinnant, "chrono-compatible date
 * algorithms"). */
static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	unsigned yoe = (unsigned)(y - era * 400);
	unsigned doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;
	unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + (int64_t)doe - 719468;
}

static void civil_from_days(int64_t z, int64_t *y, unsigned *m, unsigned *d)
{
	z += 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;

	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = (int64_t)yoe + era * 400 + (*m <= 2);
}

static bool take_digits(struct bytes *text, size_t n, unsigned *ret)
{
	unsigned v = 0;

	if (text->len < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text->data[i] < '0' || text->data[i] > '9')
			return false;
		v = v * 10 + (text->data[i] - '0');
	}
	*text = bytes_from(*text, n);
	*ret = v;
	return true;
}

static bool take_char(struct bytes *text, char c)
{
	if (text->len == 0 || text->data[0] != (uint8_t)c)
		return false;
	*text = bytes_from(*text, 1);
	return true;
}

static bool take_clock(struct bytes *text, int64_t *ret_ns)
{
	unsigned h, m, s = 0;
	int64_t ns = 0;

	if (!take_digits(text, 2, &h) || !take_char(text, ':') || !take_digits(text, 2, &m))
		return false;
	if (take_char(text, ':') && !take_digits(text, 2, &s))
		return false;
	if (h > 23 || m > 59 || s > 60)
		return false;
	if (take_char(text, '.')) {
		int64_t unit = NS_PER_SEC;
		unsigned d;
		size_t n = 0;
		for (; take_digits(text, 1, &d); n++) {
			unit /= 10;
			ns += unit * d;
		}
		if (n == 0)
			return false;
	}
	int64_t offset = 0;
	if (!take_char(text, 'Z') && !take_char(text, 'z')) {
		unsigned oh, om;
		int sign = take_char(text, '+') ? 1 : take_char(text, '-') ? -1 : 0;
		if (sign == 0 || !take_digits(text, 2, &oh) || !take_char(text, ':') ||
		    !take_digits(text, 2, &om) || oh > 23 || om > 59)
			return false;
		offset = sign * (int64_t)(oh * 60 + om) * 60;
	}
	*ret_ns = ((int64_t)h * 3600 + m * 60 + s - offset) * NS_PER_SEC + ns;
	return true;
}

enum err text_time(struct bytes text, int64_t *ret_unix_ns)
{
	static const uint8_t month_days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	unsigned y, m, d;
	int64_t ns = 0;

	if (!take_digits(&text, 4, &y) || !take_char(&text, '-') || !take_digits(&text, 2, &m) ||
	    !take_char(&text, '-') || !take_digits(&text, 2, &d))
		return ERR_FORMAT;
	if (m < 1 || m > 12 || d < 1 || d > month_days[m - 1] ||
	    (m == 2 && d == 29 && (y % 4 || (y % 100 == 0 && y % 400))))
		return ERR_FORMAT;
	if (text.len) {
		if (!take_char(&text, 'T') && !take_char(&text, 't') && !take_char(&text, ' '))
			return ERR_FORMAT;
		if (!take_clock(&text, &ns) || text.len)
			return ERR_FORMAT;
	}
	/* Nanoseconds in 64 bits reach from 1677 to 2262. */
	if (y < 1678 || y > 2261)
		return ERR_OUT_OF_RANGE;
	*ret_unix_ns = days_from_civil(y, m, d) * 86400 * NS_PER_SEC + ns;
	return OK;
}

void text_add_time(struct buf *b, int64_t unix_ns, bool ms)
{
	int64_t s = unix_ns / NS_PER_SEC, rest = unix_ns % NS_PER_SEC;

	if (rest < 0) {
		rest += NS_PER_SEC;
		s--;
	}
	int64_t days = s / 86400, in_day = s % 86400, y;
	unsigned m, d;
	if (in_day < 0) {
		in_day += 86400;
		days--;
	}
	civil_from_days(days, &y, &m, &d);
	buf_printf(b, "%04d-%02u-%02uT%02d:%02d:%02d", (int)y, m, d, (int)(in_day / 3600),
		   (int)(in_day / 60 % 60), (int)(in_day % 60));
	if (ms)
		buf_printf(b, ".%03d", (int)(rest / NS_PER_MS));
	buf_add_byte(b, 'Z');
}

void text_add_size(struct buf *b, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes;
	size_t u = 0;

	for (; v >= 1024 && u + 1 < sizeof(units) / sizeof(units[0]); u++)
		v /= 1024;
	if (u == 0)
		buf_printf(b, "%u B", (unsigned)bytes);
	else
		buf_printf(b, "%.1f %s", v, units[u]);
}

size_t text_utf8_len(const uint8_t *p, size_t left)
{
	if (p[0] < 0x80)
		return 1;
	size_t n = p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
	if (n == 0 || p[0] > 0xf4 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

void text_add_json(struct buf *b, struct bytes v)
{
	buf_add_byte(b, '"');
	for (size_t i = 0; i < v.len;) {
		uint8_t c = v.data[i];
		size_t n = text_utf8_len(v.data + i, v.len - i);
		if (n == 0) {
			buf_add_str(b, "\\ufffd");
			n = 1;
		} else if (c == '"' || c == '\\') {
			buf_add_byte(b, '\\');
			buf_add_byte(b, c);
		} else if (c < 0x20 || c == 0x7f) {
			buf_printf(b, "\\u%04x", c);
		} else {
			buf_add(b, v.data + i, n);
		}
		i += n;
	}
	buf_add_byte(b, '"');
}
