/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_value: hides hiredis' reply objects and the kinds that RESP3 adds: a map is a list of names
 * and values in turn, a truth an integer, a double its text. Depth and members are the reader's to bound;
 * pure, called by link_io for each answer.
 */
#include "link_value.h"

#include "bgw/assert.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

static size_t members_of(const struct redisReply *r)
{
    size_t n = r->elements;
    for (size_t i = 0; i < r->elements; i++)
        n += members_of(r->element[i]);
    return n;
}

static void convert(struct bgw_redis_values *all, struct bgw_redis_value *out, const struct redisReply *r);

static void convert_list(struct bgw_redis_values *all, struct bgw_redis_value *out, const struct redisReply *r)
{
    struct bgw_redis_value *items = (all->more ? all->more : all->kept) + all->used;
    all->used += r->elements;
    for (size_t i = 0; i < r->elements; i++)
        convert(all, &items[i], r->element[i]);
    *out = (struct bgw_redis_value){.type = BGW_REDIS_LIST, .items = items, .count = r->elements};
}

static void convert(struct bgw_redis_values *all, struct bgw_redis_value *out, const struct redisReply *r)
{
    *out = (struct bgw_redis_value){.type = BGW_REDIS_NIL};
    switch (r->type) {
    case REDIS_REPLY_NIL:
        return;
    case REDIS_REPLY_INTEGER:
    case REDIS_REPLY_BOOL:
        out->type = BGW_REDIS_INTEGER;
        out->integer = r->integer;
        return;
    case REDIS_REPLY_ARRAY:
    case REDIS_REPLY_MAP:
    case REDIS_REPLY_SET:
    case REDIS_REPLY_ATTR:
    case REDIS_REPLY_PUSH:
        convert_list(all, out, r);
        return;
    default:
        out->type = r->type == REDIS_REPLY_ERROR ? BGW_REDIS_ERROR : BGW_REDIS_TEXT;
        out->text = bgw_slice_of(r->str, r->len);
    }
}

bool bgw_redis_values_of(struct bgw_redis_values *out, const struct redisReply *reply)
{
    size_t n = members_of(reply);
    out->used = 0;
    out->push = reply->type == REDIS_REPLY_PUSH;
    out->more = n > BGW_REDIS_VALUES_KEPT ? calloc(n, sizeof(*out->more)) : NULL;
    if (n > BGW_REDIS_VALUES_KEPT && !out->more)
        return false;
    convert(out, &out->root, reply);
    BGW_ASSERT(out->used == n);
    return true;
}

void bgw_redis_values_free(struct bgw_redis_values *v)
{
    free(v->more);
}
