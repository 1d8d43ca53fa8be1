/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cold: `bgw-swarm cold`: connects and greets N native clients, says so, waits for a line on stdin (so
 * that several of these, each with a descriptor table of its own, let go at one moment), then all
 * subscribe to one account that nobody has asked for. Says how many got a value that the stub origin
 * says, and how long each waited. Bounded by --timeout-s, the wait for the line too.
 */
#include "hist.h"
#include "modes.h"
#include "swarm.h"

#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct option COLD_OPTIONS[] = {
    {"url", 1, 0, 'u'},           {"token", 1, 0, 't'},     {"prefix", 1, 0, 'x'}, {"clients", 1, 0, 'c'},
    {"connect-per-s", 1, 0, 'C'}, {"timeout-s", 1, 0, 'o'}, {0, 0, 0, 0},
};

static bool parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){.prefix = "cold:", .token = "", .speech = &speech_native, .workers = 1, .clients = 100, .accounts = 1, .per_client = 1,
                          .connect_per_s = 5000, .timeout_s = 120, .hold = true};
    for (int c; (c = getopt_long(argc, argv, "", COLD_OPTIONS, NULL)) != -1;) {
        switch (c) {
        case 'u': if (!options_add_url(o, optarg)) return false; break;
        case 't': o->token = optarg; break;
        case 'x': o->prefix = optarg; break;
        case 'c': o->clients = atoi(optarg); break;
        case 'C': o->connect_per_s = atoi(optarg); break;
        case 'o': o->timeout_s = atoi(optarg); break;
        default: return false;
        }
    }
    return o->url_count && o->clients > 0 && o->connect_per_s > 0;
}

static bool all_greeted(struct swarm *s, int64_t deadline_ns)
{
    int64_t began = probe_mono_ns();
    for (int opened = 0; s->greeted < s->opt.clients;) {
        int64_t now = probe_mono_ns(), due = ((now - began) / 1000000 + 1) * s->opt.connect_per_s / 1000;
        for (; opened < s->opt.clients && opened < due; opened++)
            swarm_connect(s, &s->clients[opened]);
        swarm_turn(s, 1);
        swarm_reconnect_due(s);
        if (now > deadline_ns)
            return false;
    }
    return true;
}

static bool line_came(int64_t deadline_ns)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    int64_t left_ms = (deadline_ns - probe_mono_ns()) / 1000000;
    char line[64];
    return left_ms > 0 && poll(&p, 1, (int)left_ms) == 1 && read(STDIN_FILENO, line, sizeof(line)) > 0;
}

static int count_have(struct swarm *s)
{
    int have = 0;
    for (int i = 0; i < s->opt.clients; i++)
        have += swarm_slot(s, &s->clients[i], 0)->has;
    return have;
}

static bool all_have(struct swarm *s, int64_t deadline_ns)
{
    while (count_have(s) < s->opt.clients) {
        swarm_turn(s, 5);
        swarm_reconnect_due(s);
        if (probe_mono_ns() > deadline_ns)
            return false;
    }
    return true;
}

int cold_main(int argc, char **argv)
{
    static struct hist first;
    static struct results results;
    static struct swarm s = {.r = &results};
    if (!parse(&s.opt, argc, argv)) {
        fprintf(stderr, "usage: bgw-swarm cold --url HOST:PORT --token T --clients N [--prefix P] [--connect-per-s N] [--timeout-s N]\n");
        return 2;
    }
    int64_t deadline = probe_mono_ns() + (int64_t)s.opt.timeout_s * 1000000000;
    s.count = s.opt.clients;
    if (!swarm_prepare(&s, NULL))
        return 4;
    if (!all_greeted(&s, deadline)) {
        fprintf(stderr, "swarm: %d of %d clients were greeted\n", s.greeted, s.opt.clients);
        return 4;
    }
    printf("{\"armed\":%d}\n", s.greeted);
    fflush(stdout);
    if (!line_came(deadline))
        return 4;
    s.opt.hold = false; /* who comes back from here on does not wait */
    s.first_value = &first;
    s.released_ns = probe_mono_ns();
    for (int i = 0; i < s.opt.clients; i++)
        if (s.clients[i].state == CLIENT_OPEN)
            swarm_subscribe(&s, &s.clients[i]);
    int64_t asked_ns = probe_mono_ns();
    bool ok = all_have(&s, deadline);
    struct sums sums = results_sum(&results, 1);
    uint64_t wrong = results_wrong(&sums);
    printf("{\"completed\":%s,\"clients\":%d,\"have\":%d,\"wrong\":%llu,\"disconnects\":%llu,\"asking_ms\":%.1f,\"all_ms\":%.1f,",
           ok ? "true" : "false", s.opt.clients, count_have(&s), (unsigned long long)wrong, (unsigned long long)sums.disconnects,
           (double)(asked_ns - s.released_ns) / 1e6, (double)(probe_mono_ns() - s.released_ns) / 1e6);
    hist_print("first_us", &first);
    printf("}\n");
    return ok && wrong == 0 ? 0 : 1;
}
