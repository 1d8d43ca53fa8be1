/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_group_control: looks each second which topic it is and where it ends. The first sight of a
 * topic, and another one of the same name, make a new member; added partitions make a new epoch
 * only. Invariant: answers are posted only if the topic was the same before and after they were
 * asked for, and after the news of that topic.
 */
#include "kafka_group_control.h"

#include "kafka_ask.h"
#include "kafka_offsets.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define COMMANDS_MAX 64
#define LEAVE_WAIT_MS 3000
#define LOOK_NOW_MS 5
#define LOOK_SOON_MS 300
#define LOOK_EVERY_MS 1000
#define MISSING_TIMES 2 /* one answer may come from a broker that has just started */
#define UNANSWERED_MAX 3 /* then with a new client */
#define TROUBLE_AGAIN_MS 10000

enum trouble { UNREACHABLE, NO_TOPIC, DENIED, NO_LEADER, CLIENT, TROUBLES };

struct bgw_group_control { /* control thread; config immutable; the atomics any thread */
    struct bgw_group_control_config config;
    struct bgw_loop *loop;
    struct bgw_mailbox *commands;
    struct bgw_timer look_timer;
    pthread_t thread;
    bool running;
    struct bgw_kafka_ask *ask;

    bool placed, gone; /* a member was made; its topic was not there at the last look */
    int missing, unanswered;
    uint64_t asked, answered; /* rounds */
    bool incomplete;          /* the last answer */
    struct bgw_kafka_topic topic;
    char own_id[40]; /* stands for the topic's, where the broker has none */
    int64_t trouble_told_ms;
    char *texts[TROUBLES];
    _Atomic(const char *) trouble;
    atomic_bool stop;
};

static void on_command(void *arg, const void *item);
static void on_look(struct bgw_timer *timer, int64_t now_ms);

/* --- life cycle --- */

static void make_texts(struct bgw_group_control *c)
{
    const char *at = c->config.member.bootstrap, *topic = c->config.member.topic;
    BGW_ASSERT(asprintf(&c->texts[UNREACHABLE],
                        "Kafka at %s cannot be reached, or does not answer for topic %s", at,
                        topic) > 0 &&
               asprintf(&c->texts[NO_TOPIC], "topic %s does not exist at %s: create it", topic, at) > 0 &&
               asprintf(&c->texts[DENIED],
                        "Kafka at %s does not let us read topic %s: grant DESCRIBE and READ on it",
                        at, topic) > 0 &&
               asprintf(&c->texts[NO_LEADER],
                        "Kafka at %s does not tell where each partition of topic %s begins and "
                        "ends, and what group %s has committed",
                        at, topic, c->config.member.group) > 0 &&
               asprintf(&c->texts[CLIENT],
                        "no client for Kafka at %s could be made to read topic %s; the log says why",
                        at, topic) > 0);
}

static void make_own_id(struct bgw_group_control *c)
{
    uint64_t bits[2];
    BGW_ASSERT(getrandom(bits, sizeof(bits), 0) == (ssize_t)sizeof(bits));
    snprintf(c->own_id, sizeof(c->own_id), "%016llx%016llx", (unsigned long long)bits[0],
             (unsigned long long)bits[1]);
}

static void *run(void *arg)
{
    struct bgw_group_control *c = arg;
    bgw_metrics_thread_attach();
    on_look(&c->look_timer, 0);
    bgw_loop_run(c->loop);
    return NULL;
}

static enum bgw_status build(struct bgw_group_control *c, struct bgw_buf *error)
{
    const struct bgw_kafka_ask_config ask = {.config = c->config.member.config,
                                             .bootstrap = c->config.member.bootstrap,
                                             .topic = c->config.member.topic,
                                             .plain = c->config.broker_is_embedded,
                                             .stop = &c->stop};
    enum bgw_status st = bgw_loop_create(&c->loop);
    if (st == BGW_OK)
        st = bgw_mailbox_create(&c->commands, c->loop, sizeof(struct bgw_group_command),
                                COMMANDS_MAX, on_command, c);
    if (st == BGW_OK)
        st = bgw_kafka_ask_create(&c->ask, &ask, error);
    if (st != BGW_OK)
        return st;
    c->running = pthread_create(&c->thread, NULL, run, c) == 0;
    return c->running ? BGW_OK : BGW_NO_MEMORY;
}

enum bgw_status bgw_group_control_create(struct bgw_group_control **out,
                                         const struct bgw_group_control_config *config,
                                         struct bgw_buf *error)
{
    struct bgw_group_control *c = calloc(1, sizeof(*c));
    if (!c)
        return BGW_NO_MEMORY;
    c->config = *config;
    make_texts(c);
    make_own_id(c);
    atomic_init(&c->trouble, c->texts[UNREACHABLE]);
    atomic_init(&c->stop, false);
    bgw_timer_init(&c->look_timer, on_look);
    enum bgw_status st = build(c, error);
    if (st != BGW_OK) {
        bgw_group_control_destroy(&c);
        return st;
    }
    pthread_setname_np(c->thread, "bgw-group-ctl");
    *out = c;
    return BGW_OK;
}

