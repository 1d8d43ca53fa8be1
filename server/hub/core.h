/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core: what the files of hub/ share. The book holds millions of slots that nobody watches, so a
 * slot keeps what order and honesty need, and all the rest (fetches, timers, freshness lists) lies
 * in a `care` that only slots with something going on have. Everything here is the hub thread's.
 */
#ifndef BGW_HUB_CORE_H
#define BGW_HUB_CORE_H

#include "bgw/hub.h"
#include "bgw/list.h"
#include "bgw/map.h"
#include "bgw/pool.h"
#include "bgw/wheel.h"

#include <stdatomic.h>

/* ---- the book ---- */

enum slot_flag {
    SLOT_VERSIONED = 1 << 0,   /* seq and read number say something */
    SLOT_MODE_V = 1 << 1,      /* its records carry `v` */
    SLOT_MODE_OFFSET = 1 << 2, /* its records carry none */
    SLOT_READ = 1 << 3,        /* the value was read and had no `v` */
    SLOT_NUMBERED = 1 << 4,    /* the version shows read_high */
    SLOT_REMOVED = 1 << 5,     /* by a tombstone; the version is a floor */
    SLOT_ORDER_FLOOR = 1 << 6, /* the tombstone had no `v`: `order` is a floor too */
    SLOT_EVICTED = 1 << 7,     /* the value was given up, its version kept */
    SLOT_RESTAMPED = 1 << 8,   /* of an older epoch: any record replaces it */
    SLOT_WANTED = 1 << 9,      /* named by a watch */
    SLOT_SOURCE = 3 << 10,     /* enum bgw_source of the value */
};
#define SLOT_SOURCE_SHIFT 10
#define SLOT_ERA_SHIFT 12 /* the four bits above: the hub's era when the value came or was confirmed */
#define SLOT_ERA_MAX 15
#define SLOT_ERA (SLOT_ERA_MAX << SLOT_ERA_SHIFT)
#define SLOT_MODES (SLOT_MODE_V | SLOT_MODE_OFFSET)

/* why a value cannot be called current, from harmless to grave */
enum trouble {
    TROUBLE_NONE,
    TROUBLE_SUSPECT,     /* it came from a source, and invalidations could not be heard since */
    TROUBLE_INVALIDATED, /* somebody said that it changed */
    TROUBLE_READ_NEWER,  /* a record came that is not later than the read that is held */
    TROUBLE_EPOCH,       /* kept from an older epoch */
    TROUBLE_UNREADABLE,  /* a record of it was rejected */
};

/* 64 bytes */
struct slot {
    struct slot *next; /* of the same key */
    struct bgw_blob *value;
    struct care *care; /* NULL: nobody watches, nothing is under way */
    uint64_t seq;
    uint64_t read_high; /* the highest read number given so far */
    uint64_t order;     /* of the last record that counted, in its partition; 0: none */
    bgw_part part;
    int32_t partition;  /* of that record; -1: none */
    uint32_t read_lead; /* read_high minus the start of the read that is held */
    uint16_t flags;
    uint8_t ordinal; /* index of its cell in each watch */
    uint8_t trouble;
};

/* a watcher's place for one slot */
struct cell {
    struct bgw_relay_mark mark;
    uint64_t wait_generation; /* the slot's, when it began to wait */
    uint32_t ask;             /* the ticket of its newest ASK */
    bool waiting : 1;         /* has been told that a fetch is under way */
    bool wanted : 1;          /* this watcher named the slot: it is told of `unknown` */
    bool bypassed : 1;        /* was given a value that the book does not hold */
    bool asking : 1;          /* `ask` is to be answered when the fetch in flight is over */
    bool began : 1;           /* that fetch was begun for this watcher */
};

struct watch {
    struct watch *next;
    uint64_t group;
    uint8_t shard, more_count;
    struct cell first, *more; /* by ordinal */
};

/* about 90 bytes and the text */
struct key {
    struct slot first;     /* most keys have one */
    struct watch *watches; /* at most one a shard */
    uint32_t tenant;
    uint8_t feed, key_len, slot_count, value_count;
    bool touched; /* since the eviction hand came by */
    char text[];
};

#define KEY_SLOTS_MAX 250 /* of a key; records of further parts are rejected as `too_many` */
#define KEY_SLOTS_WANTED                                                                           \
    64 /* watches make no more than these, so that they leave room for records */
#define TENANTS_MAX 65535
#define TEXT_CLASSES 4 /* 16, 32, 48 and 64 bytes of text */

