/* SPDX-License-Identifier: Apache-2.0 */
/*
 * projector_private: the projector as its files see it: projector.c is its life, partition.c what becomes of an event, teller.c how
 * accounts are told. Projector's thread, except the trouble.
 */
#ifndef BGW_PROJECT_PROJECTOR_PRIVATE_H
#define BGW_PROJECT_PROJECTOR_PRIVATE_H

#include "positions.h"
#include "window.h"

#include "bgw/kafka_group.h"
#include "bgw/list.h"
#include "bgw/project.h"

#include <stdatomic.h>

#define TROUBLE_MAX 160 /* as long as a health page's reason */
#define PARTITIONS_MAX 1024 /* of one topic; beyond it nothing is projected, for a total needs all of them */

enum partition_state {
    PARTITION_AWAY,      /* not ours */
    PARTITION_STOPPED,   /* to be begun, when nothing of it is under way any more */
    PARTITION_BEGINNING, /* Redis is asked where */
    PARTITION_RUNNING,
    PARTITION_REFUSED, /* asked again now and then: an operator may have mended it */
};

struct partition {
    struct bgw_projector *p;
    int32_t id;
    enum partition_state state;
    int64_t committed, low, high, goal; /* goal: what was there when it was given */
    int64_t prev;                       /* handed over to Redis last, or its watermark */
    int64_t told;                       /* as Redis knows it: up to here */
    int64_t end_seen, end_after;        /* an end beyond the last record that was said once, and after which */
    size_t flying;                      /* events, and questions of it, that have not ended */
    bool paused;
    int64_t due_ms; /* STOPPED, REFUSED: when to begin */
    enum step_result refusal;
    struct window window;
};

struct event;

struct tell { /* one record to write */
    struct bgw_list link; /* in the projector's queue until Kafka's client takes it */
    struct bgw_projector *p;
    struct event *event;  /* NULL: of the set of those to be told */
    struct bgw_slot_name name;
    int64_t minor, ts_ms, drain;
    uint64_t v;
};

struct event { /* one that is under way */
    struct partition *partition;
    uint64_t number;
    int64_t offset, ts_ms;
    unsigned waiting; /* tells that have not arrived */
    bool failed, readable;
    struct entry entry;
    struct tell tells[2];
};

struct bgw_projector { /* loop's thread only */
    struct bgw_projector_config config;
    struct bgw_feed feed;
    struct bgw_loop *loop;
    struct bgw_timer tick;
    struct bgw_kafka_group *group;
    struct bgw_kafka_writer *writer;
    struct positions *positions;
    struct partition *partitions[PARTITIONS_MAX];
    int32_t partition_count; /* of the table: the highest that was ever ours, plus one */
    size_t ours; /* partitions, at the last tick */
    uint64_t epoch;
    char redis_words[120]; /* "": it is up */
    bool draining, ending, announced, too_many;
    /* telling */
    struct bgw_list tells;
    struct bgw_buf record, key;
    size_t tells_count;
    enum bgw_status refused; /* what the brokers said of a record last; OK: they took it */
    int64_t drain;           /* number of our turn at emptying the set; 0: it is not ours */
    size_t drain_flying;
    bool drain_moved, live;
    int64_t untold, look_due_ms; /* untold -1: not known */
    bool looking;
    int32_t look_from;
    atomic_uint trouble_at; /* which of the two, plus one; 0: none */
    char trouble[2][TROUBLE_MAX];
};

/* ---- partition.c ---- */
void partition_given(struct bgw_projector *p, const struct bgw_kafka_given *g);
void partition_taken(struct bgw_projector *p, int32_t id);
void partition_record(struct bgw_projector *p, const struct bgw_kafka_log_record *r);
void partition_end(struct bgw_projector *p, int32_t id, int64_t next); /* the log has nothing more before `next` */
/* Back to where Redis is, once nothing is under way; not before `wait_ms`. */
void partition_stop(struct partition *a, int64_t wait_ms);
void partition_turn(struct partition *a, int64_t now_ms); /* each tick */
void partition_flow(struct partition *a);                 /* pauses it, or lets it go on */
/* A record of the event has arrived, or could not be written. */
void event_told(struct event *e, bool ok);

/* ---- teller.c ---- */
void teller_add(struct bgw_projector *p, struct tell *t);
void teller_send(struct bgw_projector *p); /* what waits, as far as there is room */
void teller_turn(struct bgw_projector *p); /* each tick */
void teller_end(struct bgw_projector *p);  /* nothing more is written: what waits has failed */

#endif
