/* SPDX-License-Identifier: Apache-2.0 */
/* sub and unsub: replies, watches, denials, what a key covers, `live`. */
#include "shard/shard_rig.h"

TEST(sub_is_answered_at_once_and_the_hub_hears_of_it)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "AB");
    rig_sub(r, c, 7, "A");
    rig_turn(r);
    SAID(c, "sub 7 ok=A current= denied=\n");
    CHECK_EQ_I64(r->command_count, 1);
    CHECK_EQ_STR(rig_posted(r, 0), "WATCH A");
    CHECK_EQ_I64(r->commands[0].shard, 3);
    CHECK_SLICE(bgw_slice_of(r->commands[0].name.tenant, r->commands[0].name.tenant_len), "t1");
    rig_hang(r, c);
    rig_end(r);
}

TEST(snapshot_comes_when_the_hub_answers_and_live_after_it)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A");
    rig_sub(r, c, 7, "A");
    rig_turn(r);
    rig_forget(c);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(c, "upd A.NGN=100@e1.5+snap\nlive 7\n");
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    SAID(c, "upd A.NGN=101@e1.6\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(live_waits_for_the_last_key)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 7, "A,B,C");
    rig_turn(r);
    rig_forget(c);
    rig_known(r, "A", "NGN", 5, "100");
    rig_known(r, "C", "NGN", 5, "300");
    rig_turn(r);
    SAID(c, "upd A.NGN=100@e1.5+snap C.NGN=300@e1.5+snap\n");
    rig_unknown(r, "B", "NGN", BGW_REASON_NO_SUCH_KEY);
    rig_turn(r);
    SAID(c, "state unknown no_such_account B\nlive 7\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(sub_without_keys_is_live_at_once)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A");
    rig_sub(r, c, 7, "");
    rig_sub(r, c, 8, "Z");
    rig_turn(r);
    SAID(c, "sub 7 ok= current= denied=\nsub 8 ok= current= denied=Z:no_grant\nlive 7\nlive 8\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(sub_twice_is_once_and_live_twice)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    rig_sub(r, c, 2, "A,A");
    rig_turn(r);
    SAID(c, "sub 2 ok=A,A current= denied=\nlive 2\n");
    CHECK_EQ_I64(r->command_count, 1);
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    SAID(c, "upd A.NGN=101@e1.6\n");
    struct bgw_shard_view view;
    bgw_shard_look(r->shard, &view);
    CHECK_EQ_I64(view.subscriptions, 1);
    rig_hang(r, c);
    rig_end(r);
}

TEST(second_subscriber_is_answered_from_the_shard_itself)
{
    struct rig *r = rig_open();
    struct conn *a = rig_follower(r, "A", 5, "100"), *b = rig_connect(r, 2, "A");
    rig_sub(r, b, 1, "A");
    rig_turn(r);
    SAID(b, "sub 1 ok=A current= denied=\nupd A.NGN=100@e1.5+snap\nlive 1\n");
    SAID(a, "");
    CHECK_EQ_I64(r->command_count, 1);
    rig_hang(r, a);
    rig_hang(r, b);
    rig_end(r);
}

TEST(denied_keys_are_named_with_their_reason_and_the_others_stay)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A");
    int64_t denied = bgw_metric_read(BGW_M_COMMAND_ERRORS_NO_GRANT);
    rig_sub(r, c, 7, "A,B,bad key");
    rig_turn(r);
    SAID(c, "sub 7 ok=A current= denied=B:no_grant,bad key:bad_id\n");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_COMMAND_ERRORS_NO_GRANT), denied + 1);
    CHECK_EQ_I64(r->command_count, 1);
    rig_hang(r, c);
    rig_end(r);
}

