/* SPDX-License-Identifier: Apache-2.0 */
/* health: trouble of the sources is named, and never takes a gateway out of service. */
#include "test.h"

#include "bgw/health.h"

static struct bgw_buf out;

static const char *readyz(const struct bgw_sources_view *view, const char *before)
{
    struct bgw_health h = {.ready = true};
    if (before)
        bgw_health_degrade(&h, before);
    bgw_health_of_sources(&h, view);
    bgw_buf_deinit(&out);
    bgw_buf_init(&out, 4096);
    CHECK_EQ_I64(bgw_health_readyz(&out, &h, false), 200);
    bgw_buf_append_byte(&out, 0);
    return out.data;
}

__attribute__((destructor)) static void drop(void)
{
    bgw_buf_deinit(&out);
}

TEST(sources_that_are_up_or_not_configured_are_no_trouble)
{
    const struct bgw_sources_view none = {0};
    const struct bgw_sources_view up = {.redis = BGW_LINK_UP, .channel = BGW_LINK_UP, .origin = BGW_LINK_UP};
    CHECK_EQ_STR(readyz(&none, NULL), "{\"ok\":true}");
    CHECK_EQ_STR(readyz(&up, NULL), "{\"ok\":true}");
}

TEST(each_trouble_has_its_name)
{
    const struct bgw_sources_view redis = {.redis = BGW_LINK_DOWN, .channel = BGW_LINK_UP, .origin = BGW_LINK_UP};
    const struct bgw_sources_view channel = {.redis = BGW_LINK_UP, .channel = BGW_LINK_DOWN, .origin = BGW_LINK_UP};
    const struct bgw_sources_view origin = {.origin = BGW_LINK_DOWN};
    const struct bgw_sources_view slow = {.redis = BGW_LINK_UP, .redis_breaker = BGW_BREAKER_OPEN};
    const struct bgw_sources_view probing = {.origin = BGW_LINK_UP, .origin_breaker = BGW_BREAKER_HALF_OPEN};
    CHECK_EQ_STR(readyz(&redis, NULL), "{\"ok\":true,\"degraded\":[\"redis\"]}");
    CHECK_EQ_STR(readyz(&channel, NULL), "{\"ok\":true,\"degraded\":[\"invalidations\"]}");
    CHECK_EQ_STR(readyz(&origin, NULL), "{\"ok\":true,\"degraded\":[\"origin\"]}");
    CHECK_EQ_STR(readyz(&slow, NULL), "{\"ok\":true,\"degraded\":[\"redis_breaker\"]}");
    CHECK_EQ_STR(readyz(&probing, NULL), "{\"ok\":true,\"degraded\":[\"origin_breaker\"]}");
}

TEST(all_troubles_at_once_fit)
{
    const struct bgw_sources_view all = {.redis = BGW_LINK_DOWN,
                                         .channel = BGW_LINK_DOWN,
                                         .origin = BGW_LINK_DOWN,
                                         .redis_breaker = BGW_BREAKER_OPEN,
                                         .origin_breaker = BGW_BREAKER_OPEN};
    struct bgw_health h = {.ready = true};
    bgw_health_degrade(&h, "revocations");
    bgw_health_degrade(&h, "jwks");
    bgw_health_degrade(&h, "kafka");
    bgw_health_of_sources(&h, &all);
    bgw_health_of_sources(&h, &all); /* a second time changes nothing */
    CHECK_EQ_STR(h.degraded, "\"revocations\",\"jwks\",\"kafka\",\"redis\",\"invalidations\",\"origin\",\"redis_breaker\",\"origin_breaker\"");
    CHECK(strstr(readyz(&all, "revocations"), "\"degraded\":[\"revocations\",\"redis\","));
}
