/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fleet: forks the workers. Each has a descriptor table of its own, which is why they are processes;
 * they share nothing that is written but their results. They die with the coordinator, whatever ends it.
 */
#include "fleet.h"
#include "swarm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define OTHER_DESCRIPTORS 32
#define END_WAIT_S 600 /* a million sockets take minutes to close */

/* Where worker `i` of `n` begins. */
static int begins(const struct options *o, int i)
{
    return (int)((int64_t)o->clients * i / o->workers);
}

static void be_worker(struct fleet *f, const struct options *o, struct board *board, const struct pick *watch, int i)
{
    static struct swarm s;
    s = (struct swarm){.opt = *o, .board = board, .r = &f->results[i], .control = f->control, .index = i,
                       .first = begins(o, i), .count = begins(o, i + 1) - begins(o, i)};
    if (!swarm_prepare(&s, watch)) {
        fprintf(stderr, "swarm: worker %d: no memory for %d clients\n", i, s.count);
        exit(4);
    }
    worker_run(&s);
    _exit(0);
}

static bool start_one(struct fleet *f, const struct options *o, struct board *board, const struct pick *watch, int i)
{
    pid_t coordinator = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        perror("swarm: fork");
        return false;
    }
    if (pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != coordinator)
            _exit(4);
        be_worker(f, o, board, watch, i);
    }
    f->pids[f->count++] = pid;
    return true;
}

static bool enough_descriptors(const struct options *o)
{
    struct rlimit files;
    int wanted = (o->clients + o->workers - 1) / o->workers + OTHER_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur < (rlim_t)wanted) {
        fprintf(stderr, "swarm: %d descriptors are needed a worker, %llu allowed: more --workers\n", wanted,
                (unsigned long long)files.rlim_cur);
        return false;
    }
    return true;
}

bool fleet_start(struct fleet *f, const struct options *o, struct board *board)
{
    *f = (struct fleet){.results = results_shared(sizeof(*f->results) * (unsigned long)o->workers),
                        .control = results_shared(sizeof(*f->control)),
                        .warm_ns = (int64_t)o->warm_ms * 1000000};
    if (!f->results || !f->control) {
        fprintf(stderr, "swarm: no memory for the results\n");
        return false;
    }
    if (!enough_descriptors(o))
        return false;
    struct pick *watch = o->watch_zipf > 0 ? pick_create(o->accounts, o->watch_zipf) : NULL;
    bool ok = o->watch_zipf <= 0 || watch;
    for (int i = 0; ok && i < o->workers; i++)
        ok = start_one(f, o, board, watch, i);
    if (watch)
        pick_close(watch);
    return ok;
}

static int index_of(const struct fleet *f, pid_t pid)
{
    for (int i = 0; i < f->count; i++)
        if (f->pids[i] == pid)
            return i;
    return -1;
}

static bool ended_well(const struct fleet *f, pid_t pid, int status)
{
    int i = index_of(f, pid);
    if (WIFSIGNALED(status))
        fprintf(stderr, "swarm: worker %d was ended by signal %d\n", i, WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        fprintf(stderr, "swarm: worker %d ended with status %d\n", i, WEXITSTATUS(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool fleet_alive(struct fleet *f)
{
    int status = 0;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid == 0)
        return true;
    if (pid > 0 && ended_well(f, pid, status))
        fprintf(stderr, "swarm: worker %d ended before it was told to\n", index_of(f, pid));
    return false;
}

void fleet_say(struct fleet *f, enum phase phase)
{
    if (phase == PHASE_FEED) {
        int64_t now = probe_mono_ns();
        atomic_store_explicit(&f->control->feed_ns, now, memory_order_relaxed);
        atomic_store_explicit(&f->control->measure_ns, now + f->warm_ns, memory_order_relaxed);
    }
    atomic_store_explicit(&f->control->phase, phase, memory_order_release);
}

bool fleet_end(struct fleet *f)
{
    bool ok = true;
    fleet_say(f, PHASE_END);
    alarm(END_WAIT_S); /* the default action ends the coordinator, and with it the workers */
    for (int i = 0; i < f->count; i++) {
        int status = 0;
        pid_t pid = waitpid(f->pids[i], &status, 0);
        ok = pid > 0 && ended_well(f, pid, status) && ok;
    }
    alarm(0);
    return ok;
}

int64_t fleet_cpu_ns(const struct fleet *f)
{
    int64_t total = probe_cpu_ns(getpid());
    for (int i = 0; i < f->count; i++) {
        int64_t one = probe_cpu_ns(f->pids[i]);
        total += one > 0 ? one : 0;
    }
    return total;
}
