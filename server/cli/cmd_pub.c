/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_pub: `bgw pub` writes one balance to the topic that gateways read, as a ledger would: for
 * trying things out. Main thread. It refuses what the gateway would reject, and returns only when
 * the broker has the record.
 */
#include "commands.h"

#include "bgw/feed.h"
#include "bgw/ingest.h"

#include <stdio.h>
#include <string.h>

#define FLUSH_TIMEOUT_MS 10000

struct record { /* borrows argv and the configuration */
    const char *account, *currency, *tenant, *topic, *kafka, *v_text, *pending_text;
    int64_t minor, pending, v;
    bool has_pending, has_v, tombstone;
};

static int check_account(const struct record *r)
{
    struct bgw_feed feed;
    bgw_feed_balance_init(&feed, BGW_SLICE("t"), 0);
    if (!feed.key_valid(bgw_slice_str(r->account)))
        return cli_usage(&cli_pub, "\"%s\" is not an account: 1 to 64 of A-Z a-z 0-9 . _ : @ + -",
                         r->account);
    if (r->currency && !feed.part_valid(bgw_slice_str(r->currency)))
        return cli_usage(&cli_pub, "--currency is \"%s\": expected three capital letters, such as NGN",
                         r->currency);
    if (r->tenant && !bgw_tenant_valid(bgw_slice_str(r->tenant)))
        return cli_usage(&cli_pub, "--tenant is \"%s\": 1 to 50 of A-Z a-z 0-9 _ -", r->tenant);
    return BGW_EXIT_OK;
}

static int check_numbers(struct record *r, const char *minor)
{
    if (minor && !cli_read_i64(minor, &r->minor))
        return cli_usage(&cli_pub, "\"%s\" is not an amount: a whole number of minor units (kobo, cents) "
                                   "in 64 bits, such as 123450 for 1,234.50",
                         minor);
    r->has_pending = r->pending_text != NULL;
    if (r->has_pending && !cli_read_i64(r->pending_text, &r->pending))
        return cli_usage(&cli_pub, "--pending is \"%s\": expected a whole number of minor units",
                         r->pending_text);
    r->has_v = r->v_text != NULL;
    if (r->has_v && (!cli_read_i64(r->v_text, &r->v) || r->v < 0))
        return cli_usage(&cli_pub, "--v is \"%s\": expected a whole number from 0", r->v_text);
    return BGW_EXIT_OK;
}

static int check_words(struct record *r, const struct cli_words *words)
{
    size_t wanted = r->tombstone ? 1 : 2;
    if (r->tombstone && (r->currency || r->tenant || r->v_text || r->pending_text))
        return cli_usage(&cli_pub, "--tombstone removes the account in all currencies: it goes with no other "
                                   "member of a record");
    if (words->count != wanted)
        return cli_usage(&cli_pub, r->tombstone ? "with --tombstone it takes an ACCOUNT and no amount"
                                                : "it takes an ACCOUNT and an amount in MINOR units");
    r->account = words->items[0];
    int code = check_account(r);
    return code == BGW_EXIT_OK ? check_numbers(r, r->tombstone ? NULL : words->items[1]) : code;
}

static void append_value(struct bgw_buf *out, const struct record *r)
{
    bgw_buf_append_str(out, "{\"accountId\":");
    bgw_buf_append_json(out, bgw_slice_str(r->account));
    bgw_buf_append_str(out, ",\"minor\":");
    bgw_buf_append_i64(out, r->minor);
    bgw_buf_append_str(out, ",\"currency\":");
    bgw_buf_append_json(out, bgw_slice_str(r->currency));
    if (r->has_pending) {
        bgw_buf_append_str(out, ",\"pendingMinor\":");
        bgw_buf_append_i64(out, r->pending);
    }
    if (r->tenant) {
        bgw_buf_append_str(out, ",\"tenant\":");
        bgw_buf_append_json(out, bgw_slice_str(r->tenant));
    }
    if (r->has_v) {
        bgw_buf_append_str(out, ",\"v\":");
        bgw_buf_append_i64(out, r->v);
    }
    bgw_buf_append_str(out, ",\"ts\":");
    bgw_buf_append_i64(out, bgw_clock_now().wall_ms);
    bgw_buf_append_str(out, "}");
}

