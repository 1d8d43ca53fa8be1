/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_attempt: from a configured address to a connection that is of use: the host whose turn it
 * is, its name, Sentinel's answer and whether that server is the master in its own eyes, user and
 * password, database, subscriptions. One question at a time; the whole has one deadline (link.c).
 * Link's thread.
 */
#include "link_private.h"

#include "bgw/assert.h"

#include <stdio.h>
#include <sys/epoll.h>

#define WORDS_MAX (BGW_REDIS_CHANNELS_MAX + 6)

/* ---- to an address ---- */

static void open_io(struct bgw_redis_link *l, const struct bgw_redis_host *host, const struct bgw_redis_addresses *addresses)
{
    struct bgw_redis_io_handlers handlers = bgw_redis_link_handlers;
    handlers.arg = l;
    const struct bgw_redis_io_target target = {
        .addresses = addresses, .first = l->attempts, .tls = l->tls, .host = host->name};
    l->talk = BGW_REDIS_TALK_NONE;
    l->io = bgw_redis_io_open(l->loop, &target, &handlers);
    if (!l->io)
        bgw_redis_link_fail(l, "the server takes no connection");
}

static void await_name(struct bgw_redis_link *l, struct bgw_redis_name *name, const struct bgw_redis_host *host)
{
    l->name_fd.fd = bgw_redis_name_fd(name);
    l->name_fd.events = EPOLLIN;
    if (bgw_loop_attach(l->loop, &l->name_fd) != BGW_OK) {
        bgw_redis_link_fail(l, "there is no memory left");
        return;
    }
    l->awaited = name;
    l->awaited_host = host;
}

static void take_name(struct bgw_redis_link *l, struct bgw_redis_name **name, const struct bgw_redis_host *host)
{
    struct bgw_redis_addresses addresses;
    if (!bgw_redis_name_answer(*name, &addresses)) {
        await_name(l, *name, host);
        return;
    }
    bgw_redis_name_drop(name);
    if (addresses.count)
        open_io(l, host, &addresses);
    else
        bgw_redis_link_fail(l, "the server's name cannot be resolved");
}

static void connect_to(struct bgw_redis_link *l, const struct bgw_redis_host *host, size_t slot)
{
    struct bgw_redis_addresses addresses;
    struct bgw_redis_name **name = &l->names[slot];
    if (bgw_redis_address_of_number(host, &addresses)) {
        open_io(l, host, &addresses);
        return;
    }
    if (*name && !bgw_redis_name_is_of(*name, host))
        bgw_redis_name_drop(name);
    if (!*name && bgw_redis_name_ask(name, host) != BGW_OK)
        bgw_redis_link_fail(l, "there is no memory left");
    else
        take_name(l, name, host);
}

static void stop_waiting(struct bgw_redis_link *l)
{
    if (l->awaited)
        bgw_loop_detach(l->loop, &l->name_fd);
    l->awaited = NULL;
}

void bgw_redis_attempt_name_ready(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    struct bgw_redis_link *l = BGW_CONTAINER(f, struct bgw_redis_link, name_fd);
    stop_waiting(l);
    take_name(l, &l->names[l->to_master ? BGW_REDIS_MASTER_NAME : l->host_at], l->awaited_host);
}

void bgw_redis_attempt_begin(struct bgw_redis_link *l)
{
    l->to_master = l->sentinel_authenticated = false;
    connect_to(l, &l->url.hosts[l->host_at], l->host_at);
}

void bgw_redis_attempt_go_on(struct bgw_redis_link *l)
{
    bgw_redis_io_close(&l->io);
    connect_to(l, &l->master, BGW_REDIS_MASTER_NAME);
}

void bgw_redis_attempt_end(struct bgw_redis_link *l)
{
    stop_waiting(l);
    bgw_redis_io_close(&l->io);
}

/* ---- the conversation ---- */

