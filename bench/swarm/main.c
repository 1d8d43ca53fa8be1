/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main: chooses the mode, and for the sockets: options, run, report. Exit status 0: complete and
 * nothing wrong; 1: not; 2: usage; 3: a worker crashed; 4: it could not begin.
 */
#include "modes.h"
#include "run.h"
#include "swarm.h"

#include "bgw/hash.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* As many descriptors as this process may have. */
static void raise_files(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* Another mode's exit status, or -1: the sockets are asked for. */
static int other_mode(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*main)(int argc, char **argv);
    } modes[] = {{"reads", reads_main}, {"cold", cold_main}, {"origin", origin_main}};
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
        if (argc > 1 && strcmp(argv[1], modes[i].name) == 0)
            return modes[i].main(argc - 1, argv + 1);
    return -1;
}

int main(int argc, char **argv)
{
    static struct run run;
    raise_files();
    bgw_hash_init();
    int status = other_mode(argc, argv);
    if (status >= 0)
        return status;
    if (!options_parse(&run.opt, argc, argv))
        return 2;
    if (!link_setup(&run.opt)) {
        fprintf(stderr, "swarm: TLS cannot be set up\n");
        return 4;
    }
    status = run_all(&run);
    if (status)
        return status;
    run_report(&run);
    feed_close(run.feed);
    board_close(run.board);
    return run_right(&run) ? 0 : 1;
}
