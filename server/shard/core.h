/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core: what the files of shard/ share, and nobody else. One shard thread only, all of it.
 *
 *   group   a key of a tenant, with its slots and its subscribers; exists while somebody subscribes, reads or has just read
 *   slot    this shard's copy of what the hub says of one part of the key
 *   sub     one session's interest in one group: the whole key, named parts, or both
 *   cell    what one session was last told of one slot; pending = slot's count - cell's count
 *
 * Membership is symmetric: a sub is on its group's list and on exactly one list of its session
 * (clean, dirty, limited), and has one cell for each slot that it covers. Structs are laid out for
 * size: an idle subscriber of a shared key costs a session, a sub and nothing else.
 */
#ifndef BGW_SHARD_CORE_H
#define BGW_SHARD_CORE_H

#include "bgw/assert.h"
#include "bgw/bugs.h"
#include "bgw/list.h"
#include "bgw/map.h"
#include "bgw/metrics.h"
#include "bgw/pool.h"
#include "bgw/shard.h"
#include "bgw/wheel.h"

#define COMMAND_KEYS_MAX 1000
#define SUB_PARTS_MAX 1000u     /* parts of one key that a session may name; beyond: denied as too_many_keys */
#define GROUPS_MAX (1u << 22)   /* a shard's keys; beyond: a new key is denied as too_many_keys */
#define SUBS_MAX (1u << 26)     /* a shard's subscriptions; beyond: denied the same way */
#define CELLS_MAX (1u << 27)    /* further parts of keys; beyond: the session ends with 3013 */
/* A session's subscribes without `live`, and the keys in them (keys_per_session_max and one command more). Beyond either:
 * err too_many_keys; reading chokes at half. */
#define TICKETS_MAX 256u
#define RESUME_HASHES_MAX 200 /* slots that a token may speak of: as many accounts as one event stream has */
#define RESUME_HASHES_USUAL 64 /* where the client can present versions beside it */
#define PART_ANY UINT32_MAX     /* presented by a resume token alone: some version of every part, unknown to us */
#define RESUME_TEXT_MAX 2304
#define STRIKES_MAX 10
#define STATE_ITEM_BYTES 48u    /* what a key in a state message counts for in a write's budget */
#define NO_MEMORY_RETRY_MS 2000 /* of a client that is refused for want of memory */
#define BYE_BYTES 1024u         /* room behind a full control lane for the last words */

struct group;
struct kept;
struct sub;
struct ticket;

/* ---- groups ---- */

/* shard thread only; interned: sessions and groups of one tenant point at the same one */
struct tenant {
    uint64_t hash;
    uint32_t refs;
    uint8_t len;
    char text[BGW_TENANT_MAX];
};

/* shard thread only */
struct slot {
    struct slot *next; /* of the group */
    struct group *group;
    struct bgw_blob *value;                       /* a reference, or NULL */
    struct bgw_blob *prepared[BGW_ENCODING_COUNT]; /* made at the first delivery, dropped with the value */
    struct bgw_version version;
    uint64_t hash;      /* FNV-1a 64 of `key|part|version`; 0: not computed yet */
    int64_t proved_mono_ms;
    uint32_t count;     /* accepted records applied here; wraps, only differences are used */
    bgw_part part;
    uint8_t state, reason;
    bool heard : 1, answered : 1; /* the hub knows that it is wanted; it has said what it can */
    bool wanted : 1, posted : 1;  /* WATCH names this part; and was taken by the hub's mailbox */
    bool ask_due : 1;             /* ASK is to be posted */
    uint8_t source : 2;           /* enum bgw_source */
    uint8_t failed : 4;           /* enum bgw_state_reason: why the hub's last fetch brought nothing */
    uint32_t asked;               /* the newest ASK that is answered */
};

/* shard thread only */
struct group {
    struct bgw_list subs;
    struct group *post_next; /* while queued for the hub */
    struct kept *kept;       /* while somebody reads it or has read it lately; NULL: nobody */
    struct tenant *tenant;
    union {
        char here[24];
        char *apart; /* longer keys */
    } key;
    uint32_t index, generation; /* the hub's reference: index | generation << 32 */
    uint32_t sub_count;
    uint8_t feed, key_len;
    bool queued : 1, told : 1; /* told: at least one WATCH is with the hub */
    bool forget : 1;           /* a deliberate bug of the simulator: UNWATCH in spite of others */
    struct slot first;
};

