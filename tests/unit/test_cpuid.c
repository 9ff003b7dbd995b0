// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_cpuid.c: CPU models. The feature bits against those of the compiler's <cpuid.h>, the rest against a list by
 * hand from [SDM2] and [APM3]; then requests: what is read, what comes of it on hosts that have all, some and no
 * local APICs, and each refusal's line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <cpuid.h>
#include <errno.h>

#include "vmm/cpuid.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool bit_of(const struct cpuid_set *set, const char *name)
{
	const struct cpuid_feature *f = cpuid_find_feature(name, strlen(name));

	assert_non_null(f);
	return cpuid_has(set, f->word, f->bit);
}

static void give(struct cpuid_set *set, const char *name)
{
	const struct cpuid_feature *f = cpuid_find_feature(name, strlen(name));

	assert_non_null(f);
	set->word[f->word] |= 1u << f->bit;
}

/* ---- names and bits ---- */

struct known {
	const char *name;
	uint32_t leaf, subleaf;
	enum cpuid_reg reg;
	uint32_t mask;
};

static const struct known compiler[] = {
	{"sse3", 1, 0, CPUID_ECX, bit_SSE3},
	{"pclmulqdq", 1, 0, CPUID_ECX, bit_PCLMUL},
	{"ssse3", 1, 0, CPUID_ECX, bit_SSSE3},
	{"fma", 1, 0, CPUID_ECX, bit_FMA},
	{"cx16", 1, 0, CPUID_ECX, bit_CMPXCHG16B},
	{"sse4.1", 1, 0, CPUID_ECX, bit_SSE4_1},
	{"sse4.2", 1, 0, CPUID_ECX, bit_SSE4_2},
	{"movbe", 1, 0, CPUID_ECX, bit_MOVBE},
	{"popcnt", 1, 0, CPUID_ECX, bit_POPCNT},
	{"aes", 1, 0, CPUID_ECX, bit_AES},
	{"xsave", 1, 0, CPUID_ECX, bit_XSAVE},
	{"avx", 1, 0, CPUID_ECX, bit_AVX},
	{"f16c", 1, 0, CPUID_ECX, bit_F16C},
	{"rdrand", 1, 0, CPUID_ECX, bit_RDRND},
	{"cx8", 1, 0, CPUID_EDX, bit_CMPXCHG8B},
	{"cmov", 1, 0, CPUID_EDX, bit_CMOV},
	{"mmx", 1, 0, CPUID_EDX, bit_MMX},
	{"fxsr", 1, 0, CPUID_EDX, bit_FXSAVE},
	{"sse", 1, 0, CPUID_EDX, bit_SSE},
	{"sse2", 1, 0, CPUID_EDX, bit_SSE2},
	{"lahf-lm", 0x80000001, 0, CPUID_ECX, bit_LAHF_LM},
	{"abm", 0x80000001, 0, CPUID_ECX, bit_ABM},
	{"sse4a", 0x80000001, 0, CPUID_ECX, bit_SSE4a},
	{"3dnowprefetch", 0x80000001, 0, CPUID_ECX, bit_PRFCHW},
	{"xop", 0x80000001, 0, CPUID_ECX, bit_XOP},
	{"lwp", 0x80000001, 0, CPUID_ECX, bit_LWP},
	{"fma4", 0x80000001, 0, CPUID_ECX, bit_FMA4},
	{"tbm", 0x80000001, 0, CPUID_ECX, bit_TBM},
	{"mmxext", 0x80000001, 0, CPUID_EDX, bit_MMXEXT},
	{"lm", 0x80000001, 0, CPUID_EDX, bit_LM},
	{"3dnowext", 0x80000001, 0, CPUID_EDX, bit_3DNOWP},
	{"3dnow", 0x80000001, 0, CPUID_EDX, bit_3DNOW},
	{"clzero", 0x80000008, 0, CPUID_EBX, bit_CLZERO},
	{"wbnoinvd", 0x80000008, 0, CPUID_EBX, bit_WBNOINVD},
	{"fsgsbase", 7, 0, CPUID_EBX, bit_FSGSBASE},
	{"sgx", 7, 0, CPUID_EBX, bit_SGX},
	{"bmi1", 7, 0, CPUID_EBX, bit_BMI},
	{"hle", 7, 0, CPUID_EBX, bit_HLE},
	{"avx2", 7, 0, CPUID_EBX, bit_AVX2},
	{"bmi2", 7, 0, CPUID_EBX, bit_BMI2},
	{"rtm", 7, 0, CPUID_EBX, bit_RTM},
	{"avx512f", 7, 0, CPUID_EBX, bit_AVX512F},
	{"avx512dq", 7, 0, CPUID_EBX, bit_AVX512DQ},
	{"rdseed", 7, 0, CPUID_EBX, bit_RDSEED},
	{"adx", 7, 0, CPUID_EBX, bit_ADX},
	{"avx512ifma", 7, 0, CPUID_EBX, bit_AVX512IFMA},
	{"clflushopt", 7, 0, CPUID_EBX, bit_CLFLUSHOPT},
	{"clwb", 7, 0, CPUID_EBX, bit_CLWB},
	{"avx512cd", 7, 0, CPUID_EBX, bit_AVX512CD},
	{"sha-ni", 7, 0, CPUID_EBX, bit_SHA},
	{"avx512bw", 7, 0, CPUID_EBX, bit_AVX512BW},
	{"avx512vl", 7, 0, CPUID_EBX, bit_AVX512VL},
	{"avx512vbmi", 7, 0, CPUID_ECX, bit_AVX512VBMI},
	{"pku", 7, 0, CPUID_ECX, bit_PKU},
	{"waitpkg", 7, 0, CPUID_ECX, bit_WAITPKG},
	{"avx512vbmi2", 7, 0, CPUID_ECX, bit_AVX512VBMI2},
	{"gfni", 7, 0, CPUID_ECX, bit_GFNI},
	{"vaes", 7, 0, CPUID_ECX, bit_VAES},
	{"vpclmulqdq", 7, 0, CPUID_ECX, bit_VPCLMULQDQ},
	{"avx512vnni", 7, 0, CPUID_ECX, bit_AVX512VNNI},
	{"avx512bitalg", 7, 0, CPUID_ECX, bit_AVX512BITALG},
	{"avx512-vpopcntdq", 7, 0, CPUID_ECX, bit_AVX512VPOPCNTDQ},
	{"rdpid", 7, 0, CPUID_ECX, bit_RDPID},
	{"cldemote", 7, 0, CPUID_ECX, bit_CLDEMOTE},
	{"movdiri", 7, 0, CPUID_ECX, bit_MOVDIRI},
	{"movdir64b", 7, 0, CPUID_ECX, bit_MOVDIR64B},
	{"avx512-vp2intersect", 7, 0, CPUID_EDX, bit_AVX512VP2INTERSECT},
	{"serialize", 7, 0, CPUID_EDX, bit_SERIALIZE},
	{"tsx-ldtrk", 7, 0, CPUID_EDX, bit_TSXLDTRK},
	{"amx-bf16", 7, 0, CPUID_EDX, bit_AMX_BF16},
	{"amx-tile", 7, 0, CPUID_EDX, bit_AMX_TILE},
	{"amx-int8", 7, 0, CPUID_EDX, bit_AMX_INT8},
	{"avx-vnni", 7, 1, CPUID_EAX, bit_AVXVNNI},
	{"avx512-bf16", 7, 1, CPUID_EAX, bit_AVX512BF16},
	{"xsaveopt", 0xd, 1, CPUID_EAX, bit_XSAVEOPT},
	{"xsavec", 0xd, 1, CPUID_EAX, bit_XSAVEC},
	{"xsaves", 0xd, 1, CPUID_EAX, bit_XSAVES},
};

