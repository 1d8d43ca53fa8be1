/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main: options, the phases of a run (connect, measure, settle) and the report, one JSON object.
 * Phases are bounded in count and time: a run ends by itself.
 */
#include "modes.h"
#include "swarm.h"

#include "bgw/hash.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

static int64_t now_ms(void)
{
    return probe_mono_ns() / 1000000;
}

void swarm_turn(struct swarm *s, int wait_ms)
{
    struct epoll_event events[512];
    int n = epoll_wait(s->epfd, events, 512, wait_ms);
    for (int i = 0; i < n; i++)
        swarm_io(s, events[i].data.ptr, events[i].events);
}

void swarm_reconnect_due(struct swarm *s)
{
    int64_t now = now_ms();
    for (int i = 0; i < s->opt.clients; i++) {
        struct client *c = &s->clients[i];
        if (c->reconnecting && c->state == CLIENT_IDLE && c->retry_at_ms <= now)
            swarm_connect(s, c);
    }
}

static uint64_t count_behind(const struct swarm *s)
{
    uint64_t behind = 0;
    for (int i = 0; i < s->opt.clients; i++) {
        const struct client *c = &s->clients[i];
        for (int k = 0; k < s->opt.per_client; k++) {
            int account = (c->first_account + k) % s->opt.accounts;
            if (s->published[account] && (!c->slots[k].has || c->slots[k].version.seq < s->published[account]))
                behind++;
        }
    }
    return behind;
}

void swarm_prepare(struct swarm *s)
{
    const struct options *o = &s->opt;
    s->epfd = epoll_create1(0);
    s->clients = calloc((size_t)o->clients, sizeof(*s->clients));
    s->published = calloc((size_t)o->accounts, sizeof(*s->published));
    s->sent_ns = calloc((size_t)o->accounts * SWARM_SENT_RING, sizeof(*s->sent_ns));
    s->asked_ms = calloc((size_t)o->clients, sizeof(*s->asked_ms));
    s->latency_max = 8u << 20;
    s->latency_us = malloc(s->latency_max * sizeof(*s->latency_us));
    for (int i = 0; i < o->clients; i++) {
        struct client *c = &s->clients[i];
        c->fd = -1;
        c->told_ms = -1;
        c->url = i % o->url_count;
        c->first_account = (int)((int64_t)i * o->per_client % o->accounts);
        c->slots = calloc((size_t)o->per_client, sizeof(*c->slots));
        bgw_buf_init(&c->in, 1 << 20);
    }
}

