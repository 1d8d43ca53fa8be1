/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_line: one log line in a fixed buffer. Between log.c, which decides whether and where to
 * write, and log_line.c, which knows the two formats. Pure; any thread.
 */
#ifndef BGW_LOG_LINE_H
#define BGW_LOG_LINE_H

#include "bgw/log.h"

#include <stddef.h>

/* PIPE_BUF: a write of this much to a pipe is whole or not at all. */
#define BGW_LOG_LINE_MAX 4096
#define BGW_LOG_PAIRS_MAX 16

/* one call's */
struct bgw_log_line {
    char data[BGW_LOG_LINE_MAX];
    size_t len;
};

/* one call's: everything a line is made of */
struct bgw_log_entry {
    int64_t wall_ms;
    enum bgw_log_level level;
    const char *event;
    const struct bgw_log_pair *pairs;
    int count;
    unsigned dropped; /* lines of this site that were not written since the last one; 0: not said */
    bool colour;
};

/* With the newline. A pair that does not fit is left out and the line says truncated. */
void bgw_log_line_json(struct bgw_log_line *line, const struct bgw_log_entry *e);
void bgw_log_line_pretty(struct bgw_log_line *line, const struct bgw_log_entry *e);

#endif
