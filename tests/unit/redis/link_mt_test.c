/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of hosts: looked up on threads of their own, which may outlive whoever asked. Meant for TSan too.
 */
#include "rig.h"

#include "bgw/redis.h"
#include "redis/link_name.h"

#include <poll.h>

static struct bgw_redis_host host(const char *text)
{
    struct bgw_redis_host h;
    CHECK(bgw_redis_host_parse(&h, bgw_slice_str(text)));
    return h;
}

TEST(a_number_needs_no_look_up_and_a_name_is_no_number)
{
    struct bgw_redis_addresses a;
    struct bgw_redis_host v4 = host("127.0.0.1:7"), v6 = host("[::1]:7"), name = host("localhost:7");
    CHECK(bgw_redis_address_of_number(&v4, &a) && a.count == 1 && a.at[0].ss_family == AF_INET);
    CHECK(bgw_redis_address_of_number(&v6, &a) && a.count == 1 && a.at[0].ss_family == AF_INET6);
    CHECK(!bgw_redis_address_of_number(&name, &a));
}

TEST(a_name_is_answered_or_dropped_at_any_time)
{
    struct bgw_redis_host h = host("localhost:7");
    struct bgw_redis_addresses a;
    for (int i = 0; i < 200; i++) {
        struct bgw_redis_name *n = NULL;
        CHECK(bgw_redis_name_ask(&n, &h) == BGW_OK);
        CHECK(bgw_redis_name_is_of(n, &h));
        if (i % 2) {
            struct pollfd p = {.fd = bgw_redis_name_fd(n), .events = POLLIN};
            CHECK(poll(&p, 1, 10000) == 1);
            CHECK(bgw_redis_name_answer(n, &a) && a.count >= 1);
        } else {
            (void)bgw_redis_name_answer(n, &a);
        }
        bgw_redis_name_drop(&n);
    }
}

struct rig {
    atomic_int ups;
    int downs;
};

static void on_state(void *arg, bool up, const char *words)
{
    struct rig *r = arg;
    (void)words;
    if (up)
        r->ups++;
    else
        r->downs++;
}

static void link_to(const char *url, bool leave_early)
{
    struct rig r = {0};
    struct bgw_loop *loop;
    struct bgw_redis_link *link;
    struct bgw_buf error;
    const struct bgw_redis_link_config config = {
        .url = url, .command_ms = 1000, .commands_max = 4, .seed = 1, .arg = &r, .state = on_state};
    bgw_buf_init(&error, 100);
    CHECK(bgw_loop_create(&loop) == BGW_OK);
    CHECK(bgw_redis_link_create(&link, loop, &config, &error) == BGW_OK);
    if (leave_early)
        bgw_loop_turn(loop, 5);
    else
        REDIS_UNTIL(loop, r.ups == 1);
    bgw_redis_link_destroy(&link);
    bgw_loop_destroy(&loop);
    bgw_buf_deinit(&error);
}

TEST(a_link_finds_its_host_by_name_and_may_go_while_it_is_looked_up)
{
    struct redis s;
    char url[64];
    redis_start(&s, "redis-server", NULL);
    snprintf(url, sizeof(url), "redis://localhost:%u", s.port); /* perhaps ::1 first, where nobody listens */
    link_to(url, false);
    link_to("redis://no-such-host.invalid:1", true);
    redis_stop(&s);
}
