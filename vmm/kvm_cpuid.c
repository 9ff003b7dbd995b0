// SPDX-License-Identifier: BSD-2-Clause
/*
 * kvm_cpuid.c: puts the CPUID leaves of a vCPU together. The host's are what KVM supports, as they are; a model's are its
 * own (kvm_cpuid_model.c) but for the XSAVE areas, whose layout is the processor's. Into both go the features that
 * cpuid_resolve() allows and the topology: one package, one thread a core.
 */
#include "vmm/kvm_cpuid.h"

#include <asm/kvm_para.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/text.h"

#define APIC_BASE_ENABLE 0x800u
#define CPUID_OWN_LEAVES 4
#define CPUID_HYPERVISOR 0x40000000u
/* What of KVM's paravirtual features a guest is offered: its clock, and no delay after port accesses. */
#define PV_FEATURES                                                                                                    \
	(1u << KVM_FEATURE_CLOCKSOURCE | 1u << KVM_FEATURE_NOP_IO_DELAY | 1u << KVM_FEATURE_CLOCKSOURCE2 |             \
		1u << KVM_FEATURE_CLOCKSOURCE_STABLE_BIT)

#define BIT_X2APIC (1u << 21) /* 1.ECX */
#define BIT_DEADLINE (1u << 24)
#define BIT_XSAVE (1u << 26)
#define BIT_AVX (1u << 28)
#define BIT_HYPERVISOR (1u << 31)
#define BIT_APIC (1u << 9) /* 1.EDX */
#define BIT_HTT (1u << 28)
#define BIT_MPX (1u << 14) /* 7.EBX */
#define BIT_AVX512F (1u << 16)
#define BIT_PKU (1u << 3)	/* 7.ECX */
#define BIT_AMX_TILE (1u << 24) /* 7.EDX */
#define BIT_XSAVES (1u << 3)	/* 0xd.1.EAX */
#define BIT_SVM (1u << 2)	/* 0x80000001.ECX */
/* What of 1.EDX an AMD processor shows in 0x80000001.EDX as well ([APM3] Fn8000_0001_EDX). */
#define AMD_REPEATED 0x0183f3ffu

static uint32_t *reg_of(struct kvm_cpuid_entry2 *e, enum cpuid_reg reg)
{
	switch (reg) {
	case CPUID_EAX:
		return &e->eax;
	case CPUID_EBX:
		return &e->ebx;
	case CPUID_ECX:
		return &e->ecx;
	case CPUID_EDX:
		break;
	}
	return &e->edx;
}

static const struct kvm_cpuid_entry2 *find(
	const struct kvm_cpuid_entry2 *entries, unsigned count, uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < count; i++) {
		if (entries[i].function == leaf && entries[i].index == subleaf)
			return &entries[i];
	}
	return NULL;
}

static bool is_amd(const struct kvm_cpuid_entry2 *entries, unsigned count)
{
	const struct kvm_cpuid_entry2 *e = find(entries, count, 0, 0);

	return e && e->ebx == 0x68747541; /* "Auth" */
}

/* ---- what there is --------------------------------------------------------------------------- */

void kvm_cpuid_host(const struct kvm_cpuid_source *source, bool has_lapic, struct cpuid_host *out)
{
	const uint32_t lapic = BIT_X2APIC | (source->has_deadline ? BIT_DEADLINE : 0);

	*out = (struct cpuid_host){.has_lapic = has_lapic};
	for (unsigned w = 0; w < CPUID_WORDS; w++) {
		const struct kvm_cpuid_entry2 *e =
			find(source->entries, source->count, cpuid_places[w].leaf, cpuid_places[w].subleaf);
		struct kvm_cpuid_entry2 copy;

		if (!e)
			continue;
		copy = *e;
		out->has.word[w] = *reg_of(&copy, cpuid_places[w].reg);
	}
	out->has.word[CPUID_1_ECX] &= ~(BIT_X2APIC | BIT_DEADLINE);
	if (has_lapic) {
		out->has.word[CPUID_1_ECX] |= lapic;
		out->has.word[CPUID_1_EDX] |= BIT_APIC;
	} else {
		out->has.word[CPUID_1_EDX] &= ~BIT_APIC;
		out->has.word[CPUID_X1_EDX] &= ~BIT_APIC; /* AMD repeats the bit here */
	}
}

