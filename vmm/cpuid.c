// SPDX-License-Identifier: BSD-2-Clause
/*
 * cpuid.c: --cpu-model: reads a request, and says what features come of it on a host, or why it cannot be given.
 * A request is refused as a whole: nothing that was asked for is ever dropped.
 */
#include "vmm/cpuid.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "vmm/text.h"

#define NAME_MOST 32 /* longer words are like none of ours */

/* What a feature is no use without ([SDM1] the detection of each extension; [APM2] 3.1). */
static const struct {
	const char *name, *needs;
} needs[] = {
	{"sse", "fxsr"},
	{"sse2", "sse"},
	{"sse3", "sse2"},
	{"ssse3", "sse3"},
	{"sse4.1", "ssse3"},
	{"sse4.2", "sse4.1"},
	{"sse4a", "sse3"},
	{"aes", "sse2"},
	{"pclmulqdq", "sse2"},
	{"sha-ni", "sse2"},
	{"gfni", "sse2"},
	{"xsaveopt", "xsave"},
	{"xsavec", "xsave"},
	{"xgetbv1", "xsave"},
	{"xsaves", "xsavec"},
	{"avx", "xsave"},
	{"mpx", "xsave"},
	{"pku", "xsave"},
	{"amx-tile", "xsave"},
	{"amx-int8", "amx-tile"},
	{"amx-bf16", "amx-tile"},
	{"f16c", "avx"},
	{"fma", "avx"},
	{"avx2", "avx"},
	{"xop", "avx"},
	{"fma4", "avx"},
	{"vaes", "avx"},
	{"vpclmulqdq", "avx"},
	{"avx-vnni", "avx2"},
	{"avx512f", "avx2"},
	{"avx512dq", "avx512f"},
	{"avx512ifma", "avx512f"},
	{"avx512pf", "avx512f"},
	{"avx512er", "avx512f"},
	{"avx512cd", "avx512f"},
	{"avx512bw", "avx512f"},
	{"avx512vl", "avx512f"},
	{"avx512vbmi", "avx512f"},
	{"avx512vbmi2", "avx512f"},
	{"avx512vnni", "avx512f"},
	{"avx512bitalg", "avx512f"},
	{"avx512-vpopcntdq", "avx512f"},
	{"avx512-4vnniw", "avx512f"},
	{"avx512-4fmaps", "avx512f"},
	{"avx512-vp2intersect", "avx512f"},
	{"avx512-bf16", "avx512f"},
	{"avx512-fp16", "avx512f"},
	{"mmxext", "mmx"},
	{"3dnow", "mmx"},
	{"3dnowext", "3dnow"},
	{"nx", "pae"},
	{"lm", "pae"},
	{"pdpe1gb", "lm"},
	{"pcid", "lm"},
	{"la57", "lm"},
	{"rdtscp", "tsc"},
	{"invtsc", "tsc"},
	{"tsc-adjust", "tsc"},
	{"x2apic", "apic"},
	{"tsc-deadline", "apic"},
	{"arat", "apic"},
	{"npt", "svm"},
	{"lbrv", "svm"},
	{"nrip-save", "svm"},
	{"tsc-scale", "svm"},
	{"vmcb-clean", "svm"},
	{"flushbyasid", "svm"},
	{"decodeassists", "svm"},
	{"pause-filter", "svm"},
	{"pfthreshold", "svm"},
	{"avic", "svm"},
	{"v-vmsave-vmload", "svm"},
	{"vgif", "svm"},
};

/* ---- names ------------------------------------------------------------------------------------- */

static bool same_name(const char *name, const char *word, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (name[i] == '\0' || name[i] != (word[i] == '_' ? '-' : word[i]))
			return false;
	}
	return name[length] == '\0';
}

const struct cpuid_feature *cpuid_find_feature(const char *name, size_t length)
{
	for (const struct cpuid_feature *f = cpuid_features; f->name; f++) {
		if (same_name(f->name, name, length))
			return f;
	}
	return NULL;
}

