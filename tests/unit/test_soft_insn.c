// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_soft_insn.c: the software CPU against the processor this test runs on: random register
 * instructions with random values and flags, executed by both; registers and all flags that the
 * Intel SDM defines must be equal. Encodings are those that mean the same in 64-bit mode.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "vmm/cpu.h"
#include "vmm/vm.h"

#define CODE 0x7c00
#define CASES 60000
#define ARITH 0x8d5u /* OF SF ZF AF PF CF */
#define OF 0x800u
#define SF 0x80u
#define ZF 0x40u
#define AF 0x10u
#define PF 0x4u

/* What a form's operand count, and so its undefined flags, depend on. */
enum rule { PLAIN, BY_IMM, BY_ONE, BY_CL, DOUBLE_IMM, DOUBLE_CL, SCAN, DIVIDE };

struct form {
	const char *name;
	uint8_t op[2], bytes;
	int8_t ext;  /* ModRM reg field, -1: a register, -2: no ModRM */
	int8_t imm;  /* bytes, -1: operand size */
	bool widths; /* op's last bit 0: bytes, 1: words or dwords (else words or dwords only) */
	enum rule rule;
	uint16_t undefined;
};

#define ALU(name, n, undef)                                                                                            \
	{name, {n * 8}, 1, -1, 0, true, PLAIN, undef}, {name " r", {n * 8 + 2}, 1, -1, 0, true, PLAIN, undef},         \
		{name " imm", {0x80}, 1, n, -1, true, PLAIN, undef},                                                   \
	{                                                                                                              \
		name " imm8", {0x83}, 1, n, 1, false, PLAIN, undef                                                     \
	}
#define SHIFT(name, n)                                                                                                 \
	{name " imm", {0xc0}, 1, n, 1, true, BY_IMM, 0}, {name " 1", {0xd0}, 1, n, 0, true, BY_ONE, 0},                \
	{                                                                                                              \
		name " cl", {0xd2}, 1, n, 0, true, BY_CL, 0                                                            \
	}
#define CC4(name, o, ext, w)                                                                                           \
	{name, {0x0f, o}, 2, ext, 0, w, PLAIN, 0}, {name, {0x0f, o + 1}, 2, ext, 0, w, PLAIN, 0},                      \
		{name, {0x0f, o + 2}, 2, ext, 0, w, PLAIN, 0},                                                         \
	{                                                                                                              \
		name, {0x0f, o + 3}, 2, ext, 0, w, PLAIN, 0                                                            \
	}

