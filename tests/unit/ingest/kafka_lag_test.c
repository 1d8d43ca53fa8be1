/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_lag: what a scrape is told, on a clock of the test's own. */
#include "../../../server/ingest/kafka_lag.h"

#include "../../../server/ingest/kafka_offsets.h"
#include "../test.h"

static bool says(struct bgw_kafka_lag *lag, int64_t wall_ms, const char *line)
{
    struct bgw_buf out;
    bgw_buf_init(&out, 1 << 20);
    bgw_kafka_lag_write(lag, wall_ms, &out);
    bgw_buf_append_byte(&out, '\0');
    bool found = strstr(out.data, line) != NULL;
    if (!found)
        printf("# no \"%s\" in:\n%.600s\n", line, out.data);
    bgw_buf_deinit(&out);
    return found;
}

static struct bgw_kafka_lag *lag_of(int32_t partitions)
{
    struct bgw_kafka_lag *lag = NULL;
    int64_t *positions = calloc((size_t)partitions, sizeof(*positions));
    CHECK(bgw_kafka_lag_create(&lag) == BGW_OK);
    bgw_kafka_lag_reset(lag, positions, partitions);
    free(positions);
    return lag;
}

static void ends(struct bgw_kafka_lag *lag, int64_t a, int64_t b, int64_t wall_ms)
{
    bgw_kafka_lag_ends(lag, (int64_t[]){a, b}, 2, wall_ms);
}

static void read_to(struct bgw_kafka_lag *lag, int64_t next_offset, int64_t timestamp_ms)
{
    bgw_kafka_lag_progress(lag, &(struct bgw_kafka_progress){0, next_offset, timestamp_ms}, 1);
}

TEST(nothing_is_told_before_the_first_assignment)
{
    struct bgw_kafka_lag *lag = NULL;
    struct bgw_buf out;
    CHECK(bgw_kafka_lag_create(&lag) == BGW_OK);
    bgw_buf_init(&out, 4096);
    bgw_kafka_lag_write(lag, 1000, &out);
    CHECK_EQ_I64(out.len, 0);
    bgw_buf_deinit(&out);
    bgw_kafka_lag_destroy(&lag);
}

TEST(lag_is_what_lies_between_position_and_end)
{
    struct bgw_kafka_lag *lag = lag_of(2);
    ends(lag, 100, BGW_OFFSET_UNKNOWN, 50000);
    read_to(lag, 30, 20000);
    CHECK(says(lag, 60000, "bgw_kafka_lag_records{partition=\"0\"} 70\n"));
    CHECK(says(lag, 60000, "bgw_kafka_lag_seconds{partition=\"0\"} 40.000\n"));
    CHECK(says(lag, 60000, "bgw_kafka_lag_records{partition=\"1\"} 0\n"));
    read_to(lag, 100, 49999);
    CHECK(says(lag, 60000, "bgw_kafka_lag_records{partition=\"0\"} 0\n"));
    CHECK(says(lag, 60000, "bgw_kafka_lag_seconds{partition=\"0\"} 0.000\n"));
    bgw_kafka_lag_destroy(&lag);
}

TEST(a_burst_after_a_quiet_day_is_not_a_day_of_lag)
{
    struct bgw_kafka_lag *lag = lag_of(2);
    read_to(lag, 10, 1000);
    ends(lag, 10, 0, 86400000);
    ends(lag, 15, 0, 86401000);
    CHECK(says(lag, 86401250, "bgw_kafka_lag_records{partition=\"0\"} 5\n"));
    CHECK(says(lag, 86401250, "bgw_kafka_lag_seconds{partition=\"0\"} 1.250\n"));
    bgw_kafka_lag_destroy(&lag);
}

TEST(more_than_a_thousand_partitions_share_one_line)
{
    int32_t count = BGW_KAFKA_LAG_LINES_MAX + 1;
    struct bgw_kafka_lag *lag = lag_of(count);
    int64_t *all = calloc((size_t)count, sizeof(*all));
    for (int32_t i = 0; i < count; i++)
        all[i] = 2;
    bgw_kafka_lag_ends(lag, all, count, 5000);
    CHECK(says(lag, 6500, "bgw_kafka_lag_records{partition=\"all\"} 2002\n"));
    CHECK(says(lag, 6500, "bgw_kafka_lag_seconds{partition=\"all\"} 1.500\n"));
    free(all);
    bgw_kafka_lag_destroy(&lag);
}

TEST(lag_as_numbers_is_what_the_lines_say)
{
    struct bgw_kafka_lag *lag = lag_of(2);
    static struct bgw_kafka_lags told;
    ends(lag, 10, 4, 5000);
    read_to(lag, 7, 3500);
    bgw_kafka_lag_look(lag, 6000, &told);
    CHECK_EQ_I64(told.partitions, 2);
    CHECK_EQ_I64(told.count, 2);
    CHECK_EQ_I64(told.rows[0].partition, 0);
    CHECK_EQ_I64(told.rows[0].records, 3);
    CHECK_EQ_I64(told.rows[0].ms, 2500);
    CHECK_EQ_I64(told.rows[1].records, 4);
    CHECK_EQ_I64(told.records, 7);
    CHECK_EQ_I64(told.longest_ms, 2500);
    bgw_kafka_lag_destroy(&lag);
}

TEST(of_more_partitions_than_have_room_those_that_are_behind_come_first)
{
    enum { MANY = BGW_KAFKA_LAGS_MAX + 50 };
    struct bgw_kafka_lag *lag = lag_of(MANY);
    static struct bgw_kafka_lags told;
    static int64_t to[MANY];
    to[MANY - 1] = 9;
    to[MANY - 3] = 2;
    bgw_kafka_lag_ends(lag, to, MANY, 5000);
    bgw_kafka_lag_look(lag, 6000, &told);
    CHECK_EQ_I64(told.partitions, MANY);
    CHECK_EQ_I64(told.count, BGW_KAFKA_LAGS_MAX);
    CHECK_EQ_I64(told.rows[0].partition, MANY - 3);
    CHECK_EQ_I64(told.rows[1].partition, MANY - 1);
    CHECK_EQ_I64(told.rows[2].partition, 0);
    CHECK_EQ_I64(told.records, 11);
    bgw_kafka_lag_destroy(&lag);
}
