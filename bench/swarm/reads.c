/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reads: `bgw-swarm reads`: the steps of a read load, one thread for each share of it, and the report,
 * one JSON object. Open loop: request i of a step is due at its start + i / rate, whatever happens; one
 * that cannot be sent because every connection waits is sent later and counted from when it was due,
 * and what was never sent counts as failed. Bounded: a step lasts its seconds and at most `--timeout-ms`.
 */
#define _GNU_SOURCE
#include "reads.h"

#include "modes.h"
#include "swarm.h"

#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#define SECOND 1000000000LL
#define LOOK_NS (50 * 1000000LL) /* how often requests are looked through for late ones */

struct team { /* what the threads share, read only but for the barrier */
    struct reads_options opt;
    double *zipf;
    pthread_barrier_t barrier;
    int64_t server_cpu_ns[READS_STEPS_MAX + 1], own_cpu_ns[READS_STEPS_MAX + 1];
};

struct worker {
    struct team *team;
    struct load load;
    pthread_t thread;
    bool failed;
};

/* ---- one step ---- */

static struct lane *take_idle(struct load *l)
{
    struct lane *at = l->idle;
    if (!at)
        return NULL;
    l->idle = at->next_idle;
    if (!l->idle)
        l->idle_last = NULL;
    return at;
}

static bool ask_next(struct load *l, int64_t due_ns)
{
    struct lane *at = take_idle(l);
    if (!at)
        return false;
    if (!lane_ask(l, at, due_ns))
        lane_idle(l, at);
    return true;
}

static void give_up_late(struct load *l, int64_t now_ns, int64_t limit_ns)
{
    for (int i = 0; i < l->lane_count; i++) {
        struct lane *at = &l->lanes[i];
        if (!at->busy || now_ns - at->sent_ns < limit_ns)
            continue;
        l->now->timeouts++;
        hist_add(&l->now->latency, now_ns - at->due_ns);
        hist_add(&l->now->service, now_ns - at->sent_ns);
        lane_close(l, at);
        l->busy--;
        lane_idle(l, at);
    }
}

static void wait_io(struct load *l, int64_t wait_ns)
{
    struct epoll_event events[256];
    struct timespec wait = {wait_ns / SECOND, wait_ns % SECOND};
    int n = epoll_pwait2(l->epfd, events, 256, &wait, NULL);
    for (int i = 0; i < n; i++)
        lane_readable(l, events[i].data.ptr);
}

/* How long until the next one is due; nothing while idle connections could take one that is. */
static int64_t pause_ns(const struct load *l, int64_t due_ns, int64_t now_ns, int64_t end_ns)
{
    int64_t wait = l->idle ? due_ns - now_ns : LOOK_NS;
    if (wait > end_ns - now_ns)
        wait = end_ns - now_ns;
    return wait < 0 ? 0 : wait > LOOK_NS ? LOOK_NS : wait;
}

/* Request i is due at began + i * interval. With interval 0 each idle connection asks at once. */
static void run_step(struct load *l, const struct step *step)
{
    int64_t began = probe_mono_ns(), end = began + step->seconds * SECOND, now = began, looked = began;
    int64_t rate = step->rate / l->opt->threads, sent = 0;
    int64_t wanted = step->rate ? rate * step->seconds : INT64_MAX, tail = end + (int64_t)l->opt->timeout_ms * 1000000;
    l->now->began_ns = began;
    while (now < tail && (now < end ? true : l->busy > 0 || (step->rate && sent < wanted))) {
        int64_t due = step->rate ? began + (int64_t)((double)sent * (double)SECOND / (double)rate) : now;
        if (due <= now && sent < wanted && (step->rate || now < end) && ask_next(l, due)) {
            sent++;
            if ((sent & 31) == 0) /* a backlog must not keep answers waiting */
                wait_io(l, 0);
        } else {
            wait_io(l, sent < wanted ? pause_ns(l, due, now, now < end ? end : tail) : LOOK_NS / 50);
        }
        now = probe_mono_ns();
        if (now - looked > LOOK_NS) {
            give_up_late(l, now, (int64_t)l->opt->timeout_ms * 1000000);
            looked = now;
        }
    }
    l->now->ended_ns = step->rate && sent < wanted ? now : (now < end ? now : end);
    l->now->unsent = step->rate && sent < wanted ? (uint64_t)(wanted - sent) : 0;
    give_up_late(l, now, 0);
}

/* ---- threads ---- */

static int64_t own_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

static void note_cpu(struct worker *w, int step)
{
    if (w->load.index != 0)
        return;
    w->team->own_cpu_ns[step] = own_cpu_ns();
    w->team->server_cpu_ns[step] = w->team->opt.server_pid ? probe_cpu_ns(w->team->opt.server_pid) : 0;
}

