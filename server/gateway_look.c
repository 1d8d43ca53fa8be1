/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_look: health and facts of the whole gateway. Hides which part knows what. Called on any
 * thread by the health pages and by the ops thread's collector. Invariant: nobody is waited for, so
 * what is told is as of each part's last turn.
 */
#include "gateway_private.h"

#include <stdio.h>
#include <unistd.h>

void bgw_look_at_health(void *arg, struct bgw_health *out)
{
    struct bgw_gateway *g = arg;
    struct bgw_sources_view sources;
    *out = (struct bgw_health){0};
    bgw_hub_host_health(g->hub, out);
    bgw_door_health(&g->door, out);
    bgw_ops_host_health(g->ops, out);
    bgw_hub_host_look(g->hub, &sources);
    bgw_health_of_sources(out, &sources);
    out->draining = atomic_load_explicit(&g->draining, memory_order_relaxed);
    if (out->draining)
        snprintf(out->reason, sizeof(out->reason), "draining: this gateway is stopping");
}

void bgw_look_at_sources(void *arg, struct bgw_sources_view *out)
{
    struct bgw_gateway *g = arg;
    bgw_hub_host_look(g->hub, out);
}

static const char *origin_kind(const struct bgw_config *c)
{
    if (*c->ledger_internal)
        return "http";
    return *c->origin_pg ? "postgresql" : NULL;
}

_Static_assert(BGW_OPS_PARTITIONS_MAX >= BGW_KAFKA_LAGS_MAX, "each row finds its place");

void bgw_look_at_gateway(void *arg, struct bgw_ops_facts *out)
{
    struct bgw_gateway *g = arg;
    struct bgw_hub_stream stream;
    bgw_look_at_health(g, &out->health);
    bgw_look_at_sources(g, &out->sources);
    bgw_hub_host_stream(g->hub, &stream);
    out->origin_kind = origin_kind(g->config);
    out->watched_keys = stream.watched_keys;
    out->proof = stream.proof;
    out->proof_age_ms = stream.proof_age_ms;
    out->partitions = stream.lags.partitions;
    out->partition_count = stream.lags.count;
    out->lag_records = stream.lags.records;
    out->lag_ms = stream.lags.longest_ms;
    for (size_t i = 0; i < stream.lags.count; i++)
        out->lags[i] = (struct bgw_ops_partition){stream.lags.rows[i].partition, stream.lags.rows[i].records, stream.lags.rows[i].ms};
}

void bgw_look_instance(const struct bgw_gateway *g, char out[BGW_INSTANCE_MAX])
{
    char host[64] = "";
    const char *port = strrchr(g->listen_bound, ':');
    if (gethostname(host, sizeof(host) - 1) != 0)
        host[0] = '\0';
    snprintf(out, BGW_INSTANCE_MAX, "%s%s", *host ? host : "gateway", port ? port : "");
}
