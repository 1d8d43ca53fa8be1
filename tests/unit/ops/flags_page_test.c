/* SPDX-License-Identifier: Apache-2.0 */
/* flags_page: what is switched on is shown and changed at run time, by operators, in one step or not at all. */
#include "admin_rig.h"

#define POST(body_len) "POST /flags HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: " body_len "\r\n\r\n"
#define SHOW "GET /flags HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
#define ALL_ON "{\"flags\":{\"shedding\":true,\"l1\":true,\"l2\":true,\"hedge\":true,\"push\":true,\"filter\":true,\"stale\":true}}"

static struct bgw_flags flags;
static int audits, audited_status;

static void on_audited(void *arg, const char *path, int status)
{
    (void)arg;
    audits++;
    audited_status = status;
    CHECK_EQ_STR(path, "/flags");
}

static void start(void)
{
    const struct bgw_admin_config config = {.flags = &flags, .audited = on_audited};
    struct bgw_buf error;
    bgw_buf_init(&error, 256);
    CHECK(bgw_flags_parse(&flags, "all", &error) == BGW_OK);
    bgw_buf_deinit(&error);
    audits = 0;
    rig_start(&config);
}

static const char *post(const char *body)
{
    char request[8192];
    snprintf(request, sizeof(request), POST("%zu") "%s", strlen(body), body);
    return rig_ask(request, NULL);
}

TEST(all_flags_are_shown_in_the_order_of_the_contract)
{
    start();
    const char *text = rig_ask(SHOW, NULL);
    CHECK(strstr(text, "HTTP/1.1 200 OK\r\n") && strstr(text, "\r\n\r\n" ALL_ON));
    CHECK(strstr(text, "Cache-Control: no-store\r\n") && audits == 0);
    text = rig_ask("HEAD /flags HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
    CHECK(strstr(text, "HTTP/1.1 200 OK\r\n") && !strstr(text, "shedding"));
    rig_stop();
}

TEST(change_acts_at_once_and_the_answer_is_what_holds_now)
{
    start();
    const char *text = post("{\"hedge\":false,\"pu\\u0073h\":false}");
    CHECK(strstr(text, "HTTP/1.1 200 OK\r\n") && strstr(text, "\"hedge\":false,\"push\":false,\"filter\":true"));
    CHECK(!bgw_flag(&flags, BGW_FLAG_HEDGE) && !bgw_flag(&flags, BGW_FLAG_PUSH) && bgw_flag(&flags, BGW_FLAG_L2));
    CHECK(audits == 1 && audited_status == 200);
    text = post(" {\"hedge\" : true , \"l2\": false} ");
    CHECK(strstr(text, "\"l2\":false,\"hedge\":true,\"push\":false"));
    CHECK(bgw_flag(&flags, BGW_FLAG_HEDGE) && !bgw_flag(&flags, BGW_FLAG_PUSH) && !bgw_flag(&flags, BGW_FLAG_L2));
    CHECK(strstr(post("{}"), "\"l2\":false,\"hedge\":true,\"push\":false")); /* nothing to do, and done */
    rig_stop();
}

TEST(change_that_cannot_be_read_in_full_changes_nothing)
{
    static const struct {
        const char *body, *code;
    } rows[] = {
        {"{\"hedge\":false,\"hedges\":false}", "unknown_flag"},
        {"{\"hedge\":false,\"HEDGE\":false}", "unknown_flag"},
        {"{\"hedge\":false,\"\":false}", "unknown_flag"},
        {"{\"hedge\":false,\"hedge\\u0000\":false}", "unknown_flag"},
        {"{\"hedge\":false,\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":false}", "unknown_flag"},
        {"{\"hedge\":0}", "bad_value"},
        {"{\"hedge\":\"false\"}", "bad_value"},
        {"{\"hedge\":false,\"l1\":null}", "bad_value"},
        {"{\"hedge\":{\"hedge\":false}}", "bad_value"},
        {"{\"hedge\":false,\"hedge\":true}", "bad_json"},
        {"{\"hedge\":false,\"h\\u0065dge\":true}", "bad_json"},
        {"{\"hedge\":false}}", "bad_json"},
        {"{\"hedge\":false", "bad_json"},
        {"{'hedge':false}", "bad_json"},
        {"[\"hedge\"]", "bad_json"},
        {"false", "bad_json"},
        {"", "bad_json"},
    };
    start();
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char code[64];
        const char *text = post(rows[i].body);
        snprintf(code, sizeof(code), "\"code\":\"%s\"", rows[i].code);
        if (!strstr(text, code))
            printf("# %s: %s\n", rows[i].body, text);
        CHECK(strstr(text, "HTTP/1.1 400 Bad Request\r\n") && strstr(text, "application/problem+json") && strstr(text, code));
        CHECK(bgw_flag(&flags, BGW_FLAG_HEDGE));
    }
    CHECK(strstr(post("{\"x\":true}"), ": shedding, l1, l2, hedge, push, filter, stale\""));
    CHECK_EQ_I64(audited_status, 400);
    CHECK(strstr(rig_ask(SHOW, NULL), ALL_ON));
    rig_stop();
}

TEST(only_operators_change_flags_and_only_a_gateway_with_flags_has_the_page)
{
    static const struct {
        const char *request;
        int status;
    } rows[] = {
        {"POST /flags HTTP/1.1\r\nHost: x\r\nOrigin: null\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"hedge\":false}", 403},
        {"POST /flags HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 15\r\n\r\n{\"hedge\":false}", 415},
        {"POST /flags HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\r\n{\"hedge\":false}", 411},
        {POST("4097"), 413},
        {"PUT /flags HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405},
    };
    start();
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char status[32];
        snprintf(status, sizeof(status), "HTTP/1.1 %d ", rows[i].status);
        CHECK(strstr(rig_ask(rows[i].request, NULL), status));
    }
    CHECK(strstr(rig_ask(rows[4].request, NULL), "Allow: GET, HEAD, POST\r\n"));
    CHECK(bgw_flag(&flags, BGW_FLAG_HEDGE));
    rig_stop();
    rig_start(NULL);
    CHECK(strstr(rig_ask(SHOW, NULL), "HTTP/1.1 404 "));
    CHECK(strstr(post("{\"hedge\":false}"), "HTTP/1.1 404 "));
    rig_stop();
}
