/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_demo: makes the token and the account names that the demo gives away to whoever asks: on
 * its page and in the box on the terminal. Main thread, once. Only `--demo` comes here.
 */
#include "gateway_demo.h"

#include "bgw/auth.h"
#include "bgw/demo.h"

#define TOKEN_S (12 * 3600)
#define PAGE_ACCOUNTS 10

void bgw_demo_welcome_init(struct bgw_demo_welcome *w)
{
    bgw_buf_init(&w->token, 8192);
    bgw_buf_init(&w->page, 16384);
}

void bgw_demo_welcome_deinit(struct bgw_demo_welcome *w)
{
    bgw_buf_deinit(&w->token);
    bgw_buf_deinit(&w->page);
}

static void append_text(struct bgw_buf *out, const char *name, const char *value)
{
    if (!*value)
        return;
    bgw_buf_appendf(out, ",\"%s\":", name);
    bgw_buf_append_json(out, bgw_slice_str(value));
}

static enum bgw_status make_token(struct bgw_buf *out, const struct bgw_config *c,
                                  const struct bgw_feed *feed, struct bgw_slice secret)
{
    struct bgw_buf payload;
    bgw_buf_init(&payload, 4096);
    int64_t now_s = bgw_clock_now().wall_ms / 1000;
    bgw_buf_appendf(&payload, "{\"sub\":\"demo\",\"scope\":\"%s ops.read\",\"iat\":%lld,\"exp\":%lld",
                    feed->read_all_scope, (long long)now_s, (long long)(now_s + TOKEN_S));
    append_text(&payload, "tenant", c->default_tenant);
    append_text(&payload, "iss", c->jwt_issuer);
    append_text(&payload, "aud", c->jwt_audience);
    bgw_buf_append_str(&payload, "}");
    enum bgw_status status = BGW_NO_MEMORY;
    if (!payload.failed)
        status = bgw_auth_sign_hs256(secret, bgw_buf_slice(&payload), out);
    bgw_buf_append_byte(out, '\0');
    bgw_buf_deinit(&payload);
    return out->failed ? BGW_NO_MEMORY : status;
}

enum bgw_status bgw_demo_welcome_make(struct bgw_demo_welcome *w, const struct bgw_config *config,
                                      const struct bgw_feed *feed, struct bgw_slice secret)
{
    enum bgw_status status = make_token(&w->token, config, feed, secret);
    if (status != BGW_OK)
        return status;
    bgw_buf_appendf(&w->page, "{\"token\":\"%s\",\"accounts\":[", w->token.data);
    for (size_t i = 0; i < PAGE_ACCOUNTS; i++) {
        char name[BGW_KEY_MAX + 1];
        bgw_demo_account(i, name);
        bgw_buf_append_str(&w->page, i ? "," : "");
        bgw_buf_append_json(&w->page, bgw_slice_str(name));
    }
    bgw_buf_append_str(&w->page, "]}");
    bgw_buf_append_byte(&w->page, '\0');
    return w->page.failed ? BGW_NO_MEMORY : BGW_OK;
}
