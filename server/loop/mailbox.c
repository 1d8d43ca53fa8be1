/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox: hides the lock between threads. Producers fill one half under the lock; the loop's
 * thread swaps the halves under the lock and delivers without it.
 * Invariants: after a swap the producers' half is empty, so the next post wakes the loop again and
 * no item waits without a wake-up on its way; items of one producer keep their order. At
 * `capacity` items not yet taken over, post says BGW_FULL and counts it.
 */
#include "bgw/mailbox.h"

#include "bgw/assert.h"
#include "bgw/metrics.h"
#include "loop_internal.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct bgw_mailbox {
    struct bgw_loop *loop; /* immutable, like the sizes and the receiver */
    size_t item_size, capacity;
    bgw_mailbox_fn receive;
    void *arg;

    pthread_mutex_t lock; /* guards `filling` and `count` */
    char *filling;
    size_t count;

    struct bgw_loop_inbox inbox; /* loop's thread only, like the rest */
    char *draining;
    bool delivering;
};

static void drain(struct bgw_loop_inbox *inbox)
{
    struct bgw_mailbox *m = BGW_CONTAINER(inbox, struct bgw_mailbox, inbox);
    BGW_ASSERT(!m->delivering);
    pthread_mutex_lock(&m->lock);
    char *items = m->filling;
    size_t count = m->count;
    m->filling = m->draining;
    m->count = 0;
    pthread_mutex_unlock(&m->lock);

    m->draining = items;
    m->delivering = true;
    for (size_t i = 0; i < count; i++)
        m->receive(m->arg, items + i * m->item_size);
    m->delivering = false;
}

enum bgw_status bgw_mailbox_create(struct bgw_mailbox **out, struct bgw_loop *loop, size_t item_size,
                                   size_t capacity, bgw_mailbox_fn receive, void *arg)
{
    BGW_ASSERT(item_size > 0 && capacity > 0 && capacity <= SIZE_MAX / 2 / item_size);
    *out = NULL;
    struct bgw_mailbox *m = calloc(1, sizeof(*m));
    if (!m)
        return BGW_NO_MEMORY;
    *m = (struct bgw_mailbox){
        .loop = loop, .item_size = item_size, .capacity = capacity, .receive = receive, .arg = arg};
    m->filling = malloc(item_size * capacity);
    m->draining = malloc(item_size * capacity);
    if (!m->filling || !m->draining) {
        free(m->filling);
        free(m->draining);
        free(m);
        return BGW_NO_MEMORY;
    }
    BGW_ASSERT(pthread_mutex_init(&m->lock, NULL) == 0);
    bgw_list_init(&m->inbox.link);
    m->inbox.drain = drain;
    bgw_loop_attach_inbox(loop, &m->inbox);
    *out = m;
    return BGW_OK;
}

void bgw_mailbox_destroy(struct bgw_mailbox **m)
{
    struct bgw_mailbox *box = *m;
    if (!box)
        return;
    BGW_ASSERT(!box->delivering);
    drain(&box->inbox);
    BGW_ASSERT(box->count == 0); /* the receiver posted to a mailbox that is being destroyed */
    bgw_loop_detach_inbox(box->loop, &box->inbox);
    pthread_mutex_destroy(&box->lock);
    free(box->filling);
    free(box->draining);
    free(box);
    *m = NULL;
}

enum bgw_status bgw_mailbox_post(struct bgw_mailbox *m, const void *item)
{
    pthread_mutex_lock(&m->lock);
    bool full = m->count == m->capacity, first = m->count == 0;
    if (!full)
        memcpy(m->filling + m->count++ * m->item_size, item, m->item_size);
    pthread_mutex_unlock(&m->lock);
    if (full) {
        bgw_metric_add(BGW_M_MAILBOX_FULL, 1);
        return BGW_FULL;
    }
    if (first)
        bgw_loop_wake(m->loop);
    return BGW_OK;
}
