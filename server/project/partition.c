/* SPDX-License-Identifier: Apache-2.0 */
/*
 * partition: what becomes of the events of one partition: read, applied by Redis, told, done. Hides how it goes back after a failure.
 * Called on the projector's thread. Invariants: steps of a partition are asked for in the order of its offsets; after the first that
 * fails nothing more is asked until all that were under way have ended and Redis has said where it is; nothing is reported done
 * that is not.
 */
#include "projector_private.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <stdlib.h>

#define AGAIN_MS 200     /* after a failure */
#define REFUSED_MS 2000
#define UNDER_WAY_MAX 6000 /* of all partitions: what the connection to Redis takes at a time, in commands and bytes */

_Static_assert(BGW_M_LEDGER_REJECTED_OVERFLOW == BGW_M_LEDGER_REJECTED_BAD_JSON + (int)ENTRY_OVERFLOW - (int)ENTRY_BAD_JSON,
               "the rows of bgw_ledger_events_rejected_total are in the order of the reasons");

static int64_t now_ms(const struct bgw_projector *p)
{
    return bgw_loop_now(p->loop).mono_ms;
}

/* ---- flow ---- */

static size_t window_max(const struct bgw_projector *p)
{
    size_t share = UNDER_WAY_MAX / (p->ours ? p->ours : 1), max = (size_t)p->config.config->project_window;
    return share && share < max ? share : max;
}

void partition_flow(struct partition *a)
{
    struct bgw_projector *p = a->p;
    size_t max = window_max(p);
    bool full = a->paused ? window_count(&a->window) > max / 2 : window_count(&a->window) >= max;
    bool pause = full || p->draining;
    if (a->state != PARTITION_RUNNING || pause == a->paused)
        return;
    a->paused = pause;
    bgw_kafka_group_pause(p->group, a->id, pause);
}

void partition_stop(struct partition *a, int64_t wait_ms)
{
    struct bgw_projector *p = a->p;
    if (a->state == PARTITION_AWAY || a->state == PARTITION_STOPPED || p->ending)
        return;
    bool ran = a->state == PARTITION_RUNNING;
    if (ran)
        bgw_metric_add(BGW_M_PROJECTION_STEPS_BACK, 1);
    if (ran && a->committed < a->window.done)
        a->committed = a->window.done;
    window_stop(&a->window);
    a->state = PARTITION_STOPPED;
    a->due_ms = now_ms(p) + wait_ms;
    if (a->id == 0)
        p->drain = 0;
    if (ran && !a->paused) {
        a->paused = true;
        bgw_kafka_group_pause(p->group, a->id, true);
    }
}

/* ---- one event ---- */

static void reject(const struct partition *a, int64_t offset, enum entry_reject why)
{
    bgw_metric_add((enum bgw_metric)((int)BGW_M_LEDGER_REJECTED_BAD_JSON + (int)why - (int)ENTRY_BAD_JSON), 1);
    BGW_LOG(BGW_LOG_WARN, "ledger_event_rejected", {"topic", LS(a->p->config.config->topic_ledger)}, {"partition", LI(a->id)},
            {"offset", LI(offset)}, {"reason", LS(entry_reject_text(why))});
}

static void end_event(struct event *e)
{
    struct partition *a = e->partition;
    struct bgw_projector *p = a->p;
    a->flying--;
    if (e->failed)
        partition_stop(a, AGAIN_MS);
    else if (window_end(&a->window, e->number) && a->state == PARTITION_RUNNING && !p->ending)
        bgw_kafka_group_done(p->group, a->id, a->window.done);
    free(e);
    if (!p->ending)
        partition_flow(a);
}

void event_told(struct event *e, bool ok)
{
    e->failed |= !ok;
    if (--e->waiting == 0)
        end_event(e);
}

static void tell_event(struct event *e, const struct step *s)
{
    struct bgw_projector *p = e->partition->p;
    bgw_metric_add(BGW_M_LEDGER_EVENTS_APPLIED, 1);
    e->waiting = 1; /* this one is ours, until all are on their way */
    for (int i = 0; i < 2; i++) {
        if (!s->account[i].tell || p->ending)
            continue;
        struct tell *t = &e->tells[i];
        *t = (struct tell){.p = p, .event = e, .name = i ? e->entry.dest : e->entry.source, .minor = s->account[i].minor,
                           .v = s->account[i].v, .ts_ms = e->ts_ms};
        e->waiting++;
        teller_add(p, t);
    }
    event_told(e, !p->ending);
}

