// SPDX-License-Identifier: BSD-2-Clause
/*
 * cpuid_models.c: the CPU models that --cpu-model knows by name. Each is what its processor documents in [SDM2], [AP485] or
 * [APM3], less what a guest of KVM is never offered (MONITOR, thermal and debug store features, nested virtualisation, which
 * can be asked for by name). A model has its base's features as well.
 *
 * The names, and which processor each stands for, are those that QEMU users know; tests/dev/qemu_cpu_models.sh compares.
 */
#include "vmm/cpuid.h"

#define INTEL "GenuineIntel"
#define AMD "AuthenticAMD"

const struct cpuid_model cpuid_models[] = {
	/* ---- without a maker ---- */
	{"qemu32", "a generic 32-bit processor", INTEL, 6, 6, 3, 4, 0x80000004, "QEMU Virtual CPU", NULL,
		"fpu de pse tsc msr pae mce cx8 apic sep pge cmov pat mmx fxsr sse sse2 sse3"},
	{"kvm32", "a generic 32-bit processor, KVM's least", INTEL, 15, 6, 1, 5, 0x80000008,
		"Common 32-bit KVM processor", NULL,
		"fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 "
		"sse3"},
	{"qemu64", "a generic 64-bit processor", AMD, 15, 107, 1, 0xd, 0x8000000a, "QEMU Virtual CPU", NULL,
		"fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 sse3 "
		"cx16 "
		"syscall nx lm lahf-lm"},
	{"kvm64", "a generic 64-bit processor, KVM's least", INTEL, 15, 6, 1, 0xd, 0x80000008, "Common KVM processor",
		NULL,
		"fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 "
		"sse3 cx16 "
		"syscall nx lm"},

	/* ---- Intel, 32 bits ---- */
	{"486", "Intel486 DX4 with write-back cache, 1994", INTEL, 4, 8, 0, 1, 0, NULL, NULL, "fpu vme pse"},
	{"pentium", "Intel Pentium MMX, 1997", INTEL, 5, 4, 3, 1, 0, NULL, "486", "de tsc msr mce cx8 apic mmx"},
	{"pentium2", "Intel Pentium II, 1997", INTEL, 6, 5, 2, 2, 0, NULL, "pentium",
		"pae sep mtrr pge mca cmov pat pse36 fxsr"},
	{"pentium3", "Intel Pentium III, 1999", INTEL, 6, 7, 3, 2, 0, NULL, "pentium2", "sse"},
	{"coreduo", "Intel Core Duo T2600, 2006", INTEL, 6, 14, 8, 0xa, 0x80000008,
		"Genuine Intel(R) CPU           T2600  @ 2.16GHz", NULL,
		"fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat clflush mmx fxsr sse sse2 ss sse3 "
		"nx"},
	{"n270", "Intel Atom N270, 2008", INTEL, 6, 28, 2, 0xa, 0x80000008, "Intel(R) Atom(TM) CPU N270   @ 1.60GHz",
		"coreduo", "ssse3 movbe lahf-lm"},

	/* ---- Intel, 64 bits ---- */
	{"core2duo", "Intel Core 2 Duo T7700, 2007", INTEL, 6, 15, 11, 0xa, 0x80000008,
		"Intel(R) Core(TM)2 Duo CPU     T7700  @ 2.40GHz", "kvm64", "ss ssse3 lahf-lm"},
	{"Conroe", "Intel Core 2, Conroe and Merom, 2006", INTEL, 6, 15, 3, 0xa, 0x80000008,
		"Intel Celeron_4x0 (Conroe/Merom Class Core 2)", "kvm64", "ssse3 lahf-lm"},
	{"Penryn", "Intel Core 2, Penryn, 2008", INTEL, 6, 23, 3, 0xa, 0x80000008,
		"Intel Core 2 Duo P9xxx (Penryn Class Core 2)", "Conroe", "sse4.1"},
	{"Nehalem", "Intel Core i7, Nehalem, 2008", INTEL, 6, 26, 3, 0xb, 0x80000008,
		"Intel Core i7 9xx (Nehalem Class Core i7)", "Penryn", "sse4.2 popcnt"},
	{"Westmere", "Intel Xeon, Westmere, 2010", INTEL, 6, 44, 1, 0xb, 0x80000008,
		"Westmere E56xx/L56xx/X56xx (Nehalem-C)", "Nehalem", "aes pclmulqdq arat"},
	{"SandyBridge", "Intel Core, Sandy Bridge, 2011", INTEL, 6, 42, 1, 0xd, 0x80000008,
		"Intel Xeon E312xx (Sandy Bridge)", "Westmere", "x2apic tsc-deadline xsave xsaveopt avx rdtscp"},
	{"IvyBridge", "Intel Core, Ivy Bridge, 2012", INTEL, 6, 58, 9, 0xd, 0x80000008,
		"Intel Xeon E3-12xx v2 (Ivy Bridge)", "SandyBridge", "f16c rdrand fsgsbase smep erms"},
	{"Haswell-noTSX", "Intel Core, Haswell without TSX, 2013", INTEL, 6, 60, 1, 0xd, 0x80000008,
		"Intel Core Processor (Haswell, no TSX)", "IvyBridge", "fma movbe pcid bmi1 avx2 bmi2 invpcid abm"},
	{"Haswell", "Intel Core, Haswell, 2013", INTEL, 6, 60, 4, 0xd, 0x80000008, "Intel Core Processor (Haswell)",
		"Haswell-noTSX", "hle rtm"},
	{"Broadwell-noTSX", "Intel Core, Broadwell without TSX, 2014", INTEL, 6, 61, 2, 0xd, 0x80000008,
		"Intel Core Processor (Broadwell, no TSX)", "Haswell-noTSX", "rdseed adx smap 3dnowprefetch"},
	{"Broadwell", "Intel Core, Broadwell, 2014", INTEL, 6, 61, 2, 0xd, 0x80000008,
		"Intel Core Processor (Broadwell)", "Broadwell-noTSX", "hle rtm"},
	{"Skylake-Client-noTSX", "Intel Core, Skylake without TSX, 2015", INTEL, 6, 94, 3, 0xd, 0x80000008,
		"Intel Core Processor (Skylake, no TSX)", "Broadwell-noTSX", "xsavec xgetbv1"},
	{"Skylake-Client", "Intel Core, Skylake, 2015", INTEL, 6, 94, 3, 0xd, 0x80000008,
		"Intel Core Processor (Skylake)", "Skylake-Client-noTSX", "hle rtm"},
	{"Skylake-Server-noTSX", "Intel Xeon Scalable, Skylake without TSX, 2017", INTEL, 6, 85, 4, 0xd, 0x80000008,
		"Intel Xeon Processor (Skylake, no TSX)", "Skylake-Client-noTSX",
		"pdpe1gb clflushopt clwb avx512f avx512dq avx512cd avx512bw avx512vl pku"},
	{"Skylake-Server", "Intel Xeon Scalable, Skylake, 2017", INTEL, 6, 85, 4, 0xd, 0x80000008,
		"Intel Xeon Processor (Skylake)", "Skylake-Server-noTSX", "hle rtm"},
	{"Cascadelake-Server-noTSX", "Intel Xeon Scalable, Cascade Lake without TSX, 2019", INTEL, 6, 85, 6, 0xd,
		0x80000008, "Intel Xeon Processor (Cascadelake, no TSX)", "Skylake-Server-noTSX",
		"avx512vnni spec-ctrl ssbd"},
	{"Cascadelake-Server", "Intel Xeon Scalable, Cascade Lake, 2019", INTEL, 6, 85, 6, 0xd, 0x80000008,
		"Intel Xeon Processor (Cascadelake)", "Cascadelake-Server-noTSX", "hle rtm"},
	{"Icelake-Server-noTSX", "Intel Xeon Scalable, Ice Lake without TSX, 2021", INTEL, 6, 134, 0, 0xd, 0x80000008,
		"Intel Xeon Processor (Icelake, no TSX)", "Skylake-Server-noTSX",
		"avx512vnni avx512vbmi avx512vbmi2 gfni vaes vpclmulqdq avx512bitalg avx512-vpopcntdq umip la57 "
		"spec-ctrl ssbd wbnoinvd"},
	{"Icelake-Server", "Intel Xeon Scalable, Ice Lake, 2021", INTEL, 6, 134, 0, 0xd, 0x80000008,
		"Intel Xeon Processor (Icelake)", "Icelake-Server-noTSX", "hle rtm"},

	/* ---- AMD ---- */
	{"athlon", "AMD Athlon, 1999", AMD, 6, 2, 3, 1, 0x80000008, "AMD Athlon(tm) Processor", NULL,
		"fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 mmx fxsr mmxext 3dnow "
		"3dnowext"},
	{"phenom", "AMD Phenom 9550, 2008", AMD, 16, 2, 3, 5, 0x8000001a, "AMD Phenom(tm) 9550 Quad-Core Processor",
		"qemu64", "vme popcnt mmxext fxsr-opt pdpe1gb rdtscp 3dnow 3dnowext cr8legacy abm sse4a"},
	{"Opteron_G1", "AMD Opteron 240, 2003", AMD, 15, 6, 1, 5, 0x80000008, "AMD Opteron 240 (Gen 1 Class Opteron)",
		NULL,
		"fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 "
		"sse3 "
		"syscall nx lm"},
	{"Opteron_G2", "AMD Opteron 22xx, 2006", AMD, 15, 6, 1, 5, 0x80000008, "AMD Opteron 22xx (Gen 2 Class Opteron)",
		"Opteron_G1", "cx16 lahf-lm"},
	{"Opteron_G3", "AMD Opteron 23xx, 2007", AMD, 16, 2, 3, 5, 0x80000008, "AMD Opteron 23xx (Gen 3 Class Opteron)",
		"Opteron_G2", "popcnt rdtscp abm sse4a misalignsse"},
	{"Opteron_G4", "AMD Opteron 62xx, Bulldozer, 2011", AMD, 21, 1, 2, 0xd, 0x8000001a,
		"AMD Opteron 62xx class CPU", "Opteron_G2",
		"pclmulqdq ssse3 sse4.1 sse4.2 popcnt aes xsave avx pdpe1gb rdtscp abm sse4a misalignsse 3dnowprefetch "
		"xop "
		"fma4"},
	{"Opteron_G5", "AMD Opteron 63xx, Piledriver, 2012", AMD, 21, 2, 0, 0xd, 0x8000001a,
		"AMD Opteron 63xx class CPU", "Opteron_G4", "fma f16c tbm"},
	{"EPYC", "AMD EPYC 7001, Zen, 2017", AMD, 23, 1, 2, 0xd, 0x8000001e, "AMD EPYC Processor", "Opteron_G2",
		"pclmulqdq ssse3 fma sse4.1 sse4.2 movbe popcnt aes xsave avx f16c rdrand arat fsgsbase bmi1 avx2 smep "
		"bmi2 "
		"rdseed adx smap clflushopt sha-ni xsaveopt xsavec xgetbv1 mmxext fxsr-opt pdpe1gb rdtscp cr8legacy "
		"abm "
		"sse4a misalignsse 3dnowprefetch osvw topoext"},
	{"EPYC-Rome", "AMD EPYC 7002, Zen 2, 2019", AMD, 23, 49, 0, 0xd, 0x8000001e, "AMD EPYC-Rome Processor", "EPYC",
		"umip rdpid clwb xsaves perfctr-core clzero xsaveerptr wbnoinvd ibpb amd-stibp"},
	{"EPYC-Milan", "AMD EPYC 7003, Zen 3, 2021", AMD, 25, 1, 1, 0xd, 0x8000001e, "AMD EPYC-Milan Processor",
		"EPYC-Rome", "pcid erms invpcid pku fsrm ibrs amd-ssbd"},
	{.name = NULL},
};
