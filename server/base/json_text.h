/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_text: what the check (json.c) and the walk (json_walk.c) both know of JSON's letters. For
 * these two files only; pure functions, any thread.
 */
#ifndef BGW_JSON_TEXT_H
#define BGW_JSON_TEXT_H

#include "bgw/json.h"

static inline bool bgw_json_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline int bgw_json_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* By the first letter; everything that is no word is taken for a number. */
static inline enum bgw_json_type bgw_json_scalar_type(char first)
{
    switch (first) {
    case 'n':
        return BGW_JSON_NULL;
    case 't':
        return BGW_JSON_TRUE;
    case 'f':
        return BGW_JSON_FALSE;
    default:
        return BGW_JSON_NUMBER;
    }
}

/* Orders two checked raw strings by their decoded bytes: <0, 0, >0. */
int bgw_json_compare_raw(struct bgw_slice a, struct bgw_slice b);

#endif
