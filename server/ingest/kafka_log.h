/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_log: what the three files of the log share. kafka_log.c reads on the loop's thread,
 * kafka_log_append.c writes on it, kafka_log_control.c is the thread that may block: it finds the
 * topic, places the consumer and makes a topic that is missing. Between the threads go fixed-size
 * values through two mailboxes, and the consumer, which changes hands with them.
 */
#ifndef BGW_INGEST_KAFKA_LOG_H
#define BGW_INGEST_KAFKA_LOG_H

#include "bgw/ingest.h"
#include "bgw/mailbox.h"

#include "kafka_consumer.h"

#include <stdatomic.h>

enum bgw_log_news_kind {
    BGW_LOG_PLACED,  /* a consumer over all partitions, from their beginning */
    BGW_LOG_MISSING, /* there is no such topic */
    BGW_LOG_CREATED, /* or not: `status` */
};

struct bgw_log_news { /* fixed-size value, from the control thread to the loop */
    uint8_t kind;
    enum bgw_status status;
    struct bgw_kafka_consumer *consumer; /* the loop has it until it says RETIRE */
    int32_t count;
    int64_t *ends; /* taken; `count` of them */
};

enum bgw_log_command_kind { BGW_LOG_PLACE_AGAIN, BGW_LOG_CREATE, BGW_LOG_RETIRE };

struct bgw_log_command { /* fixed-size value, from the loop to the control thread */
    uint8_t kind;
    struct bgw_kafka_consumer *retired; /* taken */
};

/* --- kafka_log_control.c: create, destroy, post: the loop's thread; trouble: any --- */

struct bgw_log_control;
struct bgw_log_control_config {
    const struct bgw_config *config;
    const char *bootstrap, *topic;
    bool broker_is_embedded;
    struct bgw_mailbox *news;
};
BGW_MUST_CHECK enum bgw_status bgw_log_control_create(struct bgw_log_control **out,
                                                      const struct bgw_log_control_config *config,
                                                      struct bgw_buf *error);
/* At most one of a kind is under way, so there is always room. */
void bgw_log_control_post(struct bgw_log_control *c, enum bgw_log_command_kind kind,
                          struct bgw_kafka_consumer *retired);
const char *bgw_log_control_trouble(const struct bgw_log_control *c);
/* Ends the thread: nothing more is posted. Waits for what it does at that moment, at most about a second. */
void bgw_log_control_destroy(struct bgw_log_control **c);

/* --- kafka_log_append.c: the loop's thread --- */

enum bgw_log_topic { BGW_LOG_TOPIC_UNKNOWN, BGW_LOG_TOPIC_THERE, BGW_LOG_TOPIC_MISSING };

struct bgw_log_writer;
struct bgw_log_writer_config {
    const struct bgw_config *config;
    const char *bootstrap, *topic;
    struct bgw_loop *loop;
    void (*create_topic)(void *arg); /* answered by bgw_log_writer_created */
    void *arg;
};
BGW_MUST_CHECK enum bgw_status bgw_log_writer_create(struct bgw_log_writer **out,
                                                     const struct bgw_log_writer_config *config,
                                                     struct bgw_buf *error);
/* Whoever still waits is told BGW_UNAVAILABLE. */
void bgw_log_writer_destroy(struct bgw_log_writer **w);
void bgw_log_writer_topic(struct bgw_log_writer *w, enum bgw_log_topic state);
void bgw_log_writer_created(struct bgw_log_writer *w, enum bgw_status status);
bool bgw_log_writer_append(struct bgw_log_writer *w, struct bgw_slice key, struct bgw_slice value,
                           void (*done)(void *arg, enum bgw_status status), void *arg);

#endif
