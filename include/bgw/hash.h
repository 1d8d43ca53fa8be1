/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash: SipHash-1-3 under a per-process secret for every table that strangers can fill, and
 * FNV-1a 64 where the outside fixes the function (the view digest of the native dialect).
 */
#ifndef BGW_HASH_H
#define BGW_HASH_H

#include "bgw/slice.h"

#include <stdint.h>

#define BGW_FNV64_INIT 0xcbf29ce484222325ULL

/* Draws the process secret from the kernel. Called once, before threads; idempotent. */
void bgw_hash_init(void);
/* Fixes the secret: the simulator, so that a seed reproduces. */
void bgw_hash_init_fixed(uint64_t k0, uint64_t k1);
uint64_t bgw_hash_keyed(struct bgw_slice bytes);                 /* any thread */
uint64_t bgw_hash_fnv64(uint64_t state, struct bgw_slice bytes); /* any thread; chainable */

#endif