const struct cpuid_model *cpuid_find_model(const char *name, size_t length)
{
	for (const struct cpuid_model *m = cpuid_models; m->name; m++) {
		if (strlen(m->name) == length && memcmp(m->name, name, length) == 0)
			return m;
	}
	return NULL;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* How many letters must be changed, added or left out to make one of the other, whatever their case. */
static unsigned distance(const char *name, const char *word, size_t length)
{
	unsigned row[NAME_MOST + 1], columns = (unsigned)strlen(name);

	for (unsigned c = 0; c <= columns; c++)
		row[c] = c;
	for (unsigned r = 1; r <= length; r++) {
		unsigned diagonal = row[0];

		row[0] = r;
		for (unsigned c = 1; c <= columns; c++) {
			unsigned same = diagonal + (strncasecmp(&name[c - 1], &word[r - 1], 1) != 0);

			diagonal = row[c];
			row[c] = least(same, 1 + least(row[c], row[c - 1]));
		}
	}
	return row[columns];
}

/* Keeps the name that is nearest to the word so far. */
static void try_name(const char *name, const char *word, size_t length, const char **best, unsigned *best_distance)
{
	unsigned d;

	if (length > NAME_MOST || strlen(name) > NAME_MOST)
		return;
	d = distance(name, word, length);
	if (d < *best_distance && d <= (length < 5 ? 1 : 2)) {
		*best = name;
		*best_distance = d;
	}
}

static int unknown(
	const char *kind, const char *word, size_t length, const char *best, const char *lists, struct accel_err *err)
{
	return err_fail(err, -EINVAL, "--cpu-model: there is no %s '%.*s'%s%s%s; `%s` lists them", kind,
		(int)least((unsigned)length, 40), word, best ? ": did you mean " : "", best ? best : "",
		best ? "?" : "", lists);
}

static int unknown_model(const char *word, size_t length, struct accel_err *err)
{
	const char *best = NULL;
	unsigned d = UINT32_MAX;

	try_name("host", word, length, &best, &d);
	try_name("max", word, length, &best, &d);
	for (const struct cpuid_model *m = cpuid_models; m->name; m++)
		try_name(m->name, word, length, &best, &d);
	return unknown("model", word, length, best, "hotreg cpu-models", err);
}

static int unknown_feature(const char *word, size_t length, struct accel_err *err)
{
	const char *best = NULL;
	unsigned d = UINT32_MAX;

	for (const struct cpuid_feature *f = cpuid_features; f->name; f++)
		try_name(f->name, word, length, &best, &d);
	return unknown("feature", word, length, best, "hotreg cpu-models --features", err);
}

unsigned cpuid_names(const struct cpuid_set *set, char *out, size_t bytes)
{
	struct cpuid_set left = *set;
	unsigned count = 0, told = 0;
	size_t at = 0;

	out[0] = '\0';
	for (const struct cpuid_feature *f = cpuid_features; f->name; f++) {
		if (!cpuid_has(&left, f->word, f->bit))
			continue;
		left.word[f->word] &= ~(1u << f->bit);
		count++;
		/* room for this one, and for saying that there are more */
		if (told + 1 != count || at + strlen(f->name) + 2 + sizeof(" and 4294967295 more") > bytes)
			continue;
		at += (size_t)snprintf(out + at, bytes - at, "%s%s", at ? ", " : "", f->name);
		told++;
	}
	if (told < count)
		snprintf(out + at, bytes - at, " and %u more", count - told);
	return count;
}

/* ---- sets -------------------------------------------------------------------------------------- */

static void add_bit(struct cpuid_set *set, const struct cpuid_feature *f)
{
	set->word[f->word] |= 1u << f->bit;
}

static const struct cpuid_feature *named(const char *name)
{
	return cpuid_find_feature(name, strlen(name));
}

static bool has_named(const struct cpuid_set *set, const char *name)
{
	const struct cpuid_feature *f = named(name);

	return cpuid_has(set, f->word, f->bit);
}

static bool is_empty(const struct cpuid_set *set)
{
	for (unsigned w = 0; w < CPUID_WORDS; w++) {
		if (set->word[w])
			return false;
	}
	return true;
}

void cpuid_model_set(const struct cpuid_model *model, struct cpuid_set *out)
{
	*out = (struct cpuid_set){{0}};
	while (model) {
		for (const char *p = model->features; *p;) {
			size_t length = strcspn(p, " ");

			add_bit(out, cpuid_find_feature(p, length));
			p += length + (p[length] == ' ');
		}
		model = model->base ? cpuid_find_model(model->base, strlen(model->base)) : NULL;
	}
}

/* What only a local APIC in the kernel can carry. */
static struct cpuid_set lapic_set(void)
{
	struct cpuid_set set = {{0}};

	add_bit(&set, named("apic"));
	add_bit(&set, named("x2apic"));
	add_bit(&set, named("tsc-deadline"));
	return set;
}

/* ---- reading a request ------------------------------------------------------------------------- */

static int read_feature(const char *word, size_t length, struct cpuid_request *out, struct accel_err *err)
{
	const char *equals = memchr(word, '=', length), *name = word;
	size_t name_length = equals ? (size_t)(equals - word) : length;
	bool on = true;
	const struct cpuid_feature *f;

	if (!equals && length && (*word == '+' || *word == '-')) {
		on = *word == '+';
		name++;
		name_length--;
	}
	if (name_length == 0)
		return err_fail(err, -EINVAL, "--cpu-model: a feature's name is missing: MODEL,+FEATURE,-FEATURE");
	f = cpuid_find_feature(name, name_length);
	if (!f)
		return unknown_feature(name, name_length, err);
	if (equals) {
		const char *value = equals + 1;
		size_t value_length = length - name_length - 1;

		on = value_length == 2 && memcmp(value, "on", 2) == 0;
		if (!on && !(value_length == 3 && memcmp(value, "off", 3) == 0))
			return err_fail(err, -EINVAL, "--cpu-model: %s is on or off, not '%.*s'", f->name,
				(int)least((unsigned)value_length, 40), value);
	}
	/* the last word counts */
	out->plus.word[f->word] &= ~(1u << f->bit);
	out->minus.word[f->word] &= ~(1u << f->bit);
	add_bit(on ? &out->plus : &out->minus, f);
	return 0;
}

int cpuid_parse(const char *text, struct cpuid_request *out, struct accel_err *err)
{
	size_t length = strcspn(text, ",");
	bool is_host = (length == 4 && memcmp(text, "host", 4) == 0) || (length == 3 && memcmp(text, "max", 3) == 0);

	*out = (struct cpuid_request){.model = is_host ? NULL : cpuid_find_model(text, length)};
	if (!is_host && !out->model)
		return unknown_model(text, length, err);
	for (text += length; *text == ','; text += length) {
		int rc;

		text++;
		length = strcspn(text, ",");
		rc = read_feature(text, length, out, err);
		if (rc)
			return rc;
	}
	return 0;
}

bool cpuid_wants_apic(const struct cpuid_request *request)
{
	struct cpuid_set set;

	if (has_named(&request->plus, "apic"))
		return true;
	if (has_named(&request->minus, "apic"))
		return false;
	if (!request->model)
		return true;
	cpuid_model_set(request->model, &set);
	return has_named(&set, "apic");
}

/* ---- what comes of it -------------------------------------------------------------------------- */

/* Takes away what cannot be without what is not there; names in `plus` must stay. */
static int follow_needs(const struct cpuid_request *request, struct cpuid_set *set, struct accel_err *err)
{
	for (unsigned i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
		const struct cpuid_feature *f = named(needs[i].name);

		if (!cpuid_has(set, f->word, f->bit) || has_named(set, needs[i].needs))
			continue;
		if (cpuid_has(&request->plus, f->word, f->bit))
			return err_fail(err, -EINVAL, "--cpu-model: %s needs %s, which this guest has not: add +%s",
				needs[i].name, needs[i].needs, needs[i].needs);
		set->word[f->word] &= ~(1u << f->bit);
	}
	return 0;
}

int cpuid_resolve(const struct cpuid_request *request, const struct cpuid_host *host, struct cpuid_set *out,
	struct accel_err *err)
{
	struct cpuid_set lapic = lapic_set(), lacks;
	char names[200];
	int rc;

	for (unsigned w = 0; w < CPUID_WORDS; w++)
		lacks.word[w] = request->plus.word[w] & lapic.word[w];
	if (!host->has_lapic && cpuid_wants_apic(request) && cpuid_names(&lacks, names, sizeof(names)))
		return err_fail(err, -ENOTSUP,
			"--cpu-model: %s cannot be given: this host's KVM has no split irqchip, so there are no local "
			"APICs",
			names);
	if (request->model)
		cpuid_model_set(request->model, out);
	else
		*out = host->has;
	add_bit(out, named("hypervisor"));
	for (unsigned w = 0; w < CPUID_WORDS; w++) {
		if (!host->has_lapic)
			out->word[w] &= ~lapic.word[w];
		else if (request->model) /* one of them this host's KVM may not have */
			out->word[w] &= ~lapic.word[w] | host->has.word[w];
		out->word[w] = (out->word[w] | request->plus.word[w]) & ~request->minus.word[w];
	}
	if (request->model || !is_empty(&request->plus) || !is_empty(&request->minus)) {
		rc = follow_needs(request, out, err);
		if (rc)
			return rc;
	}
	for (unsigned w = 0; w < CPUID_WORDS; w++)
		lacks.word[w] = out->word[w] & ~host->has.word[w];
	lacks.word[CPUID_1_ECX] &= ~(1u << named("hypervisor")->bit); /* hotreg's own word */
	if (cpuid_names(&lacks, names, sizeof(names)) == 0)
		return 0;
	return err_fail(err, -ENOTSUP,
		"--cpu-model: this host cannot give the guest %s: choose another model%s (`hotreg cpu-models`)", names,
		request->model ? ", or take them away with -FEATURE" : "");
}

void cpuid_lacks(const struct cpuid_model *model, const struct cpuid_host *host, struct cpuid_set *out)
{
	struct cpuid_set lapic = lapic_set();

	cpuid_model_set(model, out);
	for (unsigned w = 0; w < CPUID_WORDS; w++)
		out->word[w] &= ~(host->has.word[w] | lapic.word[w]);
}
