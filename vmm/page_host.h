/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page_host.h: what the page tier needs of the host: processors to spare, and a KVM whose read-only memory behaves.
 */
#ifndef VMM_PAGE_HOST_H
#define VMM_PAGE_HOST_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Processors that this process may keep busy: those of its affinity, and no more than the quotas of its cgroups (both
 * versions) give. `root` is "" or a directory that stands for the file system's root, for tests.
 */
unsigned page_host_processors(const char *root);

/* For how long a thread of this process has been ready to run without a processor, since its start. False: not known. */
bool page_host_waited(const char *root, int tid, uint64_t *ns);

/* What a guest finds that reads and writes a read-only page. */
struct page_probe {
	bool works;
	char reason[128]; /* why not */
	uint64_t loads;	  /* of 4 and 8 bytes that were compared */
	uint64_t exit_ns; /* one MMIO exit, median; 0: not measured */
	uint64_t load_ns; /* one load from the page, with the loop around it */
};

/*
 * A VM of its own in a child process writes to a page in every width and with locked instructions, then reads it while the
 * host stores to it. Takes a tenth of a second and a bit, on a host that is no good up to two seconds, and two processors.
 * May be called in any thread; ends early, as a host that fails, when cancel_fd (-1: none) can be read.
 */
void page_probe_run(struct page_probe *out, int cancel_fd);
/* The writes and exit_ns alone, which takes milliseconds. */
void page_probe_exits(struct page_probe *out, int cancel_fd);

#endif
