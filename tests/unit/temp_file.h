/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * temp_file.h: a file for a test to give to hotreg by its name: test_machine.c and test_machine_reset.c. Whoever asks for one unlinks it.
 * After cmocka.h.
 */
#ifndef TESTS_UNIT_TEMP_FILE_H
#define TESTS_UNIT_TEMP_FILE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void temp_file(char path[64], const void *bytes, size_t count)
{
	int fd;

	snprintf(path, 64, "%s/hotreg-test-XXXXXX", P_tmpdir);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, count), count);
	close(fd);
}

#endif
