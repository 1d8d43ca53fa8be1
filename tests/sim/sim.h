/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim: the deterministic simulator. The real hub, relays and shards run in one thread under a
 * virtual clock; everything around them (log, sources, network, clients) is a model that a seed
 * drives. Invariants I1-I10 of the design are checked as it goes; a seed reproduces a run exactly.
 */
#ifndef SIM_H
#define SIM_H

#include "bgw/hub.h"
#include "bgw/shard.h"

#include <setjmp.h>
#include <stdio.h>

#define ACCOUNTS 6
#define PARTS 2
#define SLOTS (ACCOUNTS * PARTS)
#define PARTITIONS_MAX 3
#define REPLICAS 2
#define SHARDS 2
#define CLIENTS 4
#define EPOCHS_MAX 6
#define LOG_MAX 4096
#define COMMITS_MAX 8192
#define FIRST_MINOR 1000 /* the first commit's amount; the n-th has FIRST_MINOR + n */
#define QUEUE_MAX 6 /* shard -> hub: small on purpose, so that it fills */
#define FETCHES_MAX 64
#define ASKS_MAX 256
#define PENDING_MAX 64
#define TAKEN_MAX 64
#define READERS 6
#define READS_MAX 3      /* of a shard that wait */
#define READS_KEPT_MAX 2 /* keys of a shard that are watched for reads */

/* every kind of fault and how often it fired; zero over a run is a failure */
#define SIM_FAULTS(X)                                                                            \
    X(fetch_lost) X(fetch_shed) X(fetch_reordered) X(fetch_without_v) X(cache_went_back) X(cache_forgot)       \
    X(silent_commit) X(channel_down) X(channel_up) X(invalidation_unheard) X(reads_prove) X(read_asks)        \
    X(sources_dead_and_deaf) X(sources_dead_and_suspect) X(renewed_behind)                                    \
    X(record_duplicated) X(record_replayed) X(record_garbage) X(tombstone) X(proof_lost)          \
    X(watermark_late) X(fetch_stale) X(fetch_late) X(fetch_unavailable) X(fetch_not_found)        \
    X(invalidation_lost) X(invalidation) X(epoch_change) X(replica_restart) X(client_cut)         \
    X(client_moved) X(client_slow) X(token_expired) X(grants_changed) X(queue_full) X(clock_leap) \
    X(resume_presented) X(since_presented) X(foreign_resume) X(repair) X(rate_limited) X(unsubscribed) \
    X(revoked_token) X(revoked_subject) X(revoked_accounts) X(revocation_replayed) X(revoked_presented)       \
    X(blind_client) X(blind_labelled) \
    X(read_floor) X(read_proof) X(read_waits) X(read_cancelled) X(read_busy) X(seal_late)
#define SIM_CHECKS(X)                                                                          \
    X(I1_version_never_back) X(I2_grant_at_delivery) X(I3_converges) X(I4_value_was_written)   \
    X(I5_bounded) X(I6_answered) X(I7_nothing_after_expiry) X(I8_one_fetch) X(I9_labelled)     \
    X(I10_identities) X(merged_closes_gaps) X(digest_fits) X(live_after_all)                   \
    X(mark_nothing_pending) X(current_is_newest) X(state_told) X(repair_is_whole) X(no_overtaken_fetch) \
    X(nothing_revoked_is_sent) X(revoked_are_told) X(only_revoked_is_taken) X(revoked_is_refused)      \
    X(newer_token_heals) X(blind_first_is_proved) \
    X(read_never_older) X(proof_never_older) X(floor_is_met) X(read_answered) X(read_is_newest) \
    X(source_is_told) X(deaf_is_told) X(I9_nobody_vouches) X(old_is_renewed_first) X(read_proves) X(ask_is_asked) X(errors_are_not_kept) X(read_through)

enum sim_fault {
#define X(name) FAULT_##name,
    SIM_FAULTS(X)
#undef X
    FAULT_COUNT
};
enum sim_check {
#define X(name) CHECKED_##name,
    SIM_CHECKS(X)
#undef X
    CHECKED_COUNT
};
extern uint64_t sim_faults[FAULT_COUNT];
extern uint64_t sim_checks[CHECKED_COUNT];

