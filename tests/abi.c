/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * abi.c: what programs built against libhotreg-accel.so.1 have compiled into themselves, by number:
 * the structs of accel.h and hr.h on a 64-bit host, and the constants. tests/install.sh compiles it as
 * C and as C++. When a line here fails, the change needs another symbol version, or another way.
 */
#include <hotreg/accel.h>

#ifdef __cplusplus
#define PIN(what) static_assert(what, #what)
#else
#define PIN(what) _Static_assert(what, #what)
#endif
#define FIELD(type, field, at) PIN(offsetof(struct type, field) == (at))
#define BYTES(type, bytes) PIN(sizeof(struct type) == (bytes))

BYTES(accel_field, 104);
FIELD(accel_field, name, 0);
FIELD(accel_field, offset, 96);
FIELD(accel_field, size, 100);
#ifdef __LP64__
BYTES(accel_err, 4096);
BYTES(accel_clock, 16);
FIELD(accel_clock, is_virtual, 0);
FIELD(accel_clock, virtual_ns, 8);
BYTES(accel_counters, 2080);
FIELD(accel_counters, answered, 0);
FIELD(accel_counters, punted, 8);
FIELD(accel_counters, retried, 16);
FIELD(accel_counters, busy, 24);
FIELD(accel_counters, why, 32);
BYTES(accel_prog_info, 48);
FIELD(accel_prog_info, name, 0);
FIELD(accel_prog_info, effect, 8);
FIELD(accel_prog_info, reads_time, 12);
FIELD(accel_prog_info, insns, 16);
FIELD(accel_prog_info, worst_case, 24);
FIELD(accel_prog_info, verify_ns, 32);
FIELD(accel_prog_info, states, 40);
#endif

BYTES(hr_io, 32);
FIELD(hr_io, value, 0);
FIELD(hr_io, result, 8);
FIELD(hr_io, offset, 16);
FIELD(hr_io, vcpu, 20);
FIELD(hr_io, size, 24);
FIELD(hr_io, is_write, 25);
BYTES(hr_page, 16);
FIELD(hr_page, seq, 0);
FIELD(hr_page, version, 4);
FIELD(hr_page, size, 8);

/* A program calls through this without a cast, whichever version of the header it was built with. */
uint32_t (*abi_run_string)(struct accel_slot *, struct hr_io *, uint32_t, void *) = accel_run_string;
uint8_t (*abi_punt_why)(const struct accel_slot *, uint32_t) = accel_slot_punt_why;

PIN(ACCEL_PURE == 1 && ACCEL_STATEFUL == 2);
PIN(HR_PUNT == 0 && HR_ANSWER == 1 && HR_ANSWER_RING == 2 && HR_PUNT_WHY(255) == 0xff00);
/* These may only grow. */
PIN(ACCEL_MAX_CPUS >= 256);
PIN(ACCEL_PAGE_MAX_BYTES >= 65536);
