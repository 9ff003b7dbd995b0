/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i16550.c: the 16550A UART [16550D]. The transmitter is infinitely fast: a byte is gone when it
 * is written, so THRE and TEMT are always set. The sender at the other end waits until there is
 * room, so only loopback can overrun the receiver.
 *
 * Not modelled: a break and framing or parity errors, which a wire would be needed for; words
 * shorter than 8 bits travel whole.
 */
#include "devices/i16550.h"

#include <stdlib.h>
#include <string.h>

#include "bpf/i16550.h"
#include "vmm/chardev.h"
#include "vmm/lock.h"

#define UART_HZ 1843200u
#define FIFO_BYTES 16u
#define RETRY_NS 1000000u
#define INPUT_BYTES 4096u /* typed or piped in, not yet in the FIFO; more is dropped */

#define IER_ERBFI 0x01u
#define IER_ETBEI 0x02u
#define IER_ELSI 0x04u
#define IER_EDSSI 0x08u
#define IIR_NONE 0x01u
#define IIR_MODEM 0x00u
#define IIR_THRE 0x02u
#define IIR_DATA 0x04u
#define IIR_LINE 0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFOS 0xc0u
#define FCR_ENABLE 0x01u
#define FCR_RX_RESET 0x02u
#define LCR_STB 0x04u
#define LCR_PEN 0x08u
#define LCR_DLAB 0x80u
#define MCR_DTR 0x01u
#define MCR_RTS 0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u
#define LSR_DR 0x01u
#define LSR_OE 0x02u
#define LSR_THRE_TEMT 0x60u
#define MSR_DCTS 0x01u
#define MSR_DDSR 0x02u
#define MSR_TERI 0x04u
#define MSR_DDCD 0x08u
#define MSR_CTS 0x10u
#define MSR_DSR 0x20u
#define MSR_RI 0x40u
#define MSR_DCD 0x80u

struct i16550 {
	struct device dev;
	/* constant after init */
	struct irq_line irq;
	struct chardev *chr;
	/* dev.lock */
	uint8_t ier, lcr, mcr, scr;
	uint8_t lsr; /* OE only, the rest is computed */
	uint8_t msr;
	uint16_t divisor;
	bool fifo_enabled;
	uint8_t trigger;   /* bytes */
	bool thre_pending; /* THR became empty and nobody has been told */
	bool timeout_pending;
	uint64_t timeout_ns; /* when the FIFO has been left alone for four characters; 0: not running */
	struct timer timeout;
	unsigned fifo_head, fifo_count;
	uint8_t fifo[FIFO_BYTES];
	/* input_lock, which is taken inside dev.lock */
	pthread_mutex_t input_lock;
	unsigned input_head, input_count;
	uint8_t input[INPUT_BYTES];
	/* clock.lock */
	struct timer retry; /* of the event thread, see event_look() */
};

static unsigned fifo_size(const struct i16550 *uart)
{
	return uart->fifo_enabled ? FIFO_BYTES : 1;
}

/* Four characters of the programmed length and speed. */
static uint64_t timeout_length_ns(const struct i16550 *uart)
{
	uint64_t bits = 1 + 5 + (uart->lcr & 3) + !!(uart->lcr & LCR_PEN) + 1 + !!(uart->lcr & LCR_STB);
	uint64_t divisor = uart->divisor ? uart->divisor : 0x10000;

	return 4 * bits * 16 * divisor * HR_NSEC_PER_SEC / UART_HZ;
}

/* The pending interrupt of highest priority, as IIR shows it. */
static uint8_t interrupt_id(const struct i16550 *uart)
{
	if ((uart->ier & IER_ELSI) && (uart->lsr & LSR_OE))
		return IIR_LINE;
	if ((uart->ier & IER_ERBFI) && uart->fifo_count >= (uart->fifo_enabled ? uart->trigger : 1))
		return IIR_DATA;
	if ((uart->ier & IER_ERBFI) && uart->timeout_pending)
		return IIR_TIMEOUT;
	if ((uart->ier & IER_ETBEI) && uart->thre_pending)
		return IIR_THRE;
	if ((uart->ier & IER_EDSSI) && (uart->msr & (MSR_DCTS | MSR_DDSR | MSR_TERI | MSR_DDCD)))
		return IIR_MODEM;
	return IIR_NONE;
}

