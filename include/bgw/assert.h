/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assert: a programmer's error ends the process, in release builds too: a gateway that has lost
 * its invariants must not go on showing balances.
 */
#ifndef BGW_ASSERT_H
#define BGW_ASSERT_H

__attribute__((noreturn)) void bgw_assert_fail(const char *expr, const char *file, int line);

#define BGW_ASSERT(expr)                                                                           \
    (__builtin_expect(!!(expr), 1) ? (void)0 : bgw_assert_fail(#expr, __FILE__, __LINE__))

#endif
