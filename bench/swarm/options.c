/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options: the command line of a run. What contradicts itself or cannot be done is refused here, so
 * that nothing later has to ask. Called by main.c and, for one client, by the workers.
 */
#include "options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_FIRST = 256, O_PUBLISH, O_WATCH_ZIPF, O_PICK_ZIPF, O_WORKERS, O_SECONDS, O_SLOW, O_SLOW_BYTES, O_STORM,
       O_STORM_AT, O_CHURN, O_IDEMPOTENT, O_LINGER, O_WARM, O_HARVEST, O_GREET_ONLY };

static const struct option LONG_OPTIONS[] = {
    {"url", 1, 0, 'u'},          {"token", 1, 0, 't'},
    {"kafka", 1, 0, 'k'},        {"topic", 1, 0, 'T'},
    {"clients", 1, 0, 'c'},      {"accounts", 1, 0, 'a'},
    {"per-client", 1, 0, 'p'},   {"connect-per-s", 1, 0, 'C'},
    {"messages", 1, 0, 'm'},     {"burst", 1, 0, 'b'},
    {"rate", 1, 0, 'r'},         {"idle-ms", 1, 0, 'i'},
    {"timeout-s", 1, 0, 'o'},    {"server-pid", 1, 0, 'P'},
    {"raw", 0, 0, 'R'},          {"spread", 0, 0, 'S'},
    {"trigger", 1, 0, 'g'},      {"prefix", 1, 0, 'x'},
    {"tls", 0, 0, 'L'},          {"ca", 1, 0, 'A'},
    {"groups", 1, 0, 'G'},       {"dialect", 1, 0, 'D'},
    {"publish", 1, 0, O_PUBLISH}, {"watch-zipf", 1, 0, O_WATCH_ZIPF},
    {"pick-zipf", 1, 0, O_PICK_ZIPF}, {"workers", 1, 0, O_WORKERS},
    {"seconds", 1, 0, O_SECONDS}, {"slow-percent", 1, 0, O_SLOW},
    {"slow-bytes-per-s", 1, 0, O_SLOW_BYTES}, {"storm-percent", 1, 0, O_STORM},
    {"storm-at-s", 1, 0, O_STORM_AT}, {"churn-per-s", 1, 0, O_CHURN},
    {"idempotent", 0, 0, O_IDEMPOTENT}, {"linger-ms", 1, 0, O_LINGER},
    {"warm-ms", 1, 0, O_WARM},   {"harvest-us", 1, 0, O_HARVEST},
    {"greet-only", 0, 0, O_GREET_ONLY},
    {0, 0, 0, 0},
};

static const char USAGE[] =
    "usage: bgw-swarm --url HOST:PORT [--url …] --token T --publish kafka:HOST:PORT|trigger:PORT|nats:…|mqtt:…|nchan:…\n"
    "  [--kafka HOST:PORT | --raw --trigger PORT] [--topic T] [--idempotent] [--linger-ms N] [--prefix P] [--server-pid PID …]\n"
    "  --clients N --accounts N --per-client N --connect-per-s N [--watch-zipf S] [--pick-zipf S] [--workers N]\n"
    "  --messages N | --seconds S  [--burst N: lockstep | --rate N: open loop] [--spread] [--idle-ms N]\n"
    "  [--warm-ms N: of the feed, no part of the latencies] [--harvest-us N: between looks at the sockets] [--timeout-s N]\n"
    "  [--slow-percent P [--slow-bytes-per-s K]] [--storm-percent M --storm-at-s T] [--churn-per-s N]\n"
    "  [--greet-only: native, with --messages 0; nobody subscribes, whoever is greeted is live]\n"
    "  [--tls [--ca FILE] [--groups LIST]] [--dialect native|signalr|app|sse|raw|nats|mqtt|socketio|nchan|ws]\n"
    "or: bgw-swarm reads|cold|origin …, each with options of its own\n";

bool options_add_url(struct options *o, const char *url)
{
    const char *colon = strrchr(url, ':');
    char host[64];
    if (!colon || (size_t)(colon - url) >= sizeof(host) || o->url_count == SWARM_URLS_MAX)
        return false;
    memcpy(host, url, (size_t)(colon - url));
    host[colon - url] = 0;
    struct sockaddr_in *to = &o->addresses[o->url_count];
    *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    o->urls[o->url_count] = url;
    return inet_pton(AF_INET, host, &to->sin_addr) == 1 && ++o->url_count;
}

static bool add_pid(struct options *o, int pid)
{
    if (pid <= 0 || o->pid_count == SWARM_PIDS_MAX)
        return false;
    o->pids[o->pid_count++] = pid;
    return true;
}

static void publish_by(struct options *o, enum feed_sink sink, const char *address)
{
    o->feed.sink = sink;
    o->feed.address = address;
}

static bool take_word(struct options *o, int c, const char *value)
{
    switch (c) {
    case 'u': return options_add_url(o, value);
    case 't': o->token = value; return true;
    case 'k': publish_by(o, FEED_KAFKA, value); return true;
    case 'g': publish_by(o, FEED_TRIGGER, value); return true;
    case O_PUBLISH: return feed_parse_sink(value, &o->feed);
    case 'T': o->feed.topic = value; return true;
    case O_IDEMPOTENT: o->feed.idempotent = true; return true;
    case O_GREET_ONLY: o->greet_only = true; return true;
    case 'R': o->speech = &speech_raw; return true;
    case 'S': o->spread = true; return true;
    case 'x': o->prefix = value; return true;
    case 'L': o->tls = true; return true;
    case 'A': o->ca = value; return true;
    case 'G': o->groups = value; return true;
    case 'D': o->speech = speech_named(value); return o->speech != NULL;
    case 'P': return add_pid(o, atoi(value));
    default: return false;
    }
}

