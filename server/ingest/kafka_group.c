/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_group: a topic read as a member of a group, on the loop's thread: its life, and what the
 * control thread has found out. Invariant: a partition is given with offsets that were asked for
 * after it became ours, and under the epoch that bgw_kafka_group_epoch says.
 */
#include "kafka_group_state.h"

#include "kafka_offsets.h"

#include "bgw/assert.h"
#include "bgw/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define NEWS_MAX 32
#define COMMIT_WAIT_MS 3000
#define LEAVE_WAIT_MS 2000
#define COMMIT_EVERY_MS 1000
/* the wake-up comes only for an empty queue's first entry; this bounds what a lost one costs */
#define LOOK_ANYWAY_MS 100
#define NOT_JOINED_MS 10000 /* so long is nothing to speak of */

static void on_news(void *arg, const void *item);
static void on_queue(struct bgw_loop_fd *f, uint32_t events);
static void on_look_timer(struct bgw_timer *timer, int64_t now_ms);

/* --- life cycle --- */

static void copy_config(struct bgw_kafka_group *g, const struct bgw_kafka_group_config *c)
{
    g->config = *c;
    g->config.bootstrap = g->bootstrap = strdup(c->bootstrap);
    g->config.topic = g->topic = strdup(c->topic);
    g->config.group = g->group = strdup(c->group);
    BGW_ASSERT(g->bootstrap && g->topic && g->group);
    BGW_ASSERT(asprintf(&g->not_joined,
                        "Kafka at %s does not take us into group %s: check that its coordinator runs "
                        "and lets us in (READ on the group)",
                        c->bootstrap, c->group) > 0);
}

static enum bgw_status build(struct bgw_kafka_group *g, struct bgw_buf *error)
{
    enum bgw_status st = bgw_kafka_lag_create(&g->lag);
    if (st == BGW_OK)
        st = bgw_mailbox_create(&g->news, g->loop, sizeof(struct bgw_group_news), NEWS_MAX, on_news, g);
    if (st != BGW_OK)
        return st;
    const struct bgw_group_control_config control = {
        .member = {.config = g->config.config,
                   .bootstrap = g->bootstrap,
                   .topic = g->topic,
                   .group = g->group,
                   .arg = g,
                   .rebalance = bgw_group_on_rebalance,
                   .committed = bgw_group_on_committed},
        .broker_is_embedded = g->config.broker_is_embedded,
        .news = g->news,
        .lag = g->lag,
    };
    return bgw_group_control_create(&g->control, &control, error);
}

enum bgw_status bgw_kafka_group_create(struct bgw_kafka_group **out, struct bgw_loop *loop,
                                       const struct bgw_kafka_group_config *c, struct bgw_buf *error)
{
    BGW_ASSERT(c->given && c->taken && c->record);
    struct bgw_kafka_group *g = calloc(1, sizeof(*g));
    if (!g)
        return BGW_NO_MEMORY;
    g->loop = loop;
    copy_config(g, c);
    atomic_init(&g->joined, false);
    atomic_init(&g->since_ms, bgw_clock_now().mono_ms);
    bgw_timer_init(&g->look_timer, on_look_timer);
    bgw_timer_init(&g->start_timer, bgw_group_on_start_timer);
    enum bgw_status st = build(g, error);
    if (st != BGW_OK) {
        if (error->len == 0)
            bgw_buf_append_str(error, bgw_status_text(st));
        bgw_kafka_group_destroy(&g);
        return st;
    }
    *out = g;
    return BGW_OK;
}

static void detach_queue(struct bgw_kafka_group *g)
{
    if (g->attached)
        bgw_loop_detach(g->loop, &g->queue_fd);
    g->attached = false;
}

void bgw_kafka_group_destroy(struct bgw_kafka_group **group)
{
    struct bgw_kafka_group *g = *group;
    if (!g)
        return;
    *group = NULL;
    bgw_wheel_cancel(bgw_loop_wheel(g->loop), &g->look_timer);
    bgw_wheel_cancel(bgw_loop_wheel(g->loop), &g->start_timer);
    detach_queue(g);
    if (g->member)
        bgw_group_commit_waiting(g, COMMIT_WAIT_MS);
    bgw_group_forget(g);
    bgw_group_control_destroy(&g->control); /* its thread posts no more */
    if (g->news)
        bgw_mailbox_destroy(&g->news);
    bgw_kafka_member_destroy(&g->member, LEAVE_WAIT_MS);
    bgw_kafka_lag_destroy(&g->lag);
    free(g->parts);
    free(g->not_joined);
    free(g->group);
    free(g->topic);
    free(g->bootstrap);
    free(g);
}

