// SPDX-License-Identifier: BSD-2-Clause
/*
 * cpu_models.c: `hotreg cpu-models`: the models that --cpu-model knows, and what this host lacks for each; or the names
 * of the features. Nothing is run.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/kvm_cpuid.h"
#include "vmm/kvm_state.h"
#include "vmm/text.h"

#define NAMES_BYTES 4096
#define NAME_COLUMNS 25

static const char *const word_titles[CPUID_WORDS] = {
	[CPUID_1_ECX] = "leaf 1 ECX",
	[CPUID_1_EDX] = "leaf 1 EDX",
	[CPUID_6_EAX] = "leaf 6 EAX",
	[CPUID_7_EBX] = "leaf 7 EBX",
	[CPUID_7_ECX] = "leaf 7 ECX",
	[CPUID_7_EDX] = "leaf 7 EDX",
	[CPUID_7_1_EAX] = "leaf 7.1 EAX",
	[CPUID_D_1_EAX] = "leaf 0xd.1 EAX",
	[CPUID_X1_ECX] = "leaf 0x80000001 ECX",
	[CPUID_X1_EDX] = "leaf 0x80000001 EDX",
	[CPUID_X7_EDX] = "leaf 0x80000007 EDX",
	[CPUID_X8_EBX] = "leaf 0x80000008 EBX",
	[CPUID_XA_EDX] = "leaf 0x8000000a EDX",
};

static int help(FILE *out, int status)
{
	fprintf(out,
		"usage: hotreg cpu-models [--features | MODEL]\n\n"
		"Lists the models that `hotreg run --cpu-model` knows: whether this host's KVM can run each and, if "
		"not,\nwhich features it lacks. --features lists the features that can be added and taken away by "
		"name,\nwith a star where this host's KVM can give them.\n");
	return status;
}

/* False: there is no KVM to ask; why is in err. */
static bool ask_host(struct cpuid_host *host, struct accel_err *err)
{
	int fd = kvm_open(err), rc;

	if (fd < 0)
		return false;
	rc = kvm_cpuid_ask(fd, ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP) > 0, host, err);
	close(fd);
	return rc == 0;
}

static void list_features(const struct cpuid_host *host)
{
	for (unsigned w = 0; w < CPUID_WORDS; w++) {
		unsigned column = 0;

		printf("%s:\n", word_titles[w]);
		for (const struct cpuid_feature *f = cpuid_features; f->name; f++) {
			if (f->word != w)
				continue;
			if (column + strlen(f->name) + 3 > 100)
				column = (unsigned)!putchar('\n');
			column += (unsigned)printf(
				"  %s%s", f->name, host && cpuid_has(&host->has, f->word, f->bit) ? "*" : "");
		}
		putchar('\n');
	}
}

static void list_models(const struct cpuid_host *host)
{
	char names[NAMES_BYTES];

	printf("%-*s %-4s %s\n", NAME_COLUMNS, "MODEL", "RUNS", "WHAT");
	printf("%-*s %-4s %s\n", NAME_COLUMNS, "host", host ? "yes" : "-",
		"this host's processor as KVM offers it: the default");
	printf("%-*s %-4s %s\n", NAME_COLUMNS, "max", "yes",
		"all that can be given: as host; with --cpu soft what that CPU is");
	for (const struct cpuid_model *m = cpuid_models; m->name; m++) {
		struct cpuid_set lacks = {{0}};

		if (host)
			cpuid_lacks(m, host, &lacks);
		if (!cpuid_names(&lacks, names, sizeof(names)))
			printf("%-*s %-4s %s\n", NAME_COLUMNS, m->name, host ? "yes" : "-", m->about);
		else
			printf("%-*s %-4s %s; lacks %s\n", NAME_COLUMNS, m->name, "no", m->about, names);
	}
}

static int show_model(const struct cpuid_model *m)
{
	char names[NAMES_BYTES];
	struct cpuid_set set;

	cpuid_model_set(m, &set);
	cpuid_names(&set, names, sizeof(names));
	printf("%s: %s\n  %s, family %u, model %u, stepping %u\n  %s\n", m->name, m->about, m->vendor, m->family,
		m->model, m->stepping, names);
	return fflush(stdout) ? 2 : 0;
}

int cpu_models_command(int argc, char **argv)
{
	bool want_features = argc == 1 && strcmp(argv[0], "--features") == 0, has_host;
	struct accel_err err = {.text = ""};
	struct cpuid_host host;

	if (argc == 1 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0))
		return help(stdout, 0);
	if (argc && !want_features) {
		const struct cpuid_model *m = argc == 1 ? cpuid_find_model(argv[0], strlen(argv[0])) : NULL;

		if (m)
			return show_model(m);
		fprintf(stderr, "hotreg: cpu-models takes --features, a model's name or nothing, not '%.80s'\n",
			argv[0]);
		return 2;
	}
	has_host = ask_host(&host, &err);
	if (want_features)
		list_features(has_host ? &host : NULL);
	else
		list_models(has_host ? &host : NULL);
	if (!has_host)
		printf("\nWhat this host can run is not known: %s\n", err.text);
	return fflush(stdout) ? 2 : 0;
}
