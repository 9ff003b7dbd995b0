/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm_probe_int.h: what the tests of this host's KVM share: each runs in a child process with a time limit, since a KVM
 * that is itself emulated may hang or kill its user.
 */
#ifndef VMM_KVM_PROBE_INT_H
#define VMM_KVM_PROBE_INT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Runs fn(opaque) in a child, at most three seconds, or until cancel_fd can be read (-1: never); what it finds it leaves in
 * shared memory. `reason` says "ended early" before it begins, and then why it was ended, if it was. False: it hung or was
 * cancelled. Where other threads may run, fn makes system calls and takes no lock, malloc()'s included.
 */
bool kvm_probe_in_child(void (*fn)(void *opaque), void *opaque, int cancel_fd, char *reason, size_t reason_bytes);

#endif
