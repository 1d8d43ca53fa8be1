/* SPDX-License-Identifier: Apache-2.0 */
/* The ids of a stream: they speak of all its accounts, also while it is being continued. */
#include "shard/shard_rig.h"

#include "shard/core.h"

static struct bgw_dialect stream;
static char last_id[4096];
static size_t last_len;

static void keeping_mark(struct bgw_buf *out, struct bgw_slice w, uint64_t digest, struct bgw_slice resume)
{
    (void)out, (void)w, (void)digest;
    CHECK(resume.len < sizeof(last_id));
    memcpy(last_id, resume.data, resume.len);
    last_len = resume.len;
}

static struct rig *rig_with_streams(void)
{
    struct rig *r = rig_make();
    r->config.limits.keys_per_session_max = 2 * RESUME_HASHES_MAX;
    stream = rig_dialect;
    stream.id_each = true;
    stream.marks = false;
    stream.mark = keeping_mark;
    last_len = 0;
    return rig_start(r);
}

static struct conn *come_again(struct rig *r, const char *keys)
{
    struct conn *c = rig_connect_as(r, &stream);
    rig_writing = NULL;
    bgw_session_hello(r->shard, c->session, NULL, bgw_slice_of(last_id, last_len), r->now);
    rig_turn(r);
    rig_forget(c);
    rig_sub(r, c, 1, keys);
    rig_turn(r);
    return c;
}

static size_t hashes_in_id(void)
{
    uint8_t raw[2000];
    size_t len = 0;
    CHECK(bgw_base64url_decode(bgw_slice_of(last_id, last_len), raw, sizeof(raw), &len) == BGW_OK);
    return raw[34];
}

/* No watermark comes in time: the stream goes live without a word of what it held, and is cut again. */
TEST(what_was_held_before_is_in_the_id_until_it_is_judged)
{
    struct rig *r = rig_with_streams();
    struct conn *c = rig_connect_as(r, &stream);
    rig_sub(r, c, 1, "A,B");
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_known(r, "B", "NGN", 5, "200");
    rig_turn(r);
    struct conn *second = come_again(r, "A,B");
    SAID(second, "");
    last_len = 0;
    rig_pass(r, r->config.barrier_wait_ms);
    CHECK(strstr(second->log, "sub 1 ok=A,B current= denied=\n") && strstr(second->log, "live 1\n"));
    CHECK(strstr(second->log, "upd") == NULL);
    CHECK_EQ_I64(hashes_in_id(), 2);
    struct conn *third = come_again(r, "A,B");
    rig_barrier(r, r->shard->barrier_asked);
    rig_turn(r);
    SAID(third, "sub 1 ok= current=A,B denied=\nlive 1\n");
    rig_hang(r, third);
    rig_hang(r, second);
    rig_hang(r, c);
    CHECK_IDENTITY();
    rig_end(r);
}

TEST(what_was_judged_leaves_the_id)
{
    struct rig *r = rig_with_streams();
    struct conn *c = rig_connect_as(r, &stream);
    rig_sub(r, c, 1, "A,B");
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_known(r, "B", "NGN", 5, "200");
    rig_turn(r);
    char older[sizeof(last_id)];
    size_t older_len = last_len;
    memcpy(older, last_id, older_len);
    rig_record(r, "B", "NGN", 6, "201");
    rig_turn(r);
    memcpy(last_id, older, older_len);
    struct conn *second = come_again(r, "A,B");
    rig_barrier(r, r->shard->barrier_asked);
    rig_turn(r);
    SAID(second, "sub 1 ok=B current=A denied=\nupd B.NGN=201@e1.6+snap\nlive 1\n");
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    CHECK_EQ_I64(hashes_in_id(), 2); /* A and B as they are now */
    rig_hang(r, second);
    rig_hang(r, c);
    rig_end(r);
}

static size_t list_of(char *out, size_t cap, size_t count)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(out + len, cap - len, "%sK%03zu", i ? "," : "", i);
    return len;
}

TEST(an_id_speaks_of_two_hundred_accounts)
{
    struct rig *r = rig_with_streams();
    struct conn *c = rig_connect_as(r, &stream);
    char keys[2048];
    CHECK(list_of(keys, sizeof(keys), RESUME_HASHES_MAX) < sizeof(keys));
    rig_sub(r, c, 1, keys);
    rig_turn(r);
    for (size_t i = 0; i < RESUME_HASHES_MAX; i++) {
        char key[8];
        snprintf(key, sizeof(key), "K%03zu", i);
        rig_known(r, key, "NGN", 5, "1");
    }
    for (int i = 0; i < 10; i++)
        rig_turn(r);
    CHECK_EQ_I64(hashes_in_id(), RESUME_HASHES_MAX);
    struct conn *again = come_again(r, keys);
    rig_barrier(r, r->shard->barrier_asked);
    rig_turn(r);
    CHECK(strstr(again->log, "upd") == NULL);
    CHECK(strstr(again->log, "sub 1 ok= current=K000,") && strstr(again->log, ",K199 denied=\nlive 1\n"));
    CHECK_EQ_I64(hashes_in_id(), RESUME_HASHES_MAX);
    rig_hang(r, again);
    rig_hang(r, c);
    rig_end(r);
}

TEST(beyond_the_cap_the_rest_is_sent_again)
{
    struct rig *r = rig_with_streams();
    struct conn *c = rig_connect_as(r, &stream);
    char keys[2048];
    CHECK(list_of(keys, sizeof(keys), RESUME_HASHES_MAX + 2) < sizeof(keys));
    rig_sub(r, c, 1, keys);
    rig_turn(r);
    for (size_t i = 0; i < RESUME_HASHES_MAX + 2; i++) {
        char key[8];
        snprintf(key, sizeof(key), "K%03zu", i);
        rig_known(r, key, "NGN", 5, "1");
    }
    for (int i = 0; i < 10; i++)
        rig_turn(r);
    CHECK_EQ_I64(hashes_in_id(), RESUME_HASHES_MAX);
    struct conn *again = come_again(r, keys);
    rig_barrier(r, r->shard->barrier_asked);
    rig_turn(r);
    size_t sent = 0;
    for (const char *at = again->log; (at = strstr(at, "@e1.5+snap")) != NULL; at++)
        sent++;
    CHECK_EQ_I64(sent, 2);
    rig_hang(r, again);
    rig_hang(r, c);
    rig_end(r);
}
