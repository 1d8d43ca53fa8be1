/* SPDX-License-Identifier: Apache-2.0 */
/*
 * teller: records on the topic of balances. Hides how the accounts of the set of those to be told get out of it. Called on the
 * projector's thread. Invariants: records are handed to Kafka in the order in which Redis answered; an account leaves the set only
 * when a record has arrived that says what it owed.
 */
#include "projector_private.h"

#include "bgw/assert.h"
#include "bgw/metrics.h"

#include <inttypes.h>
#include <stdlib.h>

#define DRAIN_AT_ONCE 256
#define RECORD_BYTES_MAX 4096

/* ---- records ---- */

static bool is_default(const struct bgw_projector *p, const struct bgw_slot_name *n)
{
    return n->part == p->feed.default_part && bgw_slice_eq(bgw_slice_of(n->tenant, n->tenant_len), p->feed.default_tenant);
}

static void append_name(struct bgw_buf *out, const char *before, struct bgw_slice text)
{
    bgw_buf_append_str(out, before);
    bgw_buf_append(out, text);
}

static void write_key(struct bgw_projector *p, const struct bgw_slot_name *n)
{
    char part[BGW_PART_MAX];
    bgw_buf_clear(&p->key);
    bgw_buf_append(&p->key, bgw_slice_of(n->key, n->key_len));
    if (is_default(p, n))
        return;
    append_name(&p->key, "|", bgw_slice_of(n->tenant, n->tenant_len));
    append_name(&p->key, "|", bgw_slice_of(part, bgw_part_text(n->part, part)));
}

static void write_cause(struct bgw_buf *out, const struct tell *t)
{
    const struct entry *e = &t->event->entry;
    bool source = t == &t->event->tells[0];
    bgw_buf_append_str(out, ",\"deltaMinor\":");
    bgw_buf_append_i64(out, entry_of_one(e) ? 0 : source ? -e->minor : e->minor);
    if (!e->id_len)
        return;
    bgw_buf_append_str(out, e->id_is_text ? ",\"txnId\":\"" : ",\"txnId\":");
    bgw_buf_append(out, bgw_slice_of(e->id, e->id_len));
    if (e->id_is_text)
        bgw_buf_append_byte(out, '"');
}

static void write_record(struct bgw_projector *p, const struct tell *t)
{
    struct bgw_buf *out = &p->record;
    char part[BGW_PART_MAX];
    bgw_buf_clear(out);
    append_name(out, "{\"accountId\":\"", bgw_slice_of(t->name.key, t->name.key_len));
    bgw_buf_append_str(out, "\",\"minor\":");
    bgw_buf_append_i64(out, t->minor);
    append_name(out, ",\"currency\":\"", bgw_slice_of(part, bgw_part_text(t->name.part, part)));
    append_name(out, "\",\"pendingMinor\":0,\"tenant\":\"", bgw_slice_of(t->name.tenant, t->name.tenant_len));
    bgw_buf_append_str(out, "\",\"v\":");
    bgw_buf_append_u64(out, t->v);
    bgw_buf_append_str(out, ",\"ts\":");
    bgw_buf_append_i64(out, t->ts_ms);
    if (t->event)
        write_cause(out, t);
    bgw_buf_append_byte(out, '}');
}

static void on_written(void *arg, enum bgw_status status);

static bool send_one(struct bgw_projector *p, struct tell *t)
{
    if (!bgw_kafka_writer_has_room(p->writer))
        return false;
    write_key(p, &t->name);
    write_record(p, t);
    if (p->key.failed || p->record.failed)
        return false; /* no memory: later */
    const struct bgw_kafka_outgoing o = {.partition = -1, .key = bgw_buf_slice(&p->key), .value = bgw_buf_slice(&p->record)};
    return bgw_kafka_writer_send(p->writer, p->config.config->topic_balance_updates, &o, on_written, t);
}

void teller_send(struct bgw_projector *p)
{
    while (!p->ending && !bgw_list_empty(&p->tells)) {
        struct tell *t = BGW_CONTAINER(p->tells.next, struct tell, link);
        if (!send_one(p, t))
            return;
        bgw_list_remove(&t->link);
    }
}

void teller_add(struct bgw_projector *p, struct tell *t)
{
    bgw_list_init(&t->link);
    bgw_list_push_back(&p->tells, &t->link);
    teller_send(p);
}

/* ---- those to be told ---- */

static void end_told(struct tell *t, bool moved)
{
    struct bgw_projector *p = t->p;
    free(t);
    p->drain_moved |= moved;
    p->drain_flying--;
}

static void on_settled(void *arg, const struct bgw_redis_value *v)
{
    struct tell *t = arg;
    struct step s;
    step_read(v, &s);
    if (s.result == STEP_FAILED)
        positions_doubt(t->p->positions, s.words);
    end_told(t, true);
}

static void settle(struct tell *t)
{
    if (t->p->ending || !positions_settle(t->p->positions, t->drain, &t->name, t->v, on_settled, t))
        end_told(t, false); /* it stays in the set */
}

static void on_written(void *arg, enum bgw_status status)
{
    struct tell *t = arg;
    struct bgw_projector *p = t->p;
    bool ok = status == BGW_OK;
    p->refused = status;
    bgw_metric_add(ok ? BGW_M_PROJECTION_TOLD : BGW_M_PROJECTION_NOT_TOLD, 1);
    if (t->event)
        event_told(t->event, ok);
    else if (ok)
        settle(t);
    else
        end_told(t, false);
}

static void on_told(void *arg, const struct bgw_redis_value *v)
{
    struct tell *t = arg;
    struct step s;
    step_read(v, &s);
    if (s.result != STEP_TOLD || !s.account[0].tell || t->p->ending) {
        if (s.result == STEP_FAILED)
            positions_doubt(t->p->positions, s.words);
        end_told(t, s.result == STEP_GONE);
        return;
    }
    t->minor = s.account[0].minor;
    t->v = s.account[0].v;
    t->ts_ms = s.number[0];
    teller_add(t->p, t);
}

static void tell_later(struct bgw_projector *p, struct bgw_slice text)
{
    struct tell *t = calloc(1, sizeof(*t));
    if (!t)
        return;
    t->p = p;
    t->drain = p->drain;
    if (positions_name(&p->feed, text, &t->name) && positions_tell(p->positions, t->drain, &t->name, on_told, t))
        p->drain_flying++;
    else
        free(t);
}

static void on_untold(void *arg, const struct bgw_redis_value *v)
{
    struct bgw_projector *p = arg;
    for (size_t i = 0; v->type == BGW_REDIS_LIST && i < v->count && p->drain && !p->ending; i++)
        tell_later(p, v->items[i].text);
    p->drain_flying--;
}

void teller_turn(struct bgw_projector *p)
{
    teller_send(p);
    if (!p->drain || !p->live || p->drain_flying || p->draining)
        return;
    p->drain_moved = false;
    if (positions_untold(p->positions, DRAIN_AT_ONCE, on_untold, p))
        p->drain_flying++;
}

void teller_end(struct bgw_projector *p)
{
    BGW_ASSERT(p->ending);
    while (!bgw_list_empty(&p->tells)) {
        struct tell *t = BGW_CONTAINER(p->tells.next, struct tell, link);
        bgw_list_remove(&t->link);
        on_written(t, BGW_UNAVAILABLE);
    }
}
