/* SPDX-License-Identifier: Apache-2.0 */
/* Dialects with a rhythm of their own: heartbeats, silence, no marks, an id after each update. */
#include "shard/shard_rig.h"

#include "shard/core.h"

static struct bgw_dialect heart, ids;

static struct rig *rig_with_heart(void)
{
    struct rig *r = rig_make();
    r->config.limits.heartbeat_ms = 15000;
    r->config.limits.silence_ms = 30000;
    r->config.mark_ms = 5000;
    heart = rig_dialect;
    heart.heartbeat = true;
    heart.marks = false;
    return rig_start(r);
}

static void end(struct rig *r, struct conn *c)
{
    rig_hang(r, c);
    CHECK_IDENTITY();
    rig_end(r);
}

TEST(silence_of_ours_is_filled_and_nobody_has_to_answer)
{
    struct rig *r = rig_with_heart();
    struct conn *c = rig_connect_as(r, &heart);
    rig_pass(r, 14999);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "ping\n");
    for (int i = 0; i < 10; i++) {
        rig_pass(r, 14999);
        SAID(c, "");
        rig_pass(r, 1);
        SAID(c, "ping\n");
    }
    CHECK_EQ_I64(c->hung, 0);
    end(r, c);
}

TEST(whatever_is_said_is_a_heartbeat)
{
    struct rig *r = rig_with_heart();
    struct conn *c = rig_connect_as(r, &heart);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_known(r, "A", "NGN", 1, "1");
    rig_turn(r);
    rig_forget(c);
    for (uint64_t i = 2; i < 8; i++) {
        rig_pass(r, 10000);
        SAID(c, "");
        rig_record(r, "A", "NGN", i, "1");
        rig_turn(r);
        rig_forget(c);
    }
    rig_pass(r, 14999);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "ping\n");
    end(r, c);
}

TEST(heartbeat_that_is_due_on_a_slow_connection_is_not_added_to_other_words)
{
    struct rig *r = rig_with_heart();
    struct conn *c = rig_connect_as(r, &heart);
    c->slow = true;
    bgw_session_ping(r->shard, c->session, 1);
    rig_turn(r);
    SAID(c, "pong 1\n");
    rig_pass(r, 15000);
    SAID(c, "");
    bgw_session_ping(r->shard, c->session, 2);
    rig_wake(r, c);
    rig_turn(r);
    SAID(c, "pong 2\n");
    rig_pass(r, 14999);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "ping\n");
    end(r, c);
}

TEST(limits_that_change_reach_the_sessions_that_are_there)
{
    struct rig *r = rig_with_heart();
    struct conn *c = rig_connect_as(r, &heart);
    struct bgw_shard_limits limits = r->config.limits;
    limits.heartbeat_ms = 2000;
    limits.silence_ms = 5000;
    rig_pass(r, 1000);
    bgw_session_on_client_ping(r->shard, c->session);
    bgw_shard_set_limits(r->shard, &limits);
    rig_pass(r, 999);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "ping\n");
    rig_pass(r, 2999);
    SAID(c, "ping\n");
    rig_pass(r, 1);
    SAID(c, "bye 3012 0 client_silent\n");
    end(r, c);
}

TEST(client_that_has_pinged_and_then_is_silent_ends_with_3012)
{
    struct rig *r = rig_with_heart();
    struct conn *c = rig_connect_as(r, &heart);
    rig_pass(r, 20000);
    bgw_session_on_traffic(r->shard, c->session, r->now);
    bgw_session_on_client_ping(r->shard, c->session);
    rig_pass(r, 29999);
    CHECK_EQ_I64(c->hung, 0);
    bgw_session_on_traffic(r->shard, c->session, r->now);
    rig_pass(r, 29999);
    CHECK_EQ_I64(c->hung, 0);
    rig_forget(c);
    rig_pass(r, 1);
    CHECK(strstr(c->log, "bye 3012 0 client_silent\n"));
    CHECK_EQ_I64(c->hung, 3012);
    end(r, c);
}

TEST(client_that_never_pinged_may_be_silent)
{
    struct rig *r = rig_with_heart();
    struct conn *c = rig_connect_as(r, &heart);
    rig_pass(r, 600000);
    CHECK_EQ_I64(c->hung, 0);
    end(r, c);
}

TEST(client_whose_commands_are_not_read_is_not_silent)
{
    struct rig *r = rig_with_heart();
    struct conn *c = rig_connect_as(r, &heart);
    bgw_session_on_client_ping(r->shard, c->session);
    for (uint64_t i = 0; i < TICKETS_MAX / 2 + 1; i++)
        rig_sub(r, c, i, "A"); /* the hub says nothing */
    CHECK(bgw_session_choked(c->session));
    rig_pass(r, 40000);
    CHECK_EQ_I64(c->hung, 0);
    rig_known(r, "A", "NGN", 1, "1");
    rig_turn(r);
    CHECK(!bgw_session_choked(c->session));
    rig_pass(r, 30000);
    CHECK_EQ_I64(c->hung, 3012);
    end(r, c);
}

TEST(dialect_without_marks_hears_none)
{
    struct rig *r = rig_with_heart();
    struct conn *c = rig_connect_as(r, &heart), *native = rig_connect(r, 2, "*");
    rig_pass(r, 5000);
    CHECK(strncmp(native->log, "mark ", 5) == 0);
    SAID(c, "");
    rig_hang(r, native);
    end(r, c);
}

