/* SPDX-License-Identifier: Apache-2.0 */
/*
 * estate_rig: sessions of the estate's dialects in a real shard, whose hub is shard_rig's. What a
 * connection was told is shown as text: a line a WebSocket message, records end in |, and control
 * frames stand in <>. A stream is shown as its bytes.
 */
#ifndef BGW_ESTATE_RIG_H
#define BGW_ESTATE_RIG_H

#include "shard/shard_rig.h"
#include "wire/estate.h"

#define TIME "2026-10-26T07:33:20.000Z" /* RIG_WALL_MS */

static struct bgw_estate estate;

static inline struct bgw_slice estate_raw(const struct bgw_blob *value)
{
    return bgw_blob_slice(value);
}

/* The rig's values are texts; its keys follow the grammar of balances. */
static inline struct rig *estate_start_with(const struct bgw_revocations *revocations, size_t control_bytes_max)
{
    struct rig *r = rig_make();
    struct bgw_feed balance;
    bgw_feed_balance_init(&balance, BGW_SLICE("t1"), bgw_part_of(BGW_SLICE("NGN")));
    r->feeds[0].key_valid = balance.key_valid;
    r->feeds[0].part_valid = balance.part_valid;
    r->feeds[0].raw = estate_raw;
    r->config.control_bytes_max = control_bytes_max;
    r->config.revocations = revocations;
    r->config.limits.keys_per_session_max = 5000;
    r->config.limits.greeting_ms = 15000;
    r->config.limits.heartbeat_ms = 15000;
    r->config.limits.silence_ms = 30000;
    rig_start(r);
    estate = (struct bgw_estate){.shard = r->shard, .feed = &r->feeds[0], .scratch = bgw_estate_scratch_create()};
    return r;
}

static inline struct rig *estate_start(void)
{
    return estate_start_with(NULL, 524288);
}

static inline void estate_end(struct rig *r)
{
    bgw_estate_scratch_destroy(&estate.scratch);
    rig_end(r);
}

/* `keys` as in rig_claims. */
static inline struct conn *estate_connect(struct rig *r, const struct bgw_dialect *dialect, const char *keys)
{
    struct bgw_claims claims = rig_claims(1, keys);
    struct conn *c = rig_conn();
    CHECK(bgw_session_open(r->shard, c, dialect, &claims, r->now, &c->session) == BGW_OK);
    bgw_claims_deinit(&claims);
    rig_turn(r);
    CHECK_EQ_I64(c->len, 0); /* none of them is greeted */
    return c;
}

/* ---- what was said ---- */

static inline size_t estate_frame(const unsigned char *p, size_t len, char *out, size_t *out_len)
{
    size_t payload = p[1], header = 2;
    CHECK(len >= 2 && (p[0] & 0x80) && !(p[1] & 0x80));
    if (payload == 126) {
        payload = (size_t)p[2] << 8 | p[3];
        header = 4;
    } else if (payload == 127) {
        payload = 0;
        for (size_t i = 2; i < 10; i++)
            payload = payload << 8 | p[i];
        header = 10;
    }
    CHECK(header + payload <= len);
    int opcode = p[0] & 15;
    if (opcode == 8)
        *out_len += (size_t)sprintf(out + *out_len, "<close %u%s%.*s>", (unsigned)(p[header] << 8 | p[header + 1]),
                                    payload > 2 ? " " : "", (int)(payload - 2), (const char *)p + header + 2);
    else if (opcode == 9)
        *out_len += (size_t)sprintf(out + *out_len, "<ping>");
    else
        CHECK_EQ_I64(opcode, 1);
    for (size_t i = 0; i < payload && opcode == 1; i++)
        out[(*out_len)++] = p[header + i] == 0x1e ? '|' : (char)p[header + i];
    out[(*out_len)++] = '\n';
    return header + payload;
}

/* Since the last look, from a WebSocket. */
static inline const char *estate_said(struct rig *r, struct conn *c)
{
    static char text[2u * RIG_LOG_MAX];
    size_t len = 0;
    rig_turn(r);
    for (size_t at = 0; at < c->len;)
        at += estate_frame((const unsigned char *)c->log + at, c->len - at, text, &len);
    text[len] = '\0';
    rig_forget(c);
    return text;
}

/* The same of one buffer. */
static inline const char *estate_shown(const struct bgw_buf *b)
{
    static char text[2u * RIG_LOG_MAX];
    size_t len = 0;
    CHECK(!b->failed);
    for (size_t at = 0; at < b->len;)
        at += estate_frame((const unsigned char *)b->data + at, b->len - at, text, &len);
    text[len] = '\0';
    return text;
}

#define HEARD(r, c, text) CHECK_EQ_STR(estate_said(r, c), text)

static inline void estate_record(struct rig *r, struct conn *c, const char *text)
{
    char *copy = malloc(strlen(text) + 1); /* of its own size, so that a read past it is seen */
    memcpy(copy, text, strlen(text));
    bgw_shard_set_now(r->shard, r->now);
    bgw_signalr_record(&estate, c->session, bgw_slice_of(copy, strlen(text)), r->now);
    free(copy);
}

static inline void estate_message(struct rig *r, struct conn *c, const char *text)
{
    char *copy = malloc(strlen(text) + 1);
    memcpy(copy, text, strlen(text));
    bgw_shard_set_now(r->shard, r->now);
    bgw_app_message(&estate, c->session, bgw_slice_of(copy, strlen(text)), r->now);
    free(copy);
}

#endif
