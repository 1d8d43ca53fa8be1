/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resume: the signed token with which a client tells another replica, or this one after a restart,
 * what it held. Hides its layout. Shard thread only. Invariant: a token yields nothing but
 * `current` for slots whose hash it carries; one of another subject, or with a bad signature,
 * yields nothing.
 *
 *   01 | epoch 8 | subject 8 | w 8 | wall ms 8 | flags 1 | n 1 | n x hash 8 | mac 16
 *
 * Numbers are big-endian; flags bit 0: complete; mac: the first half of HMAC-SHA-256; the whole is
 * base64url without padding.
 */
#include "core.h"

#include "bgw/base64.h"

#include <stdlib.h>

#define FORM 0x01
#define HEAD_BYTES 35u
#define MAC_BYTES 16u
#define RAW_MAX (HEAD_BYTES + 8u * RESUME_HASHES_MAX + MAC_BYTES)
#define FLAG_COMPLETE 1

_Static_assert(BGW_BASE64_LEN(RAW_MAX) < RESUME_TEXT_MAX, "the longest token fits");

static size_t put_u64(uint8_t *out, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(v >> (56 - 8 * i));
    return 8;
}

static uint64_t get_u64(const uint8_t *in)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | in[i];
    return v;
}

static void sign(const struct bgw_shard *s, const uint8_t *raw, size_t len, uint8_t mac[32])
{
    s->config.mac(s->config.resume_key, bgw_slice_of((const char *)raw, len), mac);
}

/* A stream's token must speak of all of its accounts, for its client can present nothing else. */
static size_t hashes_max(const struct bgw_session *n)
{
    return n->dialect->id_each ? RESUME_HASHES_MAX : RESUME_HASHES_USUAL;
}

/* What was presented and is not judged yet is held by the client still: a stream may be cut while it is continued. */
static bool put_evidence(const struct bgw_session *n, uint8_t *raw, size_t *count)
{
    const struct extra *x = n->extra;
    for (uint32_t i = 0; n->dialect->id_each && x && i < x->resume_count; i++) {
        if (*count == hashes_max(n))
            return false;
        put_u64(raw + 8 * (*count)++, x->resume[i]);
    }
    return true;
}

/* Alias versions mean nothing elsewhere: left out, they do not make the token incomplete. */
static bool put_hashes(const struct bgw_session *n, uint8_t *raw, size_t *count)
{
    int list = 0;
    struct bgw_list *at = NULL;
    for (struct sub *sub; (sub = session_next_sub(n, &list, &at));) {
        for (struct cell *c = cell_first(sub); c; c = c->next) {
            if (!c->sent_hash || c->flags & CELL_ALIAS)
                continue;
            if (*count == hashes_max(n))
                return false;
            put_u64(raw + 8 * (*count)++, c->sent_hash);
        }
    }
    return put_evidence(n, raw, count);
}

struct bgw_slice resume_make(struct bgw_shard *s, struct bgw_session *n, char out[RESUME_TEXT_MAX])
{
    uint8_t raw[RAW_MAX], mac[32];
    size_t len = 0, count = 0;
    raw[len++] = FORM;
    len += put_u64(raw + len, s->epoch);
    len += put_u64(raw + len, n->subject_hash);
    len += put_u64(raw + len, s->hub_seq);
    len += put_u64(raw + len, (uint64_t)s->now.wall_ms);
    raw[len++] = put_hashes(n, raw + HEAD_BYTES, &count) ? FLAG_COMPLETE : 0;
    raw[len++] = (uint8_t)count;
    BGW_ASSERT(len == HEAD_BYTES);
    len += 8 * count;
    sign(s, raw, len, mac);
    memcpy(raw + len, mac, MAC_BYTES);
    return bgw_slice_of(out, bgw_base64url_encode(raw, len + MAC_BYTES, out));
}

/* In the same time wherever they differ. */
static bool same_mac(const uint8_t *a, const uint8_t *b)
{
    unsigned differ = 0;
    for (size_t i = 0; i < MAC_BYTES; i++)
        differ |= (unsigned)(a[i] ^ b[i]);
    return differ == 0;
}

static bool genuine(const struct bgw_shard *s, const struct bgw_session *n, const uint8_t *raw,
                    size_t len)
{
    uint8_t mac[32];
    if (len < HEAD_BYTES + MAC_BYTES || raw[0] != FORM || raw[HEAD_BYTES - 1] > RESUME_HASHES_MAX ||
        len != HEAD_BYTES + 8u * raw[HEAD_BYTES - 1] + MAC_BYTES)
        return false;
    sign(s, raw, len - MAC_BYTES, mac);
    if (!same_mac(mac, raw + len - MAC_BYTES))
        return false;
    return get_u64(raw + 9) == n->subject_hash || BGW_BUG("resume_other_subject_accepted");
}

bool resume_present(struct bgw_shard *s, struct bgw_session *n, struct bgw_slice token)
{
    uint8_t raw[RAW_MAX];
    size_t len = 0;
    struct extra *x;
    if (bgw_base64url_decode(token, raw, sizeof(raw), &len) != BGW_OK || !genuine(s, n, raw, len)) {
        bgw_metric_add(BGW_M_RESUME_REFUSED, 1);
        return false;
    }
    bgw_metric_add(BGW_M_RESUME_ACCEPTED, 1);
    n->flags |= SESSION_RESUMED;
    /* whoever gave it may know of a topic that we do not: barriers from here on look */
    if (get_u64(raw + 1) != s->epoch)
        barrier_ask(s, true);
    size_t count = raw[HEAD_BYTES - 1];
    if (count == 0 || !(x = session_extra(n)))
        return true;
    uint64_t *hashes = malloc(count * sizeof(*hashes));
    if (!hashes)
        return true; /* without evidence everything is sent anew: slower, and right */
    for (size_t i = 0; i < count; i++)
        hashes[i] = get_u64(raw + HEAD_BYTES + 8 * i);
    free(x->resume);
    x->resume = hashes;
    x->resume_count = (uint32_t)count;
    return true;
}

bool resume_has(const struct bgw_session *n, uint64_t hash)
{
    for (uint32_t i = 0; n->extra && i < n->extra->resume_count; i++) {
        if (n->extra->resume[i] == hash)
            return true;
    }
    return false;
}

/* Evidence counts once: what is unsubscribed and subscribed to again is sent again. */
void resume_consume(struct bgw_session *n, uint64_t hash)
{
    struct extra *x = n->extra;
    for (uint32_t i = 0; x && i < x->resume_count; i++) {
        if (x->resume[i] == hash)
            x->resume[i] = x->resume[--x->resume_count];
    }
}
