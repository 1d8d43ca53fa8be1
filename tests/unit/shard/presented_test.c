/* SPDX-License-Identifier: Apache-2.0 */
/* Versions above ours, or of another epoch: never an older value, and never silence. */
#include "shard/shard_rig.h"

/* A client that holds version 9 where we have 5. */
static struct conn *client_ahead(struct rig *r)
{
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub_since(r, c, 1, "A", rig_version(r, 9));
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(c, "sub 1 ok=A current= denied=\n");
    CHECK_EQ_STR(rig_posted(r, r->command_count - 1), "BARRIER 1");
    return c;
}

TEST(version_above_ours_waits_and_is_then_reached)
{
    struct rig *r = rig_open();
    struct conn *c = client_ahead(r);
    rig_record(r, "A", "NGN", 8, "108");
    rig_turn(r);
    SAID(c, "");
    rig_record(r, "A", "NGN", 9, "109");
    rig_turn(r);
    SAID(c, "upd A.NGN=109@e1.9+snap+1\nlive 1\n");
    rig_barrier(r, 1);
    rig_turn(r);
    SAID(c, "");
    rig_hang(r, c);
    CHECK_IDENTITY();
    rig_end(r);
}

TEST(version_above_ours_is_told_as_delayed_in_time_and_live_goes_on)
{
    struct rig *r = rig_open();
    struct conn *c = client_ahead(r);
    rig_pass(r, 249);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "state delayed behind_client 250 A\nlive 1\n");
    rig_record(r, "A", "NGN", 8, "108");
    rig_turn(r);
    SAID(c, "");
    rig_record(r, "A", "NGN", 10, "110");
    rig_turn(r);
    SAID(c, "upd A.NGN=110@e1.10+snap+1\nstate fresh A\n");
    rig_hang(r, c);
    rig_end(r);
}

/* The second word of an update is "A.NGN=…@epoch.seq": where the epoch is. */
static const char *epoch_of(const struct conn *c, char out[16])
{
    const char *at = strchr(c->log, '@');
    snprintf(out, 16, "%.*s", at ? (int)strcspn(at + 1, ".") : 0, at ? at + 1 : "");
    return out;
}

TEST(version_still_above_ours_after_the_barrier_is_replaced_under_an_alias)
{
    struct rig *r = rig_open();
    struct conn *c = client_ahead(r), *other = rig_connect(r, 2, "*");
    char alias[16], again[16];
    rig_barrier(r, 1);
    rig_turn(r);
    epoch_of(c, alias);
    CHECK(*alias && strcmp(alias, "e1") != 0);
    CHECK(strncmp(c->log, "upd A.NGN=100@", 14) == 0 && strstr(c->log, ".5+snap\nlive 1\n"));
    rig_forget(c);
    rig_record(r, "A", "NGN", 6, "106");
    rig_turn(r);
    CHECK_EQ_STR(epoch_of(c, again), alias); /* as long as this connection is */
    CHECK(strstr(c->log, ".6\n"));
    rig_forget(c);
    rig_record(r, "A", "NGN", 12, "112");
    rig_turn(r);
    CHECK_EQ_STR(epoch_of(c, again), alias);
    rig_sub(r, other, 1, "A");
    rig_turn(r);
    SAID(other, "sub 1 ok=A current= denied=\nupd A.NGN=112@e1.12+snap\nlive 1\n"); /* nobody else's */
    rig_hang(r, c);
    rig_hang(r, other);
    rig_end(r);
}

/* The client subscribes again before it has read what was sent under the alias, which will replace what it presents. */
TEST(what_was_presented_is_not_current_once_an_alias_is_on_its_way)
{
    struct rig *r = rig_open();
    struct conn *c = client_ahead(r);
    char alias[16], again[16];
    rig_barrier(r, 1);
    rig_turn(r);
    epoch_of(c, alias);
    rig_record(r, "A", "NGN", 9, "109"); /* we have caught up */
    rig_turn(r);
    rig_forget(c);
    rig_sub_since(r, c, 2, "A", rig_version(r, 9));
    rig_turn(r);
    CHECK(strncmp(c->log, "sub 2 ok=A current= denied=\nupd A.NGN=109@", 42) == 0);
    CHECK_EQ_STR(epoch_of(c, again), alias);
    rig_hang(r, c);
    rig_end(r);
}

