/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aml.h: writes ACPI machine language ([ACPI] 20 AML): as much of it as our DSDT needs. One call is one term, in the
 * order of the byte stream; what has a length is opened and closed. Nothing fails: a buffer that is too small is noted in is_full.
 *
 * A path is ASL's, such as "\\_SB.PCI0" or "^PRQ0"; its segments have up to four characters.
 */
#ifndef DEVICES_AML_H
#define DEVICES_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *bytes;
	size_t room, len;
	bool is_full;
};

/* Single bytes of the language ([ACPI] 20.3), for aml_op(). */
enum aml_op {
	AML_ZERO = 0x00,
	AML_LOCAL0 = 0x60,
	AML_ARG0 = 0x68,
	AML_STORE = 0x70,
	AML_AND = 0x7b,
	AML_OR = 0x7d,
	AML_CREATE_DWORD_FIELD = 0x8a,
	AML_RETURN = 0xa4,
};

void aml_op(struct aml *a, enum aml_op op);
void aml_raw(struct aml *a, const void *bytes, size_t len);
void aml_path(struct aml *a, const char *path);
void aml_int(struct aml *a, uint32_t v); /* the shortest form */
void aml_string(struct aml *a, const char *s);
void aml_eisa_id(struct aml *a, const char *id); /* "PNP0A03" */
void aml_name(struct aml *a, const char *path);	 /* Name (path, what follows) */
void aml_name_int(struct aml *a, const char *path, uint32_t v);

/* Each returns what aml_close() takes, last opened first. */
size_t aml_scope(struct aml *a, const char *path);
size_t aml_device(struct aml *a, const char *name);
size_t aml_method(struct aml *a, const char *name, unsigned args);
size_t aml_package(struct aml *a, unsigned elements);
size_t aml_if(struct aml *a); /* the condition follows, then the body */
void aml_close(struct aml *a, size_t opened);

/* OperationRegion (name, PCI_Config, offset, len), and a field of one byte for each name. */
void aml_pci_config_bytes(struct aml *a, const char *region, unsigned offset, unsigned len, const char *const *names,
	unsigned name_count);

/* ---- resource descriptors ([ACPI] 6.4), collected for one buffer ------------------------------- */

struct aml_resources {
	uint8_t bytes[192];
	size_t len;
	bool is_full;
};

void aml_res_io(struct aml_resources *r, uint16_t base, uint8_t len);
void aml_res_irq(struct aml_resources *r, unsigned irq); /* edge, active high, exclusive: ISA's */
/* Level, active high, shared: one of `mask`; 0: of interrupt 0 alone, to be filled in at byte AML_RES_LEVEL_AT. */
void aml_res_level(struct aml_resources *r, uint16_t mask);
#define AML_RES_LEVEL_AT 5u
void aml_res_memory(struct aml_resources *r, uint32_t base, uint32_t len);
/* What a bridge passes on: producer windows, `last` included. */
void aml_res_bus_window(struct aml_resources *r, uint16_t first, uint16_t last);
void aml_res_io_window(struct aml_resources *r, uint16_t first, uint16_t last);
void aml_res_memory_window(struct aml_resources *r, uint32_t first, uint32_t last);
/* The buffer, with its end tag. */
void aml_resources(struct aml *a, const struct aml_resources *r);

#endif
