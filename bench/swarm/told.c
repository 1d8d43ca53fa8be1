/* SPDX-License-Identifier: Apache-2.0 */
/*
 * told: reads updates, {"ev":"upd","u":[{"k":…,"v":…,"snap":true,"merged":…,"d":{…}},…]}, and hands
 * each entry to the checks. The load client shares its cores with what it measures, so a message is
 * read once, front to back, in the form that it usually has; whatever deviates is read by the strict
 * JSON scanner. A message that many clients are told in the same bytes is read for the first of them.
 * Invariant: what the short way takes, the strict way would have taken with the same result.
 */
#include "swarm.h"

#include "bgw/hash.h"

#include <stdlib.h>

#define MEMBERS_MAX 12 /* of `d`, on the short way */

static int account_in(const struct swarm *s, struct bgw_slice text)
{
    size_t prefix = strlen(s->opt.prefix);
    int64_t account = 0;
    if (text.len <= prefix || text.len > prefix + 9 || memcmp(text.data, s->opt.prefix, prefix) != 0)
        return -1;
    for (size_t i = prefix; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        account = account * 10 + (text.data[i] - '0');
    }
    return account < s->opt.accounts ? (int)account : -1;
}

int swarm_account(const struct swarm *s, const struct bgw_json *key)
{
    return key->type == BGW_JSON_STRING && !key->escaped ? account_in(s, key->raw) : -1;
}

uint64_t swarm_hash(struct bgw_slice key, struct bgw_slice version)
{
    uint64_t h = bgw_hash_fnv64(BGW_FNV64_INIT, key);
    h = bgw_hash_fnv64(h, BGW_SLICE("|NGN|"));
    return bgw_hash_fnv64(h, version);
}

/* ---- the strict way ---- */

static bool read_data(const struct bgw_json *d, int64_t *minor)
{
    struct bgw_json value;
    if (d->type != BGW_JSON_OBJECT || !bgw_json_member(d, "minor", &value))
        return false;
    *minor = strtoll(value.raw.data, NULL, 10); /* ends at the quote, or at what is no digit */
    return true;
}

static bool read_entry(const struct swarm *s, const struct bgw_json *entry, struct told *t)
{
    struct bgw_json name, value;
    struct bgw_slice key = {0}, version = {0};
    int64_t merged = 0;
    bool data = false;
    *t = (struct told){.account = -1};
    if (entry->type != BGW_JSON_OBJECT)
        return false;
    for (const char *cursor = NULL; bgw_json_next(entry, &cursor, &name, &value);) {
        if (bgw_slice_eq(name.raw, BGW_SLICE("k"))) {
            key = value.raw;
            t->account = swarm_account(s, &value);
        } else if (bgw_slice_eq(name.raw, BGW_SLICE("v"))) {
            version = value.raw;
        } else if (bgw_slice_eq(name.raw, BGW_SLICE("d"))) {
            data = read_data(&value, &t->minor);
        } else if (bgw_slice_eq(name.raw, BGW_SLICE("merged"))) {
            if (bgw_json_i64(&value, &merged) != BGW_OK || merged < 0)
                return false;
        } else if (bgw_slice_eq(name.raw, BGW_SLICE("snap"))) {
            t->snap = value.type == BGW_JSON_TRUE;
        }
    }
    t->merged = (uint64_t)merged;
    if (!data || t->account < 0 || !bgw_version_parse(version, &t->version))
        return false;
    t->hash = swarm_hash(key, version);
    return true;
}

void swarm_entry(struct swarm *s, struct client *c, const struct bgw_json *entry)
{
    struct told t;
    if (read_entry(s, entry, &t))
        swarm_check(s, c, &t);
    else
        swarm_wrong(s, c, "an entry that cannot be read");
}

void swarm_entries(struct swarm *s, struct client *c, const struct bgw_json *list)
{
    struct bgw_json entry;
    const char *cursor = NULL;
    if (list->type != BGW_JSON_ARRAY) {
        swarm_wrong(s, c, "an update whose `u` is no list");
        return;
    }
    while (bgw_json_next(list, &cursor, NULL, &entry))
        swarm_entry(s, c, &entry);
}

void swarm_upd(struct swarm *s, struct client *c, struct bgw_slice json)
{
    struct bgw_json root, list;
    if (swarm_usual(s, c, json))
        return;
    if (bgw_json_parse(json, &root) != BGW_OK || root.type != BGW_JSON_OBJECT || !bgw_json_member(&root, "u", &list))
        swarm_wrong(s, c, "a message that is no update");
    else
        swarm_entries(s, c, &list);
}

/* ---- the short way ---- */

struct scan {
    const char *at, *end;
};

#define IS(scan, text) is_next(scan, text, sizeof(text) - 1)

