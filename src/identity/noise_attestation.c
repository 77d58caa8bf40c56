/* Attestations of Noise keys. */
#include "identity/noise_attestation.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "proto/proto.h"

enum { KEY_BYTES_MAX = 64 << 10 /* foreign keys have any length, even none */ };

DEFINE_AUTO_PTR(struct cert_chain, chain_auto, cert_chain_free)

static void add_signed_bytes(struct buf *out, int64_t unix_ns, struct bytes key)
{
	uint8_t time[8];

	put_be64(time, unix_ns > 0 ? (uint64_t)unix_ns : 0);
	buf_add_bytes(out, bytes_str("noise-key-attestation-v1:"));
	buf_add(out, time, sizeof(time));
	buf_add_bytes(out, key);
}

enum err noise_attestation_new(struct call *call, struct arena *a, const struct identity *identity,
			       int32_t suite, struct bytes public_key, int64_t now_unix_ns,
			       Noise__NoiseKeyAttestation **ret)
{
	Noise__NoiseKeyAttestation *m = arena_alloc(a, sizeof(*m));
	AUTO_BUF struct buf message = BUF_INIT(256), signature = BUF_INIT(SIGNATURE_MAX);

	if (!m)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	add_signed_bytes(&message, now_unix_ns, public_key);
	TRY_PLAIN(buf_status(&message));
	TRY(private_key_sign(call, identity_key(identity), buf_bytes(&message), &signature),
	    "attest the Noise key");
	noise__noise_key_attestation__init(m);
	m->deprecated_node_id = proto_copy(a, node_id_bytes(identity_node_id(identity)));
	m->node_certchain = proto_copy(a, cert_chain_der(identity_chain(identity)));
	m->noise_proto = (Noise__NoiseProtocol)suite;
	m->noise_public_key = proto_copy(a, public_key);
	m->timestamp = proto_time_new(a, now_unix_ns);
	m->signature = proto_copy(a, buf_bytes(&signature));
	if (!m->deprecated_node_id.len || !m->node_certchain.len || !m->noise_public_key.len ||
	    !m->timestamp || !m->signature.len)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*ret = m;
	return OK;
}

enum err noise_attestation_verify(struct call *call, const Noise__NoiseKeyAttestation *m,
				  const struct node_id *expected)
{
	AUTO_BUF struct buf message = BUF_INIT(KEY_BYTES_MAX + 64);
	AUTO(chain_auto) struct cert_chain *chain = NULL;
	struct node_id id;

	TRY(cert_chain_from_der(call, proto_bytes(m->node_certchain), &chain), "Noise attestation");
	TRY(cert_chain_node_id(call, chain, &id), "Noise attestation");
	if (!node_id_equal(&id, expected))
		return call_fail(call, ERR_UNAUTHENTICATED, "a Noise key of another node");
	add_signed_bytes(&message, proto_time(m->timestamp), proto_bytes(m->noise_public_key));
	TRY_PLAIN(buf_status(&message));
	if (public_key_verify(call, cert_chain_leaf_key(chain), buf_bytes(&message),
			      proto_bytes(m->signature)))
		return call_fail(call, ERR_UNAUTHENTICATED, "a Noise key that is not signed");
	return OK;
}