static bool prepare_load(struct worker *w)
{
    struct load *l = &w->load;
    const struct reads_options *o = &w->team->opt;
    size_t accounts = o->spread == SPREAD_DISTINCT ? READS_ACCOUNTS_MAX : (size_t)o->keys;
    l->opt = o;
    l->zipf = w->team->zipf;
    l->random = UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(l->index + 1);
    l->next_distinct = o->first + (uint32_t)l->index;
    l->lane_count = o->connections / o->threads;
    l->lanes = calloc((size_t)l->lane_count, sizeof(*l->lanes));
    l->seen = calloc(accounts, sizeof(*l->seen));
    l->epfd = epoll_create1(0);
    if (!l->lanes || !l->seen || l->epfd < 0)
        return false;
    for (int i = 0; i < l->lane_count; i++) {
        l->lanes[i].fd = -1;
        if (!lane_open(l, &l->lanes[i]))
            return false;
        lane_idle(l, &l->lanes[i]);
    }
    return true;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    prctl(PR_SET_TIMERSLACK, 1UL);
    w->failed = !prepare_load(w);
    for (int i = 0; i < w->team->opt.step_count; i++) {
        pthread_barrier_wait(&w->team->barrier);
        note_cpu(w, i);
        w->load.now = &w->load.steps[i];
        if (!w->failed)
            run_step(&w->load, &w->team->opt.steps[i]);
    }
    pthread_barrier_wait(&w->team->barrier);
    note_cpu(w, w->team->opt.step_count);
    return NULL;
}

/* ---- the report ---- */

static void merge(struct counts *into, const struct counts *c)
{
    const size_t numbers = offsetof(struct counts, began_ns) / sizeof(uint64_t); /* all that stands before the times */
    uint64_t *to = (uint64_t *)into;
    const uint64_t *from = (const uint64_t *)c;
    for (size_t i = 0; i < numbers; i++)
        to[i] += from[i];
    into->began_ns = into->began_ns && into->began_ns < c->began_ns ? into->began_ns : c->began_ns;
    into->ended_ns = into->ended_ns > c->ended_ns ? into->ended_ns : c->ended_ns;
    hist_merge(&into->latency, &c->latency);
    hist_merge(&into->service, &c->service);
    if (c->refusal[0])
        memcpy(into->refusal, c->refusal, sizeof(into->refusal));
}

#define LLU(x) ((unsigned long long)(x))

static uint64_t wrong_of(const struct counts *c)
{
    return c->wrong_values + c->wrong_accounts + c->regressions + c->futures + c->strange;
}

static uint64_t failed_of(const struct counts *c)
{
    return c->status_503 + c->status_404 + c->status_other + c->broken + c->timeouts + c->unsent;
}

static void print_step(const struct team *t, int i, const struct counts *c)
{
    double s = (double)(c->ended_ns - c->began_ns) / 1e9;
    double answered = (double)(c->latency.count ? c->latency.count : 1);
    printf("%s{\"rate\":%d,\"seconds\":%.3f,\"asked\":%llu,\"ok\":%llu,\"requests_s\":%.1f,\"failed\":%llu,\"wrong\":%llu,", i ? "," : "",
           t->opt.steps[i].rate, s, LLU(c->asked), LLU(c->ok), (double)c->ok / s, LLU(failed_of(c)), LLU(wrong_of(c)));
    printf("\"failures\":{\"503\":%llu,\"404\":%llu,\"other\":%llu,\"broken\":%llu,\"timeouts\":%llu,\"unsent\":%llu},\"refusal\":\"%s\",",
           LLU(c->status_503), LLU(c->status_404), LLU(c->status_other), LLU(c->broken), LLU(c->timeouts), LLU(c->unsent), c->refusal);
    printf("\"wrongs\":{\"values\":%llu,\"accounts\":%llu,\"regressions\":%llu,\"futures\":%llu,\"strange\":%llu},\"epochs\":%llu,"
           "\"reconnects\":%llu,",
           LLU(c->wrong_values), LLU(c->wrong_accounts), LLU(c->regressions), LLU(c->futures), LLU(c->strange), LLU(c->epochs),
           LLU(c->reconnects));
    printf("\"cache\":{\"HIT\":%llu,\"MISS\":%llu,\"STALE\":%llu,\"BYPASS\":%llu,\"COALESCED\":%llu,\"none\":%llu},",
           LLU(c->cache[CACHE_HIT]), LLU(c->cache[CACHE_MISS]), LLU(c->cache[CACHE_STALE]), LLU(c->cache[CACHE_BYPASS]),
           LLU(c->cache[CACHE_COALESCED]), LLU(c->cache[CACHE_NONE]));
    printf("\"source\":{\"stream\":%llu,\"l1\":%llu,\"cache\":%llu,\"database\":%llu,\"none\":%llu},", LLU(c->source[FROM_STREAM]),
           LLU(c->source[FROM_L1]), LLU(c->source[FROM_CACHE]), LLU(c->source[FROM_DATABASE]), LLU(c->source[FROM_NONE]));
    printf("\"client_cpu_us\":%.2f,\"server_cpu_us\":%.2f,", (double)(t->own_cpu_ns[i + 1] - t->own_cpu_ns[i]) / 1e3 / answered,
           (double)(t->server_cpu_ns[i + 1] - t->server_cpu_ns[i]) / 1e3 / answered);
    hist_print("latency_us", &c->latency);
    printf(",");
    hist_print("service_us", &c->service);
    printf("}");
}

