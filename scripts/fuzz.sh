#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# fuzz.sh BINARY SECONDS: runs one libFuzzer binary over its seeds (tests/fuzz/corpus/NAME, kept) and what
# earlier runs found (build/fuzz/corpus/NAME). A crash is left in build/fuzz/crash-NAME-* and fails.
set -eu
bin=$1
seconds=$2
name=$(basename "$bin")
build=${BUILD:-build}
work=$build/fuzz/corpus/$name
mkdir -p "$work"
set -- "$work"
[ -d "tests/fuzz/corpus/$name" ] && set -- "$work" "tests/fuzz/corpus/$name"
# The programs' own objects are the seeds of whatever takes an object file.
case $name in fuzz_object)
	for d in "$build/bpf" "$build/tests/obj"; do if [ -d "$d" ]; then set -- "$@" "$d"; fi; done ;;
esac
# Sequences of accesses only do something when they are long: no slow growth from one byte.
case $name in fuzz_access) set -- -len_control=0 -max_len=1024 "$@" ;; esac
"$bin" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
	-artifact_prefix="$build/fuzz/crash-$name-" "$@" 2>&1