/* --- what others may know --- */

uint64_t bgw_kafka_group_epoch(const struct bgw_kafka_group *g)
{
    return g->epoch;
}

int32_t bgw_kafka_group_partitions(const struct bgw_kafka_group *g)
{
    return g->count;
}

const char *bgw_kafka_group_trouble(struct bgw_kafka_group *g)
{
    const char *why = bgw_group_control_trouble(g->control);
    if (why || atomic_load(&g->joined))
        return why;
    return bgw_clock_now().mono_ms - atomic_load(&g->since_ms) >= NOT_JOINED_MS ? g->not_joined : NULL;
}

void bgw_kafka_group_metrics(void *group, struct bgw_buf *out)
{
    struct bgw_kafka_group *g = group;
    bgw_kafka_lag_write(g->lag, bgw_clock_now().wall_ms, out);
}

void bgw_group_progress_flush(struct bgw_kafka_group *g)
{
    if (g->progress_len)
        bgw_kafka_lag_progress(g->lag, g->progress, g->progress_len);
    g->progress_len = 0;
}

void bgw_group_progress(struct bgw_kafka_group *g, int32_t partition, int64_t next, int64_t timestamp_ms)
{
    if (g->progress_len == BGW_GROUP_PROGRESS_MAX)
        bgw_group_progress_flush(g);
    g->progress[g->progress_len++] = (struct bgw_kafka_progress){partition, next, timestamp_ms};
}

/* --- offsets are asked for --- */

struct bgw_group_part *bgw_group_part(struct bgw_kafka_group *g, int32_t partition)
{
    return partition >= 0 && partition < g->parts_len ? &g->parts[partition] : NULL;
}

static void ask(struct bgw_kafka_group *g)
{
    const struct bgw_group_command command = {.kind = BGW_GROUP_ASK, .round = ++g->round};
    g->asking = g->round;
    g->ask_again = false;
    bgw_group_control_post(g->control, &command);
}

void bgw_group_place(struct bgw_kafka_group *g, struct bgw_group_part *p)
{
    p->state = BGW_PART_PLACING;
    p->round = g->round + 1; /* what is under way may have been asked before it was ours */
    if (g->asking)
        g->ask_again = true;
    else
        ask(g);
}

/* Answers are kept until all three are known. */
static bool give(struct bgw_kafka_group *g, int32_t partition, const struct bgw_group_news *n)
{
    struct bgw_group_part *p = &g->parts[partition];
    if (partition >= n->count)
        return false;
    struct bgw_kafka_given given = {.partition = partition,
                                    .committed = n->at[partition],
                                    .low = n->at[n->count + partition],
                                    .high = n->at[2 * n->count + partition]};
    if (given.committed == BGW_OFFSET_UNKNOWN || given.low < 0 || given.high < 0)
        return false;
    p->committed = given.committed;
    if (p->done >= 0) /* on its way to the group */
        given.committed = p->done;
    p->state = BGW_PART_GIVEN;
    p->told = true;
    p->paused = false;
    p->next = given.committed >= given.low ? given.committed : given.low;
    bgw_group_progress(g, partition, p->next, -1);
    BGW_LOG(BGW_LOG_INFO, "kafka_partition_given", {"partition", LI(partition)},
            {"committed", LI(given.committed)}, {"low", LI(given.low)}, {"high", LI(given.high)});
    g->config.given(g->config.arg, &given);
    return true;
}

static void on_answers(struct bgw_kafka_group *g, const struct bgw_group_news *n)
{
    bool missing = false;
    if (n->round != g->asking)
        return; /* of a topic that is no more */
    g->asking = 0;
    for (int32_t i = 0; i < g->parts_len; i++) {
        bool waits = g->parts[i].state == BGW_PART_PLACING;
        if (waits && (g->parts[i].round > n->round || !give(g, i, n)))
            missing = true;
    }
    bgw_group_progress_flush(g);
    if (missing || g->ask_again)
        ask(g);
}

/* --- which topic it is --- */

