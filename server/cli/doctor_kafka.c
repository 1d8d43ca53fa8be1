/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_kafka: what the brokers say, in an operator's words. Called by cmd_doctor on the main
 * thread. The asking is the ingest room's (bgw_kafka_probe); here is only the judgement.
 */
#include "doctor.h"

#include <string.h>

#define TIMEOUT_MS 5000

/* What is wrong with a topic that could not be described. */
static void tell_missing(struct doctor *d, const struct bgw_kafka_probed *t, bool balances)
{
    char fix[400];
    snprintf(fix, sizeof(fix),
             "create it: kafka-topics --bootstrap-server %.100s --create --topic %.100s --partitions %s --config "
             "cleanup.policy=%s",
             d->config->kafka_bootstrap, t->topic, balances ? "12" : "1", balances ? "delete" : "compact");
    if (t->status == BGW_NOT_FOUND && balances)
        doctor_say(d, DOCTOR_FAIL, "kafka", fix, "there is no topic %s", t->topic);
    else if (t->status == BGW_NOT_FOUND)
        doctor_say(d, DOCTOR_WARN, "kafka", fix,
                   "there is no topic %s: revocations cannot be kept until it is there (the gateway tries to make it)",
                   t->topic);
    else if (t->status == BGW_DENIED)
        doctor_say(d, DOCTOR_FAIL, "kafka", "let this principal describe and read it (ACL Describe, Read)",
                   "the brokers refuse to tell about topic %s", t->topic);
    else
        doctor_say(d, DOCTOR_FAIL, "kafka", "see the brokers' own logs; then run this again", "topic %s: %s", t->topic,
                   bgw_status_text(t->status));
}

static void judge_balances(struct doctor *d, const struct bgw_kafka_probed *t)
{
    doctor_say(d, DOCTOR_OK, "kafka", "", "topic %s: %d partitions%s", t->topic, (int)t->partitions,
               t->settings_known && t->compacted ? ", compacted: read from its beginning" : "");
    if (t->settings_known && t->log_append_time)
        doctor_say(d, DOCTOR_WARN, "kafka",
                   "kafka-configs --alter --entity-type topics --entity-name TOPIC --add-config "
                   "message.timestamp.type=CreateTime",
                   "topic %s stamps records when they arrive (LogAppendTime): how long a balance took from the ledger cannot "
                   "be seen unless records carry `ts`",
                   t->topic);
}

static void judge_revocations(struct doctor *d, const struct bgw_kafka_probed *t)
{
    if (t->settings_known && !t->compacted)
        doctor_say(d, DOCTOR_FAIL, "kafka",
                   "kafka-configs --alter --entity-type topics --entity-name TOPIC --add-config cleanup.policy=compact",
                   "topic %s is not compacted: the brokers will forget revocations that still count", t->topic);
    else
        doctor_say(d, DOCTOR_OK, "kafka", "", "topic %s: %d partitions%s", t->topic, (int)t->partitions,
                   t->settings_known ? ", compacted" : "");
    if (!t->settings_known)
        doctor_say(d, DOCTOR_WARN, "kafka", "look at it by hand: kafka-configs --describe --entity-type topics",
                   "the brokers do not tell whether topic %s is compacted", t->topic);
}

void doctor_judge_topics(struct doctor *d, const struct bgw_kafka_probed topics[DOCTOR_TOPICS], int brokers)
{
    doctor_say(d, DOCTOR_OK, "kafka", "", "%d brokers answer at %s", brokers, d->config->kafka_bootstrap);
    for (int i = 0; i < DOCTOR_TOPICS; i++) {
        const struct bgw_kafka_probed *t = &topics[i];
        if (t->status != BGW_OK)
            tell_missing(d, t, i == DOCTOR_TOPIC_BALANCES);
        else if (i == DOCTOR_TOPIC_BALANCES)
            judge_balances(d, t);
        else
            judge_revocations(d, t);
    }
}

void doctor_check_kafka(struct doctor *d)
{
    const struct bgw_config *c = d->config;
    struct bgw_kafka_probed topics[DOCTOR_TOPICS] = {
        [DOCTOR_TOPIC_BALANCES] = {.topic = c->topic_balance_updates},
        [DOCTOR_TOPIC_REVOCATIONS] = {.topic = c->topic_revocations},
    };
    struct bgw_buf error;
    int brokers = 0;
    if (!*c->kafka_bootstrap) {
        doctor_say(d, DOCTOR_FAIL, "kafka", "set KAFKA_BOOTSTRAP to your brokers, host:port[,host:port]",
                   "KAFKA_BOOTSTRAP is not set: there is no stream to read");
        return;
    }
    if (strcmp(c->kafka_bootstrap, "embedded") == 0) {
        doctor_say(d, c->demo ? DOCTOR_OK : DOCTOR_WARN, "kafka",
                   c->demo ? "" : "name real brokers in KAFKA_BOOTSTRAP for anything but a trial",
                   "the broker is embedded: it starts and ends with the gateway, and keeps nothing");
        return;
    }
    bgw_buf_init(&error, 600);
    enum bgw_status status = bgw_kafka_probe(c, c->kafka_bootstrap, TIMEOUT_MS, topics, DOCTOR_TOPICS, &brokers, &error);
    bgw_buf_append_byte(&error, '\0');
    if (status == BGW_OK)
        doctor_judge_topics(d, topics, brokers);
    else
        doctor_say(d, DOCTOR_FAIL, "kafka",
                   status == BGW_CONFIG ? "correct the property that is named"
                                        : "start the brokers, or correct KAFKA_BOOTSTRAP and KAFKA_SECURITY_PROTOCOL, "
                                          "KAFKA_SASL_*, KAFKA_SSL_*; a firewall may stand between",
                   "%s: %s", c->kafka_bootstrap, error.data ? error.data : bgw_status_text(status));
    bgw_buf_deinit(&error);
}
