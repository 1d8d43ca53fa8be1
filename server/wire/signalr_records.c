/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signalr_records: what a SignalR client says, record by record: the handshake, then calls, pings
 * and its goodbye. Hides the JSON of records and ASP.NET's words for what is wrong with a call.
 * Called by conn for each whole record, on its shard's thread. Stricter than ASP.NET: 16 levels of
 * nesting, no member twice, an invocationId of at most 256 bytes, no NUL in names.
 */
#include "estate_private.h"

#include "bgw/http.h"

#include <stdio.h>

#define INVOCATION_BYTES_MAX 256u
#define PROTOCOL_BYTES_MAX 128u /* of a name that we repeat */

enum record_type {
    RECORD_INVOCATION = 1,
    RECORD_STREAM_ITEM,
    RECORD_COMPLETION,
    RECORD_STREAM_INVOCATION,
    RECORD_CANCEL,
    RECORD_PING,
    RECORD_CLOSE,
};

/* ---- the handshake ---- */

static void no_handshake(const struct bgw_estate *e, struct bgw_session *session, const char *reason)
{
    bgw_session_bye(e->shard, session, 3501, 0, reason);
}

/* NULL: it is good. Else why not, for bye; `sentence` holds it, perhaps. */
static const char *handshake_error(struct bgw_slice record, char *sentence, size_t cap)
{
    struct bgw_json root, protocol, version;
    char name[PROTOCOL_BYTES_MAX + 1];
    size_t len;
    int64_t number;
    if (bgw_json_parse(record, &root) != BGW_OK || root.type != BGW_JSON_OBJECT || !bgw_json_member(&root, "protocol", &protocol) ||
        !bgw_json_member(&root, "version", &version) ||
        bgw_json_string(&protocol, name, PROTOCOL_BYTES_MAX, &len) != BGW_OK || bgw_json_i64(&version, &number) != BGW_OK ||
        number < INT32_MIN || number > INT32_MAX)
        return "bad_handshake";
    name[len] = '\0';
    if (!bgw_slice_eq_nocase(bgw_slice_of(name, len), BGW_SLICE("json")))
        snprintf(sentence, cap, "The protocol '%s' is not supported.", name);
    else if (number < 1 || number > 2) /* 2 adds what only a stateful reconnect uses, which we never agree to */
        snprintf(sentence, cap, "The server does not support version %d of the '%s' protocol.", (int)number, name);
    else
        return NULL;
    return sentence;
}

bool bgw_signalr_greet(const struct bgw_estate *e, struct bgw_session *session, struct bgw_slice record,
                       const struct bgw_dialect *then)
{
    char sentence[PROTOCOL_BYTES_MAX + 128];
    struct bgw_buf answer;
    const char *error = handshake_error(record, sentence, sizeof(sentence));
    if (error) {
        no_handshake(e, session, error);
        return false;
    }
    bgw_buf_init(&answer, 64);
    estate_append_handshake(&answer, then);
    bool made = !answer.failed;
    if (made) {
        bgw_session_settle(e->shard, session, then);
        bgw_session_say(e->shard, session, bgw_buf_slice(&answer));
    } else {
        bgw_session_bye(e->shard, session, 3013, 0, "no_memory");
    }
    bgw_buf_deinit(&answer);
    return made;
}

void bgw_signalr_too_large(const struct bgw_estate *e, struct bgw_session *session)
{
    bgw_session_bye(e->shard, session, 3501, 0, "record_too_large");
}

/* ---- a record's shape ---- */

enum member { TYPE, TARGET, ARGUMENTS, INVOCATION_ID, STREAM_IDS, HEADERS, ERROR, RESULT, ITEM, ALLOW_RECONNECT, MEMBER_COUNT };

#define MAY_BE(type) (1u << (type))
#define ANYTHING ~0u

static const struct {
    const char *name;
    unsigned types;
} members[MEMBER_COUNT] = {
    [TYPE] = {"type", MAY_BE(BGW_JSON_NUMBER)},
    [TARGET] = {"target", MAY_BE(BGW_JSON_STRING)},
    [ARGUMENTS] = {"arguments", MAY_BE(BGW_JSON_ARRAY)},
    [INVOCATION_ID] = {"invocationId", MAY_BE(BGW_JSON_STRING)},
    [STREAM_IDS] = {"streamIds", MAY_BE(BGW_JSON_ARRAY)},
    [HEADERS] = {"headers", MAY_BE(BGW_JSON_OBJECT)},
    [ERROR] = {"error", MAY_BE(BGW_JSON_STRING)},
    [RESULT] = {"result", ANYTHING},
    [ITEM] = {"item", ANYTHING},
    [ALLOW_RECONNECT] = {"allowReconnect", MAY_BE(BGW_JSON_TRUE) | MAY_BE(BGW_JSON_FALSE)},
};

/* one record's */
struct record {
    struct bgw_json value[MEMBER_COUNT];
    unsigned has; /* a bit a member */
    int64_t type;
    struct estate_call call;
};

static bool has(const struct record *r, enum member m)
{
    return r->has & 1u << m;
}