TEST(alias_versions_are_in_the_digest_and_not_in_the_token)
{
    struct rig *r = rig_make();
    r->config.mark_ms = 1000;
    rig_start(r);
    struct conn *c = client_ahead(r);
    char alias[16], text[64], expected[64];
    uint8_t raw[600];
    size_t len = 0;
    rig_barrier(r, 1);
    rig_turn(r);
    snprintf(text, sizeof(text), "A|NGN|%s.5", epoch_of(c, alias));
    rig_forget(c);
    rig_pass(r, 1000);
    snprintf(expected, sizeof(expected), "mark 2 %016" PRIx64 "\n", rig_hash(text));
    SAID(c, expected);
    CHECK(bgw_base64url_decode(bgw_slice_of(c->resume, c->resume_len), raw, sizeof(raw), &len) == BGW_OK);
    CHECK_EQ_I64(raw[34], 0);
    rig_hang(r, c);
    rig_end(r);
}

TEST(version_of_an_epoch_we_do_not_know_makes_the_hub_look_and_is_then_replaced)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    struct bgw_version strange = {bgw_epoch_pack(BGW_SLICE("zzzz")), 5, 0};
    rig_sub_since(r, c, 1, "A", strange);
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(c, "sub 1 ok=A current= denied=\n");
    CHECK_EQ_STR(rig_posted(r, 1), "BARRIER 1 refresh");
    rig_barrier(r, 1);
    rig_turn(r);
    SAID(c, "upd A.NGN=100@e1.5+snap\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(epoch_that_turns_out_to_be_the_newer_one_is_judged_by_its_order)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    struct bgw_version ahead = {bgw_epoch_pack(BGW_SLICE("e2")), 7, 0};
    rig_sub_since(r, c, 1, "A", ahead);
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    rig_forget(c);
    r->epoch = ahead.epoch;
    rig_known(r, "A", "NGN", 0, "100");
    rig_turn(r);
    SAID(c, "");
    rig_record(r, "A", "NGN", 7, "107");
    rig_turn(r);
    SAID(c, "upd A.NGN=107@e2.7+snap\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(presented_version_of_a_slot_without_value_is_kept_until_there_is_one)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub_since(r, c, 1, "A", rig_version(r, 9));
    rig_turn(r);
    rig_unknown(r, "A", "NGN", BGW_REASON_SOURCE_UNAVAILABLE);
    rig_turn(r);
    SAID(c, "sub 1 ok=A current= denied=\nstate unknown source_unavailable A\nlive 1\n");
    rig_record(r, "A", "NGN", 4, "40");
    rig_turn(r);
    SAID(c, "");
    rig_record(r, "A", "NGN", 9, "90");
    rig_turn(r);
    SAID(c, "upd A.NGN=90@e1.9+snap+1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(all_who_ask_in_one_turn_share_a_barrier_and_none_is_asked_for_nothing)
{
    struct rig *r = rig_open();
    struct conn *a = rig_follower(r, "A", 5, "100"), *c[3];
    for (int i = 0; i < 3; i++)
        c[i] = rig_connect(r, 2, "*");
    for (int i = 0; i < 3; i++)
        rig_sub_since(r, c[i], 1, "A", rig_version(r, i == 0 ? 5 : 9));
    rig_turn(r);
    CHECK_EQ_I64(r->command_count, 2);
    CHECK_EQ_STR(rig_posted(r, 1), "BARRIER 1");
    rig_hang(r, c[1]);
    rig_unsub(r, c[2], 2, "A"); /* whoever waits may go */
    rig_barrier(r, 1);
    rig_pass(r, 1000);
    CHECK(strstr(c[2]->log, "ok 2\nlive 1\n"));
    rig_hang(r, c[0]);
    rig_hang(r, c[2]);
    rig_hang(r, a);
    rig_end(r);
}

TEST(barrier_that_the_mailbox_refuses_is_asked_again_after_the_watches)
{
    struct rig *r = rig_open();
    struct conn *a = rig_follower(r, "A", 5, "100"), *c = rig_connect(r, 2, "*");
    r->posts_left = 0;
    rig_sub_since(r, c, 1, "A", rig_version(r, 9));
    rig_sub(r, c, 2, "B");
    rig_turn(r);
    r->posts_left = 1;
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 1), "WATCH B");
    CHECK_EQ_I64(r->command_count, 2);
    r->posts_left = -1;
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 2), "BARRIER 1");
    rig_hang(r, a);
    rig_hang(r, c);
    rig_end(r);
}

