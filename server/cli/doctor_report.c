/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_report: hides how findings are kept and shown. Called by the checks and by cmd_doctor on
 * the main thread. Invariant: what is not fine has a sentence that says what to do about it.
 */
#include "doctor.h"

#include "bgw/assert.h"
#include "bgw/json.h"

#include <stdarg.h>
#include <string.h>

static const char *const words[] = {[DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_FAIL] = "fail"};

void doctor_say(struct doctor *d, enum doctor_result result, const char *check, const char *fix, const char *fmt, ...)
{
    va_list args;
    BGW_ASSERT(result == DOCTOR_OK || *fix);
    if (d->count == DOCTOR_FINDINGS_MAX)
        return;
    struct doctor_finding *f = &d->findings[d->count++];
    f->result = result;
    f->check = check;
    snprintf(f->fix, sizeof(f->fix), "%s", fix);
    va_start(args, fmt);
    vsnprintf(f->what, sizeof(f->what), fmt, args);
    va_end(args);
    for (char *p = f->what; *p; p++) /* one line each; a library's words may have several */
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
}

size_t doctor_count(const struct doctor *d, enum doctor_result result)
{
    size_t n = 0;
    for (size_t i = 0; i < d->count; i++)
        n += d->findings[i].result == result;
    return n;
}

void doctor_print(const struct doctor *d, FILE *to)
{
    for (size_t i = 0; i < d->count; i++) {
        const struct doctor_finding *f = &d->findings[i];
        fprintf(to, "%-5s %-13s %s\n", words[f->result], f->check, f->what);
        if (*f->fix)
            fprintf(to, "%-19s fix: %s\n", "", f->fix);
    }
    fprintf(to, "%zu ok, %zu warn, %zu fail\n", doctor_count(d, DOCTOR_OK), doctor_count(d, DOCTOR_WARN),
            doctor_count(d, DOCTOR_FAIL));
}

static void append_member(struct bgw_buf *out, const char *name, const char *value)
{
    bgw_buf_appendf(out, "\"%s\":", name);
    if (bgw_utf8_valid(bgw_slice_str(value)))
        bgw_buf_append_json(out, bgw_slice_str(value));
    else
        bgw_buf_append_str(out, "\"(not text)\"");
}

void doctor_print_json(const struct doctor *d, FILE *to)
{
    struct bgw_buf out;
    bgw_buf_init(&out, 1 << 20);
    bgw_buf_append_str(&out, "{\"checks\":[");
    for (size_t i = 0; i < d->count; i++) {
        const struct doctor_finding *f = &d->findings[i];
        bgw_buf_append_str(&out, i ? ",{" : "{");
        append_member(&out, "check", f->check);
        bgw_buf_append_byte(&out, ',');
        append_member(&out, "result", words[f->result]);
        bgw_buf_append_byte(&out, ',');
        append_member(&out, "finding", f->what);
        if (*f->fix) {
            bgw_buf_append_byte(&out, ',');
            append_member(&out, "fix", f->fix);
        }
        bgw_buf_append_byte(&out, '}');
    }
    bgw_buf_appendf(&out, "],\"ok\":%zu,\"warn\":%zu,\"fail\":%zu}\n", doctor_count(d, DOCTOR_OK),
                    doctor_count(d, DOCTOR_WARN), doctor_count(d, DOCTOR_FAIL));
    fwrite(out.data, 1, out.len, to);
    bgw_buf_deinit(&out);
}
