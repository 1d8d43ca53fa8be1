/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-ws: frames of one connection through the codec, whole and in pieces, and through libwslay,
 * which reads the same bytes with other code.
 *
 *   limits 1 | seed of the pieces 4 | bytes of the connection
 *
 * Properties: how the bytes arrive changes nothing, nor do pauses after a callback; both libraries
 * deliver the same messages, pings, pongs and close, and fail with the same code, but for
 * `allowed`, the list below (what an entry means: README.md).
 */
#include "fuzz.h"

#include "bgw/ws_codec.h"

#include <wslay/wslay.h>

#define INPUT_MAX 3900 /* wslay reads 4,096 bytes at a time, and forgets where in a close frame it was */
#define LOG_MAX 65536

/* what was delivered, one reader's */
struct events {
    char log[LOG_MAX];
    size_t len;
    uint16_t code; /* what it failed with; 0: it did not */
    bool closed;   /* a close frame was delivered */
    bool in_close; /* ours: the last frame, whole or not, was a close frame */
    bool stop, pausing;
};

static struct events ours, ours_in_pieces, ours_with_more, theirs;

static void note(struct events *e, char kind, unsigned number, struct bgw_slice bytes)
{
    char head[32];
    int n = snprintf(head, sizeof(head), "%c %u %zu ", kind, number, bytes.len);
    FUZZ_CHECK(e->len + (size_t)n + bytes.len <= sizeof(e->log));
    memcpy(e->log + e->len, head, (size_t)n);
    if (bytes.len)
        memcpy(e->log + e->len + n, bytes.data, bytes.len);
    e->len += (size_t)n + bytes.len;
    e->stop = e->pausing;
}

/* ---- ours ---- */

static void on_message(void *user, enum bgw_ws_opcode opcode, struct bgw_slice payload)
{
    note(user, 'm', opcode, payload);
}

static void on_ping(void *user, struct bgw_slice payload)
{
    note(user, 'i', 0, payload);
}

static void on_pong(void *user, struct bgw_slice payload)
{
    note(user, 'o', 0, payload);
}

static void on_close(void *user, uint16_t code, struct bgw_slice reason)
{
    struct events *e = user;
    FUZZ_CHECK(code == 1005 || bgw_ws_close_code_valid(code));
    note(e, 'c', code, reason);
    e->closed = true;
}

static const struct bgw_ws_ops ops = {on_message, on_ping, on_pong, on_close};

static void read_ours(struct events *e, const struct bgw_ws_limits *limits, struct bgw_slice bytes, bool whole,
                      uint32_t seed)
{
    struct bgw_ws_decoder d;
    size_t at = 0;
    *e = (struct events){.pausing = !whole && (seed & 1)};
    bgw_ws_decoder_init(&d);
    while (at < bytes.len && !e->code && !e->closed) {
        size_t left = bytes.len - at, n = whole ? left : fuzz_piece(&seed, left), used = 0;
        char *piece = fuzz_copy(bgw_slice_of(bytes.data + at, n));
        e->stop = false;
        e->code = bgw_ws_decode(&d, limits, &ops, e, piece, n, &e->stop, &used);
        FUZZ_CHECK(used <= n && (used == n || e->code || e->stop));
        free(piece);
        at += used;
    }
    if (e->code || e->closed) { /* from now on it is deaf */
        size_t used, len = e->len;
        char more[] = "\x81\x80\0\0\0\0";
        FUZZ_CHECK(bgw_ws_decode(&d, limits, &ops, e, more, 6, NULL, &used) == 0 && e->len == len);
    }
    e->in_close = (d.header[0] & 0x0f) == BGW_WS_CLOSE;
    bgw_ws_decoder_deinit(&d);
}

/* ---- theirs ---- */

struct feed {
    struct bgw_slice bytes;
    size_t at;
};

struct oracle {
    struct feed feed;
    struct events *events;
};

static ssize_t oracle_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *user)
{
    struct oracle *o = user;
    size_t left = o->feed.bytes.len - o->feed.at, n = left < len ? left : len;
    (void)flags;
    if (n == 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(buf, o->feed.bytes.data + o->feed.at, n);
    o->feed.at += n;
    return (ssize_t)n;
}

static ssize_t oracle_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *user)
{
    (void)ctx, (void)data, (void)flags, (void)user;
    return (ssize_t)len;
}

static void oracle_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    struct oracle *o = user;
    struct bgw_slice payload = {(const char *)arg->msg, arg->msg_length};
    (void)ctx;
    if (arg->opcode == WSLAY_CONNECTION_CLOSE) {
        size_t skip = payload.len < 2 ? payload.len : 2;
        note(o->events, 'c', arg->status_code ? arg->status_code : 1005,
             bgw_slice_of(payload.data ? payload.data + skip : NULL, payload.len - skip));
        o->events->closed = true;
    } else if (arg->opcode == WSLAY_PING) {
        note(o->events, 'i', 0, payload);
    } else if (arg->opcode == WSLAY_PONG) {
        note(o->events, 'o', 0, payload);
    } else {
        note(o->events, 'm', arg->opcode, payload);
    }
}