static void on_applied(void *arg, const struct bgw_redis_value *v)
{
    struct event *e = arg;
    struct step s;
    step_read(v, &s);
    switch (s.result) {
    case STEP_TOLD:
        tell_event(e, &s);
        return;
    case STEP_QUIET:
        bgw_metric_add(BGW_M_LEDGER_EVENTS_QUIET, 1);
        break;
    case STEP_AGAIN:
        bgw_metric_add(BGW_M_LEDGER_EVENTS_AGAIN, 1);
        break;
    case STEP_OVERFLOW:
        reject(e->partition, e->offset, ENTRY_OVERFLOW);
        break;
    case STEP_PASSED:
        break;
    default: /* what follows it fails too, by the gap */
        if (s.result == STEP_FAILED && !e->partition->p->ending)
            positions_doubt(e->partition->p->positions, s.words);
        if (e->partition->state == PARTITION_RUNNING)
            BGW_LOG(BGW_LOG_WARN, "projection_steps_back", {"partition", LI(e->partition->id)}, {"offset", LI(e->offset)},
                    {"reason", LSL(s.result == STEP_GAP ? BGW_SLICE("Redis does not have what was applied before")
                                   : s.words.len        ? s.words
                                                        : BGW_SLICE("Redis did not answer"))});
        e->failed = true;
    }
    end_event(e);
}

static bool hand_over(struct partition *a, struct event *e)
{
    const struct apply step = {
        .partition = a->id,
        .offset = e->offset,
        .prev = a->prev,
        .told = a->window.done - 1,
        .ts_ms = e->ts_ms,
        .entry = e->readable ? &e->entry : NULL,
    };
    if (!positions_apply(a->p->positions, &step, on_applied, e))
        return false;
    a->flying++;
    a->prev = e->offset > a->prev ? e->offset : a->prev;
    a->told = a->told < step.told ? step.told : a->told;
    return true;
}

static struct partition *running(struct bgw_projector *p, int32_t id)
{
    struct partition *a = id >= 0 && id < p->partition_count ? p->partitions[id] : NULL;
    return a && a->state == PARTITION_RUNNING && !p->draining ? a : NULL;
}

static struct event *make_event(struct partition *a, int64_t offset)
{
    if (offset > a->window.last + 1) /* markers of transactions, compaction; nothing else may leave one out */
        BGW_LOG(BGW_LOG_DEBUG, "offsets_left_out", {"partition", LI(a->id)}, {"after", LI(a->window.last)}, {"offset", LI(offset)});
    struct event *e = malloc(sizeof(*e));
    if (!e || !window_enter(&a->window, offset, &e->number)) {
        free(e);
        partition_stop(a, AGAIN_MS);
        return NULL;
    }
    e->partition = a;
    e->offset = offset;
    e->waiting = 0;
    e->failed = e->readable = false;
    e->ts_ms = 0;
    if (offset >= a->high)
        a->high = offset + 1;
    return e;
}

static bool take(struct partition *a, struct event *e)
{
    if (hand_over(a, e)) {
        partition_flow(a);
        return true;
    }
    free(e);
    partition_stop(a, AGAIN_MS);
    return false;
}

void partition_record(struct bgw_projector *p, const struct bgw_kafka_log_record *r)
{
    struct partition *a = running(p, r->partition);
    if (!a || r->offset <= a->window.last)
        return; /* it has been gone back since, and will come again */
    struct event *e = make_event(a, r->offset);
    if (!e)
        return;
    e->ts_ms = r->timestamp_ms >= 0 ? r->timestamp_ms : bgw_loop_now(p->loop).wall_ms;
    enum entry_reject why = entry_read(&p->feed, r->value, &e->entry);
    e->readable = why == ENTRY_OK;
    if (take(a, e) && why != ENTRY_OK)
        reject(a, r->offset, why);
}

/*
 * Markers of transactions and what compaction took stand at the end: they are passed over like an event that cannot be read. What is
 * passed over by mistake would be money that is forgotten, so the client is moved back first, and has to say the same again.
 */
void partition_end(struct bgw_projector *p, int32_t id, int64_t next)
{
    struct partition *a = running(p, id);
    if (!a || next - 1 <= a->window.last)
        return;
    if (a->end_seen != next || a->end_after != a->window.last) {
        a->end_seen = next;
        a->end_after = a->window.last;
        bgw_kafka_group_begin(p->group, id, a->window.last + 1);
        return;
    }
    struct event *e = make_event(a, next - 1);
    if (e)
        (void)take(a, e);
}

/* ---- life ---- */

