/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_process: hides the system's side of being a server: signals are blocked in every thread
 * (they are inherited) and arrive on one descriptor, a closed peer is an error code and no signal,
 * and all descriptors that the system grants may be used. Main thread, before any other.
 */
#include "gateway_process.h"

#include "bgw/hash.h"
#include "bgw/log.h"
#include "bgw/metrics.h"
#include "bgw/reserve.h"
#include "bgw/types.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#define MEMORY_RESERVE_BYTES ((size_t)16 << 20) /* address space, not memory: many times what a turn may need */

static sigset_t our_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

int bgw_process_signal_fd(void)
{
    sigset_t set = our_signals();
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

size_t bgw_process_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > BGW_SHARDS_MAX ? BGW_SHARDS_MAX : (size_t)n;
}

/* Sockets are what we are for: all that the system grants. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum bgw_log_level level_of(const struct bgw_config *config)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    for (int i = 0; i < 4; i++)
        if (strcmp(config->log_level, levels[i]) == 0)
            return (enum bgw_log_level)i;
    return BGW_LOG_INFO;
}

void bgw_process_set_log_level(const struct bgw_config *config)
{
    bgw_log_set_level(level_of(config));
}

static void init_log(const struct bgw_config *config)
{
    int pretty = -1;
    if (strcmp(config->log_format, "pretty") == 0)
        pretty = 1;
    else if (strcmp(config->log_format, "json") == 0)
        pretty = 0;
    bgw_log_init(level_of(config), pretty);
}

void bgw_process_init(const struct bgw_config *config)
{
    sigset_t set = our_signals();
    init_log(config);
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_hash_init();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* both are told by errno as well: a peer that is gone, */
    signal(SIGXFSZ, SIG_IGN); /* a log at the size that LimitFSIZE allows */
    bgw_reserve_init(MEMORY_RESERVE_BYTES);
    raise_descriptor_limit();
}