/* In any order; unknown members are skipped. False: one that we know is of another type. */
static bool take_members(struct record *r, const struct bgw_json *root)
{
    const char *cursor = NULL;
    struct bgw_json name, value;
    while (bgw_json_next(root, &cursor, &name, &value)) {
        unsigned m = 0;
        while (m < MEMBER_COUNT && !bgw_json_is(&name, members[m].name))
            m++;
        if (m == MEMBER_COUNT)
            continue;
        if (!(members[m].types & MAY_BE(value.type)))
            return false;
        r->value[m] = value;
        r->has |= 1u << m;
    }
    return true;
}

static bool take_invocation(struct record *r, struct command_text *text)
{
    if (!has(r, INVOCATION_ID))
        return true;
    return command_text_take(text, &r->value[INVOCATION_ID], &r->call.invocation) &&
           r->call.invocation.len <= INVOCATION_BYTES_MAX;
}

/* Does it hold what its type needs; types that we do not know need nothing. */
static bool complete(struct record *r, struct command_text *text)
{
    bool call = r->type == RECORD_INVOCATION || r->type == RECORD_STREAM_INVOCATION;
    bool answers = r->type >= RECORD_STREAM_ITEM && r->type <= RECORD_CANCEL;
    if (answers && !r->call.invocation.len)
        return false;
    if (r->type == RECORD_STREAM_ITEM)
        return has(r, ITEM);
    if (r->type == RECORD_COMPLETION)
        return !(has(r, RESULT) && has(r, ERROR));
    if (!call)
        return true;
    return has(r, ARGUMENTS) && has(r, TARGET) && command_text_take(text, &r->value[TARGET], &r->call.method) &&
           r->call.method.len > 0;
}

static bool read_record(struct record *r, struct bgw_slice bytes, struct command_text *text)
{
    struct bgw_json root;
    return bgw_json_parse(bytes, &root) == BGW_OK && root.type == BGW_JSON_OBJECT && take_members(r, &root) && has(r, TYPE) &&
           bgw_json_i64(&r->value[TYPE], &r->type) == BGW_OK && take_invocation(r, text) && complete(r, text);
}

/* ---- calls ---- */

static void refuse(const struct bgw_estate *e, struct bgw_session *session, struct estate_call *call, const char *before,
                   const char *after)
{
    call->before = before;
    call->after = after;
    estate_refuse(e, session, call, "bad_request", NULL);
}

static void refuse_method(const struct bgw_estate *e, struct bgw_session *session, struct estate_call *call)
{
    call->before = "Unknown hub method '";
    call->after = "'";
    estate_refuse(e, session, call, "bad_op", NULL);
}

static void refuse_streams(const struct bgw_estate *e, struct bgw_session *session, struct estate_call *call, size_t streams)
{
    char after[128];
    snprintf(after, sizeof(after), "' on the server. HubException: Client sent %zu stream(s), Hub method expects 0.", streams);
    refuse(e, session, call, "An unexpected error occurred invoking '", after);
}

static size_t stream_count(const struct record *r)
{
    const char *cursor = NULL;
    struct bgw_json id;
    size_t count = 0;
    while (has(r, STREAM_IDS) && bgw_json_next(&r->value[STREAM_IDS], &cursor, NULL, &id))
        count++;
    return count;
}

/* What is looked at first is what ASP.NET looks at first: method, arguments, kind of call, streams. */
static void invoke(const struct bgw_estate *e, struct bgw_session *session, struct record *r)
{
    const struct estate_method *method = estate_method_called(r->call.method);
    if (!method) {
        refuse_method(e, session, &r->call);
        return;
    }
    enum estate_bound bound = estate_bind(e, method, &r->value[ARGUMENTS]);
    size_t streams = stream_count(r);
    if (bound == ESTATE_UNBOUND)
        refuse(e, session, &r->call, "Failed to invoke '", "' due to an error on the server.");
    else if (r->type == RECORD_STREAM_INVOCATION)
        refuse(e, session, &r->call, "The client attempted to invoke the non-streaming '", "' method with a streaming invocation.");
    else if (streams)
        refuse_streams(e, session, &r->call, streams);
    else if (bound == ESTATE_TOO_MANY)
        estate_refuse_too_many(e, session, &r->call);
    else
        estate_run(e, session, method, &r->call);
}

void bgw_signalr_record(const struct bgw_estate *e, struct bgw_session *session, struct bgw_slice record, struct bgw_now now)
{
    struct record r = {.call = {.wall_ms = now.wall_ms}};
    if (!command_text_begin(&e->scratch->text, record.len)) {
        bgw_session_bye(e->shard, session, 3013, 0, "no_memory");
        return;
    }
    if (!read_record(&r, record, &e->scratch->text)) {
        bgw_session_bye(e->shard, session, 3501, 0, "bad_request");
        return;
    }
    switch (r.type) {
    case RECORD_INVOCATION:
    case RECORD_STREAM_INVOCATION:
        invoke(e, session, &r);
        break;
    case RECORD_PING:
        bgw_session_on_client_ping(e->shard, session);
        break;
    case RECORD_CLOSE:
        bgw_session_bye(e->shard, session, 1000, 0, "client_close");
        break;
    default: /* stream items, completions and cancels of what we never began; types of later protocols */
        break;
    }
}
