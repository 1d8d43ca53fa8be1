/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known_keys: the negative filter. Says "certainly unknown" or "perhaps known", never the former of
 * a key that was put in. Two generations: one in force, one being built from a whole list; a key that
 * turns up meanwhile goes into both. Off until the first list is complete. Pure; one thread builds,
 * one asks (the reader's does both).
 */
#ifndef BGW_READ_KNOWN_KEYS_H
#define BGW_READ_KNOWN_KEYS_H

#include "bgw/types.h"

struct bgw_known_keys;

/* `keys_max` of one generation at less than 1 % false positives; more keys make it leak more, never deny. */
struct bgw_known_keys *bgw_known_keys_create(size_t keys_max);
void bgw_known_keys_destroy(struct bgw_known_keys **k);
/* tenant and key; parts are not distinguished. No tenant: whoever's it is. */
void bgw_known_keys_add(struct bgw_known_keys *k, struct bgw_slice tenant, struct bgw_slice key);
bool bgw_known_keys_certainly_unknown(const struct bgw_known_keys *k, struct bgw_slice tenant, struct bgw_slice key);
uint64_t bgw_known_keys_hash(struct bgw_slice tenant, struct bgw_slice key); /* 0: too long to be anybody's */
void bgw_known_keys_begin(struct bgw_known_keys *k);    /* a new list starts; the one before goes on being used */
void bgw_known_keys_listed(struct bgw_known_keys *k, struct bgw_slice tenant, struct bgw_slice key); /* one of the list */
void bgw_known_keys_complete(struct bgw_known_keys *k); /* the new one is in force */
void bgw_known_keys_abandon(struct bgw_known_keys *k);  /* the list broke off: everything stays as it was */
bool bgw_known_keys_in_force(const struct bgw_known_keys *k);
size_t bgw_known_keys_count(const struct bgw_known_keys *k);

#endif
