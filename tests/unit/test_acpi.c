/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_acpi.c: the ACPI and MP tables for many machines. What a guest sees of them is read back by offset from the
 * specifications ([ACPI] 4.0a, [HPET] 3.2.4, [MP] 1.4) and checked against what the machine was asked to be; Intel's own compiler
 * (iasl) must read each table, find nothing to remark, and make the same bytes of what it read; its interpreter (acpiexec)
 * runs the methods; and a BIOS's table loader, played here, must end with the tables that a kernel gets directly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/acpi.h"
#include "devices/aml.h"

#define BASE 0xf1000u
#define AREA 0xf0000u

static uint8_t memory[1u << 20];
static struct acpi_tables t;

static const struct acpi_config configs[] = {
	{.cpus = 1,
		.has_hpet = true,
		.has_vga = true,
		.pm_base = 0xb000,
		.sci = 9,
		.pirq_to = 0xc20,
		.ram_bytes = 64u << 20},
	{.cpus = 2,
		.has_apic = true,
		.has_hpet = true,
		.pm_base = 0x600,
		.sci = 9,
		.pirq_to = 0xc20,
		.ram_bytes = 1u << 20},
	{.cpus = 8,
		.has_apic = true,
		.has_ioapic = true,
		.has_hpet = true,
		.pm_base = 0x600,
		.sci = 9,
		.pirq_to = 0xc20,
		.ram_bytes = 3ull << 30},
	{.cpus = ACPI_MAX_CPUS,
		.has_apic = true,
		.has_ioapic = true,
		.has_vga = true,
		.pm_base = 0xffc0,
		.sci = 11,
		.pirq_to = 0x0800,
		.ram_bytes = 0xbffff000},
};
#define CONFIGS (sizeof(configs) / sizeof(configs[0]))

static uint64_t get(uint32_t at, unsigned bytes)
{
	uint64_t v = 0;

	assert_true(at + bytes <= sizeof(memory));
	memcpy(&v, memory + at, bytes);
	return v;
}

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	for (size_t i = 0; i < n; i++)
		s = (uint8_t)(s + p[i]);
	return s;
}

static void place(const struct acpi_config *c)
{
	memset(memory, 0, sizeof(memory));
	acpi_build(c, &t);
	acpi_link(&t, BASE);
	memcpy(memory + BASE, t.bytes, t.len);
	memcpy(memory + AREA, t.rsdp, ACPI_RSDP_BYTES);
}

/* As guests do: RSDP, then the root table, whose entries have `size` bytes. 0: not there. */
static uint32_t find(const char *signature, unsigned size)
{
	uint32_t rsdp = 0xe0000, root, entries;

	while (memcmp(memory + rsdp, "RSD PTR ", 8) != 0) {
		rsdp += 16;
		assert_true(rsdp < 0x100000);
	}
	assert_int_equal(sum(memory + rsdp, 20), 0);
	assert_int_equal(sum(memory + rsdp, (size_t)get(rsdp + 20, 4)), 0);
	assert_int_equal(get(rsdp + 15, 1), 2);
	root = (uint32_t)get(rsdp + (size == 4 ? 16 : 24), size);
	assert_memory_equal(memory + root, size == 4 ? "RSDT" : "XSDT", 4);
	assert_int_equal(sum(memory + root, (size_t)get(root + 4, 4)), 0);
	entries = ((uint32_t)get(root + 4, 4) - 36) / size;
	for (uint32_t i = 0; i < entries; i++) {
		uint32_t at = (uint32_t)get(root + 36 + i * size, size);

		assert_int_equal(sum(memory + at, (size_t)get(at + 4, 4)), 0);
		if (memcmp(memory + at, signature, 4) == 0)
			return at;
	}
	return 0;
}

static uint32_t find_both(const char *signature)
{
	uint32_t at = find(signature, 4);

	assert_int_equal(at, find(signature, 8));
	return at;
}

