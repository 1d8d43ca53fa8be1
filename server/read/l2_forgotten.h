/* SPDX-License-Identifier: Apache-2.0 */
/*
 * l2_forgotten: accounts of which everything was invalidated, while nobody can say under which keys Redis
 * holds it: other replicas write bodies of tenants and currencies that this one never saw. A slot of such
 * an account is removed when it is next asked for, once. Hides what is remembered and what is done when
 * there is too much of it: then every slot is removed once. Pure; l2's, reader's thread.
 */
#ifndef BGW_READ_L2_FORGOTTEN_H
#define BGW_READ_L2_FORGOTTEN_H

#include <stdbool.h>
#include <stdint.h>

#define BGW_L2_FORGOTTEN_MAX 4096

struct bgw_l2_forgotten_place {
    uint64_t hash, order; /* order 0: empty */
    int64_t until_ms;     /* of accounts: then what was there has ended by itself */
};

struct bgw_l2_forgotten { /* zeros: nothing */
    uint64_t order;       /* of what happened last */
    struct bgw_l2_forgotten_place accounts[BGW_L2_FORGOTTEN_MAX], slots[BGW_L2_FORGOTTEN_MAX];
    struct bgw_l2_forgotten_place all; /* accounts that found no place */
};

void bgw_l2_forgotten_account(struct bgw_l2_forgotten *f, uint64_t account, int64_t until_ms, int64_t now_ms);
/* Has it to be removed before it is believed? */
bool bgw_l2_forgotten_has(const struct bgw_l2_forgotten *f, uint64_t account, uint64_t slot, int64_t now_ms);
void bgw_l2_forgotten_removed(struct bgw_l2_forgotten *f, uint64_t slot);

#endif
