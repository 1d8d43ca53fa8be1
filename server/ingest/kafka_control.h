/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_control: the thread that does what may wait: describing the topic, asking for offsets,
 * making and ending consumers. Everything it learns goes to the hub's loop as news; what the hub's
 * thread wants goes to it as commands. Both are fixed-size values in bounded mailboxes.
 */
#ifndef BGW_INGEST_KAFKA_CONTROL_H
#define BGW_INGEST_KAFKA_CONTROL_H

#include "kafka_consumer.h"
#include "kafka_lag.h"

#include "bgw/ingest.h"
#include "bgw/mailbox.h"

enum bgw_kafka_news_kind {
    /* `consumer` reads `count` partitions from `at`, their ends are `ends`, the epoch is `epoch` */
    BGW_NEWS_ASSIGNED,
    /* the topic has `count` partitions now; read the old ones to `ends`, then epoch `epoch` */
    BGW_NEWS_GROWN,
    /* partitions with at[i] known go on from there: say MOVED when that is noted */
    BGW_NEWS_FOUND,
    /* ends, as they were at `asked_mono_ms` or later; query 0: the one-second proof */
    BGW_NEWS_ENDS,
};

/* control -> hub thread; fixed-size value. The receiver takes `at`, `ends` and `consumer`. */
struct bgw_kafka_news {
    uint8_t kind;
    int32_t count;
    uint64_t round; /* which assignment it speaks of */
    uint64_t epoch, query;
    int64_t asked_mono_ms;
    int64_t *at, *ends; /* by partition; BGW_OFFSET_UNKNOWN where nothing is known */
    struct bgw_kafka_consumer *consumer;
};

enum bgw_kafka_command_kind {
    BGW_COMMAND_ASK,      /* all ends for `query`; `refresh`: look at the topic first */
    BGW_COMMAND_LOOK,     /* an error hints at a changed topic */
    BGW_COMMAND_LOST,     /* `partition` has no position any more */
    BGW_COMMAND_MOVED,    /* FOUND is noted: go on from `at` */
    BGW_COMMAND_SWITCHED, /* `round` is in force; `retired` is not read any more */
};

/* hub thread -> control; fixed-size value. The receiver takes `at` and `retired`. */
struct bgw_kafka_command {
    uint8_t kind;
    bool refresh;
    int32_t partition, count;
    uint64_t round, query;
    int64_t *at;
    struct bgw_kafka_consumer *retired;
};

struct bgw_kafka_control; /* its own thread; create, post and destroy: the owner's */

/* `news` must outlive it; `lag` and `config` are shared. */
BGW_MUST_CHECK enum bgw_status
bgw_kafka_control_create(struct bgw_kafka_control **out,
                         const struct bgw_kafka_source_config *config, struct bgw_mailbox *news,
                         struct bgw_kafka_lag *lag, struct bgw_buf *error);
/* Any thread. FULL: the sender keeps it, what it owns included. */
BGW_MUST_CHECK enum bgw_status bgw_kafka_control_post(struct bgw_kafka_control *c,
                                                      const struct bgw_kafka_command *command);
const char *bgw_kafka_control_trouble(struct bgw_kafka_control *c); /* any thread */
void bgw_kafka_control_destroy(struct bgw_kafka_control **c);

#endif
