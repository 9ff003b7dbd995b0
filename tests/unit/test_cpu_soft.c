// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_cpu_soft.c: tiny guests for the software CPU, one for each thing that libx86emu lacks, gets
 * wrong or dies of, and for what the BIOS and boot loaders lean on. Expected values are from the
 * Intel SDM. The bus is a fake that records accesses; memory is the real one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "vmm/cpu.h"
#include "vmm/vm.h"

#define MIB 0x100000ull
#define BASE 0x7c00
#define PORT_VECTOR 0x80 /* write: the interrupt controller asks for this vector */
#define PORT_DATA 0x1f0	 /* reads count up, byte by byte */
#define PORT_END 0xf4	 /* write: ends the run */
#define MMIO 0xfed00000u

/*
 * A guest: assembled in place, copied to 0x7c00. AT(label) is a label's address there.
 */
#define GUEST(name, body)                                                                                              \
	extern const uint8_t name[], name##_end[];                                                                     \
	__asm__(".pushsection .rodata\n.code16\n" #name ":\n77:\n" body "\n" #name "_end:\n.code64\n.popsection\n")
#define AT(label) "(" label "-77b+0x7c00)"
#define END "outb %al,$0xf4\n"

struct seen {
	uint64_t addr, value;
	uint32_t count;
	uint8_t bus, size, is_write;
};

static struct {
	struct vm vm;
	struct cpu *cpu;
	struct seen seen[64];
	unsigned seen_count;
	uint8_t data;
	uint8_t written[4096]; /* by string writes */
	int vectors[8];
	unsigned vector_count;
	unsigned resets;
	struct accel_err err;
} t;

/* ---- fakes ---- */

static void ask(int vector)
{
	if (t.vector_count == 8)
		return;
	t.vectors[t.vector_count++] = vector;
	atomic_store(&t.vm.intr, true);
	t.cpu->ops->kick(t.cpu);
}

static int ack(void *opaque)
{
	int v = t.vectors[0];

	(void)opaque;
	assert_true(t.vector_count > 0);
	memmove(t.vectors, t.vectors + 1, sizeof t.vectors - sizeof t.vectors[0]);
	if (!--t.vector_count)
		atomic_store(&t.vm.intr, false);
	return v;
}

static void end_run(void)
{
	atomic_store(&t.vm.stop, true);
	t.cpu->ops->kick(t.cpu);
}

void bus_io_model(struct range *range, struct io_req *req)
{
	(void)range;
	(void)req;
}

void bus_io_slowly(struct bus *bus, struct io_req *req)
{
	(void)bus;
	if (t.seen_count < 64)
		t.seen[t.seen_count++] = (struct seen){
			req->addr, req->io.value, req->count, (uint8_t)req->bus, req->io.size, req->io.is_write};
	if (req->bus == IO_MMIO) {
		req->io.result = 0x8877665544332211ull >> 8 * (req->addr & 7);
	} else if (req->addr == PORT_END && req->io.is_write) {
		end_run();
	} else if (req->addr == PORT_VECTOR && req->io.is_write) {
		ask((int)req->io.value);
	} else if (req->data && req->io.is_write) {
		memcpy(t.written, req->data, req->count * req->io.size); /* at most the CPU's 4096 bytes */
	} else if (req->data) {
		for (unsigned i = 0; i < req->count * req->io.size; i++)
			((uint8_t *)req->data)[i] = t.data++;
	} else if (!req->io.is_write) {
		for (unsigned i = 0; i < req->io.size; i++)
			req->io.result |= (uint64_t)t.data++ << 8 * i;
	}
}

void vm_request_reset(struct vm *vm, const char *why)
{
	if (strcmp(why, "triple fault"))
		fail_msg("%s", why);
	t.resets++;
	atomic_store(&vm->reset, true);
}

/* ---- harness ---- */

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof t);
	bus_hot_none(&t.vm.bus);
	t.vm.cpu_count = 1;
	t.vm.intr_ack = ack;
	if (clock_init(&t.vm.clock, false) || mem_init(&t.vm.mem, 16 * MIB))
		return -1;
	return cpu_soft_ops.setup(&t.vm, &t.err) || cpu_soft_ops.create(&t.vm, 0, &t.cpu, &t.err);
}

static int tear_down(void **state)
{
	(void)state;
	cpu_soft_ops.destroy(t.cpu);
	cpu_soft_ops.teardown(&t.vm);
	mem_destroy(&t.vm.mem);
	clock_destroy(&t.vm.clock);
	return 0;
}

static uint8_t *ram(uint32_t addr)
{
	return t.vm.mem.ram + addr;
}

static uint32_t peek(uint32_t addr, unsigned size)
{
	uint32_t v = 0;

	memcpy(&v, ram(addr), size);
	return v;
}

static void poke(uint32_t addr, uint32_t v, unsigned size)
{
	memcpy(ram(addr), &v, size);
}

static void vector16(unsigned vector, uint32_t handler)
{
	poke(vector * 4, handler, 4);
}

static struct cpu_regs regs(void)
{
	struct cpu_regs r;

	assert_int_equal(t.cpu->ops->get_regs(t.cpu, &r), 0);
	return r;
}

#define reg(name) ((uint32_t)regs().gpr[CPU_R##name])

/* Runs code at 0:7c00 in real mode, stack below it, everything else zero. Returns run()'s result. */
static int run_bytes(const uint8_t *code, size_t bytes)
{
	struct cpu_regs r = cpu_regs_reset;

	memcpy(ram(BASE), code, bytes);
	r.cs.selector = 0;
	r.cs.base = 0;
	r.rip = BASE;
	r.gpr[CPU_RDX] = 0;
	r.gpr[CPU_RSP] = BASE;
	assert_int_equal(t.cpu->ops->set_regs(t.cpu, &r), 0);
	atomic_store(&t.vm.stop, false);
	return t.cpu->ops->run(t.cpu, &t.err);
}

#define run_guest(guest) run_bytes(guest, (size_t)(guest##_end - guest))
#define run_ok(guest) assert_int_equal(run_guest(guest), 0)

