/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup with deliberate bugs (bgw/bugs.h), compiled into this program alone: the random histories must
 * catch each of them within its number of seeds, while the clean twin stays green over the same seeds.
 * Each runs in a child, so that an assertion is a catch too.
 */
#define BGW_SIM_BUGS
#include "read/lookup.c"
#include "read/lookup_origin.c"

#include "read/lookup_world.h"

#include <sys/wait.h>
#include <unistd.h>

const char *bgw_bug;

static bool caught(const char *bug, uint64_t seeds)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (bug && (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)))
            _exit(255);
        bgw_bug = bug;
        test_state_.failures = 0; /* of the ones before */
        for (uint64_t seed = 0; seed < seeds; seed++) {
            history(seed);
            if (test_state_.failures)
                break;
        }
        fflush(stdout);
        if (test_state_.failures)
            _exit(1);
        _exit(0);
    }
    waitpid(child, &status, 0);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

TEST(each_deliberate_bug_is_caught_and_the_clean_twin_is_not)
{
    static const struct {
        const char *name;
        uint64_t seeds; /* caught within so many */
    } bugs[] = {
        {"lookup_floor_ignored", 50},
        {"lookup_miss_wins", 50},
        {"lookup_takes_other_answers", 400},
        {"lookup_stores_what_was_invalidated", 200},
        {"lookup_stores_what_began_deaf", 200},
        {"lookup_believes_while_deaf", 50},
        {"lookup_keeps_locks", 50},
        {"lookup_failure_is_a_miss", 50},
        {"lookup_asks_no_lock", 200},
        {"lookup_waits_for_ever", 2000},
    };
    bgw_hash_init_fixed(1, 2);
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    for (size_t i = 0; i < sizeof(bugs) / sizeof(*bugs); i++)
        if (!caught(bugs[i].name, bugs[i].seeds))
            test_fail_(__FILE__, __LINE__, "%s is not caught", bugs[i].name);
    CHECK(!caught(NULL, 2000));
}
