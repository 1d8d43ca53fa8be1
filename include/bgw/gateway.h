/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway: the composition root. Builds every part in order, joins them, and stops them in reverse.
 * The one place that knows all rooms.
 */
#ifndef BGW_GATEWAY_H
#define BGW_GATEWAY_H

#include "bgw/config.h"

/* The public key of `--demo`: a gateway outside the demo refuses to start with it. */
#define BGW_DEMO_SECRET "balance-gateway-demo-secret-everybody-knows-it"

/* exit codes of the command line */
enum bgw_exit {
    BGW_EXIT_OK,
    BGW_EXIT_FAILED,
    BGW_EXIT_USAGE,
    BGW_EXIT_CONFIG,
    BGW_EXIT_UNREACHABLE, /* a dependency */
};

/* how the configuration was read, so that a reload can read it again; borrowed */
struct bgw_gateway_args {
    int argc;
    char **argv;
    char *const *env;
};

/* Serves until a signal ends it. Main thread, with no other thread running. Returns an enum bgw_exit; what went
 * wrong has been told on stderr. */
int bgw_gateway_run(const struct bgw_config *config, const struct bgw_gateway_args *args);

const char *bgw_version(void);

#endif
