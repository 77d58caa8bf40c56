/* Plain bytes of a range of one segment, inline or remote. */
#ifndef ACRE_CLIENT_SEGMENT_GET_H
#define ACRE_CLIENT_SEGMENT_GET_H

#include "access/content.h"
#include "client/project.h"
#include "proto/metainfo.pb-c.h"

struct segment_get;

struct segment_get_params {
	const Metainfo__DownloadSegmentResponse *answer; /* borrowed until close */
	const struct secret_key *object_key;
	enum cipher cipher;	 /* of the object */
	uint32_t block;		 /* its encrypted block size */
	uint64_t offset, length; /* plain range of the segment, length > 0 */
	bool ahead;		 /* of its turn: ERR_BUSY rather than waiting for connections */
	bool verify;		 /* tell right pieces from wrong ones */
	const struct node_id *avoid;
	size_t avoid_count;
};

enum err segment_get_open(struct call *call, struct project *p,
			  const struct segment_get_params *params,
			  struct segment_get **ret) MUST_USE;
/* 1 to cap bytes, or ERR_EOF at the end of the range.  ERR_CRYPTO when what the nodes sent does not
 * authenticate; bytes handed out before it are good. */
enum err segment_get_read(struct call *call, struct segment_get *g, uint8_t *buf, size_t cap,
			  size_t *ret_n) MUST_USE;
size_t segment_get_liars(struct segment_get *g, struct node_id *ret, size_t max);
void segment_get_close(struct segment_get *g);

#endif
