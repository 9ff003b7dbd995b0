/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8042.c: the PC AT keyboard controller [8042] [PS2] and its keyboard. Commands finish at once,
 * so the input buffer is never seen full. Answers wait in a queue and enter the output buffer
 * one by one, each with its own interrupt.
 *
 * A20 reads back as set, but memory is never wrapped at 1 MiB: address line 20 is always on.
 */
#include "devices/i8042.h"

#include <stdlib.h>
#include <string.h>

#include "bpf/i8042.h"

#define QUEUE_BYTES 16u

#define STATUS_OBF 0x01u
#define STATUS_SYS 0x04u
#define STATUS_CMD 0x08u
#define STATUS_UNLOCKED 0x10u
#define STATUS_AUX_OBF 0x20u
#define STATUS_TIMEOUT 0x40u
#define CTR_KBD_IRQ 0x01u
#define CTR_AUX_IRQ 0x02u
#define CTR_SYS 0x04u
#define CTR_KBD_OFF 0x10u
#define CTR_AUX_OFF 0x20u
#define CTR_TRANSLATE 0x40u
#define OUT_NOT_RESET 0x01u
#define OUT_A20 0x02u
#define OUT_KBD_IRQ 0x10u
#define OUT_AUX_IRQ 0x20u
#define INPUT_PORT 0xb0u /* not inhibited, manufacturing jumper out, 512 KiB and more */

#define KBD_ACK 0xfa
#define KBD_RESEND 0xfe
#define KBD_PASSED 0xaa

enum source { FROM_CONTROLLER, FROM_KEYBOARD, FROM_AUX };

struct answer {
	uint8_t byte;
	uint8_t source;
	bool timeout; /* the device did not answer: the byte is the controller's */
};

struct i8042 {
	struct device dev;
	/* constant after init */
	struct i8042_config cfg;
	/* dev.lock */
	uint8_t ram[32]; /* [0] is the controller command byte, CTR */
	uint8_t out;	 /* output port without the interrupt bits */
	uint8_t command; /* waits for its data byte; 0: none */
	bool wrote_command;
	struct answer buffer; /* the output buffer */
	bool is_full;
	struct answer queue[QUEUE_BYTES];
	unsigned queue_count;
	/* the keyboard */
	uint8_t kbd_command; /* waits for its parameter; 0: none */
	uint8_t kbd_set;     /* scan code set */
	uint8_t kbd_last;    /* what "resend" repeats */
};

static struct kbc_state *state_of(const struct device *dev)
{
	struct kbc_page *page = device_page(dev);

	return &page->s;
}

static uint8_t status(const struct i8042 *kbc)
{
	uint8_t v = STATUS_UNLOCKED | (kbc->wrote_command ? STATUS_CMD : 0) | (kbc->ram[0] & CTR_SYS ? STATUS_SYS : 0);

	if (kbc->is_full)
		v |= STATUS_OBF | (kbc->buffer.source == FROM_AUX ? STATUS_AUX_OBF : 0) |
		     (kbc->buffer.timeout ? STATUS_TIMEOUT : 0);
	return v;
}

/* After each change: what programs show, then the lines. */
static void update(struct i8042 *kbc)
{
	bool aux = kbc->is_full && kbc->buffer.source == FROM_AUX;

	page_begin(&kbc->dev);
	HR_STORE(state_of(&kbc->dev)->status, status(kbc));
	page_end(&kbc->dev);
	irq_set(&kbc->cfg.keyboard, kbc->is_full && !aux && (kbc->ram[0] & CTR_KBD_IRQ));
	irq_set(&kbc->cfg.aux, aux && (kbc->ram[0] & CTR_AUX_IRQ));
}

static bool is_held(const struct i8042 *kbc, const struct answer *a)
{
	return (a->source == FROM_KEYBOARD && (kbc->ram[0] & CTR_KBD_OFF)) ||
	       (a->source == FROM_AUX && (kbc->ram[0] & CTR_AUX_OFF));
}