static bool open_trigger(struct swarm *s)
{
    if (!s->opt.trigger)
        return true;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(s->opt.trigger))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->trigger_fd = socket(AF_INET, SOCK_STREAM, 0);
    return s->trigger_fd >= 0 && connect(s->trigger_fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

/* Every account has a value before anybody asks for it. */
static void seed_accounts(struct swarm *s)
{
    for (int a = 0; a < s->opt.accounts; a++)
        feed_publish(s, a);
    feed_flush(s);
}

static bool all_live(struct swarm *s, int64_t deadline_ms)
{
    int opened = 0;
    int64_t began = now_ms();
    while (s->live_now < s->opt.clients) {
        int64_t elapsed = now_ms() - began;
        int due = (int)((elapsed + 1) * s->opt.connect_per_s / 1000);
        for (; opened < s->opt.clients && opened < due; opened++)
            if (!swarm_connect(s, &s->clients[opened]))
                return false;
        swarm_turn(s, 1);
        swarm_reconnect_due(s);
        if (now_ms() > deadline_ms)
            return false;
    }
    return true;
}

static bool settle(struct swarm *s, int64_t deadline_ms)
{
    while (s->behind > 0) {
        swarm_turn(s, 5);
        swarm_reconnect_due(s);
        if (now_ms() > deadline_ms)
            return false;
    }
    return true;
}

/* One burst, wait until everybody has it, the next: at most `burst` messages are ever pending. */
static bool run_lockstep(struct swarm *s, int64_t deadline_ms)
{
    for (int m = 0; m < s->opt.messages; m++) {
        for (int b = 0; b < s->opt.burst; b++)
            feed_publish(s, (m * s->opt.burst + b) % s->opt.accounts);
        s->behind = count_behind(s);
        if (!settle(s, deadline_ms))
            return false;
    }
    return true;
}

/* `messages` at `rate` a second, round-robin over the accounts; clients may join meanwhile. */
static bool run_paced(struct swarm *s, int64_t deadline_ms)
{
    int64_t began = now_ms();
    int opened = 0;
    for (int m = 0; m < s->opt.messages;) {
        int64_t elapsed = now_ms() - began;
        for (; m < s->opt.messages && m < elapsed * s->opt.rate / 1000; m++)
            feed_publish(s, m % s->opt.accounts);
        if (s->opt.spread)
            for (; opened < s->opt.clients && opened < elapsed * s->opt.connect_per_s / 1000; opened++)
                swarm_connect(s, &s->clients[opened]);
        swarm_turn(s, 1);
        swarm_reconnect_due(s);
        if (now_ms() > deadline_ms)
            return false;
    }
    for (; s->opt.spread && opened < s->opt.clients; opened++)
        swarm_connect(s, &s->clients[opened]);
    feed_flush(s);
    while (s->opt.spread && s->live_now < s->opt.clients && now_ms() < deadline_ms) {
        swarm_turn(s, 5);
        swarm_reconnect_due(s);
    }
    s->behind = count_behind(s);
    return settle(s, deadline_ms) && s->live_now == s->opt.clients;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t percentile(const struct swarm *s, double p)
{
    if (!s->latency_count)
        return 0;
    size_t at = (size_t)((double)(s->latency_count - 1) * p);
    return s->latency_us[at];
}

struct reading {
    int64_t cpu_ns, rss_kib, at_ns;
};

/* How the waits that byes asked for are spread: a count for each tenth of the longest. */
static void report_waits(const struct swarm *s)
{
    size_t count = s->asked_count < (size_t)s->opt.clients ? s->asked_count : (size_t)s->opt.clients;
    size_t tenths[10] = {0};
    int64_t longest_ms = 0;
    for (size_t i = 0; i < count; i++)
        longest_ms = s->asked_ms[i] > longest_ms ? s->asked_ms[i] : longest_ms;
    for (size_t i = 0; i < count; i++)
        tenths[s->asked_ms[i] * 10 / (longest_ms + 1)]++;
    printf("\"lost\":%llu,\"byes\":%llu,\"refused\":%llu,\"back_ms\":%lld,\"longest_wait_ms\":%lld,\"wait_tenths\":[",
           (unsigned long long)s->total.lost, (unsigned long long)s->total.byes, (unsigned long long)s->total.refused,
           (long long)s->back_ms, (long long)longest_ms);
    for (int i = 0; i < 10; i++)
        printf("%s%zu", i ? "," : "", tenths[i]);
    printf("],");
}

static struct reading read_server(const struct swarm *s)
{
    struct reading r = {-1, -1, probe_mono_ns()};
    if (s->opt.server_pid) {
        r.cpu_ns = probe_cpu_ns(s->opt.server_pid);
        r.rss_kib = probe_rss_kib(s->opt.server_pid);
    }
    return r;
}

static uint64_t wrongs(const struct totals *t)
{
    return t->regressions + t->gaps + t->duplicates + t->wrong_values + t->digest_mismatches + t->protocol_errors;
}

static void report(struct swarm *s, bool completed, const struct reading r[3], uint64_t before)
{
    const struct totals *t = &s->total;
    uint64_t entries = t->entries - before;
    qsort(s->latency_us, s->latency_count, sizeof(*s->latency_us), by_size);
    printf("{\"completed\":%s,\"wrong\":%llu,\"clients\":%d,\"live\":%d,\"entries\":%llu,\"merged\":%llu,"
           "\"snapshots\":%llu,\"marks\":%llu,\"states\":%llu,\"connects\":%llu,\"disconnects\":%llu,",
           completed ? "true" : "false", (unsigned long long)wrongs(t), s->opt.clients, s->live_now,
           (unsigned long long)t->entries, (unsigned long long)t->merged, (unsigned long long)t->snapshots,
           (unsigned long long)t->marks, (unsigned long long)t->states, (unsigned long long)t->connects,
           (unsigned long long)t->disconnects);
    printf("\"regressions\":%llu,\"gaps\":%llu,\"duplicates\":%llu,\"wrong_values\":%llu,"
           "\"digest_mismatches\":%llu,\"digests_checked\":%llu,\"protocol_errors\":%llu,\"behind\":%llu,",
           (unsigned long long)t->regressions, (unsigned long long)t->gaps, (unsigned long long)t->duplicates,
           (unsigned long long)t->wrong_values, (unsigned long long)t->digest_mismatches,
           (unsigned long long)t->digests_checked, (unsigned long long)t->protocol_errors,
           (unsigned long long)count_behind(s));
    report_waits(s);
    printf("\"measured_entries\":%llu,\"measured_s\":%.3f,\"server_cpu_ns\":%lld,\"cpu_ns_per_entry\":%.1f,"
           "\"connect_cpu_us\":%.1f,\"rss_before_kib\":%lld,\"rss_live_kib\":%lld,\"bytes_per_client\":%.1f,"
           "\"latency_us\":{\"n\":%zu,\"p50\":%u,\"p99\":%u,\"p999\":%u}}\n",
           (unsigned long long)entries, (double)(r[2].at_ns - r[1].at_ns) / 1e9,
           (long long)(r[2].cpu_ns - r[1].cpu_ns),
           entries ? (double)(r[2].cpu_ns - r[1].cpu_ns) / (double)entries : 0.0,
           (double)(r[1].cpu_ns - r[0].cpu_ns) / 1000.0 / (double)s->opt.clients, (long long)r[0].rss_kib,
           (long long)r[1].rss_kib,
           (double)(r[1].rss_kib - r[0].rss_kib) * 1024.0 / (double)s->opt.clients, s->latency_count,
           percentile(s, 0.5), percentile(s, 0.99), percentile(s, 0.999));
}

static const struct option LONG_OPTIONS[] = {
    {"url", 1, 0, 'u'},        {"token", 1, 0, 't'},     {"kafka", 1, 0, 'k'},      {"topic", 1, 0, 'T'},
    {"clients", 1, 0, 'c'},    {"accounts", 1, 0, 'a'},  {"per-client", 1, 0, 'p'}, {"connect-per-s", 1, 0, 'C'},
    {"messages", 1, 0, 'm'},   {"burst", 1, 0, 'b'},     {"rate", 1, 0, 'r'},       {"idle-ms", 1, 0, 'i'},
    {"timeout-s", 1, 0, 'o'},  {"server-pid", 1, 0, 'P'}, {"raw", 0, 0, 'R'},       {"spread", 0, 0, 'S'},
    {"trigger", 1, 0, 'g'},    {"prefix", 1, 0, 'x'},    {"tls", 0, 0, 'L'},        {"ca", 1, 0, 'A'},
    {"groups", 1, 0, 'G'},     {"dialect", 1, 0, 'D'},   {0, 0, 0, 0},
};

static bool parse_dialect(struct options *o, const char *name)
{
    static const char *const names[] = {"native", "signalr", "app", "sse"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(name, names[i]) == 0) {
            o->dialect = (enum dialect)i;
            return true;
        }
    }
    return false;
}

static bool parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){.topic = "balance-updates", .token = "", .prefix = "bench:", .clients = 100,
                          .accounts = 1, .per_client = 1, .connect_per_s = 5000, .messages = 100, .burst = 1,
                          .timeout_s = 60};
    for (int c; (c = getopt_long(argc, argv, "", LONG_OPTIONS, NULL)) != -1;) {
        switch (c) {
        case 'u': if (o->url_count < SWARM_URLS_MAX) o->urls[o->url_count++] = optarg; break;
        case 't': o->token = optarg; break;
        case 'k': o->kafka = optarg; break;
        case 'T': o->topic = optarg; break;
        case 'c': o->clients = atoi(optarg); break;
        case 'a': o->accounts = atoi(optarg); break;
        case 'p': o->per_client = atoi(optarg); break;
        case 'C': o->connect_per_s = atoi(optarg); break;
        case 'm': o->messages = atoi(optarg); break;
        case 'b': o->burst = atoi(optarg); break;
        case 'r': o->rate = atoi(optarg); break;
        case 'i': o->idle_ms = atoi(optarg); break;
        case 'o': o->timeout_s = atoi(optarg); break;
        case 'P': o->server_pid = atoi(optarg); break;
        case 'R': o->raw = true; break;
        case 'S': o->spread = true; break;
        case 'g': o->trigger = optarg; break;
        case 'x': o->prefix = optarg; break;
        case 'L': o->tls = true; break;
        case 'A': o->ca = optarg; break;
        case 'G': o->groups = optarg; break;
        case 'D': if (!parse_dialect(o, optarg)) return false; break;
        default: return false;
        }
    }
    return o->url_count && (o->kafka || o->raw) && o->clients > 0 && o->per_client <= o->accounts;
}