/* ---- what the guest sees --------------------------------------------------------------------- */

/* Host leaves that describe what this machine does not have, or that are written anew below. */
static bool leaf_is_hidden(uint32_t leaf)
{
	return leaf == 0xa || leaf == 0xb || leaf == 0x1f || (leaf >= 0x40000000 && leaf < 0x50000000);
}

/* Bits of an APIC id that number the cores of the package. */
static unsigned core_bits(unsigned cpus)
{
	unsigned bits = 0;

	while (1u << bits < cpus)
		bits++;
	return bits;
}

/* This vCPU's place: one of `cpus` cores. */
static void set_topology(struct kvm_cpuid_entry2 *e, unsigned index, unsigned cpus)
{
	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0x0000ffff) | index << 24 | cpus << 16;
		e->edx = cpus > 1 ? e->edx | BIT_HTT : e->edx & ~BIT_HTT;
		break;
	case 4: /* each cache belongs to one core, each core has one thread */
		if (e->eax & 0x1f)
			e->eax = (e->eax & 0x3fff) | ((1u << core_bits(cpus)) - 1) << 26;
		break;
	case 0x80000008: /* ECX: AMD's core count, and how many bits of the APIC id it takes */
		e->ecx = (e->ecx & ~0xf0ffu) | (cpus - 1) | core_bits(cpus) << 12;
		break;
	case 0x8000001d: /* AMD's leaf 4 */
		e->eax &= 0x3fff;
		break;
	case 0x8000001e: /* AMD: ids of APIC, core, node */
		e->eax = index;
		e->ebx = index;
		e->ecx = 0;
		break;
	}
}

static void set_features(struct kvm_cpuid_entry2 *e, const struct cpuid_set *set)
{
	for (unsigned w = 0; w < CPUID_WORDS; w++) {
		if (cpuid_places[w].leaf == e->function && cpuid_places[w].subleaf == e->index)
			*reg_of(e, cpuid_places[w].reg) = set->word[w];
	}
}

/* The XSAVE components that the features use ([SDM1] 13.1), as bits of XCR0. */
static uint32_t xsave_components(const struct cpuid_set *set)
{
	uint32_t bits = 0x3;

	if (set->word[CPUID_1_ECX] & BIT_AVX)
		bits |= 0x4;
	if (set->word[CPUID_7_EBX] & BIT_MPX)
		bits |= 0x18;
	if (set->word[CPUID_7_EBX] & BIT_AVX512F)
		bits |= 0xe0;
	if (set->word[CPUID_7_ECX] & BIT_PKU)
		bits |= 0x200;
	if (set->word[CPUID_7_EDX] & BIT_AMX_TILE)
		bits |= 0x60000;
	return bits;
}

/* Of a leaf 0xd the part that the features leave. False: nothing is left. The sizes in EBX are KVM's to keep up to date. */
static bool cut_xsave(struct kvm_cpuid_entry2 *e, const struct kvm_cpuid_source *source, const struct cpuid_set *set)
{
	const uint32_t components = xsave_components(set);
	const bool has_xsaves = set->word[CPUID_D_1_EAX] & BIT_XSAVES;
	uint32_t bytes = 512 + 64;

	if (!(set->word[CPUID_1_ECX] & BIT_XSAVE))
		return false;
	switch (e->index) {
	case 0:
		e->eax &= components;
		e->edx = 0;
		for (uint32_t i = 2; i < 32; i++) {
			const struct kvm_cpuid_entry2 *part = find(source->entries, source->count, 0xd, i);

			if (part && e->eax >> i & 1 && part->ebx + part->eax > bytes)
				bytes = part->ebx + part->eax;
		}
		e->ebx = e->ecx = bytes;
		return true;
	case 1:
		if (!has_xsaves)
			e->ecx = e->edx = 0;
		return true;
	default:
		return e->index < 32 && (components >> e->index & 1 || (has_xsaves && (e->ecx & 1)));
	}
}

/*
 * 0x40000000: who the hypervisor is. With paravirtual features KVM's own signature and their leaf, else
 * "hotreg VMM" and nothing behind it. Returns how many leaves.
 */
