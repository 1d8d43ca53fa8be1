/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_group_state: what the files of the group's loop share. kafka_group.c is its life and its
 * news, kafka_group_read.c takes records and moves partitions, kafka_group_hold.c is what the group
 * gives and takes away, and what is committed.
 */
#ifndef BGW_INGEST_KAFKA_GROUP_STATE_H
#define BGW_INGEST_KAFKA_GROUP_STATE_H

#include "bgw/kafka_group.h"

#include "kafka_group_control.h"
#include "kafka_lag.h"
#include "kafka_member.h"

#include <stdatomic.h>

#define BGW_GROUP_PROGRESS_MAX 256

enum bgw_part_state {
    BGW_PART_AWAY,     /* not ours */
    BGW_PART_PLACING,  /* ours; its offsets are being asked for */
    BGW_PART_GIVEN,    /* its reader was told and has not begun */
    BGW_PART_HELD,     /* begun, and its reader wants nothing for now */
    BGW_PART_STARTING, /* goes on at `next` as soon as the client can be moved there */
    BGW_PART_READING,
};

struct bgw_group_part { /* loop's thread */
    uint8_t state;
    bool told;              /* its reader knows that it is ours */
    bool paused;            /* what its reader wants */
    uint16_t tries;         /* to start */
    uint64_t round;         /* answers from this round on speak of it */
    int64_t next;           /* the first offset not handed over */
    int64_t done, committed; /* -1: none */
};

struct bgw_kafka_group { /* loop's thread; lag, control's trouble and the atomics: any */
    struct bgw_kafka_group_config config;
    char *bootstrap, *topic, *group, *not_joined;
    struct bgw_loop *loop;
    struct bgw_mailbox *news;
    struct bgw_group_control *control;
    struct bgw_kafka_lag *lag;
    struct bgw_timer look_timer, start_timer;
    int64_t commit_ms;

    struct bgw_kafka_member *member;
    struct bgw_loop_fd queue_fd;
    bool attached;
    bool broken; /* the member, by an error that it does not survive */
    bool called; /* a callback came while a message was asked for */
    uint64_t epoch;
    struct bgw_group_part *parts;
    int32_t parts_len, count; /* the group may know of an added partition before we do */

    uint64_t round, asking; /* the last one; under way, or 0 */
    bool ask_again;
    int commits;            /* under way */
    rd_kafka_topic_partition_list_t *leaving; /* taken from us, as soon as what is done is committed */
    int64_t leave_by_ms;
    int64_t commit_after_ms; /* the members are being counted: a commit now would be one of an old generation */
    struct bgw_kafka_progress progress[BGW_GROUP_PROGRESS_MAX];
    size_t progress_len;

    atomic_bool joined;
    atomic_llong since_ms; /* when we were last seen in the group, or the member was made */
};

struct bgw_group_part *bgw_group_part(struct bgw_kafka_group *g, int32_t partition); /* NULL: there is none */
/* Its offsets are asked for, and then it is given. */
void bgw_group_place(struct bgw_kafka_group *g, struct bgw_group_part *p);
/* How far a partition is, for the metrics. */
void bgw_group_progress(struct bgw_kafka_group *g, int32_t partition, int64_t next, int64_t timestamp_ms);
void bgw_group_progress_flush(struct bgw_kafka_group *g);

/* kafka_group_read.c */
void bgw_group_read(struct bgw_kafka_group *g);
void bgw_group_on_start_timer(struct bgw_timer *timer, int64_t now_ms);

/* kafka_group_hold.c */
void bgw_group_on_rebalance(void *arg, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list);
void bgw_group_on_committed(void *arg, rd_kafka_resp_err_t err, const rd_kafka_topic_partition_list_t *list);
/* The client forgets where a partition stands, and it is given again. */
void bgw_group_restart(struct bgw_kafka_group *g, int32_t partition);
void bgw_group_pause(struct bgw_kafka_group *g, int32_t partition, bool pause); /* the client */
void bgw_group_commit(struct bgw_kafka_group *g);       /* what is done, if something is, in the background */
void bgw_group_commit_waiting(struct bgw_kafka_group *g, int wait_ms);
void bgw_group_tick(struct bgw_kafka_group *g, int64_t now_ms); /* deadlines */
void bgw_group_forget(struct bgw_kafka_group *g); /* all partitions, at once: the member is gone */

#endif
