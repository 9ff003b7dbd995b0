/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progcmd.h: the command `hotreg prog verify|dump`, called by main with what follows "prog".
 */
#ifndef ACCEL_PROGCMD_H
#define ACCEL_PROGCMD_H

/* argv[0] is "prog". Returns the exit status: 0 accepted, 1 refused, 2 usage or unreadable file. */
int prog_command(int argc, char **argv);

#endif