TEST(commands_that_cannot_be_are_answered_with_an_error)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A");
    struct bgw_sub_key keys[1001];
    for (int i = 0; i < 1001; i++)
        keys[i] = rig_key("A");
    bgw_session_sub(r->shard, c->session, 1, BGW_SLICE("weather"), keys, 1);
    bgw_session_sub(r->shard, c->session, 2, BGW_SLICE("balance"), keys, 1001);
    bgw_session_unsub(r->shard, c->session, 3, BGW_SLICE("weather"), keys, 1);
    rig_turn(r);
    SAID(c, "err 1 unknown_feed\nerr 2 too_large\nerr 3 unknown_feed\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(feeds_do_not_mix)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A");
    struct bgw_sub_key key = rig_key("A");
    bgw_session_sub(r->shard, c->session, 1, BGW_SLICE("prices"), &key, 1);
    rig_turn(r);
    CHECK_EQ_I64(r->commands[0].name.feed, 1);
    rig_known(r, "A", "BID", 5, "7");
    bgw_session_sub(r->shard, c->session, 2, BGW_SLICE(""), &key, 1); /* no name: the first feed */
    rig_turn(r);
    CHECK_EQ_I64(r->commands[1].name.feed, 0);
    CHECK(r->commands[0].group != r->commands[1].group);
    rig_known(r, "A", "NGN", 1, "1");
    rig_turn(r);
    SAID(c, "sub 1 ok=A current= denied=\nsub 2 ok=A current= denied=\nupd A.BID=7@e1.5+snap\nlive 1\n"
            "upd A.NGN=1@e1.1+snap\nlive 2\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(keys_beyond_the_session_limit_are_denied_and_room_comes_back)
{
    struct rig *r = rig_make();
    r->config.limits.keys_per_session_max = 2;
    rig_start(r);
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A,B,C,A");
    rig_unsub(r, c, 2, "A");
    rig_sub(r, c, 3, "C");
    rig_turn(r);
    SAID(c, "sub 1 ok=A,B,A current= denied=C:too_many_keys\nok 2\nsub 3 ok=C current= denied=\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(whole_key_covers_every_part_that_a_source_names)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_forget(c);
    rig_known(r, "A", "USD", 2, "20");
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(c, "upd A.NGN=100@e1.5+snap A.USD=20@e1.2+snap\nlive 1\n");
    rig_record(r, "A", "EUR", 1, "3");
    rig_turn(r);
    SAID(c, "upd A.EUR=3@e1.1+snap\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(named_part_is_that_slot_alone_and_is_asked_for)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A/USD");
    rig_turn(r);
    rig_forget(c);
    CHECK_EQ_STR(rig_posted(r, 0), "WATCH A/USD");
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(c, "");
    rig_known(r, "A", "USD", 2, "20");
    rig_turn(r);
    SAID(c, "upd A.USD=20@e1.2+snap\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(part_that_somebody_else_names_first_reaches_whole_key_subscribers)
{
    struct rig *r = rig_open();
    struct conn *whole = rig_follower(r, "A", 5, "100"), *named = rig_connect(r, 2, "*");
    rig_sub(r, named, 1, "A/USD");
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 1), "WATCH A/USD");
    rig_known(r, "A", "USD", 2, "20");
    rig_turn(r);
    SAID(whole, "upd A.USD=20@e1.2+snap\n");
    rig_hang(r, whole);
    rig_hang(r, named);
    rig_end(r);
}

TEST(unknown_part_of_others_does_not_hold_up_live_of_the_whole_key)
{
    struct rig *r = rig_open();
    struct conn *named = rig_connect(r, 2, "*"), *whole = rig_connect(r, 1, "*");
    rig_sub(r, named, 1, "A/USD");
    rig_sub(r, whole, 1, "A");
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(whole, "sub 1 ok=A current= denied=\nupd A.NGN=100@e1.5+snap\nlive 1\n");
    rig_unknown(r, "A", "USD", BGW_REASON_NO_SUCH_KEY);
    rig_turn(r);
    SAID(whole, "");
    SAID(named, "sub 1 ok=A/USD current= denied=\nstate unknown no_such_account A/USD\nlive 1\n");
    rig_hang(r, whole);
    rig_hang(r, named);
    rig_end(r);
}

TEST(slot_covered_twice_is_sent_once_and_unsub_of_one_name_leaves_the_other)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A,A/USD");
    rig_turn(r);
    rig_known(r, "A", "USD", 2, "20");
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(c, "sub 1 ok=A,A/USD current= denied=\nupd A.NGN=100@e1.5+snap A.USD=20@e1.2+snap\nlive 1\n");
    rig_unsub(r, c, 2, "A");
    rig_record(r, "A", "NGN", 6, "101");
    rig_record(r, "A", "USD", 3, "21");
    rig_turn(r);
    SAID(c, "ok 2\nupd A.USD=21@e1.3\n");
    CHECK_EQ_I64(r->command_count, 2); /* both watches, no unwatch */
    rig_hang(r, c);
    rig_end(r);
}

TEST(new_name_for_a_slot_that_is_followed_already_is_answered_too)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    rig_sub(r, c, 2, "A/NGN");
    rig_turn(r);
    SAID(c, "sub 2 ok=A/NGN current= denied=\nupd A.NGN=100@e1.5+snap\nlive 2\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(unsub_ends_it_and_the_last_one_out_unwatches)
{
    struct rig *r = rig_open();
    struct conn *a = rig_follower(r, "A", 5, "100"), *b = rig_connect(r, 2, "*");
    rig_sub(r, b, 1, "A");
    rig_turn(r);
    rig_forget(b);
    rig_unsub(r, a, 2, "A");
    rig_turn(r);
    CHECK_EQ_I64(r->command_count, 1);
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    SAID(a, "ok 2\n");
    SAID(b, "upd A.NGN=101@e1.6\n");
    uint64_t group = rig_ref(r, "A");
    rig_unsub(r, b, 2, "A");
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 1), "UNWATCH A");
    CHECK_EQ_I64(r->commands[1].group, group);
    rig_hang(r, a);
    rig_hang(r, b);
    rig_end(r);
}

TEST(unsub_of_what_is_not_subscribed_is_ok_and_of_nonsense_is_an_error)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    rig_unsub(r, c, 2, "B,A/USD");
    rig_unsub(r, c, 3, "A,bad key");
    rig_turn(r);
    SAID(c, "ok 2\nerr 3 bad_id\n");
    CHECK_EQ_STR(rig_posted(r, 1), "UNWATCH A");
    rig_hang(r, c);
    rig_end(r);
}

