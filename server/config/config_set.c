/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_set: what a key and its value do to the configuration: rows, secrets from files,
 * properties of librdkafka. Hides who owns the strings. Main thread, at the start. Invariant: a
 * value is checked before it is stored, and an error says key, value and what to give; a secret is
 * in no error.
 */
#include "config_load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SECRET_BYTES_MAX 16384
#define VALUE_SHOWN_MAX 80 /* bytes of a wrong value that an error repeats */

const char *bgw_config_keep(struct bgw_config_loader *l, struct bgw_slice text)
{
    struct bgw_config_string *s = malloc(sizeof(*s) + text.len + 1);
    if (!s) {
        bgw_buf_append_str(l->error, bgw_status_text(BGW_NO_MEMORY));
        return NULL;
    }
    s->next = l->c->priv->strings;
    s->len = text.len;
    if (text.len)
        memcpy(s->text, text.data, text.len);
    s->text[text.len] = '\0';
    l->c->priv->strings = s;
    return s->text;
}

/* `NAME: "value" is not allowed (environment); give <phrase>.` Secrets are not repeated. */
static enum bgw_status refuse(struct bgw_config_loader *l, const char *name, const char *value,
                              const char *phrase)
{
    size_t len = value ? strlen(value) : 0;
    bgw_buf_appendf(l->error, "%s: ", name);
    if (value)
        bgw_buf_append_json(l->error,
                            bgw_slice_of(value, len > VALUE_SHOWN_MAX ? VALUE_SHOWN_MAX : len));
    else
        bgw_buf_append_str(l->error, "the value");
    bgw_buf_appendf(l->error, " is not allowed (%s); give %s.", bgw_config_origin_text(l->origin),
                    phrase);
    return BGW_CONFIG;
}

static enum bgw_status set_str(struct bgw_config_loader *l, int i, const char *name,
                               const char *value)
{
    const struct bgw_config_row *row = &bgw_config_rows[i];
    const char *phrase = bgw_config_check(i, value);
    if (phrase)
        return refuse(l, name, row->flags & BGW_CONFIG_SECRET ? NULL : value, phrase);
    const char *kept = bgw_config_keep(l, bgw_slice_str(value));
    if (!kept)
        return BGW_NO_MEMORY;
    *(const char **)bgw_config_slot(l->c, row) = kept;
    return BGW_OK;
}

static enum bgw_status set_int(struct bgw_config_loader *l, int i, const char *name,
                               const char *value)
{
    const struct bgw_config_row *row = &bgw_config_rows[i];
    int64_t v;
    if (!bgw_config_read_int(value, &v) || v < row->min || v > row->max) {
        char phrase[96];
        snprintf(phrase, sizeof(phrase), "a whole number from %lld to %lld", (long long)row->min,
                 (long long)row->max);
        return refuse(l, name, value, phrase);
    }
    *(int64_t *)bgw_config_slot(l->c, row) = v;
    return BGW_OK;
}

static enum bgw_status set_bool(struct bgw_config_loader *l, int i, const char *name,
                                const char *value)
{
    bool v;
    if (!bgw_config_read_bool(value, &v))
        return refuse(l, name, value, "true or false");
    *(bool *)bgw_config_slot(l->c, &bgw_config_rows[i]) = v;
    return BGW_OK;
}

/* Notes that this layer gives the key; a layer says each thing once. */
static enum bgw_status claim(struct bgw_config_loader *l, int i, const char *name)
{
    if (l->given_as[i] && l->origin != BGW_ORIGIN_FLAG) {
        bgw_buf_appendf(l->error, "%s: given twice (%s), as %s before; keep one of the two.", name,
                        bgw_config_origin_text(l->origin), l->given_as[i]);
        return BGW_CONFIG;
    }
    l->given_as[i] = bgw_config_keep(l, bgw_slice_str(name));
    l->c->priv->origins[i] = l->origin;
    return l->given_as[i] ? BGW_OK : BGW_NO_MEMORY;
}

