/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process: what belongs to a process that serves as a whole: signals as a descriptor, log, descriptors, and how it says that it is
 * ready. For the gateway and the projector; main thread.
 */
#ifndef BGW_PROCESS_H
#define BGW_PROCESS_H

#include "bgw/buf.h"
#include "bgw/config.h"
#include "bgw/status.h"

/* Log, metrics, hash secret, signals, descriptors: before there is any other thread. */
void bgw_process_init(const struct bgw_config *config);
/* SIGTERM, SIGINT and SIGHUP as a descriptor that reads struct signalfd_siginfo; -1 if the system has none left. */
int bgw_process_signal_fd(void);
void bgw_process_set_log_level(const struct bgw_config *config);
size_t bgw_process_cores(void); /* that we may run on; 1 to BGW_SHARDS_MAX */

struct bgw_ready_facts { /* borrows; addresses as really bound */
    const char *listen;      /* NULL: it has no client port */
    const char *admin, *kafka;
    const char *demo_token; /* NULL outside the demo */
};

/* Removes what an earlier run left and makes sure that the file can be written. "" is no file. */
BGW_MUST_CHECK enum bgw_status bgw_ready_prepare(const char *path, struct bgw_buf *error);
/* One log line, the file (whole, by rename), and in the demo the box. */
BGW_MUST_CHECK enum bgw_status bgw_ready_announce(const char *path, const struct bgw_ready_facts *facts);

#endif
