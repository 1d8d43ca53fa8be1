/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_log_control: the log's own thread, which asks one thing after the other and waits for each
 * answer: is there a topic, which one, where do its partitions begin and end. A topic that was
 * recreated, or a position that was lost, is read again from the beginning by a new consumer: to
 * hear a statement twice does no harm. Invariant: no wait is longer than an answer may take, and all of them
 * end early when the log is destroyed.
 */
#include "kafka_log.h"

#include "kafka_ask.h"
#include "kafka_offsets.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define COMMANDS_MAX 16
#define LOOK_SOON_MS 300      /* again, until the topic has been placed */
#define LOOK_MISSING_MS 1000
#define LOOK_EVERY_MS 5000
#define MISSING_TIMES 2       /* one answer may come from a broker that has just started */
#define UNPLACED_MAX 3        /* then with a new client */
#define TROUBLE_AGAIN_MS 10000

enum trouble { UNREACHABLE, DENIED, NO_LEADER, CLIENT, TROUBLES };

struct bgw_log_control { /* control thread; config immutable; the atomics any thread */
    struct bgw_log_control_config config;
    struct bgw_loop *loop;
    struct bgw_mailbox *commands;
    struct bgw_timer look_timer;
    pthread_t thread;
    bool running;
    struct bgw_kafka_ask *ask;

    bool placed, gone; /* a consumer is in force; its topic was not there at the last look */
    int missing, unplaced;
    struct bgw_kafka_topic topic;
    struct bgw_kafka_consumer *consumer; /* the loop's; only to add partitions */
    int64_t trouble_told_ms;
    char *texts[TROUBLES];
    _Atomic(const char *) trouble;
    atomic_bool stop;
};

static void on_command(void *arg, const void *item);
static void on_look(struct bgw_timer *timer, int64_t now_ms);

/* --- life cycle --- */

static void make_texts(struct bgw_log_control *c)
{
    const char *at = c->config.bootstrap, *topic = c->config.topic;
    BGW_ASSERT(asprintf(&c->texts[UNREACHABLE],
                        "Kafka at %s cannot be reached, or does not answer for topic %s", at,
                        topic) > 0 &&
               asprintf(&c->texts[DENIED],
                        "Kafka at %s does not let us read topic %s: grant DESCRIBE and READ on it",
                        at, topic) > 0 &&
               asprintf(&c->texts[NO_LEADER],
                        "not every partition of topic %s at %s answers: one without a leader "
                        "cannot be read",
                        topic, at) > 0 &&
               asprintf(&c->texts[CLIENT],
                        "no client for Kafka at %s could be made to read topic %s; the log says why",
                        at, topic) > 0);
}

static void *run(void *arg)
{
    struct bgw_log_control *c = arg;
    bgw_metrics_thread_attach();
    on_look(&c->look_timer, 0);
    bgw_loop_run(c->loop);
    return NULL;
}

enum bgw_status bgw_log_control_create(struct bgw_log_control **out,
                                       const struct bgw_log_control_config *config,
                                       struct bgw_buf *error)
{
    struct bgw_log_control *c = calloc(1, sizeof(*c));
    if (!c)
        return BGW_NO_MEMORY;
    const struct bgw_kafka_ask_config ask = {.config = config->config,
                                             .bootstrap = config->bootstrap,
                                             .topic = config->topic,
                                             .plain = config->broker_is_embedded,
                                             .stop = &c->stop};
    c->config = *config;
    make_texts(c);
    atomic_init(&c->trouble, c->texts[UNREACHABLE]);
    atomic_init(&c->stop, false);
    bgw_timer_init(&c->look_timer, on_look);
    enum bgw_status st = bgw_loop_create(&c->loop);
    if (st == BGW_OK)
        st = bgw_mailbox_create(&c->commands, c->loop, sizeof(struct bgw_log_command), COMMANDS_MAX,
                                on_command, c);
    if (st == BGW_OK)
        st = bgw_kafka_ask_create(&c->ask, &ask, error);
    if (st == BGW_OK) {
        c->running = pthread_create(&c->thread, NULL, run, c) == 0;
        st = c->running ? BGW_OK : BGW_NO_MEMORY;
    }
    if (st != BGW_OK) {
        bgw_log_control_destroy(&c);
        return st;
    }
    pthread_setname_np(c->thread, "bgw-log-ctl");
    *out = c;
    return BGW_OK;
}

