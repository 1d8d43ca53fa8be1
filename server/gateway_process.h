/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_process: what belongs to the process as a whole. Private to the gateway; main thread. */
#ifndef BGW_GATEWAY_PROCESS_H
#define BGW_GATEWAY_PROCESS_H

#include "bgw/config.h"

/* Log, metrics, hash secret, signals, descriptors: before there is any other thread. */
void bgw_process_init(const struct bgw_config *config);
/* SIGTERM, SIGINT and SIGHUP as a descriptor that reads struct signalfd_siginfo; -1 if the system has none left. */
int bgw_process_signal_fd(void);
void bgw_process_set_log_level(const struct bgw_config *config);
size_t bgw_process_cores(void); /* that we may run on; 1 to BGW_SHARDS_MAX */

#endif
