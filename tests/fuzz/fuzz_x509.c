/* Certificate chains as peers send them: parse, take the key, check the signature against itself.
 */
#include <stdlib.h>

#include "crypto/x509.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = BYTES(data, size);
	struct call call;

	call_init(&call);
	while (rest.len) {
		struct public_key *key = NULL;
		struct x509 cert;

		if (x509_parse_next(&call, rest, &cert, &rest) != OK)
			break;
		/* Every view must lie within its certificate. */
		const uint8_t *end = cert.der.data + cert.der.len;
		if (cert.der.data < data || end > data + size || cert.tbs.data < cert.der.data ||
		    cert.tbs.data + cert.tbs.len > end || cert.spki.data < cert.tbs.data ||
		    cert.spki.data + cert.spki.len > cert.tbs.data + cert.tbs.len ||
		    cert.signature.data + cert.signature.len > end)
			abort();
		x509_may_sign(&cert);
		if (x509_public_key(&call, &cert, &key) == OK) {
			enum err e = x509_check_signature(&call, &cert, key);
			if (e != OK && e != ERR_CRYPTO)
				abort();
		}
		public_key_free(key);
	}
	call_fini(&call);
	return 0;
}
