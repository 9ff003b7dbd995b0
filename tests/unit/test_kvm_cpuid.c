// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_kvm_cpuid.c: the CPUID leaves of a vCPU, from lists such as KVM gives them on an Intel and an AMD host: the
 * host's own stay as they were but for what this machine is, a model's say who it is, topology, XSAVE areas, and what
 * happens without local APICs. Expected values by hand from [SDM2] and [APM3].
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "vmm/kvm_cpuid.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SUB KVM_CPUID_FLAG_SIGNIFCANT_INDEX

/* A Skylake server's, shortened: XSAVE with x87, SSE, AVX, MPX, AVX-512 and PKRU. */
static const struct kvm_cpuid_entry2 intel[] = {
	{.function = 0, .eax = 0x16, .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69},
	{.function = 1, .eax = 0x50654, .ebx = 0x04080800, .ecx = 0xfffa3223, .edx = 0x0f8bfbff},
	{.function = 4, .index = 0, .flags = SUB, .eax = 0x3c004121, .ebx = 0x01c0003f, .ecx = 0x3f},
	{.function = 6, .eax = 4},
	{.function = 7, .index = 0, .flags = SUB, .ebx = 0xd39ffffb, .ecx = 0x0000001c, .edx = 0xac000400},
	{.function = 0xa, .eax = 0x07300404},
	{.function = 0xb, .index = 0, .flags = SUB, .eax = 1, .ebx = 2, .ecx = 0x100},
	{.function = 0xd, .index = 0, .flags = SUB, .eax = 0x2ff, .ebx = 0xa88, .ecx = 0xa88},
	{.function = 0xd, .index = 1, .flags = SUB, .eax = 0xf, .ebx = 0x240, .ecx = 0x100},
	{.function = 0xd, .index = 2, .flags = SUB, .eax = 0x100, .ebx = 0x240},
	{.function = 0xd, .index = 3, .flags = SUB, .eax = 0x40, .ebx = 0x3c0},
	{.function = 0xd, .index = 5, .flags = SUB, .eax = 0x40, .ebx = 0x440},
	{.function = 0xd, .index = 6, .flags = SUB, .eax = 0x200, .ebx = 0x480},
	{.function = 0xd, .index = 7, .flags = SUB, .eax = 0x400, .ebx = 0x680},
	{.function = 0xd, .index = 9, .flags = SUB, .eax = 0x8, .ebx = 0xa80},
	{.function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b, .ecx = 0x564b4d56, .edx = 0x4d},
	{.function = 0x40000001, .eax = 0x01007efb},
	{.function = 0x80000000, .eax = 0x80000008},
	{.function = 0x80000001, .ecx = 0x121, .edx = 0x2c100800},
	{.function = 0x80000007, .edx = 0x100},
	{.function = 0x80000008, .eax = 0x302e, .ebx = 0x0100d000},
};

static const struct kvm_cpuid_entry2 amd[] = {
	{.function = 0, .eax = 0xd, .ebx = 0x68747541, .ecx = 0x444d4163, .edx = 0x69746e65},
	{.function = 1, .eax = 0x00800f12, .ebx = 0x00020800, .ecx = 0xfef8320b, .edx = 0x178bfbff},
	{.function = 6, .eax = 4},
	{.function = 7, .index = 0, .flags = SUB, .ebx = 0x209c01ab},
	{.function = 0xd, .index = 0, .flags = SUB, .eax = 7, .ebx = 0x340, .ecx = 0x340},
	{.function = 0xd, .index = 1, .flags = SUB, .eax = 0xf, .ebx = 0x340},
	{.function = 0xd, .index = 2, .flags = SUB, .eax = 0x100, .ebx = 0x240},
	{.function = 0x80000000, .eax = 0x8000001f, .ebx = 0x68747541, .ecx = 0x444d4163, .edx = 0x69746e65},
	{.function = 0x80000001, .eax = 0x00800f12, .ecx = 0x00c003f7, .edx = 0x2fd3fbff},
	{.function = 0x80000008, .eax = 0x3030, .ebx = 0x1007, .ecx = 0x4007},
	{.function = 0x8000000a, .eax = 1, .ebx = 8, .edx = 0x9},
	{.function = 0x8000001d, .index = 0, .flags = SUB, .eax = 0x4121, .ebx = 0x01c0003f, .ecx = 0x3f},
	{.function = 0x8000001e, .eax = 5, .ebx = 0x102, .ecx = 0x300},
};

