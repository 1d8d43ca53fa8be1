/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-commands: messages of clients through the native dialect into a real shard and a real hub.
 * A line is a message, in which $1 to $3 stand for tokens (1: A and B, 2: every account, 3: A, for
 * ten seconds), $r, $v and $w for the last resume token, version and watermark that this connection
 * was given. A line that begins with ! is what happens meanwhile:
 *
 *   !pA USD 100   a record      !xA   a tombstone     !t500  time passes     !b  ends are answered, or not
 *   !s2  another connection     !c    it is cut       !w     it takes nothing, or again    !e  a new epoch
 *   !o2  it is opened by a token in its header      !r{…}  a revocation, as its JSON
 *
 * Properties, beside those of client.h: every message is answered once, ack excepted, or the session says
 * bye; the digest of each mark is that of what the client holds; what is shown is the newest.
 */
#include "client.h"

#include "wire/native.h"

#include "bgw/blob.h"
#include "bgw/metrics.h"

#define CONNS 4
#define BOOK_MAX 64
#define MESSAGE_MAX 65536
#define SECRET "a-secret-of-fuzzers-32-bytes-long!"
#define WALL_MS 1800000000000

/* what the shard was told of a slot */
struct entry {
    struct client_name of;
    struct bgw_version version;
    int64_t minor;
    bool has;
};

struct conn {
    struct bgw_session *session;
    struct client client;
    bool slow, hung;
};

static struct bgw_feed feed;
static struct bgw_auth *auth;
static struct bgw_native native;
static char tokens[3][1024];
static struct bgw_shard *shard;
static struct bgw_hub *hub;
static struct bgw_relay *relay;
static struct bgw_revocations *revocations;
static struct bgw_revocation revocation;
static struct bgw_now now;
static struct conn conns[CONNS], *at;
static struct entry book[BOOK_MAX];
static size_t book_count;
static struct client_name groups[1024]; /* by number: what the shard watches */
static uint64_t group_ids[1024];
static size_t group_count;
static int64_t offset, pending_query;
static bool silent_broker, book_full, verbose; /* verbose: BGW_FUZZ_VERBOSE is set */

/* ---- what the hub said ---- */

static struct entry *book_find(const struct client_name *of)
{
    for (size_t i = 0; i < book_count; i++) {
        if (client_same(&book[i].of, of))
            return &book[i];
    }
    return NULL;
}

static bool newest(struct bgw_slice key, bgw_part part, struct bgw_version *v, int64_t *minor)
{
    struct client_name of = {.len = key.len, .part = part};
    memcpy(of.key, key.data, key.len);
    const struct entry *e = book_find(&of);
    if (!e || !e->has)
        return false;
    *v = e->version;
    *minor = e->minor;
    return true;
}

static bool part_of(struct bgw_slice key, size_t n, bgw_part *part)
{
    for (size_t i = 0; i < book_count; i++) {
        if (!bgw_slice_eq(bgw_slice_of(book[i].of.key, book[i].of.len), key) || n--)
            continue;
        *part = book[i].of.part;
        return true;
    }
    return false;
}

static int64_t minor_of(const struct bgw_blob *value)
{
    struct bgw_json root, minor;
    int64_t n;
    FUZZ_CHECK(bgw_json_parse(feed.raw(value), &root) == BGW_OK && bgw_json_member(&root, "minor", &minor));
    FUZZ_CHECK(bgw_json_i64(&minor, &n) == BGW_OK);
    return n;
}

static void book_take(const struct bgw_relay_entry *e)
{
    struct client_name of = {0};
    for (size_t i = group_count; i-- > 0;) {
        if (group_ids[i] != e->group)
            continue;
        of = groups[i];
        break;
    }
    if (!of.len)
        return;
    of.part = e->part;
    struct entry *b = book_find(&of);
    if (!b && book_count == BOOK_MAX) {
        book_full = true;
        return;
    }
    if (!b)
        b = &book[book_count++];
    *b = (struct entry){.of = of, .version = e->version, .has = e->value != NULL};
    if (e->value)
        b->minor = minor_of(e->value);
}

