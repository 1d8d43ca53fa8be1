/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_source: the hub thread's side of Kafka. Takes records from the consumer's queue, at most a
 * share of a turn, and hands them to the hub; receives news from the control thread and acts on
 * them in step with the records: an assignment comes into force between two records, never in the
 * middle of what the old one still has to say.
 * Invariant: what the hub is told of a partition is in the order of its log, and a proof never
 * speaks of an assignment that is not in force.
 */
#include "bgw/ingest.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/metrics.h"
#include "kafka_consumer.h"
#include "kafka_control.h"
#include "kafka_handle.h"
#include "kafka_lag.h"
#include "kafka_offsets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define NEWS_MAX 256
#define BATCH 256
#define TURN_RECORDS_MAX 4000
#define TURN_NS_MAX 2000000
/* the wake-up comes only for an empty queue's first entry; this bounds what a lost one costs */
#define LOOK_ANYWAY_MS 100
/* the rest of a recreated topic's old queue may keep growing: so much is read of it */
#define OLD_QUEUE_MS_MAX 1000
#define UNSENT_MAX 16

enum lost_mark { HAS_POSITION, LOST_UNSENT, LOST_SENT };

struct bgw_kafka_source { /* hub thread only; `control` and `lag` any thread */
    struct bgw_loop *loop;
    struct bgw_hub *hub;
    uint8_t feed;
    struct bgw_mailbox *news;
    struct bgw_kafka_control *control;
    struct bgw_kafka_lag *lag;

    struct bgw_kafka_consumer *consumer;
    struct bgw_loop_fd queue_fd;
    bool attached;
    uint64_t round;
    int32_t count;
    int64_t *positions;
    uint8_t *lost;
    int32_t lost_unsent;

    bool has_next; /* an assignment that waits for the old one to be read */
    struct bgw_kafka_news next;
    int64_t next_deadline_ms;

    size_t turn_records; /* of this turn's share */
    int64_t turn_ns;     /* when this turn began to read; 0: not yet */
    bool more;
    struct bgw_timer look_timer;

    struct bgw_kafka_command unsent[UNSENT_MAX];
    size_t unsent_len;
    uint64_t ask_query;
    bool ask_refresh;

    rd_kafka_message_t *batch[BATCH];
    struct bgw_kafka_progress progress[BATCH];
};

static void on_news(void *arg, const void *item);
static void on_queue(struct bgw_loop_fd *f, uint32_t events);
static void on_look_timer(struct bgw_timer *timer, int64_t now_ms);

/* --- life cycle --- */

enum bgw_status bgw_kafka_source_create(struct bgw_kafka_source **out, struct bgw_loop *loop,
                                        struct bgw_hub *hub,
                                        const struct bgw_kafka_source_config *config,
                                        struct bgw_buf *error)
{
    struct bgw_kafka_source *s = calloc(1, sizeof(*s));
    if (!s)
        return BGW_NO_MEMORY;
    s->loop = loop;
    s->hub = hub;
    s->feed = config->feed;
    bgw_timer_init(&s->look_timer, on_look_timer);
    enum bgw_status st = bgw_kafka_lag_create(&s->lag);
    if (st == BGW_OK)
        st = bgw_mailbox_create(&s->news, loop, sizeof(struct bgw_kafka_news), NEWS_MAX, on_news,
                                s);
    if (st == BGW_OK)
        st = bgw_kafka_control_create(&s->control, config, s->news, s->lag, error);
    if (st != BGW_OK) {
        if (error->len == 0)
            bgw_buf_append_str(error, bgw_status_text(st));
        bgw_kafka_source_destroy(&s);
        return st;
    }
    *out = s;
    return BGW_OK;
}

static void news_free(const struct bgw_kafka_news *n)
{
    struct bgw_kafka_consumer *consumer = n->consumer;
    free(n->at);
    free(n->ends);
    bgw_kafka_consumer_destroy(&consumer);
}

