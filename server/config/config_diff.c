/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_diff: what a reload would change. Hides how rows are compared. Pure; main thread, at SIGHUP.
 * Kafka's own properties are one entry, for they are never taken over by a running gateway.
 */
#include "config_rows.h"

static bool row_equal(const struct bgw_config *a, const struct bgw_config *b,
                      const struct bgw_config_row *row)
{
    const void *x = bgw_config_slot(a, row), *y = bgw_config_slot(b, row);
    switch (row->kind) {
    case BGW_CONFIG_KIND_STR:
        return strcmp(*(const char *const *)x, *(const char *const *)y) == 0;
    case BGW_CONFIG_KIND_INT:
        return *(const int64_t *)x == *(const int64_t *)y;
    case BGW_CONFIG_KIND_BOOL:
        return *(const bool *)x == *(const bool *)y;
    }
    return true;
}

static bool kafka_equal(const struct bgw_config *a, const struct bgw_config *b)
{
    if (a->kafka_prop_count != b->kafka_prop_count)
        return false;
    for (size_t i = 0; i < a->kafka_prop_count; i++) {
        if (strcmp(a->kafka_props[i].name, b->kafka_props[i].name) != 0 ||
            strcmp(a->kafka_props[i].value, b->kafka_props[i].value) != 0)
            return false;
    }
    return true;
}

void bgw_config_diff(const struct bgw_config *old, const struct bgw_config *fresh,
                     void (*fn)(void *arg, const char *env_name, bool live), void *arg)
{
    for (int i = 0; i < BGW_CONFIG_ROW_COUNT; i++) {
        if (!row_equal(old, fresh, &bgw_config_rows[i]))
            fn(arg, bgw_config_rows[i].env, bgw_config_row_live(i));
    }
    if (!kafka_equal(old, fresh))
        fn(arg, "KAFKA_*", false);
}
