/* SPDX-License-Identifier: Apache-2.0 */
/* Marks: the watermark and the digest, only when nothing is pending. */
#include "shard/shard_rig.h"

static struct rig *rig_marking(void)
{
    struct rig *r = rig_make();
    r->config.mark_ms = 1000;
    return rig_start(r);
}

static const char *mark_of(uint64_t w, uint64_t digest)
{
    static char text[64];
    snprintf(text, sizeof(text), "mark %" PRIu64 " %016" PRIx64 "\n", w, digest);
    return text;
}

TEST(mark_carries_the_newest_batch_and_the_digest_of_what_was_sent)
{
    struct rig *r = rig_marking();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A,B");
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_known(r, "B", "NGN", 7, "200");
    rig_turn(r);
    rig_forget(c);
    rig_pass(r, 1000);
    SAID(c, mark_of(2, rig_hash("A|NGN|e1.5") ^ rig_hash("B|NGN|e1.7")));
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    rig_forget(c);
    rig_pass(r, 1000);
    SAID(c, mark_of(3, rig_hash("A|NGN|e1.6") ^ rig_hash("B|NGN|e1.7")));
    rig_unsub(r, c, 2, "B");
    rig_turn(r);
    rig_forget(c);
    rig_pass(r, 1000);
    SAID(c, mark_of(3, rig_hash("A|NGN|e1.6")));
    rig_hang(r, c);
    rig_end(r);
}

TEST(mark_that_is_due_soon_goes_along_with_a_write)
{
    struct rig *r = rig_marking();
    struct conn *c = rig_follower(r, "A", 5, "100");
    char expected[200];
    rig_pass(r, 1000);
    rig_forget(c);
    rig_pass(r, 700);
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    SAID(c, "upd A.NGN=101@e1.6\n"); /* it is not soon yet */
    rig_pass(r, 200);
    rig_forget(c);
    rig_record(r, "A", "NGN", 7, "102");
    rig_turn(r);
    snprintf(expected, sizeof(expected), "upd A.NGN=102@e1.7\n%s", mark_of(3, rig_hash("A|NGN|e1.7")));
    CHECK_EQ_I64(c->sends, 1);
    SAID(c, expected);
    rig_pass(r, 950);
    SAID(c, "");
    rig_pass(r, 100);
    SAID(c, mark_of(3, rig_hash("A|NGN|e1.7")));
    rig_hang(r, c);
    rig_end(r);
}

TEST(removed_slot_leaves_the_digest)
{
    struct rig *r = rig_marking();
    struct conn *c = rig_follower(r, "A", 5, "100");
    struct bgw_relay_entry e = rig_entry(r, "A", "NGN", 6, NULL);
    e.state = BGW_STATE_REMOVED;
    e.records = 1;
    rig_batch(r, &e, 1);
    rig_turn(r);
    rig_forget(c);
    rig_pass(r, 1000);
    SAID(c, mark_of(2, 0));
    rig_hang(r, c);
    rig_end(r);
}

TEST(slot_under_two_names_is_once_in_the_digest)
{
    struct rig *r = rig_marking();
    struct conn *c = rig_follower(r, "A", 5, "100");
    rig_sub(r, c, 2, "A/NGN");
    rig_pass(r, 1000);
    CHECK(strstr(c->log, mark_of(1, rig_hash("A|NGN|e1.5"))));
    rig_hang(r, c);
    rig_end(r);
}

TEST(mark_waits_for_a_slow_socket_and_follows_what_was_pending)
{
    struct rig *r = rig_marking();
    struct conn *c = rig_follower(r, "A", 5, "100");
    c->slow = true;
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    rig_record(r, "A", "NGN", 7, "102");
    rig_pass(r, 1000);
    SAID(c, "upd A.NGN=101@e1.6\n");
    rig_wake(r, c);
    rig_turn(r);
    char expected[128];
    snprintf(expected, sizeof(expected), "upd A.NGN=102@e1.7\n%s", mark_of(3, rig_hash("A|NGN|e1.7")));
    SAID(c, expected);
    rig_hang(r, c);
    rig_end(r);
}

TEST(mark_waits_for_a_limited_slot)
{
    struct rig *r = rig_marking();
    struct conn *c = rig_follower(r, "A", 5, "100");
    bgw_session_rate(r->shard, c->session, 2, 500, 0); /* once in two seconds */
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    SAID(c, "ok 2\nupd A.NGN=101@e1.6\n");
    rig_record(r, "A", "NGN", 7, "102");
    rig_pass(r, 1500);
    SAID(c, "");
    rig_pass(r, 500);
    char expected[128];
    snprintf(expected, sizeof(expected), "upd A.NGN=102@e1.7\n%s", mark_of(3, rig_hash("A|NGN|e1.7")));
    SAID(c, expected);
    rig_hang(r, c);
    rig_end(r);
}

TEST(mark_waits_for_a_reply_that_is_held_back)
{
    struct rig *r = rig_marking();
    struct conn *c = rig_follower(r, "A", 5, "100");
    rig_sub_since(r, c, 2, "B", rig_version(r, 1));
    rig_pass(r, 1000);
    SAID(c, "");
    rig_known(r, "B", "NGN", 1, "1");
    rig_turn(r);
    char expected[128];
    snprintf(expected, sizeof(expected), "sub 2 ok= current=B denied=\nlive 2\n%s",
             mark_of(2, rig_hash("A|NGN|e1.5") ^ rig_hash("B|NGN|e1.1")));
    SAID(c, expected);
    rig_hang(r, c);
    rig_end(r);
}
