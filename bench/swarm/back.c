/* SPDX-License-Identifier: Apache-2.0 */
/*
 * back: the clients that wait before they come back, in a heap by time: however many wait, a turn
 * looks at one. A client is in it at most once, so it needs as many places as there are clients.
 */
#include "swarm.h"

void back_add(struct swarm *s, struct client *c, int64_t at_ms)
{
    int i = s->back_count++;
    for (; i > 0 && s->back[(i - 1) / 2].at_ms > at_ms; i = (i - 1) / 2)
        s->back[i] = s->back[(i - 1) / 2];
    s->back[i] = (struct returning){at_ms, c};
}

struct client *back_due(struct swarm *s, int64_t now_ms)
{
    if (!s->back_count || s->back[0].at_ms > now_ms)
        return NULL;
    struct client *first = s->back[0].client;
    struct returning last = s->back[--s->back_count];
    int i = 0;
    for (int child; (child = 2 * i + 1) < s->back_count; i = child) {
        if (child + 1 < s->back_count && s->back[child + 1].at_ms < s->back[child].at_ms)
            child++;
        if (s->back[child].at_ms >= last.at_ms)
            break;
        s->back[i] = s->back[child];
    }
    s->back[i] = last;
    return first;
}