static inline bool is_next(struct scan *in, const char *text, size_t len)
{
    if ((size_t)(in->end - in->at) < len || memcmp(in->at, text, len) != 0)
        return false;
    in->at += len;
    return true;
}

/* The rest of a string, with the quote that ends it: printable ASCII and nothing escaped. */
static inline bool string_next(struct scan *in, struct bgw_slice *out)
{
    const char *from = in->at, *p = from;
    while (p < in->end && *p != '"') {
        if (*p < 0x20 || *p > 0x7e || *p == '\\')
            return false;
        p++;
    }
    if (p == in->end)
        return false;
    *out = bgw_slice_of(from, (size_t)(p - from));
    in->at = p + 1;
    return true;
}

/* A whole number, up to 18 digits, as JSON writes it. */
static inline bool number_next(struct scan *in, int64_t *out)
{
    const char *p = in->at;
    bool below = p < in->end && *p == '-';
    const char *from = p += below;
    int64_t n = 0;
    for (; p < in->end && *p >= '0' && *p <= '9' && p - from < 18; p++)
        n = n * 10 + (*p - '0');
    if (p == from || (*from == '0' && (p - from > 1 || below)))
        return false;
    *out = below ? -n : n;
    in->at = p;
    return true;
}

static bool is_new(const struct bgw_slice *names, size_t count, struct bgw_slice name)
{
    for (size_t i = 0; i < count; i++)
        if (bgw_slice_eq(names[i], name))
            return false;
    return true;
}

/* The members of `d`, behind its bracket: strings and whole numbers. */
static bool data_next(struct scan *in, int64_t *minor)
{
    struct bgw_slice names[MEMBERS_MAX], text;
    size_t count = 0;
    int64_t number;
    bool found = false;
    do {
        struct bgw_slice *name = &names[count];
        if (count == MEMBERS_MAX || !IS(in, "\"") || !string_next(in, name) || !is_new(names, count++, *name) || !IS(in, ":"))
            return false;
        bool is_minor = bgw_slice_eq(*name, BGW_SLICE("minor"));
        if (is_minor && IS(in, "\"")) {
            if (!number_next(in, minor) || !IS(in, "\""))
                return false;
        } else if (is_minor ? !number_next(in, minor) : IS(in, "\"") ? !string_next(in, &text) : !number_next(in, &number)) {
            return false;
        }
        found = found || is_minor;
    } while (IS(in, ","));
    return found && IS(in, "}");
}

static bool entry_next(const struct swarm *s, struct scan *in, struct told *t)
{
    struct bgw_slice key, version;
    int64_t merged = 0;
    if (!IS(in, "{\"k\":\"") || !string_next(in, &key) || !IS(in, ",\"v\":\"") || !string_next(in, &version))
        return false;
    t->snap = IS(in, ",\"snap\":true");
    if (IS(in, ",\"merged\":") && (!number_next(in, &merged) || merged < 0))
        return false;
    t->merged = (uint64_t)merged;
    if (!IS(in, ",\"d\":{") || !data_next(in, &t->minor) || !IS(in, "}"))
        return false;
    t->account = account_in(s, key);
    t->hash = swarm_hash(key, version);
    return t->account >= 0 && bgw_version_parse(version, &t->version);
}

static struct told_memo *memo_of(struct swarm *s, struct bgw_slice message)
{
    uint64_t a, b;
    if (message.len < 48 || message.len > TOLD_BYTES_MAX)
        return NULL;
    memcpy(&a, message.data + 24, 8); /* account and version stand somewhere here */
    memcpy(&b, message.data + 36, 8);
    return &s->memo[((a ^ (b << 1)) * (uint64_t)0x9e3779b97f4a7c15 >> 40) % TOLD_ENTRIES];
}

bool swarm_usual(struct swarm *s, struct client *c, struct bgw_slice message)
{
    struct scan in = {message.data, message.data + message.len};
    struct told_memo *m = memo_of(s, message);
    size_t count = 0;
    if (m && m->len == message.len && memcmp(m->bytes, message.data, message.len) == 0) {
        swarm_check(s, c, &m->told);
        return true;
    }
    if (!IS(&in, "{\"ev\":\"upd\",\"u\":["))
        return false;
    do {
        if (count == TOLD_ENTRIES || !entry_next(s, &in, &s->told[count++]))
            return false;
    } while (IS(&in, ","));
    if (!IS(&in, "]}") || in.at != in.end)
        return false;
    for (size_t i = 0; i < count; i++)
        swarm_check(s, c, &s->told[i]);
    if (m && count == 1) {
        m->len = (uint32_t)message.len;
        m->told = s->told[0];
        memcpy(m->bytes, message.data, message.len);
    }
    return true;
}
