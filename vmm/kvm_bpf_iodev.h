/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm_bpf_iodev.h: the kernel tier's ioctl as hotreg sees it: KVM_BPF_IODEV on a VM's descriptor, of a KVM with the patches
 * of accel/kernel/, whose text in api.rst is the reference. No distribution's <linux/kvm.h> has it yet.
 */
#ifndef VMM_KVM_BPF_IODEV_H
#define VMM_KVM_BPF_IODEV_H

#include <linux/kvm.h>
#include <stdint.h>

#ifndef KVM_CAP_BPF_IODEV

#define KVM_CAP_BPF_IODEV 0x4252 /* KVM_CHECK_EXTENSION: sizeof(struct kvm_bpf_iodev), 0: has it not */
#define KVM_BPF_IODEV _IO(KVMIO, 0xef)

/* op */
#define KVM_BPF_IODEV_ATTACH 0
#define KVM_BPF_IODEV_REPLACE 1
#define KVM_BPF_IODEV_DETACH 2
#define KVM_BPF_IODEV_STATS 3

/* bus */
#define KVM_BPF_IODEV_BUS_PIO 0
#define KVM_BPF_IODEV_BUS_MMIO 1

/* flags */
#define KVM_BPF_IODEV_READ (1 << 0)
#define KVM_BPF_IODEV_WRITE (1 << 1)
#define KVM_BPF_IODEV_STATEFUL (1 << 2)
#define KVM_BPF_IODEV_ALIGNED (1 << 3)
#define KVM_BPF_IODEV_DRAIN (1 << 4)

struct kvm_bpf_iodev {
	uint32_t argsz;
	uint32_t op;
	uint32_t bus;
	uint32_t flags;
	uint64_t addr;
	uint32_t len;
	uint32_t offset; /* that the program sees for an access to addr */
	int32_t prog_fd;
	int32_t state_fd;
	int32_t event_fd; /* -1: none */
	uint32_t sizes;	  /* 1 | 2 | 4 | 8 */
	/* out, of DETACH and STATS */
	uint64_t answered;
	uint64_t punted;
	uint64_t retried;
	uint64_t busy;
};

#endif

#endif