/* ---- subscriptions ---- */

#define TOLD_NOTHING 0xff

enum cell_flag {
    CELL_NAMED = 1,  /* subscribed to by its part */
    CELL_SNAP = 2,   /* the value goes out in any case, as a snapshot */
    CELL_REPAIR = 4, /* that is a repair */
    CELL_RETELL = 8, /* the state goes out again, unless it is and was fresh */
    CELL_ALIAS = 16, /* under this connection's alias epoch: the client had shown a version above ours */
};

/* shard thread only */
struct cell {
    struct slot *slot; /* NULL: unused (a sub's first cell) */
    struct cell *next;
    uint64_t sent_hash; /* of the value last sent and not removed since; 0 none: its share of the digest */
    uint32_t sent_count;
    uint32_t next_tick; /* max_hz: not before this tick */
    uint8_t told, told_reason; /* the state last told, or implied by a value; TOLD_NOTHING */
    uint8_t flags;
};

enum sub_place { SUB_CLEAN, SUB_DIRTY, SUB_LIMITED };

/* what a sub has only for a while */
struct pend {
    struct waiter *waiters;
    struct presented *presented;
};

/* shard thread only */
struct sub {
    struct bgw_list of_session; /* clean, dirty or limited */
    struct bgw_list of_group;
    struct bgw_session *session;
    struct group *group;
    struct pend *pend;
    uint32_t held;      /* by tickets whose reply is not out yet */
    uint8_t access_gen; /* of the session's grants when they were last asked about this key */
    uint8_t place;      /* enum sub_place */
    bool whole;
    struct cell first;
};

/* a version that a client presented and that is above ours, or that we cannot judge yet */
struct presented {
    struct bgw_list of_shard; /* waiting: in one of the shard's two lists */
    struct presented *next;   /* of the sub */
    struct sub *sub;
    bgw_part part;            /* 0: the default part, or the only one with a value; PART_ANY */
    bool labelled;            /* waited too long: told as delayed meanwhile; of a blind client's nothing is withheld any more */
    struct bgw_version version;
    uint64_t ticket;          /* the barrier that settles it; 0: not waiting */
    int64_t label_ms;
};

/* ---- subscribes under way ---- */

/* one key of a sub command, until it is answered */
struct waiter {
    struct waiter *next; /* of the sub */
    struct ticket *ticket;
    struct sub *sub;     /* NULL: denied, settled, or gone */
    const struct bgw_since *since;
    struct bgw_slice text; /* as the client wrote it; valid until the reply */
    const char *denied;
    uint32_t since_count;
    bgw_part part;
    bool evidence;       /* presented something: might be `current` */
    bool unheard;        /* and the hub has not answered the watch yet */
    bool unproved;       /* by a token: and we have not read on to where the client may have been */
    bool fresh;          /* this command began it */
    bool current;        /* the reply said so */
};

/* a sub command until its `live` */
struct ticket {
    struct ticket *next;
    struct bgw_session *session;
    uint64_t id;
    char *late;          /* copies of texts and versions if the reply has to wait */
    uint32_t count, waiting, unheard;
    bool replied;
    struct waiter keys[];
};

/* ---- sessions ---- */

enum session_flag {
    SESSION_AUTHENTICATED = 1,
    SESSION_BLOCKED = 2,   /* the socket took not everything: no write until on_writable */
    SESSION_HUNG = 4,      /* the adapter was told to hang up: nothing is said any more */
    SESSION_PING_DUE = 8,
    SESSION_PING_OUT = 16, /* pinged, and nothing came since */
    SESSION_MARK_DUE = 32,
    SESSION_HELLO_SAID = 64, /* the client's own hello came */
    SESSION_RESUMED = 128, /* a resume token was accepted, and no mark has been sent since */
    SESSION_PARTLY = 256,  /* accounts were taken back from its subject: each key is asked about */
    SESSION_SLOWED = 512,  /* told to slow down, and its budget has not recovered since */
    SESSION_PINGS = 1024,  /* the client has shown that it pings: its silence is its end */
};

/* what a session has only while it needs it */
struct extra {
    struct bgw_buf control;
    size_t control_began;     /* where the reply being appended starts */
    struct ticket *tickets, **tickets_tail;
    uint32_t ticket_count, waiting_keys;
    uint32_t interval_ms;     /* max_hz; 0 none */
    int64_t bytes_s, tokens;  /* max_bytes_s; 0 none */
    int64_t refilled_ms;
    int64_t limited_until_ms; /* when the first of `limited` may go on; 0 none */
    struct bgw_list limited;
    uint64_t *resume;         /* hashes of a resume token that was presented; NULL none */
    uint32_t resume_count;
};

