/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: a strict pull scanner over borrowed bytes, for everything that strangers send: records,
 * claims, commands. No allocation. Rejects duplicate members of an object it walks, trailing
 * bytes, invalid UTF-8 and escapes, lone surrogates, raw control characters, depth over 16.
 * Numbers stay raw tokens: money never passes through a double.
 */
#ifndef BGW_JSON_H
#define BGW_JSON_H

#include "bgw/slice.h"
#include "bgw/status.h"

#include <stdint.h>

#define BGW_JSON_DEPTH_MAX 16
/* Members of one object and those around it: `since` names up to 1,000 keys. */
#define BGW_JSON_MEMBERS_MAX 1100

enum bgw_json_type {
    BGW_JSON_NULL,
    BGW_JSON_TRUE,
    BGW_JSON_FALSE,
    BGW_JSON_NUMBER,
    BGW_JSON_STRING,
    BGW_JSON_ARRAY,
    BGW_JSON_OBJECT,
};

/* a value inside a text that has been checked whole; borrows the text */
struct bgw_json {
    enum bgw_json_type type;
    bool escaped;         /* a string that holds backslashes */
    struct bgw_slice raw; /* the token; for strings what stands between the quotes */
};

/* Checks the whole text: one value, nothing around it but white space, no duplicates in any object.
 * BGW_BAD_UTF8, BGW_BAD_JSON, BGW_DUPLICATE (names are compared decoded), BGW_TOO_DEEP,
 * BGW_TOO_LARGE (too many members). */
BGW_MUST_CHECK enum bgw_status bgw_json_parse(struct bgw_slice text, struct bgw_json *root);

#define BGW_JSON_WANTED_MAX 32 /* names of a table */

/* which members of the outermost object are looked for, and what was found; `at[i]` says something where bit i of `seen` is set */
struct bgw_json_members {
    const struct bgw_slice *names; /* literals: a NUL follows */
    size_t count;
    struct bgw_json *at;
    unsigned seen;
};
/* The same check, and the members are found on the way: a second walk costs as much as the check. Of use only with BGW_OK; a text that
 * is no object has none. */
BGW_MUST_CHECK enum bgw_status bgw_json_parse_members(struct bgw_slice text, struct bgw_json *root,
                                                      struct bgw_json_members *wanted);

/* Walks an object or array: *cursor starts at NULL. False at the end. Names are raw strings, to be
 * compared with bgw_json_is; in an array `name` may be NULL and is left alone. One walk is linear,
 * a look-up a member is not. */
bool bgw_json_next(const struct bgw_json *container, const char **cursor, struct bgw_json *name,
                   struct bgw_json *value);
/* Looks one member up; false if the object has none. */
bool bgw_json_member(const struct bgw_json *object, const char *name, struct bgw_json *value);
/* Exact integers from the raw token: BGW_BAD_NUMBER for fractions, exponents, -0, anything not a
 * number; BGW_OUT_OF_RANGE. */
BGW_MUST_CHECK enum bgw_status bgw_json_i64(const struct bgw_json *value, int64_t *out);
BGW_MUST_CHECK enum bgw_status bgw_json_u63(const struct bgw_json *value, uint64_t *out);
/* Decodes a string into caller's storage; BGW_TOO_LARGE if it does not fit, BGW_BAD_JSON if not a
 * string. NUL inside is BGW_BAD_JSON. */
BGW_MUST_CHECK enum bgw_status bgw_json_string(const struct bgw_json *value, char *out, size_t cap,
                                               size_t *len);
/* True if value is a string that equals `text` after decoding. */
bool bgw_json_is(const struct bgw_json *value, const char *text);
/* True if the bytes are well-formed UTF-8 (no surrogates, no overlong forms). */
bool bgw_utf8_valid(struct bgw_slice bytes);

#endif
