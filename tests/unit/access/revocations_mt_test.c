/* SPDX-License-Identifier: Apache-2.0 */
/* revocations under threads: two add while four ask; what a generation stands for is found. */
#include "bgw/revocations.h"

#include "bgw/hash.h"
#include "../test.h"

#include <pthread.h>
#include <stdatomic.h>

#define EACH 5000
#define ADDERS 2
#define ASKERS 4

static const struct bgw_now NOW = {1000, 1793000000000};
static struct bgw_revocations *set;
static atomic_uint_fast64_t added[ADDERS]; /* ids below are in the set */

static uint64_t id_of(uint64_t adder, uint64_t i)
{
    return (adder + 1) << 32 | i;
}

static void *adding(void *arg)
{
    uint64_t adder = (uint64_t)(uintptr_t)arg;
    for (uint64_t i = 0; i < EACH; i++) {
        struct bgw_revocation what = {.kind = BGW_REVOKE_TOKEN, .any_tenant = true, .id_hash = id_of(adder, i),
                                      .until_s = NOW.wall_ms / 1000 + 100};
        CHECK(bgw_revocations_add(set, &what, NOW) == BGW_OK);
        atomic_store_explicit(&added[adder], i + 1, memory_order_release);
    }
    return NULL;
}

static void *asking(void *arg)
{
    uint64_t seen = 0, generation = 0, asked = 0;
    (void)arg;
    while (seen < ADDERS * EACH) {
        seen = 0;
        for (uint64_t a = 0; a < ADDERS; a++) {
            uint64_t there = atomic_load_explicit(&added[a], memory_order_acquire);
            seen += there;
            struct bgw_holder h = {.subject_hash = 1, .tenant = BGW_SLICE("t")};
            h.jti_hash = id_of(a, there ? asked++ % there : EACH);
            CHECK_EQ_I64(bgw_revocations_check(set, &h, NOW), there ? BGW_REVOKED_ALL : BGW_NOT_REVOKED);
        }
        uint64_t now = bgw_revocations_generation(set);
        CHECK(now >= generation && now >= seen);
        generation = now;
    }
    return NULL;
}

TEST(askers_find_everything_that_was_added_before_they_looked)
{
    pthread_t threads[ADDERS + ASKERS];
    CHECK(bgw_revocations_create(&set, ADDERS * EACH) == BGW_OK);
    for (uintptr_t i = 0; i < ADDERS + ASKERS; i++)
        CHECK_EQ_I64(pthread_create(&threads[i], NULL, i < ADDERS ? adding : asking, (void *)i), 0);
    for (int i = 0; i < ADDERS + ASKERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ_I64(bgw_revocations_count(set), ADDERS * EACH);
    CHECK_EQ_I64(bgw_revocations_generation(set), ADDERS * EACH);
    bgw_revocations_destroy(&set);
}
