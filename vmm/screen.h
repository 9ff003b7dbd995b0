/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * screen.h: what stands in VGA text memory (80 by 25 at 0xb8000), for the exit.
 */
#ifndef VMM_SCREEN_H
#define VMM_SCREEN_H

#include <stdio.h>

#include "vmm/mem.h"

/* Prints the text as UTF-8 up to its last line; nothing when there is none. After the vCPUs. */
void screen_print(const struct guest_mem *mem, FILE *out);

#endif
