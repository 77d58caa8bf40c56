/* What the API's server and its table of routes share. */
#ifndef ACRE_SATELLITE_ADMIN_INTERNAL_H
#define ACRE_SATELLITE_ADMIN_INTERNAL_H

#include "http/http.h"
#include "satellite/admin.h"
#include "satellite/command.h"

/* A member of a request's JSON object; it becomes the text that the command's flag would be. */
struct admin_field {
	const char *name;
	enum {
		FIELD_TEXT,
		FIELD_COUNT,  /* 0 to 2^63 - 1 */
		FIELD_MICRO,  /* millionths of a dollar */
		FIELD_NUMBER, /* uint64_t, from 0 to max */
		FIELD_BOOL,   /* bool */
		FIELD_CHOICE, /* enum param_choice */
	} kind;
	size_t offset;	       /* in struct command_options */
	const char *null_text; /* what null means; NULL: null is refused */
	bool required;
	uint64_t max;
};

struct admin_call {
	struct command c;
	struct satellite *sat;
	const struct admin_config *config;
};

struct admin_route {
	const char *method;
	const char *path; /* "/v1/projects/{project}": names as in admin_path_names */
	const struct admin_field *fields; /* NULL: no body */
	size_t fields_count;
	unsigned status; /* when all went well; 0: 200, or 204 without anything to say */
	enum err (*command)(struct command *c); /* one of these two */
	enum err (*run)(struct admin_call *ac);
	bool open;	  /* without the token */
	const char *type; /* of the answer; NULL: JSON */
};

extern const struct admin_route admin_routes[];
extern const size_t admin_routes_count;

/* What a part of a path in braces is for the command. */
struct admin_path_name {
	const char *name; /* "{project}" */
	size_t offset;
};
extern const struct admin_path_name admin_path_names[];
extern const size_t admin_path_names_count;

/* The text of docs/satellite-api.yaml, built in. */
/* ---- admin_body.c ---- */

bool admin_path_matches(const char *pattern, const char *path);
/* What the path names and what the body has becomes options of ac->c. */
enum err admin_read_path(struct admin_call *ac, const char *pattern, const char *path) MUST_USE;
enum err admin_read_body(struct admin_call *ac, const struct admin_route *r,
			 struct bytes body) MUST_USE;

/* Built from docs/satellite-api.yaml. */
extern const char satellite_api_yaml[];
extern const size_t satellite_api_yaml_len;

#endif