struct book {
    struct bgw_map keys, tenant_map;
    struct tenant **tenants;
    size_t tenant_count, tenant_capacity;
    uint32_t tenant_last; /* the number of the one that was asked for last */
    struct bgw_pool key_pools[TEXT_CLASSES], slot_pool, watch_pool;
    size_t slot_count, value_keys, watched_keys, values_max;
    size_t hand; /* of the eviction */
};

void book_init(struct book *b, size_t values_max);
void book_deinit(struct book *b);
struct key *book_find(struct book *b, const struct bgw_slot_name *name);
/* BGW_FULL: too many tenants. */
enum bgw_status book_find_or_add(struct book *b, const struct bgw_slot_name *name,
                                 struct key **out);
struct bgw_slice book_tenant(const struct book *b, uint32_t tenant);
struct slot *key_find(struct key *k, bgw_part part);
/* BGW_FULL at slots_max of the key. */
enum bgw_status key_find_or_add(struct book *b, struct key *k, bgw_part part, size_t slots_max,
                                struct slot **out);
/* Takes the value (NULL: gives it up). */
void slot_set_value(struct book *b, struct key *k, struct slot *s, struct bgw_blob *value);
/* Drops slots that hold nothing, and the key with the last of them. Nobody watches it. */
void key_prune(struct book *b, struct key *k);
struct cell *watch_cell(struct watch *w, const struct slot *s);
struct watch *key_attach(struct book *b, struct key *k, uint8_t shard, uint64_t group);
bool key_detach(struct book *b, struct key *k, uint8_t shard, uint64_t group);
/* Calls for the key of this name, in every tenant if asked. `fn` may not remove other keys. */
void book_each(struct book *b, const struct bgw_slot_name *name, bool any_tenant,
               void (*fn)(void *arg, struct key *k), void *arg);
static inline bool slot_unknown(const struct slot *s)
{
    return !s->value && !(s->flags & SLOT_REMOVED);
}

static inline enum bgw_source slot_source(const struct slot *s)
{
    return (enum bgw_source)((s->flags & SLOT_SOURCE) >> SLOT_SOURCE_SHIFT);
}

/* ---- versions: pure decisions about one slot ---- */

enum verdict {
    VERDICT_ACCEPT,
    VERDICT_OLD,     /* older or equal */
    VERDICT_RESTORE, /* equal, and the value had been evicted */
    VERDICT_HELD,    /* newer, but not later than the read that is held */
    VERDICT_REJECT_MODE,
    VERDICT_REJECT_UNORDERED,
};
uint64_t record_order(const struct bgw_record *r);
enum verdict judge_value(const struct slot *s, const struct bgw_decoded *d,
                         const struct bgw_record *r);
enum verdict judge_tombstone(const struct slot *s, const struct bgw_decoded *d,
                             const struct bgw_record *r);
/* A fetched value with `v` that the slot's mode lets count. */
enum verdict judge_fetched(const struct slot *s, uint64_t v);
/* What an accepted or held record makes of the slot's version; the value is the caller's. */
void note_record(struct slot *s, const struct bgw_decoded *d, const struct bgw_record *r);
void note_tombstone(struct slot *s, const struct bgw_decoded *d, const struct bgw_record *r);
void note_held(struct slot *s, const struct bgw_decoded *d, const struct bgw_record *r);
void note_fetched(struct slot *s, uint64_t v);
void note_read(struct slot *s, int64_t started_wall_ms);
void note_epoch(struct slot *s);
/* The next read number, which is used up. */
uint64_t take_read_number(struct slot *s, int64_t started_wall_ms);

/* ---- what is going on with a slot ---- */

/* what a fetch is made for: the later ones change nothing at the first sight of something else (see fetches.c) */
enum purpose { FETCH_NEEDED, FETCH_PROOF, FETCH_AGAIN, FETCH_SWEEP };

/* what some were shown and the book does not hold (given.c) */
struct given {
    struct bgw_blob *value;
    struct bgw_version version;
    int64_t read_ms;
    uint8_t source;
    bool stale; /* and they were told */
};

