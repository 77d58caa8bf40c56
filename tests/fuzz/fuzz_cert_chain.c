/* Certificate chains in messages: parse, check, node ID. */
#include <stdlib.h>

#include "identity/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cert_chain *chain = NULL;
	struct node_id id;
	struct call call;

	call_init(&call);
	if (cert_chain_from_der(&call, BYTES(data, size), &chain) == OK) {
		size_t sum = 0, count = cert_chain_count(chain);
		for (size_t i = 0; i < count; i++)
			sum += cert_chain_cert(chain, i).len;
		if (sum != size || !cert_chain_leaf_key(chain))
			abort();
		enum err e = cert_chain_node_id(&call, chain, &id);
		if ((e == OK) != (count > 1))
			abort();
		if (!e && cert_chain_check_dialed(&call, chain, &id) == OK &&
		    node_id_difficulty(&id) < 8)
			abort();
	} else if (!call.error[0]) {
		abort();
	}
	cert_chain_free(chain);
	call_fini(&call);
	return 0;
}
