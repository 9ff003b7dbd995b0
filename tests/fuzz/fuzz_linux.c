// SPDX-License-Identifier: BSD-2-Clause
/*
 * fuzz_linux.c: hostile kernel files against the bzImage loader, most with a header that says it is one. Asserted: what
 * is accepted lies in RAM above 1 MiB, the room for an initrd behind it, and low memory holds boot parameters alone.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/linux.h"

#define RAM_BYTES 0x400000u
#define LOW_BYTES 0x100000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct guest_mem mem;

/* The first byte: bit 0 asks for the signatures, bit 1 for a size that fits. */
static void put_header(uint8_t *file, size_t bytes, unsigned how)
{
	const uint32_t signature = 0x53726448, init_bytes = 0x10000;
	const uint16_t flag = 0xaa55;

	if (bytes < 0x290)
		return;
	if (how & 1) {
		memcpy(file + 0x1fe, &flag, 2);
		memcpy(file + 0x202, &signature, 4);
	}
	if (how & 2)
		memcpy(file + 0x260, &init_bytes, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct linux_image img;
	struct accel_err err;
	uint8_t *file;
	int rc;

	if (!mem.ram) {
		rc = mem_init(&mem, RAM_BYTES);
		assert(rc == 0);
	}
	if (size < 2)
		return 0;
	file = malloc(size - 1);
	assert(file);
	memcpy(file, data + 1, size - 1);
	put_header(file, size - 1, data[0]);
	err.text[0] = '\0';
	if (linux_find(file, size - 1)) {
		rc = linux_load(&mem, file, size - 1, data[0] & 4, &img, &err);
		assert(rc == 0 || err.text[0]);
		if (rc == 0) {
			assert(img.entry >= LOW_BYTES && img.entry < RAM_BYTES);
			assert(img.initrd_min > LOW_BYTES && img.initrd_min <= RAM_BYTES &&
				img.initrd_end <= RAM_BYTES);
			rc = linux_write_params(&mem, file, size - 1, "quiet", 0, 0, data[0] & 8, &img, &err);
			assert(rc == 0 || err.text[0]);
			assert(mem.ram[0] == 0 && mem.ram[LOW_BYTES - 1] == 0);
		}
	}
	free(file);
	return 0;
}
