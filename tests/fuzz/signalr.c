/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-signalr: bytes of a SignalR client through the record splitter, the handshake and the hub's
 * calls, into a real shard. The first byte says whether its records come over a WebSocket (even) or
 * by POST to a stream (odd), the second how they are cut. A line is bytes of the client; one that
 * begins with ! is what happens meanwhile (estate.h).
 *
 * Properties: every message is whole records of strict JSON; the answer to the handshake is the
 * first; each call with an invocationId gets one completion, in order; a record that cannot be one
 * ends the connection; what comes in pieces has the same answers as what comes at once.
 */
#include "estate.h"

#include "wire/conn_private.h"

#define EARLY_MAX 256
#define RECORD_MAX 2048
#define LOG_MAX (1u << 20)
#define CALLS_MAX 4096

static bool stream;
static char log_text[2][LOG_MAX]; /* what was said, a line a record: at once, and in pieces */
static size_t log_len;
static int round_;
static size_t records_said;
static bool greeted, closed;

/* ---- what the client knows of its own words ---- */

static char owed[CALLS_MAX][64]; /* the hash of each invocationId that wants a completion, as text */
static size_t owed_count, answered_count;
static bool nonsense; /* one of its records must end the connection */
static bool goodbye;
static struct bgw_buf said; /* of the record that is not complete */
static size_t said_records;

static bool text_of(const struct bgw_json *root, const char *name, char *out, size_t cap, size_t *len)
{
    struct bgw_json value;
    return bgw_json_member(root, name, &value) && value.type == BGW_JSON_STRING && bgw_json_string(&value, out, cap, len) == BGW_OK;
}

static bool is_of(const struct bgw_json *root, const char *name, enum bgw_json_type a, enum bgw_json_type b)
{
    struct bgw_json value;
    return !bgw_json_member(root, name, &value) || value.type == a || value.type == b;
}

/* Of the right types as far as it has them. */
static bool well_typed(const struct bgw_json *r)
{
    return is_of(r, "target", BGW_JSON_STRING, BGW_JSON_STRING) && is_of(r, "arguments", BGW_JSON_ARRAY, BGW_JSON_ARRAY) &&
           is_of(r, "invocationId", BGW_JSON_STRING, BGW_JSON_STRING) && is_of(r, "streamIds", BGW_JSON_ARRAY, BGW_JSON_ARRAY) &&
           is_of(r, "headers", BGW_JSON_OBJECT, BGW_JSON_OBJECT) && is_of(r, "error", BGW_JSON_STRING, BGW_JSON_STRING) &&
           is_of(r, "allowReconnect", BGW_JSON_TRUE, BGW_JSON_FALSE);
}

static void owe(struct bgw_slice id)
{
    FUZZ_CHECK(owed_count < CALLS_MAX);
    snprintf(owed[owed_count++], sizeof(owed[0]), "%016llx %zu", (unsigned long long)bgw_hash_fnv64(BGW_FNV64_INIT, id), id.len);
}

/* False: it must end the connection. */
static bool judge(struct bgw_slice record)
{
    static char id[RECORD_MAX], target[RECORD_MAX];
    struct bgw_json root, value;
    size_t id_len = 0, target_len = 0;
    int64_t type;
    if (bgw_json_parse(record, &root) != BGW_OK || root.type != BGW_JSON_OBJECT || !well_typed(&root) ||
        !bgw_json_member(&root, "type", &value) || bgw_json_i64(&value, &type) != BGW_OK)
        return false;
    bool has_id = text_of(&root, "invocationId", id, sizeof(id), &id_len);
    if (id_len > 256 || (!has_id && bgw_json_member(&root, "invocationId", &value)))
        return false;
    if (type >= 2 && type <= 5 && !id_len)
        return false;
    if (type == 2)
        return bgw_json_member(&root, "item", &value);
    if (type == 3)
        return !bgw_json_member(&root, "error", &value) || !bgw_json_member(&root, "result", &value);
    goodbye |= type == 7;
    if (type != 1 && type != 4)
        return true;
    if (!text_of(&root, "target", target, sizeof(target), &target_len) || !target_len || !bgw_json_member(&root, "arguments", &value))
        return false;
    if (id_len)
        owe(bgw_slice_of(id, id_len));
    return true;
}

