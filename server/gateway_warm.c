/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_warm: hides the list, the queue and the pace: a handful every 50 ms, each to the shard that
 * its name falls on. Invariant: no more than BGW_WARMUP_PER_S are read a second, whoever asked.
 */
#include "gateway_warm.h"

#include "bgw/hash.h"
#include "bgw/log.h"

#include <stdio.h>
#include <stdlib.h>

#define STEP_MS 50
#define QUEUE_MAX 20000u
#define LIST_MAX 100000u
#define FILE_MAX (8u << 20)

struct bgw_warmup { /* main thread; `added` any */
    struct bgw_loop *loop;
    const struct bgw_config *config;
    const struct bgw_feed *feed;
    struct bgw_mailbox *added;
    struct bgw_slot_name *list, *queue; /* a ring */
    size_t list_count, next, queue_at, queue_count;
    struct bgw_timer step, again;
    struct bgw_worker **workers;
    size_t worker_count;
    int64_t owed; /* thousandths of a read that time has given */
    int64_t next_step_ms; /* not before: whoever adds accounts one by one does not hurry it */
};

/* ---- the pace ---- */

static void arm(struct bgw_warmup *w, struct bgw_timer *timer, int64_t after_ms)
{
    bgw_wheel_arm(bgw_loop_wheel(w->loop), timer, bgw_loop_now(w->loop).mono_ms + after_ms);
}

static bool send(struct bgw_warmup *w, const struct bgw_slot_name *name)
{
    uint64_t hash = bgw_hash_keyed(bgw_slice_of(name->key, name->key_len));
    return bgw_worker_warm(w->workers[hash % w->worker_count], name);
}

static bool send_next(struct bgw_warmup *w)
{
    if (w->queue_count) {
        if (!send(w, &w->queue[w->queue_at]))
            return false;
        w->queue_at = (w->queue_at + 1) % QUEUE_MAX;
        w->queue_count--;
        return true;
    }
    return w->next < w->list_count && send(w, &w->list[w->next]) && ++w->next;
}

static void on_step(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_warmup *w = BGW_CONTAINER(timer, struct bgw_warmup, step);
    w->next_step_ms = now_ms + STEP_MS;
    for (w->owed += w->config->warmup_per_s * STEP_MS; w->owed >= 1000 && send_next(w); w->owed -= 1000)
        ;
    if (w->owed > 1000) /* the workers have enough, or nothing is left */
        w->owed = 1000;
    if (w->queue_count || w->next < w->list_count)
        arm(w, &w->step, STEP_MS);
    else if (w->config->warmup_s > 0 && !bgw_timer_armed(&w->again))
        arm(w, &w->again, w->config->warmup_s * 1000);
}

static void on_again(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_warmup *w = BGW_CONTAINER(timer, struct bgw_warmup, again);
    (void)now_ms;
    w->next = 0;
    arm(w, &w->step, STEP_MS);
}

static void on_added(void *arg, const void *item)
{
    struct bgw_warmup *w = arg;
    if (w->queue_count == QUEUE_MAX)
        return; /* the mailbox is shorter: this is its spare */
    w->queue[(w->queue_at + w->queue_count++) % QUEUE_MAX] = *(const struct bgw_slot_name *)item;
    int64_t early_ms = w->next_step_ms - bgw_loop_now(w->loop).mono_ms;
    if (w->worker_count && !bgw_timer_armed(&w->step))
        arm(w, &w->step, early_ms > 0 ? early_ms : 0);
}

bool bgw_warmup_add(struct bgw_warmup *w, const struct bgw_slot_name *name)
{
    return bgw_mailbox_post(w->added, name) == BGW_OK;
}

void bgw_warmup_start(struct bgw_warmup *w, struct bgw_worker **workers, size_t count)
{
    w->workers = workers;
    w->worker_count = count;
    if (w->list_count)
        BGW_LOG(BGW_LOG_INFO, "warmup", {"accounts", LI(w->list_count)}, {"per_s", LI(w->config->warmup_per_s)});
    arm(w, &w->step, 0);
}

