/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_kvm_slots.c: guest memory as KVM's slots, between struct guest_mem and a kernel of the test's own (--wrap=ioctl) that
 * refuses what KVM refuses ([KVM] 4.35): a slot that is changed in place, two that overlap. What is then mapped is compared page
 * by page with the PAM registers of [82441FX]; a change of them takes nothing away outside of shadow RAM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include "vmm/kvm_slots.h"

#define VM_FD 1001
#define RAM_BYTES 0x400000u
#define ROM_BYTES 0x40000u
#define STEP 0x4000u
#define ALL (KVM_SLOTS_MEM + 4)

static struct {
	struct kvm_userspace_memory_region slots[ALL]; /* memory_size == 0: none */
	unsigned changes, refused_change;	       /* 0: none */
	uint64_t removed_low, removed_high;	       /* of what was taken away */
} k;

int __wrap_ioctl(int fd, unsigned long request, unsigned long arg);

int __wrap_ioctl(int fd, unsigned long request, unsigned long arg)
{
	const struct kvm_userspace_memory_region *m = (const void *)arg;
	struct kvm_userspace_memory_region *s;

	assert_int_equal(fd, VM_FD);
	assert_int_equal(request, KVM_SET_USER_MEMORY_REGION);
	assert_true(m->slot < ALL);
	assert_int_equal((m->guest_phys_addr | m->memory_size | m->userspace_addr) & 0xfff, 0);
	s = &k.slots[m->slot];
	errno = EINVAL;
	if (++k.changes == k.refused_change)
		return -1;
	if (m->memory_size == 0) {
		assert_true(s->memory_size);
		if (s->guest_phys_addr < k.removed_low)
			k.removed_low = s->guest_phys_addr;
		if (s->guest_phys_addr + s->memory_size > k.removed_high)
			k.removed_high = s->guest_phys_addr + s->memory_size;
		s->memory_size = 0;
		return 0;
	}
	assert_int_equal(s->memory_size, 0);
	for (unsigned i = 0; i < ALL; i++) {
		const struct kvm_userspace_memory_region *o = &k.slots[i];

		if (o->memory_size && o->guest_phys_addr < m->guest_phys_addr + m->memory_size &&
			m->guest_phys_addr < o->guest_phys_addr + o->memory_size)
			fail_msg("a slot at 0x%llx overlaps", (unsigned long long)m->guest_phys_addr);
	}
	*s = *m;
	return 0;
}

static void forget(void)
{
	k.changes = k.refused_change = 0;
	k.removed_low = UINT64_MAX;
	k.removed_high = 0;
}

static const struct kvm_userspace_memory_region *slot_at(uint64_t gpa)
{
	for (unsigned i = 0; i < ALL; i++)
		if (gpa - k.slots[i].guest_phys_addr < k.slots[i].memory_size)
			return &k.slots[i];
	return NULL;
}

/* Nothing: host == NULL. */
static void want(uint64_t gpa, const uint8_t *host, bool is_readonly)
{
	const struct kvm_userspace_memory_region *s = slot_at(gpa);

	if (!host) {
		assert_null(s);
		return;
	}
	assert_non_null(s);
	assert_ptr_equal((const uint8_t *)(uintptr_t)s->userspace_addr + (gpa - s->guest_phys_addr), host);
	assert_int_equal(s->flags, is_readonly ? KVM_MEM_READONLY : 0);
}

/* [82441FX] PAM: read enable takes reads to RAM, write enable writes; with reads from ROM a write has to exit. */
static void want_all(const struct guest_mem *mem, const uint8_t *pam)
{
	for (uint32_t gpa = 0; gpa < RAM_BYTES + 2 * STEP; gpa += STEP) {
		uint32_t segment = (gpa - MEM_SHADOW_BASE) / STEP;

		if (gpa >= MEM_SHADOW_BASE && gpa < 0x100000) {
			const uint8_t attr = pam[segment < 12 ? segment : 12];

			if (attr & MEM_PAM_RE)
				want(gpa, mem->ram + gpa, !(attr & MEM_PAM_WE));
			else
				want(gpa, gpa < 0xe0000 ? NULL : mem->rom + ROM_BYTES - (0x100000 - gpa), true);
		} else {
			want(gpa, gpa < RAM_BYTES ? mem->ram + gpa : NULL, false);
		}
	}
	for (uint32_t at = 0; at < ROM_BYTES; at += STEP)
		want(0x100000000ull - ROM_BYTES + at, mem->rom + at, true);
}