static uint64_t report(const struct team *t, const struct worker *workers)
{
    static struct counts sum;
    uint64_t wrong = 0;
    printf("{\"connections\":%d,\"threads\":%d,\"steps\":[", t->opt.connections, t->opt.threads);
    for (int i = 0; i < t->opt.step_count; i++) {
        sum = (struct counts){0};
        for (int k = 0; k < t->opt.threads; k++)
            merge(&sum, &workers[k].load.steps[i]);
        wrong += wrong_of(&sum);
        print_step(t, i, &sum);
    }
    printf("]}\n");
    return wrong;
}

/* ---- options ---- */

static const struct option READS_OPTIONS[] = {
    {"url", 1, 0, 'u'},     {"token", 1, 0, 't'},      {"prefix", 1, 0, 'x'},    {"steps", 1, 0, 's'},
    {"keys", 1, 0, 'k'},    {"connections", 1, 0, 'c'}, {"threads", 1, 0, 'T'},  {"spread", 1, 0, 'S'},
    {"first", 1, 0, 'f'},   {"timeout-ms", 1, 0, 'o'}, {"period-ms", 1, 0, 'p'}, {"server-pid", 1, 0, 'P'},
    {0, 0, 0, 0},
};

/* "2000:60,5000:60": requests a second, seconds; rate 0: closed loop. */
static bool parse_steps(struct reads_options *o, const char *text)
{
    int used = 0;
    for (o->step_count = 0; o->step_count < READS_STEPS_MAX; text += used) {
        struct step *s = &o->steps[o->step_count];
        if (sscanf(text, "%d:%d%n", &s->rate, &s->seconds, &used) != 2 || s->rate < 0 || s->seconds < 1 || s->seconds > 3600)
            return false;
        o->step_count++;
        if (text[used] == 0)
            return true;
        used++;
    }
    return false;
}

static bool parse_spread(struct reads_options *o, const char *name)
{
    static const char *const names[] = {"one", "uniform", "zipf", "distinct"};
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(name, names[i]) == 0) {
            o->spread = (enum spread_kind)i;
            return true;
        }
    }
    return false;
}

static bool parse(struct reads_options *o, int argc, char **argv)
{
    *o = (struct reads_options){.prefix = "bench:", .token = "", .keys = 1, .connections = 64, .threads = 1, .timeout_ms = 5000};
    for (int c; (c = getopt_long(argc, argv, "", READS_OPTIONS, NULL)) != -1;) {
        switch (c) {
        case 'u': o->url = optarg; break;
        case 't': o->token = optarg; break;
        case 'x': o->prefix = optarg; break;
        case 's': if (!parse_steps(o, optarg)) return false; break;
        case 'k': o->keys = atoi(optarg); break;
        case 'c': o->connections = atoi(optarg); break;
        case 'T': o->threads = atoi(optarg); break;
        case 'S': if (!parse_spread(o, optarg)) return false; break;
        case 'f': o->first = (uint32_t)atoi(optarg); break;
        case 'o': o->timeout_ms = atoi(optarg); break;
        case 'p': o->period_ms = atoi(optarg); break;
        case 'P': o->server_pid = atoi(optarg); break;
        default: return false;
        }
    }
    return o->url && o->step_count && o->keys > 0 && o->keys <= READS_ACCOUNTS_MAX && o->threads > 0 && o->timeout_ms > 0 &&
           o->threads <= READS_THREADS_MAX && o->connections >= o->threads && o->period_ms >= 0;
}

int reads_main(int argc, char **argv)
{
    static struct team t;
    static struct worker workers[READS_THREADS_MAX];
    bool failed = false;
    if (!parse(&t.opt, argc, argv)) {
        fprintf(stderr, "usage: bgw-swarm reads --url HOST:PORT --token T --steps RATE:SECONDS[,…] (rate 0: as fast as answers come)\n"
                        "  [--spread one|uniform|zipf|distinct --keys N] [--first N] [--connections N] [--threads N]\n"
                        "  [--prefix P] [--period-ms N: the stub origin's] [--timeout-ms N] [--server-pid PID]\n");
        return 2;
    }
    t.zipf = t.opt.spread == SPREAD_ZIPF ? keys_zipf(t.opt.keys) : NULL;
    pthread_barrier_init(&t.barrier, NULL, (unsigned)t.opt.threads);
    for (int i = 0; i < t.opt.threads; i++) {
        workers[i].team = &t;
        workers[i].load.index = i;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            return 4;
    }
    for (int i = 0; i < t.opt.threads; i++) {
        pthread_join(workers[i].thread, NULL);
        failed |= workers[i].failed;
    }
    if (failed) {
        fprintf(stderr, "swarm: cannot connect to %s\n", t.opt.url);
        return 4;
    }
    return report(&t, workers) ? 1 : 0;
}
