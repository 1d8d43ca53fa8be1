/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: people pay each other and a few shops, shops pay wages, the house lends and is repaid.
 * All money exists from the first moment, in the house's two accounts; opening balances are moves
 * like any other. The first ten accounts are the shops, so that a page that shows them is lively.
 */
#include "ledger.h"

#include "bgw/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOPS 10
#define NGN 0
#define USD 1
#define CURRENCIES 2

static const char *const currency_names[CURRENCIES] = {"NGN", "USD"};
/* kobo and cents: more than all openings together can take */
static const int64_t supply_minor[CURRENCIES] = {50000000000, 10000000};
static const int64_t opening_most_minor[CURRENCIES] = {50000000, 200000};

struct row {
    char account[BGW_KEY_MAX + 1];
    int currency;
    int64_t minor;
    uint64_t v; /* of its last move */
};

struct bgw_ledger {
    struct row rows[BGW_LEDGER_ROWS_MAX];
    uint32_t count;
    uint32_t house[CURRENCIES];
    uint32_t dollars; /* the first row that holds them; they follow each other */
    uint32_t opened;  /* rows funded so far */
    uint64_t random, txn;
    int burst; /* moves that still follow quickly */
};

/* splitmix64: any seed is a good one */
static uint64_t next_random(struct bgw_ledger *l)
{
    uint64_t z = (l->random += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static int64_t between(struct bgw_ledger *l, int64_t least, int64_t most)
{
    return least + (int64_t)(next_random(l) % (uint64_t)(most - least + 1));
}

static bool one_in(struct bgw_ledger *l, int64_t n)
{
    return between(l, 1, n) == 1;
}

void bgw_demo_account(size_t i, char out[BGW_KEY_MAX + 1])
{
    BGW_ASSERT(i < BGW_DEMO_ACCOUNTS);
    snprintf(out, BGW_KEY_MAX + 1, "msisdn::%lld", 2348100000001LL + (long long)i);
}

static uint32_t add_row(struct bgw_ledger *l, const char *account, int currency, int64_t minor)
{
    BGW_ASSERT(l->count < BGW_LEDGER_ROWS_MAX);
    struct row *r = &l->rows[l->count];
    snprintf(r->account, sizeof(r->account), "%s", account);
    r->currency = currency;
    r->minor = minor;
    return l->count++;
}

struct bgw_ledger *bgw_ledger_create(uint64_t seed, uint64_t first_v)
{
    char name[BGW_KEY_MAX + 1];
    struct bgw_ledger *l = calloc(1, sizeof(*l));
    BGW_ASSERT(first_v > 0);
    if (!l)
        return NULL;
    l->random = seed;
    for (size_t i = 0; i < BGW_DEMO_ACCOUNTS; i++) {
        bgw_demo_account(i, name);
        add_row(l, name, NGN, 0);
    }
    l->dollars = l->count;
    for (size_t i = 0; i < BGW_DEMO_ACCOUNTS; i += BGW_LEDGER_USD_EVERY) {
        bgw_demo_account(i, name);
        add_row(l, name, USD, 0);
    }
    for (int c = 0; c < CURRENCIES; c++)
        l->house[c] = add_row(l, "house::treasury", c, supply_minor[c]);
    for (uint32_t i = 0; i < l->count; i++)
        l->rows[i].v = first_v - 1;
    return l;
}

void bgw_ledger_destroy(struct bgw_ledger **l)
{
    free(*l);
    *l = NULL;
}

int64_t bgw_ledger_sum_minor(const struct bgw_ledger *l, const char *currency)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        if (strcmp(currency_names[l->rows[i].currency], currency) == 0)
            sum += l->rows[i].minor;
    }
    return sum;
}

int64_t bgw_ledger_least_minor(const struct bgw_ledger *l)
{
    int64_t least = INT64_MAX;
    for (uint32_t i = 0; i < l->count; i++)
        least = l->rows[i].minor < least ? l->rows[i].minor : least;
    return least;
}

