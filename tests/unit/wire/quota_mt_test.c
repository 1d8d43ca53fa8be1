/* SPDX-License-Identifier: Apache-2.0 */
/* quota: limits, what is given back, kinds apart, and the same from several threads. */
#include "test.h"

#include "bgw/hash.h"
#include "bgw/quota.h"

#include <pthread.h>

static struct bgw_quota *make(void)
{
    struct bgw_quota *q;
    bgw_hash_init();
    CHECK_EQ_I64(bgw_quota_create(&q), BGW_OK);
    return q;
}

TEST(as_many_as_allowed_and_not_one_more)
{
    struct bgw_quota *q = make();
    bool taken;
    for (int i = 0; i < 3; i++)
        CHECK(bgw_quota_take(q, BGW_QUOTA_SUBJECT, 7, 3, &taken) && taken);
    CHECK(!bgw_quota_take(q, BGW_QUOTA_SUBJECT, 7, 3, &taken) && !taken);
    CHECK(bgw_quota_take(q, BGW_QUOTA_SUBJECT, 8, 3, &taken) && taken);
    CHECK(bgw_quota_take(q, BGW_QUOTA_TENANT, 7, 3, &taken) && taken); /* another kind of 7 */
    bgw_quota_give(q, BGW_QUOTA_SUBJECT, 7);
    CHECK(bgw_quota_take(q, BGW_QUOTA_SUBJECT, 7, 3, &taken) && taken);
    for (int i = 0; i < 3; i++)
        bgw_quota_give(q, BGW_QUOTA_SUBJECT, 7);
    bgw_quota_give(q, BGW_QUOTA_SUBJECT, 8);
    bgw_quota_give(q, BGW_QUOTA_TENANT, 7);
    bgw_quota_destroy(&q);
    CHECK(q == NULL);
}

TEST(without_a_limit_everybody_is_counted_so_that_a_later_limit_knows)
{
    struct bgw_quota *q = make();
    bool taken;
    for (int i = 0; i < 5; i++)
        CHECK(bgw_quota_take(q, BGW_QUOTA_ADDRESS, 0, 0, &taken) && taken);
    CHECK(!bgw_quota_take(q, BGW_QUOTA_ADDRESS, 0, 5, &taken));
    CHECK(!bgw_quota_take(q, BGW_QUOTA_ADDRESS, 0, 1, &taken));
    for (int i = 0; i < 5; i++)
        bgw_quota_give(q, BGW_QUOTA_ADDRESS, 0);
    CHECK(bgw_quota_take(q, BGW_QUOTA_ADDRESS, 0, 1, &taken) && taken);
    bgw_quota_give(q, BGW_QUOTA_ADDRESS, 0);
    bgw_quota_destroy(&q);
}

/* A model of plain counters beside it: growth, wrapping clusters and holes must not lose one. */
TEST(many_come_and_go_and_every_counter_stays_right)
{
    enum { NAMES = 3000, STEPS = 200000 };
    static unsigned model[3][NAMES];
    struct bgw_quota *q = make();
    uint64_t state = 42;
    size_t wrong = 0;
    for (int step = 0; step < STEPS; step++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        size_t name = (size_t)(state >> 33) % NAMES;
        enum bgw_quota_kind kind = (enum bgw_quota_kind)((state >> 20) % 3);
        bool taken;
        /* tides: mostly taking, then mostly giving */
        if (((state >> 50) % 8) < ((step / 20000) % 2 ? 2u : 6u)) {
            bool room = bgw_quota_take(q, kind, name, 4, &taken);
            wrong += room != (model[kind][name] < 4) || taken != room;
            model[kind][name] += taken;
        } else if (model[kind][name]) {
            bgw_quota_give(q, kind, name);
            model[kind][name]--;
        }
    }
    CHECK_EQ_I64(wrong, 0);
    for (int kind = 0; kind < 3; kind++) {
        for (size_t name = 0; name < NAMES; name++) {
            while (model[kind][name]--)
                bgw_quota_give(q, (enum bgw_quota_kind)kind, name);
        }
    }
    bgw_quota_destroy(&q); /* asserts that nothing is left */
}

#define THREADS 4
#define LIMIT 50

static struct bgw_quota *shared;
static atomic_int held, most;

static void *storm(void *arg)
{
    (void)arg;
    for (int round = 0; round < 2000; round++) {
        bool taken[32];
        for (size_t i = 0; i < 32; i++) {
            CHECK(bgw_quota_take(shared, BGW_QUOTA_TENANT, 1, LIMIT, &taken[i]) == taken[i]);
            int now = taken[i] ? atomic_fetch_add(&held, 1) + 1 : 0, seen = atomic_load(&most);
            while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
                ;
        }
        for (size_t i = 0; i < 32; i++) {
            if (taken[i]) {
                atomic_fetch_sub(&held, 1);
                bgw_quota_give(shared, BGW_QUOTA_TENANT, 1);
            }
        }
    }
    return NULL;
}

TEST(threads_together_never_hold_more_than_the_limit)
{
    pthread_t threads[THREADS];
    shared = make();
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, storm, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(atomic_load(&most) <= LIMIT && atomic_load(&most) > 0);
    bgw_quota_destroy(&shared);
}