/* shard thread only */
struct bgw_session {
    struct bgw_shard *shard;
    void *conn;
    const struct bgw_dialect *dialect;
    struct extra *extra;
    struct bgw_list of_shard;
    struct bgw_list of_flush; /* linked: something may be due */
    struct bgw_list clean, dirty;
    struct bgw_timer timer;
    struct tenant *tenant;
    struct bgw_grants *grants;
    uint64_t subject_hash;
    int64_t issued_s, expires_ms;
    uint64_t jti_hash;
    uint64_t conn_id, digest;
    uint32_t key_count;       /* keys subscribed to */
    uint32_t presented_count, withheld; /* of them waiting: their values are held back */
    uint32_t seen_tick, blocked_tick;
    uint32_t pinged_tick;     /* the last ping; of those who have a heartbeat: the last word */
    uint32_t mark_tick;       /* next mark; before authentication, and while it is a greeting: its deadline */
    uint32_t budget_spent;    /* commands, in thousandths, that time has not given back yet */
    uint32_t budget_tick;
    uint32_t judged;          /* the revocations that were looked through for it: the low bits of their generation */
    uint16_t bye_code;        /* bye is in the control lane; 0 no */
    uint16_t flags;
    uint8_t strikes, access_gen;
};

/* ---- the shard ---- */

/* a key in the state messages of one write */
struct state_item {
    const struct sub *sub;
    const struct cell *cell;
    int64_t lag_ms;
    uint8_t state, reason;
};

/* questions that are answered once, and the groups that are watched for them */
struct reads {
    struct bgw_pool waiting, kept;
    struct bgw_list idle;          /* kept groups that nobody waits for: the one that goes first is the first */
    size_t idle_count;
    struct bgw_list gaps, proofs;  /* reads that wait for a hub_seq, for a barrier, in their order */
    struct bgw_list due;           /* to be looked at */
};

/* counted during a turn, published at its end */
struct tally {
    int64_t offered, delivered, merged, snapshots, repairs;
};

struct bgw_shard {
    struct bgw_shard_config config;
    struct bgw_shard_ops ops;
    struct bgw_now now;
    int64_t base_ms; /* tick 0 */
    struct bgw_wheel wheel;
    struct bgw_pool sessions, groups, subs, cells;
    struct bgw_list all, flush, urgent; /* sessions; urgent ones do not wait for the window */
    struct bgw_map by_key, tenants;
    struct group **table; /* by index; free ones hold the next free index */
    uint32_t table_len, table_cap, table_free;
    uint32_t generation;
    struct group *post_first, *post_last;
    uint64_t barrier_asked, barrier_posted, barrier_done;
    bool barrier_refresh;
    uint32_t ask_ticket; /* of the next ASKs that are posted; never 0 */
    bool ask_posted;     /* some were, in this round of posting */
    bool post_behind; /* the hub's mailbox was full at the last try */
    struct reads reads;
    struct bgw_list unlabelled, labelled; /* presented versions that wait; the first in order of label_ms */
    uint64_t hub_seq, epoch, conn_next;
    int64_t proved_mono_ms; /* of the relay */
    int64_t window_ms, window_until_ms, flushed_ms;
    size_t key_count;
    int64_t pending, pending_shown; /* updates offered and neither delivered, merged nor abandoned */
    struct tally tally;
    const struct bgw_session *sending;
    uint64_t revocations;        /* their generation, as of this turn */
    uint64_t walked;             /* and when all sessions were last looked through */
    int64_t walked_ms;
    struct bgw_buf out;
    struct bgw_buf texts;
    struct state_item *states;
    struct bgw_slice *slices;    /* slices_cap, for replies and states */
    struct bgw_slice *slices2;   /* COMMAND_KEYS_MAX */
    struct bgw_denied *denied;   /* COMMAND_KEYS_MAX */
    struct bgw_state_entry *entries; /* slices_cap */
    size_t states_cap, slices_cap;
};

/* milliseconds in 32 bits: compared by difference, right while less than 24 days apart */
static inline uint32_t tick_of(const struct bgw_shard *s, int64_t mono_ms)
{
    return (uint32_t)(mono_ms - s->base_ms);
}
static inline int32_t tick_diff(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b);
}

