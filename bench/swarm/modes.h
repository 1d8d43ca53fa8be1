/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modes: what bgw-swarm does besides its sockets, by its first argument. Each has its own
 * options and its own loop, ends by itself, and says one JSON object on stdout.
 */
#ifndef SWARM_MODES_H
#define SWARM_MODES_H

int reads_main(int argc, char **argv);  /* `reads`: a read load over REST */
int cold_main(int argc, char **argv);   /* `cold`: many sockets subscribe to one account at one moment */
int origin_main(int argc, char **argv); /* `origin`: a stub of the ledger's internal address, until it is ended */

#endif
