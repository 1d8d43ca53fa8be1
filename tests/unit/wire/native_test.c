/* SPDX-License-Identifier: Apache-2.0 */
/* dialect_native: the frames of bgw.v1, byte for byte. */
#include "test.h"

#include "wire/native.h"

#include <stdlib.h>

static const struct bgw_dialect *d = &bgw_dialect_native;

static void say_state(struct bgw_buf *out, const struct bgw_slice *keys, size_t count, enum bgw_slot_state state,
                      const char *reason, int64_t lag_ms)
{
    struct bgw_state_entry entries[4] = {0};
    for (size_t i = 0; i < count; i++)
        entries[i].key = keys[i];
    const struct bgw_state_news news = {
        .entries = entries, .count = count, .state = state, .reason = reason, .lag_ms = lag_ms};
    d->state(out, &news);
}

/* The payload of the only frame in the buffer, which must be framed minimally and end with it. */
static struct bgw_slice payload_at(const struct bgw_buf *b, size_t at, size_t *next)
{
    const unsigned char *p = (const unsigned char *)b->data + at;
    CHECK(!b->failed && b->len >= at + 2 && p[0] == 0x81);
    size_t len = p[1], header = 2;
    if (len == 126) {
        len = (size_t)p[2] << 8 | p[3];
        header = 4;
        CHECK(len > 125);
    } else if (len == 127) {
        len = 0;
        for (size_t i = 2; i < 10; i++)
            len = len << 8 | p[i];
        header = 10;
        CHECK(len > 65535);
    }
    CHECK(at + header + len <= b->len);
    *next = at + header + len;
    return bgw_slice_of(b->data + at + header, len);
}

static const char *frame(const struct bgw_buf *b)
{
    static char text[100000];
    size_t next;
    struct bgw_slice payload = payload_at(b, 0, &next);
    CHECK_EQ_I64(next, b->len);
    memcpy(text, payload.data, payload.len);
    text[payload.len] = '\0';
    return text;
}

static struct bgw_feed feed;

static struct bgw_blob *value_of(const char *record)
{
    struct bgw_record r = {
        .key = BGW_SLICE("A"), .value = bgw_slice_str(record), .timestamp_ms = 5};
    struct bgw_decoded decoded = {0};
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    CHECK(feed.decode(&feed, &r, &decoded) == BGW_REJECT_NONE);
    CHECK(decoded.value != NULL);
    return decoded.value;
}

static struct bgw_update update_of(const struct bgw_blob *value)
{
    return (struct bgw_update){.feed = &feed,
                               .key = BGW_SLICE("A"),
                               .part = bgw_part_of(BGW_SLICE("NGN")),
                               .version = {bgw_epoch_pack(BGW_SLICE("k3f9")), 121, 0},
                               .value = value};
}

static const char *encode(struct bgw_buf *out, const struct bgw_update *u)
{
    bgw_buf_clear(out);
    size_t began = d->updates_begin(out);
    d->update(out, u);
    d->updates_end(out, began);
    return frame(out);
}

