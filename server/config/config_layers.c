/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_layers: how each layer is written: variables, lines of a file, flags. Hides their syntax;
 * what comes out is a name and a value for config_set.c. Main thread, at the start. Invariant: what
 * cannot be read stops the load; only variables that are plainly not ours are passed over.
 */
#include "config_load.h"

#include <stdio.h>

#define FILE_BYTES_MAX 65536

/* ---- the environment ---- */

/*
 * Kubernetes gives every pod variables for every service of its namespace: BGW_PORT=tcp://…,
 * BGW_SERVICE_HOST, KAFKA_PORT_9092_TCP_ADDR. Nobody wrote those, so they are no mistakes.
 */
static bool service_link(const char *name, const char *value)
{
    return strstr(name, "_SERVICE_HOST") || strstr(name, "_SERVICE_PORT") ||
           ((strstr(name, "_PORT_") ||
             bgw_config_cut_suffix(name, "_PORT", (char[BGW_CONFIG_NAME_MAX]){0})) &&
            (strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0 ||
             strstr(name, "_TCP_") || strstr(name, "_UDP_")));
}

/* Is the variable meant for us? */
static bool env_is_ours(const char *name, const char *value)
{
    if (bgw_config_row_by_env(name) >= 0)
        return true;
    if (strncmp(name, "BGW_", 4) != 0 && strncmp(name, "KAFKA_", 6) != 0)
        return false;
    if (strcmp(name, "BGW_CONFIG") == 0 || strncmp(name, "BGW_DEV_", 8) == 0)
        return false; /* the file's name, read already; the toolbox's own */
    return !service_link(name, value);
}

enum bgw_status bgw_config_load_env(struct bgw_config_loader *l, char *const *env)
{
    char name[BGW_CONFIG_NAME_MAX];
    for (; env && *env; env++) {
        const char *equals = strchr(*env, '=');
        if (!equals)
            continue;
        if ((size_t)(equals - *env) >= sizeof(name)) {
            if (strncmp(*env, "BGW_", 4) != 0 && strncmp(*env, "KAFKA_", 6) != 0)
                continue;
            bgw_buf_appendf(l->error, "%.40s...: no key has so long a name.", *env);
            return BGW_UNKNOWN_KEY;
        }
        memcpy(name, *env, (size_t)(equals - *env));
        name[equals - *env] = '\0';
        if (!env_is_ours(name, equals + 1))
            continue;
        enum bgw_status status = bgw_config_take_key(l, name, equals + 1);
        if (status != BGW_OK)
            return status;
    }
    return BGW_OK;
}

/* ---- the file ---- */

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t len = strlen(text);
    while (len && strchr(" \t\r", text[len - 1]))
        text[--len] = '\0';
    return text;
}

/* A value in quotes is what stands between the first and the last; else a # after white space ends
 * it. */
static char *file_value(char *text)
{
    text = trim(text);
    char *last = strrchr(text, '"');
    if (*text == '"' && last > text) {
        *last = '\0';
        return text + 1;
    }
    for (char *hash = strchr(text, '#'); hash; hash = strchr(hash + 1, '#'))
        if (hash == text || hash[-1] == ' ' || hash[-1] == '\t') {
            *hash = '\0';
            break;
        }
    return trim(text);
}

static enum bgw_status load_line(struct bgw_config_loader *l, char *line, int number,
                                 const char *path)
{
    line = trim(line);
    if (!*line || *line == '#')
        return BGW_OK;
    char *equals = strchr(line, '=');
    if (!equals) {
        bgw_buf_appendf(l->error, "%s line %d: no = in it; write KEY=VALUE.", path, number);
        return BGW_CONFIG;
    }
    *equals = '\0';
    enum bgw_status status = bgw_config_take_key(l, trim(line), file_value(equals + 1));
    if (status != BGW_OK)
        bgw_buf_appendf(l->error, " (%s line %d)", path, number);
    return status;
}