/* What programs show. A read of data, and one that takes a status away, is no plain one. */
static void show(struct i16550 *uart)
{
	struct uart_state *s = &((struct uart_page *)device_page(&uart->dev))->s;
	bool dlab = uart->lcr & LCR_DLAB, is_told = interrupt_id(uart) == IIR_NONE;
	uint8_t plain = 1u << UART_IER | 1u << UART_LCR | 1u << UART_MCR | 1u << UART_SCR;
	const uint8_t regs[8] = {
		[UART_RBR_THR] = (uint8_t)uart->divisor,
		[UART_IER] = dlab ? (uint8_t)(uart->divisor >> 8) : uart->ier,
		[UART_IIR_FCR] = IIR_NONE | (uart->fifo_enabled ? IIR_FIFOS : 0),
		[UART_LCR] = uart->lcr,
		[UART_MCR] = uart->mcr,
		[UART_LSR] = LSR_THRE_TEMT | (uart->fifo_count ? LSR_DR : 0),
		[UART_MSR] = uart->msr,
		[UART_SCR] = uart->scr,
	};
	uint64_t shown = 0;

	for (unsigned i = 0; i < 8; i++)
		shown |= (uint64_t)regs[i] << 8 * i;
	plain |= (uint8_t)(dlab << UART_RBR_THR | is_told << UART_IIR_FCR | !uart->lsr << UART_LSR |
			   !(uart->msr & 0x0f) << UART_MSR);
	if (shown == HR_LOAD(s->shown) && plain == HR_LOAD(s->plain))
		return;
	page_begin(&uart->dev);
	HR_STORE(s->shown, shown);
	HR_STORE(s->plain, plain);
	page_end(&uart->dev);
}

/* After each change: what programs show, then the line. Loopback forces the OUT2 pin inactive, and with it the PC's gate. */
static void update(struct i16550 *uart)
{
	bool gate = (uart->mcr & MCR_OUT2) && !(uart->mcr & MCR_LOOP);

	show(uart);
	irq_set(&uart->irq, gate && interrupt_id(uart) != IIR_NONE);
}

/* Something was read from or put into the FIFO: the timeout starts again. */
static void restart_timeout(struct i16550 *uart)
{
	uart->timeout_pending = false;
	if (uart->fifo_enabled && uart->fifo_count) {
		uart->timeout_ns = device_now(&uart->dev) + timeout_length_ns(uart);
		timer_arm(uart->dev.clock, &uart->timeout, uart->timeout_ns);
	} else {
		uart->timeout_ns = 0;
		timer_cancel(uart->dev.clock, &uart->timeout);
	}
}

static void receive(struct i16550 *uart, uint8_t byte)
{
	if (uart->fifo_count == fifo_size(uart)) {
		uart->lsr |= LSR_OE;
		if (!uart->fifo_enabled) /* without FIFOs the new character replaces the old one */
			uart->fifo[uart->fifo_head] = byte;
		return;
	}
	uart->fifo[(uart->fifo_head + uart->fifo_count) % FIFO_BYTES] = byte;
	uart->fifo_count++;
	restart_timeout(uart);
}

/* The other end sends what there is room for. In loopback the input pin is disconnected. */
static void pump_input(struct i16550 *uart)
{
	pthread_mutex_lock(&uart->input_lock);
	while (!(uart->mcr & MCR_LOOP) && uart->input_count && uart->fifo_count < fifo_size(uart)) {
		receive(uart, uart->input[uart->input_head]);
		uart->input_head = (uart->input_head + 1) % INPUT_BYTES;
		uart->input_count--;
	}
	pthread_mutex_unlock(&uart->input_lock);
}

/*
 * Looks at what has come and at the timeout. The event thread must not wait for dev.lock: a vCPU
 * holds it while it waits for somebody to read the output, and --timeout and signals, which end
 * such a wait, are the event thread's. It comes back a little later instead.
 */
static void event_look(void *opaque)
{
	struct i16550 *uart = opaque;

	if (pthread_mutex_trylock(&uart->dev.lock) != 0) {
		timer_arm(uart->dev.clock, &uart->retry, clock_now(uart->dev.clock) + RETRY_NS);
		return;
	}
	if (uart->timeout_ns && clock_now(uart->dev.clock) >= uart->timeout_ns) {
		uart->timeout_ns = 0;
		uart->timeout_pending = true;
	}
	pump_input(uart);
	update(uart);
	pthread_mutex_unlock(&uart->dev.lock);
}

