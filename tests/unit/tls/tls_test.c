/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_test: what a set of certificates is refused for, and how handshakes go under a furnished
 * context. Client and server speak through memory, step by step, in one thread.
 */
#include "tls/tls_rig.h"

struct pair { /* one connection */
    SSL_CTX *server_ctx, *client_ctx;
    SSL *server, *client;
};

static void make_all(void)
{
    static bool made;
    if (made)
        return;
    made = true;
    rig_make(&(struct spec){.file = "ca", .name = "ca", .authority = true});
    rig_make(&(struct spec){.file = "ca2", .name = "ca2", .authority = true});
    rig_make(&(struct spec){.file = "a", .name = "a", .sans = "DNS:a.example,DNS:www.b.example"});
    rig_make(&(struct spec){.file = "b", .name = "b", .sans = "DNS:*.b.example,DNS:B2.example"});
    rig_make(&(struct spec){.file = "c", .name = "c.example"});
    rig_make(&(struct spec){.file = "a2", .name = "a2", .sans = "DNS:a.example"});
    rig_make(&(struct spec){.file = "old", .name = "old", .from_s = -200, .to_s = -100});
    rig_make(&(struct spec){.file = "soon", .name = "soon", .from_s = 100, .to_s = 200});
    rig_make(&(struct spec){.file = "short", .name = "short", .rsa_bits = 1024});
    rig_make(&(struct spec){.file = "locked", .name = "locked", .password = true});
    rig_make(&(struct spec){.file = "staff", .name = "staff", .issuer = "ca"});
    rig_make(&(struct spec){.file = "staff2", .name = "staff2", .issuer = "ca2"});
}

static struct bgw_tls *make(const char *files)
{
    struct bgw_tls *tls;
    make_all();
    struct bgw_tls_config config = rig_config(files);
    CHECK_EQ_STR(rig_create(&tls, &config), "");
    return tls;
}

static void pair_open(struct pair *p, struct bgw_tls *tls, SSL_CTX *client_ctx, const char *name)
{
    BIO *a, *b;
    CHECK(BIO_new_bio_pair(&a, 0, &b, 0) == 1);
    p->client_ctx = client_ctx;
    p->server_ctx = SSL_CTX_new(TLS_server_method());
    CHECK_EQ_I64(bgw_tls_furnish(tls, p->server_ctx), BGW_OK);
    p->server = SSL_new(p->server_ctx);
    p->client = SSL_new(client_ctx);
    SSL_set_bio(p->server, a, a);
    SSL_set_bio(p->client, b, b);
    SSL_set_accept_state(p->server);
    SSL_set_connect_state(p->client);
    if (name)
        SSL_set_tlsext_host_name(p->client, name);
}

/* True: both sides are through. */
static bool shake(struct pair *p)
{
    for (int i = 0; i < 10; i++) {
        int c = SSL_do_handshake(p->client), s = SSL_do_handshake(p->server);
        if (c == 1 && s == 1)
            return true;
        if (c < 0 && SSL_get_error(p->client, c) == SSL_ERROR_SSL)
            return false;
        if (s < 0 && SSL_get_error(p->server, s) == SSL_ERROR_SSL)
            return false;
    }
    return false;
}

static void pair_close(struct pair *p)
{
    SSL_free(p->client);
    SSL_free(p->server);
    SSL_CTX_free(p->client_ctx);
    SSL_CTX_free(p->server_ctx);
    ERR_clear_error();
}

static const char *shown_to(struct bgw_tls *tls, const char *name)
{
    static char shown[128];
    struct pair p;
    pair_open(&p, tls, rig_client(0, NULL), name);
    CHECK(shake(&p));
    snprintf(shown, sizeof(shown), "%s", rig_shown(p.client));
    pair_close(&p);
    return shown;
}

static bool client_passes(struct bgw_tls *tls, int version, const char *cert, bool *verified)
{
    struct pair p;
    pair_open(&p, tls, rig_client(version, cert), NULL);
    bool ok = shake(&p);
    if (ok) { /* in 1.3 the client is through before the server has judged it */
        char c;
        ok = SSL_write(p.server, "x", 1) == 1 && SSL_read(p.client, &c, 1) == 1;
        *verified = bgw_tls_peer_verified(p.server);
    }
    pair_close(&p);
    return ok;
}