/* ---- group.c ---- */
struct tenant *tenant_acquire(struct bgw_shard *s, struct bgw_slice text); /* NULL without memory */
void tenant_release(struct bgw_shard *s, struct tenant *t);
static inline struct bgw_slice tenant_text(const struct tenant *t)
{
    return bgw_slice_of(t->text, t->len);
}
static inline struct bgw_slice group_key(const struct group *g)
{
    return bgw_slice_of(g->key_len > sizeof(g->key.here) ? g->key.apart : g->key.here, g->key_len);
}
struct group *group_find(const struct bgw_shard *s, uint8_t feed, const struct tenant *tenant, struct bgw_slice key);
struct group *group_create(struct bgw_shard *s, uint8_t feed, struct tenant *tenant, struct bgw_slice key, bgw_part part);
struct group *group_of_ref(const struct bgw_shard *s, uint64_t ref);
static inline bool group_needed(const struct group *g)
{
    return g->sub_count > 0 || g->kept;
}
struct slot *group_slot(struct group *g, bgw_part part);
struct slot *group_add_slot(struct group *g, bgw_part part); /* for slot_add alone */
void group_want(struct bgw_shard *s, struct group *g, struct slot *slot); /* the hub is to be asked, if it has not been */
void group_attach(struct group *g, struct sub *sub);
void group_detach(struct bgw_shard *s, struct sub *sub); /* the last one out: UNWATCH */
void group_free(struct bgw_shard *s, struct group *g);
const struct bgw_feed *group_feed(const struct bgw_shard *s, const struct group *g);
const struct slot *group_only_value(const struct group *g); /* NULL: none, or several */
bool group_has_value_beside(const struct group *g, const struct slot *slot);

/* ---- post.c ---- */
void post_queue(struct bgw_shard *s, struct group *g);
void post_all(struct bgw_shard *s);
bool post_waiting(const struct bgw_shard *s);
uint32_t ask_slot_due(struct bgw_shard *s, struct slot *slot); /* its source is asked; the ticket to wait for */
uint64_t barrier_ask(struct bgw_shard *s, bool refresh); /* the ticket to wait for */

/* ---- digest.c ---- */
uint64_t slot_hash(struct slot *slot);
uint64_t version_hash(const struct slot *slot, struct bgw_version v);
struct bgw_version cell_alias_version(const struct bgw_session *n, const struct cell *c);
/* As the connection is to see it: nearly always as everybody does. */
static inline struct bgw_version cell_version(const struct bgw_session *n, const struct cell *c)
{
    return c->flags & CELL_ALIAS ? cell_alias_version(n, c) : c->slot->version;
}
static inline uint64_t cell_hash(const struct bgw_session *n, const struct cell *c)
{
    return c->flags & CELL_ALIAS ? version_hash(c->slot, cell_version(n, c)) : slot_hash(c->slot);
}
uint64_t session_alias(const struct bgw_session *n, uint64_t epoch);
void cell_set_sent(struct bgw_session *n, struct cell *c, uint64_t hash); /* keeps the session's digest */

/* ---- sub.c ---- */
struct sub *sub_find(const struct bgw_session *n, const struct group *g);
struct sub *sub_create(struct bgw_shard *s, struct bgw_session *n, struct group *g);
struct cell *sub_cell(struct sub *sub, const struct slot *slot);
struct cell *sub_add_cell(struct bgw_shard *s, struct sub *sub, struct slot *slot); /* NULL without memory */
struct slot *slot_add(struct bgw_shard *s, struct group *g, bgw_part part); /* with cells for whole keys; NULL without memory */
void sub_drop_cell(struct bgw_shard *s, struct sub *sub, struct cell *c, enum bgw_metric why);
bool sub_empty(const struct sub *sub);
void sub_free(struct bgw_shard *s, struct sub *sub, enum bgw_metric why); /* why: one of UPDATES_ABANDONED_* */
void sub_mark(struct sub *sub); /* dirty, and its session with it */
void sub_place(struct sub *sub, enum sub_place place);
uint32_t sub_keys(const struct sub *sub); /* how many keys it stands for */
struct pend *sub_pend(struct sub *sub); /* made if need be; NULL without memory */
void sub_trim_pend(struct sub *sub);
static inline uint32_t cell_pending(const struct cell *c)
{
    return c->slot->count - c->sent_count;
}
static inline struct cell *cell_first(struct sub *sub)
{
    return sub->first.slot ? &sub->first : sub->first.next;
}
/* i = 0, 1, 2: the session's lists of subs; NULL: it has no such list */
struct bgw_list *session_subs(const struct bgw_session *n, int i);
struct sub *session_next_sub(const struct bgw_session *n, int *list, struct bgw_list **at); /* safe against moving what was returned */

