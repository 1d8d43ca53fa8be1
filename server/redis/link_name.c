/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_name: one detached thread a question, because a thread inside getaddrinfo can neither be
 * asked to stop nor be waited for. Asker and thread hold a count each of what they share; the last one
 * frees it. Asked by the loop's thread, which never waits: an eventfd says that the answer is there.
 */
#include "link_name.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_BYTES (256 * 1024)

struct bgw_redis_name { /* both threads'; what is not atomic is written by the thread before `done` */
    atomic_int holders;
    atomic_bool done;
    int event_fd;
    struct bgw_redis_host host;
    struct bgw_redis_addresses answer;
};

static void look_up(const struct bgw_redis_host *host, int flags, struct bgw_redis_addresses *out)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *list = NULL;
    char port[8];
    out->count = 0;
    snprintf(port, sizeof(port), "%u", host->port);
    if (getaddrinfo(host->name, port, &hints, &list) != 0)
        return;
    for (struct addrinfo *a = list; a && out->count < BGW_REDIS_ADDRESSES_MAX; a = a->ai_next) {
        memcpy(&out->at[out->count], a->ai_addr, a->ai_addrlen);
        out->len[out->count++] = a->ai_addrlen;
    }
    freeaddrinfo(list);
}

static void let_go(struct bgw_redis_name *n)
{
    if (atomic_fetch_sub(&n->holders, 1) != 1)
        return;
    close(n->event_fd);
    free(n);
}

static void *run(void *arg)
{
    struct bgw_redis_name *n = arg;
    const uint64_t one = 1;
    look_up(&n->host, AI_ADDRCONFIG, &n->answer);
    if (!n->answer.count) /* a machine with loopback addresses alone counts as one without any */
        look_up(&n->host, 0, &n->answer);
    atomic_store(&n->done, true);
    (void)!write(n->event_fd, &one, sizeof(one));
    let_go(n);
    return NULL;
}

/* Signals are other threads' business. */
static bool start(struct bgw_redis_name *n)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    if (pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = pthread_create(&thread, &attr, run, n) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return ok;
}

bool bgw_redis_address_of_number(const struct bgw_redis_host *host, struct bgw_redis_addresses *out)
{
    look_up(host, AI_NUMERICHOST | AI_NUMERICSERV, out);
    return out->count > 0;
}

enum bgw_status bgw_redis_name_ask(struct bgw_redis_name **out, const struct bgw_redis_host *host)
{
    struct bgw_redis_name *n = calloc(1, sizeof(*n));
    if (!n)
        return BGW_NO_MEMORY;
    n->host = *host;
    n->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&n->holders, 2);
    if (n->event_fd < 0 || !start(n)) {
        if (n->event_fd >= 0)
            close(n->event_fd);
        free(n);
        return BGW_NO_MEMORY;
    }
    *out = n;
    return BGW_OK;
}

bool bgw_redis_name_is_of(const struct bgw_redis_name *n, const struct bgw_redis_host *host)
{
    return n->host.port == host->port && strcmp(n->host.name, host->name) == 0;
}

int bgw_redis_name_fd(const struct bgw_redis_name *n)
{
    return n->event_fd;
}

bool bgw_redis_name_answer(const struct bgw_redis_name *n, struct bgw_redis_addresses *out)
{
    if (!atomic_load(&n->done))
        return false;
    *out = n->answer;
    return true;
}

void bgw_redis_name_drop(struct bgw_redis_name **n)
{
    if (*n)
        let_go(*n);
    *n = NULL;
}
