/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * qmp_rig.h: a control session over a VM that stands but has no threads, for the tests of commands and the
 * fuzzer: vm_at_rest() then does its work at once. Answers come as parsed JSON. Included by one .c file.
 */
#ifndef TESTS_QMP_RIG_H
#define TESTS_QMP_RIG_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/options.h"
#include "vmm/qmp.h"
#include "vmm/vm.h"

struct qmp_rig {
	struct options opt;
	struct vm vm;
	struct qmp_hub hub;
	struct qmp_session session;
	unsigned events; /* sent to all */
	char last_event[32];
};

static void rig_event(void *opaque, const char *name, json_t *data)
{
	struct qmp_rig *rig = opaque;

	rig->events++;
	snprintf(rig->last_event, sizeof(rig->last_event), "%s", name);
	qmp_event(&rig->session, name, data);
	json_decref(data);
}

static struct qmp_rig *rig_new(enum opt_accel accel)
{
	struct qmp_rig *rig = calloc(1, sizeof(*rig));
	struct accel_err err;
	int rc;

	assert(rig);
	rig->opt = (struct options){
		.mem_bytes = 1 << 20,
		.cpus = 1,
		.cpu = OPT_CPU_SCRIPT,
		.script = "/dev/null",
		.accel = accel,
		.serial = "none",
		.qmp = NULL,
		.quiet = true,
	};
	rc = vm_create(&rig->vm, &rig->opt, &err);
	assert(rc == 0);
	(void)rc;
	rig->hub = (struct qmp_hub){.event = rig_event, .opaque = rig};
	qmp_init(&rig->session, &rig->vm, &rig->hub);
	return rig;
}

static void rig_free(struct qmp_rig *rig)
{
	qmp_destroy(&rig->session);
	vm_destroy(&rig->vm);
	free(rig);
}

/* The next answer or event; NULL: there is none. The caller's to free. */
static json_t *rig_next(struct qmp_rig *rig)
{
	char *end = rig->session.out_used ? memchr(rig->session.out, '\n', rig->session.out_used) : NULL;
	json_error_t error;
	json_t *json;

	if (!end)
		return NULL;
	json = json_loadb(rig->session.out, (size_t)(end - rig->session.out), JSON_REJECT_DUPLICATES, &error);
	assert(json && end[-1] == '\r');
	qmp_sent(&rig->session, (size_t)(end - rig->session.out) + 1);
	return json;
}

#endif
