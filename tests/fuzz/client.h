/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: a model client of bgw.v1 for fuzz-commands: reads the frames of one connection as a
 * stranger would, from docs/protocol.md alone, and keeps what it holds and what it is owed. One thread.
 * Invariant: it accepts whole frames of strict JSON and nothing else.
 */
#ifndef BGW_FUZZ_CLIENT_H
#define BGW_FUZZ_CLIENT_H

#include "fuzz.h"

#include "bgw/hash.h"
#include "bgw/json.h"
#include "bgw/types.h"

#define CLIENT_NAMES_MAX 64
#define CLIENT_SLOTS_MAX 96
#define CLIENT_OWED_MAX 256
#define CLIENT_TEXT_MAX 1024

/* the newest version of a slot that its shard was told, and its amount; false: no value */
typedef bool (*client_newest_fn)(struct bgw_slice key, bgw_part part, struct bgw_version *v, int64_t *minor);
/* the parts of a key that have a value: the n-th; false: there are no more */
typedef bool (*client_part_fn)(struct bgw_slice key, size_t n, bgw_part *part);

/* "A" or "A/USD", as it was subscribed */
struct client_name {
    char key[BGW_KEY_MAX];
    size_t len;
    bgw_part part; /* 0: all */
};

struct client_slot {
    struct client_name of;
    uint64_t hash; /* what it adds to the digest */
};

/* a command that has an id and no answer */
struct client_owed {
    uint64_t id;
    bool sub, changes; /* unsub and auth: what is held changes with the answer */
};

/* one connection's */
struct client {
    struct client_name names[CLIENT_NAMES_MAX];
    size_t name_count;
    struct client_slot slots[CLIENT_SLOTS_MAX];
    size_t slot_count;
    struct client_owed owed[CLIENT_OWED_MAX];
    size_t owed_count;
    struct client_name giving_up[CLIENT_NAMES_MAX]; /* by the unsub that is not answered */
    size_t giving_up_count;
    uint64_t giving_up_id;
    int64_t owed_min, owed_max, answers; /* messages that must, that may be answered */
    bool bye, lost;                      /* lost: too much for this model, digests are not judged */
    char resume[CLIENT_TEXT_MAX], version[CLIENT_TEXT_MAX], w[CLIENT_TEXT_MAX]; /* the last of each */
    client_newest_fn newest;
    client_part_fn part_of;
    bgw_part default_part;
};

static inline struct bgw_json client_member(const struct bgw_json *object, const char *name, enum bgw_json_type type)
{
    struct bgw_json value;
    FUZZ_CHECK(bgw_json_member(object, name, &value) && value.type == type);
    return value;
}

static inline uint64_t client_id(const struct bgw_json *object)
{
    struct bgw_json value = client_member(object, "id", BGW_JSON_NUMBER);
    uint64_t id;
    FUZZ_CHECK(bgw_json_u63(&value, &id) == BGW_OK);
    return id;
}

static inline void client_keep(char out[CLIENT_TEXT_MAX], struct bgw_slice text)
{
    if (text.len >= CLIENT_TEXT_MAX)
        return;
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
}

/* ---- names and slots ---- */

/* False: not of the form A or A/USD. */
static inline bool client_name_of(struct bgw_slice text, struct client_name *out)
{
    const char *slash = text.len ? memchr(text.data, '/', text.len) : NULL;
    *out = (struct client_name){.len = slash ? (size_t)(slash - text.data) : text.len};
    if (out->len > BGW_KEY_MAX || !out->len || (slash && text.len - out->len - 1 != BGW_PART_MAX))
        return false;
    memcpy(out->key, text.data, out->len);
    if (slash)
        out->part = bgw_part_of(bgw_slice_of(slash + 1, BGW_PART_MAX));
    return true;
}

static inline bool client_same(const struct client_name *a, const struct client_name *b)
{
    return a->part == b->part && a->len == b->len && memcmp(a->key, b->key, a->len) == 0;
}

static inline void client_hold(struct client *c, const struct client_name *of, uint64_t hash)
{
    size_t i = 0;
    while (i < c->slot_count && !client_same(&c->slots[i].of, of))
        i++;
    if (i == CLIENT_SLOTS_MAX) {
        c->lost = true;
        return;
    }
    if (i == c->slot_count)
        c->slots[c->slot_count++].of = *of;
    c->slots[i].hash = hash;
}

static inline uint64_t client_hash(const struct client_name *slot, struct bgw_slice version)
{
    char part[BGW_PART_MAX];
    uint64_t h = bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_of(slot->key, slot->len));
    h = bgw_hash_fnv64(h, BGW_SLICE("|"));
    h = bgw_hash_fnv64(h, bgw_slice_of(part, bgw_part_text(slot->part, part)));
    h = bgw_hash_fnv64(h, BGW_SLICE("|"));
    return bgw_hash_fnv64(h, version);
}