static bool take_number(struct options *o, int c, const char *value)
{
    switch (c) {
    case 'c': o->clients = atoi(value); return true;
    case O_LINGER: o->feed.linger_ms = atoi(value); return true;
    case O_WARM: o->warm_ms = atoi(value); return true;
    case O_HARVEST: o->harvest_us = atoi(value); return o->harvest_us >= 0 && o->harvest_us < 1000000;
    case 'a': o->accounts = atoi(value); return true;
    case 'p': o->per_client = atoi(value); return true;
    case 'C': o->connect_per_s = atoi(value); return true;
    case 'm': o->messages = atoi(value); return true;
    case 'b': o->burst = atoi(value); return true;
    case 'r': o->rate = atoi(value); return true;
    case 'i': o->idle_ms = atoi(value); return true;
    case 'o': o->timeout_s = atoi(value); return true;
    case O_WATCH_ZIPF: o->watch_zipf = atof(value); return true;
    case O_PICK_ZIPF: o->pick_zipf = atof(value); return true;
    case O_WORKERS: o->workers = atoi(value); return true;
    case O_SECONDS: o->seconds = atoi(value); return true;
    case O_SLOW: o->slow_percent = atof(value); return true;
    case O_SLOW_BYTES: o->slow_bytes_per_s = atoi(value); return true;
    case O_STORM: o->storm_percent = atof(value); return true;
    case O_STORM_AT: o->storm_at_s = atof(value); return true;
    case O_CHURN: o->churn_per_s = atof(value); return true;
    default: return false;
    }
}

/* NULL, or what is wrong. */
static const char *complaint(const struct options *o)
{
    if (!o->url_count)
        return "--url is missing";
    if (!o->feed.address)
        return "--publish (or --kafka, or --trigger) is missing";
    if (o->clients <= 0 || o->accounts <= 0 || o->per_client <= 0 || o->per_client > o->accounts || o->connect_per_s <= 0)
        return "--clients, --accounts, --per-client (not above --accounts) and --connect-per-s are above 0";
    if (o->messages < 0 || o->seconds < 0 || o->burst <= 0 || o->rate < 0)
        return "--messages, --seconds, --burst and --rate are not below 0";
    if (o->slow_percent < 0 || o->slow_percent > 100 || o->slow_bytes_per_s < 0 || o->storm_percent < 0 || o->storm_percent > 100)
        return "--slow-percent and --storm-percent go from 0 to 100";
    if (o->storm_percent > 0 && o->seconds && o->storm_at_s >= o->seconds)
        return "--storm-at-s is before the end of --seconds";
    if (o->greet_only && (o->speech != &speech_native || o->messages || o->seconds))
        return "--greet-only is of the native dialect, with --messages 0: who has not subscribed is told nothing";
    if (o->workers < 1 || o->workers > SWARM_WORKERS_MAX || o->workers > o->clients)
        return "--workers goes from 1 to 64, not above --clients";
    if ((o->clients + o->workers - 1) / o->workers > SWARM_WORKER_CLIENTS_MAX)
        return "a worker holds at most 18,000 clients: more --workers";
    return NULL;
}

bool options_parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){.token = "", .prefix = "bench:", .clients = 100, .accounts = 1, .per_client = 1,
                          .connect_per_s = 5000, .messages = 100, .burst = 1, .timeout_s = 60, .speech = &speech_native,
                          .feed = {.sink = FEED_KAFKA, .topic = "balance-updates"}};
    const char *wrong = NULL;
    for (int c; !wrong && (c = getopt_long(argc, argv, "", LONG_OPTIONS, NULL)) != -1;)
        if (!take_word(o, c, optarg) && !take_number(o, c, optarg))
            wrong = c == '?' ? "an option that is not known" : optarg ? optarg : "an option";
    if (!wrong && optind < argc)
        wrong = argv[optind];
    if (!o->workers)
        o->workers = (o->clients + SWARM_WORKER_CLIENTS_MAX - 1) / SWARM_WORKER_CLIENTS_MAX;
    o->feed.prefix = o->prefix;
    if (!wrong)
        wrong = complaint(o);
    if (wrong)
        fprintf(stderr, "swarm: %s\n%s", wrong, USAGE);
    return !wrong;
}

/* 0 to 9,999, unlike the client's number: which are slow must not follow from what they watch. */
static unsigned lot(int client, uint64_t draw)
{
    uint64_t x = ((uint64_t)client + 1) * 0x9e3779b97f4a7c15ull + draw * 0xbf58476d1ce4e5b9ull;
    x ^= x >> 31;
    x *= 0x94d049bb133111ebull;
    return (unsigned)((x >> 33) % 10000);
}

bool options_slow(const struct options *o, int client)
{
    return o->slow_percent > 0 && lot(client, 1) < o->slow_percent * 100;
}

bool options_cut(const struct options *o, int client)
{
    return lot(client, 2) < o->storm_percent * 100;
}

int options_first_account(const struct options *o, const struct pick *watch, int client)
{
    if (watch)
        return pick_account(watch, (uint64_t)client);
    return (int)((int64_t)client * o->per_client % o->accounts);
}
