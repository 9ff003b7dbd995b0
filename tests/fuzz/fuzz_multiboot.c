// SPDX-License-Identifier: BSD-2-Clause
/*
 * fuzz_multiboot.c: hostile kernel files against the multiboot loader and the PVH loader. Half of the inputs get a
 * valid header where the first byte says, since a random checksum is rarely right, or a PVH note. Asserted:
 * an accepted image is entered inside RAM above 1 MiB, and the memory below stays as it was.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/multiboot.h"
#include "vmm/pvh.h"

#define RAM_BYTES 0x400000u
#define LOW_BYTES 0x100000u
#define LOW_FILL 0x5a

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct guest_mem mem;

/* The first two bytes: bit 0 asks for a header, bit 1 for address fields or PVH's note, the rest is its place. */
static void put_header(uint8_t *file, size_t bytes, unsigned how)
{
	const uint32_t note[4] = {4, 4, 18, 0x006e6558};
	uint32_t header[3] = {0x1badb002, how & 2 ? 0x10003 : 3, 0};
	size_t at = (how >> 2) * 4 % (MULTIBOOT_SEARCH_BYTES - 8);

	header[2] = -(header[0] + header[1]);
	if ((how & 1) && bytes >= sizeof(header) && at <= bytes - sizeof(header))
		memcpy(file + at, header, sizeof(header));
	else if ((how & 2) && bytes >= sizeof(note) && at <= bytes - sizeof(note))
		memcpy(file + at, note, sizeof(note)); /* the entry point is what lies behind it */
}

static void try_pvh(const uint8_t *file, size_t bytes)
{
	const struct boot_module mod = {LOW_BYTES, LOW_BYTES + 1, "module"};
	struct pvh_image img;
	struct accel_err err;
	uint32_t entry;
	int rc;

	err.text[0] = '\0';
	rc = pvh_load(&mem, file, bytes, &img, &err);
	assert(rc == 0 || err.text[0]);
	if (rc)
		return;
	rc = pvh_find(file, bytes, &entry);
	assert(rc && img.elf.entry == entry);
	assert(entry >= LOW_BYTES && entry < img.elf.end && img.elf.end <= RAM_BYTES);
	rc = pvh_write_info(&mem, "arguments", &mod, 1, 0xf0000, &img, &err);
	assert(rc == 0 && img.info >= 0x10000 && img.info < 0x11000);
	memset(mem.ram + 0x10000, LOW_FILL, 0x1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *line = "kernel with arguments";
	const struct boot_module mod = {LOW_BYTES, LOW_BYTES + 1, "module"};
	struct multiboot_image img;
	struct accel_err err;
	uint8_t *file;
	int rc;

	if (!mem.ram) {
		rc = mem_init(&mem, RAM_BYTES);
		assert(rc == 0);
		memset(mem.ram, LOW_FILL, LOW_BYTES);
	}
	if (size < 3)
		return 0;
	file = malloc(size - 2);
	assert(file);
	memcpy(file, data + 2, size - 2);
	put_header(file, size - 2, data[0] | (unsigned)data[1] << 8);
	err.text[0] = '\0';
	rc = multiboot_load(&mem, file, size - 2, &img, &err);
	assert(rc == 0 || err.text[0]);
	for (unsigned i = 0; i < LOW_BYTES; i += 61)
		assert(mem.ram[i] == LOW_FILL);
	if (rc == 0) {
		assert(img.entry >= LOW_BYTES && img.entry < img.end && img.end <= RAM_BYTES);
		rc = multiboot_write_info(&mem, line, &mod, 1, &img, &err);
		assert(rc == 0);
		memset(mem.ram + 0x10000, LOW_FILL, 0x1000);
	}
	try_pvh(file, size - 2);
	free(file);
	return 0;
}
