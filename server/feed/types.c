/* SPDX-License-Identifier: Apache-2.0 */
/*
 * types: the text of versions, epochs, states and reasons. Hides how an epoch is packed into an
 * integer. Pure functions, any thread. Invariant: format and parse are inverse, so a version that
 * a client presents compares as the one it was sent.
 */
#include "bgw/types.h"

#include "bgw/assert.h"
#include "bgw/hash.h"

#define EPOCH_DERIVED_LEN 6 /* 36^6: two topics in two thousand million share one */

const char *bgw_slot_state_text(enum bgw_slot_state s)
{
    switch (s) {
    case BGW_STATE_FRESH:
        return "fresh";
    case BGW_STATE_DELAYED:
        return "delayed";
    case BGW_STATE_STALE:
        return "stale";
    case BGW_STATE_UNKNOWN:
        return "unknown";
    case BGW_STATE_REMOVED:
        return "removed";
    }
    bgw_assert_fail("a slot state", __FILE__, __LINE__);
}

const char *bgw_reason_text(enum bgw_state_reason r)
{
    switch (r) {
    case BGW_REASON_NONE:
        return "";
    case BGW_REASON_NO_SUCH_KEY:
        return "no_such_key";
    case BGW_REASON_SOURCE_UNAVAILABLE:
        return "source_unavailable";
    case BGW_REASON_SOURCE_LAGGING:
        return "source_lagging";
    case BGW_REASON_UNREADABLE_RECORD:
        return "unreadable_record";
    case BGW_REASON_NEW_EPOCH:
        return "new_epoch";
    case BGW_REASON_BEHIND_CLIENT:
        return "behind_client";
    case BGW_REASON_REREAD:
        return "reread";
    case BGW_REASON_SHED:
        return "shed";
    }
    bgw_assert_fail("a state reason", __FILE__, __LINE__);
}

/* ---- versions ---- */

int bgw_version_compare(struct bgw_version a, struct bgw_version b)
{
    BGW_ASSERT(a.epoch == b.epoch);
    if (a.seq != b.seq)
        return a.seq < b.seq ? -1 : 1;
    if (a.read != b.read)
        return a.read < b.read ? -1 : 1;
    return 0;
}

bool bgw_version_equal(struct bgw_version a, struct bgw_version b)
{
    return a.epoch == b.epoch && a.seq == b.seq && a.read == b.read;
}

static size_t put_u64(char *out, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    memcpy(out, digits + at, sizeof(digits) - at);
    return sizeof(digits) - at;
}

size_t bgw_version_format(struct bgw_version v, char out[BGW_VERSION_TEXT_MAX])
{
    size_t n = bgw_epoch_format(v.epoch, out);
    out[n++] = '.';
    n += put_u64(out + n, v.seq);
    if (v.read) {
        out[n++] = '.';
        n += put_u64(out + n, v.read);
    }
    out[n] = '\0';
    return n;
}

/* The number that fills all of `s`: no sign, no leading zero, 63 bits. */
static bool parse_u63(struct bgw_slice s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.len == 0 || s.len > 19 || (s.len > 1 && s.data[0] == '0'))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(s.data[i] - '0'); /* 19 digits fit 64 bits */
    }
    *out = v;
    return v <= INT64_MAX;
}

/* What stands before the next dot; `rest` is what follows it, data NULL without a dot. */
static struct bgw_slice cut_at_dot(struct bgw_slice s, struct bgw_slice *rest)
{
    const char *dot = s.len ? memchr(s.data, '.', s.len) : NULL;
    *rest = (struct bgw_slice){NULL, 0};
    if (!dot)
        return s;
    size_t head = (size_t)(dot - s.data);
    *rest = bgw_slice_of(dot + 1, s.len - head - 1);
    return bgw_slice_of(s.data, head);
}

bool bgw_version_parse(struct bgw_slice text, struct bgw_version *out)
{
    struct bgw_slice tail, read;
    struct bgw_version v = {0};
    v.epoch = bgw_epoch_pack(cut_at_dot(text, &tail));
    if (!v.epoch || !tail.data || !parse_u63(cut_at_dot(tail, &read), &v.seq))
        return false;
    if (read.data && !parse_u63(read, &v.read))
        return false;
    *out = v;
    return true;
}

/* ---- epochs ---- */

uint64_t bgw_epoch_pack(struct bgw_slice text)
{
    uint64_t epoch = 0;
    if (text.len == 0 || text.len > BGW_EPOCH_MAX)
        return 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')))
            return 0;
        epoch |= (uint64_t)(unsigned char)c << (8 * i);
    }
    return epoch;
}

uint64_t bgw_epoch_derive(struct bgw_slice seed)
{
    /* FNV, not the keyed hash: every replica must come to the same epoch */
    uint64_t hash = bgw_hash_fnv64(BGW_FNV64_INIT, seed);
    char text[EPOCH_DERIVED_LEN];
    hash ^= hash >> 32; /* FNV's low bits alone are weak for short seeds */
    for (size_t i = 0; i < sizeof(text); i++, hash /= 36)
        text[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[hash % 36];
    return bgw_epoch_pack(bgw_slice_of(text, sizeof(text)));
}

size_t bgw_epoch_format(uint64_t epoch, char out[BGW_EPOCH_MAX + 1])
{
    size_t n = 0;
    for (; n < BGW_EPOCH_MAX && (epoch >> (8 * n)) & 0xff; n++)
        out[n] = (char)((epoch >> (8 * n)) & 0xff);
    out[n] = '\0';
    return n;
}
