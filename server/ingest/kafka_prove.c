/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_prove: the one-second proof, the hub's queries, and partitions that lost their position.
 * A query is answered when every partition's end is known, fetched after it came; one that could
 * not be answered is asked again, the newest for all before it. A partition without a position
 * proves nothing: its end is left out until it has been put back on the log.
 */
#include "kafka_control_state.h"

#include "bgw/assert.h"
#include "bgw/log.h"

#include <stdlib.h>
#include <string.h>

#define QUERIES_IN_FLIGHT_MAX (REQUESTS_MAX / 2)
#define UNPROVED_MS 3000 /* without an answer for so long, Kafka is said to be away */

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

bool bgw_control_in_force(const struct bgw_kafka_control *c)
{
    return c->last_ends != NULL;
}

/* --- ends --- */

static bool ask_ends(struct bgw_kafka_control *c, uint64_t query)
{
    struct request *r = bgw_control_request(c, REQUEST_ENDS);
    if (!r)
        return false;
    r->query = query;
    r->count = c->serving.partitions;
    bgw_control_ask_offsets(c, r, RD_KAFKA_OFFSET_SPEC_LATEST, NULL);
    return true;
}

static int queries_in_flight(const struct bgw_kafka_control *c)
{
    int n = 0;
    for (size_t i = 0; i < REQUESTS_MAX; i++)
        n += c->requests[i].used && c->requests[i].kind == REQUEST_ENDS && c->requests[i].query;
    return n;
}

static void retry_query(struct bgw_kafka_control *c, uint64_t query)
{
    c->retry_query = max_u64(c->retry_query, query);
    bgw_control_arm(c, &c->query_timer, QUERY_RETRY_MS);
}

static void send_query(struct bgw_kafka_control *c, uint64_t query)
{
    if (query == 0)
        return;
    bool room = bgw_control_in_force(c) && queries_in_flight(c) < QUERIES_IN_FLIGHT_MAX;
    if (!room || !ask_ends(c, query))
        retry_query(c, query);
}

static void on_query_timer(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct bgw_kafka_control *c = BGW_CONTAINER(timer, struct bgw_kafka_control, query_timer);
    uint64_t query = c->retry_query;
    c->retry_query = 0;
    if (bgw_control_in_force(c))
        send_query(c, query);
    else
        c->retry_query = query; /* prove_start asks it */
}

static void on_proof_timer(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_kafka_control *c = BGW_CONTAINER(timer, struct bgw_kafka_control, proof_timer);
    bgw_control_arm(c, &c->proof_timer, PROOF_EVERY_MS);
    if (!bgw_control_in_force(c))
        return;
    if (now_ms - c->proved_mono_ms > UNPROVED_MS)
        bgw_control_trouble(c, TROUBLE_UNREACHABLE);
    if (c->proofs_in_flight < PROOFS_IN_FLIGHT_MAX && ask_ends(c, 0))
        c->proofs_in_flight++;
}

/* An end below an earlier one is another log, or a cut one. */
static bool note_ends(struct bgw_kafka_control *c, const int64_t *ends)
{
    bool went_back = false;
    for (int32_t i = 0; i < c->serving.partitions; i++) {
        if (ends[i] == BGW_OFFSET_UNKNOWN)
            continue;
        went_back |= c->last_ends[i] != BGW_OFFSET_UNKNOWN && ends[i] < c->last_ends[i];
        c->last_ends[i] = ends[i];
    }
    return went_back;
}

static int32_t hide_lost(const struct bgw_kafka_control *c, int64_t *ends)
{
    int32_t known = 0;
    for (int32_t i = 0; i < c->serving.partitions; i++) {
        if (c->lost[i] || ends[i] < 0)
            ends[i] = BGW_OFFSET_UNKNOWN;
        known += ends[i] != BGW_OFFSET_UNKNOWN;
    }
    return known;
}

