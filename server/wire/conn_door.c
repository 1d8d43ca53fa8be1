/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_door: who may come in: the budget of upgrades, the client's address behind a proxy, the
 * quotas of address, subject and tenant, and staff's certificates. Hides how a place is taken and
 * that it is given back. Called by conn and conn_ws on the shard's thread. Invariant: a connection
 * that is `counted` has its session's two places, and gives back exactly those, once.
 */
#include "conn_private.h"

#include "cors.h"
#include "forwarded.h"
#include "handshake.h"

#include "bgw/assert.h"
#include "bgw/hash.h"
#include "bgw/metrics.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the budget of upgrades ---- */

void conn_door_retry_after(struct bgw_conn_host *h, char out[40])
{
    int64_t wait_s = bgw_budget_retry_s(&h->budget, h->policy->handshakes_per_s, h->policy->storm_spread_s,
                                        bgw_loop_now(h->loop).mono_ms);
    snprintf(out, 40, "Retry-After: %lld\r\n", (long long)wait_s);
}

/* ---- the client behind a proxy ---- */

const struct bgw_addr *conn_door_client(const struct bgw_conn *c)
{
    return c->client ? &c->client->addr : bgw_socket_peer(c->sock);
}

static void give_address(struct bgw_conn *c)
{
    if (c->client && c->client->counted)
        bgw_quota_give(c->host->quota, BGW_QUOTA_ADDRESS, bgw_addr_line(&c->client->addr));
    free(c->client);
    c->client = NULL;
}

/* The transport has counted its peers; a proxy it does not count, for it speaks for many. */
static enum bgw_refusal take_address(struct bgw_conn *c, const struct bgw_addr *addr)
{
    struct bgw_conn_host *h = c->host;
    c->client = calloc(1, sizeof(*c->client));
    if (!c->client)
        return BGW_REFUSAL_INTERNAL;
    c->client->addr = *addr;
    if (!h->quota || !bgw_addr_known(addr) || bgw_nets_contain(h->policy->trusted_proxies, addr))
        return BGW_REFUSAL_NONE;
    return bgw_quota_take(h->quota, BGW_QUOTA_ADDRESS, bgw_addr_line(addr), h->policy->per_address_max,
                          &c->client->counted)
               ? BGW_REFUSAL_NONE
               : BGW_REFUSAL_ADDRESS_LIMIT;
}

enum bgw_refusal conn_door_shut(const struct bgw_conn *c)
{
    if (c->host->draining)
        return BGW_REFUSAL_DRAINING;
    return bgw_flag(c->host->api.flags, BGW_FLAG_PUSH) ? BGW_REFUSAL_NONE : BGW_REFUSAL_PUSH_OFF;
}

enum bgw_refusal conn_door_enter(struct bgw_conn *c, const struct bgw_http_request *r)
{
    const struct bgw_policy *p = c->host->policy;
    struct bgw_addr client;
    give_address(c); /* of a request before this one: a proxy's connection serves one client after the other */
    if (!bgw_budget_take(&c->host->budget, p->handshakes_per_s, conn_now(c).mono_ms))
        return BGW_REFUSAL_BUDGET;
    /* the peer, not the neighbour: who was named by a PROXY header is believed only if it is a proxy of ours too */
    if (!bgw_nets_contain(p->trusted_proxies, bgw_socket_peer(c->sock)))
        return BGW_REFUSAL_NONE;
    switch (bgw_forwarded_client(r, p->trusted_proxies, &client)) {
    case BGW_FORWARDED_BAD:
        return BGW_REFUSAL_BAD_FORWARDED;
    case BGW_FORWARDED_CLIENT:
    case BGW_FORWARDED_UNKNOWN:
        return take_address(c, &client);
    default:
        return BGW_REFUSAL_NONE;
    }
}

void conn_door_closed(struct bgw_conn *c)
{
    give_address(c);
}

/* ---- subject and tenant ---- */

/* Subjects of different tenants are different people. */
static uint64_t subject_key(uint64_t subject_hash, struct bgw_slice tenant)
{
    return bgw_hash_fnv64(subject_hash, tenant);
}

static uint64_t tenant_key(struct bgw_slice tenant)
{
    return bgw_hash_fnv64(BGW_FNV64_INIT, tenant);
}

static void give_places(struct bgw_conn *c, uint64_t subject_hash, struct bgw_slice tenant)
{
    if (!c->counted)
        return;
    c->counted = false;
    bgw_quota_give(c->host->quota, BGW_QUOTA_SUBJECT, subject_key(subject_hash, tenant));
    bgw_quota_give(c->host->quota, BGW_QUOTA_TENANT, tenant_key(tenant));
}

