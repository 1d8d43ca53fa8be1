/* SPDX-License-Identifier: Apache-2.0 */
/* warmup_page: lists of accounts, large ones too; a mistake in one warms none of them. */
#include "admin_rig.h"

#include <errno.h>

static struct bgw_feed feed;
static struct {
    size_t calls, room;
    struct bgw_slot_name first, last;
} seen;

static bool on_warm(void *arg, const struct bgw_slot_name *name)
{
    CHECK(arg == &seen);
    if (!seen.calls++)
        seen.first = *name;
    seen.last = *name;
    return seen.calls <= seen.room;
}

static void start(size_t room)
{
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    const struct bgw_admin_config config = {.warm = on_warm, .warm_arg = &seen, .feed = &feed};
    memset(&seen, 0, sizeof(seen));
    seen.room = room;
    rig_start(&config);
}

static const char *post(const char *body)
{
    size_t len = strlen(body), at = 0;
    char head[256];
    int fd = rig_dial();
    snprintf(head, sizeof(head),
             "POST /v1/warmup HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", len);
    rig_say(fd, head);
    while (at < len) {
        ssize_t n = send(fd, body + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        at += n > 0 ? (size_t)n : 0;
        if (bgw_loop_turn(rig.loop, 5), n < 0 && errno != EAGAIN)
            break;
    }
    const char *text = rig_hear(fd, NULL);
    close(fd);
    return text;
}

static const char *many(size_t count, const char *last)
{
    static char body[1 << 20];
    size_t at = (size_t)snprintf(body, sizeof(body), "{\"accounts\":[");
    for (size_t i = 0; i + 1 < count; i++)
        at += (size_t)snprintf(body + at, sizeof(body) - at, "\"%064zu\",", i);
    snprintf(body + at, sizeof(body) - at, "%s]}", last);
    return body;
}

TEST(accounts_are_handed_on_with_what_holds_for_all_of_them)
{
    start(9);
    const char *text = post("{\"accounts\":[\"A\",\"msisdn::1\"]}");
    CHECK(strstr(text, "HTTP/1.1 202 Accepted\r\n") && strstr(text, "\r\n\r\n{\"accepted\":2}"));
    CHECK(seen.calls == 2 && seen.first.key_len == 1 && memcmp(seen.first.key, "A", 1) == 0 && seen.first.part == 0);
    CHECK(seen.last.key_len == 9 && memcmp(seen.last.key, "msisdn::1", 9) == 0);
    CHECK(seen.last.tenant_len == 8 && memcmp(seen.last.tenant, "tnt_demo", 8) == 0);
    text = post("{\"tenant\":\"t1\",\"accounts\":[\"B\"],\"currency\":\"USD\"}");
    CHECK(strstr(text, "{\"accepted\":1}"));
    CHECK(seen.last.tenant_len == 2 && memcmp(seen.last.tenant, "t1", 2) == 0);
    CHECK(seen.last.part == bgw_part_of(BGW_SLICE("USD")));
    rig_stop();
}

TEST(ten_thousand_of_the_longest_names_are_one_request_and_no_more)
{
    start(SIZE_MAX);
    CHECK(strstr(post(many(10000, "\"A\"")), "{\"accepted\":10000}"));
    CHECK_EQ_I64(seen.calls, 10000);
    const char *text = post(many(10001, "\"A\""));
    CHECK(strstr(text, "HTTP/1.1 400 ") && strstr(text, "\"code\":\"too_many_accounts\""));
    CHECK(strstr(post(many(10000, "\"a b\"")), "\"code\":\"bad_id\""));
    CHECK_EQ_I64(seen.calls, 10000);
    rig_stop();
}

TEST(what_there_is_no_room_for_is_not_accepted)
{
    start(3);
    CHECK(strstr(post(many(10, "\"A\"")), "{\"accepted\":3}"));
    const char *text = post(many(10, "\"A\""));
    CHECK(strstr(text, "HTTP/1.1 503 ") && strstr(text, "Retry-After: 1\r\n") && strstr(text, "\"code\":\"busy\""));
    rig_stop();
}

TEST(list_with_a_mistake_warms_nothing)
{
    static const struct {
        const char *body, *code;
    } rows[] = {
        {"{\"accounts\":[\"A\",\"a b\"]}", "bad_id"},
        {"{\"accounts\":[\"A\",\"\"]}", "bad_id"},
        {"{\"accounts\":[\"A\",1]}", "bad_id"},
        {"{\"accounts\":[\"A\",\"B/USD\"]}", "bad_id"},
        {"{\"accounts\":[\"A\",\"01234567890123456789012345678901234567890123456789012345678901234\"]}", "bad_id"},
        {"{\"accounts\":[]}", "account_required"},
        {"{\"accounts\":\"A\"}", "bad_request"},
        {"{}", "bad_request"},
        {"{\"accounts\":[\"A\"],\"currency\":\"usd\"}", "bad_request"},
        {"{\"accounts\":[\"A\"],\"currency\":null}", "bad_request"},
        {"{\"accounts\":[\"A\"],\"tenant\":\"a b\"}", "bad_request"},
        {"{\"accounts\":[\"A\"],\"tenant\":\"\"}", "bad_request"},
        {"{\"accounts\":[\"A\"],\"tenant\":\"012345678901234567890123456789012345678901234567890\"}", "bad_request"},
        {"{\"accounts\":[\"A\"],\"feed\":\"balance\"}", "bad_request"},
        {"{\"accounts\":[\"A\"],\"accounts\":[\"B\"]}", "bad_json"},
        {"[\"A\"]", "bad_json"},
        {"{\"accounts\":[\"A\"]", "bad_json"},
        {"", "bad_json"},
    };
    start(9);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char code[64];
        const char *text = post(rows[i].body);
        snprintf(code, sizeof(code), "\"code\":\"%s\"", rows[i].code);
        if (!strstr(text, code))
            printf("# %s: %s\n", rows[i].body, text);
        CHECK(strstr(text, "HTTP/1.1 400 ") && strstr(text, code));
    }
    CHECK_EQ_I64(seen.calls, 0);
    CHECK(strstr(rig_ask("GET /v1/warmup HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL), "Allow: POST\r\n"));
    rig_stop();
    rig_start(NULL);
    CHECK(strstr(post("{\"accounts\":[\"A\"]}"), "HTTP/1.1 404 "));
    rig_stop();
}
