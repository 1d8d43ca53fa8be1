/* SPDX-License-Identifier: Apache-2.0 */
/*
 * echo: a WebSocket server that says what it hears, on the real transport, HTTP reader, handshake and
 * codec, with the codec's caps raised for what the conformance cases ask (messages of 16 MiB, 65,536
 * fragments). It shows that these rooms keep RFC 6455; the product's own caps have their own tests.
 *
 *   ws-echo [CERT KEY]     prints the port that it listens on; TLS with a certificate. Ends by signal.
 * One thread. A client that does not read is not read either: what waits for it is bounded by that.
 */
#include "bgw/tls.h"
#include "bgw/transport.h"
#include "bgw/ws_codec.h"

#include "wire/handshake.h"

#include "bgw/assert.h"
#include "bgw/hash.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX ((size_t)32 << 20)
#define OUT_MAX ((size_t)128 << 20)

struct echo { /* one connection */
    struct bgw_socket *sock;
    struct bgw_http_reader *reader; /* until the handshake is over */
    struct bgw_ws_decoder decoder;
    struct bgw_buf out; /* what the socket has not been given yet */
    bool ending;        /* nothing more is said after `out` */
    bool gone;
};

static const struct bgw_ws_limits limits = {.message_max = MESSAGE_MAX, .fragments_max = 1000000, .binary = true};

/* ---- writing ---- */

static void flush(struct echo *e)
{
    if (e->gone || bgw_socket_buffered(e->sock))
        return;
    if (e->out.len) {
        BGW_ASSERT(!e->out.failed);
        (void)bgw_socket_send(e->sock, bgw_buf_slice(&e->out));
        bgw_buf_deinit(&e->out);
        bgw_buf_init(&e->out, OUT_MAX);
    }
    if (e->ending)
        bgw_socket_finish(e->sock);
}

static void end(struct echo *e, uint16_t code)
{
    if (!e->ending)
        bgw_ws_append_close(&e->out, code, bgw_slice_of(NULL, 0));
    e->ending = true;
}

/* ---- what the codec says ---- */

static void on_message(void *user, enum bgw_ws_opcode opcode, struct bgw_slice payload)
{
    struct echo *e = user;
    bgw_ws_append(&e->out, opcode, payload);
}

static void on_ping(void *user, struct bgw_slice payload)
{
    struct echo *e = user;
    bgw_ws_append(&e->out, BGW_WS_PONG, payload);
}

static void on_pong(void *user, struct bgw_slice payload)
{
    (void)user;
    (void)payload;
}

static void on_close(void *user, uint16_t code, struct bgw_slice reason)
{
    (void)reason;
    end(user, code == 1005 ? 0 : code);
}

static const struct bgw_ws_ops ws_ops = {on_message, on_ping, on_pong, on_close};

/* ---- what the transport says ---- */

static void refuse(struct echo *e, enum bgw_refusal why)
{
    bgw_http_refuse(&e->out, why, NULL, false, bgw_loop_now(bgw_socket_loop(e->sock)));
    e->ending = true;
}

static enum bgw_refusal judge(const struct echo *e, enum bgw_http_progress progress, struct bgw_handshake *h)
{
    const struct bgw_http_request *r = bgw_http_reader_request(e->reader);
    if (progress == BGW_HTTP_REFUSED)
        return bgw_http_reader_refusal(e->reader);
    return r->upgrade ? bgw_handshake_check(r, "*", h) : BGW_REFUSAL_BAD_UPGRADE; /* there is nothing else here */
}

/* How many of the bytes belonged to the request. */
static size_t read_request(struct echo *e, struct bgw_slice bytes)
{
    size_t used = 0;
    struct bgw_handshake h;
    enum bgw_http_progress progress = bgw_http_read(e->reader, bytes, &used);
    if (progress == BGW_HTTP_MORE)
        return used;
    enum bgw_refusal why = judge(e, progress, &h);
    if (why != BGW_REFUSAL_NONE)
        refuse(e, why);
    else
        bgw_http_reply_upgrade(&e->out, h.accept, NULL);
    bgw_http_reader_destroy(&e->reader);
    return used;
}

static void on_received(void *user, struct bgw_slice bytes)
{
    struct echo *e = user;
    size_t used = e->reader ? read_request(e, bytes) : 0;
    if (!e->reader && !e->ending && used < bytes.len) {
        size_t taken;
        char *rest = (char *)(uintptr_t)bytes.data + used; /* ours to change, says the transport */
        uint16_t code = bgw_ws_decode(&e->decoder, &limits, &ws_ops, e, rest, bytes.len - used, &e->gone, &taken);
        if (code)
            end(e, code);
    }
    flush(e);
}

static void on_writable(void *user)
{
    flush(user);
}

static void on_closed(void *user)
{
    struct echo *e = user;
    e->gone = true;
    bgw_http_reader_destroy(&e->reader);
    bgw_ws_decoder_deinit(&e->decoder);
    bgw_buf_deinit(&e->out);
    free(e);
}

static void *on_opened(void *arg, struct bgw_socket *sock)
{
    const struct bgw_http_limits http = {.header_bytes_max = 32768, .body_bytes_max = 0};
    struct echo *e = calloc(1, sizeof(*e));
    (void)arg;
    if (!e)
        return NULL;
    e->sock = sock;
    e->reader = bgw_http_reader_create(&http);
    bgw_ws_decoder_init(&e->decoder);
    bgw_buf_init(&e->out, OUT_MAX);
    BGW_ASSERT(e->reader);
    return e;
}

/* ---- the program ---- */

static struct bgw_tls *load_tls(const char *cert, const char *key)
{
    const struct bgw_tls_config config = {.cert_files = cert,
                                          .key_files = key,
                                          .min_version = "1.2",
                                          .groups = "X25519:P-256",
                                          .client_ca = ""};
    struct bgw_tls *tls;
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    if (bgw_tls_create(&tls, &config, bgw_clock_now(), &error) != BGW_OK) {
        fprintf(stderr, "ws-echo: %.*s\n", (int)error.len, error.data);
        exit(1);
    }
    bgw_buf_deinit(&error);
    return tls;
}

static int64_t hook_wait(void *arg)
{
    return bgw_transport_wait_max_ms(*(struct bgw_transport **)arg);
}

static void hook_end(void *arg, struct bgw_now now)
{
    (void)now;
    bgw_transport_turn_end(*(struct bgw_transport **)arg);
}

int main(int argc, char **argv)
{
    struct bgw_loop *loop;
    struct bgw_transport *transport;
    bgw_log_init(BGW_LOG_WARN, 0);
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_hash_init();
    const struct bgw_transport_config config = {.listen = "127.0.0.1:0",
                                                .listen_fd = -1,
                                                .sockets_max = 1000,
                                                .stall_ms = 60000,
                                                .linger_ms = 1000,
                                                .limits.tls_ms = 10000,
                                                .tls = argc == 3 ? load_tls(argv[1], argv[2]) : NULL};
    const struct bgw_transport_ops ops = {NULL, on_opened, on_received, on_writable, on_closed};
    if ((argc != 1 && argc != 3) || bgw_loop_create(&loop) != BGW_OK ||
        bgw_transport_create(&transport, loop, &config, &ops) != BGW_OK) {
        fprintf(stderr, "usage: ws-echo [CERT KEY]\n");
        return 1;
    }
    bgw_loop_set_hooks(loop, &(struct bgw_loop_hooks){&transport, hook_wait, hook_end});
    printf("%s\n", strrchr(bgw_transport_bound(transport), ':') + 1);
    fflush(stdout);
    bgw_loop_run(loop);
    return 0;
}
