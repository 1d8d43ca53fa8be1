/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_control: the thread, its loop and its mail. It has a Kafka client of its own, so that no
 * fetch that waits for records stands before a question on a connection. Requests are
 * asynchronous and find their way back by a slot of a fixed table.
 * Invariant: news leave in the order in which they were made.
 */
#include "kafka_control_state.h"

#include "kafka_handle.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#define COMMANDS_MAX 1024
#define DESTROY_WAIT_MS 3000
#define TROUBLE_AGAIN_MS 10000
#define OUTBOX_RETRY_MS 20
/* the wake-up comes only for an empty queue's first entry; this bounds what a lost one costs */
#define LOOK_ANYWAY_MS 100

static void on_queue(struct bgw_loop_fd *f, uint32_t events);
static void on_command(void *arg, const void *item);
static void on_outbox_timer(struct bgw_timer *timer, int64_t now_ms);
static void on_queue_timer(struct bgw_timer *timer, int64_t now_ms);

/* --- life cycle --- */

static void make_texts(struct bgw_kafka_control *c)
{
    const char *at = c->bootstrap, *topic = c->name;
    BGW_ASSERT(
        asprintf(&c->texts[TROUBLE_UNREACHABLE],
                 "Kafka at %s cannot be reached, or does not answer for topic %s: check "
                 "KAFKA_BOOTSTRAP, and that the brokers run and let us in",
                 at, topic) > 0 &&
        asprintf(&c->texts[TROUBLE_NO_TOPIC],
                 "topic %s does not exist at %s: create it (kafka-topics.sh --create --topic %s) "
                 "or set TOPIC_BALANCE_UPDATES; the gateway never creates topics",
                 topic, at, topic) > 0 &&
        asprintf(&c->texts[TROUBLE_DENIED],
                 "Kafka at %s does not let us describe topic %s: grant DESCRIBE and READ on it", at,
                 topic) > 0 &&
        asprintf(&c->texts[TROUBLE_PARTITIONS],
                 "topic %s at %s has no partition, or more than %d, which is the most that is read",
                 topic, at, BGW_KAFKA_PARTITIONS_MAX) > 0 &&
        asprintf(&c->texts[TROUBLE_NO_LEADER],
                 "not every partition of topic %s at %s answers: one without a leader cannot be "
                 "read",
                 topic, at) > 0 &&
        asprintf(&c->texts[TROUBLE_CLIENT],
                 "no client for Kafka at %s could be made to read topic %s; the log says why", at,
                 topic) > 0);
}

static void make_own_id(struct bgw_kafka_control *c)
{
    uint64_t bits[2];
    BGW_ASSERT(getrandom(bits, sizeof(bits), 0) == (ssize_t)sizeof(bits));
    snprintf(c->own_id, sizeof(c->own_id), "%016llx%016llx", (unsigned long long)bits[0],
             (unsigned long long)bits[1]);
}

/* The ends must be asked for with the isolation level that the consumer reads with. */
static rd_kafka_IsolationLevel_t isolation_of(const struct bgw_config *config)
{
    for (size_t i = 0; config && i < config->kafka_prop_count; i++) {
        if (strcmp(config->kafka_props[i].name, "isolation.level") == 0 &&
            strcmp(config->kafka_props[i].value, "read_uncommitted") == 0)
            return RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED;
    }
    return RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED; /* librdkafka's default */
}

static void close_client(struct bgw_kafka_control *c)
{
    if (c->queue_fd.fd >= 0) {
        bgw_loop_detach(c->loop, &c->queue_fd);
        rd_kafka_queue_io_event_enable(c->queue, -1, NULL, 0);
        close(c->queue_fd.fd);
        c->queue_fd.fd = -1;
    }
    if (c->queue)
        rd_kafka_queue_destroy(c->queue);
    c->queue = NULL;
    bgw_kafka_handle_destroy(&c->rk, DESTROY_WAIT_MS);
}

/* Takes `rk`. */
static enum bgw_status adopt_client(struct bgw_kafka_control *c, rd_kafka_t *rk)
{
    static const uint64_t one = 1;
    close_client(c);
    c->rk = rk;
    c->queue = rd_kafka_queue_get_main(rk);
    int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC); /* readable: what came before tells nobody */
    if (fd < 0)
        return BGW_IO;
    c->queue_fd = (struct bgw_loop_fd){fd, EPOLLIN, on_queue};
    enum bgw_status st = bgw_loop_attach(c->loop, &c->queue_fd);
    if (st != BGW_OK) {
        close(fd);
        c->queue_fd.fd = -1;
        return st;
    }
    rd_kafka_queue_io_event_enable(c->queue, fd, &one, sizeof(one));
    return BGW_OK;
}