static void detach_queue(struct bgw_kafka_source *s)
{
    if (s->attached)
        bgw_loop_detach(s->loop, &s->queue_fd);
    s->attached = false;
}

void bgw_kafka_source_destroy(struct bgw_kafka_source **source)
{
    struct bgw_kafka_source *s = *source;
    if (!s)
        return;
    *source = NULL;
    bgw_wheel_cancel(bgw_loop_wheel(s->loop), &s->look_timer);
    detach_queue(s);
    for (size_t i = 0; i < s->unsent_len; i++) {
        free(s->unsent[i].at);
        bgw_kafka_consumer_destroy(&s->unsent[i].retired);
    }
    bgw_kafka_control_destroy(&s->control); /* its thread posts no more */
    bgw_mailbox_destroy(&s->news);
    if (s->has_next)
        news_free(&s->next);
    bgw_kafka_consumer_destroy(&s->consumer);
    bgw_kafka_lag_destroy(&s->lag);
    free(s->positions);
    free(s->lost);
    free(s);
}

void bgw_kafka_source_metrics(void *source, struct bgw_buf *out)
{
    struct bgw_kafka_source *s = source;
    bgw_kafka_lag_write(s->lag, bgw_clock_now().wall_ms, out);
}

void bgw_kafka_source_lags(struct bgw_kafka_source *s, struct bgw_kafka_lags *out)
{
    bgw_kafka_lag_look(s->lag, bgw_clock_now().wall_ms, out);
}

const char *bgw_kafka_source_trouble(struct bgw_kafka_source *s)
{
    return bgw_kafka_control_trouble(s->control);
}

/* --- commands to the control thread --- */

/* What must arrive; there is at most one of a kind under way for each news received. */
static void post(struct bgw_kafka_source *s, const struct bgw_kafka_command *command)
{
    if (s->unsent_len == 0 && bgw_kafka_control_post(s->control, command) == BGW_OK)
        return;
    BGW_ASSERT(s->unsent_len < UNSENT_MAX);
    s->unsent[s->unsent_len++] = *command;
}

static void post_lost(struct bgw_kafka_source *s)
{
    for (int32_t i = 0; s->lost_unsent > 0 && i < s->count; i++) {
        struct bgw_kafka_command c = {
            .kind = BGW_COMMAND_LOST, .partition = i, .round = s->round};
        if (s->lost[i] != LOST_UNSENT)
            continue;
        if (bgw_kafka_control_post(s->control, &c) != BGW_OK)
            return;
        s->lost[i] = LOST_SENT;
        s->lost_unsent--;
    }
}

static void post_unsent(struct bgw_kafka_source *s)
{
    size_t sent = 0;
    while (sent < s->unsent_len &&
           bgw_kafka_control_post(s->control, &s->unsent[sent]) == BGW_OK)
        sent++;
    s->unsent_len -= sent;
    memmove(s->unsent, s->unsent + sent, s->unsent_len * sizeof(s->unsent[0]));
    if (s->ask_query)
        bgw_kafka_source_ask(s, s->ask_query, s->ask_refresh);
    post_lost(s);
}

void bgw_kafka_source_ask(struct bgw_kafka_source *s, uint64_t query, bool refresh_metadata)
{
    struct bgw_kafka_command c = {
        .kind = BGW_COMMAND_ASK,
        .query = query > s->ask_query ? query : s->ask_query,
        .refresh = refresh_metadata || s->ask_refresh,
    };
    bool posted = bgw_kafka_control_post(s->control, &c) == BGW_OK;
    /* what was not posted is asked at the end of the turn; the newest stands for all */
    s->ask_query = posted ? 0 : c.query;
    s->ask_refresh = !posted && c.refresh;
}

/* --- records --- */

static struct bgw_slice header(const rd_kafka_headers_t *headers, const char *name)
{
    const void *value = NULL;
    size_t len = 0;
    if (rd_kafka_header_get_last(headers, name, &value, &len) != RD_KAFKA_RESP_ERR_NO_ERROR)
        value = NULL;
    return bgw_slice_of(value, value ? len : 0);
}