enum log_kind { LOG_VALUE, LOG_TOMBSTONE, LOG_GARBAGE };
struct log_record { /* one record of a partition */
    uint8_t kind;
    uint8_t slot;
    bool has_v;
    uint64_t v;
    int64_t minor, wall_ms;
};
struct partition_log {
    struct log_record *records;
    int64_t end;
};
struct topic { /* one life of the topic: an epoch */
    uint64_t epoch;
    int partitions;
    struct partition_log logs[PARTITIONS_MAX];
};

struct commit { /* something the ledger did to a slot; minor is unique in the world */
    uint8_t slot, topic; /* topic: the life of it that tells of this */
    bool removed, appended;
    uint64_t v;
    int64_t minor, wall_ms;
};

struct ledger_slot {
    uint64_t v;
    int64_t minor;
    bool has, removed;
    size_t last_commit;
};
struct cached { /* what Redis holds of a slot; shared by the replicas */
    bool has;
    uint64_t v;
    int64_t minor;
};

struct ask {
    uint64_t query;
    bool refresh;
    int64_t due_ms, asked_ms;
    int64_t ends[PARTITIONS_MAX];
    int topic;
    bool used;
};
struct flying_fetch {
    struct bgw_fetch fetch;
    int64_t due_ms, started_wall_ms;
    struct ledger_slot seen; /* the source as it was when the fetch read it */
    uint8_t result, source;
    bool used;
    bool overtaken; /* an invalidation came after it had read */
};

struct taken { /* a revocation: of a token, of a subject's tokens, of accounts of a subject */
    uint8_t kind; /* enum bgw_revocation_kind */
    bool any_tenant;
    uint64_t subject, jti;
    uint32_t accounts;
    int64_t before_s, until_s, issued_ms;
    int64_t due_ms[REPLICAS], arrived_ms[REPLICAS];
    bool arrived[REPLICAS];
};

struct world;
struct replica;
struct rig { /* one shard with its relay and its way to the hub */
    struct replica *replica;
    int index;
    struct bgw_shard *shard;
    struct bgw_relay *relay;
    struct bgw_hub_command queue[QUEUE_MAX];
    int queued;
    /* what the hub has told this shard, by slot: the newest applied version (for marks) */
    struct bgw_version applied[SLOTS];
    bool applied_has[SLOTS];
    struct bgw_slot_name groups[64];
    uint64_t group_refs[64];
    int group_count;
    int64_t took_hub_ms; /* when it took the last batch: the hub's last turn then; and it was deaf */
    bool took_deaf;
};
struct replica {
    struct world *world;
    int index, topic; /* which life of the topic it reads */
    struct bgw_hub *hub;
    struct bgw_relay *relays[SHARDS];
    struct bgw_revocations *revocations;
    struct rig rigs[SHARDS];
    int64_t position[PARTITIONS_MAX];
    struct ask asks[ASKS_MAX];
    struct flying_fetch fetches[FETCHES_MAX];
    int64_t next_proof_ms, proofs_blocked_until_ms, last_proof_ms;
    bool deaf;             /* to invalidations */
    int64_t hub_ms;        /* its hub's last turn */
    int64_t read_ms[SLOTS], last_started_ms; /* when the last fetch that brought a value began, of the slot and of all that were answered */
    uint64_t attempts[SLOTS]; /* fetches that were answered or refused */
    bool by_record[COMMITS_MAX], by_fetch[COMMITS_MAX]; /* who brought the amount */
    bool known[COMMITS_MAX];  /* amounts that a record or an undisturbed fetch has brought */
    int64_t overtaken[SLOTS]; /* an amount that a fetch brought after an invalidation; 0 none */
    struct bgw_version shown[SLOTS]; /* the newest that it has shown anybody since it started; epoch 0: none */
};

