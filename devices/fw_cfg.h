/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fw_cfg.h: QEMU's firmware configuration device at 0x510/0x511 with its DMA interface at 0x514,
 * through which SeaBIOS learns about memory, processors and settings. Read-only to the guest.
 */
#ifndef DEVICES_FW_CFG_H
#define DEVICES_FW_CFG_H

#include <stddef.h>

#include "devices/device.h"

struct guest_mem;

/* Selectors that are not files. */
#define FW_CFG_NB_CPUS 0x05
#define FW_CFG_MAX_CPUS 0x0f
#define FW_CFG_RAM_SIZE 0x03
#define FW_CFG_BOOT_MENU 0x0e

/* `mem` is where DMA goes; it must outlive the device. NULL: out of memory. */
struct device *fw_cfg_create(struct bus *bus, struct clock *clock, struct guest_mem *mem);

/*
 * Adds an item under a fixed selector (below 0x20) or a file, with a copy of the data. False: out of memory or of
 * places. A name has at most 55 characters. Before the vCPUs run.
 */
bool fw_cfg_add_item(struct device *dev, uint16_t selector, const void *data, size_t bytes);
bool fw_cfg_add_file(struct device *dev, const char *name, const void *data, size_t bytes);

/*
 * A file whose contents are made anew each time that the guest selects it: `fill` gets the old ones and changes them in
 * place, under the device's lock. It must take no other lock but bus.lock.
 */
bool fw_cfg_add_live_file(struct device *dev, const char *name, const void *data, size_t bytes,
	void (*fill)(void *opaque, uint8_t *data, size_t bytes), void *opaque);

/* A file that is an integer, which fw_cfg wants in little-endian order. */
bool fw_cfg_add_file_int(struct device *dev, const char *name, uint64_t value, size_t bytes);

#endif
