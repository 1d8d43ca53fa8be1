/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor: what `bgw doctor` finds, and the checks that find it. Private to server/cli; one thread.
 * A check that measures is apart from the one that judges, so that judgement can be tested.
 */
#ifndef BGW_CLI_DOCTOR_H
#define BGW_CLI_DOCTOR_H

#include "bgw/buf.h"
#include "bgw/config.h"
#include "bgw/ingest.h"
#include "bgw/read.h"
#include "bgw/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define DOCTOR_FINDINGS_MAX 96 /* what does not fit is not said; a whole run finds about forty */
#define DOCTOR_CERT_WARN_DAYS 30

enum doctor_result { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor_finding {
    enum doctor_result result;
    const char *check; /* "certificates" */
    char what[640], fix[400];
};

struct doctor { /* one thread */
    const struct bgw_config *config;
    struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
    size_t count;
};

/* ---- doctor_report.c ---- */

/* `fix` is a sentence, and empty only for DOCTOR_OK. */
void doctor_say(struct doctor *d, enum doctor_result result, const char *check, const char *fix, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
size_t doctor_count(const struct doctor *d, enum doctor_result result);
void doctor_print(const struct doctor *d, FILE *to);
void doctor_print_json(const struct doctor *d, FILE *to);

/* ---- doctor_system.c ---- */

/* The descriptors that the gateway would have (it raises its own limit to `hard`). */
void doctor_judge_descriptors(struct doctor *d, uint64_t hard, size_t shards);
void doctor_judge_backlog(struct doctor *d, int64_t somaxconn);      /* negative: not known */
void doctor_judge_memory(struct doctor *d, int64_t available_bytes, size_t shards, uint64_t hard_descriptors);
struct doctor_clock {
    int64_t wall_ms;          /* now */
    int64_t wall_step_ms, mono_step_ms; /* how far each went while we watched */
    bool known, synchronised; /* what the kernel says of NTP */
};
void doctor_judge_clock(struct doctor *d, const struct doctor_clock *c);
void doctor_check_system(struct doctor *d); /* the four above, measured */
void doctor_check_ports(struct doctor *d);
void doctor_check_supervisor(struct doctor *d, char *const *env);

/* ---- doctor_door.c ---- */

void doctor_check_door(struct doctor *d); /* settings that are legal and unwise */
void doctor_check_files(struct doctor *d); /* audit log, ready file, page */
void doctor_judge_certificate(struct doctor *d, const struct bgw_tls_cert_info *info, int64_t now_s);
void doctor_check_tls(struct doctor *d);

/* ---- doctor_keys.c ---- */

void doctor_check_keys(struct doctor *d);

/* ---- doctor_kafka.c ---- */

enum { DOCTOR_TOPIC_BALANCES, DOCTOR_TOPIC_REVOCATIONS, DOCTOR_TOPICS };
void doctor_judge_topics(struct doctor *d, const struct bgw_kafka_probed topics[DOCTOR_TOPICS], int brokers);
void doctor_check_kafka(struct doctor *d);

/* ---- doctor_sources.c ---- */

/* `asked`: what the origin said of an account that it does not have (enum bgw_fetch_result); below 0: nothing in time. */
void doctor_judge_sources(struct doctor *d, const struct bgw_sources_view *view, int asked);
void doctor_check_sources(struct doctor *d);

#endif
