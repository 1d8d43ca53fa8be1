/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flags: the names of the mechanisms that may be switched off, and their one word of bits. Hides how
 * a list is read. Called by the composition root at start and by the admin port later; any thread.
 */
#include "bgw/flags.h"

#include "bgw/assert.h"

static const struct {
    const char *name;
} rows[] = {
#define BGW_FLAG_ROW(ID, name, help) {name},
#include "flags.def"
#undef BGW_FLAG_ROW
};

const char *bgw_flag_name(enum bgw_flag flag)
{
    BGW_ASSERT(flag < BGW_FLAG_COUNT);
    return rows[flag].name;
}

bool bgw_flag_named(struct bgw_slice name, enum bgw_flag *out)
{
    for (unsigned i = 0; i < BGW_FLAG_COUNT; i++) {
        if (!bgw_slice_eq(name, bgw_slice_str(rows[i].name)))
            continue;
        *out = (enum bgw_flag)i;
        return true;
    }
    return false;
}

void bgw_flag_set(struct bgw_flags *f, enum bgw_flag flag, bool on)
{
    BGW_ASSERT(flag < BGW_FLAG_COUNT);
    if (on)
        atomic_fetch_or_explicit(&f->bits, 1u << flag, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&f->bits, ~(1u << flag), memory_order_relaxed);
}

static void append_names(struct bgw_buf *error)
{
    for (unsigned i = 0; i < BGW_FLAG_COUNT; i++)
        bgw_buf_appendf(error, "%s%s", i ? ", " : "", rows[i].name);
}

enum bgw_status bgw_flags_parse(struct bgw_flags *f, const char *text, struct bgw_buf *error)
{
    unsigned bits = 0;
    if (!*text || strcmp(text, "all") == 0)
        bits = (1u << BGW_FLAG_COUNT) - 1;
    else if (strcmp(text, "none") != 0) {
        for (const char *at = text; *at;) {
            size_t len = strcspn(at, ",");
            enum bgw_flag flag;
            if (!bgw_flag_named(bgw_slice_of(at, len), &flag)) {
                bgw_buf_appendf(error, "BGW_FLAGS: no flag \"%.*s\"; there are: all, none, ", (int)len, at);
                append_names(error);
                return BGW_BAD_VALUE;
            }
            bits |= 1u << flag;
            at += len + (at[len] == ',');
        }
    }
    atomic_init(&f->bits, bits);
    return BGW_OK;
}
