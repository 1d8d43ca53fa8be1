/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub: the sequencer. Owns the book of slots, decides versions, freshness and fetches, answers
 * watches, and feeds the relays. Pure: no I/O, no clock, one thread; what it wants done goes out
 * through `struct bgw_hub_ops`. The same code runs under the simulator.
 */
#ifndef BGW_HUB_H
#define BGW_HUB_H

#include "bgw/clock.h"
#include "bgw/feed.h"
#include "bgw/relay.h"
#include "bgw/status.h"

struct bgw_hub;

/* shard -> hub, a fixed-size value in a bounded mailbox */
enum bgw_hub_command_kind {
    BGW_HUB_WATCH,
    BGW_HUB_UNWATCH,
    BGW_HUB_BARRIER,
    BGW_HUB_ASK, /* after a WATCH of the slot: its source is asked, or the fetch that runs is joined; answered whatever comes of it */
};
struct bgw_hub_command {
    uint8_t kind;
    uint8_t shard;
    bool refresh; /* BARRIER: look at the topic's metadata first (a client showed an unknown epoch)
                   */
    uint64_t group;            /* WATCH/UNWATCH: the shard's reference for (feed, tenant, key) */
    uint64_t ticket;           /* BARRIER: rising within a shard; ASK: 32 bits, comes back in the relay entry that answers */
    struct bgw_slot_name name; /* WATCH: part = the slot wanted; 0 = the feed's default part and all
                                  that are known */
};

/* what a fetch asks for and what comes back: fixed-size values */
struct bgw_fetch {
    uint64_t id;
    struct bgw_slot_name name;
    uint64_t generation;
    struct bgw_version floor; /* least version that is of use; seq 0: any */
    bool known;               /* the stream has named it: no filter may deny it */
    bool past_cache;          /* the origin is to be asked, if there is one: a cache may hold what nobody has invalidated */
};
enum bgw_fetch_result {
    BGW_FETCH_VALUE,
    BGW_FETCH_NOT_FOUND,   /* every source that could know says no */
    BGW_FETCH_NO_SOURCE,   /* there is nobody to ask: never denies the key, never overwrites */
    BGW_FETCH_UNAVAILABLE, /* asked and failed; shared with everyone waiting, never cached */
    BGW_FETCH_SHED,        /* not asked: more than the budget allows; as UNAVAILABLE, and said so */
};
struct bgw_fetched {
    uint64_t id;
    uint8_t result;
    bool has_v;
    uint8_t source; /* enum bgw_source; of VALUE */
    uint64_t v;
    int64_t started_wall_ms;
    struct bgw_blob *value; /* one reference, taken by the hub */
};

struct bgw_hub_ops {
    void *arg;
    /* Starts a fetch; exactly one bgw_hub_on_fetched answers it (it may be called before this
     * returns). False: cannot take it now, the hub asks again later. */
    bool (*fetch)(void *arg, const struct bgw_fetch *f);
    /* Asks for every partition's end, fetched after this call; answered by bgw_hub_on_watermark for
     * each partition. */
    void (*ask_watermark)(void *arg, uint8_t feed, uint64_t query, bool refresh_metadata);
    /* A record was rejected: for the log (position and reason, never the payload). */
    void (*rejected)(void *arg, uint8_t feed, const struct bgw_record *r, enum bgw_reject why);
};

struct bgw_hub_config {
    const struct bgw_feed *feeds;
    size_t feed_count;
    struct bgw_relay **relays; /* one a shard */
    size_t shard_count;
    size_t keys_max; /* 0: unlimited */
    int64_t retry_min_ms,
        retry_max_ms;         /* pace of asking again for watched slots without a proven value */
    int64_t reread_ms;        /* second read after an invalidation without version: 1000 */
    int64_t barrier_batch_ms; /* one watermark query for all that came within it: 20 */
    int64_t barrier_max_ms;   /* a query that was not answered by then is taken for lost and asked again */
    int64_t sweep_per_s;      /* anti-entropy: watched slots that are compared with their source, a second, each once at most; 0: none */
    int64_t revalidate_per_s; /* after the invalidation channel was deaf: watched slots that are asked for again, a second */
    int64_t prove_per_s;      /* while the stream cannot be proved: watched slots whose source is asked instead, a second; of one
                                 slot whose source failed not within a second, here as after deafness */
    uint64_t jitter_seed;     /* spreads retries; the same seed gives the same run */
};