/* Moves the next answer into the output buffer, passing over those whose device's clock is held. */
static void fill_buffer(struct i8042 *kbc)
{
	unsigned i = 0;

	while (i < kbc->queue_count && is_held(kbc, &kbc->queue[i]))
		i++;
	if (!kbc->is_full && i < kbc->queue_count) {
		kbc->buffer = kbc->queue[i];
		kbc->is_full = true;
		kbc->queue_count--;
		memmove(kbc->queue + i, kbc->queue + i + 1, (kbc->queue_count - i) * sizeof(kbc->queue[0]));
	}
	update(kbc);
}

/* A guest that sends commands and never reads loses the answers that the queue has no room for. */
static void queue_answer(struct i8042 *kbc, const struct answer *a)
{
	if (kbc->queue_count < QUEUE_BYTES)
		kbc->queue[kbc->queue_count++] = *a;
}

static void answer(struct i8042 *kbc, enum source source, uint8_t byte)
{
	queue_answer(kbc, &(struct answer){.byte = byte, .source = (uint8_t)source});
}

/* Nobody answers on the auxiliary port. */
static void aux_timeout(struct i8042 *kbc)
{
	queue_answer(kbc, &(struct answer){.byte = KBD_RESEND, .source = FROM_AUX, .timeout = true});
}

/* Set 2 to set 1, for those values that the keyboard sends although no key is pressed. */
static uint8_t translate(uint8_t byte)
{
	switch (byte) {
	case 0x01:
		return 0x43;
	case 0x02:
	case 0x83:
		return 0x41;
	case 0x03:
		return 0x3f;
	default:
		return byte;
	}
}

static void kbd_send(struct i8042 *kbc, uint8_t byte)
{
	kbc->kbd_last = byte;
	answer(kbc, FROM_KEYBOARD, kbc->ram[0] & CTR_TRANSLATE ? translate(byte) : byte);
}

static void kbd_parameter(struct i8042 *kbc, uint8_t command, uint8_t v)
{
	kbd_send(kbc, KBD_ACK);
	if (command == 0xf0 && v == 0)
		kbd_send(kbc, kbc->kbd_set);
	else if (command == 0xf0 && v <= 3)
		kbc->kbd_set = v;
	/* 0xed lights and 0xf3 typematic rate have no effect that can be seen */
}

static void kbd_write(struct i8042 *kbc, uint8_t v)
{
	uint8_t command = kbc->kbd_command;

	kbc->kbd_command = 0;
	if (command && v < 0xed) {
		kbd_parameter(kbc, command, v);
		return;
	}
	switch (v) {
	case 0xed: /* lights */
	case 0xf0: /* scan code set */
	case 0xf3: /* typematic rate */
		kbc->kbd_command = v;
		kbd_send(kbc, KBD_ACK);
		break;
	case 0xee: /* echo */
		kbd_send(kbc, 0xee);
		break;
	case 0xf2: /* identify: MF2 */
		kbd_send(kbc, KBD_ACK);
		kbd_send(kbc, 0xab);
		kbd_send(kbc, 0x83);
		break;
	case 0xf5: /* default, disable */
	case 0xf6: /* default */
		kbc->kbd_set = 2;
		kbd_send(kbc, KBD_ACK);
		break;
	case 0xf4: /* enable */
		kbd_send(kbc, KBD_ACK);
		break;
	case 0xfe: /* resend; the last byte stays the last */
		answer(kbc, FROM_KEYBOARD, kbc->kbd_last);
		break;
	case 0xff: /* reset and basic assurance test */
		kbc->kbd_set = 2;
		kbd_send(kbc, KBD_ACK);
		kbd_send(kbc, KBD_PASSED);
		break;
	default:
		kbd_send(kbc, KBD_RESEND);
		break;
	}
}

static void write_out(struct i8042 *kbc, uint8_t v)
{
	kbc->out = v & ~(OUT_KBD_IRQ | OUT_AUX_IRQ);
	if (!(v & OUT_NOT_RESET))
		irq_set(&kbc->cfg.reset, true);
}

