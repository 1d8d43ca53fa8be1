/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-forwarded: what a client wrote into X-Forwarded-For and Forwarded, before our proxy added the
 * client's address to one of them, or to both.
 *
 *   which 1 | text of X-Forwarded-For LF text of Forwarded
 *
 * Properties: with the proxy's word to its right, what the client wrote never names another address:
 * it is the proxy's word or BAD; X-Forwarded-For alone cannot even be made BAD. Without the proxy's
 * word an address comes out only if it stands in the text.
 */
#include "fuzz.h"

#include "wire/forwarded.h"

#include "bgw/metrics.h"

#define CLIENT "198.51.100.7"

enum { BY_OLD = 1, BY_STANDARD = 2, OWN_LINE = 4, VIA_TRUSTED = 8 };

static struct bgw_nets *trusted;
static struct bgw_addr client;

static void append_header(struct bgw_buf *out, const char *name, struct bgw_slice text, const char *word, bool own_line)
{
    if (text.len || word)
        bgw_buf_appendf(out, "%s: ", name);
    bgw_buf_append(out, text);
    if (word && own_line)
        bgw_buf_appendf(out, "\r\n%s: %s", name, word);
    else if (word)
        bgw_buf_appendf(out, "%s%s", text.len ? ", " : "", word);
    if (text.len || word)
        bgw_buf_append_str(out, "\r\n");
}

static void check(const struct bgw_http_request *r, uint32_t which, bool both_written)
{
    struct bgw_addr got;
    enum bgw_forwarded kind = bgw_forwarded_client(r, trusted, &got);
    FUZZ_CHECK(kind <= BGW_FORWARDED_BAD);
    FUZZ_CHECK((kind == BGW_FORWARDED_CLIENT) == bgw_addr_known(&got) || kind == BGW_FORWARDED_CLIENT);
    if (!(which & (BY_OLD | BY_STANDARD)))
        return;
    FUZZ_CHECK(kind == BGW_FORWARDED_BAD || (kind == BGW_FORWARDED_CLIENT && bgw_addr_equal(&got, &client)));
    if ((which & 3) == BY_OLD && !both_written)
        FUZZ_CHECK(kind == BGW_FORWARDED_CLIENT);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct bgw_buf error;
    (void)argc;
    (void)argv;
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_buf_init(&error, 1024);
    FUZZ_CHECK(bgw_nets_parse(&trusted, "10.0.0.0/8,2001:db8::/32", &error) == BGW_OK);
    FUZZ_CHECK(bgw_addr_parse(BGW_SLICE(CLIENT), &client));
    bgw_buf_deinit(&error);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size < 8192 ? size : 8192};
    uint32_t which = fuzz_take(&in, 1);
    struct bgw_slice old = fuzz_until(&in, '\n'), standard = fuzz_rest(&in);
    struct bgw_buf text;
    size_t used;
    bool via = which & VIA_TRUSTED;
    const struct bgw_http_limits limits = {.header_bytes_max = 32768};
    bgw_buf_init(&text, 65536);
    bgw_buf_append_str(&text, "GET / HTTP/1.1\r\nHost: a\r\n");
    append_header(&text, "X-Forwarded-For", old, which & BY_OLD ? via ? CLIENT ", 10.1.2.3" : CLIENT : NULL,
                  which & OWN_LINE);
    append_header(&text, "Forwarded", standard,
                  which & BY_STANDARD ? via ? "for=" CLIENT ", for=\"[2001:db8::1]:8080\"" : "for=" CLIENT : NULL,
                  which & OWN_LINE);
    bgw_buf_append_str(&text, "\r\n");
    struct bgw_http_reader *reader = bgw_http_reader_create(&limits);
    FUZZ_CHECK(reader);
    /* what a client writes into a header can end it, or make the whole request one that is refused */
    if (bgw_http_read(reader, bgw_buf_slice(&text), &used) == BGW_HTTP_DONE && used == text.len &&
        bgw_http_header_count(bgw_http_reader_request(reader), "host") == 1 && !memchr(old.data, '\r', old.len) &&
        !memchr(standard.data, '\r', standard.len) && !memchr(standard.data, '\n', standard.len))
        check(bgw_http_reader_request(reader), which, standard.len > 0);
    bgw_http_reader_destroy(&reader);
    bgw_buf_deinit(&text);
    return 0;
}