enum bgw_status bgw_config_load_file(struct bgw_config_loader *l, const char *path)
{
    struct bgw_buf text;
    bgw_buf_init(&text, FILE_BYTES_MAX);
    enum bgw_status status = bgw_config_read_file(l, "config file", path, &text);
    if (status == BGW_OK) {
        bgw_buf_append_byte(&text, '\0');
        if (text.failed)
            status = BGW_CONFIG;
    }
    char *line = text.data;
    for (int number = 1; status == BGW_OK && line; number++) {
        char *newline = strchr(line, '\n');
        if (newline)
            *newline = '\0';
        status = load_line(l, line, number, path);
        line = newline ? newline + 1 : NULL;
    }
    if (text.data)
        explicit_bzero(text.data, text.cap);
    bgw_buf_deinit(&text);
    return status;
}

/* ---- flags ---- */

/* one call's: one argument taken apart */
struct flag {
    char name[BGW_CONFIG_NAME_MAX];
    const char *value; /* NULL: none */
};

static enum bgw_status usage(struct bgw_config_loader *l, const char *arg, const char *what)
{
    bgw_buf_appendf(l->error, "%s: %s", arg, what);
    return BGW_USAGE;
}

/* Reads the flag at *at and moves *at behind it and its value. */
static enum bgw_status next_flag(struct bgw_config_loader *l, int argc, char **argv, int *at,
                                 struct flag *f)
{
    const char *arg = argv[(*at)++];
    const char *equals = strchr(arg, '=');
    size_t len = equals ? (size_t)(equals - arg) : strlen(arg);
    if (strncmp(arg, "--", 2) != 0 || len < 3 || len - 2 >= sizeof(f->name))
        return usage(l, arg, "not understood; options are --name value or --name=value.");
    memcpy(f->name, arg + 2, len - 2);
    f->name[len - 2] = '\0';
    f->value = equals ? equals + 1 : NULL;
    int i = bgw_config_row_by_flag(f->name);
    if (f->value || (i >= 0 && bgw_config_rows[i].kind == BGW_CONFIG_KIND_BOOL))
        return BGW_OK;
    if (i < 0 && strcmp(f->name, "config") != 0 &&
        bgw_config_secret_row(f->name, "-file", bgw_config_row_by_flag) < 0)
        return BGW_OK; /* unknown, whatever follows: the caller says so */
    if (*at == argc || strncmp(argv[*at], "--", 2) == 0)
        return usage(l, arg, "its value is missing; write --name value, or --name=value.");
    f->value = argv[(*at)++];
    return BGW_OK;
}

static enum bgw_status take_flag(struct bgw_config_loader *l, const struct flag *f)
{
    char shown[BGW_CONFIG_NAME_MAX + 2];
    int i = bgw_config_row_by_flag(f->name);
    int secret = bgw_config_secret_row(f->name, "-file", bgw_config_row_by_flag);
    snprintf(shown, sizeof(shown), "--%s", f->name);
    if (i >= 0)
        return bgw_config_set(l, i, shown, f->value ? f->value : "true");
    if (secret >= 0)
        return bgw_config_set_secret(l, secret, shown, f->value);
    if (strcmp(f->name, "config") == 0)
        return BGW_OK; /* read before the other layers */
    bgw_buf_appendf(l->error, "%s: unknown option; the nearest known one is --%s.", shown,
                    bgw_config_nearest_flag(f->name));
    return BGW_USAGE;
}

enum bgw_status bgw_config_load_flags(struct bgw_config_loader *l, int argc, char **argv)
{
    for (int at = 0; at < argc;) {
        struct flag f;
        enum bgw_status status = next_flag(l, argc, argv, &at, &f);
        if (status == BGW_OK)
            status = take_flag(l, &f);
        if (status != BGW_OK)
            return status;
    }
    return BGW_OK;
}

/* --config, else BGW_CONFIG, else NULL. Mistakes in other flags are left to load_flags. */
const char *bgw_config_path(struct bgw_config_loader *l, int argc, char **argv, char *const *env)
{
    const char *path = NULL;
    struct flag f;
    for (; env && *env; env++)
        if (strncmp(*env, "BGW_CONFIG=", 11) == 0 && (*env)[11])
            path = *env + 11;
    for (int at = 0; at < argc;) {
        if (next_flag(l, argc, argv, &at, &f) != BGW_OK)
            break;
        if (strcmp(f.name, "config") == 0)
            path = f.value;
    }
    bgw_buf_clear(l->error);
    return path;
}
