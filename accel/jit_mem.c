/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit_mem.c: memory for machine code. The bytes are written through a file descriptor into a sealed
 * memfd, which is then mapped read-only and executable: no mapping of them is ever writable,
 * and the seal keeps it so even for somebody who gets at the descriptor.
 */
#include "accel/jit.h"

#if JIT_AVAILABLE

#include "accel/jit_mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Not in the headers of older systems. Linux 6.3 wants to be told that the file may be executed. */
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

static size_t round_up(size_t n, size_t page)
{
	return (n + page - 1) / page * page;
}

int jit_mem_reserve(size_t bytes, uint64_t near, struct jit_mem *mem)
{
	uint8_t *hint = NULL;

	mem->page = (size_t)sysconf(_SC_PAGESIZE);
	mem->mapped = round_up(bytes, mem->page) + 3 * mem->page;
	/* a hint, no more: taken if it is free */
	if (near > 2 * mem->mapped)
		hint = (uint8_t *)(uintptr_t)((near - mem->mapped) / mem->page * mem->page);
	mem->base = mmap(hint, mem->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return mem->base == MAP_FAILED ? -errno : 0;
}

void jit_mem_free(const struct jit_mem *mem)
{
	if (mem->mapped)
		munmap(mem->base, mem->mapped);
}

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int code_file(void)
{
	int fd = memfd_create("hotreg-code", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("hotreg-code", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

/* No code sees this page before it is as it stays. */
static int put_data(const struct jit_mem *mem, const void *data, size_t bytes)
{
	uint8_t *page = jit_mem_data(mem);

	assert(bytes <= mem->page);
	if (mprotect(page, mem->page, PROT_READ | PROT_WRITE))
		return -errno;
	memcpy(page, data, bytes);
	return mprotect(page, mem->page, PROT_READ) ? -errno : 0;
}

int jit_mem_commit(struct jit_mem *mem, const void *data, size_t data_bytes, const void *code, size_t bytes)
{
	size_t len = round_up(bytes, mem->page), used = len + 3 * mem->page;
	uint8_t trap[256];
	int fd = code_file();
	int rc;

	if (fd < 0)
		return fd;
	memset(trap, 0xcc, sizeof(trap)); /* int3 behind the code */
	rc = put_data(mem, data, data_bytes);
	if (!rc)
		rc = write_all(fd, code, bytes);
	for (size_t at = bytes; !rc && at < len; at += sizeof(trap))
		rc = write_all(fd, trap, len - at < sizeof(trap) ? len - at : sizeof(trap));
	if (!rc && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		rc = -errno;
	if (!rc && mmap(jit_mem_text(mem), len, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED)
		rc = -errno;
	close(fd);
	if (!rc && used < mem->mapped) {
		munmap(mem->base + used, mem->mapped - used);
		mem->mapped = used;
	}
	return rc;
}

#endif
