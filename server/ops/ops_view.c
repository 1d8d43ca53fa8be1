/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_view: the newest object of /v1/ops. Hides when it is made and how it gets from the thread that
 * collects to those that show it: a lock around one pointer and its count, held for a few
 * instructions once a second a shard. Invariant: an event is whole and never changes once it is out;
 * however many ask, it is encoded once.
 */
#include "bgw/ops_view.h"

#include "ops_write.h"

#include "bgw/assert.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define EVENT_MAX (64u << 10) /* 256 partitions of 60 bytes, and the rest is a few KiB */
#define NAME_MAX_LEN 128u

static const char prefix[] = "event: ops\ndata: ", suffix[] = "\n\n";

struct bgw_ops_view {
    /* collecting thread only */
    struct bgw_ops_view_config config;
    char version[NAME_MAX_LEN], instance[NAME_MAX_LEN];
    struct ops_window window;
    struct bgw_ops_facts facts;
    struct ops_known known;
    struct bgw_buf event;
    /* any thread */
    pthread_mutex_t lock;
    struct bgw_blob *newest; /* under the lock */
    atomic_int streams;
};

enum bgw_status bgw_ops_view_create(struct bgw_ops_view **out, const struct bgw_ops_view_config *config)
{
    struct bgw_ops_view *v = calloc(1, sizeof(*v));
    if (!v)
        return BGW_NO_MEMORY;
    v->config = *config;
    strncpy(v->version, config->version, sizeof(v->version) - 1);
    strncpy(v->instance, config->instance, sizeof(v->instance) - 1);
    v->config.version = v->version;
    v->config.instance = v->instance;
    v->known = (struct ops_known){.config = &v->config, .window = &v->window, .facts = &v->facts};
    bgw_buf_init(&v->event, EVENT_MAX);
    BGW_ASSERT(pthread_mutex_init(&v->lock, NULL) == 0);
    *out = v;
    return BGW_OK;
}

void bgw_ops_view_destroy(struct bgw_ops_view **view)
{
    struct bgw_ops_view *v = *view;
    if (!v)
        return;
    BGW_ASSERT(atomic_load(&v->streams) == 0);
    bgw_blob_release(v->newest);
    bgw_buf_deinit(&v->event);
    pthread_mutex_destroy(&v->lock);
    free(v);
    *view = NULL;
}

/* ---- collecting ---- */

/* Pages that are resident, the second number of statm; below 0: not known. */
static int64_t rss_bytes(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return -1;
    text[len] = '\0';
    const char *second = strchr(text, ' ');
    int64_t pages = second ? strtoll(second, NULL, 10) : 0;
    return pages > 0 ? pages * sysconf(_SC_PAGESIZE) : -1;
}

static void note(struct ops_since *since, int state, struct bgw_now now)
{
    if (since->wall_ms && since->state == state)
        return;
    *since = (struct ops_since){state, now.wall_ms};
}

static void note_changes(struct bgw_ops_view *v, struct bgw_now now)
{
    const struct bgw_sources_view *s = &v->facts.sources;
    note(&v->known.state, (int)ops_state_of(&v->facts.health), now);
    note(&v->known.redis, (int)s->redis, now);
    note(&v->known.channel, (int)s->channel, now);
    note(&v->known.origin, (int)s->origin, now);
    note(&v->known.redis_breaker, (int)s->redis_breaker, now);
    note(&v->known.origin_breaker, (int)s->origin_breaker, now);
}

static struct bgw_blob *encode(struct bgw_ops_view *v)
{
    bgw_buf_clear(&v->event);
    bgw_buf_append_str(&v->event, prefix);
    ops_write(&v->event, &v->known);
    bgw_buf_append_str(&v->event, suffix);
    return v->event.failed ? NULL : bgw_blob_copy(bgw_buf_slice(&v->event));
}

void bgw_ops_view_collect(struct bgw_ops_view *v, struct bgw_now now)
{
    ops_window_take(&v->window, now.mono_ms);
    v->facts = (struct bgw_ops_facts){.proof_age_ms = -1, .sources = {.redis_memory_bytes = -1}};
    v->config.look(v->config.arg, &v->facts);
    note_changes(v, now);
    v->known.rss_bytes = rss_bytes();
    v->known.now = now;
    v->known.seq++;
    struct bgw_blob *made = encode(v);
    if (!made)
        return;
    pthread_mutex_lock(&v->lock);
    struct bgw_blob *old = v->newest;
    v->newest = made;
    pthread_mutex_unlock(&v->lock);
    bgw_blob_release(old);
}

/* ---- asking ---- */

struct bgw_blob *bgw_ops_view_get(struct bgw_ops_view *v)
{
    pthread_mutex_lock(&v->lock);
    struct bgw_blob *event = bgw_blob_acquire(v->newest);
    pthread_mutex_unlock(&v->lock);
    return event;
}

struct bgw_slice bgw_ops_view_json(const struct bgw_blob *event)
{
    size_t before = sizeof(prefix) - 1, around = before + sizeof(suffix) - 1;
    BGW_ASSERT(event->len > around);
    return bgw_slice_of(event->data + before, event->len - around);
}

bool bgw_ops_view_enter(struct bgw_ops_view *v)
{
    int held = atomic_load_explicit(&v->streams, memory_order_relaxed);
    do {
        if (held >= BGW_OPS_STREAMS_MAX)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&v->streams, &held, held + 1, memory_order_relaxed, memory_order_relaxed));
    return true;
}

void bgw_ops_view_leave(struct bgw_ops_view *v)
{
    int before = atomic_fetch_sub_explicit(&v->streams, 1, memory_order_relaxed);
    BGW_ASSERT(before > 0);
}
