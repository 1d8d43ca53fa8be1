/* SPDX-License-Identifier: Apache-2.0 */
/* sub_view: what a person sees of the gateway's messages, and what a reconnect says it knows. */
#include "cli/sub_view.h"

#include "../test.h"

static struct view view;
static char *out_text, *note_text;
static size_t out_len, note_len;

static void begin(bool json)
{
    FILE *out = open_memstream(&out_text, &out_len), *notes = open_memstream(&note_text, &note_len);
    CHECK(view_init(&view, json, out, notes));
    view_connected(&view);
}

static enum view_next tell(const char *text)
{
    enum view_next next = view_message(&view, bgw_slice_str(text));
    fflush(view.out);
    fflush(view.notes);
    return next;
}

static void end(void)
{
    fclose(view.out);
    fclose(view.notes);
    free(out_text);
    free(note_text);
    view_deinit(&view);
}

static void check_sub(const char *const *keys, size_t count, const char *expected)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 65536);
    view_append_sub(&view, keys, count, &b);
    CHECK_SLICE(bgw_buf_slice(&b), expected);
    bgw_buf_deinit(&b);
}

#define UPD(key, v, currency, rest) \
    "{\"ev\":\"upd\",\"u\":[{\"k\":\"" key "\",\"v\":\"" v "\",\"d\":{\"currency\":\"" currency "\"," rest "}}]}"

TEST(a_value_is_one_line_with_amount_freshness_and_version)
{
    begin(false);
    tell("{\"ev\":\"upd\",\"u\":[{\"k\":\"A\",\"v\":\"k3f9.121\",\"snap\":true,\"merged\":3,"
         "\"d\":{\"currency\":\"NGN\",\"minor\":\"9007199254740993\",\"pendingMinor\":\"-7\",\"ts\":1}}]}");
    CHECK(strstr(out_text, "A ") && strstr(out_text, "NGN") && strstr(out_text, "9007199254740993"));
    CHECK(strstr(out_text, "fresh") && strstr(out_text, "k3f9.121") && strstr(out_text, "snapshot"));
    CHECK(strstr(out_text, "pending -7") && strstr(out_text, "(3 folded in)"));
    CHECK_EQ_I64(view.updates, 1);
    end();
}

TEST(a_change_shows_its_delta_with_a_sign)
{
    begin(false);
    tell(UPD("A", "e.1", "NGN", "\"minor\":\"5\",\"deltaMinor\":\"5\""));
    tell(UPD("A", "e.2", "NGN", "\"minor\":\"1\",\"deltaMinor\":\"-4\""));
    CHECK(strstr(out_text, "+5") && strstr(out_text, "  -4") && !strstr(out_text, "+-4"));
    end();
}

TEST(a_reconnect_presents_the_newest_version_of_each_slot)
{
    begin(false);
    const char *keys[] = {"A", "B/USD", "C"};
    check_sub(keys, 3, "{\"op\":\"sub\",\"id\":1,\"keys\":[\"A\",\"B/USD\",\"C\"],\"since\":{}}");
    tell(UPD("A", "e.1", "NGN", "\"minor\":\"5\""));
    tell(UPD("A", "e.7", "USD", "\"minor\":\"5\""));
    tell(UPD("B", "e.3", "USD", "\"minor\":\"5\""));
    tell(UPD("B", "e.4", "NGN", "\"minor\":\"5\""));
    tell(UPD("A", "e.9", "NGN", "\"minor\":\"6\""));
    check_sub(keys, 3,
              "{\"op\":\"sub\",\"id\":1,\"keys\":[\"A\",\"B/USD\",\"C\"],\"since\":{"
              "\"A\":{\"NGN\":\"e.9\",\"USD\":\"e.7\"},\"B/USD\":{\"USD\":\"e.3\"}}}");
    end();
}

TEST(a_version_given_by_hand_stands_for_the_whole_key)
{
    begin(false);
    const char *keys[] = {"A"};
    view_remember(&view, BGW_SLICE("A"), BGW_SLICE(""), BGW_SLICE("e.5"));
    check_sub(keys, 1, "{\"op\":\"sub\",\"id\":1,\"keys\":[\"A\"],\"since\":{\"A\":\"e.5\"}}");
    end();
}

TEST(states_are_told_with_reason_and_age)
{
    begin(false);
    tell("{\"ev\":\"state\",\"keys\":[\"A\",\"B/USD\"],\"state\":\"delayed\",\"reason\":\"source_lagging\","
         "\"lag_ms\":4100}");
    CHECK(strstr(out_text, "B/USD") && strstr(out_text, "is delayed (source_lagging), last proved 4100 ms"));
    end();
}

/* The last line that was shown. */
static const char *last_line(void)
{
    const char *p = out_text + strlen(out_text) - 1;
    while (p > out_text && p[-1] != '\n')
        p--;
    return p;
}

#define STATE(key, state) "{\"ev\":\"state\",\"keys\":[\"" key "\"],\"state\":\"" state "\"}"

