/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that cannot say what they have seen: nothing that was not read on for, and never silence. */
#include "shard/shard_rig.h"

#include "shard/core.h"

static int replies; /* of counting_reply, as soon as they are made */

static void counting_reply(struct bgw_buf *out, const struct bgw_sub_reply *reply)
{
    replies++;
    rig_sub_reply(out, reply);
}

static struct bgw_dialect blind_dialect(void)
{
    struct bgw_dialect d = rig_dialect;
    d.blind = true;
    d.marks = false;
    d.sub_reply = counting_reply;
    return d;
}

static struct bgw_dialect blind;

/* A shard where somebody follows A, at version 5. */
static struct rig *rig_with_value(struct conn **follower)
{
    struct rig *r = rig_open();
    blind = blind_dialect();
    replies = 0;
    *follower = rig_follower(r, "A", 5, "100");
    return r;
}

static void end(struct rig *r, struct conn *a, struct conn *b)
{
    rig_hang(r, a);
    if (b)
        rig_hang(r, b);
    CHECK_IDENTITY();
    rig_end(r);
}

TEST(reply_comes_at_once_and_the_value_after_the_barrier)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind);
    rig_sub(r, c, 1, "A");
    CHECK_EQ_I64(replies, 1);
    rig_turn(r);
    SAID(c, "sub 1 ok=A current= denied=\n");
    CHECK_EQ_STR(rig_posted(r, r->command_count - 1), "BARRIER 1");
    rig_record(r, "A", "NGN", 6, "106");
    rig_turn(r);
    SAID(c, "");
    SAID(other, "upd A.NGN=106@e1.6\n");
    rig_barrier(r, 1);
    rig_turn(r);
    SAID(c, "upd A.NGN=106@e1.6+snap\nlive 1\n");
    rig_record(r, "A", "NGN", 7, "107");
    rig_turn(r);
    SAID(c, "upd A.NGN=107@e1.7\n");
    rig_pass(r, 1000);
    SAID(c, "");
    end(r, c, other);
}

TEST(value_that_comes_with_the_barrier_is_the_one_that_is_sent)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_forget(c);
    struct bgw_relay_entry e = rig_entry(r, "A", "NGN", 8, "108");
    e.records = 3;
    r->barrier_done = 1;
    rig_batch(r, &e, 1);
    rig_turn(r);
    SAID(c, "upd A.NGN=108@e1.8+snap+2\nlive 1\n");
    end(r, c, other);
}

TEST(value_goes_out_as_delayed_when_no_barrier_came_in_time_and_as_fresh_after_it)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_forget(c);
    rig_pass(r, 249);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "upd A.NGN=100@e1.5+snap\nstate delayed source_lagging 250 A\nlive 1\n");
    rig_record(r, "A", "NGN", 6, "106");
    rig_turn(r);
    SAID(c, "upd A.NGN=106@e1.6\n");
    rig_barrier(r, 1);
    rig_turn(r);
    SAID(c, "state fresh A\n");
    rig_record(r, "A", "NGN", 7, "107");
    rig_turn(r);
    SAID(c, "upd A.NGN=107@e1.7\n");
    end(r, c, other);
}

TEST(a_barrier_of_before_the_subscribe_proves_nothing)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind), *later = rig_connect_as(r, &blind);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_sub(r, later, 1, "A");
    rig_turn(r);
    rig_forget(c);
    rig_forget(later);
    rig_barrier(r, 1);
    rig_turn(r);
    SAID(c, "upd A.NGN=100@e1.5+snap\nlive 1\n");
    SAID(later, "");
    rig_barrier(r, 2);
    rig_turn(r);
    SAID(later, "upd A.NGN=100@e1.5+snap\nlive 1\n");
    rig_hang(r, later);
    end(r, c, other);
}

TEST(second_subscribe_withholds_nothing_again)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_barrier(r, 1);
    rig_turn(r);
    rig_forget(c);
    int posted = r->command_count;
    rig_sub(r, c, 2, "A");
    rig_record(r, "A", "NGN", 6, "106");
    rig_turn(r);
    SAID(c, "sub 2 ok=A current= denied=\nupd A.NGN=106@e1.6\nlive 2\n");
    CHECK_EQ_I64(r->command_count, posted);
    end(r, c, other);
}

