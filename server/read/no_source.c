/* SPDX-License-Identifier: Apache-2.0 */
/*
 * no_source: the reader of a gateway that has nothing but the stream. It answers at once that there
 * is nobody to ask, which neither denies an account nor touches a value. Hub thread only.
 */
#include "bgw/assert.h"
#include "bgw/read.h"

#include <stdlib.h>

struct bgw_reader { /* hub thread only */
    struct bgw_reader_config config;
};

enum bgw_status bgw_reader_create(struct bgw_reader **out, const struct bgw_reader_config *config)
{
    BGW_ASSERT(config->answer);
    struct bgw_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return BGW_NO_MEMORY;
    r->config = *config;
    *out = r;
    return BGW_OK;
}

bool bgw_reader_fetch(struct bgw_reader *r, const struct bgw_fetch *f)
{
    struct bgw_fetched answer = {.id = f->id, .result = BGW_FETCH_NO_SOURCE};
    r->config.answer(r->config.arg, &answer);
    return true;
}

bool bgw_reader_has_source(const struct bgw_reader *r)
{
    (void)r;
    return false;
}

void bgw_reader_destroy(struct bgw_reader **r)
{
    free(*r);
    *r = NULL;
}