TEST(removed_while_it_waits_is_told_and_the_wait_is_over)
{
    struct rig *r = rig_make();
    r->config.mark_ms = 1000;
    rig_start(r);
    struct conn *c = client_ahead(r);
    struct bgw_relay_entry e = rig_entry(r, "A", "NGN", 10, NULL);
    e.state = BGW_STATE_REMOVED;
    e.records = 1;
    rig_batch(r, &e, 1);
    rig_turn(r);
    SAID(c, "state removed A\nlive 1\n");
    rig_pass(r, 1000);
    SAID(c, "mark 2 0000000000000000\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(unsub_of_one_name_leaves_what_the_other_one_presented)
{
    struct rig *r = rig_make();
    r->config.mark_ms = 1000;
    rig_start(r);
    struct conn *c = client_ahead(r);
    rig_sub_since(r, c, 2, "A/NGN", rig_version(r, 9));
    rig_unsub(r, c, 3, "A/NGN");
    rig_pass(r, 1000);
    CHECK(!strstr(c->log, "upd") && !strstr(c->log, "mark"));
    rig_forget(c);
    rig_record(r, "A", "NGN", 9, "109");
    rig_turn(r);
    CHECK(strstr(c->log, "upd A.NGN=109@e1.9+snap\n") && strstr(c->log, "mark 2 "));
    rig_hang(r, c);
    rig_end(r);
}

TEST(unsub_of_what_waits_lets_marks_go_on)
{
    struct rig *r = rig_make();
    r->config.mark_ms = 1000;
    rig_start(r);
    struct conn *c = client_ahead(r);
    rig_sub(r, c, 2, "A/USD");
    rig_turn(r);
    rig_known(r, "A", "USD", 1, "1");
    rig_turn(r);
    rig_unsub(r, c, 3, "A");
    rig_pass(r, 1000);
    CHECK(strstr(c->log, "ok 3\n") && strstr(c->log, "mark 2 ") && !strstr(c->log, "A.NGN"));
    rig_hang(r, c);
    rig_end(r);
}

TEST(no_mark_while_a_value_is_held_back)
{
    struct rig *r = rig_make();
    r->config.mark_ms = 1000;
    rig_start(r);
    struct conn *c = client_ahead(r);
    rig_pass(r, 3000);
    SAID(c, "state delayed behind_client 3000 A\nlive 1\n");
    rig_barrier(r, 1);
    rig_turn(r);
    CHECK(strstr(c->log, "upd A.NGN=100@") && strstr(c->log, "state fresh A\nmark 2 "));
    rig_hang(r, c);
    rig_end(r);
}

/* The token's word waits for a barrier, the version's for its number: neither is lost in the other. */
TEST(key_that_a_token_and_then_a_version_speak_of_is_live_in_the_end)
{
    struct rig *r = rig_open();
    struct conn *before = rig_follower(r, "A", 5, "100"), *c = rig_connect(r, 1, "*");
    rig_writing = NULL; /* its token, of before it subscribed to anything, is kept */
    bgw_session_hello(r->shard, c->session, NULL, bgw_slice_of(c->resume, c->resume_len), r->now);
    rig_sub(r, c, 1, "A");
    rig_sub_since(r, c, 2, "A", rig_version(r, 9));
    rig_turn(r);
    rig_barrier(r, 1);
    rig_turn(r);
    rig_forget(c);
    rig_record(r, "A", "NGN", 9, "109");
    rig_turn(r);
    rig_barrier(r, 2);
    rig_turn(r);
    CHECK(strstr(c->log, "A.NGN=109@e1.9+snap"));
    CHECK(strstr(c->log, "live 1\n") && strstr(c->log, "live 2\n"));
    rig_hang(r, before);
    rig_hang(r, c);
    CHECK_IDENTITY();
    rig_end(r);
}
