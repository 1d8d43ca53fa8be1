/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe: what a process has used, and the clock that everything is measured by.
 */
#ifndef SWARM_PROBE_H
#define SWARM_PROBE_H

#include <stdint.h>

int64_t probe_cpu_ns(int pid);      /* over all its threads; -1: there is no such process */
int64_t probe_rss_kib(int pid);     /* resident now; -1 as above */
int64_t probe_rss_peak_kib(int pid); /* the most that was ever resident */
int64_t probe_mono_ns(void);

#endif
