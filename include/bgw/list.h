/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list: intrusive, doubly linked, circular. A node is on at most one list; an unlinked node
 * points at itself. 16 bytes a membership, no allocation.
 */
#ifndef BGW_LIST_H
#define BGW_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct bgw_list {
    struct bgw_list *next, *prev;
};

#define BGW_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void bgw_list_init(struct bgw_list *l)
{
    l->next = l->prev = l;
}

static inline bool bgw_list_empty(const struct bgw_list *l)
{
    return l->next == l;
}

/* the same question, asked of a node */
static inline bool bgw_list_linked(const struct bgw_list *n)
{
    return n->next != n;
}

static inline void bgw_list_push_back(struct bgw_list *l, struct bgw_list *n)
{
    n->prev = l->prev;
    n->next = l;
    l->prev->next = n;
    l->prev = n;
}

static inline void bgw_list_remove(struct bgw_list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->next = n->prev = n;
}

/* Moves every node of `from` to the end of `to`; `from` is left empty. */
static inline void bgw_list_splice(struct bgw_list *to, struct bgw_list *from)
{
    if (bgw_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    bgw_list_init(from);
}

#endif