static struct {
	union {
		struct kvm_cpuid2 list;
		uint8_t room[sizeof(struct kvm_cpuid2) + KVM_MAX_CPUID * sizeof(struct kvm_cpuid_entry2)];
	};
	struct accel_err err;
} out;

static int make(const struct kvm_cpuid_entry2 *entries, unsigned count, const char *request, unsigned index,
	unsigned cpus, bool has_lapic)
{
	const struct kvm_cpuid_source source = {.entries = entries, .count = count, .has_deadline = true};
	struct kvm_cpuid_want want = {.index = index, .cpus = cpus, .has_lapic = has_lapic, .has_pv = true};

	memset(&out, 0, sizeof(out));
	if (request && cpuid_parse(request, &want.request, &out.err))
		fail_msg("%s", out.err.text);
	return kvm_cpuid_make(&source, &want, &out.list, &out.err);
}

static int on_intel(const char *request)
{
	return make(intel, COUNT(intel), request, 0, 1, true);
}

static int on_amd(const char *request)
{
	return make(amd, COUNT(amd), request, 0, 1, true);
}

static const struct kvm_cpuid_entry2 *leaf(uint32_t function, uint32_t index)
{
	const struct kvm_cpuid_entry2 *found = NULL;

	for (unsigned i = 0; i < out.list.nent; i++) {
		if (out.list.entries[i].function != function || out.list.entries[i].index != index)
			continue;
		assert_null(found); /* each is there once */
		found = &out.list.entries[i];
	}
	return found;
}

static const struct kvm_cpuid_entry2 *must(uint32_t function, uint32_t index)
{
	const struct kvm_cpuid_entry2 *e = leaf(function, index);

	if (!e)
		fail_msg("no leaf %x.%x", function, index);
	return e;
}

/* ---- the host's ---- */

static void test_host(void **state)
{
	(void)state;
	assert_int_equal(on_intel(NULL), 0);
	for (unsigned i = 0; i < COUNT(intel); i++) {
		const struct kvm_cpuid_entry2 *e;

		switch (intel[i].function) {
		case 1: /* one core with APIC id 0; a hypervisor, x2APIC and the deadline timer; no HTT */
			e = must(1, 0);
			assert_int_equal(e->eax, 0x50654);
			assert_int_equal(e->ebx, 0x00010800);
			assert_int_equal(e->ecx, 0xfffa3223);
			assert_int_equal(e->edx, 0x0f8bfbff);
			break;
		case 4:
			assert_int_equal(must(4, 0)->eax, 0x121);
			break;
		case 0xa:
			assert_null(leaf(0xa, 0));
			break;
		case 0xb:
			break;
		case 0x40000000:
			assert_int_equal(must(0x40000000, 0)->eax, 0x40000001);
			break;
		case 0x40000001:
			assert_int_equal(must(0x40000001, 0)->eax, 0x0100000b);
			break;
		case 0x80000008:
			e = must(0x80000008, 0);
			assert_int_equal(e->eax, 0x302e);
			assert_int_equal(e->ebx, 0x0100d000);
			break;
		default:
			e = must(intel[i].function, intel[i].index);
			assert_memory_equal(e, &intel[i], sizeof(*e));
		}
	}
	assert_int_equal(out.list.nent, COUNT(intel)); /* without 0xa, with two of 0xb */
	assert_int_equal(on_intel("host"), 0);
	assert_int_equal(out.list.nent, COUNT(intel));
}

static void test_topology(void **state)
{
	static const struct {
		unsigned index, cpus, bits;
	} rows[] = {{0, 1, 0}, {1, 2, 1}, {2, 3, 2}, {3, 4, 2}, {4, 5, 3}, {7, 8, 3}};

	(void)state;
	for (unsigned i = 0; i < COUNT(rows); i++) {
		assert_int_equal(make(intel, COUNT(intel), NULL, rows[i].index, rows[i].cpus, true), 0);
		assert_int_equal(must(1, 0)->ebx, rows[i].index << 24 | rows[i].cpus << 16 | 0x0800);
		assert_int_equal(must(1, 0)->edx >> 28 & 1, rows[i].cpus > 1);
		assert_int_equal(must(4, 0)->eax, ((1u << rows[i].bits) - 1) << 26 | 0x121);
		assert_int_equal(must(0xb, 0)->eax, 0);
		assert_int_equal(must(0xb, 0)->ebx, 1);
		assert_int_equal(must(0xb, 0)->ecx, 0x100);
		assert_int_equal(must(0xb, 0)->edx, rows[i].index);
		assert_int_equal(must(0xb, 1)->eax, rows[i].bits);
		assert_int_equal(must(0xb, 1)->ebx, rows[i].cpus);
		assert_int_equal(must(0xb, 1)->ecx, 0x201);
		assert_int_equal(must(0xb, 1)->edx, rows[i].index);
		assert_int_equal(make(amd, COUNT(amd), NULL, rows[i].index, rows[i].cpus, true), 0);
		assert_int_equal(must(0x80000008, 0)->ecx, rows[i].bits << 12 | (rows[i].cpus - 1));
		assert_int_equal(must(0x8000001d, 0)->eax, 0x121);
		assert_int_equal(must(0x8000001e, 0)->eax, rows[i].index);
		assert_int_equal(must(0x8000001e, 0)->ebx, rows[i].index);
		assert_int_equal(must(0x8000001e, 0)->ecx, 0);
	}
}

