/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf: a growable byte buffer with a stated maximum. Appending past it (or out of memory) sets
 * `failed` and appends nothing more; the caller looks once, at the end.
 */
#ifndef BGW_BUF_H
#define BGW_BUF_H

#include "bgw/slice.h"

#include <stdint.h>
#include <string.h>

struct bgw_buf {
    char *data;
    size_t len, cap, len_max;
    bool failed;
    bool starved; /* failed for want of memory, not because it was too much */
};

void bgw_buf_init(struct bgw_buf *b, size_t len_max);
void bgw_buf_deinit(struct bgw_buf *b);
void bgw_buf_clear(struct bgw_buf *b);             /* keeps the memory */
void bgw_buf_consume(struct bgw_buf *b, size_t n); /* drops the first n bytes */
void bgw_buf_append_i64(struct bgw_buf *b, int64_t v);
void bgw_buf_append_u64(struct bgw_buf *b, uint64_t v);
void bgw_buf_append_hex64(struct bgw_buf *b, uint64_t v); /* 16 digits, lower case */
/* Quoted; escapes ", \ and what is below 0x20. Does not check UTF-8. */
void bgw_buf_append_json(struct bgw_buf *b, struct bgw_slice s);
void bgw_buf_appendf(struct bgw_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *bgw_buf_grow(struct bgw_buf *b, size_t n); /* bgw_buf_reserve when there is no room yet */

/* Room for n more bytes, NULL if refused; the caller fills it and adds to len. */
static inline char *bgw_buf_reserve(struct bgw_buf *b, size_t n)
{
    if (!b->failed && b->data && n <= b->cap - b->len) /* cap <= len_max */
        return b->data + b->len;
    return bgw_buf_grow(b, n);
}

/* What is sent is put together of many short pieces: these are inline. */
static inline void bgw_buf_append(struct bgw_buf *b, struct bgw_slice s)
{
    char *to = s.len ? bgw_buf_reserve(b, s.len) : NULL;
    if (!to)
        return;
    memcpy(to, s.data, s.len);
    b->len += s.len;
}

static inline void bgw_buf_append_str(struct bgw_buf *b, const char *text)
{
    bgw_buf_append(b, bgw_slice_str(text));
}

static inline void bgw_buf_append_byte(struct bgw_buf *b, char c)
{
    char *to = bgw_buf_reserve(b, 1);
    if (!to)
        return;
    *to = c;
    b->len++;
}

static inline struct bgw_slice bgw_buf_slice(const struct bgw_buf *b)
{
    return (struct bgw_slice){b->data, b->len};
}

#endif