TEST(subscribes_that_wait_for_one_barrier_are_all_live_after_it)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    int posted = r->command_count;
    rig_pass(r, 200);
    rig_sub(r, c, 2, "A");
    rig_turn(r);
    SAID(c, "sub 1 ok=A current= denied=\nsub 2 ok=A current= denied=\n");
    CHECK_EQ_I64(r->command_count, posted);
    rig_pass(r, 50); /* of the first: the second has not begun anything */
    SAID(c, "upd A.NGN=100@e1.5+snap\nstate delayed source_lagging 250 A\nlive 1\nlive 2\n");
    rig_barrier(r, 1);
    rig_turn(r);
    SAID(c, "state fresh A\n");
    end(r, c, other);
}

TEST(many_subscribes_of_one_turn_share_a_barrier)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind), *d = rig_connect_as(r, &blind);
    rig_sub(r, c, 1, "A");
    rig_sub(r, c, 2, "B,C");
    rig_sub(r, d, 1, "A,B");
    rig_turn(r);
    int barriers = 0;
    for (int i = 0; i < r->command_count; i++)
        barriers += r->commands[i].kind == BGW_HUB_BARRIER;
    CHECK_EQ_I64(barriers, 1);
    CHECK_EQ_STR(rig_posted(r, r->command_count - 1), "BARRIER 1"); /* after the watches of B and C */
    rig_hang(r, d);
    end(r, c, other);
}

TEST(unknown_key_is_told_after_the_barrier)
{
    struct rig *r = rig_open();
    blind = blind_dialect();
    struct conn *c = rig_connect_as(r, &blind);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_forget(c);
    rig_unknown(r, "A", "NGN", BGW_REASON_NO_SUCH_KEY);
    rig_turn(r);
    SAID(c, "");
    rig_barrier(r, 1);
    rig_turn(r);
    SAID(c, "state unknown no_such_account A\nlive 1\n");
    end(r, c, NULL);
}

TEST(unknown_key_is_told_after_the_wait_and_once)
{
    struct rig *r = rig_open();
    blind = blind_dialect();
    struct conn *c = rig_connect_as(r, &blind);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_forget(c);
    rig_unknown(r, "A", "NGN", BGW_REASON_SOURCE_UNAVAILABLE);
    rig_pass(r, 249);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "state unknown source_unavailable A\nlive 1\n");
    rig_record(r, "A", "NGN", 1, "7");
    rig_turn(r);
    SAID(c, "upd A.NGN=7@e1.1+snap\nstate delayed source_lagging 0 A\n");
    rig_barrier(r, 1);
    rig_turn(r);
    SAID(c, "state fresh A\n");
    end(r, c, NULL);
}

TEST(key_that_is_still_fetched_after_the_wait_comes_as_delayed)
{
    struct rig *r = rig_open();
    blind = blind_dialect();
    struct conn *c = rig_connect_as(r, &blind);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_forget(c);
    rig_pass(r, 300);
    SAID(c, "");
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(c, "upd A.NGN=100@e1.5+snap\nstate delayed source_lagging 0 A\nlive 1\n");
    rig_barrier(r, 1);
    rig_turn(r);
    SAID(c, "state fresh A\n");
    end(r, c, NULL);
}

TEST(key_that_is_still_fetched_after_the_barrier_comes_as_it_is)
{
    struct rig *r = rig_open();
    blind = blind_dialect();
    struct conn *c = rig_connect_as(r, &blind);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_forget(c);
    rig_barrier(r, 1);
    rig_pass(r, 300);
    SAID(c, "");
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(c, "upd A.NGN=100@e1.5+snap\nlive 1\n");
    end(r, c, NULL);
}

TEST(all_parts_of_a_key_wait_for_the_same_barrier)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind);
    rig_known(r, "A", "USD", 3, "30");
    rig_turn(r);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    SAID(c, "sub 1 ok=A current= denied=\n");
    rig_pass(r, 250);
    CHECK(strstr(c->log, "A.NGN=100@e1.5+snap") && strstr(c->log, "A.USD=30@e1.3+snap"));
    CHECK(strstr(c->log, "\nstate delayed source_lagging 250 A") && strstr(c->log, "A/USD"));
    CHECK(strstr(c->log, "\nlive 1\n"));
    rig_forget(c);
    rig_barrier(r, 1);
    rig_turn(r);
    CHECK(strncmp(c->log, "state fresh A", 13) == 0 && strstr(c->log, "A/USD") && !strstr(c->log, "upd"));
    end(r, c, other);
}

TEST(state_that_is_worse_than_delayed_is_told_as_it_is)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind);
    rig_restate(r, "A", "NGN", 5, "100", BGW_STATE_STALE, BGW_REASON_REREAD);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_forget(c);
    rig_pass(r, 250);
    SAID(c, "upd A.NGN=100@e1.5+snap\nstate stale reread 250 A\nlive 1\n");
    rig_barrier(r, 1);
    rig_turn(r);
    SAID(c, "");
    end(r, c, other);
}

