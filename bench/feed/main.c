/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bgw-feed: publishes a set number of balances, or for a set time, at a set rate, and says how that
 * went as one JSON object. The rate is a schedule: record m is due at start + m / rate, whatever
 * happened before; what left later than that is late, and is told. Ends by itself: with the last
 * record's confirmation, a minute after the schedule's end, after too many failures, or on SIGINT
 * and SIGTERM. Exit 0: all was sent and nothing refused.
 */
#define _GNU_SOURCE
#include "feed.h"
#include "hist.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TURN_EVERY 64    /* publishes, when there is no pause between them */
#define NAP_NS 1000000   /* so long at most, for confirmations wait meanwhile */
#define FAILED_MAX 1000u /* a server that refuses so many is not asked any further */
#define FLUSH_MS 60000
#define SECONDS_MAX 86400
#define GRACE_S 60 /* to send what fell due while the server took nothing */
#define ACCOUNTS_MAX 10000000

struct run { /* the only thread */
    struct feed_config config;
    const char *board_file;
    int accounts;
    uint64_t records; /* UINT64_MAX: time ends it */
    double seconds, rate, zipf;
    double limit_s; /* no longer than so, whatever is left to send */
    struct board *board;
    struct pick *pick;
    struct hist acks; /* from `due` to the confirmation */
    uint64_t published;
    int64_t late_ns_max;
};

static volatile sig_atomic_t told_to_end;

static void on_signal(int signal)
{
    (void)signal;
    told_to_end = 1;
}