static struct partition *partition_of(struct bgw_projector *p, int32_t id)
{
    if (id < 0 || id >= PARTITIONS_MAX) {
        p->too_many = true;
        return NULL;
    }
    struct partition *a = p->partitions[id];
    if (a)
        return a;
    a = calloc(1, sizeof(*a));
    BGW_ASSERT(a); /* a few of them, when the group was joined */
    a->p = p;
    a->id = id;
    a->paused = true;
    p->partitions[id] = a;
    if (id >= p->partition_count)
        p->partition_count = id + 1;
    return a;
}

void partition_given(struct bgw_projector *p, const struct bgw_kafka_given *g)
{
    struct partition *a = partition_of(p, g->partition);
    if (!a)
        return;
    partition_stop(a, 0);
    a->state = PARTITION_STOPPED;
    a->refusal = STEP_FAILED;
    a->committed = g->committed;
    a->low = g->low;
    a->high = a->goal = g->high;
    a->paused = true;
    a->due_ms = 0;
    BGW_LOG(BGW_LOG_INFO, "partition_given", {"partition", LI(a->id)}, {"committed", LI(g->committed)}, {"low", LI(g->low)},
            {"high", LI(g->high)});
    partition_turn(a, now_ms(p));
}

void partition_taken(struct bgw_projector *p, int32_t id)
{
    struct partition *a = id >= 0 && id < p->partition_count ? p->partitions[id] : NULL;
    if (!a)
        return;
    window_stop(&a->window);
    a->state = PARTITION_AWAY;
    a->paused = true;
    if (id == 0)
        p->drain = 0;
    BGW_LOG(BGW_LOG_INFO, "partition_taken", {"partition", LI(id)});
}

static void refuse(struct partition *a, const struct step *s)
{
    bool news = a->refusal != s->result;
    a->state = PARTITION_REFUSED;
    a->refusal = s->result;
    a->due_ms = now_ms(a->p) + REFUSED_MS;
    if (!news)
        return;
    if (s->result == STEP_EPOCH)
        BGW_LOG(BGW_LOG_ERROR, "projection_refused", {"partition", LI(a->id)}, {"reason", LS("the positions were made of another topic")},
                {"theirs", LSL(s->words)});
    else
        BGW_LOG(BGW_LOG_ERROR, "projection_refused", {"partition", LI(a->id)},
                {"reason", LS(s->result == STEP_MISSING ? "events that are not applied are not in the log any more"
                                                        : "more was applied than the log holds")},
                {"applied", LI(s->number[0])}, {"low", LI(a->low)}, {"high", LI(a->high)});
}

static void run(struct partition *a, const struct step *s)
{
    struct bgw_projector *p = a->p;
    int64_t applied = s->number[0], from = s->number[1], target = s->number[2];
    window_begin(&a->window, from);
    a->state = PARTITION_RUNNING;
    a->refusal = STEP_FAILED;
    a->prev = applied;
    a->told = from - 1;
    a->end_seen = -1;
    if (a->id == 0)
        p->drain = s->number[3];
    BGW_LOG(BGW_LOG_INFO, "partition_begun", {"partition", LI(a->id)}, {"applied", LI(applied)}, {"from", LI(from)},
            {"quiet_up_to", LI(target)});
    bgw_kafka_group_begin(p->group, a->id, from);
    a->paused = p->draining;
    bgw_kafka_group_pause(p->group, a->id, a->paused);
}

static void on_begun(void *arg, const struct bgw_redis_value *v)
{
    struct partition *a = arg;
    struct step s;
    a->flying--;
    if (a->state != PARTITION_BEGINNING || a->p->ending)
        return; /* taken meanwhile, or given anew */
    step_read(v, &s);
    switch (s.result) {
    case STEP_BEGUN:
        run(a, &s);
        return;
    case STEP_MISSING:
    case STEP_SHORT:
    case STEP_EPOCH:
        refuse(a, &s);
        return;
    default:
        if (s.words.len)
            BGW_LOG(BGW_LOG_WARN, "projection_not_begun", {"partition", LI(a->id)}, {"reason", LSL(s.words)});
        positions_doubt(a->p->positions, s.words);
        a->state = PARTITION_STOPPED;
        a->due_ms = now_ms(a->p) + AGAIN_MS;
    }
}

void partition_turn(struct partition *a, int64_t at_ms)
{
    struct bgw_projector *p = a->p;
    bool waits = a->state == PARTITION_STOPPED || a->state == PARTITION_REFUSED;
    if (a->state == PARTITION_RUNNING)
        partition_flow(a);
    if (!waits || a->flying || a->due_ms > at_ms || p->draining || !positions_up(p->positions))
        return;
    const struct beginning b = {.partition = a->id, .committed = a->committed, .low = a->low, .high = a->high};
    if (!positions_begin(p->positions, &b, on_begun, a))
        return;
    a->flying++;
    a->state = PARTITION_BEGINNING;
}