static void check_fadt(const struct acpi_config *c)
{
	uint32_t at = find_both("FACP"), facs, dsdt;

	assert_int_not_equal(at, 0);
	assert_int_equal(get(at + 4, 4), 244);
	facs = (uint32_t)get(at + 36, 4);
	dsdt = (uint32_t)get(at + 40, 4);
	assert_int_equal(get(at + 132, 8), facs);
	assert_int_equal(get(at + 140, 8), dsdt);
	assert_memory_equal(memory + facs, "FACS", 4);
	assert_int_equal(facs % 64, 0);
	assert_int_equal(get(facs + 4, 4), 64);
	assert_memory_equal(memory + dsdt, "DSDT", 4);
	assert_int_equal(sum(memory + dsdt, (size_t)get(dsdt + 4, 4)), 0);
	assert_int_equal(get(at + 46, 2), c->sci);
	assert_int_equal(get(at + 48, 4), 0xb2);
	assert_int_equal(get(at + 52, 1), 0xf1);
	assert_int_equal(get(at + 53, 1), 0xf0);
	/* [82371AB] 7.2: PMSTS and PMEN, PMCNTRL, PMTMR */
	assert_int_equal(get(at + 56, 4), c->pm_base);
	assert_int_equal(get(at + 64, 4), c->pm_base + 4);
	assert_int_equal(get(at + 76, 4), c->pm_base + 8);
	assert_int_equal(get(at + 88, 4), 0x04000204);
	/* as extended addresses: I/O, bits, offset 0, access size */
	assert_int_equal(get(at + 148, 4), 0x02002001);
	assert_int_equal(get(at + 152, 8), c->pm_base);
	assert_int_equal(get(at + 172, 4), 0x02001001);
	assert_int_equal(get(at + 176, 8), c->pm_base + 4);
	assert_int_equal(get(at + 208, 4), 0x03002001);
	assert_int_equal(get(at + 212, 8), c->pm_base + 8);
	/* reset: a byte, 6, to port 0xcf9 */
	assert_int_equal(get(at + 116, 4), 0x01000801);
	assert_int_equal(get(at + 120, 8), 0xcf9);
	assert_int_equal(get(at + 128, 1), 6);
	/* 24-bit timer (bit 8 clear), power button in PM1 (4 clear), reset register (10) */
	assert_int_equal(get(at + 112, 4) & 0x0510, 0x0400);
	assert_int_equal(get(at + 108, 1), 0x32);
	assert_int_equal(get(at + 109, 2) & 4, c->has_vga ? 0 : 4);
}

static void check_hpet(const struct acpi_config *c)
{
	uint32_t at = find_both("HPET");

	assert_int_equal(at != 0, c->has_hpet);
	if (!at)
		return;
	/* the low half of the capabilities: vendor 8086h, legacy route, 64 bits, 3 timers less one, revision 1 */
	assert_int_equal(get(at + 36, 4), 0x8086a201);
	assert_int_equal(get(at + 40, 1), 0);
	assert_int_equal(get(at + 44, 8), 0xfed00000);
}

/* Every entry by its length; which processors, I/O APIC and overrides there are. */
static void check_madt(const struct acpi_config *c)
{
	uint32_t at = find_both("APIC"), end, ioapics = 0, nmis = 0, levels = 0;
	uint64_t cpus = 0;

	assert_int_equal(at != 0, c->has_apic && c->has_ioapic);
	if (!at)
		return;
	assert_int_equal(get(at + 36, 4), 0xfee00000);
	assert_int_equal(get(at + 40, 4), 1);
	end = at + (uint32_t)get(at + 4, 4);
	for (uint32_t p = at + 44; p < end; p += (uint32_t)get(p + 1, 1)) {
		assert_true(get(p + 1, 1) >= 2 && p + get(p + 1, 1) <= end);
		switch (get(p, 1)) {
		case 0:
			assert_int_equal(get(p + 1, 1), 8);
			assert_int_equal(get(p + 4, 4), 1);
			cpus |= 1ull << get(p + 3, 1);
			break;
		case 1:
			assert_int_equal(get(p + 4, 4), 0xfec00000);
			assert_int_equal(get(p + 8, 4), 0);
			assert_true(get(p + 2, 1) >= c->cpus);
			ioapics++;
			break;
		case 2:
			assert_int_equal(get(p + 2, 1), 0);
			if (get(p + 3, 1) == 0) {
				assert_int_equal(get(p + 4, 4), 2);
				break;
			}
			assert_int_equal(get(p + 4, 4), get(p + 3, 1));
			assert_int_equal(get(p + 8, 2), 0x0d); /* active high, level */
			levels |= 1u << get(p + 3, 1);
			break;
		case 4:
			nmis++;
			break;
		default:
			fail_msg("entry of type %u", (unsigned)get(p, 1));
		}
	}
	assert_true(cpus == (c->cpus == 64 ? ~0ull : (1ull << c->cpus) - 1));
	assert_int_equal(ioapics, 1);
	assert_int_equal(levels, c->pirq_to | 1u << c->sci);
	assert_int_equal(nmis, 1);
}

