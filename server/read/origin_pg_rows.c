/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin_pg_rows: what a row of the balance query means. Hides column names and text forms. Invariant:
 * an amount is an integer that the row says in full; NULL where an amount should be is no zero. NULL as
 * pending amount is 0, as where a record has none; NULL as version or time is none.
 */
#include "origin_pg.h"

#include "bgw/json.h"

#define SECONDS_A_DAY 86400

static enum bgw_status integer(const char *text, int64_t *out)
{
    const struct bgw_json token = {.type = BGW_JSON_NUMBER, .raw = bgw_slice_str(text)};
    return bgw_json_i64(&token, out);
}

/* ---- times ---- */

/* Exactly `digits` of them, then `after` (0: whatever). */
static bool number(const char **at, int digits, char after, int64_t *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *out = *out * 10 + (**at - '0');
    }
    if (after && **at != after)
        return false;
    *at += after != 0;
    return true;
}

/* Days since 1970-01-01 of the Gregorian calendar. */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    int64_t years = y - 1; /* whole ones since year 1; 1970 begins 719162 days after it */
    return years * 365 + years / 4 - years / 100 + years / 400 + before[m - 1] + (leap && m > 2) + d - 1 - 719162;
}

/* "+00", "-05:30", "+01:02:03"; seconds to be taken off */
static bool offset(const char *at, int64_t *out)
{
    int64_t h, m = 0, s = 0, sign = *at == '-' ? -1 : 1;
    if (*at != '+' && *at != '-')
        return false;
    at++;
    if (!number(&at, 2, 0, &h) || (*at == ':' && (at++, !number(&at, 2, 0, &m))) ||
        (*at == ':' && (at++, !number(&at, 2, 0, &s))) || *at)
        return false;
    *out = sign * (h * 3600 + m * 60 + s);
    return true;
}

bool pg_time_ms(const char *text, int64_t *out)
{
    int64_t y, mo, d, h, mi, s, away, ms = 0, unit = 100;
    if (integer(text, out) == BGW_OK)
        return true;
    if (!number(&text, 4, '-', &y) || !number(&text, 2, '-', &mo) || !number(&text, 2, ' ', &d) || !number(&text, 2, ':', &h) ||
        !number(&text, 2, ':', &mi) || !number(&text, 2, 0, &s))
        return false;
    if (y < 1 || mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || s > 60)
        return false;
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9'; text++, unit /= 10)
            ms += (*text - '0') * unit;
    if (!offset(text, &away))
        return false;
    *out = ((days_of(y, mo, d) * SECONDS_A_DAY + h * 3600 + mi * 60 + s) - away) * 1000 + ms;
    return true;
}

/* ---- rows ---- */

/* NULL: the value is NULL. */
static const char *text_of(const PGresult *r, int column)
{
    return PQgetisnull(r, 0, column) ? NULL : PQgetvalue(r, 0, column);
}

static const char *read_row(const PGresult *r, const int columns[4], struct bgw_amounts *out)
{
    const char *minor = text_of(r, columns[0]), *pending = text_of(r, columns[1]), *version = text_of(r, columns[2]),
               *updated = text_of(r, columns[3]);
    int64_t v = 0;
    *out = (struct bgw_amounts){.ts_ms = -1};
    if (!minor)
        return "ledger_minor is NULL";
    if (integer(minor, &out->minor) != BGW_OK)
        return "ledger_minor is no 64-bit integer";
    if (pending && integer(pending, &out->pending_minor) != BGW_OK)
        return "pending_minor is no 64-bit integer";
    if (version && (integer(version, &v) != BGW_OK || v < 0))
        return "version is no integer of at most 63 bits";
    if (updated && !pg_time_ms(updated, &out->ts_ms))
        return "updated_at is neither milliseconds nor a time with its zone";
    out->has_v = version != NULL;
    out->v = (uint64_t)v;
    return NULL;
}

enum pg_row pg_row_read(const PGresult *r, struct bgw_amounts *out, const char **why)
{
    static const char *const names[] = {"ledger_minor", "pending_minor", "version", "updated_at"};
    int columns[4];
    *why = "its columns are not ledger_minor, pending_minor, version and updated_at";
    if (PQnfields(r) != 4)
        return PG_ROW_UNUSABLE;
    for (int i = 0; i < 4; i++) {
        columns[i] = PQfnumber(r, names[i]);
        if (columns[i] < 0 || PQfformat(r, columns[i]) != 0)
            return PG_ROW_UNUSABLE;
    }
    if (PQntuples(r) == 0)
        return PG_ROW_NONE;
    *why = "it has more than one row";
    if (PQntuples(r) > 1)
        return PG_ROW_UNUSABLE;
    *why = read_row(r, columns, out);
    return *why ? PG_ROW_UNUSABLE : PG_ROW_FOUND;
}
