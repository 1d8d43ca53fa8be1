/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox_mt_test: several producers and one loop; order, bounds and wake-ups. Meant for TSan too.
 */
#include "bgw/mailbox.h"

#include "../test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define PRODUCERS 4
#define ITEMS 50000
#define CAPACITY 256

struct item {
    uint32_t producer, number;
};

struct sink { /* the loop's thread only */
    struct bgw_loop *loop;
    struct bgw_mailbox *box;
    uint32_t next[PRODUCERS];
    uint32_t out_of_order, total, in_one_turn, most_in_one_turn;
    uint32_t expected;
    bool post_again;
};

static void sink_receive(void *arg, const void *data)
{
    struct sink *s = arg;
    struct item item;
    memcpy(&item, data, sizeof(item));
    if (item.producer >= PRODUCERS || item.number != s->next[item.producer])
        s->out_of_order++;
    else
        s->next[item.producer]++;
    s->in_one_turn++;
    if (++s->total == s->expected)
        bgw_loop_stop(s->loop);
    if (s->post_again) {
        item.number++;
        CHECK_EQ_I64(bgw_mailbox_post(s->box, &item), BGW_OK);
    }
}

static void sink_turn_end(void *arg, struct bgw_now now)
{
    struct sink *s = arg;
    (void)now;
    if (s->in_one_turn > s->most_in_one_turn)
        s->most_in_one_turn = s->in_one_turn;
    s->in_one_turn = 0;
}

static void sink_open(struct sink *s, size_t capacity)
{
    *s = (struct sink){.expected = UINT32_MAX};
    CHECK_EQ_I64(bgw_loop_create(&s->loop), BGW_OK);
    bgw_loop_set_hooks(s->loop, &(struct bgw_loop_hooks){s, NULL, sink_turn_end});
    CHECK_EQ_I64(bgw_mailbox_create(&s->box, s->loop, sizeof(struct item), capacity, sink_receive, s),
                 BGW_OK);
}

static void sink_close(struct sink *s)
{
    bgw_mailbox_destroy(&s->box);
    bgw_loop_destroy(&s->loop);
}

struct producer {
    struct bgw_mailbox *box;
    uint32_t number;
    uint64_t refused;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    for (uint32_t i = 0; i < ITEMS; i++) {
        struct item item = {p->number, i};
        while (bgw_mailbox_post(p->box, &item) == BGW_FULL) {
            p->refused++;
            sched_yield();
        }
    }
    return NULL;
}

TEST(four_producers_keep_their_order_and_nothing_is_lost)
{
    struct sink s;
    struct producer p[PRODUCERS];
    pthread_t threads[PRODUCERS];
    sink_open(&s, CAPACITY);
    s.expected = PRODUCERS * ITEMS;
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        p[i] = (struct producer){s.box, i, 0};
        CHECK(pthread_create(&threads[i], NULL, produce, &p[i]) == 0);
    }
    bgw_loop_run(s.loop); /* would hang if a wake-up were lost */
    for (uint32_t i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ_I64(s.total, PRODUCERS * ITEMS);
    CHECK_EQ_I64(s.out_of_order, 0);
    CHECK(s.most_in_one_turn > 0 && s.most_in_one_turn <= CAPACITY);
    sink_close(&s);
}

TEST(full_mailbox_refuses_and_takes_again_after_a_turn)
{
    struct sink s;
    struct item item = {0, 0};
    sink_open(&s, 3);
    for (item.number = 0; item.number < 3; item.number++)
        CHECK_EQ_I64(bgw_mailbox_post(s.box, &item), BGW_OK);
    CHECK_EQ_I64(bgw_mailbox_post(s.box, &item), BGW_FULL);
    CHECK_EQ_I64(s.total, 0);
    bgw_loop_turn(s.loop, 1000);
    CHECK_EQ_I64(s.total, 3);
    CHECK_EQ_I64(bgw_mailbox_post(s.box, &item), BGW_OK);
    bgw_loop_turn(s.loop, 1000);
    CHECK_EQ_I64(s.total, 4);
    CHECK_EQ_I64(s.out_of_order, 0);
    sink_close(&s);
}