static const struct form forms[] = {
	ALU("add", 0, 0),
	ALU("or", 1, AF),
	ALU("adc", 2, 0),
	ALU("sbb", 3, 0),
	ALU("and", 4, AF),
	ALU("sub", 5, 0),
	ALU("xor", 6, AF),
	ALU("cmp", 7, 0),
	SHIFT("rol", 0),
	SHIFT("ror", 1),
	SHIFT("rcl", 2),
	SHIFT("rcr", 3),
	SHIFT("shl", 4),
	SHIFT("shr", 5),
	SHIFT("sar", 7),
	{"test", {0x84}, 1, -1, 0, true, PLAIN, AF},
	{"test imm", {0xf6}, 1, 0, -1, true, PLAIN, AF},
	{"not", {0xf6}, 1, 2, 0, true, PLAIN, 0},
	{"neg", {0xf6}, 1, 3, 0, true, PLAIN, 0},
	{"mul", {0xf6}, 1, 4, 0, true, PLAIN, SF | ZF | AF | PF},
	{"imul", {0xf6}, 1, 5, 0, true, PLAIN, SF | ZF | AF | PF},
	{"div", {0xf6}, 1, 6, 0, true, DIVIDE, ARITH},
	{"idiv", {0xf6}, 1, 7, 0, true, DIVIDE, ARITH},
	{"imul r", {0x0f, 0xaf}, 2, -1, 0, false, PLAIN, SF | ZF | AF | PF},
	{"imul imm", {0x69}, 1, -1, -1, false, PLAIN, SF | ZF | AF | PF},
	{"imul imm8", {0x6b}, 1, -1, 1, false, PLAIN, SF | ZF | AF | PF},
	{"inc", {0xfe}, 1, 0, 0, true, PLAIN, 0},
	{"dec", {0xfe}, 1, 1, 0, true, PLAIN, 0},
	{"xchg", {0x86}, 1, -1, 0, true, PLAIN, 0},
	{"xadd", {0x0f, 0xc0}, 2, -1, 0, true, PLAIN, 0},
	{"cmpxchg", {0x0f, 0xb0}, 2, -1, 0, true, PLAIN, 0},
	{"bt", {0x0f, 0xa3}, 2, -1, 0, false, PLAIN, OF | SF | AF | PF},
	{"bts", {0x0f, 0xab}, 2, -1, 0, false, PLAIN, OF | SF | AF | PF},
	{"btr", {0x0f, 0xb3}, 2, -1, 0, false, PLAIN, OF | SF | AF | PF},
	{"btc", {0x0f, 0xbb}, 2, -1, 0, false, PLAIN, OF | SF | AF | PF},
	{"bt imm", {0x0f, 0xba}, 2, 4, 1, false, PLAIN, OF | SF | AF | PF},
	{"bts imm", {0x0f, 0xba}, 2, 5, 1, false, PLAIN, OF | SF | AF | PF},
	{"btr imm", {0x0f, 0xba}, 2, 6, 1, false, PLAIN, OF | SF | AF | PF},
	{"btc imm", {0x0f, 0xba}, 2, 7, 1, false, PLAIN, OF | SF | AF | PF},
	{"bsf", {0x0f, 0xbc}, 2, -1, 0, false, SCAN, OF | SF | AF | PF | 1},
	{"bsr", {0x0f, 0xbd}, 2, -1, 0, false, SCAN, OF | SF | AF | PF | 1},
	{"shld imm", {0x0f, 0xa4}, 2, -1, 1, false, DOUBLE_IMM, 0},
	{"shld cl", {0x0f, 0xa5}, 2, -1, 0, false, DOUBLE_CL, 0},
	{"shrd imm", {0x0f, 0xac}, 2, -1, 1, false, DOUBLE_IMM, 0},
	{"shrd cl", {0x0f, 0xad}, 2, -1, 0, false, DOUBLE_CL, 0},
	CC4("cmovcc", 0x40, -1, false),
	CC4("cmovcc", 0x44, -1, false),
	CC4("cmovcc", 0x48, -1, false),
	CC4("cmovcc", 0x4c, -1, false),
	{"movzx w", {0x0f, 0xb7}, 2, -1, 0, false, PLAIN, 0},
	{"movsx w", {0x0f, 0xbf}, 2, -1, 0, false, PLAIN, 0},
	{"cbw", {0x98}, 1, -2, 0, false, PLAIN, 0},
	{"cwd", {0x99}, 1, -2, 0, false, PLAIN, 0},
	{"cmc", {0xf5}, 1, -2, 0, false, PLAIN, 0},
	{"lahf", {0x9f}, 1, -2, 0, false, PLAIN, 0},
	{"sahf", {0x9e}, 1, -2, 0, false, PLAIN, 0},
};

struct state {
	uint64_t gpr[8]; /* rsp and rbp are not loaded */
	uint64_t flags;
};

static struct vm vm;
static struct cpu *cpu;
static struct accel_err err;
static uint8_t *page; /* executable, for the host */
static uint64_t seed = 88172645463325252ull;

void bus_io_model(struct range *range, struct io_req *req)
{
	(void)range;
	(void)req;
}

void bus_io_slowly(struct bus *bus, struct io_req *req)
{
	(void)bus;
	(void)req;
	atomic_store(&vm.stop, true);
	cpu->ops->kick(cpu);
}

void vm_request_reset(struct vm *v, const char *why)
{
	(void)v;
	fail_msg("%s", why);
}

static uint32_t raw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 24);
}

/* Values near the edges more often than chance would have it. */
static uint32_t value(void)
{
	uint32_t v = raw();

	switch (raw() & 15) {
	case 0:
		return 0;
	case 1:
		return 0xffffffff;
	case 2:
		return 0x80000000;
	case 3:
		return 1;
	case 4:
		return v & 0xff;
	case 5:
		return v & 0x3f;
	case 6:
		return v | 0x80008080;
	case 7:
		return 0x7fff7f7f;
	default:
		return v;
	}
}

