/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_rig: certificates and keys made on the spot, as PEM files in a folder of the test's own, and
 * what a client of OpenSSL needs. For the tests of the tls room and of the transport over TLS.
 */
#ifndef BGW_TLS_RIG_H
#define BGW_TLS_RIG_H

#include "bgw/tls.h"

#include "test.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <time.h>
#include <unistd.h>

struct spec { /* what a certificate says */
    const char *file;  /* file.crt and file.key */
    const char *name;  /* common name */
    const char *sans;  /* "DNS:a.example,DNS:*.b.example"; NULL: none */
    long from_s, to_s; /* from now; 0, 0: for a day */
    const char *issuer; /* another one's `file`; NULL: itself */
    int rsa_bits;      /* 0: EC P-256 */
    bool authority;
    bool password;
};

static char rig_dir[64];

static inline void rig_remove(void)
{
    char command[96];
    snprintf(command, sizeof(command), "rm -rf %s", rig_dir);
    CHECK(system(command) == 0);
}

static inline const char *rig_path(const char *file, const char *suffix)
{
    static char paths[16][128];
    static unsigned next;
    char *out = paths[next++ % 16];
    if (!rig_dir[0]) {
        snprintf(rig_dir, sizeof(rig_dir), "/tmp/bgw-tls-XXXXXX");
        CHECK(mkdtemp(rig_dir) != NULL);
        atexit(rig_remove);
    }
    snprintf(out, sizeof(paths[0]), "%s/%s%s", rig_dir, file, suffix);
    return out;
}

static inline void rig_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static inline X509 *rig_read_cert(const char *file)
{
    FILE *f = fopen(rig_path(file, ".crt"), "r");
    X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    CHECK(x != NULL);
    if (f)
        fclose(f);
    return x;
}

static inline EVP_PKEY *rig_read_key(const char *file)
{
    FILE *f = fopen(rig_path(file, ".key"), "r");
    EVP_PKEY *k = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
    CHECK(k != NULL);
    if (f)
        fclose(f);
    return k;
}

static inline void rig_extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(e && X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
}

static inline void rig_make(const struct spec *s)
{
    static long serial = 1;
    EVP_PKEY *key = s->rsa_bits ? EVP_RSA_gen((unsigned)s->rsa_bits) : EVP_EC_gen("P-256");
    X509 *x = X509_new(), *issuer = s->issuer ? rig_read_cert(s->issuer) : x;
    EVP_PKEY *signer = s->issuer ? rig_read_key(s->issuer) : key;
    bool day = s->from_s == 0 && s->to_s == 0;
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), day ? -60 : s->from_s);
    X509_gmtime_adj(X509_getm_notAfter(x), day ? 86400 : s->to_s);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)s->name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    if (s->sans)
        rig_extend(x, issuer, NID_subject_alt_name, s->sans);
    rig_extend(x, issuer, NID_basic_constraints, s->authority ? "critical,CA:TRUE" : "CA:FALSE");
    CHECK(X509_sign(x, signer, EVP_sha256()) > 0);
    FILE *f = fopen(rig_path(s->file, ".crt"), "w");
    CHECK(f && PEM_write_X509(f, x) && fclose(f) == 0);
    f = fopen(rig_path(s->file, ".key"), "w");
    CHECK(f && PEM_write_PrivateKey(f, key, s->password ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
                                    s->password ? (void *)(uintptr_t)"secret" : NULL) && fclose(f) == 0);
    if (s->issuer) {
        X509_free(issuer);
        EVP_PKEY_free(signer);
    }
    X509_free(x);
    EVP_PKEY_free(key);
}

/* The files of "a,b" as lists of their certificates or keys. */
static inline const char *rig_list(const char *files, const char *suffix)
{
    static char lists[8][512];
    static unsigned next;
    char *out = lists[next++ % 8], copy[128];
    size_t at = 0;
    out[0] = 0;
    snprintf(copy, sizeof(copy), "%s", files);
    for (char *rest = copy, *file; (file = strsep(&rest, ","));)
        at += (size_t)snprintf(out + at, sizeof(lists[0]) - at, "%s%s", at ? ", " : "", rig_path(file, suffix));
    return out;
}

static inline struct bgw_tls_config rig_config(const char *files)
{
    return (struct bgw_tls_config){.cert_files = rig_list(files, ".crt"),
                                   .key_files = rig_list(files, ".key"),
                                   .min_version = "1.2",
                                   .groups = "X25519:P-256",
                                   .client_ca = ""};
}

static inline struct bgw_now rig_now(void)
{
    return bgw_clock_now();
}

/* Text of the error, "" if it loads. */
static inline const char *rig_create(struct bgw_tls **out, const struct bgw_tls_config *config)
{
    static char text[1024];
    struct bgw_buf error;
    bgw_buf_init(&error, sizeof(text) - 1);
    enum bgw_status status = bgw_tls_create(out, config, rig_now(), &error);
    CHECK(status == BGW_OK || status == BGW_CONFIG);
    CHECK((status == BGW_OK) == (error.len == 0) && (status == BGW_OK) == (*out != NULL));
    snprintf(text, sizeof(text), "%.*s", (int)error.len, error.data ? error.data : "");
    bgw_buf_deinit(&error);
    return text;
}

static inline const char *rig_reload(struct bgw_tls *tls, const struct bgw_tls_config *config)
{
    static char text[1024];
    struct bgw_buf error;
    bgw_buf_init(&error, sizeof(text) - 1);
    enum bgw_status status = bgw_tls_reload(tls, config, rig_now(), &error);
    CHECK((status == BGW_OK) == (error.len == 0));
    snprintf(text, sizeof(text), "%.*s", (int)error.len, error.data ? error.data : "");
    bgw_buf_deinit(&error);
    return text;
}

/* A client that believes every certificate and shows `cert`, if there is one. */
static inline SSL_CTX *rig_client(int version, const char *cert)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (version) {
        SSL_CTX_set_min_proto_version(ctx, version);
        SSL_CTX_set_max_proto_version(ctx, version);
    }
    if (cert)
        CHECK(SSL_CTX_use_certificate_file(ctx, rig_path(cert, ".crt"), SSL_FILETYPE_PEM) == 1 &&
              SSL_CTX_use_PrivateKey_file(ctx, rig_path(cert, ".key"), SSL_FILETYPE_PEM) == 1);
    return ctx;
}

/* The common name of what the peer showed. */
static inline const char *rig_shown(const SSL *ssl)
{
    static char name[128];
    X509 *x = SSL_get0_peer_certificate(ssl);
    name[0] = 0;
    if (x)
        X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, sizeof(name));
    return name;
}

#endif
