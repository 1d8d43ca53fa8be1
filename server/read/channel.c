/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel: a subscriber's connection and its proof of life. A connection that is up may still hear
 * nothing (a half-open socket, a server that is no master any more), so each second a beat is published
 * over another connection, to a channel whose name nobody else knows; three that do not come end this one.
 * Reader's thread. Invariant: up only between a beat of this very connection and the first doubt.
 */
#include "channel.h"

#include "bgw/assert.h"
#include "bgw/json.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define INVALIDATIONS "balance:invalidate"
#define PAYLOAD_MAX 4096
#define BEATS_LOST_MAX 3
#define COMMAND_MS 1000 /* subscribers have none; the link wants a figure */

struct bgw_channel {
    struct bgw_channel_config config;
    struct bgw_loop *loop;
    struct bgw_redis_link *link;
    struct bgw_timer beat_due;
    bool up, told; /* told: somebody knows which of the two */
    uint64_t sent, heard, first; /* beats: numbers; `first` of this connection */
    char beats[48];              /* the channel's name */
};

/* ---- what a message says ---- */

static void set_tenant(struct bgw_invalidation *out, struct bgw_slice tenant)
{
    out->name.tenant_len = (uint8_t)tenant.len;
    memcpy(out->name.tenant, tenant.data, tenant.len);
}

static bool set_key(struct bgw_invalidation *out, const struct bgw_feed *feed, struct bgw_slice key)
{
    if (!feed->key_valid(key))
        return false;
    out->name.key_len = (uint8_t)key.len;
    memcpy(out->name.key, key.data, key.len);
    return true;
}

/* Absent and null are the same. False: something else than a text. */
static bool read_text(const struct bgw_json *object, const char *member, char out[BGW_KEY_MAX], struct bgw_slice *text)
{
    struct bgw_json value;
    size_t len = 0;
    *text = (struct bgw_slice){0};
    if (!bgw_json_member(object, member, &value) || value.type == BGW_JSON_NULL)
        return true;
    if (bgw_json_string(&value, out, BGW_KEY_MAX, &len) != BGW_OK)
        return false;
    *text = bgw_slice_of(out, len);
    return true;
}

static bool read_v(const struct bgw_json *object, struct bgw_invalidation *out)
{
    struct bgw_json value;
    if (!bgw_json_member(object, "v", &value) || value.type == BGW_JSON_NULL)
        return true;
    if (value.type == BGW_JSON_STRING) /* beyond 2^53 some publishers quote it */
        value.type = BGW_JSON_NUMBER;
    out->has_v = bgw_json_u63(&value, &out->v) == BGW_OK;
    return out->has_v;
}

static bool read_object(struct bgw_invalidation *out, const struct bgw_feed *feed, struct bgw_slice payload)
{
    struct bgw_json root;
    char storage[3][BGW_KEY_MAX];
    struct bgw_slice key, tenant, part;
    if (bgw_json_parse(payload, &root) != BGW_OK || !read_text(&root, "accountId", storage[0], &key) ||
        !read_text(&root, "tenant", storage[1], &tenant) || !read_text(&root, "currency", storage[2], &part))
        return false;
    if (!key.data || !set_key(out, feed, key) || (tenant.data && !bgw_tenant_valid(tenant)) ||
        (part.data && !feed->part_valid(part)) || !read_v(&root, out))
        return false;
    out->any_tenant = !tenant.data;
    if (tenant.data)
        set_tenant(out, tenant);
    if (part.data)
        out->name.part = bgw_part_of(part);
    if (out->any_tenant || !out->name.part) { /* a version is a slot's own: of several it says nothing */
        out->has_v = false;
        out->v = 0;
    }
    return true;
}

bool bgw_invalidation_parse(struct bgw_invalidation *out, const struct bgw_feed *feed, struct bgw_slice payload)
{
    *out = (struct bgw_invalidation){.name.feed = feed->id, .any_tenant = true};
    set_tenant(out, feed->default_tenant);
    bool ok = payload.len && payload.len <= PAYLOAD_MAX &&
              (payload.data[0] == '{' ? read_object(out, feed, payload) : set_key(out, feed, payload));
    bgw_metric_add(ok ? BGW_M_INVALIDATIONS : BGW_M_INVALIDATIONS_BAD, 1);
    return ok;
}

/* ---- life of the connection ---- */

/* That it never came up is told too, once: nobody may take silence for calm. */
static void go_down(struct bgw_channel *c, const char *words)
{
    if (!c->up && c->told)
        return;
    bgw_metric_add(BGW_M_CHANNEL_LOST, c->up);
    c->up = false;
    c->told = true;
    BGW_LOG(BGW_LOG_WARN, "invalidations_not_heard", {"reason", LS(words)},
            {"effect", LS("nothing is written back, and what is watched is read again when it is back")});
    c->config.state(c->config.arg, false);
}

