/* SPDX-License-Identifier: Apache-2.0 */
/* The blob: its bytes live as long as somebody holds them, whichever thread lets go last. */
#include "bgw/blob.h"

#include "../test.h"

#include <pthread.h>

TEST(a_blob_holds_its_bytes_until_the_last_release)
{
    struct bgw_blob *b = bgw_blob_copy(BGW_SLICE("hello"));
    CHECK_SLICE(bgw_blob_slice(b), "hello");
    CHECK(bgw_blob_acquire(b) == b);
    bgw_blob_release(b);
    CHECK_SLICE(bgw_blob_slice(b), "hello");
    bgw_blob_release(b);
}

TEST(null_blobs_pass_through)
{
    CHECK(bgw_blob_acquire(NULL) == NULL);
    bgw_blob_release(NULL);
    CHECK_EQ_I64(bgw_blob_slice(NULL).len, 0);
}

TEST(an_empty_blob_is_not_null)
{
    struct bgw_blob *b = bgw_blob_copy(bgw_slice_of(NULL, 0));
    CHECK(b && b->len == 0);
    bgw_blob_release(b);
}

TEST(a_blob_longer_than_its_length_field_is_refused)
{
    CHECK(bgw_blob_create((size_t)UINT32_MAX + 1) == NULL);
}

static void *take_and_let_go(void *arg)
{
    struct bgw_blob *b = arg;
    for (int i = 0; i < 20000; i++) {
        bgw_blob_acquire(b);
        if (b->len != 5 || b->data[0] != 'h')
            return b;
        bgw_blob_release(b);
    }
    bgw_blob_release(b);
    return NULL;
}

TEST(references_are_counted_right_from_several_threads)
{
    pthread_t threads[4];
    struct bgw_blob *b = bgw_blob_copy(BGW_SLICE("hello"));
    for (int i = 0; i < 4; i++) {
        bgw_blob_acquire(b);
        CHECK_EQ_I64(pthread_create(&threads[i], NULL, take_and_let_go, b), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *wrong = b;
        pthread_join(threads[i], &wrong);
        CHECK(wrong == NULL);
    }
    CHECK_EQ_I64(atomic_load(&b->refs), 1);
    bgw_blob_release(b);
}
