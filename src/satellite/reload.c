/* Settings read again: what differs, what of it may change now. */
#include "satellite/reload.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "os/log.h"
#include "satellite/auth.h"

/* One set of settings that held once; older ones stay, since somebody may still look. */
struct config_version {
	struct satellite_config config;
	struct arena strings;
	struct config_version *older;
};

/* All that is read through satellite_live.  The code of segments that exist is kept with them. */
static const char *const live_settings[] = {
	"log-level",
	"slow-statement",
	"rs",
	"max-inline-size",
	"max-key-length",
	"max-buckets",
	"rate",
	"rate-burst",
	"max-storage",
	"max-bandwidth",
	"max-segments",
	"storage-price",
	"egress-price",
	"checksums",
	"bucket-tagging",
	"min-difficulty",
	"distinct-networks",
	"allow-private-ips",
	"min-free-space",
	"online-window",
	"checkin-interval",
	"checkin-burst",
	"ping-timeout",
	"segment-loop-share",
};

static bool is_live(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(live_settings); i++)
		if (!strcmp(live_settings[i], name))
			return true;
	return false;
}

static size_t setting_size(enum param_type type)
{
	switch (type) {
	case PARAM_BOOL:
		return sizeof(bool);
	case PARAM_CHOICE:
		return sizeof(enum param_choice);
	case PARAM_U64:
	case PARAM_SIZE:
		return sizeof(uint64_t);
	case PARAM_DURATION:
		return sizeof(int64_t);
	case PARAM_REAL:
		return sizeof(double);
	case PARAM_STR:
	case PARAM_LIST:
		break;
	}
	return 0;
}

static bool differs(const struct param *p, const void *a, const void *b)
{
	const char *x = (const char *)a + p->offset, *y = (const char *)b + p->offset;

	if (p->type == PARAM_STR)
		return strcmp(*(const char *const *)x, *(const char *const *)y) != 0;
	return memcmp(x, y, setting_size(p->type)) != 0;
}

static enum err copy_setting(struct call *call, struct config_version *v, const struct param *p,
			     const struct satellite_config *from)
{
	const char *x = (const char *)from + p->offset;
	char *to = (char *)&v->config + p->offset;

	if (p->type != PARAM_STR) {
		memcpy(to, x, setting_size(p->type));
		return OK;
	}
	const char *text = arena_str(&v->strings, bytes_str(*(const char *const *)x));
	if (!text)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	*(const char **)to = text;
	return OK;
}

static enum err take_over(struct call *call, struct config_version *v,
			  const struct satellite_config *fresh, struct reload_report *report)
{
	for (size_t i = 0; i < satellite_params_count; i++) {
		const struct param *p = &satellite_params[i];
		if (!differs(p, &v->config, fresh))
			continue;
		if (!is_live(p->name)) {
			if (report->restart_count < RELOAD_NAMES_MAX)
				report->restart[report->restart_count++] = p->name;
			continue;
		}
		TRY_PLAIN(copy_setting(call, v, p, fresh));
		if (report->changed_count < RELOAD_NAMES_MAX)
			report->changed[report->changed_count++] = p->name;
	}
	v->config.redundancy = fresh->redundancy;
	return OK;
}

static void version_free(struct config_version *v)
{
	arena_free(&v->strings);
	free(v);
}

/* What is kept outside of the settings. */
static void apply(struct satellite *sat, const struct satellite_config *config)
{
	enum log_level level;

	if (log_parse_level(config->log_level, &level) == OK)
		log_set_level(level);
	key_cache_clear(sat->keys);
}

enum err satellite_reload(struct call *call, struct satellite *sat,
			  const struct satellite_config *fresh, struct reload_report *ret)
{
	struct config_version *v = calloc(1, sizeof(*v));
	struct reload_report report = { 0 };

	if (!v)
		return call_fail(call, ERR_NO_MEMORY, "out of memory");
	OS_LOCKED(&sat->reload_lock);
	v->config = *satellite_live(sat);
	enum err e = take_over(call, v, fresh, &report);
	if (e || !report.changed_count) {
		version_free(v);
		if (!e)
			*ret = report;
		return e;
	}
	v->older = sat->versions;
	sat->versions = v;
	atomic_store_explicit(&sat->live, &v->config, memory_order_release);
	apply(sat, &v->config);
	*ret = report;
	return OK;
}

void satellite_reload_free(struct satellite *sat)
{
	while (sat->versions) {
		struct config_version *v = sat->versions;
		sat->versions = v->older;
		version_free(v);
	}
	os_mutex_fini(&sat->reload_lock);
}