/* Calls the code in page with registers and flags of *s, and stores what it left there. */
__attribute__((noinline)) static void run_host(struct state *s)
{
	__asm__ volatile("push %%rbp\npush %%rbx\nsub $256,%%rsp\nmov %1,%%rbp\nmov %0,%%r8\npush %%rbp\n"
			 "pushfq\nandq $~0x8d5,(%%rsp)\nmov 64(%%rbp),%%rax\nor %%rax,(%%rsp)\n"
			 "mov (%%rbp),%%rax\nmov 8(%%rbp),%%rcx\nmov 16(%%rbp),%%rdx\nmov 24(%%rbp),%%rbx\n"
			 "mov 48(%%rbp),%%rsi\nmov 56(%%rbp),%%rdi\npopfq\ncall *%%r8\n"
			 "pushfq\npop %%r9\npop %%rbp\n"
			 "mov %%rax,(%%rbp)\nmov %%rcx,8(%%rbp)\nmov %%rdx,16(%%rbp)\nmov %%rbx,24(%%rbp)\n"
			 "mov %%rsi,48(%%rbp)\nmov %%rdi,56(%%rbp)\nmov %%r9,64(%%rbp)\n"
			 "add $256,%%rsp\npop %%rbx\npop %%rbp\n"
			 :
			 : "r"(page), "r"(s)
			 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "memory", "cc");
}

static void run_soft(struct state *s, const uint8_t *code, unsigned len)
{
	struct cpu_regs r = cpu_regs_reset;

	memcpy(vm.mem.ram + CODE, code, len);
	memcpy(vm.mem.ram + CODE + len, "\xe6\xf4", 2); /* out %al, $0xf4 */
	r.cs = (struct cpu_seg){.selector = 8, .limit = 0xffffffff, .attr = 0xc9b};
	r.cr0 |= 1;
	r.rip = CODE;
	memcpy(r.gpr, s->gpr, sizeof s->gpr);
	r.rflags = 2 | s->flags;
	assert_int_equal(cpu->ops->set_regs(cpu, &r), 0);
	atomic_store(&vm.stop, false);
	assert_int_equal(cpu->ops->run(cpu, &err), 0);
	assert_int_equal(cpu->ops->get_regs(cpu, &r), 0);
	memcpy(s->gpr, r.gpr, sizeof s->gpr);
	s->flags = r.rflags;
}

/* A register that holds nothing the harness needs: not ESP or EBP. */
static unsigned any_reg(unsigned size)
{
	static const uint8_t regs[6] = {CPU_RAX, CPU_RCX, CPU_RDX, CPU_RBX, CPU_RSI, CPU_RDI};

	return size == 1 ? raw() & 7 : regs[raw() % 6];
}

static uint32_t read_reg(const struct state *s, unsigned n, unsigned size)
{
	if (size == 1)
		return (uint32_t)(s->gpr[n & 3] >> (n & 4 ? 8 : 0)) & 0xff;
	return (uint32_t)hr_mask(s->gpr[n], size);
}

/* The quotient fits, so that the host does not fault. */
static bool divides(const struct state *s, uint32_t divisor, unsigned size, bool is_signed)
{
	uint64_t half = 1ull << (8 * size), n;
	int64_t sn, sd, q;

	n = size == 1 ? s->gpr[CPU_RAX] & 0xffff
		      : hr_mask(s->gpr[CPU_RDX], size) * half + hr_mask(s->gpr[CPU_RAX], size);
	if (!divisor || (!is_signed && n / divisor >= half))
		return false;
	if (!is_signed)
		return true;
	sn = (int64_t)(n << (64 - 16 * size)) >> (64 - 16 * size);
	sd = (int64_t)((uint64_t)divisor << (64 - 8 * size)) >> (64 - 8 * size);
	if (sn == INT64_MIN)
		return false;
	q = sn / sd;
	return q >= -(int64_t)(half / 2) && q < (int64_t)(half / 2);
}

