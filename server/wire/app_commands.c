/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app_commands: what the estate's app says: {"type":"invoke","method":…,"args":[…]}. Hides that form
 * and what counts as a strike: each message that was refused, in part or whole, or was nonsense.
 * Called by conn for each whole text message, on its shard's thread.
 */
#include "estate_private.h"

static void refuse(const struct bgw_estate *e, struct bgw_session *session, struct estate_call *call, const char *code,
                   const char *text)
{
    estate_refuse(e, session, call, code, text);
    call->refused = true; /* also of a session that says nothing any more */
}

static void invoke(const struct bgw_estate *e, struct bgw_session *session, const struct bgw_json *root, struct estate_call *call)
{
    struct bgw_json name, args;
    if (!bgw_json_member(root, "method", &name) || !command_text_take(&e->scratch->text, &name, &call->method)) {
        refuse(e, session, call, "bad_request", "invoke needs a method: the name of one of the hub");
        return;
    }
    if (!bgw_json_member(root, "args", &args) || args.type != BGW_JSON_ARRAY) {
        refuse(e, session, call, "bad_request", "invoke needs args: an array, such as [\"msisdn::2348100000001\"]");
        return;
    }
    const struct estate_method *method = estate_method_called(call->method);
    if (!method) {
        call->before = "Unknown hub method '";
        call->after = "'";
        refuse(e, session, call, "bad_op", NULL);
        return;
    }
    switch (estate_bind(e, method, &args)) {
    case ESTATE_BOUND:
        estate_run(e, session, method, call);
        return;
    case ESTATE_TOO_MANY:
        estate_refuse_too_many(e, session, call);
        return;
    case ESTATE_UNBOUND:
        refuse(e, session, call, "bad_request",
               method->many ? "args must hold one array of account ids" : "args must hold one account id");
        return;
    }
}

static void read_message(const struct bgw_estate *e, struct bgw_session *session, struct bgw_slice message,
                         struct estate_call *call)
{
    struct bgw_json root, type;
    if (!command_text_begin(&e->scratch->text, message.len)) {
        refuse(e, session, call, "too_large", "there is no memory for a message of this size now");
        return;
    }
    enum bgw_status status = bgw_json_parse(message, &root);
    if (status != BGW_OK || root.type != BGW_JSON_OBJECT) {
        refuse(e, session, call, "bad_json", status == BGW_OK ? "a message is one JSON object" : bgw_status_text(status));
        return;
    }
    if (!bgw_json_member(&root, "type", &type) || !bgw_json_is(&type, "invoke")) {
        refuse(e, session, call, "bad_request", "type must be \"invoke\"");
        return;
    }
    invoke(e, session, &root, call);
}

void bgw_app_message(const struct bgw_estate *e, struct bgw_session *session, struct bgw_slice message, struct bgw_now now)
{
    struct estate_call call = {.wall_ms = now.wall_ms};
    read_message(e, session, message, &call);
    if (call.refused)
        bgw_session_strike(e->shard, session);
}

bool bgw_app_is(struct bgw_slice message)
{
    struct bgw_json root, type;
    if (!message.len || memchr(message.data, BGW_RECORD_END, message.len))
        return false;
    return bgw_json_parse(message, &root) == BGW_OK && root.type == BGW_JSON_OBJECT && bgw_json_member(&root, "type", &type) &&
           type.type == BGW_JSON_STRING;
}