static enum bgw_status open_client(struct bgw_kafka_control *c, struct bgw_buf *error)
{
    rd_kafka_t *rk = NULL;
    enum bgw_status st =
        bgw_kafka_handle_create(&rk, BGW_KAFKA_CONTROL, c->config, c->bootstrap, error);
    /* the consumer is made here and not later, so that a bad property is told at the start */
    if (st == BGW_OK)
        st = adopt_client(c, rk);
    if (st == BGW_OK)
        st = bgw_kafka_consumer_create(&c->spare, c->embedded ? BGW_KAFKA_MOCK_CONSUMER : BGW_KAFKA_CONSUMER, c->config,
                                       c->bootstrap, error);
    return st;
}

static void *run(void *arg)
{
    struct bgw_kafka_control *c = arg;
    bgw_metrics_thread_attach();
    bgw_control_arm(c, &c->queue_timer, LOOK_ANYWAY_MS);
    bgw_control_look(c);
    bgw_loop_run(c->loop);
    return NULL;
}

static enum bgw_status start(struct bgw_kafka_control *c)
{
    if (pthread_create(&c->thread, NULL, run, c) != 0) {
        c->thread = 0;
        return BGW_NO_MEMORY;
    }
    pthread_setname_np(c->thread, "bgw-kafka-ctl");
    return BGW_OK;
}

enum bgw_status bgw_kafka_control_create(struct bgw_kafka_control **out,
                                         const struct bgw_kafka_source_config *config,
                                         struct bgw_mailbox *news, struct bgw_kafka_lag *lag,
                                         struct bgw_buf *error)
{
    struct bgw_kafka_control *c = calloc(1, sizeof(*c));
    if (!c)
        return BGW_NO_MEMORY;
    c->config = config->config;
    c->bootstrap = config->bootstrap;
    c->name = config->config->topic_balance_updates;
    c->embedded = config->broker_is_embedded;
    c->only_source = config->only_source;
    c->news = news;
    c->lag = lag;
    c->queue_fd.fd = -1;
    c->isolation = isolation_of(c->config);
    atomic_init(&c->trouble, NULL);
    make_texts(c);
    make_own_id(c);
    enum bgw_status st = bgw_loop_create(&c->loop);
    if (st == BGW_OK)
        st = bgw_mailbox_create(&c->commands, c->loop, sizeof(struct bgw_kafka_command),
                                COMMANDS_MAX, on_command, c);
    if (st == BGW_OK)
        st = open_client(c, error);
    if (st == BGW_OK) {
        bgw_timer_init(&c->outbox_timer, on_outbox_timer);
        bgw_timer_init(&c->queue_timer, on_queue_timer);
        bgw_control_place_init(c);
        bgw_control_prove_init(c);
        atomic_store(&c->trouble, c->texts[TROUBLE_UNREACHABLE]);
        st = start(c);
    }
    if (st != BGW_OK) {
        bgw_kafka_control_destroy(&c);
        return st;
    }
    *out = c;
    return BGW_OK;
}

static void news_drop(const struct bgw_kafka_news *n)
{
    struct bgw_kafka_consumer *consumer = n->consumer;
    free(n->at);
    free(n->ends);
    bgw_kafka_consumer_destroy(&consumer);
}

void bgw_kafka_control_destroy(struct bgw_kafka_control **control)
{
    struct bgw_kafka_control *c = *control;
    if (!c)
        return;
    *control = NULL;
    if (c->thread) {
        bgw_loop_stop(c->loop);
        pthread_join(c->thread, NULL);
    }
    c->phase = FINDING; /* undelivered commands only give back what they own */
    bgw_mailbox_destroy(&c->commands);
    for (size_t i = 0; i < c->outbox_len; i++)
        news_drop(&c->outbox[i]);
    bgw_control_prove_stop(c);
    bgw_control_place_deinit(c);
    bgw_kafka_consumer_destroy(&c->spare);
    close_client(c);
    bgw_loop_destroy(&c->loop);
    for (int i = 0; i < TROUBLE_COUNT; i++)
        free(c->texts[i]);
    free(c);
}

enum bgw_status bgw_kafka_control_post(struct bgw_kafka_control *c,
                                       const struct bgw_kafka_command *command)
{
    return bgw_mailbox_post(c->commands, command);
}