struct care {
    struct given *given; /* NULL: mostly */
    struct bgw_list in_stream; /* a partition's or the loose list; linked while watched */
    struct bgw_list in_round;  /* the hub's `watched` or `suspects`; linked while watched */
    struct bgw_timer retry, reread;
    struct bgw_timer aging; /* what a read proves ends then */
    struct bgw_hub *hub;
    struct key *key;
    struct slot *slot;
    uint64_t fetch_id; /* 0: none in flight */
    uint64_t generation, fetch_generation;
    uint64_t floor;    /* least `v` that ends the trouble */
    int64_t record_ms; /* newest timestamp of the records accepted while a fetch was in flight */
    int64_t fetch_ms;  /* when the fetch in flight began */
    int64_t read_ms;   /* when the last read began that brought or confirmed the value; 0: none, or a record came since */
    int64_t vouched_ms; /* in trouble: until when somebody vouched for the value */
    uint32_t backoff_ms;
    uint8_t purpose;   /* of the fetch in flight */
    uint8_t failed;    /* enum bgw_state_reason: why the last fetch brought nothing */
    bool doubted;      /* a round saw another value than the stream's: `reread` looks again */
    uint8_t doubt;     /* and for which purpose */
    bool has_floor, again; /* again: one more fetch when this one is back */
    bool bare;             /* somebody said that it changed, and not what to */
    bool unheard_of;       /* it was in trouble before anybody watched: vouched_ms is later than it was, nobody knows by how much */
    bool given_up;         /* and its source has failed since: it is as old as can be */
    uint8_t restarts;
    uint8_t told_state, told_reason, unknown_reason;
};

/* ---- streams ---- */

struct proof {
    int64_t end, asked_ms;
};

struct partition {
    struct bgw_list watched; /* cares */
    int64_t position, end_seen, start_end;
    int64_t proved_ms;       /* 0: never */
    struct proof pending[2]; /* oldest and newest that the position has not reached */
    uint8_t pending_count;
    uint8_t state;
    bool lost;  /* a gap: stale until the next proof */
    bool moved; /* position is to be believed whatever it was before */
};

struct stream {
    const struct bgw_feed *feed;
    uint64_t epoch;
    struct partition *partitions;
    size_t partition_count;
    struct bgw_list loose; /* cares of slots that no partition vouches for */
    int64_t next_check_ms;
    uint8_t worst;
    uint8_t deaf_state; /* what is deaf to invalidations is no better than that, but for reads */
    bool ready;
    bool proof_moved; /* since the last flush */
};

#define BARRIERS_MAX 16

struct barrier {
    uint64_t query; /* 0: free */
    int64_t asked_ms;
    bool refresh;
    uint64_t tickets[BGW_SHARDS_MAX];
    int64_t *ends; /* of every partition of every feed, in that order; -1: not answered */
    size_t end_count, open_count; /* open: not answered or not reached */
};

/* something that is done so many times a second while there is something to do */
struct round {
    int64_t due_us;
};

struct bgw_hub {
    struct bgw_hub_config config;
    struct bgw_hub_ops ops;
    struct bgw_now now;
    bool started;
    uint64_t seq, seq_counted, random;
    _Atomic uint64_t begun; /* seq, for any thread */
    struct book book;
    struct stream streams[BGW_FEEDS_MAX];
    struct bgw_wheel wheel;
    struct bgw_pool care_pool, given_pool;
    struct bgw_map in_flight; /* cares by fetch id */
    uint64_t fetch_seq, query_seq;
    bool sources;                      /* there is somebody to ask beside the stream */
    bool deaf;                         /* invalidations cannot be heard, since: */
    int64_t deaf_ms;
    bool has_read;                     /* the book may hold values that came from a source */
    uint8_t era;                       /* rises whenever we hear again; a slot of another era may have missed something */
    bool heard;                        /* ever */
    int64_t heard_wall_ms;             /* when the era began */
    struct bgw_list watched, suspects; /* cares: in the order of the sweep; to be read again, now that we hear again */
    struct round sweep, revalidate, prove;
    const struct slot *fetched; /* while the answer of a source is taken in: what is told of this slot is that answer */
    struct barrier barriers[BARRIERS_MAX], collecting;
    size_t barriers_out;
    bool collecting_any;
    int64_t collect_until_ms, barrier_sent_ms;
};

#define EPOCH_UNASSIGNED                                                                           \
    ((uint64_t)'0') /* of values that were read before the stream was assigned */

void hub_set_now(struct bgw_hub *hub, struct bgw_now now);
/* Before anything of the event goes into a relay. */
static inline void hub_begin_event(struct bgw_hub *hub)
{
    /* release, and the relay's mutex is taken after it: whoever has seen something of the event finds its number here */
    atomic_store_explicit(&hub->begun, ++hub->seq, memory_order_release);
}
struct stream *hub_stream(struct bgw_hub *hub, uint8_t feed);
int64_t stream_proved_ms(const struct stream *st); /* the oldest of its partitions' proofs; 0: there is none */
static inline struct stream *key_stream(struct bgw_hub *hub, const struct key *k)
{
    return &hub->streams[k->feed];
}