static void send_ends(struct bgw_kafka_control *c, const struct request *r, int64_t *ends)
{
    struct bgw_kafka_news n = {
        .kind = BGW_NEWS_ENDS,
        .count = r->count,
        .round = r->round,
        .query = r->query,
        .asked_mono_ms = r->asked_mono_ms,
        .ends = ends,
    };
    bgw_control_news(c, &n);
}

static void on_proof(struct bgw_kafka_control *c, const struct request *r, int64_t *ends,
                     rd_kafka_resp_err_t worst)
{
    bgw_kafka_lag_ends(c->lag, ends, r->count, r->asked_wall_ms);
    bool went_back = note_ends(c, ends), gone = worst == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if ((went_back || gone) && c->phase == STEADY)
        bgw_control_look(c);
    if (worst)
        BGW_LOG(BGW_LOG_WARN, "kafka_ends_missing", {"topic", LS(c->name)},
                {"name", LS(rd_kafka_err2name(worst))});
    int32_t known = hide_lost(c, ends);
    if (known == 0) {
        free(ends);
        return;
    }
    c->proved_mono_ms = bgw_clock_now().mono_ms;
    if (c->phase == STEADY || c->phase == SWITCHING)
        bgw_control_trouble(c, TROUBLE_NONE);
    send_ends(c, r, ends);
}

void bgw_control_on_ends_event(struct bgw_kafka_control *c, const struct request *r,
                               rd_kafka_event_t *event)
{
    if (r->query == 0)
        c->proofs_in_flight--;
    if (!bgw_control_in_force(c) || r->round != c->round) {
        retry_query(c, r->query);
        return;
    }
    int64_t *ends = bgw_control_offsets(r->count);
    rd_kafka_resp_err_t worst;
    int32_t answered = bgw_kafka_offsets_read(event, ends, r->count, &worst);
    bgw_control_answered(c, answered > 0, worst);
    if (r->query == 0) {
        on_proof(c, r, ends, worst);
        return;
    }
    if (hide_lost(c, ends) < r->count) {
        free(ends);
        retry_query(c, r->query);
        return;
    }
    if (c->retry_query <= r->query)
        c->retry_query = 0;
    send_ends(c, r, ends);
}

/* --- queries --- */

void bgw_control_ask(struct bgw_kafka_control *c, uint64_t query, bool refresh)
{
    c->last_query = max_u64(c->last_query, query);
    if (!refresh || !bgw_control_in_force(c)) {
        send_query(c, query);
        return;
    }
    if (c->looking) {
        /* that look began before the question: only the next one counts */
        c->next_query = max_u64(c->next_query, query);
        c->look_again = true;
        return;
    }
    c->wait_query = max_u64(c->wait_query, query);
    if (c->phase == STEADY)
        bgw_control_look(c);
}

void bgw_control_looked(struct bgw_kafka_control *c, bool unchanged)
{
    bool again = c->look_again;
    c->look_again = false;
    if (unchanged) {
        send_query(c, c->wait_query);
        c->wait_query = 0;
        if (c->lost_count > 0 && !c->lost_asked)
            bgw_control_on_lost(c, NULL);
    }
    c->wait_query = max_u64(c->wait_query, c->next_query);
    c->next_query = 0;
    if (again || (unchanged && c->wait_query))
        bgw_control_arm(c, &c->look_timer, 1);
}

/* --- lost positions --- */

static void ask_lows(struct bgw_kafka_control *c)
{
    struct request *r = bgw_control_request(c, REQUEST_LOST);
    if (!r)
        return; /* the next look asks */
    int32_t *which = malloc((size_t)c->serving.partitions * sizeof(*which)), n = 0;
    BGW_ASSERT(which != NULL);
    for (int32_t i = 0; i < c->serving.partitions; i++) {
        if (c->lost[i])
            which[n++] = i;
    }
    r->count = n;
    bgw_control_ask_offsets(c, r, RD_KAFKA_OFFSET_SPEC_EARLIEST, which);
    c->lost_asked = true;
    free(which);
}

