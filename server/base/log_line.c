/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_line: the two spellings of a log line. Hides escaping and cutting: whatever bytes come in,
 * the JSON form is one valid object on one line, and neither form lets a value send control
 * characters to a terminal. Pure; any thread; no allocation.
 */
#include "log_line.h"

#include "bgw/assert.h"
#include "bgw/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define TAIL_ROOM 64          /* kept free for `dropped`, `truncated` and the newline */
#define STRING_BYTES_MAX 1024 /* of one value */

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* Appends all or nothing; false if there is no room. */
static bool put(struct bgw_log_line *l, const char *bytes, size_t n)
{
    if (n > sizeof(l->data) - TAIL_ROOM - l->len)
        return false;
    memcpy(l->data + l->len, bytes, n);
    l->len += n;
    return true;
}

static bool put_str(struct bgw_log_line *l, const char *text)
{
    return put(l, text, strlen(text));
}

/* Into the room that put() keeps free. */
__attribute__((format(printf, 2, 3))) static void put_tail(struct bgw_log_line *l, const char *fmt,
                                                           ...)
{
    va_list args;
    size_t room = sizeof(l->data) - l->len;
    va_start(args, fmt);
    int n = vsnprintf(l->data + l->len, room, fmt, args);
    va_end(args);
    BGW_ASSERT(n >= 0 && (size_t)n < room);
    l->len += (size_t)n;
}

static bool put_int(struct bgw_log_line *l, int64_t v)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%" PRId64, v);
    return put(l, text, (size_t)n);
}

/* The length of the well-formed character at p, or 0. */
static size_t utf8_len(const char *p, size_t left)
{
    for (size_t n = 1; n <= 4 && n <= left; n++)
        if (bgw_utf8_valid(bgw_slice_of(p, n)))
            return n;
    return 0;
}

/* One character of a string; returns how many bytes it took in, 0 if there was no room. */
static size_t put_char(struct bgw_log_line *l, const char *p, size_t left)
{
    unsigned char c = (unsigned char)*p;
    char escape[8];
    if (c == '"' || c == '\\') {
        const char two[] = {'\\', (char)c};
        return put(l, two, 2) ? 1 : 0;
    }
    if (c < 0x20 || c == 0x7f) {
        snprintf(escape, sizeof(escape), "\\u%04x", c);
        return put_str(l, c == '\n' ? "\\n" : escape) ? 1 : 0;
    }
    size_t n = utf8_len(p, left);
    if (n == 0)
        return put_str(l, "\\ufffd") ? 1 : 0;
    if (n == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0) { /* C1 controls: terminals obey them */
        snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)p[1]);
        return put_str(l, escape) ? n : 0;
    }
    return put(l, p, n) ? n : 0;
}

static bool put_quoted(struct bgw_log_line *l, struct bgw_slice s)
{
    bool cut = s.len > STRING_BYTES_MAX;
    size_t len = cut ? STRING_BYTES_MAX : s.len;
    if (!put_str(l, "\""))
        return false;
    for (size_t i = 0; i < len;) {
        size_t took = put_char(l, s.data + i, s.len - i);
        if (took == 0)
            return false;
        i += took;
    }
    return put_str(l, cut ? "...\"" : "\"");
}

static struct bgw_slice string_of(const struct bgw_log_value *v)
{
    return v->num < 0 ? bgw_slice_str(v->str) : bgw_slice_of(v->str, (size_t)v->num);
}

static bool put_value(struct bgw_log_line *l, const struct bgw_log_value *v)
{
    switch (v->kind) {
    case 0:
        if (!v->str && v->num < 0)
            return put_str(l, "null");
        return put_quoted(l, string_of(v));
    case 1:
        return put_int(l, v->num);
    default:
        return put_str(l, v->num ? "true" : "false");
    }
}

static void put_time(struct bgw_log_line *l, int64_t wall_ms, const char *format, const char *after)
{
    char text[40], whole[56];
    struct tm parts;
    time_t seconds = (time_t)(wall_ms / 1000);
    gmtime_r(&seconds, &parts);
    strftime(text, sizeof(text), format, &parts);
    snprintf(whole, sizeof(whole), "%s.%03d%s", text, (int)(wall_ms % 1000), after);
    put_str(l, whole);
}

static bool put_json_pair(struct bgw_log_line *l, const struct bgw_log_pair *p)
{
    return put_str(l, ",") && put_quoted(l, bgw_slice_str(p->name)) && put_str(l, ":") &&
           put_value(l, &p->value);
}

static bool put_pretty_pair(struct bgw_log_line *l, const struct bgw_log_pair *p)
{
    return put_str(l, " ") && put_str(l, p->name) && put_str(l, "=") && put_value(l, &p->value);
}

/* False if any pair had to be left out. */
static bool put_pairs(struct bgw_log_line *l, const struct bgw_log_entry *e,
                      bool (*put_pair)(struct bgw_log_line *, const struct bgw_log_pair *))
{
    bool whole = true;
    for (int i = 0; i < e->count; i++) {
        size_t before = l->len;
        if (put_pair(l, &e->pairs[i]))
            continue;
        l->len = before;
        whole = false;
    }
    return whole;
}

void bgw_log_line_json(struct bgw_log_line *l, const struct bgw_log_entry *e)
{
    l->len = 0;
    put_str(l, "{\"ts\":\"");
    put_time(l, e->wall_ms, "%Y-%m-%dT%H:%M:%S", "Z\"");
    put_str(l, ",\"level\":\"");
    put_str(l, level_names[e->level]);
    put_str(l, "\",\"event\":");
    put_quoted(l, bgw_slice_str(e->event));
    bool whole = put_pairs(l, e, put_json_pair);
    if (e->dropped)
        put_tail(l, ",\"dropped\":%u", e->dropped);
    put_tail(l, "%s}\n", whole ? "" : ",\"truncated\":true");
}

void bgw_log_line_pretty(struct bgw_log_line *l, const struct bgw_log_entry *e)
{
    static const char *const colours[] = {"\033[2m", "\033[32m", "\033[33m", "\033[31m"};
    char word[24];
    l->len = 0;
    put_time(l, e->wall_ms, "%H:%M:%S", "Z ");
    snprintf(word, sizeof(word), "%s%-5s%s ", e->colour ? colours[e->level] : "",
             level_names[e->level], e->colour ? "\033[0m" : "");
    put_str(l, word);
    put_str(l, e->event);
    bool whole = put_pairs(l, e, put_pretty_pair);
    if (e->dropped)
        put_tail(l, " dropped=%u", e->dropped);
    put_tail(l, "%s\n", whole ? "" : " truncated=true");
}