TEST(native_sessions_are_pinged_as_ever)
{
    struct rig *r = rig_with_heart();
    struct conn *c = rig_connect(r, 1, "A");
    rig_pass(r, 19999);
    CHECK(!strstr(c->log, "ping"));
    rig_pass(r, 1);
    CHECK(strstr(c->log, "ping\n"));
    rig_pass(r, 5000);
    CHECK_EQ_I64(c->hung, 3012);
    end(r, c);
}

/* ---- an id for each write ---- */

static size_t hashes[8]; /* how many each id carries, in their order */
static size_t id_count;

static void noting_mark(struct bgw_buf *out, struct bgw_slice w, uint64_t digest, struct bgw_slice resume)
{
    uint8_t raw[600];
    size_t len = 0;
    CHECK(w.len == 0 && digest == 0);
    CHECK(bgw_base64url_decode(resume, raw, sizeof(raw), &len) == BGW_OK);
    hashes[id_count++ % 8] = raw[34];
    bgw_buf_append_str(out, "|id|");
    rig_keep_token(resume);
}

static struct rig *rig_with_ids(void)
{
    ids = rig_dialect;
    ids.heartbeat = ids.id_each = true;
    ids.marks = false;
    ids.mark = noting_mark;
    id_count = 0;
    return rig_open();
}

TEST(each_write_of_updates_and_the_live_carry_an_id_of_what_was_sent_up_to_there)
{
    struct rig *r = rig_with_ids();
    struct conn *c = rig_connect_as(r, &ids);
    rig_sub(r, c, 1, "A,B");
    rig_turn(r);
    SAID(c, "sub 1 ok=A,B current= denied=\n|id|");
    rig_known(r, "A", "NGN", 5, "100");
    rig_known(r, "B", "NGN", 2, "20");
    rig_turn(r);
    SAID(c, "upd A.NGN=100@e1.5+snap B.NGN=20@e1.2+snap\n|id|live 1\n|id|");
    CHECK_EQ_I64(id_count, 3);
    CHECK(hashes[0] == 0 && hashes[1] == 2 && hashes[2] == 2);
    rig_record(r, "A", "NGN", 6, "106");
    rig_turn(r);
    SAID(c, "upd A.NGN=106@e1.6\n|id|");
    CHECK(hashes[3] == 2);
    end(r, c);
}

TEST(id_in_the_middle_of_a_snapshot_continues_with_the_rest)
{
    struct rig *r = rig_with_ids();
    struct conn *c = rig_connect_as(r, &ids);
    rig_sub(r, c, 1, "A,B");
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    CHECK_EQ_I64(id_count, 2); /* and then the connection broke */
    rig_known(r, "B", "NGN", 2, "20");
    struct conn *again = rig_connect_as(r, &ids);
    rig_writing = NULL;
    bgw_session_hello(r->shard, again->session, NULL, bgw_slice_of(c->resume, c->resume_len), r->now);
    rig_sub(r, again, 1, "A,B");
    rig_barrier(r, 1);
    rig_turn(r);
    CHECK(strstr(again->log, "sub 1 ok=B current=A denied=\nupd B.NGN=20@e1.2+snap\n|id|live 1\n|id|"));
    CHECK(hashes[(id_count - 1) % 8] == 2);
    CHECK(!(again->session->flags & SESSION_RESUMED)); /* its own ids say more by now */
    rig_hang(r, again);
    end(r, c);
}

TEST(write_that_is_full_ends_with_an_id_of_what_it_carries)
{
    ids = rig_dialect;
    ids.heartbeat = ids.id_each = true;
    ids.marks = false;
    ids.mark = noting_mark;
    id_count = 0;
    struct rig *r = rig_make();
    r->config.flush_bytes_max = 60; /* two entries and it is full */
    rig_start(r);
    struct conn *c = rig_connect_as(r, &ids);
    rig_sub(r, c, 1, "A,B,C,D,E");
    rig_turn(r);
    rig_forget(c);
    for (const char *key = "A\0B\0C\0D\0E\0"; *key; key += 2)
        rig_known(r, key, "NGN", 5, "100");
    rig_turn(r);
    CHECK_EQ_I64(c->sends, 2);
    SAID(c, "upd A.NGN=100@e1.5+snap B.NGN=100@e1.5+snap C.NGN=100@e1.5+snap\n|id|"
            "upd D.NGN=100@e1.5+snap E.NGN=100@e1.5+snap\n|id|live 1\n|id|");
    CHECK(hashes[1] == 3 && hashes[2] == 5 && hashes[3] == 5);
    end(r, c);
}

TEST(stream_that_broke_inside_its_first_write_is_shown_nothing_older_elsewhere)
{
    struct rig *r = rig_with_ids();
    struct conn *c = rig_connect_as(r, &ids);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    CHECK_EQ_I64(id_count, 1); /* with `sub`: whatever it is shown now, it has an id */
    struct conn *again = rig_connect_as(r, &ids);
    rig_writing = NULL;
    bgw_session_hello(r->shard, again->session, NULL, bgw_slice_of(c->resume, c->resume_len), r->now);
    rig_sub(r, again, 1, "A");
    rig_known(r, "A", "NGN", 4, "90"); /* less than the first replica knew, which said 5 and broke */
    rig_turn(r);
    CHECK(!strstr(again->log, "A.NGN"));
    rig_record(r, "A", "NGN", 5, "100");
    rig_barrier(r, 1);
    rig_turn(r);
    CHECK(strstr(again->log, "upd A.NGN=100@e1.5+snap\n|id|live 1\n|id|"));
    CHECK(!strstr(again->log, "e1.4"));
    rig_hang(r, again);
    end(r, c);
}
