/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pick: which account the n-th record is of. By Zipf's law account r has a share of 1/(r+1)^s; the
 * shares are added up once, and a number made of n alone (splitmix64) is looked up among the sums.
 * Called by publishers and by those who watch, which must agree: nothing here depends on the order
 * of calls.
 */
#include "feed.h"

#include <math.h>
#include <stdlib.h>

struct pick { /* any thread: immutable after pick_create */
    int accounts;
    double *sums; /* NULL: in turn */
};

struct pick *pick_create(int accounts, double zipf)
{
    struct pick *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->accounts = accounts;
    if (zipf <= 0)
        return p;
    p->sums = calloc((size_t)accounts, sizeof(*p->sums));
    if (!p->sums) {
        free(p);
        return NULL;
    }
    double sum = 0;
    for (int i = 0; i < accounts; i++)
        p->sums[i] = sum += pow(i + 1, -zipf);
    return p;
}

static uint64_t splitmix64(uint64_t n)
{
    uint64_t z = (n + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int pick_account(const struct pick *p, uint64_t n)
{
    if (!p->sums)
        return (int)(n % (uint64_t)p->accounts);
    double at = (double)(splitmix64(n) >> 11) * 0x1p-53 * p->sums[p->accounts - 1];
    int low = 0, high = p->accounts - 1;
    while (low < high) { /* the first whose sum is above */
        int middle = low + (high - low) / 2;
        if (p->sums[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void pick_close(struct pick *p)
{
    if (p)
        free(p->sums);
    free(p);
}