/* Real mode to flat 32-bit protected mode; the guest's tables are at labels gdt and idt. */
#define TO_PROTECTED                                                                                                   \
	"cli\nlgdtl " AT("1f") "\nlidtl " AT(                                                                          \
		"2f") "\nmovl %cr0,%eax\norb $1,%al\nmovl %eax,%cr0\n"                                                 \
		      "ljmpl $8,$" AT(                                                                                 \
			      "3f") "\n"                                                                               \
				    ".balign 8\n1:.word 39\n.long " AT(                                                \
					    "4f") "\n2:.word 2047\n.long 0x1000\n"                                     \
						  ".balign 8\n4:.quad 0,0x00cf9b000000ffff,0x00cf93000000ffff,"        \
						  "0x00009b000000ffff,0x000093000000ffff\n"                            \
						  ".code32\n3:movw $16,%ax\nmovw %ax,%ds\nmovw %ax,%es\nmovw "         \
						  "%ax,%ss\n"                                                          \
						  "movl $0x7c00,%esp\n"

/* A gate of the guest's IDT at 0x1000. type 0xe/0xf: 32-bit interrupt/trap, 6/7: 16-bit. */
static void gate(unsigned vector, unsigned type, uint32_t handler)
{
	poke(0x1000 + vector * 8, 8u << 16 | (handler & 0xffff), 4);
	poke(0x1000 + vector * 8 + 4, (handler & 0xffff0000) | 0x8000 | type << 8, 4);
}

/* ---- port strings ---- */

GUEST(g_ins, "movw $0x1f0,%dx\nmovw $0x2000,%di\n"
	     "insb\ninsw\ninsl\n"      /* 7 bytes in a row */
	     "movw $4,%cx\nrep insw\n" /* 8 more */
	     "movw $3,%cx\nrep insl\n" /* 12 more */
	     "std\nmovw $0x3010,%di\nmovw $2,%cx\nrep insw\ncld\n"
	     "movw $0x300,%ax\nmovw %ax,%es\nmovl $0x10100,%edi\nmovl $2,%ecx\naddr32 rep insw\n"
	     "hlt\n.org 77b+0x100\n" END);

static void test_ins(void **state)
{
	(void)state;
	vector16(13, 0x7d00);
	run_ok(g_ins);
	for (unsigned i = 0; i < 27; i++)
		assert_int_equal(*ram(0x2000 + i), i);
	/* downwards: the first element at 0x3010, the second at 0x300e */
	assert_int_equal(peek(0x3010, 2), 0x1c1b);
	assert_int_equal(peek(0x300e, 2), 0x1e1d);
	/* ES:EDI = 0x3000 + 0x10100, beyond the limit of a real-mode segment: #GP before any access */
	assert_int_equal(t.seen_count, 8);
	assert_int_equal(t.seen[7].addr, PORT_END);
}

GUEST(g_ins_big, "movw $0x1f0,%dx\nmovw $0x2000,%di\nmovw $256,%cx\nrep insw\n"
		 "movl $0x2200,%edi\nmovl $128,%ecx\naddr32 rep insl\n" END);

static void test_ins_is_one_access(void **state)
{
	(void)state;
	run_ok(g_ins_big);
	assert_int_equal(t.seen_count, 3);
	assert_int_equal(t.seen[0].count, 256);
	assert_int_equal(t.seen[0].size, 2);
	assert_int_equal(t.seen[1].count, 128);
	assert_int_equal(t.seen[1].size, 4);
	for (unsigned i = 0; i < 1024; i++)
		assert_int_equal(*ram(0x2000 + i), i & 0xff);
	assert_int_equal(reg(DI), 0x2400);
	assert_int_equal(reg(CX), 0);
}

GUEST(g_outs, "movw $0x1f0,%dx\nmovw $0x100,%ax\nmovw %ax,%es\n"
	      "movw $0x10,%si\nmovw $3,%cx\nrep outsw %es:(%si),%dx\n"
	      "movw $0xffff,%si\nmovw $2,%cx\nrep outsb\n" /* the index wraps at 64 KiB */
	      "movw $0,%cx\nrep outsb\n" END);

static void test_outs(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++)
		*ram(0x1010 + i) = (uint8_t)(0xa0 + i);
	run_ok(g_outs);
	assert_int_equal(t.seen_count, 4);
	assert_int_equal(t.seen[0].count, 3);
	assert_int_equal(t.seen[0].size, 2);
	assert_int_equal(t.seen[1].count, 1);
	assert_int_equal(t.seen[2].count, 1);
	assert_int_equal(t.written[1], 0xa1);
	assert_int_equal(t.written[5], 0xa5);
	assert_int_equal(reg(SI), 1);
}

/* ---- memory strings ---- */

GUEST(g_strings, "movw $0x2000,%di\nmovb $0x5a,%al\nmovw $5,%cx\nrep stosb\n"
		 "movl $0x11223344,%eax\nmovw $2,%cx\nrep stosl\n" /* 0x2005..0x200c */
		 "movw $0x2000,%si\nmovw $0x3000,%di\nmovw $13,%cx\nrep movsb\n"
		 "movw $0x3000,%si\nmovw $0x3001,%di\nmovw $7,%cx\nrep movsb\n" /* spreads byte 0 */
		 "std\nmovw $0x300c,%si\nmovw $0x400c,%di\nmovw $13,%cx\nrep movsb\ncld\n"
		 "movw $0x2000,%si\nmovw $0x3000,%di\nmovw $20,%cx\nrepe cmpsb\n"
		 "movw %cx,0x5000\npushfw\npopw 0x5002\n"
		 "movw $0x2000,%di\nmovb $0x44,%al\nmovw $20,%cx\nrepne scasb\n"
		 "movw %cx,0x5004\nmovw %di,0x5006\n"
		 "movl $0x2005,%esi\nmovl $2,%ecx\naddr32 rep lodsl\nmovl %eax,0x5008\n" END);

