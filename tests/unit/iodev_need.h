/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iodev_need.h: for cmocka tests that need the patched KVM. Include after cmocka.h.
 */
#ifndef HOTREG_TESTS_IODEV_NEED_H
#define HOTREG_TESTS_IODEV_NEED_H

/* For a test to begin with: skips it by name where iodev_missing() (iodev_vm.h) gave a reason. */
static inline void iodev_need(const char *missing)
{
	if (missing) {
		print_message("[  SKIPPED ] needs a patched KVM: %s\n", missing);
		skip();
	}
}

#endif