/* Event thread. */
static void chardev_sends(void *opaque, const uint8_t *buf, size_t bytes)
{
	struct i16550 *uart = opaque;

	pthread_mutex_lock(&uart->input_lock);
	for (size_t i = 0; i < bytes && uart->input_count < INPUT_BYTES; i++) {
		uart->input[(uart->input_head + uart->input_count) % INPUT_BYTES] = buf[i];
		uart->input_count++;
	}
	pthread_mutex_unlock(&uart->input_lock);
	event_look(uart);
}

static void clear_fifo(struct i16550 *uart)
{
	uart->fifo_head = 0;
	uart->fifo_count = 0;
	restart_timeout(uart);
}

static uint8_t read_rbr(struct i16550 *uart)
{
	uint8_t byte = uart->fifo[uart->fifo_head];

	if (!uart->fifo_count)
		return byte;
	uart->fifo_head = (uart->fifo_head + 1) % FIFO_BYTES;
	uart->fifo_count--;
	restart_timeout(uart);
	pump_input(uart);
	return byte;
}

static void write_thr(struct i16550 *uart, uint8_t byte)
{
	/* The write makes THR full, which takes the interrupt away, and then it is empty again. */
	uart->thre_pending = false;
	update(uart);
	uart->thre_pending = true;
	if (uart->mcr & MCR_LOOP)
		receive(uart, byte);
	else
		chardev_write(uart->chr, &byte, 1);
}

static uint8_t read_iir(struct i16550 *uart)
{
	uint8_t id = interrupt_id(uart);

	if (id == IIR_THRE)
		uart->thre_pending = false;
	return id | (uart->fifo_enabled ? IIR_FIFOS : 0);
}

static void write_ier(struct i16550 *uart, uint8_t v)
{
	/* [16550D] THRE interrupt: enabling it while THR is empty asks for one at once. */
	if ((v & IER_ETBEI) && !(uart->ier & IER_ETBEI))
		uart->thre_pending = true;
	uart->ier = v & 0x0f;
}

static void write_fcr(struct i16550 *uart, uint8_t v)
{
	static const uint8_t triggers[4] = {1, 4, 8, 14};
	bool enable = v & FCR_ENABLE;

	if (enable != uart->fifo_enabled || (enable && (v & FCR_RX_RESET))) {
		uart->fifo_enabled = enable;
		clear_fifo(uart);
	}
	if (enable) /* the other bits are programmed only together with this one */
		uart->trigger = triggers[v >> 6];
	pump_input(uart);
}

/* The modem inputs: whoever is connected is always ready; in loopback they are MCR's outputs. */
static void update_modem(struct i16550 *uart)
{
	uint8_t lines = uart->chr ? MSR_CTS | MSR_DSR | MSR_DCD : 0, changed;

	if (uart->mcr & MCR_LOOP)
		lines = (uart->mcr & MCR_RTS ? MSR_CTS : 0) | (uart->mcr & MCR_DTR ? MSR_DSR : 0) |
			(uart->mcr & MCR_OUT1 ? MSR_RI : 0) | (uart->mcr & MCR_OUT2 ? MSR_DCD : 0);
	changed = (uart->msr ^ lines) & 0xf0;
	uart->msr = lines | (uart->msr & 0x0f);
	if (changed & MSR_CTS)
		uart->msr |= MSR_DCTS;
	if (changed & MSR_DSR)
		uart->msr |= MSR_DDSR;
	if ((changed & MSR_RI) && !(lines & MSR_RI))
		uart->msr |= MSR_TERI;
	if (changed & MSR_DCD)
		uart->msr |= MSR_DDCD;
}

static uint8_t read_lsr(struct i16550 *uart)
{
	uint8_t v = uart->lsr | LSR_THRE_TEMT | (uart->fifo_count ? LSR_DR : 0);

	uart->lsr = 0;
	return v;
}

static uint8_t read_msr(struct i16550 *uart)
{
	uint8_t v = uart->msr;

	uart->msr &= 0xf0;
	return v;
}

