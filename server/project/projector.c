/* SPDX-License-Identifier: Apache-2.0 */
/*
 * projector: the life of the projection: made, ticking, ready, in trouble, drained. Hides how Kafka's group, Redis and Kafka's writer
 * are joined. Called by `bgw project` on its loop. Invariant: ready is said once, when all that was in our partitions at the start is
 * applied and nobody is left to be told.
 */
#include "projector_private.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#define GROUP "ledger-projection"
#define TICK_MS 20
#define LOOK_MS 500
#define LOOK_AT_ONCE 128
#define RECORD_BYTES_MAX 4096

/* ---- what the parts say ---- */

static void follow_epoch(struct bgw_projector *p)
{
    uint64_t epoch = bgw_kafka_group_epoch(p->group);
    if (epoch == p->epoch)
        return;
    p->epoch = epoch;
    p->live = false;
    p->untold = -1;
    for (int32_t i = 0; i < p->partition_count; i++)
        if (p->partitions[i]) /* those that are still ours are given again, each for itself */
            partition_stop(p->partitions[i], 0);
}

static void on_given(void *arg, const struct bgw_kafka_given *g)
{
    struct bgw_projector *p = arg;
    if (p->ending)
        return;
    follow_epoch(p);
    positions_set_epoch(p->positions, p->epoch, bgw_kafka_group_partitions(p->group));
    partition_given(p, g);
}

static void on_taken(void *arg, int32_t partition, bool orderly)
{
    (void)orderly; /* whoever has it next finds in Redis what is applied, and in the log what is to be told */
    partition_taken(arg, partition);
}

static void on_record(void *arg, const struct bgw_kafka_log_record *r)
{
    partition_record(arg, r);
}

static void on_end(void *arg, int32_t partition, int64_t next)
{
    partition_end(arg, partition, next);
}

static void on_redis(void *arg, bool up, const char *words)
{
    struct bgw_projector *p = arg;
    snprintf(p->redis_words, sizeof(p->redis_words), "%s", up ? "" : words);
    bgw_metric_set(BGW_M_REDIS_UP, up);
    if (p->ending)
        return;
    if (up) {
        BGW_LOG(BGW_LOG_INFO, "redis_up", {"for", LS("positions")});
        return;
    }
    BGW_LOG(BGW_LOG_WARN, "redis_down", {"reason", LS(words)}, {"effect", LS("events wait in Kafka")});
    p->live = false;
    p->untold = -1;
    for (int32_t i = 0; i < p->partition_count; i++)
        if (p->partitions[i])
            partition_stop(p->partitions[i], 0);
}

/* ---- looking ---- */

struct look { /* one question */
    struct bgw_projector *p;
    uint64_t epoch;
    size_t count;
    int32_t ids[LOOK_AT_ONCE];
};

/* What Redis says is behind what it has told us before, or it does not know that the partition was begun. */
static bool is_lost(const struct partition *a, const struct bgw_redis_value *w, const struct bgw_redis_value *t)
{
    int64_t applied;
    if (t->type == BGW_REDIS_NIL)
        return true;
    return a->window.done > 0 && (!positions_i64(w, &applied) || applied < a->window.done - 1);
}

static void compare(struct bgw_projector *p, const struct look *k, const struct bgw_redis_value *v)
{
    p->live = v->items[0].type != BGW_REDIS_NIL;
    for (size_t i = 0; i < k->count; i++) {
        struct partition *a = p->partitions[k->ids[i]];
        if (a->state != PARTITION_RUNNING || !is_lost(a, &v->items[1 + 2 * i], &v->items[2 + 2 * i]))
            continue;
        BGW_LOG(BGW_LOG_WARN, "projection_steps_back", {"partition", LI(a->id)}, {"offset", LI(a->window.done)},
                {"reason", LS("Redis does not have what was applied before")});
        partition_stop(a, 0);
    }
}

static void on_look(void *arg, const struct bgw_redis_value *v)
{
    struct look *k = arg;
    struct bgw_projector *p = k->p;
    if (v->type == BGW_REDIS_LIST && v->count == 1 + 2 * k->count && !p->ending && k->epoch == p->epoch)
        compare(p, k, v);
    p->looking = false;
    free(k);
}

static void on_count(void *arg, const struct bgw_redis_value *v)
{
    struct bgw_projector *p = arg;
    p->untold = v->type == BGW_REDIS_INTEGER ? v->integer : -1;
    bgw_metric_set(BGW_M_PROJECTION_UNTOLD, p->drain && p->untold > 0 ? p->untold : 0); /* one member's to say */
}