static unsigned hypervisor_leaves(struct kvm_cpuid_entry2 *out, uint32_t pv_features)
{
	const char *name = pv_features ? "KVMKVMKVM\0\0\0" : "hotreg VMM\0\0";

	out[0] = (struct kvm_cpuid_entry2){
		.function = CPUID_HYPERVISOR, .eax = CPUID_HYPERVISOR + (pv_features ? 1 : 0)};
	memcpy(&out[0].ebx, name, 4);
	memcpy(&out[0].ecx, name + 4, 4);
	memcpy(&out[0].edx, name + 8, 4);
	if (!pv_features)
		return 1;
	out[1] = (struct kvm_cpuid_entry2){.function = CPUID_HYPERVISOR + 1, .eax = pv_features};
	return 2;
}

/* One thread a core, `cpus` cores in the package ([SDM2] CPUID leaf 0bh). */
static unsigned topology_leaves(struct kvm_cpuid_entry2 *out, unsigned index, unsigned cpus)
{
	for (unsigned level = 0; level < 2; level++)
		out[level] = (struct kvm_cpuid_entry2){
			.function = 0xb,
			.index = level,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = level ? core_bits(cpus) : 0, /* APIC id bits below this level's */
			.ebx = level ? cpus : 1,
			.ecx = level | (level + 1) << 8,
			.edx = index,
		};
	return 2;
}

/* The host's leaves that a guest may see. */
static unsigned host_leaves(const struct kvm_cpuid_source *source, struct kvm_cpuid_entry2 *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < source->count && n < KVM_MAX_CPUID - CPUID_OWN_LEAVES; i++) {
		if (!leaf_is_hidden(source->entries[i].function))
			out[n++] = source->entries[i];
	}
	return n;
}

/* The model with as many leaves as the features that were added to it take. */
static struct cpuid_model reach(const struct cpuid_model *model, const struct cpuid_set *set)
{
	struct cpuid_model m = *model;

	for (unsigned w = 0; w < CPUID_WORDS; w++) {
		uint32_t leaf = cpuid_places[w].leaf;

		if (!set->word[w])
			continue;
		if (leaf >= 0x80000000 && leaf > m.xlevel)
			m.xlevel = leaf;
		else if (leaf < 0x80000000 && leaf > m.level)
			m.level = leaf;
	}
	if (set->word[CPUID_X1_ECX] & BIT_SVM && m.xlevel < 0x8000000a)
		m.xlevel = 0x8000000a;
	if (m.xlevel && m.xlevel < 0x80000004)
		m.xlevel = 0x80000004; /* the brand string */
	if (set->word[CPUID_1_ECX] & BIT_XSAVE && m.level < 0xd)
		m.level = 0xd;
	return m;
}

/* The model's, and the host's XSAVE areas. */
static unsigned model_leaves(const struct kvm_cpuid_source *source, const struct cpuid_model *model,
	const struct cpuid_set *set, struct kvm_cpuid_entry2 *out)
{
	const struct kvm_cpuid_entry2 *sizes = find(source->entries, source->count, 0x80000008, 0);
	unsigned n = kvm_model_leaves(model, set, sizes ? sizes->eax & 0xff : 36, out);

	for (unsigned i = 0; i < source->count && n < KVM_MAX_CPUID - CPUID_OWN_LEAVES; i++) {
		if (source->entries[i].function == 0xd && model->level >= 0xd)
			out[n++] = source->entries[i];
	}
	return n;
}

static bool is_default(const struct cpuid_request *request)
{
	static const struct cpuid_request none;

	return memcmp(request, &none, sizeof(none)) == 0;
}

int kvm_cpuid_make(const struct kvm_cpuid_source *source, const struct kvm_cpuid_want *want, struct kvm_cpuid2 *out,
	struct accel_err *err)
{
	struct cpuid_model model = {.name = NULL};
	const struct kvm_cpuid_entry2 *pv = find(source->entries, source->count, CPUID_HYPERVISOR + 1, 0);
	const bool as_it_is = is_default(&want->request);
	struct kvm_cpuid_entry2 *e = out->entries;
	struct cpuid_host host;
	struct cpuid_set set;
	unsigned n, kept = 0;
	int rc;