TEST(handshake_is_1_3_with_forward_secrecy_and_nothing_to_resume)
{
    struct bgw_tls *tls = make("a");
    struct pair p;
    SSL_CTX *client = rig_client(0, NULL);
    CHECK(SSL_CTX_set_alpn_protos(client, (const unsigned char *)"\x02h2\x08http/1.1", 12) == 0);
    pair_open(&p, tls, client, "a.example");
    CHECK(!bgw_tls_established(p.server));
    CHECK(shake(&p));
    CHECK(bgw_tls_established(p.server));
    CHECK_EQ_STR(SSL_get_version(p.client), "TLSv1.3");
    const unsigned char *protocol;
    unsigned len;
    char buf[16];
    SSL_get0_alpn_selected(p.client, &protocol, &len);
    CHECK_SLICE(bgw_slice_of((const char *)protocol, len), "http/1.1");
    CHECK_EQ_I64(SSL_write(p.server, "hello", 5), 5);
    CHECK_EQ_I64(SSL_read(p.client, buf, sizeof(buf)), 5); /* a ticket would have come before it */
    CHECK(!SSL_SESSION_is_resumable(SSL_get0_session(p.client)));
    CHECK(!bgw_tls_peer_verified(p.server));
    pair_close(&p);
    bgw_tls_destroy(&tls);
}

TEST(version_1_2_has_ephemeral_keys_and_no_ticket_and_1_1_is_refused)
{
    struct bgw_tls *tls = make("a");
    struct pair p;
    pair_open(&p, tls, rig_client(TLS1_2_VERSION, NULL), NULL);
    CHECK(shake(&p));
    const char *cipher = SSL_get_cipher_name(p.client);
    CHECK(strncmp(cipher, "ECDHE-", 6) == 0 && (strstr(cipher, "GCM") || strstr(cipher, "CHACHA20")));
    CHECK(!SSL_SESSION_has_ticket(SSL_get0_session(p.client)));
    unsigned id_len = 1;
    SSL_SESSION_get_id(SSL_get0_session(p.client), &id_len);
    CHECK_EQ_I64(id_len, 0);
    pair_close(&p);
    static const char *const refused[] = {"AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        SSL_CTX *client = rig_client(TLS1_2_VERSION, NULL);
        SSL_CTX_set_security_level(client, 0);
        CHECK(SSL_CTX_set_cipher_list(client, refused[i]) == 1);
        pair_open(&p, tls, client, NULL);
        CHECK(!shake(&p));
        pair_close(&p);
    }
    SSL_CTX *old = rig_client(TLS1_1_VERSION, NULL);
    SSL_CTX_set_security_level(old, 0);
    pair_open(&p, tls, old, NULL);
    CHECK(!shake(&p));
    pair_close(&p);
    bgw_tls_destroy(&tls);
}

TEST(least_version_can_be_1_3)
{
    make_all();
    struct bgw_tls_config config = rig_config("a");
    struct bgw_tls *tls;
    bool verified;
    config.min_version = "1.3";
    CHECK_EQ_STR(rig_create(&tls, &config), "");
    CHECK(client_passes(tls, TLS1_3_VERSION, NULL, &verified));
    CHECK(!client_passes(tls, TLS1_2_VERSION, NULL, &verified));
    bgw_tls_destroy(&tls);
    config.min_version = "1.1";
    CHECK(strstr(rig_create(&tls, &config), "1.2 or 1.3"));
}

TEST(groups_are_those_of_the_list)
{
    make_all();
    struct bgw_tls_config config = rig_config("a");
    struct bgw_tls *tls;
    struct pair p;
    config.groups = "P-256";
    CHECK_EQ_STR(rig_create(&tls, &config), "");
    pair_open(&p, tls, rig_client(0, NULL), NULL);
    CHECK(shake(&p));
    CHECK_EQ_I64(SSL_get_negotiated_group(p.server), NID_X9_62_prime256v1);
    pair_close(&p);
    SSL_CTX *client = rig_client(0, NULL);
    CHECK(SSL_CTX_set1_groups_list(client, "X25519") == 1);
    pair_open(&p, tls, client, NULL);
    CHECK(!shake(&p));
    pair_close(&p);
    bgw_tls_destroy(&tls);
    config.groups = "X25519MLKEM768:X25519:P-256"; /* the default */
    CHECK_EQ_STR(rig_create(&tls, &config), "");
    bgw_tls_destroy(&tls);
    config.groups = "P-256:NOPE";
    CHECK(strstr(rig_create(&tls, &config), "P-256:NOPE"));
}

TEST(certificate_is_chosen_by_name_exact_before_wildcard_one_label_deep)
{
    struct bgw_tls *tls = make("a,b,c");
    CHECK_EQ_STR(shown_to(tls, "a.example"), "a");
    CHECK_EQ_STR(shown_to(tls, "A.EXAMPLE"), "a");
    CHECK_EQ_STR(shown_to(tls, "x.b.example"), "b");
    CHECK_EQ_STR(shown_to(tls, "b2.EXAMPLE"), "b");
    CHECK_EQ_STR(shown_to(tls, "www.b.example"), "a"); /* b's wildcard fits too */
    CHECK_EQ_STR(shown_to(tls, "x.y.b.example"), "a"); /* two labels */
    CHECK_EQ_STR(shown_to(tls, "b.example"), "a");     /* none */
    CHECK_EQ_STR(shown_to(tls, "c.example"), "c.example"); /* a common name counts without others */
    CHECK_EQ_STR(shown_to(tls, "nobody.example"), "a");
    CHECK_EQ_STR(shown_to(tls, NULL), "a");
    bgw_tls_destroy(&tls);
    tls = make("b,a");
    CHECK_EQ_STR(shown_to(tls, NULL), "b");
    bgw_tls_destroy(&tls);
}

