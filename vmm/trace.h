/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trace.h: the text form of accesses, shared by --trace, scripts and the datasheet traces:
 *
 *     TIME_NS r|w pio|mmio ADDR SIZE VALUE     # comment
 *
 * TIME_NS and SIZE are decimal, ADDR and VALUE hexadecimal with 0x; `?` is a value that a replay
 * does not check (reads only). Times never go back. TIME_NS counts from the VM's start.
 */
#ifndef VMM_TRACE_H
#define VMM_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accel/accel.h"
#include "vmm/io.h"

struct trace;

/* Creates or truncates the file. start_ns: the clock's time that is written as 0. 0 or -errno with err. */
int trace_open(const char *path, uint64_t start_ns, struct trace **out, struct accel_err *err);
/* Guest time stood still for by_ns of host time. Any thread; NULL is fine. */
void trace_shift_time(struct trace *trace, uint64_t by_ns);
/* Flushes; 0, or -errno with err when the file could not be written whole. NULL is fine. */
int trace_close(struct trace *trace, struct accel_err *err);
/* One access as a device saw it; data NULL: the value is in req->io, else one line for each element. Any thread. */
void trace_access(struct trace *trace, uint64_t now_ns, const struct io_req *req);

struct trace_line {
	uint64_t time_ns;
	uint64_t addr;
	uint64_t value;
	enum io_bus bus;
	uint8_t size; /* 1 to 8 */
	bool is_write;
	bool has_value; /* false: `?` */
	unsigned line;	/* in the file, from 1 */
};

/*
 * Parses one line of `length` bytes (no newline). 1: an access; 0: blank or comment; -EINVAL with
 * what is wrong in err (without file and line). Sets all of *out but line.
 */
int trace_parse_line(const char *text, size_t length, struct trace_line *out, struct accel_err *err);

/* A whole script in memory. */
struct trace_script {
	struct trace_line *lines;
	size_t count;
};

/* 0 or -errno with "NAME:LINE: what" in err. Parse takes any bytes. */
int trace_script_parse(
	const char *name, const char *text, size_t length, struct trace_script *out, struct accel_err *err);
int trace_script_load(const char *path, struct trace_script *out, struct accel_err *err);
void trace_script_free(struct trace_script *script);

#endif
