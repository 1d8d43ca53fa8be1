/* SPDX-License-Identifier: Apache-2.0 */
/*
 * phases: the coordinator: seeds the accounts, lets the workers connect, feeds, waits until everybody
 * is current, ends them. Everybody is current when the sum of held versions equals what was published
 * times who watches it: nobody is asked. It sleeps between looks, for the cores are shared with what
 * is measured. Every phase is bounded by the one deadline.
 */
#include "run.h"
#include "probe.h"
#include "swarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MS_NS 1000000ll
#define SECOND_NS 1000000000ll
#define LOOK_NS MS_NS            /* while a burst is under way */
#define REST_NS (5 * MS_NS)      /* while nothing is */
#define MANY_ACCOUNTS 1000       /* the book of fewer is no figure */
#define STILL_LOOK_NS (250 * MS_NS)
#define STILL_LOOKS 4
#define STILL_KIB 8              /* a server and look */
#define STILL_WITHIN_NS (60 * SECOND_NS)
#define SHORTEST_SLEEP_NS 200000 /* records that are due sooner leave together */

static void sleep_until(int64_t at_ns)
{
    struct timespec t = {.tv_sec = at_ns / SECOND_NS, .tv_nsec = at_ns % SECOND_NS};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void phase(const char *name)
{
    fprintf(stderr, "phase %s\n", name);
}

static void follow_wave(struct wave *w, uint64_t live, const struct run *r, int64_t now)
{
    uint64_t all = (uint64_t)r->others, most = all - all / 100;
    if (live < all && w->full) {
        w->lost_ns = now;
        w->back_ms = 0;
        w->under = false;
    }
    w->full = live >= all;
    if (!w->lost_ns)
        return;
    if (live < most)
        w->under = true;
    if (w->under && live >= most) {
        w->under = false;
        w->back_ms = (now - w->lost_ns) / MS_NS + 1;
    }
}

static void follow_storm(struct run *r, const struct sums *s, int64_t now)
{
    struct wave *w = &r->storm;
    int64_t feed_ns = atomic_load_explicit(&r->fleet.control->feed_ns, memory_order_relaxed);
    if (!s->cut || w->back_ms)
        return;
    if (!w->lost_ns)
        w->lost_ns = feed_ns + (int64_t)(r->opt.storm_at_s * 1e9);
    uint64_t all = (uint64_t)r->others, most = all - all / 100;
    w->under = w->under || s->live < most;
    if (w->under && s->live >= most)
        w->back_ms = (now - w->lost_ns) / MS_NS + 1;
}

/* What the coordinator does all the while. False: the run is over, wrongly. */
static bool turn(struct run *r)
{
    int64_t now = probe_mono_ns();
    struct sums s = results_sum(r->fleet.results, r->fleet.count);
    feed_turn(r->feed);
    follow_wave(&r->wave, s.live, r, now);
    follow_storm(r, &s, now);
    return fleet_alive(&r->fleet);
}

static bool in_time(const struct run *r)
{
    return probe_mono_ns() < r->deadline_ns;
}

/* ---- what is to be expected ---- */

/* Who watches what, by differences: a client's accounts are a run of them, which may wrap. */
static bool count_watchers(struct run *r)
{
    const struct options *o = &r->opt;
    int32_t *difference = calloc((size_t)o->accounts + 1, sizeof(*difference));
    struct pick *watch = o->watch_zipf > 0 ? pick_create(o->accounts, o->watch_zipf) : NULL;
    r->watchers = calloc((size_t)o->accounts, sizeof(*r->watchers));
    bool ok = difference && r->watchers && (o->watch_zipf <= 0 || watch);
    for (int i = 0; ok && i < o->clients; i++) {
        if (options_slow(o, i))
            continue;
        int from = options_first_account(o, watch, i), to = from + o->per_client;
        r->others++;
        difference[from]++;
        difference[to > o->accounts ? o->accounts : to]--;
        if (to > o->accounts) {
            difference[0]++;
            difference[to - o->accounts]--;
        }
    }
    int32_t now = 0;
    for (int a = 0; ok && a < o->accounts; a++) {
        now += difference[a];
        r->watchers[a] = (uint32_t)now;
    }
    free(difference);
    if (watch)
        pick_close(watch);
    return ok;
}

static void publish(struct run *r, int account, int64_t due_ns)
{
    feed_publish(r->feed, account, due_ns);
    r->expected += r->watchers[account];
}

static void publish_next(struct run *r, int64_t due_ns)
{
    int64_t late = probe_mono_ns() - due_ns;
    publish(r, pick_account(r->pick, r->published++), due_ns);
    if (late > r->late_ns_max)
        r->late_ns_max = late;
}

static bool everybody_is_current(const struct run *r)
{
    return results_held(r->fleet.results, r->fleet.count) == r->expected;
}

static bool everybody_is_live(const struct run *r)
{
    return results_sum(r->fleet.results, r->fleet.count).live >= (uint64_t)r->others;
}

/* ---- phases ---- */

/* Every account has a value before anybody asks for it, where anybody will and the server keeps one. */
static bool seed(struct run *r)
{
    if (r->opt.feed.sink != FEED_KAFKA || r->opt.greet_only)
        return true;
    for (int a = 0; a < r->opt.accounts; a++) {
        publish(r, a, probe_mono_ns());
        if (a % 1000 == 999)
            feed_turn(r->feed);
    }
    if (feed_flush(r->feed, r->opt.timeout_s * 1000))
        return true;
    fprintf(stderr, "swarm: the feed was not confirmed\n");
    return false;
}

static bool all_live(struct run *r)
{
    for (;;) {
        struct sums s = results_sum(r->fleet.results, r->fleet.count);
        if (s.live + s.slow_live >= (uint64_t)r->opt.clients)
            return true;
        if (!turn(r) || !in_time(r))
            return false;
        sleep_until(probe_mono_ns() + REST_NS);
    }
}

static bool idle(struct run *r)
{
    for (int64_t until = probe_mono_ns() + r->opt.idle_ms * MS_NS; probe_mono_ns() < until;) {
        if (!turn(r))
            return false;
        sleep_until(probe_mono_ns() + REST_NS);
    }
    return true;
}

static bool settle(struct run *r)
{
    int64_t began = probe_mono_ns();
    while (!everybody_is_current(r)) {
        if (!turn(r) || !in_time(r))
            return false;
        int64_t now = probe_mono_ns();
        sleep_until(now + (now - began < 50 * MS_NS ? LOOK_NS : REST_NS));
    }
    return true;
}

/* One burst, wait until everybody has it, the next: at most `burst` messages are ever pending. */
static bool feed_lockstep(struct run *r)
{
    int64_t until = probe_mono_ns() + r->opt.seconds * SECOND_NS;
    for (int m = 0; r->opt.seconds ? probe_mono_ns() < until : m < r->opt.messages; m++) {
        for (int b = 0; b < r->opt.burst; b++)
            publish_next(r, probe_mono_ns());
        if (!turn(r) || !settle(r))
            return false;
    }
    return true;
}

/* Open loop: record m is due at start + m / rate, whatever happens. */
static bool feed_paced(struct run *r)
{
    int64_t began = probe_mono_ns(), now = began, looked = began;
    uint64_t count = r->opt.seconds ? (uint64_t)r->opt.seconds * (uint64_t)r->opt.rate : (uint64_t)r->opt.messages;
    double step = 1e9 / r->opt.rate;
    for (uint64_t m = 0; m < count; now = probe_mono_ns()) {
        int64_t due = began + (int64_t)((double)m * step);
        for (; m < count && due <= now; due = began + (int64_t)((double)++m * step))
            publish_next(r, due);
        feed_turn(r->feed);
        if (now - looked > REST_NS) {
            looked = now;
            if (!turn(r) || !in_time(r))
                return false;
        }
        int64_t wake = due < now + MS_NS ? due : now + MS_NS;
        sleep_until(wake > now + SHORTEST_SLEEP_NS ? wake : now + SHORTEST_SLEEP_NS);
    }
    return true;
}

static bool settle_all(struct run *r)
{
    while (!everybody_is_live(r)) {
        if (!turn(r) || !in_time(r))
            return false;
        sleep_until(probe_mono_ns() + MS_NS);
    }
    return settle(r);
}

static struct reading read_now(const struct run *r)
{
    struct reading at = {r->opt.pid_count ? 0 : -1, r->opt.pid_count ? 0 : -1, fleet_cpu_ns(&r->fleet), probe_mono_ns()};
    for (int i = 0; i < r->opt.pid_count; i++) {
        int64_t cpu = probe_cpu_ns(r->opt.pids[i]), rss = probe_rss_kib(r->opt.pids[i]);
        at.cpu_ns += cpu > 0 ? cpu : 0; /* one that is gone used nothing since */
        at.rss_kib += rss > 0 ? rss : 0;
    }
    return at;
}

static int64_t rss_peak(const struct run *r)
{
    int64_t total = r->opt.pid_count ? 0 : -1;
    for (int i = 0; i < r->opt.pid_count; i++) {
        int64_t one = probe_rss_peak_kib(r->opt.pids[i]);
        total += one > 0 ? one : 0;
    }
    return total;
}

/* What was seeded, the servers have read and kept when they stop growing: it is no part of a client's memory and CPU. */
static bool wait_until_still(struct run *r)
{
    int64_t until = probe_mono_ns() + STILL_WITHIN_NS, last_kib = 0;
    for (int still = 0; r->opt.accounts >= MANY_ACCOUNTS && r->opt.pid_count && still < STILL_LOOKS;) {
        int64_t now_kib = read_now(r).rss_kib;
        still = now_kib - last_kib <= STILL_KIB * r->opt.pid_count ? still + 1 : 0;
        last_kib = now_kib;
        if (!turn(r) || !in_time(r) || probe_mono_ns() > until) {
            fprintf(stderr, "swarm: the servers did not come to rest\n");
            return false;
        }
        sleep_until(probe_mono_ns() + STILL_LOOK_NS);
    }
    return true;
}

static bool run_phases(struct run *r)
{
    bool ok = wait_until_still(r);
    phase("connect");
    r->before = read_now(r);
    fleet_say(&r->fleet, PHASE_CONNECT);
    if (!r->opt.spread)
        ok = ok && all_live(r) && settle(r); /* what was seeded is no part of what is measured */
    phase("live");
    ok = ok && idle(r);
    r->live = read_now(r);
    r->entries_before = results_sum(r->fleet.results, r->fleet.count).entries;
    phase("feed");
    fleet_say(&r->fleet, PHASE_FEED);
    if (ok && (r->opt.messages || r->opt.seconds))
        ok = r->opt.rate ? feed_paced(r) : feed_lockstep(r);
    phase("settle");
    fleet_say(&r->fleet, PHASE_SETTLE);
    ok = feed_flush(r->feed, 10000) && ok;
    if (r->opt.messages || r->opt.seconds)
        ok = ok && settle_all(r);
    r->after = read_now(r);
    r->rss_peak_kib = rss_peak(r);
    return ok;
}

int run_all(struct run *r)
{
    r->deadline_ns = probe_mono_ns() + r->opt.timeout_s * SECOND_NS;
    r->board = board_create(NULL, r->opt.accounts, board_ring_for(r->opt.accounts));
    r->pick = pick_create(r->opt.accounts, r->opt.pick_zipf);
    if (!r->board || !r->pick || !count_watchers(r)) {
        fprintf(stderr, "swarm: no memory for %d accounts\n", r->opt.accounts);
        return 4;
    }
    if (!fleet_start(&r->fleet, &r->opt, r->board))
        return 4;
    r->feed = feed_open(&r->opt.feed, r->board);
    if (!r->feed || !seed(r))
        return 4;
    r->completed = run_phases(r);
    if (!fleet_end(&r->fleet))
        return 3; /* what a worker that crashed has counted is no figure */
    phase("done");
    return 0;
}
