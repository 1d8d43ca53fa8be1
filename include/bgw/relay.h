/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: hub -> shard. Not a queue but a dirty set: one cell a (slot, shard), each with the newest
 * value, state and the count of records folded into it. It is bounded by the watched slots, so it
 * cannot fill and a slow shard never stops Kafka. Two vectors swap under a mutex that is held for
 * a few instructions.
 */
#ifndef BGW_RELAY_H
#define BGW_RELAY_H

#include "bgw/types.h"

struct bgw_relay; /* put/barrier/seal: hub thread; take/done: shard thread */

/* fixed-size value */
struct bgw_relay_entry {
    uint64_t group; /* the shard's own reference, from its watch command */
    bgw_part part;
    uint8_t state;  /* enum bgw_slot_state */
    uint8_t reason; /* enum bgw_state_reason */
    uint8_t source; /* enum bgw_source: of the value */
    uint8_t failed; /* enum bgw_state_reason: why the last fetch of it brought nothing; NONE: none has failed */
    bool fetched;   /* a source was asked for what this says */
    bool joined;    /* and it was asked for somebody else */
    uint32_t asked; /* ticket of the newest ASK that is answered; 0: none was */
    bool answered; /* the hub has said what it can: value, unknown or removed; else a fetch is under
                      way */
    bool restamped;   /* new epoch, same value: nothing was lost and nothing is news */
    uint32_t records; /* accepted records folded into this cell since the last take */
    struct bgw_version version;
    struct bgw_blob *value; /* one reference; NULL: none */
    int64_t proved_mono_ms; /* when the slot's stream was last proved read to its end; 0 never */
    int64_t ingest_ns;      /* of the oldest folded record; 0 none */
};

/* hub's memory of where a (slot, shard) cell lies in the open vector; zero-initialised */
struct bgw_relay_mark {
    uint64_t batch;
    uint32_t index;
};

struct bgw_relay_batch { /* shard thread, between take and done */
    struct bgw_relay_entry *entries;
    size_t count;
    uint64_t hub_seq; /* everything the hub sequenced up to here is in this or an earlier batch */
    uint64_t barrier_done; /* highest ticket that is answered */
    uint64_t epoch;        /* of feed 0: what new hellos name; 0 before the stream is assigned */
    int64_t proved_mono_ms; /* of feed 0: what is fresh by now was still the newest then; 0: never proved */
};

typedef void (*bgw_relay_wake)(void *arg); /* called on empty -> non-empty, hub thread */

struct bgw_relay *bgw_relay_create(bgw_relay_wake wake, void *arg);
void bgw_relay_destroy(struct bgw_relay **r); /* releases values that were not taken */
/* Takes e->value. Folds into the cell of `mark` if it lies in the open vector: newest value, state
 * and version; records add up; answered stays once set; the oldest ingest time. */
void bgw_relay_put(struct bgw_relay *r, struct bgw_relay_mark *mark,
                   const struct bgw_relay_entry *e);
/* All of feed 0 was proved to be read to its end, as of then; with the next seal. */
void bgw_relay_proved(struct bgw_relay *r, int64_t proved_mono_ms);
void bgw_relay_barrier(struct bgw_relay *r, uint64_t ticket);
/* End of a hub turn: publishes hub_seq and the epoch, and wakes once if there is news or a seal is wanted. */
void bgw_relay_seal(struct bgw_relay *r, uint64_t hub_seq, uint64_t epoch);
/* False if nothing new. The values in the batch belong to the caller, who releases or keeps each.
 */
bool bgw_relay_take(struct bgw_relay *r, struct bgw_relay_batch *batch);
void bgw_relay_done(struct bgw_relay *r, struct bgw_relay_batch *batch);
/* Shard thread: until hub_seq has been taken a seal wakes although it brings no news; for one that is there already and was not
 * taken the wake comes before this returns. */
void bgw_relay_want_seal(struct bgw_relay *r, uint64_t hub_seq);

#endif
