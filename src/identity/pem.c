/* PEM blocks: markers, base64 in lines of 64. */
#include "identity/pem.h"

#include "base/cleanup.h"
#include "base/text.h"

enum { PEM_LINE = 64, PEM_BODY_MAX = 128 << 10 };

/* The next line without its end; moves *text behind it. */
static struct bytes take_line(struct bytes *text)
{
	const uint8_t *nl = memchr(text->data, '\n', text->len);
	size_t n = nl ? (size_t)(nl - text->data) : text->len;
	struct bytes line = BYTES(text->data, n);

	*text = bytes_from(*text, nl ? n + 1 : n);
	while (line.len && (line.data[line.len - 1] == '\r' || line.data[line.len - 1] == ' '))
		line.len--;
	return line;
}

/* Whether line is "-----<word> <label>-----"; *ret_label is the label then. */
static bool is_marker(struct bytes line, const char *word, struct bytes *ret_label)
{
	const struct bytes dashes = bytes_str("-----");
	struct bytes w = bytes_str(word);

	if (line.len < w.len + 10 || !bytes_has_prefix(line, dashes) ||
	    !bytes_has_prefix(bytes_from(line, 5), w) ||
	    !bytes_equal(bytes_from(line, line.len - 5), dashes))
		return false;
	*ret_label = BYTES(line.data + 5 + w.len, line.len - 10 - w.len);
	return true;
}

enum err pem_next(struct bytes *text, const char *label, struct buf *der, bool *ret_matched)
{
	AUTO_SECRET_BUF struct buf body = BUF_INIT(PEM_BODY_MAX);
	struct bytes found = BYTES_NONE, end;

	while (text->len && !is_marker(take_line(text), "BEGIN ", &found)) {
	}
	if (!found.data)
		return ERR_NOT_FOUND;
	for (;;) {
		if (!text->len)
			return ERR_FORMAT;
		struct bytes line = take_line(text);
		if (is_marker(line, "END ", &end))
			break;
		/* Headers ("Proc-Type: ...") of old encrypted keys are no base64 and fail below. */
		buf_add_bytes(&body, line);
	}
	if (!bytes_equal(found, end))
		return ERR_FORMAT;
	*ret_matched = bytes_equal(found, bytes_str(label));
	if (!*ret_matched)
		return OK;
	TRY_PLAIN(buf_status(&body));
	TRY_PLAIN(text_unbase64(der, buf_bytes(&body)));
	return buf_status(der);
}

void pem_add(struct buf *out, const char *label, struct bytes der)
{
	AUTO_SECRET_BUF struct buf body = BUF_INIT(PEM_BODY_MAX);

	text_base64(&body, der);
	if (body.failed)
		out->failed = true;
	buf_printf(out, "-----BEGIN %s-----\n", label);
	for (size_t at = 0; at < body.len; at += PEM_LINE) {
		buf_add(out, body.data + at, body.len - at < PEM_LINE ? body.len - at : PEM_LINE);
		buf_add_byte(out, '\n');
	}
	buf_printf(out, "-----END %s-----\n", label);
}
