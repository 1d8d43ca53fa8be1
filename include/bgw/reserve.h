/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reserve: address space kept back for promises that were made already, as a descriptor is kept back for
 * refusals. Where an allocation may not fail, its caller spends the reserve and tries once more; from
 * then on nothing new is promised until there is memory enough to keep a reserve again.
 */
#ifndef BGW_RESERVE_H
#define BGW_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

void bgw_reserve_init(size_t bytes); /* main thread, once, before the others; without this there is none */
bool bgw_reserve_spend(void);        /* any thread. True: memory was given back to the system, by us or by another: try again, once */
bool bgw_reserve_low(void);          /* any thread: promise nothing new */
/* Hub thread, about once a second. `load`: whatever grows and shrinks with what was promised: memory that is given back stays in the
 * pools, where only new promises can use it, so when load has fallen by a quarter a quarter of the reserve will do. */
void bgw_reserve_refill(size_t load);

#endif