/* What compilers do not use: [SDM2] tables of CPUID leaves 1, 6 and 7; [APM3] appendix E.3 and E.4. */
static const struct known by_hand[] = {
	{"fpu", 1, 0, CPUID_EDX, 1u << 0},
	{"vme", 1, 0, CPUID_EDX, 1u << 1},
	{"de", 1, 0, CPUID_EDX, 1u << 2},
	{"pse", 1, 0, CPUID_EDX, 1u << 3},
	{"tsc", 1, 0, CPUID_EDX, 1u << 4},
	{"msr", 1, 0, CPUID_EDX, 1u << 5},
	{"pae", 1, 0, CPUID_EDX, 1u << 6},
	{"mce", 1, 0, CPUID_EDX, 1u << 7},
	{"apic", 1, 0, CPUID_EDX, 1u << 9},
	{"sep", 1, 0, CPUID_EDX, 1u << 11},
	{"mtrr", 1, 0, CPUID_EDX, 1u << 12},
	{"pge", 1, 0, CPUID_EDX, 1u << 13},
	{"mca", 1, 0, CPUID_EDX, 1u << 14},
	{"pat", 1, 0, CPUID_EDX, 1u << 16},
	{"pse36", 1, 0, CPUID_EDX, 1u << 17},
	{"clflush", 1, 0, CPUID_EDX, 1u << 19},
	{"ss", 1, 0, CPUID_EDX, 1u << 27},
	{"monitor", 1, 0, CPUID_ECX, 1u << 3},
	{"vmx", 1, 0, CPUID_ECX, 1u << 5},
	{"pcid", 1, 0, CPUID_ECX, 1u << 17},
	{"x2apic", 1, 0, CPUID_ECX, 1u << 21},
	{"tsc-deadline", 1, 0, CPUID_ECX, 1u << 24},
	{"hypervisor", 1, 0, CPUID_ECX, 1u << 31},
	{"arat", 6, 0, CPUID_EAX, 1u << 2},
	{"tsc-adjust", 7, 0, CPUID_EBX, 1u << 1},
	{"smep", 7, 0, CPUID_EBX, 1u << 7},
	{"erms", 7, 0, CPUID_EBX, 1u << 9},
	{"invpcid", 7, 0, CPUID_EBX, 1u << 10},
	{"mpx", 7, 0, CPUID_EBX, 1u << 14},
	{"smap", 7, 0, CPUID_EBX, 1u << 20},
	{"umip", 7, 0, CPUID_ECX, 1u << 2},
	{"la57", 7, 0, CPUID_ECX, 1u << 16},
	{"fsrm", 7, 0, CPUID_EDX, 1u << 4},
	{"md-clear", 7, 0, CPUID_EDX, 1u << 10},
	{"spec-ctrl", 7, 0, CPUID_EDX, 1u << 26},
	{"stibp", 7, 0, CPUID_EDX, 1u << 27},
	{"arch-capabilities", 7, 0, CPUID_EDX, 1u << 29},
	{"ssbd", 7, 0, CPUID_EDX, 1u << 31},
	{"xgetbv1", 0xd, 1, CPUID_EAX, 1u << 2},
	{"svm", 0x80000001, 0, CPUID_ECX, 1u << 2},
	{"cr8legacy", 0x80000001, 0, CPUID_ECX, 1u << 4},
	{"misalignsse", 0x80000001, 0, CPUID_ECX, 1u << 7},
	{"osvw", 0x80000001, 0, CPUID_ECX, 1u << 9},
	{"topoext", 0x80000001, 0, CPUID_ECX, 1u << 22},
	{"perfctr-core", 0x80000001, 0, CPUID_ECX, 1u << 23},
	{"syscall", 0x80000001, 0, CPUID_EDX, 1u << 11},
	{"nx", 0x80000001, 0, CPUID_EDX, 1u << 20},
	{"fxsr-opt", 0x80000001, 0, CPUID_EDX, 1u << 25},
	{"pdpe1gb", 0x80000001, 0, CPUID_EDX, 1u << 26},
	{"rdtscp", 0x80000001, 0, CPUID_EDX, 1u << 27},
	{"invtsc", 0x80000007, 0, CPUID_EDX, 1u << 8},
	{"xsaveerptr", 0x80000008, 0, CPUID_EBX, 1u << 2},
	{"ibpb", 0x80000008, 0, CPUID_EBX, 1u << 12},
	{"ibrs", 0x80000008, 0, CPUID_EBX, 1u << 14},
	{"amd-stibp", 0x80000008, 0, CPUID_EBX, 1u << 15},
	{"amd-ssbd", 0x80000008, 0, CPUID_EBX, 1u << 24},
	{"npt", 0x8000000a, 0, CPUID_EDX, 1u << 0},
	{"nrip-save", 0x8000000a, 0, CPUID_EDX, 1u << 3},
};