static void deliver(struct bgw_kafka_source *s, const rd_kafka_message_t *m,
                    struct bgw_kafka_progress *p, int64_t received_ns)
{
    rd_kafka_timestamp_type_t type;
    rd_kafka_headers_t *headers;
    int64_t timestamp_ms = rd_kafka_message_timestamp(m, &type);
    int32_t leader_epoch = rd_kafka_message_leader_epoch(m);
    struct bgw_record r = {
        .key = bgw_slice_of(m->key, m->key ? m->key_len : 0),
        .value = bgw_slice_of(m->payload, m->payload ? m->len : 0),
        .partition = m->partition,
        .leader_epoch = leader_epoch > 0 ? leader_epoch : 0,
        .offset = m->offset,
        .timestamp_ms = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : timestamp_ms,
        .received_ns = received_ns,
    };
    if (rd_kafka_message_headers(m, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        r.h_tenant = header(headers, "tenant");
        r.h_v = header(headers, "v");
        r.h_traceparent = header(headers, "traceparent");
    }
    bgw_hub_on_record(s->hub, s->feed, &r, bgw_loop_now(s->loop));
    s->positions[m->partition] = m->offset + 1;
    *p = (struct bgw_kafka_progress){m->partition, m->offset + 1, r.timestamp_ms};
}

static void lose_position(struct bgw_kafka_source *s, int32_t partition)
{
    bgw_hub_on_gap(s->hub, s->feed, partition, bgw_loop_now(s->loop));
    if (s->lost[partition] != HAS_POSITION)
        return;
    bgw_metric_add(BGW_M_KAFKA_POSITIONS_LOST, 1);
    s->lost[partition] = LOST_UNSENT;
    s->lost_unsent++;
    post_lost(s);
}

/* Any error that is not known to mean something for a position is counted, logged and no more. */
static void on_error(struct bgw_kafka_source *s, const rd_kafka_message_t *m)
{
    struct bgw_kafka_command look = {.kind = BGW_COMMAND_LOOK};
    bool ours = m->partition >= 0 && m->partition < s->count;
    bgw_kafka_error_seen(m->err, rd_kafka_message_errstr(m), m->partition);
    switch ((int)m->err) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR__LOG_TRUNCATION:
        if (ours)
            lose_position(s, m->partition);
        break;
    case RD_KAFKA_RESP_ERR__BAD_MSG: /* a batch that could not be read was stepped over */
        if (ours)
            bgw_hub_on_gap(s->hub, s->feed, m->partition, bgw_loop_now(s->loop));
        break;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID:
        /* a full mailbox loses only a hint: the topic is looked at every few seconds anyway */
        (void)!bgw_kafka_control_post(s->control, &look);
        break;
    default:
        break;
    }
}

static void on_end(struct bgw_kafka_source *s, const rd_kafka_message_t *m,
                   struct bgw_kafka_progress *p)
{
    s->positions[m->partition] = m->offset;
    bgw_hub_on_position(s->hub, s->feed, m->partition, m->offset, bgw_loop_now(s->loop));
    *p = (struct bgw_kafka_progress){m->partition, m->offset, -1};
}

/* False: the queue is empty. */
static bool read_batch(struct bgw_kafka_source *s)
{
    size_t n = bgw_kafka_consumer_take(s->consumer, s->batch, BATCH), progress = 0;
    int64_t received_ns = n ? bgw_clock_mono_ns() : 0;
    for (size_t i = 0; i < n; i++) {
        rd_kafka_message_t *m = s->batch[i];
        bool ours = m->partition >= 0 && m->partition < s->count;
        if (!m->err && ours)
            deliver(s, m, &s->progress[progress++], received_ns);
        else if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && ours)
            on_end(s, m, &s->progress[progress++]);
        else if (m->err)
            on_error(s, m);
        rd_kafka_message_destroy(m);
    }
    if (progress)
        bgw_kafka_lag_progress(s->lag, s->progress, progress);
    s->turn_records += n;
    return n > 0;
}

