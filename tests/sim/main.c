/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main: runs seeds, prints how often each fault fired and each invariant was checked, and for a
 * failing seed the one command that replays it.
 */
#include "sim.h"

#include "bgw/log.h"
#include "bgw/metrics.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define WHOLE_RUN 200 /* from so many seeds on, every fault must have fired and every invariant been checked */

static const char *const FAULT_NAMES[] = {
#define X(name) #name,
    SIM_FAULTS(X)
#undef X
};
static const char *const CHECK_NAMES[] = {
#define X(name) #name,
    SIM_CHECKS(X)
#undef X
};

static int print_counts(const char *title, const char *const *names, const uint64_t *counts, int n)
{
    int zeros = 0;
    printf("%s:\n", title);
    for (int i = 0; i < n; i++) {
        printf("  %-24s %llu\n", names[i], (unsigned long long)counts[i]);
        zeros += counts[i] == 0;
    }
    return zeros;
}

static volatile uint64_t seed_now;

/* An assertion of the code under test: say which seed it was, then die as it wanted. */
static void on_abort(int signo)
{
    (void)signo;
    printf("seed %llu failed: an assertion (above)\nreplay: bgw-sim --first %llu --seeds 1 --verbose\n"
           "0 passed, 1 failed\n", (unsigned long long)seed_now, (unsigned long long)seed_now);
    fflush(stdout);
    signal(SIGABRT, SIG_DFL);
}

static int run(uint64_t first, uint64_t seeds, bool verbose)
{
    char failure[512] = "";
    uint64_t passed = 0, failed = 0;
    for (uint64_t s = first; s < first + seeds && failed == 0; s++) {
        seed_now = s;
        if (sim_run_seed(s, verbose, failure, sizeof(failure))) {
            passed++;
        } else {
            failed++;
            printf("seed %llu failed: %s\nreplay: bgw-sim --first %llu --seeds 1 --verbose\n", (unsigned long long)s,
                   failure, (unsigned long long)s);
        }
    }
    int zeros = print_counts("faults fired", FAULT_NAMES, sim_faults, FAULT_COUNT);
    zeros += print_counts("invariants checked", CHECK_NAMES, sim_checks, CHECKED_COUNT);
    if (seeds >= WHOLE_RUN && failed == 0 && zeros) {
        printf("%d of these never happened: the run shows less than it says\n", zeros);
        failed++;
    }
    printf("%llu passed, %llu failed\n", (unsigned long long)passed, (unsigned long long)failed);
    fflush(stdout);
    if (failed)
        _exit(1); /* a failed world is left as it is, which a leak check would only talk over */
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t first = 1, seeds = 200;
    bool verbose = false;
    setvbuf(stdout, NULL, _IOLBF, 0);
    bgw_log_init(BGW_LOG_ERROR, 0);
    bgw_metrics_init();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
            seeds = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--first") == 0 && i + 1 < argc)
            first = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--verbose") == 0)
            verbose = true;
        else if (strcmp(argv[i], "--catch-all") == 0)
            return bugs_catch_all();
        else if (strcmp(argv[i], "--bug") == 0 && i + 1 < argc && bugs_switch_on(argv[i + 1]))
            i++;
        else {
            fprintf(stderr, "usage: %s [--first SEED] [--seeds N] [--verbose] | --catch-all | --bug NAME (bgw-sim-bugs)\n", argv[0]);
            return 2;
        }
    }
    signal(SIGABRT, on_abort);
    return run(first, seeds, verbose);
}