static void test_tables(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CONFIGS; i++) {
		place(&configs[i]);
		check_fadt(&configs[i]);
		check_hpet(&configs[i]);
		check_madt(&configs[i]);
	}
}

/* The power management block moves: nothing else does. */
static void test_same_shape(void **state)
{
	struct acpi_config c = configs[0];
	struct acpi_tables other;

	(void)state;
	acpi_build(&c, &t);
	c.pm_base = 0x600;
	acpi_build(&c, &other);
	assert_int_equal(t.len, other.len);
	assert_int_equal(t.fixup_count, other.fixup_count);
	assert_memory_equal(t.fixups, other.fixups, sizeof(t.fixups[0]) * t.fixup_count);
	assert_memory_equal(t.rsdp, other.rsdp, sizeof(t.rsdp));
}

/* ---- MP table ------------------------------------------------------------------------------------- */

static void check_mptable(const struct acpi_config *c)
{
	static const unsigned lengths[] = {20, 8, 8, 8, 8};
	uint32_t fp = AREA + 0x100, at, p, entries, cpus = 0, inputs = 0, seen[5] = {0};
	size_t bytes = mptable_build(c, fp, memory + fp);

	if (!c->has_apic || !c->has_ioapic) {
		assert_int_equal(bytes, 0);
		return;
	}
	assert_memory_equal(memory + fp, "_MP_", 4);
	assert_int_equal(sum(memory + fp, 16), 0);
	assert_int_equal(get(fp + 8, 2), 0x0401);
	assert_int_equal(get(fp + 11, 5), 0);
	at = (uint32_t)get(fp + 4, 4);
	assert_memory_equal(memory + at, "PCMP", 4);
	assert_int_equal(at + get(at + 4, 2), fp + bytes);
	assert_int_equal(sum(memory + at, (size_t)get(at + 4, 2)), 0);
	assert_int_equal(get(at + 6, 1), 4);
	assert_int_equal(get(at + 36, 4), 0xfee00000);
	entries = (uint32_t)get(at + 34, 2);
	p = at + 44;
	for (uint32_t i = 0, last = 0; i < entries; i++) {
		uint32_t type = (uint32_t)get(p, 1);

		assert_true(type <= 4 && type >= last); /* 4.3: sorted by type */
		last = type;
		seen[type]++;
		if (type == 0) {
			assert_int_equal(get(p + 1, 1), cpus);
			assert_int_equal(get(p + 3, 1), cpus == 0 ? 3 : 1);
			cpus++;
		} else if (type == 1) {
			assert_memory_equal(memory + p + 2, get(p + 1, 1) ? "ISA   " : "PCI   ", 6);
		} else if (type == 2) {
			assert_int_equal(get(p + 1, 1), c->cpus);
			assert_int_equal(get(p + 4, 4), 0xfec00000);
		} else if (type == 3 && get(p + 1, 1) == 0 && get(p + 4, 1) == 1) {
			unsigned irq = (unsigned)get(p + 5, 1), input = (unsigned)get(p + 7, 1);
			bool is_level = irq == c->sci || c->pirq_to >> irq & 1;

			assert_int_equal(input, irq ? irq : 2);
			assert_int_equal(get(p + 2, 2), is_level ? 0x0d : 0);
			assert_false(inputs >> input & 1);
			inputs |= 1u << input;
		}
		p += lengths[type];
	}
	assert_int_equal(p, fp + bytes);
	assert_int_equal(cpus, c->cpus);
	assert_int_equal(inputs, 0xfffe);
	assert_int_equal(seen[1], 2);
	assert_int_equal(seen[2], 1);
	assert_int_equal(seen[4], 2);
}

static void test_mptable(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CONFIGS; i++) {
		memset(memory, 0, sizeof(memory));
		check_mptable(&configs[i]);
	}
}

/* ---- a BIOS's table loader, as QEMU documents it ---------------------------------------------------- */

struct loaded {
	char name[56];
	uint32_t at, len;
};

