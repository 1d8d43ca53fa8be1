/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_walk: looks into a text that bgw_json_parse has accepted: members, elements, exact integers,
 * decoded strings. Hides that nothing was ever built: a value is a run of the text. Any thread; it
 * trusts the check and asserts nothing about grammar again, but never reads past the container.
 */
#include "bgw/json.h"

#include "bgw/assert.h"
#include "json_text.h"

/* one call's: a checked raw string, decoded a byte at a time */
struct decoder {
    const char *at, *end;
    unsigned char rest[4]; /* of a character that was escaped: what is still to come, last first */
    int rest_count;
};

static uint32_t decode_hex4(struct decoder *d)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v * 16 + (uint32_t)bgw_json_hex_digit(*d->at++);
    return v;
}

/* Puts the UTF-8 of `c` into rest, backwards. */
static void push_utf8(struct decoder *d, uint32_t c)
{
    int n = 0;
    if (c < 0x80) {
        d->rest[n++] = (unsigned char)c;
    } else {
        uint32_t lead = c < 0x800 ? 0xc0 : c < 0x10000 ? 0xe0 : 0xf0;
        int tails = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        for (; n < tails; c >>= 6)
            d->rest[n++] = (unsigned char)(0x80 | (c & 0x3f));
        d->rest[n++] = (unsigned char)(lead | c);
    }
    d->rest_count = n;
}

static void decode_escape(struct decoder *d)
{
    static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
    char c = *d->at++;
    const char *letter = strchr(letters, c);
    if (c != 'u') {
        push_utf8(d, (unsigned char)(letter ? meant[letter - letters] : c));
        return;
    }
    uint32_t unit = decode_hex4(d);
    if (unit >= 0xd800 && unit <= 0xdbff) {
        d->at += 2; /* the \u of the pair's other half */
        unit = 0x10000 + ((unit - 0xd800) << 10) + (decode_hex4(d) - 0xdc00);
    }
    push_utf8(d, unit);
}

/* The next decoded byte, or -1. */
static int decode_byte(struct decoder *d)
{
    if (d->rest_count == 0) {
        if (d->at == d->end)
            return -1;
        if (*d->at != '\\')
            return (unsigned char)*d->at++;
        d->at++;
        decode_escape(d);
    }
    return d->rest[--d->rest_count];
}

static struct decoder decoder_of(struct bgw_slice raw)
{
    return (struct decoder){.at = raw.data, .end = raw.data + raw.len};
}

int bgw_json_compare_raw(struct bgw_slice a, struct bgw_slice b)
{
    size_t same = 0; /* most names hold no escapes, and accounts share long beginnings */
    while (same < a.len && same < b.len && a.data[same] == b.data[same] && a.data[same] != '\\')
        same++;
    if (same < a.len && same < b.len && a.data[same] != '\\' && b.data[same] != '\\')
        return (unsigned char)a.data[same] < (unsigned char)b.data[same] ? -1 : 1;
    struct decoder da = decoder_of(bgw_slice_of(a.data + same, a.len - same));
    struct decoder db = decoder_of(bgw_slice_of(b.data + same, b.len - same));
    for (;;) {
        int ca = decode_byte(&da), cb = decode_byte(&db);
        if (ca != cb)
            return ca < cb ? -1 : 1;
        if (ca < 0)
            return 0;
    }
}

/* Behind the opening quote to behind the closing one. */
static const char *skip_string(const char *p, bool *escaped)
{
    *escaped = false;
    for (; *p != '"'; p++)
        if (*p == '\\') {
            *escaped = true;
            p++;
        }
    return p + 1;
}

static const char *skip_container(const char *p)
{
    int depth = 0;
    bool escaped;
    do {
        char c = *p++;
        if (c == '"')
            p = skip_string(p, &escaped);
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
    } while (depth > 0);
    return p;
}

static const char *read_value(const char *p, struct bgw_json *v)
{
    const char *start = p;
    v->escaped = false;
    if (*p == '"') {
        v->type = BGW_JSON_STRING;
        p = skip_string(p + 1, &v->escaped);
        v->raw = bgw_slice_of(start + 1, (size_t)(p - start) - 2);
        return p;
    }
    if (*p == '{' || *p == '[') {
        v->type = *p == '{' ? BGW_JSON_OBJECT : BGW_JSON_ARRAY;
        p = skip_container(p);
    } else {
        v->type = bgw_json_scalar_type(*p);
        while (*p != ',' && *p != '}' && *p != ']' && !bgw_json_is_space(*p))
            p++;
    }
    v->raw = bgw_slice_of(start, (size_t)(p - start));
    return p;
}

/* White space and the one separator that may stand before the next item. */
static const char *skip_to_item(const char *p)
{
    while (bgw_json_is_space(*p) || *p == ',' || *p == ':')
        p++;
    return p;
}

