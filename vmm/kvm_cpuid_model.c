// SPDX-License-Identifier: BSD-2-Clause
/*
 * kvm_cpuid_model.c: a model's CPUID leaves: who it is, its brand string, its caches. Caches are those of one processor
 * of each kind, since software only lays out its data by them ([SDM2] CPUID leaves 2 and 4; [APM3] Fn8000_0005, 6, 1D).
 */
#include <string.h>

#include "vmm/kvm_cpuid.h"

#define BIT_CLFLUSH (1u << 19) /* 1.EDX */
#define BIT_SVM (1u << 2)      /* 0x80000001.ECX */
#define BIT_TOPOEXT (1u << 22)
#define BIT_LA57 (1u << 16) /* 7.ECX */
#define BIT_LM (1u << 29)   /* 0x80000001.EDX */

enum { CACHE_DATA = 1, CACHE_CODE = 2, CACHE_UNIFIED = 3 };

struct cache {
	unsigned kind, level, ways, sets; /* lines of 64 bytes */
};

static const struct cache core2_caches[] = {
	{CACHE_DATA, 1, 8, 64},
	{CACHE_CODE, 1, 8, 64},
	{CACHE_UNIFIED, 2, 16, 4096},
};

/* From Nehalem on. */
static const struct cache core_caches[] = {
	{CACHE_DATA, 1, 8, 64},
	{CACHE_CODE, 1, 8, 64},
	{CACHE_UNIFIED, 2, 8, 512},
	{CACHE_UNIFIED, 3, 16, 8192},
};

static const struct cache zen_caches[] = {
	{CACHE_DATA, 1, 8, 64},
	{CACHE_CODE, 1, 4, 256},
	{CACHE_UNIFIED, 2, 8, 1024},
	{CACHE_UNIFIED, 3, 16, 8192},
};

struct list {
	struct kvm_cpuid_entry2 *at;
	unsigned count;
};

static struct kvm_cpuid_entry2 *add(struct list *list, uint32_t leaf)
{
	struct kvm_cpuid_entry2 *e = &list->at[list->count++];

	*e = (struct kvm_cpuid_entry2){.function = leaf};
	return e;
}

static void add_subleaf(struct list *list, uint32_t leaf, uint32_t subleaf)
{
	struct kvm_cpuid_entry2 *e = add(list, leaf);

	e->index = subleaf;
	e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
}

/* Leaves 4 and 0x8000001d have one form. An empty one ends them. */
static void add_caches(struct list *list, uint32_t leaf, const struct cache *caches, unsigned count)
{
	for (unsigned i = 0; i <= count; i++) {
		struct kvm_cpuid_entry2 *e = &list->at[list->count];

		add_subleaf(list, leaf, i);
		if (i == count)
			break;
		e->eax = caches[i].kind | caches[i].level << 5 | 1u << 8; /* initialises itself */
		e->ebx = (64 - 1) | (caches[i].ways - 1) << 22;
		e->ecx = caches[i].sets - 1;
	}
}

/* Family and model of more than four bits go on in the upper half; so do families of less, for the model from 6 on. */
static uint32_t signature(const struct cpuid_model *m)
{
	uint32_t family = m->family < 15 ? m->family : 15;

	return m->stepping | (m->model & 15u) << 4 | family << 8 | (uint32_t)m->model >> 4 << 16 |
	       (m->family - family) << 20;
}

/* Descriptors of [SDM2] table "Encoding of CPUID Leaf 2 Descriptors". */
static void add_leaf2(struct list *list, const struct cpuid_model *m)
{
	struct kvm_cpuid_entry2 *e = add(list, 2);

	if (m->level >= 4) {
		e->eax = 0x00000001; /* once is enough */
		e->ebx = 0x000000ff; /* leaf 4 tells */
	} else {
		e->eax = 0x03020101; /* TLBs */
		e->edx = 0x0c040882; /* 16 KiB data, 16 KiB code, 256 KiB in lines of 32 bytes */
	}
}

