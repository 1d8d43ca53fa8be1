/* SPDX-License-Identifier: Apache-2.0 */
/* `current`: by a presented version or by a resume token, and by nothing else. */
#include "shard/shard_rig.h"

/* What a client of this subject was sent in a mark: a token of another replica with the same key. */
static void token_of(struct rig *r, struct conn *keep, uint64_t subject, const char *const *values, size_t count)
{
    struct conn *c = rig_connect(r, subject, "*");
    char key[2] = "A";
    for (size_t i = 0; i < count; i++, key[0]++) {
        rig_sub(r, c, i + 1, key);
        rig_turn(r);
        rig_known(r, key, "NGN", 5, values[i]);
    }
    rig_writing = keep;
    rig_pass(r, r->config.mark_ms);
    rig_hang(r, c);
    rig_turn(r);
    CHECK(keep->resume_len > 0);
}

static struct rig *rig_marking(void)
{
    struct rig *r = rig_make();
    r->config.mark_ms = 1000;
    return rig_start(r);
}

/* A session that says hello with the token and subscribes to A and B; its reply waits for a barrier. */
static struct conn *resume_with(struct rig *r, uint64_t subject, const struct conn *token)
{
    struct conn *c = rig_connect(r, subject, "*");
    bgw_session_hello(r->shard, c->session, NULL, bgw_slice_of(token->resume, token->resume_len), r->now);
    rig_sub(r, c, 1, "A,B");
    rig_turn(r);
    return c;
}

static void let_barrier_through(struct rig *r)
{
    rig_barrier(r, r->commands[r->command_count - 1].ticket);
    rig_turn(r);
}