void bgw_log_control_post(struct bgw_log_control *c, enum bgw_log_command_kind kind,
                          struct bgw_kafka_consumer *retired)
{
    struct bgw_log_command command = {.kind = (uint8_t)kind, .retired = retired};
    BGW_ASSERT(bgw_mailbox_post(c->commands, &command) == BGW_OK);
}

const char *bgw_log_control_trouble(const struct bgw_log_control *c)
{
    return atomic_load(&c->trouble);
}

void bgw_log_control_destroy(struct bgw_log_control **control)
{
    struct bgw_log_control *c = *control;
    if (!c)
        return;
    *control = NULL;
    atomic_store(&c->stop, true);
    if (c->running) {
        bgw_loop_stop(c->loop);
        pthread_join(c->thread, NULL);
    }
    if (c->commands)
        bgw_mailbox_destroy(&c->commands); /* gives back a retired consumer */
    bgw_kafka_ask_destroy(&c->ask);
    if (c->loop)
        bgw_loop_destroy(&c->loop);
    for (int i = 0; i < TROUBLES; i++)
        free(c->texts[i]);
    free(c);
}

/* --- questions --- */

static void tell_trouble(struct bgw_log_control *c, const char *text)
{
    const char *before = atomic_exchange(&c->trouble, text);
    int64_t now_ms = bgw_clock_now().mono_ms;
    bool again = text && now_ms - c->trouble_told_ms >= TROUBLE_AGAIN_MS;
    if (text == before && !again)
        return;
    c->trouble_told_ms = now_ms;
    if (text)
        BGW_LOG(BGW_LOG_WARN, "kafka_log_waiting", {"why", LS(text)});
    else
        BGW_LOG(BGW_LOG_INFO, "kafka_log_answers", {"topic", LS(c->config.topic)});
}

static enum bgw_status find_topic(struct bgw_log_control *c, struct bgw_kafka_topic *t)
{
    enum bgw_status st = bgw_kafka_ask_topic(c->ask, !c->topic.id[0], t);
    if (strncmp(t->id, "cluster/", 8) == 0) /* the cluster's: it says nothing about the topic */
        t->id[0] = '\0';
    return st;
}

/* NULL: not every partition answered. */
static int64_t *find_offsets(struct bgw_log_control *c, int32_t count, int64_t spec)
{
    int64_t *at = calloc((size_t)count, sizeof(*at));
    BGW_ASSERT(at != NULL);
    if (bgw_kafka_ask_offsets(c->ask, spec, at, count) == count)
        return at;
    free(at);
    return NULL;
}

/* --- placing --- */

static void reopen_client(struct bgw_log_control *c)
{
    c->unplaced = 0;
    (void)bgw_kafka_ask_reopen(c->ask); /* the next look sees whether there is one */
}

static struct bgw_kafka_consumer *make_consumer(struct bgw_log_control *c, const int64_t *lows,
                                                int32_t count)
{
    struct bgw_buf error;
    struct bgw_kafka_consumer *consumer = NULL;
    bool mock = c->config.broker_is_embedded || bgw_kafka_ask_cluster(c->ask) == BGW_CLUSTER_MOCK;
    bgw_buf_init(&error, 1024);
    enum bgw_status st = bgw_kafka_consumer_create(&consumer, mock ? BGW_KAFKA_MOCK_CONSUMER : BGW_KAFKA_CONSUMER,
                                                   c->config.config, c->config.bootstrap, &error);
    if (st == BGW_OK && bgw_kafka_consumer_assign(consumer, c->config.topic, lows, count) != BGW_OK)
        bgw_kafka_consumer_destroy(&consumer);
    if (!consumer) {
        BGW_LOG(BGW_LOG_ERROR, "kafka_client_failed", {"why", LSL(bgw_buf_slice(&error))});
        tell_trouble(c, c->texts[CLIENT]);
    }
    bgw_buf_deinit(&error);
    return consumer;
}

