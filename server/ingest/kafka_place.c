/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_place: which topic is it, and from where is it read. A round is one assignment: find the
 * topic, learn its offsets, make a consumer, tell the hub, wait until it has switched. A topic with
 * another id is a new round that replaces the old one; more partitions under the same id are a
 * round that the hub enters once it has read the old partitions to the ends sent with it.
 * Invariant: at most one round is being placed, and none starts before the hub has switched.
 */
#include "kafka_control_state.h"

#include "bgw/assert.h"
#include "bgw/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_REWIND_MS 60000
#define POLICY_ATTEMPTS_MAX 3
/* A slow first connection must not make a broker with topic ids pass for one without. */
#define DESCRIBE_ATTEMPTS_MAX 2

static void place_start(struct bgw_kafka_control *c);

/* --- looking at the topic --- */

static void look_later(struct bgw_kafka_control *c)
{
    bgw_control_arm(c, &c->look_timer, c->retry_ms);
    c->retry_ms = c->retry_ms * 2 < RETRY_MAX_MS ? c->retry_ms * 2 : RETRY_MAX_MS;
}

static void set_next(struct bgw_kafka_control *c, const struct bgw_kafka_topic *t, enum change why)
{
    c->next = *t;
    c->change = why;
    c->next_round = ++c->rounds;
    c->phase = PLACING;
    BGW_LOG(BGW_LOG_INFO, "kafka_topic", {"topic", LS(c->name)}, {"partitions", LI(t->partitions)},
            {"id", LS(t->id)},
            {"change", LS(why == CHANGE_FIRST       ? "found"
                          : why == CHANGE_RECREATED ? "recreated"
                                                    : "partitions added")});
    if (why != CHANGE_FIRST && c->config->epoch[0])
        BGW_LOG(BGW_LOG_WARN, "epoch_is_fixed",
                {"why", LS("the topic has changed and BGW_EPOCH is set: give every replica a new "
                           "one, or versions may repeat")});
}

static void policy_ask(struct bgw_kafka_control *c)
{
    struct request *r = bgw_control_request(c, REQUEST_POLICY);
    c->phase = POLICY;
    if (!r) {
        look_later(c);
        return;
    }
    bgw_kafka_policy_ask(c->rk, c->queue, c->name, LOOK_TIMEOUT_MS, r);
}

static void found_first(struct bgw_kafka_control *c, const struct bgw_kafka_topic *t)
{
    set_next(c, t, CHANGE_FIRST);
    bool undecided = !c->config->rewind[0] && !c->only_source && c->cluster != BGW_CLUSTER_MOCK;
    if (undecided)
        policy_ask(c);
    else
        place_start(c);
}

static void found_again(struct bgw_kafka_control *c, const struct bgw_kafka_topic *t)
{
    if (c->phase == SWITCHING && !bgw_control_in_force(c)) {
        bgw_control_arm(c, &c->look_timer, LOOK_EVERY_MS); /* the hub is about to have it */
        return;
    }
    bool same = strcmp(t->id, c->serving.id) == 0 && t->partitions >= c->serving.partitions;
    bool grown = same && t->partitions > c->serving.partitions;
    if (same && (!grown || c->phase == SWITCHING)) {
        bgw_control_arm(c, &c->look_timer, LOOK_EVERY_MS);
        bgw_control_looked(c, true); /* may ask for a look at once */
        return;
    }
    if (!same) {
        c->from_time = false; /* another log: all of it is new */
        bgw_control_prove_stop(c);
    }
    set_next(c, t, same ? CHANGE_GROWN : CHANGE_RECREATED);
    bgw_control_looked(c, false);
    c->reopen |= !same;
    if (!c->reopen) /* else the new client begins with it */
        place_start(c);
}

static enum trouble trouble_of(enum bgw_status st)
{
    return st == BGW_NOT_FOUND      ? TROUBLE_NO_TOPIC
           : st == BGW_DENIED       ? TROUBLE_DENIED
           : st == BGW_OUT_OF_RANGE ? TROUBLE_PARTITIONS
                                    : TROUBLE_UNREACHABLE;
}