/* ---- ticket.c ---- */
struct ticket *ticket_create(struct bgw_session *n, uint64_t id, size_t count);
void ticket_start(struct bgw_shard *s, struct ticket *t); /* replies now, or keeps what it needs to reply later */
void ticket_slot_heard(struct slot *slot);
void tickets_reply(struct bgw_shard *s, struct bgw_session *n);
void tickets_settle(struct bgw_shard *s, struct sub *sub); /* after encoding it */
bool tickets_say_live(struct bgw_shard *s, struct bgw_session *n, struct bgw_buf *out); /* true: something was said */
void waiter_attach(struct waiter *w, struct pend *p, struct sub *sub);
void waiters_detach(struct sub *sub, bgw_part part, bool all); /* what they wait for is gone */
void tickets_free(struct bgw_session *n);
bool tickets_held(const struct bgw_session *n);

/* ---- presented.c ---- */

/* what may be said of a cell, because of what its client may have seen elsewhere */
enum hold {
    HOLD_NOTHING, /* all of it */
    HOLD_LABEL,   /* all of it, but it is delayed at least: nothing proves it yet */
    HOLD_VALUE,   /* that it is delayed; not the value */
    HOLD_ALL,     /* not a word */
};
bool presented_add(struct bgw_shard *s, struct sub *sub, const struct bgw_since *since);
bool presented_add_unknown(struct bgw_shard *s, struct sub *sub); /* PART_ANY; its barrier is asked for at once */
struct presented *presented_unknown(const struct sub *sub);
bool presented_proved(const struct bgw_shard *s, const struct presented *p);
bool presented_names(const struct sub *sub, const struct slot *slot, bgw_part part);
struct presented *presented_of(const struct sub *sub, const struct cell *c); /* one that is not labelled, if there is */
enum hold presented_hold(struct bgw_shard *s, struct sub *sub, struct cell *c); /* judges it: what is settled goes */
void presented_free_all(struct bgw_shard *s, struct sub *sub);
void presented_free_aimless(struct sub *sub); /* those that speak of no cell any more */
void presented_free_part(struct bgw_shard *s, struct sub *sub, bgw_part part);
void presented_barrier_done(struct bgw_shard *s);
int64_t presented_tick(struct bgw_shard *s); /* labels what waited too long; ms until the next, INT64_MAX none */

/* ---- resume.c ---- */
bool resume_present(struct bgw_shard *s, struct bgw_session *n, struct bgw_slice token);
bool resume_has(const struct bgw_session *n, uint64_t hash);
void resume_consume(struct bgw_session *n, uint64_t hash);
struct bgw_slice resume_make(struct bgw_shard *s, struct bgw_session *n, char out[RESUME_TEXT_MAX]);

/* ---- encode.c ---- */

/* what one write of one session is made of */
struct writing {
    struct bgw_shard *s;
    struct bgw_session *n;
    struct bgw_buf *out;
    size_t updates_at;   /* where the open updates message began */
    size_t state_count;  /* items in s->states */
    bool in_updates;
};

/* Says what there is to say of the sub's cells. False: the write is full, the sub has to come again. */
bool encode_sub(struct writing *w, struct sub *sub);
void encode_end_updates(struct writing *w);
void encode_id(struct writing *w); /* the stream can be continued from here */
bool encode_full(const struct writing *w);
bool cell_quiet(struct bgw_shard *s, struct sub *sub, struct cell *c); /* nothing is left to say of it now */

/* ---- states.c ---- */
void states_encode(struct writing *w);
/* One message of bounded size, for as many of the subs as fit it and `room` bytes of names; returns how many. */
size_t revoked_encode(struct bgw_session *n, struct sub *const *subs, size_t count, size_t room, const char *reason);

/* ---- outbox.c ---- */
void outbox_flush(struct bgw_shard *s, struct bgw_session *n);

