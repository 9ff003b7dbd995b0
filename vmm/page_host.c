// SPDX-License-Identifier: BSD-2-Clause
/*
 * page_host.c: how many processors this process may keep busy: its affinity, and the CPU quotas of the cgroups that it is
 * in, of both versions; how long a thread has waited for one. What cannot be read limits nothing.
 */
#include "vmm/page_host.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

/* Two numbers of a file in one line, or one of each of two files. False: no limit. */
static bool read_quota(const char *root, const char *dir, bool is_v2, uint64_t *quota, uint64_t *period)
{
	char path[700];
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "%s%s/%s", root, dir, is_v2 ? "cpu.max" : "cpu.cfs_quota_us");
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fscanf(f, "%" SCNu64 "%" SCNu64, quota, period); /* "max 100000" and "-1" are no numbers, or a huge one */
	fclose(f);
	if (is_v2)
		return n == 2 && *period > 0;
	snprintf(path, sizeof(path), "%s%s/cpu.cfs_period_us", root, dir);
	f = n == 1 ? fopen(path, "re") : NULL;
	if (!f)
		return false;
	n = fscanf(f, "%" SCNu64, period);
	fclose(f);
	return n == 1 && *period > 0;
}

/* The least that a cgroup and those around it give. `path` is cut on the way up. */
static unsigned limit_by(const char *root, const char *mount, char *path, bool is_v2, unsigned processors)
{
	char dir[600];

	for (;;) {
		uint64_t quota, period;
		char *slash = strrchr(path, '/');

		snprintf(dir, sizeof(dir), "%s%s", mount, strcmp(path, "/") ? path : "");
		if (read_quota(root, dir, is_v2, &quota, &period) && quota / period < processors)
			processors = (unsigned)(quota / period);
		if (!slash || path[0] == '\0')
			return processors;
		*slash = '\0';
	}
}

/* [cgroups] /proc/self/cgroup: "0::/path" is version 2, "N:cpu,cpuacct:/path" the cpu controller of version 1. */
static unsigned limit_by_cgroups(const char *root, unsigned processors)
{
	char line[512], path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		char *controllers = strchr(line, ':'), *at = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!at)
			continue;
		*at++ = '\0';
		at[strcspn(at, "\n")] = '\0';
		if (strcmp(line, "0") == 0 || controllers[1] == '\0') {
			processors = limit_by(root, "/sys/fs/cgroup", at, true, processors);
			continue;
		}
		for (char *save, *name = strtok_r(controllers + 1, ",", &save); name;
			name = strtok_r(NULL, ",", &save)) {
			if (strcmp(name, "cpu") == 0)
				processors = limit_by(root, "/sys/fs/cgroup/cpu", at, false, processors);
		}
	}
	if (f)
		fclose(f);
	return processors;
}

unsigned page_host_processors(const char *root)
{
	cpu_set_t set;
	unsigned processors = 1;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		processors = (unsigned)CPU_COUNT(&set);
	return limit_by_cgroups(root, processors);
}

/* Time on a processor, time in a queue for one, times that it ran; by kernels that keep account of it. */
bool page_host_waited(const char *root, int tid, uint64_t *ns)
{
	char path[600];
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "%s/proc/self/task/%d/schedstat", root, tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fscanf(f, "%*u %" SCNu64, ns);
	fclose(f);
	return n == 1;
}