static int set_up(void **state)
{
	static uint8_t image[ROM_BYTES];
	struct guest_mem *mem = calloc(1, sizeof(*mem));

	memset(&k, 0, sizeof(k));
	forget();
	*state = mem;
	return !mem || mem_init(mem, RAM_BYTES) || mem_set_rom(mem, image, sizeof(image));
}

static int tear_down(void **state)
{
	mem_destroy(*state);
	free(*state);
	return 0;
}

static int update(struct kvm_slots *s, struct guest_mem *mem)
{
	int rc;

	pthread_mutex_lock(&mem->lock);
	rc = kvm_slots_update(s, mem);
	pthread_mutex_unlock(&mem->lock);
	return rc;
}

static void test_shadow_ram(void **state)
{
	struct guest_mem *mem = *state;
	struct kvm_slots s = {.vm_fd = VM_FD, .has_readonly = true};
	uint8_t pam[MEM_SHADOW_SEGMENTS] = {0};

	assert_int_equal(update(&s, mem), 0);
	want_all(mem, pam);
	srand(5);
	for (unsigned i = 0; i < 2000; i++) {
		unsigned segment = (unsigned)rand() % MEM_SHADOW_SEGMENTS;

		pam[segment] = (uint8_t)(rand() & (MEM_PAM_RE | MEM_PAM_WE));
		mem_set_pam(mem, segment, pam[segment]);
		forget();
		assert_int_equal(update(&s, mem), 0);
		want_all(mem, pam);
		assert_true(k.removed_low >= MEM_SHADOW_BASE && k.removed_high <= 0x100000);
		forget();
		assert_int_equal(update(&s, mem), 0);
		assert_int_equal(k.changes, 0); /* nothing to do */
	}
}

/* Whatever call KVM refuses: an error, and the next update makes it right. */
static void test_refusals(void **state)
{
	struct guest_mem *mem = *state;
	uint8_t pam[MEM_SHADOW_SEGMENTS] = {0};
	unsigned n = 0;
	int rc;

	for (;;) {
		struct kvm_slots s = {.vm_fd = VM_FD, .has_readonly = true};

		memset(&k, 0, sizeof(k));
		pam[3] = 0;
		mem_set_pam(mem, 3, 0);
		assert_int_equal(update(&s, mem), 0);
		pam[3] = MEM_PAM_RE | MEM_PAM_WE;
		mem_set_pam(mem, 3, pam[3]);
		forget();
		k.refused_change = ++n;
		rc = update(&s, mem);
		if (rc == 0)
			break; /* it takes fewer calls than that */
		assert_int_equal(rc, -EINVAL);
		forget();
		assert_int_equal(update(&s, mem), 0);
		want_all(mem, pam);
	}
	assert_true(n > 1);
}

static void test_pages(void **state)
{
	struct guest_mem *mem = *state;
	struct kvm_slots s = {.vm_fd = VM_FD, .has_readonly = true};
	uint8_t pam[MEM_SHADOW_SEGMENTS] = {0};

	assert_int_equal(update(&s, mem), 0);
	assert_int_equal(kvm_slots_show_page(&s, 0, 0xfed00000, mem->ram, 0x1000), 0);
	assert_int_equal(kvm_slots_show_page(&s, 1, 0xfed01000, mem->ram + 0x1000, 0x1000), 0);
	want(0xfed00000, mem->ram, true);
	want(0xfed01000, mem->ram + 0x1000, true);
	assert_int_equal(kvm_slots_show_page(&s, 0, 0xfed00000, NULL, 0x1000), 0);
	want(0xfed00000, NULL, false);
	want(0xfed01000, mem->ram + 0x1000, true);
	want_all(mem, pam);
	k.refused_change = k.changes + 1;
	assert_int_equal(kvm_slots_show_page(&s, 0, 0xfed00000, mem->ram, 0x1000), -EINVAL);
}

/* KVMs without KVM_CAP_READONLY_MEM: the flag is not there to be set, and a page would be the guest's to write. */
static void test_no_readonly(void **state)
{
	struct guest_mem *mem = *state;
	struct kvm_slots s = {.vm_fd = VM_FD};

	assert_int_equal(update(&s, mem), 0);
	want(0xf0000, mem->rom + ROM_BYTES - 0x10000, false);
	assert_int_equal(kvm_slots_show_page(&s, 0, 0xfed00000, mem->ram, 0x1000), -ENOTSUP);
	want(0xfed00000, NULL, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_shadow_ram, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_readonly, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