/* Takes `ends`. */
static bool hand_over(struct bgw_log_control *c, const struct bgw_kafka_topic *t,
                      struct bgw_kafka_consumer *consumer, int64_t *ends)
{
    struct bgw_log_news news = {
        .kind = BGW_LOG_PLACED, .consumer = consumer, .count = t->partitions, .ends = ends};
    if (bgw_mailbox_post(c->config.news, &news) != BGW_OK) { /* the loop does not turn: later */
        free(ends);
        bgw_kafka_consumer_destroy(&consumer);
        return false;
    }
    c->consumer = consumer;
    c->topic = *t;
    c->placed = true;
    c->gone = false;
    c->unplaced = 0;
    tell_trouble(c, NULL);
    return true;
}

static bool place(struct bgw_log_control *c, const struct bgw_kafka_topic *t)
{
    int64_t *lows = find_offsets(c, t->partitions, RD_KAFKA_OFFSET_SPEC_EARLIEST);
    int64_t *ends = lows ? find_offsets(c, t->partitions, RD_KAFKA_OFFSET_SPEC_LATEST) : NULL;
    if (!ends) {
        free(lows);
        tell_trouble(c, c->texts[NO_LEADER]);
        if (++c->unplaced >= UNPLACED_MAX && !atomic_load(&c->stop))
            reopen_client(c);
        return false;
    }
    struct bgw_kafka_consumer *consumer = make_consumer(c, lows, t->partitions);
    free(lows);
    if (consumer)
        return hand_over(c, t, consumer, ends);
    free(ends);
    return false;
}

static void grow(struct bgw_log_control *c, const struct bgw_kafka_topic *t)
{
    int32_t first = c->topic.partitions;
    if (bgw_kafka_consumer_add(c->consumer, c->config.topic, first, t->partitions - first) == BGW_OK)
        c->topic = *t;
}

/* Milliseconds until the next look. */
static int64_t on_missing(struct bgw_log_control *c)
{
    const struct bgw_log_news news = {.kind = BGW_LOG_MISSING};
    if (++c->missing < MISSING_TIMES)
        return LOOK_SOON_MS;
    c->gone = true;
    tell_trouble(c, NULL);
    if (c->missing == MISSING_TIMES && bgw_mailbox_post(c->config.news, &news) != BGW_OK)
        c->missing--;
    return LOOK_MISSING_MS;
}

static int64_t on_topic(struct bgw_log_control *c, const struct bgw_kafka_topic *t)
{
    c->missing = 0;
    bool other = c->placed && (c->gone || strcmp(c->topic.id, t->id) != 0 ||
                               t->partitions < c->topic.partitions);
    if (other && c->unplaced == 0)
        reopen_client(c);
    if (other || !c->placed)
        return bgw_kafka_ask_client(c->ask) && place(c, t) ? LOOK_EVERY_MS : LOOK_SOON_MS;
    if (t->partitions > c->topic.partitions)
        grow(c, t);
    tell_trouble(c, NULL);
    return LOOK_EVERY_MS;
}

