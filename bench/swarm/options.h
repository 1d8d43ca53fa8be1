/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options: what a run of the swarm is asked to do, and what follows from it for one client: which are
 * slow, which a storm cuts. Read once, before anything is started; never changed afterwards.
 */
#ifndef SWARM_OPTIONS_H
#define SWARM_OPTIONS_H

#include "../feed/feed.h"
#include "speech.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define SWARM_URLS_MAX 64
#define SWARM_PIDS_MAX 64
#define SWARM_WORKERS_MAX 64
#define SWARM_WORKER_CLIENTS_MAX 18000 /* below the 20,000 descriptors that a process may have */

struct options {
    const char *urls[SWARM_URLS_MAX]; /* host:port; a client that loses one moves to the next */
    struct sockaddr_in addresses[SWARM_URLS_MAX];
    int url_count;
    int pids[SWARM_PIDS_MAX], pid_count;
    const char *token, *prefix;
    const char *ca, *groups; /* TLS: trust and key exchange; NULL: any, the library's */
    struct feed_config feed;
    const struct speech *speech;
    int clients, accounts, per_client, connect_per_s, workers;
    int messages, seconds, burst, rate, idle_ms, warm_ms, harvest_us, timeout_s;
    double watch_zipf, pick_zipf;
    double slow_percent, storm_percent, storm_at_s, churn_per_s;
    int slow_bytes_per_s; /* 0: reads nothing after it is live */
    bool tls, spread;     /* spread: clients join during the feed */
    bool hold;            /* whoever is greeted does not subscribe yet */
    bool greet_only;      /* whoever is greeted is live and never subscribes */
};

bool options_parse(struct options *o, int argc, char **argv); /* false: the usage is on stderr */
bool options_add_url(struct options *o, const char *url);     /* false: not HOST:PORT, or too many */
bool options_slow(const struct options *o, int client);
bool options_cut(const struct options *o, int client); /* by the storm */
/* The first account of a client; `watch` is NULL unless they are drawn by Zipf's law. */
int options_first_account(const struct options *o, const struct pick *watch, int client);

#endif