static bool needed(const struct bgw_redis_link *l, enum bgw_redis_talk talk)
{
    bool password = l->url.password[0] != '\0', resp3 = l->config.pushed != NULL;
    switch (talk) {
    case BGW_REDIS_TALK_HELLO:
        return resp3;
    case BGW_REDIS_TALK_AUTH:
        return password && !resp3; /* HELLO carries it */
    case BGW_REDIS_TALK_SELECT:
        return l->url.db != 0;
    case BGW_REDIS_TALK_ROLE:
        return l->url.sentinel;
    case BGW_REDIS_TALK_PING:
        return !l->config.subscriber && !l->url.sentinel && !resp3;
    case BGW_REDIS_TALK_SUBSCRIBE:
        return l->config.subscriber;
    default:
        return true;
    }
}

static size_t put_auth(const struct bgw_redis_link *l, struct bgw_slice *words, bool user)
{
    size_t n = 0;
    words[n++] = BGW_SLICE("AUTH");
    if (user || l->url.user[0])
        words[n++] = bgw_slice_str(l->url.user[0] ? l->url.user : "default");
    words[n++] = bgw_slice_str(l->url.password);
    return n;
}

static size_t put_question(const struct bgw_redis_link *l, struct bgw_slice words[WORDS_MAX], char db[16])
{
    size_t n = 0;
    switch (l->talk) {
    case BGW_REDIS_TALK_MASTER:
        words[n++] = BGW_SLICE("SENTINEL");
        words[n++] = BGW_SLICE("get-master-addr-by-name");
        words[n++] = bgw_slice_str(l->url.master);
        return n;
    case BGW_REDIS_TALK_HELLO:
        words[n++] = BGW_SLICE("HELLO");
        words[n++] = BGW_SLICE("3");
        return l->url.password[0] ? n + put_auth(l, words + n, true) : n;
    case BGW_REDIS_TALK_SENTINEL_AUTH:
    case BGW_REDIS_TALK_AUTH:
        return put_auth(l, words, false);
    case BGW_REDIS_TALK_SELECT:
        snprintf(db, 16, "%d", l->url.db);
        words[n++] = BGW_SLICE("SELECT");
        words[n++] = bgw_slice_str(db);
        return n;
    case BGW_REDIS_TALK_SUBSCRIBE:
        words[n++] = BGW_SLICE("SUBSCRIBE");
        for (size_t i = 0; i < l->channel_count; i++)
            words[n++] = bgw_slice_str(l->channels[i]);
        return n;
    default:
        words[n++] = l->talk == BGW_REDIS_TALK_ROLE ? BGW_SLICE("ROLE") : BGW_SLICE("PING");
        return n;
    }
}

static const char *ask(struct bgw_redis_link *l, enum bgw_redis_talk talk)
{
    while (talk < BGW_REDIS_TALK_END && !needed(l, talk))
        talk++;
    l->talk = talk;
    if (talk == BGW_REDIS_TALK_END) {
        bgw_redis_link_become_up(l);
        return NULL;
    }
    struct bgw_slice words[WORDS_MAX];
    char db[16];
    size_t n = put_question(l, words, db);
    BGW_ASSERT(n <= WORDS_MAX);
    return bgw_redis_io_send(l->io, words, n) ? NULL : "there is no memory left";
}

static bool begins(struct bgw_slice text, const char *with)
{
    size_t len = strlen(with);
    return text.len >= len && memcmp(text.data, with, len) == 0;
}

