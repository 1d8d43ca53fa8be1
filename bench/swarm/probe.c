/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe: what the server process has used, from /proc: CPU in nanoseconds over all its threads
 * (schedstat, finer than clock ticks) and resident memory. Threads that ended are not counted, so
 * it is asked only between moments when the server's threads are the same.
 */
#define _GNU_SOURCE
#include "swarm.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int64_t probe_mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t probe_cpu_ns(int pid)
{
    char path[320];
    int64_t sum = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    if (!dir)
        return -1;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, e->d_name);
        FILE *f = fopen(path, "r");
        long long ns = 0;
        if (f && fscanf(f, "%lld", &ns) == 1)
            sum += ns;
        if (f)
            fclose(f);
    }
    closedir(dir);
    return sum;
}

int64_t probe_rss_kib(int pid)
{
    char path[64], line[256];
    long long kib = -1;
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return -1;
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "VmRSS: %lld", &kib) == 1)
            break;
    fclose(f);
    return kib;
}
