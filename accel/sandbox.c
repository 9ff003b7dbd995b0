/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox.c: one run in a forked process. The parent maps the arena (memory and stack, each between
 * PROT_NONE pages) and a shared page for the outcome, so that it can tell what an address was; the
 * child prepares and runs the program with the engines of production, on the arena's stack.
 *
 * A program that nobody verified may overwrite anything in the child. So the child gives up all
 * system calls but those that end it or read the clock, and the parent believes nothing but the
 * one shared page and the way in which the child ended.
 */
#include "accel/sandbox.h"
#include "accel/elfcheck.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#define GUARD_BYTES (64u << 10)
#define STACK_BYTES (64u << 10) /* of the processor: machine code's frames, the engine's, helper 5 */
#define SIGNAL_STACK_BYTES (64u << 10)

enum phase { PHASE_PREPARING, PHASE_RUNNING, PHASE_REFUSED, PHASE_FAULT, PHASE_DONE };

/* Shared by parent and child. */
struct outcome {
	enum phase phase;
	int error; /* refused: -errno */
	int signal;
	bool has_address;
	bool is_write;
	uint64_t address;
	uint64_t r0;
};

struct arena {
	uint8_t *base; /* guard, program's stack, guard, processor's stack, guard, memory, guard */
	size_t bytes;
	uint8_t *bpf_stack; /* of the interpreter */
	size_t bpf_stack_bytes;
	uint8_t *stack;
	uint8_t *memory; /* NULL: none */
	size_t size;
	uint8_t *signal_stack;
	struct outcome *outcome;
};

struct run {
	const struct prog *p;
	const struct prog_env *env;
	enum engine_kind kind;
	struct arena arena;
};

/* Set in the child only, where a signal handler and makecontext() reach what they need no other way. */
static const struct run *child_run;

/* ---- the arena ------------------------------------------------------------------------- */

