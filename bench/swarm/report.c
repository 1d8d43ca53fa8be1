/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report: a run as one JSON object on stdout. Called once, after the workers have ended: before that
 * their histograms are not to be read.
 */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>

#define FIELD(name) printf("\"" #name "\":%llu,", (unsigned long long)s->name)

static struct hist sum_of(const struct run *r, size_t offset)
{
    struct hist total = {0};
    for (int i = 0; i < r->fleet.count; i++)
        hist_merge(&total, (const struct hist *)((const char *)&r->fleet.results[i] + offset));
    return total;
}

static void print_hist(const struct run *r, const char *name, size_t offset)
{
    static struct hist total;
    total = sum_of(r, offset);
    hist_print(name, &total);
}

static void report_checks(const struct run *r, const struct sums *s)
{
    printf("{\"completed\":%s,\"wrong\":%llu,\"clients\":%d,\"live\":%llu,", r->completed ? "true" : "false",
           (unsigned long long)results_wrong(s), r->opt.clients, (unsigned long long)(s->live + s->slow_live));
    FIELD(entries);
    FIELD(merged);
    FIELD(snapshots);
    FIELD(marks);
    FIELD(states);
    FIELD(connects);
    FIELD(connect_failures);
    FIELD(disconnects);
    FIELD(regressions);
    FIELD(gaps);
    FIELD(duplicates);
    FIELD(wrong_values);
    FIELD(futures);
    FIELD(digest_mismatches);
    FIELD(digests_checked);
    FIELD(protocol_errors);
    FIELD(behind);
    FIELD(missed);
    FIELD(unremembered);
}

/* How the waits that byes asked for are spread: a count for each tenth of the longest. */
static void report_waits(const struct run *r, const struct sums *s)
{
    uint64_t tenths[10] = {0};
    int64_t longest_ms = 0;
    for (int w = 0; w < r->fleet.count; w++)
        for (int ms = 0; ms < RESULTS_WAITS; ms++)
            longest_ms = r->fleet.results[w].waits[ms] && ms > longest_ms ? ms : longest_ms;
    for (int w = 0; w < r->fleet.count; w++)
        for (int64_t ms = 0; ms <= longest_ms; ms++)
            tenths[ms * 10 / (longest_ms + 1)] += r->fleet.results[w].waits[ms];
    FIELD(lost);
    FIELD(byes);
    FIELD(refused);
    FIELD(churned);
    printf("\"back_ms\":%lld,\"longest_wait_ms\":%lld,\"wait_tenths\":[", (long long)r->wave.back_ms, (long long)longest_ms);
    for (int i = 0; i < 10; i++)
        printf("%s%llu", i ? "," : "", (unsigned long long)tenths[i]);
    printf("],");
}

static void report_usage(const struct run *r, const struct sums *s)
{
    uint64_t entries = s->entries - r->entries_before;
    double cpu_ns = (double)(r->after.cpu_ns - r->live.cpu_ns), clients = r->opt.clients;
    printf("\"measured_entries\":%llu,\"measured_s\":%.3f,\"server_cpu_ns\":%lld,\"cpu_ns_per_entry\":%.1f,"
           "\"client_cpu_ns\":%lld,\"connect_cpu_us\":%.1f,\"rss_before_kib\":%lld,\"rss_live_kib\":%lld,"
           "\"server_rss_peak_kib\":%lld,\"bytes_per_client\":%.1f,\"workers\":%d,",
           (unsigned long long)entries, (double)(r->after.at_ns - r->live.at_ns) / 1e9,
           (long long)(r->after.cpu_ns - r->live.cpu_ns), entries ? cpu_ns / (double)entries : 0.0,
           (long long)(r->after.client_cpu_ns - r->live.client_cpu_ns),
           (double)(r->live.cpu_ns - r->before.cpu_ns) / 1000.0 / clients, (long long)r->before.rss_kib,
           (long long)r->live.rss_kib, (long long)r->rss_peak_kib,
           (double)(r->live.rss_kib - r->before.rss_kib) * 1024.0 / clients, r->fleet.count);
}

static void report_apart(const struct run *r, const struct sums *s)
{
    printf("\"feed\":{\"published\":%llu,\"failed\":%llu,\"late_ms_max\":%.3f},\"storm\":{\"cut\":%llu,\"back_ms\":%lld},",
           (unsigned long long)r->published, (unsigned long long)feed_failed(r->feed), (double)r->late_ns_max / 1e6,
           (unsigned long long)s->cut, (long long)r->storm.back_ms);
    printf("\"slow\":{\"clients\":%d,\"live\":%llu,\"entries\":%llu,\"merged\":%llu,\"lost\":%llu,\"behind\":%llu,",
           r->opt.clients - r->others, (unsigned long long)s->slow_live, (unsigned long long)s->slow_entries,
           (unsigned long long)s->slow_merged, (unsigned long long)s->slow_lost, (unsigned long long)s->slow_behind);
    print_hist(r, "latency_us", offsetof(struct results, slow_latency));
    putchar(',');
    print_hist(r, "commit_us", offsetof(struct results, slow_commit));
    printf("},");
}

void run_report(const struct run *r)
{
    struct sums s = results_sum(r->fleet.results, r->fleet.count);
    for (int i = 0; i < r->fleet.count; i++) {
        const struct results *one = &r->fleet.results[i];
        if (one->error[0])
            fprintf(stderr, "swarm: worker %d, %s\n", i, one->error);
        if (one->refusal[0])
            fprintf(stderr, "swarm: worker %d was refused: %s\n", i, one->refusal);
    }
    report_checks(r, &s);
    report_waits(r, &s);
    report_usage(r, &s);
    report_apart(r, &s);
    print_hist(r, "latency_us", offsetof(struct results, latency));
    putchar(',');
    print_hist(r, "commit_us", offsetof(struct results, commit));
    printf("}\n");
}

bool run_right(const struct run *r)
{
    struct sums s = results_sum(r->fleet.results, r->fleet.count);
    return r->completed && results_wrong(&s) == 0;
}