TEST(client_that_speaks_only_h2_is_told_so_in_the_handshake)
{
    struct bgw_tls *tls = make("a");
    struct pair p;
    SSL_CTX *client = rig_client(0, NULL);
    CHECK(SSL_CTX_set_alpn_protos(client, (const unsigned char *)"\x02h2", 3) == 0);
    pair_open(&p, tls, client, NULL);
    CHECK(!shake(&p));
    pair_close(&p);
    bgw_tls_destroy(&tls);
}

TEST(sets_that_cannot_serve_are_refused_with_the_file_and_the_reason)
{
    static const struct {
        const char *certs, *keys, *file, *reason;
    } rows[] = {
        {"a", "b", "b.key", "does not belong to the certificate"},
        {"a,b", "b,a", "b.key", "does not belong to the certificate"},
        {"old", "old", "old.crt", "has expired"},
        {"soon", "soon", "soon.crt", "not valid yet"},
        {"short", "short", "short.crt", "key too small"},
        {"locked", "locked", "locked.key", "no password"},
        {"nowhere", "a", "nowhere.crt", "cannot be read"},
        {"a", "nowhere", "nowhere.key", "cannot be read"},
        {"junk", "a", "junk.crt", "not a PEM file with a certificate"},
        {"a", "junk", "junk.key", "not a PEM file with a private key"},
        {"damaged", "a", "damaged.crt", "not a PEM file with a certificate"},
        {"a,b", "a", "b.crt", "no private key for this certificate"},
        {"a", "a,b", "tls_key", "more key files"},
    };
    make_all();
    rig_write(rig_path("junk", ".crt"), "hello\n");
    rig_write(rig_path("junk", ".key"), "hello\n");
    rig_write(rig_path("damaged", ".crt"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bgw_tls_config config = rig_config("a");
        struct bgw_tls *tls;
        config.cert_files = rig_list(rows[i].certs, ".crt");
        config.key_files = rig_list(rows[i].keys, ".key");
        const char *error = rig_create(&tls, &config);
        if (!strstr(error, rows[i].file) || !strstr(error, rows[i].reason))
            test_fail_(__FILE__, __LINE__, "row %zu: %s", i, error);
    }
    struct bgw_tls_config none = rig_config("a");
    struct bgw_tls *tls;
    none.cert_files = "";
    CHECK(strstr(rig_create(&tls, &none), "no certificate"));
}

TEST(second_certificate_that_is_damaged_is_refused_and_not_cut_off)
{
    make_all();
    char command[512];
    snprintf(command, sizeof(command), "cat %s > %s; printf -- '-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n' >> %s",
             rig_path("a", ".crt"), rig_path("cut", ".crt"), rig_path("cut", ".crt"));
    CHECK(system(command) == 0);
    struct bgw_tls_config config = rig_config("a");
    struct bgw_tls *tls;
    config.cert_files = rig_list("cut", ".crt");
    CHECK(strstr(rig_create(&tls, &config), "cut.crt"));
}

TEST(reload_serves_the_new_set_and_leaves_a_handshake_under_way_its_own)
{
    struct bgw_tls *tls = make("a");
    struct bgw_tls_config fresh = rig_config("a2"), wrong = rig_config("a2");
    struct pair p;
    wrong.key_files = rig_list("b", ".key");
    pair_open(&p, tls, rig_client(0, NULL), "a.example");
    (void)SSL_do_handshake(p.client);
    (void)SSL_do_handshake(p.server); /* has chosen */
    CHECK(strstr(rig_reload(tls, &wrong), "does not belong"));
    CHECK_EQ_STR(shown_to(tls, "a.example"), "a");
    CHECK_EQ_STR(rig_reload(tls, &fresh), "");
    CHECK_EQ_STR(shown_to(tls, "a.example"), "a2");
    CHECK(shake(&p));
    CHECK_EQ_STR(rig_shown(p.client), "a");
    pair_close(&p);
    bgw_tls_destroy(&tls);
}

TEST(client_certificates_are_ignored_asked_for_or_required)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    bool verified;
    make_all();
    for (size_t i = 0; i < 2; i++) {
        struct bgw_tls_config config = rig_config("a");
        struct bgw_tls *tls;
        int v = versions[i];
        CHECK_EQ_STR(rig_create(&tls, &config), "");
        CHECK(client_passes(tls, v, "staff", &verified) && !verified);
        bgw_tls_destroy(&tls);

        config.client = BGW_TLS_CLIENT_OPTIONAL;
        config.client_ca = rig_path("ca", ".crt");
        CHECK_EQ_STR(rig_create(&tls, &config), "");
        CHECK(client_passes(tls, v, NULL, &verified) && !verified);
        CHECK(client_passes(tls, v, "staff", &verified) && verified);
        CHECK(!client_passes(tls, v, "staff2", &verified)); /* of another authority */
        bgw_tls_destroy(&tls);

        config.client = BGW_TLS_CLIENT_REQUIRED;
        CHECK_EQ_STR(rig_create(&tls, &config), "");
        CHECK(!client_passes(tls, v, NULL, &verified));
        CHECK(client_passes(tls, v, "staff", &verified) && verified);
        config.client_ca = rig_path("ca2", ".crt");
        CHECK_EQ_STR(rig_reload(tls, &config), "");
        CHECK(!client_passes(tls, v, "staff", &verified));
        CHECK(client_passes(tls, v, "staff2", &verified) && verified);
        bgw_tls_destroy(&tls);
    }
    struct bgw_tls_config config = rig_config("a");
    struct bgw_tls *tls;
    config.client = BGW_TLS_CLIENT_REQUIRED;
    CHECK(strstr(rig_create(&tls, &config), "name the file with their authorities"));
    config.client_ca = rig_path("a", ".key");
    CHECK(strstr(rig_create(&tls, &config), "a.key"));
}

