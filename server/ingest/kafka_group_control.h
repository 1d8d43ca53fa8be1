/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_group_control: the group's own thread, which does what may wait: finds the topic, makes and
 * ends members, asks what is committed and what the log holds. Between it and the loop go
 * fixed-size values through two mailboxes, and the member, which changes hands with them.
 */
#ifndef BGW_INGEST_KAFKA_GROUP_CONTROL_H
#define BGW_INGEST_KAFKA_GROUP_CONTROL_H

#include "bgw/ingest.h"
#include "bgw/mailbox.h"

#include "kafka_lag.h"
#include "kafka_member.h"

enum bgw_group_news_kind {
    BGW_GROUP_TOPIC,   /* which topic it is: `epoch`, `count`; with a `member` if it is another one than before */
    BGW_GROUP_ANSWERS, /* to ASK and those before it */
};

struct bgw_group_news { /* fixed-size value, from the control thread to the loop */
    uint8_t kind;
    int32_t count;
    uint64_t epoch, round;
    struct bgw_kafka_member *member; /* the loop has it until it says RETIRE */
    int64_t *at; /* taken: `count` each of committed, low, high; BGW_OFFSET_UNKNOWN where nobody answered */
};

enum bgw_group_command_kind {
    BGW_GROUP_ASK,    /* for offsets; a later `round` stands for all before */
    BGW_GROUP_RETIRE, /* the member leaves */
    BGW_GROUP_RENEW,  /* it is of no more use: retire it and make another */
};

struct bgw_group_command { /* fixed-size value, from the loop to the control thread */
    uint8_t kind;
    uint64_t round;
    struct bgw_kafka_member *retired; /* taken */
};

struct bgw_group_control; /* create, destroy, post: the loop's thread; trouble: any */
struct bgw_group_control_config { /* texts outlive it */
    struct bgw_kafka_member_config member; /* for the members that it makes */
    bool broker_is_embedded;
    struct bgw_mailbox *news;
    struct bgw_kafka_lag *lag; /* is told the ends, each second */
};
BGW_MUST_CHECK enum bgw_status bgw_group_control_create(struct bgw_group_control **out,
                                                        const struct bgw_group_control_config *config,
                                                        struct bgw_buf *error);
/* One ASK, and one of the others for each member received, are under way at most: there is always room. */
void bgw_group_control_post(struct bgw_group_control *c, const struct bgw_group_command *command);
const char *bgw_group_control_trouble(const struct bgw_group_control *c);
/* Ends the thread: nothing more is posted. Waits for what it does at that moment. */
void bgw_group_control_destroy(struct bgw_group_control **c);

#endif
