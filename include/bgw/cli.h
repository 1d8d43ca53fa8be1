/* SPDX-License-Identifier: Apache-2.0 */
/* cli: the command line: argv to a command and its exit code. Main thread. */
#ifndef BGW_CLI_H
#define BGW_CLI_H

/* Returns an enum bgw_exit (bgw/gateway.h). What went wrong has been told on stderr. */
int bgw_cli_main(int argc, char **argv, char *const *env);

#endif
