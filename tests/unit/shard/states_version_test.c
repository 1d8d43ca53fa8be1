/* SPDX-License-Identifier: Apache-2.0 */
/* States carry the version of the value that they speak of, as the connection knows it. */
#include "shard/shard_rig.h"

static struct bgw_dialect versioned;

static void versioned_state(struct bgw_buf *out, const struct bgw_state_news *news)
{
    rig_line(out, "state %s", bgw_slot_state_text(news->state));
    for (size_t i = 0; i < news->count; i++) {
        char version[BGW_VERSION_TEXT_MAX] = "none";
        if (news->entries[i].version.epoch)
            bgw_version_format(news->entries[i].version, version);
        bgw_buf_append_byte(out, ' ');
        bgw_buf_append(out, news->entries[i].key);
        rig_line(out, "@%s", version);
    }
    bgw_buf_append_byte(out, '\n');
}

static struct conn *connect_versioned(struct rig *r)
{
    versioned = rig_dialect;
    versioned.state = versioned_state;
    return rig_connect_as(r, &versioned);
}

static void end(struct rig *r, struct conn *c)
{
    rig_hang(r, c);
    CHECK_IDENTITY();
    rig_end(r);
}

TEST(state_names_the_version_that_was_sent_under_each_name)
{
    struct rig *r = rig_open();
    struct conn *c = connect_versioned(r);
    rig_sub(r, c, 1, "A,A/NGN,B");
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_known(r, "B", "NGN", 2, "20");
    rig_turn(r);
    rig_forget(c);
    struct bgw_relay_entry e[2] = {rig_entry(r, "A", "NGN", 5, "100"), rig_entry(r, "B", "NGN", 2, "20")};
    e[0].state = e[1].state = BGW_STATE_DELAYED;
    e[0].reason = e[1].reason = BGW_REASON_SOURCE_LAGGING;
    rig_batch(r, e, 2);
    rig_turn(r);
    SAID(c, "state delayed A@e1.5 A/NGN@e1.5 B@e1.2\n");
    end(r, c);
}

TEST(unknown_and_removed_have_none)
{
    struct rig *r = rig_open();
    struct conn *c = connect_versioned(r);
    rig_sub(r, c, 1, "A,B");
    rig_turn(r);
    rig_forget(c);
    rig_unknown(r, "A", "NGN", BGW_REASON_NO_SUCH_KEY);
    rig_known(r, "B", "NGN", 2, "20");
    rig_turn(r);
    SAID(c, "upd B.NGN=20@e1.2+snap\nstate unknown A@none\nlive 1\n");
    struct bgw_relay_entry gone = rig_entry(r, "B", "NGN", 3, NULL);
    gone.state = BGW_STATE_REMOVED;
    gone.records = 1;
    rig_batch(r, &gone, 1);
    rig_turn(r);
    SAID(c, "state removed B@none\n");
    end(r, c);
}

TEST(alias_is_named_as_the_connection_knows_it)
{
    struct rig *r = rig_open();
    struct conn *c = connect_versioned(r);
    char alias[16], expected[64];
    rig_sub_since(r, c, 1, "A", rig_version(r, 9));
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    rig_barrier(r, 1);
    rig_turn(r);
    const char *at = strchr(c->log, '@');
    CHECK(at && strncmp(at, "@e1.", 4) != 0);
    snprintf(alias, sizeof(alias), "%.*s", at ? (int)strcspn(at + 1, ".") : 0, at ? at + 1 : "");
    rig_forget(c);
    rig_restate(r, "A", "NGN", 5, "100", BGW_STATE_STALE, BGW_REASON_REREAD);
    rig_turn(r);
    snprintf(expected, sizeof(expected), "state stale A@%s.5\n", alias);
    SAID(c, expected);
    end(r, c);
}

TEST(value_that_is_held_back_is_not_named)
{
    struct rig *r = rig_open();
    struct conn *c = connect_versioned(r);
    rig_sub_since(r, c, 1, "A", rig_version(r, 9));
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    rig_forget(c);
    rig_pass(r, 250);
    SAID(c, "state delayed A@none\nlive 1\n");
    end(r, c);
}

TEST(key_that_was_current_is_named_by_what_was_presented)
{
    struct rig *r = rig_open();
    struct conn *c = connect_versioned(r);
    rig_sub_since(r, c, 1, "A", rig_version(r, 5));
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(c, "sub 1 ok= current=A denied=\nlive 1\n");
    rig_restate(r, "A", "NGN", 5, "100", BGW_STATE_DELAYED, BGW_REASON_SOURCE_LAGGING);
    rig_turn(r);
    SAID(c, "state delayed A@e1.5\n");
    end(r, c);
}
