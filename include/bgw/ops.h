/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops: the operator's port. A small, strict HTTP/1.1 responder of its own on a loop: it shares no
 * code with the client port, so it answers when that one is in trouble.
 *
 *   GET  /metrics  /health  /livez  /readyz[?verbose]  /version  /flags
 *   POST /revocations  /flags  /v1/warmup
 */
#ifndef BGW_OPS_H
#define BGW_OPS_H

#include "bgw/feed.h"
#include "bgw/flags.h"
#include "bgw/health.h"
#include "bgw/loop.h"
#include "bgw/revocations.h"
#include "bgw/tls.h"

#define BGW_ADMIN_CONNECTIONS_MAX 64 /* beyond it: 503 and close */

struct bgw_admin; /* its loop's thread only; create before the loop runs, destroy after */

struct bgw_admin_config {
    int listen_fd; /* taken */
    const char *version;
    void (*health)(void *arg, struct bgw_health *out);
    void *health_arg;
    struct bgw_tls *tls; /* NULL: plain */
    /* POST /revocations: `text` is the body. Returns the HTTP status at once, or 0 and calls bgw_admin_finish(token) on the loop's
     * thread later; `answer` gets the response's JSON body if the status is not 0. NULL: 404. */
    int (*revoke)(void *arg, struct bgw_slice text, uint64_t token, struct bgw_buf *answer);
    void *revoke_arg;
    struct bgw_flags *flags; /* GET and POST /flags; NULL: 404 */
    /* POST /v1/warmup: this account (part 0: in its default currency) is to be read soon. False: no room for it now. NULL: 404. */
    bool (*warm)(void *arg, const struct bgw_slot_name *name);
    void *warm_arg;
    const struct bgw_feed *feed; /* whose accounts are warmed; with `warm` */
    void (*audited)(void *arg, const char *path, int status); /* every POST; NULL: nobody cares */
    void *audited_arg;
};

BGW_MUST_CHECK enum bgw_status bgw_admin_create(struct bgw_admin **out, struct bgw_loop *loop,
                                                const struct bgw_admin_config *config);
void bgw_admin_destroy(struct bgw_admin **admin);
/* The late answer to a request that `revoke` took with `token`; ignored if its connection is gone. A status from 400 on is told as
 * a problem. */
void bgw_admin_finish(struct bgw_admin *admin, uint64_t token, int status, struct bgw_slice json);

/*
 * The way of a revocation: an operator's request is checked, acts here at once, is appended to the topic and then answered; a
 * record of the topic is checked and acts. What comes without `exp` is recorded with one, so that it does not live for ever by
 * being read again. A tombstone means that the topic forgets: it takes nothing back on a running gateway, where what was
 * revoked stays so until its `exp`.
 */
struct bgw_revoke_host; /* its loop's thread only, but bgw_revoke_full */
struct bgw_revoke_config {
    struct bgw_loop *loop;
    struct bgw_revocations *revocations; /* outlives the host */
    int64_t keep_s;
    void (*changed)(void *arg);          /* something more is revoked now: wake all shards; may be NULL */
    void *arg;
};
/* fixed-size value; borrows key and value */
struct bgw_revoke_record {
    int32_t partition;
    int64_t offset, timestamp_ms; /* -1: none */
    struct bgw_slice key, value;  /* value.data NULL: tombstone */
};
/* Writes to the topic; `done` once, later, on the loop's thread. False: not taken. bgw_kafka_log_append behind a void pointer. */
typedef bool (*bgw_revoke_append)(void *log, struct bgw_slice key, struct bgw_slice value,
                                  void (*done)(void *arg, enum bgw_status status), void *arg);

BGW_MUST_CHECK enum bgw_status bgw_revoke_create(struct bgw_revoke_host **out, const struct bgw_revoke_config *config);
/* Before the loop runs. `append` NULL: requests act here and are answered 503. */
void bgw_revoke_connect(struct bgw_revoke_host *host, struct bgw_admin *admin, bgw_revoke_append append, void *log);
/* bgw_admin_config.revoke, with the host as its argument. */
int bgw_revoke_request(void *host, struct bgw_slice text, uint64_t token, struct bgw_buf *answer);
void bgw_revoke_on_record(struct bgw_revoke_host *host, const struct bgw_revoke_record *r);
bool bgw_revoke_full(const struct bgw_revoke_host *host); /* any thread: some were lost for want of room; the gateway is degraded */
void bgw_revoke_destroy(struct bgw_revoke_host **host);   /* after the log, whose end answers what waits, and before the admin port */

/* A listening TCP socket on "host:port", "[v6]:port" or ":port"; port 0 picks a free one. `bound` gets
 * the address that it has. On failure `error` is a sentence that names `key` and what to do. */
BGW_MUST_CHECK enum bgw_status bgw_ops_listen(const char *key, const char *address, int *fd,
                                              struct bgw_buf *bound, struct bgw_buf *error);
/*
 * Is the address free? SO_REUSEPORT listeners of one user share a port without a word, so a second
 * gateway would take half of the first one's clients: asked before the client port is bound.
 */
BGW_MUST_CHECK enum bgw_status bgw_ops_probe(const char *key, const char *address,
                                             struct bgw_buf *error);

#endif
