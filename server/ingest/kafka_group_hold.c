/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_group_hold: what the group gives us and takes away, and what is committed. An orderly taking
 * is answered only when what is done of it has been committed, or LEAVE_MS later: the loop does not
 * wait meanwhile. Invariant: nothing is committed of a partition that is not ours, and what is
 * committed was said to be done.
 */
#include "kafka_group_state.h"

#include "kafka_handle.h"

#include "bgw/assert.h"
#include "bgw/log.h"

#include <stdlib.h>

#define LEAVE_MS 3000
#define COUNTING_MS 10000 /* the next word of the group, which ends the wait, takes no longer if it comes */

/* --- what is done --- */

static bool is_dirty(const struct bgw_group_part *p)
{
    return p->state != BGW_PART_AWAY && p->done >= 0 && p->done != p->committed;
}

void bgw_kafka_group_done(struct bgw_kafka_group *g, int32_t partition, int64_t next)
{
    struct bgw_group_part *p = bgw_group_part(g, partition);
    if (p && p->state != BGW_PART_AWAY && p->told)
        p->done = next;
}

/* NULL: nothing. */
static rd_kafka_topic_partition_list_t *dirty_list(const struct bgw_kafka_group *g)
{
    rd_kafka_topic_partition_list_t *list = NULL;
    for (int32_t i = 0; i < g->parts_len; i++) {
        if (!is_dirty(&g->parts[i]))
            continue;
        if (!list)
            list = rd_kafka_topic_partition_list_new(8);
        rd_kafka_topic_partition_list_add(list, g->topic, i)->offset = g->parts[i].done;
    }
    return list;
}

/* Takes `list`. */
static void commit_list(struct bgw_kafka_group *g, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_resp_err_t err = rd_kafka_commit(bgw_kafka_member_client(g->member), list, 1);
    rd_kafka_topic_partition_list_destroy(list);
    if (err)
        bgw_kafka_error_seen(err, "commit", -1);
    else
        g->commits++;
}

void bgw_group_commit(struct bgw_kafka_group *g)
{
    bool later = g->commits || g->leaving || bgw_clock_now().mono_ms < g->commit_after_ms;
    rd_kafka_topic_partition_list_t *list = later ? NULL : dirty_list(g);
    if (list)
        commit_list(g, list);
}

static void tell_failed(rd_kafka_resp_err_t err, int32_t partition)
{
    if (err && err != RD_KAFKA_RESP_ERR__NO_OFFSET) /* an old generation's: whoever has it now goes on from before */
        bgw_kafka_error_seen(err, "offsets were not committed", partition);
}

static void finish_leaving(struct bgw_kafka_group *g)
{
    rd_kafka_topic_partition_list_t *list = g->leaving;
    g->leaving = NULL;
    bgw_kafka_member_unassign(g->member, list); /* and then we are counted again */
    g->commit_after_ms = bgw_clock_now().mono_ms + COUNTING_MS;
    rd_kafka_topic_partition_list_destroy(list);
}

void bgw_group_on_committed(void *arg, rd_kafka_resp_err_t err, const rd_kafka_topic_partition_list_t *list)
{
    struct bgw_kafka_group *g = arg;
    g->called = true;
    g->commits -= g->commits > 0;
    tell_failed(err, -1);
    if (err == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS)
        g->commit_after_ms = bgw_clock_now().mono_ms + COUNTING_MS;
    for (int i = 0; !err && list && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *at = &list->elems[i];
        struct bgw_group_part *p = bgw_group_part(g, at->partition);
        tell_failed(at->err, at->partition);
        if (!at->err && p && p->state != BGW_PART_AWAY)
            p->committed = at->offset;
    }
    if (g->leaving && !g->commits)
        finish_leaving(g);
}

void bgw_group_commit_waiting(struct bgw_kafka_group *g, int wait_ms)
{
    rd_kafka_t *rk = bgw_kafka_member_client(g->member);
    rd_kafka_topic_partition_list_t *list = dirty_list(g);
    if (!list)
        return;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_resp_err_t err = rd_kafka_commit_queue(rk, list, queue, NULL, NULL);
    if (!err) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, wait_ms);
        err = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
        if (event)
            rd_kafka_event_destroy(event);
    }
    tell_failed(err, -1);
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_partition_list_destroy(list);
}

void bgw_group_tick(struct bgw_kafka_group *g, int64_t now_ms)
{
    if (g->leaving && now_ms >= g->leave_by_ms)
        finish_leaving(g);
}

/* --- what is ours --- */

static struct bgw_group_part *part_made(struct bgw_kafka_group *g, int32_t partition)
{
    if (partition >= g->parts_len) {
        struct bgw_group_part *more = realloc(g->parts, ((size_t)partition + 1) * sizeof(*more));
        BGW_ASSERT(more != NULL);
        for (int32_t i = g->parts_len; i <= partition; i++)
            more[i] = (struct bgw_group_part){.done = -1, .committed = -1};
        g->parts = more;
        g->parts_len = partition + 1;
    }
    return &g->parts[partition];
}