static uint32_t loader_alloc(struct loaded *files, const uint8_t *entry, uint32_t *high, uint32_t *fseg)
{
	bool is_rsdp = strcmp((const char *)entry + 4, "etc/acpi/rsdp") == 0;
	struct loaded *file = &files[is_rsdp];
	uint32_t align, *zone = entry[64] == 2 ? fseg : high;

	memcpy(&align, entry + 60, 4);
	assert_true(align && !(align & (align - 1)));
	assert_true(entry[64] == 1 || entry[64] == 2);
	assert_int_equal(entry[64], is_rsdp ? 2 : 1);
	strcpy(file->name, (const char *)entry + 4);
	file->len = is_rsdp ? ACPI_RSDP_BYTES : t.len;
	file->at = (*zone + align - 1) & ~(align - 1);
	*zone = file->at + file->len;
	memcpy(memory + file->at, is_rsdp ? t.rsdp : t.bytes, file->len);
	return file->at;
}

static struct loaded *loader_find(struct loaded *files, const uint8_t *name)
{
	for (unsigned i = 0; i < 2; i++) {
		if (files[i].len && strcmp(files[i].name, (const char *)name) == 0)
			return &files[i];
	}
	fail_msg("file %.55s was not allocated", (const char *)name);
	return NULL;
}

static void test_loader(void **state)
{
	uint8_t script[ACPI_LOADER_MAX_BYTES];

	(void)state;
	for (unsigned i = 0; i < CONFIGS; i++) {
		struct loaded files[2] = {{.len = 0}};
		uint32_t high = BASE - 7, fseg = AREA - 3;
		size_t bytes;

		acpi_build(&configs[i], &t);
		bytes = acpi_loader_script(&t, script);
		assert_true(bytes <= sizeof(script) && bytes % 128 == 0);
		memset(memory, 0, sizeof(memory));
		for (const uint8_t *entry = script; entry < script + bytes; entry += 128) {
			uint32_t command, words[3];
			struct loaded *file;

			memcpy(&command, entry, 4);
			if (command == 1) {
				loader_alloc(files, entry, &high, &fseg);
				continue;
			}
			file = loader_find(files, entry + 4);
			if (command == 2) {
				uint32_t offset;
				uint64_t v = 0;
				unsigned size = entry[120];

				memcpy(&offset, entry + 116, 4);
				assert_true((size == 4 || size == 8) && offset + size <= file->len);
				memcpy(&v, memory + file->at + offset, size);
				v += loader_find(files, entry + 60)->at;
				memcpy(memory + file->at + offset, &v, size);
			} else {
				assert_int_equal(command, 3);
				memcpy(words, entry + 60, 12); /* where, from, how many */
				assert_true(words[0] < file->len && words[1] + words[2] <= file->len);
				memory[file->at + words[0]] -= sum(memory + file->at + words[1], words[2]);
			}
		}
		assert_int_equal(files[0].at, BASE);
		check_fadt(&configs[i]);
		check_madt(&configs[i]);
		acpi_link(&t, BASE);
		assert_memory_equal(memory + BASE, t.bytes, t.len);
		assert_memory_equal(memory + files[1].at, t.rsdp, sizeof(t.rsdp));
	}
}

/* ---- Intel's compiler and interpreter ----------------------------------------------------------------- */

static char dir[64];

static void run(const char *command, const char *out)
{
	char line[400];
	int status;

	snprintf(line, sizeof(line), "cd %s && timeout 60 %s >%s 2>&1", dir, command, out);
	status = system(line);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("'%s' ends with status %d", command, WEXITSTATUS(status));
}

static char *read_text(const char *name, size_t *bytes)
{
	char path[128], *text = calloc(1, 1 << 18);
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	assert_true(text && f);
	*bytes = fread(text, 1, (1 << 18) - 1, f);
	fclose(f);
	return text;
}

static void has(const char *text, const char *want)
{
	if (!strstr(text, want))
		fail_msg("no '%s' in: %.3000s", want, text);
}

static void write_table(uint32_t at)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/table.dat", dir);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(memory + at, 1, (size_t)get(at + 4, 4), f), get(at + 4, 4));
	fclose(f);
}

/* Disassembled and compiled again: no complaint, and the same bytes but for the header. */
static void compile_again(uint32_t at, const char *signature)
{
	uint32_t skip = strcmp(signature, "FACS") ? 36 : 8;
	size_t bytes;
	char *text;

	assert_memory_equal(memory + at, signature, 4);
	write_table(at);
	run("iasl -d table.dat", "d.log");
	text = read_text("d.log", &bytes);
	assert_null(strstr(text, "Warning"));
	assert_null(strstr(text, "Error"));
	assert_null(strstr(text, "Incorrect checksum"));
	free(text);
	run("iasl -oa -p again table.dsl", "c.log");
	text = read_text("c.log", &bytes);
	has(text, "0 Errors, 0 Warnings, 0 Remarks");
	free(text);
	text = read_text("again.aml", &bytes);
	assert_int_equal(bytes, get(at + 4, 4));
	assert_memory_equal(text + skip, memory + at + skip, bytes - skip);
	free(text);
}