struct pending { /* a command that must be answered */
    uint64_t id;
    int64_t deadline_ms;
    bool is_sub, is_unsub, is_repair, is_stolen, by_token, replied, used; /* by_token: no `since` was presented */
    uint32_t keys;    /* bit account*3: whole key; +1, +2: part 0, 1 */
    uint32_t answered;
    uint32_t presented;       /* bit a slot: a version went with the command */
};
struct held { /* what a client shows of a slot */
    bool has;
    bool seen; /* a version is remembered, also of what is removed: it is presented, and `current` brings the value back */
    struct bgw_version version;
    struct bgw_version best[4]; /* highest seen an epoch, newest epochs first */
    int64_t minor;
    uint64_t hash;
    uint8_t state;
    bool state_known, contiguous;
    uint64_t mark_epoch; /* of `version`, when the token came */
    bool repair_due; /* repair was acknowledged, and this has not come again yet */
    bool sent_has; /* what the shard has sent on this connection, read or not */
    struct bgw_version sent;
    /* of a blind client: what its first value of this subscription must reach, by life of the topic; epoch 0: nothing */
    struct bgw_version floor[EPOCHS_MAX];
    bool followed, floor_due; /* subscribed to on this connection; and no value of it was sent since */
};
struct client {
    struct world *world;
    int index, replica, rig;
    struct bgw_session *session;
    bool connected, hello_sent, hello_seen, slow, blocked, hung_up, rated, clean_close;
    bool blind; /* presents nothing, ever */
    uint64_t subject;
    uint32_t grants; /* bit an account */
    int64_t expires_wall_ms, issued_s;
    uint64_t jti, old_jti; /* old: of a token that was taken back; 0 none */
    bool token_dead;       /* told so: the next connection is with a new one */
    bool was_revoked;      /* some earlier token of this subject */
    bool doomed;           /* it was taken back before a refresh that came too late */
    bool opened_revoked;   /* this connection came with a token that its replica knew to be taken back */
    uint64_t next_id;
    uint32_t key_answered; /* bits as in pending.keys, on this connection */
    /* By bit of pending.keys, in the order of the server's replies: the sub that covers it, 0 none; and what ended it last. */
    uint64_t covered_by[ACCOUNTS * 3], ended_by[ACCOUNTS * 3], last_ok;
    bool want_whole[ACCOUNTS], want_part[SLOTS];
    struct held held[SLOTS];
    struct pending pending[PENDING_MAX];
    struct bgw_buf inbox; /* sent by the shard, not yet read by the client */
    char resume[1024];
    size_t resume_len;
    int64_t slow_until_ms, connected_ms;
};

struct reader { /* asks for a slot, again and again */
    struct world *world;
    int index, replica, rig, slot;
    struct bgw_read *read; /* NULL: does not wait */
    bool has_floor, prove, asks, at_once;
    uint64_t attempts; /* of the replica, when it asked */
    struct bgw_version floor;
    int64_t due_ms;
    struct bgw_version shown_here, shown_anywhere[EPOCHS_MAX]; /* when it asked */
    bool fresh, settling; /* the answer; settling: it goes through all slots of all shards */
    int settled;
    int64_t minor;
};

struct world {
    uint64_t seed, rng;
    struct bgw_now now;
    struct bgw_feed feed;
    int topic, topics;
    struct topic topic_lives[EPOCHS_MAX];
    struct ledger_slot ledger[SLOTS];
    struct commit *commits;
    size_t commit_count;
    int64_t next_minor;
    bool source_v[ACCOUNTS]; /* sources say `v` too */
    bool sweep;              /* a silent commit is told by nobody: the sweep has to find it; else by an invalidation */
    bool honest;             /* sources answer, and answer what is so */
    bool dead;               /* no source answers anything */
    struct cached cache[SLOTS];
    bool with_v[ACCOUNTS], source; /* source: fetches are answered; else NO_SOURCE */
    bool quiet;                    /* faults have stopped */
    struct replica replicas[REPLICAS];
    struct client clients[CLIENTS];
    struct reader readers[READERS];
    int shown_last; /* slot */
    struct bgw_version shown[SLOTS][EPOCHS_MAX]; /* the newest that any client was sent, by life of the topic; epoch 0: none */
    struct taken taken[TAKEN_MAX];
    int taken_count;
    uint64_t next_jti;
    int events;
    jmp_buf fail;
    char failure[512];
    bool verbose;
};

