/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice: a borrowed run of bytes. Never NUL-terminated, never owned. Passed by value.
 */
#ifndef BGW_SLICE_H
#define BGW_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct bgw_slice {
    const char *data;
    size_t len;
};

#define BGW_SLICE(lit) ((struct bgw_slice){(lit), sizeof(lit) - 1})

static inline struct bgw_slice bgw_slice_of(const char *data, size_t len)
{
    return (struct bgw_slice){data, len};
}

static inline struct bgw_slice bgw_slice_str(const char *text)
{
    return (struct bgw_slice){text, text ? strlen(text) : 0};
}

static inline bool bgw_slice_eq(struct bgw_slice a, struct bgw_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#endif
