/* SPDX-License-Identifier: Apache-2.0 */
/*
 * records: accounts and the records that tell of them, alike for all cases, and the cases that read
 * one. Called by the cases' make and ready. Invariant: a record's bytes follow from account and
 * version alone.
 */
#include "micro.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS 1000
#define TENANT "tnt_demo"

void micro_feed(struct bgw_feed *feed)
{
    bgw_feed_balance_init(feed, BGW_SLICE(TENANT), bgw_part_of(BGW_SLICE("NGN")));
    feed->fresh_ms = 3000;
    feed->stale_ms = 30000;
}

size_t micro_account(char out[MICRO_KEY_MAX], size_t account)
{
    return (size_t)snprintf(out, MICRO_KEY_MAX, "acc_%08zu", account);
}

int64_t micro_minor(size_t account, uint64_t v)
{
    return (int64_t)(100000000 + (account * 7919 + v * 104729) % 900000000);
}

static void finish(struct micro_record *r, int key_len, int value_len, size_t account, uint64_t v)
{
    if (key_len <= 0 || value_len <= 0 || (size_t)value_len >= sizeof(r->value) || (size_t)key_len >= sizeof(r->key))
        micro_die("a record does not fit");
    r->record = (struct bgw_record){
        .key = bgw_slice_of(r->key, (size_t)key_len),
        .value = bgw_slice_of(r->value, (size_t)value_len),
        .partition = (int32_t)(account % 16),
        .offset = (int64_t)v,
        .timestamp_ms = MICRO_WALL_MS,
        .received_ns = 1,
    };
}

void micro_record_full(struct micro_record *r, size_t account, uint64_t v)
{
    char id[MICRO_KEY_MAX];
    micro_account(id, account);
    int key_len = snprintf(r->key, sizeof(r->key), "%s|" TENANT "|NGN", id);
    int len = snprintf(r->value, sizeof(r->value),
                       "{\"accountId\":\"%s\",\"minor\":%" PRId64 ",\"currency\":\"NGN\",\"pendingMinor\":0,\"tenant\":\"" TENANT
                       "\",\"v\":%" PRIu64 ",\"ts\":%lld,\"deltaMinor\":-125000,\"txnId\":\"txn_%010" PRIu64 "\"}",
                       id, micro_minor(account, v), v, (long long)MICRO_WALL_MS, v);
    finish(r, key_len, len, account, v);
}

void micro_record_short(struct micro_record *r, size_t account, uint64_t v)
{
    char id[MICRO_KEY_MAX];
    micro_account(id, account);
    int key_len = snprintf(r->key, sizeof(r->key), "%s", id);
    int len = snprintf(r->value, sizeof(r->value),
                       "{\"accountId\":\"%s\",\"minor\":%" PRId64 ",\"currency\":\"NGN\",\"pendingMinor\":0,\"v\":%" PRIu64
                       ",\"ts\":%lld}",
                       id, micro_minor(account, v), v, (long long)MICRO_WALL_MS);
    finish(r, key_len, len, account, v);
}

struct bgw_blob *micro_value(const struct bgw_feed *feed, size_t account, uint64_t v)
{
    struct micro_record r;
    struct bgw_decoded d;
    micro_record_full(&r, account, v);
    enum bgw_reject why = feed->decode(feed, &r.record, &d);
    if (why != BGW_REJECT_NONE)
        micro_die("%s: %s", r.value, bgw_reject_text(why));
    return d.value;
}

bool micro_holds(struct bgw_slice bytes, size_t account, uint64_t v)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%" PRId64, micro_minor(account, v));
    return memmem(bytes.data, bytes.len, digits, (size_t)len) != NULL;
}

/* ---- record/…: the feed's codec alone ---- */

struct reading {
    struct bgw_feed feed;
    uint64_t right;
    struct micro_record records[RECORDS];
};

static void *reading_make(const struct micro *m)
{
    struct reading *s = micro_alloc(1, sizeof(*s));
    void (*write)(struct micro_record *, size_t, uint64_t) = m->with ? micro_record_short : micro_record_full;
    micro_feed(&s->feed);
    for (size_t i = 0; i < RECORDS; i++)
        write(&s->records[i], i, MICRO_V + i);
    return s;
}

static void reading_run(void *state)
{
    struct reading *s = state;
    struct bgw_decoded d;
    for (size_t i = 0; i < RECORDS; i++) {
        enum bgw_reject why = s->feed.decode(&s->feed, &s->records[i].record, &d);
        s->right += why == BGW_REJECT_NONE && d.v == MICRO_V + i && d.name.key_len == 12;
        bgw_blob_release(d.value);
    }
}

static uint64_t reading_right(void *state)
{
    struct reading *s = state;
    for (size_t i = 0; i < RECORDS; i++) {
        struct bgw_blob *value = micro_value(&s->feed, i, MICRO_V + i);
        if (!micro_holds(s->feed.raw(value), i, MICRO_V + i))
            s->right = 0;
        bgw_blob_release(value);
    }
    return s->right;
}

const struct micro micro_record[] = {
    {"record/parse", "record", RECORDS, 10, NULL, reading_make, NULL, reading_run, reading_right, free},
    {"record/parse_short", "record", RECORDS, 10, "short", reading_make, NULL, reading_run, reading_right, free},
    {0},
};
