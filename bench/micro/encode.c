/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encode: what a dialect costs, without the shard around it: the bytes that all who follow a slot
 * share (prepare), and the frame that one connection gets, with one update in it or sixteen.
 */
#include "micro.h"

#include "bgw/dialect.h"
#include "wire/estate.h"
#include "wire/native.h"
#include "wire/sse.h"

#include <stdlib.h>

#define SLOTS 64
#define FRAMES 500
#define OUT_MAX (1u << 20)

struct frame_case { /* immutable */
    const struct bgw_dialect *dialect;
    size_t updates; /* of a frame */
};

struct frames {
    const struct frame_case *what;
    struct bgw_feed feed;
    struct bgw_buf out;
    char keys[SLOTS][MICRO_KEY_MAX];
    struct bgw_blob *values[SLOTS], *prepared[SLOTS];
    struct bgw_update updates[SLOTS];
    uint64_t runs, bytes;
};

static void *frames_make(const struct micro *m)
{
    struct frames *f = micro_alloc(1, sizeof(*f));
    f->what = m->with;
    micro_feed(&f->feed);
    bgw_buf_init(&f->out, OUT_MAX);
    for (size_t i = 0; i < SLOTS; i++) {
        f->values[i] = micro_value(&f->feed, i, MICRO_V);
        f->updates[i] = (struct bgw_update){
            .feed = &f->feed,
            .key = bgw_slice_of(f->keys[i], micro_account(f->keys[i], i)),
            .part = f->feed.default_part,
            .version = {bgw_epoch_pack(BGW_SLICE(MICRO_EPOCH)), MICRO_V, 0},
            .value = f->values[i],
        };
        f->prepared[i] = f->what->dialect->prepare(&f->updates[i]);
        if (!f->prepared[i])
            micro_die("no memory");
        f->updates[i].prepared = f->prepared[i];
    }
    return f;
}

static void say(struct frames *f, size_t first)
{
    const struct bgw_dialect *dialect = f->what->dialect;
    bgw_buf_clear(&f->out);
    size_t began = dialect->updates_begin(&f->out);
    for (size_t i = 0; i < f->what->updates; i++)
        dialect->update(&f->out, &f->updates[(first + i) % SLOTS]);
    dialect->updates_end(&f->out, began);
}

static void frames_run(void *state)
{
    struct frames *f = state;
    f->runs++;
    for (size_t i = 0; i < FRAMES; i++) {
        say(f, i);
        f->bytes += f->out.len;
    }
}

/* All frames of a run once more, and looked at. */
static uint64_t frames_right(void *state)
{
    struct frames *f = state;
    uint64_t bytes = 0;
    for (size_t frame = 0; frame < FRAMES; frame++) {
        say(f, frame);
        bytes += f->out.len;
        for (size_t i = 0; i < f->what->updates; i++)
            if (!micro_holds(bgw_buf_slice(&f->out), (frame + i) % SLOTS, MICRO_V))
                return 0;
    }
    return bytes * f->runs == f->bytes ? f->runs * FRAMES : 0;
}

static void frames_drop(void *state)
{
    struct frames *f = state;
    for (size_t i = 0; i < SLOTS; i++) {
        bgw_blob_release(f->prepared[i]);
        bgw_blob_release(f->values[i]);
    }
    bgw_buf_deinit(&f->out);
    free(f);
}

static void prepare_run(void *state)
{
    struct frames *f = state;
    f->runs++;
    for (size_t i = 0; i < FRAMES; i++) {
        struct bgw_blob *made = f->what->dialect->prepare(&f->updates[i % SLOTS]);
        f->bytes += made->len;
        bgw_blob_release(made);
    }
}

static uint64_t prepare_right(void *state)
{
    struct frames *f = state;
    uint64_t bytes = 0;
    for (size_t i = 0; i < FRAMES; i++) {
        bytes += f->prepared[i % SLOTS]->len;
        if (!micro_holds(bgw_blob_slice(f->prepared[i % SLOTS]), i % SLOTS, MICRO_V))
            return 0;
    }
    return bytes * f->runs == f->bytes ? f->runs * FRAMES : 0;
}

#define FRAME(label, unit_text, which, count)                                                                          \
    {                                                                                                                  \
        "encode/" label, unit_text, FRAMES, 10, &(const struct frame_case){which, count}, frames_make, NULL,           \
            frames_run, frames_right, frames_drop                                                                      \
    }
#define PREPARE(label, which)                                                                                          \
    {                                                                                                                  \
        "encode/" label, "value", FRAMES, 10, &(const struct frame_case){which, 1}, frames_make, NULL, prepare_run,    \
            prepare_right, frames_drop                                                                                 \
    }

const struct micro micro_encode[] = {
    PREPARE("prepare_native", &bgw_dialect_native),
    PREPARE("prepare_estate", &bgw_dialect_signalr),
    FRAME("one_native", "frame of 1", &bgw_dialect_native, 1),
    FRAME("one_signalr", "frame of 1", &bgw_dialect_signalr, 1),
    FRAME("one_app", "frame of 1", &bgw_dialect_app, 1),
    FRAME("one_sse", "event of 1", &bgw_dialect_sse, 1),
    FRAME("sixteen_native", "frame of 16", &bgw_dialect_native, 16),
    FRAME("sixteen_signalr", "frame of 16", &bgw_dialect_signalr, 16),
    FRAME("sixteen_app", "16 frames", &bgw_dialect_app, 16),
    FRAME("sixteen_sse", "16 events", &bgw_dialect_sse, 16),
    {0},
};