/* ---- the list ---- */

static enum bgw_status take(struct bgw_warmup *w, struct bgw_slice text, struct bgw_buf *error)
{
    const char *slash = memchr(text.data, '/', text.len);
    struct bgw_slice key = slash ? bgw_slice_of(text.data, (size_t)(slash - text.data)) : text;
    struct bgw_slice part = slash ? bgw_slice_of(slash + 1, text.len - key.len - 1) : bgw_slice_of("", 0);
    if (!w->feed->key_valid(key) || (slash && !w->feed->part_valid(part)) || w->list_count == LIST_MAX) {
        bgw_buf_appendf(error, "BGW_WARMUP: \"%.*s\" is no account such as A or A/USD, or one beyond %u", (int)text.len, text.data,
                        LIST_MAX);
        return BGW_BAD_VALUE;
    }
    struct bgw_slot_name *list = realloc(w->list, (w->list_count + 1) * sizeof(*list));
    if (!list)
        return BGW_NO_MEMORY;
    w->list = list;
    struct bgw_slot_name *n = &list[w->list_count++];
    *n = (struct bgw_slot_name){.feed = w->feed->id,
                                .tenant_len = (uint8_t)w->feed->default_tenant.len,
                                .key_len = (uint8_t)key.len,
                                .part = slash ? bgw_part_of(part) : 0};
    memcpy(n->tenant, w->feed->default_tenant.data, w->feed->default_tenant.len);
    memcpy(n->key, key.data, key.len);
    return BGW_OK;
}

static enum bgw_status take_all(struct bgw_warmup *w, const char *text, struct bgw_buf *error)
{
    enum bgw_status status = BGW_OK;
    while (status == BGW_OK && *(text += strspn(text, ", \t\r\n"))) {
        size_t len = strcspn(text, ", \t\r\n");
        status = take(w, bgw_slice_of(text, len), error);
        text += len;
    }
    return status;
}

static enum bgw_status take_file(struct bgw_warmup *w, const char *path, struct bgw_buf *error)
{
    FILE *file = fopen(path, "rb");
    char *text = file ? calloc(1, FILE_MAX + 1) : NULL;
    enum bgw_status status = BGW_IO;
    if (text && fread(text, 1, FILE_MAX, file) > 0)
        status = take_all(w, text, error);
    else
        bgw_buf_appendf(error, "BGW_WARMUP: \"%s\" cannot be read, or is empty", path);
    free(text);
    if (file)
        fclose(file);
    return status;
}

/* ---- life ---- */

enum bgw_status bgw_warmup_create(struct bgw_warmup **out, struct bgw_loop *loop, const struct bgw_config *config,
                                  const struct bgw_feed *feed, struct bgw_buf *error)
{
    struct bgw_warmup *w = calloc(1, sizeof(*w));
    *out = w;
    if (!w)
        return BGW_NO_MEMORY;
    w->loop = loop;
    w->config = config;
    w->feed = feed;
    bgw_timer_init(&w->step, on_step);
    bgw_timer_init(&w->again, on_again);
    w->queue = calloc(QUEUE_MAX, sizeof(*w->queue));
    if (!w->queue)
        return BGW_NO_MEMORY;
    enum bgw_status status = bgw_mailbox_create(&w->added, loop, sizeof(struct bgw_slot_name), QUEUE_MAX / 2, on_added, w);
    if (status != BGW_OK)
        return status;
    return *config->warmup == '@' ? take_file(w, config->warmup + 1, error) : take_all(w, config->warmup, error);
}

void bgw_warmup_destroy(struct bgw_warmup **warmup)
{
    struct bgw_warmup *w = *warmup;
    if (!w)
        return;
    w->worker_count = 0;
    if (w->added)
        bgw_mailbox_destroy(&w->added);
    bgw_wheel_cancel(bgw_loop_wheel(w->loop), &w->step);
    bgw_wheel_cancel(bgw_loop_wheel(w->loop), &w->again);
    free(w->queue);
    free(w->list);
    free(w);
    *warmup = NULL;
}