static void forget_part(struct bgw_kafka_group *g, int32_t partition)
{
    g->parts[partition] = (struct bgw_group_part){.done = -1, .committed = -1};
    bgw_group_progress(g, partition, INT64_MAX, -1); /* whoever has it tells how far it is behind */
}

void bgw_group_forget(struct bgw_kafka_group *g)
{
    for (int32_t i = 0; i < g->parts_len; i++)
        forget_part(g, i);
    if (g->leaving)
        rd_kafka_topic_partition_list_destroy(g->leaving);
    g->leaving = NULL;
    g->commits = 0;
    bgw_group_progress_flush(g);
}

void bgw_group_pause(struct bgw_kafka_group *g, int32_t partition, bool pause)
{
    rd_kafka_t *rk = bgw_kafka_member_client(g->member);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, g->topic, partition);
    rd_kafka_resp_err_t err =
        pause ? rd_kafka_pause_partitions(rk, list) : rd_kafka_resume_partitions(rk, list);
    if (!err)
        err = list->elems[0].err;
    if (err) /* paused: what comes all the same is dropped; not resumed: what the client has lost is told by an error */
        bgw_kafka_error_seen(err, pause ? "pause" : "resume", partition);
    rd_kafka_topic_partition_list_destroy(list);
}

/*
 * Where they begin is decided later, by a seek. Paused on both sides of the assignment, so that nothing is fetched before;
 * the offset is a number, because one that would have to be asked for may be answered after the seek, and undo it.
 */
static void assign_paused(struct bgw_kafka_group *g, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_t *rk = bgw_kafka_member_client(g->member);
    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = 0;
    if (list->cnt)
        rd_kafka_pause_partitions(rk, list);
    bgw_kafka_member_assign(g->member, list);
    if (list->cnt)
        rd_kafka_pause_partitions(rk, list);
}

void bgw_group_restart(struct bgw_kafka_group *g, int32_t partition)
{
    bool alone = bgw_kafka_member_is_cooperative(g->member);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    for (int32_t i = 0; i < g->parts_len; i++) {
        struct bgw_group_part *p = &g->parts[i];
        if (p->state == BGW_PART_AWAY || (alone && i != partition))
            continue;
        rd_kafka_topic_partition_list_add(list, g->topic, i);
        if (p->state == BGW_PART_READING)
            p->state = BGW_PART_STARTING; /* the others go on where they were */
    }
    if (alone)
        bgw_kafka_member_unassign(g->member, list);
    assign_paused(g, list);
    rd_kafka_topic_partition_list_destroy(list);
    bgw_wheel_arm(bgw_loop_wheel(g->loop), &g->start_timer, bgw_loop_now(g->loop).mono_ms);
    bgw_group_place(g, &g->parts[partition]);
}

static void on_given(struct bgw_kafka_group *g, rd_kafka_topic_partition_list_t *list)
{
    assign_paused(g, list);
    for (int i = 0; i < list->cnt; i++) {
        struct bgw_group_part *p = part_made(g, list->elems[i].partition);
        *p = (struct bgw_group_part){.done = -1, .committed = -1};
        bgw_group_place(g, p);
    }
}

static void on_taken(struct bgw_kafka_group *g, rd_kafka_topic_partition_list_t *list)
{
    bool orderly = !rd_kafka_assignment_lost(bgw_kafka_member_client(g->member));
    rd_kafka_topic_partition_list_t *last = rd_kafka_topic_partition_list_new(8);
    for (int i = 0; i < list->cnt; i++) {
        int32_t partition = list->elems[i].partition;
        struct bgw_group_part *p = bgw_group_part(g, partition);
        if (!p || p->state == BGW_PART_AWAY)
            continue;
        if (p->told)
            g->config.taken(g->config.arg, partition, orderly);
        if (orderly && is_dirty(p))
            rd_kafka_topic_partition_list_add(last, g->topic, partition)->offset = p->done;
        forget_part(g, partition);
    }
    BGW_LOG(BGW_LOG_INFO, "kafka_partitions_taken", {"count", LI(list->cnt)}, {"orderly", LI(orderly)});
    g->leaving = rd_kafka_topic_partition_list_copy(list);
    g->leave_by_ms = bgw_clock_now().mono_ms + LEAVE_MS;
    if (last->cnt)
        commit_list(g, last);
    else
        rd_kafka_topic_partition_list_destroy(last);
    if (!orderly || !g->commits)
        finish_leaving(g);
}

void bgw_group_on_rebalance(void *arg, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list)
{
    struct bgw_kafka_group *g = arg;
    g->called = true;
    if (g->leaving) /* the group does not wait for us any more */
        finish_leaving(g);
    g->commit_after_ms = 0;
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        on_given(g, list);
        return;
    }
    if (err != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        bgw_kafka_error_seen(err, "the group has lost us", -1);
    on_taken(g, list);
}