/* tell: from book to relays */
struct news {
    uint32_t records;
    bool restamped;
    int64_t ingest_ns;
};
bool slot_unproved(const struct bgw_hub *hub, const struct key *k, const struct slot *s); /* but for reads */
void tell_aging(struct bgw_hub *hub, struct care *c); /* looks again when its state is over by age alone */
struct bgw_version slot_version(const struct bgw_hub *hub, const struct key *k,
                                const struct slot *s);
enum bgw_slot_state slot_state(const struct bgw_hub *hub, const struct key *k, const struct slot *s,
                               enum bgw_state_reason *reason);
void tell_slot(struct bgw_hub *hub, struct key *k, struct slot *s, const struct news *news);
void tell_watch(struct bgw_hub *hub, struct key *k, struct slot *s, struct watch *w);
void tell_state(struct bgw_hub *hub, struct care *c); /* only if it is not what was told last */

/* care */
struct care *care_of(struct bgw_hub *hub, struct key *k, struct slot *s); /* makes one */
void care_attach(struct bgw_hub *hub, struct care *c);                    /* to its stream's list */
void care_drop_if_idle(struct bgw_hub *hub, struct slot *s);
bool care_needs_fetch(const struct care *c);
void fetch_start(struct bgw_hub *hub, struct care *c); /* FETCH_NEEDED */
void fetch_begin(struct bgw_hub *hub, struct care *c, enum purpose purpose);
bool fetch_idle(const struct care *c); /* none in flight, none to come */
void fetch_retry_later(struct bgw_hub *hub, struct care *c);
struct care *fetch_find(struct bgw_hub *hub, uint64_t id);
void fetch_forget(struct bgw_hub *hub, struct care *c); /* it is no longer in flight */
/* Marks the slot, if it is not in worse already; somebody vouched for it until then. For who tells of it himself. */
void trouble_begins(struct slot *s, enum trouble t, int64_t vouched_ms);
void trouble_ends(struct slot *s);
/* Marks the slot and, if it is watched, has it read again. */
void slot_trouble(struct bgw_hub *hub, struct key *k, struct slot *s, enum trouble t);
/* A fetch unless one is on its way or paced; for who waits, or for trouble. */
void fetch_if_needed(struct bgw_hub *hub, struct care *c);
/* given */
bool given_remember(struct bgw_hub *hub, struct care *c, const struct bgw_fetched *f); /* false: no memory */
void given_forget(struct bgw_hub *hub, struct care *c);
void given_forget_all(struct bgw_hub *hub);
void given_show(struct bgw_hub *hub, struct care *c, struct watch *w, bool fetched);
int64_t given_until(const struct stream *st, const struct care *c); /* when it is too old; INT64_MAX: never */
void given_age(struct bgw_hub *hub, struct care *c);

/* The key's last watcher has gone. */
void fetches_stop_watching(struct bgw_hub *hub, struct slot *s);

/* asks: a source's word is wanted whatever is known */
void ask_slot(struct bgw_hub *hub, struct key *k, struct slot *s, struct watch *w, uint32_t ticket);
void asks_settle(struct bgw_hub *hub, struct care *c); /* no fetch is in flight any more */

/* rounds */
int64_t rounds_tick(struct bgw_hub *hub); /* ms until the next step, INT64_MAX none */
int64_t channel_tick(struct bgw_hub *hub); /* ms until deafness makes stale, INT64_MAX never */
void round_join(struct bgw_hub *hub, struct care *c); /* it is watched */
void round_again(struct bgw_hub *hub, struct care *c); /* to be read again, in its turn */
static inline bool of_this_era(const struct bgw_hub *hub, const struct slot *s)
{
    return (s->flags & SLOT_ERA) >> SLOT_ERA_SHIFT == hub->era;
}
static inline void set_era(struct slot *s, uint8_t era)
{
    s->flags = (uint16_t)((s->flags & ~SLOT_ERA) | era << SLOT_ERA_SHIFT);
}

/* freshness */
int64_t freshness_tick(struct bgw_hub *hub);
void partition_advance(struct bgw_hub *hub, struct stream *st, int32_t partition,
                       int64_t next_offset);

/* barriers */
void barrier_collect(struct bgw_hub *hub, uint8_t shard, uint64_t ticket, bool refresh);
void barrier_answered(struct bgw_hub *hub, struct stream *st, uint64_t query, int32_t partition,
                      int64_t end);
void barrier_advanced(struct bgw_hub *hub, struct stream *st, int32_t partition);
void barrier_reassigned(struct bgw_hub *hub);
int64_t barrier_tick(struct bgw_hub *hub);
void barrier_deinit(struct bgw_hub *hub);

#endif