static void check_known(const struct known *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct cpuid_feature *f = cpuid_find_feature(list[i].name, strlen(list[i].name));
		const struct cpuid_place *place;

		if (!f)
			fail_msg("no feature %s", list[i].name);
		place = &cpuid_places[f->word];
		if (place->leaf != list[i].leaf || place->subleaf != list[i].subleaf || place->reg != list[i].reg ||
			1u << f->bit != list[i].mask)
			fail_msg("%s is elsewhere", list[i].name);
	}
}

static bool is_known(const char *name)
{
	for (unsigned i = 0; i < COUNT(compiler); i++) {
		if (strcmp(compiler[i].name, name) == 0)
			return true;
	}
	for (unsigned i = 0; i < COUNT(by_hand); i++) {
		if (strcmp(by_hand[i].name, name) == 0)
			return true;
	}
	return false;
}

/* Every feature that a model uses is in one of the two lists; names are there once; a bit's aliases follow its name. */
static void test_bits(void **state)
{
	(void)state;
	check_known(compiler, COUNT(compiler));
	check_known(by_hand, COUNT(by_hand));
	for (const struct cpuid_feature *f = cpuid_features; f->name; f++) {
		assert_in_range(f->bit, 0, 31);
		assert_in_range(f->word, 0, CPUID_WORDS - 1);
		assert_ptr_equal(cpuid_find_feature(f->name, strlen(f->name)), f);
		assert_true(f == cpuid_features || f[-1].word != f->word || f[-1].bit <= f->bit);
	}
	for (const struct cpuid_model *m = cpuid_models; m->name; m++) {
		char *list = strdup(m->features), *save = NULL;

		assert_ptr_equal(cpuid_find_model(m->name, strlen(m->name)), m);
		assert_int_equal(strlen(m->vendor), 12);
		for (char *word = strtok_r(list, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
			if (!cpuid_find_feature(word, strlen(word)) || !is_known(word))
				fail_msg("%s has %s", m->name, word);
		}
		free(list);
		if (m->base)
			assert_non_null(cpuid_find_model(m->base, strlen(m->base)));
		/* its leaves reach */
		assert_true(m->xlevel == 0 || m->xlevel >= 0x80000004);
	}
}

static void test_names(void **state)
{
	struct cpuid_set set = {{0}};
	char text[64];

	(void)state;
	assert_ptr_equal(cpuid_find_feature("tsc_deadline", 12), cpuid_find_feature("tsc-deadline", 12));
	assert_int_equal(cpuid_find_feature("pni", 3)->bit, 0);
	assert_null(cpuid_find_feature("avx2", 1));
	assert_null(cpuid_find_feature("", 0));
	assert_null(cpuid_find_feature("SSE", 3));
	assert_null(cpuid_find_model("haswell", 7));
	assert_int_equal(cpuid_names(&set, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	give(&set, "fpu");
	give(&set, "sse3");
	give(&set, "lm");
	assert_int_equal(cpuid_names(&set, text, sizeof(text)), 3);
	assert_string_equal(text, "fpu, sse3, lm");
	memset(&set, 0xff, sizeof(set));
	assert_true(cpuid_names(&set, text, sizeof(text)) > 150);
	assert_true(strlen(text) < sizeof(text));
	assert_non_null(strstr(text, "fpu, vme, "));
	assert_non_null(strstr(text, " more"));
}

/* ---- requests ---- */

static struct cpuid_host whole_host(void)
{
	struct cpuid_host host = {.has_lapic = true};

	memset(&host.has, 0xff, sizeof(host.has));
	return host;
}

static int resolve(const char *text, const struct cpuid_host *host, struct cpuid_set *out, struct accel_err *err)
{
	struct cpuid_request request;

	err->text[0] = '\0';
	if (cpuid_parse(text, &request, err))
		fail_msg("%s", err->text);
	return cpuid_resolve(&request, host, out, err);
}

static void test_parse(void **state)
{
	struct cpuid_request r;
	struct accel_err err;

	(void)state;
	assert_int_equal(cpuid_parse("host", &r, &err), 0);
	assert_null(r.model);
	assert_int_equal(cpuid_parse("max", &r, &err), 0);
	assert_int_equal(cpuid_parse("Haswell,+x2apic,-hle,rtm=off,avx,svm=on", &r, &err), 0);
	assert_string_equal(r.model->name, "Haswell");
	assert_true(bit_of(&r.plus, "x2apic") && bit_of(&r.plus, "avx") && bit_of(&r.plus, "svm"));
	assert_true(bit_of(&r.minus, "hle") && bit_of(&r.minus, "rtm"));
	assert_false(bit_of(&r.plus, "hle") || bit_of(&r.minus, "x2apic"));
	/* the last word counts */
	assert_int_equal(cpuid_parse("host,+avx,-avx", &r, &err), 0);
	assert_true(bit_of(&r.minus, "avx") && !bit_of(&r.plus, "avx"));
	assert_int_equal(cpuid_parse("host,-avx,avx=on", &r, &err), 0);
	assert_true(!bit_of(&r.minus, "avx") && bit_of(&r.plus, "avx"));
}

static void test_bad_words(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"haswell", "no model 'haswell': did you mean Haswell?"},
		{"Hasswell", "did you mean Haswell?"},
		{"Opteron-G3", "did you mean Opteron_G3?"},
		{"pentium5", "did you mean pentium"},
		{"Host", "did you mean host?"},
		{"nonsense-that-is-like-nothing-at-all-and-longer-than-any-name", "there is no model 'nonsense"},
		{"", "there is no model ''"},
		{"host,+avx3", "no feature 'avx3': did you mean avx"},
		{"host,+x2apc", "did you mean x2apic?"},
		{"host,-Sse4.1", "did you mean sse4.1?"},
		{"host,+zzzzzzzz", "no feature 'zzzzzzzz'; `hotreg cpu-models --features`"},
		{"host,", "name is missing"},
		{"host,,+avx", "name is missing"},
		{"host,+", "name is missing"},
		{"host,=on", "name is missing"},
		{"host,avx=yes", "avx is on or off, not 'yes'"},
		{"host,avx=", "avx is on or off, not ''"},
		{"host,+avx=on", "there is no feature '+avx'"},
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(rows); i++) {
		struct cpuid_request r;
		struct accel_err err = {.text = ""};

		assert_int_equal(cpuid_parse(rows[i].text, &r, &err), -EINVAL);
		if (!strstr(err.text, rows[i].says) || strchr(err.text, '\n'))
			fail_msg("'%s' says: %s", rows[i].text, err.text);
	}
}

/* A host that has everything gives each model as it is: nothing is lost to what features need. */
static void test_models(void **state)
{
	struct cpuid_host host = whole_host();

	(void)state;
	for (const struct cpuid_model *m = cpuid_models; m->name; m++) {
		struct cpuid_set set, want;
		struct accel_err err;

		cpuid_model_set(m, &want);
		give(&want, "hypervisor");
		assert_int_equal(resolve(m->name, &host, &set, &err), 0);
		assert_memory_equal(&set, &want, sizeof(set));
		cpuid_lacks(m, &host, &want);
		for (unsigned w = 0; w < CPUID_WORDS; w++)
			assert_int_equal(want.word[w], 0);
	}
}

/* Who is newer has what its elder had ([SDM2] has no feature that went but MPX, TSX and 3DNow!, none of these pairs'). */
static void test_lineage(void **state)
{
	static const char *const pairs[][2] = {{"pentium", "pentium2"}, {"pentium2", "pentium3"}, {"Conroe", "Penryn"},
		{"Penryn", "Nehalem"}, {"Nehalem", "Westmere"}, {"Westmere", "SandyBridge"},
		{"SandyBridge", "IvyBridge"}, {"IvyBridge", "Haswell"}, {"Haswell", "Broadwell"},
		{"Broadwell", "Skylake-Client"}, {"Skylake-Client", "Skylake-Server"}, {"Opteron_G1", "Opteron_G2"},
		{"Opteron_G2", "Opteron_G3"}, {"Opteron_G4", "Opteron_G5"}, {"EPYC", "EPYC-Rome"},
		{"EPYC-Rome", "EPYC-Milan"}};

	(void)state;
	for (unsigned i = 0; i < COUNT(pairs); i++) {
		struct cpuid_set elder, newer;

		cpuid_model_set(cpuid_find_model(pairs[i][0], strlen(pairs[i][0])), &elder);
		cpuid_model_set(cpuid_find_model(pairs[i][1], strlen(pairs[i][1])), &newer);
		assert_memory_not_equal(&elder, &newer, sizeof(elder));
		for (unsigned w = 0; w < CPUID_WORDS; w++)
			assert_int_equal(elder.word[w] & ~newer.word[w], 0);
	}
}

/* What is asked for and not there is refused, by name; what a model has and the host has not is, too. */
static void test_refusals(void **state)
{
	struct cpuid_host host = {.has_lapic = true};
	struct cpuid_set set;
	struct accel_err err;

	(void)state;
	cpuid_model_set(cpuid_find_model("Nehalem", 7), &host.has);
	give(&host.has, "hypervisor");
	give(&host.has, "x2apic");
	assert_int_equal(resolve("Nehalem", &host, &set, &err), 0);
	assert_int_equal(resolve("Westmere", &host, &set, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "arat"));
	assert_non_null(strstr(err.text, "pclmulqdq"));
	assert_non_null(strstr(err.text, "aes"));
	assert_null(strstr(err.text, "popcnt"));
	assert_int_equal(resolve("Westmere,-aes,-pclmulqdq,-arat", &host, &set, &err), 0);
	assert_int_equal(resolve("host,+avx", &host, &set, &err), -EINVAL); /* avx needs xsave */
	assert_int_equal(resolve("host,+avx,+xsave", &host, &set, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "xsave, avx"));
	assert_int_equal(resolve("host,+tsc-deadline", &host, &set, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "tsc-deadline"));
	assert_int_equal(resolve("host,-x2apic", &host, &set, &err), 0);
	assert_false(bit_of(&set, "x2apic"));
	assert_int_equal(resolve("host", &host, &set, &err), 0);
	assert_true(bit_of(&set, "x2apic"));
}

/* Without one thing goes what needs it, all the way up; what was asked for by name is not taken away but refused. */
static void test_needs(void **state)
{
	static const char *const gone[] = {
		"avx", "avx2", "fma", "f16c", "avx512f", "avx512vl", "xsaveopt", "xsaves", "pku", "vaes"};
	struct cpuid_host host = whole_host();
	struct cpuid_set set;
	struct accel_err err;

	(void)state;
	assert_int_equal(resolve("host,-xsave", &host, &set, &err), 0);
	for (unsigned i = 0; i < COUNT(gone); i++)
		assert_false(bit_of(&set, gone[i]));
	assert_true(bit_of(&set, "sse4.2") && bit_of(&set, "aes"));
	assert_int_equal(resolve("host,-sse2", &host, &set, &err), 0);
	assert_false(bit_of(&set, "sse3") || bit_of(&set, "ssse3") || bit_of(&set, "sse4.2") || bit_of(&set, "aes"));
	assert_true(bit_of(&set, "sse"));
	assert_int_equal(resolve("host,-xsave,+avx2", &host, &set, &err), -EINVAL);
	assert_non_null(strstr(err.text, "avx2 needs avx"));
	assert_int_equal(resolve("486,+x2apic", &host, &set, &err), -EINVAL);
	assert_non_null(strstr(err.text, "x2apic needs apic"));
	assert_int_equal(resolve("486,+x2apic,+apic,+msr", &host, &set, &err), 0);
	assert_int_equal(resolve("host,-hypervisor", &host, &set, &err), 0);
	assert_false(bit_of(&set, "hypervisor"));
}

/* APIC, x2APIC and TSC deadline are offered where they can be carried, and are refused elsewhere if asked for. */
static void test_lapic(void **state)
{
	struct cpuid_host host = whole_host();
	struct cpuid_request r;
	struct cpuid_set set;
	struct accel_err err;

	(void)state;
	host.has_lapic = false;
	host.has.word[CPUID_1_EDX] &= ~(1u << 9);
	host.has.word[CPUID_1_ECX] &= ~(1u << 21 | 1u << 24);
	assert_int_equal(resolve("SandyBridge", &host, &set, &err), 0);
	assert_false(bit_of(&set, "apic") || bit_of(&set, "x2apic") || bit_of(&set, "tsc-deadline"));
	assert_false(bit_of(&set, "arat"));
	assert_int_equal(resolve("SandyBridge,+x2apic", &host, &set, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "x2apic cannot be given: this host's KVM has no split irqchip"));
	assert_int_equal(resolve("host,+apic,+tsc-deadline", &host, &set, &err), -ENOTSUP);
	/* local APICs, but a KVM without the timer */
	host = whole_host();
	host.has.word[CPUID_1_ECX] &= ~(1u << 24);
	assert_int_equal(resolve("SandyBridge", &host, &set, &err), 0);
	assert_true(bit_of(&set, "apic") && bit_of(&set, "x2apic"));
	assert_false(bit_of(&set, "tsc-deadline"));
	assert_int_equal(resolve("SandyBridge,+tsc-deadline", &host, &set, &err), -ENOTSUP);

	static const struct {
		const char *text;
		bool wants;
	} rows[] = {{"host", true}, {"host,-apic", false}, {"486", false}, {"486,+apic", true}, {"pentium", true},
		{"Haswell,apic=off", false}};

	for (unsigned i = 0; i < COUNT(rows); i++) {
		assert_int_equal(cpuid_parse(rows[i].text, &r, &err), 0);
		assert_int_equal(cpuid_wants_apic(&r), rows[i].wants);
	}
	memset(&r, 0, sizeof(r));
	assert_true(cpuid_wants_apic(&r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_bad_words),
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_lineage),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_needs),
		cmocka_unit_test(test_lapic),
	};

	return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}
