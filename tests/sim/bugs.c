/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bugs: shows that the simulator can fail. Built with BGW_SIM_BUGS, the rooms carry deliberate bugs
 * that a name switches on; each must be caught within its number of seeds, while the clean twin
 * stays green over the same seeds. Each bug runs in a child, so that an assertion is a catch too.
 */
#include "sim.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef BGW_SIM_BUGS

const char *bgw_bug;

static const struct bug {
    const char *name;
    uint64_t seeds; /* caught within so many */
} BUGS[] = {
    {"version_check_off", 50},
    {"generation_ignored", 400},
    {"tombstone_revived_by_older", 200},
    {"records_not_counted", 50},
    {"relay_fold_keeps_old_state", 200},
    {"stale_never_told", 50},
    {"epoch_not_restamped", 200},
    {"floor_ignored", 400},
    {"grant_checked_only_at_subscribe", 100},
    {"dirty_mark_lost", 100},
    {"digest_wrong_set", 200},
    {"live_before_snapshots", 100},
    {"watermark_ignores_pending", 100},
    {"merge_not_counted", 50},
    {"expiry_only_at_subscribe", 200},
    {"presented_version_ignored", 200},
    {"current_without_equal_version", 50},
    {"resume_other_subject_accepted", 2500},
    {"unwatch_forgets_others", 200},
    {"state_change_not_told", 50},
    {"repair_skips", 400},
    {"revocation_only_at_commands", 100},
    {"revocation_waits_for_the_walk", 1500},
    {"revocation_spares_the_idle", 100},
    {"refresh_forgets_revoked_accounts", 200},
    {"revoked_token_accepted", 100},
    {"blind_snapshot_without_barrier", 100},
    {"blind_label_forgotten", 400},
    {"barrier_of_before_is_taken", 1000},
    {"read_ignores_sequenced", 200},
    {"read_ignores_floor", 50},
    {"read_proves_nothing", 100},
    {"unwatch_forgets_readers", 100},
    {"source_forgotten", 50},
    {"deaf_not_told", 200},
    {"read_never_ages", 200},
    {"deaf_never_stale", 200},
    {"trouble_never_ages", 200},
    {"old_is_answered", 100},
    {"sweep_off", 50},
    {"channel_not_revalidated", 200},
    {"ask_not_asked", 100},
    {"read_asks_nobody", 100},
    {"errors_are_kept", 1500},
};

/* 0: stayed green; the seed that caught it otherwise (0 cannot be a seed). */
static uint64_t caught_at(const char *name, uint64_t seeds)
{
    int pipe_fds[2];
    uint64_t at = 0, seen = 0;
    if (pipe(pipe_fds) != 0)
        return 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char failure[512];
        bgw_bug = name;
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        for (uint64_t s = 1; s <= seeds; s++) {
            if (write(pipe_fds[1], &s, sizeof(s)) != (ssize_t)sizeof(s))
                _exit(2);
            if (!sim_run_seed(s, false, failure, sizeof(failure))) {
                printf("    seed %llu: %s\n", (unsigned long long)s, failure);
                fflush(stdout);
                _exit(1);
            }
        }
        _exit(0);
    }
    close(pipe_fds[1]);
    while (read(pipe_fds[0], &at, sizeof(at)) == (ssize_t)sizeof(at))
        seen = at;
    close(pipe_fds[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        printf("    seed %llu: an assertion\n", (unsigned long long)seen);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : seen;
}

bool bugs_switch_on(const char *name)
{
    for (size_t i = 0; i < sizeof(BUGS) / sizeof(*BUGS); i++)
        if (strcmp(BUGS[i].name, name) == 0)
            bgw_bug = BUGS[i].name;
    return bgw_bug != NULL;
}

int bugs_catch_all(void)
{
    int passed = 0, failed = 0;
    uint64_t most = 0;
    for (size_t i = 0; i < sizeof(BUGS) / sizeof(*BUGS); i++) {
        uint64_t at = caught_at(BUGS[i].name, BUGS[i].seeds);
        printf("%s %s: %s within %llu seeds\n", at ? "ok" : "not ok", BUGS[i].name, at ? "caught" : "NOT caught",
               (unsigned long long)BUGS[i].seeds);
        at ? passed++ : failed++;
        most = BUGS[i].seeds > most ? BUGS[i].seeds : most;
    }
    uint64_t twin = caught_at(NULL, most);
    printf("%s the clean twin stays green over %llu seeds\n", twin ? "not ok" : "ok", (unsigned long long)most);
    twin ? failed++ : passed++;
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}

#else

bool bugs_switch_on(const char *name)
{
    (void)name;
    return false;
}

int bugs_catch_all(void)
{
    printf("this build carries no bugs: use bgw-sim-bugs\n0 passed, 1 failed\n");
    return 1;
}

#endif
