/*
 * Settings.  One table per program or command says name, type, default, range and meaning; from it
 * come the flag parser, the config file reader, --help and the commented config file.
 *
 *	struct options { const char *dir; uint64_t nodes; bool force; };
 *	static const struct param params[] = {
 *		PARAM(struct options, dir, 'd', PARAM_STR, ".", "where the network lives"),
 *		...
 */
#ifndef ACRE_BASE_PARAM_H
#define ACRE_BASE_PARAM_H

#include "base/call.h"

enum param_type {
	PARAM_STR,	/* const char * */
	PARAM_BOOL,	/* bool; as a flag needs no value */
	PARAM_CHOICE,	/* enum param_choice: a bool that may also be left open */
	PARAM_U64,	/* uint64_t */
	PARAM_SIZE,	/* uint64_t bytes: "2GiB" */
	PARAM_REAL,	/* double, not negative: "0.96" */
	PARAM_DURATION, /* int64_t nanoseconds: "10s" */
	PARAM_LIST,	/* struct param_list: a flag may repeat; in a file, comma separated */
};

enum param_choice { PARAM_OPEN = 0, PARAM_YES, PARAM_NO };

struct param_list {
	const char **items;
	size_t count;
};

struct param {
	const char *name;  /* "external-address": flag --external-address, file key the same */
	const char *alias; /* another accepted name, or NULL */
	char letter;	   /* short flag, or 0 */
	enum param_type type;
	size_t offset;		  /* of the field in the options struct */
	const char *default_text; /* parsed like input; NULL = zero/absent */
	uint64_t min, max;	  /* for numbers; max 0 = no bound */
	const char *doc;	  /* one line or more, for help and config file */
};

#define PARAM_NAMED(text, struct_type, field, letter_, type_, default_, doc_)                      \
	{                                                                                          \
		.name = (text), .letter = (letter_), .type = (type_),                              \
		.offset = offsetof(struct_type, field), .default_text = (default_), .doc = (doc_)  \
	}
#define PARAM(struct_type, field, letter_, type_, default_, doc_)                                  \
	PARAM_NAMED(#field, struct_type, field, letter_, type_, default_, doc_)

struct param_set {
	const struct param *params;
	size_t count;
	/* Another program's settings, to be taken over with ours: names with one of these prefixes
	 * (up to NULL) that are none of ours mean nothing here.  They are not failures but listed
	 * in the struct param_list at that offset.  NULL: there are no such names. */
	const char *const *foreign;
	size_t foreign_offset;
};

#define PARAM_SET(table) ((struct param_set){ (table), sizeof(table) / sizeof((table)[0]) })

/* Strings set in `options` live in `a`.  All failures are ERR_CONFIG with the name, the value and
 * what would be right; unknown names are failures that name the nearest known one. */
enum err param_defaults(struct call *call, struct arena *a, struct param_set set,
			void *options) MUST_USE;
/* Lines "name = value" or "name: value"; '#' starts a comment line; blank lines are fine. */
enum err param_read_config(struct call *call, struct arena *a, struct param_set set, void *options,
			   struct bytes text) MUST_USE;
/* --name value, --name=value, --flag, --flag=false, -x value, -xvalue, "--" ends flags.
 * What is no flag goes to `rest` in order (array of argc pointers made in `a`). */
enum err param_read_args(struct call *call, struct arena *a, struct param_set set, void *options,
			 int argc, const char *const argv[], const char ***ret_rest,
			 size_t *ret_rest_count) MUST_USE;
/* Sets one by name, as if given on the command line. */
enum err param_set_one(struct call *call, struct arena *a, struct param_set set, void *options,
		       struct bytes name, struct bytes value) MUST_USE;
/* Appends the flag list for --help. */
void param_add_help(struct buf *out, struct param_set set);
/* Appends a config file with every setting, its doc as comment, and the present values of `options`
 * (defaults commented out). */
void param_add_config(struct buf *out, struct param_set set, const void *options);

#endif
