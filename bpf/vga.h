/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * vga.h: the VGA's guest-visible registers, and where the beam is, for the model and the programs.
 *
 * Nothing ticks: the model keeps the shape of a frame in dots (struct vga_timing) and the guest time at
 * which one began; line and column now follow from the dots since. Writes that change that shape or what
 * the memory window shows are the model's; vga_write() and vga_crtc_write() do all others, and tell.
 */
#ifndef BPF_VGA_H
#define BPF_VGA_H

#include "bpf/hr.h"

#define VGA_STATE_VERSION 1

/* Ports from 0x3c0 on, as offsets in the range "vga". */
#define VGA_ATTR 0x0
#define VGA_ATTR_READ 0x1
#define VGA_MISC_WRITE 0x2 /* reads: input status 0 */
#define VGA_SEQ_INDEX 0x4
#define VGA_SEQ_DATA 0x5
#define VGA_DAC_MASK 0x6
#define VGA_DAC_READ 0x7 /* reads: the DAC's state */
#define VGA_DAC_WRITE 0x8
#define VGA_DAC_DATA 0x9
#define VGA_FEATURE_READ 0xa
#define VGA_MISC_READ 0xc
#define VGA_GFX_INDEX 0xe
#define VGA_GFX_DATA 0xf
#define VGA_PORTS 0x10

#define VGA_MISC_COLOR 0x01 /* CRTC and status at 0x3d4 and 0x3da, else at 0x3b4 and 0x3ba */
#define VGA_MISC_RAM 0x02
#define VGA_MISC_CLOCK_SHIFT 2
#define VGA_MISC_PAGE 0x20

#define VGA_STATUS0_SENSE 0x10
#define VGA_STATUS0_INTR 0x80
#define VGA_STATUS1_BLANK 0x01 /* no display period */
#define VGA_STATUS1_VRETRACE 0x08

#define VGA_SEQS 5
#define VGA_SEQ_RESET 0
#define VGA_SEQ_CLOCKING 1
#define VGA_SEQ_MAP_MASK 2
#define VGA_SEQ_MEMORY 4
#define VGA_RESET_RUN 0x03
#define VGA_CLOCKING_8DOTS 0x01
#define VGA_CLOCKING_HALF 0x08
#define VGA_MEMORY_NO_ODD_EVEN 0x04
#define VGA_MEMORY_CHAIN4 0x08

#define VGA_GFXS 9
#define VGA_GFX_SET_RESET 0
#define VGA_GFX_ENABLE_SET_RESET 1
#define VGA_GFX_COMPARE 2
#define VGA_GFX_FUNCTION 3
#define VGA_GFX_READ_MAP 4
#define VGA_GFX_MODE 5
#define VGA_GFX_MISC 6
#define VGA_GFX_DONT_CARE 7
#define VGA_GFX_BIT_MASK 8
#define VGA_MODE_WRITE 0x03
#define VGA_MODE_COMPARE 0x08
#define VGA_MODE_ODD_EVEN 0x10
#define VGA_GFXMISC_GRAPHICS 0x01
#define VGA_GFXMISC_CHAIN 0x02
#define VGA_GFXMISC_MAP_SHIFT 2

#define VGA_CRTCS 0x19
#define VGA_CR_HTOTAL 0x00
#define VGA_CR_HSHOW 0x01
#define VGA_CR_VTOTAL 0x06
#define VGA_CR_OVERFLOW 0x07
#define VGA_CR_MAX_SCAN 0x09
#define VGA_CR_START_HIGH 0x0c
#define VGA_CR_START_LOW 0x0d
#define VGA_CR_RETRACE_START 0x10
#define VGA_CR_RETRACE_END 0x11
#define VGA_CR_VSHOW 0x12
#define VGA_CR_OFFSET 0x13
#define VGA_CR_MODE 0x17
#define VGA_RETRACE_END_CLEAR 0x10 /* 0: clears the vertical interrupt */
#define VGA_RETRACE_END_PROTECT 0x80
#define VGA_CRMODE_DOUBLE 0x04
#define VGA_CRMODE_SYNC 0x80

#define VGA_ATTRS 0x15
#define VGA_ATTR_PALETTES 0x10
#define VGA_ATTR_INDEX 0x1f
#define VGA_ATTR_SOURCE 0x20 /* set: the display has the palette, and it cannot be written */

#define VGA_DAC_STATE_READ 0x03