static uint8_t read_out(const struct i8042 *kbc)
{
	bool aux = kbc->buffer.source == FROM_AUX;

	return kbc->out | (kbc->is_full && !aux ? OUT_KBD_IRQ : 0) | (kbc->is_full && aux ? OUT_AUX_IRQ : 0);
}

/* The byte after a command that wants one. */
static void command_data(struct i8042 *kbc, uint8_t command, uint8_t v)
{
	if (command >= 0x60 && command <= 0x7f) {
		kbc->ram[command & 0x1f] = v;
		return;
	}
	switch (command) {
	case 0xd1:
		write_out(kbc, v);
		break;
	case 0xd2: /* as if the keyboard had sent it */
		answer(kbc, FROM_CONTROLLER, v);
		break;
	case 0xd3: /* as if the auxiliary device had sent it */
		answer(kbc, FROM_AUX, v);
		break;
	case 0xd4:			     /* to the auxiliary device, which is not there */
		kbc->ram[0] &= ~CTR_AUX_OFF; /* sending releases the clock */
		aux_timeout(kbc);
		break;
	}
}

static void run_command(struct i8042 *kbc, uint8_t v)
{
	kbc->command = 0;
	if (v >= 0x20 && v <= 0x3f) {
		answer(kbc, FROM_CONTROLLER, kbc->ram[v & 0x1f]);
		return;
	}
	if ((v >= 0x60 && v <= 0x7f) || (v >= 0xd1 && v <= 0xd4)) {
		kbc->command = v;
		return;
	}
	if (v >= 0xf0) { /* pulses the output bits whose bit is 0; bit 0 is the reset line */
		if (!(v & OUT_NOT_RESET))
			irq_set(&kbc->cfg.reset, true);
		return;
	}
	switch (v) {
	case 0xa4: /* is there a password */
		answer(kbc, FROM_CONTROLLER, 0xf1);
		break;
	case 0xa7:
		kbc->ram[0] |= CTR_AUX_OFF;
		break;
	case 0xa8:
		kbc->ram[0] &= ~CTR_AUX_OFF;
		break;
	case 0xa9: /* both lines of the interface are fine */
	case 0xab:
		answer(kbc, FROM_CONTROLLER, 0x00);
		break;
	case 0xaa: /* self test; it leaves the keyboard disabled and the queue empty */
		kbc->queue_count = 0;
		kbc->is_full = false;
		kbc->ram[0] |= CTR_SYS | CTR_KBD_OFF | CTR_AUX_OFF;
		answer(kbc, FROM_CONTROLLER, 0x55);
		break;
	case 0xad:
		kbc->ram[0] |= CTR_KBD_OFF;
		break;
	case 0xae:
		kbc->ram[0] &= ~CTR_KBD_OFF;
		break;
	case 0xc0:
		answer(kbc, FROM_CONTROLLER, INPUT_PORT);
		break;
	case 0xd0:
		answer(kbc, FROM_CONTROLLER, read_out(kbc));
		break;
	case 0xdd: /* A20 off and on, of some controllers */
		kbc->out &= ~OUT_A20;
		break;
	case 0xdf:
		kbc->out |= OUT_A20;
		break;
	case 0xe0: /* test inputs: both clocks low */
		answer(kbc, FROM_CONTROLLER, 0x00);
		break;
	}
}

static void data_read(struct device *dev, struct io_req *req)
{
	struct i8042 *kbc = (struct i8042 *)dev;

	req->io.result = kbc->buffer.byte; /* an empty buffer still shows the last byte */
	if (!kbc->is_full)
		return;
	kbc->is_full = false;
	update(kbc); /* down, so that a further byte is a new edge */
	fill_buffer(kbc);
}

