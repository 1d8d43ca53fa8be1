/* SPDX-License-Identifier: Apache-2.0 */
/*
 * estate_methods: the hub's methods, one table for SignalR clients and for app frames. Hides their
 * names and how arguments become keys. Called by the two decoders on their shard's thread.
 * Invariant: a call leads to exactly one call of the session, an error included.
 */
#include "estate_private.h"

#include "bgw/http.h"

#include <stdlib.h>

#define TEXT_MIN 32768u /* the usual limit of a record */

static const struct estate_method methods[] = {
    {"SubscribeBalance", BGW_M_INVOCATIONS_SUBSCRIBE, false, true},
    {"UnsubscribeBalance", BGW_M_INVOCATIONS_UNSUBSCRIBE, false, false},
    {"SubscribeMultipleBalances", BGW_M_INVOCATIONS_SUBSCRIBE_MULTIPLE, true, true},
};

struct bgw_estate_scratch *bgw_estate_scratch_create(void)
{
    struct bgw_estate_scratch *s = calloc(1, sizeof(*s));
    if (s && !command_text_begin(&s->text, TEXT_MIN))
        bgw_estate_scratch_destroy(&s);
    return s;
}

void bgw_estate_scratch_destroy(struct bgw_estate_scratch **scratch)
{
    if (*scratch)
        command_text_deinit(&(*scratch)->text);
    free(*scratch);
    *scratch = NULL;
}

const struct estate_method *estate_method_called(struct bgw_slice name)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        if (!bgw_slice_eq_nocase(name, bgw_slice_str(methods[i].name)))
            continue;
        bgw_metric_add(methods[i].counter, 1);
        return &methods[i];
    }
    bgw_metric_add(BGW_M_INVOCATIONS_UNKNOWN, 1);
    return NULL;
}

static enum estate_bound bind_id(const struct bgw_estate *e, const struct bgw_json *value)
{
    struct bgw_estate_scratch *s = e->scratch;
    struct bgw_slice text;
    if (s->key_count == BGW_ESTATE_KEYS_MAX)
        return ESTATE_TOO_MANY;
    if (!command_text_take(&s->text, value, &text))
        return ESTATE_UNBOUND;
    command_key(e->feed, text, &s->keys[s->key_count++]);
    return ESTATE_BOUND;
}

/* An element that is no string outweighs that there are too many: the call could not be bound. */
static enum estate_bound bind_ids(const struct bgw_estate *e, const struct bgw_json *values)
{
    enum estate_bound bound = ESTATE_BOUND;
    const char *cursor = NULL;
    struct bgw_json value;
    if (values->type != BGW_JSON_ARRAY)
        return ESTATE_UNBOUND;
    while (bgw_json_next(values, &cursor, NULL, &value)) {
        enum estate_bound one = value.type == BGW_JSON_STRING ? bind_id(e, &value) : ESTATE_UNBOUND;
        if (one == ESTATE_UNBOUND)
            return one;
        if (one == ESTATE_TOO_MANY)
            bound = one;
    }
    return bound;
}

enum estate_bound estate_bind(const struct bgw_estate *e, const struct estate_method *method, const struct bgw_json *arguments)
{
    const char *cursor = NULL;
    struct bgw_json first, second;
    e->scratch->key_count = 0;
    if (!bgw_json_next(arguments, &cursor, NULL, &first) || bgw_json_next(arguments, &cursor, NULL, &second))
        return ESTATE_UNBOUND;
    return method->many ? bind_ids(e, &first) : bind_id(e, &first);
}

void estate_run(const struct bgw_estate *e, struct bgw_session *session, const struct estate_method *method, struct estate_call *call)
{
    const struct bgw_estate_scratch *s = e->scratch;
    struct bgw_slice feed = bgw_slice_str(e->feed->name);
    if (method->subscribe)
        bgw_session_sub(e->shard, session, estate_call_id(call), feed, s->keys, s->key_count);
    else
        bgw_session_unsub(e->shard, session, estate_call_id(call), feed, s->keys, s->key_count);
}

void estate_refuse(const struct bgw_estate *e, struct bgw_session *session, struct estate_call *call, const char *code,
                   const char *text)
{
    bgw_session_err(e->shard, session, true, estate_call_id(call), code, text, false);
}

void estate_refuse_too_many(const struct bgw_estate *e, struct bgw_session *session, struct estate_call *call)
{
    estate_refuse(e, session, call, "too_large", "a call may name 1000 accounts: make several calls");
}
