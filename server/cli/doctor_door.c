/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_door: certificates, files, and settings of the front door that are legal and unwise.
 * Called by cmd_doctor on the main thread. Certificates are read by the same code as in the gateway,
 * so what passes here starts there.
 */
#include "doctor.h"

#include "bgw/net.h"
#include "bgw/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define DAY_S 86400
#define DISK_LOW_MIB 512

/* ---- settings ---- */

/* "127.…", "localhost:…", "[::1]:…": nobody outside gets there. */
static bool is_local(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "localhost:", 10) == 0 ||
           strncmp(address, "[::1]:", 6) == 0;
}

static void check_exposure(struct doctor *d)
{
    const struct bgw_config *c = d->config;
    if (!*c->tls_cert && !is_local(c->listen) && !*c->trusted_proxies)
        doctor_say(d, DOCTOR_WARN, "exposure",
                   "set BGW_TLS_CERT and BGW_TLS_KEY, or put a proxy that ends TLS in front and name it in "
                   "BGW_TRUSTED_PROXIES",
                   "BGW_LISTEN is %s without TLS: tokens and balances can be read on the way", c->listen);
    if (!is_local(c->admin_listen))
        doctor_say(d, DOCTOR_WARN, "exposure",
                   "listen on 127.0.0.1 or on a network that only operators reach: whoever gets there may revoke tokens",
                   "BGW_ADMIN_LISTEN is %s, which others can reach%s", c->admin_listen,
                   c->admin_tls ? "" : ", without TLS");
    if (strchr(c->origins, '*'))
        doctor_say(d, DOCTOR_WARN, "exposure", "name the origins of your own pages instead",
                   "BGW_ORIGINS allows every web page to connect from its visitors' browsers");
    if (c->demo)
        doctor_say(d, DOCTOR_WARN, "exposure", "never on a machine that others reach; leave --demo away for real balances",
                   "--demo: everybody knows the token key");
}

static void check_proxies(struct doctor *d)
{
    const struct bgw_config *c = d->config;
    struct bgw_nets *nets = NULL;
    struct bgw_buf error;
    struct bgw_addr outside = {{0}};
    bgw_buf_init(&error, 600);
    bool parsed = bgw_nets_parse(&nets, c->trusted_proxies, &error) == BGW_OK &&
                  bgw_addr_parse(BGW_SLICE("8.8.8.8"), &outside);
    if (parsed && bgw_nets_contain(nets, &outside))
        doctor_say(d, DOCTOR_WARN, "proxies", "name the proxies' own addresses",
                   "BGW_TRUSTED_PROXIES covers the whole internet: any client may say that it is somebody else");
    else if (c->proxy_protocol && parsed && bgw_nets_count(nets) == 0)
        doctor_say(d, DOCTOR_WARN, "proxies", "name the proxies in BGW_TRUSTED_PROXIES, or turn BGW_PROXY_PROTOCOL off",
                   "BGW_PROXY_PROTOCOL is on and no proxy is trusted: nobody's header is read");
    else if (parsed && bgw_nets_count(nets))
        doctor_say(d, DOCTOR_OK, "proxies", "", "%zu networks are trusted", bgw_nets_count(nets));
    bgw_nets_release(nets);
    bgw_buf_deinit(&error);
}

void doctor_check_door(struct doctor *d)
{
    struct bgw_policy *policy = NULL;
    struct bgw_buf error;
    bgw_buf_init(&error, 600);
    if (bgw_policy_create(&policy, d->config, &error) != BGW_OK) {
        bgw_buf_append_byte(&error, '\0');
        doctor_say(d, DOCTOR_FAIL, "configuration", "correct the list; docs/configuration.md has its form", "%s",
                   error.data ? error.data : "an allow-list is wrong");
    }
    bgw_policy_release(policy);
    bgw_buf_deinit(&error);
    check_exposure(d);
    check_proxies(d);
}

/* ---- files ---- */

static bool may_write_folder(const char *path, char *folder, size_t cap)
{
    char copy[4096];
    snprintf(copy, sizeof(copy), "%s", path);
    snprintf(folder, cap, "%s", dirname(copy));
    return faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0;
}

