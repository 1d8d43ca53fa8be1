/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link: commands and their deadlines, reconnection, life. Answers come in the order of the
 * questions, so what was asked is a ring; once one answer is late, which one is which cannot be known any
 * more, and the connection ends. Link's thread. Invariants: a reply is called exactly once, by the loop or
 * by destroy; nothing is asked while the link is not up.
 */
#include "link_private.h"

#include "bgw/assert.h"

#include <stdlib.h>

#define ATTEMPT_MS 3000 /* name, connection, TLS and conversation, of a Sentinel and its master together */
#define PAUSE_MIN_MS 50
#define PAUSE_MAX_MS 5000
#define LATE_MS 20     /* of a turn of the loop */
#define STEADY_MS 1000 /* a connection that held so long ends a row of failures */

static int64_t now_ms(const struct bgw_redis_link *l)
{
    return bgw_loop_now(l->loop).mono_ms;
}

void bgw_redis_link_soon(struct bgw_redis_link *l, struct bgw_timer *timer, int64_t in_ms)
{
    bgw_wheel_arm(bgw_loop_wheel(l->loop), timer, now_ms(l) + in_ms);
}

static void cancel(struct bgw_redis_link *l, struct bgw_timer *timer)
{
    bgw_wheel_cancel(bgw_loop_wheel(l->loop), timer);
}

/* ---- pace ---- */

