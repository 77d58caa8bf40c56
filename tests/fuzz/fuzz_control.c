/* Lines that come by a node's control socket: what is taken is written back the same. */
#include <assert.h>

#include "base/cleanup.h"
#include "node/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO_CALL struct call call = CALL_INIT;
	AUTO_BUF struct buf line = BUF_INIT(2 * CONTROL_LINE_MAX);
	struct control_request r = { 0 }, again = { 0 };

	if (len > CONTROL_LINE_MAX || control_parse(&call, BYTES(data, len), &r))
		return 0;
	control_add(&line, &r);
	assert(!line.failed && line.data[line.len - 1] == '\n');
	enum err e = control_parse(&call, BYTES(line.data, line.len - 1), &again);
	assert(!e && again.command == r.command && again.format == r.format && again.on == r.on);
	assert(bytes_equal(again.node, r.node));
	return 0;
}
