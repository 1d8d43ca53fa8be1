/* SPDX-License-Identifier: Apache-2.0 */
/* window: what of one partition is under way, and up to where it is done. Pure; the projector's thread. */
#ifndef BGW_PROJECT_WINDOW_H
#define BGW_PROJECT_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WINDOW_MAX 4096

/*
 * Events enter in the order of their offsets and end in any order. Numbers count them, and never come twice, so that an end that is
 * told late, after the window was thrown away and begun anew, changes nothing.
 */
struct window {
    int64_t done;          /* all offsets below it are done */
    int64_t last;          /* offset that entered last; the next one must be greater */
    uint64_t first, next;  /* numbers: of the oldest that is not done, of the next to come */
    bool stopped;          /* nothing enters, and `done` does not move any more */
    int64_t offsets[WINDOW_MAX];
    bool ended[WINDOW_MAX];
};

void window_begin(struct window *w, int64_t offset); /* empty; `offset` is the first that is not done */
size_t window_count(const struct window *w);
/* False: full, stopped, or the offset was there already. */
bool window_enter(struct window *w, int64_t offset, uint64_t *number);
/* True: `done` has moved. An end of an earlier life is ignored. */
bool window_end(struct window *w, uint64_t number);
/* One has failed, or the partition is not ours any more: what is not done yet will be read again, by whoever has it then. */
void window_stop(struct window *w);

#endif
