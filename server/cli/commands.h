/* SPDX-License-Identifier: Apache-2.0 */
/* commands: what `bgw` can be told. A command is listed from the day it works. Private to server/cli. */
#ifndef BGW_CLI_COMMANDS_H
#define BGW_CLI_COMMANDS_H

#include "options.h"

extern const struct cli_command cli_serve, cli_project, cli_sub, cli_pub, cli_token, cli_config, cli_doctor, cli_version_command;

/* Loads the configuration for a tool (environment and file, no flags); tells the mistake. An enum bgw_exit. */
int cli_load_config(const struct cli_command *command, int argc, char **argv, char *const *env,
                    struct bgw_config *config);
/* Appends a compact token for the demo: everything may be read. For tools that were given --demo. */
BGW_MUST_CHECK enum bgw_status cli_demo_token(struct bgw_buf *out);

#endif