static inline void client_subscribed(struct client *c, const struct client_name *name)
{
    for (size_t i = 0; i < c->name_count; i++) {
        if (client_same(&c->names[i], name))
            return;
    }
    if (c->name_count == CLIENT_NAMES_MAX)
        c->lost = true;
    else
        c->names[c->name_count++] = *name;
}

static inline bool client_covered(const struct client *c, const struct client_name *slot)
{
    for (size_t i = 0; i < c->name_count; i++) {
        struct client_name name = c->names[i];
        if (!name.part)
            name.part = slot->part;
        if (client_same(&name, slot))
            return true;
    }
    return false;
}

/* `all`: every name of the key, not this one alone. */
static inline void client_gone(struct client *c, const struct client_name *name, bool all)
{
    for (size_t i = 0; i < c->name_count;) {
        struct client_name other = c->names[i];
        if (all)
            other.part = name->part;
        if (client_same(&other, name))
            c->names[i] = c->names[--c->name_count];
        else
            i++;
    }
    for (size_t i = 0; i < c->slot_count; i++) {
        if (!client_covered(c, &c->slots[i].of))
            c->slots[i].hash = 0;
    }
}

/* ---- what it is told ---- */

static inline struct client_owed client_answered(struct client *c, uint64_t id)
{
    size_t i = 0;
    while (i < c->owed_count && c->owed[i].id != id)
        i++;
    FUZZ_CHECK(i < c->owed_count || c->lost);
    if (i == c->owed_count)
        return (struct client_owed){0};
    struct client_owed o = c->owed[i];
    memmove(&c->owed[i], &c->owed[i + 1], (--c->owed_count - i) * sizeof(o));
    return o;
}

static inline bool client_waits_for_sub(const struct client *c)
{
    for (size_t i = 0; i < c->owed_count; i++) {
        if (c->owed[i].sub)
            return true;
    }
    return false;
}

static inline void client_on_current(struct client *c, const struct client_name *name)
{
    struct client_name slot = *name;
    char text[BGW_VERSION_TEXT_MAX];
    struct bgw_version v;
    int64_t minor;
    for (size_t n = 0; c->part_of(bgw_slice_of(name->key, name->len), n, &slot.part); n++) {
        if (name->part && name->part != slot.part)
            continue;
        if (c->newest(bgw_slice_of(name->key, name->len), slot.part, &v, &minor))
            client_hold(c, &slot, client_hash(&slot, bgw_slice_of(text, bgw_version_format(v, text))));
    }
}

static inline void client_on_sub(struct client *c, const struct bgw_json *root)
{
    static const char *const lists[] = {"ok", "current"};
    client_answered(c, client_id(root));
    c->answers++;
    for (int i = 0; i < 2; i++) {
        struct bgw_json list = client_member(root, lists[i], BGW_JSON_ARRAY), key;
        const char *cursor = NULL;
        while (bgw_json_next(&list, &cursor, NULL, &key)) {
            struct client_name name;
            FUZZ_CHECK(key.type == BGW_JSON_STRING && client_name_of(key.raw, &name));
            client_subscribed(c, &name);
            if (i == 1)
                client_on_current(c, &name);
        }
    }
    client_member(root, "denied", BGW_JSON_ARRAY);
}

/* A value is the newest that the shard was told, with its own amount. */
static inline void client_on_update(struct client *c, const struct bgw_json *u)
{
    struct bgw_json key = client_member(u, "k", BGW_JSON_STRING), version = client_member(u, "v", BGW_JSON_STRING);
    struct bgw_json d = client_member(u, "d", BGW_JSON_OBJECT), currency = client_member(&d, "currency", BGW_JSON_STRING);
    struct bgw_json minor = client_member(&d, "minor", BGW_JSON_STRING);
    struct client_name slot;
    struct bgw_version v, newest;
    int64_t newest_minor;
    char text[32];
    FUZZ_CHECK(client_name_of(key.raw, &slot) && currency.raw.len == BGW_PART_MAX);
    slot.part = bgw_part_of(currency.raw);
    FUZZ_CHECK(bgw_version_parse(version.raw, &v));
    FUZZ_CHECK(c->newest(key.raw, slot.part, &newest, &newest_minor));
    FUZZ_CHECK(v.seq == newest.seq && v.read == newest.read); /* the epoch may be an alias */
    snprintf(text, sizeof(text), "%lld", (long long)newest_minor);
    FUZZ_CHECK(bgw_slice_eq(minor.raw, bgw_slice_str(text)));
    FUZZ_CHECK(c->lost || client_covered(c, &slot) || client_waits_for_sub(c));
    client_hold(c, &slot, client_hash(&slot, version.raw));
    client_keep(c->version, version.raw);
}

