/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config: every key is a row of server/config/config.def; flag > environment > file > default.
 * An unknown flag or file key names the nearest known one. Unknown BGW_* variables are errors too.
 * KAFKA_<PROPERTY> passes through to librdkafka. *_FILE variants read a secret from a file.
 *
 *   BGW_CONFIG_STR(id, "ENV_NAME", "flag-name", "default", flags, "help")
 *   BGW_CONFIG_INT(id, "ENV_NAME", "flag-name", default, min, max, "help")
 *   BGW_CONFIG_BOOL(id, "ENV_NAME", "flag-name", default, "help")
 *   BGW_CONFIG_LIVE(id): SIGHUP changes it in the running gateway
 */
#ifndef BGW_CONFIG_H
#define BGW_CONFIG_H

#include "bgw/buf.h"
#include "bgw/status.h"

#include <stdbool.h>
#include <stdint.h>

#define BGW_CONFIG_SECRET 1 /* shown as *** ; a *_FILE variant exists */
#define BGW_KAFKA_PROPS_MAX 64

struct bgw_config { /* immutable after load; any thread */
#define BGW_CONFIG_STR(id, env, flag, def, flags, help) const char *id;
#define BGW_CONFIG_INT(id, env, flag, def, min, max, help) int64_t id;
#define BGW_CONFIG_BOOL(id, env, flag, def, help) bool id;
#include "../../server/config/config.def"
#undef BGW_CONFIG_STR
#undef BGW_CONFIG_INT
#undef BGW_CONFIG_BOOL
    struct {
        const char *name; /* librdkafka's: dots */
        const char *value;
    } kafka_props[BGW_KAFKA_PROPS_MAX];
    size_t kafka_prop_count;
    struct bgw_config_priv *priv; /* strings and origins */
};

/* Loads all layers. `argv`: the flags after the command word, `--name value` or `--name=value`; the
 * config file is named by --config or BGW_CONFIG (KEY=VALUE lines, # comments; keys are the
 * environment names). On failure `error` holds a sentence that names key, value, range and what to
 * do, and `c` holds nothing: BGW_USAGE for flags that do not exist or lack their value, BGW_UNKNOWN_KEY,
 * BGW_CONFIG for wrong values and files, BGW_NO_MEMORY. */
BGW_MUST_CHECK enum bgw_status bgw_config_load(struct bgw_config *c, int argc, char **argv,
                                               char *const *env, struct bgw_buf *error);
void bgw_config_deinit(struct bgw_config *c);
/* `KEY=value  # origin` lines (or one JSON object), secrets redacted. */
void bgw_config_show(const struct bgw_config *c, bool json, struct bgw_buf *out);
/* The option list for --help. */
void bgw_config_help(struct bgw_buf *out);
/* "500ms", "60s", "10m", "2h" to milliseconds: a whole number below 2^31 and a unit. */
BGW_MUST_CHECK enum bgw_status bgw_config_duration_ms(const char *text, int64_t *out);
/* What a reload would change: for each row that differs calls `fn` with its environment name and whether the running gateway takes
 * it over; the others need a restart. Kafka properties are never live. */
void bgw_config_diff(const struct bgw_config *old, const struct bgw_config *fresh,
                     void (*fn)(void *arg, const char *env_name, bool live), void *arg);
/* Was this key given by anybody (not the default)? By environment name. */
bool bgw_config_given(const struct bgw_config *c, const char *env_name);

#endif
