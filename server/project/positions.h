/* SPDX-License-Identifier: Apache-2.0 */
/* positions: the steps of script.h over one connection to Redis, in the order in which they are asked for. Projector's thread. */
#ifndef BGW_PROJECT_POSITIONS_H
#define BGW_PROJECT_POSITIONS_H

#include "entry.h"

#include "bgw/loop.h"
#include "bgw/redis.h"

#define MEMBER_TEXT_MAX 17

enum step_result {
    STEP_FAILED, /* no answer, or an error: whether it was done is not known */
    STEP_GAP,    /* what was handed over before is not there */
    STEP_AGAIN,  /* was applied before; its accounts are to be told */
    STEP_QUIET,  /* applied; nobody is told yet */
    STEP_TOLD,   /* applied; whose `tell` is set is ours to tell */
    STEP_PASSED,
    STEP_OVERFLOW,
    STEP_BEGUN,
    STEP_MISSING, /* the log does not hold what has not been applied */
    STEP_SHORT,   /* more was applied than the log holds */
    STEP_EPOCH,   /* the positions are another topic's */
    STEP_WAIT,
    STEP_GONE,
};

struct step_account { /* fixed-size value */
    bool tell;
    int64_t minor;
    uint64_t v;
};

struct step { /* what a step answered; borrows the reply */
    enum step_result result;
    struct step_account account[2]; /* TOLD */
    int64_t number[4];              /* BEGUN: watermark, from, target, drain's number; MISSING, SHORT: watermark; TOLD of an account: ts */
    struct bgw_slice words;         /* FAILED: the error, or nothing; EPOCH: the other one */
};
void step_read(const struct bgw_redis_value *v, struct step *out);

struct positions; /* loop's thread only */

struct positions_config { /* copied, but for what the texts point to until `create` returns */
    const char *url, *ca_file;
    const char *topic;
    bool publish;
    void *arg;
    void (*state)(void *arg, bool up, const char *words); /* up: steps may be asked for */
};
enum bgw_status positions_create(struct positions **out, struct bgw_loop *loop, const struct positions_config *config,
                                 struct bgw_buf *error);
bool positions_up(const struct positions *p);
void positions_destroy(struct positions **p); /* waiting replies get FAILED */
/* Of the topic as it is now; before the first step, and when it was made anew. */
void positions_set_epoch(struct positions *p, uint64_t epoch, int32_t partitions);
/* After an error: scripts may have been forgotten, or the server be no master any more. */
void positions_doubt(struct positions *p, struct bgw_slice error);

struct apply {
    int32_t partition;
    int64_t offset, prev, told, ts_ms;
    const struct entry *entry; /* NULL: passed over */
};
/* False, of each: not asked, `reply` is not called. */
bool positions_apply(struct positions *p, const struct apply *a, bgw_redis_reply reply, void *arg);

struct beginning {
    int32_t partition;
    int64_t committed, low, high;
};
bool positions_begin(struct positions *p, const struct beginning *b, bgw_redis_reply reply, void *arg);
bool positions_tell(struct positions *p, int64_t drain, const struct bgw_slot_name *name, bgw_redis_reply reply, void *arg);
bool positions_settle(struct positions *p, int64_t drain, const struct bgw_slot_name *name, uint64_t v, bgw_redis_reply reply,
                      void *arg);
/* Up to where a partition is told, for the other members. */
bool positions_publish_told(struct positions *p, int32_t partition, int64_t told, bgw_redis_reply reply, void *arg);
/* LIST: live, then w and t of the partitions; and how many are to be told, INTEGER. */
bool positions_look(struct positions *p, const int32_t *partitions, size_t count, bgw_redis_reply reply, void *arg);
bool positions_count_untold(struct positions *p, bgw_redis_reply reply, void *arg);
/* LIST of up to `max` names, for positions_name. */
bool positions_untold(struct positions *p, int max, bgw_redis_reply reply, void *arg);
/* A member of the set: tenant:account:currency. */
bool positions_name(const struct bgw_feed *feed, struct bgw_slice text, struct bgw_slot_name *out);
bool positions_i64(const struct bgw_redis_value *v, int64_t *out); /* TEXT or INTEGER */

#endif