/* world.c */
bool sim_run_seed(uint64_t seed, bool verbose, char *failure, size_t cap);
uint64_t sim_rand(struct world *w, uint64_t below);
bool sim_chance(struct world *w, int percent);
__attribute__((noreturn, format(printf, 2, 3))) void sim_fail(struct world *w, const char *fmt, ...);
void sim_trace(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* ledger.c */
void ledger_init(struct world *w);
void ledger_deinit(struct world *w);
void ledger_commit(struct world *w, int slot, bool removed);
void ledger_silent(struct world *w, int slot); /* a commit that the topic will never tell of */
void ledger_publish(struct world *w, int at_most); /* appends committed changes to the log, in order */
void ledger_log_fault(struct world *w);
void ledger_new_topic(struct world *w);
int ledger_partition(const struct world *w, int slot, int partitions);
/* The commit that wrote `minor` to the slot, or NULL. */
const struct commit *ledger_find(const struct world *w, int slot, int64_t minor);
size_t ledger_record_text(const struct world *w, const struct log_record *r, char *out, size_t cap);
const char *sim_account(int slot);
bgw_part sim_part(int slot);
int sim_slot_of(struct bgw_slice key, bgw_part part);
/* replica.c */
void replica_start(struct world *w, int index);
void replica_stop(struct replica *r);
void replica_step(struct replica *r); /* one random piece of its work */
void replica_settle(struct replica *r); /* all of its work, in order */
void replica_starve(struct replica *r, bool reading); /* a turn in which no proof arrives; reading: sources answer */
void replica_abandon(struct replica *r); /* a turn in which the stream is read to its end and proved */
void replica_channel(struct replica *r, bool up);
void replica_change_topic(struct replica *r);
void replica_invalidate(struct replica *r, int slot);
/* source.c */
bool source_fetch(void *arg, const struct bgw_fetch *f);
void source_answer(struct replica *r); /* what is due */
void source_fault(struct world *w);
/* client.c */
void client_connect(struct client *c, int replica);
void client_cut(struct client *c);
void client_step(struct client *c);
void client_settle(struct client *c);
void client_read(struct client *c, size_t at_most);
void client_subscribe(struct client *c, bool resume_only);
void client_refresh(struct client *c);
bool client_converged(struct client *c, char *why, size_t cap);
void client_check_deadlines(struct client *c);
enum bgw_sent client_receive(struct client *c, struct bgw_slice bytes);
/* reader.c */
void readers_start(struct world *w);
void readers_leave(struct replica *r);
void readers_check_turn(const struct rig *rig);
bool readers_settled(struct world *w, char *why, size_t cap);
void reader_step(struct reader *d);
void reader_shown(struct replica *r, int slot, struct bgw_version v);
void reader_done(void *arg, void *user, const struct bgw_read_answer *a);
uint64_t reader_sequenced(void *arg);
/* revoke.c */
struct sim_message;
void revoke_some(struct world *w);
void revoke_start(struct replica *r);
void revoke_arrive(struct replica *r);
bool revoke_token_known(const struct client *c, int64_t since_ms); /* to the client's replica, for so long */
bool revoke_account(const struct client *c, int account);
void revoke_check_update(struct client *c, int slot);
void revoke_check_revoked(struct client *c, const struct sim_message *m);
void revoke_check_denied(struct client *c, int account);
void revoke_check_bye(struct client *c, const struct sim_message *m);
void revoke_check_turn(const struct rig *rig);
/* dialect.c */
extern const struct bgw_dialect sim_dialect, sim_blind_dialect;
struct sim_message { /* one decoded message; borrows the buffer */
    char kind; /* Update State Live Mark Hello Reply Ok Pong Error reVoked Bye Keepalive */
    uint64_t id;
    struct bgw_slice text, text2; /* key / code / w; resume */
    bgw_part part;
    struct bgw_version version;
    int64_t minor, number;
    uint64_t merged;
    bool snap;
    uint8_t state;
    struct bgw_slice list; /* R: ok, current, denied, revoked; S, V: keys; each as u8 tag, u8 length, bytes */
};
bool sim_decode(struct bgw_slice *at, struct sim_message *m);
bool sim_list_next(struct bgw_slice *list, char *tag, struct bgw_slice *text);
void sim_mac(const uint8_t key[32], struct bgw_slice bytes, uint8_t out[32]);
/* checks.c: what a client may rely on, applied to each message */
void check_floor(struct client *c, int slot); /* a blind client subscribes */
void check_sent(struct client *c, struct bgw_slice bytes);  /* when the shard speaks: I2, I7 */
void check_read(struct client *c, const struct sim_message *m); /* when the client reads */
void check_identities(struct world *w);
uint64_t check_digest(const struct client *c);
/* bugs.c */
int bugs_catch_all(void);
bool bugs_switch_on(const char *name); /* false: there is no such bug in this binary */

#endif
