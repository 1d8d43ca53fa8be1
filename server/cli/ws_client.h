/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws_client: a small blocking WebSocket client (RFC 6455, ws:// only) for the command line's tools.
 * Private to server/cli; one thread's. Answers pings by itself.
 */
#ifndef BGW_CLI_WS_CLIENT_H
#define BGW_CLI_WS_CLIENT_H

#include "bgw/buf.h"
#include "bgw/status.h"

#define WS_MESSAGE_MAX (4u << 20) /* a longer message ends the connection */

struct ws_url {
    char host[256], port[8], path[1024];
};

struct ws_client { /* one thread's */
    int fd;           /* -1: not connected */
    struct bgw_buf in, message;
    bool delivered;        /* `message` was handed out: the next call starts a new one */
    int64_t heard_mono_ms; /* when the peer last sent anything */
    int http_status;  /* of a refused upgrade */
    int64_t retry_after_s;
    uint16_t close_code; /* after WS_CLOSED: the peer's, 1006 without a close frame */
};

enum ws_event { WS_MESSAGE, WS_TIMEOUT, WS_CLOSED };

/* "ws://host:port/path"; "host:port" is read as ws://host:port/ws. False: `error` says what was expected. */
bool ws_url_parse(const char *text, struct ws_url *out, struct bgw_buf *error);

void ws_client_init(struct ws_client *c);
void ws_client_deinit(struct ws_client *c); /* closes */
/* BGW_UNAVAILABLE: nobody answers there. BGW_DENIED: answered by HTTP with http_status; `error` gets the reason. */
BGW_MUST_CHECK enum bgw_status ws_connect(struct ws_client *c, const struct ws_url *url, const char *protocol,
                                          struct bgw_buf *error);
/* False: the connection is gone. */
bool ws_send_text(struct ws_client *c, struct bgw_slice text);
/* The message is borrowed until the next call. */
enum ws_event ws_receive(struct ws_client *c, int timeout_ms, struct bgw_slice *message);
void ws_close(struct ws_client *c, uint16_t code);

#endif