/* One frame. The unit of lines is what the vertical counter counts, of dots the dot clock. 40 bytes, no holes. */
struct vga_timing {
	uint32_t dot_hz; /* 0: the sequencer is in reset, nothing moves */
	uint32_t scan_dots;
	uint32_t show_dots;
	uint32_t line_dots; /* scan_dots, or twice that */
	uint32_t frame_dots;
	uint32_t lines;
	uint32_t show_lines;
	uint32_t retrace_line;
	uint32_t retrace_lines; /* 0: none */
	uint32_t pad;
};

struct vga_state {
	int64_t offset_ns;
	uint64_t frame_ns;  /* guest time at which a frame began; since then the timing is the same */
	uint64_t intr_seen; /* intr_armed: retraces since frame_ns that are no news */
	struct vga_timing timing;
	uint8_t misc, feature;
	uint8_t seq_index, gfx_index, crtc_index, attr_index; /* the last with the palette source bit */
	uint8_t attr_is_data;				      /* the flip-flop: the next write to 0x3c0 is data */
	uint8_t window; /* not 0: the guest has display memory mapped directly (devices/vga_mem.c) */
	uint8_t intr_armed, intr_pending;
	uint8_t dac_mask, dac_state, dac_read, dac_write;
	uint8_t dac_step; /* the component that comes next: 0 red, 1 green, 2 blue */
	uint8_t dac_latch[2];
	uint8_t pad[7];
	uint8_t seq[8], gfx[16], crtc[32], attr[32]; /* bits that do not exist are 0 */
	uint8_t dac[768];
};

struct vga_page {
	struct hr_page head;
	struct vga_state s;
};

/*
 * Bits that exist, by index ([VGA] Sequencer, Graphics, CRTC and Attribute Controller Registers). One table: libbpf
 * does not load the mergeable sections that clang makes of small ones.
 */
static const struct {
	uint8_t seq[8], gfx[16], crtc[32], attr[32];
} vga_bits = {
	.seq = {0x03, 0x3d, 0x0f, 0x3f, 0x0e},
	.gfx = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff},
	.crtc = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0x3f, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xef, 0xff},
	.attr = {0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef,
		0xff, 0x3f, 0x0f, 0x0f},
};

/* ---- the beam ------------------------------------------------------------------------------ */

/* Dots since the frame at frame_ns began. */
static inline uint64_t vga_dots(const struct vga_state *s, uint64_t host_ns)
{
	uint64_t elapsed = host_ns + (uint64_t)HR_LOAD(s->offset_ns) - HR_LOAD(s->frame_ns);

	return hr_ns_to_ticks(elapsed, HR_LOAD(s->timing.dot_hz));
}

/* Input status 1. On a torn page anything may be 0. */
static inline uint8_t vga_status1(const struct vga_state *s, uint64_t host_ns)
{
	uint32_t frame = HR_LOAD(s->timing.frame_dots), line_dots = HR_LOAD(s->timing.line_dots);
	uint32_t scan = HR_LOAD(s->timing.scan_dots), lines = HR_LOAD(s->timing.lines);
	uint32_t at, line, since;
	uint8_t v = 0;

	if (!HR_LOAD(s->timing.dot_hz) || !frame || !line_dots || !scan)
		return VGA_STATUS1_BLANK;
	at = (uint32_t)(vga_dots(s, host_ns) % frame);
	line = at / line_dots;
	if (line >= HR_LOAD(s->timing.show_lines) || at % scan >= HR_LOAD(s->timing.show_dots))
		v = VGA_STATUS1_BLANK;
	since = line - HR_LOAD(s->timing.retrace_line);
	if (line < HR_LOAD(s->timing.retrace_line))
		since += lines; /* the one that began in the last frame */
	return since < HR_LOAD(s->timing.retrace_lines) ? v | VGA_STATUS1_VRETRACE : v;
}

/* Vertical retraces that have begun since frame_ns. */
static inline uint64_t vga_retraces(const struct vga_state *s, uint64_t host_ns)
{
	uint64_t first = (uint64_t)HR_LOAD(s->timing.retrace_line) * HR_LOAD(s->timing.line_dots);
	uint32_t frame = HR_LOAD(s->timing.frame_dots);
	uint64_t dots;

	if (!HR_LOAD(s->timing.dot_hz) || !frame || !HR_LOAD(s->timing.retrace_lines))
		return 0;
	dots = vga_dots(s, host_ns);
	return dots < first ? 0 : (dots - first) / frame + 1;
}

