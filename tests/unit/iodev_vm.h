/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iodev_vm.h: what the two tests of KVM_BPF_IODEV share: the programs of tests/prog/iodev.bpf.c in the kernel, a bare VM with
 * a vCPU in real mode, and the ioctl with good arguments to begin from. iodev_missing() says why a host has not what they need.
 */
#ifndef TESTS_UNIT_IODEV_VM_H
#define TESTS_UNIT_IODEV_VM_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/prog/iodev.h"
#include "vmm/kvm_bpf_iodev.h"

#define PORT 0x1000
#define MMIO_AT 0xd0000000u
#define GUEST_AT 0x1000
#define GUEST_BUFFER 0x8000
#define VM_BYTES 0x20000u

struct iodev_vm {
	int kvm, vm, state;
	struct bpf_object *object;
	struct iodev_page *page;
	uint8_t *mem;
	int vcpu[2];
	struct kvm_run *run[2];
	size_t run_bytes;
};

static inline int iodev_quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

/* NULL: everything is there. */
static inline const char *iodev_missing(void)
{
	static const struct bpf_insn insns[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = BPF_F_SLEEPABLE);
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), has, prog;

	if (kvm < 0)
		return "no /dev/kvm";
	has = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_BPF_IODEV);
	close(kvm);
	if (has < (int)sizeof(struct kvm_bpf_iodev))
		return "this KVM has not the patches of accel/kernel/";
	prog = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "probe", "GPL", insns, 2, &opts);
	if (prog < 0)
		return "bpf(2) is not allowed here";
	close(prog);
	return NULL;
}

static inline int iodev_prog(const struct iodev_vm *v, const char *name)
{
	struct bpf_program *p = bpf_object__find_program_by_name(v->object, name);

	return p ? bpf_program__fd(p) : -ENOENT;
}

static inline int iodev_map(const struct iodev_vm *v, const char *name)
{
	return bpf_object__find_map_fd_by_name(v->object, name);
}

/* The object with its programs, but for those whose names begin with `without`, in the kernel; NULL: it refuses them. */
static inline struct bpf_object *iodev_load(const char *path, const char *without)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *prog;

	if (!object)
		return NULL;
	if (without) {
		bpf_object__for_each_program(prog, object) bpf_program__set_autoload(
			prog, strncmp(bpf_program__name(prog), without, strlen(without)) != 0);
	}
	if (bpf_object__load(object)) {
		bpf_object__close(object);
		return NULL;
	}
	return object;
}

