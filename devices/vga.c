/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vga.c: the IBM VGA [VGA]: registers, the shape of a frame, and the memory range.
 *
 * Reads and writes that only store are bpf/vga.h's, the same as the programs'. Here is what else a write does: a
 * new timing begins a frame at that moment, misc output moves the CRTC's ports, and whatever a directly mapped part
 * of display memory depends on takes it away. It comes back with the next access that could have used it:
 * while a guest sets a mode, the map does not follow each step.
 * No picture is made; vga_text() reads what a text mode would show.
 */
#include "devices/vga.h"

#include <stdlib.h>
#include <string.h>

#include "devices/vga_mem.h"
#include "vmm/bus.h"
#include "vmm/screen.h"

#define COLOR_PORTS 0x3d0u
#define MONO_PORTS 0x3b0u
#define CRTC_PORT 4
#define STATUS_PORT 0xa

struct vga {
	struct device dev;
	/* constant after init */
	struct bus *bus;
	struct vga_config config;
	struct range *crtc, *status;
	/* dev.lock */
	struct vga_memory memory;
	struct vga_window window; /* mapped, if it has bytes. The page's `window` says the same */
};

static struct vga_state *vga_state_of(struct device *dev)
{
	struct vga_page *page = device_page(dev);

	return &page->s;
}

/* ---- the frame ------------------------------------------------------------------------------ */

/* A number of 10 bits: 8 in a register, two in CR7. */
static uint32_t crtc_lines(const struct vga_state *s, unsigned index, unsigned bit8, unsigned bit9)
{
	uint32_t overflow = s->crtc[VGA_CR_OVERFLOW];

	return s->crtc[index] | (overflow >> bit8 & 1) << 8 | (overflow >> bit9 & 1) << 9;
}

/* Lines from the start of vertical retrace to its end: when the line counter's low four bits are CR11's. */
static uint32_t retrace_lines(uint32_t lines, uint32_t start, uint32_t end)
{
	uint32_t n = 1;

	if (start >= lines)
		return 0;
	while (n < lines && ((start + n) % lines & 15) != end)
		n++;
	return n; /* all lines: it never ends */
}

/* [VGA] CRTC Registers; the two clocks of the board, as IBM gives them. Selections 2 and 3 have no oscillator. */
static void vga_shape(const struct vga_state *s, struct vga_timing *t)
{
	static const uint32_t clock_hz[4] = {25175000, 28322000, 25175000, 25175000};
	uint8_t clocking = s->seq[VGA_SEQ_CLOCKING], mode = s->crtc[VGA_CR_MODE];
	uint32_t char_dots = (clocking & VGA_CLOCKING_8DOTS ? 8 : 9) * (clocking & VGA_CLOCKING_HALF ? 2 : 1);
	uint32_t chars = s->crtc[VGA_CR_HTOTAL] + 5u, show = s->crtc[VGA_CR_HSHOW] + 1u;

	*t = (struct vga_timing){
		.dot_hz = s->seq[VGA_SEQ_RESET] == VGA_RESET_RUN ? clock_hz[s->misc >> VGA_MISC_CLOCK_SHIFT & 3] : 0,
		.scan_dots = chars * char_dots,
		.show_dots = show * char_dots,
		.lines = crtc_lines(s, VGA_CR_VTOTAL, 0, 5) + 2,
		.show_lines = crtc_lines(s, VGA_CR_VSHOW, 1, 6) + 1,
		.retrace_line = crtc_lines(s, VGA_CR_RETRACE_START, 2, 7),
	};
	t->line_dots = t->scan_dots * (mode & VGA_CRMODE_DOUBLE ? 2 : 1);
	t->frame_dots = t->line_dots * t->lines;
	if (mode & VGA_CRMODE_SYNC)
		t->retrace_lines = retrace_lines(t->lines, t->retrace_line, s->crtc[VGA_CR_RETRACE_END] & 15);
}

static void put_timing(struct vga_timing *to, const struct vga_timing *t)
{
	HR_STORE(to->dot_hz, t->dot_hz);
	HR_STORE(to->scan_dots, t->scan_dots);
	HR_STORE(to->show_dots, t->show_dots);
	HR_STORE(to->line_dots, t->line_dots);
	HR_STORE(to->frame_dots, t->frame_dots);
	HR_STORE(to->lines, t->lines);
	HR_STORE(to->show_lines, t->show_lines);
	HR_STORE(to->retrace_line, t->retrace_line);
	HR_STORE(to->retrace_lines, t->retrace_lines);
}

