// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * vga.bpf.c: the VGA's registers: every read (input status 1 with the beam's place and the flip-flop, the
 * palette with its auto-increment), every index, and data writes that only store. What changes a
 * frame's timing, where the ports lie or what the memory window shows is the model's. All stateful.
 */
#include "bpf/vga.h"

HR_LICENSE;

struct vga_page vga_state HR_STATE = {.head = {.version = VGA_STATE_VERSION, .size = sizeof(struct vga_page)}};

#define WHY_MODEL 1 /* a data write with an effect */

/* Range "vga", 0x3c0-0x3cf. */
HR_PROG int vga(struct hr_io *io)
{
	struct vga_state *s = &vga_state.s;

	if (io->size != 1 || io->offset >= VGA_PORTS)
		return HR_PUNT;
	if (io->is_write)
		return vga_write(s, io->offset, (uint8_t)io->value) ? HR_ANSWER : HR_PUNT_WHY(WHY_MODEL);
	io->result = io->offset == VGA_MISC_WRITE ? vga_status0(s, bpf_ktime_get_ns()) : vga_read(s, io->offset);
	return HR_ANSWER;
}

/* Range "vga.crtc", 0x3d4-0x3d5 or 0x3b4-0x3b5. */
HR_PROG int vga_crtc(struct hr_io *io)
{
	struct vga_state *s = &vga_state.s;

	if (io->size != 1)
		return HR_PUNT;
	if (io->is_write)
		return vga_crtc_write(s, io->offset, (uint8_t)io->value) ? HR_ANSWER : HR_PUNT_WHY(WHY_MODEL);
	io->result = vga_crtc_read(s, io->offset);
	return HR_ANSWER;
}

/* Range "vga.status", 0x3da or 0x3ba. */
HR_PROG int vga_status(struct hr_io *io)
{
	struct vga_state *s = &vga_state.s;

	if (io->size != 1)
		return HR_PUNT;
	if (io->is_write) {
		vga_feature_write(s, (uint8_t)io->value);
		return HR_ANSWER;
	}
	io->result = vga_status_read(s, bpf_ktime_get_ns());
	return HR_ANSWER;
}