/* ---- the hub's world ---- */

static bool on_fetch(void *arg, const struct bgw_fetch *f)
{
    (void)arg;
    bgw_hub_on_fetched(hub, &(struct bgw_fetched){.id = f->id, .result = BGW_FETCH_NO_SOURCE}, now);
    return true;
}

static void on_ask(void *arg, uint8_t f, uint64_t query, bool refresh)
{
    (void)arg, (void)f, (void)refresh;
    pending_query = (int64_t)query;
}

static void on_rejected(void *arg, uint8_t f, const struct bgw_record *r, enum bgw_reject why)
{
    (void)arg, (void)f, (void)r;
    if (verbose)
        fprintf(stderr, "! rejected: %s\n", bgw_reject_text(why));
}

static bool on_post(void *arg, const struct bgw_hub_command *c)
{
    (void)arg;
    if (c->kind == BGW_HUB_WATCH && group_count < sizeof(groups) / sizeof(*groups)) {
        struct client_name name = {.len = c->name.key_len};
        memcpy(name.key, c->name.key, name.len);
        group_ids[group_count] = c->group;
        groups[group_count++] = name;
    }
    bgw_hub_on_command(hub, c, now);
    return true;
}

static void hub_turn(void)
{
    struct bgw_relay_batch batch;
    bgw_hub_tick(hub, now);
    if (!silent_broker) {
        if (pending_query)
            bgw_hub_on_watermark(hub, 0, (uint64_t)pending_query, 0, offset, now.mono_ms, now);
        pending_query = 0;
        bgw_hub_on_watermark(hub, 0, 0, 0, offset, now.mono_ms, now);
    }
    bgw_hub_flush(hub);
    if (!bgw_relay_take(relay, &batch))
        return;
    for (size_t i = 0; i < batch.count; i++)
        book_take(&batch.entries[i]);
    bgw_shard_on_batch(shard, &batch, now);
    bgw_relay_done(relay, &batch);
}

static void turn(void)
{
    bgw_shard_flush(shard, now);
    hub_turn();
    bgw_shard_tick(shard, now);
    bgw_shard_flush(shard, now);
}

/* ---- the shard's world ---- */

static enum bgw_sent on_send(void *arg, void *conn, struct bgw_slice bytes)
{
    struct conn *c = conn;
    (void)arg;
    c->client.lost |= book_full;
    if (verbose)
        fprintf(stderr, "%d <%.*s\n", (int)(c - conns), (int)bytes.len, bytes.data);
    client_read(&c->client, bytes);
    return c->slow ? BGW_SENT_BUFFERED : BGW_SENT_ALL;
}

static void on_hang_up(void *arg, void *conn, uint16_t code)
{
    struct conn *c = conn;
    (void)arg;
    FUZZ_CHECK(code >= 3000 && (c->client.bye || c->slow)); /* who takes nothing hears no bye */
    c->hung = true;
}

static void conn_close(struct conn *c)
{
    if (c->session)
        bgw_session_close(shard, c->session);
    c->session = NULL;
}

/* With a token in its header (1 to 3), or without one (0). */
static void conn_open(struct conn *c, int token)
{
    struct bgw_claims claims;
    char resume[CLIENT_TEXT_MAX], version[CLIENT_TEXT_MAX];
    conn_close(c);
    memcpy(resume, c->client.resume, sizeof(resume)); /* what a client keeps when it reconnects */
    memcpy(version, c->client.version, sizeof(version));
    *c = (struct conn){.client = {.newest = newest, .part_of = part_of, .default_part = feed.default_part}};
    memcpy(c->client.resume, resume, sizeof(resume));
    memcpy(c->client.version, version, sizeof(version));
    bool good = token && bgw_auth_verify(auth, bgw_slice_str(tokens[token - 1]), now, &claims) == BGW_AUTH_OK;
    FUZZ_CHECK(bgw_session_open(shard, c, &bgw_dialect_native, good ? &claims : NULL, now, &c->session) == BGW_OK);
    if (good) {
        c->client.owed_min++;
        c->client.owed_max++;
        bgw_claims_deinit(&claims);
    }
}