TEST(unsub_before_the_answer_lets_live_go_on)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A,B");
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    rig_forget(c);
    rig_unsub(r, c, 2, "B");
    rig_turn(r);
    SAID(c, "ok 2\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(entry_that_comes_after_the_end_of_a_watch_is_dropped)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    uint64_t old = rig_ref(r, "A");
    struct bgw_relay_entry late = rig_entry(r, "A", "NGN", 9, "900");
    rig_unsub(r, c, 2, "A");
    rig_turn(r);
    rig_sub(r, c, 3, "A");
    rig_turn(r);
    CHECK(rig_ref(r, "A") != old);
    rig_forget(c);
    rig_batch(r, &late, 1);
    rig_turn(r);
    SAID(c, "");
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(c, "upd A.NGN=100@e1.5+snap\nlive 3\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(key_that_is_wanted_again_before_the_hub_heard_of_the_end_goes_on)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    rig_unsub(r, c, 2, "A");
    rig_sub(r, c, 3, "A");
    rig_turn(r);
    SAID(c, "ok 2\nsub 3 ok=A current= denied=\nupd A.NGN=100@e1.5+snap\nlive 3\n");
    CHECK_EQ_I64(r->command_count, 1);
    rig_hang(r, c);
    rig_end(r);
}

TEST(what_a_full_mailbox_refuses_is_posted_later_and_in_order)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    struct bgw_shard_view view;
    r->posts_left = 0;
    rig_unsub(r, c, 2, "A");
    rig_sub(r, c, 3, "B,C");
    rig_turn(r);
    bgw_shard_look(r->shard, &view);
    CHECK(view.hub_behind);
    CHECK(bgw_shard_tick(r->shard, r->now) <= 5);
    CHECK_EQ_I64(r->command_count, 1);
    r->posts_left = 2;
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 1), "UNWATCH A");
    CHECK_EQ_STR(rig_posted(r, 2), "WATCH B");
    r->posts_left = -1;
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 3), "WATCH C");
    CHECK_EQ_I64(r->command_count, 4);
    bgw_shard_look(r->shard, &view);
    CHECK(!view.hub_behind);
    rig_hang(r, c);
    rig_end(r);
}

TEST(tenants_are_apart)
{
    struct rig *r = rig_open();
    struct bgw_claims other = rig_claims(1, "A");
    snprintf(other.tenant, sizeof(other.tenant), "t2");
    struct conn *a = rig_follower(r, "A", 5, "100"), *b = rig_connect_with(r, &other);
    bgw_claims_deinit(&other);
    rig_sub(r, b, 1, "A");
    rig_turn(r);
    CHECK_EQ_I64(r->command_count, 2);
    CHECK_SLICE(bgw_slice_of(r->commands[1].name.tenant, r->commands[1].name.tenant_len), "t2");
    rig_forget(b);
    rig_known(r, "A", "NGN", 1, "7");
    rig_turn(r);
    SAID(b, "upd A.NGN=7@e1.1+snap\nlive 1\n");
    SAID(a, "");
    rig_hang(r, a);
    rig_hang(r, b);
    rig_end(r);
}

TEST(subscribes_without_live_are_bounded)
{
    struct rig *r = rig_make();
    r->config.control_bytes_max = 1 << 20;
    rig_start(r);
    struct conn *c = rig_connect(r, 1, "A");
    for (uint64_t i = 1; i <= 256; i++) {
        CHECK(bgw_session_choked(c->session) == (i > 129));
        rig_sub(r, c, i, "A");
    }
    rig_turn(r);
    rig_forget(c);
    rig_sub(r, c, 257, "A");
    rig_turn(r);
    SAID(c, "err 257 too_many_keys\n");
    rig_known(r, "A", "NGN", 1, "7");
    rig_turn(r);
    CHECK(strstr(c->log, "live 256\n"));
    CHECK(!bgw_session_choked(c->session));
    rig_hang(r, c);
    rig_end(r);
}

TEST(long_keys_and_many_groups_are_found_again)
{
    struct rig *r = rig_make();
    r->config.limits.keys_per_session_max = 1000;
    rig_start(r);
    struct conn *c = rig_connect(r, 1, "*");
    char key[80], expected[128];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "%0*d", i % 2 ? 64 : 8, i);
        rig_sub(r, c, (uint64_t)i, key);
        rig_turn(r);
    }
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "%0*d", i % 2 ? 64 : 8, i);
        rig_forget(c);
        rig_known(r, key, "NGN", 1, "7");
        rig_turn(r);
        snprintf(expected, sizeof(expected), "upd %s.NGN=7@e1.1+snap\nlive %d\n", key, i);
        SAID(c, expected);
    }
    rig_hang(r, c);
    rig_turn(r);
    CHECK_EQ_I64(r->command_count, 400);
    struct bgw_shard_view view;
    bgw_shard_look(r->shard, &view);
    CHECK_EQ_I64(view.groups, 0);
    rig_end(r);
}