/* After a write that may have changed the shape: if it has, a frame begins now. The page is held. */
static void vga_retime(struct device *dev, uint64_t now)
{
	struct vga_state *s = vga_state_of(dev);
	struct vga_timing t;

	vga_shape(s, &t);
	if (memcmp(&t, &s->timing, sizeof(t)) == 0)
		return;
	HR_STORE(s->intr_pending, vga_intr(s, now));
	put_timing(&s->timing, &t);
	HR_STORE(s->frame_ns, now + (uint64_t)HR_LOAD(s->offset_ns));
	HR_STORE(s->intr_seen, vga_retraces(s, now));
}

/* CR11 bit 4: 0 takes the vertical interrupt away, 1 lets the next retrace set it. The page is held. */
static void vga_arm_intr(struct vga_state *s, bool armed, uint64_t now)
{
	if (armed == (bool)HR_LOAD(s->intr_armed))
		return;
	HR_STORE(s->intr_armed, armed);
	HR_STORE(s->intr_pending, 0);
	HR_STORE(s->intr_seen, armed ? vga_retraces(s, now) : 0);
}

/* ---- the window ----------------------------------------------------------------------------- */

static void vga_unmap(struct vga *v)
{
	if (!v->window.region.bytes)
		return;
	v->window.region.bytes = 0;
	mem_set_vga_window(v->config.mem, NULL);
}

/* After a write to what it depends on; the page is held. True: it must be unmapped once the page is let go. */
static bool vga_window_is_stale(struct vga *v, struct vga_state *s)
{
	const struct mem_region *has = &v->window.region;
	struct vga_window want;
	struct vga_mode mode;

	if (!has->bytes)
		return false;
	vga_mode_get(s, &mode);
	if (vga_mem_window(&v->memory, &mode, &want) && want.layout == v->window.layout &&
		want.region.gpa == has->gpa && want.region.bytes == has->bytes && want.region.host == has->host)
		return false;
	HR_STORE(s->window, 0);
	return true;
}

/* An access has come to the model that need not have: maps the window. */
static void vga_offer_window(struct vga *v)
{
	struct vga_state *s = vga_state_of(&v->dev);
	struct vga_window window;
	struct vga_mode mode;
	bool has_window;

	page_begin(&v->dev);
	vga_mode_get(s, &mode);
	has_window = vga_mem_window(&v->memory, &mode, &window);
	if (has_window)
		HR_STORE(s->window, 1); /* from here on, who changes the mode comes to the model */
	page_end(&v->dev);
	if (!has_window)
		return;
	if (!vga_mem_arrange(&v->memory, window.layout)) {
		page_begin(&v->dev);
		HR_STORE(s->window, 0);
		page_end(&v->dev);
		return;
	}
	v->window = window;
	mem_set_vga_window(v->config.mem, &window.region);
}

static void memory_read(struct device *dev, struct io_req *req)
{
	struct vga *v = (struct vga *)dev;
	struct vga_mode mode;

	page_begin(dev);
	vga_mode_get(vga_state_of(dev), &mode);
	page_end(dev);
	for (unsigned i = 0; i < req->io.size; i++)
		req->io.result |= (uint64_t)vga_mem_read(&v->memory, &mode, req->io.offset + i) << (8 * i);
	if (!v->window.region.bytes && !v->config.maps_nothing)
		vga_offer_window(v);
}

static void memory_write(struct device *dev, struct io_req *req)
{
	struct vga *v = (struct vga *)dev;
	struct vga_mode mode;

	page_begin(dev);
	vga_mode_get(vga_state_of(dev), &mode);
	page_end(dev);
	for (unsigned i = 0; i < req->io.size; i++)
		vga_mem_write(&v->memory, &mode, req->io.offset + i, (uint8_t)(req->io.value >> (8 * i)));
	if (!v->window.region.bytes && !v->config.maps_nothing)
		vga_offer_window(v);
}

/* ---- registers ------------------------------------------------------------------------------ */

static void vga_place_ports(struct vga *v, uint8_t misc)
{
	uint32_t base = misc & VGA_MISC_COLOR ? COLOR_PORTS : MONO_PORTS;

	bus_map(v->bus, v->crtc, base + CRTC_PORT);
	bus_map(v->bus, v->status, base + STATUS_PORT);
}