TEST(close_notify_is_said_once_and_seen)
{
    struct bgw_tls *tls = make("a");
    struct pair p;
    char c;
    pair_open(&p, tls, rig_client(0, NULL), NULL);
    CHECK(shake(&p));
    CHECK(!bgw_tls_peer_ended(p.server));
    CHECK_EQ_I64(bgw_tls_end(p.server), BGW_OK);
    CHECK_EQ_I64(SSL_get_error(p.client, SSL_read(p.client, &c, 1)), SSL_ERROR_ZERO_RETURN);
    CHECK_EQ_I64(SSL_shutdown(p.client), 1);
    CHECK(SSL_read(p.server, &c, 1) <= 0);
    CHECK(bgw_tls_peer_ended(p.server));
    pair_close(&p);
    bgw_tls_destroy(&tls);
}

TEST(renegotiation_is_not_granted)
{
    struct bgw_tls *tls = make("a");
    struct pair p;
    char c;
    pair_open(&p, tls, rig_client(TLS1_2_VERSION, NULL), NULL);
    CHECK(shake(&p));
    CHECK(SSL_renegotiate(p.client) == 1);
    for (int i = 0; i < 5; i++) {
        (void)SSL_do_handshake(p.client);
        (void)SSL_read(p.server, &c, 1);
    }
    CHECK_EQ_I64(SSL_num_renegotiations(p.server), 0);
    pair_close(&p);
    bgw_tls_destroy(&tls);
}

TEST(read_ends_after_each_record_so_that_key_updates_do_not_keep_a_thread)
{
    struct bgw_tls *tls = make("a");
    struct pair p;
    char c;
    int reads = 0;
    pair_open(&p, tls, rig_client(TLS1_3_VERSION, NULL), NULL);
    CHECK(shake(&p));
    for (int i = 0; i < 20; i++)
        CHECK(SSL_key_update(p.client, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(p.client) == 1);
    CHECK(SSL_write(p.client, "x", 1) == 1);
    for (; reads < 30 && SSL_read(p.server, &c, 1) != 1; reads++)
        CHECK_EQ_I64(SSL_get_error(p.server, -1), SSL_ERROR_WANT_READ);
    CHECK_EQ_I64(reads, 20);
    pair_close(&p);
    bgw_tls_destroy(&tls);
}

TEST(certificates_are_described_for_people)
{
    struct bgw_tls *tls = make("a,c");
    struct bgw_tls_cert_info info[2];
    int64_t now_s = rig_now().wall_ms / 1000;
    CHECK_EQ_I64(bgw_tls_describe(tls, info, 1), 2);
    CHECK_EQ_I64(bgw_tls_describe(tls, info, 2), 2);
    CHECK_EQ_STR(info[0].file, rig_path("a", ".crt"));
    CHECK_EQ_STR(info[0].names, "a.example, www.b.example");
    CHECK_EQ_STR(info[1].names, "c.example");
    CHECK(info[0].not_before_s < now_s && info[0].not_after_s > now_s + 80000 && info[0].not_after_s < now_s + 90000);
    bgw_tls_destroy(&tls);
}
