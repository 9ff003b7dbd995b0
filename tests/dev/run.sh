#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# run.sh: replays every datasheet trace of tests/dev on the whole machine without a CPU, with acceleration
# off, on and checked. A trace with the line "# disk" gets an image of 2048 sectors, sector n being n in
# 511 decimal digits and a newline. Called from tests/list.txt; HOTREG and BUILD (default build) can be set.
set -u
build=${BUILD:-build}
hotreg=${HOTREG:-$build/hotreg}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0 runs=0

for trace in tests/dev/*.trace; do
	for accel in off on check; do
		args=(--cpu "script=$trace" --accel "$accel" --serial none --quiet --mem 16M)
		if grep -q '^# disk$' "$trace"; then
			seq -f '%0511.0f' 0 2047 >"$dir/disk.img"
			args+=(--disk "$dir/disk.img")
		fi
		runs=$((runs + 1))
		if ! "$hotreg" run "${args[@]}" >"$dir/out.txt" 2>&1; then
			echo "FAILED: $trace with --accel $accel:"
			head -n 20 "$dir/out.txt"
			failed=$((failed + 1))
		fi
	done
done
echo "$runs replays, $failed failed"
[ "$failed" = 0 ]
