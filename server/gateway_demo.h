/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_demo: what a visitor of the demo is handed. Private to the gateway; main thread. */
#ifndef BGW_GATEWAY_DEMO_H
#define BGW_GATEWAY_DEMO_H

#include "bgw/config.h"
#include "bgw/feed.h"

struct bgw_demo_welcome { /* any thread: immutable after make; both are empty, or end in a NUL */
    struct bgw_buf token; /* 12 hours, every account of the default tenant */
    struct bgw_buf page;  /* {"token":…,"accounts":[…]}: what the page asks for */
};

void bgw_demo_welcome_init(struct bgw_demo_welcome *w);
BGW_MUST_CHECK enum bgw_status bgw_demo_welcome_make(struct bgw_demo_welcome *w, const struct bgw_config *config,
                                                     const struct bgw_feed *feed, struct bgw_slice secret);
void bgw_demo_welcome_deinit(struct bgw_demo_welcome *w);

#endif