void bgw_group_control_post(struct bgw_group_control *c, const struct bgw_group_command *command)
{
    BGW_ASSERT(bgw_mailbox_post(c->commands, command) == BGW_OK);
}

const char *bgw_group_control_trouble(const struct bgw_group_control *c)
{
    return atomic_load(&c->trouble);
}

void bgw_group_control_destroy(struct bgw_group_control **control)
{
    struct bgw_group_control *c = *control;
    if (!c)
        return;
    *control = NULL;
    atomic_store(&c->stop, true);
    if (c->running) {
        bgw_loop_stop(c->loop);
        pthread_join(c->thread, NULL);
    }
    if (c->commands)
        bgw_mailbox_destroy(&c->commands); /* gives back a retired member */
    bgw_kafka_ask_destroy(&c->ask);
    if (c->loop)
        bgw_loop_destroy(&c->loop);
    for (int i = 0; i < TROUBLES; i++)
        free(c->texts[i]);
    free(c);
}

/* --- telling --- */

static void tell_trouble(struct bgw_group_control *c, const char *text)
{
    const char *before = atomic_exchange(&c->trouble, text);
    int64_t now_ms = bgw_clock_now().mono_ms;
    bool again = text && now_ms - c->trouble_told_ms >= TROUBLE_AGAIN_MS;
    if (text == before && !again)
        return;
    c->trouble_told_ms = now_ms;
    if (text)
        BGW_LOG(BGW_LOG_WARN, "kafka_group_waiting", {"why", LS(text)});
    else
        BGW_LOG(BGW_LOG_INFO, "kafka_group_answers", {"topic", LS(c->config.member.topic)});
}

static uint64_t epoch_of(const struct bgw_group_control *c, const struct bgw_kafka_topic *t)
{
    struct bgw_kafka_topic own = *t;
    if (c->config.broker_is_embedded)
        snprintf(own.id, sizeof(own.id), "%s", c->own_id);
    return bgw_kafka_topic_epoch(&own, c->config.member.topic, NULL);
}

static struct bgw_kafka_member *make_member(struct bgw_group_control *c)
{
    struct bgw_buf error;
    struct bgw_kafka_member *m = NULL;
    bgw_buf_init(&error, 1024);
    if (bgw_kafka_member_create(&m, &c->config.member, &error) != BGW_OK) {
        BGW_LOG(BGW_LOG_ERROR, "kafka_client_failed", {"why", LSL(bgw_buf_slice(&error))});
        tell_trouble(c, c->texts[CLIENT]);
    }
    bgw_buf_deinit(&error);
    return m;
}

/* Takes `m`, which may be NULL: only grown. */
static bool tell_topic(struct bgw_group_control *c, const struct bgw_kafka_topic *t,
                       struct bgw_kafka_member *m)
{
    const struct bgw_group_news news = {
        .kind = BGW_GROUP_TOPIC, .count = t->partitions, .epoch = epoch_of(c, t), .member = m};
    if (bgw_mailbox_post(c->config.news, &news) != BGW_OK) { /* the loop does not turn: later */
        bgw_kafka_member_destroy(&m, LEAVE_WAIT_MS);
        return false;
    }
    c->topic = *t;
    c->placed = true;
    c->gone = false;
    return true;
}

/* --- asking --- */

static bool is_same(const struct bgw_group_control *c, const struct bgw_kafka_topic *t)
{
    return !c->gone && strcmp(c->topic.id, t->id) == 0 && t->partitions >= c->topic.partitions;
}

static void on_answered(struct bgw_group_control *c, int32_t count, int32_t least)
{
    c->incomplete = least < count;
    c->unanswered = least > 0 ? 0 : c->unanswered + 1;
    tell_trouble(c, c->incomplete ? c->texts[NO_LEADER] : NULL);
    if (c->unanswered < UNANSWERED_MAX || atomic_load(&c->stop))
        return;
    c->unanswered = 0;
    if (!bgw_kafka_ask_reopen(c->ask))
        tell_trouble(c, c->texts[CLIENT]);
}

