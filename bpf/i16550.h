/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * i16550.h: what reads of the serial port give at the moment, for those that change nothing by it. The model stores it
 * whenever something that it shows changes; programs only read.
 */
#ifndef BPF_I16550_H
#define BPF_I16550_H

#include "bpf/hr.h"

#define UART_STATE_VERSION 1

enum uart_reg { UART_RBR_THR, UART_IER, UART_IIR_FCR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR };

struct uart_state {
	int64_t offset_ns; /* no register of this device depends on time */
	uint64_t shown;	   /* byte n: what a read of register n gives */
	uint8_t plain;	   /* bit n: that read changes nothing */
	uint8_t pad[7];
};

struct uart_page {
	struct hr_page head;
	struct uart_state s;
};

static inline bool uart_is_plain(const struct uart_state *s, uint32_t reg)
{
	return HR_LOAD(s->plain) >> (reg & 7) & 1;
}

static inline uint8_t uart_value(const struct uart_state *s, uint32_t reg)
{
	return (uint8_t)(HR_LOAD(s->shown) >> (8 * reg & 63));
}

#endif
