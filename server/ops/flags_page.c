/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flags_page: /flags of the admin port. Hides how a change is written: an object with the names of the
 * contract and true or false. Called by admin_pages.c on the ops thread. Invariant: a change that cannot
 * be read in full changes nothing, and every change is a line of the log.
 */
#include "flags_page.h"

#include "admin_pages.h"

#include "bgw/json.h"
#include "bgw/log.h"

#include <stdio.h>

#define NAME_MAX 32
#define DETAIL_MAX 512

int flags_page(const struct bgw_flags *flags, struct bgw_buf *out)
{
    bgw_buf_append_str(out, "{\"flags\":{");
    for (unsigned i = 0; i < BGW_FLAG_COUNT; i++)
        bgw_buf_appendf(out, "%s\"%s\":%s", i ? "," : "", bgw_flag_name(i), bgw_flag(flags, i) ? "true" : "false");
    bgw_buf_append_str(out, "}}");
    return 200;
}

static int refuse(struct bgw_buf *out, const char *code, const char *words, bool with_names)
{
    char detail[DETAIL_MAX];
    int len = snprintf(detail, sizeof(detail), "%s", words);
    for (unsigned i = 0; with_names && i < BGW_FLAG_COUNT && len < (int)sizeof(detail); i++)
        len += snprintf(detail + len, sizeof(detail) - (size_t)len, "%s%s", i ? ", " : " ", bgw_flag_name(i));
    return bgw_admin_problem(out, 400, code, bgw_slice_str(detail));
}

/* What is to be on, and what off; each name stands once, for the text was looked through. 200, or what was refused. */
static int read_change(const struct bgw_json *root, unsigned *on, unsigned *off, struct bgw_buf *out)
{
    struct bgw_json name, value;
    for (const char *cursor = NULL; bgw_json_next(root, &cursor, &name, &value);) {
        char text[NAME_MAX];
        size_t len;
        enum bgw_flag flag;
        if (bgw_json_string(&name, text, sizeof(text), &len) != BGW_OK || !bgw_flag_named(bgw_slice_of(text, len), &flag))
            return refuse(out, "unknown_flag", "nothing was changed: there is a name that is no flag; these are:", true);
        if (value.type != BGW_JSON_TRUE && value.type != BGW_JSON_FALSE)
            return refuse(out, "bad_value", "nothing was changed: a flag is true or false", false);
        *(value.type == BGW_JSON_TRUE ? on : off) |= 1u << flag;
    }
    return 200;
}

int flags_page_change(struct bgw_flags *flags, struct bgw_slice text, struct bgw_buf *out)
{
    struct bgw_json root;
    unsigned on = 0, off = 0;
    if (bgw_json_parse(text, &root) != BGW_OK || root.type != BGW_JSON_OBJECT)
        return refuse(out, "bad_json", "nothing was changed: the body is one JSON object such as {\"hedge\":false}", false);
    int status = read_change(&root, &on, &off, out);
    if (status != 200)
        return status;
    for (unsigned i = 0; i < BGW_FLAG_COUNT; i++) {
        bool wanted = on >> i & 1u;
        if (!((on | off) >> i & 1u) || bgw_flag(flags, i) == wanted)
            continue;
        bgw_flag_set(flags, i, wanted);
        BGW_LOG(BGW_LOG_WARN, "flag_changed", {"flag", LS(bgw_flag_name(i))}, {"on", LB(wanted)});
    }
    return flags_page(flags, out);
}