/* Misc output, and those of sequencer and graphics controller that vga_write() leaves. The page is held. */
static void write_with_effect(struct vga_state *s, uint32_t reg, uint8_t value)
{
	uint32_t index;

	if (reg == VGA_MISC_WRITE) {
		HR_STORE(s->misc, value & 0xef);
	} else if (reg == VGA_SEQ_DATA) {
		index = s->seq_index & 7;
		HR_STORE(s->seq[index], value & vga_bits.seq[index]);
	} else {
		index = s->gfx_index & 15;
		HR_STORE(s->gfx[index], value & vga_bits.gfx[index]);
	}
}

static void regs_read(struct device *dev, struct io_req *req)
{
	struct vga_state *s = vga_state_of(dev);

	page_begin(dev);
	req->io.result =
		req->io.offset == VGA_MISC_WRITE ? vga_status0(s, device_now(dev)) : vga_read(s, req->io.offset);
	page_end(dev);
}

static void regs_write(struct device *dev, struct io_req *req)
{
	struct vga *v = (struct vga *)dev;
	struct vga_state *s = vga_state_of(dev);
	uint8_t value = (uint8_t)req->io.value;
	bool is_stale = false, has_effect;

	page_begin(dev);
	has_effect = !vga_write(s, req->io.offset, value);
	if (has_effect) {
		write_with_effect(s, req->io.offset, value);
		vga_retime(dev, device_now(dev));
		is_stale = vga_window_is_stale(v, s);
	}
	page_end(dev);
	if (is_stale)
		vga_unmap(v);
	if (has_effect && req->io.offset == VGA_MISC_WRITE)
		vga_place_ports(v, value);
}

static void crtc_read(struct device *dev, struct io_req *req)
{
	page_begin(dev);
	req->io.result = vga_crtc_read(vga_state_of(dev), req->io.offset);
	page_end(dev);
}

/* Those that vga_crtc_write() leaves. The page is held. */
static void crtc_write_with_effect(struct device *dev, uint8_t value)
{
	struct vga_state *s = vga_state_of(dev);
	uint64_t now = device_now(dev);
	uint32_t index = s->crtc_index;
	uint8_t bits = vga_bits.crtc[index];

	/* what is protected stays, but for the line compare bit in CR7 */
	if (index <= 7 && s->crtc[VGA_CR_RETRACE_END] & VGA_RETRACE_END_PROTECT)
		bits = index == VGA_CR_OVERFLOW ? 0x10 : 0;
	HR_STORE(s->crtc[index], (value & bits) | (s->crtc[index] & ~bits));
	vga_retime(dev, now);
	if (index == VGA_CR_RETRACE_END)
		vga_arm_intr(s, value & VGA_RETRACE_END_CLEAR, now);
}

static void crtc_write(struct device *dev, struct io_req *req)
{
	page_begin(dev);
	if (!vga_crtc_write(vga_state_of(dev), req->io.offset, (uint8_t)req->io.value))
		crtc_write_with_effect(dev, (uint8_t)req->io.value);
	page_end(dev);
}

static void status_read(struct device *dev, struct io_req *req)
{
	page_begin(dev);
	req->io.result = vga_status_read(vga_state_of(dev), device_now(dev));
	page_end(dev);
}

static void status_write(struct device *dev, struct io_req *req)
{
	page_begin(dev);
	vga_feature_write(vga_state_of(dev), (uint8_t)req->io.value);
	page_end(dev);
}

/* ---- reset, text ---------------------------------------------------------------------------- */

/* Mode 3 on a colour display, 80 by 25 of 9 by 16 dots ([VGA] Mode Tables). */
static const struct {
	uint8_t misc, seq[VGA_SEQS], crtc[VGA_CRTCS], gfx[VGA_GFXS], attr[VGA_ATTRS];
} mode3 = {
	.misc = 0x67,
	.seq = {0x03, 0x00, 0x03, 0x00, 0x02},
	.crtc = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c,
		0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
	.gfx = {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff},
	.attr = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c,
		0x00, 0x0f, 0x08, 0x00},
};

/* One of the 64 colours of the text modes: rgbRGB, two thirds by the capital, one by the small letter. */
static uint8_t ega_component(unsigned colour, unsigned bit)
{
	return (uint8_t)((colour >> bit & 1) * 0x2a + (colour >> (bit + 3) & 1) * 0x15);
}

