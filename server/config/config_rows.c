/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_rows: config.def as data, and the search for names in it. Hides how near two names are.
 * Called by the rest of this room while one thread starts the process; constant data.
 */
#include "config_rows.h"

#include "bgw/assert.h"

#include <stddef.h>

const struct bgw_config_row bgw_config_rows[BGW_CONFIG_ROW_COUNT] = {
#define BGW_CONFIG_STR(id, env, flag, def, flags, help)                                            \
    {env, flag, help, BGW_CONFIG_KIND_STR, flags, offsetof(struct bgw_config, id), def, 0, 0, 0},
#define BGW_CONFIG_INT(id, env, flag, def, min, max, help)                                         \
    {env, flag, help, BGW_CONFIG_KIND_INT, 0, offsetof(struct bgw_config, id), "", def, min, max},
#define BGW_CONFIG_BOOL(id, env, flag, def, help)                                                  \
    {env, flag, help, BGW_CONFIG_KIND_BOOL, 0, offsetof(struct bgw_config, id), "", def, 0, 1},
#include "config.def"
#undef BGW_CONFIG_STR
#undef BGW_CONFIG_INT
#undef BGW_CONFIG_BOOL
};

/* any thread: constant */
static const bool live_rows[BGW_CONFIG_ROW_COUNT] = {
#define BGW_CONFIG_STR(id, env, flag, def, flags, help)
#define BGW_CONFIG_INT(id, env, flag, def, min, max, help)
#define BGW_CONFIG_BOOL(id, env, flag, def, help)
#define BGW_CONFIG_LIVE(id) [BGW_CONFIG_ROW_##id] = true,
#include "config.def"
#undef BGW_CONFIG_STR
#undef BGW_CONFIG_INT
#undef BGW_CONFIG_BOOL
};

bool bgw_config_row_live(int row)
{
    return live_rows[row];
}

#define NAME_LEN_MAX 64 /* of what is compared; the rest of a longer name counts as different */

const char *bgw_config_origin_text(enum bgw_config_origin origin)
{
    static const char *const texts[] = {"default", "demo", "file", "environment", "flag"};
    BGW_ASSERT((unsigned)origin < sizeof(texts) / sizeof(*texts));
    return texts[origin];
}

void *bgw_config_slot(const struct bgw_config *c, const struct bgw_config_row *row)
{
    return (char *)(uintptr_t)c + row->offset;
}

int bgw_config_row_by_env(const char *name)
{
    for (int i = 0; i < BGW_CONFIG_ROW_COUNT; i++)
        if (strcmp(bgw_config_rows[i].env, name) == 0)
            return i;
    return -1;
}

int bgw_config_row_by_flag(const char *name)
{
    for (int i = 0; i < BGW_CONFIG_ROW_COUNT; i++)
        if (strcmp(bgw_config_rows[i].flag, name) == 0)
            return i;
    return -1;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters added, left out, changed, or two neighbours swapped: each counts one. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][NAME_LEN_MAX + 1];
    size_t *two_up = rows[0], *up = rows[1], *now = rows[2];
    size_t a_len = strlen(a), b_len = least(strlen(b), NAME_LEN_MAX);
    size_t cut = a_len > NAME_LEN_MAX ? a_len - NAME_LEN_MAX : 0;
    for (size_t j = 0; j <= b_len; j++)
        up[j] = j;
    for (size_t i = 1; i <= a_len - cut; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t change = up[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            now[j] = least(change, least(up[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], two_up[j - 2] + 1);
        }
        size_t *free_row = two_up;
        two_up = up;
        up = now;
        now = free_row;
    }
    return up[b_len] + cut;
}

const char *bgw_config_nearest_env(const char *name, size_t *distance)
{
    const char *nearest = "BGW_CONFIG";
    size_t best = edit_distance(name, nearest);
    for (int i = 0; i < BGW_CONFIG_ROW_COUNT; i++) {
        size_t d = edit_distance(name, bgw_config_rows[i].env);
        if (d >= best)
            continue;
        best = d;
        nearest = bgw_config_rows[i].env;
    }
    if (distance)
        *distance = best;
    return nearest;
}

const char *bgw_config_nearest_flag(const char *name)
{
    const char *nearest = "config";
    size_t best = edit_distance(name, nearest);
    for (int i = 0; i < BGW_CONFIG_ROW_COUNT; i++) {
        size_t d = edit_distance(name, bgw_config_rows[i].flag);
        if (d >= best)
            continue;
        best = d;
        nearest = bgw_config_rows[i].flag;
    }
    return nearest;
}

bool bgw_config_kafka_secret(const char *property)
{
    static const char *const words[] = {"password", "passphrase",  "secret",
                                        "key.pem",  "private.key", "oauthbearer.config"};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strstr(property, words[i]))
            return true;
    return false;
}
