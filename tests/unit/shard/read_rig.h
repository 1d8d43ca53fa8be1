/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read_rig: the shard's rig with reads: what each was answered, what the hub is said to have sequenced, what was asked of it.
 */
#ifndef BGW_READ_RIG_H
#define BGW_READ_RIG_H

#include "shard/shard_rig.h"

#define ASKED_MAX 64
#define KEEP_MS 3000
#define WAIT_MS 800

/* what is known of one read */
struct asked {
    struct rig *rig;
    struct bgw_read *read; /* NULL: answered or cancelled */
    struct bgw_read_answer answer;
    char value[32];
    int answers;
    struct asked *takes_along; /* cancelled from within this one's answer */
};

static uint64_t sequenced, wanted; /* by the other shards' hub; asked of it */

static inline uint64_t on_sequenced(void *arg)
{
    (void)arg;
    return sequenced;
}

static inline void on_want_news(void *arg, uint64_t hub_seq)
{
    (void)arg;
    wanted = hub_seq;
}

static inline void note(struct asked *a, const struct bgw_read_answer *answer)
{
    struct bgw_slice value = answer->value ? bgw_blob_slice(answer->value) : BGW_SLICE("");
    a->answer = *answer;
    a->answers++;
    snprintf(a->value, sizeof(a->value), "%.*s", (int)value.len, value.data);
}

static inline void on_read_done(void *arg, void *user, const struct bgw_read_answer *answer)
{
    struct asked *a = user;
    (void)arg;
    note(a, answer);
    a->read = NULL;
    if (!a->takes_along || !a->takes_along->read)
        return;
    bgw_shard_read_cancel(a->rig->shard, a->takes_along->read);
    a->takes_along->read = NULL;
}

static inline struct rig *open_with(size_t reads_max, size_t kept_max)
{
    struct rig *r = rig_make();
    sequenced = wanted = 0;
    r->config.limits.read_keep_ms = KEEP_MS;
    r->config.limits.reads_kept_max = kept_max;
    r->config.reads_max = reads_max;
    const struct bgw_shard_ops ops = {.arg = r, .post = rig_post, .send = rig_send, .hang_up = rig_hang_up,
                                      .sequenced = on_sequenced, .want_news = on_want_news, .read_done = on_read_done};
    CHECK(bgw_shard_create(&r->shard, &r->config, &ops, r->now) == BGW_OK);
    return r;
}

static inline struct rig *open(void)
{
    return open_with(ASKED_MAX, 16);
}

static inline struct bgw_read_question question(const struct rig *r, const char *key)
{
    const char *slash = strchr(key, '/');
    struct bgw_read_question q = {.feed = &r->feeds[0], .tenant = BGW_SLICE("t1"), .key = bgw_slice_str(key), .wait_ms = WAIT_MS};
    if (slash) {
        q.key.len = (size_t)(slash - key);
        q.part = bgw_part_of(bgw_slice_str(slash + 1));
    }
    return q;
}

/* True: answered at once. */
static inline bool ask(struct rig *r, struct asked *a, const struct bgw_read_question *q)
{
    struct bgw_read_answer answer;
    *a = (struct asked){.rig = r};
    bool at_once = bgw_shard_read(r->shard, q, a, r->now, &a->read, &answer);
    CHECK(at_once == !a->read);
    if (at_once)
        note(a, &answer);
    return at_once;
}

static inline bool ask_plain(struct rig *r, struct asked *a, const char *key)
{
    struct bgw_read_question q = question(r, key);
    return ask(r, a, &q);
}

static inline bool ask_floor(struct rig *r, struct asked *a, const char *key, uint64_t epoch, uint64_t seq)
{
    struct bgw_read_question q = question(r, key);
    q.has_floor = true;
    q.floor = (struct bgw_version){epoch, seq, 0};
    return ask(r, a, &q);
}

static inline bool ask_proof(struct rig *r, struct asked *a, const char *key)
{
    struct bgw_read_question q = question(r, key);
    q.prove = true;
    return ask(r, a, &q);
}

/* The key is read, known and kept from now on. */
static inline void read_first(struct rig *r, const char *key, uint64_t seq, const char *value)
{
    struct asked a;
    CHECK(!ask_plain(r, &a, key));
    rig_turn(r);
    rig_known(r, key, "NGN", seq, value);
    CHECK_EQ_I64(a.answers, 1);
}

static inline struct bgw_shard_view view_of(const struct rig *r)
{
    struct bgw_shard_view view;
    bgw_shard_look(r->shard, &view);
    return view;
}

#define CHECK_VALUE(a, text, version_seq)                     \
    do {                                                      \
        CHECK_EQ_I64((a)->answers, 1);                        \
        CHECK_EQ_I64((a)->answer.result, BGW_READ_VALUE);     \
        CHECK_EQ_STR((a)->value, text);                       \
        CHECK_EQ_I64((a)->answer.version.seq, version_seq);   \
    } while (0)

#endif