/* `command` NULL: the look that a lost position asked for found the same topic. */
void bgw_control_on_lost(struct bgw_kafka_control *c, const struct bgw_kafka_command *command)
{
    if (!bgw_control_in_force(c))
        return;
    if (!command) {
        ask_lows(c);
        return;
    }
    if (command->round != c->round || command->partition >= c->serving.partitions)
        return;
    if (!c->lost[command->partition]) {
        c->lost[command->partition] = true;
        c->lost_count++;
    }
    /* a recreated topic loses positions too: look before anything is moved */
    bgw_control_look(c);
}

void bgw_control_on_lost_event(struct bgw_kafka_control *c, const struct request *r,
                               rd_kafka_event_t *event)
{
    c->lost_asked = false;
    if (!bgw_control_in_force(c) || r->round != c->round)
        return;
    int64_t *at = bgw_control_offsets(c->serving.partitions);
    rd_kafka_resp_err_t worst;
    int32_t answered = bgw_kafka_offsets_read(event, at, c->serving.partitions, &worst);
    if (answered == 0) {
        free(at);
        bgw_control_arm(c, &c->look_timer, RETRY_MIN_MS);
        return;
    }
    c->lost_asked = true; /* until the hub has noted it */
    struct bgw_kafka_news n = {.kind = BGW_NEWS_FOUND,
                               .count = c->serving.partitions,
                               .round = c->round,
                               .at = at};
    bgw_control_news(c, &n);
}

void bgw_control_on_moved(struct bgw_kafka_control *c, const struct bgw_kafka_command *command)
{
    if (!bgw_control_in_force(c) || command->round != c->round)
        return;
    c->lost_asked = false;
    for (int32_t i = 0; i < command->count && i < c->serving.partitions; i++) {
        if (!c->lost[i] || command->at[i] < 0)
            continue;
        if (bgw_kafka_consumer_move(c->consumer, c->name, i, command->at[i]) != BGW_OK)
            continue;
        c->lost[i] = false;
        c->lost_count--;
        BGW_LOG(BGW_LOG_WARN, "kafka_position_found", {"partition", LI(i)},
                {"offset", LI(command->at[i])});
    }
    if (c->lost_count > 0)
        bgw_control_arm(c, &c->look_timer, RETRY_MIN_MS);
}

/* --- life cycle --- */

void bgw_control_prove_init(struct bgw_kafka_control *c)
{
    bgw_timer_init(&c->proof_timer, on_proof_timer);
    bgw_timer_init(&c->query_timer, on_query_timer);
}

/* More partitions: a lost one of the old ones is still lost. */
static void keep_lost(struct bgw_kafka_control *c, const bool *lost, int32_t count)
{
    for (int32_t i = 0; i < count && i < c->serving.partitions; i++) {
        c->lost[i] = lost[i];
        c->lost_count += lost[i];
    }
}

void bgw_control_prove_reopened(struct bgw_kafka_control *c)
{
    c->proofs_in_flight = 0;
    c->lost_asked = false;
    if (c->last_query)
        retry_query(c, c->last_query);
}

void bgw_control_prove_start(struct bgw_kafka_control *c)
{
    bool *lost = c->lost;
    int32_t lost_len = c->lost_len;
    c->lost = NULL;
    bgw_control_prove_stop(c);
    c->last_ends = bgw_control_offsets(c->serving.partitions);
    c->lost = calloc((size_t)c->serving.partitions, sizeof(*c->lost));
    BGW_ASSERT(c->lost != NULL);
    c->lost_len = c->serving.partitions;
    if (lost)
        keep_lost(c, lost, lost_len);
    free(lost);
    c->proved_mono_ms = bgw_clock_now().mono_ms;
    bgw_control_arm(c, &c->proof_timer, 0);
    /* answers of the old assignment may have been dropped on the way: the newest covers all */
    c->wait_query = c->next_query = c->retry_query = 0;
    send_query(c, c->last_query);
}

void bgw_control_prove_stop(struct bgw_kafka_control *c)
{
    free(c->last_ends);
    free(c->lost);
    c->last_ends = NULL;
    c->lost = NULL;
    c->lost_len = c->lost_count = 0;
    c->lost_asked = false;
}
