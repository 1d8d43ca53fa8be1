/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reads_check: reads an answer and holds it against what was said. The value belongs to the version
 * (feed_value, which the stub origin and the feed use too), the account is the one that was asked for,
 * no version is older than one that was shown before the request left, none is newer than the origin's
 * clock has got. The rules are the contract's, written down a second time: no code of the server.
 */
#define _GNU_SOURCE
#include "reads.h"

#include "swarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

/* ---- the head ---- */

static const char *const CACHE_TEXTS[] = {"HIT", "MISS", "STALE", "BYPASS", "COALESCED"};
static const char *const SOURCE_TEXTS[] = {"stream", "l1", "cache", "database"};

static unsigned word_of(const char *const *texts, unsigned count, const char *value, size_t len)
{
    for (unsigned i = 0; i < count; i++)
        if (strlen(texts[i]) == len && memcmp(texts[i], value, len) == 0)
            return i;
    return count;
}

static bool name_is(const char *line, size_t len, const char *name, size_t name_len)
{
    return len > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0;
}
#define NAME_IS(line, len, name) name_is(line, len, name, sizeof(name) - 1)

static void take_header(const char *line, size_t len, struct response *out, long *length)
{
    const char *colon = memchr(line, ':', len), *value = colon ? colon + 1 : line + len;
    while (value < line + len && *value == ' ')
        value++;
    size_t value_len = (size_t)(line + len - value);
    if (NAME_IS(line, len, "content-length"))
        *length = strtol(value, NULL, 10);
    else if (NAME_IS(line, len, "x-cache-status"))
        out->cache = (enum cache_word)word_of(CACHE_TEXTS, CACHE_NONE, value, value_len);
    else if (NAME_IS(line, len, "x-balance-source"))
        out->source = (enum source_word)word_of(SOURCE_TEXTS, FROM_NONE, value, value_len);
    else if (NAME_IS(line, len, "connection"))
        out->closes = value_len == 5 && strncasecmp(value, "close", 5) == 0;
}

/* `bytes` ends with a NUL that is not counted. */
enum parsed response_parse(const char *bytes, size_t len, struct response *out)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    long length = -1;
    if (!end)
        return len < LANE_BYTES ? PARSED_PART : PARSED_NONSENSE;
    if (end - bytes < 12 || memcmp(bytes, "HTTP/1.1 ", 9) != 0)
        return PARSED_NONSENSE;
    *out = (struct response){.status = atoi(bytes + 9), .cache = CACHE_NONE, .source = FROM_NONE};
    const char *line = memchr(bytes, '\n', (size_t)(end + 2 - bytes));
    while (line && line < end) {
        const char *text = line + 1, *stop = memchr(text, '\r', (size_t)(end + 1 - text));
        if (!stop)
            break;
        take_header(text, (size_t)(stop - text), out, &length);
        line = stop + 1;
    }
    if (length < 0 || length > LANE_BYTES)
        return PARSED_NONSENSE;
    out->body = end + 4;
    out->body_len = (size_t)length;
    out->total = (size_t)(out->body - bytes) + out->body_len;
    if (out->total > LANE_BYTES)
        return PARSED_NONSENSE;
    return out->total <= len ? PARSED_WHOLE : PARSED_PART;
}

/* ---- the body ---- */

static const char *after(const struct response *r, const char *words, size_t len)
{
    const char *at = memmem(r->body, r->body_len, words, len);
    return at ? at + len : NULL;
}
#define AFTER(r, words) after(r, words, sizeof(words) - 1)

/* "epoch.seq" or "epoch.seq.read", up to the quote. */
static bool parse_version(const char *text, struct seen *out)
{
    size_t n = strcspn(text, ".\"");
    char *end;
    if (n == 0 || n >= sizeof(out->epoch) || text[n] != '.')
        return false;
    *out = (struct seen){0};
    memcpy(out->epoch, text, n);
    out->seq = strtoull(text + n + 1, &end, 10);
    if (*end == '.')
        out->read = strtoull(end + 1, &end, 10);
    return *end == '"';
}

static bool older(const struct seen *a, const struct seen *b)
{
    return a->seq < b->seq || (a->seq == b->seq && a->read < b->read);
}

/* The version of the origin's clock; 0: it has none. */
static uint64_t newest_possible(const struct reads_options *o)
{
    struct timespec t;
    if (!o->period_ms)
        return 0;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)((int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000) / (uint64_t)o->period_ms;
}

static void check_order(struct load *l, const struct lane *at, const struct seen *shown)
{
    struct seen *newest = &l->seen[at->account];
    uint64_t possible = newest_possible(l->opt);
    l->now->futures += possible && shown->seq > possible;
    if (at->floor.epoch[0] && strcmp(at->floor.epoch, shown->epoch) == 0)
        l->now->regressions += older(shown, &at->floor);
    if (newest->epoch[0] && strcmp(newest->epoch, shown->epoch) != 0)
        l->now->epochs++;
    else if (newest->epoch[0] && older(shown, newest))
        return; /* overtaken on another connection */
    *newest = *shown;
}

static void check_balance(struct load *l, const struct lane *at, const struct response *r)
{
    char name[96];
    int n = snprintf(name, sizeof(name), "\"accountId\":\"%s%06u\"", l->opt->prefix, at->account);
    const char *minor = AFTER(r, "\"minor\":"), *v = AFTER(r, "\"v\":\"");
    struct seen shown;
    if (!minor || !v || !parse_version(v, &shown)) {
        l->now->strange++;
        return;
    }
    if (!after(r, name, (size_t)n))
        l->now->wrong_accounts++;
    if (shown.seq == 0 || strtoll(minor, NULL, 10) != feed_value(shown.seq, (int)at->account))
        l->now->wrong_values++;
    check_order(l, at, &shown);
    l->now->ok++;
    l->now->cache[r->cache]++;
    l->now->source[r->source]++;
}

/* What the last problem body calls itself; a shed answer is plain text. */
static void note_refusal(struct counts *c, const struct response *r)
{
    const char *code = AFTER(r, "\"code\":\"");
    size_t n = code ? strcspn(code, "\"\r\n") : 0;
    if (n >= sizeof(c->refusal) || strspn(code ? code : "", "abcdefghijklmnopqrstuvwxyz_0123456789") < n)
        n = 0;
    memcpy(c->refusal, n ? code : "none", n ? n : 5);
    c->refusal[n ? n : 4] = 0;
}

void response_check(struct load *l, const struct lane *at, const struct response *r)
{
    if (r->status == 200) {
        check_balance(l, at, r);
        return;
    }
    note_refusal(l->now, r);
    if (r->status == 503)
        l->now->status_503++;
    else if (r->status == 404)
        l->now->status_404++;
    else
        l->now->status_other++;
}