const char *bgw_kafka_control_trouble(struct bgw_kafka_control *c)
{
    return atomic_load(&c->trouble);
}

/* --- mail --- */

static void on_command(void *arg, const void *item)
{
    struct bgw_kafka_control *c = arg;
    const struct bgw_kafka_command *command = item;
    switch ((enum bgw_kafka_command_kind)command->kind) {
    case BGW_COMMAND_ASK:
        bgw_control_ask(c, command->query, command->refresh);
        break;
    case BGW_COMMAND_LOOK:
        if (c->phase == STEADY &&
            bgw_clock_now().mono_ms - c->looked_mono_ms >= RETRY_MAX_MS)
            bgw_control_look(c);
        break;
    case BGW_COMMAND_LOST:
        bgw_control_on_lost(c, command);
        break;
    case BGW_COMMAND_MOVED:
        bgw_control_on_moved(c, command);
        free(command->at);
        break;
    case BGW_COMMAND_SWITCHED: {
        struct bgw_kafka_consumer *retired = command->retired;
        bgw_control_on_switched(c, command);
        bgw_kafka_consumer_destroy(&retired);
        break;
    }
    }
}

/* Sends what the hub's mailbox has room for. */
static void flush_outbox(struct bgw_kafka_control *c)
{
    size_t sent = 0;
    while (sent < c->outbox_len && bgw_mailbox_post(c->news, &c->outbox[sent]) == BGW_OK)
        sent++;
    c->outbox_len -= sent;
    memmove(c->outbox, c->outbox + sent, c->outbox_len * sizeof(c->outbox[0]));
    if (c->outbox_len > 0)
        bgw_control_arm(c, &c->outbox_timer, OUTBOX_RETRY_MS);
}

static void on_outbox_timer(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    flush_outbox(BGW_CONTAINER(timer, struct bgw_kafka_control, outbox_timer));
}

void bgw_control_news(struct bgw_kafka_control *c, const struct bgw_kafka_news *news)
{
    flush_outbox(c);
    if (c->outbox_len == OUTBOX_MAX) {
        /* the rest of the outbox is ends; the others are at most one of a kind at a time */
        BGW_ASSERT(news->kind == BGW_NEWS_ENDS);
        c->retry_query = news->query > c->retry_query ? news->query : c->retry_query;
        news_drop(news);
        return;
    }
    if (c->outbox_len > 0 && news->kind == BGW_NEWS_ENDS && news->query == 0) {
        news_drop(news); /* the next second brings another proof */
        return;
    }
    c->outbox[c->outbox_len++] = *news;
    flush_outbox(c);
}

/* --- requests --- */

struct request *bgw_control_request(struct bgw_kafka_control *c, enum request_kind kind)
{
    struct bgw_now now = bgw_clock_now();
    for (size_t i = 0; i < REQUESTS_MAX; i++) {
        struct request *r = &c->requests[i];
        if (r->used)
            continue;
        *r = (struct request){.used = true, .kind = (uint8_t)kind, .round = c->round,
                              .asked_mono_ms = now.mono_ms, .asked_wall_ms = now.wall_ms};
        return r;
    }
    return NULL;
}

static void on_event(struct bgw_kafka_control *c, const struct request *r, rd_kafka_event_t *event)
{
    switch ((enum request_kind)r->kind) {
    case REQUEST_TOPIC:
        bgw_control_on_topic_event(c, event);
        break;
    case REQUEST_POLICY:
        bgw_control_on_policy_event(c, event);
        break;
    case REQUEST_PLACE_LOW:
    case REQUEST_PLACE_END:
    case REQUEST_PLACE_TIME:
        bgw_control_on_place_event(c, r, event);
        break;
    case REQUEST_ENDS:
        bgw_control_on_ends_event(c, r, event);
        break;
    case REQUEST_LOST:
        bgw_control_on_lost_event(c, r, event);
        break;
    }
}

/*
 * After a topic was recreated librdkafka 2.8 may never again find the leaders that it needs for
 * ListOffsets, while it answers everything else; a new client does.
 */
