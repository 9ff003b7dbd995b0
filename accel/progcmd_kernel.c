/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progcmd_kernel.c: `hotreg prog verify --kernel`: has plain libbpf load a program into the running
 * kernel, as anybody would, and keeps the log of its verifier. Nothing stays loaded.
 */
#include "accel/progcmd_int.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

const char *progcmd_kernel_unusable(void)
{
	static const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = BPF_F_SLEEPABLE);
	int fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "probe", "GPL", insns, 2, &opts);

	if (fd >= 0) {
		close(fd);
		return NULL;
	}
	switch (errno) {
	case EPERM:
	case EACCES:
		return "bpf(2) is not allowed here: be root or have CAP_BPF, outside of a container that forbids it";
	case ENOSYS:
		return "bpf(2) is not allowed here: this kernel or container has no such system call";
	case EINVAL:
		return "this kernel does not know programs of type syscall: Linux 5.14 or newer is needed";
	default:
		return "bpf(2) fails here even for an empty program";
	}
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

static int load_one(struct bpf_object *object, const char *name, struct progcmd_kernel_verdict *out)
{
	struct bpf_program *p;
	bool found = false;

	bpf_object__for_each_program(p, object)
	{
		bool wanted = !strcmp(bpf_program__name(p), name);

		found |= wanted;
		bpf_program__set_autoload(p, wanted);
		if (wanted) {
			bpf_program__set_log_level(p, 1);
			bpf_program__set_log_buf(p, out->log, sizeof(out->log));
		}
	}
	return found ? bpf_object__load(object) : -ENOENT;
}

/*
 * libbpf's print function belongs to the whole process: put back at once. A log that is too long
 * for the buffer makes the load fail with ENOSPC, so an accepted program is then tried without one.
 */
void progcmd_kernel_judge(const void *image, size_t size, const char *prog, struct progcmd_kernel_verdict *out)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "hotreg");
	libbpf_print_fn_t old = libbpf_set_print(quiet);
	struct bpf_object *object = bpf_object__open_mem(image, size, &opts);
	struct bpf_program *p;

	out->log[0] = 0;
	out->rc = object ? load_one(object, prog, out) : -errno;
	bpf_object__close(object);
	if (out->rc == -ENOSPC) {
		object = bpf_object__open_mem(image, size, &opts);
		out->rc = object ? 0 : -errno;
		if (object) {
			bpf_object__for_each_program(p, object)
				bpf_program__set_autoload(p, !strcmp(bpf_program__name(p), prog));
			out->rc = bpf_object__load(object);
			bpf_object__close(object);
		}
	}
	out->log[sizeof(out->log) - 1] = 0;
	libbpf_set_print(old);
}

void progcmd_kernel_print(FILE *out, const char *log, unsigned lines, const char *indent)
{
	const char *start = log + strlen(log), *end;

	while (start > log && start[-1] == '\n')
		start--;
	end = start;
	while (start > log && lines) {
		start--;
		if (*start == '\n' && --lines == 0)
			start++;
	}
	while (start < end) {
		size_t n = strcspn(start, "\n");

		if (start + n > end)
			n = (size_t)(end - start);
		fprintf(out, "%s", indent);
		for (size_t i = 0; i < n; i++)
			putc(start[i] >= ' ' && start[i] <= '~' ? start[i] : ' ', out);
		putc('\n', out);
		start += n + 1;
	}
}
