/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_control_state: what the three files of the control thread share. kafka_control.c is the
 * thread and its mail, kafka_place.c finds the topic and makes assignments, kafka_prove.c asks for
 * ends and for lost positions.
 */
#ifndef BGW_INGEST_KAFKA_CONTROL_STATE_H
#define BGW_INGEST_KAFKA_CONTROL_STATE_H

#include "kafka_control.h"
#include "kafka_offsets.h"
#include "kafka_topic.h"

#include <pthread.h>
#include <stdatomic.h>

#define REQUESTS_MAX 64 /* in flight; above it proofs are left out and queries wait */
#define OUTBOX_MAX 256  /* news that do not fit the hub's mailbox; above it queries are retried */
#define PROOF_EVERY_MS 1000
#define PROOF_TIMEOUT_MS 2500
#define PROOFS_IN_FLIGHT_MAX 3
#define QUERY_TIMEOUT_MS 1000
#define QUERY_RETRY_MS 100
/* a recreated or re-partitioned topic is seen after this at the latest */
#define LOOK_EVERY_MS 5000
#define LOOK_TIMEOUT_MS 2000
/* so many unanswered in a row, while the topic is described, mean a client that is stuck */
#define UNANSWERED_MAX 3
#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 1000

enum request_kind {
    REQUEST_TOPIC,
    REQUEST_POLICY,
    REQUEST_PLACE_LOW,
    REQUEST_PLACE_END,
    REQUEST_PLACE_TIME,
    REQUEST_ENDS, /* the proof and the queries */
    REQUEST_LOST,
};

struct request { /* control thread only; the opaque of an admin request */
    bool used;
    uint8_t kind;
    uint64_t round, query; /* query: of placing, the attempt */
    int64_t asked_mono_ms, asked_wall_ms;
    int32_t count;
};

enum phase { FINDING, POLICY, PLACING, SWITCHING, STEADY };
enum change { CHANGE_FIRST, CHANGE_RECREATED, CHANGE_GROWN };

/* what an answer to "why is it not ready" may be; texts are made once */
enum trouble {
    TROUBLE_NONE,
    TROUBLE_UNREACHABLE,
    TROUBLE_NO_TOPIC,
    TROUBLE_DENIED,
    TROUBLE_PARTITIONS,
    TROUBLE_NO_LEADER,
    TROUBLE_CLIENT,
    TROUBLE_COUNT
};

struct bgw_kafka_control { /* control thread only, unless said otherwise */
    const struct bgw_config *config; /* immutable, like the next ones */
    const char *bootstrap, *name;
    bool embedded, only_source;
    rd_kafka_IsolationLevel_t isolation;
    char own_id[40]; /* stands for the topic id of the embedded broker */
    char *texts[TROUBLE_COUNT];

    struct bgw_loop *loop;
    struct bgw_mailbox *commands, *news; /* any thread */
    struct bgw_kafka_lag *lag;           /* any thread */
    _Atomic(const char *) trouble;       /* any thread: points to one of `texts` */
    int64_t trouble_told_ms;
    pthread_t thread;

    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    struct bgw_loop_fd queue_fd;
    struct bgw_timer queue_timer;
    bool reopen;    /* a new client, once the events at hand are handled */
    int unanswered; /* questions for offsets in a row */
    struct request requests[REQUESTS_MAX];
    struct bgw_kafka_news outbox[OUTBOX_MAX];
    size_t outbox_len;
    struct bgw_timer outbox_timer;

    /* finding and placing */
    enum phase phase;
    enum change change;
    enum bgw_kafka_cluster cluster;
    struct bgw_timer look_timer;
    struct bgw_kafka_topic serving, next; /* in force; being placed */
    uint64_t round, next_round, rounds, attempt; /* in force; being placed; counters */
    int64_t retry_ms, looked_mono_ms;
    bool looking, look_again, plain_metadata, ids_seen, from_time;
    int describe_failures, policy_failures;
    int64_t rewind_ms;
    int64_t *place_low, *place_end, *place_time; /* of `next` */
    int placing; /* answers still to come */
    struct bgw_kafka_consumer *spare, *consumer; /* made ahead, the hub's; the hub's */

    /* proving */
    struct bgw_timer proof_timer, query_timer;
    int64_t *last_ends;
    bool *lost;
    int32_t lost_len, lost_count;
    bool lost_asked;
    int proofs_in_flight;
    int64_t proved_mono_ms;
    uint64_t last_query, wait_query, next_query, retry_query;
};

/* kafka_control.c */
struct request *bgw_control_request(struct bgw_kafka_control *c, enum request_kind kind);
void bgw_control_news(struct bgw_kafka_control *c, const struct bgw_kafka_news *news);
void bgw_control_trouble(struct bgw_kafka_control *c, enum trouble why);
void bgw_control_arm(struct bgw_kafka_control *c, struct bgw_timer *timer, int64_t delay_ms);
int64_t *bgw_control_offsets(int32_t count); /* all unknown; never NULL */
void bgw_control_ask_offsets(struct bgw_kafka_control *c, struct request *r, int64_t spec,
                             const int32_t *partitions);

/* Takes note of whether a question for offsets was answered by anybody. */
void bgw_control_answered(struct bgw_kafka_control *c, bool answered, rd_kafka_resp_err_t worst);

/* kafka_place.c */
void bgw_control_place_init(struct bgw_kafka_control *c);
void bgw_control_look(struct bgw_kafka_control *c);
void bgw_control_on_topic_event(struct bgw_kafka_control *c, rd_kafka_event_t *event);
void bgw_control_on_policy_event(struct bgw_kafka_control *c, rd_kafka_event_t *event);
void bgw_control_on_place_event(struct bgw_kafka_control *c, const struct request *r,
                                rd_kafka_event_t *event);
void bgw_control_place_reopened(struct bgw_kafka_control *c); /* requests in flight are lost */
void bgw_control_on_switched(struct bgw_kafka_control *c, const struct bgw_kafka_command *command);
void bgw_control_place_deinit(struct bgw_kafka_control *c);

/* kafka_prove.c */
void bgw_control_prove_init(struct bgw_kafka_control *c);
bool bgw_control_in_force(const struct bgw_kafka_control *c);
void bgw_control_prove_start(struct bgw_kafka_control *c); /* `serving` is in force */
void bgw_control_prove_stop(struct bgw_kafka_control *c);  /* it is not any more */
void bgw_control_prove_reopened(struct bgw_kafka_control *c);
void bgw_control_ask(struct bgw_kafka_control *c, uint64_t query, bool refresh);
void bgw_control_looked(struct bgw_kafka_control *c, bool unchanged);
void bgw_control_on_ends_event(struct bgw_kafka_control *c, const struct request *r,
                               rd_kafka_event_t *event);
void bgw_control_on_lost(struct bgw_kafka_control *c, const struct bgw_kafka_command *command);
void bgw_control_on_lost_event(struct bgw_kafka_control *c, const struct request *r,
                               rd_kafka_event_t *event);
void bgw_control_on_moved(struct bgw_kafka_control *c, const struct bgw_kafka_command *command);

#endif