static size_t whole_pages(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

static int arena_init(struct arena *a, const void *memory, size_t size)
{
	size_t memory_bytes = whole_pages(size ? size : 1), at = GUARD_BYTES;

	memset(a, 0, sizeof(*a));
	a->bpf_stack_bytes = whole_pages(INTERP_STACK_BYTES);
	a->bytes = 4 * GUARD_BYTES + a->bpf_stack_bytes + STACK_BYTES + memory_bytes;
	a->base = mmap(NULL, a->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (a->base == MAP_FAILED)
		return -ENOMEM;
	a->bpf_stack = a->base + at;
	at += a->bpf_stack_bytes + GUARD_BYTES;
	a->stack = a->base + at;
	at += STACK_BYTES + GUARD_BYTES;
	a->outcome =
		mmap(NULL, whole_pages(sizeof(*a->outcome)), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	a->signal_stack = mmap(NULL, SIGNAL_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (a->outcome == MAP_FAILED || a->signal_stack == MAP_FAILED ||
		mprotect(a->bpf_stack, a->bpf_stack_bytes, PROT_READ | PROT_WRITE) ||
		mprotect(a->stack, STACK_BYTES, PROT_READ | PROT_WRITE) ||
		mprotect(a->base + at, memory_bytes, PROT_READ | PROT_WRITE))
		return -ENOMEM; /* the process ends soon */
	if (memory) {
		/* up to the guard page, so that one byte too far is seen; aligned, as an engine may expect */
		a->memory = a->base + at + memory_bytes - (size + 7) / 8 * 8;
		a->size = size;
		memcpy(a->memory, memory, size);
	}
	return 0;
}

static void arena_fini(struct arena *a)
{
	if (a->base && a->base != MAP_FAILED)
		munmap(a->base, a->bytes);
	if (a->outcome && a->outcome != MAP_FAILED)
		munmap(a->outcome, whole_pages(sizeof(*a->outcome)));
	if (a->signal_stack && a->signal_stack != MAP_FAILED)
		munmap(a->signal_stack, SIGNAL_STACK_BYTES);
}

/* ---- in the child ---------------------------------------------------------------------- */

static void end_child(enum phase phase)
{
	__atomic_store_n(&child_run->arena.outcome->phase, phase, __ATOMIC_RELEASE);
	_exit(0);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	struct outcome *o = child_run->arena.outcome;

	if (o->phase != PHASE_PREPARING && o->phase != PHASE_RUNNING)
		_exit(0); /* it has ended; nothing more to say */
	o->signal = number;
	/* An address that is none at all (not canonical) is not told. */
	o->has_address = (number == SIGSEGV || number == SIGBUS) && info->si_code != SI_KERNEL;
	o->address = (uint64_t)(uintptr_t)info->si_addr;
#ifdef __x86_64__
	o->is_write = ((ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & 2;
#else
	(void)context;
#endif
	end_child(PHASE_FAULT);
}

static void catch_faults(void)
{
	static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGXCPU, SIGALRM};
	const stack_t on = {.ss_sp = child_run->arena.signal_stack, .ss_size = SIGNAL_STACK_BYTES};
	struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigset_t none;

	sigaltstack(&on, NULL);
	sigfillset(&act.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &act, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void limit_time(void)
{
	/* The hard limit kills a child whose handler has been overwritten. */
	const struct rlimit cpu = {SANDBOX_CPU_SECONDS, SANDBOX_CPU_SECONDS + 1}, none = {0, 0};

	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_CORE, &none);
	alarm(SANDBOX_WALL_SECONDS);
}

/* What a sanitizer does at its own will would be cut off; there the rest has to do. */
static void drop_system_calls(void)
{
#if (defined(__x86_64__) || defined(__aarch64__)) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#ifdef __x86_64__
	const unsigned arch = AUDIT_ARCH_X86_64;
#else
	const unsigned arch = AUDIT_ARCH_AARCH64;
#endif
#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(__NR_exit_group),
		ALLOW(__NR_exit),
		ALLOW(__NR_clock_gettime),
		ALLOW(__NR_rt_sigreturn),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	/* Where the kernel has no such filters, the process boundary has to do. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
#endif
}

/* On the arena's stack. Does not return. */
static void run_program(void)
{
	const struct run *run = child_run;
	const struct arena *a = &run->arena;
	struct interp_code *interp = NULL;
	struct engine_code *code = NULL;
	int rc;

#ifdef __SANITIZE_ADDRESS__
	__sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
	/* The interpreter's frames lie between guard pages too, hence not through engine_run(). */
	if (run->kind == ENGINE_INTERP)
		rc = interp_prepare(run->p, run->env, &interp);
	else
		rc = engine_prepare(run->p, run->env, run->kind, &code);
	if (rc) {
		a->outcome->error = rc;
		end_child(PHASE_REFUSED);
	}
	a->outcome->phase = PHASE_RUNNING;
	drop_system_calls();
	a->outcome->r0 = interp ? interp_run_on(interp, a->memory, a->bpf_stack) : engine_run(code, a->memory);
	end_child(PHASE_DONE);
}

static void child(const struct run *run)
{
	ucontext_t context;

	child_run = run;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	limit_time();
	catch_faults();
	if (getcontext(&context) == 0) {
		context.uc_stack.ss_sp = run->arena.stack;
		context.uc_stack.ss_size = STACK_BYTES;
		context.uc_link = NULL;
		makecontext(&context, run_program, 0);
#ifdef __SANITIZE_ADDRESS__
		__sanitizer_start_switch_fiber(NULL, run->arena.stack, STACK_BYTES);
#endif
		setcontext(&context);
	}
	run->arena.outcome->error = -errno;
	end_child(PHASE_REFUSED);
}

/* ---- in the parent --------------------------------------------------------------------- */

/* "; that is 8 bytes above the memory" */
static void describe(char *buf, size_t size, const struct run *run, uint64_t address)
{
	const struct arena *a = &run->arena;
	bool interp = run->kind == ENGINE_INTERP;
	const struct {
		const char *name;
		const uint8_t *from;
		size_t bytes;
	} known[] = {
		{"the memory that r1 points to", a->memory, a->size},
		{"the program's stack", interp ? a->bpf_stack : a->stack, interp ? a->bpf_stack_bytes : STACK_BYTES},
	};

	*buf = 0;
	if (address < 65536) {
		snprintf(buf, size, ", a null pointer");
		return;
	}
	for (size_t i = 0; i < 2; i++) {
		uint64_t from = (uint64_t)(uintptr_t)known[i].from, to = from + known[i].bytes;

		if (known[i].from && address >= to && address - to < GUARD_BYTES) {
			snprintf(buf, size, ", %llu bytes above the end of %s", (unsigned long long)(address - to),
				known[i].name);
			return;
		}
		if (known[i].from && address < from && from - address < GUARD_BYTES) {
			snprintf(buf, size, ", %llu bytes below %s", (unsigned long long)(from - address),
				known[i].name);
			return;
		}
	}
}

static int explain_fault(const struct run *run, const struct outcome *o, struct accel_err *err)
{
	const char *when = o->phase == PHASE_PREPARING ? " while it was being prepared" : "";
	char where[128];

	switch (o->signal) {
	case SIGXCPU:
	case SIGALRM:
		return accel_fail(
			err, -ETIME, "no end after %d seconds of computing: an endless loop?", SANDBOX_CPU_SECONDS);
	case SIGILL: /* the interpreter's way to stop; machine code runs into the end of the stack */
		if (run->kind == ENGINE_INTERP)
			return accel_fail(err, -EFAULT, "calls nest more than %d deep", PROG_MAX_FRAMES);
		return accel_fail(err, -EFAULT, "fault%s: %s", when, strsignal(o->signal));
	case SIGSEGV:
	case SIGBUS:
		if (!o->has_address)
			return accel_fail(err, -EFAULT, "fault%s: access to an address that no memory can have", when);
		describe(where, sizeof(where), run, o->address);
		return accel_fail(err, -EFAULT, "fault%s: %s address 0x%llx%s", when,
			o->is_write ? "store to" : "read of", (unsigned long long)o->address, where);
	default:
		return accel_fail(err, -EFAULT, "fault%s: %s", when, strsignal(o->signal));
	}
}

static int explain(const struct run *run, int status, uint64_t *r0, struct accel_err *err)
{
	struct outcome o = *run->arena.outcome; /* the child is gone */

	if (WIFSIGNALED(status)) {
		if (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGXCPU)
			return accel_fail(err, -ETIME, "no end after %d seconds of computing, and no answer",
				SANDBOX_CPU_SECONDS);
		if (WTERMSIG(status) == SIGSYS)
			return accel_fail(err, -EFAULT, "fault: the program went astray and made a system call");
		return accel_fail(err, -EFAULT, "fault: %s", strsignal(WTERMSIG(status)));
	}
	switch (o.phase) {
	case PHASE_DONE:
		*r0 = o.r0;
		return 0;
	case PHASE_REFUSED:
		if (o.error == -ENOTSUP)
			return accel_fail(err, -ENOTSUP, "no JIT for this processor in this build: use --interp");
		return accel_fail(err, o.error, "the engine does not take the program: %s", strerror(-o.error));
	case PHASE_FAULT:
		return explain_fault(run, &o, err);
	default:
		return accel_fail(err, -EFAULT, "fault: the program went astray and ended its process");
	}
}

int sandbox_run(const struct prog *p, const struct prog_env *env, enum engine_kind kind, const void *memory,
	size_t size, uint64_t *r0, struct accel_err *err)
{
	struct run run = {.p = p, .env = env, .kind = kind};
	int rc, status = 0;
	pid_t pid;

	rc = arena_init(&run.arena, memory, size);
	if (rc) {
		arena_fini(&run.arena);
		return accel_fail(err, rc, "out of memory");
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		child(&run);
	if (pid < 0) {
		rc = accel_fail(err, -errno, "cannot start a process to run it in: %s", strerror(errno));
	} else {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		rc = explain(&run, status, r0, err);
	}
	arena_fini(&run.arena);
	return rc;
}