static void data_write(struct device *dev, struct io_req *req)
{
	struct i8042 *kbc = (struct i8042 *)dev;
	uint8_t command = kbc->command, v = (uint8_t)req->io.value;

	kbc->wrote_command = false;
	kbc->command = 0;
	if (command) {
		command_data(kbc, command, v);
	} else {
		kbc->ram[0] &= ~CTR_KBD_OFF; /* sending to the keyboard releases its clock */
		kbd_write(kbc, v);
	}
	fill_buffer(kbc);
}

static void status_read(struct device *dev, struct io_req *req)
{
	req->io.result = HR_LOAD(state_of(dev)->status); /* stored under the lock that is held */
}

static void command_write(struct device *dev, struct io_req *req)
{
	struct i8042 *kbc = (struct i8042 *)dev;

	kbc->wrote_command = true;
	run_command(kbc, (uint8_t)req->io.value);
	fill_buffer(kbc);
}

static void port92_read(struct device *dev, struct io_req *req)
{
	page_begin(dev);
	req->io.result = HR_LOAD(state_of(dev)->port92);
	page_end(dev);
}

static void port92_write(struct device *dev, struct io_req *req)
{
	struct i8042 *kbc = (struct i8042 *)dev;
	uint8_t v = (uint8_t)req->io.value & (KBC_PORT92_RESET | KBC_PORT92_A20);
	bool was_set;

	page_begin(dev);
	was_set = HR_LOAD(state_of(dev)->port92) & KBC_PORT92_RESET;
	HR_STORE(state_of(dev)->port92, v);
	page_end(dev);
	if (!was_set && (v & KBC_PORT92_RESET))
		irq_set(&kbc->cfg.reset, true);
}

static void i8042_reset(struct device *dev)
{
	struct i8042 *kbc = (struct i8042 *)dev;

	memset(kbc->ram, 0, sizeof(kbc->ram));
	kbc->ram[0] = CTR_KBD_OFF | CTR_AUX_OFF;
	kbc->out = 0xcc | OUT_NOT_RESET | OUT_A20; /* unused pins are high */
	page_begin(dev);
	HR_STORE(state_of(dev)->port92, KBC_PORT92_A20);
	page_end(dev);
	kbc->command = 0;
	kbc->wrote_command = false;
	kbc->buffer = (struct answer){0};
	kbc->is_full = false;
	kbc->queue_count = 0;
	kbc->kbd_command = 0;
	kbc->kbd_set = 2;
	kbc->kbd_last = KBD_PASSED;
	update(kbc);
}

static void i8042_destroy(struct device *dev)
{
	device_cleanup(dev);
	free(dev);
}

static const struct device_ops i8042_ops = {.reset = i8042_reset, .destroy = i8042_destroy};

struct device *i8042_create(struct bus *bus, struct clock *clock, const struct i8042_config *config)
{
	static const struct reg_name data_regs[] = {{0, 1, "data"}, {0, 0, NULL}};
	static const struct reg_name status_regs[] = {{0, 1, "status/command"}, {0, 0, NULL}};
	static const struct reg_name port92_regs[] = {{0, 1, "a20/reset"}, {0, 0, NULL}};
	const struct range ranges[] = {
		{.name = "i8042.data",
			.base = 0x60,
			.len = 1,
			.read = data_read,
			.write = data_write,
			.regs = data_regs},
		{.name = "i8042.status",
			.base = 0x64,
			.len = 1,
			.read = status_read,
			.write = command_write,
			.regs = status_regs},
		{.name = "port92",
			.base = 0x92,
			.len = 1,
			.read = port92_read,
			.write = port92_write,
			.regs = port92_regs},
	};
	struct i8042 *kbc = calloc(1, sizeof(*kbc));

	if (!kbc)
		return NULL;
	if (device_init(&kbc->dev, "i8042", &i8042_ops, clock, KBC_STATE_VERSION, sizeof(struct kbc_page))) {
		free(kbc);
		return NULL;
	}
	kbc->cfg = *config;
	if (!device_add_ranges(&kbc->dev, bus, ranges, 3)) {
		i8042_destroy(&kbc->dev);
		return NULL;
	}
	return &kbc->dev;
}
