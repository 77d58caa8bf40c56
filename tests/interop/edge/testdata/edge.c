/* Calls our library for edge_test.go: `edge register GRANT ADDRESS ROOTS PLAIN PUBLIC`, or
 * `edge url BASE KEY_ID BUCKET KEY RAW`; yes is "1". */
#include <stdio.h>
#include <string.h>

#define UPLINK_DISABLE_NAMESPACE_COMPAT
#include <uplink.h>

static int failed(UplinkError *error)
{
	printf("error 0x%x\n%s\n", (unsigned)error->code, error->message);
	return 0;
}

static int reg(char **arg)
{
	EdgeConfig config = { arg[1], arg[2], strcmp(arg[3], "1") == 0 };
	EdgeRegisterAccessOptions options = { strcmp(arg[4], "1") == 0 };
	UplinkAccessResult access = uplink_parse_access(arg[0]);

	if (access.error)
		return failed(access.error);
	EdgeCredentialsResult r = edge_register_access(config, access.access, &options);
	if (r.error)
		failed(r.error);
	else
		printf("%s %s %s\n", r.credentials->access_key_id, r.credentials->secret_key,
		       r.credentials->endpoint);
	edge_free_credentials_result(r);
	uplink_free_access_result(access);
	return uplink_internal_UniverseIsEmpty() ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 7 && strcmp(argv[1], "register") == 0)
		return reg(argv + 2);
	if (argc != 7)
		return 2;
	EdgeShareURLOptions options = { strcmp(argv[6], "1") == 0 };
	UplinkStringResult r = edge_join_share_url(argv[2], argv[3], argv[4], argv[5], &options);
	if (r.error)
		failed(r.error);
	else
		printf("%s\n", r.string);
	uplink_free_string_result(r);
	return 0;
}
