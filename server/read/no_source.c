/* SPDX-License-Identifier: Apache-2.0 */
/*
 * no_source: the reader of a gateway that has nothing but the stream. It answers at once that there
 * is nobody to ask, which neither denies an account nor touches a value. Hub thread only.
 */
#include "reader.h"

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
