/* SPDX-License-Identifier: Apache-2.0 */
/* main: argv to a command. Everything else is in the rooms. */
#include "bgw/cli.h"

#include <unistd.h>

int main(int argc, char **argv)
{
    return bgw_cli_main(argc, argv, environ);
}
