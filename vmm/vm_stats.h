/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm_stats.h: the statistics of a VM that runs or has run: what stats.h counts, with the head that only the
 * VM knows.
 */
#ifndef VMM_VM_STATS_H
#define VMM_VM_STATS_H

#include <jansson.h>

#include "vmm/vm.h"

/* The VM has counters (--stats or --qmp). NULL when out of memory. Any thread, also while vCPUs run. */
json_t *vm_stats_json(struct vm *vm);
/* After the run: --stats as it was asked for. 0 or -errno with err. */
int vm_stats_report(const struct vm *vm, int status, uint64_t end_ns, struct accel_err *err);

#endif
