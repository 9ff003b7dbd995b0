/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aml.c: writes ACPI machine language, see aml.h. Section numbers are those of [ACPI].
 */
#include "devices/aml.h"

#include <string.h>

#define OP_BYTE 0x0a
#define OP_WORD 0x0b
#define OP_DWORD 0x0c
#define OP_STRING 0x0d
#define OP_NAME 0x08
#define OP_SCOPE 0x10
#define OP_BUFFER 0x11
#define OP_PACKAGE 0x12
#define OP_METHOD 0x14
#define OP_DUAL_NAME 0x2e
#define OP_MULTI_NAME 0x2f
#define OP_EXT 0x5b
#define OP_IF 0xa0
#define EXT_REGION 0x80
#define EXT_FIELD 0x81
#define EXT_DEVICE 0x82
#define SPACE_PCI_CONFIG 2
#define FIELD_BYTE_ACCESS 1
#define SEGMENT 4

void aml_raw(struct aml *a, const void *bytes, size_t len)
{
	if (a->is_full || len > a->room - a->len) {
		a->is_full = true;
		return;
	}
	memcpy(a->bytes + a->len, bytes, len);
	a->len += len;
}

static void byte(struct aml *a, unsigned v)
{
	const uint8_t b = (uint8_t)v;

	aml_raw(a, &b, 1);
}

static void le(struct aml *a, uint32_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		byte(a, v >> 8 * i);
}

void aml_op(struct aml *a, enum aml_op op)
{
	byte(a, op);
}

void aml_int(struct aml *a, uint32_t v)
{
	if (v <= 1) { /* ZeroOp, OneOp */
		byte(a, v);
		return;
	}
	byte(a, v <= 0xff ? OP_BYTE : v <= 0xffff ? OP_WORD : OP_DWORD);
	le(a, v, v <= 0xff ? 1 : v <= 0xffff ? 2 : 4);
}

void aml_string(struct aml *a, const char *s)
{
	byte(a, OP_STRING);
	aml_raw(a, s, strlen(s) + 1);
}

/* 19.3.4: three letters of five bits, then four hexadecimal digits, the first byte first. */
void aml_eisa_id(struct aml *a, const char *id)
{
	static const char digits[] = "0123456789ABCDEF";
	unsigned letters = (unsigned)(id[0] - '@') << 10 | (unsigned)(id[1] - '@') << 5 | (unsigned)(id[2] - '@');
	unsigned product = 0;

	for (unsigned i = 3; i < 7; i++)
		product = product << 4 | (unsigned)(strchr(digits, id[i]) - digits);
	aml_int(a, (product & 0xff) << 24 | (product & 0xff00) << 8 | (letters & 0xff) << 8 | letters >> 8);
}

/* One segment, padded with underscores; returns what is behind it and its dot. */
static const char *segment(struct aml *a, const char *s)
{
	size_t len = strcspn(s, ".");

	aml_raw(a, s, len);
	aml_raw(a, "____", SEGMENT - len);
	return s + len + (s[len] == '.');
}

/* 20.2.2 Name objects */
void aml_path(struct aml *a, const char *path)
{
	unsigned segments = 1;

	while (*path == '\\' || *path == '^')
		byte(a, (unsigned char)*path++);
	for (const char *p = path; *p; p++)
		segments += *p == '.';
	if (segments == 2) {
		byte(a, OP_DUAL_NAME);
	} else if (segments > 2) {
		byte(a, OP_MULTI_NAME);
		byte(a, segments);
	}
	while (*path)
		path = segment(a, path);
}

void aml_name(struct aml *a, const char *path)
{
	byte(a, OP_NAME);
	aml_path(a, path);
}

void aml_name_int(struct aml *a, const char *path, uint32_t v)
{
	aml_name(a, path);
	aml_int(a, v);
}

/* ---- what has a length ------------------------------------------------------------------------- */

size_t aml_scope(struct aml *a, const char *path)
{
	size_t at;

	byte(a, OP_SCOPE);
	at = a->len;
	aml_path(a, path);
	return at;
}

size_t aml_device(struct aml *a, const char *name)
{
	size_t at;

	byte(a, OP_EXT);
	byte(a, EXT_DEVICE);
	at = a->len;
	aml_path(a, name);
	return at;
}

size_t aml_method(struct aml *a, const char *name, unsigned args)
{
	size_t at;

	byte(a, OP_METHOD);
	at = a->len;
	aml_path(a, name);
	byte(a, args);
	return at;
}

size_t aml_package(struct aml *a, unsigned elements)
{
	size_t at;

	byte(a, OP_PACKAGE);
	at = a->len;
	byte(a, elements);
	return at;
}

size_t aml_if(struct aml *a)
{
	byte(a, OP_IF);
	return a->len;
}

/* 20.2.4 Package length: it counts itself; the first byte says how many follow it. */
void aml_close(struct aml *a, size_t opened)
{
	size_t body = a->len - opened, bytes = body + 1 < 0x40 ? 1 : body + 2 < 0x1000 ? 2 : 3;
	size_t total = body + bytes;

	if (a->is_full || bytes > a->room - a->len) {
		a->is_full = true;
		return;
	}
	memmove(a->bytes + opened + bytes, a->bytes + opened, body);
	a->len += bytes;
	a->bytes[opened] = (uint8_t)(bytes == 1 ? total : (bytes - 1) << 6 | (total & 0xf));
	for (size_t i = 1; i < bytes; i++)
		a->bytes[opened + i] = (uint8_t)(total >> (8 * i - 4));
}