/* The mebibytes left where the audit log goes, -1 if that cannot be known. */
static long long room_at(const char *folder)
{
    struct statvfs s;
    return statvfs(folder, &s) == 0 ? (long long)(((uint64_t)s.f_bavail * s.f_frsize) >> 20) : -1;
}

static void check_audit(struct doctor *d)
{
    const char *path = d->config->audit_log;
    const char *fix = "make the folder and let the gateway's user write there (LogsDirectory=bgw of the unit), or name "
                      "another file";
    char folder[4096] = "";
    struct stat st;
    if (!*path) {
        doctor_say(d, DOCTOR_WARN, "audit", "set BGW_AUDIT_LOG to a file, or to `-` for standard output",
                   "BGW_AUDIT_LOG is not set: nobody will know afterwards who saw what");
        return;
    }
    if (strcmp(path, "-") == 0) {
        doctor_say(d, DOCTOR_OK, "audit", "", "written to standard output");
        return;
    }
    bool exists = stat(path, &st) == 0;
    bool folder_ok = may_write_folder(path, folder, sizeof(folder));
    if (exists && (S_ISDIR(st.st_mode) || S_ISSOCK(st.st_mode)))
        doctor_say(d, DOCTOR_FAIL, "audit", "name a file in it", "%s is a folder or a socket", path);
    else if (exists && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0)
        doctor_say(d, DOCTOR_FAIL, "audit", fix, "%s cannot be written by user %u: %s", path, (unsigned)geteuid(),
                   strerror(errno));
    else if (!exists && !folder_ok)
        doctor_say(d, DOCTOR_FAIL, "audit", fix, "%s cannot be made by user %u: no such folder, or no right to write there",
                   path, (unsigned)geteuid());
    else if (exists && S_ISREG(st.st_mode) && room_at(folder) >= 0 && room_at(folder) < DISK_LOW_MIB)
        doctor_say(d, DOCTOR_WARN, "audit", "make room, or rotate it to another disk: lines that do not fit are lost",
                   "%lld MiB are left where %s is", room_at(folder), path);
    else
        doctor_say(d, DOCTOR_OK, "audit", "", "%s can be written by user %u", path, (unsigned)geteuid());
}

void doctor_check_files(struct doctor *d)
{
    const struct bgw_config *c = d->config;
    char folder[4096], page[4096];
    check_audit(d);
    if (*c->ready_file && !may_write_folder(c->ready_file, folder, sizeof(folder)))
        doctor_say(d, DOCTOR_FAIL, "ready file", "make the folder and let this user write there (RuntimeDirectory=bgw)",
                   "BGW_READY_FILE is %s: its folder is not there or not writable", c->ready_file);
    if (*c->web_root && snprintf(page, sizeof(page), "%s/index.html", c->web_root) > 0 &&
        faccessat(AT_FDCWD, page, R_OK, AT_EACCESS) != 0)
        doctor_say(d, DOCTOR_WARN, "page", "put the page's files there, or leave BGW_WEB_ROOT empty for the built-in one",
                   "%s cannot be read: %s", page, strerror(errno));
}

/* ---- certificates ---- */

#define DATE_MAX 24

static void date_text(int64_t s, char out[DATE_MAX])
{
    time_t t = (time_t)s;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(out, DATE_MAX, "%Y-%m-%d", &tm) == 0)
        strcpy(out, "a date far off");
}