/* No local APICs: no APIC bit anywhere, AMD's second one included; the rest stays. */
static void test_no_lapic(void **state)
{
	(void)state;
	assert_int_equal(make(intel, COUNT(intel), NULL, 0, 1, false), 0);
	assert_int_equal(must(1, 0)->ecx, 0xfffa3223 & ~(1u << 21 | 1u << 24));
	assert_int_equal(must(1, 0)->edx, 0x0f8bfbff & ~(1u << 9));
	assert_int_equal(make(amd, COUNT(amd), NULL, 0, 1, false), 0);
	assert_int_equal(must(1, 0)->edx, 0x078bfbff & ~(1u << 9));
	assert_int_equal(must(0x80000001, 0)->edx, 0x2fd3fbff & ~(1u << 9));
	assert_int_equal(make(intel, COUNT(intel), "SandyBridge", 0, 1, false), 0);
	assert_int_equal(must(1, 0)->edx >> 9 & 1, 0);
	assert_int_equal(must(1, 0)->ecx & (1u << 21 | 1u << 24), 0);
}

/* What is taken away is taken away, with its XSAVE areas; the rest of the host's leaves stays. */
static void test_host_less(void **state)
{
	(void)state;
	assert_int_equal(on_intel("host,-avx512f,-pku,-mpx"), 0);
	assert_int_equal(must(7, 0)->ebx >> 16 & 1, 0);
	assert_int_equal(must(7, 0)->ebx >> 31, 0); /* AVX512VL needs it */
	assert_int_equal(must(0xd, 0)->eax, 7);
	assert_int_equal(must(0xd, 0)->ecx, 0x240 + 0x100);
	assert_non_null(leaf(0xd, 2));
	assert_null(leaf(0xd, 3));
	assert_null(leaf(0xd, 6));
	assert_null(leaf(0xd, 9));
	assert_int_equal(must(0x80000008, 0)->eax, 0x302e);
	assert_int_equal(on_intel("host,-avx512f"), 0);
	assert_int_equal(must(0xd, 0)->eax, 0x21f & 0x2ff);
	assert_int_equal(must(0xd, 0)->ecx, 0xa88); /* PKRU is the last one */
	assert_int_equal(on_intel("host,-xsave"), 0);
	assert_int_equal(must(1, 0)->ecx >> 26 & 1, 0);
	assert_int_equal(must(1, 0)->ecx >> 28 & 1, 0);
	assert_null(leaf(0xd, 0));
	assert_null(leaf(0xd, 2));
	/* what AMD repeats follows */
	assert_int_equal(on_amd("host,-vme"), 0);
	assert_int_equal(must(1, 0)->edx >> 1 & 1, 0);
	assert_int_equal(must(0x80000001, 0)->edx >> 1 & 1, 0);
	assert_int_equal(must(0x80000001, 0)->edx, 0x2fd3fbff & ~(1u << 1));
	assert_int_equal(on_intel("host,-hypervisor"), 0);
	assert_int_equal(must(1, 0)->ecx >> 31, 0);
	assert_null(leaf(0x40000000, 0));
}

/* ---- models ---- */

static void check_text(const char *want, uint32_t a, uint32_t b, uint32_t c)
{
	const uint32_t words[3] = {a, b, c};

	assert_memory_equal(words, want, 12);
}