static int usage(void)
{
    fprintf(stderr, "usage: bgw-feed --publish kafka:HOST:PORT|trigger:PORT|nats:HOST:PORT|mqtt:HOST:PORT|nchan:HOST:PORT\n"
                    "                --accounts N (--records N | --seconds S)\n"
                    "  --rate N        records a second; 0, the default: as fast as it goes\n"
                    "  --zipf S        exponent of the accounts' shares; 0, the default: in turn\n"
                    "  --prefix P      of the accounts' names, six digits follow (bench:)\n"
                    "  --board FILE    what was published and when, for other programs to read\n"
                    "  --topic T       Kafka's (balance-updates)\n"
                    "  --linger-ms N   Kafka: how long a batch gathers (0)\n"
                    "  --idempotent    Kafka: acks=all, each record once and in order; else acks=1\n");
    return 2;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool number(const char *text, double least, double most, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return errno == 0 && end != text && !*end && *out >= least && *out <= most;
}

static bool take_option(struct run *r, int option, const char *text)
{
    double n = 0;
    bool good = true;
    switch (option) {
    case 'p':
        return feed_parse_sink(text, &r->config);
    case 't':
        r->config.topic = text;
        return true;
    case 'x':
        r->config.prefix = text;
        return true;
    case 'b':
        r->board_file = text;
        return true;
    case 'i':
        r->config.idempotent = true;
        return true;
    case 'a':
        good = number(text, 1, ACCOUNTS_MAX, &n);
        r->accounts = (int)n;
        return good;
    case 'n':
        good = number(text, 1, 1e12, &n);
        r->records = (uint64_t)n;
        return good;
    case 'l':
        good = number(text, 0, 60000, &n);
        r->config.linger_ms = (int)n;
        return good;
    case 's':
        return number(text, 0.001, SECONDS_MAX, &r->seconds);
    case 'r':
        return number(text, 0, 1e8, &r->rate);
    case 'z':
        return number(text, 0, 10, &r->zipf);
    default:
        return false;
    }
}

/* With a rate, so many seconds are so many records: what is due is sent, late if need be, never left out. */
static void settle_end(struct run *r)
{
    r->limit_s = r->seconds > 0 ? r->seconds : SECONDS_MAX;
    if (r->rate <= 0)
        return;
    if (r->seconds > 0)
        r->records = (uint64_t)(r->rate * r->seconds + 0.5);
    r->limit_s = (double)r->records / r->rate + GRACE_S;
}

static bool parse(struct run *r, int argc, char **argv)
{
    static const struct option options[] = {{"publish", 1, 0, 'p'},   {"topic", 1, 0, 't'},     {"prefix", 1, 0, 'x'},
                                            {"board", 1, 0, 'b'},     {"accounts", 1, 0, 'a'},  {"records", 1, 0, 'n'},
                                            {"seconds", 1, 0, 's'},   {"rate", 1, 0, 'r'},      {"zipf", 1, 0, 'z'},
                                            {"linger-ms", 1, 0, 'l'}, {"idempotent", 0, 0, 'i'}, {0, 0, 0, 0}};
    r->records = UINT64_MAX;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (!take_option(r, o, optarg))
            return false;
    if (optind != argc || !r->config.address || !r->accounts || (r->records != UINT64_MAX) == (r->seconds > 0))
        return false;
    settle_end(r);
    return true;
}

static void on_acked(void *context, int account, uint64_t version)
{
    struct run *r = context;
    int64_t due, acked;
    if (board_times(r->board, account, version, &due, &acked) && acked)
        hist_add(&r->acks, acked - due);
}

static void publish(struct run *r, struct feed *f, int64_t due_ns)
{
    feed_publish(f, pick_account(r->pick, r->published), due_ns);
    int64_t late = now_ns() - due_ns; /* with the time that it had to wait for room */
    if (late > r->late_ns_max)
        r->late_ns_max = late;
    if (++r->published % TURN_EVERY == 0)
        feed_turn(f);
}

static bool goes_on(const struct run *r, const struct feed *f, int64_t start_ns)
{
    return !told_to_end && r->published < r->records && feed_failed(f) < FAILED_MAX &&
           (double)(now_ns() - start_ns) < r->limit_s * 1e9;
}

static void nap(int64_t until_ns)
{
    int64_t now = now_ns();
    if (until_ns <= now)
        return;
    if (until_ns > now + NAP_NS)
        until_ns = now + NAP_NS;
    struct timespec t = {until_ns / 1000000000, until_ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void run(struct run *r, struct feed *f, int64_t start_ns)
{
    while (goes_on(r, f, start_ns)) {
        if (r->rate <= 0) {
            publish(r, f, now_ns());
            continue;
        }
        int64_t due_ns = start_ns + (int64_t)((double)r->published * 1e9 / r->rate);
        if (due_ns <= now_ns()) {
            publish(r, f, due_ns);
            continue;
        }
        feed_turn(f);
        nap(due_ns);
    }
}

static uint64_t unsent(const struct run *r)
{
    return r->records == UINT64_MAX ? 0 : r->records - r->published;
}

static void report(const struct run *r, const struct feed *f, double seconds)
{
    printf("{\"published\":%" PRIu64 ",\"unsent\":%" PRIu64 ",\"failed\":%" PRIu64
           ",\"seconds\":%.3f,\"rate\":%.1f,\"late_ms_max\":%.3f,",
           r->published, unsent(r), feed_failed(f), seconds, (double)r->published / seconds, (double)r->late_ns_max / 1e6);
    hist_print("ack_us", &r->acks);
    printf("}\n");
}

int main(int argc, char **argv)
{
    static struct run r;
    if (!parse(&r, argc, argv))
        return usage();
    r.config.on_acked = on_acked;
    r.config.context = &r;
    r.board = board_create(r.board_file, r.accounts, board_ring_for(r.accounts));
    r.pick = pick_create(r.accounts, r.zipf);
    if (!r.board || !r.pick) {
        fprintf(stderr, "bgw-feed: no memory for the board%s%s\n", r.board_file ? ", or no file " : "",
                r.board_file ? r.board_file : "");
        return 1;
    }
    struct feed *f = feed_open(&r.config, r.board);
    if (!f)
        return 1;
    struct sigaction end = {.sa_handler = on_signal};
    sigaction(SIGINT, &end, NULL);
    sigaction(SIGTERM, &end, NULL);
    int64_t start_ns = now_ns();
    run(&r, f, start_ns);
    double seconds = (double)(now_ns() - start_ns) / 1e9;
    bool all = feed_flush(f, FLUSH_MS) && feed_failed(f) == 0 && unsent(&r) == 0;
    report(&r, f, seconds);
    feed_close(f);
    pick_close(r.pick);
    board_close(r.board);
    return all ? 0 : 1;
}
