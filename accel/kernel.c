// SPDX-License-Identifier: BSD-2-Clause
/*
 * kernel.c: programs of a slot in the running kernel: plain libbpf, the object's own file, and the state page as an array map
 * that model, engine and kernel share. What KVM does with them is vmm/kvm_tier.c's.
 */
#include "accel/kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accel/kernel_pin.h"
#include "accel/object.h"
#include "accel/progcmd_int.h"
#include "accel/slot.h"

const char *accel_kernel_unusable(void)
{
	return progcmd_kernel_unusable();
}

static int fail(struct accel_err *err, int rc, const char *what)
{
	snprintf(err->text, sizeof(err->text), "%s: %s", what, strerror(-rc));
	return rc;
}

int accel_slot_share_page(struct accel_slot *slot, const struct accel_pins *pins, struct accel_err *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	struct accel_page *page = slot->page;
	const uint32_t zero = 0;
	int fd, rc = 0;

	pthread_mutex_lock(&page->lock);
	if (page->map_fd >= 0)
		goto unlock;
	if (pins)
		fd = kernel_pinned_page(pins, page->size, err);
	else
		fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "hotreg_state", sizeof(zero), page->size, 1, &opts);
	if (fd < 0) {
		rc = pins ? fd : fail(err, fd, "the kernel gives no map for the state page");
		goto unlock;
	}
	if (bpf_map_update_elem(fd, &zero, page->data, BPF_ANY)) {
		rc = fail(err, -errno, "the state page's map cannot be filled");
	} else if (mmap(page->data, page->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		   MAP_FAILED) {
		/* what was mapped there before still is */
		rc = fail(err, -errno, "the state page's map cannot be mapped");
	}
	if (rc)
		close(fd);
	else
		page->map_fd = fd;
unlock:
	pthread_mutex_unlock(&page->lock);
	return rc;
}

static int refuse(struct accel_err *err, const char *why)
{
	snprintf(err->text, sizeof(err->text), "%s", why);
	return -ENOTSUP;
}

/* Writable data of the object's own would be another copy there, which the two tiers would not share. */
static int check_shareable(const struct accel_slot *slot, const struct accel_object *obj, struct accel_err *err)
{
	if (slot->clock->is_virtual)
		return refuse(err, "its time is virtual");
	if (slot->page->map_fd < 0)
		return refuse(err, "its state page is not shared");
	for (unsigned i = 0; i < accel_object_map_count(obj); i++) {
		if (prog_map_is_own(accel_object_map(obj, i)))
			return refuse(err, "its object keeps data of its own (.bss or a map)");
	}
	return 0;
}

/* The program alone, its state map being the page's. */
static int prepare(struct bpf_object *bpf, const char *name, int state_fd)
{
	struct bpf_program *p;
	struct bpf_map *map;
	int rc = 0;

	bpf_object__for_each_program(p, bpf) bpf_program__set_autoload(p, strcmp(bpf_program__name(p), name) == 0);
	bpf_object__for_each_map(map, bpf)
	{
		if (strstr(bpf_map__name(map), ".data.state"))
			rc = bpf_map__reuse_fd(map, state_fd);
	}
	return rc;
}

static int load(const struct accel_object *obj, const char *name, int state_fd, int *fd)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "hotreg");
	const struct bpf_program *p;
	libbpf_print_fn_t old;
	struct bpf_object *bpf;
	size_t bytes;
	const void *image = accel_object_image(obj, &bytes);
	int rc;

	old = object_mute_libbpf();
	bpf = bpf_object__open_mem(image, bytes, &opts);
	rc = bpf ? prepare(bpf, name, state_fd) : -errno;
	if (!rc)
		rc = bpf_object__load(bpf);
	p = rc ? NULL : bpf_object__find_program_by_name(bpf, name);
	if (p) {
		*fd = fcntl(bpf_program__fd(p), F_DUPFD_CLOEXEC, 3);
		rc = *fd < 0 ? -errno : 0;
	}
	bpf_object__close(bpf);
	object_unmute_libbpf(old);
	return rc;
}

int accel_slot_load_kernel(
	struct accel_slot *slot, const struct accel_pins *pins, struct accel_kernel_prog *out, struct accel_err *err)
{
	const struct attachment *att;
	int rc = -ENOENT;

	*out = (struct accel_kernel_prog){.fd = -1, .state_fd = slot->page->map_fd, .event_fd = -1};
	pthread_mutex_lock(&slot->lock); /* what is attached stays so */
	att = slot_attachment(slot, atomic_load_explicit(&slot->hot.current, memory_order_acquire));
	if (att)
		rc = check_shareable(slot, att->po->obj, err);
	else
		snprintf(err->text, sizeof(err->text), "no program is attached");
	if (!rc) {
		out->is_stateful = att->is_stateful;
		out->event_fd = atomic_load(&slot->eventfd);
		if (pins)
			rc = kernel_pinned_prog(pins, att->po->obj, att->name, out->state_fd, &out->fd, err);
		else if ((rc = load(att->po->obj, att->name, out->state_fd, &out->fd)) != 0)
			fail(err, rc, "the kernel does not take its program");
	}
	pthread_mutex_unlock(&slot->lock);
	return rc;
}

int accel_slot_pin(struct accel_slot *slot, const struct accel_pins *pins, struct accel_err *err)
{
	struct accel_kernel_prog prog;
	const struct attachment *att;
	int rc = accel_slot_load_kernel(slot, NULL, &prog, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&slot->lock);
	att = slot_attachment(slot, atomic_load_explicit(&slot->hot.current, memory_order_acquire));
	rc = att ? kernel_pin(pins, att->po->obj, att->name, &prog, err) : -ENOENT;
	pthread_mutex_unlock(&slot->lock);
	close(prog.fd);
	return rc;
}