static inline void client_on_state(struct client *c, const struct bgw_json *root)
{
    struct bgw_json keys = client_member(root, "keys", BGW_JSON_ARRAY), key;
    struct bgw_json state = client_member(root, "state", BGW_JSON_STRING);
    bool empty = bgw_json_is(&state, "removed") || bgw_json_is(&state, "unknown");
    const char *cursor = NULL;
    while (bgw_json_next(&keys, &cursor, NULL, &key)) {
        struct client_name slot;
        FUZZ_CHECK(client_name_of(key.raw, &slot));
        if (!slot.part)
            slot.part = c->default_part;
        if (empty)
            client_hold(c, &slot, 0);
    }
}

static inline void client_on_revoked(struct client *c, const struct bgw_json *root)
{
    struct bgw_json keys = client_member(root, "keys", BGW_JSON_ARRAY), key;
    const char *cursor = NULL;
    while (bgw_json_next(&keys, &cursor, NULL, &key)) {
        struct client_name name;
        FUZZ_CHECK(client_name_of(key.raw, &name));
        client_gone(c, &name, true);
    }
}

static inline void client_on_mark(struct client *c, const struct bgw_json *root)
{
    struct bgw_json digest = client_member(root, "digest", BGW_JSON_STRING), resume;
    uint64_t held = 0;
    char text[17];
    for (size_t i = 0; i < c->slot_count; i++)
        held ^= c->slots[i].hash;
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)held);
    FUZZ_CHECK(c->lost || bgw_slice_eq(digest.raw, bgw_slice_str(text)));
    client_keep(c->w, client_member(root, "w", BGW_JSON_STRING).raw);
    if (bgw_json_member(root, "resume", &resume))
        client_keep(c->resume, resume.raw);
}

static inline void client_gave_up(struct client *c, uint64_t id)
{
    if (!client_answered(c, id).changes || id != c->giving_up_id)
        return;
    for (size_t i = 0; i < c->giving_up_count; i++)
        client_gone(c, &c->giving_up[i], false);
    c->giving_up_count = 0;
}

static inline void client_on_err(struct client *c, const struct bgw_json *root)
{
    struct bgw_json code = client_member(root, "code", BGW_JSON_STRING), id;
    c->answers++;
    if (!bgw_json_member(root, "id", &id))
        return;
    if (bgw_json_is(&code, "bad_id"))
        client_gave_up(c, client_id(root)); /* an unsub: of the keys that are keys */
    else
        client_answered(c, client_id(root));
}

static inline void client_on_message(struct client *c, struct bgw_slice text)
{
    struct bgw_json root, value;
    const char *cursor = NULL;
    FUZZ_CHECK(bgw_json_parse(text, &root) == BGW_OK && root.type == BGW_JSON_OBJECT && !c->bye);
    struct bgw_json ev = client_member(&root, "ev", BGW_JSON_STRING);
    if (bgw_json_is(&ev, "upd")) {
        struct bgw_json list = client_member(&root, "u", BGW_JSON_ARRAY);
        while (bgw_json_next(&list, &cursor, NULL, &value))
            client_on_update(c, &value);
    } else if (bgw_json_is(&ev, "sub")) {
        client_on_sub(c, &root);
    } else if (bgw_json_is(&ev, "ok")) {
        c->answers++;
        client_gave_up(c, client_id(&root));
    } else if (bgw_json_is(&ev, "pong")) {
        c->answers++;
        client_answered(c, client_id(&root));
    } else if (bgw_json_is(&ev, "err")) {
        client_on_err(c, &root);
    } else if (bgw_json_is(&ev, "hello")) {
        c->answers++;
        if (bgw_json_member(&root, "resume", &value))
            client_keep(c->resume, value.raw);
    } else if (bgw_json_is(&ev, "state")) {
        client_on_state(c, &root);
    } else if (bgw_json_is(&ev, "revoked")) {
        client_on_revoked(c, &root);
    } else if (bgw_json_is(&ev, "mark")) {
        client_on_mark(c, &root);
    } else if (bgw_json_is(&ev, "bye")) {
        c->bye = true;
    } else {
        FUZZ_CHECK(bgw_json_is(&ev, "live"));
    }
}

/* Whole, unmasked, final frames: text, empty pings, and one close after bye. */
static inline void client_read(struct client *c, struct bgw_slice bytes)
{
    while (bytes.len) {
        const uint8_t *at = (const uint8_t *)bytes.data;
        FUZZ_CHECK(bytes.len >= 2 && at[0] & 0x80 && !(at[1] & 0x80));
        size_t head = at[1] == 126 ? 4 : at[1] == 127 ? 10 : 2, len = at[1] < 126 ? at[1] : 0;
        FUZZ_CHECK(bytes.len >= head);
        for (size_t i = 2; i < head; i++)
            len = len << 8 | at[i];
        FUZZ_CHECK(bytes.len - head >= len);
        if (at[0] == 0x81)
            client_on_message(c, bgw_slice_of(bytes.data + head, len));
        else
            FUZZ_CHECK(at[0] == (c->bye ? 0x88 : 0x89));
        bytes = bgw_slice_of(bytes.data + head + len, bytes.len - head - len);
    }
}

#endif