static bool share_is_used_up(const struct bgw_kafka_source *s)
{
    return s->turn_records >= TURN_RECORDS_MAX ||
           bgw_clock_mono_ns() - s->turn_ns >= TURN_NS_MAX;
}

/* --- assignments coming into force --- */

static void remember(struct bgw_kafka_source *s, const struct bgw_kafka_news *n,
                     int64_t *positions, uint8_t *lost)
{
    free(s->positions);
    free(s->lost);
    s->positions = positions;
    s->lost = lost;
    s->count = n->count;
    s->round = n->round;
    s->has_next = false;
    bgw_kafka_lag_reset(s->lag, positions, n->count);
    bgw_hub_on_assigned(s->hub, s->feed, n->epoch, positions, n->ends, (size_t)n->count,
                        bgw_loop_now(s->loop));
    free(n->ends);
}

static void switch_consumer(struct bgw_kafka_source *s)
{
    struct bgw_kafka_news n = s->next;
    struct bgw_kafka_command done = {
        .kind = BGW_COMMAND_SWITCHED, .round = n.round, .retired = s->consumer};
    uint8_t *lost = calloc((size_t)n.count, sizeof(*lost));
    BGW_ASSERT(lost != NULL);
    detach_queue(s);
    s->lost_unsent = 0;
    remember(s, &n, n.at, lost);
    s->consumer = n.consumer;
    s->queue_fd = (struct bgw_loop_fd){bgw_kafka_consumer_fd(s->consumer), EPOLLIN, on_queue};
    s->attached = bgw_loop_attach(s->loop, &s->queue_fd) == BGW_OK;
    if (!s->attached) /* the timer still looks at the queue, ten times a second */
        BGW_LOG(BGW_LOG_ERROR, "kafka_queue_not_watched", {"errno", LI(errno)});
    bgw_kafka_consumer_signal(s->consumer);
    post(s, &done);
}

static void grow(struct bgw_kafka_source *s)
{
    struct bgw_kafka_news n = s->next;
    struct bgw_kafka_command done = {.kind = BGW_COMMAND_SWITCHED, .round = n.round};
    int64_t *positions = calloc((size_t)n.count, sizeof(*positions)); /* new partitions from 0 */
    uint8_t *lost = calloc((size_t)n.count, sizeof(*lost));
    BGW_ASSERT(positions != NULL && lost != NULL);
    memcpy(positions, s->positions, (size_t)s->count * sizeof(*positions));
    memcpy(lost, s->lost, (size_t)s->count * sizeof(*lost));
    remember(s, &n, positions, lost);
    for (int32_t i = 0; i < n.count; i++) {
        if (lost[i] != HAS_POSITION)
            bgw_hub_on_gap(s->hub, s->feed, i, bgw_loop_now(s->loop));
    }
    post(s, &done);
}

static bool read_to_ends(const struct bgw_kafka_source *s)
{
    for (int32_t i = 0; i < s->count; i++) {
        if (s->positions[i] < s->next.ends[i])
            return false;
    }
    return true;
}

/* Switches if the assignment in force has been read as far as it has to be. */
static void try_next(struct bgw_kafka_source *s, bool queue_is_empty)
{
    if (!s->has_next)
        return;
    if (s->next.kind == BGW_NEWS_GROWN) {
        if (read_to_ends(s))
            grow(s);
        return;
    }
    bool late = bgw_loop_now(s->loop).mono_ms >= s->next_deadline_ms;
    if (!s->consumer || queue_is_empty || late)
        switch_consumer(s);
}

static void read_queue(struct bgw_kafka_source *s)
{
    bool empty = false;
    if (!s->turn_ns)
        s->turn_ns = bgw_clock_mono_ns();
    if (s->consumer)
        bgw_kafka_consumer_clear(s->consumer);
    while (s->consumer && !empty && !share_is_used_up(s))
        empty = !read_batch(s);
    s->more = s->consumer && !empty;
    if (s->more)
        bgw_kafka_consumer_signal(s->consumer);
    try_next(s, empty);
}