	kvm_cpuid_host(source, want->has_lapic, &host);
	rc = cpuid_resolve(&want->request, &host, &set, err);
	if (rc)
		return rc;
	if (want->request.model)
		model = reach(want->request.model, &set);
	n = model.name ? model_leaves(source, &model, &set, e) : host_leaves(source, e);
	if (!as_it_is && is_amd(e, n))
		set.word[CPUID_X1_EDX] =
			(set.word[CPUID_X1_EDX] & ~AMD_REPEATED) | (set.word[CPUID_1_EDX] & AMD_REPEATED);
	for (unsigned i = 0; i < n; i++) {
		e[kept] = e[i];
		set_features(&e[kept], &set);
		set_topology(&e[kept], want->index, want->cpus);
		kept += as_it_is || e[kept].function != 0xd || cut_xsave(&e[kept], source, &set);
	}
	if (!model.name || model.level >= 0xb)
		kept += topology_leaves(e + kept, want->index, want->cpus);
	if (set.word[CPUID_1_ECX] & BIT_HYPERVISOR)
		kept += hypervisor_leaves(e + kept, want->has_pv && pv ? pv->eax & PV_FEATURES : 0);
	out->nent = kept;
	return 0;
}

/* ---- the real one ---------------------------------------------------------------------------- */

/* KVM shows the APIC bit of CPUID as IA32_APIC_BASE has it, whatever KVM_SET_CPUID2 said. */
static int disable_apic(int vcpu_fd)
{
	struct kvm_sregs s;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &s) < 0)
		return -1;
	s.apic_base &= ~(uint64_t)APIC_BASE_ENABLE;
	return ioctl(vcpu_fd, KVM_SET_SREGS, &s);
}

static struct kvm_cpuid2 *new_list(struct accel_err *err)
{
	struct kvm_cpuid2 *list = calloc(1, sizeof(*list) + KVM_MAX_CPUID * sizeof(list->entries[0]));

	if (!list)
		err_set(err, "out of memory");
	return list;
}

/* The list is the caller's. NULL: a line is in err, the reason in *rc. */
static struct kvm_cpuid2 *ask_kvm(int kvm_fd, struct kvm_cpuid_source *source, int *rc, struct accel_err *err)
{
	struct kvm_cpuid2 *list = new_list(err);

	*rc = -ENOMEM;
	if (!list)
		return NULL;
	list->nent = KVM_MAX_CPUID - CPUID_OWN_LEAVES;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, list) < 0) {
		*rc = err_fail(err, -errno, "KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
		free(list);
		return NULL;
	}
	*source = (struct kvm_cpuid_source){
		.entries = list->entries,
		.count = list->nent,
		.has_deadline = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0,
	};
	return list;
}

int kvm_cpuid_ask(int kvm_fd, bool has_lapic, struct cpuid_host *out, struct accel_err *err)
{
	struct kvm_cpuid_source source;
	int rc;
	struct kvm_cpuid2 *list = ask_kvm(kvm_fd, &source, &rc, err);

	if (!list)
		return rc;
	kvm_cpuid_host(&source, has_lapic, out);
	free(list);
	return 0;
}

static bool list_has_long_mode(const struct kvm_cpuid2 *list)
{
	for (unsigned i = 0; i < list->nent; i++) {
		if (list->entries[i].function == 0x80000001)
			return list->entries[i].edx >> 29 & 1;
	}
	return false;
}

int kvm_set_cpuid(
	int kvm_fd, int vcpu_fd, const struct kvm_cpuid_want *want, bool *has_long_mode, struct accel_err *err)
{
	struct kvm_cpuid_source source;
	int rc;
	struct kvm_cpuid2 *list = ask_kvm(kvm_fd, &source, &rc, err), *id;

	if (!list)
		return rc;
	id = new_list(err);
	rc = id ? kvm_cpuid_make(&source, want, id, err) : -ENOMEM;
	if (!rc && ioctl(vcpu_fd, KVM_SET_CPUID2, id) < 0)
		rc = err_fail(err, -errno, "KVM_SET_CPUID2: %s", strerror(errno));
	if (!rc && has_long_mode)
		*has_long_mode = list_has_long_mode(id);
	if (!rc && !want->has_lapic && disable_apic(vcpu_fd))
		rc = err_fail(err, -errno, "KVM refuses to disable the APIC: %s", strerror(errno));
	free(id);
	free(list);
	return rc;
}
