/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_show: the configuration as people read it: `bgw config` and the option list of --help.
 * Hides secrets: no path through this file prints one. Called on the main thread; reads only.
 */
#include "config_rows.h"

#define REDACTED "***"

/* one call's: one line of the listing */
struct shown {
    const char *key;
    const char *text; /* NULL: `number` counts */
    int64_t number;
    bool is_bool, secret;
    enum bgw_config_origin origin;
};

/* A property's environment name: what a person would set. */
static void kafka_env_name(const char *property, char *out, size_t cap)
{
    size_t n = strlen("KAFKA_");
    memcpy(out, "KAFKA_", n);
    for (; *property && n + 1 < cap; property++) {
        char c = *property;
        out[n++] = (char)(c == '.' ? '_' : c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c);
    }
    out[n] = '\0';
}

static bool needs_quotes(const char *text)
{
    size_t len = strlen(text);
    return len && (strpbrk(text, "#\"") || text[0] == ' ' || text[len - 1] == ' ');
}

static void show_line(const struct shown *s, struct bgw_buf *out)
{
    bgw_buf_appendf(out, "%s=", s->key);
    if (s->secret && s->text && *s->text)
        bgw_buf_append_str(out, REDACTED);
    else if (s->text)
        bgw_buf_appendf(out, needs_quotes(s->text) ? "\"%s\"" : "%s", s->text);
    else if (s->is_bool)
        bgw_buf_append_str(out, s->number ? "true" : "false");
    else
        bgw_buf_append_i64(out, s->number);
    bgw_buf_appendf(out, "  # %s\n", bgw_config_origin_text(s->origin));
}

static void show_json(const struct shown *s, struct bgw_buf *out)
{
    bgw_buf_append_json(out, bgw_slice_str(s->key));
    bgw_buf_append_str(out, ":{\"value\":");
    if (s->secret && s->text && *s->text)
        bgw_buf_append_str(out, "\"" REDACTED "\"");
    else if (s->text)
        bgw_buf_append_json(out, bgw_slice_str(s->text));
    else if (s->is_bool)
        bgw_buf_append_str(out, s->number ? "true" : "false");
    else
        bgw_buf_append_i64(out, s->number);
    bgw_buf_appendf(out, ",\"origin\":\"%s\"}", bgw_config_origin_text(s->origin));
}

static struct shown shown_row(const struct bgw_config *c, int i)
{
    const struct bgw_config_row *row = &bgw_config_rows[i];
    const void *slot = bgw_config_slot(c, row);
    struct shown s = {
        .key = row->env,
        .is_bool = row->kind == BGW_CONFIG_KIND_BOOL,
        .secret = row->flags & BGW_CONFIG_SECRET,
        .origin = c->priv->origins[i],
    };
    if (row->kind == BGW_CONFIG_KIND_STR)
        s.text = *(const char *const *)slot;
    else
        s.number = s.is_bool ? *(const bool *)slot : *(const int64_t *)slot;
    return s;
}

static void show(const struct shown *s, bool json, bool first, struct bgw_buf *out)
{
    if (!json) {
        show_line(s, out);
        return;
    }
    if (!first)
        bgw_buf_append_byte(out, ',');
    show_json(s, out);
}

void bgw_config_show(const struct bgw_config *c, bool json, struct bgw_buf *out)
{
    char key[128];
    if (json)
        bgw_buf_append_byte(out, '{');
    for (int i = 0; i < BGW_CONFIG_ROW_COUNT; i++) {
        struct shown s = shown_row(c, i);
        show(&s, json, i == 0, out);
    }
    for (size_t i = 0; i < c->kafka_prop_count; i++) {
        kafka_env_name(c->kafka_props[i].name, key, sizeof(key));
        struct shown s = {
            .key = key,
            .text = c->kafka_props[i].value,
            .secret = bgw_config_kafka_secret(c->kafka_props[i].name),
            .origin = c->priv->kafka_origins[i],
        };
        show(&s, json, false, out);
    }
    if (json)
        bgw_buf_append_str(out, "}\n");
}

static void help_row(const struct bgw_config_row *row, struct bgw_buf *out)
{
    static const char *const values[] = {" VALUE", " N", ""};
    bgw_buf_appendf(out, "  --%s%s\n      %s\n      ", row->flag, values[row->kind], row->help);
    if (row->kind == BGW_CONFIG_KIND_INT)
        bgw_buf_appendf(out, "%lld to %lld, default %lld; ", (long long)row->min,
                        (long long)row->max, (long long)row->def);
    else if (row->kind == BGW_CONFIG_KIND_STR && *row->def_str)
        bgw_buf_appendf(out, "default %s; ", row->def_str);
    bgw_buf_append_str(out, row->env);
    if (row->flags & BGW_CONFIG_SECRET)
        bgw_buf_appendf(out, ", or a file named by %s_FILE or --%s-file", row->env, row->flag);
    bgw_buf_append_byte(out, '\n');
}

void bgw_config_help(struct bgw_buf *out)
{
    bgw_buf_append_str(out,
                       "  --config FILE\n      KEY=VALUE lines with the names below in capitals, "
                       "# begins a comment\n      BGW_CONFIG\n");
    for (int i = 0; i < BGW_CONFIG_ROW_COUNT; i++)
        help_row(&bgw_config_rows[i], out);
    bgw_buf_append_str(
        out, "\nA flag wins over the environment, the environment over the file, the file over the "
             "default.\nKAFKA_<PROPERTY> sets any other property of librdkafka, dots as "
             "underscores:\nKAFKA_SECURITY_PROTOCOL=SASL_SSL, "
             "KAFKA_SASL_PASSWORD_FILE=/run/secrets/kafka.\n");
}
