/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_ready: how a gateway says that it is ready is shared with the projector. Private to the gateway; main thread. */
#ifndef BGW_GATEWAY_READY_H
#define BGW_GATEWAY_READY_H

#include "bgw/process.h"

#endif