static void test_strings(void **state)
{
	static const uint8_t first[13] = {0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x44, 0x33, 0x22, 0x11, 0x44, 0x33, 0x22, 0x11};
	static const uint8_t second[13] = {
		0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x11, 0x44, 0x33, 0x22, 0x11};

	(void)state;
	run_ok(g_strings);
	assert_memory_equal(ram(0x2000), first, 13);
	assert_memory_equal(ram(0x3000), second, 13);
	assert_memory_equal(ram(0x4000), second, 13);
	/* stops after the sixth byte: 0x44 - 0x5a = 0xea, borrow out of bit 3 and of bit 7 */
	assert_int_equal(peek(0x5000, 2), 14);
	assert_int_equal(peek(0x5002, 2) & 0x8d5, 0x91);
	assert_int_equal(peek(0x5004, 2), 14); /* found at index 5 */
	assert_int_equal(peek(0x5006, 2), 0x2006);
	assert_int_equal(peek(0x5008, 4), 0x11223344);
}

/* ---- interrupts, real mode ---- */

GUEST(g_int, "movw $0x1111,%bx\nstc\nint $0x21\nmovw %bx,0x5000\npushfw\npopw 0x5002\n" END
	     ".org 77b+0x100\nmovw $0x2222,%bx\nmovw %sp,0x5004\niretw\n");

static void test_int_and_iret(void **state)
{
	(void)state;
	vector16(0x21, 0x7d00);
	run_ok(g_int);
	assert_int_equal(peek(0x5000, 2), 0x2222);
	assert_int_equal(peek(0x5002, 2) & 1, 1); /* CF came back with IRET */
	assert_int_equal(peek(0x5004, 2), BASE - 6);
	assert_int_equal(reg(SP), BASE);
}

/* Two vectors asked for at once, while interrupts are off: both are delivered, in order. */
GUEST(g_two, "cli\nmovb $0x40,%al\noutb %al,$0x80\nmovb $0x41,%al\noutb %al,$0x80\n"
	     "movw $0,%bx\nsti\nincw %bx\nmovw %bx,0x5004\n" END ".org 77b+0x100\nmovw %bx,0x5000\nincb 0x5008\niretw\n"
	     ".org 77b+0x180\nmovb 0x5008,%ah\nmovb %ah,0x5009\nincb 0x5008\niretw\n");

static void test_no_interrupt_is_lost(void **state)
{
	(void)state;
	vector16(0x40, 0x7d00);
	vector16(0x41, 0x7d80);
	run_ok(g_two);
	assert_int_equal(peek(0x5008, 1), 2);
	assert_int_equal(peek(0x5009, 1), 1);
	/* STI takes effect after the instruction that follows it */
	assert_int_equal(peek(0x5000, 2), 1);
}

GUEST(g_shadow,
	"sti\nmovw $0x600,%bx\nmovw $0x100,%cx\n"
	"movb $0x40,%al\nmovw $0,%si\noutb %al,$0x80\n" /* taken right after OUT */
	"incw %si\n"
	"cli\noutb %al,$0x80\npushw $0x200\npopfw\n" /* IF by POPF: no shadow */
	"incw %si\n"
	"cli\noutb %al,$0x80\npushw $0x200\nmovw %ss,%di\nsti\nmovw %di,%ss\nmovw $0x7b00,%sp\n"
	"incw %si\n" END
	".org 77b+0x100\npushw %di\nmovw 0x5100,%di\nmovw %si,0x5000(%di)\nmovw %sp,0x5020(%di)\naddw $2,0x5100\n"
	"popw %di\niretw\n");

static void test_interrupt_shadow(void **state)
{
	(void)state;
	vector16(0x40, 0x7d00);
	run_ok(g_shadow);
	assert_int_equal(peek(0x5100, 2), 6);
	assert_int_equal(peek(0x5000, 2), 0);
	assert_int_equal(peek(0x5002, 2), 1);
	assert_int_equal(peek(0x5004, 2), 2);
	/* after MOV SS the next instruction, MOV SP, ran first: the frame lies on the new stack */
	assert_int_equal(peek(0x5024, 2), 0x7b00 - 8);
}

GUEST(g_hlt, "movb $0x40,%al\ncli\noutb %al,$0x80\nsti\nhlt\nincw %bx\nmovw %bx,0x5002\n" END
	     ".org 77b+0x100\nmovw %bx,0x5000\npopw 0x5004\npushw 0x5004\niretw\n");

static void test_sti_hlt(void **state)
{
	(void)state;
	vector16(0x40, 0x7d00);
	run_ok(g_hlt);
	assert_int_equal(peek(0x5002, 2), 1);
	/* the return address is that after HLT: 2+1+2+1+1 bytes */
	assert_int_equal(peek(0x5004, 2), BASE + 7);
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static void *late_interrupt(void *opaque)
{
	(void)opaque;
	nap();
	ask(0x40);
	return NULL;
}

static void *late_end(void *opaque)
{
	(void)opaque;
	nap();
	end_run();
	return NULL;
}

GUEST(g_sleep, "sti\n1:hlt\ncmpw $0,0x5000\nje 1b\n" END ".org 77b+0x100\nincw 0x5000\niretw\n");

static uint64_t cpu_time_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void test_hlt_sleeps_and_wakes(void **state)
{
	uint64_t before = cpu_time_ns();
	pthread_t thread;

	(void)state;
	vector16(0x40, 0x7d00);
	assert_int_equal(pthread_create(&thread, NULL, late_interrupt, NULL), 0);
	run_ok(g_sleep);
	pthread_join(thread, NULL);
	assert_int_equal(peek(0x5000, 2), 1);
	assert_true(cpu_time_ns() - before < 15000000);
}

GUEST(g_dead, "cli\nhlt\n");
GUEST(g_loop, "cli\n1:jmp 1b\n");
GUEST(g_long_rep, TO_PROTECTED "movl $0xffffffff,%ecx\nmovl $0x100000,%esi\nmovl %esi,%edi\nrep movsb\n"
			       "1:movl $0xffffffff,%ecx\nxorl %edi,%edi\nrep lodsb\njmp 1b\n.code16\n");

static void test_kick_from_anywhere(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, late_end, NULL), 0);
	run_ok(g_dead);
	pthread_join(thread, NULL);
	assert_int_equal(pthread_create(&thread, NULL, late_end, NULL), 0);
	run_ok(g_loop);
	pthread_join(thread, NULL);
	assert_int_equal(pthread_create(&thread, NULL, late_end, NULL), 0);
	run_ok(g_long_rep);
	pthread_join(thread, NULL);
}

