/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * piix4_pm.c: ACPI power management of the PIIX4, the full model.
 *
 * PM1 registers and timer are in bpf/pmtimer.h; here are their writes, the SCI, soft off, the SMI
 * command port that switches ACPI on and off (there is no SMM: the command does at once what the
 * firmware's SMI handler would), and an empty general-purpose event block.
 */
#include "devices/piix4_pm.h"

#include <stdlib.h>

#include "bpf/pmtimer.h"
#include "vmm/bus.h"

#define PM_EN_WRITABLE 0x0521u	/* RTC, PWRBTN, GBL, TMROF ([82371AB] 7.2.2) */
#define PM_CNT_WRITABLE 0x1c03u /* SUS_TYP, BRLD_EN_BM, SCI_EN ([82371AB] 7.2.3); GBL_RLS and SUS_EN read as 0 */
#define PM_SUS_EN 0x2000u
#define PM_SUS_TYP 0x1c00u /* 000: soft off */

#define PM_PWRBTN_STS 0x0100u /* [82371AB] 7.2.1; en bit 8 makes it an SCI */

#define PM_APMC 0xb2 /* [82371AB] 7.1: advanced power management control and status ports */
#define PM_ACPI_ENABLE 0xf1
#define PM_ACPI_DISABLE 0xf0
#define PM_GPE_BASE 0xafe0

struct piix4_pm {
	struct device dev;
	/* constant after init */
	struct piix4_pm_config config;
	struct bus *bus;
	struct range *range;
	/* dev.lock */
	struct timer timer;
	uint8_t apm[2]; /* 0xb2 and 0xb3 as last written */
};

/* What is to be done once the page is let go. */
struct pm_outcome {
	bool sci;
	bool is_armed;
	bool is_off;
	uint64_t deadline_ns; /* host time */
};

static struct pm_state *pm_state_of(struct device *dev)
{
	struct pm_page *page = device_page(dev);

	return &page->s;
}

/* For what changes the page anyway: ticks, with the base brought along. Page held. */
static uint64_t pm_now(struct device *dev)
{
	struct pm_state *s = pm_state_of(dev);
	const uint64_t now_ns = device_now(dev);

	pm_rebase(s, now_ns);
	return pm_ticks(s, now_ns);
}

/* When the timer's top bit changes next after `ticks`. */
static uint64_t pm_next_carry(const struct pm_state *s, uint64_t ticks)
{
	uint64_t half = ((uint64_t)s->mask + 1) / 2;

	return (ticks / half + 1) * half;
}

/* Page held. */
static struct pm_outcome pm_look(const struct pm_state *s, uint64_t ticks)
{
	struct pm_outcome todo = {0};

	if (!(s->cnt & PM_SCI_EN))
		return todo;
	todo.sci = pm_sts(s, ticks) & s->en;
	todo.is_armed = (s->en & PM_TMR_STS) && ticks < s->carry_tick;
	todo.deadline_ns = hr_ticks_to_ns(s->carry_tick, PMTIMER_HZ) - (uint64_t)s->offset_ns;
	return todo;
}

static void pm_deliver(struct piix4_pm *pm, const struct pm_outcome *todo)
{
	irq_set(&pm->config.sci, todo->sci);
	if (todo->is_armed)
		timer_arm(pm->dev.clock, &pm->timer, todo->deadline_ns);
	else
		timer_cancel(pm->dev.clock, &pm->timer);
	if (todo->is_off && pm->config.soft_off)
		pm->config.soft_off(pm->config.opaque);
}

static void pm_fire(void *opaque)
{
	struct piix4_pm *pm = opaque;
	struct pm_outcome todo;

	pthread_mutex_lock(&pm->dev.lock);
	page_begin(&pm->dev);
	todo = pm_look(pm_state_of(&pm->dev), pm_now(&pm->dev));
	page_end(&pm->dev);
	pm_deliver(pm, &todo);
	pthread_mutex_unlock(&pm->dev.lock);
}

static void pm_read_block(struct device *dev, struct io_req *req)
{
	struct pm_state *s = pm_state_of(dev);

	page_begin(dev);
	req->io.result = pm_read(s, req->io.offset, req->io.size, pm_ticks(s, device_now(dev)));
	page_end(dev);
}

/* One byte of a write. */
static void pm_write_byte(struct pm_state *s, uint32_t reg, uint8_t value, uint64_t ticks, bool *is_off)
{
	uint32_t shift = (reg & 1) * 8;
	uint16_t bits = (uint16_t)(value << shift), keep = (uint16_t) ~(0xff << shift);

	switch (reg & ~1u) {
	case PM_REG_STS: /* ones clear */
		HR_STORE(s->sts, s->sts & (uint16_t)~bits);
		if ((bits & PM_TMR_STS) && ticks >= s->carry_tick)
			HR_STORE(s->carry_tick, pm_next_carry(s, ticks));
		break;
	case PM_REG_EN:
		HR_STORE(s->en, ((s->en & keep) | bits) & PM_EN_WRITABLE);
		break;
	case PM_REG_CNT:
		HR_STORE(s->cnt, ((s->cnt & keep) | bits) & PM_CNT_WRITABLE);
		if ((bits & PM_SUS_EN) && !(s->cnt & PM_SUS_TYP))
			*is_off = true;
		break;
	default:
		break;
	}
}

static void pm_write(struct device *dev, struct io_req *req)
{
	struct piix4_pm *pm = (struct piix4_pm *)dev;
	struct pm_state *s = pm_state_of(dev);
	struct pm_outcome todo;
	bool is_off = false;
	uint64_t ticks;

	page_begin(dev);
	ticks = pm_now(dev);
	for (uint32_t i = 0; i < req->io.size; i++)
		pm_write_byte(s, req->io.offset + i, (uint8_t)(req->io.value >> (8 * i)), ticks, &is_off);
	todo = pm_look(s, ticks);
	todo.is_off = is_off;
	page_end(dev);
	pm_deliver(pm, &todo);
}

static void smi_read(struct device *dev, struct io_req *req)
{
	struct piix4_pm *pm = (struct piix4_pm *)dev;

	req->io.result = pm->apm[req->io.offset];
}

static void smi_write(struct device *dev, struct io_req *req)
{
	struct piix4_pm *pm = (struct piix4_pm *)dev;
	struct pm_state *s = pm_state_of(dev);
	uint8_t value = (uint8_t)req->io.value;
	struct pm_outcome todo;

	pm->apm[req->io.offset] = value;
	if (req->io.offset != 0 || (value != PM_ACPI_ENABLE && value != PM_ACPI_DISABLE))
		return;
	page_begin(dev);
	HR_STORE(s->cnt, (s->cnt & ~PM_SCI_EN) | (value == PM_ACPI_ENABLE ? PM_SCI_EN : 0));
	todo = pm_look(s, pm_now(dev));
	page_end(dev);
	pm_deliver(pm, &todo);
}

static void gpe_read(struct device *dev, struct io_req *req)
{
	(void)dev;
	req->io.result = pm_gpe_read();
}

static void gpe_write(struct device *dev, struct io_req *req)
{
	(void)dev;
	(void)req;
}

static void pm_reset(struct device *dev)
{
	struct piix4_pm *pm = (struct piix4_pm *)dev;
	struct pm_state *s = pm_state_of(dev);
	struct pm_outcome todo;

	page_begin(dev);
	HR_STORE(s->mask, pm->config.is_timer_32bit ? UINT32_MAX : 0xffffffu);
	HR_STORE(s->carry_tick, pm_next_carry(s, pm_now(dev)));
	HR_STORE(s->sts, 0);
	HR_STORE(s->en, 0);
	HR_STORE(s->cnt, 0);
	todo = pm_look(s, 0);
	page_end(dev);
	pm->apm[0] = pm->apm[1] = 0;
	pm_deliver(pm, &todo);
}

static void pm_destroy(struct device *dev)
{
	struct piix4_pm *pm = (struct piix4_pm *)dev;

	timer_cancel(dev->clock, &pm->timer);
	device_cleanup(dev);
	free(pm);
}

void piix4_pm_power_button(struct device *dev)
{
	struct piix4_pm *pm = (struct piix4_pm *)dev;
	struct pm_state *s = pm_state_of(dev);
	struct pm_outcome todo;

	pthread_mutex_lock(&dev->lock);
	page_begin(dev);
	HR_STORE(s->sts, s->sts | PM_PWRBTN_STS);
	todo = pm_look(s, pm_now(dev));
	page_end(dev);
	pm_deliver(pm, &todo);
	pthread_mutex_unlock(&dev->lock);
}

void piix4_pm_set_base(struct device *dev, uint16_t base, bool is_enabled)
{
	struct piix4_pm *pm = (struct piix4_pm *)dev;

	if (is_enabled)
		bus_map(pm->bus, pm->range, base & ~(PIIX4_PM_LEN - 1));
	else
		bus_unmap(pm->bus, pm->range);
}

uint16_t piix4_pm_base(const struct device *dev)
{
	const struct piix4_pm *pm = (const struct piix4_pm *)dev;

	return (uint16_t)__atomic_load_n(&pm->range->base, __ATOMIC_ACQUIRE);
}

static const struct device_ops pm_ops = {.reset = pm_reset, .destroy = pm_destroy};

static const struct reg_name pm_regs[] = {{PM_REG_STS, 2, "PM1 status"}, {PM_REG_EN, 2, "PM1 enable"},
	{PM_REG_CNT, 2, "PM1 control"}, {PM_REG_TMR, 4, "PM timer"}, {0, 0, NULL}};
static const struct reg_name smi_regs[] = {{0, 1, "SMI command"}, {1, 1, "SMI status"}, {0, 0, NULL}};

static const struct range pm_range = {.name = "pm",
	.bus = IO_PIO,
	.len = PIIX4_PM_LEN,
	.width = 4,
	.read = pm_read_block,
	.write = pm_write,
	.regs = pm_regs};
static const struct range smi_range = {.name = "smi",
	.bus = IO_PIO,
	.base = PM_APMC,
	.len = 2,
	.width = 1,
	.read = smi_read,
	.write = smi_write,
	.regs = smi_regs,
	.mapped = true};
static const struct range gpe_range = {.name = "gpe",
	.bus = IO_PIO,
	.base = PM_GPE_BASE,
	.len = 4,
	.width = 1,
	.read = gpe_read,
	.write = gpe_write,
	.mapped = true};

struct device *piix4_pm_create(struct bus *bus, struct clock *clock, const struct piix4_pm_config *config)
{
	struct piix4_pm *pm = calloc(1, sizeof(*pm));
	struct range main_range = pm_range, smi = smi_range, gpe = gpe_range;

	if (!pm)
		return NULL;
	if (device_init(&pm->dev, "piix4_pm", &pm_ops, clock, PM_STATE_VERSION, sizeof(struct pm_page)))
		goto fail_free;
	pm->config = *config;
	pm->bus = bus;
	timer_init(&pm->timer, pm_fire, pm);
	pm_state_of(&pm->dev)->offset_ns = -(int64_t)clock->start_ns;
	pthread_mutex_lock(&pm->dev.lock);
	pm_reset(&pm->dev);
	pthread_mutex_unlock(&pm->dev.lock);
	main_range.dev = smi.dev = gpe.dev = &pm->dev;
	pm->range = bus_add(bus, &main_range);
	if (!pm->range || !bus_add(bus, &smi) || !bus_add(bus, &gpe))
		goto fail_device;
	return &pm->dev;

fail_device:
	device_cleanup(&pm->dev);
fail_free:
	free(pm);
	return NULL;
}
