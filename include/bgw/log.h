/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: one JSON object a line on stderr (pretty on a terminal). Each call site is rate-limited
 * (burst 20, then 1 a second, what was dropped is counted and told); a line is at most 4 KiB.
 * Fields are typed; tokens and payloads have no business here. Writing never blocks for long:
 * a full pipe drops and counts.
 */
#ifndef BGW_LOG_H
#define BGW_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum bgw_log_level { BGW_LOG_DEBUG, BGW_LOG_INFO, BGW_LOG_WARN, BGW_LOG_ERROR };

struct bgw_log_site { /* any thread: one static per call site, zero at the start */
    atomic_llong refill_ms;
    atomic_int spent; /* of the burst */
    atomic_uint dropped;
};

/* Looks at stderr and decides how to write to it; before this, lines are JSON. `pretty` < 0: decide
 * by isatty(stderr). */
void bgw_log_init(enum bgw_log_level level, int pretty);
void bgw_log_set_level(enum bgw_log_level level);
enum bgw_log_level bgw_log_level(void);
uint64_t bgw_log_dropped_total(void);

/*
 * BGW_LOG(BGW_LOG_WARN, "record_rejected", {"reason", LS("bad_json")}, {"offset", LI(12)});
 * `event` is a stable snake_case name. Values: LS(C string), LSL(slice), LI(int64), LB(bool).
 * At most 16 pairs.
 */
struct bgw_log_value {
    int kind; /* 0 string, 1 integer, 2 bool */
    const char *str;
    int64_t num; /* also the length of a string; -1: NUL-terminated */
};
#define LS(s) ((struct bgw_log_value){0, (s), -1})
#define LSL(sl) ((struct bgw_log_value){0, (sl).data, (int64_t)(sl).len})
#define LI(n) ((struct bgw_log_value){1, 0, (int64_t)(n)})
#define LB(b) ((struct bgw_log_value){2, 0, (b) ? 1 : 0})

struct bgw_log_pair {
    const char *name;
    struct bgw_log_value value;
};
void bgw_log_write(struct bgw_log_site *site, enum bgw_log_level level, const char *event,
                   const struct bgw_log_pair *pairs, int count);

/* BGW_LOG(BGW_LOG_INFO, "ready", {"pid", LI(1)}); pairs are made only if the level is on. */
#define BGW_LOG(level, event, ...)                                                                 \
    do {                                                                                           \
        static struct bgw_log_site site_;                                                          \
        if ((level) >= bgw_log_level()) {                                                          \
            const struct bgw_log_pair pairs_[] = {__VA_ARGS__};                                    \
            bgw_log_write(&site_, (level), (event), pairs_,                                        \
                          (int)(sizeof(pairs_) / sizeof(*pairs_)));                                \
        }                                                                                          \
    } while (0)

#endif