bool bgw_json_next(const struct bgw_json *container, const char **cursor, struct bgw_json *name,
                   struct bgw_json *value)
{
    bool object = container->type == BGW_JSON_OBJECT;
    BGW_ASSERT(object || container->type == BGW_JSON_ARRAY);
    const char *last = container->raw.data + container->raw.len - 1; /* the closing bracket */
    const char *p = skip_to_item(*cursor ? *cursor : container->raw.data + 1);
    if (p == last)
        return false;
    if (object)
        p = skip_to_item(read_value(p, name));
    *cursor = read_value(p, value);
    return true;
}

bool bgw_json_member(const struct bgw_json *object, const char *name, struct bgw_json *value)
{
    struct bgw_json member;
    const char *cursor = NULL;
    if (object->type != BGW_JSON_OBJECT)
        return false;
    while (bgw_json_next(object, &cursor, &member, value))
        if (bgw_json_is(&member, name))
            return true;
    return false;
}

bool bgw_json_is(const struct bgw_json *value, const char *text)
{
    if (value->type != BGW_JSON_STRING)
        return false;
    if (!value->escaped)
        return bgw_slice_eq(value->raw, bgw_slice_str(text));
    struct decoder d = decoder_of(value->raw);
    for (;; text++) {
        int c = decode_byte(&d);
        if (c < 0)
            return *text == '\0';
        if (c == 0 || c != (unsigned char)*text)
            return false; /* an escaped NUL equals no C string, not even its end */
    }
}

#define DIGITS_THAT_FIT 18 /* any so many: 10^18 is less than 2^63 */

/* Nothing is decided when it is false. */
static bool read_short(struct bgw_slice digits, uint64_t *out)
{
    uint64_t v = 0;
    if (digits.len > DIGITS_THAT_FIT)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        unsigned digit = (unsigned)(unsigned char)digits.data[i] - '0';
        if (digit > 9)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

/* The amount of a plain decimal token; `max` is 2^63 - 1 at least. */
static enum bgw_status read_digits(struct bgw_slice digits, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    bool fits = true;
    if (digits.len == 0 || (digits.len > 1 && digits.data[0] == '0'))
        return BGW_BAD_NUMBER;
    if (read_short(digits, out))
        return BGW_OK;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return BGW_BAD_NUMBER; /* a fraction or an exponent, however large the rest */
        uint64_t digit = (uint64_t)(digits.data[i] - '0');
        fits = fits && v <= (max - digit) / 10;
        if (fits)
            v = v * 10 + digit;
    }
    *out = v;
    return fits ? BGW_OK : BGW_OUT_OF_RANGE;
}

enum bgw_status bgw_json_i64(const struct bgw_json *value, int64_t *out)
{
    uint64_t amount;
    struct bgw_slice digits = value->raw;
    if (value->type != BGW_JSON_NUMBER)
        return BGW_BAD_NUMBER;
    bool negative = digits.len > 0 && digits.data[0] == '-';
    if (negative)
        digits = bgw_slice_of(digits.data + 1, digits.len - 1);
    enum bgw_status status = read_digits(digits, (uint64_t)INT64_MAX + (negative ? 1 : 0), &amount);
    if (status != BGW_OK)
        return status;
    if (negative && amount == 0)
        return BGW_BAD_NUMBER; /* -0 is no integer that a ledger writes */
    *out =
        !negative ? (int64_t)amount : -(int64_t)(amount - 1) - 1; /* -2^63 has no positive twin */
    return BGW_OK;
}

enum bgw_status bgw_json_u63(const struct bgw_json *value, uint64_t *out)
{
    int64_t v;
    enum bgw_status status = bgw_json_i64(value, &v);
    if (status != BGW_OK)
        return status;
    if (v < 0)
        return BGW_OUT_OF_RANGE;
    *out = (uint64_t)v;
    return BGW_OK;
}

enum bgw_status bgw_json_string(const struct bgw_json *value, char *out, size_t cap, size_t *len)
{
    size_t n = 0;
    if (value->type != BGW_JSON_STRING)
        return BGW_BAD_JSON;
    if (!value->escaped) { /* and so without a NUL, which the check refuses */
        if (value->raw.len > cap)
            return BGW_TOO_LARGE;
        if (value->raw.len)
            memcpy(out, value->raw.data, value->raw.len);
        *len = value->raw.len;
        return BGW_OK;
    }
    struct decoder d = decoder_of(value->raw);
    for (int c; (c = decode_byte(&d)) >= 0; n++) {
        if (c == 0)
            return BGW_BAD_JSON;
        if (n == cap)
            return BGW_TOO_LARGE;
        out[n] = (char)c;
    }
    *len = n;
    return BGW_OK;
}