static void apply(struct row *r, int64_t delta_minor, struct bgw_ledger_leg *out)
{
    r->minor += delta_minor;
    r->v++;
    BGW_ASSERT(r->minor >= 0);
    *out = (struct bgw_ledger_leg){.minor = r->minor, .delta_minor = delta_minor, .v = r->v};
    memcpy(out->account, r->account, sizeof(out->account));
    memcpy(out->currency, currency_names[r->currency], sizeof(out->currency));
}

static void transfer(struct bgw_ledger *l, uint32_t from, uint32_t to, int64_t minor,
                     struct bgw_ledger_move *out)
{
    int currency = l->rows[from].currency;
    BGW_ASSERT(from != to && minor > 0 && l->rows[to].currency == currency);
    apply(&l->rows[from], -minor, &out->from);
    apply(&l->rows[to], minor, &out->to);
    out->txn = ++l->txn;
    BGW_ASSERT(bgw_ledger_sum_minor(l, currency_names[currency]) == supply_minor[currency]);
}

/* What people pay: mostly round notes, now and then a price with kobo in it. */
static int64_t amount_minor(struct bgw_ledger *l, int currency, int64_t most_minor)
{
    static const int64_t notes[] = {5000, 10000, 20000, 50000, 100000, 100000, 200000, 500000};
    int64_t minor = notes[next_random(l) % 8] * between(l, 1, 9);
    if (currency == USD)
        minor /= 500;
    if (one_in(l, 5))
        minor += between(l, 1, 99);
    return minor < most_minor ? minor : most_minor;
}

static void fund(struct bgw_ledger *l, struct bgw_ledger_move *out)
{
    uint32_t to = l->opened++;
    int64_t most = opening_most_minor[l->rows[to].currency];
    /* whole units: an opening balance looks like one */
    int64_t minor = between(l, most / 2500, most / 100) * 100;
    transfer(l, l->house[l->rows[to].currency], to, minor, out);
}

static uint32_t person(struct bgw_ledger *l)
{
    return (uint32_t)between(l, SHOPS, BGW_DEMO_ACCOUNTS - 1);
}

static uint32_t shop(struct bgw_ledger *l)
{
    return (uint32_t)between(l, 0, SHOPS - 1);
}

static void choose(struct bgw_ledger *l, uint32_t *from, uint32_t *to)
{
    int64_t kind = between(l, 1, 100);
    if (kind <= 6) { /* dollars, among those who have some */
        *from = (uint32_t)between(l, l->dollars, l->house[NGN] - 1);
        *to = (uint32_t)between(l, l->dollars, l->house[NGN] - 1);
    } else if (kind <= 50) {
        *from = person(l);
        *to = person(l);
    } else if (kind <= 76) {
        *from = person(l);
        *to = shop(l);
    } else if (kind <= 96) { /* wages and refunds */
        *from = shop(l);
        *to = person(l);
    } else {
        *from = kind <= 98 ? l->house[NGN] : person(l);
        *to = kind <= 98 ? person(l) : l->house[NGN];
    }
}

bool bgw_ledger_opening(const struct bgw_ledger *l)
{
    return l->opened < l->house[NGN];
}

void bgw_ledger_step(struct bgw_ledger *l, struct bgw_ledger_move *out)
{
    uint32_t from = 0, to = 0;
    if (bgw_ledger_opening(l)) {
        fund(l, out);
        return;
    }
    /* nobody pays himself, nor more than half of what he has; no money is lost, so somebody can */
    do
        choose(l, &from, &to);
    while (from == to || l->rows[from].minor < 2);
    int64_t minor = amount_minor(l, l->rows[from].currency, l->rows[from].minor / 2);
    transfer(l, from, to, minor, out);
}

int64_t bgw_ledger_gap_ms(struct bgw_ledger *l)
{
    if (l->burst > 0) {
        l->burst--;
        return between(l, 2, 8);
    }
    if (one_in(l, 80))
        l->burst = (int)between(l, 4, 12);
    if (one_in(l, 120))
        return between(l, 200, 600); /* everybody looks up for a moment */
    return between(l, 12, 48);
}