static void reopen_client(struct bgw_kafka_control *c)
{
    struct bgw_buf error;
    rd_kafka_t *rk = NULL;
    bgw_buf_init(&error, 1024);
    if (bgw_kafka_handle_create(&rk, BGW_KAFKA_CONTROL, c->config, c->bootstrap, &error) != BGW_OK)
        BGW_LOG(BGW_LOG_ERROR, "kafka_client_failed", {"why", LSL(bgw_buf_slice(&error))});
    bgw_buf_deinit(&error);
    if (!rk)
        return; /* the timer comes back to it */
    BGW_LOG(BGW_LOG_INFO, "kafka_client_reopened", {"topic", LS(c->name)});
    c->reopen = false;
    c->unanswered = 0;
    if (adopt_client(c, rk) != BGW_OK) /* the timer looks at the queue all the same */
        BGW_LOG(BGW_LOG_ERROR, "kafka_queue_not_watched", {"topic", LS(c->name)});
    memset(c->requests, 0, sizeof(c->requests)); /* their answers went with the old queue */
    bgw_control_prove_reopened(c);
    bgw_control_place_reopened(c);
}

void bgw_control_answered(struct bgw_kafka_control *c, bool answered, rd_kafka_resp_err_t worst)
{
    bool silent = worst == RD_KAFKA_RESP_ERR__TIMED_OUT ||
                  worst == RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE;
    if (answered)
        c->unanswered = 0;
    else if (silent)
        c->unanswered++;
    bool rested = bgw_clock_now().mono_ms - c->looked_mono_ms >= RETRY_MAX_MS;
    if (c->unanswered >= UNANSWERED_MAX && c->phase == STEADY && rested)
        bgw_control_look(c);
}

static void read_queue(struct bgw_kafka_control *c)
{
    rd_kafka_event_t *event;
    uint64_t count;
    ssize_t n = read(c->queue_fd.fd, &count, sizeof(count)); /* cleared, and then looked at */
    (void)n;
    while ((event = rd_kafka_queue_poll(c->queue, 0))) {
        bool is_error = rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR;
        struct request *r = is_error ? NULL : rd_kafka_event_opaque(event);
        if (is_error)
            bgw_kafka_error_seen(rd_kafka_event_error(event), rd_kafka_event_error_string(event),
                                 -1);
        if (r && r->used) {
            struct request asked = *r; /* the slot may be taken again while this is handled */
            r->used = false;
            on_event(c, &asked, event);
        }
        rd_kafka_event_destroy(event);
    }
    if (c->reopen)
        reopen_client(c);
}

static void on_queue(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    read_queue(BGW_CONTAINER(f, struct bgw_kafka_control, queue_fd));
}

static void on_queue_timer(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_kafka_control *c = BGW_CONTAINER(timer, struct bgw_kafka_control, queue_timer);
    bgw_wheel_arm(bgw_loop_wheel(c->loop), timer, now_ms + LOOK_ANYWAY_MS);
    read_queue(c);
}

/* --- small things --- */

void bgw_control_trouble(struct bgw_kafka_control *c, enum trouble why)
{
    const char *text = c->texts[why], *before = atomic_exchange(&c->trouble, text);
    int64_t now_ms = bgw_clock_now().mono_ms;
    bool again = text && now_ms - c->trouble_told_ms >= TROUBLE_AGAIN_MS;
    if (text == before && !again)
        return;
    c->trouble_told_ms = now_ms;
    if (text)
        BGW_LOG(BGW_LOG_WARN, "kafka_waiting", {"why", LS(text)});
    else
        BGW_LOG(BGW_LOG_INFO, "kafka_answers", {"topic", LS(c->name)});
}

void bgw_control_arm(struct bgw_kafka_control *c, struct bgw_timer *timer, int64_t delay_ms)
{
    bgw_wheel_arm(bgw_loop_wheel(c->loop), timer, bgw_clock_now().mono_ms + delay_ms);
}

int64_t *bgw_control_offsets(int32_t count)
{
    int64_t *at = malloc((size_t)count * sizeof(*at));
    BGW_ASSERT(at != NULL);
    for (int32_t i = 0; i < count; i++)
        at[i] = BGW_OFFSET_UNKNOWN;
    return at;
}

void bgw_control_ask_offsets(struct bgw_kafka_control *c, struct request *r, int64_t spec,
                             const int32_t *partitions)
{
    struct bgw_kafka_offsets_ask ask = {
        .topic = c->name,
        .partitions = partitions,
        .count = r->count,
        .spec = spec,
        .isolation = c->isolation,
        .timeout_ms = r->kind == REQUEST_ENDS && r->query ? QUERY_TIMEOUT_MS : PROOF_TIMEOUT_MS,
        .opaque = r,
    };
    bgw_kafka_offsets_send(c->rk, c->queue, &ask);
}
