#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# format.sh: every C source is as `make format` leaves it. Versions of clang-format differ in details, so this
# is judged by the one the sources are kept with; status 77 and the reason where it is not there.
set -u
version=14
tool=clang-format
command -v clang-format-$version >/dev/null && tool=clang-format-$version
command -v $tool >/dev/null || { echo "needs clang-format $version, which is not installed"; exit 77; }
found=$($tool --version | sed -nE 's/.*version ([0-9]+)\..*/\1/p')
[ "$found" = $version ] || { echo "needs clang-format $version; this is ${found:-an unknown version}"; exit 77; }

mapfile -t files < <(find accel bpf devices examples tests vmm -name '*.[ch]' | sort)
[ ${#files[@]} -gt 100 ] || { echo "format: ${#files[@]} sources only: not at the top of the tree?"; exit 1; }
wrong=$($tool --dry-run -Werror "${files[@]}" 2>&1 | sed -nE 's/^([^: ]+):[0-9]+:[0-9]+: error.*/\1/p' | uniq)
[ -z "$wrong" ] || { echo "not as clang-format leaves it (make format):"; echo "$wrong"; exit 1; }
echo "${#files[@]} sources"