/* A retrace has set the interrupt since it was last cleared. */
static inline bool vga_intr(const struct vga_state *s, uint64_t host_ns)
{
	return HR_LOAD(s->intr_armed) && (HR_LOAD(s->intr_pending) || vga_retraces(s, host_ns) > HR_LOAD(s->intr_seen));
}

static inline uint8_t vga_status0(const struct vga_state *s, uint64_t host_ns)
{
	return VGA_STATUS0_SENSE | (vga_intr(s, host_ns) ? VGA_STATUS0_INTR : 0);
}

/* ---- 0x3c0 to 0x3cf ------------------------------------------------------------------------- */

/* A read of the DAC's data port: red, green, blue, and on to the next colour. */
static inline uint8_t vga_dac_read(struct vga_state *s)
{
	uint32_t step = HR_LOAD(s->dac_step), index = HR_LOAD(s->dac_read);
	uint32_t at = index * 3 + (step & 3);

	if (step >= 2) {
		HR_STORE(s->dac_step, 0);
		HR_STORE(s->dac_read, (uint8_t)(index + 1));
	} else {
		HR_STORE(s->dac_step, (uint8_t)(step + 1));
	}
	return at < sizeof(s->dac) ? HR_LOAD(s->dac[at]) : 0;
}

/* A colour is stored whole, with its third component. */
static inline void vga_dac_write(struct vga_state *s, uint8_t value)
{
	uint32_t step = HR_LOAD(s->dac_step), index = HR_LOAD(s->dac_write);

	value &= 0x3f;
	if (step < 2) {
		HR_STORE(s->dac_latch[step & 1], value);
		HR_STORE(s->dac_step, (uint8_t)(step + 1));
		return;
	}
	HR_STORE(s->dac[index * 3], HR_LOAD(s->dac_latch[0]));
	HR_STORE(s->dac[index * 3 + 1], HR_LOAD(s->dac_latch[1]));
	HR_STORE(s->dac[index * 3 + 2], value);
	HR_STORE(s->dac_step, 0);
	HR_STORE(s->dac_write, (uint8_t)(index + 1));
}

static inline void vga_attr_write(struct vga_state *s, uint8_t value)
{
	uint32_t index = HR_LOAD(s->attr_index) & VGA_ATTR_INDEX;
	bool is_data = HR_LOAD(s->attr_is_data);

	HR_STORE(s->attr_is_data, !is_data);
	if (!is_data) {
		HR_STORE(s->attr_index, value & (VGA_ATTR_INDEX | VGA_ATTR_SOURCE));
		return;
	}
	if (index < VGA_ATTR_PALETTES && HR_LOAD(s->attr_index) & VGA_ATTR_SOURCE)
		return;
	HR_STORE(s->attr[index], value & vga_bits.attr[index]);
}

/* Any read but that of input status 0. */
static inline uint8_t vga_read(struct vga_state *s, uint32_t reg)
{
	switch (reg) {
	case VGA_ATTR:
		return HR_LOAD(s->attr_index);
	case VGA_ATTR_READ:
		return HR_LOAD(s->attr[HR_LOAD(s->attr_index) & VGA_ATTR_INDEX]);
	case VGA_SEQ_INDEX:
		return HR_LOAD(s->seq_index);
	case VGA_SEQ_DATA:
		return HR_LOAD(s->seq[HR_LOAD(s->seq_index) & 7]);
	case VGA_DAC_MASK:
		return HR_LOAD(s->dac_mask);
	case VGA_DAC_READ:
		return HR_LOAD(s->dac_state);
	case VGA_DAC_WRITE:
		return HR_LOAD(s->dac_write);
	case VGA_DAC_DATA:
		return vga_dac_read(s);
	case VGA_FEATURE_READ:
		return HR_LOAD(s->feature);
	case VGA_MISC_READ:
		return HR_LOAD(s->misc);
	case VGA_GFX_INDEX:
		return HR_LOAD(s->gfx_index);
	case VGA_GFX_DATA:
		return HR_LOAD(s->gfx[HR_LOAD(s->gfx_index) & 15]);
	}
	return 0xff;
}

/* Reset and clocking change the frame; map mask and memory mode, what a mapped window shows. */
static inline bool vga_seq_is_plain(const struct vga_state *s, uint32_t index)
{
	if (index == VGA_SEQ_RESET || index == VGA_SEQ_CLOCKING)
		return false;
	return !HR_LOAD(s->window) || (index != VGA_SEQ_MAP_MASK && index != VGA_SEQ_MEMORY);
}