static void look(struct bgw_projector *p, int64_t now_ms)
{
    if (p->looking || now_ms < p->look_due_ms || !p->epoch)
        return;
    struct look *k = calloc(1, sizeof(*k));
    if (!k)
        return;
    p->look_due_ms = now_ms + LOOK_MS;
    k->p = p;
    k->epoch = p->epoch;
    for (int32_t i = 0; i < p->partition_count && k->count < LOOK_AT_ONCE; i++) {
        int32_t id = (p->look_from + i) % p->partition_count;
        if (p->partitions[id] && p->partitions[id]->state == PARTITION_RUNNING)
            k->ids[k->count++] = id;
    }
    p->look_from = k->count == LOOK_AT_ONCE ? k->ids[k->count - 1] + 1 : 0;
    p->looking = positions_look(p->positions, k->ids, k->count, on_look, k);
    if (!p->looking)
        free(k);
    (void)positions_count_untold(p->positions, on_count, p);
}

/* ---- ready ---- */

static bool caught_up(const struct bgw_projector *p)
{
    if (!p->live || p->untold != 0)
        return false;
    for (int32_t i = 0; i < p->partition_count; i++) {
        const struct partition *a = p->partitions[i];
        if (a && a->state != PARTITION_AWAY && (a->state != PARTITION_RUNNING || a->window.done < a->goal))
            return false;
    }
    return true;
}

/* ---- trouble ---- */

static const struct partition *refused(const struct bgw_projector *p)
{
    for (int32_t i = 0; i < p->partition_count; i++)
        if (p->partitions[i] && p->partitions[i]->state != PARTITION_AWAY && p->partitions[i]->refusal != STEP_FAILED)
            return p->partitions[i];
    return NULL;
}

static void say_refused(const struct bgw_projector *p, const struct partition *a, char out[TROUBLE_MAX])
{
    const char *topic = p->config.config->topic_ledger;
    char epoch[BGW_EPOCH_MAX + 1];
    bgw_epoch_format(p->epoch, epoch);
    if (a->refusal == STEP_EPOCH)
        snprintf(out, TROUBLE_MAX, "%.40s (epoch %s) is not the topic that Redis was filled from: see \"Another topic\" in docs/projector.md",
                 topic, epoch);
    else if (a->refusal == STEP_MISSING)
        snprintf(out, TROUBLE_MAX,
                 "%.40s/%d begins at %lld, and Redis lacks events before that: restore Redis or seed it (docs/projector.md)", topic,
                 (int)a->id, (long long)a->low);
    else
        snprintf(out, TROUBLE_MAX, "%.40s/%d ends at %lld, and Redis has more: see \"A log that is shorter\" in docs/projector.md", topic,
                 (int)a->id, (long long)a->high);
}

static bool say_trouble(struct bgw_projector *p, char out[TROUBLE_MAX])
{
    const struct partition *a = refused(p);
    const char *kafka = bgw_kafka_group_trouble(p->group);
    if (p->too_many)
        snprintf(out, TROUBLE_MAX, "%s has more than %d partitions: nothing is projected", p->config.config->topic_ledger, PARTITIONS_MAX);
    else if (*p->redis_words)
        snprintf(out, TROUBLE_MAX, "Redis cannot be used: %s", p->redis_words);
    else if (a)
        say_refused(p, a, out);
    else if (kafka)
        snprintf(out, TROUBLE_MAX, "%s", kafka);
    else if (p->refused != BGW_OK)
        snprintf(out, TROUBLE_MAX, "the brokers do not take records of %s: %s", p->config.config->topic_balance_updates,
                 bgw_status_text(p->refused));
    else
        return false;
    return true;
}

static void tell_trouble(struct bgw_projector *p)
{
    unsigned at = atomic_load(&p->trouble_at), other = at == 1 ? 1 : 0;
    char fresh[TROUBLE_MAX];
    if (!say_trouble(p, fresh)) {
        atomic_store(&p->trouble_at, 0);
        return;
    }
    if (at && strcmp(p->trouble[at - 1], fresh) == 0)
        return;
    memcpy(p->trouble[other], fresh, sizeof(fresh));
    atomic_store(&p->trouble_at, other + 1);
}

const char *bgw_projector_trouble(struct bgw_projector *p)
{
    unsigned at = atomic_load(&p->trouble_at);
    return at ? p->trouble[at - 1] : NULL;
}

void bgw_projector_metrics(void *projector, struct bgw_buf *out)
{
    struct bgw_projector *p = projector;
    bgw_kafka_group_metrics(p->group, out);
}

/* ---- turns ---- */

static void on_nothing(void *arg, const struct bgw_redis_value *v)
{
    (void)arg;
    (void)v;
}

