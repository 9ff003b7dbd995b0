/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * i8042.h: what guests poll of the keyboard controller: its status register [8042], and port 0x92 [82371SB].
 *
 * The model stores status whenever something that it shows changes; port 0x92 is stored by the program too.
 */
#ifndef BPF_I8042_H
#define BPF_I8042_H

#include "bpf/hr.h"

#define KBC_STATE_VERSION 1

#define KBC_PORT92_RESET 0x01u /* its 0 to 1 transition resets the machine */
#define KBC_PORT92_A20 0x02u

struct kbc_state {
	int64_t offset_ns; /* no register of this device depends on time */
	uint8_t status;
	uint8_t port92;
	uint8_t pad[6];
};

struct kbc_page {
	struct hr_page head;
	struct kbc_state s;
};

#endif
