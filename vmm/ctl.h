/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ctl.h: `hotreg ctl`, `hotreg stats` and `hotreg top`: what a person says to a VM that runs.
 */
#ifndef VMM_CTL_H
#define VMM_CTL_H

/* argv[0] is the command's name. Each returns the exit status: 0, 1 hotreg refused, 2 wrong usage or no connection. */
int ctl_command(int argc, char **argv);
int stats_command(int argc, char **argv);
int top_command(int argc, char **argv);

#define CTL_REFUSED 1
#define CTL_FAILED 2

#endif
