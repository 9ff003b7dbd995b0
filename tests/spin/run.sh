#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Model-checks the protocols of the runtime and of the page tier with spin: each model must hold, searched to the
# end, and each of its mutants must be caught (else the model proves nothing). Prints one line for
# each; any surprise ends with status 1, and status 77 says what is missing. Usage: tests/spin/run.sh
set -u
dir=$(cd "$(dirname "$0")" && pwd)
for tool in spin "${CC:=cc}"; do
	if ! command -v "$tool" >/dev/null 2>&1; then
		echo "$tool is not installed"
		exit 77
	fi
done
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT INT TERM
cd "$work" || exit 1
failed=0

# search MODEL [MUTANT]: leaves spin's report in `report`
search() {
	rm -f pan* ./*.trail
	spin ${2:+"-D$2"} -a "$dir/$1.pml" >report 2>&1 &&
		"$CC" -O1 -w -DSAFETY -o pan pan.c >>report 2>&1 &&
		timeout 60 ./pan -m100000 -w24 >>report 2>&1
}

for model in seqword replace publish steps; do
	if search $model && grep -q 'errors: 0$' report && ! grep -qE 'max search depth|out of memory|not completed' report; then
		echo "spin $model: holds, $(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' report) states"
	else
		echo "spin $model: FAILED"
		cat report
		[ ! -f "$dir/$model.pml.trail" ] || rm -f "$dir/$model.pml.trail"
		failed=1
	fi
	for mutant in $(grep -o 'MUTANT_[A-Z_]*' "$dir/$model.pml" | sort -u); do
		search $model "$mutant"
		if grep -qE 'errors: [1-9]' report; then
			echo "spin $model: $mutant is caught: $(sed -n 's/^pan:1: \(.*\) (at depth.*/\1/p' report)"
		else
			echo "spin $model: FAILED: $mutant is not caught"
			cat report
			failed=1
		fi
	done
done
exit $failed
