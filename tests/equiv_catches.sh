#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# equiv_catches.sh: the equivalence fuzzer finds a program that is wrong on purpose (one tick ahead), says so
# with status 1, and leaves a short case, which shows the same again when it is replayed.
set -u
build=${BUILD:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
die() {
	echo "equiv_catches: $*"
	cat "$dir"/*.txt
	exit 1
}
wrong="hpet=$build/tests/prog/hpet_wrong.bpf.o"
"$build/tests/fuzz/equiv" --prog "$wrong" --accesses 100000 --out "$dir" hpet >"$dir/out.txt" 2>"$dir/err.txt"
[ $? = 1 ] || die "a wrong program was not found"
grep -q "shrunk to [1-4] ops" "$dir/err.txt" || die "the case is not short"
grep -q "the model answers 0x" "$dir/err.txt" || die "it is not said what differed"
"$build/tests/fuzz/equiv" --prog "$wrong" --replay "$dir"/equiv-hpet-*.trace >"$dir/out.txt" 2>"$dir/err.txt"
[ $? = 1 ] || die "the kept case does not show it again"
"$build/tests/fuzz/equiv" --replay "$dir"/equiv-hpet-*.trace >"$dir/out.txt" 2>"$dir/err.txt" ||
	die "the kept case fails with the right program"