/* As many descriptors as this process may have. */
static void raise_files(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* Another mode's exit status, or -1: the sockets are asked for. */
static int other_mode(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*main)(int argc, char **argv);
    } modes[] = {{"reads", reads_main}, {"cold", cold_main}, {"origin", origin_main}};
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
        if (argc > 1 && strcmp(argv[1], modes[i].name) == 0)
            return modes[i].main(argc - 1, argv + 1);
    return -1;
}

int main(int argc, char **argv)
{
    struct swarm s = {.trigger_fd = -1};
    raise_files();
    bgw_hash_init();
    int status = other_mode(argc, argv);
    if (status >= 0)
        return status;
    if (!parse(&s.opt, argc, argv)) {
        fprintf(stderr, "usage: bgw-swarm --url HOST:PORT [--url …] --token T --kafka HOST:PORT | --raw --trigger PORT\n"
                        "  --clients N --accounts N --per-client N --connect-per-s N --messages N\n"
                        "  [--burst N: lockstep | --rate N: paced] [--spread] [--idle-ms N] [--server-pid PID]\n"
                        "  [--tls [--ca FILE] [--groups LIST]] [--dialect native|signalr|app|sse]\n"
                        "or: bgw-swarm reads|cold|origin …, each with options of its own\n");
        return 2;
    }
    swarm_prepare(&s);
    if (!link_setup(&s.opt) || !open_trigger(&s) || (!s.opt.raw && !feed_open(&s))) {
        fprintf(stderr, "swarm: cannot reach the feed\n");
        return 4;
    }
    int64_t deadline = now_ms() + (int64_t)s.opt.timeout_s * 1000;
    struct reading r[3] = {0};
    if (!s.opt.raw)
        seed_accounts(&s);
    r[0] = read_server(&s);
    bool ok = s.opt.spread || all_live(&s, deadline);
    for (int64_t until = now_ms() + s.opt.idle_ms; ok && now_ms() < until;)
        swarm_turn(&s, 10);
    r[1] = read_server(&s);
    uint64_t before = s.total.entries;
    if (ok && s.opt.messages > 0)
        ok = s.opt.rate ? run_paced(&s, deadline) : run_lockstep(&s, deadline);
    r[2] = read_server(&s);
    report(&s, ok, r, before);
    feed_close();
    return ok && wrongs(&s.total) == 0 ? 0 : 1;
}