void aml_pci_config_bytes(
	struct aml *a, const char *region, unsigned offset, unsigned len, const char *const *names, unsigned name_count)
{
	size_t at;

	byte(a, OP_EXT);
	byte(a, EXT_REGION);
	aml_path(a, region);
	byte(a, SPACE_PCI_CONFIG);
	aml_int(a, offset);
	aml_int(a, len);
	byte(a, OP_EXT);
	byte(a, EXT_FIELD);
	at = a->len;
	aml_path(a, region);
	byte(a, FIELD_BYTE_ACCESS);
	for (unsigned i = 0; i < name_count; i++) {
		aml_path(a, names[i]);
		byte(a, 8); /* bits, as a package length */
	}
	aml_close(a, at);
}

/* ---- resource descriptors ------------------------------------------------------------------------ */

#define RES_IRQ 0x22 /* small, two bytes */
#define RES_IO 0x47
#define RES_END 0x79
#define RES_MEMORY32_FIXED 0x86
#define RES_DWORD_SPACE 0x87
#define RES_WORD_SPACE 0x88
#define RES_INTERRUPT 0x89
#define SPACE_MEMORY 0
#define SPACE_IO 1
#define SPACE_BUS 2
#define WINDOW_FIXED 0x0c /* _MIF, _MAF: both ends stay; producer, decoded positively */

static void res(struct aml_resources *r, uint32_t v, unsigned bytes)
{
	if (r->is_full || bytes > sizeof(r->bytes) - r->len) {
		r->is_full = true;
		return;
	}
	for (unsigned i = 0; i < bytes; i++)
		r->bytes[r->len++] = (uint8_t)(v >> 8 * i);
}

/* 6.4.2.5 */
void aml_res_io(struct aml_resources *r, uint16_t base, uint8_t len)
{
	res(r, RES_IO, 1);
	res(r, 1, 1); /* 16 address lines */
	res(r, base, 2);
	res(r, base, 2);
	res(r, 1, 1);
	res(r, len, 1);
}

/* 6.4.2.1, without the byte of flags */
void aml_res_irq(struct aml_resources *r, unsigned irq)
{
	res(r, RES_IRQ, 1);
	res(r, 1u << irq, 2);
}

/* 6.4.3.6 */
void aml_res_level(struct aml_resources *r, uint16_t mask)
{
	unsigned count = mask ? (unsigned)__builtin_popcount(mask) : 1;

	res(r, RES_INTERRUPT, 1);
	res(r, 2 + 4 * count, 2);
	res(r, 0x09, 1); /* consumer, level, active high, shared */
	res(r, count, 1);
	if (!mask)
		res(r, 0, 4);
	for (unsigned irq = 0; irq < 16; irq++) {
		if (mask >> irq & 1)
			res(r, irq, 4);
	}
}

/* 6.4.3.4 */
void aml_res_memory(struct aml_resources *r, uint32_t base, uint32_t len)
{
	res(r, RES_MEMORY32_FIXED, 1);
	res(r, 9, 2);
	res(r, 1, 1); /* can be written */
	res(r, base, 4);
	res(r, len, 4);
}

/* 6.4.3.5.2, 6.4.3.5.3: granularity 0, from `first` to `last`, no translation. */
static void window(
	struct aml_resources *r, unsigned width, unsigned space, unsigned flags, uint32_t first, uint32_t last)
{
	res(r, width == 2 ? RES_WORD_SPACE : RES_DWORD_SPACE, 1);
	res(r, 3 + 5 * width, 2);
	res(r, space, 1);
	res(r, WINDOW_FIXED, 1);
	res(r, flags, 1);
	res(r, 0, width);
	res(r, first, width);
	res(r, last, width);
	res(r, 0, width);
	res(r, last - first + 1, width);
}

void aml_res_bus_window(struct aml_resources *r, uint16_t first, uint16_t last)
{
	window(r, 2, SPACE_BUS, 0, first, last);
}

void aml_res_io_window(struct aml_resources *r, uint16_t first, uint16_t last)
{
	window(r, 2, SPACE_IO, 3, first, last); /* the whole range, ISA and not */
}

void aml_res_memory_window(struct aml_resources *r, uint32_t first, uint32_t last)
{
	window(r, 4, SPACE_MEMORY, 1, first, last); /* can be written, not cacheable */
}

void aml_resources(struct aml *a, const struct aml_resources *r)
{
	size_t at;

	byte(a, OP_BUFFER);
	at = a->len;
	aml_int(a, (uint32_t)r->len + 2);
	aml_raw(a, r->bytes, r->len);
	byte(a, RES_END); /* 6.4.2.9; a checksum of 0 is right by definition */
	byte(a, 0);
	if (r->is_full)
		a->is_full = true;
	aml_close(a, at);
}