static void on_topic(struct bgw_kafka_control *c, enum bgw_status st,
                     const struct bgw_kafka_topic *t)
{
    c->looking = false;
    if (st != BGW_OK) {
        /* while ends are answered, a description that is late is no trouble */
        if (c->phase != STEADY || st != BGW_UNAVAILABLE)
            bgw_control_trouble(c, trouble_of(st));
        bgw_control_looked(c, false);
        look_later(c);
        return;
    }
    c->retry_ms = RETRY_MIN_MS;
    c->reopen |= c->unanswered >= UNANSWERED_MAX;
    if (c->phase == FINDING)
        found_first(c, t);
    else
        found_again(c, t);
}

static void look_plainly(struct bgw_kafka_control *c)
{
    struct bgw_kafka_topic t = {{0}, 0};
    enum bgw_status st =
        bgw_kafka_topic_from_metadata(&t, c->rk, c->name, LOOK_TIMEOUT_MS / 2);
    if (c->embedded) /* it lives and dies with this process, and so does its epoch */
        snprintf(t.id, sizeof(t.id), "%s", c->own_id);
    on_topic(c, st, &t);
}

static void do_without_ids(struct bgw_kafka_control *c)
{
    c->plain_metadata = true;
    BGW_LOG(BGW_LOG_WARN, "kafka_without_topic_ids", {"topic", LS(c->name)},
            {"why", LS("a recreated topic cannot be told from the old one; BGW_EPOCH sets the "
                       "epoch by hand")});
}

/* The embedded broker of another process: it would never answer what it does not know. */
static void learn_cluster(struct bgw_kafka_control *c)
{
    bool first = c->looked_mono_ms == 0;
    if (c->cluster != BGW_CLUSTER_NOT_HEARD || c->ids_seen)
        return;
    c->cluster = bgw_kafka_cluster_of(c->rk, first ? LOOK_TIMEOUT_MS / 2 : 0);
    if (c->cluster != BGW_CLUSTER_MOCK)
        return;
    c->from_time = false;
    if (!c->plain_metadata)
        do_without_ids(c);
}

void bgw_control_look(struct bgw_kafka_control *c)
{
    if (c->looking) {
        c->look_again = true;
        return;
    }
    bgw_wheel_cancel(bgw_loop_wheel(c->loop), &c->look_timer);
    learn_cluster(c);
    c->looked_mono_ms = bgw_clock_now().mono_ms;
    if (c->plain_metadata) {
        look_plainly(c);
        return;
    }
    struct request *r = bgw_control_request(c, REQUEST_TOPIC);
    if (!r) {
        look_later(c);
        return;
    }
    c->looking = true;
    bgw_kafka_topic_ask(c->rk, c->queue, c->name, LOOK_TIMEOUT_MS, r);
}

/* Some brokers never answer that request, or without an id; the plain one tells if it is that. */
static void describe_failed(struct bgw_kafka_control *c, enum bgw_status st)
{
    struct bgw_kafka_topic t = {{0}, 0};
    enum bgw_status plain =
        bgw_kafka_topic_from_metadata(&t, c->rk, c->name, LOOK_TIMEOUT_MS / 2);
    if (plain == BGW_OK) {
        c->describe_failures++;
        if (st != BGW_UNSUPPORTED && c->describe_failures < DESCRIBE_ATTEMPTS_MAX) {
            c->looking = false;
            bgw_control_look(c);
            return;
        }
        do_without_ids(c);
    }
    on_topic(c, plain, &t);
}

void bgw_control_on_topic_event(struct bgw_kafka_control *c, rd_kafka_event_t *event)
{
    struct bgw_kafka_topic t = {{0}, 0};
    enum bgw_status st = bgw_kafka_topic_from_event(&t, event);
    if (st == BGW_OK)
        c->ids_seen = true;
    bool ids_doubtful = (st == BGW_UNAVAILABLE || st == BGW_UNSUPPORTED) && !c->ids_seen;
    if (ids_doubtful)
        describe_failed(c, st);
    else
        on_topic(c, st, &t);
}

void bgw_control_on_policy_event(struct bgw_kafka_control *c, rd_kafka_event_t *event)
{
    if (c->phase != POLICY)
        return;
    bool compacted = false;
    enum bgw_status st = bgw_kafka_policy_from_event(&compacted, event);
    if (st == BGW_UNAVAILABLE && ++c->policy_failures < POLICY_ATTEMPTS_MAX) {
        policy_ask(c);
        return;
    }
    if (st != BGW_OK)
        BGW_LOG(BGW_LOG_WARN, "topic_policy_unknown", {"topic", LS(c->name)},
                {"reason", LS(bgw_status_name(st))},
                {"why", LS("taken as not compacted: set BGW_REWIND=beginning if it is")});
    c->from_time = !compacted;
    c->phase = PLACING;
    place_start(c);
}