/* ---- rate.c ---- */
bool rate_allows(const struct bgw_session *n, const struct cell *c);
void rate_sent(struct bgw_session *n, struct cell *c);
bool rate_has_bytes(struct bgw_session *n); /* false: the session is woken when it has */
void rate_spend(struct bgw_session *n, size_t bytes);
void rate_limit(struct bgw_session *n, struct sub *sub);
void rate_release_due(struct bgw_session *n);
int64_t rate_due_ms(const struct bgw_session *n); /* INT64_MAX: nothing */

/* ---- session.c ---- */
struct extra *session_extra(struct bgw_session *n); /* made if need be; NULL without memory */
void session_trim_extra(struct bgw_session *n);
void session_mark(struct bgw_session *n);
void session_mark_urgent(struct bgw_session *n);
struct bgw_buf *session_control_begin(struct bgw_session *n);  /* NULL: closing, nothing is said any more */
void session_control_end(struct bgw_session *n);               /* over the hard limit: bye 3008 */
void session_bye(struct bgw_session *n, uint16_t code, int64_t retry_ms, const char *reason);
void session_no_memory(struct bgw_session *n); /* bye: come back when there is some; until then nothing new is promised */
void session_hang_up(struct bgw_session *n);
void session_expire(struct bgw_session *n);
bool session_expired(const struct bgw_session *n);
enum bgw_access session_access(const struct bgw_session *n, struct bgw_slice key); /* of its own tenant */
void session_error(struct bgw_session *n, bool has_id, uint64_t id, const char *code, const char *text);
void session_drop_all(struct bgw_session *n, enum bgw_metric why);
bool session_ready(struct bgw_session *n, bool has_id, uint64_t id); /* may run a command; else it was answered */
void error_count(const char *code);

/* ---- revoke.c ---- */
enum bgw_revoked revoke_ask(struct bgw_session *n, const struct bgw_claims *claims); /* of a token on its way in */
void revoke_token(struct bgw_session *n); /* the token itself: bye, and nothing else any more */
size_t revoke_lost(struct bgw_session *n);  /* keys that it may not see any more: `revoked`; how many subs were taken back */
bool revoke_sub(struct bgw_session *n, struct sub *sub); /* one on its way out: asked again; true: it is gone */
void revoke_look(struct bgw_shard *s);    /* are there revocations that are not known here */
void revoke_judge(struct bgw_session *n); /* by those: what they take from it is gone afterwards */
int64_t revoke_tick(struct bgw_shard *s); /* ms until sessions want to be looked through, INT64_MAX never */

/* ---- news.c ---- */
void news_apply(struct bgw_shard *s, const struct bgw_relay_entry *e); /* takes the value */

/* ---- read.c ---- */
void reads_init(struct bgw_shard *s);
void reads_deinit(struct bgw_shard *s);
void reads_limits_changed(struct bgw_shard *s);
void reads_news(struct bgw_shard *s, const struct slot *slot, const struct bgw_relay_entry *e); /* of a group that is kept */
void reads_advanced(struct bgw_shard *s); /* hub_seq or barrier_done may have moved; answers what can be answered */
int64_t reads_tick(struct bgw_shard *s);  /* ms until the next watch of a read ends, INT64_MAX never */

/* ---- deadlines.c ---- */
void deadlines_init(struct bgw_session *n);
void deadlines_start(struct bgw_session *n);  /* it is authenticated now: from here on marks and expiry */
void deadlines_expiry(struct bgw_session *n); /* its token has changed */
void deadlines_by(struct bgw_session *n, int64_t due_ms); /* the timer fires at that time at the latest */
bool deadlines_mark_near(const struct bgw_session *n); /* the next mark is due soon */
void deadlines_marked(struct bgw_session *n);          /* it was said: the next one after mark_ms */
void deadlines_changed(struct bgw_session *n, const struct bgw_shard_limits *before); /* the limits have */
void deadlines_settle(struct bgw_session *n); /* it is no greeting any more */

/* ---- shard.c ---- */
void shard_publish(struct bgw_shard *s); /* the tally, into the metrics */
static inline void shard_seen(const struct bgw_session *n, enum bgw_seen what, struct bgw_slice key, bgw_part part,
                              const char *code)
{
    const struct bgw_shard_ops *ops = &n->shard->ops;
    if (ops->seen)
        ops->seen(ops->arg, n->conn, what, key, part, code);
}
static inline void shard_unpend(struct bgw_shard *s, uint32_t n)
{
    BGW_ASSERT(s->pending >= (int64_t)n);
    s->pending -= n;
}

#endif
