/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.h: puts the guest's first code into memory and vCPU 0 at its first instruction.
 *
 * A BIOS image (no --kernel), a multiboot-1 or PVH kernel with modules, a Linux bzImage with an initrd, or a flat
 * real-mode binary at 0x7c00; which, the file's content tells. Files are hostile: every field is checked before it is used.
 */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include <stdbool.h>

#include "accel/accel.h" /* struct accel_err */

struct vm;
struct options;

#define BOOT_FLAT_BASE 0x7c00u
#define BOOT_FLAT_END 0x9fc00u /* where a PC's extended BIOS data area begins */

/*
 * Loads what vm->opt names and sets vCPU 0's registers through its set_regs. After the vCPUs were
 * created and again on each reset, when no vCPU runs; the BIOS image is given to mem_set_rom().
 * 0, or -errno with one line in err that says what to do (exit status 2).
 */
int boot_load(struct vm *vm, struct accel_err *err);

/*
 * Whether the guest needs a CPU with paging, as far as its file tells (an ELF64 file is a long mode kernel; Linux).
 * Reads the first bytes of --kernel; false when there is none or it cannot be read.
 */
bool boot_needs_paging(const struct options *opt);

#endif
