/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin_private: what origin.c shares with the two ways of asking. origin.c keeps the calls, their
 * deadlines and the promise that each is answered once; a backend starts one, takes one back, and
 * reports what came of it.
 */
#ifndef BGW_READ_ORIGIN_PRIVATE_H
#define BGW_READ_ORIGIN_PRIVATE_H

#include "origin.h"

#include "bgw/list.h"

#define ORIGIN_CALLS_MAX 4096

struct origin_call { /* one question under way */
    struct bgw_list link;    /* of the origin's calls */
    struct bgw_list waiting; /* the backend's */
    struct bgw_origin *origin;
    void *work; /* the backend's; NULL: nothing is under way for it */
    uint64_t id;
    struct bgw_slot_name name;
    int64_t timeout_ms;
    struct bgw_timer deadline;
};

struct origin_backend {
    void (*begin)(struct bgw_origin *o);                         /* the loop's first turn */
    bool (*start)(struct bgw_origin *o, struct origin_call *c);  /* false: it cannot be asked now */
    void (*cancel)(struct bgw_origin *o, struct origin_call *c); /* fine if it was not started */
    bool (*list)(struct bgw_origin *o);                          /* false: not now */
    void (*destroy)(struct bgw_origin *o);                       /* fine if half made */
};

struct origin_http;
struct origin_pg;

struct bgw_origin {
    struct bgw_loop *loop;
    struct bgw_origin_config config; /* its strings are the backend's */
    const struct origin_backend *backend;
    struct origin_http *http;
    struct origin_pg *pg;
    struct bgw_list calls;
    size_t count;
    bool up;
    struct bgw_timer first;    /* the loop's first turn */
    struct bgw_timer list_off; /* a list that could not be begun ends from the loop */
    void (*list_key)(void *arg, struct bgw_slice tenant, struct bgw_slice key);
    void (*list_done)(void *arg, bool complete); /* NULL: no list is being read */
    void *list_arg;
    uint64_t listed, strange; /* keys of it; those that nobody can ask for */
};

enum bgw_status origin_http_create(struct bgw_origin *o, struct bgw_buf *error);
enum bgw_status origin_pg_create(struct bgw_origin *o, struct bgw_buf *error);

/* What came of a call, which is gone afterwards. */
void origin_found(struct origin_call *c, struct bgw_decoded *found, struct bgw_slice body); /* takes the value */
void origin_missing(struct origin_call *c);
void origin_failed(struct origin_call *c);
void origin_set_up(struct bgw_origin *o, bool up);
void origin_listed(struct bgw_origin *o, struct bgw_slice tenant, struct bgw_slice key); /* tenant.data NULL: the default */
void origin_list_end(struct bgw_origin *o, bool whole);

/* A list as text: a JSON array, or a line each, of ids and of {"accountId","tenant"}. */
enum origin_list_step { ORIGIN_LIST_KEY, ORIGIN_LIST_END, ORIGIN_LIST_BROKEN };
struct origin_list_text {
    struct bgw_slice left;
    bool array, begun, ended;
    char key[BGW_KEY_MAX + 1], tenant[BGW_TENANT_MAX + 1]; /* of the last key; one byte more than is valid */
};
void origin_list_text_init(struct origin_list_text *t, struct bgw_slice text);
enum origin_list_step origin_list_text_next(struct origin_list_text *t, struct bgw_slice *tenant, struct bgw_slice *key);

#endif
