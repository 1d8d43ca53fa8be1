/* SPDX-License-Identifier: Apache-2.0 */
/* What librdkafka takes from malloc is filled, and nobody else's is. */
#include "ingest/kafka_memory.h"

#include "test.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

/* What a broker's thread would find in a list that it did not write to its end. */
static bool is_filled(size_t n)
{
    unsigned char *p = rd_kafka_mem_malloc(NULL, n);
    size_t filled = 0;
    for (size_t i = 0; i < n; i++)
        filled += p[i] == 0x7f;
    rd_kafka_mem_free(NULL, p);
    return filled == n;
}

/* Leaves it where the next one of that size is taken from. */
static void leave_garbage(size_t n)
{
    unsigned char *volatile p = rd_kafka_mem_malloc(NULL, n);
    memset(p, 0x01, n);
    rd_kafka_mem_free(NULL, p);
}

TEST(memory_of_the_library_is_never_what_was_left_there)
{
    static const size_t sizes[] = {1, 24, 40, 800, 1033, 65536, 700000, 1 << 20};
    CHECK(bgw_kafka_memory_guard());
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        leave_garbage(sizes[i]);
        CHECK(is_filled(sizes[i]));
    }
}

TEST(large_memory_of_the_library_can_be_used_and_given_back)
{
    CHECK(bgw_kafka_memory_guard());
    size_t n = (size_t)5 << 20;
    unsigned char *p = rd_kafka_mem_malloc(NULL, n);
    CHECK(p != NULL);
    memset(p, 1, n);
    CHECK(p[n - 1] == 1);
    rd_kafka_mem_free(NULL, p);
}

TEST(the_second_call_only_answers)
{
    CHECK(bgw_kafka_memory_guard() && bgw_kafka_memory_guard());
    CHECK(is_filled(100));
}


