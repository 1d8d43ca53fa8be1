/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read_reply: the answers of balance reads as responses: bodies, header lines, problems. Pure;
 * called by conn_read on a shard's thread.
 */
#ifndef BGW_WIRE_READ_REPLY_H
#define BGW_WIRE_READ_REPLY_H

#include "read_request.h"

#include "bgw/flags.h"
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

/* How an answer came about, as X-Cache-Status says it: from the best news to the worst. */
enum read_cache {
    READ_CACHE_HIT,       /* it was held here */
    READ_CACHE_BYPASS,    /* what is held here was not believed, and was proved or asked for anew */
    READ_CACHE_COALESCED, /* somebody else's question was under way */
    READ_CACHE_MISS,      /* it was asked for */
    READ_CACHE_STALE,
};
enum read_cache read_reply_cache(const struct read_request *q, const struct bgw_read_answer *answer);
/* Who said it, from the nearest to the farthest. What a source has said for an earlier read, and was held since, comes from this
 * gateway. */
enum read_source { READ_FROM_STREAM, READ_FROM_L1, READ_FROM_CACHE, READ_FROM_DATABASE };
enum read_source read_reply_source(const struct bgw_read_answer *answer);
/* What an answer comes to. */
enum bgw_refusal read_reply_verdict(const struct bgw_read_answer *answer, const struct bgw_flags *flags);
/* Each appends one whole response. `read_reply_one`: 200, or 304: then it is true. */
bool read_reply_one(struct bgw_buf *out, const struct read_context *x, const struct read_result *r);
void read_reply_many(struct bgw_buf *out, const struct read_context *x, const struct read_result *const *results, size_t count);
/* `r` NULL: it concerns no account. */
void read_reply_problem(struct bgw_buf *out, const struct read_context *x, enum bgw_refusal why, const struct read_result *r);
/* The token is not good any more: 401, with the words of the auth room. */
void read_reply_unauthorized(struct bgw_buf *out, const struct read_context *x, const char *code, const char *detail);
/* "2026-11-21T16:05:09.123Z", between quotes. */
void read_reply_time(struct bgw_buf *out, int64_t wall_ms);

#endif
