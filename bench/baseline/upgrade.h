/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upgrade: the server's side of a WebSocket's opening (RFC 6455, section 4.2), as little as an honest
 * server can do: it reads every line of the request and computes the accept value from the client's
 * key. Called by main.c for what begins with "GET ". No token, no origin, no address is looked at.
 */
#ifndef BENCH_BASELINE_UPGRADE_H
#define BENCH_BASELINE_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>

#define UPGRADE_REQUEST_MAX 8192 /* it has to come in one piece */
#define UPGRADE_ANSWER_MAX 256

bool upgrade_init(void); /* once, before the first answer */
/* The 101 into out; its length. 0: the request is not one for a WebSocket, or not whole. */
size_t upgrade_answer(const char *request, size_t len, char out[UPGRADE_ANSWER_MAX]);

#endif
