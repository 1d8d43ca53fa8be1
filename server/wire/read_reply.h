/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read_reply: the answers of balance reads as responses: bodies, header lines, problems. Pure;
 * called by conn_read on a shard's thread.
 */
#ifndef BGW_WIRE_READ_REPLY_H
#define BGW_WIRE_READ_REPLY_H

#include "read_request.h"

#include "bgw/shard.h"

/* what all answers of one request have in common; borrows */
struct read_context {
    const struct read_request *request;
    const struct bgw_feed *feed;
    struct bgw_slice tenant; /* whose accounts they are */
    const char *origins;
    struct bgw_now now;
    bool last; /* the connection ends with it */
};

/* one account's */
struct read_result {
    struct read_ask ask;
    enum bgw_refusal why;          /* NONE: `answer` has a value */
    struct bgw_read_answer answer; /* value NULL: there is none, or nobody was asked */
};

/* What an answer comes to. */
enum bgw_refusal read_reply_verdict(const struct bgw_read_answer *answer);
/* Each appends one whole response. `read_reply_one`: 200, or 304: then it is true. */
bool read_reply_one(struct bgw_buf *out, const struct read_context *x, const struct read_result *r);
void read_reply_many(struct bgw_buf *out, const struct read_context *x, const struct read_result *const *results, size_t count);
/* `r` NULL: it concerns no account. */
void read_reply_problem(struct bgw_buf *out, const struct read_context *x, enum bgw_refusal why, const struct read_result *r);
/* The token is not good any more: 401, with the words of the auth room. */
void read_reply_unauthorized(struct bgw_buf *out, const struct read_context *x, const char *code, const char *detail);

#endif
