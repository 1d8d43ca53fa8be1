/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config: from flags, environment, file and defaults to one immutable struct. Hides the layers and
 * who owns the strings. Called once by the main thread before there are others. Invariant: a loaded
 * configuration has passed every rule; what was not understood has stopped the load, never been
 * skipped.
 */
#include "bgw/config.h"

#include "bgw/assert.h"
#include "config_load.h"

#include <stdlib.h>

static void set_defaults(struct bgw_config *c)
{
    for (int i = 0; i < BGW_CONFIG_ROW_COUNT; i++) {
        const struct bgw_config_row *row = &bgw_config_rows[i];
        void *slot = bgw_config_slot(c, row);
        if (row->kind == BGW_CONFIG_KIND_STR)
            *(const char **)slot = row->def_str;
        else if (row->kind == BGW_CONFIG_KIND_INT)
            *(int64_t *)slot = row->def;
        else
            *(bool *)slot = row->def != 0;
    }
}

static void begin_layer(struct bgw_config_loader *l, enum bgw_config_origin origin)
{
    l->origin = origin;
    memset(l->given_as, 0, sizeof(l->given_as));
}

static enum bgw_status load_layers(struct bgw_config_loader *l, int argc, char **argv,
                                   char *const *env)
{
    enum bgw_status status = BGW_OK;
    const char *path = bgw_config_path(l, argc, argv, env);
    begin_layer(l, BGW_ORIGIN_FILE);
    if (path)
        status = bgw_config_load_file(l, path);
    if (status != BGW_OK)
        return status;
    begin_layer(l, BGW_ORIGIN_ENV);
    status = bgw_config_load_env(l, env);
    if (status != BGW_OK)
        return status;
    begin_layer(l, BGW_ORIGIN_FLAG);
    return bgw_config_load_flags(l, argc, argv);
}

/* What follows from several keys together. */
static enum bgw_status settle(struct bgw_config_loader *l)
{
    struct bgw_config *c = l->c;
    if (c->stale_ms < c->fresh_ms) {
        bgw_buf_appendf(l->error,
                        "BGW_STALE_MS: %lld is below BGW_FRESH_MS, %lld; give at least as much.",
                        (long long)c->stale_ms, (long long)c->fresh_ms);
        return BGW_CONFIG;
    }
    if (c->demo && !*c->kafka_bootstrap) {
        c->kafka_bootstrap = "embedded";
        c->priv->origins[BGW_CONFIG_ROW_kafka_bootstrap] = BGW_ORIGIN_DEMO;
    }
    return BGW_OK;
}

enum bgw_status bgw_config_load(struct bgw_config *c, int argc, char **argv, char *const *env,
                                struct bgw_buf *error)
{
    memset(c, 0, sizeof(*c));
    c->priv = calloc(1, sizeof(*c->priv));
    if (!c->priv) {
        bgw_buf_append_str(error, bgw_status_text(BGW_NO_MEMORY));
        return BGW_NO_MEMORY;
    }
    struct bgw_config_loader l = {.c = c, .error = error};
    set_defaults(c);
    enum bgw_status status = load_layers(&l, argc, argv, env);
    if (status == BGW_OK)
        status = settle(&l);
    if (status != BGW_OK)
        bgw_config_deinit(c);
    return status;
}

void bgw_config_deinit(struct bgw_config *c)
{
    if (c->priv) {
        for (struct bgw_config_string *s = c->priv->strings, *next; s; s = next) {
            next = s->next;
            explicit_bzero(s->text, s->len); /* some are secrets */
            free(s);
        }
        free(c->priv);
    }
    memset(c, 0, sizeof(*c));
}

bool bgw_config_given(const struct bgw_config *c, const char *env_name)
{
    int i = bgw_config_row_by_env(env_name);
    BGW_ASSERT(i >= 0);
    return c->priv->origins[i] > BGW_ORIGIN_DEMO;
}
