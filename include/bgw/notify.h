/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify: tells systemd how we are (Type=notify, WatchdogSec=). Hides the datagram socket. Without
 * NOTIFY_SOCKET every call does nothing. Main thread only.
 */
#ifndef BGW_NOTIFY_H
#define BGW_NOTIFY_H

#include "bgw/clock.h"

#include <stdbool.h>
#include <stdint.h>

struct bgw_notify {
    int fd;              /* -1: nobody listens */
    int64_t watchdog_ms; /* how often to say that we live: half of what was asked; 0: not asked */
};

void bgw_notify_open(struct bgw_notify *n); /* reads NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID */
void bgw_notify_ready(const struct bgw_notify *n, const char *status);
void bgw_notify_reloading(const struct bgw_notify *n); /* with MONOTONIC_USEC; bgw_notify_ready ends it */
void bgw_notify_stopping(const struct bgw_notify *n, const char *status);
void bgw_notify_alive(const struct bgw_notify *n);
void bgw_notify_close(struct bgw_notify *n);

#endif
