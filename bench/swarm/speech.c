/* SPDX-License-Identifier: Apache-2.0 */
/*
 * speech: the dialects by name. Ours are native.c and estate.c, those of other servers peer_*.c. To
 * add one is a file with its table of functions and a line here.
 */
#include "speech.h"

#include <string.h>

const struct speech *speech_named(const char *name)
{
    const struct speech *const all[] = {&speech_native, &speech_signalr, &speech_app, &speech_sse, &speech_raw,
                                        &speech_nats, &speech_mqtt, &speech_socketio, &speech_nchan, &speech_ws};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}
