/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz: what the libFuzzer targets share: taking an input apart, feeding it in pieces, and saying
 * which property broke. One thread. Invariant: a target's verdict depends on its input alone, so a
 * reproducer is one file.
 */
#ifndef BGW_FUZZ_H
#define BGW_FUZZ_H

#include "bgw/slice.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* A property of this target: what does not hold ends the run, and libFuzzer keeps the input. */
#define FUZZ_CHECK(expr)                                                                           \
    ((expr) ? (void)0                                                                              \
            : (fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #expr), abort()))

/* ---- the input ---- */

struct fuzz_in {
    const uint8_t *at;
    size_t left;
};

/* 0 behind the end: short inputs are inputs too. */
static inline uint32_t fuzz_take(struct fuzz_in *in, int bytes)
{
    uint32_t v = 0;
    for (; bytes && in->left; bytes--, in->left--)
        v = v << 8 | *in->at++;
    return v;
}

static inline struct bgw_slice fuzz_take_slice(struct fuzz_in *in, size_t len)
{
    len = len < in->left ? len : in->left;
    struct bgw_slice s = {(const char *)in->at, len};
    in->at += len;
    in->left -= len;
    return s;
}

static inline struct bgw_slice fuzz_rest(struct fuzz_in *in)
{
    return fuzz_take_slice(in, in->left);
}

/* Up to and without `end`, which is taken too; the rest if there is none. */
static inline struct bgw_slice fuzz_until(struct fuzz_in *in, char end)
{
    const uint8_t *stop = in->left ? memchr(in->at, end, in->left) : NULL;
    struct bgw_slice s = fuzz_take_slice(in, stop ? (size_t)(stop - in->at) : in->left);
    if (stop)
        fuzz_take(in, 1);
    return s;
}

/* ---- pieces ---- */

/* How long the next piece is, 1 to `left`. *seed 0: byte by byte; else pieces of all sizes. */
static inline size_t fuzz_piece(uint32_t *seed, size_t left)
{
    if (*seed == 0 || left < 2)
        return left ? 1 : 0;
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    size_t most = (*seed & 7) == 0 ? left : (*seed & 7) < 4 ? 4 : 64;
    return 1 + (*seed >> 3) % (most < left ? most : left);
}

/* A copy of exactly this size, so that a read past its end is seen. The caller frees it. */
static inline char *fuzz_copy(struct bgw_slice s)
{
    char *copy = malloc(s.len ? s.len : 1);
    if (!copy)
        abort();
    if (s.len)
        memcpy(copy, s.data, s.len);
    return copy;
}

/* ---- edits ---- */

/* Changes text[0 .. *len) as the input says, until it ends: four bytes an edit. What was signed is
 * reached so from every side, though no fuzzer can sign. */
static inline void fuzz_edit(struct fuzz_in *in, char *text, size_t *len, size_t cap)
{
    while (in->left >= 4) {
        uint32_t op = fuzz_take(in, 1);
        size_t at = fuzz_take(in, 2) % (*len + 1);
        char byte = (char)fuzz_take(in, 1);
        if (op % 4 == 0 && at < *len) {
            text[at] = byte;
        } else if (op % 4 == 1 && at < *len) {
            text[at] = (char)(text[at] ^ (1 << (byte & 7)));
        } else if (op % 4 == 2 && *len < cap) {
            memmove(text + at + 1, text + at, (*len)++ - at);
            text[at] = byte;
        } else if (op % 4 == 3) {
            size_t cut = *len - at < (unsigned char)byte ? *len - at : (unsigned char)byte;
            memmove(text + at, text + at + cut, *len - at - cut);
            *len -= cut;
        }
    }
}

#endif