/* Fills with what is there at power-on, or in mode 3. The page is held. */
static void reset_registers(struct vga_state *s, bool in_text_mode)
{
	for (unsigned i = 0; i < sizeof(s->seq); i++)
		HR_STORE(s->seq[i], in_text_mode && i < VGA_SEQS ? mode3.seq[i] : 0);
	for (unsigned i = 0; i < sizeof(s->gfx); i++)
		HR_STORE(s->gfx[i], in_text_mode && i < VGA_GFXS ? mode3.gfx[i] : 0);
	for (unsigned i = 0; i < sizeof(s->crtc); i++)
		HR_STORE(s->crtc[i], in_text_mode && i < VGA_CRTCS ? mode3.crtc[i] : 0);
	for (unsigned i = 0; i < sizeof(s->attr); i++)
		HR_STORE(s->attr[i], in_text_mode && i < VGA_ATTRS ? mode3.attr[i] : 0);
	for (unsigned i = 0; i < sizeof(s->dac); i++)
		HR_STORE(s->dac[i], in_text_mode && i < 64 * 3 ? ega_component(i / 3, 2 - i % 3) : 0);
	HR_STORE(s->misc, in_text_mode ? mode3.misc : 0);
	HR_STORE(s->feature, 0);
	HR_STORE(s->seq_index, 0);
	HR_STORE(s->gfx_index, 0);
	HR_STORE(s->crtc_index, 0);
	HR_STORE(s->attr_index, in_text_mode ? VGA_ATTR_SOURCE : 0);
	HR_STORE(s->attr_is_data, 0);
	HR_STORE(s->window, 0);
	HR_STORE(s->dac_mask, 0xff);
	HR_STORE(s->dac_state, 0);
	HR_STORE(s->dac_read, 0);
	HR_STORE(s->dac_write, 0);
	HR_STORE(s->dac_step, 0);
	HR_STORE(s->dac_latch[0], 0);
	HR_STORE(s->dac_latch[1], 0);
}

static void vga_reset(struct device *dev)
{
	struct vga *v = (struct vga *)dev;
	struct vga_state *s = vga_state_of(dev);
	struct vga_timing t;
	uint64_t now;
	uint8_t misc;

	page_begin(dev);
	now = device_now(dev);
	reset_registers(s, v->config.in_text_mode);
	vga_shape(s, &t);
	put_timing(&s->timing, &t);
	HR_STORE(s->frame_ns, now + (uint64_t)HR_LOAD(s->offset_ns));
	HR_STORE(s->intr_armed, 0);
	HR_STORE(s->intr_pending, 0);
	HR_STORE(s->intr_seen, 0);
	vga_arm_intr(s, s->crtc[VGA_CR_RETRACE_END] & VGA_RETRACE_END_CLEAR, now);
	misc = s->misc;
	page_end(dev);
	vga_unmap(v);
	memset(v->memory.ram, 0, VGA_RAM_BYTES);
	memset(v->memory.latch, 0, sizeof(v->memory.latch));
	vga_place_ports(v, misc);
}

void vga_text(struct device *dev, struct screen_text *out)
{
	const struct vga_state *s = vga_state_of(dev);
	const struct vga_memory *m = &((struct vga *)dev)->memory;
	uint32_t start = (uint32_t)s->crtc[VGA_CR_START_HIGH] << 8 | s->crtc[VGA_CR_START_LOW];
	uint32_t pitch = s->crtc[VGA_CR_OFFSET] * 2u;
	uint32_t scans = (s->crtc[VGA_CR_MAX_SCAN] & 0x1fu) + 1;
	uint32_t columns = s->crtc[VGA_CR_HSHOW] + 1u, rows = (crtc_lines(s, VGA_CR_VSHOW, 1, 6) + 1) / scans;

	if (s->crtc[VGA_CR_MAX_SCAN] & 0x80)
		rows /= 2;
	out->columns = out->rows = 0;
	if (s->gfx[VGA_GFX_MISC] & VGA_GFXMISC_GRAPHICS)
		return;
	out->columns = columns < SCREEN_MAX_COLUMNS ? columns : SCREEN_MAX_COLUMNS;
	out->rows = rows < SCREEN_MAX_ROWS ? rows : SCREEN_MAX_ROWS;
	for (unsigned y = 0; y < out->rows; y++) {
		/* the CRTC counts words: characters are at the even offsets of plane 0 */
		for (unsigned x = 0; x < out->columns; x++)
			out->chars[y][x] = *vga_mem_byte(m, 0, (start + y * pitch + x) * 2);
	}
}

/* ---- the device ----------------------------------------------------------------------------- */

static void vga_destroy(struct device *dev)
{
	struct vga *v = (struct vga *)dev;

	vga_unmap(v);
	vga_mem_destroy(&v->memory);
	device_cleanup(dev);
	free(v);
}

