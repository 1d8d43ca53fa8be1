/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-app: messages of the estate's app into a real shard. A line is a message; one that begins
 * with ! is what happens meanwhile (estate.h).
 *
 * Properties: each frame is one object of strict JSON; a message is confirmed or refused at once, or
 * was an unsubscribe; what does not look like the app's is refused; the tenth message that was
 * refused, and no other, ends the connection.
 */
#include "estate.h"

#define STRIKES 10

static int strikes, answers;
static bool refused; /* something of the message at hand was */
static uint16_t closed;

static void on_message(struct bgw_slice payload)
{
    struct bgw_json root;
    FUZZ_CHECK(!closed && bgw_json_parse(payload, &root) == BGW_OK && root.type == BGW_JSON_OBJECT);
    FUZZ_CHECK(!memchr(payload.data, BGW_RECORD_END, payload.len));
    struct bgw_json type = member(&root, "type", BGW_JSON_STRING);
    struct bgw_json target = member(&root, "target", BGW_JSON_STRING);
    FUZZ_CHECK(bgw_json_is(&type, "message"));
    (void)check_event(&root);
    refused |= bgw_json_is(&target, "error");
    answers += bgw_json_is(&target, "error") || bgw_json_is(&target, "subscriptionConfirmed");
}

static void on_bytes(struct bgw_slice bytes)
{
    struct bgw_slice payload;
    while (bytes.len) {
        FUZZ_CHECK(!closed);
        int opcode = take_frame(&bytes, &payload, &closed);
        FUZZ_CHECK(opcode == 1 || opcode == 8 || opcode == 9);
        if (opcode == 1)
            on_message(payload);
    }
}

static void on_hang_up(void *arg, void *conn, uint16_t code)
{
    (void)arg, (void)conn;
    FUZZ_CHECK(!hung && closed == code);
    hung = code;
}

/* May be without an answer: what reads as an unsubscribe, or names no account. */
static bool may_be_silent(struct bgw_slice message)
{
    struct bgw_json root, method, args, ids, first;
    const char *cursor = NULL, *inner = NULL;
    if (bgw_json_parse(message, &root) != BGW_OK || !bgw_json_member(&root, "method", &method) || method.type != BGW_JSON_STRING)
        return false;
    bool unsubscribe = method.escaped || (method.raw.len && (method.raw.data[0] | 32) == 'u');
    bool empty = bgw_json_member(&root, "args", &args) && args.type == BGW_JSON_ARRAY && bgw_json_next(&args, &cursor, NULL, &ids) &&
                 ids.type == BGW_JSON_ARRAY && !bgw_json_next(&ids, &inner, NULL, &first);
    return unsubscribe || empty;
}

static void say(struct bgw_slice line)
{
    if (closed)
        return;
    char *message = fuzz_copy(line);
    if (verbose)
        fprintf(stderr, ">%.*s\n", (int)line.len, line.data);
    bool ours = bgw_app_is(bgw_slice_of(message, line.len));
    bgw_shard_set_now(shard, now);
    refused = false;
    answers = 0;
    bgw_session_on_traffic(shard, session, now);
    bgw_app_message(&estate, session, bgw_slice_of(message, line.len), now);
    bgw_shard_flush(shard, now);
    FUZZ_CHECK(ours || refused);
    FUZZ_CHECK(answers > 0 || may_be_silent(bgw_slice_of(message, line.len)));
    strikes += refused;
    FUZZ_CHECK((strikes == STRIKES) == (closed == 3501));
    free(message);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    estate_initialize();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    strikes = 0;
    closed = 0;
    world_open(NULL, &bgw_dialect_app, on_hang_up);
    for (int lines = 0; in.left && lines < 200; lines++) {
        struct bgw_slice line = fuzz_until(&in, '\n');
        if (line.len > 1 && line.data[0] == '!')
            happen(bgw_slice_of(line.data + 1, line.len - 1));
        else if (line.len)
            say(line);
        turn();
    }
    silent_broker = false;
    pass(1000);
    FUZZ_CHECK(closed == hung);
    world_close();
    return 0;
}
