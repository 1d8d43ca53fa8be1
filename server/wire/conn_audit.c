/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_audit: what connections have to tell the audit log. Hides how a session, or a token that got
 * none, becomes an event. Called by conn, conn_ws, conn_door and (bgw_conn_seen) the shard, on the
 * shard's thread. Invariant: without a log nothing is gathered; with one, nobody waits for it.
 */
#include "conn_private.h"

#include <stdio.h>

static const char *close_text(uint16_t code)
{
    static const struct {
        uint16_t code;
        const char *text;
    } texts[] = {
        {1000, "normal"},          {1001, "going_away"},    {1002, "protocol_error"}, {1003, "not_text"},
        {1006, "lost"},            {1007, "bad_utf8"},      {1008, "policy"},         {1009, "too_large"},
        {3001, "draining"},        {3005, "token_expired"}, {3008, "stalled"},        {3012, "no_pong"},
        {3013, "over_capacity"},   {3500, "invalid_token"}, {3501, "bad_request"},    {3504, "connection_limit"},
        {3507, "forbidden"},       {3510, "revoked"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        if (texts[i].code == code)
            return texts[i].text;
    }
    return "other";
}

static void copy(char *to, size_t cap, struct bgw_slice from)
{
    size_t len = from.len < cap ? from.len : cap - 1;
    if (len)
        memcpy(to, from.data, len);
    to[len] = '\0';
}

static void fill_who(const struct bgw_conn *c, const struct bgw_claims *claims, struct bgw_audit_event *e)
{
    if (c->session)
        e->conn = bgw_session_conn_id(c->session);
    if (claims) {
        e->subject_hash = claims->subject_hash;
        e->jti_hash = claims->jti_hash;
        copy(e->tenant, sizeof(e->tenant), bgw_slice_str(claims->tenant));
    } else if (c->session && bgw_session_authenticated(c->session)) {
        struct bgw_holder holder;
        bgw_session_holder(c->session, &holder);
        e->subject_hash = holder.subject_hash;
        e->jti_hash = holder.jti_hash;
        copy(e->tenant, sizeof(e->tenant), holder.tenant);
    }
}

/* All that every event has; the caller adds its own. */
static void begin(const struct bgw_conn *c, enum bgw_audit_kind kind, const struct bgw_claims *claims,
                  struct bgw_audit_event *e)
{
    *e = (struct bgw_audit_event){.kind = (uint8_t)kind, .wall_ms = conn_now(c).wall_ms};
    e->addr = *conn_door_client(c);
    e->has_addr = bgw_addr_known(&e->addr);
    fill_who(c, claims, e);
}

void conn_audit(const struct bgw_conn *c, enum bgw_audit_kind kind, const struct bgw_claims *claims, const char *code)
{
    struct bgw_audit_event e;
    if (!c->host->audit)
        return;
    begin(c, kind, claims, &e);
    if (kind == BGW_AUDIT_ENDED) {
        e.close_code = c->close_code ? c->close_code : 1006;
        code = close_text(e.close_code);
    }
    copy(e.code, sizeof(e.code), bgw_slice_str(code));
    bgw_audit_put(c->host->audit, &e);
}

void conn_audit_key(const struct bgw_conn *c, enum bgw_audit_kind kind, const struct bgw_claims *claims,
                    const struct conn_audit_slot *slot)
{
    struct bgw_audit_event e;
    if (!c->host->audit)
        return;
    begin(c, kind, claims, &e);
    e.part = slot->part;
    e.has_key = slot->key.data != NULL;
    copy(e.key, sizeof(e.key), slot->key);
    copy(e.code, sizeof(e.code), bgw_slice_str(slot->code));
    bgw_audit_put(c->host->audit, &e);
}

void bgw_conn_seen(void *arg, void *conn, enum bgw_seen what, struct bgw_slice key, bgw_part part, const char *code)
{
    static const enum bgw_audit_kind kinds[] = {
        [BGW_SEEN_SUBSCRIBED] = BGW_AUDIT_SUBSCRIBED,     [BGW_SEEN_DENIED] = BGW_AUDIT_DENIED,
        [BGW_SEEN_UNSUBSCRIBED] = BGW_AUDIT_UNSUBSCRIBED, [BGW_SEEN_REVOKED] = BGW_AUDIT_REVOKED,
        [BGW_SEEN_REFRESHED] = BGW_AUDIT_REFRESHED,
    };
    const struct conn_audit_slot slot = {key, part, code};
    (void)arg;
    conn_audit_key(conn, kinds[what], NULL, &slot);
}
