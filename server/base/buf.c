/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf: a byte buffer that grows by doubling up to its stated maximum. Hides the growth; called by
 * whoever builds text, on one thread at a time. Invariant: once `failed` is set nothing is appended
 * until the buffer is cleared, so a text is either whole or known to be cut.
 */
#include "bgw/buf.h"

#include "bgw/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CAPACITY_MIN 64

void bgw_buf_init(struct bgw_buf *b, size_t len_max)
{
    *b = (struct bgw_buf){.len_max = len_max};
}

void bgw_buf_deinit(struct bgw_buf *b)
{
    free(b->data);
    *b = (struct bgw_buf){.len_max = b->len_max};
}

void bgw_buf_clear(struct bgw_buf *b)
{
    b->len = 0;
    b->failed = b->starved = false;
}

void bgw_buf_consume(struct bgw_buf *b, size_t n)
{
    BGW_ASSERT(n <= b->len);
    b->len -= n;
    if (n && b->len)
        memmove(b->data, b->data + n, b->len);
}

static bool grow(struct bgw_buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap : CAPACITY_MIN;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > b->len_max)
        cap = b->len_max;
    char *data = realloc(b->data, cap);
    if (!data)
        return false;
    b->data = data;
    b->cap = cap;
    return true;
}

char *bgw_buf_grow(struct bgw_buf *b, size_t n)
{
    if (b->failed)
        return NULL;
    /* n = 0 on a fresh buffer still gets a pointer, so that NULL always means refused */
    if (n > b->len_max - b->len) {
        b->failed = true;
        return NULL;
    }
    if ((n > b->cap - b->len || !b->data) && !grow(b, b->len + n)) {
        b->failed = b->starved = true;
        return NULL;
    }
    return b->data + b->len;
}

static const char two_digits[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748"
                                 "49505152535455565758596061626364656667686970717273747576777879808182838485868788899091929394959697"
                                 "9899";

void bgw_buf_append_u64(struct bgw_buf *b, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    for (; v >= 100; v /= 100)
        memcpy(digits + (at -= 2), two_digits + 2 * (v % 100), 2);
    if (v >= 10)
        memcpy(digits + (at -= 2), two_digits + 2 * v, 2);
    else
        digits[--at] = (char)('0' + v);
    bgw_buf_append(b, bgw_slice_of(digits + at, sizeof(digits) - at));
}

void bgw_buf_append_i64(struct bgw_buf *b, int64_t v)
{
    if (v >= 0) {
        bgw_buf_append_u64(b, (uint64_t)v);
        return;
    }
    char text[20]; /* a sign and at most 19 digits */
    size_t at = sizeof(text);
    for (uint64_t rest = 0 - (uint64_t)v; rest;
         rest /= 10) /* unsigned, so that -2^63 has its amount */
        text[--at] = (char)('0' + rest % 10);
    text[--at] = '-';
    bgw_buf_append(b, bgw_slice_of(text + at, sizeof(text) - at));
}

void bgw_buf_append_hex64(struct bgw_buf *b, uint64_t v)
{
    char digits[16];
    for (size_t i = 0; i < sizeof(digits); i++)
        digits[i] = "0123456789abcdef"[v >> (60 - 4 * i) & 15];
    bgw_buf_append(b, bgw_slice_of(digits, sizeof(digits)));
}

static void append_escape(struct bgw_buf *b, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    if (c == '"' || c == '\\') {
        const char two[] = {'\\', (char)c};
        bgw_buf_append(b, bgw_slice_of(two, sizeof(two)));
    } else if (c < sizeof(shorts) && shorts[c]) {
        const char two[] = {'\\', shorts[c]};
        bgw_buf_append(b, bgw_slice_of(two, sizeof(two)));
    } else {
        const char six[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        bgw_buf_append(b, bgw_slice_of(six, sizeof(six)));
    }
}

void bgw_buf_append_json(struct bgw_buf *b, struct bgw_slice s)
{
    size_t start = 0;
    bgw_buf_append_byte(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        bgw_buf_append(b, bgw_slice_of(s.data + start, i - start));
        append_escape(b, c);
        start = i + 1;
    }
    if (start < s.len)
        bgw_buf_append(b, bgw_slice_of(s.data + start, s.len - start));
    bgw_buf_append_byte(b, '"');
}

void bgw_buf_appendf(struct bgw_buf *b, const char *fmt, ...)
{
    char small[256];
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof(small), fmt, args);
    BGW_ASSERT(n >= 0);
    if ((size_t)n < sizeof(small)) {
        bgw_buf_append(b, bgw_slice_of(small, (size_t)n));
    } else {
        /* vsnprintf wants room for its NUL: one more than len_max counts is refused, not cut */
        char *to = bgw_buf_reserve(b, (size_t)n + 1);
        if (to) {
            vsnprintf(to, (size_t)n + 1, fmt, again);
            b->len += (size_t)n;
        }
    }
    va_end(again);
    va_end(args);
}