/* ---- protected mode ---- */

GUEST(g_prot, TO_PROTECTED "movl %esp,0x5000\nstc\nint $0x30\nmovl %esp,0x5004\n"
			   "int $0x31\n"
			   "ud2\n"
			   "movl $0x1234,%ebx\nmovw %bx,%fs\n" /* selector beyond the GDT */
			   "movl $0x77,0x5040\n" END "jmp .\n"
			   ".org 77b+0x100\nmovl (%esp),%eax\nmovl %eax,0x5008\nmovl 4(%esp),%eax\nmovl %eax,0x500c\n"
			   "movl 8(%esp),%eax\nmovl %eax,0x5010\npushfl\npopl 0x5014\niretl\n"
			   ".org 77b+0x140\npushfl\npopl 0x5018\niretl\n"
			   ".org 77b+0x180\nmovl (%esp),%eax\nmovl %eax,0x501c\naddl $2,(%esp)\niretl\n"
			   ".org 77b+0x1c0\npopl 0x5020\nmovl (%esp),%eax\nmovl %eax,0x5024\naddl $2,(%esp)\niretl\n"
			   ".code16\n");

static void test_protected_mode(void **state)
{
	(void)state;
	gate(0x30, 0xe, 0x7d00);
	gate(0x31, 0xf, 0x7d40);
	gate(6, 0xe, 0x7d80);
	gate(13, 0xe, 0x7dc0);
	/* the interrupt gate is entered with IF set, so that its clearing shows */
	run_ok(g_prot);
	assert_int_equal(peek(0x5004, 4), peek(0x5000, 4));
	assert_int_equal(peek(0x500c, 4), 8);
	assert_int_equal(peek(0x5010, 4) & 1, 1);
	assert_int_equal(peek(0x5014, 4) & 0x200, 0);
	/* ud2 restarts at itself, without error code */
	assert_int_equal(peek(peek(0x501c, 4), 2), 0x0b0f);
	/* the bad selector is the error code of its #GP, the frame points at MOV FS */
	assert_int_equal(peek(0x5020, 4), 0x1234);
	assert_int_equal(peek(peek(0x5024, 4), 2), 0xe38e);
	assert_int_equal(peek(0x5040, 4), 0x77);
}

/* Beyond a limit: #GP for data, #SS for an address by EBP, all with error code 0. */
GUEST(g_limits, TO_PROTECTED "movw $0x20,%ax\nmovw %ax,%ds\nmovw %ax,%ss\nmovl $0x7000,%esp\n"
			     "movl $0x10000,%ebx\nmovb (%ebx),%cl\n.byte 0x90,0x90,0x90\n"
			     "movl %ebx,%ebp\nmovb (%ebp),%cl\n.byte 0x90,0x90\n"
			     "movb %ds:(%ebp),%cl\n.byte 0x90\n" END "jmp .\n"
			     ".org 77b+0x100\nincl %es:0x5000\npopl %eax\norl %eax,%es:0x5008\naddl $5,(%esp)\niretl\n"
			     ".org 77b+0x140\nincl %es:0x5004\npopl %eax\norl %eax,%es:0x5008\naddl $5,(%esp)\niretl\n"
			     ".code16\n");

/* [EBP + disp8] by 32-bit address in real mode, SS and DS apart. */
GUEST(g_ebp, "movw $0x500,%ax\nmovw %ax,%ss\nmovl $0x10,%ebp\nmovl $0x1234,4(%ebp)\naddl $1,4(%ebp)\n"
	     "movzwl 4(%ebp),%ebx\nmovl %ds:4(%ebp),%ecx\n" END);

static void test_ebp_is_on_the_stack(void **state)
{
	(void)state;
	poke(0x14, 0x77, 4);
	run_ok(g_ebp);
	assert_int_equal(peek(0x5014, 4), 0x1235);
	assert_int_equal(reg(BX), 0x1235);
	assert_int_equal(reg(CX), 0x77);
}

static void test_limit_faults(void **state)
{
	(void)state;
	gate(13, 0xe, 0x7d00);
	gate(12, 0xe, 0x7d40);
	run_ok(g_limits);
	assert_int_equal(peek(0x5000, 4), 2);
	assert_int_equal(peek(0x5004, 4), 1);
	assert_int_equal(peek(0x5008, 4), 0);
}

/* External interrupts through all four kinds of gate; IF on entry, frame width, and the return. */
GUEST(g_gates, TO_PROTECTED "sti\nmovb $0x40,%al\noutb %al,$0x80\nincb %al\noutb %al,$0x80\n"
			    "incb %al\noutb %al,$0x80\nincb %al\noutb %al,$0x80\nmovl %esp,0x5030\n" END "jmp .\n"
			    ".org 77b+0x100\nmovl %esp,0x5000\npushfl\npopl 0x5004\niretl\n"
			    ".org 77b+0x120\nmovl %esp,0x5008\npushfl\npopl 0x500c\niretl\n"
			    ".org 77b+0x140\nmovl %esp,0x5010\npushfl\npopl 0x5014\niretw\n"
			    ".org 77b+0x160\nmovl %esp,0x5018\npushfl\npopl 0x501c\niretw\n.code16\n");

static void test_gates(void **state)
{
	(void)state;
	gate(0x40, 0xe, 0x7d00);
	gate(0x41, 0xf, 0x7d20);
	gate(0x42, 0x6, 0x7d40);
	gate(0x43, 0x7, 0x7d60);
	run_ok(g_gates);
	assert_int_equal(peek(0x5000, 4), BASE - 12);
	assert_int_equal(peek(0x5004, 4) & 0x200, 0);
	assert_int_equal(peek(0x5008, 4), BASE - 12);
	assert_int_equal(peek(0x500c, 4) & 0x200, 0x200);
	assert_int_equal(peek(0x5010, 4), BASE - 6);
	assert_int_equal(peek(0x5014, 4) & 0x200, 0);
	assert_int_equal(peek(0x5018, 4), BASE - 6);
	assert_int_equal(peek(0x501c, 4) & 0x200, 0x200);
	assert_int_equal(peek(0x5030, 4), BASE);
}

