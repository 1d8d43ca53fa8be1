/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_group: reading a topic as a member of a consumer group, and writing records whose fate the
 * writer is told. Both for the projector, on its loop's thread; what blocks in librdkafka runs on
 * a thread of their own. Nothing is committed that was not said to be done.
 */
#ifndef BGW_KAFKA_GROUP_H
#define BGW_KAFKA_GROUP_H

#include "bgw/buf.h"
#include "bgw/config.h"
#include "bgw/ingest.h"
#include "bgw/loop.h"

struct bgw_kafka_group;

/* a partition that became ours; fixed-size value */
struct bgw_kafka_given {
    int32_t partition;
    int64_t committed; /* the group's next offset; -1: none yet */
    int64_t low, high; /* what the log holds: low <= offset < high */
};

struct bgw_kafka_group_config { /* copied, but for `config` */
    const struct bgw_config *config;
    const char *bootstrap, *topic, *group;
    bool broker_is_embedded; /* it has no topic ids */
    void *arg;
    /* A partition is ours and paused, until bgw_kafka_group_begin. Also again for one that we hold: when its topic has got more
     * partitions (another epoch), and when the offset that was read at is not in the log any more. A topic that was made anew
     * takes them all first, not orderly. */
    void (*given)(void *arg, const struct bgw_kafka_given *g);
    /* Not ours any more: nothing of it may be reported done from here on, unless `orderly`: then until this call returns. */
    void (*taken)(void *arg, int32_t partition, bool orderly);
    void (*record)(void *arg, const struct bgw_kafka_log_record *r); /* in order, each partition for itself */
    /* The log has nothing more before `next` just now: also after markers of transactions, which are no records. NULL: nobody cares. */
    void (*end)(void *arg, int32_t partition, int64_t next);
};
BGW_MUST_CHECK enum bgw_status bgw_kafka_group_create(struct bgw_kafka_group **out, struct bgw_loop *loop,
                                                      const struct bgw_kafka_group_config *c, struct bgw_buf *error);
/* Records from `offset` on; also in the midst of reading, to go back. */
void bgw_kafka_group_begin(struct bgw_kafka_group *g, int32_t partition, int64_t offset);
/* No records of it for now, or again: the reader of them is full. */
void bgw_kafka_group_pause(struct bgw_kafka_group *g, int32_t partition, bool pause);
/* All before `next` is done. Committed within about a second, at a hand-over and at the end. */
void bgw_kafka_group_done(struct bgw_kafka_group *g, int32_t partition, int64_t next);
/* Which topic of this name it is, as versions name it: changes when the topic is made anew or gets more partitions. 0: not known
 * yet (then nothing was given either). */
uint64_t bgw_kafka_group_epoch(const struct bgw_kafka_group *g);
int32_t bgw_kafka_group_partitions(const struct bgw_kafka_group *g); /* of the topic; 0: not known yet */
const char *bgw_kafka_group_trouble(struct bgw_kafka_group *g); /* any thread: a sentence, or NULL */
/* Prometheus lines: records behind, a partition. Any thread. */
void bgw_kafka_group_metrics(void *group, struct bgw_buf *out);
/* Commits what is done and leaves the group; calls nobody back. Takes some seconds if the brokers are away. */
void bgw_kafka_group_destroy(struct bgw_kafka_group **g);

/* ---- records with an answer each ---- */

struct bgw_kafka_writer;
BGW_MUST_CHECK enum bgw_status bgw_kafka_writer_create(struct bgw_kafka_writer **out, struct bgw_loop *loop,
                                                       const struct bgw_config *config, const char *bootstrap,
                                                       struct bgw_buf *error);
/* Takes a copy; idempotent, all replicas acknowledge, the order of a key is kept. `done` on the loop's thread, exactly once,
 * never from in here. False: too much waits, not called then; bgw_kafka_writer_has_room tells when it is worth another try. */
bool bgw_kafka_writer_send(struct bgw_kafka_writer *w, const char *topic, const struct bgw_kafka_outgoing *o,
                           void (*done)(void *arg, enum bgw_status status), void *arg);
bool bgw_kafka_writer_has_room(const struct bgw_kafka_writer *w);
void bgw_kafka_writer_destroy(struct bgw_kafka_writer **w); /* who still waits for `done` is told BGW_UNAVAILABLE */

#endif