static bool has_tools(void)
{
	return system("command -v iasl >/dev/null && command -v acpiexec >/dev/null") == 0;
}

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "%s/test_acpi.XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(dir));
}

static void remove_dir(void)
{
	char line[128];

	snprintf(line, sizeof(line), "rm -rf %s", dir);
	assert_int_equal(system(line), 0);
}

static void test_compiler(void **state)
{
	(void)state;
	if (!has_tools())
		skip();
	make_dir();
	for (unsigned i = 0; i < CONFIGS; i++) {
		uint32_t fadt;

		place(&configs[i]);
		fadt = find_both("FACP");
		compile_again(fadt, "FACP");
		compile_again((uint32_t)get(fadt + 36, 4), "FACS");
		compile_again((uint32_t)get(fadt + 40, 4), "DSDT");
		compile_again((uint32_t)get(AREA + 16, 4), "RSDT");
		compile_again((uint32_t)get(AREA + 24, 8), "XSDT");
		if (configs[i].has_ioapic)
			compile_again(find_both("APIC"), "APIC");
		if (configs[i].has_hpet)
			compile_again(find_both("HPET"), "HPET");
	}
	remove_dir();
}

static void squeeze(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		if (!strchr(" \n\t", *from))
			*to++ = *from;
	}
	*to = '\0';
}

/* The words of the disassembly, against the machine: what a person would read. */
static void test_disassembly(void **state)
{
	size_t bytes;
	char *text;

	(void)state;
	if (!has_tools())
		skip();
	make_dir();
	place(&configs[2]);
	write_table(find_both("FACP"));
	run("iasl -d table.dat", "d.log");
	text = read_text("table.dsl", &bytes);
	has(text, "PM Profile : 01 [Desktop]");
	has(text, "SCI Interrupt : 0009");
	has(text, "SMI Command Port : 000000B2");
	has(text, "ACPI Enable Value : F1");
	has(text, "PM1A Event Block Address : 00000600");
	has(text, "PM1A Control Block Address : 00000604");
	has(text, "PM Timer Block Address : 00000608");
	has(text, "GPE0 Block Address : 0000AFE0");
	has(text, "RTC Century Index : 32");
	has(text, "Control Method Power Button (V1) : 0");
	has(text, "32-bit PM Timer (V1) : 0");
	has(text, "Reset Register Supported (V2) : 1");
	has(text, "8042 Present on ports 60/64 (V2) : 1");
	has(text, "VGA Not Present (V4) : 1");
	has(text, "Value to cause reset : 06");
	free(text);
	write_table((uint32_t)get(find_both("FACP") + 40, 4));
	run("iasl -d table.dat", "d.log");
	text = read_text("table.dsl", &bytes);
	has(text, "EisaId (\"PNP0A03\") /* PCI Bus */");
	has(text, "EisaId (\"PNP0C0F\") /* PCI Interrupt Link Device */");
	has(text, "EisaId (\"PNP0103\") /* HPET System Timer */");
	has(text, "EisaId (\"PNP0501\") /* 16550A-compatible COM Serial Port */");
	has(text, "0x03F8,             // Range Minimum");
	has(text, "OperationRegion (PIRQ, PCI_Config, 0x60, 0x04)");
	has(text, "Name (\\_S5, Package (0x04)");
	/* who is wired where: each slot's INTA# is one PIRQ on from that of the slot before, slot 1's is the SCI */
	squeeze(text);
	has(text, "Package(0x04){0x0001FFFF,Zero,Zero,0x09}");
	has(text, "Package(0x04){0x0001FFFF,One,LNKB,Zero}");
	has(text, "Package(0x04){0x0002FFFF,Zero,LNKB,Zero}");
	has(text, "Package(0x04){0x0003FFFF,Zero,LNKC,Zero}");
	has(text, "Package(0x04){0x0003FFFF,0x03,LNKB,Zero}");
	has(text, "Package(0x04){0x001FFFFF,0x02,LNKA,Zero}");
	free(text);
	remove_dir();
}