static void i16550_read(struct device *dev, struct io_req *req)
{
	struct i16550 *uart = (struct i16550 *)dev;
	bool dlab = uart->lcr & LCR_DLAB;
	uint8_t v = 0;

	switch (req->io.offset) {
	case UART_RBR_THR:
		v = dlab ? (uint8_t)uart->divisor : read_rbr(uart);
		break;
	case UART_IER:
		v = dlab ? (uint8_t)(uart->divisor >> 8) : uart->ier;
		break;
	case UART_IIR_FCR:
		v = read_iir(uart);
		break;
	case UART_LCR:
		v = uart->lcr;
		break;
	case UART_MCR:
		v = uart->mcr;
		break;
	case UART_LSR:
		v = read_lsr(uart);
		break;
	case UART_MSR:
		v = read_msr(uart);
		break;
	case UART_SCR:
		v = uart->scr;
		break;
	}
	update(uart);
	req->io.result = v;
}

static void i16550_write(struct device *dev, struct io_req *req)
{
	struct i16550 *uart = (struct i16550 *)dev;
	bool dlab = uart->lcr & LCR_DLAB;
	uint8_t v = (uint8_t)req->io.value;

	switch (req->io.offset) {
	case UART_RBR_THR:
		if (dlab)
			uart->divisor = (uart->divisor & 0xff00) | v;
		else
			write_thr(uart, v);
		break;
	case UART_IER:
		if (dlab)
			uart->divisor = (uint16_t)((uart->divisor & 0xff) | v << 8);
		else
			write_ier(uart, v);
		break;
	case UART_IIR_FCR:
		write_fcr(uart, v);
		break;
	case UART_LCR:
		uart->lcr = v;
		break;
	case UART_MCR:
		uart->mcr = v & 0x1f;
		update_modem(uart);
		pump_input(uart);
		break;
	case UART_SCR:
		uart->scr = v;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
	update(uart);
}

/* [16550D] Master reset. The divisor is left undefined there; 12 is 9600 baud. */
static void i16550_reset(struct device *dev)
{
	struct i16550 *uart = (struct i16550 *)dev;

	uart->ier = uart->lcr = uart->mcr = uart->scr = uart->lsr = 0;
	uart->divisor = 12;
	uart->fifo_enabled = false;
	uart->trigger = 1;
	memset(uart->fifo, 0, sizeof(uart->fifo));
	uart->thre_pending = false;
	clear_fifo(uart);
	update_modem(uart);
	uart->msr &= 0xf0;
	pump_input(uart);
	update(uart);
}

static void i16550_destroy(struct device *dev)
{
	struct i16550 *uart = (struct i16550 *)dev;

	if (uart->chr)
		chardev_set_receiver(uart->chr, NULL, NULL);
	timer_cancel(dev->clock, &uart->timeout);
	timer_cancel(dev->clock, &uart->retry);
	pthread_mutex_destroy(&uart->input_lock);
	device_cleanup(dev);
	free(dev);
}

static void uart_shift_time(struct device *dev, uint64_t by_ns)
{
	struct i16550 *uart = (struct i16550 *)dev;

	if (uart->timeout_ns)
		uart->timeout_ns += by_ns;
}

static const struct device_ops i16550_ops = {
	.reset = i16550_reset, .shift_time = uart_shift_time, .destroy = i16550_destroy};

struct device *i16550_create(struct bus *bus, struct clock *clock, struct irq_line irq, struct chardev *chr)
{
	static const struct reg_name regs[] = {{0, 1, "rbr/thr"}, {1, 1, "ier"}, {2, 1, "iir/fcr"}, {3, 1, "lcr"},
		{4, 1, "mcr"}, {5, 1, "lsr"}, {6, 1, "msr"}, {7, 1, "scr"}, {0, 0, NULL}};
	const struct range range = {
		.name = "i16550", .base = 0x3f8, .len = 8, .read = i16550_read, .write = i16550_write, .regs = regs};
	struct i16550 *uart = calloc(1, sizeof(*uart));

	if (!uart)
		return NULL;
	if (device_init(&uart->dev, "i16550", &i16550_ops, clock, UART_STATE_VERSION, sizeof(struct uart_page))) {
		free(uart);
		return NULL;
	}
	uart->irq = irq;
	uart->chr = chr;
	pthread_mutex_init(&uart->input_lock, NULL);
	lock_declare(&uart->input_lock, "i16550 input", LOCK_INNER);
	timer_init(&uart->timeout, event_look, uart);
	timer_init(&uart->retry, event_look, uart);
	if (chr)
		chardev_set_receiver(chr, chardev_sends, uart);
	if (!device_add_ranges(&uart->dev, bus, &range, 1)) {
		i16550_destroy(&uart->dev);
		return NULL;
	}
	return &uart->dev;
}