static void reset_lag(struct bgw_kafka_group *g)
{
    int64_t *next = malloc((size_t)g->count * sizeof(*next));
    BGW_ASSERT(next != NULL);
    for (int32_t i = 0; i < g->count; i++) {
        const struct bgw_group_part *p = bgw_group_part(g, i);
        bool ours = p && p->state > BGW_PART_PLACING;
        next[i] = ours ? p->next : INT64_MAX; /* who has it tells how far it is behind */
    }
    g->progress_len = 0;
    bgw_kafka_lag_reset(g->lag, next, g->count);
    free(next);
}

/* All that we held is not ours any more, whatever the group thinks. */
static void lose_member(struct bgw_kafka_group *g, enum bgw_group_command_kind kind)
{
    const struct bgw_group_command command = {.kind = (uint8_t)kind, .retired = g->member};
    detach_queue(g);
    for (int32_t i = 0; i < g->parts_len; i++) {
        if (g->parts[i].told)
            g->config.taken(g->config.arg, i, false);
    }
    bgw_group_forget(g);
    bgw_kafka_member_retire(g->member);
    g->member = NULL;
    g->broken = false;
    g->asking = 0;
    bgw_group_control_post(g->control, &command);
}

static void take_member(struct bgw_kafka_group *g, struct bgw_kafka_member *m)
{
    int64_t now_ms = bgw_loop_now(g->loop).mono_ms;
    g->member = m;
    atomic_store(&g->joined, false);
    atomic_store(&g->since_ms, now_ms);
    g->queue_fd = (struct bgw_loop_fd){bgw_kafka_member_fd(m), EPOLLIN, on_queue};
    g->attached = bgw_loop_attach(g->loop, &g->queue_fd) == BGW_OK;
    if (!g->attached) /* the timer still looks at the queue, ten times a second */
        BGW_LOG(BGW_LOG_ERROR, "kafka_queue_not_watched", {"errno", LI(errno)});
    bgw_kafka_member_signal(m);
    bgw_wheel_arm(bgw_loop_wheel(g->loop), &g->look_timer, now_ms + LOOK_ANYWAY_MS);
}

static void on_topic(struct bgw_kafka_group *g, const struct bgw_group_news *n)
{
    if (n->member && g->member)
        lose_member(g, BGW_GROUP_RETIRE);
    g->epoch = n->epoch;
    g->count = n->count;
    BGW_LOG(BGW_LOG_INFO, "kafka_group_topic", {"topic", LS(g->topic)}, {"partitions", LI(n->count)});
    reset_lag(g);
    if (n->member) {
        take_member(g, n->member);
        return;
    }
    for (int32_t i = 0; i < g->parts_len; i++) { /* its positions are named by another epoch now */
        if (g->parts[i].state <= BGW_PART_PLACING)
            continue;
        bgw_group_pause(g, i, true);
        bgw_group_place(g, &g->parts[i]);
    }
}

static void on_news(void *arg, const void *item)
{
    struct bgw_kafka_group *g = arg;
    const struct bgw_group_news *n = item;
    struct bgw_kafka_member *member = n->member;
    if (!g->control) /* being destroyed: only gives back what it owns */
        bgw_kafka_member_destroy(&member, LEAVE_WAIT_MS);
    else if (n->kind == BGW_GROUP_TOPIC)
        on_topic(g, n);
    else
        on_answers(g, n);
    free(n->at);
}

/* --- turns --- */

static void look(struct bgw_kafka_group *g)
{
    bgw_group_read(g);
    if (g->broken)
        lose_member(g, BGW_GROUP_RENEW);
}

static void on_queue(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    look(BGW_CONTAINER(f, struct bgw_kafka_group, queue_fd));
}

static void look_whether_joined(struct bgw_kafka_group *g, int64_t now_ms)
{
    char *id = rd_kafka_memberid(bgw_kafka_member_client(g->member));
    bool joined = id && id[0];
    if (id)
        rd_kafka_mem_free(bgw_kafka_member_client(g->member), id);
    if (joined)
        atomic_store(&g->since_ms, now_ms);
    atomic_store(&g->joined, joined);
}

static void on_look_timer(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_kafka_group *g = BGW_CONTAINER(timer, struct bgw_kafka_group, look_timer);
    bgw_wheel_arm(bgw_loop_wheel(g->loop), timer, now_ms + LOOK_ANYWAY_MS);
    if (g->member)
        look(g);
    if (!g->member) /* it was lost just now, or another is being made */
        return;
    bgw_group_tick(g, now_ms);
    if (now_ms < g->commit_ms)
        return;
    g->commit_ms = now_ms + COMMIT_EVERY_MS;
    bgw_group_commit(g);
    look_whether_joined(g, now_ms);
}