/* --- offsets, consumer, hand-over --- */

static void place_drop(struct bgw_kafka_control *c)
{
    free(c->place_low);
    free(c->place_end);
    free(c->place_time);
    c->place_low = c->place_end = c->place_time = NULL;
    c->placing = 0;
}

static void place_ask(struct bgw_kafka_control *c, enum request_kind kind, int64_t spec)
{
    struct request *r = bgw_control_request(c, kind);
    if (!r)
        return; /* its answer stays unknown, and the round is tried again */
    r->count = c->next.partitions;
    r->round = c->next_round;
    r->query = c->attempt;
    c->placing++;
    bgw_control_ask_offsets(c, r, spec, NULL);
}

static void place_start(struct bgw_kafka_control *c)
{
    int32_t count = c->next.partitions;
    place_drop(c);
    c->attempt++;
    c->place_low = bgw_control_offsets(count);
    c->place_end = bgw_control_offsets(count);
    c->place_time = bgw_control_offsets(count);
    place_ask(c, REQUEST_PLACE_END, RD_KAFKA_OFFSET_SPEC_LATEST);
    if (c->change != CHANGE_GROWN)
        place_ask(c, REQUEST_PLACE_LOW, RD_KAFKA_OFFSET_SPEC_EARLIEST);
    if (c->change == CHANGE_FIRST && c->from_time)
        place_ask(c, REQUEST_PLACE_TIME, bgw_clock_now().wall_ms - c->rewind_ms);
    if (c->placing == 0)
        look_later(c);
}

static bool all_known(const int64_t *at, int32_t count, int64_t least)
{
    for (int32_t i = 0; i < count; i++) {
        if (at[i] == BGW_OFFSET_UNKNOWN || at[i] < least)
            return false;
    }
    return true;
}

static bool place_complete(const struct bgw_kafka_control *c)
{
    int32_t count = c->next.partitions;
    if (!all_known(c->place_end, count, 0))
        return false;
    if (c->change != CHANGE_GROWN && !all_known(c->place_low, count, 0))
        return false;
    bool by_time = c->change == CHANGE_FIRST && c->from_time;
    return !by_time || all_known(c->place_time, count, BGW_OFFSET_NONE);
}

static int64_t *starts_of(const struct bgw_kafka_control *c)
{
    int64_t *at = bgw_control_offsets(c->next.partitions);
    bool by_time = c->change == CHANGE_FIRST && c->from_time;
    for (int32_t i = 0; i < c->next.partitions; i++) {
        int64_t low = c->place_low[i], end = c->place_end[i], time = c->place_time[i];
        at[i] = low;
        if (by_time)
            at[i] = time == BGW_OFFSET_NONE || time > end ? end : time < low ? low : time;
    }
    return at;
}

static struct bgw_kafka_consumer *take_consumer(struct bgw_kafka_control *c, const int64_t *starts)
{
    struct bgw_kafka_consumer *consumer = NULL;
    struct bgw_buf error;
    bool mock = c->cluster == BGW_CLUSTER_MOCK;
    if (mock == c->embedded) { /* else it was made for other brokers than were found: it rests until the end */
        consumer = c->spare;
        c->spare = NULL;
    }
    bgw_buf_init(&error, 1024);
    if (!consumer && bgw_kafka_consumer_create(&consumer, mock ? BGW_KAFKA_MOCK_CONSUMER : BGW_KAFKA_CONSUMER, c->config,
                                               c->bootstrap, &error) != BGW_OK)
        BGW_LOG(BGW_LOG_ERROR, "kafka_client_failed", {"why", LSL(bgw_buf_slice(&error))});
    bgw_buf_deinit(&error);
    if (consumer &&
        bgw_kafka_consumer_assign(consumer, c->name, starts, c->next.partitions) != BGW_OK)
        bgw_kafka_consumer_destroy(&consumer);
    return consumer;
}

