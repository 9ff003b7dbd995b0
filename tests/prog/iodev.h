/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* iodev.h: the state page of tests/prog/iodev.bpf.c, for it and for the tests that attach it. */
#ifndef TESTS_PROG_IODEV_H
#define TESTS_PROG_IODEV_H

#include "bpf/hr.h"

struct iodev_page {
	struct hr_page head;
	uint64_t count;
	uint64_t limit;
	uint64_t every;
	uint64_t written;
	uint64_t a, b;
};

#endif
