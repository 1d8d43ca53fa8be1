/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: which lines are written, and how they reach stderr without ever stopping the caller. Hides
 * the rate limit of each site and the kinds of stderr; called on any thread. Invariant: a line is
 * written in one call, and what is not written, or not whole because a disk is full, is counted.
 */
#include "bgw/log.h"

#include "bgw/assert.h"
#include "bgw/clock.h"
#include "bgw/metrics.h"
#include "log_line.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BURST 20
#define REFILL_MS 1000 /* one line of a site's burst comes back in this time */

enum sink_kind { SINK_POLLED, SINK_NONBLOCKING, SINK_SOCKET };

static struct {
    int fd;
    enum sink_kind kind;
    bool pretty, colour;
} sink = {.fd = STDERR_FILENO}; /* any thread: immutable after bgw_log_init */

static atomic_int level_min = BGW_LOG_INFO;
static atomic_bool torn; /* a full disk took a part of a line: the next begins on a line of its own */
static atomic_ullong dropped_total;

/*
 * A pipe is opened anew, so that it can be non-blocking for us alone: the flag on descriptor 2
 * itself would reach every process that shares it. Where that is refused, or for a terminal or a
 * file, a poll before the write has to do.
 */
static void choose_sink(void)
{
    struct stat st;
    if (sink.fd != STDERR_FILENO)
        close(sink.fd);
    sink.fd = STDERR_FILENO;
    sink.kind = SINK_POLLED;
    if (fstat(STDERR_FILENO, &st) != 0)
        return;
    if (S_ISSOCK(st.st_mode)) {
        sink.kind = SINK_SOCKET;
    } else if (S_ISFIFO(st.st_mode)) {
        int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
            return;
        sink.fd = fd;
        sink.kind = SINK_NONBLOCKING;
    }
}

void bgw_log_init(enum bgw_log_level level, int pretty)
{
    bool terminal = isatty(STDERR_FILENO) == 1;
    bgw_log_set_level(level);
    choose_sink();
    sink.pretty = pretty < 0 ? terminal : pretty > 0;
    sink.colour = terminal && !getenv("NO_COLOR");
}

void bgw_log_set_level(enum bgw_log_level level)
{
    BGW_ASSERT(level >= BGW_LOG_DEBUG && level <= BGW_LOG_ERROR);
    atomic_store_explicit(&level_min, (int)level, memory_order_relaxed);
}

enum bgw_log_level bgw_log_level(void)
{
    return (enum bgw_log_level)atomic_load_explicit(&level_min, memory_order_relaxed);
}

uint64_t bgw_log_dropped_total(void)
{
    return atomic_load_explicit(&dropped_total, memory_order_relaxed);
}

static void count_drop(struct bgw_log_site *site, unsigned lines)
{
    atomic_fetch_add_explicit(&site->dropped, lines, memory_order_relaxed);
    atomic_fetch_add_explicit(&dropped_total, 1, memory_order_relaxed);
    bgw_metric_add(BGW_M_LOG_DROPPED, 1);
}

/* Gives back what the time since the last refill has earned. One thread wins the exchange and does
 * it. */
static void refill(struct bgw_log_site *site, int64_t now_ms)
{
    long long last = atomic_load_explicit(&site->refill_ms, memory_order_relaxed);
    long long earned = (now_ms - last) / REFILL_MS;
    if (earned <= 0)
        return;
    long long next = earned >= BURST ? now_ms : last + earned * REFILL_MS;
    if (!atomic_compare_exchange_strong_explicit(&site->refill_ms, &last, next,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    int spent = atomic_load_explicit(&site->spent, memory_order_relaxed), left;
    do {
        left = earned >= spent ? 0 : spent - (int)earned;
    } while (!atomic_compare_exchange_weak_explicit(&site->spent, &spent, left,
                                                    memory_order_relaxed, memory_order_relaxed));
}

static bool site_may_write(struct bgw_log_site *site, int64_t now_ms)
{
    refill(site, now_ms);
    if (atomic_fetch_add_explicit(&site->spent, 1, memory_order_relaxed) < BURST)
        return true;
    atomic_fetch_sub_explicit(&site->spent, 1, memory_order_relaxed);
    return false;
}

static ssize_t sink_send(const char *data, size_t len)
{
    ssize_t n;
    do {
        n = sink.kind == SINK_SOCKET ? send(sink.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                                     : write(sink.fd, data, len);
    } while (n < 0 && errno == EINTR);
    return n;
}

static bool sink_write(const struct bgw_log_line *line)
{
    if (sink.kind == SINK_POLLED) {
        struct pollfd p = {.fd = sink.fd, .events = POLLOUT};
        if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
            return false;
    }
    if (atomic_exchange_explicit(&torn, false, memory_order_relaxed) && sink_send("\n", 1) != 1) {
        atomic_store_explicit(&torn, true, memory_order_relaxed);
        return false;
    }
    ssize_t n = sink_send(line->data, line->len);
    if (n > 0 && n < (ssize_t)line->len)
        atomic_store_explicit(&torn, true, memory_order_relaxed);
    return n == (ssize_t)line->len;
}

void bgw_log_write(struct bgw_log_site *site, enum bgw_log_level level, const char *event,
                   const struct bgw_log_pair *pairs, int count)
{
    struct bgw_log_line line;
    int saved_errno = errno; /* callers log first and look at errno afterwards */
    if (level < bgw_log_level())
        return;
    struct bgw_now now = bgw_clock_now();
    if (!site_may_write(site, now.mono_ms)) {
        count_drop(site, 1);
        return;
    }
    struct bgw_log_entry entry = {
        .wall_ms = now.wall_ms,
        .level = level,
        .event = event,
        .pairs = pairs,
        .count = count < BGW_LOG_PAIRS_MAX ? count : BGW_LOG_PAIRS_MAX,
        .dropped = atomic_exchange_explicit(&site->dropped, 0, memory_order_relaxed),
        .colour = sink.colour,
    };
    if (sink.pretty)
        bgw_log_line_pretty(&line, &entry);
    else
        bgw_log_line_json(&line, &entry);
    if (!sink_write(&line))
        count_drop(site, entry.dropped + 1);
    errno = saved_errno;
}