static uint64_t draw(struct bgw_redis_link *l)
{
    uint64_t z = l->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Doubles with every round over all hosts; half of it is luck, so that many gateways do not come together. */
static int64_t pause_ms(struct bgw_redis_link *l)
{
    int64_t ms = PAUSE_MIN_MS;
    for (unsigned i = 1; i < l->failures && ms < PAUSE_MAX_MS; i++)
        ms *= 2;
    ms = ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
    ms -= (int64_t)(draw(l) % (uint64_t)(ms / 2 + 1));
    return ms > PAUSE_MIN_MS ? ms : PAUSE_MIN_MS;
}

static void count_failure(struct bgw_redis_link *l, bool was_up)
{
    if (was_up && now_ms(l) - l->up_since_ms >= STEADY_MS)
        l->failures = l->tried = 0;
    l->attempts++;
    l->host_at = (l->host_at + 1) % l->url.host_count;
    if (++l->tried % l->url.host_count == 0 && l->failures < 16)
        l->failures++;
}

/* ---- up and down ---- */

static void tell_down(struct bgw_redis_link *l, bool was_up, const char *words)
{
    if (!was_up && l->told && strcmp(l->told, words) == 0)
        return;
    l->told = words;
    l->config.state(l->config.arg, false, words);
}

static struct bgw_redis_waiting shift(struct bgw_redis_link *l)
{
    struct bgw_redis_waiting w = l->queue[l->head];
    l->head = (l->head + 1) % l->config.commands_max;
    l->count--;
    return w;
}

static void fail_all(struct bgw_redis_link *l)
{
    static const struct bgw_redis_value failed = {.type = BGW_REDIS_FAILED};
    while (l->count) {
        struct bgw_redis_waiting w = shift(l);
        w.reply(w.arg, &failed);
    }
}

void bgw_redis_link_fail(struct bgw_redis_link *l, const char *words)
{
    bool was_up = l->up;
    l->up = false;
    l->restart = NULL;
    bgw_redis_attempt_end(l);
    cancel(l, &l->due);
    cancel(l, &l->deadline);
    cancel(l, &l->next);
    count_failure(l, was_up);
    bgw_redis_link_soon(l, &l->pause, pause_ms(l));
    tell_down(l, was_up, words);
    fail_all(l);
}

void bgw_redis_link_become_up(struct bgw_redis_link *l)
{
    l->up = true;
    l->up_since_ms = now_ms(l);
    l->told = NULL;
    cancel(l, &l->deadline);
    l->config.state(l->config.arg, true, "");
}

bool bgw_redis_link_up(const struct bgw_redis_link *l)
{
    return l->up;
}

void bgw_redis_link_restart(struct bgw_redis_link *l, const char *words)
{
    if (!l->up)
        return; /* another one is being made already */
    l->restart = words;
    bgw_redis_link_soon(l, &l->next, 0);
}

/* ---- what io says ---- */

static const char *on_opened(void *arg)
{
    return bgw_redis_attempt_answer(arg, NULL);
}

const char *bgw_redis_link_hear(struct bgw_redis_link *l, const struct bgw_redis_value *v)
{
    if (v->type != BGW_REDIS_LIST || v->count != 3 || v->items[0].type != BGW_REDIS_TEXT)
        return "an answer came that nobody asked for";
    if (bgw_slice_eq(v->items[0].text, BGW_SLICE("message")) && v->items[1].type == BGW_REDIS_TEXT &&
        v->items[2].type == BGW_REDIS_TEXT)
        l->config.message(l->config.arg, v->items[1].text, v->items[2].text);
    return NULL;
}

static bool says_readonly(struct bgw_slice text)
{
    static const char begin[] = "READONLY";
    return text.len >= sizeof(begin) - 1 && memcmp(text.data, begin, sizeof(begin) - 1) == 0;
}

static const char *on_answer(void *arg, const struct bgw_redis_value *v, bool push)
{
    struct bgw_redis_link *l = arg;
    if (l->restart)
        return NULL;
    if (push) {
        if (l->up && l->config.pushed)
            l->config.pushed(l->config.arg, v);
        return NULL;
    }
    if (!l->up)
        return bgw_redis_attempt_answer(l, v);
    if (l->config.subscriber)
        return bgw_redis_link_hear(l, v);
    if (!l->count)
        return "an answer came that nobody asked for";
    struct bgw_redis_waiting w = shift(l);
    w.reply(w.arg, v);
    if (v->type == BGW_REDIS_ERROR && l->url.sentinel && says_readonly(v->text))
        bgw_redis_link_restart(l, "the server is no master any more");
    return NULL;
}

static void on_ended(void *arg, const char *words)
{
    bgw_redis_link_fail(arg, words);
}

const struct bgw_redis_io_handlers bgw_redis_link_handlers = {.opened = on_opened, .answer = on_answer, .ended = on_ended};

/* ---- timers ---- */

/* A timer that fires long after its time says that it was the loop that was late: what the server has sent meanwhile is read
 * first, for which there is time once. */
static void on_due(struct bgw_timer *timer, int64_t at_ms)
{
    struct bgw_redis_link *l = BGW_CONTAINER(timer, struct bgw_redis_link, due);
    bool excused = l->excused;
    l->excused = false;
    if (!l->count)
        return;
    int64_t first = l->queue[l->head].deadline_ms;
    if (first > at_ms) {
        bgw_wheel_arm(bgw_loop_wheel(l->loop), &l->due, first);
    } else if (!excused && at_ms - first > LATE_MS) {
        l->excused = true;
        bgw_wheel_arm(bgw_loop_wheel(l->loop), &l->due, at_ms + LATE_MS);
    } else {
        bgw_redis_link_fail(l, "a command was not answered in time");
    }
}

static void on_pause_over(struct bgw_timer *timer, int64_t at_ms)
{
    (void)at_ms;
    struct bgw_redis_link *l = BGW_CONTAINER(timer, struct bgw_redis_link, pause);
    bgw_redis_link_soon(l, &l->deadline, ATTEMPT_MS);
    bgw_redis_attempt_begin(l);
}

static void on_deadline(struct bgw_timer *timer, int64_t at_ms)
{
    (void)at_ms;
    struct bgw_redis_link *l = BGW_CONTAINER(timer, struct bgw_redis_link, deadline);
    bgw_redis_link_fail(l, l->awaited ? "the server's name was not resolved in time"
                           : l->talk == BGW_REDIS_TALK_NONE ? "the server takes no connection in time"
                                                            : "the server does not answer in time");
}

static void on_next(struct bgw_timer *timer, int64_t at_ms)
{
    (void)at_ms;
    struct bgw_redis_link *l = BGW_CONTAINER(timer, struct bgw_redis_link, next);
    if (l->restart)
        bgw_redis_link_fail(l, l->restart);
    else
        bgw_redis_attempt_go_on(l);
}

/* ---- commands ---- */

bool bgw_redis_link_command(struct bgw_redis_link *l, const struct bgw_slice *words, size_t count, bgw_redis_reply reply, void *arg)
{
    BGW_ASSERT(count && !l->config.subscriber);
    if (!l->up || l->restart || l->count == l->config.commands_max || !bgw_redis_io_send(l->io, words, count))
        return false;
    l->queue[(l->head + l->count++) % l->config.commands_max] =
        (struct bgw_redis_waiting){reply, arg, now_ms(l) + l->config.command_ms};
    if (!bgw_timer_armed(&l->due))
        bgw_redis_link_soon(l, &l->due, l->config.command_ms);
    return true;
}

void bgw_redis_link_subscribe(struct bgw_redis_link *l, struct bgw_slice channel)
{
    BGW_ASSERT(l->config.subscriber && l->channel_count < BGW_REDIS_CHANNELS_MAX);
    char *copy = strndup(channel.data, channel.len);
    BGW_ASSERT(copy); /* some bytes, at the start */
    l->channels[l->channel_count++] = copy;
}

/* ---- life ---- */

static enum bgw_status set_up(struct bgw_redis_link *l, const struct bgw_redis_link_config *config, struct bgw_buf *error)
{
    const char *why = bgw_redis_url_parse(&l->url, config->url);
    if (why) {
        bgw_buf_appendf(error, "REDIS is not shown here: %s", why); /* it may hold a password */
        return BGW_CONFIG;
    }
    l->queue = calloc(config->commands_max, sizeof(*l->queue));
    if (!l->queue)
        return BGW_NO_MEMORY;
    return l->url.tls ? bgw_redis_tls_create(&l->tls, config->ca_file, error) : BGW_OK;
}

enum bgw_status bgw_redis_link_create(struct bgw_redis_link **out, struct bgw_loop *loop,
                                      const struct bgw_redis_link_config *config, struct bgw_buf *error)
{
    BGW_ASSERT(config->state && config->commands_max && config->command_ms > 0 && (!config->subscriber || config->message));
    struct bgw_redis_link *l = calloc(1, sizeof(*l));
    if (!l)
        return BGW_NO_MEMORY;
    l->config = *config;
    l->config.url = l->config.ca_file = NULL; /* the caller's */
    l->loop = loop;
    l->random = config->seed;
    l->name_fd.ready = bgw_redis_attempt_name_ready;
    bgw_timer_init(&l->due, on_due);
    bgw_timer_init(&l->pause, on_pause_over);
    bgw_timer_init(&l->deadline, on_deadline);
    bgw_timer_init(&l->next, on_next);
    enum bgw_status status = set_up(l, config, error);
    if (status != BGW_OK) {
        bgw_redis_link_destroy(&l);
        return status;
    }
    bgw_wheel_arm(bgw_loop_wheel(loop), &l->pause, bgw_clock_now().mono_ms);
    *out = l;
    return BGW_OK;
}

void bgw_redis_link_destroy(struct bgw_redis_link **link)
{
    struct bgw_redis_link *l = *link;
    if (!l)
        return;
    l->up = false;
    bgw_redis_attempt_end(l);
    cancel(l, &l->due);
    cancel(l, &l->pause);
    cancel(l, &l->deadline);
    cancel(l, &l->next);
    fail_all(l);
    for (size_t i = 0; i <= BGW_REDIS_HOSTS_MAX; i++)
        bgw_redis_name_drop(&l->names[i]);
    for (size_t i = 0; i < l->channel_count; i++)
        free(l->channels[i]);
    bgw_redis_tls_destroy(&l->tls);
    free(l->queue);
    explicit_bzero(&l->url, sizeof(l->url));
    free(l);
    *link = NULL;
}
