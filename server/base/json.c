/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: the check of a whole text, before anybody looks into it. Hides the grammar and the search
 * for duplicate names. Called on the hub, shard and wire threads with bytes from strangers; no
 * allocation, and the stack it uses is fixed. Invariant: a text that passed can be walked
 * (json_walk.c) without a second check. Everything below works on the whole text's one `struct
 * scan`.
 */
#include "bgw/json.h"

#include "bgw/assert.h"
#include "json_text.h"

#include <endian.h>

#define FEW_NAMES 16 /* of an object: each is compared with those before it */

/* a byte in each of a word's eight */
#define EACH(byte) (0x0101010101010101ULL * (byte))

/* one call's */
struct scan {
    const char *at, *end;
    struct bgw_json_members *wanted; /* of the outermost object; NULL: none */
    size_t name_count;               /* of all objects that are open */
    bool name_escaped;               /* some name so far holds a backslash */
    struct bgw_slice names[BGW_JSON_MEMBERS_MAX];
};

static enum bgw_status scan_value(struct scan *s, int depth, struct bgw_json *out);

static inline void skip_space(struct scan *s)
{
    while (s->at < s->end && (unsigned char)*s->at <= ' ' && bgw_json_is_space(*s->at))
        s->at++;
}

static bool take(struct scan *s, char c)
{
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool take_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return false;
    s->at += len;
    return true;
}

static bool take_digits(struct scan *s)
{
    const char *start = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > start;
}

static bool take_number(struct scan *s)
{
    take(s, '-');
    if (!take(s, '0') && !take_digits(s))
        return false;
    if (take(s, '.') && !take_digits(s))
        return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            take(s, '-');
        if (!take_digits(s))
            return false;
    }
    /* "01" stops after its zero; what follows is then no separator, which the caller refuses */
    return true;
}

/* Four hex digits at s->at, or -1. */
static int32_t take_hex4(struct scan *s)
{
    int32_t v = 0;
    if (s->end - s->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = bgw_json_hex_digit(*s->at++);
        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

/* What follows a backslash. A surrogate must come as a pair. */
static bool take_escape(struct scan *s)
{
    if (s->at == s->end)
        return false;
    char c = *s->at++;
    if (c != 'u')
        return c != '\0' && strchr("\"\\/bfnrt", c);
    int32_t unit = take_hex4(s);
    if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff))
        return false;
    if (unit < 0xd800 || unit > 0xdbff)
        return true;
    if (!take(s, '\\') || !take(s, 'u'))
        return false;
    int32_t low = take_hex4(s);
    return low >= 0xdc00 && low <= 0xdfff;
}

static inline bool ends_run(unsigned char c)
{
    return c == '"' || c == '\\' || c < 0x20;
}

/* To the first byte that is a quote, a backslash or a control character. */
static inline const char *skip_run(const char *p, const char *end)
{
    for (uint64_t word; end - p >= (ptrdiff_t)sizeof(word); p += sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        word = le64toh(word);
        uint64_t quote = word ^ EACH('"'), backslash = word ^ EACH('\\');
        /* a byte below what is taken from it borrows; whatever a borrow spoils lies behind the byte that is looked for */
        uint64_t found = ((quote - EACH(1)) & ~quote) | ((backslash - EACH(1)) & ~backslash) | ((word - EACH(0x20)) & ~word);
        found &= EACH(0x80);
        if (found)
            return p + __builtin_ctzll(found) / 8;
    }
    while (p < end && !ends_run((unsigned char)*p))
        p++;
    return p;
}

/* Behind the opening quote. */
static bool take_string(struct scan *s, struct bgw_json *out)
{
    const char *start = s->at;
    out->type = BGW_JSON_STRING;
    out->escaped = false;
    while ((s->at = skip_run(s->at, s->end)) < s->end) {
        char c = *s->at++;
        if (c == '"') {
            out->raw = bgw_slice_of(start, (size_t)(s->at - 1 - start));
            return true;
        }
        if (c != '\\')
            return false;
        out->escaped = true;
        if (!take_escape(s))
            return false;
    }
    return false;
}

/* Shell sort by decoded text: no memory, no recursion, and fast enough for the maximum. */
static void sort_names(struct bgw_slice *names, size_t count)
{
    static const size_t gaps[] = {701, 301, 132, 57, 23, 10, 4, 1}; /* Ciura's */
    for (size_t g = 0; g < sizeof(gaps) / sizeof(*gaps); g++)
        for (size_t gap = gaps[g], i = gap; i < count; i++) {
            struct bgw_slice moving = names[i];
            size_t j = i;
            for (; j >= gap && bgw_json_compare_raw(names[j - gap], moving) > 0; j -= gap)
                names[j] = names[j - gap];
            names[j] = moving;
        }
}

/* Names as they are written, without backslashes. */
static bool has_plain_duplicate(const struct bgw_slice *names, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (bgw_slice_eq(names[i], names[j]))
                return true;
    return false;
}

static bool has_duplicate(const struct scan *s, struct bgw_slice *names, size_t count)
{
    if (count <= FEW_NAMES && !s->name_escaped)
        return has_plain_duplicate(names, count);
    sort_names(names, count);
    for (size_t i = 1; i < count; i++)
        if (bgw_json_compare_raw(names[i - 1], names[i]) == 0)
            return true;
    return false;
}

/* The table's row of this name, or its end. */
static size_t find_wanted(const struct bgw_json_members *m, const struct bgw_json *name)
{
    size_t i = 0;
    if (name->escaped) {
        while (i < m->count && !bgw_json_is(name, m->names[i].data))
            i++;
        return i;
    }
    while (i < m->count && (m->names[i].len != name->raw.len || memcmp(m->names[i].data, name->raw.data, name->raw.len) != 0))
        i++;
    return i;
}

static void note_member(struct bgw_json_members *m, const struct bgw_json *name, const struct bgw_json *value)
{
    size_t i = find_wanted(m, name);
    if (i == m->count)
        return;
    m->at[i] = *value;
    m->seen |= 1u << i;
}

static enum bgw_status scan_member(struct scan *s, int depth)
{
    struct bgw_json name, value;
    skip_space(s);
    if (!take(s, '"') || !take_string(s, &name))
        return BGW_BAD_JSON;
    if (s->name_count == BGW_JSON_MEMBERS_MAX)
        return BGW_TOO_LARGE;
    s->names[s->name_count++] = name.raw;
    s->name_escaped |= name.escaped;
    skip_space(s);
    if (!take(s, ':'))
        return BGW_BAD_JSON;
    enum bgw_status status = scan_value(s, depth, &value);
    if (status == BGW_OK && depth == 1 && s->wanted)
        note_member(s->wanted, &name, &value);
    return status;
}

static enum bgw_status scan_element(struct scan *s, int depth)
{
    struct bgw_json value;
    return scan_value(s, depth, &value);
}

/* Behind the opening bracket, up to and with the closing one. */
static enum bgw_status scan_list(struct scan *s, int depth, char close,
                                 enum bgw_status (*item)(struct scan *, int))
{
    skip_space(s);
    if (take(s, close))
        return BGW_OK;
    for (;;) {
        enum bgw_status status = item(s, depth);
        if (status != BGW_OK)
            return status;
        skip_space(s);
        if (take(s, close))
            return BGW_OK;
        if (!take(s, ','))
            return BGW_BAD_JSON;
    }
}

static enum bgw_status scan_object(struct scan *s, int depth)
{
    size_t first = s->name_count;
    enum bgw_status status = scan_list(s, depth, '}', scan_member);
    if (status == BGW_OK && has_duplicate(s, s->names + first, s->name_count - first))
        status = BGW_DUPLICATE;
    s->name_count = first;
    return status;
}

static enum bgw_status scan_container(struct scan *s, int depth, struct bgw_json *out)
{
    if (depth == BGW_JSON_DEPTH_MAX)
        return BGW_TOO_DEEP;
    const char *start = s->at;
    bool object = *s->at++ == '{';
    enum bgw_status status =
        object ? scan_object(s, depth + 1) : scan_list(s, depth + 1, ']', scan_element);
    out->type = object ? BGW_JSON_OBJECT : BGW_JSON_ARRAY;
    out->raw = bgw_slice_of(start, (size_t)(s->at - start));
    return status;
}

static enum bgw_status scan_scalar(struct scan *s, struct bgw_json *out)
{
    const char *start = s->at;
    bool good;
    out->type = bgw_json_scalar_type(*s->at);
    switch (out->type) {
    case BGW_JSON_NULL:
        good = take_word(s, "null");
        break;
    case BGW_JSON_TRUE:
        good = take_word(s, "true");
        break;
    case BGW_JSON_FALSE:
        good = take_word(s, "false");
        break;
    default:
        good = take_number(s);
        break;
    }
    out->raw = bgw_slice_of(start, (size_t)(s->at - start));
    return good ? BGW_OK : BGW_BAD_JSON;
}

static enum bgw_status scan_value(struct scan *s, int depth, struct bgw_json *out)
{
    skip_space(s);
    if (s->at == s->end)
        return BGW_BAD_JSON;
    out->escaped = false;
    if (*s->at == '{' || *s->at == '[')
        return scan_container(s, depth, out);
    if (take(s, '"'))
        return take_string(s, out) ? BGW_OK : BGW_BAD_JSON;
    return scan_scalar(s, out);
}

static enum bgw_status scan_text(struct bgw_slice text, struct bgw_json *root, struct bgw_json_members *wanted)
{
    struct scan s; /* the names are not cleared: 17 KiB a record would cost more than the scan */
    if (text.len == 0)
        return BGW_BAD_JSON;
    if (!bgw_utf8_valid(text))
        return BGW_BAD_UTF8;
    s.at = text.data;
    s.end = text.data + text.len;
    s.wanted = wanted;
    s.name_count = 0;
    s.name_escaped = false;
    enum bgw_status status = scan_value(&s, 0, root);
    if (status != BGW_OK)
        return status;
    skip_space(&s);
    return s.at == s.end ? BGW_OK : BGW_BAD_JSON;
}

enum bgw_status bgw_json_parse(struct bgw_slice text, struct bgw_json *root)
{
    return scan_text(text, root, NULL);
}

enum bgw_status bgw_json_parse_members(struct bgw_slice text, struct bgw_json *root, struct bgw_json_members *wanted)
{
    BGW_ASSERT(wanted->count <= BGW_JSON_WANTED_MAX);
    wanted->seen = 0;
    return scan_text(text, root, wanted);
}
