/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flags: mechanisms that an operator may switch off while the gateway runs, at /flags of the admin
 * port. One word that any thread reads without a lock; a change is seen by the next thing that looks.
 */
#ifndef BGW_FLAGS_H
#define BGW_FLAGS_H

#include "bgw/buf.h"
#include "bgw/status.h"

#include <stdatomic.h>

enum bgw_flag {
#define BGW_FLAG_ROW(ID, name, help) BGW_FLAG_##ID,
#include "../../server/config/flags.def"
#undef BGW_FLAG_ROW
    BGW_FLAG_COUNT
};

struct bgw_flags { /* any thread */
    atomic_uint bits;
};

static inline bool bgw_flag(const struct bgw_flags *f, enum bgw_flag flag)
{
    /* relaxed: a flag guards nothing but itself */
    return !f || (atomic_load_explicit(&f->bits, memory_order_relaxed) >> flag & 1u);
}
void bgw_flag_set(struct bgw_flags *f, enum bgw_flag flag, bool on);
const char *bgw_flag_name(enum bgw_flag flag);
/* "" or "all", "none", or a list of those that are on. BGW_BAD_VALUE: `error` names the unknown one and the nearest known. */
BGW_MUST_CHECK enum bgw_status bgw_flags_parse(struct bgw_flags *f, const char *text, struct bgw_buf *error);
bool bgw_flag_named(struct bgw_slice name, enum bgw_flag *out);

#endif
