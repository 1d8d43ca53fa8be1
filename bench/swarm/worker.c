/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: the loop of one process of the swarm: opens its clients at the set pace, takes in what they
 * are sent, brings back who was cut off, and does what the run wants besides: storm, churn, slow
 * readers. It takes its phases from the coordinator and says nothing but its results.
 */
#include "swarm.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

#define SECOND_NS 1000000000ll
#define MS_NS 1000000ll
#define SLOW_TICK_NS (100 * MS_NS)
#define EVENTS_MAX 512
#define IDLE_WAIT_MS 20 /* how late a phase may be noticed */

static void prepare_client(struct swarm *s, int i, const struct pick *watch)
{
    struct client *c = &s->clients[i];
    c->fd = -1;
    c->number = s->first + i;
    c->told_ms = -1;
    c->url = (uint8_t)(c->number % s->opt.url_count);
    c->first_account = options_first_account(&s->opt, watch, c->number);
    c->slow = options_slow(&s->opt, c->number);
    if (s->opt.per_client > 1)
        c->held.many = &s->slots[(size_t)i * (size_t)s->opt.per_client];
    if (c->slow)
        s->slow[s->slow_count++] = i;
    s->queue[i] = i;
}

bool swarm_prepare(struct swarm *s, const struct pick *watch)
{
    size_t count = (size_t)s->count;
    s->epfd = epoll_create1(EPOLL_CLOEXEC);
    s->clients = calloc(count, sizeof(*s->clients));
    s->back = calloc(count, sizeof(*s->back));
    s->queue = calloc(count, sizeof(*s->queue));
    s->slow = calloc(count, sizeof(*s->slow));
    s->memo = calloc(TOLD_ENTRIES, sizeof(*s->memo));
    s->told = calloc(TOLD_ENTRIES, sizeof(*s->told));
    s->scratch_cap = SCRATCH_BYTES;
    s->scratch = malloc(s->scratch_cap);
    s->random = (uint64_t)0x9e3779b97f4a7c15 * (unsigned)(s->index + 1);
    if (s->opt.per_client > 1)
        s->slots = calloc(count * (size_t)s->opt.per_client, sizeof(*s->slots));
    if (s->epfd < 0 || !s->clients || !s->back || !s->queue || !s->slow || !s->memo || !s->told || !s->scratch ||
        (s->opt.per_client > 1 && !s->slots))
        return false;
    for (int i = 0; i < s->count; i++)
        prepare_client(s, i, watch);
    s->queue_count = s->count;
    return true;
}

/*
 * While it feeds, a harvesting worker sleeps beside epoll, not in it, so that no send of the server's
 * has to wake it: what a wake-up costs the sender, and how often there is one, depends on who of the
 * two is faster, and would be in one server's figure and not in the other's.
 */
static int take_events(struct swarm *s, struct epoll_event *events, int wait_ms)
{
    if (!s->opt.harvest_us || !s->feed_ns)
        return epoll_wait(s->epfd, events, EVENTS_MAX, wait_ms);
    int n = epoll_wait(s->epfd, events, EVENTS_MAX, 0);
    if (n == 0)
        nanosleep(&(struct timespec){.tv_nsec = (long)s->opt.harvest_us * 1000}, NULL);
    return n;
}

void swarm_turn(struct swarm *s, int wait_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int n = take_events(s, events, wait_ms);
    for (int i = 0; i < n; i++)
        swarm_io(s, events[i].data.ptr, events[i].events);
}

void swarm_reconnect_due(struct swarm *s)
{
    int64_t now_ms = probe_mono_ns() / MS_NS;
    for (struct client *c; (c = back_due(s, now_ms));)
        swarm_connect(s, c);
}

/* This worker's part of what all do together in a second. */
static double share(const struct swarm *s, double per_s)
{
    return per_s * s->count / s->opt.clients;
}

static void open_due(struct swarm *s, int64_t now)
{
    int64_t step = (int64_t)(1e9 / share(s, s->opt.connect_per_s));
    if (!s->next_open_ns)
        s->next_open_ns = now;
    while (s->queue_count && s->next_open_ns <= now) {
        struct client *c = &s->clients[s->queue[s->queue_at]];
        s->queue_at = (s->queue_at + 1) % s->count;
        s->queue_count--;
        s->next_open_ns += step;
        swarm_connect(s, c);
    }
}

static void storm(struct swarm *s, int64_t now)
{
    for (int i = 0; i < s->count; i++) {
        struct client *c = &s->clients[i];
        if (c->state != CLIENT_LIVE || !options_cut(&s->opt, c->number))
            continue;
        swarm_cut(s, c);
        s->queue[(s->queue_at + s->queue_count++) % s->count] = i;
        COUNT(s, cut, 1);
    }
    s->next_open_ns = now;
    s->stormed = true;
}

static void churn(struct swarm *s, int64_t now)
{
    int64_t step = (int64_t)(1e9 / share(s, s->opt.churn_per_s));
    if (!s->next_churn_ns)
        s->next_churn_ns = now + step;
    for (; s->next_churn_ns <= now; s->next_churn_ns += step) {
        struct client *c = NULL;
        for (int tried = 0; tried < s->count && !c; tried++) {
            struct client *at = &s->clients[s->churn_at];
            s->churn_at = (s->churn_at + 1) % s->count;
            c = at->state == CLIENT_LIVE && !at->slow ? at : NULL;
        }
        if (!c)
            continue;
        swarm_cut(s, c);
        swarm_connect(s, c);
        COUNT(s, churned, 1);
    }
}

static void read_slowly(struct swarm *s, int64_t now)
{
    size_t cap = (size_t)(s->opt.slow_bytes_per_s * SLOW_TICK_NS / SECOND_NS);
    if (now < s->next_slow_ns)
        return;
    s->next_slow_ns = now + SLOW_TICK_NS;
    for (int i = 0; i < s->slow_count; i++) {
        struct client *c = &s->clients[s->slow[i]];
        if (c->muted)
            swarm_read(s, c, cap ? cap : 1);
    }
}

static void during_feed(struct swarm *s, int64_t now)
{
    if (s->opt.storm_percent > 0 && !s->stormed && now - s->feed_ns >= (int64_t)(s->opt.storm_at_s * 1e9))
        storm(s, now);
    if (s->opt.churn_per_s > 0)
        churn(s, now);
}

static int wait_ms(const struct swarm *s, enum phase phase)
{
    if (s->queue_count)
        return 1;
    if (s->back_count || s->slow_count || (phase == PHASE_FEED && (s->opt.churn_per_s > 0 || s->opt.storm_percent > 0)))
        return 5;
    return IDLE_WAIT_MS;
}

void worker_run(struct swarm *s)
{
    for (;;) {
        enum phase phase = (enum phase)atomic_load_explicit(&s->control->phase, memory_order_acquire);
        int64_t now = probe_mono_ns();
        if (phase == PHASE_END)
            break;
        s->feed_ns = atomic_load_explicit(&s->control->feed_ns, memory_order_relaxed);
        if (phase >= (s->opt.spread ? PHASE_FEED : PHASE_CONNECT) && s->queue_count)
            open_due(s, now);
        if (phase == PHASE_FEED)
            during_feed(s, now);
        if (s->slow_count && s->opt.slow_bytes_per_s)
            read_slowly(s, now);
        if (s->back_count)
            swarm_reconnect_due(s);
        swarm_turn(s, wait_ms(s, phase));
    }
    swarm_count_behind(s);
}