/* Undefined flags of this case; -1: the result itself is undefined, or it would fault. */
static int undefined_flags(const struct form *f, const struct state *s, unsigned rm, unsigned size, unsigned imm)
{
	unsigned count = (f->rule == BY_CL || f->rule == DOUBLE_CL ? (unsigned)s->gpr[CPU_RCX] : imm) & 31;

	switch (f->rule) {
	case PLAIN:
		return f->undefined;
	case SCAN:
		return read_reg(s, rm, size) ? f->undefined : -1;
	case DIVIDE:
		return divides(s, read_reg(s, rm, size), size, f->ext == 7) ? f->undefined : -1;
	case DOUBLE_IMM:
	case DOUBLE_CL:
		if (count > 8 * size)
			return -1;
		return !count ? 0 : count == 1 ? (int)AF : (int)(AF | OF);
	default:
		if (f->rule == BY_ONE)
			count = 1;
		if (!count)
			return 0;
		return (count == 1 ? 0 : (int)OF) | (f->ext >= 4 ? (int)AF : 0) |
		       (f->ext >= 4 && f->ext != 7 && count >= 8 * size ? 1 : 0);
	}
}

static void one_case(const struct form *f)
{
	struct state start = {.flags = raw() & ARITH}, host, soft;
	unsigned size = 4, len = 0, reg, rm;
	int undefined;
	uint32_t imm = value();
	uint8_t code[16];
	bool differ;

	for (unsigned i = 0; i < 8; i++)
		start.gpr[i] = value();
	if (f->widths && raw() % 3 == 0)
		size = 1;
	else if (raw() % 3 == 0)
		size = 2;
	if (size == 2)
		code[len++] = 0x66;
	memcpy(code + len, f->op, f->bytes);
	len += f->bytes;
	if (f->widths && size != 1)
		code[len - 1] |= 1;
	rm = any_reg(size);
	reg = f->ext >= 0 ? (unsigned)f->ext : any_reg(size);
	if (f->ext > -2)
		code[len++] = (uint8_t)(0xc0 | reg << 3 | rm);
	undefined = undefined_flags(f, &start, rm, size, imm & 0xff);
	if (undefined < 0)
		return;
	memcpy(code + len, &imm, 4);
	len += f->imm < 0 ? size : (unsigned)f->imm;

	host = soft = start;
	memcpy(page, code, len);
	page[len] = 0xc3;
	run_host(&host);
	run_soft(&soft, code, len);
	differ = ((host.flags ^ soft.flags) & ARITH & ~(unsigned)undefined) != 0;
	for (unsigned i = 0; i < 8; i++)
		differ = differ || (uint32_t)host.gpr[i] != (uint32_t)soft.gpr[i];
	if (!differ)
		return;
	print_error("%s, %u bytes, ModRM regs %u %u, imm %08x, undefined flags %03x\n", f->name, size, reg, rm, imm,
		(unsigned)undefined);
	for (unsigned i = 0; i < 8; i++)
		print_error("  r%u %08x  host %08x  soft %08x\n", i, (unsigned)start.gpr[i], (unsigned)host.gpr[i],
			(unsigned)soft.gpr[i]);
	fail_msg("flags %03x  host %03x  soft %03x", (unsigned)start.flags, (unsigned)host.flags & ARITH,
		(unsigned)soft.flags & ARITH);
}

static void test_like_the_host(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES; i++)
		one_case(&forms[i % (sizeof forms / sizeof forms[0])]);
}

static int set_up(void **state)
{
	(void)state;
	bus_hot_none(&vm.bus);
	vm.cpu_count = 1;
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || clock_init(&vm.clock, false) || mem_init(&vm.mem, 0x100000))
		return -1;
	return cpu_soft_ops.create(&vm, 0, &cpu, &err);
}

static int tear_down(void **state)
{
	(void)state;
	cpu_soft_ops.destroy(cpu);
	mem_destroy(&vm.mem);
	clock_destroy(&vm.clock);
	munmap(page, 4096);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_like_the_host, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("soft_insn", tests, NULL, NULL);
}