/* Runs commands of acpiexec; what the last one gives. */
static void execute(const char *commands, const char *want)
{
	char line[300], *text, *last;
	size_t bytes;

	snprintf(line, sizeof(line), "acpiexec -b '%s' table.dat", commands);
	run(line, "x.log");
	text = read_text("x.log", &bytes);
	assert_null(strstr(text, "Error"));
	last = text;
	for (char *p = text; (p = strstr(p, "Evaluating ")); p++)
		last = p;
	has(last, want);
	free(text);
}

#define SET_C                                                                                                          \
	"evaluate \\_SB.LNKC._DIS; "                                                                                   \
	"evaluate \\_SB.LNKC._SRS (89 0e 00 09 03 0b 00 00 00 0a 00 00 00 0b 00 00 00 79 00); "

/* acpiexec has memory of its own behind the PIIX's registers, 0 at first: routed, to interrupt 0. */
static void test_methods(void **state)
{
	size_t bytes;
	char *text;

	(void)state;
	if (!has_tools())
		skip();
	make_dir();
	place(&configs[2]);
	write_table((uint32_t)get(find_both("FACP") + 40, 4));
	run("acpiexec -b 'evaluate \\_SB.LNKB._STA' table.dat", "x.log");
	text = read_text("x.log", &bytes);
	has(text, "[Integer] = 000000000000000B");
	free(text);
	/* [82371SB] PIRQRC: bit 7 takes the route away, in the register of this link only */
	execute("evaluate \\_SB.LNKB._DIS; evaluate \\_SB.PCI0.ISA.PRQB", "[Integer] = 0000000000000080");
	execute("evaluate \\_SB.LNKB._DIS; evaluate \\_SB.PCI0.ISA.PRQC", "[Integer] = 0000000000000000");
	execute("evaluate \\_SB.LNKB._DIS; evaluate \\_SB.LNKB._STA", "[Integer] = 0000000000000009");
	execute("evaluate \\_SB.LNKB._DIS; evaluate \\_SB.LNKA._STA", "[Integer] = 000000000000000B");
	execute("evaluate \\_SB.LNKB._DIS; evaluate \\_SB.LNKB._CRS", "89 06 00 09 01 00 00 00 00 79 00");
	/* _SRS with a list: its first interrupt, 11 */
	execute(SET_C "evaluate \\_SB.PCI0.ISA.PRQC", "[Integer] = 000000000000000B");
	execute(SET_C "evaluate \\_SB.LNKC._CRS", "89 06 00 09 01 0B 00 00 00 79 00");
	execute(SET_C "evaluate \\_SB.LNKC._STA", "[Integer] = 000000000000000B");
	run("acpiexec -b 'evaluate \\_S5' table.dat", "x.log");
	text = read_text("x.log", &bytes);
	has(text, "Contains 4 Elements");
	free(text);
	remove_dir();
}

/* 20.2.4: a length counts itself; bits 6 and 7 of its first byte say how many bytes follow. */
static void test_package_lengths(void **state)
{
	static uint8_t bytes[0x1200], filler[0x1100];

	(void)state;
	for (size_t body = 6; body < sizeof(filler); body++) {
		struct aml a = {.bytes = bytes, .room = sizeof(bytes)};
		size_t opened = aml_scope(&a, "\\_SB"), more, len;

		aml_raw(&a, filler, body - 5);
		aml_close(&a, opened);
		assert_false(a.is_full);
		assert_int_equal(bytes[0], 0x10);
		more = bytes[1] >> 6;
		len = more ? bytes[1] & 0x0f : bytes[1] & 0x3f;
		for (size_t i = 0; i < more; i++)
			len |= (size_t)bytes[2 + i] << (4 + 8 * i);
		assert_int_equal(1 + len, a.len);
		assert_int_equal(1 + 1 + more + body, a.len);
		assert_memory_equal(bytes + 2 + more, "\\_SB_", 5);
	}
	for (size_t room = 0; room < 12; room++) { /* too small: noted, and nothing behind it is written */
		struct aml a = {.bytes = bytes, .room = room};
		size_t opened;

		memset(bytes, 0xee, 16);
		opened = aml_scope(&a, "\\_SB");
		aml_int(&a, 0x12345678);
		aml_close(&a, opened);
		assert_int_equal(a.is_full, room < 1 + 1 + 5 + 5);
		assert_int_equal(bytes[room], 0xee);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_same_shape),
		cmocka_unit_test(test_mptable),
		cmocka_unit_test(test_loader),
		cmocka_unit_test(test_package_lengths),
		cmocka_unit_test(test_compiler),
		cmocka_unit_test(test_disassembly),
		cmocka_unit_test(test_methods),
	};

	return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