static void answer(struct bgw_group_control *c)
{
    struct bgw_kafka_topic again;
    int32_t count = c->topic.partitions, least;
    struct bgw_group_news news = {.kind = BGW_GROUP_ANSWERS, .count = count, .round = c->asked};
    int64_t *at = malloc((size_t)count * 3 * sizeof(*at)), *low = at + count, *high = low + count;
    BGW_ASSERT(at != NULL);
    news.at = at;
    least = bgw_kafka_ask_committed(c->ask, c->config.member.group, at, count);
    for (int i = 0; i < 2 && least > 0; i++) {
        int64_t spec = i ? RD_KAFKA_OFFSET_SPEC_LATEST : RD_KAFKA_OFFSET_SPEC_EARLIEST;
        int32_t n = bgw_kafka_ask_offsets(c->ask, spec, i ? high : low, count);
        least = n < least ? n : least;
    }
    bool same = least > 0 && bgw_kafka_ask_topic(c->ask, false, &again) == BGW_OK && is_same(c, &again);
    if (same)
        bgw_kafka_lag_ends(c->config.lag, high, count, bgw_clock_now().wall_ms);
    if (!same || bgw_mailbox_post(c->config.news, &news) != BGW_OK)
        free(at);
    else
        c->answered = news.round;
    on_answered(c, count, least);
}

static void look_at_ends(struct bgw_group_control *c)
{
    int32_t count = c->topic.partitions;
    int64_t *at = malloc((size_t)count * sizeof(*at)), asked_ms = bgw_clock_now().wall_ms;
    BGW_ASSERT(at != NULL);
    int32_t n = bgw_kafka_ask_offsets(c->ask, RD_KAFKA_OFFSET_SPEC_LATEST, at, count);
    bgw_kafka_lag_ends(c->config.lag, at, count, asked_ms);
    free(at);
    on_answered(c, count, n);
}

static int64_t on_missing(struct bgw_group_control *c)
{
    if (++c->missing < MISSING_TIMES)
        return LOOK_SOON_MS;
    c->gone = true;
    tell_trouble(c, c->texts[NO_TOPIC]);
    return LOOK_EVERY_MS;
}

static bool on_another(struct bgw_group_control *c, const struct bgw_kafka_topic *t)
{
    if (c->placed) {
        BGW_LOG(BGW_LOG_WARN, "kafka_topic_recreated", {"topic", LS(c->config.member.topic)});
        make_own_id(c);
        if (!bgw_kafka_ask_reopen(c->ask)) {
            tell_trouble(c, c->texts[CLIENT]);
            return false;
        }
    }
    struct bgw_kafka_member *m = make_member(c);
    return m && tell_topic(c, t, m);
}

/* Milliseconds until the next look. */
static int64_t on_topic(struct bgw_group_control *c, const struct bgw_kafka_topic *t)
{
    c->missing = 0;
    if ((!c->placed || !is_same(c, t)) && !on_another(c, t))
        return LOOK_SOON_MS;
    if (t->partitions > c->topic.partitions && !tell_topic(c, t, NULL))
        return LOOK_SOON_MS;
    if (c->asked > c->answered)
        answer(c);
    else
        look_at_ends(c);
    return c->asked > c->answered ? LOOK_SOON_MS : LOOK_EVERY_MS;
}

static int64_t look(struct bgw_group_control *c)
{
    struct bgw_kafka_topic t;
    if (!bgw_kafka_ask_client(c->ask) && !bgw_kafka_ask_reopen(c->ask)) {
        tell_trouble(c, c->texts[CLIENT]);
        return LOOK_EVERY_MS;
    }
    enum bgw_status st = bgw_kafka_ask_topic(c->ask, false, &t);
    if (atomic_load(&c->stop))
        return LOOK_EVERY_MS;
    if (st == BGW_OK)
        return on_topic(c, &t);
    if (st == BGW_NOT_FOUND)
        return on_missing(c);
    tell_trouble(c, c->texts[st == BGW_DENIED ? DENIED : UNREACHABLE]);
    return LOOK_SOON_MS;
}

static void arm(struct bgw_group_control *c, int64_t wait_ms)
{
    bgw_wheel_arm(bgw_loop_wheel(c->loop), &c->look_timer, bgw_clock_now().mono_ms + wait_ms);
}

static void on_look(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct bgw_group_control *c = BGW_CONTAINER(timer, struct bgw_group_control, look_timer);
    arm(c, look(c));
}

static void on_command(void *arg, const void *item)
{
    struct bgw_group_control *c = arg;
    const struct bgw_group_command *command = item;
    struct bgw_kafka_member *retired = command->retired;
    switch ((enum bgw_group_command_kind)command->kind) {
    case BGW_GROUP_ASK:
        c->asked = command->round;
        arm(c, c->incomplete ? LOOK_SOON_MS : LOOK_NOW_MS);
        return;
    case BGW_GROUP_RENEW:
        c->placed = false;
        break;
    case BGW_GROUP_RETIRE:
        break;
    }
    bgw_kafka_member_destroy(&retired, LEAVE_WAIT_MS);
    arm(c, LOOK_NOW_MS);
}