static void add_basic(struct list *list, const struct cpuid_model *m, const struct cpuid_set *set, bool is_amd)
{
	struct kvm_cpuid_entry2 *e = add(list, 0);

	e->eax = m->level;
	memcpy(&e->ebx, m->vendor, 4);
	memcpy(&e->edx, m->vendor + 4, 4);
	memcpy(&e->ecx, m->vendor + 8, 4);
	e = add(list, 1);
	e->eax = signature(m);
	if (set->word[CPUID_1_EDX] & BIT_CLFLUSH)
		e->ebx = 8u << 8; /* lines of 8 quadwords */
	if (m->level >= 2 && !is_amd)
		add_leaf2(list, m);
	if (m->level >= 4 && !is_amd) {
		bool is_core2 = m->level < 0xb;
		size_t count = is_core2 ? sizeof(core2_caches) / sizeof(core2_caches[0])
					: sizeof(core_caches) / sizeof(core_caches[0]);

		add_caches(list, 4, is_core2 ? core2_caches : core_caches, (unsigned)count);
	}
	if (m->level >= 6)
		add(list, 6);
	if (m->level >= 7) {
		e = &list->at[list->count];
		add_subleaf(list, 7, 0);
		if (set->word[CPUID_7_1_EAX]) {
			e->eax = 1; /* the last subleaf */
			add_subleaf(list, 7, 1);
		}
	}
}

static void add_brand(struct list *list, const struct cpuid_model *m)
{
	char brand[48] = {0};
	const char *text = m->brand ? m->brand : m->about;

	memcpy(brand, text, strnlen(text, sizeof(brand) - 1));
	for (unsigned i = 0; i < 3; i++) {
		struct kvm_cpuid_entry2 *e = add(list, 0x80000002 + i);

		memcpy(&e->eax, brand + 16 * i, 4);
		memcpy(&e->ebx, brand + 16 * i + 4, 4);
		memcpy(&e->ecx, brand + 16 * i + 8, 4);
		memcpy(&e->edx, brand + 16 * i + 12, 4);
	}
}

static void add_amd_caches(struct list *list, bool is_zen)
{
	struct kvm_cpuid_entry2 *e = add(list, 0x80000005);

	e->eax = e->ebx = 0xff40ff40;		   /* 64 entries of each size, fully associative */
	e->ecx = is_zen ? 0x20080140 : 0x40020140; /* 32 KiB of 8 ways; 64 KiB of 2 */
	e->edx = is_zen ? 0x40040140 : 0x40020140;
	e = add(list, 0x80000006);
	e->ebx = 0x42004200;
	e->ecx = is_zen ? 0x02006140 : 0x02008140; /* 512 KiB of 8 ways; of 16 */
	e->edx = is_zen ? 0x00408140 : 0;	   /* 8 MiB of 16 ways */
}

static void add_extended(
	struct list *list, const struct cpuid_model *m, const struct cpuid_set *set, uint32_t phys_bits, bool is_amd)
{
	const bool is_zen = set->word[CPUID_X1_ECX] & BIT_TOPOEXT;
	struct kvm_cpuid_entry2 *e = add(list, 0x80000000);

	e->eax = m->xlevel;
	if (is_amd) {
		memcpy(&e->ebx, m->vendor, 4);
		memcpy(&e->edx, m->vendor + 4, 4);
		memcpy(&e->ecx, m->vendor + 8, 4);
	}
	e = add(list, 0x80000001);
	if (is_amd)
		e->eax = signature(m);
	add_brand(list, m);
	if (m->xlevel >= 0x80000006) {
		if (is_amd)
			add_amd_caches(list, is_zen);
		else
			add(list, 0x80000006)->ecx = 0x01006040; /* 256 KiB of 8 ways */
	}
	if (m->xlevel >= 0x80000007)
		add(list, 0x80000007);
	if (m->xlevel >= 0x80000008) {
		uint32_t linear_bits = set->word[CPUID_7_ECX] & BIT_LA57 ? 57 : 48;

		if (!(set->word[CPUID_X1_EDX] & BIT_LM)) {
			linear_bits = 0; /* 32 would be the truth, which KVM refuses: it takes 48, 57 and 0 */
			phys_bits = phys_bits < 36 ? phys_bits : 36;
		}
		add(list, 0x80000008)->eax = phys_bits | linear_bits << 8;
	}
	if (m->xlevel >= 0x8000000a && set->word[CPUID_X1_ECX] & BIT_SVM) {
		e = add(list, 0x8000000a);
		e->eax = 1;  /* SVM revision */
		e->ebx = 16; /* address space ids */
	}
	if (m->xlevel >= 0x8000001e && is_zen) {
		add_caches(list, 0x8000001d, zen_caches, sizeof(zen_caches) / sizeof(zen_caches[0]));
		add(list, 0x8000001e);
	}
}

unsigned kvm_model_leaves(
	const struct cpuid_model *model, const struct cpuid_set *set, uint32_t phys_bits, struct kvm_cpuid_entry2 *out)
{
	struct list list = {.at = out};
	const bool is_amd = strcmp(model->vendor, "AuthenticAMD") == 0;

	add_basic(&list, model, set, is_amd);
	if (model->xlevel)
		add_extended(&list, model, set, phys_bits, is_amd);
	return list.count;
}