/* Its code for frames that are not even read as such is none at all. */
static void read_theirs(struct events *e, const struct bgw_ws_limits *limits, struct bgw_slice bytes)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = oracle_recv, .send_callback = oracle_send, .on_msg_recv_callback = oracle_message};
    struct oracle o = {.feed = {bytes, 0}, .events = e};
    wslay_event_context_ptr ctx = NULL;
    *e = (struct events){0};
    FUZZ_CHECK(wslay_event_context_server_init(&ctx, &callbacks, &o) == 0);
    wslay_event_config_set_max_recv_msg_length(ctx, limits->message_max);
    int status = wslay_event_recv(ctx);
    FUZZ_CHECK(wslay_event_send(ctx) == 0);
    if (!wslay_event_get_close_received(ctx) && !wslay_event_get_read_enabled(ctx)) {
        e->code = wslay_event_get_status_code_sent(ctx);
        if (status != 0 || e->code == WSLAY_CODE_NO_STATUS_RCVD)
            e->code = 1002;
    }
    wslay_event_context_free(ctx);
}

/* ---- the differences that are allowed ---- */

static bool begins(const struct events *e, const struct events *longer)
{
    return longer->len >= e->len && memcmp(e->log, longer->log, e->len) == 0;
}

static bool they_lack_the_limit(void)
{
    return (ours.code == 1008 || ours.code == 1003) && begins(&ours, &theirs);
}

/* RFC 6455, 5.5.1: a body, if there is one, begins with a code of two bytes. */
static bool they_take_a_close_of_one_byte(void)
{
    return ours.code == 1002 && theirs.closed && begins(&ours, &theirs) &&
           theirs.len - ours.len == sizeof("c 1005 0 ") - 1;
}

/* IANA has registered 1012 to 1014 since; they end at 1011. */
static bool they_lack_newer_close_codes(void)
{
    unsigned code = 0;
    return theirs.code == 1002 && ours.closed && begins(&theirs, &ours) &&
           sscanf(ours.log + theirs.len, "c %u", &code) == 1 && code >= 1012 && code <= 1014;
}

/* They look at the reason while it comes, and before the code. */
static bool they_read_the_reason_first(void)
{
    return theirs.code == 1007 && (ours.code == 1002 || ours.code == 0) && ours.in_close && !ours.closed &&
           ours.len == theirs.len && begins(&ours, &theirs);
}

/* A length that is not allowed is refused here with the header's last byte, four bytes later. */
static bool they_refuse_a_length_before_its_mask(void)
{
    return theirs.code == 1002 && ours.code == 0 && !ours.closed && begins(&ours, &theirs) &&
           ours.len == theirs.len && ours_with_more.code == 1002;
}

static const struct {
    bool (*explains)(void);
    const char *what;
} allowed[] = {
    {they_lack_the_limit, "number of fragments, and no binary messages: limits that wslay does not have"},
    {they_take_a_close_of_one_byte, "a close frame with a body of one byte is 1002, wslay takes it for an empty one"},
    {they_lack_newer_close_codes, "close codes 1012 to 1014, which wslay does not know"},
    {they_read_the_reason_first, "a close frame whose reason is not UTF-8: whole frames and codes are judged first here"},
    {they_refuse_a_length_before_its_mask, "the length of a frame whose mask has not come"},
};

static bool same(void)
{
    return ours.code == theirs.code && ours.closed == theirs.closed && ours.len == theirs.len &&
           memcmp(ours.log, theirs.log, ours.len) == 0;
}

static void check_agreement(void)
{
    bool agreed = same();
    for (size_t i = 0; !agreed && i < sizeof(allowed) / sizeof(*allowed); i++)
        agreed = allowed[i].explains();
    if (!agreed)
        fprintf(stderr, "ours: code %u, %.*s\ntheirs: code %u, %.*s\n", (unsigned)ours.code, (int)ours.len, ours.log,
                (unsigned)theirs.code, (int)theirs.len, theirs.log);
    FUZZ_CHECK(agreed);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t sizes[] = {125, 200, 1000, 65536}; /* wslay counts control frames too */
    static char bytes[INPUT_MAX + 32];
    struct fuzz_in in = {data, size < INPUT_MAX ? size : INPUT_MAX};
    uint32_t choice = fuzz_take(&in, 1), seed = fuzz_take(&in, 4);
    struct bgw_ws_limits limits = {.message_max = sizes[choice & 3],
                                   .fragments_max = choice & 4 ? 3 : 100000,
                                   .binary = (choice & 8) == 0};
    struct bgw_slice input = fuzz_rest(&in);
    read_ours(&ours, &limits, input, true, 0);
    read_ours(&ours_in_pieces, &limits, input, false, seed);
    FUZZ_CHECK(ours.code == ours_in_pieces.code && ours.closed == ours_in_pieces.closed);
    FUZZ_CHECK(bgw_slice_eq(bgw_slice_of(ours.log, ours.len), bgw_slice_of(ours_in_pieces.log, ours_in_pieces.len)));
    /* Ours fails at the first byte that is wrong, theirs when it has the header and some payload. */
    memcpy(bytes, input.data, input.len);
    memset(bytes + input.len, 0, 32);
    read_ours(&ours_with_more, &limits, bgw_slice_of(bytes, input.len + 4), true, 0);
    read_theirs(&theirs, &limits, bgw_slice_of(bytes, input.len + (ours.code ? 32 : 0)));
    check_agreement();
    return 0;
}
