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
 * Runs fn(opaque) in a child, at most three seconds; what it finds it leaves in shared memory. `reason` says
 * "ended early" before it begins, and then why it was ended, if it was. False: it hung. Before any thread is started.
 */
bool kvm_probe_in_child(void (*fn)(void *opaque), void *opaque, char *reason, size_t reason_bytes);

#endif