/* Big real mode: limits loaded in protected mode stay when PE goes; back by a 16-bit code segment. */
GUEST(g_unreal,
	"cli\nlgdtl " AT("1f") "\nmovl %cr0,%eax\norb $1,%al\nmovl %eax,%cr0\nljmpw $0x18,$" AT(
		"2f") "\n"
		      "2:movw $16,%ax\nmovw %ax,%ds\nmovl %cr0,%eax\nandb $0xfe,%al\nmovl %eax,%cr0\nljmpw $0,$" AT(
			      "3f") "\n"
				    "3:xorw %ax,%ax\nmovw %ax,%ds\nmovl $0x200000,%ebx\nmovl $0xcafebabe,(%ebx)\n"
				    "movw 2(%ebx),%ax\nmovw %ax,0x5000\nmovl $0x200000,%esi\nmovl $0x5004,%edi\nmovl "
				    "$4,%ecx\n"
				    "addr32 rep movsb\nmovl $4,%eax\nmovl 0x200000(,%eax,4),%edx\n" END
				    ".balign 8\n4:.quad 0,0x00cf9b000000ffff,0x00cf93000000ffff,0x00009b000000ffff\n"
				    "1:.word 31\n.long " AT("4b") "\n");

static void test_big_real_mode(void **state)
{
	(void)state;
	poke(0x200010, 0x600d, 4);
	run_ok(g_unreal);
	assert_int_equal(peek(0x200000, 4), 0xcafebabe);
	assert_int_equal(peek(0x5000, 2), 0xcafe);
	assert_int_equal(peek(0x5004, 4), 0xcafebabe);
	assert_int_equal(reg(DX), 0x600d);
}

/* ---- what the library cannot do, or does wrong ---- */

GUEST(g_flags, "pushl $0x00243002\npopfl\npushfl\npopl 0x5000\n" /* ID, AC, IOPL 3 */
	       "pushw $2\npopfw\npushfl\npopl 0x5004\n"		 /* 16 bits: ID and AC stay */
	       "pushw $0x46\npushw $0\npushw $" AT("1f") "\niretw\n1:pushfl\npopl 0x5008\n" END);

static void test_flags(void **state)
{
	(void)state;
	run_ok(g_flags);
	assert_int_equal(peek(0x5000, 4), 0x243002);
	assert_int_equal(peek(0x5004, 4), 0x240002);
	assert_int_equal(peek(0x5008, 4), 0x240046);
}

GUEST(g_loop32, "movl $0x10002,%ecx\nxorw %bx,%bx\n"
		"1:incw %bx\ncmpw $5,%bx\nje 2f\naddr32 loop 1b\n2:movl %ecx,0x5000\n" /* counts ECX */
		"movl $0x10000,%ecx\nmovw $1,%bx\njcxz 3f\nmovw $0,%bx\n3:movw %bx,0x5004\n"
		"movw $1,%bx\njecxz 3f\nmovw $0,%bx\n3:movw %bx,0x5006\n"
		"movl $3,%ecx\nxorw %bx,%bx\n4:incw %bx\ncmpw $2,%bx\naddr32 loopne 4b\nmovw %bx,0x5008\n"
		"movw $0x6000,%bx\nmovl $0x16000,%ebx\nmovb $5,%al\nmovb $0x77,0x6005\nxlatb\nmovb %al,0x500a\n" END);

static void test_loop_by_address_size(void **state)
{
	(void)state;
	run_ok(g_loop32);
	assert_int_equal(peek(0x5000, 4), 0x10002 - 4);
	assert_int_equal(peek(0x5004, 2), 1);
	assert_int_equal(peek(0x5006, 2), 0);
	assert_int_equal(peek(0x5008, 2), 2);
	assert_int_equal(peek(0x500a, 1), 0x77);
}

GUEST(g_486, "movl $0x12345678,%eax\nbswapl %eax\nmovl %eax,0x5000\n"
	     "movl $5,%eax\nmovl $9,%ecx\nmovl $5,0x5010\nlock cmpxchgl %ecx,0x5010\nsetz 0x5004\n"
	     "lock cmpxchgl %edx,0x5010\nsetz 0x5005\nmovl %eax,0x5008\n"
	     "movb $0xf0,%bl\nmovb $0x20,%bh\nxaddb %bh,%bl\nmovw %bx,0x500c\nsetc 0x5006\n"
	     "movw $1,%si\nmovw $2,%di\nxorw %ax,%ax\ncmovzw %si,%di\nmovw %di,0x500e\n"
	     "movl $0,%eax\ncpuid\nmovl %ebx,0x5020\nmovl $1,%eax\ncpuid\nmovl %edx,0x5024\n" END);

static void test_486_instructions(void **state)
{
	(void)state;
	run_ok(g_486);
	assert_int_equal(peek(0x5000, 4), 0x78563412);
	assert_int_equal(peek(0x5004, 2), 0x0001);
	assert_int_equal(peek(0x5008, 4), 9);
	assert_int_equal(peek(0x5010, 4), 9);
	assert_int_equal(peek(0x500c, 2), 0xf010); /* BL = 0x110 mod 256, BH = old BL */
	assert_int_equal(peek(0x5006, 1), 1);
	assert_int_equal(peek(0x500e, 2), 1);
	assert_int_equal(peek(0x5020, 4), 0x756e6547);
	assert_int_equal(peek(0x5024, 4) & (1 << 6 | 1 << 9), 0); /* neither PAE nor APIC */
	assert_int_equal(peek(0x5024, 4) & (1 << 4), 1 << 4);
}

/*
 * ENTER with levels, by a 66 prefix on a 32-bit stack; POP to an address on the stack; BT with an
 * offset beyond its operand; decimal adjustment. Values worked out from the SDM's pseudo-code.
 */