static void on_queue(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    read_queue(BGW_CONTAINER(f, struct bgw_kafka_source, queue_fd));
}

static void on_look_timer(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_kafka_source *s = BGW_CONTAINER(timer, struct bgw_kafka_source, look_timer);
    bgw_wheel_arm(bgw_loop_wheel(s->loop), timer, now_ms + LOOK_ANYWAY_MS);
    read_queue(s);
}

bool bgw_kafka_source_turn_end(struct bgw_kafka_source *s, struct bgw_now now)
{
    bool more = s->more;
    (void)now;
    s->more = false;
    s->turn_records = 0;
    s->turn_ns = 0;
    if (s->unsent_len || s->ask_query || s->lost_unsent)
        post_unsent(s);
    return more;
}

/* --- news from the control thread --- */

static void on_assignment(struct bgw_kafka_source *s, const struct bgw_kafka_news *n)
{
    if (s->has_next)
        news_free(&s->next); /* the topic changed again before this one came into force */
    s->next = *n;
    s->has_next = true;
    s->next_deadline_ms = bgw_loop_now(s->loop).mono_ms + OLD_QUEUE_MS_MAX;
    if (!s->consumer) {
        int64_t now_ms = bgw_loop_now(s->loop).mono_ms;
        bgw_wheel_arm(bgw_loop_wheel(s->loop), &s->look_timer, now_ms + LOOK_ANYWAY_MS);
    }
    try_next(s, false);
}

static void on_ends(struct bgw_kafka_source *s, const struct bgw_kafka_news *n)
{
    if (n->round != s->round)
        return;
    for (int32_t i = 0; i < n->count && i < s->count; i++) {
        if (n->ends[i] == BGW_OFFSET_UNKNOWN || s->lost[i] != HAS_POSITION)
            continue;
        bgw_hub_on_watermark(s->hub, s->feed, n->query, i, n->ends[i], n->asked_mono_ms,
                             bgw_loop_now(s->loop));
    }
}

/* The hub learns where the partition goes on before the first record from there can be read. */
static void on_found(struct bgw_kafka_source *s, struct bgw_kafka_news *n)
{
    struct bgw_kafka_command moved = {
        .kind = BGW_COMMAND_MOVED, .round = n->round, .count = n->count, .at = n->at};
    if (n->round != s->round)
        return;
    for (int32_t i = 0; i < n->count && i < s->count; i++) {
        if (n->at[i] == BGW_OFFSET_UNKNOWN || s->lost[i] == HAS_POSITION)
            continue;
        s->lost_unsent -= s->lost[i] == LOST_UNSENT;
        s->lost[i] = HAS_POSITION;
        s->positions[i] = n->at[i];
        bgw_hub_on_position(s->hub, s->feed, i, n->at[i], bgw_loop_now(s->loop));
        bgw_kafka_lag_progress(s->lag, &(struct bgw_kafka_progress){i, n->at[i], -1}, 1);
    }
    n->at = NULL; /* goes back with the command */
    post(s, &moved);
}

static void on_news(void *arg, const void *item)
{
    struct bgw_kafka_source *s = arg;
    struct bgw_kafka_news n = *(const struct bgw_kafka_news *)item;
    if (!s->control) { /* being destroyed: only gives back what it owns */
        news_free(&n);
        return;
    }
    switch ((enum bgw_kafka_news_kind)n.kind) {
    case BGW_NEWS_ASSIGNED:
    case BGW_NEWS_GROWN:
        on_assignment(s, &n);
        return;
    case BGW_NEWS_ENDS:
        on_ends(s, &n);
        break;
    case BGW_NEWS_FOUND:
        on_found(s, &n);
        break;
    }
    news_free(&n);
}