void doctor_judge_certificate(struct doctor *d, const struct bgw_tls_cert_info *info, int64_t now_s)
{
    char from[DATE_MAX], until[DATE_MAX];
    date_text(info->not_before_s, from);
    date_text(info->not_after_s, until);
    long long days = (long long)(info->not_after_s - now_s) / DAY_S;
    if (now_s >= info->not_after_s)
        doctor_say(d, DOCTOR_FAIL, "certificates", "get a new one, put it in place and send SIGHUP",
                   "%s (%s) expired on %s", info->file, info->names, until);
    else if (now_s < info->not_before_s)
        doctor_say(d, DOCTOR_FAIL, "certificates", "wait, use the one before it, or set this machine's clock",
                   "%s (%s) is not valid before %s", info->file, info->names, from);
    else if (!*info->names)
        doctor_say(d, DOCTOR_FAIL, "certificates", "have it issued with the host's name as subjectAltName",
                   "%s carries no name: no client will accept it", info->file);
    else if (days < DOCTOR_CERT_WARN_DAYS)
        doctor_say(d, DOCTOR_WARN, "certificates", "renew it, put it in place and send SIGHUP",
                   "%s (%s) expires on %s, in %lld days", info->file, info->names, until, days);
    else
        doctor_say(d, DOCTOR_OK, "certificates", "", "%s: %s, until %s, the key fits", info->file, info->names, until);
}

/* What belongs together and is not; NULL if all does. */
static const char *tls_mismatch(const struct bgw_config *c)
{
    bool on = *c->tls_cert != '\0', asks = strcmp(c->tls_client_auth, "off") != 0;
    if (on != (*c->tls_key != '\0'))
        return "only one of BGW_TLS_CERT and BGW_TLS_KEY is set";
    if (!on && asks)
        return "BGW_TLS_CLIENT_AUTH asks for client certificates, and TLS is off";
    if (asks && !*c->tls_client_ca)
        return "BGW_TLS_CLIENT_AUTH asks for client certificates, and BGW_TLS_CLIENT_CA names no authority";
    if (!on && c->admin_tls)
        return "BGW_ADMIN_TLS is on, and there is no certificate";
    return NULL;
}

static struct bgw_tls_config tls_config(const struct bgw_config *c)
{
    bool off = strcmp(c->tls_client_auth, "off") == 0, required = strcmp(c->tls_client_auth, "required") == 0;
    return (struct bgw_tls_config){
        .cert_files = c->tls_cert,
        .key_files = c->tls_key,
        .min_version = c->tls_min,
        .groups = c->tls_groups,
        .client_ca = c->tls_client_ca,
        .client = off ? BGW_TLS_CLIENT_OFF : required ? BGW_TLS_CLIENT_REQUIRED : BGW_TLS_CLIENT_OPTIONAL,
    };
}

static void check_loaded(struct doctor *d)
{
    static struct bgw_tls_cert_info certs[16];
    struct bgw_tls *tls = NULL;
    struct bgw_buf error;
    const struct bgw_tls_config config = tls_config(d->config);
    bgw_buf_init(&error, 600);
    enum bgw_status status = bgw_tls_create(&tls, &config, bgw_clock_now(), &error);
    bgw_buf_append_byte(&error, '\0');
    if (status != BGW_OK) {
        doctor_say(d, DOCTOR_FAIL, "certificates",
                   "correct the file or the setting that is named; `openssl x509 -in FILE -noout -text` shows a certificate",
                   "%s", error.data && *error.data ? error.data : bgw_status_text(status));
    } else {
        size_t n = bgw_tls_describe(tls, certs, sizeof(certs) / sizeof(*certs));
        for (size_t i = 0; i < n && i < sizeof(certs) / sizeof(*certs); i++)
            doctor_judge_certificate(d, &certs[i], bgw_clock_now().wall_ms / 1000);
        if (config.client != BGW_TLS_CLIENT_OFF)
            doctor_say(d, DOCTOR_OK, "certificates", "", "client certificates are asked for (%s), of authorities in %s",
                       d->config->tls_client_auth, d->config->tls_client_ca);
    }
    bgw_tls_destroy(&tls);
    bgw_buf_deinit(&error);
}

void doctor_check_tls(struct doctor *d)
{
    const char *wrong = tls_mismatch(d->config);
    if (wrong)
        doctor_say(d, DOCTOR_FAIL, "certificates", "set BGW_TLS_CERT and BGW_TLS_KEY to PEM files, and BGW_TLS_CLIENT_CA "
                   "if clients show certificates; or turn the setting off", "%s", wrong);
    else if (*d->config->tls_cert)
        check_loaded(d);
}