GUEST(g_stack, TO_PROTECTED "movl $0x11112222,%ebp\nmovl $0x6000,%esp\ndata16 enter $8,$0\n"
			    "movl %esp,0x5000\nmovl %ebp,0x5004\n"
			    "movl $0x6100,%ebp\nmovl $0xaaaa,0x60fc\nmovl $0x6000,%esp\nenter $16,$2\n"
			    "movl %esp,0x5008\nmovl %ebp,0x500c\nleave\nmovl %ebp,0x5010\n"
			    "movl $0x6000,%esp\npushl $0x77\npopl 4(%esp)\nmovl 0x6004,%eax\nmovl %eax,0x5014\n"
			    "movl $-9,%eax\nmovl $0x8000,0x5ffc\nbtl %eax,0x6000\nsetc 0x5018\n"
			    "movl $0x80,%eax\nmovb $0x80,0x5ffe\nbtsl %eax,0x6000\nmovl $47,%eax\n"
			    "btrl %eax,0x5ff8\nsetc 0x5019\n"
			    "movb $0x79,%al\naddb $0x35,%al\ndaa\nmovb %al,0x501a\nsetc 0x501b\n"
			    "movb $0x35,%al\nsubb $0x47,%al\ndas\nmovb %al,0x501c\nsetc 0x501d\n"
			    "movb $63,%al\naam\nmovw %ax,0x501e\n" END ".code16\n");

static void test_stack_and_decimal(void **state)
{
	(void)state;
	run_ok(g_stack);
	assert_int_equal(peek(0x5000, 4), 0x6000 - 2 - 8);
	assert_int_equal(peek(0x5004, 4), 0x11115ffe);
	assert_int_equal(peek(0x5008, 4), 0x6000 - 12 - 16);
	assert_int_equal(peek(0x500c, 4), 0x5ffc);
	assert_int_equal(peek(0x5ff8, 4), 0xaaaa); /* the outer frame's pointer, copied */
	assert_int_equal(peek(0x5010, 4), 0x6100);
	assert_int_equal(peek(0x5014, 4), 0x77);
	assert_int_equal(peek(0x5018, 1), 0); /* bit 23 of the dword before: clear */
	assert_int_equal(peek(0x6010, 4) & 1, 1);
	assert_int_equal(peek(0x5019, 1), 1); /* bit 15 of the dword at 0x5ffc, now clear */
	assert_int_equal(peek(0x5ffc, 2), 0);
	assert_int_equal(peek(0x501a, 2), 0x0114);
	assert_int_equal(peek(0x501c, 2), 0x0188);
	assert_int_equal(peek(0x501e, 2), 0x0603);
}

GUEST(g_tsc, "rdtsc\nmovl %eax,0x5000\nmovl %edx,0x5004\n" END);

static void test_tsc_is_the_host_clock(void **state)
{
	uint64_t before, after, tsc;

	(void)state;
	before = clock_now(&t.vm.clock) - t.vm.clock.start_ns;
	run_ok(g_tsc);
	after = clock_now(&t.vm.clock) - t.vm.clock.start_ns;
	memcpy(&tsc, ram(0x5000), 8);
	assert_in_range(tsc, before, after);
}

/* Divide errors the library would hand to the host's divider: each enters vector 0 at itself. */
GUEST(g_div, "movl $0x80000000,%edx\nxorl %eax,%eax\nmovl $-1,%ebx\nidivl %ebx\n"
	     "movw $0x8000,%dx\nxorw %ax,%ax\nmovw $-1,%bx\nidivw %bx\n.byte 0x90\n"
	     "aam $0\n.byte 0x90\n"
	     "movw $0x1234,%ax\nmovb $2,%bl\ndivb %bl\n.byte 0x90\n" /* quotient over 255 */
	     "movl $-7,%eax\ncltd\nmovl $2,%ebx\nidivl %ebx\nmovl %eax,0x5010\nmovl %edx,0x5014\n" END
	     ".org 77b+0x100\nincw 0x5000\naddw $3,%ss:(%esp)\niretw\n");

static void test_divide_errors(void **state)
{
	(void)state;
	vector16(0, 0x7d00);
	run_ok(g_div);
	assert_int_equal(peek(0x5000, 2), 4);
	assert_int_equal(peek(0x5010, 4), (uint32_t)-3);
	assert_int_equal(peek(0x5014, 4), (uint32_t)-1);
}

static void test_row_of_prefixes(void **state)
{
	uint8_t code[512];

	(void)state;
	vector16(13, 0x7f00);
	for (unsigned i = 0; i < sizeof code; i++)
		code[i] = i & 1 ? 0xf2 : 0xf0;
	memcpy(ram(0x7f00), "\xe6\xf4", 2); /* out %al, $0xf4 */
	assert_int_equal(run_bytes(code, sizeof code), 0);
	assert_int_equal(peek(reg(SP), 2), BASE); /* the #GP points at the first prefix */
	/* 14 prefixes and a one-byte instruction are still one */
	memset(code, 0x3e, 14);
	memcpy(code + 14, "\x40\xe6\xf4", 3);
	assert_int_equal(run_bytes(code, 17), 0);
	assert_int_equal(reg(AX), 1);
}

/* The usual probe for an FPU finds none; with CR0.EM set an FPU instruction is an exception. */
GUEST(g_fpu, "fninit\nmovw $0x5a5a,0x5000\nfnstsw 0x5000\nmovw $0x1234,%ax\nfnstsw %ax\nmovw %ax,0x5002\n"
	     "movl %cr0,%eax\norb $4,%al\nmovl %eax,%cr0\nfninit\n" END
	     ".org 77b+0x100\nmovw $1,0x5004\naddw $2,%ss:(%esp)\niretw\n");

static void test_no_fpu(void **state)
{
	(void)state;
	vector16(7, 0x7d00);
	run_ok(g_fpu);
	assert_int_equal(peek(0x5000, 2), 0x5a5a);
	assert_int_equal(peek(0x5002, 2), 0x1234);
	assert_int_equal(peek(0x5004, 2), 1);
}

/* A faulting instruction leaves registers and memory as they were. */
GUEST(g_precise, "movw $0xffff,%bx\n1:movl $0x11111111,(%bx)\n"
		 "2:movw $0xffff,%si\nmovw $0x5100,%di\n3:movsw\n4:" END
		 ".org 77b+0x100\nmovw %sp,%bp\nmovw (%bp),%ax\nincw 0x5000\nmovw %si,0x5002\nmovw %di,0x5004\n"
		 "movw $0x7c00,%sp\ncmpw $" AT("1b") ",%ax\nje 2b\ncmpw $" AT("3b") ",%ax\nje 4b\n" END);

