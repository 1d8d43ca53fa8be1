/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_load: one load in the making, between config.c (the order of the layers), config_layers.c
 * (how each layer is read) and config_set.c (what a key and its value do). Main thread, at the
 * start.
 */
#ifndef BGW_CONFIG_LOAD_H
#define BGW_CONFIG_LOAD_H

#include "config_rows.h"

#define BGW_CONFIG_NAME_MAX 128 /* bytes of a name, with its NUL */

/* main thread; one load's */
struct bgw_config_loader {
    struct bgw_config *c;
    struct bgw_buf *error;
    enum bgw_config_origin origin;              /* of the layer that is being read */
    const char *given_as[BGW_CONFIG_ROW_COUNT]; /* in this layer, by this name */
};

/* ---- config_set.c ---- */
/* A copy that lives as long as the configuration; NULL (and an error) without memory. */
const char *bgw_config_keep(struct bgw_config_loader *l, struct bgw_slice text);
/* Reads a whole text file into `out`. `who` is the key that named it. */
BGW_MUST_CHECK enum bgw_status bgw_config_read_file(struct bgw_config_loader *l, const char *who,
                                                    const char *path, struct bgw_buf *out);
/* Gives row i a value; `name` is how the layer wrote the key. */
BGW_MUST_CHECK enum bgw_status bgw_config_set(struct bgw_config_loader *l, int i, const char *name,
                                              const char *value);
BGW_MUST_CHECK enum bgw_status bgw_config_set_secret(struct bgw_config_loader *l, int i,
                                                     const char *name, const char *path);
/* The row whose secret a name with this suffix reads from a file, or -1. */
int bgw_config_secret_row(const char *name, const char *suffix, int (*find)(const char *));
/* If `name` ends in `suffix`, copies what stands before it to out[BGW_CONFIG_NAME_MAX]. */
bool bgw_config_cut_suffix(const char *name, const char *suffix, char *out);
/* A key by its environment name, from the environment or the file. */
BGW_MUST_CHECK enum bgw_status bgw_config_take_key(struct bgw_config_loader *l, const char *name,
                                                   const char *value);

/* ---- config_layers.c ---- */
/* --config, else BGW_CONFIG, else NULL. */
const char *bgw_config_path(struct bgw_config_loader *l, int argc, char **argv, char *const *env);
BGW_MUST_CHECK enum bgw_status bgw_config_load_file(struct bgw_config_loader *l, const char *path);
BGW_MUST_CHECK enum bgw_status bgw_config_load_env(struct bgw_config_loader *l, char *const *env);
BGW_MUST_CHECK enum bgw_status bgw_config_load_flags(struct bgw_config_loader *l, int argc,
                                                     char **argv);

#endif