/* Signatures as their makers print them: [SDM3] table "CPUID Signature Values", AMD revision guides. */
static void test_signatures(void **state)
{
	static const struct {
		const char *name;
		uint32_t signature;
	} rows[] = {{"486", 0x480}, {"pentium", 0x543}, {"pentium3", 0x673}, {"core2duo", 0x6fb}, {"Penryn", 0x10673},
		{"Nehalem", 0x106a3}, {"SandyBridge", 0x206a1}, {"Haswell", 0x306c4}, {"Skylake-Client", 0x506e3},
		{"Opteron_G3", 0x100f23}, {"Opteron_G5", 0x600f20}, {"EPYC", 0x800f12}, {"EPYC-Rome", 0x830f10},
		{"EPYC-Milan", 0xa00f11}};

	(void)state;
	for (unsigned i = 0; i < COUNT(rows); i++) {
		const struct cpuid_model *m = cpuid_find_model(rows[i].name, strlen(rows[i].name));
		struct kvm_cpuid_entry2 leaves[KVM_MODEL_LEAVES];
		struct cpuid_set set;

		cpuid_model_set(m, &set);
		assert_in_range(kvm_model_leaves(m, &set, 40, leaves), 2, KVM_MODEL_LEAVES);
		assert_int_equal(leaves[1].function, 1);
		assert_int_equal(leaves[1].eax, rows[i].signature);
	}
}

/* All leaves of all models: in their range, none twice, the caches' sizes as in the list, a brand that ends. */
static void test_all_models(void **state)
{
	(void)state;
	for (const struct cpuid_model *m = cpuid_models; m->name; m++) {
		struct kvm_cpuid_entry2 leaves[KVM_MODEL_LEAVES];
		struct cpuid_set set;
		unsigned n;

		cpuid_model_set(m, &set);
		n = kvm_model_leaves(m, &set, 40, leaves);
		assert_in_range(n, 2, KVM_MODEL_LEAVES);
		out.list.nent = n;
		memcpy(out.list.entries, leaves, n * sizeof(leaves[0]));
		for (unsigned i = 0; i < n; i++) {
			const struct kvm_cpuid_entry2 *e = must(leaves[i].function, leaves[i].index);

			assert_true(e->function <= (e->function >= 0x80000000 ? m->xlevel : m->level));
			if ((e->function == 4 || e->function == 0x8000001d) && e->eax & 0x1f)
				assert_true((e->ebx & 0xfff) == 63 && (e->ebx >> 22) < 16);
			if (e->function == 0x80000004)
				assert_int_equal(e->edx >> 24, 0);
			if (e->function == 0x80000008) /* KVM_SET_CPUID2 refuses other sizes of linear addresses */
				assert_true(e->eax >> 8 == 48 || e->eax >> 8 == 57 || e->eax >> 8 == 0);
		}
		check_text(m->vendor, must(0, 0)->ebx, must(0, 0)->edx, must(0, 0)->ecx);
		assert_int_equal(must(0, 0)->eax, m->level);
		if (m->xlevel)
			assert_int_equal(must(0x80000000, 0)->eax, m->xlevel);
	}
}

static void test_model_on_intel(void **state)
{
	struct cpuid_set set;

	(void)state;
	assert_int_equal(on_intel("Haswell"), 0);
	cpuid_model_set(cpuid_find_model("Haswell", 7), &set);
	assert_int_equal(must(0, 0)->eax, 0xd);
	check_text("GenuineIntel", must(0, 0)->ebx, must(0, 0)->edx, must(0, 0)->ecx);
	assert_int_equal(must(1, 0)->eax, 0x306c4);
	assert_int_equal(must(1, 0)->ebx, 0x00010800);
	assert_int_equal(must(1, 0)->ecx, set.word[CPUID_1_ECX] | 1u << 31);
	assert_int_equal(must(1, 0)->edx, set.word[CPUID_1_EDX]);
	assert_int_equal(must(7, 0)->ebx, set.word[CPUID_7_EBX]);
	assert_int_equal(must(7, 0)->edx, 0);
	assert_int_equal(must(0x80000001, 0)->edx, set.word[CPUID_X1_EDX]);
	/* 32 KiB of 8 ways and 64 sets */
	assert_int_equal(must(4, 0)->eax, 0x121);
	assert_int_equal(must(4, 0)->ebx, 0x01c0003f);
	assert_int_equal(must(4, 0)->ecx, 0x3f);
	assert_int_equal(must(4, 4)->eax, 0);
	/* AVX only */
	assert_int_equal(must(0xd, 0)->eax, 7);
	assert_int_equal(must(0xd, 0)->ecx, 0x340);
	assert_int_equal(must(0xd, 1)->eax, 1);
	assert_int_equal(must(0xd, 1)->ecx, 0);
	assert_null(leaf(0xd, 5));
	assert_int_equal(must(0x80000008, 0)->eax, 0x302e);
	assert_int_equal(must(0xb, 1)->ebx, 1);
	assert_memory_equal(&must(0x80000002, 0)->eax, "Intel Core Proce", 16);
}

