/* SPDX-License-Identifier: Apache-2.0 */
/* dialect_sse: the blocks of an event stream, byte for byte. */
#include "test.h"

#include "wire/native.h"
#include "wire/sse.h"

#include <stdlib.h>

static const struct bgw_dialect *d = &bgw_dialect_sse;
static struct bgw_feed feed;

/* What was said, as text; the buffer is empty again. */
static const char *take(struct bgw_buf *b)
{
    static char text[100000];
    CHECK(!b->failed && b->len < sizeof(text));
    if (b->len)
        memcpy(text, b->data, b->len);
    text[b->len] = '\0';
    bgw_buf_clear(b);
    return text;
}

static struct bgw_blob *value_of(const char *record)
{
    struct bgw_record r = {.key = BGW_SLICE("A"), .value = bgw_slice_str(record), .timestamp_ms = 5};
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

static void say(struct bgw_buf *out, const struct bgw_update *u, size_t count)
{
    size_t began = d->updates_begin(out);
    for (size_t i = 0; i < count; i++)
        d->update(out, u);
    d->updates_end(out, began);
}

static void say_id(struct bgw_buf *out, const char *token)
{
    d->mark(out, (struct bgw_slice){NULL, 0}, 0, bgw_slice_str(token));
}

#define RECORD "{\"accountId\":\"A\",\"minor\":9007199254740993,\"currency\":\"NGN\",\"deltaMinor\":-5,\"txnId\":\"t1\",\"ts\":7}"
#define ENTRY_START "{\"k\":\"A\",\"v\":\"k3f9.121\""
#define ENTRY_D ",\"d\":{\"currency\":\"NGN\",\"minor\":\"9007199254740993\",\"pendingMinor\":\"0\",\"ts\":7"

TEST(each_entry_is_an_event_with_the_bytes_of_the_native_one)
{
    struct bgw_buf out;
    struct bgw_blob *value = value_of(RECORD);
    struct bgw_update u = update_of(value);
    struct bgw_blob *prepared = d->prepare(&u);
    bgw_buf_init(&out, 1 << 20);
    CHECK(d->encoding == bgw_dialect_native.encoding && d->prepare == bgw_dialect_native.prepare);
    for (int slow = 0; slow < 2; slow++) {
        u = update_of(value);
        u.prepared = slow ? NULL : prepared;
        say(&out, &u, 1);
        CHECK_EQ_STR(take(&out),
                     "event: upd\ndata: " ENTRY_START ENTRY_D ",\"deltaMinor\":\"-5\",\"txnId\":\"t1\"}}\n\n");
        u.snap = true;
        u.merged = 3;
        say(&out, &u, 2);
        CHECK_EQ_STR(take(&out), "event: upd\ndata: " ENTRY_START ",\"snap\":true,\"merged\":3" ENTRY_D "}}\n\n"
                                 "event: upd\ndata: " ENTRY_START ",\"snap\":true,\"merged\":3" ENTRY_D "}}\n\n");
    }
    bgw_buf_deinit(&out);
    bgw_blob_release(prepared);
    bgw_blob_release(value);
}

TEST(a_token_is_the_id_of_the_event_before_it)
{
    struct bgw_buf out;
    struct bgw_blob *value = value_of(RECORD);
    struct bgw_update u = update_of(value);
    bgw_buf_init(&out, 1 << 20);
    size_t began = d->updates_begin(&out);
    d->update(&out, &u);
    say_id(&out, "one");
    d->update(&out, &u);
    say_id(&out, "two");
    d->updates_end(&out, began);
#define UPD "event: upd\ndata: " ENTRY_START ENTRY_D ",\"deltaMinor\":\"-5\",\"txnId\":\"t1\"}}\n"
    CHECK_EQ_STR(take(&out), UPD "id: one\n\n" UPD "id: two\n\n");
    d->live(&out, 1);
    say_id(&out, "three");
    CHECK_EQ_STR(take(&out), "event: live\ndata: {\"id\":1}\nid: three\n\n");
    d->keepalive(&out);
    say_id(&out, "four");
    CHECK_EQ_STR(take(&out), ":\nid: four\n\n");
    say_id(&out, "five"); /* nothing before it: a block that only sets the id */
    CHECK_EQ_STR(take(&out), "id: five\n\n");
    say_id(&out, "");
    CHECK_EQ_STR(take(&out), "");
    bgw_buf_deinit(&out);
    bgw_blob_release(value);
}

TEST(an_id_that_does_not_fit_leaves_the_event_whole)
{
    static const char live[] = "event: live\ndata: {\"id\":1}\n\n";
    const size_t len = sizeof(live) - 1, id_len = strlen("id: abc\n\n");
    for (size_t room = len; room < len + id_len + 2; room++) {
        struct bgw_buf out;
        bgw_buf_init(&out, room);
        d->live(&out, 1);
        say_id(&out, "abc");
        CHECK_EQ_I64(out.failed, room < len + id_len);
        CHECK_EQ_I64(out.len, out.failed ? len : len + id_len - 1);
        CHECK(memcmp(out.data, live, len - 1) == 0 && memcmp(out.data + out.len - 2, "\n\n", 2) == 0);
        bgw_buf_deinit(&out);
    }
}

TEST(a_block_that_does_not_fit_is_taken_back_whole)
{
    struct bgw_slice key = BGW_SLICE("a-key-that-is-much-longer-than-what-is-left-in-the-buffer");
    const struct bgw_state_entry entry = {.key = key};
    const struct bgw_state_news news = {.entries = &entry, .count = 1, .state = BGW_STATE_STALE, .lag_ms = -1};
    struct bgw_buf out;
    bgw_buf_init(&out, 64);
    d->live(&out, 1);
    size_t before = out.len;
    d->state(&out, &news);
    CHECK(out.failed);
    CHECK_EQ_I64(out.len, before);
    d->bye(&out, 3001, 1834, "draining");
    CHECK_EQ_I64(out.len, before);
    bgw_buf_deinit(&out);
}

TEST(each_event_has_the_members_of_the_native_one)
{
    struct bgw_buf out;
    struct bgw_slice keys[] = {BGW_SLICE("A"), BGW_SLICE("B/USD")};
    struct bgw_state_entry entries[] = {{.key = keys[0]}, {.key = keys[1]}};
    bgw_buf_init(&out, 1 << 16);
    struct bgw_state_news news = {
        .entries = entries, .count = 2, .state = BGW_STATE_DELAYED, .reason = "source_lagging", .lag_ms = 4000};
    d->state(&out, &news);
    CHECK_EQ_STR(take(&out), "event: state\ndata: {\"keys\":[\"A\",\"B/USD\"],\"state\":\"delayed\","
                             "\"reason\":\"source_lagging\",\"lag_ms\":4000}\n\n");
    news = (struct bgw_state_news){.entries = entries, .count = 1, .state = BGW_STATE_FRESH, .lag_ms = -1};
    d->state(&out, &news);
    CHECK_EQ_STR(take(&out), "event: state\ndata: {\"keys\":[\"A\"],\"state\":\"fresh\"}\n\n");
    struct bgw_denied denied = {BGW_SLICE("C\"\n\r"), "no_grant"};
    struct bgw_sub_reply reply = {.id = 1, .ok = keys, .ok_count = 1, .current = keys + 1, .current_count = 1,
                                  .denied = &denied, .denied_count = 1};
    d->sub_reply(&out, &reply);
    CHECK_EQ_STR(take(&out), "event: sub\ndata: {\"ok\":[\"A\"],\"current\":[\"B/USD\"],"
                             "\"denied\":[{\"key\":\"C\\\"\\n\\r\",\"code\":\"no_grant\"}]}\n\n");
    d->revoked(&out, keys, 2, "grant_removed");
    CHECK_EQ_STR(take(&out), "event: revoked\ndata: {\"keys\":[\"A\",\"B/USD\"],\"reason\":\"grant_removed\"}\n\n");
    d->err(&out, true, 1, "too_many_keys", "what");
    CHECK_EQ_STR(take(&out), "event: err\ndata: {\"code\":\"too_many_keys\",\"msg\":\"what\"}\n\n");
    d->ok(&out, 1);
    d->pong(&out, 1);
    CHECK_EQ_STR(take(&out), "");
    bgw_buf_deinit(&out);
}

TEST(the_stream_begins_with_how_soon_to_come_again)
{
    struct bgw_buf out;
    bgw_buf_init(&out, 1 << 16);
    struct bgw_hello_info info = {.conn = 255, .ping_s = 20, .server = BGW_SLICE("bgw/1")};
    d->hello(&out, &info);
    CHECK_EQ_STR(take(&out), ": bgw/1 conn 00000000000000ff\nretry: 2000\n\n");
    d->keepalive(&out);
    CHECK_EQ_STR(take(&out), ":\n\n");
    bgw_buf_deinit(&out);
}

TEST(bye_says_when_to_come_again_before_it_says_why)
{
    struct bgw_buf out;
    bgw_buf_init(&out, 1 << 16);
    d->bye(&out, 3001, 1834, "draining");
    CHECK_EQ_STR(take(&out),
                 "retry: 1834\nevent: bye\ndata: {\"code\":3001,\"retry_ms\":1834,\"reason\":\"draining\"}\n\n");
    d->bye(&out, 3005, 0, "token_expired");
    CHECK_EQ_STR(take(&out), "event: bye\ndata: {\"code\":3005,\"retry_ms\":0,\"reason\":\"token_expired\"}\n\n");
    d->bye(&out, 3500, 0, NULL);
    CHECK_EQ_STR(take(&out), "event: bye\ndata: {\"code\":3500,\"retry_ms\":0,\"reason\":\"\"}\n\n");
    bgw_buf_deinit(&out);
}

/* A record may hold any text that JSON can: none of it may end a line of the stream. */
TEST(no_value_ends_a_line)
{
    struct bgw_buf out;
    struct bgw_blob *value = value_of("{\"accountId\":\"A\",\"minor\":1,\"currency\":\"NGN\",\n\r\"txnId\":\"a\\n\\r\\n"
                                      "data: x\\u2028\\u0085\"}");
    struct bgw_update u = update_of(value);
    bgw_buf_init(&out, 1 << 16);
    say(&out, &u, 1);
    say_id(&out, "t");
    const char *text = take(&out);
    size_t lines = 0;
    for (const char *at = text; *at; at++)
        lines += *at == '\n';
    CHECK_EQ_I64(lines, 4); /* event, data, id, the empty one */
    CHECK(!strchr(text, '\r'));
    bgw_buf_deinit(&out);
    bgw_blob_release(value);
}
