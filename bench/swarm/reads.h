/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reads: the read load of the swarm: HTTP/1.1 over kept connections, one request at a time on each,
 * at a set rate (open loop: a request's latency begins when it was due, not when a connection was
 * free for it) or as fast as answers come. One `struct load` a thread; nothing is shared but what is
 * read only. Every answer is checked against what the origin or the feed has said.
 */
#ifndef READS_H
#define READS_H

#include "hist.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define READS_STEPS_MAX 8
#define READS_THREADS_MAX 8
#define READS_ACCOUNTS_MAX 1000000 /* names have six digits */
#define LANE_BYTES 8192            /* an answer that is longer is a wrong one */
#define REQUEST_BYTES 2048

enum spread_kind { SPREAD_ONE, SPREAD_UNIFORM, SPREAD_ZIPF, SPREAD_DISTINCT };
enum cache_word { CACHE_HIT, CACHE_MISS, CACHE_STALE, CACHE_BYPASS, CACHE_COALESCED, CACHE_NONE, CACHE_WORDS };
enum source_word { FROM_STREAM, FROM_L1, FROM_CACHE, FROM_DATABASE, FROM_NONE, SOURCE_WORDS };

struct step {
    int rate, seconds; /* rate 0: as fast as answers come */
};

struct reads_options {
    const char *url, *token, *prefix;
    struct step steps[READS_STEPS_MAX];
    int step_count, connections, threads, keys, timeout_ms, period_ms, server_pid;
    uint32_t first; /* of distinct accounts */
    enum spread_kind spread;
};

struct seen { /* newest that this thread has been shown of an account */
    char epoch[12];
    uint64_t seq, read;
};

struct counts { /* of one step and thread */
    uint64_t asked, ok, status_503, status_404, status_other, broken, timeouts, unsent, reconnects;
    uint64_t wrong_values, wrong_accounts, regressions, futures, strange; /* strange: no answer that can be read */
    uint64_t epochs;                                                     /* answers of another epoch than the last */
    uint64_t cache[CACHE_WORDS], source[SOURCE_WORDS];
    int64_t began_ns, ended_ns;
    struct hist latency, service; /* from when it was due; from when it was sent */
    char refusal[40];             /* the code of one that was refused */
};

struct lane {
    int fd;
    bool busy, open;
    uint32_t account;
    int64_t due_ns, sent_ns;
    struct seen floor; /* what had been shown of the account when it was asked */
    size_t in_len, request_len, digits_at;
    struct lane *next_idle;
    char in[LANE_BYTES + 1], request[REQUEST_BYTES];
};

struct load {
    const struct reads_options *opt;
    const double *zipf; /* cumulative shares, opt->keys of them; NULL otherwise */
    struct lane *lanes, *idle, *idle_last;
    struct seen *seen;
    struct counts *now; /* of the step that runs */
    struct counts steps[READS_STEPS_MAX];
    int lane_count, epfd, index, busy;
    uint64_t random;
    uint32_t next_distinct;
};

/* one answer, borrowed from its lane's bytes */
struct response {
    int status;
    size_t total; /* bytes it takes */
    bool closes;
    enum cache_word cache;
    enum source_word source;
    const char *body;
    size_t body_len;
};

/* reads_lane.c */
bool lane_open(struct load *l, struct lane *at);
void lane_close(struct load *l, struct lane *at);
bool lane_ask(struct load *l, struct lane *at, int64_t due_ns); /* false: the connection is of no use */
void lane_readable(struct load *l, struct lane *at);
void lane_idle(struct load *l, struct lane *at);
/* reads_check.c */
enum parsed { PARSED_WHOLE, PARSED_PART, PARSED_NONSENSE };
enum parsed response_parse(const char *bytes, size_t len, struct response *out);
void response_check(struct load *l, const struct lane *at, const struct response *r);
/* reads_keys.c */
double *keys_zipf(int keys); /* shares of 1/rank, cumulative */
uint32_t keys_next(struct load *l);

#endif
