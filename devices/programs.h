/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * programs.h: the program objects that the build embeds, bpf/<name>.bpf.o as prog_<name>_start to prog_<name>_end (Makefile,
 * embed.S). PROGRAMS(X) is X(name) for each of them.
 *
 * PROGRAM_ROW(name) is one's row in a table of struct program_image.
 */
#ifndef HOTREG_DEVICES_PROGRAMS_H
#define HOTREG_DEVICES_PROGRAMS_H

#include <stdint.h>

#define PROGRAMS(X) X(ata) X(hpet) X(i16550) X(i8042) X(i8254) X(i8259) X(ioapic) X(mc146818) X(pci) X(pmtimer) X(vga)

#define PROGRAM_DECLARE(name) extern const uint8_t prog_##name##_start[], prog_##name##_end[];
PROGRAMS(PROGRAM_DECLARE)
#undef PROGRAM_DECLARE

struct program_image {
	const char *name;
	const uint8_t *start, *end; /* an ELF object */
};
#define PROGRAM_ROW(name) {#name, prog_##name##_start, prog_##name##_end},

#endif