enum bgw_status bgw_config_set(struct bgw_config_loader *l, int i, const char *name,
                               const char *value)
{
    enum bgw_status status = claim(l, i, name);
    if (status != BGW_OK)
        return status;
    switch (bgw_config_rows[i].kind) {
    case BGW_CONFIG_KIND_STR:
        return set_str(l, i, name, value);
    case BGW_CONFIG_KIND_INT:
        return set_int(l, i, name, value);
    default:
        return set_bool(l, i, name, value);
    }
}

/* Reads a whole file. `who` is the key that named it. */
enum bgw_status bgw_config_read_file(struct bgw_config_loader *l, const char *who, const char *path,
                                     struct bgw_buf *out)
{
    FILE *f = fopen(path, "re");
    if (!f) {
        bgw_buf_appendf(l->error, "%s: cannot open %s: %s; give a file that this process may read.",
                        who, path, strerror(errno));
        return BGW_CONFIG;
    }
    enum bgw_status status = BGW_OK;
    char chunk[4096];
    for (size_t n; !out->failed && (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
        bgw_buf_append(out, bgw_slice_of(chunk, n));
    if (ferror(f)) {
        bgw_buf_appendf(l->error, "%s: cannot read %s: %s.", who, path, strerror(errno));
        status = BGW_CONFIG;
    } else if (out->failed || (out->len && memchr(out->data, '\0', out->len))) {
        bgw_buf_appendf(l->error, "%s: %s is not a text of at most %zu bytes.", who, path,
                        out->len_max);
        status = BGW_CONFIG;
    }
    explicit_bzero(chunk, sizeof(chunk));
    fclose(f);
    return status;
}

/* The content of a secret's file, without the newline that editors leave at its end; kept by the
 * loader. */
static enum bgw_status read_secret(struct bgw_config_loader *l, const char *name, const char *path,
                                   const char **out)
{
    struct bgw_buf text;
    bgw_buf_init(&text, SECRET_BYTES_MAX);
    enum bgw_status status = bgw_config_read_file(l, name, path, &text);
    size_t len = text.len;
    if (len && text.data[len - 1] == '\n')
        len--;
    if (len && text.data[len - 1] == '\r')
        len--;
    if (status == BGW_OK && len == 0) {
        bgw_buf_appendf(l->error, "%s: %s is empty; put the secret into it.", name, path);
        status = BGW_CONFIG;
    }
    if (status == BGW_OK) {
        *out = bgw_config_keep(l, bgw_slice_of(text.data, len));
        status = *out ? BGW_OK : BGW_NO_MEMORY;
    }
    if (text.data)
        explicit_bzero(text.data, text.cap);
    bgw_buf_deinit(&text);
    return status;
}

enum bgw_status bgw_config_set_secret(struct bgw_config_loader *l, int i, const char *name,
                                      const char *path)
{
    const char *value;
    enum bgw_status status = read_secret(l, name, path, &value);
    return status == BGW_OK ? bgw_config_set(l, i, name, value) : status;
}

/* If `name` ends in `suffix`, what stands before it; false otherwise. */
bool bgw_config_cut_suffix(const char *name, const char *suffix, char *out)
{
    size_t len = strlen(name), suffix_len = strlen(suffix);
    if (len <= suffix_len || len - suffix_len >= BGW_CONFIG_NAME_MAX ||
        strcmp(name + len - suffix_len, suffix) != 0)
        return false;
    memcpy(out, name, len - suffix_len);
    out[len - suffix_len] = '\0';
    return true;
}

/* The row whose secret a name with this suffix reads from a file, or -1. */
int bgw_config_secret_row(const char *name, const char *suffix, int (*find)(const char *))
{
    char base[BGW_CONFIG_NAME_MAX];
    if (!bgw_config_cut_suffix(name, suffix, base))
        return -1;
    int i = find(base);
    return i >= 0 && (bgw_config_rows[i].flags & BGW_CONFIG_SECRET) ? i : -1;
}

/* ---- librdkafka's properties ---- */

static void property_of(const char *name, char *out)
{
    size_t n = 0;
    for (name += strlen("KAFKA_"); *name && n + 1 < BGW_CONFIG_NAME_MAX; name++)
        out[n++] = (char)(*name == '_'                   ? '.'
                          : *name >= 'A' && *name <= 'Z' ? *name + ('a' - 'A')
                                                         : *name);
    out[n] = '\0';
}

static enum bgw_status set_property(struct bgw_config_loader *l, const char *given_as,
                                    const char *property, const char *value)
{
    struct bgw_config *c = l->c;
    size_t i = 0;
    while (i < c->kafka_prop_count && strcmp(c->kafka_props[i].name, property) != 0)
        i++;
    if (i == BGW_KAFKA_PROPS_MAX) {
        bgw_buf_appendf(l->error, "KAFKA_<PROPERTY>: more than %d of them; remove some.",
                        BGW_KAFKA_PROPS_MAX);
        return BGW_CONFIG;
    }
    if (i < c->kafka_prop_count && c->priv->kafka_origins[i] == l->origin) {
        bgw_buf_appendf(l->error, "%s: given twice (%s); keep one of the two.", given_as,
                        bgw_config_origin_text(l->origin));
        return BGW_CONFIG;
    }
    const char *name = bgw_config_keep(l, bgw_slice_str(property));
    const char *kept = name ? bgw_config_keep(l, bgw_slice_str(value)) : NULL;
    if (!kept)
        return BGW_NO_MEMORY;
    c->kafka_props[i].name = name;
    c->kafka_props[i].value = kept;
    c->priv->kafka_origins[i] = l->origin;
    if (i == c->kafka_prop_count)
        c->kafka_prop_count++;
    return BGW_OK;
}

static enum bgw_status take_property(struct bgw_config_loader *l, const char *name,
                                     const char *value)
{
    char base[BGW_CONFIG_NAME_MAX], property[BGW_CONFIG_NAME_MAX];
    size_t distance;
    const char *nearest = bgw_config_nearest_env(name, &distance);
    bool from_file = bgw_config_cut_suffix(name, "_FILE", base);
    property_of(from_file ? base : name, property);
    bool brokers =
        strcmp(property, "bootstrap.servers") == 0 || strcmp(property, "metadata.broker.list") == 0;
    if (brokers || distance <= 2) {
        bgw_buf_appendf(l->error, "%s: unknown key (%s); the nearest known one is %s.", name,
                        bgw_config_origin_text(l->origin), brokers ? "KAFKA_BOOTSTRAP" : nearest);
        return BGW_UNKNOWN_KEY;
    }
    if (from_file) {
        enum bgw_status status = read_secret(l, name, value, &value);
        if (status != BGW_OK)
            return status;
    }
    return set_property(l, name, property, value);
}

/* ---- a key by its environment name: environment and file ---- */

static enum bgw_status unknown_key(struct bgw_config_loader *l, const char *name)
{
    bgw_buf_appendf(l->error, "%s: unknown key (%s); the nearest known one is %s.", name,
                    bgw_config_origin_text(l->origin), bgw_config_nearest_env(name, NULL));
    return BGW_UNKNOWN_KEY;
}

enum bgw_status bgw_config_take_key(struct bgw_config_loader *l, const char *name,
                                    const char *value)
{
    int i = bgw_config_row_by_env(name);
    int secret = bgw_config_secret_row(name, "_FILE", bgw_config_row_by_env);
    if (i < 0 && secret < 0 && (strncmp(name, "KAFKA_", 6) != 0 || !name[6]))
        return unknown_key(l, name);
    if (!*value)
        return BGW_OK; /* KEY= is how compose files say "not set" */
    if (i >= 0)
        return bgw_config_set(l, i, name, value);
    if (secret >= 0)
        return bgw_config_set_secret(l, secret, name, value);
    return take_property(l, name, value);
}