static const char *words_of_error(struct bgw_slice text)
{
    static const struct {
        const char *begin, *words;
    } known[] = {
        {"WRONGPASS", "the server refuses the user or the password"},
        {"NOAUTH", "the server wants a user and a password"},
        {"ERR AUTH", "the server knows no password, but one is configured"},
        {"ERR invalid password", "the server refuses the user or the password"},
        {"NOPERM", "the user may not do what the gateway needs"},
        {"LOADING", "the server is still loading its data"},
        {"MASTERDOWN", "the server is a replica without its master"},
        {"ERR max number of clients", "the server has too many clients"},
        {"ERR DB index", "the server has no database of that number"},
        {"NOPROTO", "the server does not speak RESP3, which tracking needs"},
        {"ERR unknown command 'HELLO", "the server does not speak RESP3, which tracking needs"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (begins(text, known[i].begin))
            return known[i].words;
    return "the server refuses a command";
}

static const char *take_master(struct bgw_redis_link *l, const struct bgw_redis_value *v)
{
    if (v->type == BGW_REDIS_ERROR && begins(v->text, "NOAUTH") && l->url.password[0] && !l->sentinel_authenticated)
        return ask(l, BGW_REDIS_TALK_SENTINEL_AUTH);
    if (v->type == BGW_REDIS_ERROR)
        return words_of_error(v->text);
    if (v->type != BGW_REDIS_LIST || v->count != 2 || v->items[0].type != BGW_REDIS_TEXT || v->items[1].type != BGW_REDIS_TEXT)
        return "the Sentinel knows no such master";
    char text[BGW_REDIS_HOST_MAX + 16];
    struct bgw_slice host = v->items[0].text, port = v->items[1].text;
    bool v6 = host.len && memchr(host.data, ':', host.len);
    int len = snprintf(text, sizeof(text), v6 ? "[%.*s]:%.*s" : "%.*s:%.*s", (int)host.len, host.data, (int)port.len, port.data);
    if (len < 0 || len >= (int)sizeof(text) || !bgw_redis_host_parse(&l->master, bgw_slice_of(text, (size_t)len)) || !l->master.port)
        return "the Sentinel's answer is no address";
    l->to_master = true;
    bgw_redis_link_soon(l, &l->next, 0); /* this connection cannot be closed in here */
    return NULL;
}

static const char *take_confirmation(struct bgw_redis_link *l, const struct bgw_redis_value *v)
{
    if (v->type != BGW_REDIS_LIST || v->count != 3 || v->items[0].type != BGW_REDIS_TEXT)
        return "the subscription was not confirmed";
    if (!bgw_slice_eq(v->items[0].text, BGW_SLICE("subscribe")))
        return bgw_redis_link_hear(l, v); /* of a channel that is confirmed already */
    return ++l->confirmed < l->channel_count ? NULL : ask(l, BGW_REDIS_TALK_SUBSCRIBE + 1);
}

static bool says_master(const struct bgw_redis_value *v)
{
    return v->type == BGW_REDIS_LIST && v->count && v->items[0].type == BGW_REDIS_TEXT &&
           bgw_slice_eq(v->items[0].text, BGW_SLICE("master"));
}

const char *bgw_redis_attempt_answer(struct bgw_redis_link *l, const struct bgw_redis_value *v)
{
    if (l->talk == BGW_REDIS_TALK_NONE) {
        l->confirmed = 0;
        return ask(l, l->url.sentinel && !l->to_master ? BGW_REDIS_TALK_MASTER : BGW_REDIS_TALK_HELLO);
    }
    if (l->talk == BGW_REDIS_TALK_MASTER)
        return l->to_master ? "an answer came that nobody asked for" : take_master(l, v);
    if (v->type == BGW_REDIS_ERROR && !(l->talk == BGW_REDIS_TALK_PING && begins(v->text, "NOPERM")))
        return words_of_error(v->text);
    if (l->talk == BGW_REDIS_TALK_SENTINEL_AUTH) {
        l->sentinel_authenticated = true;
        return ask(l, BGW_REDIS_TALK_MASTER);
    }
    if (l->talk == BGW_REDIS_TALK_SUBSCRIBE)
        return take_confirmation(l, v);
    if (l->talk == BGW_REDIS_TALK_ROLE && !says_master(v))
        return "the server that the Sentinel named is not the master";
    return ask(l, l->talk + 1);
}
