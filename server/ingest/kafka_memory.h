/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_memory: memory that librdkafka takes is never what somebody left there. It reads past what it
 * wrote (docs/decisions/librdkafka-current-leader.md) and then acts on partitions that do not exist;
 * with this it reads a number that it throws away. Called before the first client is made, any thread.
 */
#ifndef BGW_INGEST_KAFKA_MEMORY_H
#define BGW_INGEST_KAFKA_MEMORY_H

#include <stdbool.h>

/* Once a process; later calls only answer. False, with a line in the log: this librdkafka could not be reached. */
bool bgw_kafka_memory_guard(void);

#endif