TEST(a_state_holds_for_later_values_until_the_next_one)
{
    begin(false);
    tell(UPD("A", "e.1", "NGN", "\"minor\":\"5\""));
    CHECK(strstr(last_line(), "fresh"));
    tell(STATE("A", "delayed"));
    tell(UPD("A", "e.2", "NGN", "\"minor\":\"6\""));
    CHECK(strstr(last_line(), "delayed"));
    tell(STATE("A/USD", "stale"));
    tell(UPD("A", "e.3", "USD", "\"minor\":\"6\""));
    CHECK(strstr(last_line(), "stale"));
    tell(STATE("A", "fresh"));
    tell(UPD("A", "e.4", "NGN", "\"minor\":\"7\""));
    CHECK(strstr(last_line(), "fresh"));
    end();
}

TEST(a_value_ends_unknown_and_removed_and_a_new_connection_ends_every_state)
{
    begin(false);
    tell(STATE("A", "unknown"));
    tell(UPD("A", "e.1", "NGN", "\"minor\":\"5\""));
    CHECK(strstr(last_line(), "fresh"));
    tell(STATE("A", "stale"));
    view_connected(&view);
    tell(UPD("A", "e.2", "NGN", "\"minor\":\"5\""));
    CHECK(strstr(last_line(), "fresh"));
    end();
}

TEST(the_version_of_a_removed_slot_is_not_presented_again)
{
    begin(false);
    const char *keys[] = {"A"};
    tell(UPD("A", "e.1", "NGN", "\"minor\":\"5\""));
    tell(STATE("A", "removed"));
    check_sub(keys, 1, "{\"op\":\"sub\",\"id\":1,\"keys\":[\"A\"],\"since\":{}}");
    end();
}

TEST(live_denials_and_goodbyes_are_noted)
{
    begin(false);
    tell("{\"ev\":\"hello\",\"conn\":1,\"ping_s\":9,\"epoch\":\"k\",\"server\":\"s\",\"resume\":\"r1\"}");
    CHECK_EQ_I64(view.ping_s, 9);
    CHECK_SLICE(bgw_buf_slice(&view.resume), "r1");
    tell("{\"ev\":\"mark\",\"w\":\"9\",\"digest\":\"00\",\"resume\":\"r2\"}");
    CHECK_SLICE(bgw_buf_slice(&view.resume), "r2");
    tell("{\"ev\":\"sub\",\"id\":1,\"ok\":[\"A\"],\"current\":[],\"denied\":[{\"key\":\"B\",\"code\":\"no_grant\"}]}");
    CHECK(view.granted == 1 && view.denied == 1 && strstr(note_text, "denied: B (no_grant)"));
    CHECK(!view.live);
    tell("{\"ev\":\"live\",\"id\":1}");
    CHECK(view.live);
    tell("{\"ev\":\"err\",\"id\":1,\"code\":\"bad_json\",\"msg\":\"no\"}");
    CHECK(strstr(note_text, "refused: no (bad_json)"));
    tell("{\"ev\":\"revoked\",\"keys\":[\"A\"],\"reason\":\"grant_removed\"}");
    CHECK(strstr(note_text, "access taken away: A (grant_removed)"));
    CHECK(tell("{\"ev\":\"bye\",\"code\":3001,\"retry_ms\":1834,\"reason\":\"draining\"}") == VIEW_BYE);
    CHECK(view.bye_code == 3001 && view.retry_ms == 1834);
    end();
}

TEST(json_passes_frames_through_as_they_came)
{
    begin(true);
    tell("{\"ev\":\"new_thing\",\"x\":1}");
    tell(UPD("A", "e.1", "NGN", "\"minor\":\"5\""));
    CHECK_EQ_STR(out_text, "{\"ev\":\"new_thing\",\"x\":1}\n" UPD("A", "e.1", "NGN", "\"minor\":\"5\"") "\n");
    CHECK_EQ_I64(view.updates, 1);
    end();
}

TEST(nonsense_from_the_server_is_noted_and_survived)
{
    begin(false);
    static const char *const texts[] = {
        "", "nonsense", "[]", "{}", "{\"ev\":7}", "{\"ev\":\"upd\"}", "{\"ev\":\"upd\",\"u\":7}",
        "{\"ev\":\"upd\",\"u\":[7,{},{\"d\":7}]}", "{\"ev\":\"state\",\"keys\":{}}",
        "{\"ev\":\"sub\",\"denied\":[7]}", "{\"ev\":\"mark\",\"resume\":7}", "{\"ev\":\"upd\",\"ev\":\"upd\"}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        CHECK(tell(texts[i]) == VIEW_GO);
    CHECK_EQ_I64(view.updates, 0);
    end();
}

TEST(more_slots_than_can_be_remembered_are_still_shown)
{
    begin(false);
    char text[256];
    for (int i = 0; i < VIEW_SLOTS_MAX + 5; i++) {
        snprintf(text, sizeof(text), "{\"ev\":\"upd\",\"u\":[{\"k\":\"A%d\",\"v\":\"e.1\",\"d\":{\"currency\":\"NGN\"}}]}", i);
        view_message(&view, bgw_slice_str(text));
    }
    CHECK_EQ_I64(view.updates, VIEW_SLOTS_MAX + 5);
    CHECK_EQ_I64(view.slot_count, VIEW_SLOTS_MAX);
    end();
}