/* ---- a message ---- */

static size_t substitute(struct bgw_slice line, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < line.len && n < MESSAGE_MAX - CLIENT_TEXT_MAX; i++) {
        char next = line.data[i] == '$' && i + 1 < line.len ? line.data[i + 1] : '\0';
        const char *text = next >= '1' && next <= '3' ? tokens[next - '1']
                           : next == 'r'              ? at->client.resume
                           : next == 'v'              ? at->client.version
                           : next == 'w'              ? at->client.w
                                                      : NULL;
        if (!text) {
            out[n++] = line.data[i];
            continue;
        }
        memcpy(out + n, text, strlen(text));
        n += strlen(text);
        i++;
    }
    return n;
}

static void remember_unsub(struct client *c, const struct bgw_json *root, uint64_t id)
{
    struct bgw_json keys, key;
    const char *cursor = NULL;
    c->giving_up_count = 0;
    c->giving_up_id = id;
    if (!bgw_json_member(root, "keys", &keys) || keys.type != BGW_JSON_ARRAY)
        return;
    while (bgw_json_next(&keys, &cursor, NULL, &key)) {
        char text[256];
        size_t len;
        struct client_name name;
        if (bgw_json_string(&key, text, sizeof(text), &len) != BGW_OK || !client_name_of(bgw_slice_of(text, len), &name))
            continue;
        if (c->giving_up_count == CLIENT_NAMES_MAX)
            c->lost = true;
        else
            c->giving_up[c->giving_up_count++] = name;
    }
}

/* What the client must hear of this message. */
static void owe(struct client *c, struct bgw_slice message)
{
    struct bgw_json root, value, op;
    struct client_owed o = {0};
    bool json = bgw_json_parse(message, &root) == BGW_OK && root.type == BGW_JSON_OBJECT;
    bool has_op = json && bgw_json_member(&root, "op", &op);
    c->owed_max++;
    if (!has_op || !bgw_json_is(&op, "ack"))
        c->owed_min++;
    if (!json || !bgw_json_member(&root, "id", &value) || bgw_json_u63(&value, &o.id) != BGW_OK)
        return;
    if (has_op && (bgw_json_is(&op, "ack") || bgw_json_is(&op, "hello"))) {
        c->lost = true; /* an id that need not be repeated: what it stands for is not guessed */
        return;
    }
    o.sub = has_op && bgw_json_is(&op, "sub");
    o.changes = has_op && bgw_json_is(&op, "unsub");
    bool changes = o.changes || (has_op && bgw_json_is(&op, "auth"));
    for (size_t i = 0; i < c->owed_count; i++) /* which answer is whose must be plain */
        c->lost |= c->owed[i].id == o.id || (changes && c->owed[i].sub) || c->owed[i].changes;
    if (o.changes)
        remember_unsub(c, &root, o.id);
    if (c->owed_count == CLIENT_OWED_MAX)
        c->lost = true;
    else
        c->owed[c->owed_count++] = o;
}

static void say(struct bgw_slice line)
{
    static char text[MESSAGE_MAX];
    size_t len = substitute(line, text);
    if (!at->session || at->hung)
        conn_open(at, 0);
    if (bgw_session_choked(at->session) || at->client.bye)
        return; /* the adapter does not read then */
    char *message = fuzz_copy(bgw_slice_of(text, len));
    owe(&at->client, bgw_slice_of(message, len));
    if (verbose)
        fprintf(stderr, "%d >%.*s\n", (int)(at - conns), (int)len, message);
    bgw_shard_set_now(shard, now);
    FUZZ_CHECK(bgw_native_command(&native, at->session, bgw_slice_of(message, len), now) == BGW_NATIVE_DONE);
    free(message);
}