static void beat(struct bgw_channel *c)
{
    char number[24];
    int len = snprintf(number, sizeof(number), "%" PRIu64, ++c->sent);
    bgw_wheel_arm(bgw_loop_wheel(c->loop), &c->beat_due, bgw_loop_now(c->loop).mono_ms + c->config.heartbeat_ms);
    c->config.ping(c->config.arg, bgw_slice_str(c->beats), bgw_slice_of(number, (size_t)len));
}

static void on_beat_due(struct bgw_timer *timer, int64_t now_ms)
{
    static const char words[] = "its heartbeat does not come through";
    struct bgw_channel *c = BGW_CONTAINER(timer, struct bgw_channel, beat_due);
    (void)now_ms;
    if (c->sent - c->heard < BEATS_LOST_MAX) {
        beat(c);
        return;
    }
    bgw_redis_link_restart(c->link, words);
    go_down(c, words);
}

static void take_beat(struct bgw_channel *c, struct bgw_slice payload)
{
    const struct bgw_json token = {.type = BGW_JSON_NUMBER, .raw = payload};
    uint64_t n;
    if (bgw_json_u63(&token, &n) != BGW_OK || n < c->first || n > c->sent || n <= c->heard)
        return; /* of an earlier connection, or nobody's */
    c->heard = n;
    if (c->up || !bgw_timer_armed(&c->beat_due))
        return;
    c->up = c->told = true;
    BGW_LOG(BGW_LOG_INFO, "invalidations_heard", {"channel", LS(INVALIDATIONS)});
    c->config.state(c->config.arg, true);
}

static void on_message(void *arg, struct bgw_slice channel, struct bgw_slice payload)
{
    struct bgw_channel *c = arg;
    struct bgw_invalidation i;
    if (bgw_slice_eq(channel, bgw_slice_str(c->beats)))
        take_beat(c, payload);
    else if (bgw_slice_eq(channel, BGW_SLICE(INVALIDATIONS)) && bgw_invalidation_parse(&i, c->config.feed, payload))
        c->config.invalidated(c->config.arg, &i);
}

static void on_state(void *arg, bool up, const char *words)
{
    struct bgw_channel *c = arg;
    if (up) {
        c->heard = c->sent;
        c->first = c->sent + 1;
        beat(c);
        return;
    }
    bgw_wheel_cancel(bgw_loop_wheel(c->loop), &c->beat_due);
    go_down(c, words);
}

void bgw_channel_beat(struct bgw_channel *c)
{
    if (!c->up && bgw_timer_armed(&c->beat_due) && c->sent - c->heard < BEATS_LOST_MAX)
        beat(c);
}

enum bgw_status bgw_channel_create(struct bgw_channel **out, struct bgw_loop *loop,
                                   const struct bgw_channel_config *config, struct bgw_buf *error)
{
    BGW_ASSERT(config->invalidated && config->state && config->ping && config->heartbeat_ms > 0);
    struct bgw_channel *c = calloc(1, sizeof(*c));
    if (!c)
        return BGW_NO_MEMORY;
    c->config = *config;
    c->config.url = c->config.ca_file = NULL; /* the caller's */
    c->loop = loop;
    bgw_timer_init(&c->beat_due, on_beat_due);
    uint64_t self[2];
    arc4random_buf(self, sizeof(self));
    snprintf(c->beats, sizeof(c->beats), "bgw:heartbeat:%016" PRIx64 "%016" PRIx64, self[0], self[1]);
    const struct bgw_redis_link_config link = {
        .url = config->url,
        .ca_file = config->ca_file,
        .command_ms = COMMAND_MS,
        .commands_max = 1,
        .subscriber = true,
        .seed = config->seed,
        .arg = c,
        .state = on_state,
        .message = on_message,
    };
    enum bgw_status status = bgw_redis_link_create(&c->link, loop, &link, error);
    if (status != BGW_OK) {
        free(c);
        return status;
    }
    bgw_redis_link_subscribe(c->link, BGW_SLICE(INVALIDATIONS));
    bgw_redis_link_subscribe(c->link, bgw_slice_str(c->beats));
    *out = c;
    return BGW_OK;
}

void bgw_channel_destroy(struct bgw_channel **destroyed)
{
    struct bgw_channel *c = *destroyed;
    if (!c)
        return;
    bgw_redis_link_destroy(&c->link);
    bgw_wheel_cancel(bgw_loop_wheel(c->loop), &c->beat_due);
    free(c);
    *destroyed = NULL;
}