/* False: no consumer could be made. */
static bool hand_over(struct bgw_kafka_control *c)
{
    struct bgw_kafka_news n = {
        .kind = c->change == CHANGE_GROWN ? BGW_NEWS_GROWN : BGW_NEWS_ASSIGNED,
        .count = c->next.partitions,
        .round = c->next_round,
        .epoch = bgw_kafka_topic_epoch(&c->next, c->name, c->config->epoch),
    };
    if (c->change != CHANGE_GROWN) {
        n.at = starts_of(c);
        n.consumer = take_consumer(c, n.at);
        if (!n.consumer) {
            free(n.at);
            return false;
        }
        c->consumer = n.consumer;
    }
    n.ends = c->place_end;
    c->place_end = NULL;
    BGW_LOG(BGW_LOG_INFO, "kafka_assigned", {"topic", LS(c->name)}, {"partitions", LI(n.count)},
            {"from", LS(c->from_time ? "rewind" : "beginning")},
            {"rewind_ms", LI(c->from_time ? c->rewind_ms : 0)});
    c->phase = SWITCHING;
    bgw_control_news(c, &n);
    return true;
}

void bgw_control_on_place_event(struct bgw_kafka_control *c, const struct request *r,
                                rd_kafka_event_t *event)
{
    if (c->phase != PLACING || r->query != c->attempt)
        return;
    int64_t *at = r->kind == REQUEST_PLACE_LOW   ? c->place_low
                  : r->kind == REQUEST_PLACE_END ? c->place_end
                                                 : c->place_time;
    rd_kafka_resp_err_t worst;
    int32_t answered = bgw_kafka_offsets_read(event, at, r->count, &worst);
    bgw_control_answered(c, answered > 0, worst);
    if (answered < r->count)
        BGW_LOG(BGW_LOG_WARN, "kafka_offsets_missing", {"topic", LS(c->name)},
                {"name", LS(rd_kafka_err2name(worst))});
    if (--c->placing > 0)
        return;
    enum trouble why = TROUBLE_NONE;
    if (!place_complete(c))
        why = TROUBLE_NO_LEADER;
    else if (!hand_over(c))
        why = TROUBLE_CLIENT;
    bgw_control_trouble(c, why);
    place_drop(c);
    if (why != TROUBLE_NONE)
        look_later(c);
    else
        c->retry_ms = RETRY_MIN_MS;
}

void bgw_control_place_reopened(struct bgw_kafka_control *c)
{
    c->looking = false;
    if (c->phase == PLACING)
        place_start(c);
    else if (c->phase == POLICY)
        policy_ask(c);
    else
        bgw_control_arm(c, &c->look_timer, RETRY_MIN_MS);
}

void bgw_control_on_switched(struct bgw_kafka_control *c, const struct bgw_kafka_command *command)
{
    if (c->phase != SWITCHING || command->round != c->next_round)
        return;
    int32_t before = c->serving.partitions;
    c->serving = c->next;
    c->round = c->next_round;
    c->phase = STEADY;
    if (c->change == CHANGE_GROWN &&
        bgw_kafka_consumer_add(c->consumer, c->name, before, c->serving.partitions - before) !=
            BGW_OK)
        bgw_control_trouble(c, TROUBLE_CLIENT);
    bgw_control_prove_start(c);
    bgw_control_arm(c, &c->look_timer, c->lost_count ? RETRY_MIN_MS : LOOK_EVERY_MS);
}

/* --- life cycle --- */

static void on_look_timer(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct bgw_kafka_control *c = BGW_CONTAINER(timer, struct bgw_kafka_control, look_timer);
    if (c->phase == POLICY)
        policy_ask(c);
    else if (c->phase != PLACING)
        bgw_control_look(c);
    else if (c->placing > 0)
        return; /* answers are on their way */
    else if (c->change == CHANGE_FIRST) {
        c->phase = FINDING; /* perhaps it is another topic by now */
        bgw_control_look(c);
    } else {
        place_start(c);
    }
}

void bgw_control_place_init(struct bgw_kafka_control *c)
{
    const char *rewind = c->config->rewind;
    bgw_timer_init(&c->look_timer, on_look_timer);
    c->retry_ms = RETRY_MIN_MS;
    c->phase = FINDING;
    c->plain_metadata = c->embedded;
    c->cluster = c->embedded ? BGW_CLUSTER_MOCK : BGW_CLUSTER_NOT_HEARD;
    c->rewind_ms = DEFAULT_REWIND_MS;
    if (rewind[0] && strcmp(rewind, "beginning") != 0)
        c->from_time = bgw_config_duration_ms(rewind, &c->rewind_ms) == BGW_OK;
    if (c->embedded)
        c->from_time = false; /* the mock cluster knows no offsets for times */
}

void bgw_control_place_deinit(struct bgw_kafka_control *c)
{
    place_drop(c);
}