/* ---- what happens meanwhile ---- */

static void publish(struct bgw_slice line, bool tombstone)
{
    char key[128], part[16] = "", value[256], text[128];
    long long minor = 0;
    snprintf(text, sizeof(text), "%.*s", (int)line.len, line.data);
    if (sscanf(text, "%64s %3s %lld", key, part, &minor) < 1)
        return;
    snprintf(value, sizeof(value), "{\"accountId\":\"%.*s\",\"minor\":%lld%s%s%s}", (int)strcspn(key, "|"), key, minor,
             *part ? ",\"currency\":\"" : "", part, *part ? "\"" : "");
    struct bgw_record record = {.key = bgw_slice_str(key), .offset = offset++, .timestamp_ms = now.wall_ms};
    if (!tombstone)
        record.value = bgw_slice_str(value);
    bgw_hub_on_record(hub, 0, &record, now);
}

static void pass(long ms)
{
    for (ms = ms < 0 ? 0 : ms > 60000 ? 60000 : ms; ms > 0; ms -= 250) {
        now.mono_ms += ms < 250 ? ms : 250;
        now.wall_ms += ms < 250 ? ms : 250;
        turn();
    }
}

static void new_epoch(void)
{
    static const int64_t zero;
    char epoch[] = "e2";
    epoch[1] = (char)('2' + now.mono_ms % 7);
    offset = 0;
    bgw_hub_on_assigned(hub, 0, bgw_epoch_pack(bgw_slice_str(epoch)), &zero, &zero, 1, now);
}

static void revoke(struct bgw_slice text)
{
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    if (bgw_revocation_parse(&revocation, text, 3600, now, &error) == BGW_OK &&
        bgw_revocations_add(revocations, &revocation, now) == BGW_OK)
        bgw_shard_apply_revocations(shard, now);
    bgw_buf_deinit(&error);
}

static void happen(struct bgw_slice line)
{
    struct bgw_slice rest = bgw_slice_of(line.data + 1, line.len - 1);
    char number[8] = {0};
    memcpy(number, rest.data, rest.len < 7 ? rest.len : 7);
    switch (line.data[0]) {
    case 'p': publish(rest, false); break;
    case 'x': publish(rest, true); break;
    case 't': pass(atol(number)); break;
    case 'b': silent_broker = !silent_broker; break;
    case 's': at = &conns[(unsigned)atol(number) % CONNS]; break;
    case 'c': conn_close(at); break;
    case 'e': new_epoch(); break;
    case 'r': revoke(rest); break;
    case 'o': conn_open(at, (int)((unsigned)atol(number) % 4)); break;
    case 'w':
        at->slow = !at->slow;
        if (!at->slow && at->session && !at->hung)
            bgw_session_on_writable(shard, at->session, now);
        break;
    default: break;
    }
}

/* ---- one input ---- */

static void world_open(void)
{
    static const int64_t zero;
    const struct bgw_hub_config hub_config = {
        .feeds = &feed, .feed_count = 1, .relays = &relay, .shard_count = 1, .keys_max = 200, .retry_min_ms = 100,
        .retry_max_ms = 1600, .reread_ms = 1000, .barrier_batch_ms = 20, .barrier_max_ms = 250, .jitter_seed = 7};
    const struct bgw_hub_ops hub_ops = {NULL, on_fetch, on_ask, on_rejected};
    struct bgw_shard_config config = {
        .shard = 0, .feeds = &feed, .feed_count = 1,
        .limits = {.ping_ms = 20000, .pong_wait_ms = 20000, .stall_ms = 30000, .auth_wait_ms = 5000, .keys_per_session_max = 60},
        .mark_ms = 1000, .flush_window_max_ms = 0, .barrier_wait_ms = 250, .sessions_max = 16, .flush_bytes_max = 16384,
        .control_bytes_max = 65536, .conn_seed = 77, .mac = bgw_auth_mac, .server_name = BGW_SLICE("fuzz")};
    FUZZ_CHECK(bgw_revocations_create(&revocations, 64) == BGW_OK);
    config.revocations = revocations;
    const struct bgw_shard_ops ops = {.post = on_post, .send = on_send, .hang_up = on_hang_up};
    now = (struct bgw_now){1000, WALL_MS};
    memset(conns, 0, sizeof(conns));
    at = &conns[0];
    book_count = group_count = 0;
    offset = pending_query = 0;
    silent_broker = book_full = false;
    relay = bgw_relay_create(NULL, NULL);
    FUZZ_CHECK(relay && bgw_hub_create(&hub, &hub_config, &hub_ops) == BGW_OK);
    bgw_hub_on_assigned(hub, 0, bgw_epoch_pack(BGW_SLICE("e1")), &zero, &zero, 1, now);
    FUZZ_CHECK(bgw_shard_create(&shard, &config, &ops, now) == BGW_OK);
}

