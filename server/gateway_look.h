/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_look: how the whole gateway is doing, put together of what its parts say. Private to the
 * gateway; `arg` is the gateway. Any thread, from when all parts are made until the ops thread has ended.
 */
#ifndef BGW_GATEWAY_LOOK_H
#define BGW_GATEWAY_LOOK_H

#include "bgw/ops_view.h"

struct bgw_gateway;

void bgw_look_at_health(void *arg, struct bgw_health *out);
void bgw_look_at_sources(void *arg, struct bgw_sources_view *out);
void bgw_look_at_gateway(void *arg, struct bgw_ops_facts *out);

/* Which replica this is, for people: the machine's name and the port of the clients. */
#define BGW_INSTANCE_MAX 128
void bgw_look_instance(const struct bgw_gateway *g, char out[BGW_INSTANCE_MAX]);

#endif
