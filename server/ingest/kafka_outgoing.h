/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_outgoing: one record handed to a producing client, and what became of it in our words.
 * Whoever owns the client calls it, on its own thread.
 */
#ifndef BGW_INGEST_KAFKA_OUTGOING_H
#define BGW_INGEST_KAFKA_OUTGOING_H

#include "bgw/ingest.h"

#include <librdkafka/rdkafka.h>

/* Copies the record; `opaque` comes back with its delivery report, and is not kept on an error. */
BGW_MUST_CHECK rd_kafka_resp_err_t bgw_kafka_outgoing_send(rd_kafka_t *rk, const char *topic,
                                                           const struct bgw_kafka_outgoing *o,
                                                           void *opaque);
/* FULL, TOO_LARGE, NOT_FOUND, TIMEOUT (it may have been written all the same), DENIED, UNAVAILABLE. */
BGW_MUST_CHECK enum bgw_status bgw_kafka_outgoing_status(rd_kafka_resp_err_t err);

#endif
