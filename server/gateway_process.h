/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_process: what belongs to the process as a whole is shared with the projector. Private to the gateway; main thread. */
#ifndef BGW_GATEWAY_PROCESS_H
#define BGW_GATEWAY_PROCESS_H

#include "bgw/process.h"

#endif
