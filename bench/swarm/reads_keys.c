/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reads_keys: which account is asked for next: always the same one, any of N alike, the k-th of N with
 * a share of 1/k, or one that nobody has asked for yet. A thread's own numbers, the same in every run.
 */
#include "reads.h"

#include <stdlib.h>

double *keys_zipf(int keys)
{
    double *cumulative = malloc((size_t)keys * sizeof(*cumulative)), sum = 0;
    for (int k = 0; cumulative && k < keys; k++)
        cumulative[k] = sum += 1.0 / (k + 1);
    for (int k = 0; cumulative && k < keys; k++)
        cumulative[k] /= sum;
    return cumulative;
}

static uint64_t random_next(struct load *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return l->random;
}

static uint32_t zipf_next(struct load *l)
{
    double x = (double)(random_next(l) >> 11) / 9007199254740992.0;
    int low = 0, high = l->opt->keys - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (l->zipf[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint32_t)low;
}

uint32_t keys_next(struct load *l)
{
    switch (l->opt->spread) {
    case SPREAD_UNIFORM:
        return (uint32_t)(random_next(l) % (uint64_t)l->opt->keys);
    case SPREAD_ZIPF:
        return zipf_next(l);
    case SPREAD_DISTINCT: {
        uint32_t account = l->next_distinct;
        l->next_distinct += (uint32_t)l->opt->threads;
        return account % READS_ACCOUNTS_MAX;
    }
    case SPREAD_ONE:
        break;
    }
    return 0;
}