/* While a window is mapped, all but colour compare belongs to how it is written or read. */
static inline bool vga_gfx_is_plain(const struct vga_state *s, uint32_t index)
{
	return !HR_LOAD(s->window) || index == VGA_GFX_SET_RESET || index == VGA_GFX_COMPARE ||
	       index == VGA_GFX_DONT_CARE || index >= VGA_GFXS;
}

/* A write that only stores. False: it is the model's, and nothing has been done. */
static inline bool vga_write(struct vga_state *s, uint32_t reg, uint8_t value)
{
	uint32_t index;

	switch (reg) {
	case VGA_ATTR:
		vga_attr_write(s, value);
		return true;
	case VGA_MISC_WRITE:
		return false;
	case VGA_SEQ_INDEX:
		HR_STORE(s->seq_index, value & 7);
		return true;
	case VGA_SEQ_DATA:
		index = HR_LOAD(s->seq_index) & 7;
		if (!vga_seq_is_plain(s, index))
			return false;
		HR_STORE(s->seq[index], value & vga_bits.seq[index]);
		return true;
	case VGA_DAC_MASK:
		HR_STORE(s->dac_mask, value);
		return true;
	case VGA_DAC_READ:
		HR_STORE(s->dac_read, value);
		HR_STORE(s->dac_step, 0);
		HR_STORE(s->dac_state, VGA_DAC_STATE_READ);
		return true;
	case VGA_DAC_WRITE:
		HR_STORE(s->dac_write, value);
		HR_STORE(s->dac_step, 0);
		HR_STORE(s->dac_state, 0);
		return true;
	case VGA_DAC_DATA:
		vga_dac_write(s, value);
		return true;
	case VGA_GFX_INDEX:
		HR_STORE(s->gfx_index, value & 15);
		return true;
	case VGA_GFX_DATA:
		index = HR_LOAD(s->gfx_index) & 15;
		if (!vga_gfx_is_plain(s, index))
			return false;
		HR_STORE(s->gfx[index], value & vga_bits.gfx[index]);
		return true;
	}
	return true; /* nobody there */
}

/* ---- CRTC and status, at 0x3d4 and 0x3da or 0x3b4 and 0x3ba --------------------------------- */

static inline uint8_t vga_crtc_read(const struct vga_state *s, uint32_t reg)
{
	uint32_t index = HR_LOAD(s->crtc_index);

	if (!(reg & 1))
		return (uint8_t)index;
	return index < VGA_CRTCS ? HR_LOAD(s->crtc[index & 31]) : 0;
}

/* Registers that a frame's shape, the protection or the interrupt depends on. */
#define VGA_CRTC_MODEL_MASK                                                                                            \
	(1u << VGA_CR_HTOTAL | 1u << VGA_CR_HSHOW | 1u << VGA_CR_VTOTAL | 1u << VGA_CR_OVERFLOW |                      \
		1u << VGA_CR_RETRACE_START | 1u << VGA_CR_RETRACE_END | 1u << VGA_CR_VSHOW | 1u << VGA_CR_MODE)

/* As vga_write(). Index 0 to 7 are protected as long as CR11 says so. */
static inline bool vga_crtc_write(struct vga_state *s, uint32_t reg, uint8_t value)
{
	uint32_t index = HR_LOAD(s->crtc_index);

	if (!(reg & 1)) {
		HR_STORE(s->crtc_index, value);
		return true;
	}
	if (index >= VGA_CRTCS)
		return true;
	index &= 31;
	if (VGA_CRTC_MODEL_MASK >> index & 1)
		return false;
	if (index > 7 || !(HR_LOAD(s->crtc[VGA_CR_RETRACE_END]) & VGA_RETRACE_END_PROTECT))
		HR_STORE(s->crtc[index], value & vga_bits.crtc[index]);
	return true;
}

/* A read of input status 1 puts the attribute controller's flip-flop back to index. */
static inline uint8_t vga_status_read(struct vga_state *s, uint64_t host_ns)
{
	if (HR_LOAD(s->attr_is_data))
		HR_STORE(s->attr_is_data, 0);
	return vga_status1(s, host_ns);
}

/* The same address written is the feature control register. */
static inline void vga_feature_write(struct vga_state *s, uint8_t value)
{
	HR_STORE(s->feature, value & 0x0b); /* vertical sync select, FC1, FC0 */
}

#endif