bool conn_door_take(struct bgw_conn *c, const struct bgw_claims *claims)
{
    const struct bgw_policy *p = c->host->policy;
    struct bgw_quota *q = c->host->quota;
    struct bgw_slice tenant = bgw_slice_str(claims->tenant);
    uint64_t subject = subject_key(claims->subject_hash, tenant);
    bool subject_taken = false, tenant_taken = false;
    BGW_ASSERT(!c->counted);
    if (!q)
        return true;
    if (!bgw_quota_take(q, BGW_QUOTA_SUBJECT, subject, p->per_subject_max, &subject_taken)) {
        bgw_metric_add(BGW_M_LIMITED_SUBJECT, 1);
        return false;
    }
    bool room = bgw_quota_take(q, BGW_QUOTA_TENANT, tenant_key(tenant), p->per_tenant_max, &tenant_taken);
    c->counted = subject_taken && tenant_taken;
    if (!c->counted && subject_taken)
        bgw_quota_give(q, BGW_QUOTA_SUBJECT, subject);
    if (!c->counted && tenant_taken)
        bgw_quota_give(q, BGW_QUOTA_TENANT, tenant_key(tenant));
    if (!room)
        bgw_metric_add(BGW_M_LIMITED_TENANT, 1);
    return room;
}

void conn_door_return(struct bgw_conn *c, const struct bgw_claims *claims)
{
    give_places(c, claims->subject_hash, bgw_slice_str(claims->tenant));
}

void conn_door_end(struct bgw_conn *c)
{
    struct bgw_holder holder;
    bgw_session_holder(c->session, &holder);
    give_places(c, holder.subject_hash, holder.tenant);
}

/* ---- tokens ---- */

bool conn_door_wait(struct bgw_conn *c, struct bgw_slice message)
{
    struct conn_key_wait *wait = calloc(1, sizeof(*wait));
    c->busy->key_wait = wait;
    if (wait && message.len)
        wait->message = bgw_blob_copy(message);
    if (!wait || (message.len && !wait->message)) {
        conn_abort(c);
        return false;
    }
    wait->until_ms = conn_now(c).mono_ms + c->host->policy->auth_ms;
    c->stop = true;
    if (!message.len)
        c->state = CONN_KEY_WAIT;
    conn_wait(c);
    conn_arm(c, c->host->key_retry_ms);
    return c->state != CONN_DONE;
}

static void refuse_text(struct bgw_conn *c, int status, const char *code, const char *sentence, const char *headers)
{
    struct bgw_buf body, lines;
    bgw_buf_init(&body, 1024);
    bgw_buf_init(&lines, BGW_CORS_BYTES_MAX + 256);
    bgw_buf_appendf(&body, "%s: %s", code, sentence);
    bgw_buf_append_str(&lines, status == 503 ? "Cache-Control: no-store\r\nRetry-After: 2\r\n" : "Cache-Control: no-store\r\n");
    bgw_buf_append_str(&lines, headers);
    bgw_cors_append(bgw_http_reader_request(c->busy->reader), c->host->policy->origins, &lines);
    bgw_buf_append_byte(&lines, 0);
    const struct bgw_http_reply r = {.status = status,
                                     .content_type = "text/plain; charset=utf-8",
                                     .body = bgw_buf_slice(&body),
                                     .headers = lines.failed ? headers : lines.data,
                                     .close = true};
    bgw_buf_clear(&c->host->out);
    bgw_http_reply(&c->host->out, &r, conn_now(c));
    conn_http_answered(c, true);
    bgw_buf_deinit(&body);
    bgw_buf_deinit(&lines);
}

static void refuse_token(struct bgw_conn *c, enum bgw_auth_result result, const struct bgw_claims *claims, unsigned flags)
{
    const struct bgw_http_problem p = {
        .status = 401,
        .code = bgw_auth_code(result),
        .detail = bgw_auth_sentence(result),
        .headers = result == BGW_AUTH_MISSING
                       ? "WWW-Authenticate: Bearer realm=\"balances\"\r\n"
                       : "WWW-Authenticate: Bearer realm=\"balances\", error=\"invalid_token\"\r\n",
    };
    if (result != BGW_AUTH_MISSING)
        conn_audit(c, BGW_AUDIT_REFUSED, claims->subject_hash ? claims : NULL, p.code);
    bool read = flags & CONN_TOKEN_REQUEST && !(flags & CONN_TOKEN_TEXT);
    if (!(flags & CONN_TOKEN_UNCOUNTED))
        bgw_metric_add(read ? BGW_M_READS_REFUSED : BGW_M_HANDSHAKES_UNAUTHORIZED, 1);
    if (flags & CONN_TOKEN_TEXT) {
        refuse_text(c, p.status, p.code, p.detail, p.headers);
        return;
    }
    conn_http_make_problem(c, &p);
    conn_http_answered(c, true);
}