TEST(turn_drains_only_what_was_there_when_it_began)
{
    struct sink s;
    struct item item = {0, 0};
    sink_open(&s, 8);
    s.post_again = true;
    CHECK_EQ_I64(bgw_mailbox_post(s.box, &item), BGW_OK);
    for (uint32_t turn = 1; turn <= 5; turn++) {
        bgw_loop_turn(s.loop, 60000); /* the post of the last turn has woken this one */
        CHECK_EQ_I64(s.total, turn);
    }
    s.post_again = false;
    sink_close(&s);
    CHECK_EQ_I64(s.total, 6);
}

TEST(one_wake_up_serves_a_whole_batch_and_then_the_loop_sleeps)
{
    struct sink s;
    struct item item = {0, 0};
    sink_open(&s, 8);
    for (; item.number < 5; item.number++)
        CHECK_EQ_I64(bgw_mailbox_post(s.box, &item), BGW_OK);
    bgw_loop_turn(s.loop, 60000);
    CHECK_EQ_I64(s.total, 5);
    int64_t start = bgw_clock_now().mono_ms;
    bgw_loop_turn(s.loop, 40);
    CHECK(bgw_clock_now().mono_ms - start >= 39);
    sink_close(&s);
}

TEST(destroy_hands_over_what_is_left)
{
    struct sink s;
    struct item item = {1, 0};
    sink_open(&s, 8);
    CHECK_EQ_I64(bgw_mailbox_post(s.box, &item), BGW_OK);
    sink_close(&s);
    CHECK_EQ_I64(s.total, 1);
    CHECK(s.box == NULL);
}

struct ping {
    struct bgw_loop *loop;
    struct bgw_mailbox *in;
    struct bgw_mailbox *peer;
    atomic_uint turns;
    unsigned received;
};

#define ROUNDS 20000

static void ping_receive(void *arg, const void *data)
{
    struct ping *p = arg;
    uint32_t number;
    memcpy(&number, data, sizeof(number));
    p->received++;
    if (number < ROUNDS) {
        number++;
        CHECK_EQ_I64(bgw_mailbox_post(p->peer, &number), BGW_OK);
    }
    if (number >= ROUNDS)
        bgw_loop_stop(p->loop);
}

static void *ping_run(void *arg)
{
    bgw_loop_run(((struct ping *)arg)->loop);
    return NULL;
}

TEST(two_loops_that_sleep_between_messages_wake_each_other_every_time)
{
    struct ping a = {0}, b = {0};
    pthread_t thread;
    uint32_t number = 0;
    CHECK_EQ_I64(bgw_loop_create(&a.loop), BGW_OK);
    CHECK_EQ_I64(bgw_loop_create(&b.loop), BGW_OK);
    CHECK_EQ_I64(bgw_mailbox_create(&a.in, a.loop, sizeof(number), 1, ping_receive, &a), BGW_OK);
    CHECK_EQ_I64(bgw_mailbox_create(&b.in, b.loop, sizeof(number), 1, ping_receive, &b), BGW_OK);
    a.peer = b.in;
    b.peer = a.in;
    CHECK_EQ_I64(bgw_mailbox_post(a.in, &number), BGW_OK);
    CHECK(pthread_create(&thread, NULL, ping_run, &b) == 0);
    bgw_loop_run(a.loop);
    pthread_join(thread, NULL);
    CHECK_EQ_I64(a.received + b.received, ROUNDS + 1);
    bgw_mailbox_destroy(&a.in);
    bgw_mailbox_destroy(&b.in);
    bgw_loop_destroy(&a.loop);
    bgw_loop_destroy(&b.loop);
}