static void note_said(struct bgw_slice bytes)
{
    bgw_buf_append(&said, bytes);
    for (;;) {
        const char *end = said.len ? memchr(said.data, BGW_RECORD_END, said.len) : NULL;
        size_t len = end ? (size_t)(end - said.data) : said.len;
        size_t max = said_records ? RECORD_MAX : EARLY_MAX;
        bool heard = said_records && !nonsense && !goodbye; /* the first is the handshake */
        if (len > max)
            nonsense = true;
        else if (end && heard && !judge(bgw_slice_of(said.data, len)))
            nonsense = true;
        if (!end)
            return;
        said_records++;
        bgw_buf_consume(&said, len + 1);
    }
}

/* ---- what it is told ---- */

static void on_completion(const struct bgw_json *root)
{
    static char id[RECORD_MAX];
    char text[64];
    size_t len;
    struct bgw_json value;
    FUZZ_CHECK(text_of(root, "invocationId", id, sizeof(id), &len));
    FUZZ_CHECK(bgw_json_member(root, "result", &value) != bgw_json_member(root, "error", &value));
    snprintf(text, sizeof(text), "%016llx %zu", (unsigned long long)bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_of(id, len)), len);
    FUZZ_CHECK(answered_count < owed_count && strcmp(owed[answered_count], text) == 0);
    answered_count++;
}

static void on_record(struct bgw_slice record)
{
    struct bgw_json root, value;
    int64_t type;
    FUZZ_CHECK(!closed && bgw_json_parse(record, &root) == BGW_OK && root.type == BGW_JSON_OBJECT);
    FUZZ_CHECK(log_len + record.len + 2 < LOG_MAX);
    memcpy(log_text[round_] + log_len, record.data, record.len);
    log_len += record.len;
    log_text[round_][log_len++] = '\n';
    if (records_said++ == 0) {
        FUZZ_CHECK(!bgw_json_member(&root, "type", &value));
        greeted = record.len == 2;
        closed = bgw_json_member(&root, "error", &value);
        FUZZ_CHECK(greeted != closed);
        return;
    }
    value = member(&root, "type", BGW_JSON_NUMBER);
    FUZZ_CHECK(bgw_json_i64(&value, &type) == BGW_OK && (type == 1 || type == 3 || type == 6 || type == 7));
    if (type == 1)
        (void)check_event(&root);
    else if (type == 3)
        on_completion(&root);
    closed = type == 7;
}

static void on_records(struct bgw_slice payload)
{
    FUZZ_CHECK(payload.len && payload.data[payload.len - 1] == BGW_RECORD_END);
    while (payload.len) {
        const char *end = memchr(payload.data, BGW_RECORD_END, payload.len);
        size_t len = (size_t)(end - payload.data);
        on_record(bgw_slice_of(payload.data, len));
        payload = bgw_slice_of(end + 1, payload.len - len - 1);
    }
}

static void on_events(struct bgw_slice bytes)
{
    while (bytes.len) {
        const char *end = memchr(bytes.data, '\r', bytes.len);
        size_t len = end ? (size_t)(end - bytes.data) : 0;
        FUZZ_CHECK(len > 6 && memcmp(bytes.data, "data: ", 6) == 0);
        FUZZ_CHECK(bytes.len - len >= 4 && memcmp(end, "\r\n\r\n", 4) == 0 && !memchr(bytes.data, '\n', len));
        on_records(bgw_slice_of(bytes.data + 6, len - 6));
        bytes = bgw_slice_of(end + 4, bytes.len - len - 4);
    }
}

static void on_bytes(struct bgw_slice bytes)
{
    struct bgw_slice payload;
    uint16_t close = 0;
    if (stream) {
        on_events(bytes);
        return;
    }
    while (bytes.len) {
        FUZZ_CHECK(!close);
        int opcode = take_frame(&bytes, &payload, &close);
        FUZZ_CHECK(opcode == 1 || opcode == 8);
        if (opcode == 1)
            on_records(payload);
        else
            FUZZ_CHECK(close == 1000 && closed);
    }
}

/* ---- the connection, as far as the splitter needs one ---- */

static struct bgw_conn_host host;
static struct bgw_policy policy = {.message_bytes_max = RECORD_MAX, .early_message_bytes_max = EARLY_MAX};
static struct conn_busy busy;
static struct bgw_conn conn;

