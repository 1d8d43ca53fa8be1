/* SPDX-License-Identifier: Apache-2.0 */
/*
 * l2_private: what l2.c (reading, locks, removal) and l2_fence.c (scripts) share; nobody else includes
 * it. Reader's thread. A lock's token is this gateway's own random number and the question's id, so nothing
 * has to be kept to give it back.
 */
#ifndef BGW_READ_L2_PRIVATE_H
#define BGW_READ_L2_PRIVATE_H

#include "l2.h"

#include "l2_forgotten.h"
#include "l2_names.h"

#define BGW_L2_TOKEN_MAX 64
#define BGW_L2_SHA_LEN 40

enum bgw_l2_script { BGW_L2_WRITE, BGW_L2_UNLOCK, BGW_L2_SCRIPTS };

struct bgw_l2 {
    struct bgw_l2_config config;
    struct bgw_loop *loop;
    struct bgw_redis_link *link;
    bool up;
    uint64_t random, self[2];
    int64_t memory, doubt_until_ms; /* of bodies; INT64_MAX: from the next time it is up */
    struct bgw_timer memory_due;
    struct bgw_l2_forgotten forgotten;
    char sha[BGW_L2_SCRIPTS][BGW_L2_SHA_LEN + 1]; /* "": the server may not know the script */
};

void bgw_l2_token(const struct bgw_l2 *l, uint64_t id, char out[BGW_L2_TOKEN_MAX]);
void bgw_l2_load_scripts(struct bgw_l2 *l);

#endif
