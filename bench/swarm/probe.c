/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe: what the server process has used, from /proc: CPU in nanoseconds over all its threads
 * (schedstat, finer than clock ticks) and resident memory. Threads that ended are not counted, so
 * it is asked only between moments when the server's threads are the same.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* "VmRSS:" and the like, in KiB. */
static int64_t status_kib(int pid, const char *row)
{
    char path[64], line[256];
    long long kib = -1;
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return -1;
    while (kib < 0 && fgets(line, sizeof(line), f))
        if (strncmp(line, row, strlen(row)) == 0)
            kib = strtoll(line + strlen(row), NULL, 10);
    fclose(f);
    return kib;
}

int64_t probe_rss_kib(int pid)
{
    return status_kib(pid, "VmRSS:");
}

int64_t probe_rss_peak_kib(int pid)
{
    return status_kib(pid, "VmHWM:");
}