TEST(part_that_is_named_later_waits_again_and_nothing_older_is_sent)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_barrier(r, 1);
    rig_turn(r);
    rig_forget(c);
    rig_sub(r, c, 2, "A/NGN");
    rig_record(r, "A", "NGN", 6, "106");
    rig_turn(r);
    SAID(c, "sub 2 ok=A/NGN current= denied=\n");
    rig_record(r, "A", "NGN", 7, "107");
    rig_barrier(r, 2);
    rig_turn(r);
    SAID(c, "upd A.NGN=107@e1.7+snap+1\nlive 2\n");
    end(r, c, other);
}

TEST(what_waits_may_be_given_up)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_unsub(r, c, 2, "A");
    rig_turn(r);
    SAID(c, "sub 1 ok=A current= denied=\nok 2\nlive 1\n");
    CHECK_EQ_I64(c->session->withheld, 0);
    rig_sub(r, c, 3, "A");
    rig_turn(r);
    rig_pass(r, 250);
    CHECK_EQ_I64(c->session->withheld, 0); /* labelled: nothing is held back */
    CHECK_EQ_I64(c->session->presented_count, 1);
    rig_unsub(r, c, 4, "A");
    rig_turn(r);
    CHECK_EQ_I64(c->session->presented_count, 0);
    rig_forget(c);
    rig_barrier(r, 2);
    rig_turn(r);
    SAID(c, "");
    end(r, c, other);
}

TEST(a_slow_connection_is_judged_when_it_is_written)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind);
    c->slow = true;
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    SAID(c, "sub 1 ok=A current= denied=\n");
    rig_barrier(r, 1);
    rig_pass(r, 300);
    rig_record(r, "A", "NGN", 6, "106");
    rig_turn(r);
    SAID(c, "");
    rig_wake(r, c);
    rig_turn(r);
    SAID(c, "upd A.NGN=106@e1.6+snap\nlive 1\n");
    end(r, c, other);
}

TEST(connection_that_goes_while_its_keys_wait_leaves_nothing)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind), *d = rig_connect_as(r, &blind);
    rig_sub(r, c, 1, "A,B");
    rig_turn(r);
    rig_sub(r, d, 1, "A,B");
    rig_turn(r);
    rig_hang(r, c);
    rig_pass(r, 250);
    rig_hang(r, d);
    rig_barrier(r, 2);
    rig_turn(r);
    CHECK(bgw_list_empty(&r->shard->unlabelled) && bgw_list_empty(&r->shard->labelled));
    end(r, other, NULL);
}

TEST(hub_that_cannot_even_be_asked_leaves_nobody_without_a_value)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind);
    r->posts_left = 0;
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    SAID(c, "sub 1 ok=A current= denied=\n");
    rig_pass(r, 250);
    SAID(c, "upd A.NGN=100@e1.5+snap\nstate delayed source_lagging 250 A\nlive 1\n");
    rig_pass(r, 10000);
    SAID(c, "");
    r->posts_left = -1;
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, r->command_count - 1), "BARRIER 1");
    rig_barrier(r, 1);
    rig_turn(r);
    SAID(c, "state fresh A\n");
    end(r, c, other);
}

TEST(budget_of_a_client_delays_the_value_and_not_the_truth)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind);
    bgw_session_rate(r->shard, c->session, 9, 1000, 0); /* one a second */
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_pass(r, 250);
    SAID(c, "ok 9\nsub 1 ok=A current= denied=\nupd A.NGN=100@e1.5+snap\nstate delayed source_lagging 250 A\nlive 1\n");
    rig_record(r, "A", "NGN", 6, "106");
    rig_turn(r);
    rig_barrier(r, 1);
    rig_turn(r);
    SAID(c, ""); /* what it holds is not fresh: the next one is */
    rig_pass(r, 1000);
    SAID(c, "upd A.NGN=106@e1.6\nstate fresh A\n");
    end(r, c, other);
}

TEST(resume_token_of_a_blind_client_counts_for_nothing)
{
    struct conn *other;
    struct rig *r = rig_with_value(&other);
    struct conn *c = rig_connect_as(r, &blind);
    bgw_session_hello(r->shard, c->session, NULL, bgw_slice_of(other->resume, other->resume_len), r->now);
    rig_sub(r, c, 1, "A");
    CHECK_EQ_I64(replies, 1);
    rig_turn(r);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_RESUME_ACCEPTED) + bgw_metric_read(BGW_M_RESUME_REFUSED), 0);
    end(r, c, other);
}
