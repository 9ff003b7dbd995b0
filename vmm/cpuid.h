/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpuid.h: CPU models: the features that --cpu-model names, the models that are made of them, and what comes
 * of a request on a host that can give only some.
 *
 * Nothing here knows KVM: kvm_cpuid.c says what the host supports and writes what comes out. The same request on
 * the same host always gives the same features, whatever runs in front of the devices.
 */
#ifndef VMM_CPUID_H
#define VMM_CPUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accel/accel.h" /* struct accel_err */

/* The registers that hold feature bits, by leaf, subleaf and register ([SDM2] CPUID, [APM3] appendix E). */
enum cpuid_word {
	CPUID_1_ECX,
	CPUID_1_EDX,
	CPUID_6_EAX,
	CPUID_7_EBX,
	CPUID_7_ECX,
	CPUID_7_EDX,
	CPUID_7_1_EAX,
	CPUID_D_1_EAX,
	CPUID_X1_ECX, /* 0x80000001 */
	CPUID_X1_EDX,
	CPUID_X7_EDX, /* 0x80000007 */
	CPUID_X8_EBX, /* 0x80000008 */
	CPUID_XA_EDX, /* 0x8000000a */
	CPUID_WORDS,
};

enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

struct cpuid_place {
	uint32_t leaf, subleaf;
	enum cpuid_reg reg;
};

extern const struct cpuid_place cpuid_places[CPUID_WORDS];

struct cpuid_set {
	uint32_t word[CPUID_WORDS];
};

struct cpuid_feature {
	const char *name; /* as QEMU users write it */
	uint8_t word, bit;
};

/* A NULL name ends it. Of a bit's names the first is the one that messages use. */
extern const struct cpuid_feature cpuid_features[];

struct cpuid_model {
	const char *name;
	const char *about;  /* the processor, the year it came out */
	const char *vendor; /* 12 characters */
	uint8_t family, model, stepping;
	uint32_t level;	   /* highest basic leaf */
	uint32_t xlevel;   /* highest extended leaf, 0: none */
	const char *brand; /* leaves 0x80000002-4; NULL: about */
	const char *base;  /* the model whose features it has as well; NULL: none */
	const char *features;
};

/* A NULL name ends it. */
extern const struct cpuid_model cpuid_models[];

/* --cpu-model, read. All zeros is the default: the host's own model. */
struct cpuid_request {
	const struct cpuid_model *model; /* NULL: host or max */
	struct cpuid_set plus, minus;	 /* asked for and forbidden by name */
};

/* What a machine can give. */
struct cpuid_host {
	struct cpuid_set has; /* APIC, x2APIC and TSC deadline included if its local APICs can carry them */
	bool has_lapic;
};

static inline bool cpuid_has(const struct cpuid_set *set, enum cpuid_word word, unsigned bit)
{
	return set->word[word] >> bit & 1;
}

/* NULL: there is none of that name. '_' is taken for '-', case matters. */
const struct cpuid_feature *cpuid_find_feature(const char *name, size_t length);
const struct cpuid_model *cpuid_find_model(const char *name, size_t length);

/* The features of a model, its base's included. */
void cpuid_model_set(const struct cpuid_model *model, struct cpuid_set *out);

/* MODEL[,+FEATURE][,-FEATURE][,FEATURE=on|off]... 0, or -EINVAL with a line in err. */
int cpuid_parse(const char *text, struct cpuid_request *out, struct accel_err *err);

/* The guest has a local APIC if the machine does: neither the model nor "-apic" says otherwise. */
bool cpuid_wants_apic(const struct cpuid_request *request);

/*
 * The features of the guest. What the local APIC carries follows the machine unless it was asked for by name; all
 * else must be there. 0, or -ENOTSUP with a line in err that says what the host lacks.
 */
int cpuid_resolve(const struct cpuid_request *request, const struct cpuid_host *host, struct cpuid_set *out,
	struct accel_err *err);

/* Names of the bits in `set`, as "a, b, c" and, where they do not fit, " and N more". Returns how many. */
unsigned cpuid_names(const struct cpuid_set *set, char *out, size_t bytes);

/* Those of a model that the host cannot give; empty: it can run it. */
void cpuid_lacks(const struct cpuid_model *model, const struct cpuid_host *host, struct cpuid_set *out);

/* `hotreg cpu-models [--features]`. The exit status. */
int cpu_models_command(int argc, char **argv);

#endif
