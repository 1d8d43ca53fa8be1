/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit: who saw what, when, by which token, and who was refused and why, as JSON lines. Callers
 * never wait: an event is a fixed-size value in a bounded queue; a thread formats, masks and writes.
 * What does not fit, or cannot be written, is counted and said in the next line that can be.
 */
#ifndef BGW_AUDIT_H
#define BGW_AUDIT_H

#include "bgw/buf.h"
#include "bgw/clock.h"
#include "bgw/net.h"
#include "bgw/status.h"
#include "bgw/types.h"

struct bgw_audit; /* any thread; NULL is allowed everywhere and does nothing */

enum bgw_audit_kind {
    BGW_AUDIT_SESSION,      /* a token was accepted */
    BGW_AUDIT_REFUSED,      /* a token was refused; `code` says why */
    BGW_AUDIT_SUBSCRIBED,   /* may see `key` from now on */
    BGW_AUDIT_DENIED,       /* asked for `key` and may not; `code` */
    BGW_AUDIT_UNSUBSCRIBED,
    BGW_AUDIT_REVOKED,      /* `key` (or, without one, everything) was taken away; `code` */
    BGW_AUDIT_REFRESHED,    /* another token of the same subject */
    BGW_AUDIT_ENDED,        /* the session; `code` is the close code's text */
    BGW_AUDIT_READ,         /* was shown `key` once, as the answer to a request */
    BGW_AUDIT_ADMIN,        /* an operator's call; `key` is the path, `code` the outcome */
};

struct bgw_audit_event { /* fixed-size value */
    uint8_t kind;
    bool has_addr, has_key;
    uint16_t close_code; /* ENDED */
    bgw_part part;       /* 0: none */
    int64_t wall_ms;
    uint64_t conn, subject_hash, jti_hash; /* 0: not known */
    struct bgw_addr addr;
    char tenant[BGW_TENANT_MAX + 1];
    char key[BGW_KEY_MAX + 1];
    char code[32];
};

struct bgw_audit_config {
    const char *path;     /* a file, opened for appending; "-": standard output */
    size_t queue_max;     /* events that may wait */
    uint8_t mask_key[32]; /* for the keyed hash beside a masked account: the same on every replica */
};
BGW_MUST_CHECK enum bgw_status bgw_audit_create(struct bgw_audit **out, const struct bgw_audit_config *config,
                                                struct bgw_buf *error);
void bgw_audit_put(struct bgw_audit *a, const struct bgw_audit_event *e); /* never blocks */
void bgw_audit_reopen(struct bgw_audit *a);  /* SIGHUP: after a rotation */
void bgw_audit_destroy(struct bgw_audit **a); /* writes what waits, for at most a second */

#endif