static int64_t look(struct bgw_log_control *c)
{
    struct bgw_kafka_topic t;
    if (!bgw_kafka_ask_client(c->ask) && !bgw_kafka_ask_reopen(c->ask)) {
        tell_trouble(c, c->texts[CLIENT]);
        return LOOK_MISSING_MS;
    }
    enum bgw_status st = find_topic(c, &t);
    if (atomic_load(&c->stop))
        return LOOK_EVERY_MS;
    if (st == BGW_OK)
        return on_topic(c, &t);
    if (st == BGW_NOT_FOUND)
        return on_missing(c);
    tell_trouble(c, c->texts[st == BGW_DENIED ? DENIED : UNREACHABLE]);
    return LOOK_SOON_MS;
}

static void on_look(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct bgw_log_control *c = BGW_CONTAINER(timer, struct bgw_log_control, look_timer);
    int64_t wait_ms = look(c);
    bgw_wheel_arm(bgw_loop_wheel(c->loop), timer, bgw_clock_now().mono_ms + wait_ms);
}

/* --- a topic that is missing --- */

static enum bgw_status created(rd_kafka_event_t *event)
{
    size_t n = 0;
    rd_kafka_resp_err_t err = rd_kafka_event_error(event);
    const rd_kafka_topic_result_t **all = NULL;
    if (!err)
        all = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n);
    if (!err && n == 1)
        err = rd_kafka_topic_result_error(all[0]);
    switch ((int)err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
        return BGW_OK;
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
        return BGW_UNAVAILABLE;
    default:
        BGW_LOG(BGW_LOG_WARN, "kafka_log_not_created", {"name", LS(rd_kafka_err2name(err))});
        return BGW_NOT_FOUND;
    }
}

static enum bgw_status create_topic(struct bgw_log_control *c)
{
    char text[256];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(c->config.topic, 1, -1, text, sizeof(text));
    rd_kafka_t *rk = bgw_kafka_ask_client(c->ask);
    if (!topic || !rk) {
        if (topic)
            rd_kafka_NewTopic_destroy(topic);
        return BGW_NOT_FOUND;
    }
    rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "compact");
    rd_kafka_AdminOptions_t *o = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    BGW_ASSERT(o != NULL);
    BGW_ASSERT(!rd_kafka_AdminOptions_set_request_timeout(o, BGW_KAFKA_ANSWER_MS, text, sizeof(text)) &&
               !rd_kafka_AdminOptions_set_operation_timeout(o, BGW_KAFKA_ANSWER_MS, text, sizeof(text)));
    rd_kafka_AdminOptions_set_opaque(o, bgw_kafka_ask_next(c->ask));
    rd_kafka_CreateTopics(rk, &topic, 1, o, bgw_kafka_ask_queue(c->ask));
    rd_kafka_AdminOptions_destroy(o);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_event_t *event = bgw_kafka_ask_wait(c->ask);
    enum bgw_status st = event ? created(event) : BGW_UNAVAILABLE;
    if (event)
        rd_kafka_event_destroy(event);
    BGW_LOG(BGW_LOG_INFO, "kafka_log_create", {"topic", LS(c->config.topic)},
            {"status", LS(bgw_status_name(st))});
    return st;
}

static void on_command(void *arg, const void *item)
{
    struct bgw_log_control *c = arg;
    const struct bgw_log_command *command = item;
    struct bgw_kafka_consumer *retired = command->retired;
    struct bgw_log_news news = {.kind = BGW_LOG_CREATED};
    switch ((enum bgw_log_command_kind)command->kind) {
    case BGW_LOG_RETIRE:
        bgw_kafka_consumer_destroy(&retired);
        return;
    case BGW_LOG_PLACE_AGAIN:
        c->gone = true; /* as if it were another topic */
        break;
    case BGW_LOG_CREATE:
        if (atomic_load(&c->stop))
            return;
        news.status = create_topic(c);
        c->missing = 0;
        /* full: whoever waits for this is told by its own deadline */
        (void)!bgw_mailbox_post(c->config.news, &news);
        break;
    }
    bgw_wheel_arm(bgw_loop_wheel(c->loop), &c->look_timer, bgw_clock_now().mono_ms + LOOK_SOON_MS);
}