TEST(an_update_shares_its_fragments_and_keeps_its_own_flags)
{
    struct bgw_buf out;
    struct bgw_blob *value = value_of(
        "{\"accountId\":\"A\",\"minor\":9007199254740993,\"currency\":\"NGN\",\"pendingMinor\":0,"
        "\"deltaMinor\":-5,\"txnId\":\"t1\",\"ts\":7}");
    struct bgw_update u = update_of(value);
    struct bgw_blob *prepared = d->prepare(&u);
    bgw_buf_init(&out, 1 << 20);
    for (int slow = 0; slow < 2;
         slow++) { /* without memory for the prepared form: the same bytes */
        u = update_of(value);
        u.prepared = slow ? NULL : prepared;
        CHECK_EQ_STR(encode(&out, &u),
                     "{\"ev\":\"upd\",\"u\":[{\"k\":\"A\",\"v\":\"k3f9.121\",\"d\":{\"currency\":"
                     "\"NGN\",\"minor\":\"9007199254740993\","
                     "\"pendingMinor\":\"0\",\"ts\":7,\"deltaMinor\":\"-5\",\"txnId\":\"t1\"}}]}");
        u.snap = true;
        u.merged = 3;
        CHECK_EQ_STR(
            encode(&out, &u),
            "{\"ev\":\"upd\",\"u\":[{\"k\":\"A\",\"v\":\"k3f9.121\",\"snap\":true,\"merged\":3,"
            "\"d\":{\"currency\":\"NGN\",\"minor\":\"9007199254740993\",\"pendingMinor\":\"0\","
            "\"ts\":7}}]}");
        u.version = (struct bgw_version){bgw_epoch_pack(BGW_SLICE("alias")), 4, 9};
        u.merged = 0;
        CHECK(strstr(encode(&out, &u), "{\"k\":\"A\",\"v\":\"alias.4.9\",\"snap\":true,\"d\":{") !=
              NULL);
    }
    bgw_buf_deinit(&out);
    bgw_blob_release(prepared);
    bgw_blob_release(value);
}

TEST(an_update_message_of_any_size_is_framed_minimally)
{
    struct bgw_blob *value = value_of("{\"accountId\":\"A\",\"minor\":1,\"currency\":\"NGN\"}");
    struct bgw_update u = update_of(value);
    struct bgw_blob *prepared = d->prepare(&u);
    static const size_t counts[] = {0, 1, 2, 700, 800, 900};
    u.prepared = prepared;
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        struct bgw_buf out;
        size_t next;
        bgw_buf_init(&out, 1 << 20);
        d->pong(&out, 1); /* something stands before */
        size_t before = out.len;
        size_t began = d->updates_begin(&out);
        for (size_t n = 0; n < counts[i]; n++)
            d->update(&out, &u);
        d->updates_end(&out, began);
        struct bgw_slice text = payload_at(&out, before, &next);
        CHECK_EQ_I64(next, out.len);
        CHECK(text.len >= 19 && memcmp(text.data, "{\"ev\":\"upd\",\"u\":[", 17) == 0);
        CHECK(memcmp(text.data + text.len - 2, "]}", 2) == 0);
        size_t entries = 0;
        for (size_t at = 0; at + 5 < text.len; at++)
            entries += memcmp(text.data + at, "{\"k\":", 5) == 0;
        CHECK_EQ_I64(entries, counts[i]);
        bgw_buf_deinit(&out);
    }
    bgw_blob_release(prepared);
    bgw_blob_release(value);
}

TEST(a_message_that_does_not_fit_is_taken_back_whole)
{
    struct bgw_buf out;
    bgw_buf_init(&out, 64);
    d->pong(&out, 1);
    size_t before = out.len;
    struct bgw_slice key = BGW_SLICE("a-key-that-is-much-longer-than-what-is-left-in-the-buffer");
    say_state(&out, &key, 1, BGW_STATE_STALE, "source_lagging", 4000);
    CHECK(out.failed);
    CHECK_EQ_I64(out.len, before);
    bgw_buf_deinit(&out);
}