struct bgw_now conn_now(const struct bgw_conn *c)
{
    (void)c;
    return now;
}
void conn_slow(struct bgw_conn *c, int64_t wait_ms)
{
    (void)c, (void)wait_ms;
}
void conn_wait(struct bgw_conn *c)
{
    (void)c;
}
void conn_settle(struct bgw_conn *c)
{
    (void)c;
}
void conn_abort(struct bgw_conn *c)
{
    (void)c;
    abort(); /* as many bytes as an input has are kept */
}
bool conn_need_busy(struct bgw_conn *c)
{
    c->busy = &busy;
    return true;
}
bool conn_keep(struct bgw_buf **to, struct bgw_slice bytes, size_t len_max)
{
    if (!*to) {
        *to = malloc(sizeof(**to));
        FUZZ_CHECK(*to);
        bgw_buf_init(*to, len_max);
    }
    bgw_buf_append(*to, bytes);
    return !(*to)->failed;
}
void conn_buf_drop(struct bgw_buf **b)
{
    if (*b)
        bgw_buf_deinit(*b);
    free(*b);
    *b = NULL;
}

static void on_hang_up(void *arg, void *c, uint16_t code)
{
    (void)arg, (void)c;
    FUZZ_CHECK(!hung && closed);
    hung = code;
    conn.state = CONN_DONE;
}

/* ---- one input ---- */

static void take_turn(void)
{
    turn();
    while (conn.busy && conn.busy->records && conn.state == CONN_OPEN && conn.stop && !bgw_session_choked(session)) {
        conn.stop = false;
        conn_signalr_resume(&conn);
        turn();
    }
}

static void say(struct bgw_slice line, uint32_t *seed)
{
    if (conn.state != CONN_OPEN)
        return;
    if (verbose)
        fprintf(stderr, ">%.*s\n", (int)line.len, line.data);
    note_said(line);
    bgw_shard_set_now(shard, now);
    while (line.len) {
        size_t len = round_ ? fuzz_piece(seed, line.len) : line.len;
        char *piece = fuzz_copy(bgw_slice_of(line.data, len));
        if (stream)
            conn_signalr_posted(&conn, bgw_slice_of(piece, len));
        else
            conn_signalr_feed(&conn, bgw_slice_of(piece, len));
        free(piece);
        line = bgw_slice_of(line.data + len, line.len - len);
    }
}

static void run(struct fuzz_in in, uint32_t seed)
{
    for (int lines = 0; in.left && lines < 200; lines++) {
        struct bgw_slice line = fuzz_until(&in, '\n');
        if (line.len > 1 && line.data[0] == '!')
            happen(bgw_slice_of(line.data + 1, line.len - 1));
        else
            say(line, &seed);
        take_turn();
    }
    silent_broker = false;
    for (int i = 0; i < 12; i++) {
        pass(250);
        take_turn();
    }
}

static void one_round(struct fuzz_in in, int number, uint32_t seed)
{
    round_ = number;
    log_len = records_said = owed_count = answered_count = said_records = 0;
    greeted = closed = nonsense = goodbye = false;
    bgw_buf_init(&said, 1 << 20);
    busy = (struct conn_busy){0};
    conn = (struct bgw_conn){.host = &host, .state = CONN_OPEN, .kind = stream ? CONN_SIGNALR_STREAM : CONN_SIGNALR};
    world_open(&conn, stream ? &bgw_dialect_signalr_stream_greeting : &bgw_dialect_signalr_greeting, on_hang_up);
    conn.session = session;
    host.native.shard = shard;
    host.estate = estate;
    run(in, seed);
    log_text[number][log_len] = '\0';
    FUZZ_CHECK(answered_count == (greeted ? owed_count : 0) || closed);
    FUZZ_CHECK(!nonsense || closed);
    FUZZ_CHECK(!goodbye || closed || !greeted);
    FUZZ_CHECK(closed == (hung != 0));
    conn_buf_drop(&busy.records);
    bgw_buf_deinit(&said);
    world_close();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    estate_initialize();
    host.policy = &policy;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    stream = fuzz_take(&in, 1) & 1;
    uint32_t seed = fuzz_take(&in, 1) * 2654435761u;
    one_round(in, 0, 0);
    one_round(in, 1, seed);
    FUZZ_CHECK(strcmp(log_text[0], log_text[1]) == 0);
    return 0;
}