static void test_faults_are_precise(void **state)
{
	(void)state;
	vector16(13, 0x7d00);
	poke(0xffff, 0xabcdef, 4);
	poke(0x5100, 0x1234, 2);
	assert_int_equal(run_bytes(g_precise, (size_t)(g_precise_end - g_precise)), 0);
	assert_int_equal(peek(0x5000, 2), 2);
	assert_int_equal(peek(0xffff, 4), 0xabcdef);
	assert_int_equal(peek(0x5100, 2), 0x1234);
	assert_int_equal(peek(0x5002, 2), 0xffff);
	assert_int_equal(peek(0x5004, 2), 0x5100);
	assert_int_equal(reg(BX), 0xffff);
}

static void test_self_modifying_code(void **state)
{
	/* movb $0x43, the next byte (nop -> inc %bx); that byte; end */
	static const uint8_t code[] = {0xc6, 0x06, 0x05, 0x7c, 0x43, 0x90, 0xe6, 0xf4};

	(void)state;
	assert_int_equal(run_bytes(code, sizeof code), 0);
	assert_int_equal(reg(BX), 1);
}

/* ---- what only KVM can do ---- */

GUEST(g_paging, "movl %cr0,%eax\norl $0x80000001,%eax\nmovl %eax,%cr0\n" END);
GUEST(g_pae, "movl %cr4,%eax\norl $0x20,%eax\nmovl %eax,%cr4\n" END);
GUEST(g_lme, "movl $0xc0000080,%ecx\nrdmsr\norl $0x100,%eax\nwrmsr\n" END);
GUEST(g_ring3, TO_PROTECTED "pushl $0x23\npushl $0x7000\npushl $2\npushl $0x1b\npushl $0x7c00\niretl\n.code16\n");

static void test_kvm_only(void **state)
{
	(void)state;
	assert_true(run_guest(g_paging) < 0);
	assert_non_null(strstr(t.err.text, "paging"));
	assert_non_null(strstr(t.err.text, "--cpu kvm"));
	tear_down(NULL);
	set_up(NULL);
	assert_true(run_guest(g_pae) < 0);
	assert_non_null(strstr(t.err.text, "PAE"));
	tear_down(NULL);
	set_up(NULL);
	assert_true(run_guest(g_lme) < 0);
	assert_non_null(strstr(t.err.text, "long mode"));
	tear_down(NULL);
	set_up(NULL);
	assert_true(run_guest(g_ring3) < 0);
	assert_non_null(strstr(t.err.text, "ring 3"));
	assert_null(strchr(t.err.text, '\n'));
}

/* An empty interrupt table: the usual way to reset a PC. */
GUEST(g_triple, "lidtl " AT("1f") "\nint3\n1:.word 0\n.long 0\n");

static void test_triple_fault_resets(void **state)
{
	(void)state;
	run_ok(g_triple);
	assert_int_equal(t.resets, 1);
}

static void test_one_vcpu(void **state)
{
	struct cpu *second = NULL;

	(void)state;
	assert_int_equal(cpu_soft_ops.create(&t.vm, 1, &second, &t.err), -22);
	assert_null(second);
	assert_non_null(strstr(t.err.text, "one vCPU"));
}

/* ---- memory ---- */

GUEST(g_mmio, TO_PROTECTED "movl 0xfed00000,%eax\nmovl %eax,0x5000\nmovw 0xfed00004,%ax\nmovw %ax,0x5004\n"
			   "movb $0x99,0xfed00011\n"
			   "movl 0xfffffe,%eax\nmovl %eax,0x5008\n" /* two bytes of RAM, two of nothing */
			   "movl $0xa1b2c3d4,0xfffffd\n"
			   "movl 0xffffffff,%eax\n" END ".code16\n"); /* wraps at 4 GiB */

static void test_mmio(void **state)
{
	(void)state;
	poke(0xfffffe, 0xbbaa, 2);
	run_ok(g_mmio);
	assert_int_equal(peek(0x5000, 4), 0x44332211);
	assert_int_equal(peek(0x5004, 2), 0x6655);
	assert_int_equal(t.seen[0].addr, MMIO);
	assert_int_equal(t.seen[0].size, 4);
	assert_int_equal(t.seen[2].addr, MMIO + 0x11);
	assert_int_equal(t.seen[2].is_write, 1);
	assert_int_equal(t.seen[2].value, 0x99);
	assert_int_equal(peek(0x5008, 4), 0x2211bbaa);
	assert_int_equal(*ram(0xfffffd), 0xd4);
	assert_int_equal(*ram(0xffffff), 0xb2);
	assert_int_equal(peek(0, 1), reg(AX) >> 8 & 0xff);
}

GUEST(g_rom, "movw $0xf000,%ax\nmovw %ax,%ds\nmovb 0,%bl\nmovb $0x55,0\nmovb 0,%bh\n" END);

static void test_rom_and_shadow(void **state)
{
	uint8_t *image = malloc(0x20000);

	(void)state;
	memset(image, 0xee, 0x20000);
	assert_int_equal(mem_set_rom(&t.vm.mem, image, 0x20000), 0);
	free(image);
	run_ok(g_rom);
	assert_int_equal(reg(BX), 0xeeee);
	mem_set_pam(&t.vm.mem, 12, MEM_PAM_WE | MEM_PAM_RE);
	run_ok(g_rom);
	assert_int_equal(reg(BX) >> 8, 0x55);
	mem_set_pam(&t.vm.mem, 12, MEM_PAM_RE);
	poke(0xf0000, 0x66, 1);
	run_ok(g_rom);
	assert_int_equal(reg(BX), 0x6666);
}

GUEST(g_copy_bios, "movw $0xf000,%ax\nmovw %ax,%ds\nmovw %ax,%es\nxorw %si,%si\nxorw %di,%di\nmovw $4,%cx\n"
		   "cld\nrep movsw\nmovl $0x44332211,8\n"
		   "movw $0xc800,%ax\nmovw %ax,%ds\nmovw $0x7766,0x3ffe\nmovb (0),%bl\n" END);

