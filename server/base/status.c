/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status: the texts of the one error enum, made from status.def. Called by anybody, on any thread;
 * holds nothing but constants. A value outside the table gets a text of its own, never NULL.
 */
#include "bgw/status.h"

#include <stddef.h>

static const struct {
    const char *upper, *sentence;
} rows[] = {
#define BGW_STATUS_ROW(name, sentence) {#name, sentence},
#include "status.def"
#undef BGW_STATUS_ROW
};

#define ROW_COUNT (sizeof(rows) / sizeof(*rows))
#define NAME_MAX_LEN 24

const char *bgw_status_text(enum bgw_status status)
{
    if ((unsigned)status >= ROW_COUNT)
        return "an error without a name";
    return rows[status].sentence;
}

/* The lower-case names are written once, before main: no lock, no second spelling in the table. */
static char names[ROW_COUNT][NAME_MAX_LEN];

__attribute__((constructor)) static void names_fill(void)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        for (size_t n = 0; rows[i].upper[n] && n + 1 < NAME_MAX_LEN; n++) {
            char c = rows[i].upper[n];
            names[i][n] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
        }
}

const char *bgw_status_name(enum bgw_status status)
{
    if ((unsigned)status >= ROW_COUNT)
        return "unknown_status";
    return names[status];
}