TEST(presented_version_that_is_the_newest_is_current_and_nothing_is_sent)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub_since(r, c, 1, "A", rig_version(r, 5));
    rig_turn(r);
    SAID(c, ""); /* the reply waits until the hub has been heard */
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(c, "sub 1 ok= current=A denied=\nlive 1\n");
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    SAID(c, "upd A.NGN=101@e1.6\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(reply_is_not_late_where_the_slot_is_known_already)
{
    struct rig *r = rig_open();
    struct conn *a = rig_follower(r, "A", 5, "100"), *c = rig_connect(r, 2, "*");
    rig_sub_since(r, c, 1, "A", rig_version(r, 5));
    rig_turn(r);
    SAID(c, "sub 1 ok= current=A denied=\nlive 1\n");
    rig_hang(r, a);
    rig_hang(r, c);
    rig_end(r);
}

TEST(older_version_gets_the_newest_as_a_snapshot)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub_since(r, c, 1, "A", rig_version(r, 4));
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(c, "sub 1 ok=A current= denied=\nupd A.NGN=100@e1.5+snap\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(current_key_that_is_not_fresh_is_told_so)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub_since(r, c, 1, "A", rig_version(r, 5));
    rig_turn(r);
    rig_restate(r, "A", "NGN", 5, "100", BGW_STATE_STALE, BGW_REASON_UNREADABLE_RECORD);
    rig_turn(r);
    SAID(c, "sub 1 ok= current=A denied=\nstate stale unreadable_record 0 A\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(current_key_is_part_of_the_digest)
{
    struct rig *r = rig_marking();
    struct conn *c = rig_connect(r, 1, "*");
    char expected[64];
    rig_sub_since(r, c, 1, "A", rig_version(r, 5));
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    rig_forget(c);
    rig_pass(r, 1000);
    snprintf(expected, sizeof(expected), "mark 1 %016" PRIx64 "\n", rig_hash("A|NGN|e1.5"));
    SAID(c, expected);
    rig_hang(r, c);
    rig_end(r);
}

static void sub_two_parts(struct rig *r, struct conn *c, uint64_t usd)
{
    struct bgw_since since[2] = {{bgw_part_of(BGW_SLICE("NGN")), rig_version(r, 5)},
                                 {bgw_part_of(BGW_SLICE("USD")), rig_version(r, usd)}};
    struct bgw_sub_key k = rig_key("A");
    k.since = since;
    k.since_count = 2;
    bgw_session_sub(r->shard, c->session, 1, BGW_SLICE("balance"), &k, 1);
    rig_turn(r);
}

TEST(whole_key_is_current_only_if_each_of_its_slots_is)
{
    for (uint64_t usd = 2; usd <= 3; usd++) {
        struct rig *r = rig_open();
        struct conn *c = rig_connect(r, 1, "*");
        sub_two_parts(r, c, usd);
        rig_known(r, "A", "USD", 3, "20");
        rig_known(r, "A", "NGN", 5, "100");
        rig_turn(r);
        if (usd == 3)
            SAID(c, "sub 1 ok= current=A denied=\nlive 1\n");
        else
            SAID(c, "sub 1 ok=A current= denied=\nupd A.NGN=100@e1.5+snap A.USD=20@e1.3+snap\nlive 1\n");
        rig_hang(r, c);
        rig_end(r);
    }
}

TEST(key_with_a_slot_that_we_do_not_know_is_not_current)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    sub_two_parts(r, c, 3);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(c, "sub 1 ok=A current= denied=\nupd A.NGN=100@e1.5+snap\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(whole_key_version_applies_to_the_only_slot_where_the_default_part_has_none)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub_since(r, c, 1, "A", rig_version(r, 3));
    rig_turn(r);
    rig_known(r, "A", "USD", 3, "20");
    rig_unknown(r, "A", "NGN", BGW_REASON_NO_SUCH_KEY);
    rig_turn(r);
    SAID(c, "sub 1 ok= current=A denied=\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(version_of_a_named_part_is_that_of_its_slot)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub_since(r, c, 1, "A/USD", rig_version(r, 3));
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_known(r, "A", "USD", 3, "20");
    rig_turn(r);
    SAID(c, "sub 1 ok= current=A/USD denied=\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(current_is_decided_when_it_is_written)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "B", 1, "1");
    c->slow = true;
    rig_record(r, "B", "NGN", 2, "2");
    rig_turn(r);
    rig_forget(c);
    rig_sub_since(r, c, 2, "A", rig_version(r, 5));
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    rig_record(r, "A", "NGN", 6, "101"); /* while the reply waits for the socket */
    rig_wake(r, c);
    rig_turn(r);
    SAID(c, "sub 2 ok=A current= denied=\nupd A.NGN=101@e1.6+snap\nlive 2\n");
    rig_hang(r, c);
    CHECK_IDENTITY();
    rig_end(r);
}

TEST(sub_again_with_an_older_version_is_sent_the_value_again)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    rig_sub_since(r, c, 2, "A", rig_version(r, 3));
    rig_turn(r);
    SAID(c, "sub 2 ok=A current= denied=\nupd A.NGN=100@e1.5+snap\nlive 2\n");
    rig_sub_since(r, c, 3, "A", rig_version(r, 5));
    rig_turn(r);
    SAID(c, "sub 3 ok= current=A denied=\nlive 3\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(resume_token_makes_untouched_keys_current)
{
    struct rig *r = rig_marking();
    struct conn *token = rig_conn();
    token_of(r, token, 1, (const char *const[]){"100", "200"}, 2);
    int64_t accepted = bgw_metric_read(BGW_M_RESUME_ACCEPTED);
    rig_writing = NULL;
    struct conn *c = resume_with(r, 1, token);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_RESUME_ACCEPTED) - accepted, 1);
    rig_known(r, "A", "NGN", 5, "100");
    rig_known(r, "B", "NGN", 6, "201");
    rig_turn(r);
    rig_forget(c);
    let_barrier_through(r);
    SAID(c, "sub 1 ok=B current=A denied=\nupd B.NGN=201@e1.6+snap\nlive 1\n");
    rig_unsub(r, c, 2, "A"); /* evidence counts once */
    rig_sub(r, c, 3, "A");
    rig_turn(r);
    let_barrier_through(r);
    SAID(c, "ok 2\nsub 3 ok=A current= denied=\nupd A.NGN=100@e1.5+snap\nlive 3\n");
    rig_hang(r, c);
    rig_free(token);
    rig_end(r);
}

TEST(two_names_of_one_slot_rest_on_the_same_token)
{
    struct rig *r = rig_marking();
    struct conn *token = rig_conn();
    token_of(r, token, 1, (const char *const[]){"100"}, 1);
    rig_writing = NULL;
    struct conn *c = rig_connect(r, 1, "*");
    bgw_session_hello(r->shard, c->session, NULL, bgw_slice_of(token->resume, token->resume_len), r->now);
    rig_sub(r, c, 1, "A,A/NGN");
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    rig_forget(c);
    let_barrier_through(r);
    SAID(c, "sub 1 ok= current=A,A/NGN denied=\nlive 1\n");
    rig_hang(r, c);
    rig_free(token);
    rig_end(r);
}

TEST(resume_token_of_another_subject_or_with_a_changed_byte_yields_nothing)
{
    for (int i = 0; i < 4; i++) {
        struct rig *r = rig_marking();
        struct conn *token = rig_conn();
        token_of(r, token, 1, (const char *const[]){"100", "200"}, 2);
        int64_t refused = bgw_metric_read(BGW_M_RESUME_REFUSED);
        if (i == 1)
            token->resume[60] = token->resume[60] == 'x' ? 'y' : 'x';
        if (i == 2)
            token->resume_len -= 4;
        if (i == 3)
            token->resume_len = 5;
        rig_writing = NULL;
        struct conn *c = resume_with(r, i == 0 ? 2 : 1, token);
        CHECK_EQ_I64(bgw_metric_read(BGW_M_RESUME_REFUSED) - refused, 1);
        rig_forget(c);
        rig_known(r, "A", "NGN", 5, "100");
        rig_known(r, "B", "NGN", 5, "200");
        rig_turn(r);
        SAID(c, "upd A.NGN=100@e1.5+snap B.NGN=200@e1.5+snap\nlive 1\n");
        rig_hang(r, c);
        rig_free(token);
        rig_end(r);
    }
}

TEST(command_that_presents_versions_is_judged_by_them_alone)
{
    struct rig *r = rig_marking();
    struct conn *token = rig_conn();
    token_of(r, token, 1, (const char *const[]){"100", "200"}, 2);
    rig_writing = NULL;
    struct conn *c = rig_connect(r, 1, "*");
    bgw_session_hello(r->shard, c->session, NULL, bgw_slice_of(token->resume, token->resume_len), r->now);
    struct bgw_since since = {.version = rig_version(r, 5)};
    struct bgw_sub_key keys[2] = {rig_key("A"), rig_key("B")};
    keys[0].since = &since;
    keys[0].since_count = 1;
    bgw_session_sub(r->shard, c->session, 1, BGW_SLICE("balance"), keys, 2);
    rig_turn(r);
    rig_forget(c);
    rig_known(r, "A", "NGN", 5, "100");
    rig_known(r, "B", "NGN", 5, "200");
    rig_turn(r);
    SAID(c, "sub 1 ok=B current=A denied=\nupd B.NGN=200@e1.5+snap\nlive 1\n");
    rig_hang(r, c);
    rig_free(token);
    rig_end(r);
}

TEST(token_carries_at_most_64_slots_and_says_whether_it_is_complete)
{
    for (int count = 64; count <= 65; count++) {
        struct rig *r = rig_make();
        r->config.mark_ms = 1000;
        r->config.limits.keys_per_session_max = 100;
        rig_start(r);
        struct conn *c = rig_connect(r, 1, "*");
        char key[24];
        uint8_t raw[600];
        size_t len = 0;
        for (int i = 0; i < count; i++) {
            snprintf(key, sizeof(key), "K%d", i);
            rig_sub(r, c, (uint64_t)i, key);
            rig_turn(r);
            rig_known(r, key, "NGN", 1, "1");
        }
        rig_pass(r, 1000);
        CHECK(bgw_base64url_decode(bgw_slice_of(c->resume, c->resume_len), raw, sizeof(raw), &len) == BGW_OK);
        CHECK_EQ_I64(len, 35 + 8 * 64 + 16);
        CHECK_EQ_I64(raw[0], 1);
        CHECK_EQ_I64(raw[33], count == 64);
        CHECK_EQ_I64(raw[34], 64);
        rig_hang(r, c);
        rig_end(r);
    }
}

TEST(reply_that_waits_survives_the_end_of_its_keys_and_of_its_session)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*"), *d = rig_connect(r, 2, "*");
    rig_sub_since(r, c, 1, "A", rig_version(r, 5));
    rig_sub_since(r, d, 1, "A", rig_version(r, 5));
    rig_unsub(r, c, 2, "A");
    rig_turn(r);
    SAID(c, "ok 2\nsub 1 ok=A current= denied=\nlive 1\n");
    rig_hang(r, c);
    rig_hang(r, d);
    rig_end(r);
}