/* What was told since the last event said so. */
static void publish_told(struct partition *a)
{
    int64_t told = a->window.done - 1;
    if (a->state == PARTITION_RUNNING && told > a->told && positions_publish_told(a->p->positions, a->id, told, on_nothing, NULL))
        a->told = told;
}

static void on_tick(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_projector *p = BGW_CONTAINER(timer, struct bgw_projector, tick);
    bgw_wheel_arm(bgw_loop_wheel(p->loop), timer, now_ms + TICK_MS);
    size_t ours = 0;
    for (int32_t i = 0; i < p->partition_count; i++) {
        struct partition *a = p->partitions[i];
        if (!a)
            continue;
        ours += a->state != PARTITION_AWAY;
        publish_told(a);
        partition_turn(a, now_ms);
    }
    bgw_metric_set(BGW_M_PROJECTION_PARTITIONS, (int64_t)ours);
    p->ours = ours;
    bgw_metric_set(BGW_M_PROJECTION_REFUSED, refused(p) != NULL);
    bgw_metric_set(BGW_M_PROJECTION_LIVE, p->live);
    teller_turn(p);
    look(p, now_ms);
    tell_trouble(p);
    if (p->announced || p->draining || !caught_up(p))
        return;
    p->announced = true;
    p->config.ready(p->config.arg);
}

/* ---- life ---- */

static enum bgw_status build(struct bgw_projector *p, struct bgw_buf *error)
{
    const struct bgw_config *c = p->config.config;
    const struct positions_config positions = {
        .url = c->redis, .ca_file = c->redis_ca, .topic = c->topic_ledger, .publish = c->project_publish, .arg = p, .state = on_redis};
    const struct bgw_kafka_group_config group = {.config = c,
                                                 .bootstrap = p->config.bootstrap,
                                                 .topic = c->topic_ledger,
                                                 .group = GROUP,
                                                 .broker_is_embedded = p->config.broker_is_embedded,
                                                 .arg = p,
                                                 .given = on_given,
                                                 .taken = on_taken,
                                                 .record = on_record,
                                                 .end = on_end};
    enum bgw_status status = positions_create(&p->positions, p->loop, &positions, error);
    if (status == BGW_OK)
        status = bgw_kafka_writer_create(&p->writer, p->loop, c, p->config.bootstrap, error);
    if (status == BGW_OK)
        status = bgw_kafka_group_create(&p->group, p->loop, &group, error);
    return status;
}

enum bgw_status bgw_projector_create(struct bgw_projector **out, struct bgw_loop *loop, const struct bgw_projector_config *c,
                                     struct bgw_buf *error)
{
    BGW_ASSERT(c->ready && *c->config->redis);
    struct bgw_projector *p = calloc(1, sizeof(*p));
    if (!p)
        return BGW_NO_MEMORY;
    p->config = *c;
    p->loop = loop;
    p->untold = -1;
    bgw_feed_balance_init(&p->feed, bgw_slice_str(c->config->default_tenant), bgw_part_of(bgw_slice_str(c->config->default_currency)));
    bgw_list_init(&p->tells);
    bgw_buf_init(&p->record, RECORD_BYTES_MAX);
    bgw_buf_init(&p->key, 256);
    bgw_timer_init(&p->tick, on_tick);
    snprintf(p->redis_words, sizeof(p->redis_words), "it is being connected to");
    enum bgw_status status = build(p, error);
    if (status != BGW_OK) {
        bgw_projector_destroy(&p);
        return status;
    }
    tell_trouble(p);
    bgw_wheel_arm(bgw_loop_wheel(loop), &p->tick, bgw_clock_now().mono_ms + TICK_MS);
    *out = p;
    return BGW_OK;
}

bool bgw_projector_drain(struct bgw_projector *p)
{
    size_t flying = p->drain_flying;
    p->draining = true;
    for (int32_t i = 0; i < p->partition_count; i++) {
        if (!p->partitions[i])
            continue;
        partition_flow(p->partitions[i]);
        flying += p->partitions[i]->flying;
    }
    return flying == 0;
}

void bgw_projector_destroy(struct bgw_projector **destroyed)
{
    struct bgw_projector *p = *destroyed;
    if (!p)
        return;
    p->ending = true;
    bgw_wheel_cancel(bgw_loop_wheel(p->loop), &p->tick);
    bgw_kafka_group_destroy(&p->group);
    teller_end(p);
    bgw_kafka_writer_destroy(&p->writer);
    if (p->positions)
        positions_destroy(&p->positions);
    for (int32_t i = 0; i < p->partition_count; i++)
        free(p->partitions[i]);
    bgw_buf_deinit(&p->record);
    bgw_buf_deinit(&p->key);
    free(p);
    *destroyed = NULL;
}