static void refuse_rule(struct bgw_conn *c, enum bgw_refusal why, unsigned flags)
{
    if (flags & CONN_TOKEN_TEXT) {
        refuse_text(c, bgw_refusal_status(why), bgw_refusal_code(why), bgw_refusal_sentence(why), "");
    } else if (flags & CONN_TOKEN_REQUEST) {
        const char *headers = bgw_refusal_status(why) == 503 ? "Retry-After: 2\r\n" : NULL;
        if (bgw_refusal_status(why) == 401)
            headers = "WWW-Authenticate: Bearer realm=\"balances\", error=\"invalid_request\"\r\n";
        bgw_metric_add(BGW_M_READS_REFUSED, !(flags & CONN_TOKEN_UNCOUNTED));
        conn_http_problem(c, why, headers);
    } else {
        conn_http_refuse_handshake(c, why);
    }
}

static void wait_for_key(struct bgw_conn *c, unsigned flags)
{
    if (!c->busy->key_wait)
        (void)conn_door_wait(c, BGW_SLICE(""));
    else if (conn_now(c).mono_ms < c->busy->key_wait->until_ms)
        conn_arm(c, c->host->key_retry_ms); /* asked before: the deadline goes on */
    else
        refuse_rule(c, BGW_REFUSAL_KEY_UNAVAILABLE, flags);
}

enum conn_token conn_door_token(struct bgw_conn *c, const struct bgw_http_request *r, unsigned flags, struct bgw_claims *claims)
{
    size_t len = 0;
    bool given = false;
    *claims = (struct bgw_claims){0};
    enum bgw_refusal why = bgw_handshake_token(r, c->host->token, &len, &given);
    if (why) {
        refuse_rule(c, why, flags);
        return CONN_TOKEN_ENDED;
    }
    if (!given && !(flags & CONN_TOKEN_REQUIRED))
        return CONN_TOKEN_NONE;
    enum bgw_auth_result result = given ? bgw_native_verify(&c->host->native, bgw_slice_of(c->host->token, len), conn_now(c), claims) : BGW_AUTH_MISSING;
    if (result == BGW_AUTH_PENDING) {
        wait_for_key(c, flags);
        return CONN_TOKEN_ENDED;
    }
    if (result != BGW_AUTH_OK) {
        refuse_token(c, result, claims, flags);
        return CONN_TOKEN_ENDED;
    }
    if (conn_door_staff(c, claims))
        return CONN_TOKEN_OK;
    conn_audit(c, BGW_AUDIT_REFUSED, claims, bgw_refusal_code(BGW_REFUSAL_FORBIDDEN_CLIENT));
    refuse_rule(c, BGW_REFUSAL_FORBIDDEN_CLIENT, flags);
    bgw_claims_deinit(claims);
    return CONN_TOKEN_ENDED;
}

bool conn_door_staff(const struct bgw_conn *c, const struct bgw_claims *claims)
{
    if (!c->host->policy->staff_needs_certificate)
        return true;
    bool staff = claims->ops_read || bgw_grants_all(claims->grants);
    return !staff || bgw_socket_peer_verified(c->sock);
}

static const struct bgw_native_no *admit(void *conn, const struct bgw_claims *claims, bool first)
{
    static const struct bgw_native_no no_certificate = {
        3507, "client_certificate_required", "this token works only together with a client certificate"};
    static const struct bgw_native_no no_place = {
        3504, "connection_limit", "there are as many connections of this subject or tenant as allowed"};
    struct bgw_conn *c = conn;
    const struct bgw_native_no *no = NULL;
    if (!conn_door_staff(c, claims))
        no = &no_certificate;
    else if (first && !conn_door_take(c, claims))
        no = &no_place;
    if (no)
        conn_audit(c, BGW_AUDIT_REFUSED, claims, no->code);
    return no;
}

static void admitted(void *conn, const struct bgw_claims *claims)
{
    struct bgw_conn *c = conn;
    if (bgw_session_authenticated(c->session))
        conn_audit(c, BGW_AUDIT_SESSION, claims, NULL);
    else
        conn_door_return(c, claims);
}

static void refused(void *conn, const struct bgw_claims *claims, const char *code)
{
    conn_audit(conn, BGW_AUDIT_REFUSED, claims->subject_hash ? claims : NULL, code);
}

const struct bgw_native_door conn_door_native = {.admit = admit, .admitted = admitted, .refused = refused};