static int unreachable(const struct record *r, const struct bgw_buf *error, enum bgw_status status)
{
    if (error->len)
        fprintf(stderr, "bgw pub: %.*s\n", (int)error->len, error->data);
    else
        fprintf(stderr, "bgw pub: the broker %s did not take the record within %d s (%s): is the address "
                        "right, and is there a topic %s?\n",
                r->kafka, FLUSH_TIMEOUT_MS / 1000, bgw_status_text(status), r->topic);
    return BGW_EXIT_UNREACHABLE;
}

static int publish(const struct record *r, const struct bgw_config *config)
{
    struct bgw_buf value, error;
    struct bgw_kafka_producer *producer = NULL;
    bgw_buf_init(&value, 65536);
    bgw_buf_init(&error, 1024);
    append_value(&value, r);
    struct bgw_slice body = r->tombstone ? (struct bgw_slice){NULL, 0} : bgw_buf_slice(&value);
    enum bgw_status status = bgw_kafka_producer_create(&producer, config, r->kafka, &error);
    if (status == BGW_OK)
        status = bgw_kafka_producer_send(producer, r->topic, bgw_slice_str(r->account), body);
    if (status == BGW_OK)
        status = bgw_kafka_producer_flush(producer, FLUSH_TIMEOUT_MS);
    int code = status == BGW_OK ? BGW_EXIT_OK : unreachable(r, &error, status);
    if (code == BGW_EXIT_OK && r->tombstone)
        printf("%s: removed %s\n", r->topic, r->account);
    else if (code == BGW_EXIT_OK)
        printf("%s: %.*s\n", r->topic, (int)value.len, value.data);
    if (producer)
        bgw_kafka_producer_destroy(&producer);
    bgw_buf_deinit(&value);
    bgw_buf_deinit(&error);
    return code;
}

static int with_config(struct record *r, const struct bgw_config *config)
{
    r->kafka = r->kafka ? r->kafka : config->kafka_bootstrap;
    r->topic = r->topic ? r->topic : config->topic_balance_updates;
    r->currency = r->currency ? r->currency : config->default_currency;
    if (!*r->kafka || strcmp(r->kafka, "embedded") == 0) {
        fprintf(stderr, "bgw pub: which broker? Say --kafka host:port or set KAFKA_BOOTSTRAP. A gateway with "
                        "the embedded broker prints its address in the ready line.\n");
        return BGW_EXIT_CONFIG;
    }
    return publish(r, config);
}

static int run_pub(int argc, char **argv, char *const *env)
{
    struct record r = {0};
    const struct cli_option options[] = {
        {"currency", "CUR", &r.currency, NULL, "three capital letters (BGW_DEFAULT_CURRENCY)"},
        {"pending", "MINOR", &r.pending_text, NULL, "pendingMinor of the record"},
        {"tenant", "NAME", &r.tenant, NULL, "tenant; without it the gateway's default"},
        {"v", "N", &r.v_text, NULL, "the ledger's own version: rises with every change of the account"},
        {"tombstone", NULL, NULL, &r.tombstone, "write a null value: the account is removed"},
        {"kafka", "HOST:PORT", &r.kafka, NULL, "the broker (KAFKA_BOOTSTRAP)"},
        {"topic", "NAME", &r.topic, NULL, "the topic (TOPIC_BALANCE_UPDATES)"},
        {0},
    };
    struct cli_words words;
    int code;
    if (!cli_parse(&cli_pub, options, argc, argv, &words, &code))
        return code;
    code = check_words(&r, &words);
    if (code != BGW_EXIT_OK)
        return code;
    struct bgw_config config;
    char *none[] = {NULL};
    code = cli_load_config(&cli_pub, 0, none, env, &config);
    if (code != BGW_EXIT_OK)
        return code;
    code = with_config(&r, &config);
    bgw_config_deinit(&config);
    return code;
}

const struct cli_command cli_pub = {
    .name = "pub",
    .words = "ACCOUNT MINOR",
    .summary = "write one balance to the topic, as a ledger would",
    .text = "Writes a balance record for ACCOUNT to the topic that gateways read, and waits until the broker\n"
            "has it. MINOR is the balance in minor units (kobo, cents): a whole number, never a fraction.\n"
            "Security settings of Kafka come from KAFKA_*, as for `bgw serve`.",
    .examples = "  bgw pub msisdn::2348100000001 123450 --kafka 127.0.0.1:9092\n"
                "  bgw pub savings-7 -50 --currency USD --v 18 --kafka 127.0.0.1:9092\n"
                "  bgw pub savings-7 --tombstone --kafka 127.0.0.1:9092\n",
    .run = run_pub,
};