TEST(each_event_has_its_members_in_the_documented_order)
{
    struct bgw_buf out;
    struct bgw_slice keys[] = {BGW_SLICE("A"), BGW_SLICE("B/USD")};
    bgw_buf_init(&out, 1 << 16);
    say_state(&out, keys, 2, BGW_STATE_DELAYED, "source_lagging", 4000);
    CHECK_EQ_STR(frame(&out),
                 "{\"ev\":\"state\",\"keys\":[\"A\",\"B/"
                 "USD\"],\"state\":\"delayed\",\"reason\":\"source_lagging\",\"lag_ms\":4000}");
    bgw_buf_clear(&out);
    say_state(&out, keys, 1, BGW_STATE_FRESH, NULL, -1);
    CHECK_EQ_STR(frame(&out), "{\"ev\":\"state\",\"keys\":[\"A\"],\"state\":\"fresh\"}");
    bgw_buf_clear(&out);
    d->live(&out, 1);
    CHECK_EQ_STR(frame(&out), "{\"ev\":\"live\",\"id\":1}");
    bgw_buf_clear(&out);
    d->mark(&out, BGW_SLICE("17"), 0xab, BGW_SLICE("r"));
    CHECK_EQ_STR(frame(&out),
                 "{\"ev\":\"mark\",\"w\":\"17\",\"digest\":\"00000000000000ab\",\"resume\":\"r\"}");
    bgw_buf_clear(&out);
    struct bgw_hello_info info = {.conn = 255,
                                  .ping_s = 20,
                                  .epoch = bgw_epoch_pack(BGW_SLICE("k3f9")),
                                  .resume = BGW_SLICE("r"),
                                  .server = BGW_SLICE("bgw/1")};
    d->hello(&out, &info);
    CHECK_EQ_STR(frame(&out), "{\"ev\":\"hello\",\"conn\":\"00000000000000ff\",\"ping_s\":20,"
                              "\"epoch\":\"k3f9\",\"resume\":\"r\",\"server\":\"bgw/1\"}");
    bgw_buf_clear(&out);
    struct bgw_denied denied = {BGW_SLICE("C\"\n"), "no_grant"};
    struct bgw_sub_reply reply = {.id = 1,
                                  .ok = keys,
                                  .ok_count = 1,
                                  .current = keys + 1,
                                  .current_count = 1,
                                  .denied = &denied,
                                  .denied_count = 1};
    d->sub_reply(&out, &reply);
    CHECK_EQ_STR(frame(&out), "{\"ev\":\"sub\",\"id\":1,\"ok\":[\"A\"],\"current\":[\"B/"
                              "USD\"],\"denied\":[{\"key\":\"C\\\"\\n\",\"code\":\"no_grant\"}]}");
    bgw_buf_clear(&out);
    d->ok(&out, 2);
    CHECK_EQ_STR(frame(&out), "{\"ev\":\"ok\",\"id\":2}");
    bgw_buf_clear(&out);
    d->pong(&out, 5);
    CHECK_EQ_STR(frame(&out), "{\"ev\":\"pong\",\"id\":5}");
    bgw_buf_clear(&out);
    d->err(&out, true, 1, "bad_op", "what");
    CHECK_EQ_STR(frame(&out), "{\"ev\":\"err\",\"id\":1,\"code\":\"bad_op\",\"msg\":\"what\"}");
    bgw_buf_clear(&out);
    d->err(&out, false, 0, "bad_json", "what");
    CHECK_EQ_STR(frame(&out), "{\"ev\":\"err\",\"code\":\"bad_json\",\"msg\":\"what\"}");
    bgw_buf_clear(&out);
    d->revoked(&out, keys, 2, "grant_removed");
    CHECK_EQ_STR(frame(&out),
                 "{\"ev\":\"revoked\",\"keys\":[\"A\",\"B/USD\"],\"reason\":\"grant_removed\"}");
    bgw_buf_deinit(&out);
}

TEST(bye_is_an_event_and_then_the_close_frame)
{
    struct bgw_buf out;
    size_t next;
    bgw_buf_init(&out, 1 << 16);
    d->bye(&out, 3001, 1834, "draining");
    CHECK_SLICE(payload_at(&out, 0, &next),
                "{\"ev\":\"bye\",\"code\":3001,\"retry_ms\":1834,\"reason\":\"draining\"}");
    const unsigned char *p = (const unsigned char *)out.data + next;
    CHECK(out.len - next == 12 && p[0] == 0x88 && p[1] == 10 && (p[2] << 8 | p[3]) == 3001);
    bgw_buf_clear(&out);
    d->keepalive(&out);
    CHECK(out.len == 2 && memcmp(out.data, "\x89\x00", 2) == 0);
    bgw_buf_deinit(&out);
}