/* Old ones: no leaves that they did not have, however many the host has. */
static void test_old_models(void **state)
{
	(void)state;
	assert_int_equal(make(intel, COUNT(intel), "486", 0, 1, false), 0);
	assert_int_equal(must(0, 0)->eax, 1);
	assert_int_equal(must(1, 0)->edx, 0xb); /* FPU, VME, PSE */
	assert_int_equal(must(1, 0)->ecx, 1u << 31);
	assert_int_equal(must(1, 0)->ebx, 0x00010000);
	assert_null(leaf(4, 0));
	assert_null(leaf(7, 0));
	assert_null(leaf(0xb, 0));
	assert_null(leaf(0xd, 0));
	assert_null(leaf(0x80000000, 0));
	assert_int_equal(out.list.nent, 4); /* and the hypervisor's two */
	assert_int_equal(on_intel("pentium3"), 0);
	assert_int_equal(must(0, 0)->eax, 2);
	assert_int_equal(must(1, 0)->edx, 0x0383fbff);
	assert_int_equal(must(2, 0)->edx, 0x0c040882);
}

/* A feature in a leaf that the model does not reach takes the leaf with it. */
static void test_reach(void **state)
{
	(void)state;
	assert_int_equal(on_intel("pentium3,+smep"), 0);
	assert_int_equal(must(0, 0)->eax, 7);
	assert_int_equal(must(7, 0)->ebx, 1u << 7);
	assert_int_equal(on_intel("pentium3,+nx"), 0);
	assert_int_equal(must(0x80000000, 0)->eax, 0x80000004);
	assert_int_equal(must(0x80000001, 0)->edx, 1u << 20);
	assert_int_equal(on_intel("Nehalem,+xsave,+xsaveopt"), 0);
	assert_int_equal(must(0, 0)->eax, 0xd);
	assert_int_equal(must(0xd, 0)->eax, 3);
	assert_int_equal(must(0xd, 0)->ecx, 576);
	assert_int_equal(must(0xd, 1)->eax, 1);
}

static void test_model_on_amd(void **state)
{
	const uint32_t repeated = 0x0183f3ff;

	(void)state;
	assert_int_equal(on_amd("Opteron_G3,-rdtscp"), 0);
	check_text("AuthenticAMD", must(0, 0)->ebx, must(0, 0)->edx, must(0, 0)->ecx);
	check_text("AuthenticAMD", must(0x80000000, 0)->ebx, must(0x80000000, 0)->edx, must(0x80000000, 0)->ecx);
	assert_int_equal(must(0x80000001, 0)->eax, 0x100f23);
	assert_int_equal(must(0x80000001, 0)->edx & repeated, must(1, 0)->edx & repeated);
	assert_int_equal(must(0x80000001, 0)->edx & ~repeated, 1u << 11 | 1u << 20 | 1u << 29);
	assert_null(leaf(4, 0));
	assert_null(leaf(0x8000001d, 0));
	assert_int_equal(must(0x80000005, 0)->ecx, 0x40020140); /* 64 KiB */
	assert_int_equal(on_amd("EPYC"), 0);
	assert_int_equal(must(0x80000005, 0)->ecx, 0x20080140);
	assert_int_equal(must(0x8000001d, 0)->eax, 0x121);
	assert_int_equal(must(0x8000001d, 2)->ecx, 1023); /* 512 KiB of 8 ways */
	assert_int_equal(must(0x8000001e, 0)->eax, 0);
	assert_null(leaf(0x8000000a, 0));
	assert_int_equal(on_amd("EPYC,+svm,+npt"), 0);
	assert_int_equal(must(0x8000000a, 0)->edx, 1);
	assert_int_equal(must(0x8000000a, 0)->eax, 1);
	assert_int_equal(on_amd("EPYC-Milan"), -ENOTSUP);
	assert_non_null(strstr(out.err.text, "erms"));
	/* no APIC: the second bit goes as well */
	assert_int_equal(make(amd, COUNT(amd), "EPYC", 0, 1, false), 0);
	assert_int_equal(must(0x80000001, 0)->edx >> 9 & 1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_topology),
		cmocka_unit_test(test_no_lapic),
		cmocka_unit_test(test_host_less),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_all_models),
		cmocka_unit_test(test_model_on_intel),
		cmocka_unit_test(test_old_models),
		cmocka_unit_test(test_reach),
		cmocka_unit_test(test_model_on_amd),
	};

	return cmocka_run_group_tests_name("kvm_cpuid", tests, NULL, NULL);
}