/* Everybody reads again and time passes: nothing is owed any more. */
static void settle(void)
{
    silent_broker = false;
    for (int i = 0; i < CONNS; i++) {
        conns[i].slow = false;
        if (conns[i].session && !conns[i].hung)
            bgw_session_on_writable(shard, conns[i].session, now);
    }
    pass(3000);
    for (int i = 0; i < CONNS; i++) {
        const struct client *c = &conns[i].client;
        if (!conns[i].session || c->bye || conns[i].hung)
            continue;
        FUZZ_CHECK(c->answers >= c->owed_min && c->answers <= c->owed_max);
        FUZZ_CHECK(c->lost || c->owed_count == 0);
    }
}

static void world_close(void)
{
    for (int i = 0; i < CONNS; i++)
        conn_close(&conns[i]);
    bgw_shard_flush(shard, now);
    bgw_shard_destroy(&shard);
    bgw_hub_destroy(&hub);
    bgw_relay_destroy(&relay);
    bgw_revocations_destroy(&revocations);
}

static void sign(char *out, const char *claims)
{
    struct bgw_buf token;
    bgw_buf_init(&token, 1023);
    FUZZ_CHECK(bgw_auth_sign_hs256(BGW_SLICE(SECRET), bgw_slice_str(claims), &token) == BGW_OK);
    memcpy(out, token.data, token.len);
    out[token.len] = '\0';
    bgw_buf_deinit(&token);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct bgw_buf error;
    const struct bgw_auth_config config = {
        .secret = BGW_SLICE(SECRET), .default_tenant = BGW_SLICE("tnt_demo"), .feed = &feed};
    (void)argc;
    (void)argv;
    verbose = getenv("BGW_FUZZ_VERBOSE") != NULL;
    bgw_buf_init(&error, 1024);
    bgw_hash_init_fixed(1, 2);
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    FUZZ_CHECK(bgw_auth_create(&auth, &config, &error) == BGW_OK);
    sign(tokens[0], "{\"sub\":\"ann\",\"exp\":1800003600,\"scope\":\"accounts.read\",\"accounts\":[\"A\",\"B\"]}");
    sign(tokens[1], "{\"sub\":\"bob\",\"exp\":1800003600,\"scope\":\"accounts.read.all\"}");
    sign(tokens[2], "{\"sub\":\"ann\",\"exp\":1800000010,\"scope\":\"accounts.read\",\"accounts\":[\"A\"]}");
    native = (struct bgw_native){.auth = auth, .feeds = &feed, .feed_count = 1, .scratch = bgw_native_scratch_create()};
    bgw_buf_deinit(&error);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    world_open();
    native.shard = shard;
    for (int lines = 0; in.left && lines < 200; lines++) {
        struct bgw_slice line = fuzz_until(&in, '\n');
        if (line.len > 1 && line.data[0] == '!')
            happen(bgw_slice_of(line.data + 1, line.len - 1));
        else
            say(line);
        turn();
    }
    settle();
    world_close();
    return 0;
}