static const struct device_ops vga_ops = {.reset = vga_reset, .destroy = vga_destroy};

static const struct reg_name vga_regs[] = {{VGA_ATTR, 1, "attribute"}, {VGA_ATTR_READ, 1, "attribute data"},
	{VGA_MISC_WRITE, 1, "misc output, status 0"}, {VGA_SEQ_INDEX, 1, "sequencer index"},
	{VGA_SEQ_DATA, 1, "sequencer data"}, {VGA_DAC_MASK, 1, "DAC mask"}, {VGA_DAC_READ, 1, "DAC read index"},
	{VGA_DAC_WRITE, 1, "DAC write index"}, {VGA_DAC_DATA, 1, "DAC data"}, {VGA_FEATURE_READ, 1, "feature control"},
	{VGA_MISC_READ, 1, "misc output"}, {VGA_GFX_INDEX, 1, "graphics index"}, {VGA_GFX_DATA, 1, "graphics data"},
	{0, 0, NULL}};
static const struct reg_name crtc_regs[] = {{0, 1, "CRTC index"}, {1, 1, "CRTC data"}, {0, 0, NULL}};
static const struct reg_name status_regs[] = {{0, 1, "status 1"}, {0, 0, NULL}};
static const struct reg_name memory_regs[] = {
	{0, 0x10000, "graphics"}, {0x10000, 0x8000, "mono text"}, {0x18000, 0x8000, "text"}, {0, 0, NULL}};

/*
 * Writes that may wait: indices, the attribute controller and the DAC only store, whatever the size. (A word at an index
 * port of the sequencer also writes the data: that byte is outside, so such an access is not deferred.)
 */
static const struct range_zone vga_zones[] = {{VGA_ATTR, 2, false}, {VGA_SEQ_INDEX, 1, false}, {VGA_DAC_MASK, 4, false},
	{VGA_GFX_INDEX, 1, false}, {0, 0, false}};
static const struct range_zone crtc_zones[] = {{0, 1, false}, {0, 0, false}};

/* The first two are moved by misc output. */
static const struct range vga_ranges[] = {
	{.name = "vga.crtc",
		.base = MONO_PORTS + CRTC_PORT,
		.len = 2,
		.width = 1,
		.read = crtc_read,
		.write = crtc_write,
		.regs = crtc_regs,
		.deferred = crtc_zones,
		.mapped = true},
	{.name = "vga.status",
		.base = MONO_PORTS + STATUS_PORT,
		.len = 1,
		.width = 1,
		.read = status_read,
		.write = status_write,
		.regs = status_regs,
		.mapped = true},
	{.name = "vga",
		.base = 0x3c0,
		.len = VGA_PORTS,
		.width = 1,
		.read = regs_read,
		.write = regs_write,
		.regs = vga_regs,
		.deferred = vga_zones,
		.mapped = true},
	{.name = "vga.memory",
		.bus = IO_MMIO,
		.base = MEM_VGA_BASE,
		.len = MEM_SHADOW_BASE - MEM_VGA_BASE,
		.width = 8,
		.read = memory_read,
		.write = memory_write,
		.regs = memory_regs,
		.mapped = true},
};

struct device *vga_create(struct bus *bus, struct clock *clock, const struct vga_config *config)
{
	struct vga *v = calloc(1, sizeof(*v));
	struct range *added[4];

	if (!v)
		return NULL;
	if (device_init(&v->dev, "vga", &vga_ops, clock, VGA_STATE_VERSION, sizeof(struct vga_page))) {
		free(v);
		return NULL;
	}
	v->bus = bus;
	v->config = *config;
	vga_state_of(&v->dev)->offset_ns = -(int64_t)clock->start_ns;
	if (vga_mem_init(&v->memory))
		goto fail;
	for (unsigned i = 0; i < 4; i++) {
		struct range range = vga_ranges[i];

		range.dev = &v->dev;
		added[i] = bus_add(bus, &range);
		if (!added[i])
			goto fail; /* a range that was added stays with the bus: the caller gives up the machine as a whole */
	}
	v->crtc = added[0];
	v->status = added[1];
	mem_take_vga(config->mem);
	pthread_mutex_lock(&v->dev.lock);
	vga_reset(&v->dev);
	pthread_mutex_unlock(&v->dev.lock);
	return &v->dev;
fail:
	vga_destroy(&v->dev);
	return NULL;
}