/* [82441FX] PAM: WE without RE is how a BIOS copies itself to shadow RAM: reads see the ROM, writes land in RAM. */
static void test_write_only_shadow(void **state)
{
	uint8_t *image = malloc(0x20000);

	(void)state;
	for (unsigned i = 0; i < 0x20000; i++)
		image[i] = (uint8_t)(i * 7 + 1);
	assert_int_equal(mem_set_rom(&t.vm.mem, image, 0x20000), 0);
	mem_set_pam(&t.vm.mem, 12, MEM_PAM_WE);
	mem_set_pam(&t.vm.mem, 2, MEM_PAM_WE); /* 0xc8000: no ROM behind it, so no region at all */
	run_ok(g_copy_bios);
	assert_memory_equal(ram(0xf0000), image + 0x10000, 8);
	assert_int_equal(peek(0xf0008, 4), 0x44332211);
	assert_int_equal(*ram(0xf000c), 0);
	assert_int_equal(peek(0xcbffe, 2), 0x7766);
	for (unsigned i = 0; i < t.seen_count; i++)
		assert_false(t.seen[i].bus == IO_MMIO && t.seen[i].is_write);
	mem_set_pam(&t.vm.mem, 12, 0);
	poke(0xf0008, 0, 4);
	run_ok(g_copy_bios);
	assert_int_equal(peek(0xf0008, 4), 0); /* dropped again */
	free(image);
}

static _Atomic bool fuzzing;

static void *end_again_and_again(void *opaque)
{
	(void)opaque;
	while (atomic_load(&fuzzing)) {
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		end_run();
	}
	return NULL;
}

/*
 * Random code with the instructions that are ours, or that the library is weak at, put in often.
 * Whatever it does, run() comes back, with 0 or with one line that says why not.
 */
static void test_random_code(void **state)
{
	static const uint8_t often[] = {0x0f, 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0xcd, 0x8e, 0xc8, 0x60, 0x61, 0x9a, 0xff,
		0xc4, 0xc5, 0xd4, 0xd5, 0xf7, 0xf6, 0x6c, 0x6d, 0x6e, 0x6f, 0xa4, 0xa5, 0xa6, 0xae, 0xab, 0xcf, 0x8f};
	uint64_t x = 88172645463325252ull;
	pthread_t thread;

	(void)state;
	atomic_store(&fuzzing, true);
	assert_int_equal(pthread_create(&thread, NULL, end_again_and_again, NULL), 0);
	for (unsigned n = 0; n < 300; n++) {
		struct cpu_regs r = cpu_regs_reset;
		int rc;

		for (unsigned i = 0; i < 0x10000; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			*ram(i) = x >> 62 ? (uint8_t)(x >> 24) : often[(x >> 24) % sizeof often];
		}
		for (unsigned i = 0; i < 8; i++)
			r.gpr[i] = (uint32_t)(x * (2 * i + 1)) >> (n + i) % 29;
		if (n & 1)
			r.cs.attr |= 0x400;
		if (n & 2)
			r.ss.attr |= 0x400;
		if (n & 4)
			r.ss.limit = r.ds.limit = r.es.limit = 0xffffffff;
		r.cr0 |= n >> 3 & 1;
		r.cs.base = 0;
		t.vector_count = 0;
		atomic_store(&t.vm.intr, false);
		atomic_store(&t.vm.reset, false);
		t.err.text[0] = 0;
		assert_int_equal(t.cpu->ops->set_regs(t.cpu, &r), 0);
		atomic_store(&t.vm.stop, false);
		rc = t.cpu->ops->run(t.cpu, &t.err);
		assert_int_equal(rc < 0, t.err.text[0] != 0);
		assert_null(strchr(t.err.text, '\n'));
	}
	atomic_store(&fuzzing, false);
	pthread_join(thread, NULL);
}

static void test_registers(void **state)
{
	struct cpu_regs in, out;

	(void)state;
	in = cpu_regs_reset;
	for (unsigned i = 0; i < 8; i++)
		in.gpr[i] = 0x11111111u * (i + 1);
	in.fs = (struct cpu_seg){.selector = 0x30, .base = 0x12345678, .limit = 0xffffffff, .attr = 0xc93};
	in.gdt.base = 0xabcd0;
	in.gdt.limit = 0x77;
	assert_int_equal(t.cpu->ops->set_regs(t.cpu, &in), 0);
	assert_int_equal(t.cpu->ops->get_regs(t.cpu, &out), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(out.gpr[i], in.gpr[i]);
	assert_int_equal(out.rip, in.rip);
	assert_int_equal(out.cs.base, in.cs.base);
	assert_int_equal(out.fs.base, in.fs.base);
	assert_int_equal(out.fs.limit, in.fs.limit);
	assert_int_equal(out.fs.attr, in.fs.attr);
	assert_int_equal(out.gdt.limit, 0x77);
	in.cr0 |= 0x80000000;
	assert_int_equal(t.cpu->ops->set_regs(t.cpu, &in) < 0, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ins),
		TEST(test_ins_is_one_access),
		TEST(test_outs),
		TEST(test_strings),
		TEST(test_int_and_iret),
		TEST(test_no_interrupt_is_lost),
		TEST(test_interrupt_shadow),
		TEST(test_sti_hlt),
		TEST(test_hlt_sleeps_and_wakes),
		TEST(test_kick_from_anywhere),
		TEST(test_protected_mode),
		TEST(test_ebp_is_on_the_stack),
		TEST(test_limit_faults),
		TEST(test_gates),
		TEST(test_big_real_mode),
		TEST(test_flags),
		TEST(test_loop_by_address_size),
		TEST(test_486_instructions),
		TEST(test_stack_and_decimal),
		TEST(test_tsc_is_the_host_clock),
		TEST(test_divide_errors),
		TEST(test_row_of_prefixes),
		TEST(test_no_fpu),
		TEST(test_faults_are_precise),
		TEST(test_self_modifying_code),
		TEST(test_kvm_only),
		TEST(test_triple_fault_resets),
		TEST(test_one_vcpu),
		TEST(test_mmio),
		TEST(test_rom_and_shadow),
		TEST(test_write_only_shadow),
		TEST(test_random_code),
		TEST(test_registers),
	};

	return cmocka_run_group_tests_name("cpu_soft", tests, NULL, NULL);
}