BGW_MUST_CHECK enum bgw_status bgw_hub_create(struct bgw_hub **out,
                                              const struct bgw_hub_config *config,
                                              const struct bgw_hub_ops *ops);
void bgw_hub_destroy(struct bgw_hub **hub);

/* The stream. `positions[i]` is the first offset that partition i will deliver, `ends[i]` its end
 * at the start: the feed is ready when every partition has been read that far. A changed epoch
 * restamps all slots (<new>.0, value kept, stale). */
void bgw_hub_on_assigned(struct bgw_hub *hub, uint8_t feed, uint64_t epoch,
                         const int64_t *positions, const int64_t *ends, size_t partitions,
                         struct bgw_now now);
void bgw_hub_on_record(struct bgw_hub *hub, uint8_t feed, const struct bgw_record *record,
                       struct bgw_now now);
/* The position moved without a record (end of partition, control records): the next offset to come.
 */
void bgw_hub_on_position(struct bgw_hub *hub, uint8_t feed, int32_t partition, int64_t next_offset,
                         struct bgw_now now);
/* The end of a partition, as it was at asked_mono_ms or later. query 0: the one-second proof. */
void bgw_hub_on_watermark(struct bgw_hub *hub, uint8_t feed, uint64_t query, int32_t partition,
                          int64_t end_offset, int64_t asked_mono_ms, struct bgw_now now);
/* The position is lost or the broker said so: the partition's slots are stale until proved again.
 * The next record or bgw_hub_on_position says where it goes on, which may be further back. */
void bgw_hub_on_gap(struct bgw_hub *hub, uint8_t feed, int32_t partition, struct bgw_now now);

void bgw_hub_on_invalidate(struct bgw_hub *hub, uint8_t feed, const struct bgw_slot_name *name,
                           bool any_tenant, bool has_v, uint64_t v, struct bgw_now now);
/* Invalidations can be heard no more, or again. Down: values that came from a source are delayed unless they were read just now,
 * and stale when they could not be read for the feed's stale_ms. Up, also without a down before it: they are suspect until they were
 * read again, and whatever is watched is, at revalidate_per_s; what cannot be read becomes as stale. Never called: there is no
 * channel, the stream alone vouches for them. */
void bgw_hub_on_channel(struct bgw_hub *hub, bool up, struct bgw_now now);
/* There are sources to ask beside the stream; before the first event. Without: nothing is swept or proved by asking. */
void bgw_hub_set_sources(struct bgw_hub *hub, bool any);
void bgw_hub_on_fetched(struct bgw_hub *hub, const struct bgw_fetched *f, struct bgw_now now);
void bgw_hub_on_command(struct bgw_hub *hub, const struct bgw_hub_command *c, struct bgw_now now);
/* Deadlines (freshness, retries, barriers). Called in every turn, after its events; returns ms
 * until it wants to be called again if nothing happens. */
int64_t bgw_hub_tick(struct bgw_hub *hub, struct bgw_now now);
/* End of a turn: seals the relays. */
void bgw_hub_flush(struct bgw_hub *hub);

/* Any thread: the number of the newest event that was begun. What any shard shows is of it or of an earlier one; at rest it is what
 * the relays were sealed with. */
uint64_t bgw_hub_sequenced(const struct bgw_hub *hub);

/* True when every partition of every feed has been read to the end taken at the start. */
bool bgw_hub_ready(const struct bgw_hub *hub);
/* For readiness and metrics; hub thread. */
struct bgw_hub_view {
    uint64_t keys, slots, watched_keys, fetches_in_flight, hub_seq;
    size_t partitions;
    int64_t lag_records;             /* over all partitions, against the last end seen */
    int64_t oldest_proof_mono_ms;    /* 0: never */
    enum bgw_slot_state worst_state; /* of the partitions */
};
void bgw_hub_look(const struct bgw_hub *hub, struct bgw_hub_view *view);

#endif