/* `all`: with the programs that KVM must refuse, which take the verifier a while. False with a line on stderr. */
static inline bool iodev_open(struct iodev_vm *v, const char *path, bool all)
{
	struct kvm_userspace_memory_region ram = {.memory_size = VM_BYTES};
	struct bpf_map *map;

	memset(v, 0, sizeof(*v));
	libbpf_set_print(iodev_quiet);
	v->object = iodev_load(path, all ? NULL : "refused");
	/* a kernel without tracing by BPF does not know that one's helper, and refuses it itself */
	if (!v->object && all)
		v->object = iodev_load(path, "refused_sleeps");
	if (!v->object) {
		fprintf(stderr, "cannot load %s: %s\n", path, strerror(errno));
		return false;
	}
	v->state = -1;
	bpf_object__for_each_map(map, v->object)
	{
		if (strstr(bpf_map__name(map), ".data.state"))
			v->state = bpf_map__fd(map);
	}
	v->page = mmap(NULL, (size_t)getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED, v->state, 0);
	v->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	v->vm = ioctl(v->kvm, KVM_CREATE_VM, 0);
	v->mem = mmap(NULL, VM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ram.userspace_addr = (uintptr_t)v->mem;
	if (v->page == MAP_FAILED || v->vm < 0 || v->mem == MAP_FAILED ||
		ioctl(v->vm, KVM_SET_USER_MEMORY_REGION, &ram)) {
		fprintf(stderr, "cannot make a VM: %s\n", strerror(errno));
		return false;
	}
	v->run_bytes = (size_t)ioctl(v->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	v->vcpu[0] = v->vcpu[1] = -1;
	return true;
}

/* vCPU `index` at the start of `code`, with segments that reach all of the low 64 KiB, or flat 4 GiB ones. */
static inline bool iodev_vcpu(struct iodev_vm *v, unsigned index, const uint8_t *code, size_t bytes)
{
	struct kvm_regs regs = {.rflags = 2, .rip = GUEST_AT + index * 0x1000};
	struct kvm_sregs sregs;
	struct kvm_segment *segs[] = {&sregs.cs, &sregs.ds, &sregs.es, &sregs.fs, &sregs.gs, &sregs.ss};

	if (v->vcpu[index] < 0) {
		v->vcpu[index] = ioctl(v->vm, KVM_CREATE_VCPU, index);
		v->run[index] = mmap(NULL, v->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->vcpu[index], 0);
	}
	memcpy(v->mem + regs.rip, code, bytes);
	if (v->run[index] == MAP_FAILED || ioctl(v->vcpu[index], KVM_GET_SREGS, &sregs))
		return false;
	for (unsigned i = 0; i < 6; i++) { /* 32-bit protected mode without paging */
		*segs[i] = (struct kvm_segment){
			.limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
	}
	sregs.cs.type = 11;
	sregs.cs.selector = 8;
	sregs.cr0 |= 1;
	return !ioctl(v->vcpu[index], KVM_SET_SREGS, &sregs) && !ioctl(v->vcpu[index], KVM_SET_REGS, &regs);
}

static inline void iodev_close(struct iodev_vm *v)
{
	for (unsigned i = 0; i < 2; i++) {
		if (v->vcpu[i] >= 0) {
			munmap(v->run[i], v->run_bytes);
			close(v->vcpu[i]);
		}
	}
	munmap(v->page, (size_t)getpagesize());
	munmap(v->mem, VM_BYTES);
	close(v->vm);
	close(v->kvm);
	bpf_object__close(v->object);
}

/* Arguments that ATTACH takes: reads of all sizes at 16 ports. */
static inline struct kvm_bpf_iodev iodev_args(const struct iodev_vm *v, const char *prog)
{
	return (struct kvm_bpf_iodev){
		.argsz = sizeof(struct kvm_bpf_iodev),
		.op = KVM_BPF_IODEV_ATTACH,
		.bus = KVM_BPF_IODEV_BUS_PIO,
		.flags = KVM_BPF_IODEV_READ,
		.addr = PORT,
		.len = 16,
		.prog_fd = iodev_prog(v, prog),
		.state_fd = v->state,
		.event_fd = -1,
		.sizes = 15,
	};
}

static inline struct kvm_bpf_iodev iodev_other(const struct kvm_bpf_iodev *args, uint32_t op)
{
	return (struct kvm_bpf_iodev){
		.argsz = sizeof(*args), .op = op, .bus = args->bus, .addr = args->addr, .len = args->len};
}

/* 0 or -errno. */
static inline int iodev_do(const struct iodev_vm *v, const struct kvm_bpf_iodev *args)
{
	struct kvm_bpf_iodev copy = *args;

	return ioctl(v->vm, KVM_BPF_IODEV, &copy) ? -errno : 0;
}

static inline int iodev_detach(const struct iodev_vm *v, const struct kvm_bpf_iodev *args)
{
	struct kvm_bpf_iodev d = iodev_other(args, KVM_BPF_IODEV_DETACH);

	return iodev_do(v, &d);
}

static inline struct kvm_bpf_iodev iodev_stats(const struct iodev_vm *v, const struct kvm_bpf_iodev *args)
{
	struct kvm_bpf_iodev s = iodev_other(args, KVM_BPF_IODEV_STATS);

	if (ioctl(v->vm, KVM_BPF_IODEV, &s))
		s.answered = s.punted = ~0ull;
	return s;
}

#endif
