/* Attestations of Noise keys: the reference's cases, and our own read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "identity/noise_attestation.h"
#include "os/clock.h"
#include "proto/proto.h"
#include "vectors.h"

static enum err verify(struct arena *a, struct bytes wire, const struct node_id *expected)
{
	Noise__NoiseKeyAttestation *m = NULL;
	struct call call;

	call_init(&call);
	enum err e = proto_decode(&call, a, &noise__noise_key_attestation__descriptor, wire, &m);
	assert_int_equal(e, OK);
	e = noise_attestation_verify(&call, m, expected);
	call_fini(&call);
	return e;
}

static void cases_of_the_reference(void **state)
{
	json_t *root = vectors_load("noise"), *set, *v;
	struct arena a = { 0 };
	struct node_id id;
	size_t i, j, cases = 0;

	json_array_foreach(json_object_get(root, "key_attestation"), i, set)
	{
		json_array_foreach(json_object_get(set, "cases"), j, v)
		{
			assert_int_equal(
				node_id_from_bytes(vector_hex(&a, v, "expected_node_id_hex"), &id),
				OK);
			enum err e = verify(&a, vector_hex(&a, v, "wire_pb_hex"), &id);
			if ((e == OK) != vector_bool(v, "valid"))
				fail_msg("%s: %s", vector_text(v, "name"), err_name(e));
			cases++;
		}
	}
	assert_true(cases >= 16);
	arena_free(&a);
	json_decref(root);
}

static void our_own(void **state)
{
	static const uint8_t key[32] = { 1, 2, 3 };
	Noise__NoiseKeyAttestation *m = NULL;
	struct identity *identity = NULL;
	struct arena a = { 0 };
	struct call call;

	call_init(&call);
	assert_int_equal(identity_ephemeral(&call, &identity), OK);
	assert_int_equal(noise_attestation_new(&call, &a, identity, 2, BYTES_OF(key),
					       os_clock_unix_ns(), &m),
			 OK);
	assert_int_equal(m->noise_proto, 2);
	assert_int_equal(noise_attestation_verify(&call, m, identity_node_id(identity)), OK);
	m->timestamp->nanos ^= 1;
	assert_int_equal(noise_attestation_verify(&call, m, identity_node_id(identity)),
			 ERR_UNAUTHENTICATED);
	identity_free(identity);
	arena_free(&a);
	call_fini(&call);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cases_of_the_reference),
		cmocka_unit_test(our_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
