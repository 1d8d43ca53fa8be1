/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sse: the native dialect as Server-Sent Events: upd (one entry of `u` an event), state, live, sub,
 * revoked, bye; `id:` is the resume token. Encoding for the shard; conn_stream.c opens it.
 */
#ifndef BGW_WIRE_SSE_H
#define BGW_WIRE_SSE_H

#include "bgw/dialect.h"

extern const struct bgw_dialect bgw_dialect_sse;

#endif
