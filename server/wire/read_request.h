/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read_request: a GET of balances, taken apart: which accounts, since which version, how sure. Pure;
 * called by conn_read on a shard's thread. What it hands out borrows the request.
 */
#ifndef BGW_WIRE_READ_REQUEST_H
#define BGW_WIRE_READ_REQUEST_H

#include "bgw/feed.h"
#include "bgw/http.h"

#define READ_ACCOUNTS_MAX 200u /* of one request */
#define READ_TEXT_MAX 128u     /* of an account that is no account, repeated in its answer */

struct read_request {
    const struct bgw_http_request *http;
    bool many;  /* /v1/balances */
    bool prove; /* Cache-Control: no-cache */
    bool has_floor;
    struct bgw_version floor; /* epoch 0: of any epoch */
    bgw_part part;            /* currency=; 0: not said */
    struct bgw_slice tenant;  /* X-Tenant-Id; data NULL: not said */
    struct bgw_slice id;      /* of the path, where it is one */
    size_t count;             /* accounts asked for */
};

/* one account */
struct read_ask {
    enum bgw_refusal why; /* NONE: it can be asked for */
    bgw_part part;        /* 0: not said */
    uint8_t key_len;      /* of `text`; of an account that is none: all that can be shown, perhaps nothing */
    char text[READ_TEXT_MAX];
};

/* NONE, or why all of it is refused. Does not look at the accounts of /v1/balances, but counts them. */
enum bgw_refusal read_request_parse(struct read_request *out, const struct bgw_http_request *r, const struct bgw_feed *feed);
/* The accounts as they were asked for, `count` of them. `walk` begins as zeros. */
void read_request_next(const struct read_request *q, const struct bgw_feed *feed, struct bgw_http_params *walk,
                       struct read_ask *out);
/* Is the version one of If-None-Match's. */
bool read_request_has_tag(const struct bgw_http_request *r, struct bgw_slice version);

#endif
