/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_rows: what the files of this room share: config.def as data, where each value came from,
 * and the rules a value must follow. For config*.c only.
 */
#ifndef BGW_CONFIG_ROWS_H
#define BGW_CONFIG_ROWS_H

#include "bgw/config.h"

enum bgw_config_kind { BGW_CONFIG_KIND_STR, BGW_CONFIG_KIND_INT, BGW_CONFIG_KIND_BOOL };

/* any thread: constant */
struct bgw_config_row {
    const char *env, *flag, *help;
    enum bgw_config_kind kind;
    int flags;
    size_t offset;         /* of the member of struct bgw_config */
    const char *def_str;   /* STR */
    int64_t def, min, max; /* INT; BOOL: def alone */
};

enum {
#define BGW_CONFIG_STR(id, env, flag, def, flags, help) BGW_CONFIG_ROW_##id,
#define BGW_CONFIG_INT(id, env, flag, def, min, max, help) BGW_CONFIG_ROW_##id,
#define BGW_CONFIG_BOOL(id, env, flag, def, help) BGW_CONFIG_ROW_##id,
#include "config.def"
#undef BGW_CONFIG_STR
#undef BGW_CONFIG_INT
#undef BGW_CONFIG_BOOL
    BGW_CONFIG_ROW_COUNT
};

extern const struct bgw_config_row bgw_config_rows[BGW_CONFIG_ROW_COUNT];
bool bgw_config_row_live(int row);

enum bgw_config_origin {
    BGW_ORIGIN_DEFAULT,
    BGW_ORIGIN_DEMO,
    BGW_ORIGIN_FILE,
    BGW_ORIGIN_ENV,
    BGW_ORIGIN_FLAG,
};
const char *bgw_config_origin_text(enum bgw_config_origin origin);

/* any thread: immutable after load */
struct bgw_config_string {
    struct bgw_config_string *next;
    size_t len;
    char text[];
};
struct bgw_config_priv {
    struct bgw_config_string *strings;
    enum bgw_config_origin origins[BGW_CONFIG_ROW_COUNT];
    enum bgw_config_origin kafka_origins[BGW_KAFKA_PROPS_MAX];
};

/* Storage of one row's value inside `c`. */
void *bgw_config_slot(const struct bgw_config *c, const struct bgw_config_row *row);

/* Row by environment or by flag name; -1 if there is none. */
int bgw_config_row_by_env(const char *name);
int bgw_config_row_by_flag(const char *name);
/* The nearest names by edit distance; *distance may be NULL. Never NULL. */
const char *bgw_config_nearest_env(const char *name, size_t *distance);
const char *bgw_config_nearest_flag(const char *name);

/* Is this string good for this row? If not, what is: a phrase that follows "give". NULL: good. */
const char *bgw_config_check(int row, const char *value);
/* Strict decimal, optional minus sign. */
bool bgw_config_read_int(const char *text, int64_t *out);
bool bgw_config_read_bool(const char *text, bool *out);

/* Holds this librdkafka property a secret? */
bool bgw_config_kafka_secret(const char *property);

#endif
