/* SPDX-License-Identifier: Apache-2.0 */
/*
 * speech: the dialects by name. Those of other servers are peer_*.c; a build without one of them
 * knows its name no more than any other's.
 */
#include "speech.h"

#include <string.h>

#pragma weak speech_nats
#pragma weak speech_mqtt
#pragma weak speech_socketio
#pragma weak speech_nchan
#pragma weak speech_ws

const struct speech *speech_named(const char *name)
{
    const struct speech *const all[] = {&speech_native, &speech_signalr, &speech_app, &speech_sse, &speech_raw,
                                        &speech_nats, &speech_mqtt, &speech_socketio, &speech_nchan, &speech_ws};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (all[i] && strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}
